package direction

import (
	"cordon/internal/iana"
	"cordon/schema"
)

// wellKnownPairs are services, all over UDP, whose client has a known port too.
var wellKnownPairs = [...]struct{ client, server uint16 }{
	{68, 67},   // DHCP
	{546, 547}, // DHCPv6
	{161, 162}, // SNMP trap
}

// byRecordPorts decides by the ports of a record. Where they were translated,
// those at the two ends say most, then those that the record had before, then
// those that it had after.
func (r *Rules) byRecordPorts(rec *schema.Record, known class) (schema.Direction, schema.Basis) {
	if rec.PostSrcPort|rec.PostDstPort == 0 {
		return r.byPorts(rec.SrcPort, rec.DstPort, known)
	}
	_, _, src, dst := rec.Ends()
	postSrc, postDst := rec.PostSrcPort, rec.PostDstPort
	if postSrc == 0 {
		postSrc = rec.SrcPort
	}
	if postDst == 0 {
		postDst = rec.DstPort
	}
	for _, pair := range [...][2]uint16{{src, dst}, {rec.SrcPort, rec.DstPort}, {postSrc, postDst}} {
		if d, basis := r.byPorts(pair[0], pair[1], known); d != schema.DirectionUnknown {
			return d, basis
		}
	}
	return schema.DirectionUnknown, schema.BasisNone
}

// byPorts is the table in the package comment. known is the bit of the
// record's protocol.
func (r *Rules) byPorts(src, dst uint16, known class) (schema.Direction, schema.Basis) {
	s, d := r.class[src]&(ephemeral|known), r.class[dst]&(ephemeral|known)
	switch {
	case src == dst:
		return schema.DirectionUnknown, schema.BasisNone
	case src == 0:
		return schema.Forward, schema.BasisPortRange
	case dst == 0:
		return schema.Reverse, schema.BasisPortRange
	case s == ephemeral && d&ephemeral == 0:
		return schema.Forward, schema.BasisPortRange
	case d == ephemeral && s&ephemeral == 0:
		return schema.Reverse, schema.BasisPortRange
	case s == d:
		return alike(src, dst, s, known)
	case s == ephemeral|known && d&ephemeral == 0:
		if d == known || dst < iana.FirstUserPort {
			return schema.Forward, schema.BasisPortRange
		}
		return schema.DirectionUnknown, schema.BasisNone
	case d == ephemeral|known && s&ephemeral == 0:
		if s == known || src < iana.FirstUserPort {
			return schema.Reverse, schema.BasisPortRange
		}
		return schema.DirectionUnknown, schema.BasisNone
	case d&known != 0:
		return schema.Forward, schema.BasisKnownPort
	default:
		return schema.Reverse, schema.BasisKnownPort
	}
}

// alike decides between two ports of the same kind.
func alike(src, dst uint16, kind, known class) (schema.Direction, schema.Basis) {
	switch kind {
	case 0:
		if (src < iana.FirstUserPort) != (dst < iana.FirstUserPort) {
			if dst < iana.FirstUserPort {
				return schema.Forward, schema.BasisKnownPort
			}
			return schema.Reverse, schema.BasisKnownPort
		}
	case knownUDP:
		for _, p := range wellKnownPairs {
			switch {
			case src == p.client && dst == p.server:
				return schema.Forward, schema.BasisKnownPort
			case dst == p.client && src == p.server:
				return schema.Reverse, schema.BasisKnownPort
			}
		}
	}
	return schema.DirectionUnknown, schema.BasisNone
}
