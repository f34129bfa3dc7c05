package iana

// Requests and their replies, from IANA's "ICMP Type Numbers" and "ICMPv6 'type'
// Numbers". A type of its own that no other answers is not here, nor is a report
// of multicast listeners: it goes out unasked too, and to a group.
var (
	icmpPairs = [...][2]uint8{
		{8, 0},   // echo
		{10, 9},  // router solicitation, advertisement (RFC 1256)
		{13, 14}, // timestamp
		{15, 16}, // information (RFC 792)
		{17, 18}, // address mask (RFC 950)
		{33, 34}, // IPv6 where-are-you, I-am-here
		{35, 36}, // mobile registration
		{37, 38}, // domain name (RFC 1788)
		{42, 43}, // extended echo (RFC 8335)
	}
	icmpv6Pairs = [...][2]uint8{
		{128, 129}, // echo
		{133, 134}, // router solicitation, advertisement (RFC 4861)
		{135, 136}, // neighbour solicitation, advertisement (RFC 4861)
		{139, 140}, // node information (RFC 4620)
		{141, 142}, // inverse neighbour discovery (RFC 3122)
		{144, 145}, // home agent address discovery (RFC 6275)
		{146, 147}, // mobile prefix (RFC 6275)
		{148, 149}, // certification path (RFC 3971)
		{152, 151}, // multicast router solicitation, advertisement (RFC 4286)
		{157, 158}, // duplicate address (RFC 6775)
		{160, 161}, // extended echo (RFC 8335)
	}
)

// messages gives the type of the other message of a pair by the type of one.
type messages struct{ requestOf, replyTo [256]partner }

type partner struct {
	icmpType uint8
	known    bool
}

var icmpMessages, icmpv6Messages, noMessages = messagesOf(icmpPairs[:]), messagesOf(icmpv6Pairs[:]), messagesOf(nil)

func messagesOf(pairs [][2]uint8) *messages {
	m := new(messages)
	for _, p := range pairs {
		m.replyTo[p[0]], m.requestOf[p[1]] = partner{p[1], true}, partner{p[0], true}
	}
	return m
}

func messagesIn(proto uint8) *messages {
	switch proto {
	case ICMP:
		return icmpMessages
	case ICMPv6:
		return icmpv6Messages
	}
	return noMessages
}

// ICMPRequest gives the type of the request that a message of ICMP or ICMPv6
// answers, and whether it answers one.
func ICMPRequest(proto, icmpType uint8) (request uint8, ok bool) {
	p := messagesIn(proto).requestOf[icmpType]
	return p.icmpType, p.known
}

// ICMPReply gives the type of the message that answers a request of ICMP or
// ICMPv6, and whether there is one.
func ICMPReply(proto, icmpType uint8) (reply uint8, ok bool) {
	p := messagesIn(proto).replyTo[icmpType]
	return p.icmpType, p.known
}
