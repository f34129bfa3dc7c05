package replay

import (
	"encoding/binary"

	"cordon/internal/iana"
	"cordon/schema"
)

const (
	penIANA    = 0
	penReverse = 29305 // reverse elements (RFC 5103, section 6.1)
	variable   = 65535 // the length that says variable (RFC 7011, section 7)

	setTemplate        = 2
	setOptionsTemplate = 3
	optionsID          = 511 // template id of the exporter's options data
)

// field is one element of a template and how to append its value.
type field struct {
	pen        uint32
	id, length uint16
	put        func(b []byte, r *schema.Record) []byte
}

func u8(id uint16, v func(r *schema.Record) uint8) field {
	return field{penIANA, id, 1, func(b []byte, r *schema.Record) []byte { return append(b, v(r)) }}
}

func u16(id uint16, v func(r *schema.Record) uint16) field {
	return field{penIANA, id, 2, func(b []byte, r *schema.Record) []byte { return binary.BigEndian.AppendUint16(b, v(r)) }}
}

func u32(id uint16, v func(r *schema.Record) uint32) field {
	return field{penIANA, id, 4, func(b []byte, r *schema.Record) []byte { return binary.BigEndian.AppendUint32(b, v(r)) }}
}

func u64(id uint16, v func(r *schema.Record) uint64) field {
	return field{penIANA, id, 8, func(b []byte, r *schema.Record) []byte { return binary.BigEndian.AppendUint64(b, v(r)) }}
}

func (f field) reverse() field {
	f.pen = penReverse
	return f
}

var (
	addresses4 = []field{
		{penIANA, 8, 4, func(b []byte, r *schema.Record) []byte { return append(b, r.Src[12:]...) }},
		{penIANA, 12, 4, func(b []byte, r *schema.Record) []byte { return append(b, r.Dst[12:]...) }},
	}
	addresses6 = []field{
		{penIANA, 27, 16, func(b []byte, r *schema.Record) []byte { return append(b, r.Src[:]...) }},
		{penIANA, 28, 16, func(b []byte, r *schema.Record) []byte { return append(b, r.Dst[:]...) }},
	}
	ports = []field{
		u16(7, func(r *schema.Record) uint16 { return r.SrcPort }),
		u16(11, func(r *schema.Record) uint16 { return r.DstPort }),
		u16(6, func(r *schema.Record) uint16 { return r.TCPFlags }),
	}
	icmp4  = []field{u16(32, typeAndCode)}
	icmp6  = []field{u16(139, typeAndCode)}
	common = []field{
		u8(4, func(r *schema.Record) uint8 { return r.Proto }),
		u64(1, func(r *schema.Record) uint64 { return r.Bytes }),
		u64(2, func(r *schema.Record) uint64 { return r.Packets }),
		u64(152, func(r *schema.Record) uint64 { return millis(r.Start) }),
		u64(153, func(r *schema.Record) uint64 { return millis(r.End) }),
		u32(10, func(r *schema.Record) uint32 { return r.InIf }),
		u32(14, func(r *schema.Record) uint32 { return r.OutIf }),
		u8(61, flowDirection),
		u8(136, endReason),
		u8(89, forwardingStatus),
		u16(243, func(r *schema.Record) uint16 { return r.VLAN }),
		u32(234, func(r *schema.Record) uint32 { return r.VRFID }),
		u32(235, func(r *schema.Record) uint32 { return r.VRFID }),
		u8(5, func(r *schema.Record) uint8 { return 0 }),
	}
	reverse = []field{
		u64(1, func(r *schema.Record) uint64 { return r.RevBytes }).reverse(),
		u64(2, func(r *schema.Record) uint64 { return r.RevPackets }).reverse(),
		u16(6, func(r *schema.Record) uint16 { return r.RevTCPFlags }).reverse(),
		u8(239, biflowDirection),
	}
	vrfName = []field{{penIANA, 236, variable, putVRF}}
)

func typeAndCode(r *schema.Record) uint16 { return uint16(r.ICMPType)<<8 | uint16(r.ICMPCode) }

func millis(us int64) uint64 { return uint64(max(us, 0)) / 1000 }

func flowDirection(r *schema.Record) uint8 {
	if r.FlowDirection == schema.Egress {
		return 1
	}
	return 0
}

