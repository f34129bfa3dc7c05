package schema_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"cordon/schema"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// rec makes a one-way record of one packet of 100 bytes, exported by 10.9.9.1.
func rec(src string, sport uint16, dst string, dport uint16, proto uint8, change ...func(*schema.Record)) schema.Record {
	at := noon.UnixMicro()
	r := schema.Record{
		Exporter: ip("10.9.9.1"), Received: at + 5e6, Start: at, End: at + 1e6,
		Src: ip(src), Dst: ip(dst), SrcPort: sport, DstPort: dport, Proto: proto, Bytes: 100, Packets: 1, Count: 1,
	}
	for _, f := range change {
		f(&r)
	}
	return r
}

func ip(s string) [16]byte { return schema.Addr16(netip.MustParseAddr(s)) }

func forward(r *schema.Record) { r.Direction, r.Basis = schema.Forward, schema.BasisPortRange }
func reverse(r *schema.Record) { r.Direction, r.Basis = schema.Reverse, schema.BasisPortRange }

// sampled makes a record of which one packet in n was looked at.
func sampled(n uint32) func(*schema.Record) {
	return func(r *schema.Record) { r.Sampling = n }
}

func biflow(r *schema.Record) {
	r.Direction, r.Basis, r.Completeness = schema.Forward, schema.BasisInitiator, schema.BothWays
}
func unknowable(r *schema.Record) { r.Completeness = schema.Unknowable }
func dropped(r *schema.Record)    { r.Action = schema.Dropped }
func from(exporter string) func(*schema.Record) {
	return func(r *schema.Record) { r.Exporter = ip(exporter) }
}
func flags(f uint16) func(*schema.Record) { return func(r *schema.Record) { r.TCPFlags = f } }
func answer(p uint64) func(*schema.Record) {
	return func(r *schema.Record) { r.RevPackets, r.RevBytes = p, 100*p }
}
func after(d time.Duration) func(*schema.Record) {
	return func(r *schema.Record) {
		us := d.Microseconds()
		r.Start, r.End, r.Received = r.Start+us, r.End+us, r.Received+us
	}
}
func icmp(typ, code uint8) func(*schema.Record) {
	return func(r *schema.Record) { r.ICMPType, r.ICMPCode = typ, code }
}

// twoWays makes the exporter one that shows both directions.
func twoWays(exporter string) []schema.Record {
	return []schema.Record{
		rec("10.0.9.1", 40000, "10.0.9.2", 9, 6, forward, from(exporter)),
		rec("10.0.9.2", 9, "10.0.9.1", 40000, 6, reverse, from(exporter)),
	}
}

const both = "10.0.9.1>10.0.9.2 tcp/9 flows=2 complete=2 half_open=0 denied=0"

// sessionCase is what the views make of some records.
type sessionCase struct {
	name    string
	records []schema.Record
	want    []string
}

// apart moves the records of a case into a VRF of its own and gives each exporter another address, since what an exporter shows
// tells of all its sessions. So one store holds many cases at once, and one question answers all of them.
func apart(t *testing.T, number int, records []schema.Record) {
	if number > 155 {
		t.Fatal("there are more cases than networks of exporters")
	}
	vrf := fmt.Sprintf("case-%03d", number)
	for i := range records {
		r := &records[i]
		if e := netip.AddrFrom16(r.Exporter).Unmap(); !netip.MustParsePrefix("10.9.0.0/16").Contains(e) || r.VRF != "" && r.VRF != "default" {
			t.Fatalf("exporter %v, VRF %q: the cases share a store, so exporters are in 10.9.0.0/16 and no VRF is given", e, r.VRF)
		}
		r.VRF, r.Exporter[13] = vrf, byte(100+number)
	}
}

// insertOneByOne stores the records of each case one after another, each in a batch of its own, which it shares with those of
// other cases.
func (s *store) insertOneByOne(cases []sessionCase) {
	s.t.Helper()
	for n := 0; ; n++ {
		var batch []schema.Record
		for _, c := range cases {
			if n < len(c.records) {
				batch = append(batch, c.records[n])
			}
		}
		if len(batch) == 0 {
			return
		}
		s.insert(batch...)
	}
}

// checkCases compares what a query says of each VRF, in its lines "VRF<tab>text", with what the case wants.
func checkCases(t *testing.T, s *store, cases []sessionCase, when, query string) {
	t.Helper()
	got := map[string][]string{}
	for _, line := range s.rows(query) {
		vrf, text, _ := strings.Cut(line, "\t")
		got[vrf] = append(got[vrf], text)
	}
	for i, c := range cases {
		if d := cmp.Diff(c.want, got[fmt.Sprintf("case-%03d", i)]); d != "" {
			t.Errorf("%s: sessions%s (-want +got):\n%s", c.name, when, d)
		}
	}
}

