package ipfix

import (
	"cmp"
	"slices"

	"cordon/schema"
)

// variable is the length that a template gives to a field whose length stands
// in the record (RFC 7011, section 7).
const variable = 0xffff

// field is a field specifier of a template.
type field struct {
	elementID
	length uint16
}

// op takes one value out of the fixed part of a record.
type op struct {
	off    uint16
	size   uint8
	target target
}

// step passes one field, or a run of fields of no interest, behind the fixed
// part of a record.
type step struct {
	length  uint16 // variable where the length stands in the record
	target  target
	lengths lengths
}

// needs says what is left to do for a record after its values were taken.
type needs uint16

const (
	needStartUptime needs = 1 << iota
	needEndUptime
	needDuration
	needSampling
	needSampler  // the template names the sampler
	needPacket   // the record holds the beginning of a packet
	needExporter // the record names its exporter
	needTunnel
	needBiflowDirection
	needAction
	needFragment
	needICMP // the template has an element for ICMP type and code
)

// contents says what of a flow the fields of a template tell themselves.
type contents uint8

const (
	hasSource contents = 1 << iota
	hasDestination
	hasProto
	hasPorts
	hasTCPFlags
	hasVLAN
	hasBytes
	hasPackets

	hasEnds = hasSource | hasDestination
)

// section is a field of fixed length, perhaps a long one, that holds bytes of a
// packet.
type section struct {
	off, size uint16
	target    target
}

// plan tells how to make a flow record from a data record of one template. It
// is read-only once compiled.
type plan struct {
	min      int    // the fewest bytes that a record can have
	fixed    bool   // every record has min bytes
	head     int    // bytes of the fixed part
	ops      []op   // the fixed part, in the order of the record
	steps    []step // the rest, from the first field of variable length on
	flow     bool   // the record has source and destination addresses, or may have them in a packet's head
	has      contents
	sections []section // sections in the fixed part
	needs    needs
	proto    schema.Record // fields that all records of the template have in common
	bad      []elementID   // elements left out because of their length
}

// compile makes the plan of a template.
func compile(fields []field) *plan {
	p := new(plan)
	chosen, biflow := p.choose(fields)

	off := 0
	p.fixed = true
	for i, f := range fields {
		t, l := toNone, lengths(0)
		if e, ok := chosen[i]; ok {
			t, l = e.target, e.lengths
			if l == anyText {
				l = 0
			}
		}
		switch {
		case f.length == variable:
			p.fixed = false
			p.min++
			p.steps = append(p.steps, step{variable, t, l})
		case p.fixed:
			if t >= toFrameSection {
				p.sections = append(p.sections, section{uint16(off), f.length, t})
			} else if t != toNone {
				p.ops = append(p.ops, op{uint16(off), uint8(f.length), t})
			}
			off += int(f.length)
			p.min += int(f.length)
		default:
			p.min += int(f.length)
			last := &p.steps[len(p.steps)-1]
			if t == toNone && last.target == toNone && int(last.length)+int(f.length) < variable {
				last.length += f.length
			} else {
				p.steps = append(p.steps, step{f.length, t, l})
			}
		}
	}
	p.head = off
	// Targets in the order of their numbers are what the CPU predicts best
	// across templates; addresses must stay in order, IPv4 before IPv6.
	slices.SortStableFunc(p.ops, func(a, b op) int { return cmp.Compare(a.target, b.target) })

	if biflow {
		p.proto.Completeness = schema.BothWays
	}
	return p
}

// picks are, for each thing that a record can tell, the field that tells it.
type picks [numSlots]struct {
	element
	at int // position of the field
	ok bool
}

func (b *picks) has(s slot) bool { return b[s].ok }

func (b *picks) drop(slots ...slot) {
	for _, s := range slots {
		b[s].ok = false
	}
}

// choose picks, for each thing that a record can tell, the field that tells
// it. It returns the elements by the position of the field, and whether the
// template counts both directions.
func (p *plan) choose(fields []field) (map[int]element, bool) {
	var best picks
	for i, f := range fields {
		e, ok := elements[f.elementID]
		if !ok || f.length == 0 {
			continue // Length zero says that the exporter has no value.
		}
		if f.length != variable && !e.legal(int(f.length)) {
			p.bad = append(p.bad, f.elementID)
			continue
		}
		if e.slot == slotVRFName && f.length > 255 && f.length != variable {
			continue
		}
		if b := &best[e.slot]; !b.ok || e.rank < b.rank {
			b.element, b.at, b.ok = e, i, true
		}
	}
	if best.pairCounters() {
		p.proto.Direction, p.proto.Basis = schema.Forward, schema.BasisInitiator
	}
	biflow := best.has(slotRevBytes) || best.has(slotRevPackets)
	best.dropWorse()
	p.note(&best, biflow)

	chosen := make(map[int]element, numSlots)
	for _, b := range best {
		if b.ok {
			chosen[b.at] = b.element
		}
	}
	return chosen, biflow
}

