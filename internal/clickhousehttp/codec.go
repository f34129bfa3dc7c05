package clickhousehttp

import (
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"io"
	"strings"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// decodeBody undoes the Content-Encoding of a body and, with decompress=1, the
// compressed frames of ClickHouse within it.
func decodeBody(body io.ReadCloser, encoding string, frames bool) (io.ReadCloser, error) {
	r := body
	switch strings.ToLower(encoding) {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(body)
		if err != nil {
			return nil, badRequest("body with Content-Encoding gzip: %v", err)
		}
		r = z
	case "deflate":
		z, err := zlib.NewReader(body)
		if err != nil {
			return nil, badRequest("body with Content-Encoding deflate: %v", err)
		}
		r = z
	case "zstd":
		z, err := zstd.NewReader(body, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20))
		if err != nil {
			return nil, badRequest("body with Content-Encoding zstd: %v", err)
		}
		r = z.IOReadCloser()
	case "lz4":
		r = io.NopCloser(lz4.NewReader(body))
	case "br":
		r = io.NopCloser(brotli.NewReader(body))
	default:
		return nil, badRequest("Content-Encoding %q is not supported; use gzip, deflate, br, zstd or lz4", encoding)
	}
	if frames {
		r = io.NopCloser(newFrameReader(r))
	}
	return r, nil
}

// acceptedEncoding picks the first Content-Encoding that both sides know.
func acceptedEncoding(accept string) string {
	for _, e := range strings.Split(accept, ",") {
		name, _, _ := strings.Cut(strings.TrimSpace(e), ";")
		switch name = strings.ToLower(strings.TrimSpace(name)); name {
		case "gzip", "deflate", "zstd", "lz4", "br":
			return name
		}
	}
	return ""
}

// encodeBody applies a Content-Encoding.
func encodeBody(w io.Writer, encoding string) (io.WriteCloser, error) {
	switch encoding {
	case "gzip":
		return gzip.NewWriterLevel(w, gzip.BestSpeed)
	case "deflate":
		return zlib.NewWriterLevel(w, zlib.BestSpeed)
	case "zstd":
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	case "lz4":
		return lz4.NewWriter(w), nil
	case "br":
		return brotli.NewWriterLevel(w, brotli.BestSpeed), nil
	}
	return nopWriteCloser{w}, nil
}

type nopWriteCloser struct{ io.Writer }

func (nopWriteCloser) Close() error { return nil }

// frameHeader is the size of a frame's header: a checksum of 16 bytes, the
// method, and the sizes of the frame from the method on and of its content.
const frameHeader = 25

// frameReader reads ClickHouse's compressed frames. It tells the end of the
// last frame from a body that was cut off, which compress.Reader does not.
type frameReader struct {
	frames *compress.Reader
	source io.Reader
	header [frameHeader]byte
	have   int   // bytes of the header that were read
	body   int64 // bytes of the frame still to come behind it
}

func newFrameReader(r io.Reader) *frameReader {
	f := &frameReader{source: r}
	f.frames = compress.NewReader(frameSource{f})
	return f
}

func (f *frameReader) Read(p []byte) (int, error) {
	n, err := f.frames.Read(p)
	if errors.Is(err, io.EOF) {
		err = io.EOF
	}
	return n, err
}

// frameSource follows what compress.Reader reads.
type frameSource struct{ f *frameReader }

func (s frameSource) Read(p []byte) (int, error) {
	f := s.f
	n, err := f.source.Read(p)
	for rest := p[:n]; len(rest) > 0; {
		if f.body > 0 {
			k := min(int64(len(rest)), f.body)
			f.body -= k
			rest = rest[k:]
			continue
		}
		k := copy(f.header[f.have:], rest)
		f.have += k
		rest = rest[k:]
		if f.have == frameHeader {
			f.have = 0
			f.body = int64(binary.LittleEndian.Uint32(f.header[17:])) - (frameHeader - 16)
		}
	}
	if err == io.EOF && (f.have > 0 || f.body > 0) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// frameSize is how much data goes into one of ClickHouse's compressed frames.
const frameSize = 1 << 20

// frameWriter writes ClickHouse's compressed frames, as compress=1 asks for.
type frameWriter struct {
	w   io.Writer
	c   *compress.Writer
	buf []byte
}

func newFrameWriter(w io.Writer, method string) (*frameWriter, error) {
	m := compress.LZ4
	switch method {
	case "LZ4":
	case "ZSTD":
		m = compress.ZSTD
	case "NONE":
		m = compress.None
	default:
		return nil, badRequest("network_compression_method %q is not supported; use LZ4, ZSTD or NONE", method)
	}
	return &frameWriter{w: w, c: compress.NewWriter(compress.LevelZero, m), buf: make([]byte, 0, frameSize)}, nil
}

func (f *frameWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		k := min(len(p), frameSize-len(f.buf))
		f.buf = append(f.buf, p[:k]...)
		p = p[k:]
		if len(f.buf) == frameSize {
			if err := f.flush(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

func (f *frameWriter) flush() error {
	if len(f.buf) == 0 {
		return nil
	}
	if err := f.c.Compress(f.buf); err != nil {
		return err
	}
	f.buf = f.buf[:0]
	_, err := f.w.Write(f.c.Data)
	return err
}

func (f *frameWriter) Close() error { return f.flush() }
