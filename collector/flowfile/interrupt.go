package flowfile

import (
	"context"
	"io"
	"os"
)

// OpenUntil opens a file, or standard input for "-". A named pipe that nobody
// writes to keeps it waiting until ctx ends.
func OpenUntil(ctx context.Context, name string) (*os.File, error) {
	if name == "-" {
		return os.Stdin, nil
	}
	if info, err := os.Stat(name); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		return os.Open(name)
	}
	type opened struct {
		f   *os.File
		err error
	}
	done := make(chan opened, 1)
	go func() {
		f, err := os.Open(name)
		done <- opened{f, err}
	}()
	select {
	case o := <-done:
		return o.f, o.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// ReadUntil reads from r until ctx ends, also where a read waits for someone to
// write, as on a pipe or terminal. Such a read goes on in the background, and
// what it reads is lost.
func ReadUntil(ctx context.Context, r io.Reader) io.Reader {
	u := &untilReader{ctx: ctx, pieces: make(chan piece)}
	go u.read(r)
	return u
}

type piece struct {
	data []byte
	err  error
}

type untilReader struct {
	ctx    context.Context
	pieces chan piece
	now    piece
}

// pieceSize is how much is read at once.
const pieceSize = 64 << 10

func (u *untilReader) read(r io.Reader) {
	for {
		data := make([]byte, pieceSize)
		n, err := r.Read(data)
		select {
		case u.pieces <- piece{data[:n], err}:
		case <-u.ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

func (u *untilReader) Read(p []byte) (int, error) {
	for len(u.now.data) == 0 {
		if u.now.err != nil {
			return 0, u.now.err
		}
		select {
		case u.now = <-u.pieces:
		case <-u.ctx.Done():
			return 0, context.Cause(u.ctx)
		}
	}
	n := copy(p, u.now.data)
	u.now.data = u.now.data[n:]
	return n, nil
}