func endReason(r *schema.Record) uint8 {
	const finRst = 0x05
	switch {
	case r.EndReason != 0:
		return r.EndReason
	case r.Proto == iana.TCP && r.TCPFlags&finRst != 0:
		return 3 // end of flow detected
	}
	return 1 // idle timeout
}

func forwardingStatus(r *schema.Record) uint8 {
	switch {
	case r.ForwardingStatus != 0:
		return r.ForwardingStatus
	case r.Action == schema.Forwarded:
		return 64
	case r.Action == schema.Dropped:
		return 128
	}
	return 0
}

// biflowDirection says who the initiator is, 0 where the record does not know.
func biflowDirection(r *schema.Record) uint8 {
	switch r.Direction {
	case schema.Forward:
		return 1
	case schema.Reverse:
		return 2
	}
	return 0
}

func putVRF(b []byte, r *schema.Record) []byte {
	if n := len(r.VRF); n < 255 {
		b = append(b, byte(n))
	} else {
		b = binary.BigEndian.AppendUint16(append(b, 255), uint16(n))
	}
	return append(b, r.VRF...)
}

// template is one of the forms in which a record can be sent.
type template struct {
	id     uint16
	fields []field
}

// Bits of the kind of a record, which chooses its template.
const (
	kindIPv6 = 1 << iota
	kindICMP
	kindBiflow
	kindVRF
	numKinds
)

// templates are numbered from 256 by kind.
var templates = func() (all [numKinds]template) {
	for kind := range all {
		has := func(bit int) bool { return kind&bit != 0 }
		var fields []field
		add := func(yes bool, f []field) {
			if yes {
				fields = append(fields, f...)
			}
		}
		add(!has(kindIPv6), addresses4)
		add(has(kindIPv6), addresses6)
		add(!has(kindICMP), ports)
		add(has(kindICMP) && !has(kindIPv6), icmp4)
		add(has(kindICMP) && has(kindIPv6), icmp6)
		add(true, common)
		add(has(kindBiflow), reverse)
		add(has(kindVRF), vrfName)
		all[kind] = template{uint16(256 + kind), fields}
	}
	return all
}()

// kindOf gives the kind of a record, of which biflow says whether both
// directions are to be sent in one.
func kindOf(r *schema.Record, biflow bool) int {
	kind := 0
	if !schema.Addr(r.Src).Is4() || !schema.Addr(r.Dst).Is4() {
		kind |= kindIPv6
	}
	if iana.IsICMP(r.Proto) {
		kind |= kindICMP
	}
	if biflow {
		kind |= kindBiflow
	}
	if r.VRF != "" {
		kind |= kindVRF
	}
	return kind
}

// appendTemplate appends a template record (RFC 7011, section 3.4).
func appendTemplate(b []byte, t *template) []byte {
	b = binary.BigEndian.AppendUint16(b, t.id)
	b = binary.BigEndian.AppendUint16(b, uint16(len(t.fields)))
	for _, f := range t.fields {
		b = appendField(b, f.pen, f.id, f.length)
	}
	return b
}

func appendField(b []byte, pen uint32, id, length uint16) []byte {
	if pen != penIANA {
		id |= 0x8000
	}
	b = binary.BigEndian.AppendUint16(b, id)
	b = binary.BigEndian.AppendUint16(b, length)
	if pen != penIANA {
		b = binary.BigEndian.AppendUint32(b, pen)
	}
	return b
}

// appendRecord appends a record in a form.
func (t *template) appendRecord(b []byte, r *schema.Record) []byte {
	for i := range t.fields {
		b = t.fields[i].put(b, r)
	}
	return b
}

// mirror makes the record of the other direction of a biflow, as an exporter
// sends it that does not know biflows.
func mirror(r *schema.Record) schema.Record {
	m := *r
	m.Src, m.Dst = r.Dst, r.Src
	m.SrcPort, m.DstPort = r.DstPort, r.SrcPort
	m.Bytes, m.Packets, m.RevBytes, m.RevPackets = r.RevBytes, r.RevPackets, 0, 0
	m.PacketsAssumed = false
	m.TCPFlags, m.RevTCPFlags = r.RevTCPFlags, 0
	m.InIf, m.OutIf = r.OutIf, r.InIf
	if reply, ok := iana.ICMPReply(r.Proto, r.ICMPType); ok {
		m.ICMPType, m.ICMPCode = reply, 0
	}
	return m
}
