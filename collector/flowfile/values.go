package flowfile

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"cordon/schema"
)

// parseAddr reads an IPv4 or IPv6 address.
func parseAddr(f []byte) (a [16]byte, ok bool) {
	if v4, ok := parseIPv4(f); ok {
		a[10], a[11] = 0xff, 0xff
		a[12], a[13], a[14], a[15] = byte(v4>>24), byte(v4>>16), byte(v4>>8), byte(v4)
		return a, true
	}
	addr, err := netip.ParseAddr(string(f))
	if err != nil || addr.Zone() != "" {
		return a, false
	}
	return schema.Addr16(addr), true
}

// parseIPv4 reads four decimal numbers without leading zeros.
func parseIPv4(f []byte) (v uint32, ok bool) {
	if len(f) < 7 || len(f) > 15 {
		return 0, false
	}
	part, digits, dots := uint32(0), 0, 0
	for _, b := range f {
		switch {
		case b-'0' <= 9:
			if digits > 0 && part == 0 {
				return 0, false
			}
			part = part*10 + uint32(b-'0')
			if digits++; part > 255 {
				return 0, false
			}
		case b == '.' && digits > 0 && dots < 3:
			v = v<<8 | part
			part, digits = 0, 0
			dots++
		default:
			return 0, false
		}
	}
	return v<<8 | part, dots == 3 && digits > 0
}

// parseUint reads a decimal number up to limit.
func parseUint(f []byte, limit uint64) (n uint64, ok bool) {
	if len(f) == 0 || len(f) > 20 {
		return 0, false
	}
	for _, b := range f {
		d := uint64(b - '0')
		if d > 9 {
			return 0, false
		}
		if n > (1<<64-1-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, n <= limit
}

// maxTime is the end of what ClickHouse's DateTime64 holds, in Unix seconds: the
// end of the year 2299.
const maxTime = 10_413_791_999

// parseTime reads RFC 3339, ClickHouse's form of a time, or Unix seconds with or without a fraction, into
// microseconds. Digits after the sixth of a fraction are cut off.
func parseTime(f []byte) (us int64, ok bool) {
	whole, frac, point := bytes.Cut(f, []byte{'.'})
	if s, ok := parseUint(whole, maxTime); ok {
		us = int64(s) * 1e6
		if point && len(frac) == 0 {
			return 0, false
		}
		scale := int64(100_000)
		for _, b := range frac {
			if b-'0' > 9 {
				return 0, false
			}
			us += int64(b-'0') * scale
			scale /= 10
		}
		return us, true
	}
	t, err := time.Parse(time.RFC3339, string(f))
	if err != nil {
		// As ClickHouse prints it: a time in UTC.
		t, err = time.Parse("2006-01-02 15:04:05", string(f))
	}
	if err != nil || t.Unix() < 0 || t.Unix() > maxTime {
		return 0, false
	}
	return t.UnixMicro(), true
}

func looksLikeMillis(f []byte) bool {
	ms, err := strconv.ParseFloat(string(f), 64)
	return err == nil && ms > maxTime && ms/1000 <= maxTime
}

// parseFlags reads a number, or letters in any order and case, where a dot
// stands for a flag that is not set.
func parseFlags(f []byte) (flags uint16, ok bool) {
	if f[0]-'0' <= 9 {
		if n, ok := parseUint(f, 65535); ok {
			return uint16(n), true
		}
		digits, isHex := strings.CutPrefix(strings.ToLower(string(f)), "0x")
		n, err := strconv.ParseUint(digits, 16, 16)
		return uint16(n), isHex && err == nil
	}
	for _, b := range f {
		if b == '.' {
			continue
		}
		i := strings.IndexByte("FSRPAUEC", b&^0x20) // upper case; the order is that of the bits
		if i < 0 {
			return 0, false
		}
		flags |= 1 << i
	}
	return flags, true
}

func parseAction(f []byte) (schema.Action, bool) {
	switch {
	case bytes.EqualFold(f, []byte("forwarded")):
		return schema.Forwarded, true
	case bytes.EqualFold(f, []byte("dropped")):
		return schema.Dropped, true
	}
	return schema.ActionUnknown, false
}

// shorten quotes a value for an error message.
func shorten(f []byte) string {
	const most = 60
	if len(f) > most {
		return strconv.Quote(string(f[:most])) + "..."
	}
	return strconv.Quote(string(f))
}
