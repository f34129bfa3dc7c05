package schema

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/go-faster/city"
	"github.com/pierrec/lz4/v4"
)

// A compressed frame is ClickHouse's: a 16-byte CityHash128 of what follows,
// a method byte, the compressed size with these 9 bytes of header, the size
// uncompressed, the data.
const (
	frameHash   = 16
	frameHeader = frameHash + 1 + 4 + 4
	methodLZ4   = 0x82
	methodNone  = 0x02
)

// Decompress appends the contents of a sealed payload to dst: the Native
// block as ClickHouse reads it. It checks every frame's checksum, and refuses
// payloads larger than a batch can be.
func Decompress(dst, payload []byte) ([]byte, error) {
	if len(payload) == 0 {
		return dst, errors.New("empty payload")
	}
	start := len(dst)
	for off := 0; off < len(payload); {
		f := payload[off:]
		if len(f) < frameHeader {
			return dst[:start], fmt.Errorf("frame at byte %d: %d bytes left, a header has %d", off, len(f), frameHeader)
		}
		size := uint64(binary.LittleEndian.Uint32(f[frameHash+1:]))
		raw := int(binary.LittleEndian.Uint32(f[frameHash+5:]))
		if size < frameHeader-frameHash || frameHash+size > uint64(len(f)) {
			return dst[:start], fmt.Errorf("frame at byte %d: size %d, %d bytes left", off, size, len(f)-frameHash)
		}
		if raw > frameSize || len(dst)-start+raw > maxRaw {
			return dst[:start], fmt.Errorf("frame at byte %d: %d bytes uncompressed, more than a batch has", off, raw)
		}
		body := f[frameHash : frameHash+size]
		if h := city.CH128(body); h.Low != binary.LittleEndian.Uint64(f) || h.High != binary.LittleEndian.Uint64(f[8:]) {
			return dst[:start], fmt.Errorf("frame at byte %d: checksum does not match: the payload was damaged", off)
		}
		at := len(dst)
		dst = append(dst, make([]byte, raw)...)
		data := body[frameHeader-frameHash:]
		switch body[0] {
		case methodLZ4:
			n, err := lz4.UncompressBlock(data, dst[at:])
			if err != nil || n != raw {
				return dst[:start], fmt.Errorf("frame at byte %d: LZ4 gave %d bytes of %d: %v", off, n, raw, err)
			}
		case methodNone:
			if copy(dst[at:], data) != raw {
				return dst[:start], fmt.Errorf("frame at byte %d: %d bytes of %d", off, len(data), raw)
			}
		default:
			return dst[:start], fmt.Errorf("frame at byte %d: compression method %#x; only LZ4 (0x82) and none (0x02) are used", off, body[0])
		}
		off += frameHash + int(size)
	}
	return dst, nil
}
