package ipfix

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"cordon/internal/iana"
	"cordon/schema"

	"github.com/google/go-cmp/cmp"
)

// The packets of these tests are put together from the transport header outwards.

func tcpHead(sport, dport uint16, flags byte) []byte {
	b := make([]byte, 20)
	binary.BigEndian.PutUint16(b, sport)
	binary.BigEndian.PutUint16(b[2:], dport)
	b[12], b[13] = 0x50, flags
	return b
}

func portsHead(sport, dport uint16) []byte {
	b := make([]byte, 8)
	binary.BigEndian.PutUint16(b, sport)
	binary.BigEndian.PutUint16(b[2:], dport)
	return b
}

// in4 puts a payload into an IPv4 packet of 1000 octets.
func in4(proto byte, fragment uint16, options int, payload []byte) []byte {
	b := make([]byte, 20+options)
	b[0], b[8], b[9] = 0x45+byte(options/4), 64, proto
	binary.BigEndian.PutUint16(b[2:], 1000)
	binary.BigEndian.PutUint16(b[6:], fragment)
	copy(b[12:], ab)
	return append(b, payload...)
}

// in6 puts extension headers and a payload into an IPv6 packet of 1000 octets.
func in6(next byte, payload ...[]byte) []byte {
	b := make([]byte, 40)
	b[0], b[6], b[7] = 0x60, next, 64
	binary.BigEndian.PutUint16(b[4:], 960)
	b[8], b[23], b[24], b[39] = 0xfd, 1, 0xfd, 2
	return append(b, cat(payload...)...)
}

// ext is an extension header of 8 bytes, with what its last six are.
func ext(next byte, rest ...byte) []byte {
	return append(append([]byte{next, 0}, rest...), make([]byte, 6-len(rest))...)
}

func inEther(typ uint16, payload []byte) []byte {
	return append(binary.BigEndian.AppendUint16(make([]byte, 12), typ), payload...)
}

// tag puts a VLAN tag before what follows the type of a frame.
func tag(vlan, typ uint16, payload []byte) []byte {
	return append(binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, vlan|0x6000), typ), payload...)
}

func label(n uint32, bottom bool, payload []byte) []byte {
	v := n<<12 | 64
	if bottom {
		v |= 0x100
	}
	return append(binary.BigEndian.AppendUint32(nil, v), payload...)
}