func TestSessions(t *testing.T) {
	s := newStore(t)
	cases := []sessionCase{
		{"a biflow with its answer", []schema.Record{
			rec("10.0.0.1", 40000, "10.0.0.2", 443, 6, biflow, answer(2)),
		}, []string{"10.0.0.1>10.0.0.2 tcp/443 flows=1 complete=1 half_open=0 denied=0"}},

		{"a biflow without an answer", []schema.Record{
			rec("10.0.0.1", 40000, "10.0.0.2", 22, 6, biflow),
		}, []string{"10.0.0.1>10.0.0.2 tcp/22 flows=1 complete=0 half_open=1 denied=0"}},

		{"a biflow whose answer is a refusal", []schema.Record{
			rec("10.0.0.1", 40000, "10.0.0.2", 22, 6, biflow, answer(1), func(r *schema.Record) { r.TCPFlags, r.RevTCPFlags = 0x02, 0x14 }),
		}, []string{"10.0.0.1>10.0.0.2 tcp/22 flows=1 complete=0 half_open=1 denied=0"}},

		{"a biflow exported by the server's side", []schema.Record{
			rec("10.0.0.2", 443, "10.0.0.1", 40000, 6, biflow, answer(2), reverse),
		}, []string{"10.0.0.1>10.0.0.2 tcp/443 flows=1 complete=1 half_open=0 denied=0"}},

		{"both directions as uniflows", []schema.Record{
			rec("10.0.0.1", 40000, "10.0.0.2", 53, 17, forward),
			rec("10.0.0.2", 53, "10.0.0.1", 40000, 17, reverse),
		}, []string{"10.0.0.1>10.0.0.2 udp/53 flows=2 complete=2 half_open=0 denied=0"}},

		{"a uniflow without its answer", append(twoWays("10.9.9.1"),
			rec("10.0.0.1", 40000, "10.0.0.2", 514, 17, forward),
		), []string{"10.0.0.1>10.0.0.2 udp/514 flows=1 complete=0 half_open=1 denied=0", both}},

		{"a uniflow of an exporter that puts an answer into the record", []schema.Record{
			rec("10.0.0.1", 40000, "10.0.0.2", 53, 17, biflow, answer(1)),
			rec("10.0.0.1", 40000, "10.0.0.2", 514, 17, forward),
		}, []string{
			"10.0.0.1>10.0.0.2 udp/514 flows=1 complete=0 half_open=1 denied=0",
			"10.0.0.1>10.0.0.2 udp/53 flows=1 complete=1 half_open=0 denied=0",
		}},

		{"biflows without answers tell nothing of uniflows", []schema.Record{
			rec("10.0.0.1", 40000, "10.0.0.2", 53, 17, biflow),
			rec("10.0.0.1", 40000, "10.0.0.2", 514, 17, forward),
		}, []string{
			"10.0.0.1>10.0.0.2 udp/514 flows=1 complete=1 half_open=0 denied=0",
			"10.0.0.1>10.0.0.2 udp/53 flows=1 complete=0 half_open=1 denied=0",
		}},

		{"an exporter of one direction knows no answers", []schema.Record{
			rec("10.0.0.1", 40000, "10.0.0.2", 514, 17, forward),
			rec("10.0.0.3", 53, "10.0.0.1", 40000, 17, reverse),
		}, []string{
			"10.0.0.1>10.0.0.2 udp/514 flows=1 complete=1 half_open=0 denied=0",
			"10.0.0.1>10.0.0.3 udp/53 flows=1 complete=1 half_open=0 denied=0",
		}},

		{"directions in different hours make an exporter of both", []schema.Record{
			rec("10.0.0.1", 40000, "10.0.0.2", 53, 17, forward),
			rec("10.0.0.2", 53, "10.0.0.1", 40000, 17, reverse, after(2*time.Hour)),
			rec("10.0.0.1", 40000, "10.0.0.3", 53, 17, forward),
		}, []string{
			"10.0.0.1>10.0.0.2 udp/53 flows=2 complete=2 half_open=0 denied=0",
			"10.0.0.1>10.0.0.3 udp/53 flows=1 complete=0 half_open=1 denied=0",
		}},

		{"a SYN that nobody answered", []schema.Record{
			rec("10.0.0.1", 40000, "10.0.0.2", 22, 6, forward, flags(0x02)),
		}, []string{"10.0.0.1>10.0.0.2 tcp/22 flows=1 complete=0 half_open=1 denied=0"}},

		{"a SYN refused by RST", []schema.Record{
			rec("10.0.0.1", 40000, "10.0.0.2", 22, 6, forward, flags(0x02)),
			rec("10.0.0.2", 22, "10.0.0.1", 40000, 6, reverse, flags(0x14)),
		}, []string{"10.0.0.1>10.0.0.2 tcp/22 flows=2 complete=0 half_open=2 denied=0"}},

		{"the client's ACK shows that it was answered", []schema.Record{
			rec("10.0.0.1", 40000, "10.0.0.2", 22, 6, forward, flags(0x1b)),
		}, []string{"10.0.0.1>10.0.0.2 tcp/22 flows=1 complete=1 half_open=0 denied=0"}},

		{"sampling may have missed the ACK", []schema.Record{
			rec("10.0.0.1", 40000, "10.0.0.2", 22, 6, forward, flags(0x02), func(r *schema.Record) { r.Sampling = 100 }),
		}, []string{"10.0.0.1>10.0.0.2 tcp/22 flows=1 complete=1 half_open=0 denied=0"}},

		// An exporter that shows both directions of another session.
		{"sampling may have missed the answer of an exporter that shows both directions", []schema.Record{
			rec("10.0.0.1", 40000, "10.0.0.2", 22, 6, forward, flags(0x02), sampled(100)),
			rec("10.0.0.1", 40000, "10.0.0.2", 53, 17, forward, sampled(100)),
			rec("10.0.0.1", 40001, "10.0.0.3", 53, 17, forward, sampled(100)), rec("10.0.0.3", 53, "10.0.0.1", 40001, 17, reverse, sampled(100)),
		}, []string{
			"10.0.0.1>10.0.0.2 tcp/22 flows=1 complete=1 half_open=0 denied=0",
			"10.0.0.1>10.0.0.2 udp/53 flows=1 complete=1 half_open=0 denied=0",
			"10.0.0.1>10.0.0.3 udp/53 flows=2 complete=2 half_open=0 denied=0",
		}},

		{"sampling of every packet misses none", []schema.Record{
			rec("10.0.0.1", 40000, "10.0.0.2", 22, 6, forward, flags(0x02), sampled(1)),
			rec("10.0.0.1", 40000, "10.0.0.2", 53, 17, forward, sampled(1)),
			rec("10.0.0.1", 40001, "10.0.0.3", 53, 17, forward, sampled(1)), rec("10.0.0.3", 53, "10.0.0.1", 40001, 17, reverse, sampled(1)),
		}, []string{
			"10.0.0.1>10.0.0.2 tcp/22 flows=1 complete=0 half_open=1 denied=0",
			"10.0.0.1>10.0.0.2 udp/53 flows=1 complete=0 half_open=1 denied=0",
			"10.0.0.1>10.0.0.3 udp/53 flows=2 complete=2 half_open=0 denied=0",
		}},

		{"sampling at an unknown rate", []schema.Record{
			rec("10.0.0.1", 40000, "10.0.0.2", 22, 6, forward, flags(0x02), sampled(schema.SamplingUnknown)),
			rec("10.0.0.1", 40000, "10.0.0.2", 80, 6, biflow, flags(0x02), sampled(schema.SamplingUnknown)),
		}, []string{
			"10.0.0.1>10.0.0.2 tcp/22 flows=1 complete=1 half_open=0 denied=0",
			"10.0.0.1>10.0.0.2 tcp/80 flows=1 complete=1 half_open=0 denied=0",
		}},

		{"a refusal among sampled packets", []schema.Record{
			rec("10.0.0.1", 40000, "10.0.0.2", 22, 6, forward, flags(0x02), sampled(100)),
			rec("10.0.0.2", 22, "10.0.0.1", 40000, 6, reverse, flags(0x14), sampled(100)),
		}, []string{"10.0.0.1>10.0.0.2 tcp/22 flows=2 complete=0 half_open=2 denied=0"}},

		{"the exporter says later that it samples", []schema.Record{
			rec("10.0.0.1", 40000, "10.0.0.2", 22, 6, forward, flags(0x02), from("10.9.9.1")),
			rec("10.0.0.1", 40000, "10.0.0.3", 22, 6, forward, flags(0x1b), from("10.9.9.1"), sampled(1000), after(2*time.Hour)),
			rec("10.0.0.1", 40000, "10.0.0.4", 22, 6, forward, flags(0x02), from("10.9.9.2")),
		}, []string{
			"10.0.0.1>10.0.0.2 tcp/22 flows=1 complete=1 half_open=0 denied=0",
			"10.0.0.1>10.0.0.3 tcp/22 flows=1 complete=1 half_open=0 denied=0",
			"10.0.0.1>10.0.0.4 tcp/22 flows=1 complete=0 half_open=1 denied=0",
		}},

		{"an exporter that does not sample sees that nobody answered", []schema.Record{
			rec("10.0.0.1", 40000, "10.0.0.2", 22, 6, forward, flags(0x02), from("10.9.9.1"), sampled(1000)),
			rec("10.0.0.1", 40000, "10.0.0.2", 22, 6, forward, flags(0x02), from("10.9.9.2")),
		}, []string{"10.0.0.1>10.0.0.2 tcp/22 flows=2 complete=1 half_open=1 denied=0"}},

		{"a source that cannot tell", []schema.Record{
			rec("10.0.0.1", 40000, "10.0.0.2", 22, 6, forward, unknowable),
		}, []string{"10.0.0.1>10.0.0.2 tcp/22 flows=1 complete=1 half_open=0 denied=0"}},

		{"dropped by the network", []schema.Record{
			rec("10.0.0.1", 40000, "10.0.0.2", 22, 6, biflow, dropped, answer(1)),
			rec("10.0.0.2", 22, "10.0.0.1", 40000, 6, reverse, dropped),
		}, []string{"10.0.0.1>10.0.0.2 tcp/22 flows=2 complete=0 half_open=0 denied=2"}},

		{"active timeout slices over hours", []schema.Record{
			rec("10.0.0.1", 40000, "10.0.0.2", 443, 6, forward),
			rec("10.0.0.1", 40000, "10.0.0.2", 443, 6, forward, after(30*time.Minute)),
			rec("10.0.0.1", 40000, "10.0.0.2", 443, 6, forward, after(90*time.Minute)),
			rec("10.0.0.2", 443, "10.0.0.1", 40000, 6, reverse),
		}, []string{"10.0.0.1>10.0.0.2 tcp/443 flows=4 complete=4 half_open=0 denied=0"}},

		{"ping and its reply", []schema.Record{
			rec("10.0.0.1", 0, "10.0.0.2", 0, 1, forward, icmp(8, 0)),
			rec("10.0.0.2", 0, "10.0.0.1", 0, 1, reverse, icmp(0, 0)),
		}, []string{"10.0.0.1>10.0.0.2 icmp/8 flows=2 complete=2 half_open=0 denied=0"}},

		{"ping and its reply over IPv6", []schema.Record{
			rec("2001:db8::1", 0, "2001:db8::2", 0, 58, forward, icmp(128, 0)),
			rec("2001:db8::2", 0, "2001:db8::1", 0, 58, reverse, icmp(129, 0)),
		}, []string{"2001:db8::1>2001:db8::2 ipv6-icmp/128 flows=2 complete=2 half_open=0 denied=0"}},

		{"type 129 is an echo reply of ICMPv6 only", []schema.Record{
			rec("10.0.0.2", 0, "10.0.0.1", 0, 1, reverse, icmp(129, 0)),
		}, []string{"10.0.0.1>10.0.0.2 icmp/129 flows=1 complete=1 half_open=0 denied=0"}},

		{"protocols without ports have none", []schema.Record{
			rec("10.0.0.1", 7, "10.0.0.2", 8, 47, forward),
			rec("10.0.0.1", 9, "10.0.0.2", 10, 47, forward, icmp(3, 3)),
			rec("10.0.0.1", 7, "10.0.0.2", 8, 253, forward),
		}, []string{
			"10.0.0.1>10.0.0.2 253 flows=1 complete=1 half_open=0 denied=0",
			"10.0.0.1>10.0.0.2 gre flows=2 complete=2 half_open=0 denied=0",
		}},

		{"identical records in one row", []schema.Record{
			rec("10.0.0.1", 40000, "10.0.0.2", 443, 6, biflow, answer(1), func(r *schema.Record) { r.Count = 7 }),
		}, []string{"10.0.0.1>10.0.0.2 tcp/443 flows=7 complete=7 half_open=0 denied=0"}},

		{"a decided session tells the undecided", []schema.Record{
			rec("10.0.0.1", 50051, "10.0.0.2", 40000, 6, func(r *schema.Record) { r.Direction, r.Basis = schema.Reverse, schema.BasisTCPFlags }),
			rec("10.0.0.1", 50051, "10.0.0.2", 40000, 6, flags(0x18)),
			rec("10.0.0.2", 40000, "10.0.0.1", 50051, 6, flags(0x18)),
		}, []string{"10.0.0.2>10.0.0.1 tcp/50051 flows=3 complete=3 half_open=0 denied=0"}},

		{"degree tells the rest", []schema.Record{
			rec("10.0.0.1", 40001, "10.0.0.9", 50051, 6, flags(0x18)),
			rec("10.0.0.2", 40002, "10.0.0.9", 50051, 6, flags(0x18)),
			rec("10.0.0.9", 50051, "10.0.0.2", 40002, 6, flags(0x18)),
		}, []string{
			"10.0.0.1>10.0.0.9 tcp/50051 flows=1 complete=1 half_open=0 denied=0",
			"10.0.0.2>10.0.0.9 tcp/50051 flows=2 complete=2 half_open=0 denied=0",
		}},

		{"or whom else an end serves", []schema.Record{
			rec("10.0.0.9", 33060, "10.0.0.2", 2121, 6), rec("10.0.0.9", 33060, "10.0.0.3", 2122, 6),
			rec("10.0.0.5", 40001, "10.0.0.2", 2121, 6, forward),
		}, []string{
			"10.0.0.3>10.0.0.9 tcp/33060 flows=1 complete=1 half_open=0 denied=0",
			"10.0.0.5>10.0.0.2 tcp/2121 flows=1 complete=1 half_open=0 denied=0",
			"10.0.0.9>10.0.0.2 tcp/2121 flows=1 complete=1 half_open=0 denied=0",
		}},

		{"a client fans out to one port of many hosts", []schema.Record{
			rec("10.0.0.9", 40001, "10.0.0.1", 50000, 17), rec("10.0.0.9", 40002, "10.0.0.2", 50000, 17), rec("10.0.0.9", 40003, "10.0.0.3", 50000, 17), rec("10.0.0.9", 40004, "10.0.0.3", 50000, 17),
		}, []string{
			"10.0.0.9>10.0.0.1 udp/50000 flows=1 complete=1 half_open=0 denied=0",
			"10.0.0.9>10.0.0.2 udp/50000 flows=1 complete=1 half_open=0 denied=0",
			"10.0.0.9>10.0.0.3 udp/50000 flows=2 complete=2 half_open=0 denied=0",
		}},

		{"a server of dynamic ports has many peers", []schema.Record{
			rec("10.0.0.1", 40001, "10.0.0.9", 50001, 6, flags(0x18)), rec("10.0.0.2", 40002, "10.0.0.9", 50002, 6, flags(0x18)), rec("10.0.0.9", 50003, "10.0.0.3", 40003, 6, flags(0x18)), rec("10.0.0.9", 50004, "10.0.0.4", 40004, 6),
		}, []string{
			"10.0.0.1>10.0.0.9 tcp/50001 flows=1 complete=1 half_open=0 denied=0",
			"10.0.0.2>10.0.0.9 tcp/50002 flows=1 complete=1 half_open=0 denied=0",
			"10.0.0.3>10.0.0.9 tcp/50003 flows=1 complete=1 half_open=0 denied=0",
			"10.0.0.4>10.0.0.9 tcp/50004 flows=1 complete=1 half_open=0 denied=0",
		}},

		{"a client of many is no server, where a port is not dynamic", []schema.Record{
			rec("10.0.0.9", 1512, "10.0.0.1", 80, 6), rec("10.0.0.9", 1513, "10.0.0.2", 81, 6), rec("10.0.0.9", 1514, "10.0.0.3", 82, 6), rec("10.0.0.9", 1515, "10.0.0.4", 83, 6),
		}, []string{
			"10.0.0.9>10.0.0.1 tcp/80 flows=1 complete=1 half_open=0 denied=0",
			"10.0.0.9>10.0.0.2 tcp/81 flows=1 complete=1 half_open=0 denied=0",
			"10.0.0.9>10.0.0.3 tcp/82 flows=1 complete=1 half_open=0 denied=0",
			"10.0.0.9>10.0.0.4 tcp/83 flows=1 complete=1 half_open=0 denied=0",
		}},

		{"clocks out of their mind", []schema.Record{
			rec("10.0.0.1", 40000, "10.0.0.2", 443, 6, forward, func(r *schema.Record) { r.Start, r.End = 0, 0 }),
			rec("10.0.0.1", 40000, "10.0.0.2", 443, 6, forward, func(r *schema.Record) { r.Start, r.End = 1<<62, -1<<62 }),
			rec("10.0.0.1", 40000, "10.0.0.2", 443, 6, forward, func(r *schema.Record) { r.Start, r.End = r.End, r.Start }),
		}, []string{"10.0.0.1>10.0.0.2 tcp/443 flows=3 complete=3 half_open=0 denied=0"}},
	}
	var all []schema.Record
	for i, c := range cases {
		apart(t, i, c.records)
		all = append(all, c.records...)
	}
	s.insert(all...)
	const query = "SELECT vrf, " + sessionText + " FROM {db}.sessions ORDER BY vrf, client, server, service"
	checkCases(t, s, cases, "", query)
	s.exec("OPTIMIZE TABLE " + s.name + ".sessions_hourly FINAL")
	checkCases(t, s, cases, " after merging", query)
}

