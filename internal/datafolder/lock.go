// Package datafolder guards the folders that embedded servers keep their data in:
// one process at a time, and others learn which. It imports nothing of Cordon.
package datafolder

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Lock marks a data folder as in use by this process. It goes with the process,
// however it ends; the file stays.
type Lock struct {
	f  *os.File
	by string // the command that holds it
}

// InUseError says that another process runs the server of a data folder.
type InUseError struct {
	Dir  string
	PID  int    // 0 if unknown
	Addr string // The address that it answers on; empty for none, or not yet.
	By   string // the command that runs there for a while, empty for a process that stays
}

func (e *InUseError) Error() string {
	who := "another process"
	if e.PID != 0 {
		who = "process " + strconv.Itoa(e.PID)
	}
	if e.By != "" {
		who += " (" + e.By + ")"
	}
	if e.Addr != "" {
		who += ", which answers on " + e.Addr
	}
	return fmt.Sprintf("data folder %s is in use by %s; stop it, or choose another data folder", e.Dir, who)
}

// Acquire takes the lock of a folder, a file of the given name in it. by names a
// command that holds it for a while, and is empty for a process that stays. Where
// another process has the lock, the error is an [InUseError].
func Acquire(dir, name, by string) (*Lock, error) {
	path := filepath.Join(dir, name)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock of data folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock of data folder, %s: %w", path, err)
		}
		return nil, readHolder(f, dir)
	}
	l := &Lock{f, by}
	if err := l.Describe(""); err != nil {
		l.Release()
		return nil, err
	}
	return l, nil
}

// Describe notes the address that the server of the folder answers on. The file
// has process id, address and command, a line each.
func (l *Lock) Describe(addr string) error {
	text := fmt.Sprintf("%d\n%s\n%s\n", os.Getpid(), addr, l.by)
	if err := l.f.Truncate(0); err != nil {
		return fmt.Errorf("lock of data folder: %w", err)
	}
	if _, err := l.f.WriteAt([]byte(text), 0); err != nil {
		return fmt.Errorf("lock of data folder: %w", err)
	}
	return nil
}

// Release gives the folder to others.
func (l *Lock) Release() { l.f.Close() }

// HeldBy tells which process holds the lock of a folder; nil means that none does.
func HeldBy(dir, name string) (*InUseError, error) {
	f, err := os.Open(filepath.Join(dir, name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err == nil {
		return nil, nil // closing the file gives our own lock up
	}
	return readHolder(f, dir), nil
}

// readHolder reads what Describe wrote; what cannot be read is left empty.
func readHolder(r io.Reader, dir string) *InUseError {
	b, err := io.ReadAll(io.LimitReader(r, 1<<10))
	if err != nil {
		return &InUseError{Dir: dir}
	}
	lines := append(strings.Split(string(b), "\n"), "", "")
	pid, _ := strconv.Atoi(lines[0])
	return &InUseError{Dir: dir, PID: pid, Addr: lines[1], By: lines[2]}
}
