package ipfix

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"cordon/internal/iana"
	"cordon/schema"
)

// drawFields makes a template of elements that mean something, elements that
// do not, and elements twice, in any order and of any length that they can
// have.
func drawFields(t *rapid.T) []field {
	known := slices.SortedFunc(maps.Keys(elements), func(a, b elementID) int { return bytes.Compare([]byte(a.String()), []byte(b.String())) })
	// Times need values that make sense; TestElements has them.
	known = slices.DeleteFunc(known, func(id elementID) bool {
		switch elements[id].slot {
		case slotStart, slotEnd, slotDuration, slotSystemInit, slotSamplingProbability, slotNATEvent:
			return true
		case slotFrameSection, slotIPSection, slotMPLSSection, slotPayloadSection: // TestPacketHeads has them
			return true
		}
		return false
	})
	fields := []field{ie(8, 4), ie(12, 4)}
	for range rapid.IntRange(0, 30).Draw(t, "fields") {
		f := field{elementID{rapid.SampledFrom([]uint32{0, 35632}).Draw(t, "enterprise"), uint16(rapid.IntRange(420, 500).Draw(t, "id"))}, uint16(rapid.IntRange(0, 20).Draw(t, "length"))}
		if rapid.Bool().Draw(t, "known") {
			f.elementID = rapid.SampledFrom(known).Draw(t, "element")
			var legal []uint16
			for n := range 20 {
				if elements[f.elementID].legal(n) {
					legal = append(legal, uint16(n))
				}
			}
			f.length = rapid.SampledFrom(legal).Draw(t, "legal length")
		}
		if rapid.IntRange(0, 3).Draw(t, "variable") == 0 {
			f.length = variable
		}
		at := rapid.IntRange(0, len(fields)).Draw(t, "at")
		fields = slices.Insert(fields, at, f)
	}
	return fields
}

// drawValue makes a value for a field.
func drawValue(t *rapid.T, f field) []byte {
	n := int(f.length)
	if f.length == variable {
		n = rapid.SampledFrom([]int{0, 1, 3, 8, 254, 255, 300}).Draw(t, "n")
		if e, ok := elements[f.elementID]; ok {
			for n = rapid.IntRange(1, 16).Draw(t, "n"); !e.legal(n); {
				n = n%16 + 1
			}
		}
	}
	return rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "value")
}

// model decodes a record the slow way, by the rules of the package comment.
func model(fields []field, values [][]byte) schema.Record {
	first := func(ids ...elementID) ([]byte, bool) {
		for _, id := range ids {
			for i, f := range fields {
				if f.elementID == id && f.length != 0 {
					return values[i], true
				}
			}
		}
		return nil, false
	}
	iana := func(ids ...uint16) (v uint64, ok bool) {
		var list []elementID
		for _, id := range ids {
			list = append(list, elementID{0, id})
		}
		b, ok := first(list...)
		for _, c := range b {
			v = v<<8 | uint64(c)
		}
		return v, ok
	}
	reverse := func(ids ...uint16) (v uint64, ok bool) {
		var list []elementID
		for _, id := range ids {
			list = append(list, elementID{penReverse, id})
		}
		b, ok := first(list...)
		for _, c := range b {
			v = v<<8 | uint64(c)
		}
		return v, ok
	}
	r := schema.Record{Exporter: schema.Addr16(testSource.Addr.Addr()), Domain: 7, Received: testRecv, Start: testTime, End: testTime}
	addr := func(four, six uint16) (a [16]byte) {
		if b, ok := first(elementID{0, six}); ok && !zeros(b) {
			return [16]byte(b)
		}
		b, _ := first(elementID{0, four})
		a[10], a[11] = 0xff, 0xff
		copy(a[12:], b)
		return a
	}
	r.Src, r.Dst = addr(8, 27), addr(12, 28)
	proto, _ := iana(4)
	r.Proto = uint8(proto)
	// 180 and 182 rank the same: the one that stands first.
	port := func(main, udp, tcp uint16) uint16 {
		if v, ok := iana(main); ok {
			return uint16(v)
		}
		for i, f := range fields {
			if f.pen == 0 && (f.id == udp || f.id == tcp) && f.length != 0 {
				return uint16(uintOf(values[i]))
			}
		}
		return 0
	}
	r.SrcPort, r.DstPort = port(7, 180, 182), port(11, 181, 183)
	if offset, _ := iana(88); offset != 0 { // a later fragment
		r.SrcPort, r.DstPort = 0, 0
	}

	var hasRevBytes, hasRevPackets bool
	r.Bytes, _ = iana(1, 85, 352, 353, 23, 171)
	r.Packets, _ = iana(2, 86, 24, 172)
	r.RevBytes, hasRevBytes = reverse(1, 85, 352, 353, 23, 171)
	r.RevPackets, hasRevPackets = reverse(2, 86, 24, 172)
	pair := func(ini, res uint16, fwd, rev *uint64, hasRev *bool, forward ...uint16) {
		i, hasIni := iana(ini)
		s, hasRes := iana(res)
		_, hasFwd := iana(forward...)
		if hasRes {
			r.Direction, r.Basis = schema.Forward, schema.BasisInitiator
		}
		switch {
		case hasRes && !*hasRev:
			*rev, *hasRev = s, true
			if hasIni {
				*fwd = i
			}
		case hasIni && !hasFwd:
			*fwd = i
		}
	}
	pair(231, 232, &r.Bytes, &r.RevBytes, &hasRevBytes, 1, 85, 352, 353, 23, 171)
	pair(298, 299, &r.Packets, &r.RevPackets, &hasRevPackets, 2, 86, 24, 172)
	if hasRevBytes || hasRevPackets {
		r.Completeness = schema.BothWays
	}
	switch v, _ := iana(239); uint8(v) {
	case 1:
		r.Direction, r.Basis = schema.Forward, schema.BasisInitiator
	case 2:
		r.Direction, r.Basis = schema.Reverse, schema.BasisInitiator
	}
	vendor := func(pen uint32, id uint16) (v uint64, ok bool) {
		b, ok := first(elementID{pen, id})
		for _, c := range b {
			v = v<<8 | uint64(c)
		}
		return v, ok
	}
	flags, _ := iana(6)
	back, _ := reverse(6)
	opening, hasOpening := vendor(penCERT, 14)
	revOpening, hasRevOpening := vendor(penCERT, 16398)
	later, _ := vendor(penCERT, 15)
	revLater, _ := vendor(penCERT, 16399)
	side, hasSide := vendor(penNtop, 78)
	revSide, hasRevSide := vendor(penNtop, 79)
	if hasOpening && hasRevOpening || hasSide && hasRevSide {
		flags, back = 0, 0
	}
	r.TCPFlags, r.RevTCPFlags = uint16(flags|opening|later|side)&0xfff, uint16(back|revOpening|revLater|revSide)&0xfff
	in, _ := iana(10, 252)
	out, _ := iana(14, 253)
	r.InIf, r.OutIf = uint32(in), uint32(out)
	if v, ok := iana(61); ok && v <= 1 {
		r.FlowDirection = schema.FlowDirection(v + 1)
	}
	reason, _ := iana(136)
	event, _ := iana(233)
	r.EndReason, r.FirewallEvent = uint8(reason), uint8(event)
	return r
}

