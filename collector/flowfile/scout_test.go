package flowfile

import (
	"encoding/binary"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"cordon/schema"
)

// wire appends big-endian numbers of 16 bits.
func wire(numbers ...uint16) (b []byte) {
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint16(b, n)
	}
	return b
}

// ipfixMessage puts sets, each an id and a body, into a message.
func ipfixMessage(sequence uint32, sets ...[]byte) []byte {
	b := wire(10, 0, 0x6553, 0xf100)
	b = binary.BigEndian.AppendUint32(b, sequence)
	b = binary.BigEndian.AppendUint32(b, 7)
	for _, s := range sets {
		b = append(b, s[:2]...)
		b = binary.BigEndian.AppendUint16(b, uint16(len(s)+2))
		b = append(b, s[2:]...)
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

// TestLookAhead: a sampling rate that stands in a file behind records holds for
// them, too, and what a record names as its exporter is believed.
func TestLookAhead(t *testing.T) {
	template := wire(2, 256, 4, 8, 4, 12, 4, 4, 1, 130, 4)
	record := append(wire(256), 10, 0, 0, 1, 10, 0, 0, 2, 17, 10, 255, 0, 1)
	options := wire(3, 257, 2, 1, 144, 4, 34, 4)
	rate := append(wire(257), 0, 0, 0, 1, 0, 0, 3, 232)
	for name, msgs := range map[string][][]byte{
		"rate first": {ipfixMessage(0, options, rate), ipfixMessage(1, template, record)},
		"rate last":  {ipfixMessage(0, template, record), ipfixMessage(1, options, rate)},
		"cut behind": {ipfixMessage(0, template, record), ipfixMessage(1, options, rate), ipfixMessage(2, template)[:20]},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "a.ipfix")
			var b []byte
			for _, m := range msgs {
				b = append(b, m...)
			}
			if err := os.WriteFile(file, b, 0o600); err != nil {
				t.Fatal(err)
			}
			r, err := Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			var rec schema.Record
			if err := r.Next(&rec); err != nil {
				t.Fatal(err)
			}
			if rec.Sampling != 1000 || schema.Addr(rec.Exporter) != netip.MustParseAddr("10.255.0.1") {
				t.Errorf("sampling %d, exporter %s", rec.Sampling, schema.Addr(rec.Exporter))
			}
			if err := r.Next(&rec); err == nil || (err != io.EOF) != (name == "cut behind") {
				t.Errorf("ended with %v", err)
			}
		})
	}
}
