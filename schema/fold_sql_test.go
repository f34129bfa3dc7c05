package schema_test

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"cordon/internal/iana"
	"cordon/schema"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// flowRecords generates records that often belong together, with all that
// folding looks at.
func flowRecords() *rapid.Generator[schema.Record] {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC).UnixMicro()
	address := rapid.Custom(func(t *rapid.T) [16]byte {
		if rapid.IntRange(0, 4).Draw(t, "v6") == 0 {
			return [16]byte{0: 0x20, 1: 1, 15: rapid.ByteRange(0, 2).Draw(t, "host")}
		}
		return [16]byte{10: 0xff, 11: 0xff, 12: 10, 15: rapid.ByteRange(0, 2).Draw(t, "host")}
	})
	port := rapid.SampledFrom([]uint16{0, 0, 53, 69, 443, 40000, 40001})
	after := rapid.Custom(func(t *rapid.T) [16]byte {
		if rapid.IntRange(0, 2).Draw(t, "translated") == 0 {
			return address.Draw(t, "address")
		}
		return [16]byte{}
	})
	afterPort := rapid.SampledFrom([]uint16{0, 0, 53, 40002})
	flags := rapid.SampledFrom([]uint16{0, 0, 0x02, 0x04, 0x10, 0x12, 0x14, 0x18, 0x1b, 0x06, 0x16, 0x1e, 0x54, 0x01, 0xc2})
	small := rapid.Uint64Range(0, 3)
	size := rapid.SampledFrom([]uint64{0, 0, 1, 40, 60, 68, 69, 84, 85, 88, 104, 127, 128, 256, 400})
	at := rapid.OneOf(
		rapid.Int64Range(now-2*3600e6, now),
		rapid.SampledFrom([]int64{0, -1, 1, now + 23*3600e6, now + 25*3600e6, now + 400*86400e6, -1 << 63, 1<<63 - 1, 4294967295e6}))
	received := rapid.OneOf(rapid.Int64Range(now-1e6, now), rapid.SampledFrom([]int64{now - 20*86400e6, now + 40*86400e6}))
	return rapid.Custom(func(t *rapid.T) schema.Record {
		return schema.Record{
			Exporter: address.Draw(t, "exporter"), Received: received.Draw(t, "received"), Start: at.Draw(t, "start"), End: at.Draw(t, "end"),
			Src: address.Draw(t, "src"), Dst: address.Draw(t, "dst"), SrcPort: port.Draw(t, "sport"), DstPort: port.Draw(t, "dport"),
			Proto:    rapid.SampledFrom([]uint8{6, 6, 17, 1, 58, 47, 132}).Draw(t, "proto"),
			ICMPType: rapid.SampledFrom([]uint8{0, 3, 8, 128, 129, 143}).Draw(t, "itype"), ICMPCode: rapid.ByteRange(0, 1).Draw(t, "icode"),
			Bytes: size.Draw(t, "bytes"), Packets: small.Draw(t, "packets"), RevBytes: size.Draw(t, "rbytes"), RevPackets: small.Draw(t, "rpackets"),
			PostSrc: after.Draw(t, "post src"), PostDst: after.Draw(t, "post dst"), PostSrcPort: afterPort.Draw(t, "post sport"), PostDstPort: afterPort.Draw(t, "post dport"),
			FlowDirection: schema.FlowDirection(rapid.IntRange(0, 2).Draw(t, "flow direction")), InIf: rapid.Uint32Range(0, 1).Draw(t, "in"), OutIf: rapid.Uint32Range(0, 1).Draw(t, "out"),
			TCPFlags: flags.Draw(t, "flags"), RevTCPFlags: flags.Draw(t, "rflags"),
			VRF:      rapid.SampledFrom([]string{"", "default", "red"}).Draw(t, "vrf"),
			Sampling: rapid.SampledFrom([]uint32{0, 1, 100}).Draw(t, "sampling"),
			Action:   schema.Action(rapid.IntRange(0, 2).Draw(t, "action")), Direction: schema.Direction(rapid.IntRange(0, 2).Draw(t, "direction")),
			Basis: schema.Basis(rapid.IntRange(0, 7).Draw(t, "basis")), Completeness: schema.Completeness(rapid.IntRange(0, 2).Draw(t, "completeness")),
			EndReason: rapid.ByteRange(0, 3).Draw(t, "reason"),
			Count:     rapid.Uint32Range(1, 3).Draw(t, "count"), Import: rapid.Uint32Range(0, 2).Draw(t, "import"),
		}
	})
}

// withICMPPairs puts the messages that answer others into a text of SQL, as
// 256 * protocol + type, and the types of the requests that they answer.
func withICMPPairs(sql string) string {
	var replies, requests []string
	for _, proto := range []uint8{iana.ICMP, iana.ICMPv6} {
		for typ := range 256 {
			if request, ok := iana.ICMPRequest(proto, uint8(typ)); ok {
				replies, requests = append(replies, strconv.Itoa(int(proto)<<8+typ)), append(requests, strconv.Itoa(int(request)))
			}
		}
	}
	list := func(of []string) string { return "[" + strings.Join(of, ", ") + "]" }
	return strings.NewReplacer("{replies}", list(replies), "{requests}", list(requests)).Replace(sql)
}

// What the ingester folds in Go is what testdata/fold.sql says, run by
// ClickHouse over the flows stored.
func TestFoldAgreesWithSQL(t *testing.T) {
	s := newStore(t)
	text, err := os.ReadFile("testdata/fold.sql")
	if err != nil {
		t.Fatal(err)
	}
	reference := withICMPPairs(string(text))
	records := make([]schema.Record, 20_000)
	for i := range records {
		records[i] = flowRecords().Example(i)
	}
	s.insert(records...)
	want := s.rows("SELECT * FROM (" + reference + ")")
	got := s.rows("SELECT " + strings.Join(schema.SessionColumns, ", ") + " FROM {db}.sessions_hourly")
	slices.Sort(want)
	slices.Sort(got)
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("rows of sessions_hourly (-SQL +Go):\n%.5000s", d)
	}
	if len(got) < 1000 {
		t.Fatalf("only %d rows compared", len(got))
	}
}
