package clickhousehttp

import (
	"bufio"
	"context"
	"cordon/internal/chdb"
	"cordon/internal/sqltext"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"
)

// newQueryID returns an identifier that no other query has.
func newQueryID() string {
	b := make([]byte, 16)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// run executes the query of a request and writes its result.
func (c *Server) run(ctx context.Context, q *request, out *response) error {
	// The engine keeps per-thread state between the calls for one query, and
	// needs the stack of a thread made by the operating system.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	conn, release, err := c.connection(q)
	if err != nil {
		return err
	}
	defer release()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	mark := fmt.Sprintf("cordon-%d", c.queryID.Add(1))
	if q.access == accessOutside {
		err = c.prepareOutside(conn, q, mark)
	} else {
		err = c.prepareInside(conn, q, mark)
	}
	if err != nil {
		return err
	}
	defer c.cancelWith(ctx, mark)()

	sql, format := q.sql, q.format
	if q.insert != nil {
		format = "Null"
		sql = q.insert.fromFile(q.body.path())
	} else if f := explicitFormat(sql); f != "" {
		format = f
	}
	for _, t := range q.external {
		if err := t.load(conn); err != nil {
			return err
		}
	}
	if q.insert == nil && !q.streamable(format) && isIdentifier(format) {
		canonical := sql // text from outside is canonical; text from inside may be anything
		if q.access == accessInside {
			if canonical, err = canonicalForm(conn, sql); err != nil {
				canonical = "" // several statements, or a mistake that running it names
			}
		}
		if isSelect(canonical) {
			out.setup(format, c.timezone)
			if err := intoPipe(conn, cancel, q, canonical, format, out); err != nil {
				return err
			}
			return out.finish()
		}
	}
	s, err := conn.Stream(sql, format, q.params)
	if err != nil {
		return err
	}
	defer s.Close()
	out.setup(format, c.timezone)
	rows := &streamReader{s: s, stats: &out.stats}
	if q.insert != nil {
		out.writtenBytes = uint64(q.body.size)
	}
	if strings.EqualFold(format, "Native") && q.protocolVersion > 0 {
		err = nativeRevision(bufferedWriter(out), bufio.NewReaderSize(rows, 256<<10), q.protocolVersion)
	} else {
		_, err = rows.WriteTo(out)
	}
	if err != nil {
		return err
	}
	return out.finish()
}

// streamReader reads a result as one stream of bytes.
type streamReader struct {
	s     *chdb.Stream
	rest  []byte
	stats *chdb.Stats
}

func (r *streamReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		chunk, err := r.s.Next()
		*r.stats = r.s.Stats()
		if err != nil {
			return 0, err
		}
		r.rest = chunk
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// WriteTo spares the copy that Read makes.
func (r *streamReader) WriteTo(w io.Writer) (total int64, err error) {
	for {
		chunk, err := r.s.Next()
		*r.stats = r.s.Stats()
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		n, err := w.Write(chunk)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
}

// load makes the table, for this connection only.
func (t externalTable) load(conn *chdb.Connection) error {
	if err := conn.Exec("CREATE TEMPORARY TABLE " + sqltext.Name(t.name) + " (" + t.structure + ")"); err != nil {
		return err
	}
	return conn.Exec("INSERT INTO " + sqltext.Name(t.name) + " FROM INFILE " + sqltext.Text(t.data.path()) + " COMPRESSION 'none' FORMAT " + t.format)
}

// connection returns the connection that a request runs on and what to do with
// it afterwards.
func (c *Server) connection(q *request) (*chdb.Connection, func(), error) {
	if q.session != "" && q.access == accessInside {
		return c.sessions.take(c.engine, q)
	}
	conn, err := c.engine.Open()
	if err != nil {
		return nil, nil, err
	}
	return conn, conn.Close, nil
}

// prepareInside applies the settings of a request with full access.
func (c *Server) prepareInside(conn *chdb.Connection, q *request, mark string) error {
	settings := []setting{{"log_comment", mark}, {"max_query_size", itoa(int64(max(256<<10, len(q.sql)+1024)))}}
	for _, s := range q.settings {
		if s.name == "log_comment" {
			s.value = mark + " " + s.value
		}
		settings = append(settings, s)
	}
	if q.readOnly {
		settings = append(settings, setting{"readonly", "2"}) // ClickHouse does so for GET
	}
	if q.database != "" {
		if err := conn.Exec("USE " + sqltext.Name(q.database)); err != nil {
			return err
		}
	}
	return applySettings(conn, settings)
}

// applySettings applies settings in one statement.
func applySettings(conn *chdb.Connection, settings []setting) error {
	var b strings.Builder
	for i, s := range settings {
		if i == 0 {
			b.WriteString("SET ")
		} else {
			b.WriteString(", ")
		}
		b.WriteString(s.name)
		b.WriteString(" = ")
		b.WriteString(sqltext.Text(s.value))
	}
	return conn.Exec(b.String())
}

// cancelPatience is how long a cancelled query is given to appear in the
// engine's list before it is looked for again.
const cancelPatience = 100 * time.Millisecond

// cancelWith kills the query that bears the mark when ctx ends. The returned
// function ends the watch; nothing of it uses the engine afterwards.
func (c *Server) cancelWith(ctx context.Context, mark string) (stop func()) {
	finished, exited := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(exited)
		select {
		case <-finished:
			return
		case <-ctx.Done():
		}
		for {
			c.kill(mark)
			select {
			case <-finished:
				return
			case <-time.After(cancelPatience):
			}
		}
	}()
	return func() {
		close(finished)
		<-exited
	}
}

func (c *Server) kill(mark string) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	conn, err := c.engine.Open()
	if err != nil {
		c.log.Warn("cancelling a query", "error", err)
		return
	}
	defer conn.Close()
	if err := conn.Exec("KILL QUERY WHERE splitByChar(' ', Settings['log_comment'])[1] = " + sqltext.Text(mark) + " ASYNC"); err != nil {
		c.log.Warn("cancelling a query", "error", err)
	}
}
