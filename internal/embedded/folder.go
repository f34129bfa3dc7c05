package embedded

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// Files of Cordon's in the ClickHouse data folder, beside the engine's own
// subfolder data.
const (
	clickhouseLockFile = "clickhouse.lock" // who runs the engine: process id, HTTP address
	clickhouseKeyFile  = "clickhouse.key"  // the password for full access, in hex
)

// insideUser is the name that goes with the key.
const insideUser = "cordon"

// ReaderUser, with the same key, is for commands that people run: it may do what
// anyone from outside may, and dashboards do not keep it waiting.
const ReaderUser = "cordon_reader"

// folderLock marks a data folder as in use by this process. The lock goes with
// the process, however it ends; the file stays.
type folderLock struct {
	f  *os.File
	by string // the command that holds it
}

// InUseError says that another process runs the server of a data folder.
type InUseError struct {
	Dir  string
	PID  int    // 0 if unknown
	Addr string // that it answers on; empty for none, or not yet
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

// lockFolder takes the lock, or says which process holds it.
func lockFolder(dir, name, by string) (*folderLock, error) {
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
		pid, addr, by := readLock(f)
		return nil, &InUseError{Dir: dir, PID: pid, Addr: addr, By: by}
	}
	l := &folderLock{f, by}
	if err := l.describe(""); err != nil {
		l.release()
		return nil, err
	}
	return l, nil
}

// describe writes who holds the lock: process id, address and command, a line each.
func (l *folderLock) describe(addr string) error {
	text := fmt.Sprintf("%d\n%s\n%s\n", os.Getpid(), addr, l.by)
	if err := l.f.Truncate(0); err != nil {
		return fmt.Errorf("lock of data folder: %w", err)
	}
	if _, err := l.f.WriteAt([]byte(text), 0); err != nil {
		return fmt.Errorf("lock of data folder: %w", err)
	}
	return nil
}

func (l *folderLock) release() { l.f.Close() }

func readLock(r io.Reader) (pid int, addr, by string) {
	b, err := io.ReadAll(io.LimitReader(r, 1<<10))
	if err != nil {
		return 0, "", ""
	}
	lines := append(strings.Split(string(b), "\n"), "", "")
	pid, _ = strconv.Atoi(lines[0])
	return pid, lines[1], lines[2]
}

func trimLine(s string) string { return strings.TrimRight(s, "\n") }

// readOrMakeKey returns the key of the data folder, making it the first time.
func readOrMakeKey(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err == nil {
		if key := strings.TrimSpace(string(b)); key != "" {
			return key, nil
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("ClickHouse key: %w", err)
	}
	random := make([]byte, 24)
	rand.Read(random) // never fails
	key := hex.EncodeToString(random)
	if err := writeFile(path, key+"\n"); err != nil {
		return "", fmt.Errorf("ClickHouse key: %w", err)
	}
	return key, nil
}

// RunningClickHouse looks for the process that runs the engine on a data
// folder. Where there is one that listens, it returns its id and the settings
// with which clickhouse-go reaches it with full access; where there is none, nil.
func RunningClickHouse(dir string) (pid int, _ *clickhouse.Options, _ error) {
	f, err := os.Open(filepath.Join(dir, clickhouseLockFile))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil, nil
	}
	if err != nil {
		return 0, nil, err
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err == nil {
		return 0, nil, nil // nobody holds it; closing the file gives our own up
	}
	pid, addr, _ := readLock(f)
	if addr == "" {
		return pid, nil, nil
	}
	key, err := os.ReadFile(filepath.Join(dir, clickhouseKeyFile))
	if err != nil {
		return pid, nil, fmt.Errorf("process %d runs ClickHouse on %s, but its key cannot be read: %w", pid, dir, err)
	}
	return pid, &clickhouse.Options{
		Protocol: clickhouse.HTTP,
		Addr:     []string{addr},
		Auth:     clickhouse.Auth{Database: "default", Username: insideUser, Password: strings.TrimSpace(string(key))},
	}, nil
}
