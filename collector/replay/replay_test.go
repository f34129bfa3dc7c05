package replay

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"cordon/collector/ipfix"
	"cordon/schema"

	calmh "github.com/calmh/ipfix"
	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// fatal is what tests and rapid have in common.
type fatal interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// receiver is a UDP socket that keeps what arrives.
type receiver struct {
	conn *net.UDPConn
	buf  []byte
}

func listen(t testing.TB) *receiver {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IP{127, 0, 0, 1}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &receiver{conn: conn, buf: make([]byte, 1<<16)}
}

func (r *receiver) addr() string { return r.conn.LocalAddr().String() }

// next gives the next datagram and who sent it.
func (r *receiver) next(t fatal) ([]byte, netip.AddrPort) {
	t.Helper()
	r.conn.SetReadDeadline(time.Now().Add(time.Minute))
	n, from, err := r.conn.ReadFromUDPAddrPort(r.buf)
	if err != nil {
		t.Fatal(err)
	}
	return r.buf[:n], from
}

// sink keeps flow records.
type sink []schema.Record

func (s *sink) Append(r *schema.Record) { *s = append(*s, *r) }

// send exports records over UDP and decodes what arrives, by two decoders.
func send(t fatal, in *receiver, cfg Config, recs []schema.Record) (sink, ipfix.Stats) {
	t.Helper()
	ctx := context.Background()
	cfg.To = in.addr()
	e, err := Dial(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	for i := range recs {
		if err := e.Export(ctx, &recs[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	var got sink
	d, independent, records := ipfix.New(ipfix.Config{}), calmh.NewSession(), 0
	for range e.Stats().Messages {
		msg, from := in.next(t)
		if from != e.local {
			t.Fatalf("sent from %v, not %v", from, e.local)
		}
		if most := cmp.Or(cfg.MTU, 1400); len(msg) > most {
			t.Fatalf("a message of %d bytes, more than %d", len(msg), most)
		}
		if before, sequence := d.Stats(), binary.BigEndian.Uint32(msg[8:]); uint64(sequence) != before.Records+before.OptionsRecords {
			t.Fatalf("sequence number %d after %d records and %d of options data", sequence, before.Records, before.OptionsRecords)
		}
		if err := d.Message(ipfix.Source{Addr: from}, msg, schema.Micros(time.Now()), &got); err != nil {
			t.Fatal(err)
		}
		m, err := independent.ParseBuffer(msg)
		if err != nil {
			t.Fatal(err)
		}
		records += len(m.DataRecords)
	}
	st := d.Stats()
	if n := e.Stats().Records; st.Flows != n || uint64(records) != n {
		t.Fatalf("%d records sent, %d decoded, %d by calmh/ipfix", n, st.Flows, records)
	}
	if lost, _ := st.Lost(); lost > 0 || st.Restarts > 0 || st.Duplicates > 0 {
		t.Fatalf("sequence numbers are wrong: %+v", st.Counters)
	}
	return got, st
}

func records() *rapid.Generator[schema.Record] {
	return rapid.Custom(func(t *rapid.T) schema.Record {
		v6 := rapid.Bool().Draw(t, "v6")
		address := func(name string) (a [16]byte) {
			if v6 {
				return [16]byte(append([]byte{0x20}, rapid.SliceOfN(rapid.Byte(), 15, 15).Draw(t, name)...))
			}
			return schema.Addr16(netip.AddrFrom4([4]byte(append([]byte{10}, rapid.SliceOfN(rapid.Byte(), 3, 3).Draw(t, name)...))))
		}
		r := schema.Record{
			Src: address("src"), Dst: address("dst"),
			Start: 1000 * rapid.Int64Range(1, 1_700_000_000_000).Draw(t, "start"),
			Bytes: rapid.Uint64().Draw(t, "bytes"), Packets: rapid.Uint64Min(1).Draw(t, "packets"),
			InIf: rapid.Uint32().Draw(t, "in"), OutIf: rapid.Uint32().Draw(t, "out"), VLAN: rapid.Uint16Max(4095).Draw(t, "vlan"),
			VRFID: rapid.Uint32().Draw(t, "vrfid"), VRF: rapid.StringMatching(`[a-z]{0,12}|[a-z]{255}`).Draw(t, "vrf"),
			FlowDirection: schema.FlowDirection(rapid.IntRange(1, 2).Draw(t, "flow direction")),
			EndReason:     rapid.Uint8Range(1, 5).Draw(t, "end"), Action: schema.Action(rapid.IntRange(0, 2).Draw(t, "action")),
			Count: 1,
		}
		r.End = r.Start + 1000*rapid.Int64Range(0, 3_600_000).Draw(t, "duration")
		r.ForwardingStatus = []uint8{0, 64, 128}[r.Action]
		switch proto := rapid.SampledFrom([]uint8{1, 6, 17, 47, 58}).Draw(t, "proto"); {
		case proto == 1 || proto == 58:
			r.Proto = map[bool]uint8{false: 1, true: 58}[v6]
			// Requests and types without an answer. Type 0 with code 0 cannot be told from "not given".
			r.ICMPType, r.ICMPCode = rapid.SampledFrom([]uint8{3, 8, 11, 13, 128, 135}).Draw(t, "type"), rapid.Uint8Max(4).Draw(t, "code")
		case proto == 47:
			r.Proto = 47
		default:
			r.Proto, r.SrcPort, r.DstPort = proto, rapid.Uint16().Draw(t, "sport"), rapid.Uint16().Draw(t, "dport")
		}
		if r.Proto == 6 {
			r.TCPFlags = rapid.Uint16Max(0x1ff).Draw(t, "flags")
		}
		if rapid.Bool().Draw(t, "both ways") {
			r.Completeness = schema.BothWays
			r.RevBytes, r.RevPackets = rapid.Uint64().Draw(t, "rbytes"), rapid.Uint64().Draw(t, "rpackets")
			if r.Proto == 6 {
				r.RevTCPFlags = rapid.Uint16Max(0x1ff).Draw(t, "rflags")
			}
		}
		return r
	})
}

// normal takes from a decoded record what is not the exporter's to say.
func normal(r schema.Record) schema.Record {
	r.Exporter, r.Domain, r.Received, r.Sampling = [16]byte{}, 0, 0, 0
	if r.Count == 0 {
		r.Count = 1
	}
	return r
}

// decoded is what becomes of a sent record: a VRF without a name gets one.
func decoded(r schema.Record) schema.Record {
	if r.VRF == "" && r.VRFID != 0 {
		r.VRF = fmt.Sprintf("vrf-%d", r.VRFID)
	}
	return r
}

func TestBiflowsComeBackAsTheyWere(t *testing.T) {
	in := listen(t)
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(records(), 1, 30).Draw(t, "records")
		for i := range want {
			if want[i].Completeness == schema.BothWays {
				want[i].Direction = schema.Direction(rapid.IntRange(0, 2).Draw(t, "direction"))
				if want[i].Direction != schema.DirectionUnknown {
					want[i].Basis = schema.BasisInitiator
				}
			}
		}
		got, _ := send(t, in, Config{Biflow: true, MTU: rapid.SampledFrom([]int{512, 1400, 9000}).Draw(t, "mtu")}, want)
		for i := range got {
			if d := gocmp.Diff(decoded(want[i]), normal(got[i])); d != "" {
				t.Fatalf("record %d (-want +got):\n%s", i, d)
			}
		}
	})
}

func TestUniflowsAreARecordForEachDirection(t *testing.T) {
	in := listen(t)
	rapid.Check(t, func(t *rapid.T) {
		recs := rapid.SliceOfN(records(), 1, 30).Draw(t, "records")
		var want []schema.Record
		for _, r := range recs {
			forward := r
			forward.RevBytes, forward.RevPackets, forward.RevTCPFlags, forward.Completeness = 0, 0, 0, schema.OneWay
			want = append(want, forward)
			if r.RevBytes > 0 || r.RevPackets > 0 {
				back := forward
				back.Src, back.Dst, back.SrcPort, back.DstPort, back.InIf, back.OutIf = r.Dst, r.Src, r.DstPort, r.SrcPort, r.OutIf, r.InIf
				back.Bytes, back.Packets, back.TCPFlags = r.RevBytes, r.RevPackets, r.RevTCPFlags
				if reply, ok := map[[2]uint8]uint8{{1, 8}: 0, {1, 13}: 14, {58, 128}: 129, {58, 135}: 136}[[2]uint8{r.Proto, r.ICMPType}]; ok {
					back.ICMPType, back.ICMPCode = reply, 0
				}
				want = append(want, back)
			}
		}
		got, _ := send(t, in, Config{MTU: 1400}, recs)
		if len(got) != len(want) {
			t.Fatalf("%d records, want %d", len(got), len(want))
		}
		for i := range got {
			if d := gocmp.Diff(decoded(want[i]), normal(got[i])); d != "" {
				t.Fatalf("record %d (-want +got):\n%s", i, d)
			}
		}
	})
}

func flow(n uint64) schema.Record {
	return schema.Record{
		Src: v4(10, 0, 0, 1), Dst: v4(10, 0, 0, 2), SrcPort: 40000, DstPort: 443, Proto: 6, Bytes: 100 * n, Packets: n,
		Start: 1_700_000_000_000_000, End: 1_700_000_001_000_000, TCPFlags: 0x1b, Count: 1,
	}
}

func TestAssumedPacketIsNotSent(t *testing.T) {
	rec := schema.Record{
		Src: v4(10, 0, 0, 1), Dst: v4(10, 0, 0, 2), SrcPort: 40000, DstPort: 443, Proto: 6, TCPFlags: 0x1a,
		Packets: 1, PacketsAssumed: true, RevPackets: 4,
	}
	got, _ := send(t, listen(t), Config{}, []schema.Record{rec})
	if len(got) != 2 || got[0].Packets != 0 || got[1].Packets != 4 {
		t.Errorf("sent %+v, want a record without a packet count, and one with 4", got)
	}
	rec.RevPackets, rec.Completeness = 0, schema.BothWays
	if got, _ = send(t, listen(t), Config{Biflow: true}, []schema.Record{rec}); len(got) != 1 || got[0].Packets != 0 {
		t.Errorf("sent %+v, want one record without a packet count", got)
	}
}

func TestTwentyRecordsFillADatagram(t *testing.T) {
	in := listen(t)
	recs := make([]schema.Record, 100)
	for i := range recs {
		recs[i] = flow(uint64(i + 1))
	}
	size := len(templates[0].appendRecord(nil, &recs[0]))
	if size != 69 || messageHeader+4+20*size != 1400 {
		t.Errorf("a record has %d bytes, want 69", size)
	}
	got, st := send(t, in, Config{}, recs)
	if len(got) != 100 || st.Messages != 6 {
		t.Errorf("%d records in %d messages, want 100 in 6", len(got), st.Messages)
	}
}

func TestCountIsThatManyRecords(t *testing.T) {
	rec := flow(10)
	rec.Count = 3
	got, _ := send(t, listen(t), Config{}, []schema.Record{rec})
	var packets []uint64
	var octets uint64
	for _, r := range got {
		packets = append(packets, r.Packets)
		octets += r.Bytes
	}
	if !slices.Equal(packets, []uint64{4, 3, 3}) || octets != 1000 {
		t.Errorf("packets %v, octets %d", packets, octets)
	}
}

func TestOptionsDataAndSource(t *testing.T) {
	in := listen(t)
	from := netip.MustParseAddr("127.0.0.2")
	got, st := send(t, in, Config{From: from, Domain: 7, Sampling: 100}, []schema.Record{flow(1)})
	if len(got) != 1 || got[0].Exporter != schema.Addr16(from) || got[0].Domain != 7 || got[0].Sampling != 100 {
		t.Fatalf("got %+v", got)
	}
	d := st.Sources[0].Domains[0]
	if d.Exporter != "127.0.0.2" || d.Sampling != 100 || d.SystemInit == 0 || d.OptionsRecords != 1 {
		t.Errorf("options data: %+v", d)
	}
}

// clock is a clock that moves only when somebody sleeps.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }
func (c *clock) Sleep(_ context.Context, d time.Duration) error {
	c.now = c.now.Add(d)
	return nil
}

func TestRateAndTemplateRefresh(t *testing.T) {
	for _, rate := range []float64{2, 100, 5000} {
		in := listen(t)
		start := time.Unix(1_790_000_000, 0)
		c := &clock{now: start}
		ctx := context.Background()
		e, err := Dial(ctx, Config{To: in.addr(), Rate: rate, TemplateRefresh: 2 * time.Second, Now: c.Now, Sleep: c.Sleep})
		if err != nil {
			t.Fatal(err)
		}
		rec := flow(1)
		seconds := 10
		n := int(rate) * seconds
		var templateSets, records int
		var messages uint64
		drain := func() {
			for ; messages < e.Stats().Messages; messages++ {
				msg, _ := in.next(t)
				for b := msg[messageHeader:]; len(b) > 0; b = b[binary.BigEndian.Uint16(b[2:]):] {
					switch binary.BigEndian.Uint16(b) {
					case setTemplate:
						templateSets++
					case 256:
						records += (int(binary.BigEndian.Uint16(b[2:])) - 4) / 69
					}
				}
				if at := time.Unix(int64(binary.BigEndian.Uint32(msg[4:])), 0); at.After(c.now) || c.now.Sub(at) > time.Second {
					t.Errorf("export time %v at %v", at, c.now)
				}
			}
		}
		for range n {
			if err := e.Export(ctx, &rec); err != nil {
				t.Fatal(err)
			}
			drain()
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		drain()
		if records != n {
			t.Errorf("rate %g: %d records, want %d", rate, records, n)
		}
		if took := c.now.Sub(start); took < 9*time.Second || took > 10*time.Second {
			t.Errorf("rate %g: %d records took %v, want 10 s", rate, n, took)
		}
		if templateSets < 4 || templateSets > 5 {
			t.Errorf("rate %g: the template was sent %d times in 10 s, want every 2 s", rate, templateSets)
		}
	}
}

func TestTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx := context.Background()
	e, err := Dial(ctx, Config{To: l.Addr().String(), Transport: "tcp", From: netip.MustParseAddr("127.0.0.3"), TemplateRefresh: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		for i := range 1000 {
			rec := flow(uint64(i + 1))
			if err := e.Export(ctx, &rec); err != nil {
				t.Error(err)
			}
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	var got sink
	f, d := ipfix.NewFramer(conn), ipfix.New(ipfix.Config{})
	for {
		msg, err := f.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Message(ipfix.Source{Addr: e.local, Transport: ipfix.TCP, Session: 1}, msg, schema.Micros(time.Now()), &got); err != nil {
			t.Fatal(err)
		}
	}
	if len(got) != 1000 || got[999].Packets != 1000 {
		t.Errorf("%d records", len(got))
	}
	if st := d.Stats(); st.Restarts > 0 || st.MissedMessages > 0 || st.OptionsRecords != 1 {
		t.Errorf("over TCP options data and templates are sent once: %+v", st.Counters)
	}
	if !strings.HasPrefix(conn.RemoteAddr().String(), "127.0.0.3:") {
		t.Errorf("connected from %v", conn.RemoteAddr())
	}
}

func TestConfigErrors(t *testing.T) {
	for _, test := range []struct {
		cfg  Config
		want string
	}{
		{Config{To: "127.0.0.1:1", Transport: "sctp"}, `transport "sctp": use udp or tcp`},
		{Config{To: "127.0.0.1:1", MTU: 100}, "message length 100: use 512 to 65507 bytes"},
		{Config{To: "127.0.0.1:1", Rate: -1}, "rate -1: use records a second"},
		{Config{To: "127.0.0.1"}, "missing port"},
		{Config{To: "127.0.0.1:1", From: netip.MustParseAddr("192.0.2.1")}, "cannot assign requested address"},
	} {
		if _, err := Dial(context.Background(), test.cfg); err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "replay: ") {
			t.Errorf("%+v: %v, want %s", test.cfg, err, test.want)
		}
	}
}

func TestNobodyListens(t *testing.T) {
	in := listen(t)
	in.conn.Close()
	ctx := context.Background()
	e, err := Dial(ctx, Config{To: in.addr()})
	if err != nil {
		t.Fatal(err)
	}
	rec := flow(1)
	for range 100_000 { // the kernel tells of the first datagram when it takes a later one
		if err = e.Export(ctx, &rec); err != nil {
			break
		}
	}
	if want := fmt.Sprintf("replay: nobody listens on %s over udp: start the collector first", in.addr()); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	e.Close()
}

func BenchmarkExport(b *testing.B) {
	in := listen(b) // Nobody reads it: the kernel drops datagrams that do not fit.
	ctx := context.Background()
	e, err := Dial(ctx, Config{To: in.addr()})
	if err != nil {
		b.Fatal(err)
	}
	rec := flow(1)
	b.ReportAllocs()
	for b.Loop() {
		if err := e.Export(ctx, &rec); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(e.Stats().Records)/b.Elapsed().Seconds(), "records/s")
}

func v4(a, b, c, d byte) [16]byte {
	return [16]byte{10: 0xff, 11: 0xff, 12: a, 13: b, 14: c, 15: d}
}
