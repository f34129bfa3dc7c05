package flowfile

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
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
	return OpenWith(name, Options{Untimed: untimed})
}

// Options are what [OpenWith] does otherwise than [Open].
type Options struct {
	// Untimed is the time that records without one get; zero means now.
	Untimed time.Time
	// Digest asks for [Reader.Digest].
	Digest bool
	// Content is read in place of the file, whose name then only stands in
	// messages; nil for none. It stays open.
	Content *io.SectionReader
	// Context ends reads that wait for someone to write; nil for never.
	Context context.Context
}

// OpenWith opens a flow file; "-" means standard input.
func OpenWith(name string, o Options) (Reader, error) {
	now := time.Now()
	if o.Untimed.IsZero() {
		o.Untimed = now
	}
	s := &source{name: name, now: now, untimed: o.Untimed}
	if o.Digest {
		s.digest = sha256.New()
	}
	if o.Content != nil {
		s.size = o.Content.Size()
		return s.open(o.Content)
	}
	if o.Context == nil {
		o.Context = context.Background()
	}
	f, err := OpenUntil(o.Context, name)
	if err != nil {
		return nil, err
	}
	size, waits := int64(0), true
	if name == "-" {
		s.name = StandardInput
	} else {
		info, err := f.Stat()
		switch {
		case err != nil:
			f.Close()
			return nil, err
		case info.IsDir():
			f.Close()
			return nil, fmt.Errorf("%s: is a folder; name a file in it", name)
		case info.Mode().IsRegular():
			size, waits = info.Size(), false
		}
	}
	s.file, s.size = f, size
	var content io.Reader = f
	if waits {
		content = ReadUntil(o.Context, f)
	}
	r, err := s.open(content)
	if err != nil {
		f.Close()
		return nil, err
	}
	return r, nil
}

// StandardInput is what messages call the file of the name "-".
const StandardInput = "standard input"

// source is what every kind of reader stands on.
type source struct {
	name    string
	now     time.Time // time of import
	untimed time.Time // time of records that have none
	file    io.Closer
	zstd    *zstd.Decoder
	count   *counter
	size    int64
	digest  hash.Hash // digest of the decompressed contents; nil unless asked for
	notes   []string
}

func (s *source) Notes() []string              { return s.notes }
func (s *source) Progress() (done, size int64) { return s.count.n, s.size }

// Digest implements [Reader].
func (s *source) Digest() string {
	if s.digest == nil {
		return ""
	}
	return hex.EncodeToString(s.digest.Sum(nil))
}

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

// open makes the reader that fits the first bytes of file.
func (s *source) open(file io.Reader) (Reader, error) {
	name := s.name
	s.count = &counter{r: file}
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
			return nil, errors.Join(fmt.Errorf("%s: decompress: %w", name, cutShort(err)), s.stop())
		}
	}
	if s.digest != nil {
		b = bufio.NewReaderSize(io.TeeReader(b, s.digest), 64<<10)
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
	if err != nil && !errors.Is(err, io.EOF) && len(head) == 0 {
		return nil, err
	}
	return head, nil // the error comes again behind these bytes
}

// cutShort says in words that compressed data has no end.
func cutShort(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the file cannot be read further: its compressed data ends in the middle; is it a part of a file? (%w)", err)
	}
	return fmt.Errorf("the file cannot be read further: %w", err)
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
		b, ahead := lookAhead(b)
		r := newIPFIX(s, b)
		r.decoder.Foretell(scout(newIPFIX(scouted(s), ahead)).decoder)
		return r, nil
	case "pcap", "pcapng":
		b, ahead := lookAhead(b)
		r, err := newCapture(s, b, kind)
		if err != nil {
			return nil, err
		}
		if c, err := newCapture(scouted(s), ahead, kind); err == nil {
			scout(c)
			r.decoder.Foretell(c.decoder)
		}
		return r, nil
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
