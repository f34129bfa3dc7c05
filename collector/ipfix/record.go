package ipfix

import (
	"encoding/binary"

	"cordon/internal/iana"
	"cordon/schema"
)

// scratch holds what a record says that needs more than a copy.
type scratch struct {
	startUptime, endUptime uint32
	systemInit             int64 // Unix milliseconds; 0 not given
	duration               int64 // microseconds
	sampling               sampling
	tunnelType             uint8
	tunnelKey              uint64
	biflowDirection        uint8
	fragmentOffset         uint64
	exporter               [16]byte // the exporter that the record names
	originalDomain         uint32
	sections               sections
}

// context is what the records of a message share.
type context struct {
	export   int64 // export time, Unix microseconds, made plausible
	received int64
	limit    int64 // no record time is later than this
	late     int64 // a flow that ended before this is late
}

// uintOf reads an unsigned integer of 1 to 8 bytes.
func uintOf(b []byte) uint64 {
	switch len(b) {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.BigEndian.Uint16(b))
	case 4:
		return uint64(binary.BigEndian.Uint32(b))
	case 8:
		return binary.BigEndian.Uint64(b)
	}
	var v uint64
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	return v
}

// take stores the value b for target t. The length of b is one that the
// element can have.
func (x *decoding) take(t target, b []byte) {
	r := x.rec
	if t >= toSrc4 {
		x.takeBytes(t, b)
		return
	}
	v := uintOf(b)
	switch t {
	case toSrcPort:
		r.SrcPort = uint16(v)
	case toDstPort:
		r.DstPort = uint16(v)
	case toProto:
		r.Proto = uint8(v)
	case toBytes:
		r.Bytes = v
	case toPackets:
		r.Packets = v
	case toRevBytes:
		r.RevBytes = v
	case toRevPackets:
		r.RevPackets = v
	case toTCPFlags:
		r.TCPFlags |= tcpFlags(v)
	case toRevTCPFlags:
		r.RevTCPFlags |= tcpFlags(v)
	case toICMP:
		if v != 0 {
			r.ICMPType, r.ICMPCode = uint8(v>>8), uint8(v)
		}
	case toICMPType:
		if v != 0 {
			r.ICMPType = uint8(v)
		}
	case toICMPCode:
		if v != 0 {
			r.ICMPCode = uint8(v)
		}
	case toInIf:
		r.InIf = uint32(v)
	case toOutIf:
		r.OutIf = uint32(v)
	case toVLAN:
		if r.VLAN == 0 {
			r.VLAN = uint16(v) & 0x0fff
		}
	case toVRFID:
		r.VRFID = uint32(v)
	case toFlowDirection:
		switch v {
		case 0:
			r.FlowDirection = schema.Ingress
		case 1:
			r.FlowDirection = schema.Egress
		}
	case toBiflowDirection:
		x.scratch.biflowDirection = uint8(v)
	case toForwardingStatus:
		// RFC 7270 puts the status into the low byte of a longer
		// integer. Some exporters left-align it.
		if v > 0xff {
			v = uint64(b[0])
		}
		r.ForwardingStatus = uint8(v)
	case toFirewallEvent:
		r.FirewallEvent = uint8(v)
	case toEndReason:
		r.EndReason = uint8(v)
	case toStartMillis:
		r.Start = fromUnix(v, 1e3)
	case toEndMillis:
		r.End = fromUnix(v, 1e3)
	default:
		x.takeTime(t, v, len(b))
	}
}

// takeTime stores times in forms other than that of most exporters. Apart from
// those that every record has, targets have functions of their own, so that take
// stays a table of jumps that fits a page.
func (x *decoding) takeTime(t target, v uint64, length int) {
	r := x.rec
	switch t {
	case toStartSeconds:
		r.Start = fromUnix(v, 1e6)
	case toEndSeconds:
		r.End = fromUnix(v, 1e6)
	case toStartMicros:
		r.Start = fromNTPMicros(v, x.export)
	case toEndMicros:
		r.End = fromNTPMicros(v, x.export)
	case toStartNanos:
		r.Start = fromNTPNanos(v, x.export)
	case toEndNanos:
		r.End = fromNTPNanos(v, x.export)
	case toStartDelta:
		r.Start = before(x.export, v)
	case toEndDelta:
		r.End = before(x.export, v)
	case toStartUptime:
		x.scratch.startUptime = uint32(v)
	case toEndUptime:
		x.scratch.endUptime = uint32(v)
	case toDurationMillis:
		x.scratch.duration = fromUnix(v, 1e3)
	case toDurationMicros:
		x.scratch.duration = fromUnix(v, 1)
	case toSystemInit:
		if v < maxSystemInit {
			x.scratch.systemInit = int64(v)
		}
	default:
		x.takeOther(t, v, length)
	}
}