const sessionText = "concat(client, '>', server, ' ', service, ' flows=', flows, ' complete=', complete, ' half_open=', half_open, ' denied=', denied)"

func (s *store) sessions() []string {
	return s.rows("SELECT " + sessionText + " FROM {db}.sessions ORDER BY client, server, service")
}

func TestAmbiguousDirectionSaysSo(t *testing.T) {
	s := newStore(t)
	s.insert(rec("10.0.0.1", 9001, "10.0.0.2", 9002, 6), rec("10.0.0.2", 9002, "10.0.0.1", 9001, 6))
	if got, want := s.rows("SELECT client, server, service, direction_basis, client_bytes, server_bytes FROM {db}.sessions"),
		[]string{"10.0.0.2\t10.0.0.1\ttcp/9001\tnone\t100\t100"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := s.rows("SELECT verdict, server_degree, client_degree FROM {db}.session_directions"); !slices.Equal(got, []string{"ambiguous\t1\t1"}) {
		t.Errorf("session_directions: %q", got)
	}
}

// Ends that no port tells apart, and protocols without ports above all: one
// session for both directions, whose client is the only sender, or the end with
// fewer peers, or else, without ports, the higher address. Which record comes
// first changes nothing.
func TestAlikeEnds(t *testing.T) {
	const query = `SELECT s.vrf, client, server, service, direction_basis, client_packets, server_packets, complete, half_open, verdict FROM {db}.sessions AS s
		INNER JOIN {db}.session_directions AS d ON s.vrf = d.vrf AND least(toIPv6(s.client), toIPv6(s.server)) = least(d.client, d.server) AND greatest(toIPv6(s.client), toIPv6(s.server)) = greatest(d.client, d.server) ORDER BY s.vrf, client, server`
	sent := func(n uint64) func(*schema.Record) {
		return func(r *schema.Record) { r.Packets, r.Bytes = n, 100*n }
	}
	s := newStore(t)
	cases := []sessionCase{
		{"a tunnel seen in both directions", []schema.Record{
			rec("10.0.0.2", 0, "10.0.0.1", 0, 47, sent(7)), rec("10.0.0.1", 0, "10.0.0.2", 0, 47, sent(3)),
		}, []string{"10.0.0.2\t10.0.0.1\tgre\tnone\t7\t3\t2\t0\taddress"}},
		{"a tunnel in one biflow", []schema.Record{
			rec("10.0.0.1", 0, "10.0.0.2", 0, 50, answer(3), func(r *schema.Record) { r.Completeness = schema.BothWays }),
		}, []string{"10.0.0.2\t10.0.0.1\tesp\tnone\t3\t1\t1\t0\taddress"}},
		{"one end alone sends", []schema.Record{
			rec("10.0.0.1", 0, "10.0.0.2", 0, 47, unknowable), rec("10.0.0.3", 0, "10.0.0.2", 0, 47, unknowable), rec("10.0.0.1", 0, "10.0.0.4", 0, 47, unknowable),
		}, []string{
			"10.0.0.1\t10.0.0.2\tgre\tdegree\t1\t0\t1\t0\tsender",
			"10.0.0.1\t10.0.0.4\tgre\tdegree\t1\t0\t1\t0\tsender",
			"10.0.0.3\t10.0.0.2\tgre\tdegree\t1\t0\t1\t0\tsender",
		}},
		{"equal ports, one end alone sends to many", []schema.Record{
			rec("10.0.0.1", 123, "10.0.0.2", 123, 17, unknowable), rec("10.0.0.1", 123, "10.0.0.3", 123, 17, unknowable),
		}, []string{
			"10.0.0.1\t10.0.0.2\tudp/123\tdegree\t1\t0\t1\t0\tsender",
			"10.0.0.1\t10.0.0.3\tudp/123\tdegree\t1\t0\t1\t0\tsender",
		}},
		{"equal ports, both send", []schema.Record{
			rec("10.0.0.1", 500, "10.0.0.2", 500, 17), rec("10.0.0.2", 500, "10.0.0.1", 500, 17),
		}, []string{"10.0.0.2\t10.0.0.1\tudp/500\tdegree\t1\t1\t2\t0\taddress"}},
		{"ports that differ say nothing of a sender", []schema.Record{
			rec("10.0.0.1", 9002, "10.0.0.2", 9001, 17, unknowable),
		}, []string{"10.0.0.1\t10.0.0.2\tudp/9001\tnone\t1\t0\t1\t0\tambiguous"}},
		{"a client whose port is a known one by chance", []schema.Record{
			rec("10.0.0.1", 55000, "10.0.0.2", 7070, 6), rec("10.0.0.2", 7070, "10.0.0.1", 55000, 6),
		}, []string{"10.0.0.1\t10.0.0.2\ttcp/7070\tdegree\t1\t1\t2\t0\tports"}},
		{"a host that takes client ports from anywhere", []schema.Record{
			rec("10.0.0.1", 7070, "10.0.0.2", 55000, 6), rec("10.0.0.1", 8181, "10.0.0.3", 55000, 6),
		}, []string{"10.0.0.2\t10.0.0.1\ttcp/7070\tnone\t0\t1\t1\t0\tambiguous", "10.0.0.3\t10.0.0.1\ttcp/8181\tnone\t0\t1\t1\t0\tambiguous"}},
		{"a hub and its spokes", []schema.Record{
			rec("10.0.0.8", 0, "10.0.0.1", 0, 47), rec("10.0.0.1", 0, "10.0.0.8", 0, 47), rec("10.0.0.8", 0, "10.0.0.9", 0, 47), rec("10.0.0.9", 0, "10.0.0.8", 0, 47),
		}, []string{
			"10.0.0.1\t10.0.0.8\tgre\tdegree\t1\t1\t2\t0\tdegree",
			"10.0.0.9\t10.0.0.8\tgre\tdegree\t1\t1\t2\t0\tdegree",
		}},
		{"a record that names the initiator", []schema.Record{
			rec("10.0.0.1", 0, "10.0.0.2", 0, 47, biflow, answer(1)), rec("10.0.0.2", 0, "10.0.0.1", 0, 47, sent(5)),
		}, []string{"10.0.0.1\t10.0.0.2\tgre\tinitiator\t1\t6\t2\t0\tdecided"}},
		{"an exporter of both directions sees no way back", append(twoWays("10.9.9.1"),
			rec("10.0.0.1", 0, "10.0.0.2", 0, 253),
		), []string{"10.0.0.1\t10.0.0.2\t253\tdegree\t1\t0\t0\t1\tsender"}},
		{"the ends of a session that was dropped", []schema.Record{
			rec("10.0.0.2", 0, "10.0.0.1", 0, 51, dropped),
		}, []string{"10.0.0.2\t10.0.0.1\tah\tdegree\t1\t0\t0\t0\tsender"}},
	}
	for i, c := range cases {
		apart(t, i, c.records)
	}
	s.insertOneByOne(cases)
	checkCases(t, s, cases, "", query)
	s.exec("TRUNCATE TABLE " + s.name + ".sessions_hourly")
	for _, c := range cases {
		slices.Reverse(c.records)
	}
	s.insertOneByOne(cases)
	checkCases(t, s, cases, ", the last record first", query)
}

func TestTwoExportersCountOnce(t *testing.T) {
	s := newStore(t)
	other := from("10.9.9.2")
	s.insert(
		rec("10.0.0.1", 40000, "10.0.0.2", 443, 6, forward), rec("10.0.0.2", 443, "10.0.0.1", 40000, 6, reverse),
		rec("10.0.0.1", 40000, "10.0.0.2", 443, 6, forward, other),
		// The way back goes past the other one only.
		rec("10.0.0.1", 40000, "10.0.0.3", 443, 6, forward), rec("10.0.0.3", 443, "10.0.0.1", 40000, 6, reverse, other),
		rec("10.0.0.1", 40000, "10.0.0.4", 443, 6, forward, from("::")),
	)
	got := s.rows("SELECT server, client_packets, client_bytes, server_packets, server_bytes, flows, complete, exporters FROM {db}.sessions ORDER BY server")
	want := []string{
		"10.0.0.2\t1\t100\t1\t100\t2\t2\t['10.9.9.1','10.9.9.2']",
		"10.0.0.3\t1\t100\t1\t100\t2\t2\t['10.9.9.1','10.9.9.2']",
		"10.0.0.4\t1\t100\t0\t0\t1\t1\t[]",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("sessions (-want +got):\n%s", d)
	}
}

// What counters say where exporters saw different parts of a session, and what
// they cannot say, since sessions_hourly has no flows to tell apart. The
// documentation (docs/sql-cookbook.md) has the same figures.
func TestCountersOfSeveralPlaces(t *testing.T) {
	s := newStore(t)
	one, two := from("10.9.9.1"), from("10.9.9.2")
	s.insert(
		// Two flows, each past another exporter: the larger one counts.
		rec("10.0.0.1", 40000, "10.0.0.2", 443, 6, biflow, answer(3), one), rec("10.0.0.1", 40001, "10.0.0.2", 443, 6, biflow, answer(5), two),
		// The same in different hours.
		rec("10.0.0.1", 40000, "10.0.0.3", 443, 6, biflow, answer(3), one), rec("10.0.0.1", 40001, "10.0.0.3", 443, 6, biflow, answer(5), two, after(time.Hour)),
		// One flow, a biflow here and two uniflows there.
		rec("10.0.0.1", 40000, "10.0.0.4", 53, 17, biflow, answer(1), one),
		rec("10.0.0.1", 40000, "10.0.0.4", 53, 17, forward, two), rec("10.0.0.4", 53, "10.0.0.1", 40000, 17, reverse, two),
		// Two samplings in one hour.
		rec("10.0.0.1", 40000, "10.0.0.5", 443, 6, biflow, answer(0), sampled(10)), rec("10.0.0.1", 40001, "10.0.0.5", 443, 6, biflow, answer(0), sampled(1000)),
		// And in two.
		rec("10.0.0.1", 40000, "10.0.0.6", 443, 6, biflow, answer(0), sampled(10)), rec("10.0.0.1", 40001, "10.0.0.6", 443, 6, biflow, answer(0), sampled(1000), after(time.Hour)),
		// At an unknown rate what was seen is the least there was.
		rec("10.0.0.1", 40000, "10.0.0.7", 443, 6, biflow, answer(0), sampled(schema.SamplingUnknown)),
	)
	want := []string{
		"10.0.0.2\t1\t1\t5\t6", // sent were 2 and 8
		"10.0.0.3\t2\t2\t8\t10",
		"10.0.0.4\t3\t1\t1\t2",
		"10.0.0.5\t2\t2\t0\t2000", // 1010 is right
		"10.0.0.6\t2\t2\t0\t1010",
		"10.0.0.7\t1\t1\t0\t1",
	}
	got := s.rows(`SELECT server, flows, client_packets, server_packets, scaled_packets
		FROM {db}.sessions_window(since = '2020-01-01', until = '2100-01-01') ORDER BY server`)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("sessions (-want +got):\n%s", d)
	}
}

