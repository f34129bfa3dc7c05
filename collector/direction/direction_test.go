package direction

import (
	"fmt"
	"net/netip"
	"testing"

	"cordon/categories"
	"cordon/internal/recordtest"
	"cordon/schema"

	"pgregory.net/rapid"
)

const (
	unknown = schema.DirectionUnknown
	forward = schema.Forward
	reverse = schema.Reverse
)

func mustNew(t testing.TB, c Config) *Rules {
	t.Helper()
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTCPFlags(t *testing.T) {
	const (
		F, S, R, P, A, E, C = 0x01, 0x02, 0x04, 0x08, 0x10, 0x40, 0x80
	)
	tests := []struct {
		name                string
		flags, rev          uint16
		packets, revPackets uint64
		want                schema.Direction
	}{
		{"attempt", S, 0, 1, 0, forward},
		{"attempt repeated", S, 0, 3, 0, forward},
		{"attempt without packet count", S, 0, 0, 0, forward},
		{"attempt offering ECN", S | E | C, 0, 1, 0, forward},
		{"half-open scan: SYN, then RST", S | R, 0, 2, 0, forward},
		{"SYN FIN probe", S | F, 0, 1, 0, forward},
		{"SYN-ACK alone", S | A, 0, 1, 0, reverse},
		{"SYN-ACK alone, with ECN", S | A | E, 0, 1, 0, reverse},
		{"SYN-ACK with data (TCP Fast Open)", S | A | P, 0, 1, 0, reverse},
		{"SYN and ACK without packet count", S | A, 0, 0, 0, unknown},
		{"a whole connection, said to be one packet", S | A | P | F, 0, 1, 0, unknown},
		{"a reset one, said to be one packet", S | A | R, 0, 1, 0, unknown},
		{"SYN and ACK in two packets", S | A, 0, 2, 0, unknown},
		{"a whole connection", S | A | P | F, 0, 9, 0, unknown},
		{"a whole connection with ECN, server's side", S | A | P | F | E, 0, 9, 0, reverse},
		{"a whole connection with ECN, client's side", S | A | P | F | E | C, 0, 9, 0, unknown},
		{"refused", R | A, 0, 1, 0, unknown},
		{"reset", R, 0, 1, 0, unknown},
		{"middle of a connection", A | P, 0, 9, 0, unknown},
		{"end of a connection", A | F, 0, 2, 0, unknown},
		{"no flags", 0, 0, 9, 0, unknown},
		{"every flag", 0x1ff, 0, 9, 0, unknown},

		{"biflow, whole connection", S | A | P | F, S | A | P | F, 9, 9, unknown},
		{"biflow, refused", S, R | A, 1, 1, forward},
		{"biflow, refused, the other way round", R | A, S, 1, 1, reverse},
		{"biflow, half-open", S, S | A, 1, 1, forward},
		{"biflow, SYN-ACK first", S | A, A, 1, 2, reverse},
		{"biflow, one SYN-ACK answers many packets", S | A | P, S | A, 5, 1, forward},
		{"biflow, the same, the other way round", S | A, S | A | P, 1, 5, reverse},
		{"biflow, no answer", S, 0, 3, 0, forward},
		{"biflow, answer only", 0, S, 0, 1, reverse},
		{"biflow, simultaneous open", S, S, 1, 1, unknown},
		{"biflow, two SYN-ACKs", S | A, S | A, 1, 1, unknown},
		{"biflow, union of both sides", S | A | R, 0, 1, 1, unknown},
		{"biflow, union of both sides on the other side", 0, S | A | R, 1, 1, unknown},
		{"biflow, SYN in the union of both sides", S, 0, 1, 1, forward},
	}
	rules := mustNew(t, Config{})
	for _, test := range tests {
		for _, count := range []uint32{0, 1, 5} {
			t.Run(fmt.Sprintf("%s/%d", test.name, count), func(t *testing.T) {
				n := uint64(max(count, 1))
				rec := schema.Record{
					Proto: 6, SrcPort: 21000, DstPort: 21001, Count: count,
					TCPFlags: test.flags, RevTCPFlags: test.rev, Packets: n * test.packets, RevPackets: n * test.revPackets,
				}
				rules.Infer(&rec)
				if rec.Direction != test.want {
					t.Errorf("direction %d, want %d", rec.Direction, test.want)
				}
				if want := basis(test.want, schema.BasisTCPFlags); rec.Basis != want {
					t.Errorf("basis %d, want %d", rec.Basis, want)
				}
			})
		}
	}
}

func basis(d schema.Direction, b schema.Basis) schema.Basis {
	if d == unknown {
		return schema.BasisNone
	}
	return b
}

// A default of one packet is no evidence that the flags are those of one.
func TestAssumedPacketIsNoCount(t *testing.T) {
	const S, A, E = 0x02, 0x10, 0x40
	for _, test := range []struct {
		name  string
		flags uint16
		want  schema.Direction
	}{
		{"SYN and ACK", S | A, unknown},
		{"SYN and ACK of a server with ECN", S | A | E, reverse},
		{"attempt", S, forward},
	} {
		rec := schema.Record{Proto: 6, SrcPort: 21000, DstPort: 21001, TCPFlags: test.flags, Packets: 1, PacketsAssumed: true}
		mustNew(t, Config{}).Infer(&rec)
		if rec.Direction != test.want {
			t.Errorf("%s: direction %d, want %d", test.name, rec.Direction, test.want)
		}
	}
}

func TestFlagsOfOtherProtocolsSayNothing(t *testing.T) {
	rec := schema.Record{Proto: 17, SrcPort: 21000, DstPort: 21001, TCPFlags: 0x02, Packets: 1}
	mustNew(t, Config{}).Infer(&rec)
	if rec.Direction != unknown {
		t.Errorf("direction %d from the TCP flags of a UDP record", rec.Direction)
	}
}

func TestICMP(t *testing.T) {
	tests := []struct {
		name            string
		proto, typ      uint8
		code            uint8
		dst             string
		want            schema.Direction
		service, srvcod uint8
	}{
		{"echo", 1, 8, 0, "10.0.0.2", forward, 8, 0},
		{"echo reply", 1, 0, 0, "10.0.0.2", reverse, 8, 0},
		{"timestamp", 1, 13, 0, "10.0.0.2", forward, 13, 0},
		{"timestamp reply", 1, 14, 0, "10.0.0.2", reverse, 13, 0},
		{"information reply", 1, 16, 0, "10.0.0.2", reverse, 15, 0},
		{"address mask reply", 1, 18, 0, "10.0.0.2", reverse, 17, 0},
		{"router solicitation", 1, 10, 0, "224.0.0.2", forward, 10, 0},
		{"router advertisement, solicited", 1, 9, 0, "10.0.0.2", reverse, 10, 0},
		{"router advertisement to all", 1, 9, 16, "224.0.0.1", forward, 9, 16},
		{"extended echo reply with its own code", 1, 43, 2, "10.0.0.2", reverse, 42, 0},
		{"port unreachable", 1, 3, 3, "10.0.0.2", forward, 3, 3},
		{"source quench", 1, 4, 0, "10.0.0.2", forward, 4, 0},
		{"redirect", 1, 5, 1, "10.0.0.2", forward, 5, 1},
		{"time exceeded", 1, 11, 0, "10.0.0.2", forward, 11, 0},
		{"129 is not ICMPv6's here", 1, 129, 0, "10.0.0.2", forward, 129, 0},
		{"echo v6", 58, 128, 0, "2001:db8::2", forward, 128, 0},
		{"echo reply v6", 58, 129, 0, "2001:db8::2", reverse, 128, 0},
		{"router advertisement v6 to all", 58, 134, 0, "ff02::1", forward, 134, 0},
		{"router advertisement v6, solicited", 58, 134, 0, "fe80::2", reverse, 133, 0},
		{"neighbour advertisement", 58, 136, 0, "2001:db8::2", reverse, 135, 0},
		{"node information reply", 58, 140, 1, "2001:db8::2", reverse, 139, 0},
		{"home agent discovery reply", 58, 145, 0, "2001:db8::2", reverse, 144, 0},
		{"mobile prefix advertisement", 58, 147, 0, "2001:db8::2", reverse, 146, 0},
		{"listener report", 58, 143, 0, "ff02::16", forward, 143, 0},
		{"packet too big", 58, 2, 0, "2001:db8::2", forward, 2, 0},
		{"0 is not ICMP's here", 58, 0, 0, "2001:db8::2", forward, 0, 0},
	}
	rules := mustNew(t, Config{})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rec := schema.Record{Proto: test.proto, ICMPType: test.typ, ICMPCode: test.code, Dst: schema.Addr16(netip.MustParseAddr(test.dst))}
			rules.Infer(&rec)
			if rec.Direction != test.want || rec.Basis != schema.BasisICMP {
				t.Errorf("direction %d by %d, want %d by %d", rec.Direction, rec.Basis, test.want, schema.BasisICMP)
			}
			proto, port, typ, code := recordtest.Service(&rec)
			if proto != test.proto || port != 0 || typ != test.service || code != test.srvcod {
				t.Errorf("service %d port %d type %d code %d, want type %d code %d", proto, port, typ, code, test.service, test.srvcod)
			}
		})
	}
}