// takeOther stores what few exporters send.
func (x *decoding) takeOther(t target, v uint64, length int) {
	r := x.rec
	switch t {
	case toPostSrcPort:
		r.PostSrcPort = uint16(v)
	case toPostDstPort:
		r.PostDstPort = uint16(v)
	case toL2Segment:
		r.L2Segment = v
	case toTunnelType:
		x.scratch.tunnelType = uint8(v)
	case toTunnelKey:
		x.scratch.tunnelKey = v
	case toFragmentOffset:
		x.scratch.fragmentOffset = v
	case toFrameSize:
		x.scratch.sections.frameSize = v
	case toFrameType:
		x.scratch.sections.frameType = uint16(v)
	case toSectionOffset:
		x.scratch.sections.offset = uint32(v)
	case toOldSectionOffset:
		x.scratch.sections.oldOffset = uint32(v)
	case toOriginalDomain:
		x.scratch.originalDomain = uint32(v)
	default:
		x.scratch.sampling.take(t, v, length)
	}
}

func (x *decoding) takeBytes(t target, b []byte) {
	r := x.rec
	switch t {
	case toSrc4:
		put4(&r.Src, b)
	case toDst4:
		put4(&r.Dst, b)
	case toSrc6:
		put6(&r.Src, b)
	case toDst6:
		put6(&r.Dst, b)
	case toExporter4:
		put4(&x.scratch.exporter, b)
	case toExporter6:
		put6(&x.scratch.exporter, b)
	case toPostSrc4:
		putPost4(&r.PostSrc, b)
	case toPostDst4:
		putPost4(&r.PostDst, b)
	case toPostSrc6:
		put6(&r.PostSrc, b)
	case toPostDst6:
		put6(&r.PostDst, b)
	case toVRFName:
		r.VRF = x.domain.options.intern(b)
	default:
		x.scratch.sections.take(t, b)
	}
}

// put4 writes an IPv4 address in its mapped form, unless there is already an
// IPv6 address: templates with both leave the other one zero.
func put4(dst *[16]byte, b []byte) {
	if *dst != ([16]byte{}) {
		return
	}
	dst[10], dst[11] = 0xff, 0xff
	copy(dst[12:], b)
}

// put6 writes an IPv6 address, unless it is unspecified and there is an IPv4
// address.
func put6(dst *[16]byte, b []byte) {
	if a := [16]byte(b); a != ([16]byte{}) {
		*dst = a
	}
}

// putPost4 writes the IPv4 address that NAT made of another one. Unspecified,
// it says that there was no translation.
func putPost4(dst *[16]byte, b []byte) {
	if binary.BigEndian.Uint32(b) != 0 {
		put4(dst, b)
	}
}

// tcpFlags keeps the bits of tcpControlBits that are flags. The upper four
// bits of its 16-bit form are the data offset (RFC 7125).
func tcpFlags(v uint64) uint16 { return uint16(v) & 0x0fff }

// finish derives what the record does not say directly. It reports whether the
// record is a flow.
func (x *decoding) finish(p *plan) bool {
	r := x.rec
	if p.needs&needPacket != 0 && !x.packet(p) {
		return false
	}
	if p.needs != 0 {
		x.settle(p)
	}
	x.times(p)
	switch r.Proto {
	case iana.TCP, iana.UDP, iana.SCTP, iana.DCCP, iana.UDPLite, 0:
		// 0 is also what a template without a protocol gives.
		if p.needs&needICMP != 0 {
			r.ICMPType, r.ICMPCode = 0, 0
		}
	case iana.ICMP, iana.ICMPv6:
		// NetFlow exporters carry type and code in the destination port.
		if r.ICMPType|r.ICMPCode == 0 {
			r.ICMPType, r.ICMPCode = uint8(r.DstPort>>8), uint8(r.DstPort)
		}
		r.SrcPort, r.DstPort, r.PostSrcPort, r.PostDstPort = 0, 0, 0, 0
	default:
		r.SrcPort, r.DstPort, r.PostSrcPort, r.PostDstPort = 0, 0, 0, 0
		r.ICMPType, r.ICMPCode = 0, 0
	}
	if r.Sampling == 0 {
		r.Sampling = x.announced(p)
	}
	if r.Sampling > x.domain.applied {
		x.domain.applied = r.Sampling
	}
	o := &x.domain.options
	if r.VRFID != 0 && r.VRF == "" {
		r.VRF = o.vrf(r.VRFID)
	}
	if r.Exporter == ([16]byte{}) {
		r.Exporter = o.exporter
	}
	return true
}