// pairCounters takes counters of initiator and responder for a pair, unless the
// template has both directions in reverse elements. It reports whether there are
// counters of a responder.
func (b *picks) pairCounters() (initiator bool) {
	for _, s := range [][4]slot{
		{slotBytes, slotRevBytes, slotInitiatorBytes, slotResponderBytes},
		{slotPackets, slotRevPackets, slotInitiatorPackets, slotResponderPackets},
	} {
		fwd, rev, ini, res := s[0], s[1], s[2], s[3]
		if b.has(res) {
			initiator = true
		}
		switch {
		case b.has(ini) && b.has(res) && !b.has(rev):
			b[fwd], b[rev] = b[ini], b[res]
		case b.has(res) && !b.has(rev):
			b[rev] = b[res]
		case b.has(ini) && !b.has(fwd):
			b[fwd] = b[ini]
		}
		b.drop(ini, res)
	}
	return initiator
}

// dropWorse leaves out what another field tells better.
func (b *picks) dropWorse() {
	// Flags that are said to be of one side each are better than a union,
	// which may be of both.
	if b.has(slotSideTCPFlags) && b.has(slotRevSideTCPFlags) || b.has(slotFirstTCPFlags) && b.has(slotRevFirstTCPFlags) {
		b.drop(slotTCPFlags, slotRevTCPFlags)
	}
	if b.has(slotVLAN) || b.has(slotDot1qVLAN) {
		b.drop(slotPostVLAN)
	}
	if b.has(slotL2Segment) {
		b.drop(slotTunnelKey)
	}
	if !b.has(slotTunnelKey) {
		b.drop(slotTunnelType)
	}
	if b.has(slotStart) && b.has(slotEnd) && b[slotEnd].rank <= 5 {
		b.drop(slotDuration)
	}
	if !b.uptime(slotStart, toStartUptime) && !b.uptime(slotEnd, toEndUptime) {
		b.drop(slotSystemInit)
	}
}

// uptime reports whether a time is told by the uptime of the exporter.
func (b *picks) uptime(s slot, t target) bool { return b.has(s) && b[s].target == t }

// note settles what records of the template have and what they need.
func (p *plan) note(b *picks, biflow bool) {
	need := func(n needs, when ...slot) {
		if slices.ContainsFunc(when, b.has) {
			p.needs |= n
		}
	}
	if b.uptime(slotStart, toStartUptime) {
		p.needs |= needStartUptime
	}
	if b.uptime(slotEnd, toEndUptime) {
		p.needs |= needEndUptime
	}
	need(needDuration, slotDuration)
	need(needSampling, slotSamplingRate, slotSamplingPackets, slotSamplingTime, slotSamplingSize, slotSamplingProbability)
	need(needSampler, slotSampler, slotSelector)
	need(needTunnel, slotTunnelKey)
	need(needBiflowDirection, slotBiflowDirection)
	need(needAction, slotForwardingStatus, slotFirewallEvent)
	need(needFragment, slotFragmentOffset)
	need(needICMP, slotICMP4, slotICMP6, slotICMPType4, slotICMPType6)
	// Without counters, a record with a natEvent logs that a translation began
	// or ended (RFC 8158), which is no traffic.
	event := b.has(slotNATEvent) && !b.has(slotBytes) && !b.has(slotPackets) && !biflow
	b.drop(slotNATEvent)
	need(needPacket, slotFrameSection, slotIPSection, slotMPLSSection, slotPayloadSection)
	need(needExporter, slotExporter4, slotExporter6)
	tells := func(c contents, when ...slot) {
		if slices.ContainsFunc(when, b.has) {
			p.has |= c
		}
	}
	tells(hasSource, slotSrc4, slotSrc6)
	tells(hasDestination, slotDst4, slotDst6)
	tells(hasProto, slotProto)
	tells(hasPorts, slotSrcPort, slotDstPort)
	tells(hasTCPFlags, slotTCPFlags)
	tells(hasVLAN, slotVLAN, slotDot1qVLAN, slotPostVLAN)
	tells(hasBytes, slotBytes)
	tells(hasPackets, slotPackets)
	p.flow = !event && p.has&hasEnds == hasEnds || p.needs&needPacket != 0
}
