package ipfix

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// chunks reads a stream in pieces of the given sizes, over and over.
type chunks struct {
	data  []byte
	sizes []int
	next  int
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.data) == 0 {
		return 0, io.EOF
	}
	n := min(c.sizes[c.next%len(c.sizes)], len(p), len(c.data))
	c.next++
	copy(p, c.data[:n])
	c.data = c.data[n:]
	return n, nil
}

// framed reads all messages of a stream.
func framed(r io.Reader) (msgs [][]byte, err error) {
	for f := NewFramer(r); ; {
		msg, err := f.Next()
		if err != nil {
			return msgs, err
		}
		msgs = append(msgs, bytes.Clone(msg))
	}
}

// TestFramerChunks: however a stream is cut into reads, its messages are the
// same, and so are the records.
func TestFramerChunks(t *testing.T) {
	msgs := numbered(numberedRecords, 200, 0, 20, 0, 3, 500)
	stream := slices.Concat(msgs...)
	_, _, want := receive(t, Source{Transport: TCP}, msgs...)
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.IntRange(0, 5000), 1, 20).Draw(t, "sizes")
		sizes = append(sizes, 1+rapid.IntRange(0, 3000).Draw(t, "last"))
		got, err := framed(&chunks{data: stream, sizes: sizes})
		if err != io.EOF {
			t.Fatal(err)
		}
		if !slices.EqualFunc(got, msgs, bytes.Equal) {
			t.Fatalf("%d messages of %d, or different ones", len(got), len(msgs))
		}
	})
	got, err := framed(iotest.OneByteReader(bytes.NewReader(stream)))
	if err != io.EOF {
		t.Fatal(err)
	}
	if _, _, recs := receive(t, Source{Transport: TCP}, got...); !slices.Equal(recs, want) {
		t.Error("other records")
	}
}

func TestFramerEnds(t *testing.T) {
	w := newWriter(7, testExport)
	msg := w.message(w.template(256, pair), set(256, ab))
	largest := w.message(make([]byte, 0xffff-messageHeader))
	broken := errors.New("reset by peer")
	for _, c := range []struct {
		name string
		r    io.Reader
		n    int
		want error
	}{
		{"empty", bytes.NewReader(nil), 0, io.EOF},
		{"whole", bytes.NewReader(cat(msg, largest, msg)), 3, io.EOF},
		{"header cut", bytes.NewReader(cat(msg, msg[:7])), 1, io.ErrUnexpectedEOF},
		{"message cut", bytes.NewReader(cat(msg, msg[:20])), 1, io.ErrUnexpectedEOF},
		{"connection broken", io.MultiReader(bytes.NewReader(msg), iotest.ErrReader(broken)), 1, broken},
		{"data with the error", iotest.DataErrReader(bytes.NewReader(cat(msg, msg))), 2, io.EOF},
		{"reader that is stuck", &chunks{data: msg, sizes: []int{0}}, 0, io.ErrNoProgress},
	} {
		t.Run(c.name, func(t *testing.T) {
			msgs, err := framed(c.r)
			if len(msgs) != c.n || !errors.Is(err, c.want) {
				t.Errorf("%d messages, %v; want %d, %v", len(msgs), err, c.n, c.want)
			}
		})
	}
}

// TestFramerOutOfSync: a stream that is no IPFIX is given up, at once and for
// good.
func TestFramerOutOfSync(t *testing.T) {
	w := newWriter(7, testExport)
	msg := w.message(set(256, ab))
	for _, bad := range [][]byte{patch(msg, 0, 9), patch(msg, 2, 15), []byte("GET / HTTP/1.1\r\n\r\n")} {
		f := NewFramer(bytes.NewReader(cat(msg, bad, msg)))
		if _, err := f.Next(); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			_, err := f.Next()
			var e *Error
			if !errors.As(err, &e) || e.Reason != ReasonStream {
				t.Errorf("%v", err)
			}
		}
		if f.offset != int64(len(msg)) {
			t.Errorf("stopped at %d", f.offset)
		}
	}
}
