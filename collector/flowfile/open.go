package flowfile

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/klauspost/compress/zstd"
)

// maxWindow bounds the memory that a Zstandard file can ask for.
const maxWindow = 128 << 20

// Open opens a flow file; "-" means standard input. The time of import, which
// records without a time get, is the time of this call.
func Open(name string) (Reader, error) { return OpenAt(name, time.Time{}) }

// OpenAt is [Open] with another time, unless it is zero, for records that have
// none.
func OpenAt(name string, untimed time.Time) (Reader, error) {
	f, size := os.Stdin, int64(0)
	if name == "-" {
		name = "standard input"
	} else {
		var err error
		if f, err = os.Open(name); err != nil {
			return nil, err
		}
		info, err := f.Stat()
		switch {
		case err != nil:
			f.Close()
			return nil, err
		case info.IsDir():
			f.Close()
			return nil, fmt.Errorf("%s: is a folder; name a file in it", name)
		case info.Mode().IsRegular():
			size = info.Size()
		}
	}
	now := time.Now()
	if untimed.IsZero() {
		untimed = now
	}
	r, err := newReader(name, f, size, now, untimed)
	if err != nil {
		f.Close()
		return nil, err
	}
	return r, nil
}

// source is what every kind of reader stands on.
type source struct {
	name    string
	now     time.Time // time of import
	untimed time.Time // time of records that have none
	file    io.Closer
	zstd    *zstd.Decoder
	count   *counter
	size    int64
	notes   []string
}

func (s *source) Notes() []string              { return s.notes }
func (s *source) Progress() (done, size int64) { return s.count.n, s.size }

func (s *source) Close() error {
	if s.zstd != nil {
		s.zstd.Close()
	}
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

func (s *source) note(format string, args ...any) {
	s.notes = append(s.notes, s.name+": "+fmt.Sprintf(format, args...))
}

// newReader makes the reader that fits the first bytes of file.
func newReader(name string, file io.Reader, size int64, now, untimed time.Time) (Reader, error) {
	s := &source{name: name, now: now, untimed: untimed, count: &counter{r: file}, size: size}
	if c, ok := file.(io.Closer); ok {
		s.file = c
	}
	b := bufio.NewReaderSize(s.count, 64<<10)
	head, err := peek(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var plain io.Reader
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		plain, err = gzip.NewReader(b)
	case isZstd(head):
		s.zstd, err = zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		plain = s.zstd
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if plain != nil {
		b = bufio.NewReaderSize(plain, 64<<10)
		if head, err = peek(b); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: decompress: %w", name, err), s.stop())
		}
	}
	r, err := s.byContent(b, head)
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return r, nil
}

// stop frees what newReader itself opened.
func (s *source) stop() error {
	if s.zstd != nil {
		s.zstd.Close()
	}
	return nil
}

// peek gives the first bytes of a file, fewer than asked for if it is shorter.
func peek(b *bufio.Reader) ([]byte, error) {
	head, err := b.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return head, nil
}

// isZstd tells a Zstandard frame or a skippable frame before one (RFC 8878).
func isZstd(head []byte) bool {
	if len(head) < 4 {
		return false
	}
	magic := binary.LittleEndian.Uint32(head)
	return magic == 0xfd2fb528 || magic&^0xf == 0x184d2a50
}

func (s *source) byContent(b *bufio.Reader, head []byte) (Reader, error) {
	switch kind := sniff(head); kind {
	case "csv":
		return newCSV(s, b)
	case "ipfix":
		return newIPFIX(s, b), nil
	case "pcap", "pcapng":
		return newCapture(s, b, kind)
	case "":
		return nil, fmt.Errorf("%s: the file is empty", s.name)
	default:
		return nil, fmt.Errorf("%s: %s; give a flow CSV file, an IPFIX file (RFC 5655), or a capture of IPFIX", s.name, kind)
	}
}

// sniff names the format of a file: "csv", "ipfix", "pcap", "pcapng", "" if it is
// empty, or else says what is the matter with it.
func sniff(head []byte) string {
	if len(head) == 0 {
		return ""
	}
	if len(head) >= 4 {
		switch binary.BigEndian.Uint32(head) {
		case 0xa1b2c3d4, 0xd4c3b2a1, 0xa1b23c4d, 0x4d3cb2a1:
			return "pcap"
		case 0x0a0d0d0a:
			return "pcapng"
		}
		switch v, n := binary.BigEndian.Uint16(head), int(binary.BigEndian.Uint16(head[2:])); {
		case v == 10 && n >= 16:
			return "ipfix"
		case v == 9 || v == 5:
			return fmt.Sprintf("this looks like NetFlow version %d, which is not read", v)
		case v == 0xa50c || v == 0x0ca5:
			return "this is an nfdump file; write it as CSV first (nfdump -r FILE -o csv) and name its columns as the flow CSV has them"
		case v == 0xfeff || v == 0xfffe:
			return "this text is UTF-16; save it as UTF-8"
		}
	}
	if line, _, _ := bytes.Cut(head, []byte{'\n'}); bytes.IndexByte(line, 0) >= 0 {
		return "this is neither text nor a format that is known"
	}
	return "csv"
}