func TestPorts(t *testing.T) {
	const (
		none  = schema.BasisNone
		known = schema.BasisKnownPort
		byRng = schema.BasisPortRange
	)
	tests := []struct {
		name     string
		proto    uint8
		src, dst uint16
		want     schema.Direction
		basis    schema.Basis
		port     uint16
	}{
		{"service", 6, 51000, 443, forward, byRng, 443},
		{"unknown system port", 6, 51000, 1000, forward, byRng, 1000},
		{"unknown user port", 6, 40000, 7070, forward, byRng, 7070},
		{"unknown user port, the reply", 6, 7070, 40000, reverse, byRng, 7070},
		{"above Linux's range", 6, 62000, 7070, forward, byRng, 7070},
		{"below Linux's range", 6, 32767, 7070, unknown, none, 7070},
		{"both ephemeral", 6, 40000, 40001, unknown, none, 40001},
		{"both user ports", 6, 21000, 21001, unknown, none, 21001},
		{"both system ports", 6, 1000, 1001, unknown, none, 1001},
		{"equal", 17, 123, 123, unknown, none, 123},
		{"equal and ephemeral", 17, 51820, 51820, unknown, none, 51820},
		{"equal and zero: later fragments", 17, 0, 0, unknown, none, 0},
		{"gRPC", 6, 40000, 50051, forward, known, 50051},
		{"gRPC, the reply", 6, 50051, 40000, reverse, known, 50051},
		{"gRPC against a known service", 6, 50051, 443, forward, byRng, 443},
		{"a known service against gRPC", 6, 443, 50051, reverse, byRng, 443},
		{"gRPC against an unknown user port", 6, 50051, 7070, unknown, none, 7070},
		{"gRPC against an unknown system port", 6, 50051, 1000, forward, byRng, 1000},
		{"an unknown system port against gRPC", 6, 1000, 50051, reverse, byRng, 1000},
		{"gRPC is not UDP", 17, 50051, 40000, unknown, none, 40000},
		{"old client range", 6, 1039, 80, forward, known, 80},
		{"old client range, the reply", 6, 80, 1039, reverse, known, 80},
		{"system port against user port", 17, 21000, 1000, forward, known, 1000},
		{"reserved client port (NFS)", 6, 666, 2049, forward, known, 2049},
		{"both known", 17, 53, 514, unknown, none, 514},
		{"DHCP", 17, 68, 67, forward, known, 67},
		{"DHCP, the reply", 17, 67, 68, reverse, known, 67},
		{"DHCPv6", 17, 546, 547, forward, known, 547},
		{"SNMP trap", 17, 161, 162, forward, known, 162},
		{"BFD", 17, 49152, 3784, forward, byRng, 3784},
		{"client port collapsed", 6, 0, 443, forward, byRng, 443},
		{"client port collapsed, the reply", 6, 443, 0, reverse, byRng, 443},
		{"client port collapsed, service ephemeral", 6, 0, 60000, forward, byRng, 60000},
		{"SCTP", 132, 51000, 2905, forward, byRng, 2905},
		{"DCCP", 33, 51000, 2905, forward, byRng, 2905},
		{"UDP-Lite knows UDP's services", 136, 21000, 53, forward, known, 53},
		{"no ports", 47, 51000, 443, unknown, none, 0},
	}
	rules := mustNew(t, Config{})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rec := schema.Record{Proto: test.proto, SrcPort: test.src, DstPort: test.dst}
			rules.Infer(&rec)
			if rec.Direction != test.want || rec.Basis != test.basis {
				t.Errorf("direction %d by %d, want %d by %d", rec.Direction, rec.Basis, test.want, test.basis)
			}
			if _, port, _, _ := recordtest.Service(&rec); port != test.port {
				t.Errorf("port %d, want %d", port, test.port)
			}
		})
	}
}