func TestFirstAndLastSeen(t *testing.T) {
	s := newStore(t)
	s.insert(
		rec("10.0.0.1", 40000, "10.0.0.2", 443, 6, forward, after(-3*time.Hour)), rec("10.0.0.1", 40000, "10.0.0.2", 443, 6, forward),
		// Without a clock, the time of receipt.
		rec("10.0.0.1", 40000, "10.0.0.3", 443, 6, forward, func(r *schema.Record) { r.Start, r.End = 0, 5e6 }),
	)
	got := s.rows("SELECT server, first_seen, last_seen FROM {db}.sessions ORDER BY server")
	want := []string{
		"10.0.0.2\t2026-11-20 09:00:00.000000\t2026-11-20 12:00:01.000000",
		"10.0.0.3\t2026-11-20 12:00:05.000000\t2026-11-20 12:00:05.000000",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("sessions (-want +got):\n%s", d)
	}
	// A window has what overlaps it.
	for window, want := range map[string][]string{
		"since = '2026-11-20 12:00:00', until = '2026-11-20 12:00:02'":        {"10.0.0.2\t1\t1"},
		"since = '2026-11-20 12:00:01.000001', until = '2026-11-21 00:00:00'": {"10.0.0.3\t1\t1"},
		"since = '2026-11-20 09:00:01', until = '2026-11-20 12:00:00'":        {"10.0.0.2\t1\t1"},
		"since = '2026-11-20 09:30:00', until = '2026-11-20 12:00:00'":        nil,
		"since = '2026-11-20 00:00:00', until = '2026-11-21 00:00:00'":        {"10.0.0.2\t2\t2", "10.0.0.3\t1\t1"},
	} {
		got := s.rows("SELECT server, flows, hours FROM {db}.sessions_window(" + window + ") ORDER BY server")
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("sessions_window(%s) (-want +got):\n%s", window, d)
		}
	}
}

