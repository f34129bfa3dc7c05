package embedded

import (
	"io"
	"runtime"
	"strings"
	"unsafe"
)

// connection is one session with the engine: its own settings, roles, current
// database and temporary tables. It serves one query at a time; a caller holds
// it, locked to an OS thread, for as long as a query runs.
type connection struct {
	lib *library
	ptr unsafe.Pointer // chdb_connection *
}

// handle is what the query functions take.
func (c *connection) handle() unsafe.Pointer { return *(*unsafe.Pointer)(c.ptr) }

func (c *connection) close() {
	c.lib.closeConnection(c.ptr)
	c.ptr = nil
}

// param is one query parameter, {name:Type} in the text.
type param struct{ name, value string }

// text runs a statement whose result is short and returns it in TabSeparated.
func (c *connection) text(sql string, params ...param) (string, error) {
	s, err := c.stream(sql, "TabSeparatedRaw", params)
	if err != nil {
		return "", err
	}
	defer s.close()
	var out []byte
	for {
		chunk, err := s.next()
		if err == io.EOF {
			return string(out), nil
		}
		if err != nil {
			return "", err
		}
		out = append(out, chunk...)
	}
}

// exec runs one or more statements and drops their results.
func (c *connection) exec(sql string) error {
	r := c.call(c.lib.query, sql, "Null", nil)
	if r != 0 {
		defer c.lib.destroyResult(r)
	}
	return c.lib.failure(r)
}

// call hands a statement with its parameters to one of the library's functions.
func (c *connection) call(fn queryFunc, sql, format string, params []param) uintptr {
	b, f := []byte(sql), []byte(format)
	var names, values []*byte
	var nameLens, valueLens []uintptr
	for _, p := range params {
		n, v := []byte(p.name), []byte(p.value)
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
func (l *library) failure(result uintptr) error {
	if result == 0 {
		return &Exception{Code: codeUnknown, Message: "the ClickHouse engine returned nothing"}
	}
	if p := l.resultError(result); p != nil && *p != 0 {
		return parseException(goString(p))
	}
	return nil
}

// stream is a query whose result is fetched piece by piece.
type stream struct {
	conn  *connection
	query uintptr // the running query; 0 where the result came whole
	chunk uintptr // the piece that next returned
	ended bool
	// fetched says that a piece has come. An empty result in a format with a
	// header is one piece, after which the library knows of no query any more.
	fetched bool

	rows                uint64 // of the result so far
	readRows, readBytes uint64 // from tables
	writtenRows         uint64 // to tables
}

// notStreamable begins the library's refusal, before running it, to stream
// anything but a SELECT.
const notStreamable = "Streaming query is not supported"

// streamOver is what the library says to a fetch after the last piece.
const streamOver = "No active streaming query"

// stream starts a query. format is used where the text has no FORMAT of its own.
func (c *connection) stream(sql, format string, params []param) (*stream, error) {
	r := c.call(c.lib.streamQuery, sql, format, params)
	s := &stream{conn: c, query: r}
	err := c.lib.failure(r)
	if e, ok := err.(*Exception); ok && e.Code == codeBadArguments && strings.HasPrefix(e.Message, notStreamable) {
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

// next returns the next piece of the result, in the library's memory and valid
// until the following call, or io.EOF.
func (s *stream) next() ([]byte, error) {
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
	s.rows += lib.resultRowsRead(s.chunk)
	s.readRows += lib.resultRowsStored(s.chunk)
	s.readBytes += lib.resultBytesStored(s.chunk)
	s.writtenRows += lib.resultRowsWritten(s.chunk)
	n := lib.resultLength(s.chunk)
	if n == 0 {
		s.ended = true
		return nil, io.EOF
	}
	return unsafe.Slice((*byte)(lib.resultBuffer(s.chunk)), n), nil
}

func (s *stream) release() {
	if s.chunk != 0 {
		s.conn.lib.destroyResult(s.chunk)
		s.chunk = 0
	}
}

// close ends the query, cancelling what has not been fetched.
func (s *stream) close() {
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
