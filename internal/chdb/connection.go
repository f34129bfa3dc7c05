package chdb

import (
	"bytes"
	"io"
	"runtime"
	"strings"
	"unsafe"
)

// Connection is one session with the engine: its own settings, roles, current
// database and temporary tables. It serves one query at a time; a caller holds
// it, locked to an OS thread, for as long as a query runs.
type Connection struct {
	lib *Library
	ptr unsafe.Pointer // chdb_connection *
}

// handle is what the query functions take.
func (c *Connection) handle() unsafe.Pointer { return *(*unsafe.Pointer)(c.ptr) }

// Close ends the session; no query of it may be running.
func (c *Connection) Close() {
	c.lib.closeConnection(c.ptr)
	c.ptr = nil
}

// Param is one query parameter, {Name:Type} in the text.
type Param struct{ Name, Value string }

// Text runs a statement whose result is short and returns it in TabSeparatedRaw.
func (c *Connection) Text(sql string, params ...Param) (string, error) {
	text, _, err := c.Run(sql, "TabSeparatedRaw", params)
	return string(text), err
}

// Exec runs one or more statements and drops their results.
func (c *Connection) Exec(sql string) error {
	_, _, err := c.Run(sql, "Null", nil)
	return err
}

// Run runs one or more statements and returns the whole result of the last, which
// the library keeps in memory without a limit, and its figures. format is used
// where the text has no FORMAT of its own.
func (c *Connection) Run(sql, format string, params []Param) (result []byte, stats Stats, err error) {
	r := c.call(c.lib.query, sql, format, params)
	if r == 0 {
		return nil, stats, c.lib.failure(r)
	}
	defer c.lib.destroyResult(r)
	stats.add(c.lib, r)
	if err := c.lib.failure(r); err != nil {
		return nil, stats, err
	}
	if n := c.lib.resultLength(r); n > 0 {
		result = bytes.Clone(unsafe.Slice((*byte)(c.lib.resultBuffer(r)), n))
	}
	return result, stats, nil
}

// Stats are the figures of a query, as far as it has run.
type Stats struct {
	Rows                uint64 // rows of the result
	ReadRows, ReadBytes uint64 // Rows and bytes read from tables.
	WrittenRows         uint64 // rows written to tables
}

func (s *Stats) add(lib *Library, result uintptr) {
	s.Rows += lib.resultRowsRead(result)
	s.ReadRows += lib.resultRowsStored(result)
	s.ReadBytes += lib.resultBytesStored(result)
	s.WrittenRows += lib.resultRowsWritten(result)
}

// call hands a statement with its parameters to one of the library's functions.
func (c *Connection) call(fn queryFunc, sql, format string, params []Param) uintptr {
	b, f := []byte(sql), []byte(format)
	var names, values []*byte
	var nameLens, valueLens []uintptr
	for _, p := range params {
		n, v := []byte(p.Name), []byte(p.Value)
		names, values = append(names, bytesPointer(n)), append(values, bytesPointer(v))
		nameLens, valueLens = append(nameLens, uintptr(len(n))), append(valueLens, uintptr(len(v)))
	}
	r := fn(c.handle(), bytesPointer(b), uintptr(len(b)), bytesPointer(f), uintptr(len(f)),
		unsafe.Pointer(unsafe.SliceData(names)), unsafe.Pointer(unsafe.SliceData(nameLens)),
		unsafe.Pointer(unsafe.SliceData(values)), unsafe.Pointer(unsafe.SliceData(valueLens)), uintptr(len(params)))
	runtime.KeepAlive(names)
	runtime.KeepAlive(nameLens)
	runtime.KeepAlive(values)
	runtime.KeepAlive(valueLens)
	return r
}

// failure returns the exception that a result carries.
func (l *Library) failure(result uintptr) error {
	if result == 0 {
		return &Exception{Code: CodeUnknown, Message: "the ClickHouse engine returned nothing"}
	}
	if p := l.resultError(result); p != nil && *p != 0 {
		return parseException(goString(p))
	}
	return nil
}

// Stream is a query whose result is fetched piece by piece.
type Stream struct {
	conn  *Connection
	query uintptr // the running query; 0 where the result came whole
	chunk uintptr // the piece that Next returned
	ended bool
	// fetched says that a piece has come. An empty result in a format with a
	// header is one piece, after which the library knows of no query any more.
	fetched bool
	stats   Stats
}

// Stats are the figures of the pieces that have come.
func (s *Stream) Stats() Stats { return s.stats }

// notStreamable begins the library's refusal, before running it, to stream
// anything but a SELECT.
const notStreamable = "Streaming query is not supported"

// streamOver is what the library says to a fetch after the last piece.
const streamOver = "No active streaming query"

// Stream starts a query. format is used where the text has no FORMAT of its own.
func (c *Connection) Stream(sql, format string, params []Param) (*Stream, error) {
	r := c.call(c.lib.streamQuery, sql, format, params)
	s := &Stream{conn: c, query: r}
	err := c.lib.failure(r)
	if e, ok := err.(*Exception); ok && e.Code == CodeBadArguments && strings.HasPrefix(e.Message, notStreamable) {
		c.lib.destroyResult(r)
		r = c.call(c.lib.query, sql, format, params)
		s.query, s.chunk = 0, r
		err = c.lib.failure(r)
	}
	if err != nil {
		if r != 0 {
			c.lib.destroyResult(r)
		}
		return nil, err
	}
	return s, nil
}

// Next returns the next piece of the result, in the library's memory and valid
// until the following call, or io.EOF.
func (s *Stream) Next() ([]byte, error) {
	lib := s.conn.lib
	switch {
	case s.ended:
		return nil, io.EOF
	case s.query == 0: // the whole result
		s.ended = true
	default:
		s.release()
		s.chunk = lib.streamFetch(s.conn.handle(), s.query)
		if err := lib.failure(s.chunk); err != nil {
			s.ended = true
			if s.fetched && strings.Contains(err.Error(), streamOver) {
				return nil, io.EOF
			}
			return nil, err
		}
		s.fetched = true
	}
	s.stats.add(lib, s.chunk)
	n := lib.resultLength(s.chunk)
	if n == 0 {
		s.ended = true
		return nil, io.EOF
	}
	return unsafe.Slice((*byte)(lib.resultBuffer(s.chunk)), n), nil
}

func (s *Stream) release() {
	if s.chunk != 0 {
		s.conn.lib.destroyResult(s.chunk)
		s.chunk = 0
	}
}

// Close ends the query, cancelling what has not been fetched.
func (s *Stream) Close() {
	s.release()
	if s.query == 0 {
		return
	}
	if !s.ended {
		s.ended = true
		s.conn.lib.streamCancel(s.conn.handle(), s.query)
	}
	s.conn.lib.destroyResult(s.query)
	s.query = 0
}
