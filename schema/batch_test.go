package schema

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func records() *rapid.Generator[Record] {
	addr := rapid.Custom(func(t *rapid.T) (a [16]byte) {
		copy(a[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "addr"))
		return a
	})
	return rapid.Custom(func(t *rapid.T) Record {
		r := Record{
			Exporter: addr.Draw(t, "exporter"), Received: rapid.Int64().Draw(t, "received"),
			Start: rapid.Int64().Draw(t, "start"), End: rapid.Int64().Draw(t, "end"),
			Src: addr.Draw(t, "src"), Dst: addr.Draw(t, "dst"),
			SrcPort: rapid.Uint16().Draw(t, "sport"), DstPort: rapid.Uint16().Draw(t, "dport"),
			Proto: rapid.Uint8().Draw(t, "proto"), Bytes: rapid.Uint64().Draw(t, "bytes"), Packets: rapid.Uint64().Draw(t, "packets"),
			VRF:       rapid.SampledFrom([]string{"default", "red", "blue"}).Draw(t, "vrf"),
			Direction: Direction(rapid.IntRange(0, 2).Draw(t, "direction")),
			Basis:     Basis(rapid.IntRange(0, 7).Draw(t, "basis")),
			Count:     rapid.Uint32Min(1).Draw(t, "count"),
		}
		if rapid.Bool().Draw(t, "optional") {
			r.RevBytes, r.RevPackets = rapid.Uint64().Draw(t, "rbytes"), rapid.Uint64().Draw(t, "rpackets")
			r.TCPFlags, r.RevTCPFlags = rapid.Uint16().Draw(t, "flags"), rapid.Uint16().Draw(t, "rflags")
			r.InIf, r.OutIf, r.VLAN = rapid.Uint32().Draw(t, "in"), rapid.Uint32().Draw(t, "out"), rapid.Uint16().Draw(t, "vlan")
			r.L2Segment, r.VRFID = rapid.Uint64().Draw(t, "l2"), rapid.Uint32().Draw(t, "vrfid")
			r.ICMPType, r.ICMPCode = rapid.Uint8().Draw(t, "itype"), rapid.Uint8().Draw(t, "icode")
			r.FlowDirection = FlowDirection(rapid.IntRange(0, 2).Draw(t, "fd"))
			r.ForwardingStatus, r.FirewallEvent, r.EndReason = rapid.Uint8().Draw(t, "fs"), rapid.Uint8().Draw(t, "fe"), rapid.Uint8().Draw(t, "er")
			r.Sampling, r.Domain = rapid.Uint32().Draw(t, "sampling"), rapid.Uint32().Draw(t, "domain")
			r.Action, r.Completeness = Action(rapid.IntRange(0, 2).Draw(t, "action")), Completeness(rapid.IntRange(0, 2).Draw(t, "compl"))
		}
		return r
	})
}

func TestSealThenOpenGivesTheSameRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(records(), 0, 40).Draw(t, "records")
		var b, got Batch
		for i := range want {
			b.Append(&want[i])
		}
		payload, err := b.Seal(nil, MaxPayload)
		if err != nil {
			t.Fatal(err)
		}
		if err := got.Open(payload); err != nil {
			t.Fatal(err)
		}
		if got.Len() != len(want) {
			t.Fatalf("%d records, want %d", got.Len(), len(want))
		}
		for i := range want {
			if d := cmp.Diff(want[i], got.Record(i)); d != "" {
				t.Fatalf("record %d (-want +got):\n%s", i, d)
			}
		}
	})
}

func TestSealLeavesOutDefaultColumns(t *testing.T) {
	var b Batch
	b.Append(&Record{Proto: 6, SrcPort: 1, DstPort: 2})
	payload, err := b.Seal(nil, MaxPayload)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := Decompress(nil, payload)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range columns {
		// The name is preceded by its length, so that "proto" is not found in another name.
		has := bytes.Contains(raw, append([]byte{byte(len(c.name))}, c.name...))
		if has != c.always {
			t.Errorf("column %s present: %v, want %v", c.name, has, c.always)
		}
	}
}

