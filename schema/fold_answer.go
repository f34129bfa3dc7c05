package schema

import "cordon/internal/iana"

// Bits of TCP flags.
const (
	tcpFIN = 0x01
	tcpSYN = 0x02
	tcpRST = 0x04
	tcpPSH = 0x08
	tcpACK = 0x10
	tcpECN = 0x40 | 0x80 | 0x100 // ECE, CWR and NS
)

// classify says what record i tells of an answer. Turned says that the source
// stands as the server; d is the direction.
func classify(c *rows, i int, d Direction, turned bool) kind {
	how := Completeness(c.completeness[i])
	if Action(c.action[i]) == Dropped {
		return denied
	}
	if how == Unknowable {
		return complete
	}
	flags, revFlags := c.tcpFlags[i], c.revTCPFlags[i]
	if c.proto[i] != iana.TCP {
		flags, revFlags = 0, 0
	}
	if how == BothWays {
		// An answer has packets and is more than a refusal. Where the server
		// is not known, that goes for both sides. Flags that stand alone may
		// be those of both sides; neverOpened looks at them.
		each := flags != 0 && revFlags != 0
		answered := c.packets[i]|c.bytes[i] != 0 && !(each && refusal(flags))
		revAnswered := c.revPackets[i]|c.revBytes[i] != 0 && !(each && refusal(revFlags))
		if d == Forward {
			answered = true
		} else if d == Reverse {
			revAnswered = true
		}
		if !answered || !revAnswered || c.proto[i] == iana.TCP && neverOpened(c, i, d) {
			return halfOpen
		}
		return complete
	}
	switch {
	case refusal(flags):
		if d == Forward {
			return request // a client's reset may end anything
		}
		return unanswered
	case flags&tcpACK != 0:
		return complete // an end that sends ACK has been answered
	case turned:
		return reply
	case flags&tcpSYN != 0 && c.sampling[i] <= 1:
		// No ACK of the client followed its SYN. Where packets are sampled,
		// it may have been missed.
		return unanswered
	}
	return request
}

// refusal reports whether the flags of a side are nothing but RST, with or
// without ACK and the bits of ECN.
func refusal(flags uint16) bool { return flags&^(tcpACK|tcpECN) == tcpRST }

const (
	// withoutData is the most bytes that a packet without data has on average:
	// IPv6 and TCP with all their options, and the layers below, have 122.
	withoutData = 128
	// attempts is how often a client tries to open one connection that is
	// refused: Windows does three times.
	attempts = 3
	// Of a SYN and of a RST, octets over IPv4 with the layers below; a SYN can
	// have 40 octets of options, a RST has none. IPv6 has 20 octets more.
	bareSYN, bareRST, moreIPv6 = 84, 68, 20
	// activeTimeout is the flowEndReason (IE 136) of a record that goes on in
	// another one.
	activeTimeout = 2
)

// neverOpened reports whether a TCP record with packets of both sides shows that
// no connection came about, though its flags are not those of one side each.
//
// Exporters put the union of both sides where the flags of the source belong, or
// into both places, or give the flags of one side only, or none. The flags that
// are left say so much, of whichever side they are:
//
//   - All packets of a connection but its SYN have ACK. So where no ACK is, no
//     connection was: a SYN that its sender never followed by an ACK, a RST.
//   - A connection is reset after a handshake of three packets. One packet of
//     each side, of which one is a RST, is a refusal.
//   - A connection that was used has PSH, or ends with FIN. SYN, RST and ACK
//     alone are what a refused attempt has, or one that was given up.
//   - RST and ACK without SYN may also end a connection that began in an earlier
//     record. With more packets than a client's attempts, they do.
//
// Packets that carry data tell of a connection in each of these cases. Where
// packets are sampled, what is missing may have been missed, and only a RST
// says something.
func neverOpened(c *rows, i int, d Direction) bool {
	flags, revFlags := c.tcpFlags[i], c.revTCPFlags[i]
	packets, revPackets, n := c.packets[i], c.revPackets[i], uint64(max(c.count[i], 1))
	if carriesData(c.bytes[i], packets) || carriesData(c.revBytes[i], revPackets) {
		return false
	}
	one := packets <= n && revPackets <= n
	few := packets <= attempts*n && revPackets <= attempts*n
	if c.sampling[i] > 1 {
		return refusal(flags|revFlags) && few
	}
	counted := c.bytes[i] != 0 && c.revBytes[i] != 0
	if flags != 0 && revFlags != 0 && flags != revFlags {
		// Of one side each, or a union beside the flags of one side: a client
		// that sent no ACK, and a server that reset, opened nothing.
		return opensOnly(flags) && revFlags&tcpRST != 0 || opensOnly(revFlags) && flags&tcpRST != 0
	}
	switch union := flags | revFlags; {
	case union == 0:
		return one && counted && c.endReason[i] != activeTimeout && bare(c, i, d)
	case union&tcpACK == 0:
		return few || counted || union&tcpRST != 0
	case union&tcpRST == 0:
		return false
	case one:
		return true
	case union&(tcpPSH|tcpFIN) != 0:
		return false
	default:
		return union&tcpSYN != 0 || few
	}
}

// opensOnly reports whether the flags of a side are SYN without any ACK.
func opensOnly(flags uint16) bool { return flags&(tcpSYN|tcpACK) == tcpSYN }

func carriesData(bytes, packets uint64) bool {
	return packets > 0 && bytes/packets >= withoutData
}

// bare reports whether the packets of both sides are small enough for a SYN and
// a RST.
func bare(c *rows, i int, d Direction) bool {
	syn, rst := uint64(bareSYN), uint64(bareRST)
	if !mapped(&c.src[i]) {
		syn, rst = syn+moreIPv6, rst+moreIPv6
	}
	a, b := c.bytes[i]/max(c.packets[i], 1), c.revBytes[i]/max(c.revPackets[i], 1)
	switch d {
	case Forward:
		return a <= syn && b <= rst
	case Reverse:
		return a <= rst && b <= syn
	}
	return max(a, b) <= syn && min(a, b) <= rst
}
