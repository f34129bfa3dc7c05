package categories

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"cordon/internal/iana"
)

// Service is what a server offers: the key of a cell's third dimension. It is
// comparable, four bytes, and its zero value is protocol 0 (hopopt).
//
//   - TCP, UDP, DCCP, SCTP, UDP-Lite: Port is the port at the server's side.
//   - ICMP, ICMPv6: Port is the message type, 0 to 255.
//   - every other protocol: Port is 0 and has no meaning.
//
// NewService keeps to these rules; a literal has to keep to them itself.
type Service struct {
	Proto uint8
	Port  uint16
}

// NewService makes the key of a session at the server's side: port for
// protocols with ports, icmpType for ICMP and ICMPv6, neither for the rest.
func NewService(proto uint8, port uint16, icmpType uint8) Service {
	switch {
	case iana.HasPorts(proto):
		return Service{Proto: proto, Port: port}
	case iana.IsICMP(proto):
		return Service{Proto: proto, Port: uint16(icmpType)}
	}
	return Service{Proto: proto}
}

// ServiceKind says what the second half of a service means.
type ServiceKind uint8

const (
	KindProtocol ServiceKind = iota // the protocol alone: "gre"
	KindPort                        // a port: "tcp/443"
	KindICMPType                    // a message type: "icmp/8"
)

func kindOf(proto uint8) ServiceKind {
	switch {
	case iana.HasPorts(proto):
		return KindPort
	case iana.IsICMP(proto):
		return KindICMPType
	}
	return KindProtocol
}

// Kind follows from the protocol.
func (s Service) Kind() ServiceKind { return kindOf(s.Proto) }

// String returns the form of the public contract: "tcp/443", "icmp/8", "gre".
func (s Service) String() string {
	if s.Kind() == KindProtocol {
		return iana.ProtocolName(s.Proto)
	}
	return iana.ProtocolName(s.Proto) + "/" + strconv.Itoa(int(s.Port))
}

// AppendText implements encoding.TextAppender with the form of String.
func (s Service) AppendText(b []byte) ([]byte, error) { return append(b, s.String()...), nil }

// MarshalText implements encoding.TextMarshaler with the form of String.
func (s Service) MarshalText() ([]byte, error) { return s.AppendText(nil) }

// UnmarshalText implements encoding.TextUnmarshaler with ParseService.
func (s *Service) UnmarshalText(text []byte) error {
	parsed, err := ParseService(string(text))
	if err != nil {
		return err
	}
	*s = parsed
	return nil
}

// Compare orders services by protocol number, then by port or type.
func (s Service) Compare(o Service) int {
	return cmp.Or(cmp.Compare(s.Proto, o.Proto), cmp.Compare(s.Port, o.Port))
}

// Term returns the term that matches this service and no other.
func (s Service) Term() ServiceTerm {
	t := ServiceTerm{Proto: s.Proto, Lo: s.Port, Hi: s.Port}
	if s.Kind() == KindProtocol {
		t.Lo, t.Hi = 0, 0
	}
	return t
}

// ParseProtocol reads the name or the number of a protocol, as
// [iana.ProtocolNumber] does.
func ParseProtocol(s string) (uint8, error) {
	if proto, ok := iana.ProtocolNumber(s); ok {
		return proto, nil
	}
	return 0, fmt.Errorf("unknown protocol %s: use an IANA name such as tcp, udp, icmp or gre, or a number from 0 to 255", quote(s))
}

// ParseService reads one service: "tcp/443", "icmp/8", "gre". A range, or
// "tcp" without a port, is a term and not a service.
func ParseService(s string) (Service, error) {
	t, err := ParseServiceTerm(s)
	if err != nil {
		return Service{}, err
	}
	if t.Lo != t.Hi {
		return Service{}, fmt.Errorf("service %s is a range: name one port or type, such as %s", quote(s), Service{t.Proto, t.Lo})
	}
	return Service{Proto: t.Proto, Port: t.Lo}, nil
}

