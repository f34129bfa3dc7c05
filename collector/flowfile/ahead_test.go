package flowfile_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cordon/collector/flowfile"
	"cordon/schema"
)

// all reads a file to its end: its records, the lines that are bad, and how the reading ended.
func all(t *testing.T, r flowfile.Reader) (records []schema.Record, bad []int, end error) {
	t.Helper()
	defer r.Close()
	for {
		var x schema.Record
		err := r.Next(&x)
		var row *flowfile.RowError
		switch {
		case err == nil:
			x.Received = 0 // the moment at which the file was opened
			records = append(records, x)
		case errors.As(err, &row):
			bad = append(bad, row.Line)
		default:
			if again := r.Next(&x); !errors.Is(again, err) {
				t.Errorf("after %v: %v", err, again)
			}
			return records, bad, err
		}
	}
}

// TestReadAhead: the same records, bad rows and notes in the same order, of files of less than a piece, of a piece and of many, with bad
// rows at the beginning, at the end, and on both sides of where a piece ends.
func TestReadAhead(t *testing.T) {
	for _, rows := range []int{0, 1, 4095, 4096, 4097, 20_000} {
		var text strings.Builder
		text.WriteString("start_time,src_ip,src_port,dst_ip,dst_port,proto,bytes,packets\n")
		for i := range rows {
			port := fmt.Sprint(i % 60000)
			if i%4096 < 2 || i == rows-1 {
				port = "none"
			}
			fmt.Fprintf(&text, "2026-11-20T10:00:00Z,10.0.0.1,%s,10.0.0.2,443,tcp,%d,1\n", port, i)
		}
		name := filepath.Join(t.TempDir(), "flows.csv")
		if err := os.WriteFile(name, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		open := func() flowfile.Reader {
			r, err := flowfile.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		wantRecords, wantBad, wantEnd := all(t, open())
		ahead := flowfile.ReadAhead(open())
		records, bad, end := all(t, ahead)
		if !slices.Equal(records, wantRecords) || !slices.Equal(bad, wantBad) || !errors.Is(end, io.EOF) || !errors.Is(wantEnd, io.EOF) {
			t.Errorf("%d rows: %d records, %d bad rows, ending with %v; want %d and %d", rows, len(records), len(bad), end, len(wantRecords), len(wantBad))
		}
		if done, size := ahead.Progress(); done != size || size != int64(text.Len()) {
			t.Errorf("%d rows: %d of %d bytes", rows, done, size)
		}
	}
}

// TestReadAheadClosed: a reader that waits in a pipe does not keep Close waiting, nor does one that is far ahead.
func TestReadAheadClosed(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	closed := make(chan struct{})
	if err := flowfile.ReadAhead(waiting{r, closed}).Close(); err != nil {
		t.Error(err)
	}
	w.Close() // ends the read
	<-closed
}

// waiting is a reader whose records come from a pipe.
type waiting struct {
	pipe   *os.File
	closed chan struct{}
}

func (w waiting) Next(*schema.Record) error {
	_, err := w.pipe.Read(make([]byte, 1))
	return err
}
func (w waiting) Notes() []string              { return nil }
func (w waiting) Progress() (done, size int64) { return 0, 0 }
func (w waiting) Digest() string               { return "" }
func (w waiting) Close() error                 { defer close(w.closed); return w.pipe.Close() }
