package flowfile

import (
	"fmt"
	"io"

	"cordon/schema"
)

// Reader reads the flow records of one file. It is not safe for concurrent use.
type Reader interface {
	// Next fills rec with the next record. Its Direction and Basis are set only
	// where the file states them. The error is io.EOF at the end, a [*RowError] for
	// one bad row, after which Next goes on with the next row, and any other for
	// a file that cannot be read further.
	Next(rec *schema.Record) error
	// Notes tells what a person should know about the file although it is no
	// error, one sentence each. They are complete once Next returned io.EOF.
	Notes() []string
	// Progress is the number of bytes read of the file as it lies on disk, and
	// its size, which is 0 where it is not known.
	Progress() (done, size int64)
	// Digest is the SHA-256 of the decompressed contents in hexadecimal digits,
	// complete once Next returned io.EOF. It is empty unless [Options] ask for it.
	Digest() string
	Close() error
}

// RowError is one bad row of a flow CSV file. The rows after it can be read.
type RowError struct {
	File   string
	Line   int    // the first line of the file is 1
	Column string // empty if the row as a whole is at fault
	Value  string // value of that column, perhaps shortened
	Want   string // describes what is allowed; of a row as a whole, what is wrong
}

func (e *RowError) Error() string {
	if e.Column == "" {
		return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Want)
	}
	return fmt.Sprintf("%s:%d: column %s: %s is not %s", e.File, e.Line, e.Column, e.Value, e.Want)
}

// counter counts the bytes that pass.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
