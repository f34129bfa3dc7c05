package ipfix

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
)

// Other protocols that arrive in place of IPFIX are told apart, as datagrams
// and at the beginning of a stream.
func TestForeignProtocols(t *testing.T) {
	words := func(v ...uint32) (b []byte) {
		for _, w := range v {
			b = binary.BigEndian.AppendUint32(b, w)
		}
		return append(b, make([]byte, 48)...)
	}
	for _, tc := range []struct {
		name             string
		datagram         []byte
		reason, inStream Reason
	}{
		{"NetFlow v1", words(1<<16 | 1), ReasonNetFlow1, ReasonNetFlow1},
		{"NetFlow v5", words(5<<16|1, 1000), ReasonNetFlow5, ReasonNetFlow5},
		{"NetFlow v7", words(7<<16 | 1), ReasonNetFlow7, ReasonNetFlow7},
		{"NetFlow v8", words(8<<16 | 1), ReasonNetFlow8, ReasonNetFlow8},
		{"NetFlow v9", words(9<<16 | 2), ReasonNetFlow9, ReasonNetFlow9},
		{"sFlow v5 of an IPv4 agent", words(5, 1, 0x0a000001), ReasonSFlow, ReasonSFlow},
		{"sFlow v5 of an IPv6 agent", words(5, 2), ReasonSFlow, ReasonSFlow},
		{"sFlow v4", words(4, 1), ReasonSFlow, ReasonSFlow},
		{"sFlow v2", words(2, 1), ReasonSFlow, ReasonSFlow},
		{"zeros", words(0), ReasonVersion, ReasonStream},
		{"sFlow's version with no agent", words(5, 7), ReasonVersion, ReasonStream},
		{"a version that nobody has", words(11 << 16), ReasonVersion, ReasonStream},
		{"text", []byte("GET / HTTP/1.1\r\n\r\n"), ReasonVersion, ReasonStream},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := New(Config{})
			err := d.Message(testSource, tc.datagram, 1, nil)
			var bad *Error
			if !errors.As(err, &bad) || bad.Reason != tc.reason {
				t.Errorf("datagram: %v, want reason %v", err, tc.reason)
			}
			if n := d.Stats().Errors[tc.reason]; n != 1 {
				t.Errorf("%d counted", n)
			}
			_, err = NewFramer(io.MultiReader(bytes.NewReader(tc.datagram), bytes.NewReader(tc.datagram))).Next()
			if !errors.As(err, &bad) || bad.Reason != tc.inStream {
				t.Errorf("stream: %v, want reason %v", err, tc.inStream)
			}
			if (tc.reason.Protocol() == "") != (tc.reason == ReasonVersion) {
				t.Errorf("protocol %q", tc.reason.Protocol())
			}
		})
	}
}
