package clickhousehttp

import (
	"fmt"
	"io"
	"os"
)

// spoolMemory is how much of a body is kept in memory before it moves to a
// file: some batches of the usual 1 MiB, but not a bulk load.
const spoolMemory = 64 << 20

// spool holds a body whose length is not known before its end: in memory at
// first, in an unnamed file of dir when it is long. The engine reads it by path.
type spool struct {
	dir    string
	f      *os.File
	size   int64
	onDisk bool
}

func newSpool(dir string) (*spool, error) {
	f, err := memoryFile(dir)
	if err != nil {
		return nil, fmt.Errorf("spooling a body: %w", err)
	}
	return &spool{dir: dir, f: f}, nil
}

func (s *spool) Write(p []byte) (int, error) {
	if !s.onDisk && s.size+int64(len(p)) > spoolMemory {
		if err := s.toDisk(); err != nil {
			return 0, fmt.Errorf("spooling a body of over %d bytes to %s: %w", s.size, s.dir, err)
		}
	}
	n, err := s.f.Write(p)
	s.size += int64(n)
	return n, err
}

func (s *spool) toDisk() error {
	disk, err := unnamedFile(s.dir)
	if err != nil {
		return err
	}
	if _, err := io.Copy(disk, io.NewSectionReader(s.f, 0, s.size)); err != nil {
		disk.Close()
		return err
	}
	s.f.Close()
	s.f, s.onDisk = disk, true
	return nil
}

// path names the spool for a reader inside this process.
func (s *spool) path() string { return fmt.Sprintf("/dev/fd/%d", s.f.Fd()) }

// reader reads the whole spool from its start.
func (s *spool) reader() io.Reader { return io.NewSectionReader(s.f, 0, s.size) }

func (s *spool) close() { s.f.Close() }

// unnamedFile makes a file that disappears with its descriptor.
func unnamedFile(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "spool-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
