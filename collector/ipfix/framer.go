package ipfix

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Framer cuts a byte stream (TCP, TLS, or a file as of RFC 5655) into
// messages. It reads ahead, so that one read may bring several messages, or
// part of one.
type Framer struct {
	r          io.Reader
	buf        []byte
	start, end int // the unread bytes in buf
	offset     int64
	err        error
}

// NewFramer makes a Framer that reads from r.
func NewFramer(r io.Reader) *Framer {
	// A message has at most 64 KiB; twice that leaves room to read ahead.
	return &Framer{r: r, buf: make([]byte, 128<<10)}
}

// Next returns the next message, header included, valid until the next call.
//
// At the end of the stream it returns [io.EOF], or [io.ErrUnexpectedEOF] if
// that is amid a message. An [*Error] with [ReasonStream], or with a reason that
// names another protocol, says that the stream does not go on as IPFIX: where the next message begins cannot be told, and
// the connection is to be closed (RFC 7011, section 9.1). Other errors are
// those of the reader. Every error is final.
func (f *Framer) Next() ([]byte, error) {
	if f.err != nil {
		return nil, f.err
	}
	head, err := f.fill(messageHeader)
	if err != nil {
		return nil, f.fail(err)
	}
	if r, detail, ok := notIPFIX(head); !ok {
		// Amid a stream of IPFIX the bytes are of no protocol.
		if r == ReasonVersion || f.offset > 0 {
			r, detail = ReasonStream, fmt.Sprintf("version %d, not 10", binary.BigEndian.Uint16(head))
		}
		return nil, f.fail(&Error{Reason: r, Detail: fmt.Sprintf("%s, at byte %d of the stream", detail, f.offset)})
	}
	length := int(binary.BigEndian.Uint16(head[2:]))
	if length < messageHeader {
		return nil, f.fail(&Error{Reason: ReasonStream, Detail: fmt.Sprintf("message length %d, less than that of its header, at byte %d of the stream", length, f.offset)})
	}
	msg, err := f.fill(length)
	if err != nil {
		return nil, f.fail(err)
	}
	f.start += length
	f.offset += int64(length)
	return msg, nil
}

func (f *Framer) fail(err error) error {
	f.err = err
	return err
}

// fill reads until there are n bytes, and returns them unread.
func (f *Framer) fill(n int) ([]byte, error) {
	if f.start == f.end {
		f.start, f.end = 0, 0
	}
	if f.start+n > len(f.buf) {
		f.end = copy(f.buf, f.buf[f.start:f.end])
		f.start = 0
	}
	for empty := 0; f.end-f.start < n; {
		got, err := f.r.Read(f.buf[f.end:])
		f.end += got
		if f.end-f.start >= n {
			break
		}
		switch {
		case err == io.EOF && f.end == f.start:
			return nil, io.EOF
		case err == io.EOF:
			return nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		case got > 0:
			empty = 0
		default:
			if empty++; empty > 100 {
				return nil, io.ErrNoProgress
			}
		}
	}
	return f.buf[f.start : f.start+n], nil
}