func TestPrecedence(t *testing.T) {
	rules := mustNew(t, Config{})
	for _, basis := range []schema.Basis{schema.BasisStated, schema.BasisInitiator} {
		want := schema.Record{Proto: 6, SrcPort: 50000, DstPort: 443, TCPFlags: 0x02, Packets: 1, Direction: reverse, Basis: basis}
		got := want
		rules.Infer(&got)
		if got != want {
			t.Errorf("basis %d was overruled: direction %d by %d", basis, got.Direction, got.Basis)
		}
	}
	rec := schema.Record{Proto: 6, SrcPort: 20, DstPort: 50000, TCPFlags: 0x02, Packets: 1} // active FTP: the server opens the data connection
	rules.Infer(&rec)
	if rec.Direction != forward || rec.Basis != schema.BasisTCPFlags {
		t.Errorf("direction %d by %d: ports overruled a SYN", rec.Direction, rec.Basis)
	}
}

func TestConfig(t *testing.T) {
	term := func(s string) categories.ServiceTerm {
		term, err := categories.ParseServiceTerm(s)
		if err != nil {
			t.Fatal(err)
		}
		return term
	}
	rules := mustNew(t, Config{Ephemeral: []PortRange{{1025, 5000}}, Services: []categories.ServiceTerm{term("tcp/61000-61010")}})
	for _, test := range []struct {
		proto    uint8
		src, dst uint16
		want     schema.Direction
	}{
		{6, 1025, 7070, forward},
		{6, 40000, 7070, unknown},
		{6, 40000, 61010, forward},
		{17, 40000, 61010, unknown},
	} {
		rec := schema.Record{Proto: test.proto, SrcPort: test.src, DstPort: test.dst}
		if rules.Infer(&rec); rec.Direction != test.want {
			t.Errorf("%d: %d to %d: direction %d, want %d", test.proto, test.src, test.dst, rec.Direction, test.want)
		}
	}

	for _, test := range []struct {
		config Config
		want   string
	}{
		{Config{Ephemeral: []PortRange{{60999, 32768}}}, "ephemeral ports 60999-32768: write the lower port first, from 1 to 65535"},
		{Config{Services: []categories.ServiceTerm{term("gre")}}, "service gre: gre has no ports, and only a port can be told from an ephemeral one"},
		{Config{Services: []categories.ServiceTerm{term("tcp")}}, "service tcp: name the ports, since a port that is known tells the server from the client"},
	} {
		if _, err := New(test.config); err == nil || err.Error() != test.want {
			t.Errorf("error %v, want %s", err, test.want)
		}
	}
}