func TestSealRefusesToExceedTheLimit(t *testing.T) {
	b := noise(1000)
	if _, err := b.Seal(nil, 10_000); !errors.Is(err, ErrTooLarge) {
		t.Fatalf("err = %v, want ErrTooLarge", err)
	}
	one := noise(1)
	if _, err := one.Seal(nil, 10); err != nil {
		t.Fatalf("a single record must always be sealed: %v", err)
	}
	first, second := b.Split()
	if first.Len()+second.Len() != b.Len() {
		t.Fatalf("split into %d and %d of %d", first.Len(), second.Len(), b.Len())
	}
	if d := cmp.Diff(b.Record(999), second.Record(499)); d != "" {
		t.Fatal(d)
	}
}

func TestOpenRefusesDamage(t *testing.T) {
	payload, err := noise(100).Seal(nil, MaxPayload)
	if err != nil {
		t.Fatal(err)
	}
	for i := range payload {
		bad := bytes.Clone(payload)
		bad[i] ^= 0x10
		var b Batch
		if err := b.Open(bad); err == nil {
			t.Fatalf("a flipped bit in byte %d of %d was not noticed", i, len(payload))
		}
		if b.Len() != 0 {
			t.Fatalf("%d records after an error", b.Len())
		}
	}
}

func FuzzOpen(f *testing.F) {
	for _, n := range []int{0, 1, 50} {
		p, err := noise(n).Seal(nil, MaxPayload)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		var b Batch
		if err := b.Open(payload); err != nil {
			return
		}
		again, err := b.Seal(nil, maxRaw)
		if err != nil {
			t.Fatal(err)
		}
		var c Batch
		if err := c.Open(again); err != nil {
			t.Fatal(err)
		}
		for i := range b.Len() {
			if d := cmp.Diff(b.Record(i), c.Record(i)); d != "" {
				t.Fatal(d)
			}
		}
	})
}

// noise makes a batch of n records that look like a site's traffic: few
// exporters and servers, many clients.
func noise(n int) *Batch {
	rng := rand.New(rand.NewPCG(1, 2))
	b := new(Batch)
	now := int64(1_763_600_000_000_000)
	for i := range n {
		r := Record{
			Domain: 1, Received: now, Start: now - rng.Int64N(60e6), End: now - rng.Int64N(1e6),
			SrcPort: uint16(32768 + rng.IntN(28000)), DstPort: [...]uint16{443, 53, 80, 22}[rng.IntN(4)],
			Proto: 6, Bytes: rng.Uint64N(100_000), Packets: rng.Uint64N(100), TCPFlags: 0x1b,
			InIf: uint32(rng.IntN(48)), OutIf: uint32(rng.IntN(48)), EndReason: 1,
			Direction: Forward, Basis: BasisPortRange,
		}
		copy(r.Exporter[10:], []byte{0xff, 0xff, 10, 0, 0, byte(i / 1000)})
		copy(r.Src[10:], []byte{0xff, 0xff, 10, 1, byte(rng.IntN(16)), byte(rng.IntN(256))})
		copy(r.Dst[10:], []byte{0xff, 0xff, 10, 2, 0, byte(rng.IntN(64))})
		b.Append(&r)
	}
	return b
}

func BenchmarkAppend(b *testing.B) {
	src := noise(1000)
	recs := make([]Record, src.Len())
	for i := range recs {
		recs[i] = src.Record(i)
	}
	var batch Batch
	batch.Grow(MaxRows)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if batch.Len() == MaxRows {
			batch.Reset()
		}
		batch.Append(&recs[i%1000])
		i++
	}
}

func BenchmarkSeal(b *testing.B) {
	batch := noise(MaxRows / 2)
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if dst, err = batch.Seal(dst[:0], 8<<20); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(batch.Len()), "ns/record")
	b.ReportMetric(float64(len(dst))/float64(batch.Len()), "B/record")
}
