package clickhousehttp

import (
	"bufio"
	"cordon/internal/chdb"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// responseBuffer is how much of a result is held back before the header goes
// out, so that an early exception still gets its status.
const responseBuffer = 64 << 10

// response writes the result of a query, through the encodings that the client
// asked for, and turns an exception into a status or, where part of the result
// is gone already, into the exception block that ends it.
type response struct {
	w       http.ResponseWriter
	q       *request
	dir     string
	begun   time.Time
	started bool // the status is sent

	held  []byte // Bytes kept back until then.
	whole *spool // takes the place of held with wait_end_of_query

	encoded io.WriteCloser
	frames  *frameWriter
	body    io.Writer
	tag     string // the tag of an exception block
	written int64
	size    int64      // bytes of the result so far, written or held back
	limit   int64      // the most that size may be; 0 is none
	stats   chdb.Stats // The figures of X-ClickHouse-Summary.

	writtenBytes uint64 // bytes of an insert, which the same header tells
}

// newResponse answers a request with a result of at most limit bytes, if limit
// is not 0. dir takes results that wait for their end.
func newResponse(w http.ResponseWriter, q *request, dir string, limit int64) *response {
	return &response{w: w, q: q, dir: dir, limit: limit, begun: time.Now(), tag: newQueryID()[:16]}
}

// setup tells the client what is coming. format is that of the result.
func (r *response) setup(format, timezone string) {
	h := r.w.Header()
	h.Set("Content-Type", contentType(format))
	h.Set("X-ClickHouse-Format", format)
	h.Set("X-ClickHouse-Timezone", timezone)
	h.Set("X-ClickHouse-Query-Id", r.q.id)
	h.Set("X-ClickHouse-Exception-Tag", r.tag)
}

func (r *response) Write(p []byte) (int, error) {
	// The engine has such a limit too, but counts a constant column once.
	if r.size += int64(len(p)); r.limit > 0 && r.size > r.limit {
		return 0, &chdb.Exception{Code: codeTooManyRowsOrBytes, Name: "TOO_MANY_ROWS_OR_BYTES", Message: fmt.Sprintf("Limit for result exceeded, max bytes: %d", r.limit)}
	}
	return r.write(p)
}

func (r *response) write(p []byte) (int, error) {
	if r.started {
		n, err := r.body.Write(p)
		r.written += int64(n)
		return n, err
	}
	if r.q.waitEnd {
		if r.whole == nil {
			s, err := newSpool(r.dir)
			if err != nil {
				return 0, err
			}
			r.whole = s
		}
		return r.whole.Write(p)
	}
	if len(r.held)+len(p) <= responseBuffer {
		r.held = append(r.held, p...)
		return len(p), nil
	}
	if err := r.start(); err != nil {
		return 0, err
	}
	return r.write(p)
}

// start sends the header and what was held back.
func (r *response) start() error {
	if r.started {
		return nil
	}
	r.started = true
	h := r.w.Header()
	h.Set("X-ClickHouse-Summary", r.summary())
	if r.q.encoding != "" {
		h.Set("Content-Encoding", r.q.encoding)
	}
	var err error
	if r.encoded, err = encodeBody(r.w, r.q.encoding); err != nil {
		return err
	}
	r.body = r.encoded
	if r.q.compress != "" {
		if r.frames, err = newFrameWriter(r.encoded, r.q.compress); err != nil {
			return err
		}
		r.body = r.frames
	}
	if r.whole != nil {
		n, err := io.Copy(r.body, r.whole.reader())
		r.written += n
		return err
	}
	n, err := r.body.Write(r.held)
	r.written += int64(n)
	r.held = nil
	return err
}

// finish sends everything and ends the body.
func (r *response) finish() error {
	empty := !r.started && len(r.held) == 0 && r.whole == nil
	if empty {
		r.started = true
		r.w.Header().Set("X-ClickHouse-Summary", r.summary())
		return nil // Content-Length: 0
	}
	if err := r.start(); err != nil {
		return err
	}
	if r.frames != nil {
		if err := r.frames.Close(); err != nil {
			return err
		}
	}
	return r.encoded.Close()
}

// fail ends the response with an exception.
func (r *response) fail(err error) {
	if !r.started {
		writeException(r.w, r.q, err)
		return
	}
	var e *chdb.Exception
	if !errors.As(err, &e) {
		// The client is gone, or the response cannot be written: cut it off.
		panic(http.ErrAbortHandler)
	}
	text := e.Error()
	fmt.Fprintf(r.body, "\r\n__exception__\r\n%s\r\n%s\n%d %s\r\n__exception__\r\n", r.tag, text, len(text)+1, r.tag)
	if r.frames != nil {
		r.frames.Close()
	}
	r.encoded.Close()
	// A body without its end tells clients that know nothing of the block.
	if f, ok := r.w.(http.Flusher); ok {
		f.Flush()
	}
	if _, ok := r.w.(*pipeResponse); !ok {
		panic(http.ErrAbortHandler)
	}
}

func (r *response) close() {
	if r.whole != nil {
		r.whole.close()
	}
}

func (r *response) summary() string {
	s := r.stats
	return fmt.Sprintf(`{"read_rows":"%d","read_bytes":"%d","written_rows":"%d","written_bytes":"%d","total_rows_to_read":"0","result_rows":"%d","result_bytes":"%d","elapsed_ns":"%d"}`,
		s.ReadRows, s.ReadBytes, s.WrittenRows, r.writtenBytes, s.Rows, r.written, time.Since(r.begun).Nanoseconds())
}

// contentType is the media type that ClickHouse gives a format.
func contentType(format string) string {
	switch {
	case strings.HasPrefix(format, "JSONEachRow"), strings.HasPrefix(format, "JSONCompactEachRow"), format == "JSONLines", format == "NDJSON":
		return "application/x-ndjson; charset=UTF-8"
	case strings.HasPrefix(format, "JSON"):
		return "application/json; charset=UTF-8"
	case strings.HasPrefix(format, "CSVWithNames"):
		return "text/csv; charset=UTF-8; header=present"
	case strings.HasPrefix(format, "CSV"):
		return "text/csv; charset=UTF-8; header=absent"
	case strings.HasPrefix(format, "TabSeparated"), strings.HasPrefix(format, "TSV"):
		return "text/tab-separated-values; charset=UTF-8"
	case format == "Native", format == "Parquet", format == "ORC", strings.HasPrefix(format, "Arrow"),
		strings.HasPrefix(format, "RowBinary"), format == "Avro", format == "MsgPack", format == "BSONEachRow", format == "Npy":
		return "application/octet-stream"
	case format == "XML":
		return "application/xml; charset=UTF-8"
	}
	return "text/plain; charset=UTF-8"
}

// bufferedWriter gives w large writes.
func bufferedWriter(w io.Writer) *bufio.Writer { return bufio.NewWriterSize(w, 64<<10) }

func itoa(v int64) string { return strconv.FormatInt(v, 10) }
