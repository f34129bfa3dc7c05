package direction

import (
	"cordon/categories"
	"cordon/schema"
)

// Requests and their replies, from IANA's "ICMP Type Numbers" and "ICMPv6 'type'
// Numbers". A type of its own that no other answers is not here.
var (
	icmpPairs = [...][2]uint8{
		{8, 0},   // echo
		{10, 9},  // router solicitation, advertisement
		{13, 14}, // timestamp
		{15, 16}, // information
		{17, 18}, // address mask
		{33, 34}, // IPv6 where-are-you, I-am-here
		{35, 36}, // mobile registration
		{37, 38}, // domain name
		{42, 43}, // extended echo (RFC 8335)
	}
	icmpv6Pairs = [...][2]uint8{
		{128, 129}, // echo
		{133, 134}, // router solicitation, advertisement
		{135, 136}, // neighbour solicitation, advertisement
		{139, 140}, // node information
		{141, 142}, // inverse neighbour discovery
		{144, 145}, // home agent address discovery
		{146, 147}, // mobile prefix
		{148, 149}, // certification path
		{152, 151}, // multicast router solicitation, advertisement
		{157, 158}, // duplicate address
		{160, 161}, // extended echo (RFC 8335)
	}
)

// requestOf gives the request type of each reply type, and every other type
// itself.
type requestOf [256]uint8

var (
	icmpRequest   = requests(icmpPairs[:])
	icmpv6Request = requests(icmpv6Pairs[:])
)

func requests(pairs [][2]uint8) (r requestOf) {
	for t := range r {
		r[t] = uint8(t)
	}
	for _, p := range pairs {
		r[p[1]] = p[0]
	}
	return r
}

// request gives the type that a message answers, or its own.
func request(proto, icmpType uint8) uint8 {
	if proto == categories.ProtoICMPv6 {
		return icmpv6Request[icmpType]
	}
	return icmpRequest[icmpType]
}

func byICMP(rec *schema.Record) schema.Direction {
	if request(rec.Proto, rec.ICMPType) != rec.ICMPType && !multicast(&rec.Dst) {
		return schema.Reverse
	}
	return schema.Forward
}

func multicast(a *[16]byte) bool {
	if a[0] == 0xff {
		return true
	}
	mapped := [12]byte{10: 0xff, 11: 0xff}
	return [12]byte(a[:12]) == mapped && a[12]>>4 == 0xe
}

// Reply gives the type of the message that answers a request, and whether there is
// one.
func Reply(proto, icmpType uint8) (uint8, bool) {
	pairs := icmpPairs[:]
	switch proto {
	case categories.ProtoICMP:
	case categories.ProtoICMPv6:
		pairs = icmpv6Pairs[:]
	default:
		return 0, false
	}
	for _, p := range pairs {
		if p[0] == icmpType {
			return p[1], true
		}
	}
	return 0, false
}
