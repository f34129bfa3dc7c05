package collector

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"cordon/schema"
)

// errSpoolFull says that a batch does not fit under the limit of the spool.
var errSpoolFull = errors.New("spool is full")

// damagedError says that a spooled batch cannot be read back.
type damagedError struct {
	file string
	why  string
}

func (e *damagedError) Error() string {
	return fmt.Sprintf("spooled batch %s is damaged: %s (a full disk, a failing one, or another program wrote to it); "+
		"set aside, and its records are not stored", e.file, e.why)
}

// Names in a spool folder. A batch's name starts with the time it was written,
// so that names in order are batches in order.
const (
	batchSuffix   = ".batch"
	tempSuffix    = ".tmp"
	damagedSuffix = ".damaged"
	lockName      = "lock"
)

// spool keeps sealed batches in a folder, one file each: a line of JSON
// (spoolHeader), then the payload as it is. A file is written under another
// name, synced and renamed, so one with its proper name is whole; one that is
// damaged all the same is renamed to end in ".damaged". It is not safe for
// concurrent use.
type spool struct {
	dir     string
	limit   int64
	lock    *os.File
	entries []spoolEntry // oldest first
	taken   int          // entries taken, and neither put back nor removed yet
	bytes   int64        // size of the entries and of those taken
	last    int64        // time in the newest name, to keep names in order
}

type spoolEntry struct {
	name string
	size int64
}

type spoolHeader struct {
	ID     string `json:"id"`
	Table  string `json:"table"`
	Rows   int    `json:"rows"`
	Size   int    `json:"size"`
	CRC32C uint32 `json:"crc32c"` // sum over the fields above and the payload, see spoolSum
	Needs  int    `json:"needs,omitempty"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func spoolSum(h *spoolHeader, payload []byte) uint32 {
	b := fmt.Appendf(nil, "%s\n%s\n", h.ID, h.Table)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.Rows))
	b = binary.LittleEndian.AppendUint64(b, uint64(h.Size))
	return crc32.Update(crc32.Checksum(b, castagnoli), castagnoli, payload)
}

// openSpool opens a folder, which it makes if absent, and lists the batches
// that an earlier process has left there.
func openSpool(dir string, limit int64) (*spool, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("spool %s: another collector uses it; give each its own data folder (%w)", dir, err)
	}
	s := &spool{dir: dir, limit: limit, lock: lock}
	files, err := os.ReadDir(dir)
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("spool: %w", err)
	}
	for _, f := range files {
		switch {
		case strings.HasSuffix(f.Name(), tempSuffix): // never finished: its batch was still in memory
			if err := os.Remove(filepath.Join(dir, f.Name())); err != nil {
				lock.Close()
				return nil, fmt.Errorf("spool: %w", err)
			}
		case strings.HasSuffix(f.Name(), batchSuffix):
			info, err := f.Info()
			if err != nil {
				lock.Close()
				return nil, fmt.Errorf("spool: %w", err)
			}
			s.entries = append(s.entries, spoolEntry{name: f.Name(), size: info.Size()})
			s.bytes += info.Size()
		}
	}
	slices.SortFunc(s.entries, func(a, b spoolEntry) int { return strings.Compare(a.name, b.name) })
	return s, nil
}

func (s *spool) path(name string) string { return filepath.Join(s.dir, name) }

// write keeps a batch. When it returns nil the batch is on the disk.
func (s *spool) write(b *schema.Sealed) error {
	h := spoolHeader{ID: b.ID, Table: b.Table, Rows: b.Rows, Needs: b.Needs, Size: len(b.Payload)}
	h.CRC32C = spoolSum(&h, b.Payload)
	line, err := json.Marshal(&h)
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	line = append(line, '\n')
	size := int64(len(line) + len(b.Payload))
	if s.bytes+size > s.limit {
		return errSpoolFull
	}
	s.last = max(time.Now().UnixNano(), s.last+1)
	name := fmt.Sprintf("%016x%s", s.last, batchSuffix)
	if err := s.writeFile(name, line, b.Payload); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	s.entries = append(s.entries, spoolEntry{name: name, size: size})
	s.bytes += size
	return nil
}

func (s *spool) writeFile(name string, parts ...[]byte) (err error) {
	temp := s.path(name + tempSuffix)
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temp))
		}
	}()
	for _, p := range parts {
		if _, err := f.Write(p); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(temp, s.path(name)); err != nil {
		return err
	}
	dir, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// take removes the oldest batch from the list; its file stays until remove.
func (s *spool) take() (spoolEntry, bool) {
	if len(s.entries) == 0 {
		return spoolEntry{}, false
	}
	e := s.entries[0]
	s.entries = slices.Delete(s.entries, 0, 1)
	s.taken++
	return e, true
}

// putBack returns a batch that was taken.
func (s *spool) putBack(e spoolEntry) {
	i, _ := slices.BinarySearchFunc(s.entries, e.name, func(a spoolEntry, name string) int { return strings.Compare(a.name, name) })
	s.entries = slices.Insert(s.entries, i, e)
	s.taken--
}

// len is the number of batches in the spool, those taken included.
func (s *spool) len() int { return len(s.entries) + s.taken }

// remove forgets a batch that was taken, and its file.
func (s *spool) remove(e spoolEntry) error {
	s.bytes -= e.size
	s.taken--
	return os.Remove(s.path(e.name))
}

// setAside keeps the file of a damaged batch that was taken, under a name
// that is not read again.
func (s *spool) setAside(e spoolEntry) error {
	s.bytes -= e.size
	s.taken--
	return os.Rename(s.path(e.name), s.path(e.name+damagedSuffix))
}

// readSpooled reads a file of a spool; a *damagedError says that it is not what
// was written. It may run beside the methods of the spool.
func readSpooled(path string) (*schema.Sealed, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	return parseSpooled(path, b)
}

func parseSpooled(path string, b []byte) (*schema.Sealed, error) {
	damaged := func(format string, args ...any) error {
		return &damagedError{file: path, why: fmt.Sprintf(format, args...)}
	}
	line, payload, ok := bytes.Cut(b, []byte{'\n'})
	if !ok {
		return nil, damaged("it has no header line")
	}
	var h spoolHeader
	if err := json.Unmarshal(line, &h); err != nil {
		return nil, damaged("header: %v", err)
	}
	if len(payload) != h.Size {
		return nil, damaged("%d bytes of payload, the header says %d", len(payload), h.Size)
	}
	if spoolSum(&h, payload) != h.CRC32C {
		return nil, damaged("its checksum does not match")
	}
	if h.ID == "" || h.Rows < 0 || h.Rows > schema.MaxRows {
		return nil, damaged("id %q, %d rows", h.ID, h.Rows)
	}
	return &schema.Sealed{ID: h.ID, Table: h.Table, Rows: h.Rows, Needs: h.Needs, Payload: payload}, nil
}

// close lets another process use the folder.
func (s *spool) close() error { return s.lock.Close() }