// Whatever a record holds, its mirror image gives the same client, server and
// service, unless the message is ICMP, where only one end can have sent it.
func TestMirror(t *testing.T) {
	rules := mustNew(t, Config{})
	port := rapid.OneOf(rapid.Uint16(), rapid.SampledFrom([]uint16{0, 53, 67, 68, 80, 123, 161, 162, 443, 546, 547, 1024, 2049, 7070, 32768, 50051, 49152, 65535}))
	rapid.Check(t, func(t *rapid.T) {
		rec := schema.Record{
			Proto: rapid.SampledFrom([]uint8{6, 17, 33, 47, 132, 136}).Draw(t, "proto"), SrcPort: port.Draw(t, "src"), DstPort: port.Draw(t, "dst"),
			TCPFlags: rapid.Uint16Max(0x1ff).Draw(t, "flags"), RevTCPFlags: rapid.Uint16Max(0x1ff).Draw(t, "rflags"),
			Packets: rapid.Uint64Max(3).Draw(t, "packets"), RevPackets: rapid.Uint64Max(3).Draw(t, "rpackets"),
		}
		mirror := rec
		mirror.SrcPort, mirror.DstPort = rec.DstPort, rec.SrcPort
		mirror.TCPFlags, mirror.RevTCPFlags = rec.RevTCPFlags, rec.TCPFlags
		mirror.Packets, mirror.RevPackets = rec.RevPackets, rec.Packets
		rules.Infer(&rec)
		rules.Infer(&mirror)
		if opposite := [...]schema.Direction{unknown, reverse, forward}; mirror.Direction != opposite[rec.Direction] || mirror.Basis != rec.Basis {
			t.Fatalf("direction %d by %d, mirrored %d by %d", rec.Direction, rec.Basis, mirror.Direction, mirror.Basis)
		}
		if rec.Direction != unknown {
			_, p, _, _ := recordtest.Service(&rec)
			_, q, _, _ := recordtest.Service(&mirror)
			if p != q {
				t.Fatalf("port %d, mirrored %d", p, q)
			}
		}
		if (rec.Direction == unknown) != (rec.Basis == schema.BasisNone) {
			t.Fatalf("direction %d by %d", rec.Direction, rec.Basis)
		}
		again := rec
		if rules.Infer(&again); again != rec {
			t.Fatal("a second look changed the record")
		}
	})
}

func TestInferDoesNotAllocate(t *testing.T) {
	rules := mustNew(t, Config{})
	rec := schema.Record{Proto: 6, SrcPort: 40000, DstPort: 443, TCPFlags: 0x1b, Packets: 9}
	if n := testing.AllocsPerRun(100, func() { rec.Basis = 0; rules.Infer(&rec) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkInfer(b *testing.B) {
	rules := mustNew(b, Config{})
	recs := make([]schema.Record, 4096)
	for i := range recs {
		recs[i] = schema.Record{Proto: [...]uint8{6, 6, 17, 1}[i%4], SrcPort: uint16(32768 + i*7), DstPort: [...]uint16{443, 53, 80, 50051, 22}[i%5], TCPFlags: 0x1b, Packets: 9, ICMPType: 8}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		r := &recs[i&4095]
		r.Basis = schema.BasisNone
		rules.Infer(r)
		i++
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N), "ns/record")
}
