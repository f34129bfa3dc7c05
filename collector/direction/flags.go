package direction

import "cordon/schema"

// Bits of tcpControlBits (IE 6).
const (
	flagFIN = 0x01
	flagSYN = 0x02
	flagRST = 0x04
	flagACK = 0x10
	flagECE = 0x40
	flagCWR = 0x80
)

// byFlags weighs the TCP flags of both sides of a record.
func byFlags(rec *schema.Record) schema.Direction {
	if (rec.TCPFlags|rec.RevTCPFlags)&flagSYN == 0 {
		return schema.DirectionUnknown
	}
	// Packets on both sides with flags on one only: some exporters give the
	// union of both sides, which is not that of a single packet.
	count := uint64(max(rec.Count, 1))
	src := role(rec.TCPFlags, rec.Packets == count && !rec.PacketsAssumed && (rec.RevPackets == 0 || rec.RevTCPFlags != 0))
	dst := role(rec.RevTCPFlags, rec.RevPackets == count && (rec.Packets == 0 || rec.TCPFlags != 0))
	switch src - dst {
	case 1, 2: // the source looks more like a client than the destination does
		return schema.Forward
	case -1, -2:
		return schema.Reverse
	}
	return schema.DirectionUnknown
}

// role says what the union of one side's flags shows it to be: 1 the client, -1
// the server, 0 either.
func role(flags uint16, onePacket bool) int {
	switch {
	case flags&flagSYN == 0:
		return 0
	case flags&flagACK == 0:
		return 1
	case onePacket && flags&(flagFIN|flagRST) == 0, flags&(flagECE|flagCWR) == flagECE:
		return -1
	}
	return 0
}
