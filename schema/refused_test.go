package schema_test

import (
	"fmt"
	"testing"

	"cordon/schema"
)

// Whether a TCP record of both directions shows a connection or a refusal, in
// all the ways in which exporters give flags: of each side, the union of both in
// the place of the source or in both places, of one side only, none.
func TestRefusedConnections(t *testing.T) {
	const F, S, R, P, A, E, C = 0x01, 0x02, 0x04, 0x08, 0x10, 0x40, 0x80
	const refused, open = true, false
	type sides struct{ packets, bytes, revPackets, revBytes uint64 }
	once, retried := sides{1, 60, 1, 40}, sides{3, 180, 3, 120}
	used := sides{10, 1000, 12, 9000}
	idle := sides{20, 1040, 20, 1040} // keepalives
	for _, c := range []struct {
		name       string
		flags, rev uint16
		sides      sides
		want       bool
		change     func(*schema.Record)
	}{
		// Flags of each side
		{"each side: refused", S, R | A, once, refused, nil},
		{"each side: refused three times", S, R | A, retried, refused, nil},
		{"each side: refused by a RST without ACK", S, R, once, refused, nil},
		{"each side: refused with ECN", S | E | C, R | A, once, refused, nil},
		{"each side: RST with a bit of ECN", S, R | A | E, once, refused, nil},
		{"each side: SYN not answered", S, 0, sides{3, 180, 0, 0}, refused, nil},
		{"each side: used", S | A | P | F, S | A | P | F, used, open, nil},
		{"each side: used, closed by the client's RST", S | A | P | R, S | A | P, used, open, nil},
		{"each side: used, closed by the server's RST", S | A | P, S | A | P | R, used, open, nil},
		{"each side: checked by its health only", S | A | R, S | A, sides{3, 160, 1, 60}, open, nil},
		{"each side: an open port was scanned", S | R, S | A, sides{2, 100, 1, 60}, open, nil},
		{"each side: the same beside the union of both", S, S | R | A, once, refused, nil},
		{"each side: a middle part", A | P, A, idle, open, nil},

		// The union of both sides in the place of the source's flags
		{"union: refused", S | R | A, 0, once, refused, nil},
		{"union: refused three times", S | R | A, 0, retried, refused, nil},
		{"union: refused many times, client ports collapsed", S | R | A, 0, sides{1000, 60000, 1000, 40000}, refused, nil},
		{"union: refused without ACK", S | R, 0, once, refused, nil},
		{"union: refused, frames counted", S | R | A, 0, sides{1, 78, 1, 64}, refused, nil},
		{"union: refused, no octets counted", S | R | A, 0, sides{1, 0, 1, 0}, refused, nil},
		{"union: refused with ECN", S | R | A | E | C, 0, once, refused, nil},
		{"union: RST only", R, 0, once, refused, nil},
		{"union: RST and ACK only", R | A, 0, once, refused, nil},
		{"union: a probe with FIN, PSH and URG", F | P | 0x20 | R | A, 0, sides{1, 40, 1, 40}, refused, nil},
		{"union: used", S | A | P | F, 0, used, open, nil},
		{"union: used, closed by RST", S | A | P | R, 0, used, open, nil},
		{"union: little used, closed by RST", S | A | P | R, 0, sides{4, 240, 3, 180}, open, nil},
		{"union: used without PSH, closed by RST", S | A | R, 0, used, open, nil},
		{"union: opened and closed without data", S | A | F, 0, sides{4, 220, 3, 164}, open, nil},
		{"union: a middle part", A | P, 0, used, open, nil},
		{"union: an idle middle part", A, 0, idle, open, nil},
		{"union: the end of an idle connection", A | R, 0, idle, open, nil},
		{"union: the end of a used connection", A | P | R, 0, used, open, nil},
		{"union: opened", S | A, 0, sides{2, 100, 1, 60}, open, nil},
		{"union: twenty rows in one, each used", S | A | P | R, 0, sides{80, 4800, 60, 3600}, open, func(r *schema.Record) { r.Count = 20 }},
		{"union: twenty rows in one, each refused", S | R | A, 0, sides{20, 1200, 20, 800}, refused, func(r *schema.Record) { r.Count = 20 }},
		{"union: sampled", S | R | A, 0, once, open, func(r *schema.Record) { r.Sampling = 1000 }},

		{"union: sampled, RST only", R | A, 0, once, refused, func(r *schema.Record) { r.Sampling = 1000 }},

		// The union in both places
		{"union twice: refused", S | R | A, S | R | A, once, refused, nil},
		{"union twice: refused three times", S | R | A, S | R | A, retried, refused, nil},
		{"union twice: used", S | A | P | F, S | A | P | F, used, open, nil},
		{"union twice: used, closed by RST", S | A | P | R, S | A | P | R, used, open, nil},
		{"union twice: a middle part", A, A, idle, open, nil},

		// One side's flags only
		{"source only: SYN", S, 0, once, refused, nil},
		{"source only: SYN three times", S, 0, retried, refused, nil},
		{"source only: SYN, then RST", S | R, 0, sides{2, 100, 1, 60}, refused, nil},
		{"source only: a probe with FIN", F, 0, once, refused, nil},
		{"source only: SYN, though data followed", S, 0, used, open, nil}, // Such flags are the first packet's.
		{"destination only: RST", 0, R | A, once, refused, nil},
		{"destination only: union of a refusal", 0, S | R | A, once, refused, nil},
		{"destination only: SYN-ACK", 0, S | A, once, open, nil},
		{"destination only: used", 0, S | A | P | F, used, open, nil},

		// No flags
		{"none: one packet of each side", 0, 0, once, refused, nil},
		{"none: the same with Ethernet", 0, 0, sides{1, 78, 1, 64}, refused, nil},
		{"none: a small answer", 0, 0, sides{1, 60, 1, 95}, open, nil},
		{"none: more packets", 0, 0, sides{4, 240, 3, 180}, open, nil},
		{"none: nobody counted octets", 0, 0, sides{1, 0, 1, 0}, open, nil},
		{"none: a part of a longer record", 0, 0, once, open, func(r *schema.Record) { r.EndReason = 2 }},
		{"none: sampled", 0, 0, once, open, func(r *schema.Record) { r.Sampling = 100 }},
		{"none: UDP", 0, 0, once, open, func(r *schema.Record) { r.Proto = 17 }},
	} {
		for _, turned := range []bool{false, true} {
			for _, d := range []schema.Direction{schema.Forward, schema.DirectionUnknown} {
				t.Run(fmt.Sprintf("%s/turned=%v/direction=%d", c.name, turned, d), func(t *testing.T) {
					r := rec("10.0.0.1", 40000, "10.0.0.2", 22, 6, func(r *schema.Record) {
						r.Direction, r.Completeness = d, schema.BothWays
						r.Packets, r.Bytes, r.RevPackets, r.RevBytes = c.sides.packets, c.sides.bytes, c.sides.revPackets, c.sides.revBytes
						r.TCPFlags, r.RevTCPFlags = c.flags, c.rev
					})
					if c.change != nil {
						c.change(&r)
					}
					if turned {
						mirror(&r)
					}
					if got := schema.HalfOpen(&r); got != c.want {
						t.Errorf("half-open %v, want %v", got, c.want)
					}
				})
			}
		}
	}
}

// mirror turns a record of both directions round, as an exporter that puts the
// server first sends it.
func mirror(r *schema.Record) {
	r.Src, r.Dst, r.SrcPort, r.DstPort = r.Dst, r.Src, r.DstPort, r.SrcPort
	r.Bytes, r.Packets, r.RevBytes, r.RevPackets = r.RevBytes, r.RevPackets, r.Bytes, r.Packets
	r.TCPFlags, r.RevTCPFlags = r.RevTCPFlags, r.TCPFlags
	if r.Direction == schema.Forward {
		r.Direction = schema.Reverse
	}
}