// ServiceTerm is a set of services of one protocol: every port (or ICMP type)
// from Lo to Hi, both included. A protocol without ports has Lo and Hi 0.
type ServiceTerm struct {
	Proto  uint8
	Lo, Hi uint16
}

// maxPort is the highest port or ICMP type of a protocol, 0 if it has neither.
func maxPort(proto uint8) uint16 {
	switch kindOf(proto) {
	case KindPort:
		return 65535
	case KindICMPType:
		return 255
	}
	return 0
}

// ParseServiceTerm reads "proto/port", "proto/lo-hi", "icmp/type",
// "ipv6-icmp/type", or a bare protocol, which means all its ports or types.
func ParseServiceTerm(s string) (ServiceTerm, error) {
	if proto, err := ParseProtocol(s); err == nil {
		return ServiceTerm{Proto: proto, Hi: maxPort(proto)}, nil
	}
	name, ports, _ := strings.Cut(s, "/")
	proto, err := ParseProtocol(name)
	if err != nil {
		return ServiceTerm{}, err
	}
	limit, what := maxPort(proto), "port"
	switch kindOf(proto) {
	case KindProtocol:
		return ServiceTerm{}, fmt.Errorf("service %s: %s has no ports, write %s alone", quote(s), iana.ProtocolName(proto), iana.ProtocolName(proto))
	case KindICMPType:
		what = "type"
	}
	lo, hi, isRange := strings.Cut(ports, "-")
	if !isRange {
		hi = lo
	}
	t := ServiceTerm{Proto: proto}
	var loOK, hiOK bool
	t.Lo, loOK = parsePort(lo, limit)
	t.Hi, hiOK = parsePort(hi, limit)
	if !loOK || !hiOK {
		return ServiceTerm{}, fmt.Errorf("service %s: the %s must be a number from 0 to %d or a range such as %s/1-9; %s alone means every %s",
			quote(s), what, limit, iana.ProtocolName(proto), iana.ProtocolName(proto), what)
	}
	if t.Lo > t.Hi {
		return ServiceTerm{}, fmt.Errorf("service %s: the range runs backwards, write %s/%d-%d", quote(s), iana.ProtocolName(proto), t.Hi, t.Lo)
	}
	return t, nil
}

func parsePort(s string, limit uint16) (uint16, bool) {
	if s == "" || s[0] < '0' || s[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil && n <= uint64(limit)
}

// Any reports whether the term holds every service of its protocol.
func (t ServiceTerm) Any() bool { return t.Lo == 0 && t.Hi == maxPort(t.Proto) }

// Matches reports whether the term holds the service.
func (t ServiceTerm) Matches(s Service) bool {
	return t.Proto == s.Proto && t.Lo <= s.Port && s.Port <= t.Hi
}

// Overlaps reports whether some service is in both terms.
func (t ServiceTerm) Overlaps(o ServiceTerm) bool {
	return t.Proto == o.Proto && t.Lo <= o.Hi && o.Lo <= t.Hi
}

// Size is the number of services that the term holds.
func (t ServiceTerm) Size() int { return int(t.Hi) - int(t.Lo) + 1 }

// String returns the shortest form that ParseServiceTerm reads back.
func (t ServiceTerm) String() string {
	name := iana.ProtocolName(t.Proto)
	switch {
	case t.Any():
		return name
	case t.Lo == t.Hi:
		return name + "/" + strconv.Itoa(int(t.Lo))
	}
	return name + "/" + strconv.Itoa(int(t.Lo)) + "-" + strconv.Itoa(int(t.Hi))
}

// Compare orders terms by protocol number, then by first and last port.
func (t ServiceTerm) Compare(o ServiceTerm) int {
	return cmp.Or(cmp.Compare(t.Proto, o.Proto), cmp.Compare(t.Lo, o.Lo), cmp.Compare(t.Hi, o.Hi))
}