// TestPacketHeads: a record that holds the beginning of a packet is one of this
// packet, as far as its headers were not cut off.
func TestPacketHeads(t *testing.T) {
	syn := in4(iana.TCP, 0, 0, tcpHead(40000, 443, 0x02))
	ip6 := func(r *schema.Record) {
		r.Src, r.Dst = netip.MustParseAddr("fd00::1").As16(), netip.MustParseAddr("fd00::2").As16()
	}
	packet := func(change ...func(*schema.Record)) *schema.Record {
		r := base()
		r.Packets, r.Bytes, r.TCPFlags = 1, 1000, 0x02
		for _, f := range change {
			f(&r)
		}
		return &r
	}
	as := func(proto uint8, sport, dport, flags uint16) func(*schema.Record) {
		return func(r *schema.Record) { r.Proto, r.SrcPort, r.DstPort, r.TCPFlags = proto, sport, dport, flags }
	}
	vlan := func(n uint16) func(*schema.Record) { return func(r *schema.Record) { r.VLAN = n } }
	frame := func(b []byte) []value { return []value{{ie(315, variable), b}} }
	section := func(b []byte) []value { return []value{{ie(313, variable), b}} }
	none := (*schema.Record)(nil)
	for _, c := range []struct {
		name   string
		values []value
		want   *schema.Record
	}{
		{"IPv4", section(syn), packet()},
		{"Ethernet", frame(inEther(etherIPv4, syn)), packet()},
		{"Ethernet, by the older element", []value{{ie(104, variable), inEther(etherIPv4, syn)}}, packet()},
		{"Ethernet, a fixed length over 255", []value{bin(315, append(inEther(etherIPv4, syn), make([]byte, 300)...)...)}, packet()},
		{"IPv4, a fixed length", []value{bin(313, syn...)}, packet()},
		{"VLAN", frame(inEther(etherVLAN, tag(7, etherIPv4, syn))), packet(vlan(7))},
		{"QinQ", frame(inEther(etherQinQ, tag(100, etherVLAN, tag(7, etherIPv4, syn)))), packet(vlan(100))},
		{"older QinQ", frame(inEther(etherOldQinQ, tag(100, etherVLAN, tag(7, etherIPv4, syn)))), packet(vlan(100))},
		{"priority tag", frame(inEther(etherVLAN, tag(0, etherIPv4, syn))), packet()},
		{"MPLS", frame(inEther(etherMPLS, label(16, true, syn))), packet()},
		{"MPLS, three labels, in a VLAN", frame(inEther(etherVLAN, tag(7, etherMPLS, label(16, false, label(17, false, label(0, true, syn)))))), packet(vlan(7))},
		{"MPLS, IPv6", frame(inEther(etherMPLSUp, label(2, true, in6(iana.TCP, tcpHead(40000, 443, 0x02))))), packet(ip6)},
		{"behind the labels", []value{{ie(317, variable), syn}}, packet()},
		{"MPLS, a pseudowire", frame(inEther(etherMPLS, label(16, true, append(make([]byte, 4), inEther(etherIPv4, syn)...)))), none},
		{"MPLS without a bottom", frame(inEther(etherMPLS, label(16, false, nil))), none},
		{"PPPoE", frame(inEther(etherPPPoE, cat([]byte{0x11, 0, 0, 1, 3, 0xea, 0, 0x21}, syn))), packet()},
		{"SNAP", frame(inEther(100, cat([]byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, syn))), packet()},
		{"spanning tree", frame(inEther(38, []byte{0x42, 0x42, 3, 0, 0, 0, 0, 0, 0})), none},
		{"ARP", frame(inEther(0x0806, make([]byte, 28))), none},
		{"802.11", append(frame(inEther(etherIPv4, syn)), num(408, 2, 2)), none},
		{"Ethernet, said so", append(frame(inEther(etherIPv4, syn)), num(408, 2, 1)), packet()},
		{"amid the packet", append(section(syn), num(409, 2, 20)), none},
		{"from its beginning", append(section(syn), num(409, 2, 0)), packet()},
		{"both", append(frame(inEther(etherVLAN, tag(7, etherIPv4, syn[:20]))), section(syn)...), packet(vlan(7))},
		{"an empty section", section(nil), none},
		{"only labels", []value{{ie(316, variable), label(16, true, nil)}}, none},

		{"SYN and ACK", section(in4(iana.TCP, 0, 0, tcpHead(443, 40000, 0x12))), packet(as(iana.TCP, 443, 40000, 0x12))},
		{"CWR, ECE and NS", section(in4(iana.TCP, 0, 0, append(append(tcpHead(1, 2, 0)[:12:12], 0x51, 0xc2), 0, 0))), packet(as(iana.TCP, 1, 2, 0x1c2))},
		{"IPv4 options", section(in4(iana.TCP, 0, 12, tcpHead(40000, 443, 0x02))), packet()},
		{"UDP", section(in4(iana.UDP, 0, 0, portsHead(40000, 53))), packet(as(iana.UDP, 40000, 53, 0))},
		{"SCTP", section(in4(iana.SCTP, 0, 0, portsHead(40000, 3868))), packet(as(iana.SCTP, 40000, 3868, 0))},
		{"ICMP", section(in4(iana.ICMP, 0, 0, []byte{8, 0, 1, 2, 3, 4, 5, 6})), packet(as(iana.ICMP, 0, 0, 0), func(r *schema.Record) { r.ICMPType = 8 })},
		{"ICMPv6", section(in6(iana.ICMPv6, []byte{135, 1, 0, 0})), packet(ip6, as(iana.ICMPv6, 0, 0, 0), func(r *schema.Record) { r.ICMPType, r.ICMPCode = 135, 1 })},
		{"GRE", section(in4(47, 0, 0, []byte{0, 0, 8, 0})), packet(as(47, 0, 0, 0))},
		{"first fragment", section(in4(iana.UDP, 0x2000, 0, portsHead(40000, 53))), packet(as(iana.UDP, 40000, 53, 0))},
		{"later fragment", section(in4(iana.UDP, 0x2001, 0, portsHead(40000, 53))), packet(as(iana.UDP, 0, 0, 0))},
		{"last fragment", section(in4(iana.TCP, 0x00b9, 0, tcpHead(1, 2, 2))), packet(as(iana.TCP, 0, 0, 0))},

		{"IPv6", section(in6(iana.TCP, tcpHead(40000, 443, 0x02))), packet(ip6)},
		{"IPv6 in Ethernet", frame(inEther(etherIPv6, in6(iana.TCP, tcpHead(40000, 443, 0x02)))), packet(ip6)},
		{"IPv6 hop-by-hop, routing and destination options", section(in6(0, ext(43), ext(60), ext(iana.TCP), tcpHead(40000, 443, 0x02))), packet(ip6)},
		{"IPv6 authentication", section(in6(51, append([]byte{iana.TCP, 1}, make([]byte, 10)...), tcpHead(40000, 443, 0x02))), packet(ip6)},
		{"IPv6 first fragment", section(in6(44, ext(iana.UDP, 0, 1), portsHead(40000, 53))), packet(ip6, as(iana.UDP, 40000, 53, 0))},
		{"IPv6 later fragment", section(in6(44, ext(iana.UDP, 0, 8), portsHead(40000, 53))), packet(ip6, as(iana.UDP, 0, 0, 0))},
		{"IPv6 ESP", section(in6(50, make([]byte, 8))), packet(ip6, as(50, 0, 0, 0))},
		{"IPv6 no next header", section(in6(59)), packet(ip6, as(59, 0, 0, 0))},
		{"IPv6 extension cut off", section(in6(0, []byte{iana.TCP})), none},
		{"IPv6 extension longer than the section", section(in6(0, []byte{iana.TCP, 9, 0, 0, 0, 0, 0, 0})), none},

		{"flags cut off", section(syn[:28]), packet(as(iana.TCP, 40000, 443, 0))},
		{"ports cut off", section(syn[:23]), packet(as(iana.TCP, 0, 0, 0))},
		{"nothing behind IP", section(syn[:20]), packet(as(iana.TCP, 0, 0, 0))},
		{"options cut off", section(in4(iana.TCP, 0, 12, nil)[:24]), packet(as(iana.TCP, 0, 0, 0))},
		{"IP header cut off", section(syn[:19]), none},
		{"IPv6 header cut off", section(in6(iana.TCP)[:39]), none},
		{"Ethernet header cut off", frame(inEther(etherIPv4, syn)[:13]), none},
		{"VLAN tag cut off", frame(inEther(etherVLAN, []byte{0, 7, 8})), none},
		{"IP version 5", section(append([]byte{0x55}, syn[1:]...)), none},
		{"header length 16", section(append([]byte{0x44}, syn[1:]...)), none},
		{"total length less than the header", section(cat(syn[:2], []byte{0, 19}, syn[4:])), none},
		{"padding of the frame is no transport header", frame(append(inEther(etherIPv4, cat(syn[:2], []byte{0, 20}, syn[4:20])), 1, 2, 3, 4, 5, 6)), packet(as(iana.TCP, 0, 0, 0), func(r *schema.Record) { r.Bytes = 20 })},
		{"length left to the frame", append(frame(inEther(etherVLAN, tag(7, etherIPv4, cat(syn[:2], []byte{0, 0}, syn[4:])))), num(312, 2, 3018)), packet(vlan(7), func(r *schema.Record) { r.Bytes = 3000 })},
		{"length that nobody tells", section(cat(syn[:2], []byte{0, 0}, syn[4:])), packet(func(r *schema.Record) { r.Bytes = 0 })},

		{"fields win", append(section(syn), num(1, 4, 40), num(2, 4, 3), num(6, 1, 0x10), num(58, 2, 9), num(7, 2, 5), num(11, 2, 6)),
			packet(vlan(9), as(iana.TCP, 5, 6, 0x10), func(r *schema.Record) { r.Bytes, r.Packets = 40, 3 })},
		{"addresses in fields, the rest from the head", append(section(syn), bin(8, 10, 0, 0, 1), bin(12, 10, 0, 0, 2)), packet()},
		{"fields of another header", append(section(syn), bin(8, 10, 9, 9, 9), bin(12, 10, 0, 0, 2), num(4, 1, iana.UDP)),
			packet(as(iana.UDP, 0, 0, 0), func(r *schema.Record) { r.Src[12], r.Src[13], r.Src[14], r.Src[15] = 10, 9, 9, 9 })},
		{"fields, and a head that cannot be read", append(frame(inEther(0x0806, nil)), ends(iana.TCP, 40000, 443)...), packet(as(iana.TCP, 40000, 443, 0), func(r *schema.Record) { r.Bytes = 0 })},
		{"the payload of IP", []value{bin(8, 10, 0, 0, 1), bin(12, 10, 0, 0, 2), num(4, 1, iana.TCP), {ie(314, variable), tcpHead(40000, 443, 0x02)}}, packet(func(r *schema.Record) { r.Bytes = 0 })},
		{"the payload of IP alone", []value{{ie(314, variable), tcpHead(40000, 443, 0x02)}}, none},
		{"interfaces and direction beside it", append([]value{num(10, 4, 1), num(14, 4, 2), num(61, 1, 0)}, section(syn)...), packet(func(r *schema.Record) { r.InIf, r.OutIf, r.FlowDirection = 1, 2, schema.Ingress })},
		{"sampling in the record", append(section(syn), num(34, 4, 512)), packet(func(r *schema.Record) { r.Sampling = 512 })},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWriter(7, testExport)
			var got records
			d := New(Config{})
			template, data := encode(w, 256, c.values)
			if err := d.Message(testSource, w.message(template, data), testRecv, &got); err != nil {
				t.Error(err)
			}
			st := d.Stats()
			if c.want == nil {
				if len(got) != 0 || st.Records != 1 || st.Errors[ReasonNotFlow] != 1 {
					t.Fatalf("%d flows, %d records, reasons %v", len(got), st.Records, reasons(&st.Counters))
				}
				return
			}
			if len(got) != 1 {
				t.Fatalf("%d flows, reasons %v", len(got), reasons(&st.Counters))
			}
			if diff := cmp.Diff(*c.want, got[0]); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestHeadsAllocate nothing per record.
func TestHeadsAllocate(t *testing.T) {
	w := newWriter(7, testExport)
	d := New(Config{})
	template, data := encode(w, 256, []value{num(10, 4, 5), {ie(315, variable), inEther(etherIPv4, in4(iana.TCP, 0, 0, tcpHead(1, 2, 2)))}})
	var n discard
	d.Message(testSource, w.message(template, data), testRecv, &n)
	msg := w.message(data)
	i := 0
	if allocs := testing.AllocsPerRun(100, func() {
		i++
		renumber(msg, i)
		d.Message(testSource, msg, testRecv, &n)
	}); allocs > 0 {
		t.Errorf("%v allocations a message", allocs)
	}
}

// FuzzHead: whatever a packet is said to begin with, reading it stays within it,
// and what comes out is an IP packet.
func FuzzHead(f *testing.F) {
	syn := in4(iana.TCP, 0, 0, tcpHead(40000, 443, 0x02))
	for _, b := range [][]byte{
		syn, inEther(etherIPv4, syn), inEther(etherVLAN, tag(7, etherMPLS, label(16, true, syn))),
		in6(0, ext(44), ext(iana.UDP, 0, 1), portsHead(1, 2)), inEther(100, cat([]byte{0xaa, 0xaa, 3, 0, 0, 0, 8, 0}, syn)),
		inEther(etherPPPoE, cat([]byte{0x11, 0, 0, 1, 3, 0xea, 0, 0x21}, syn)),
	} {
		f.Add(b, uint16(1500))
	}
	f.Fuzz(func(t *testing.T, b []byte, size uint16) {
		for _, s := range []sections{{ip: b}, {frame: b, frameSize: uint64(size)}, {mpls: b}, {frame: b, ip: b}} {
			var h head
			if s.read(&h) {
				if h.length > 1<<16+40 || h.vlan > 0xfff || h.tcpFlags > 0xfff {
					t.Errorf("%+v", h)
				}
				if v4 := schema.Addr(h.src).Is4(); v4 != schema.Addr(h.dst).Is4() && h.src[0]|h.dst[0] == 0 && len(b) < 40 {
					t.Errorf("addresses of two kinds: %+v", h)
				}
			}
		}
		w := newWriter(7, testExport)
		var got records
		d := New(Config{})
		template, data := encode(w, 256, []value{{ie(315, variable), b[:min(len(b), 60_000)]}})
		d.Message(testSource, w.message(template, data), testRecv, &got)
		if st := d.Stats(); st.Records != st.Flows+st.Errors[ReasonNotFlow] || int(st.Flows) != len(got) {
			t.Errorf("%d records, %d flows, %d in the sink", st.Records, st.Flows, len(got))
		}
	})
}
