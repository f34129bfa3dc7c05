package ipfix

import (
	"encoding/binary"
	"fmt"
)

// foreignReasons are the reasons that name another protocol: exporters are
// often set to one of these and pointed at an IPFIX port.
var foreignReasons = map[Reason]string{
	ReasonNetFlow1: "NetFlow v1",
	ReasonNetFlow5: "NetFlow v5",
	ReasonNetFlow7: "NetFlow v7",
	ReasonNetFlow8: "NetFlow v8",
	ReasonNetFlow9: "NetFlow v9",
	ReasonSFlow:    "sFlow",
}

// Protocol gives the name of the protocol that came in place of IPFIX, or ""
// for a reason that says something else.
func (r Reason) Protocol() string { return foreignReasons[r] }

// versionReasons are the versions of NetFlow, which stand where IPFIX has its
// own in the first two bytes.
var versionReasons = map[uint16]Reason{1: ReasonNetFlow1, 5: ReasonNetFlow5, 7: ReasonNetFlow7, 8: ReasonNetFlow8, 9: ReasonNetFlow9}

// notIPFIX says why the first bytes of a message, at least four, are not those
// of an IPFIX message. ok is true if they are.
func notIPFIX(b []byte) (r Reason, detail string, ok bool) {
	v := binary.BigEndian.Uint16(b)
	if v == version {
		return 0, "", true
	}
	if isSFlow(b) {
		return ReasonSFlow, fmt.Sprintf("this is sFlow version %d; set the exporter to IPFIX", binary.BigEndian.Uint32(b)), false
	}
	if r, known := versionReasons[v]; known {
		return r, fmt.Sprintf("version %d, not 10: this is %s; set the exporter to IPFIX", v, r.Protocol()), false
	}
	return ReasonVersion, fmt.Sprintf("version %d, not 10", v), false
}

// isSFlow reports whether b begins as an sFlow datagram does: a version of 32
// bits (2, 4 and 5 are in use), then the type of the agent's address (1 for
// IPv4, 2 for IPv6).
func isSFlow(b []byte) bool {
	if len(b) < 8 {
		return false
	}
	switch binary.BigEndian.Uint32(b) {
	case 2, 4, 5:
		family := binary.BigEndian.Uint32(b[4:])
		return family == 1 || family == 2
	}
	return false
}
