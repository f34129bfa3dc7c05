package ipfix

import (
	"encoding/binary"

	"cordon/internal/iana"
)

// head is what the beginning of a packet tells. Fields that were cut off, or
// that the protocol does not have, are zero.
type head struct {
	src, dst         [16]byte
	proto            uint8
	srcPort, dstPort uint16
	tcpFlags         uint16
	icmpType         uint8
	icmpCode         uint8
	vlan             uint16 // VLAN of the outermost tag
	length           uint64 // octets of the IP packet, its header included
}

// Types of Ethernet frames.
const (
	etherIPv4     = 0x0800
	etherIPv6     = 0x86dd
	etherVLAN     = 0x8100
	etherQinQ     = 0x88a8
	etherOldQinQ  = 0x9100
	etherOldQinQ2 = 0x9200
	etherMPLS     = 0x8847
	etherMPLSUp   = 0x8848 // upstream-assigned label
	etherPPPoE    = 0x8864
)

// maxTags is how many VLAN tags, MPLS labels or IPv6 extension headers are
// passed; nobody stacks as many.
const maxTags = 16

// ethernet reads a frame from its destination address on. Whether there is a
// whole IP header in it is told by ok.
func (h *head) ethernet(b []byte, size uint64) (ok bool) {
	whole := len(b)
	if len(b) < 14 {
		return false
	}
	typ := binary.BigEndian.Uint16(b[12:])
	b = b[14:]
	for range maxTags {
		switch typ {
		case etherVLAN, etherQinQ, etherOldQinQ, etherOldQinQ2:
			if len(b) < 4 {
				return false
			}
			if h.vlan == 0 {
				h.vlan = binary.BigEndian.Uint16(b) & 0x0fff
			}
			typ, b = binary.BigEndian.Uint16(b[2:]), b[4:]
			continue
		case etherIPv4, etherIPv6:
			ok = h.ip(b)
		case etherMPLS, etherMPLSUp:
			if b = behindLabels(b); b != nil {
				ok = h.ip(b)
			}
		case etherPPPoE:
			// A header of six bytes, then the protocol of PPP (RFC 2516).
			if len(b) >= 8 && b[0] == 0x11 {
				if p := binary.BigEndian.Uint16(b[6:]); p == 0x0021 || p == 0x0057 {
					b = b[8:]
					ok = h.ip(b)
				}
			}
		default:
			// Below 0x0600 it is a length, and LLC follows; with SNAP the
			// type is behind it (RFC 1042).
			if typ < 0x0600 && len(b) >= 8 && [6]byte(b) == [6]byte{0xaa, 0xaa, 3} {
				typ, b = binary.BigEndian.Uint16(b[6:]), b[8:]
				continue
			}
		}
		break
	}
	if ok && h.length == 0 {
		// A packet that is larger than its header can say (RFC 2675), or
		// was not cut up yet when it was looked at: the frame knows.
		if l2 := uint64(whole - len(b)); size > l2 {
			h.length = size - l2
		}
	}
	return ok
}

// behindLabels passes a stack of MPLS labels (RFC 3032). What is behind it is IP
// if it begins with 4 or 6; other payloads begin with a control word, which is 0
// or 1 (RFC 4385).
func behindLabels(b []byte) []byte {
	for range maxTags {
		if len(b) < 4 {
			return nil
		}
		bottom := b[2]&1 != 0
		b = b[4:]
		if bottom {
			return b
		}
	}
	return nil
}

// ip reads an IPv4 or IPv6 packet.
func (h *head) ip(b []byte) bool {
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		return h.ipv4(b)
	case len(b) >= 40 && b[0]>>4 == 6:
		return h.ipv6(b)
	}
	return false
}

func (h *head) ipv4(b []byte) bool {
	size := int(b[0]&0xf) * 4
	if size < 20 {
		return false
	}
	total := int(binary.BigEndian.Uint16(b[2:]))
	if total != 0 && total < size {
		return false
	}
	h.length, h.proto = uint64(total), b[9]
	put4(&h.src, b[12:16])
	put4(&h.dst, b[16:20])
	if binary.BigEndian.Uint16(b[6:])&0x1fff != 0 || len(b) < size {
		return true // a later fragment, or options that were cut off
	}
	if total != 0 {
		b = b[:min(len(b), total)] // behind it is padding of the frame
	}
	h.transport(b[size:])
	return true
}

