package schema

import (
	"net/netip"
	"time"
)

// Record is one flow record, as a row of table flows. Source and destination
// are as the exporter gave them; who is the client is told by Direction.
//
// The zero value of every optional field means "not given" and is what the
// table's default says too, so a column in which no record of a batch has a
// value is left out of the batch.
type Record struct {
	Exporter [16]byte // address of the exporter, IPv4 mapped into IPv6; zero for imported files
	Domain   uint32   // observation domain id (RFC 7011, section 3.1)

	Received int64 // Unix microseconds at the collector
	Start    int64 // Unix microseconds, flowStart of the record
	End      int64 // Unix microseconds, flowEnd of the record

	Src, Dst         [16]byte // IPv4 mapped into IPv6
	SrcPort, DstPort uint16   // zero where the protocol has no ports
	Proto            uint8    // IANA protocol number
	ICMPType         uint8
	ICMPCode         uint8

	// What NAT made of the ends after they were observed (IE 225 to 228, 281,
	// 282); zero where it left them, or nobody said. See Record.Ends.
	PostSrc, PostDst         [16]byte
	PostSrcPort, PostDstPort uint16

	Bytes, Packets       uint64 // source to destination
	RevBytes, RevPackets uint64 // destination to source, in biflow records (RFC 5103)
	TCPFlags             uint16 // union over the flow, source to destination (IE 6)
	RevTCPFlags          uint16 // union over the flow, destination to source

	InIf, OutIf uint32 // SNMP interface indexes (IE 10 and 14)
	VLAN        uint16 // IE 58, or IE 243 (dot1qVlanId)
	L2Segment   uint64 // layer2SegmentId (IE 351), encapsulation type included
	VRFID       uint32 // ingressVRFID (IE 234)
	VRF         string // VRF name; empty means the default VRF

	FlowDirection    FlowDirection // IE 61
	ForwardingStatus uint8         // IE 89 (RFC 7270): 64-127 forwarded, 128-191 dropped, 192-255 consumed
	FirewallEvent    uint8         // IE 233: 1 created, 2 deleted, 3 denied, 4 alert, 5 updated
	EndReason        uint8         // IE 136: 1 idle, 2 active timeout, 3 end detected, 4 forced, 5 lack of resources
	Sampling         uint32        // one packet in Sampling was looked at; 1 every packet, 0 not said, or SamplingUnknown

	Action       Action
	Direction    Direction
	Basis        Basis
	Completeness Completeness

	// Count is how many identical records this one stands for. Octet and
	// packet counts are totals over all of them. Zero counts as one.
	Count uint32

	// Import is the number of the import that brought the record, as in table
	// imports; zero for what exporters sent.
	Import uint32

	// PacketsAssumed says that nobody counted Packets: it is a default (flow
	// CSV without a value). It is not stored.
	PacketsAssumed bool
}

// SamplingUnknown is the Sampling of records of which only some packets were
// looked at, while nobody can tell how many.
const SamplingUnknown = 1<<32 - 1

// Ends gives the hosts that a record is about, and their ports: the same
// whichever way the record goes and wherever its ends were translated.
//
// A packet comes from its true source, and goes where translation sends it. So
// the source is as observed, and the destination as it is afterwards. Where that
// makes one end IPv4 and the other IPv6 (NAT64, RFC 6146), the pair of IPv6
// addresses stands, which the IPv6 host knows.
func (r *Record) Ends() (src, dst [16]byte, srcPort, dstPort uint16) {
	return ends(&r.Src, &r.Dst, &r.PostSrc, &r.PostDst, r.SrcPort, r.DstPort, r.PostSrcPort, r.PostDstPort)
}

func ends(src, dst, postSrc, postDst *[16]byte, srcPort, dstPort, postSrcPort, postDstPort uint16) ([16]byte, [16]byte, uint16, uint16) {
	none := [16]byte{}
	if *postDst == none && *postSrc == none && postDstPort|postSrcPort == 0 {
		return *src, *dst, srcPort, dstPort
	}
	either := func(after, before *[16]byte) *[16]byte {
		if *after == none {
			return before
		}
		return after
	}
	ported := func(after, before uint16) uint16 {
		if after == 0 {
			return before
		}
		return after
	}
	after := either(postDst, dst)
	switch from, to := mapped(src), mapped(after); {
	case from == to:
		return *src, *after, srcPort, ported(postDstPort, dstPort)
	case from: // an answer, from IPv4 to IPv6
		return *either(postSrc, src), *after, ported(postSrcPort, srcPort), ported(postDstPort, dstPort)
	}
	return *src, *dst, srcPort, dstPort
}

// mapped reports whether an address is an IPv4 address.
func mapped(a *[16]byte) bool {
	return [12]byte(a[:12]) == [12]byte{10: 0xff, 11: 0xff}
}

// FlowDirection is the flowDirection of a record (IE 61), shifted by one so
// that zero means that the exporter did not say.
type FlowDirection uint8

// The directions of IE 61.
const (
	FlowDirectionUnknown FlowDirection = iota
	Ingress
	Egress
)

// Action is what the exporter says became of the packets of a record.
type Action uint8

// The actions, from forwardingStatus (IE 89) or firewallEvent (IE 233).
const (
	ActionUnknown Action = iota
	Forwarded
	Dropped
)

// Direction says which end of a record is the client.
type Direction uint8

// The directions of a record.
const (
	DirectionUnknown Direction = iota
	Forward                    // the source is the client
	Reverse                    // the destination is the client
)

// Basis is the evidence on which Direction was decided. A larger value is
// stronger evidence.
type Basis uint8

// The bases, weakest first.
const (
	BasisNone      Basis = iota
	BasisDegree          // decided in SQL: the side with many peers is the server
	BasisKnownPort       // one of the ports is that of a well-known service
	BasisPortRange       // a service port against an ephemeral port
	BasisICMP            // an ICMP request or reply type
	BasisTCPFlags        // SYN without ACK, or SYN with ACK, was seen
	BasisInitiator       // biflow (RFC 5103) or initiator/responder fields
	BasisStated          // the input says so (flow CSV without a source port)
)

// Completeness says what a record alone can tell of whether the session was
// answered.
type Completeness uint8

// The kinds of completeness of a record.
const (
	// OneWay records show one direction; the other one may come in a
	// record of its own.
	OneWay Completeness = iota
	// BothWays records carry the counts of both directions, so a zero
	// reverse count means that there was no answer.
	BothWays
	// Unknowable records come from a source that cannot tell.
	Unknowable
)

// Addr16 gives an address in the 16-byte form of [Record], IPv4 mapped.
func Addr16(a netip.Addr) [16]byte { return a.As16() }

// Addr gives a 16-byte address back as the IPv4 or IPv6 address it stands for.
func Addr(b [16]byte) netip.Addr { return netip.AddrFrom16(b).Unmap() }

// Micros gives a time in the Unix microseconds of [Record].
func Micros(t time.Time) int64 { return t.UnixMicro() }

// Time gives Unix microseconds back as a UTC time.
func Time(us int64) time.Time { return time.UnixMicro(us).UTC() }