func TestPeoplesQueries(t *testing.T) {
	s := newStore(t)
	s.insert(
		rec("10.0.0.1", 40000, "10.0.0.2", 443, 6, forward), rec("192.0.2.1", 40000, "10.0.0.2", 443, 6, forward),
		rec("2001:db8::1", 40000, "2001:db8::2", 443, 6, forward),
	)
	for query, want := range map[string]string{
		"SELECT count() FROM {db}.sessions WHERE client = '10.0.0.1'":                                                                                             "1",
		"SELECT count() FROM {db}.sessions WHERE server = '10.0.0.2' AND service = 'tcp/443'":                                                                     "2",
		"SELECT client FROM {db}.sessions WHERE isIPAddressInRange(client, '10.0.0.0/8')":                                                                         "10.0.0.1",
		"SELECT client FROM {db}.sessions WHERE isIPAddressInRange(client, '2001:db8::/32')":                                                                      "2001:db8::1",
		"SELECT dst FROM {db}.flows WHERE src = '10.0.0.1'":                                                                                                       "10.0.0.2",
		"SELECT arrayStringConcat(groupArray(name), ',') FROM (SELECT name FROM system.columns WHERE database = '{db}' AND table = 'sessions' ORDER BY position)": "vrf,client,server,proto,port,icmp_type,icmp_code,service,first_seen,last_seen,flows,client_packets,client_bytes,server_packets,server_bytes,complete,half_open,denied,direction_basis,exporters",
		"SELECT count() FROM (SELECT * FROM {db}.sessions ORDER BY ALL)":                                                                                          "3",
		// Types that any client knows.
		"SELECT count() FROM system.columns WHERE database = '{db}' AND table IN ('sessions', 'sessions_window', 'exporters', 'groups', 'proposals') AND type LIKE '%Aggregate%'": "0",
		"SELECT count() FROM {db}.sessions WHERE direction_basis = 'port-range' AND has(exporters,'10.9.9.1')":                                                                    "3",
	} {
		if got := s.rows(query); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
}

// Any order of arrival and any division into batches gives the same sessions.
func TestOrderOfArrivalChangesNothing(t *testing.T) {
	s, again := newStore(t), newStore(t)
	const all = "SELECT * FROM {db}.sessions ORDER BY vrf, client, server, service, icmp_code"
	seed := 0
	for range 4 {
		records := make([]schema.Record, 300)
		for i := range records {
			records[i] = flowRecords().Example(seed)
			seed++
		}
		for _, x := range []*store{s, again} {
			x.exec("TRUNCATE TABLE " + x.name + ".sessions_hourly")
		}
		s.insert(records...)
		want := s.rows(all)

		order := rapid.Permutation(records).Example(seed)
		for len(order) > 0 {
			seed++
			n := min(rapid.IntRange(1, 100).Example(seed), len(order))
			again.insert(order[:n]...)
			order = order[n:]
		}
		if d := cmp.Diff(want, again.rows(all)); d != "" {
			t.Fatalf("sessions (-one batch +many):\n%.5000s", d)
		}
	}
}

// vector reads a case that restates another product's test.
func vector(t *testing.T, name string, v any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "shared", "vectors", name))
	if err != nil {
		t.Skip("needs ../shared: ", err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatal(err)
	}
}

