package direction

import (
	"fmt"

	"cordon/categories"
	"cordon/internal/iana"
	"cordon/schema"
)

// PortRange is a range of port numbers, both ends included.
type PortRange struct{ Lo, Hi uint16 }

// DefaultEphemeral are the ports that clients are given by IANA's rule
// (RFC 6335, section 6) and by Linux (ip_local_port_range).
var DefaultEphemeral = []PortRange{{iana.FirstDynamicPort, 65535}, {32768, 60999}}

// Config configures [Rules].
type Config struct {
	// Ephemeral are the port ranges from which clients take their ports. Empty
	// means [DefaultEphemeral].
	Ephemeral []PortRange
	// Services are known services beside those of [iana.ServiceName],
	// such as a site's own applications inside the ephemeral ranges.
	Services []categories.ServiceTerm
}

// Rules decides the direction of records. It is made by [New], does not change
// after that, and is safe for concurrent use.
type Rules struct {
	class [1 << 16]class // indexed by port number
}

// Bits of what is known about a port number.
type class uint8

const (
	ephemeral class = 1 << iota
	knownTCP
	knownUDP // known in UDP and UDP-Lite
	knownDCCP
	knownSCTP
)

// knownIn gives the bit that says whether a port is known in a protocol, 0 if
// the protocol has no ports.
func knownIn(proto uint8) class {
	switch proto {
	case iana.TCP:
		return knownTCP
	case iana.UDP, iana.UDPLite:
		return knownUDP
	case iana.SCTP:
		return knownSCTP
	case iana.DCCP:
		return knownDCCP
	}
	return 0
}

// New makes rules. It returns an error for a range that runs backwards, for a
// service of a protocol without ports, and for one that names every port.
func New(c Config) (*Rules, error) {
	r := new(Rules)
	ranges := c.Ephemeral
	if len(ranges) == 0 {
		ranges = DefaultEphemeral
	}
	for _, e := range ranges {
		if e.Lo > e.Hi || e.Lo == 0 {
			return nil, fmt.Errorf("ephemeral ports %d-%d: write the lower port first, from 1 to 65535", e.Lo, e.Hi)
		}
		for p := int(e.Lo); p <= int(e.Hi); p++ {
			r.class[p] |= ephemeral
		}
	}
	for _, proto := range []uint8{iana.TCP, iana.UDP, iana.DCCP, iana.SCTP} {
		bit := knownIn(proto)
		for p := range r.class {
			if _, ok := iana.ServiceName(proto, uint16(p)); ok {
				r.class[p] |= bit
			}
		}
	}
	for _, t := range c.Services {
		bit := knownIn(t.Proto)
		switch {
		case bit == 0:
			return nil, fmt.Errorf("service %s: %s has no ports, and only a port can be told from an ephemeral one", t, iana.ProtocolName(t.Proto))
		case t.Any():
			return nil, fmt.Errorf("service %s: name the ports, since a port that is known tells the server from the client", t)
		}
		for p := int(t.Lo); p <= int(t.Hi); p++ {
			r.class[p] |= bit
		}
	}
	return r, nil
}

// Infer sets Direction and Basis of a record by the strongest evidence that it
// holds, as the package comment says. A record that already has a basis is left
// as it is.
func (r *Rules) Infer(rec *schema.Record) {
	if rec.Basis != schema.BasisNone {
		return
	}
	switch rec.Proto {
	case iana.TCP:
		if d := byFlags(rec); d != schema.DirectionUnknown {
			rec.Direction, rec.Basis = d, schema.BasisTCPFlags
			return
		}
		rec.Direction, rec.Basis = r.byRecordPorts(rec, knownTCP)
	case iana.UDP, iana.UDPLite:
		rec.Direction, rec.Basis = r.byRecordPorts(rec, knownUDP)
	case iana.SCTP, iana.DCCP:
		rec.Direction, rec.Basis = r.byRecordPorts(rec, knownIn(rec.Proto))
	case iana.ICMP, iana.ICMPv6:
		rec.Direction, rec.Basis = byICMP(rec), schema.BasisICMP
	default:
		rec.Direction = schema.DirectionUnknown
	}
}