// same compares what the model knows.
func same(got, want schema.Record) bool {
	switch want.Proto {
	case iana.TCP, iana.UDP, iana.SCTP, iana.DCCP, iana.UDPLite, 0:
	default:
		want.SrcPort, want.DstPort = 0, 0
	}
	want.ICMPType, want.ICMPCode = got.ICMPType, got.ICMPCode
	want.PostSrc, want.PostDst, want.PostSrcPort, want.PostDstPort = got.PostSrc, got.PostDst, got.PostSrcPort, got.PostDstPort
	want.VLAN, want.L2Segment, want.VRFID, want.VRF = got.VLAN, got.L2Segment, got.VRFID, got.VRF
	want.Sampling, want.ForwardingStatus, want.Action = got.Sampling, got.ForwardingStatus, got.Action
	return got == want
}

// TestAnyTemplate: whatever the template, the records are those that were
// encoded, and so many.
func TestAnyTemplate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fields := drawFields(t)
		w := newWriter(7, testExport)
		var body []byte
		var want records
		for range rapid.IntRange(1, 4).Draw(t, "records") {
			values := make([][]byte, len(fields))
			for i, f := range fields {
				values[i] = drawValue(t, f)
				body = appendValue(body, f, values[i], rapid.Bool().Draw(t, "long"))
			}
			want = append(want, model(fields, values))
		}
		// Padding is shorter than any record.
		body = append(body, make([]byte, rapid.IntRange(0, 3).Draw(t, "padding"))...)

		var got records
		d := New(Config{})
		err := d.Message(testSource, w.message(w.template(256, fields), set(256, body)), testRecv, &got)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(want) {
			t.Fatalf("%d records of %d", len(got), len(want))
		}
		for i := range got {
			if !same(got[i], want[i]) {
				t.Fatalf("record %d of template %s:\ngot  %+v\nwant %+v", i, describe(fields), got[i], want[i])
			}
		}
	})
}

func describe(fields []field) string { return fmt.Sprint(TemplateStats{fields: fields}.Fields()) }

// TestAnyOrder: cut a stream into sets and messages in any way, give any of it
// before its template, and the records are the same.
func TestAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWriter(7, testExport)
		n := rapid.IntRange(1, 40).Draw(t, "records")
		tmplAt := rapid.IntRange(0, n).Draw(t, "template at")
		d := New(Config{})
		var got records
		var sets [][]byte
		send := func() {
			if err := d.Message(testSource, w.counted(0, sets...), testRecv, &got); err != nil {
				t.Fatal(err)
			}
			w.sequence++ // No two messages have the same number.
			sets = nil
		}
		for i := range n + 1 {
			if i == tmplAt {
				sets = append(sets, w.template(256, pair))
			}
			if i < n {
				sets = append(sets, set(256, []byte{10, 0, 0, byte(i), 10, 1, 1, 1}))
			}
			if rapid.Bool().Draw(t, "send") {
				send()
			}
		}
		send()
		if len(got) != n {
			t.Fatalf("%d records of %d", len(got), n)
		}
		for i, r := range got {
			if r.Src[15] != byte(i) {
				t.Fatalf("record %d is at place %d", r.Src[15], i)
			}
		}
	})
}
