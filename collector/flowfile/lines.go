package flowfile

import (
	"bytes"
	"errors"
	"io"
)

const (
	maxLine   = 1 << 20  // a longer line is a bad row
	maxQuoted = 64 << 10 // a row with line breaks in quotes may be so long
)

var (
	errLongLine = errors.New("the line is longer than 1 MiB")
	errQuote    = errors.New(`a field begins with a quote (") that is not closed properly; within quotes, write a quote twice`)
)

// byteOrderMark may begin a file; what follows may be quoted.
var byteOrderMark = []byte("\ufeff")

// lines splits a file into rows and rows into fields, without copying them.
type lines struct {
	r      io.Reader
	buf    []byte
	lo, hi int // buf[lo:hi] is not consumed yet
	err    error

	line   int // number of the line on which the current row begins
	extra  int // line breaks within the current row
	second int // offset of the line after the first line of the row

	fields [][]byte
}

func newLines(r io.Reader) *lines {
	return &lines{r: r, buf: make([]byte, 256<<10)}
}

// next gives the fields of the next row that is not blank; they are valid until
// the next call. errLongLine and errQuote concern one row only.
func (l *lines) next() ([][]byte, error) {
	for {
		l.line += 1 + l.extra
		l.extra = 0
		n, err := l.lineEnd()
		if err != nil {
			return nil, err
		}
		row := l.buf[l.lo : l.lo+n]
		if l.line == 1 && bytes.HasPrefix(row, byteOrderMark) {
			row, n = row[len(byteOrderMark):], n-len(byteOrderMark)
			l.lo += len(byteOrderMark)
		}
		if bytes.IndexByte(row, '"') >= 0 {
			return l.quoted(n)
		}
		l.lo = min(l.lo+n+1, l.hi)
		if row = bytes.TrimSuffix(row, []byte{'\r'}); len(bytes.TrimSpace(row)) == 0 {
			continue
		}
		l.fields = l.fields[:0]
		for {
			i := bytes.IndexByte(row, ',')
			if i < 0 {
				l.fields = append(l.fields, trim(row))
				return l.fields, nil
			}
			l.fields = append(l.fields, trim(row[:i]))
			row = row[i+1:]
		}
	}
}

// lineEnd gives the length of the line that begins at l.lo, line break not
// included. It returns io.EOF at the end of the file.
func (l *lines) lineEnd() (int, error) {
	for seen := 0; ; {
		if i := bytes.IndexByte(l.buf[l.lo+seen:l.hi], '\n'); i >= 0 {
			return seen + i, nil
		}
		seen = l.hi - l.lo
		switch {
		case l.err == io.EOF && seen > 0:
			return seen, nil
		case l.err != nil:
			return 0, l.err
		case seen >= maxLine:
			return 0, l.skipLine()
		}
		l.fill()
	}
}

// fill reads more behind what is not consumed.
func (l *lines) fill() {
	if l.lo > 0 {
		l.hi = copy(l.buf, l.buf[l.lo:l.hi])
		l.lo = 0
	}
	if l.hi == len(l.buf) {
		l.buf = append(l.buf, make([]byte, len(l.buf))...)
	}
	for range 100 {
		var n int
		n, l.err = l.r.Read(l.buf[l.hi:])
		l.hi += n
		if n > 0 || l.err != nil {
			return
		}
	}
	l.err = io.ErrNoProgress
}

func (l *lines) skipLine() error {
	for {
		if i := bytes.IndexByte(l.buf[l.lo:l.hi], '\n'); i >= 0 {
			l.lo += i + 1
			return errLongLine
		}
		if l.lo = l.hi; l.err != nil {
			return errLongLine
		}
		l.fill()
	}
}

// quoted splits a row with a quote somewhere, whose first line is n bytes long.
func (l *lines) quoted(n int) ([][]byte, error) {
	most := max(n+1, maxQuoted)
	for {
		have := l.hi - l.lo
		end, ok, err := l.splitQuoted(l.buf[l.lo:l.lo+min(have, most)], l.err != nil && have <= most)
		if ok {
			l.extra = bytes.Count(l.buf[l.lo:l.lo+end], []byte{'\n'})
			l.second = min(l.lo+n+1, l.hi)
			l.lo = min(l.lo+end+1, l.hi)
			return l.fields, nil
		}
		if err == nil && l.err == nil && have < most {
			l.fill()
			continue
		}
		l.lo = min(l.lo+n+1, l.hi)
		return nil, errQuote
	}
}

// firstLineOnly gives back all but the first line of the current row. A quote
// that nobody meant can take in the lines after it, and they must not be lost.
func (l *lines) firstLineOnly() {
	if l.extra > 0 {
		l.lo, l.extra = l.second, 0
	}
}

// splitQuoted splits the row at the beginning of b into l.fields. It gives the
// length of the row and whether its end was found; otherwise, without an error,
// more bytes are needed. With final there are none.
func (l *lines) splitQuoted(b []byte, final bool) (end int, ok bool, err error) {
	l.fields = l.fields[:0]
	for i := 0; ; i++ {
		for i < len(b) && b[i] == ' ' {
			i++
		}
		var field []byte
		if i < len(b) && b[i] == '"' {
			n, closed := quoteEnd(b[i:])
			if !closed {
				return 0, false, nil
			}
			field = bytes.ReplaceAll(b[i+1:i+n-1], []byte(`""`), []byte{'"'})
			for i += n; i < len(b) && (b[i] == ' ' || b[i] == '\r'); i++ {
			}
			switch {
			case i == len(b) && !final:
				return 0, false, nil
			case i < len(b) && b[i] != ',' && b[i] != '\n':
				return 0, false, errQuote
			}
		} else {
			n := bytes.IndexAny(b[i:], ",\n")
			if n < 0 {
				if !final {
					return 0, false, nil
				}
				n = len(b) - i
			}
			field = bytes.TrimSuffix(b[i:i+n], []byte{'\r'})
			i += n
		}
		l.fields = append(l.fields, trim(field))
		if i == len(b) || b[i] == '\n' {
			return i, true, nil
		}
	}
}

// quoteEnd gives the length of the quoted text at the beginning of b, with its
// quotes, and whether it is closed.
func quoteEnd(b []byte) (n int, closed bool) {
	for n = 1; n < len(b); {
		i := bytes.IndexByte(b[n:], '"')
		if i < 0 {
			break
		}
		if n += i + 1; n == len(b) || b[n] != '"' {
			return n, true
		}
		n++
	}
	return len(b), false
}

func trim(b []byte) []byte {
	if len(b) > 0 && (b[0] <= ' ' || b[len(b)-1] <= ' ') {
		return bytes.TrimSpace(b)
	}
	return b
}
