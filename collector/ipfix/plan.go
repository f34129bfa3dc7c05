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
	ops      []op   // of the fixed part, in the order of the record
	steps    []step // of the rest, from the first field of variable length on
	flow     bool   // the record has source and destination addresses, or may have them in a packet's head
	has      contents
	sections []section // in the fixed part
	needs    needs
	proto    schema.Record // what all records of the template have in common
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

// choose picks, for each thing that a record can tell, the field that tells
// it. It returns the elements by the position of the field, and whether the
// template counts both directions.
func (p *plan) choose(fields []field) (map[int]element, bool) {
	type pick struct {
		element
		at int
		ok bool
	}
	var best [numSlots]pick
	for i, f := range fields {
		e, ok := elements[f.elementID]
		if !ok || f.length == 0 {
			continue // of length zero: the exporter says that it has no value
		}
		if f.length != variable && !e.legal(int(f.length)) {
			p.bad = append(p.bad, f.elementID)
			continue
		}
		if e.slot == slotVRFName && f.length > 255 && f.length != variable {
			continue
		}
		if b := &best[e.slot]; !b.ok || e.rank < b.rank {
			*b = pick{e, i, true}
		}
	}
	has := func(s slot) bool { return best[s].ok }
	drop := func(s slot) { best[s].ok = false }

	// Counters of initiator and responder count as a pair, unless the
	// template has both directions in reverse elements.
	initiator := false
	for _, s := range [][4]slot{
		{slotBytes, slotRevBytes, slotInitiatorBytes, slotResponderBytes},
		{slotPackets, slotRevPackets, slotInitiatorPackets, slotResponderPackets},
	} {
		fwd, rev, ini, res := s[0], s[1], s[2], s[3]
		if has(res) {
			initiator = true
		}
		switch {
		case has(ini) && has(res) && !has(rev):
			best[fwd], best[rev] = best[ini], best[res]
		case has(res) && !has(rev):
			best[rev] = best[res]
		case has(ini) && !has(fwd):
			best[fwd] = best[ini]
		}
		drop(ini)
		drop(res)
	}
	biflow := has(slotRevBytes) || has(slotRevPackets)
	if initiator {
		p.proto.Direction, p.proto.Basis = schema.Forward, schema.BasisInitiator
	}
	// Flags that are said to be of one side each are better than a union,
	// which may be of both.
	if has(slotSideTCPFlags) && has(slotRevSideTCPFlags) || has(slotFirstTCPFlags) && has(slotRevFirstTCPFlags) {
		drop(slotTCPFlags)
		drop(slotRevTCPFlags)
	}
	if has(slotVLAN) || has(slotDot1qVLAN) {
		drop(slotPostVLAN)
	}
	if has(slotL2Segment) {
		drop(slotTunnelKey)
	}
	if !has(slotTunnelKey) {
		drop(slotTunnelType)
	}
	if has(slotStart) && has(slotEnd) && best[slotEnd].rank <= 5 {
		drop(slotDuration)
	}
	startUp := has(slotStart) && best[slotStart].target == toStartUptime
	endUp := has(slotEnd) && best[slotEnd].target == toEndUptime
	if !startUp && !endUp {
		drop(slotSystemInit)
	}

	need := func(n needs, when ...slot) {
		if slices.ContainsFunc(when, has) {
			p.needs |= n
		}
	}
	if startUp {
		p.needs |= needStartUptime
	}
	if endUp {
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
	event := has(slotNATEvent) && !has(slotBytes) && !has(slotPackets) && !biflow
	drop(slotNATEvent)
	need(needPacket, slotFrameSection, slotIPSection, slotMPLSSection, slotPayloadSection)
	need(needExporter, slotExporter4, slotExporter6)
	tells := func(c contents, when ...slot) {
		if slices.ContainsFunc(when, has) {
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

	chosen := make(map[int]element, numSlots)
	for _, b := range best {
		if b.ok {
			chosen[b.at] = b.element
		}
	}
	return chosen, biflow
}