func (h *head) ipv6(b []byte) bool {
	payload := int(binary.BigEndian.Uint16(b[4:]))
	if payload != 0 {
		h.length = uint64(40 + payload)
	}
	copy(h.src[:], b[8:24])
	copy(h.dst[:], b[24:40])
	next := b[6]
	b = b[40:]
	if payload != 0 {
		b = b[:min(len(b), payload)]
	}
	for range maxTags {
		size := 0
		switch next {
		case 0, 43, 60, 135, 139, 140: // hop-by-hop, routing, destination options, mobility, HIP, Shim6
			if len(b) >= 2 {
				size = 8 + 8*int(b[1])
			}
		case 51: // authentication header
			if len(b) >= 2 {
				size = 8 + 4*int(b[1])
			}
		case 44: // fragment
			if len(b) >= 8 && binary.BigEndian.Uint16(b[2:])&0xfff8 != 0 {
				h.proto = b[0]
				return true // a later one
			}
			size = 8
		default:
			h.proto = next
			h.transport(b)
			return true
		}
		if size == 0 || len(b) < size {
			return false // The protocol was cut off.
		}
		next, b = b[0], b[size:]
	}
	return false
}

// transport reads the beginning of what an IP packet carries.
func (h *head) transport(b []byte) {
	switch h.proto {
	case iana.TCP, iana.UDP, iana.SCTP, iana.DCCP, iana.UDPLite:
		if len(b) >= 4 {
			h.srcPort, h.dstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
		}
		if h.proto == iana.TCP && len(b) >= 14 {
			h.tcpFlags = tcpFlags(uint64(binary.BigEndian.Uint16(b[12:])))
		}
	case iana.ICMP, iana.ICMPv6:
		if len(b) >= 2 {
			h.icmpType, h.icmpCode = b[0], b[1]
		}
	}
}

// sections are the parts of a packet that a record holds (RFC 5477, section
// 8.5.2), as bytes of the message.
type sections struct {
	frame, ip, mpls, payload []byte
	frameSize                uint64 // dataLinkFrameSize (312)
	frameType                uint16 // dataLinkFrameType (408); 0 not said, 1 Ethernet
	offset                   uint32 // sectionOffset (409): what is missing in front
	oldOffset                uint32 // layer2packetSectionOffset (102)
}

func (s *sections) take(t target, b []byte) {
	switch t {
	case toFrameSection:
		s.frame = b
	case toIPSection:
		s.ip = b
	case toMPLSSection:
		s.mpls = b
	case toPayloadSection:
		s.payload = b
	}
}

// read finds the head of the packet in what the record holds.
func (s *sections) read(h *head) (ok bool) {
	if s.offset != 0 || s.oldOffset != 0 {
		return false // it begins amid the packet
	}
	if s.frame != nil && s.frameType <= 1 {
		ok = h.ethernet(s.frame, s.frameSize)
	}
	if len(s.ip) > 0 {
		vlan := h.vlan
		*h = head{vlan: vlan}
		ok = h.ip(s.ip)
	} else if !ok && s.mpls != nil {
		ok = h.ip(s.mpls)
	}
	return ok
}

// packet takes what the head of the packet tells and the record does not say
// itself. It reports whether the record is a flow.
func (x *decoding) packet(p *plan) bool {
	r, s := x.rec, &x.scratch.sections
	var h head
	if p.has&hasPackets == 0 {
		r.Packets = 1
	}
	if !s.read(&h) {
		if p.has&hasEnds != hasEnds {
			return false
		}
		h = head{src: r.Src, dst: r.Dst, proto: r.Proto}
		if s.payload != nil && s.offset == 0 {
			h.transport(s.payload)
		}
	}
	if p.has&hasSource == 0 {
		r.Src = h.src
	}
	if p.has&hasDestination == 0 {
		r.Dst = h.dst
	}
	if p.has&hasVLAN == 0 {
		r.VLAN = h.vlan
	}
	if p.has&hasBytes == 0 && h.length != 0 {
		r.Bytes = h.length
	}
	if r.Src != h.src || r.Dst != h.dst || p.has&hasProto != 0 && r.Proto != h.proto {
		return true // the fields are those of another header, in or around this one
	}
	r.Proto = h.proto
	if p.has&hasPorts == 0 {
		r.SrcPort, r.DstPort = h.srcPort, h.dstPort
		if p.needs&needICMP == 0 {
			r.ICMPType, r.ICMPCode = h.icmpType, h.icmpCode
		}
	}
	if p.has&hasTCPFlags == 0 {
		r.TCPFlags = h.tcpFlags
	}
	return true
}
