package ipfix

import (
	"math"
	"slices"
	"testing"

	"cordon/internal/iana"
	"cordon/schema"
)

const (
	testExport = 1_700_000_000          // Unix seconds
	testTime   = testExport * second    // the same in microseconds
	testRecv   = testTime + 250_000     // The collector receives it then.
	ntpExport  = testExport + ntpToUnix // The same second in NTP's format.
)

// value is a field of a record with its value.
type value struct {
	field
	bytes []byte
}

func num(id, length uint16, v uint64) value { return value{ie(id, length), uintBytes(v, int(length))} }
func rev(id, length uint16, v uint64) value {
	return value{field{elementID{penReverse, id}, length}, uintBytes(v, int(length))}
}
func vendor(pen uint32, id uint16, v uint64) value {
	return value{field{elementID{pen, id}, 1}, uintBytes(v, 1)}
}
func bin(id uint16, b ...byte) value  { return value{ie(id, uint16(len(b))), b} }
func text4(id uint16, s string) value { return value{ie(id, variable), []byte(s)} }

// ends are the values that every flow has.
func ends(proto uint8, srcPort, dstPort uint64) []value {
	return []value{bin(8, 10, 0, 0, 1), bin(12, 10, 0, 0, 2), num(4, 1, uint64(proto)), num(7, 2, srcPort), num(11, 2, dstPort)}
}

// encode makes the template and the data set of one record.
func encode(w *writer, id uint16, values []value) (template, data []byte) {
	var fields []field
	var body []byte
	for _, v := range values {
		fields = append(fields, v.field)
		body = appendValue(body, v.field, v.bytes, false)
	}
	return w.template(id, fields), set(id, body)
}

// base is the record of ends(iana.TCP, 40000, 443) without times.
func base() schema.Record {
	return schema.Record{
		Exporter: schema.Addr16(testSource.Addr.Addr()), Domain: 7, Received: testRecv,
		Start: testTime, End: testTime,
		Src: [16]byte{10: 0xff, 0xff, 10, 0, 0, 1}, Dst: [16]byte{10: 0xff, 0xff, 10, 0, 0, 2},
		SrcPort: 40000, DstPort: 443, Proto: iana.TCP,
	}
}

// decodeOne decodes one record of the values behind those that every flow has.
func decodeOne(t *testing.T, values []value) schema.Record {
	t.Helper()
	w := newWriter(7, testExport)
	var got records
	template, data := encode(w, 256, values)
	if err := New(Config{}).Message(testSource, w.message(template, data), testRecv, &got); err != nil {
		t.Error(err)
	}
	if len(got) != 1 {
		t.Fatalf("%d records", len(got))
	}
	return got[0]
}