// Five one-way records, one of them from a second exporter, make one session.
func TestStitchVector(t *testing.T) {
	var v struct {
		Records []struct {
			T              int64
			Src, Dst       string
			Bytes, Packets uint64
			Duplicate      bool
		}
		Expected struct {
			Sessions []struct {
				A, B      string
				BytesAB   uint64 `json:"bytes_ab"`
				BytesBA   uint64 `json:"bytes_ba"`
				PacketsAB uint64 `json:"packets_ab"`
				PacketsBA uint64 `json:"packets_ba"`
				Records   uint64
				FirstSeen int64 `json:"first_seen"`
				LastSeen  int64 `json:"last_seen"`
			}
		}
	}
	vector(t, "11_stitch_bidirectional_session.json", &v)
	var records []schema.Record
	for _, r := range v.Records {
		src, dst := netip.MustParseAddrPort(r.Src), netip.MustParseAddrPort(r.Dst)
		records = append(records, rec(src.Addr().String(), src.Port(), dst.Addr().String(), dst.Port(), 6, func(x *schema.Record) {
			x.Bytes, x.Packets = r.Bytes, r.Packets
			x.Start = noon.Unix()*1e6 + r.T*1e6
			x.End = x.Start
			if r.Duplicate {
				x.Exporter = ip("10.9.9.2")
			}
		}))
	}
	want := v.Expected.Sessions[0]
	for _, name := range []string{"in order", "reversed"} {
		s := newStore(t)
		for _, r := range records {
			s.insert(r)
		}
		slices.Reverse(records)
		got := s.rows(`SELECT client, client_bytes, server_bytes, client_packets, server_packets, flows,
			toUnixTimestamp(first_seen) - ` + strconv.FormatInt(noon.Unix(), 10) + `, toUnixTimestamp(last_seen) - ` + strconv.FormatInt(noon.Unix(), 10) + ` FROM {db}.sessions`)
		// Nothing tells client from server, so either may be A.
		a := fmt.Sprintf("%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d", netip.MustParseAddrPort(want.A).Addr(), want.BytesAB, want.BytesBA, want.PacketsAB, want.PacketsBA, want.Records, want.FirstSeen, want.LastSeen)
		b := fmt.Sprintf("%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d", netip.MustParseAddrPort(want.B).Addr(), want.BytesBA, want.BytesAB, want.PacketsBA, want.PacketsAB, want.Records, want.FirstSeen, want.LastSeen)
		if len(got) != 1 || got[0] != a && got[0] != b {
			t.Errorf("%s: got\n%s\nwant\n%s\nor\n%s", name, strings.Join(got, "\n"), a, b)
		}
	}
}

