package schema

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// mixedSessions makes records of many keys that are close to each other: IPv4
// and IPv6, on both sides of the mapped range, some days and hours, several
// exporters.
func mixedSessions(rng *rand.Rand, n int) []Record {
	addresses := [][16]byte{
		{}, {15: 1}, {11: 1}, {10: 0xff, 11: 0xfe, 15: 1}, {10: 0xff, 11: 0xff, 12: 10}, {10: 0xff, 11: 0xff, 12: 10, 15: 1}, {10: 0xff, 11: 0xff, 12: 192},
		{9: 1}, {0: 0x20, 1: 1, 15: 1}, {0: 0x20, 1: 1, 14: 1}, {0: 0x20, 1: 1, 2: 1}, {0: 0xfd},
	}
	pick := func() [16]byte { return addresses[rng.IntN(len(addresses))] }
	now := newestTime - 50*365*microsPerDay
	list := make([]Record, n)
	for i := range list {
		start := now - rng.Int64N(3)*microsPerDay - rng.Int64N(2)*microsPerHour
		if rng.IntN(20) == 0 {
			start = now - rng.Int64N(1000)*microsPerDay
		}
		list[i] = Record{
			Exporter: pick(), Received: now, Start: start, End: start, Src: pick(), Dst: pick(),
			SrcPort: uint16(rng.IntN(6)), DstPort: uint16(rng.IntN(6)), Proto: []uint8{1, 6, 17}[rng.IntN(3)],
			ICMPType: uint8(rng.IntN(2)), Bytes: rng.Uint64N(100), Packets: 1, Direction: Direction(rng.IntN(3)), VRF: []string{"", "blue", "red"}[rng.IntN(3)],
		}
	}
	return list
}

// Sessions come in the order of the table, so that ClickHouse need not sort.
func TestOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		var b Batch
		for _, r := range mixedSessions(rng, rapid.IntRange(0, 3000).Draw(t, "records")) {
			b.Append(&r)
		}
		var f Folder
		f.Add(&b)
		order := f.order()
		if len(order) != f.Len() {
			t.Fatalf("%d of %d sessions", len(order), f.Len())
		}
		for i := 1; i < len(order); i++ {
			if f.compare(order[i-1], order[i]) >= 0 {
				t.Fatalf("session %d of %d: %+v stands before %+v", i, len(order), f.session(int(order[i-1].session)).key, f.session(int(order[i].session)).key)
			}
		}
	})
}

// However records are spread over batches, and in whatever order they come,
// they make the same block.
func TestFoldInAnyOrder(t *testing.T) {
	var f Folder // used again, as ingesters do
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		records := mixedSessions(rng, rapid.IntRange(1, 2000).Draw(t, "records"))
		for i := range records {
			records[i].VRF = "" // names are numbered as they come
		}
		fold := func(records []Record, batches int) []byte {
			f.Reset()
			for part := range slices.Chunk(records, (len(records)+batches-1)/batches) {
				var b Batch
				for i := range part {
					b.Append(&part[i])
				}
				f.Add(&b)
			}
			return bytes.Clone(f.Block())
		}
		want := fold(records, 1)
		rng.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
		if !bytes.Equal(want, fold(records, rapid.IntRange(1, 20).Draw(t, "batches"))) {
			t.Fatal("another order and other batches make another block")
		}
	})
}