func TestElements(t *testing.T) {
	const ms, us = 1000, 1
	tcp := ends(iana.TCP, 40000, 443)
	with := func(values ...value) []value { return append(slices.Clone(tcp), values...) }
	type change = func(*schema.Record)
	v6a, v6b := append([]byte{0x20, 1, 0xd, 0xb8}, make([]byte, 12)...), append([]byte{0xfd}, make([]byte, 15)...)

	for _, c := range []struct {
		name   string
		values []value
		want   change
	}{
		{"nothing else", tcp, func(r *schema.Record) {}},

		// Addresses and ports
		{"IPv6", []value{bin(27, v6a...), bin(28, v6b...), num(4, 1, 6), num(7, 2, 40000), num(11, 2, 443)},
			func(r *schema.Record) { r.Src, r.Dst = [16]byte(v6a), [16]byte(v6b) }},
		{"IPv4 beside an unspecified IPv6", with(bin(27, make([]byte, 16)...), bin(28, make([]byte, 16)...)), func(r *schema.Record) {}},
		{"IPv6 beside an unspecified IPv4", []value{bin(27, v6a...), bin(8, 0, 0, 0, 0), bin(12, 0, 0, 0, 0), bin(28, v6b...), num(4, 1, 6), num(7, 2, 40000), num(11, 2, 443)},
			func(r *schema.Record) { r.Src, r.Dst = [16]byte(v6a), [16]byte(v6b) }},
		{"an element twice: the first", with(bin(8, 9, 9, 9, 9), num(11, 2, 1)), func(r *schema.Record) {}},
		{"after NAT", with(bin(225, 9, 9, 9, 9), bin(226, 9, 9, 9, 8), num(227, 2, 1), num(228, 2, 2)), func(r *schema.Record) {
			r.PostSrc, r.PostDst, r.PostSrcPort, r.PostDstPort = [16]byte{10: 0xff, 11: 0xff, 12: 9, 13: 9, 14: 9, 15: 9}, [16]byte{10: 0xff, 11: 0xff, 12: 9, 13: 9, 14: 9, 15: 8}, 1, 2
		}},
		{"after NAT, not translated", with(bin(225, 0, 0, 0, 0), bin(226, 0, 0, 0, 0), num(227, 2, 0), num(228, 2, 0), bin(281, make([]byte, 16)...), bin(282, make([]byte, 16)...)), func(r *schema.Record) {}},
		{"after NAT, IPv6", with(bin(281, v6a...), bin(282, v6b...)), func(r *schema.Record) { r.PostSrc, r.PostDst = [16]byte(v6a), [16]byte(v6b) }},
		{"after NAT64", with(bin(225, 0, 0, 0, 0), bin(226, 0, 0, 0, 0), bin(281, v6a...), bin(282, v6b...)), func(r *schema.Record) { r.PostSrc, r.PostDst = [16]byte(v6a), [16]byte(v6b) }},
		{"ports after NAT on GRE", append(ends(47, 1, 2), num(227, 2, 1), num(228, 2, 2)), func(r *schema.Record) { r.Proto, r.SrcPort, r.DstPort = 47, 0, 0 }},
		{"a flow with a natEvent", with(num(1, 8, 100), num(230, 1, 1)), func(r *schema.Record) { r.Bytes = 100 }},
		{"the first fragment", with(num(88, 2, 0)), func(r *schema.Record) {}},
		{"a later fragment", with(num(88, 2, 185)), func(r *schema.Record) { r.SrcPort, r.DstPort = 0, 0 }},
		{"ports of TCP", []value{bin(8, 10, 0, 0, 1), bin(12, 10, 0, 0, 2), num(4, 1, 6), num(182, 2, 40000), num(183, 2, 443)}, func(r *schema.Record) {}},
		{"ports of UDP", []value{bin(8, 10, 0, 0, 1), bin(12, 10, 0, 0, 2), num(4, 1, 17), num(180, 2, 40000), num(181, 2, 443)}, func(r *schema.Record) { r.Proto = iana.UDP }},
		{"ports without a protocol", []value{bin(8, 10, 0, 0, 1), bin(12, 10, 0, 0, 2), num(7, 2, 40000), num(11, 2, 443)}, func(r *schema.Record) { r.Proto = 0 }},
		{"ports of one byte, protocol of four", []value{bin(8, 10, 0, 0, 1), bin(12, 10, 0, 0, 2), num(7, 1, 200), num(11, 1, 80), num(4, 4, 17)},
			func(r *schema.Record) { r.Proto, r.SrcPort, r.DstPort = 17, 200, 80 }},
		{"ports on GRE", ends(47, 1, 2), func(r *schema.Record) { r.Proto, r.SrcPort, r.DstPort = 47, 0, 0 }},

		// TCP flags by side
		{"flags of both sides", with(num(6, 1, 0x02), rev(6, 2, 0x14)), func(r *schema.Record) { r.TCPFlags, r.RevTCPFlags = 0x02, 0x14 }},
		{"YAF: the first packet's flags and the others'", with(vendor(penCERT, 14, 0x02), vendor(penCERT, 15, 0x18), vendor(penCERT, 16398, 0x12), vendor(penCERT, 16399, 0x19)),
			func(r *schema.Record) { r.TCPFlags, r.RevTCPFlags = 0x1a, 0x1b }},
		{"YAF: a refused connection, and the union of both sides", with(num(6, 2, 0x16), vendor(penCERT, 14, 0x02), vendor(penCERT, 15, 0), vendor(penCERT, 16398, 0x14), vendor(penCERT, 16399, 0)),
			func(r *schema.Record) { r.TCPFlags, r.RevTCPFlags = 0x02, 0x14 }},
		{"SiLK: the first flags and the others' of one direction", with(num(6, 1, 0x1a), vendor(penCERT, 14, 0x02), vendor(penCERT, 15, 0x18)), func(r *schema.Record) { r.TCPFlags = 0x1a }},
		{"nProbe: the client's and the server's, beside the union", with(num(6, 1, 0x16), vendor(penNtop, 78, 0x02), vendor(penNtop, 79, 0x14)),
			func(r *schema.Record) { r.TCPFlags, r.RevTCPFlags = 0x02, 0x14 }},

		// ICMP
		{"ICMP in one element", append(ends(iana.ICMP, 0, 0), num(32, 2, 8<<8|3)), func(r *schema.Record) {
			r.Proto, r.SrcPort, r.DstPort, r.ICMPType, r.ICMPCode = 1, 0, 0, 8, 3
		}},
		{"ICMP in two elements", append(ends(iana.ICMP, 0, 0), num(176, 1, 3), num(177, 1, 4)), func(r *schema.Record) {
			r.Proto, r.SrcPort, r.DstPort, r.ICMPType, r.ICMPCode = 1, 0, 0, 3, 4
		}},
		{"ICMPv6 in one element", append(ends(iana.ICMPv6, 0, 0), num(139, 2, 128<<8)), func(r *schema.Record) {
			r.Proto, r.SrcPort, r.DstPort, r.ICMPType = 58, 0, 0, 128
		}},
		{"ICMPv6 in two elements", append(ends(iana.ICMPv6, 0, 0), num(178, 1, 135), num(179, 1, 1)), func(r *schema.Record) {
			r.Proto, r.SrcPort, r.DstPort, r.ICMPType, r.ICMPCode = 58, 0, 0, 135, 1
		}},
		{"ICMP in the destination port", ends(iana.ICMP, 0, 11<<8|1), func(r *schema.Record) {
			r.Proto, r.SrcPort, r.DstPort, r.ICMPType, r.ICMPCode = 1, 0, 0, 11, 1
		}},
		{"ICMP in the destination port, its element zero", append(ends(iana.ICMP, 5, 8<<8), num(32, 2, 0)), func(r *schema.Record) {
			r.Proto, r.SrcPort, r.DstPort, r.ICMPType = 1, 0, 0, 8
		}},
		{"ICMP elements on TCP", with(num(32, 2, 0x1234), num(176, 1, 8)), func(r *schema.Record) {}},

		// Counts
		{"delta counts", with(num(1, 8, 1<<40), num(2, 4, 7)), func(r *schema.Record) { r.Bytes, r.Packets = 1<<40, 7 }},
		{"delta before total", with(num(85, 8, 9), num(1, 3, 5), num(86, 8, 9), num(2, 3, 5)), func(r *schema.Record) { r.Bytes, r.Packets = 5, 5 }},
		{"total counts", with(num(85, 5, 1<<33), num(86, 6, 1<<41)), func(r *schema.Record) { r.Bytes, r.Packets = 1<<33, 1<<41 }},
		{"layer 2 before post", with(num(23, 4, 1), num(352, 7, 1<<50), num(24, 4, 2)), func(r *schema.Record) { r.Bytes, r.Packets = 1<<50, 2 }},
		{"layer 2 total", with(num(353, 8, math.MaxUint64)), func(r *schema.Record) { r.Bytes = math.MaxUint64 }},
		{"a count of no bytes gives way", with(value{ie(1, 0), nil}, num(85, 4, 6)), func(r *schema.Record) { r.Bytes = 6 }},
		{"reverse counts", with(num(1, 4, 10), num(2, 4, 1), rev(1, 4, 20), rev(2, 4, 2), num(6, 1, 0x12), rev(6, 1, 0x10)), func(r *schema.Record) {
			r.Bytes, r.Packets, r.RevBytes, r.RevPackets, r.TCPFlags, r.RevTCPFlags = 10, 1, 20, 2, 0x12, 0x10
			r.Completeness = schema.BothWays
		}},
		{"reverse totals", with(num(85, 4, 10), rev(85, 4, 20), rev(86, 4, 2)), func(r *schema.Record) {
			r.Bytes, r.RevBytes, r.RevPackets, r.Completeness = 10, 20, 2, schema.BothWays
		}},
		{"initiator and responder", with(num(231, 8, 10), num(232, 8, 20), num(298, 8, 1), num(299, 8, 2)), func(r *schema.Record) {
			r.Bytes, r.RevBytes, r.Packets, r.RevPackets = 10, 20, 1, 2
			r.Completeness, r.Direction, r.Basis = schema.BothWays, schema.Forward, schema.BasisInitiator
		}},
		{"initiator before delta", with(num(1, 8, 99), num(2, 8, 3), num(231, 8, 10), num(232, 8, 20)), func(r *schema.Record) {
			r.Bytes, r.RevBytes, r.Packets = 10, 20, 3
			r.Completeness, r.Direction, r.Basis = schema.BothWays, schema.Forward, schema.BasisInitiator
		}},
		{"reverse counts before responder", with(num(231, 8, 10), num(232, 8, 20), num(1, 8, 7), rev(1, 8, 8)), func(r *schema.Record) {
			r.Bytes, r.RevBytes = 7, 8
			r.Completeness, r.Direction, r.Basis = schema.BothWays, schema.Forward, schema.BasisInitiator
		}},
		{"initiator alone", with(num(231, 8, 10)), func(r *schema.Record) { r.Bytes = 10 }},

		// Direction
		{"biflow by initiator", with(rev(2, 4, 2), num(239, 1, 1)), func(r *schema.Record) {
			r.RevPackets, r.Completeness, r.Direction, r.Basis = 2, schema.BothWays, schema.Forward, schema.BasisInitiator
		}},
		{"biflow by reverse initiator", with(rev(2, 4, 2), num(239, 1, 2)), func(r *schema.Record) {
			r.RevPackets, r.Completeness, r.Direction, r.Basis = 2, schema.BothWays, schema.Reverse, schema.BasisInitiator
		}},
		{"biflow by perimeter", with(rev(2, 4, 2), num(239, 1, 3)), func(r *schema.Record) { r.RevPackets, r.Completeness = 2, schema.BothWays }},
		{"ingress", with(num(61, 1, 0)), func(r *schema.Record) { r.FlowDirection = schema.Ingress }},
		{"egress", with(num(61, 1, 1)), func(r *schema.Record) { r.FlowDirection = schema.Egress }},
		{"no flow direction", with(num(61, 1, 255)), func(r *schema.Record) {}},

		// Flags, interfaces, layer 2, VRF
		{"flags of two bytes", with(num(6, 2, 0x5112)), func(r *schema.Record) { r.TCPFlags = 0x112 }},
		{"interfaces", with(num(10, 4, 1<<31), num(14, 2, 5)), func(r *schema.Record) { r.InIf, r.OutIf = 1<<31, 5 }},
		{"physical interfaces", with(num(252, 4, 3), num(253, 4, 5)), func(r *schema.Record) { r.InIf, r.OutIf = 3, 5 }},
		{"logical interfaces first", with(num(252, 4, 3), num(10, 4, 7)), func(r *schema.Record) { r.InIf = 7 }},
		{"VLAN", with(num(58, 2, 0xe00a)), func(r *schema.Record) { r.VLAN = 10 }},
		{"VLAN of IEEE 802.1Q", with(num(243, 2, 100), num(59, 2, 200)), func(r *schema.Record) { r.VLAN = 100 }},
		{"VLAN before post VLAN", with(num(59, 2, 200), num(58, 2, 100)), func(r *schema.Record) { r.VLAN = 100 }},
		{"the VLAN that is given", with(num(58, 2, 0), num(243, 2, 100)), func(r *schema.Record) { r.VLAN = 100 }},
		{"post VLAN alone", with(num(254, 2, 300)), func(r *schema.Record) { r.VLAN = 300 }},
		{"layer 2 segment", with(num(351, 8, 1<<56|5000)), func(r *schema.Record) { r.L2Segment = 1<<56 | 5000 }},
		{"VXLAN of Open vSwitch", with(value{field{elementID{penVMware, 891}, 1}, []byte{1}}, value{field{elementID{penVMware, 892}, variable}, []byte{0, 0x13, 0x88}}),
			func(r *schema.Record) { r.L2Segment = 1<<56 | 5000 }},
		{"VRF", with(num(234, 4, 9), num(235, 4, 8), text4(236, "blue")), func(r *schema.Record) { r.VRFID, r.VRF = 9, "blue" }},
		{"VRF name of fixed length", with(bin(236, 'r', 'e', 'd', 0, 0)), func(r *schema.Record) { r.VRF = "red" }},
		{"VPN of Viptela", with(value{field{elementID{penViptela, 4321}, 8}, uintBytes(512, 8)}), func(r *schema.Record) { r.VRFID, r.VRF = 512, "vrf-512" }},
		{"egress VRF", with(num(235, 4, 8)), func(r *schema.Record) { r.VRFID, r.VRF = 8, "vrf-8" }},
		{"the default VRF", with(num(234, 4, 0)), func(r *schema.Record) {}},

		// What became of the packets
		{"forwarded", with(num(89, 1, 64)), func(r *schema.Record) { r.ForwardingStatus, r.Action = 64, schema.Forwarded }},
		{"dropped", with(num(89, 1, 130)), func(r *schema.Record) { r.ForwardingStatus, r.Action = 130, schema.Dropped }},
		{"consumed", with(num(89, 1, 195)), func(r *schema.Record) { r.ForwardingStatus = 195 }},
		{"status of four bytes", with(num(89, 4, 130)), func(r *schema.Record) { r.ForwardingStatus, r.Action = 130, schema.Dropped }},
		{"status of four bytes, left-aligned", with(num(89, 4, 64<<24)), func(r *schema.Record) { r.ForwardingStatus, r.Action = 64, schema.Forwarded }},
		{"flow created", with(num(233, 1, 1)), func(r *schema.Record) { r.FirewallEvent, r.Action = 1, schema.Forwarded }},
		{"flow denied", with(num(233, 1, 3), num(89, 1, 64)), func(r *schema.Record) {
			r.FirewallEvent, r.ForwardingStatus, r.Action = 3, 64, schema.Dropped
		}},
		{"flow alert", with(num(233, 1, 4)), func(r *schema.Record) { r.FirewallEvent = 4 }},
		{"end reason", with(num(136, 1, 3)), func(r *schema.Record) { r.EndReason = 3 }},

		// Sampling
		{"one in n", with(num(34, 4, 1000)), func(r *schema.Record) { r.Sampling = 1000 }},
		{"one in n at random", with(num(50, 4, 512)), func(r *schema.Record) { r.Sampling = 512 }},
		{"interval and space", with(num(305, 4, 1), num(306, 4, 99)), func(r *schema.Record) { r.Sampling = 100 }},
		{"every packet", with(num(305, 2, 1), num(306, 4, 0)), func(r *schema.Record) { r.Sampling = 1 }},
		{"size of population", with(num(309, 4, 2), num(310, 4, 200)), func(r *schema.Record) { r.Sampling = 100 }},
		{"probability", with(value{ie(311, 8), uintBytes(math.Float64bits(0.01), 8)}), func(r *schema.Record) { r.Sampling = 100 }},
		{"probability of four bytes", with(value{ie(311, 4), uintBytes(uint64(math.Float32bits(0.5)), 4)}), func(r *schema.Record) { r.Sampling = 2 }},
		{"no probability", with(value{ie(311, 8), uintBytes(math.Float64bits(math.NaN()), 8)}), func(r *schema.Record) {}},

		// Times
		{"seconds", with(num(150, 4, testExport-9), num(151, 4, testExport-3)), func(r *schema.Record) { r.Start, r.End = testTime-9*second, testTime-3*second }},
		{"milliseconds", with(num(152, 8, testExport*1000-9), num(153, 8, testExport*1000-3)), func(r *schema.Record) { r.Start, r.End = testTime-9*ms, testTime-3*ms }},
		{"milliseconds in six bytes", with(num(152, 6, testExport*1000-9), num(153, 6, testExport*1000-3)), func(r *schema.Record) { r.Start, r.End = testTime-9*ms, testTime-3*ms }},
		{"microseconds", with(num(154, 8, ntp(ntpExport-9, 123_456_000)), num(155, 8, ntp(ntpExport-3, 999_999_000))), func(r *schema.Record) {
			r.Start, r.End = testTime-9*second+123_456*us, testTime-3*second+999_999*us
		}},
		{"nanoseconds", with(num(156, 8, ntp(ntpExport-9, 1_000)), num(157, 8, ntp(ntpExport-3, 5_000))), func(r *schema.Record) {
			r.Start, r.End = testTime-9*second+1*us, testTime-3*second+5*us
		}},
		{"Unix microseconds where NTP format belongs", with(num(154, 8, uint64(testTime-9)), num(155, 8, uint64(testTime-3))), func(r *schema.Record) { r.Start, r.End = testTime-9, testTime-3 }},
		{"Unix nanoseconds where NTP format belongs", with(num(156, 8, uint64(testTime-9)*1000), num(157, 8, uint64(testTime-3)*1000)), func(r *schema.Record) { r.Start, r.End = testTime-9, testTime-3 }},
		{"the most exact", with(num(150, 4, 1), num(152, 8, testExport*1000-9), num(22, 4, 1), num(153, 8, testExport*1000-3), num(151, 4, 1)), func(r *schema.Record) {
			r.Start, r.End = testTime-9*ms, testTime-3*ms
		}},
		{"deltas from export", with(num(158, 4, 5000), num(159, 4, 2000)), func(r *schema.Record) { r.Start, r.End = testTime-5000, testTime-2000 }},
		{"a delta beyond 1970", with(num(158, 8, math.MaxUint64), num(159, 4, 2000)), func(r *schema.Record) { r.Start, r.End = testTime-2000, testTime-2000 }},
		{"uptime, start in the record", with(num(160, 8, (testExport-100)*1000), num(22, 4, 60_000), num(21, 4, 90_000)), func(r *schema.Record) {
			r.Start, r.End = testTime-40*second, testTime-10*second
		}},
		{"uptime after it rolled over", with(num(160, 8, testExport*1000-(1<<32)-100_000), num(22, 4, 60_000), num(21, 4, 90_000)), func(r *schema.Record) {
			r.Start, r.End = testTime-40*second, testTime-10*second
		}},
		{"uptime, start unknown: the last flow ended now", with(num(22, 4, 60_000), num(21, 4, 90_000)), func(r *schema.Record) { r.Start = testTime - 30*second }},
		{"uptime in the future", with(num(160, 8, testExport*1000), num(22, 4, 1<<31), num(21, 4, 1<<31+5000)), func(r *schema.Record) { r.Start = testTime - 5*second }},
		{"end only", with(num(151, 4, testExport-3)), func(r *schema.Record) { r.Start, r.End = testTime-3*second, testTime-3*second }},
		{"start only", with(num(152, 8, testExport*1000-3)), func(r *schema.Record) { r.Start, r.End = testTime-3*ms, testTime-3*ms }},
		{"start and duration", with(num(152, 8, testExport*1000-9), num(161, 4, 4)), func(r *schema.Record) { r.Start, r.End = testTime-9*ms, testTime-5*ms }},
		{"end and duration", with(num(153, 8, testExport*1000-3), num(162, 4, 4000)), func(r *schema.Record) { r.Start, r.End = testTime-7*ms, testTime-3*ms }},
		{"duration only", with(num(161, 4, 5000)), func(r *schema.Record) { r.Start = testTime - 5*second }},
		{"an endless duration", with(num(153, 8, testExport*1000-3), num(161, 8, math.MaxUint64)), func(r *schema.Record) { r.Start, r.End = testTime-3*ms, testTime-3*ms }},
		{"observation time", with(num(323, 8, testExport*1000-3)), func(r *schema.Record) { r.Start, r.End = testTime-3*ms, testTime-3*ms }},
		{"collection time", with(num(258, 8, testExport*1000-3)), func(r *schema.Record) { r.Start, r.End = testTime-3*ms, testTime-3*ms }},
		{"observation time and start", with(num(150, 4, testExport-9), num(322, 4, testExport-3)), func(r *schema.Record) { r.Start, r.End = testTime-9*second, testTime-3*second }},
		{"end before start", with(num(150, 4, testExport-3), num(151, 4, testExport-9)), func(r *schema.Record) { r.Start, r.End = testTime-9*second, testTime-3*second }},
		{"end of the world", with(num(152, 8, testExport*1000-3), num(153, 8, math.MaxUint64)), func(r *schema.Record) { r.Start = testTime - day }},
		{"time zero", with(num(150, 4, 0), num(151, 4, 0)), func(r *schema.Record) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := base()
			c.want(&want)
			if got := decodeOne(t, c.values); got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

// ntp encodes a time in NTP format as an exporter does: truncated.
func ntp(sec uint64, nanos uint64) uint64 { return sec<<32 | nanos<<32/1e9 }

// TestNTP recovers every microsecond, in both eras.
func TestNTP(t *testing.T) {
	near2036 := int64(math.MaxUint32-ntpToUnix+1) * second // NTP's seconds start over then.
	for _, near := range []int64{testTime, near2036 - second, near2036, near2036 + 40*year} {
		for us := int64(0); us < second; us += 997 {
			at := near + us
			if at == near2036 {
				continue // all zero means that there is no time
			}
			sec := uint64(at/second+ntpToUnix) & math.MaxUint32
			// Rounding up, as the exact fraction lies between two.
			frac := (uint64(at%second)<<32 + 999_999) / 1_000_000
			if got := fromNTPMicros(sec<<32|frac, near); got != at {
				t.Fatalf("microseconds: %d, want %d", got, at)
			}
			if got := fromNTPNanos(sec<<32|frac, near); got != at {
				t.Fatalf("nanoseconds: %d, want %d", got, at)
			}
			// The low 11 bits of microseconds mean nothing.
			if got := fromNTPMicros(sec<<32|frac|0x7ff, near); got != at {
				t.Fatalf("with low bits: %d, want %d", got, at)
			}
		}
	}
}

// TestReducedSize reads integers of every length.
func TestReducedSize(t *testing.T) {
	for n := 1; n <= 8; n++ {
		v := uint64(0x8182838485868788) >> (8 * (8 - n))
		if got := uintOf(uintBytes(v, n)); got != v {
			t.Errorf("%d bytes: %x, want %x", n, got, v)
		}
		values := append(ends(iana.TCP, 40000, 443), num(1, uint16(n), v), value{ie(2, variable), uintBytes(v, n)})
		want := base()
		want.Bytes, want.Packets = v, v
		if got := decodeOne(t, values); got != want {
			t.Errorf("%d bytes: got  %+v\nwant %+v", n, got, want)
		}
	}
}

// TestExportTimeUnset falls back on the time of receipt.
func TestExportTimeUnset(t *testing.T) {
	for _, export := range []uint32{0, math.MaxUint32} {
		w := newWriter(7, export)
		var got records
		template, data := encode(w, 256, append(ends(iana.TCP, 1, 2), num(158, 4, 500), num(159, 4, 100)))
		New(Config{}).Message(testSource, w.message(template, data), testRecv, &got)
		if len(got) != 1 || got[0].Start != testRecv-500 || got[0].End != testRecv-100 {
			t.Errorf("export time %d: %+v", export, got)
		}
	}
}

// TestLateRecords: a flow that ended over an hour before it came is late, by
// the collector's clock, unless it is read from a file; templates count each
// time they come.
func TestLateRecords(t *testing.T) {
	w := newWriter(7, testExport)
	template, inTime := encode(w, 256, append(ends(iana.TCP, 1, 2), num(153, 8, uint64(testRecv-lateAfter)/1000+1)))
	_, late := encode(w, 256, append(ends(iana.TCP, 1, 2), num(153, 8, uint64(testRecv-lateAfter)/1000-1)))
	for src, want := range map[Source]uint64{testSource: 1, {Transport: File}: 0} {
		d := New(Config{})
		for _, m := range [][]byte{w.message(template, inTime), w.message(template, late)} {
			if err := d.Message(src, m, testRecv, &records{}); err != nil {
				t.Fatal(err)
			}
		}
		if c := d.Stats().Counters; c.Flows != 2 || c.LateRecords != want || c.Templates != 2 {
			t.Errorf("%s: %d flows, %d late, %d templates; want 2, %d, 2", src, c.Flows, c.LateRecords, c.Templates, want)
		}
	}
}

// options feeds an options record, and then a flow.
func afterOptions(t *testing.T, scope []value, option []value, flow []value) (schema.Record, DomainStats) {
	t.Helper()
	w := newWriter(7, testExport)
	d := New(Config{})
	var got records
	var fields []field
	var body []byte
	for _, v := range append(slices.Clone(scope), option...) {
		fields = append(fields, v.field)
		body = appendValue(body, v.field, v.bytes, false)
	}
	template, data := encode(w, 256, append(ends(iana.TCP, 40000, 443), flow...))
	for _, m := range [][]byte{w.message(w.optionsTemplate(300, len(scope), fields), set(300, body)), w.message(template, data)} {
		if err := d.Message(testSource, m, testRecv, &got); err != nil {
			t.Error(err)
		}
	}
	if len(got) != 1 {
		t.Fatalf("%d records", len(got))
	}
	return got[0], d.Stats().Sources[0].Domains[0]
}

// TestOptions has options data reach the records that it describes.
func TestOptions(t *testing.T) {
	vs := func(v ...value) []value { return v }
	for _, c := range []struct {
		name                string
		scope, option, flow []value
		want                func(*schema.Record)
	}{
		{"sampling of the domain", vs(num(149, 4, 7)), vs(num(34, 4, 100)), nil, func(r *schema.Record) { r.Sampling = 100 }},
		{"sampling of the exporting process", vs(num(144, 4, 2)), vs(num(34, 4, 1000)), nil, func(r *schema.Record) { r.Sampling = 1000 }},
		{"of the sampler", vs(num(48, 1, 3)), vs(num(50, 4, 64)), vs(num(48, 1, 3)), func(r *schema.Record) { r.Sampling = 64 }},
		{"of another sampler", vs(num(48, 1, 3)), vs(num(50, 4, 64)), vs(num(48, 1, 4)), func(r *schema.Record) { r.Sampling = schema.SamplingUnknown }},
		{"of the selector", vs(num(302, 8, 5)), vs(num(305, 4, 1), num(306, 4, 9)), vs(num(302, 8, 5)), func(r *schema.Record) { r.Sampling = 10 }},
		{"of the interface", vs(num(10, 4, 5)), vs(num(309, 4, 1), num(310, 4, 20)), vs(num(10, 4, 5)), func(r *schema.Record) { r.InIf, r.Sampling = 5, 20 }},
		{"of another interface", vs(num(10, 4, 5)), vs(num(309, 4, 1), num(310, 4, 20)), vs(num(10, 4, 6)), func(r *schema.Record) { r.InIf = 6 }},
		{"the record's own", vs(num(149, 4, 7)), vs(num(34, 4, 100)), vs(num(34, 4, 2)), func(r *schema.Record) { r.Sampling = 2 }},
		{"VRF by id", vs(num(234, 4, 9)), vs(text4(236, "green")), vs(num(234, 4, 9)), func(r *schema.Record) { r.VRFID, r.VRF = 9, "green" }},
		{"VRF of another id", vs(num(234, 4, 9)), vs(text4(236, "green")), vs(num(234, 4, 8)), func(r *schema.Record) { r.VRFID, r.VRF = 8, "vrf-8" }},
		{"the VRF with id 0, by its name", vs(num(234, 4, 0)), vs(text4(236, "green")), vs(num(234, 4, 0)), func(r *schema.Record) {}},
		{"start of the exporter", vs(num(143, 4, 1)), vs(num(160, 8, (testExport-100)*1000)), vs(num(22, 4, 60_000), num(21, 4, 90_000)), func(r *schema.Record) {
			r.Start, r.End = testTime-40*second, testTime-10*second
		}},
		{"of a domain that is not there", vs(num(149, 4, 99)), vs(num(34, 4, 100)), nil, func(r *schema.Record) { r.Sampling = 100 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := base()
			c.want(&want)
			if got, _ := afterOptions(t, c.scope, c.option, c.flow); got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}

	_, st := afterOptions(t, vs(num(10, 4, 5)), vs(text4(82, "Ethernet5"), text4(83, "to the core")), nil)
	if st.Interfaces[5] != "Ethernet5" {
		t.Errorf("interface names %v", st.Interfaces)
	}
	_, st = afterOptions(t, vs(num(149, 4, 7)), vs(text4(300, "leaf1")), nil)
	if st.Name != "leaf1" {
		t.Errorf("name %q", st.Name)
	}
	// RFC 5610: what an enterprise element is called.
	_, st = afterOptions(t, vs(num(346, 4, 35632), num(303, 2, 777)), vs(text4(341, "payload")), vs(value{field{elementID{35632, 777}, 2}, []byte{0, 1}}))
	if got := st.Templates[0].Fields(); got != "8:4 12:4 4:1 7:2 11:2 35632/777(payload):2" {
		t.Errorf("fields %q", got)
	}
}

// TestExporterAddress takes the exporter from the transport, or from its data
// where there is no transport.
func TestExporterAddress(t *testing.T) {
	w := newWriter(7, testExport)
	template, data := encode(w, 256, append(ends(iana.TCP, 1, 2), bin(130, 192, 0, 2, 99), bin(131, make([]byte, 16)...)))
	six, sixData := encode(w, 258, append(ends(iana.TCP, 1, 2), bin(131, append([]byte{0x20, 1}, make([]byte, 14)...)...)))
	plain, plainData := encode(w, 257, ends(iana.TCP, 1, 2))
	opts := w.optionsTemplate(300, 1, []field{ie(144, 4), ie(130, 4)})
	msg := w.message(opts, set(300, []byte{0, 0, 0, 1, 192, 0, 2, 77}), template, data, plain, plainData, six, sixData)
	for src, want := range map[Source][3]string{
		testSource:        {"192.0.2.1", "192.0.2.1", "192.0.2.1"},
		{Transport: File}: {"192.0.2.99", "192.0.2.77", "2001::"},
	} {
		var got records
		New(Config{}).Message(src, msg, testRecv, &got)
		if len(got) != 3 {
			t.Fatalf("%d records", len(got))
		}
		if g := [3]string{schema.Addr(got[0].Exporter).String(), schema.Addr(got[1].Exporter).String(), schema.Addr(got[2].Exporter).String()}; g != want {
			t.Errorf("%s: exporters %v, want %v", src, g, want)
		}
	}
}

// TestRecordsIndependent: what one record has does not show in the next.
func TestRecordsIndependent(t *testing.T) {
	w := newWriter(7, testExport)
	full := append(ends(iana.TCP, 40000, 443), num(48, 1, 3), num(161, 4, 5000), num(239, 1, 1), num(89, 1, 130), num(34, 4, 9), text4(236, "blue"))
	t1, d1 := encode(w, 256, full)
	t2, d2 := encode(w, 257, ends(iana.TCP, 40000, 443))
	empty := make([]value, len(full))
	for i, v := range full {
		empty[i] = value{v.field, make([]byte, len(v.bytes))}
		if v.length == variable {
			empty[i].bytes = nil
		}
	}
	copy(empty, ends(iana.TCP, 40000, 443))
	_, d3 := encode(w, 256, empty)
	var got records
	if err := New(Config{}).Message(testSource, w.message(t1, t2, d1, d2, d1, d3), testRecv, &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != 4 {
		t.Fatalf("%d records", len(got))
	}
	for _, i := range []int{1, 3} {
		if want := base(); got[i] != want {
			t.Errorf("record %d: %+v\nwant %+v", i, got[i], want)
		}
	}
	if got[0] != got[2] {
		t.Errorf("%+v\n%+v", got[0], got[2])
	}
}

// TestLeftOutValues: a field that is empty in one record does not keep the
// value of the record before.
func TestLeftOutValues(t *testing.T) {
	w := newWriter(7, testExport)
	values := ends(iana.TCP, 40000, 443)
	for _, id := range []uint16{34, 48, 161, 239, 89} {
		values = append(values, value{ie(id, variable), []byte{2}})
	}
	template, first := encode(w, 256, values)
	for i := range values[5:] {
		values[5+i].bytes = nil
	}
	_, second := encode(w, 256, values)
	var got records
	if err := New(Config{}).Message(testSource, w.message(template, first, set(256, cat(first[4:], second[4:]))), testRecv, &got); err != nil {
		t.Fatal(err)
	}
	if want := base(); len(got) != 3 || got[2] != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestStartOfExporterUnknown: without systemInitTimeMilliseconds the records
// themselves tell when the exporter started.
func TestStartOfExporterUnknown(t *testing.T) {
	d := New(Config{})
	var got records
	for _, c := range []struct {
		export, start, end uint64 // seconds after testExport, and of uptime
		wantEnd            int64  // seconds after testExport
	}{
		{0, 60, 90, 0},             // started 90 s before, or earlier
		{10, 60, 95, 5},            // the same: the flow waited for its export
		{20, 60, 115, 20},          // earlier: 95 s before
		{20, 60, 100, 5},           // The second is kept.
		{7200, 5, 10, 7200},        // restarted
		{7210, 5, 20, 7210},        //
		{7210, 5, 15, 7205},        //
		{7215, 5, 1 << 20, 7215},   // far more than is possible: from then on
		{7216, 5, 1<<20 + 1, 7216}, //
	} {
		w := newWriter(7, uint32(testExport+c.export))
		template, data := encode(w, 256, append(ends(iana.TCP, 40000, 443), num(22, 4, c.start*1000), num(21, 4, c.end*1000)))
		d.Message(testSource, w.message(template, data), testRecv+int64(c.export)*second, &got)
		r := got[len(got)-1]
		if want := testTime + c.wantEnd*second; r.End != want || r.Start != want-int64(c.end-c.start)*second {
			t.Errorf("%+v: from %d to %d s", c, (r.Start-testTime)/second, (r.End-testTime)/second)
		}
	}
}
