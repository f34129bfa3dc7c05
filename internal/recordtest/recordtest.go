// Package recordtest tells tests what a flow record is about, without the tables
// of sessions.
package recordtest

import (
	"cordon/internal/iana"
	"cordon/schema"
)

// Service gives the service of a record, as the session of which it is a part
// has it: the port at the server's side, and for ICMP the type and code of the
// request. What a protocol does not have is zero. As long as the direction is
// unknown, the destination stands for the server.
func Service(rec *schema.Record) (proto uint8, port uint16, icmpType, icmpCode uint8) {
	reverse := rec.Direction == schema.Reverse
	switch {
	case iana.IsICMP(rec.Proto):
		if t, ok := iana.ICMPRequest(rec.Proto, rec.ICMPType); ok && reverse {
			return rec.Proto, 0, t, 0 // a reply's code is not the request's
		}
		return rec.Proto, 0, rec.ICMPType, rec.ICMPCode
	case !iana.HasPorts(rec.Proto):
		return rec.Proto, 0, 0, 0
	}
	_, _, src, dst := rec.Ends()
	if reverse {
		return rec.Proto, src, 0, 0
	}
	return rec.Proto, dst, 0, 0
}