// Replies seen alone, their direction unknown, are sessions to the one port
// that many talk to.
func TestEphemeralStormVector(t *testing.T) {
	var v struct {
		Records []struct {
			Src, Dst     string
			Sport, Dport uint16
		} `json:"raw_records"`
		Flows []struct {
			Src, Dst struct{ IP string }
			Dport    uint16
		}
	}
	vector(t, "09_direction_ephemeral_storm.json", &v)
	s := newStore(t)
	for _, r := range v.Records {
		s.insert(rec(r.Src, r.Sport, r.Dst, r.Dport, 6, flags(0x18)))
	}
	var want []string
	for _, f := range v.Flows {
		want = append(want, fmt.Sprintf("%s>%s tcp/%d flows=1 complete=1 half_open=0 denied=0", f.Src.IP, f.Dst.IP, f.Dport))
	}
	slices.Sort(want)
	if d := cmp.Diff(want, s.sessions()); d != "" {
		t.Errorf("sessions (-want +got):\n%s", d)
	}
}

// TestSamplingAnnouncedLast: an exporter that announces its sampling after all of
// its records has sampled them; what imported files hold says nothing of others.
func TestSamplingAnnouncedLast(t *testing.T) {
	s := newStore(t)
	s.insert(
		rec("10.0.0.1", 40000, "10.0.0.2", 22, 6, forward, flags(0x02), from("10.9.9.1")),
		rec("10.0.0.1", 40000, "10.0.0.3", 22, 6, forward, flags(0x02), from("10.9.9.2")),
		rec("10.0.0.1", 40000, "10.0.0.4", 22, 6, forward, flags(0x02), from("::")),
	)
	s.exec("INSERT INTO " + s.name + `.exporter_stats (time, exporter, sampling)
		SELECT '2026-11-20 12:00:10', toIPv6(said.1), said.2 FROM (SELECT arrayJoin([('10.9.9.1', 1000), ('10.9.9.2', 1), ('::', 1000)]) AS said)`)
	got := s.rows(`SELECT server, complete, half_open, sampling FROM {db}.sessions_window(since = '2020-01-01', until = '2100-01-01') ORDER BY server`)
	want := []string{"10.0.0.2\t1\t0\t4294967295", "10.0.0.3\t0\t1\t0", "10.0.0.4\t0\t1\t0"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("sessions (-want +got):\n%s", d)
	}
}