// announced is the sampling rate that options data gives for the record.
func (x *decoding) announced(p *plan) uint32 {
	if x.rates.plain && p.needs&needSampler == 0 {
		return x.rates.rate
	}
	r, s := x.rec, &x.scratch.sampling
	return x.rates.of(&asked{
		sampler: s.sampler, selector: s.selector, inIf: r.InIf, outIf: r.OutIf,
		template: x.template, direction: r.FlowDirection, exporter: x.named(p),
	}, x.source.charge)
}

// named is the exporter that the record names, if the source may name it.
func (x *decoding) named(p *plan) [16]byte {
	if p.needs&needExporter == 0 || !x.source.mediates || !specified(x.scratch.exporter) {
		return [16]byte{}
	}
	return x.scratch.exporter
}

// specified reports whether a is an address, and not one of zeros.
func specified(a [16]byte) bool { return !schema.Addr(a).IsUnspecified() }

// originate lays the record to the exporter that it names. A source that may not
// name exporters is the exporter itself.
func (x *decoding) originate() {
	r, s := x.rec, &x.scratch
	if !specified(s.exporter) {
		return
	}
	if !x.source.mediates {
		x.domain.passedOn.see(s.exporter)
		return
	}
	r.Exporter = s.exporter
	if s.originalDomain != 0 {
		r.Domain = s.originalDomain
	}
	x.domain.passedOn.count(x.source, r)
}

// settle works out what only some templates need.
func (x *decoding) settle(p *plan) {
	r, s := x.rec, &x.scratch
	if p.needs&(needStartUptime|needEndUptime) != 0 {
		x.uptimes(p)
	}
	if p.needs&needDuration != 0 {
		switch {
		case r.Start != 0 && r.End == 0:
			r.End = r.Start + s.duration
		case r.Start == 0:
			if r.End == 0 {
				r.End = x.export
			}
			r.Start = max(0, r.End-s.duration)
		}
	}
	if p.needs&needSampling != 0 {
		r.Sampling = s.sampling.rate()
	}
	if p.needs&needTunnel != 0 {
		r.L2Segment = s.tunnelKey
		if s.tunnelType == 1 { // VXLAN has the type 1 of layer2SegmentId, too
			r.L2Segment = s.tunnelKey&0xffffff | 1<<56
		}
	}
	if p.needs&needBiflowDirection != 0 {
		switch s.biflowDirection { // RFC 5103, section 6.3
		case 1: // initiator
			r.Direction, r.Basis = schema.Forward, schema.BasisInitiator
		case 2: // reverseInitiator
			r.Direction, r.Basis = schema.Reverse, schema.BasisInitiator
		}
	}
	if p.needs&needFragment != 0 && s.fragmentOffset != 0 {
		// Ports stand in the first fragment. What an exporter takes for them
		// in another one is data.
		r.SrcPort, r.DstPort, r.PostSrcPort, r.PostDstPort = 0, 0, 0, 0
	}
	if p.needs&needExporter != 0 {
		x.originate()
	}
	if p.needs&needAction != 0 {
		r.Action = action(r.ForwardingStatus, r.FirewallEvent)
	}
}

// action tells what became of the packets. What either element says was
// dropped, was dropped. Consumed packets (192-255) ended in the exporter,
// which says nothing of what it did with them.
func action(forwarding, firewall uint8) schema.Action {
	switch {
	case firewall == 3, forwarding >= 128 && forwarding < 192:
		return schema.Dropped
	case firewall == 1, firewall == 2, firewall == 5, forwarding >= 64 && forwarding < 128:
		return schema.Forwarded
	}
	return schema.ActionUnknown
}
