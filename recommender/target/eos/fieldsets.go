package eos

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"cordon/categories"
	"cordon/internal/iana"
	"cordon/recommender/policy"
)

// prefixSet is a field-set of prefixes.
type prefixSet struct {
	line    int
	in, out []netip.Prefix
	ipv6    bool
}

// addresses are what the set holds.
func (s *prefixSet) addresses() policy.AddressSet {
	return policy.NewAddressSet(s.in).Minus(policy.NewAddressSet(s.out))
}

type portSet struct {
	line  int
	ports []policy.PortSpan
}

// serviceField is a field-set of services: lines that are alternatives.
type serviceField struct {
	line  int
	lines []portLine
}

// portLine is what "protocol P source port ... destination port ..." says. No ports mean all.
type portLine struct {
	number       int
	proto        uint8
	flags        string
	source, dest []policy.PortSpan
	// Field-sets of ports, which may be defined further down.
	sourceSets, destSets []string
	specific             bool // the line names ports
}

// fieldSet reads the line that begins a field-set.
func (p *parser) fieldSet(words []string) error {
	again := func(name string, first int) error {
		return p.fail("field-set %s is here a second time; the first is in line %d", name, first)
	}
	switch {
	case is(words, "l4-port *"):
		name := words[1]
		if s, twice := p.ports[name]; twice {
			return again(name, s.line)
		}
		s := &portSet{line: p.number}
		p.ports[name] = s
		p.open(1, s.read)
	case is(words, "ipv4 prefix *"), is(words, "ipv6 prefix *"):
		family := 0
		if words[0] == "ipv6" {
			family = 1
		}
		if s, twice := p.prefixes[family][words[2]]; twice {
			return again(words[2], s.line)
		}
		s := &prefixSet{line: p.number, ipv6: family == 1}
		p.prefixes[family][words[2]] = s
		p.open(1, s.read)
	case is(words, "service *"):
		if s, twice := p.services[words[1]]; twice {
			return again(words[1], s.line)
		}
		s := &serviceField{line: p.number}
		p.services[words[1]] = s
		p.open(1, s.read)
	default:
		return p.fail("a field-set is l4-port NAME, ipv4 prefix NAME, ipv6 prefix NAME or service NAME")
	}
	return nil
}

func (s *portSet) read(p *parser, words []string) (bool, error) {
	if c := words[0][0]; (c < '0' || c > '9') && portNames[strings.TrimSuffix(words[0], ",")] == 0 {
		return false, nil
	}
	ports, err := parsePorts(words)
	if err != nil {
		return false, p.fail("%w", err)
	}
	s.ports = append(s.ports, ports...)
	return true, nil
}

func (s *prefixSet) read(p *parser, words []string) (bool, error) {
	into := &s.in
	if words[0] == "except" {
		words, into = words[1:], &s.out
		if len(words) == 0 {
			return false, p.fail("except names no prefix")
		}
	} else if !strings.ContainsAny(words[0], "./:") || strings.Contains(words[0], "-") {
		return false, nil // no address
	}
	prefixes, err := parsePrefixes(words, s.ipv6)
	if err != nil {
		return false, p.fail("%w", err)
	}
	*into = append(*into, prefixes...)
	return true, nil
}

// parsePrefixes reads prefixes of one family; a bare address is a host.
func parsePrefixes(words []string, ipv6 bool) (out []netip.Prefix, err error) {
	for _, w := range words {
		x, hostBits, err := categories.ParsePrefix(w)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%q is not a prefix: %w", w, err)
		case hostBits:
			return nil, fmt.Errorf("%s has bits set behind the prefix length: that may be %s", w, x)
		case x.Addr().Is6() != ipv6:
			return nil, fmt.Errorf("%s is not of %s", w, map[bool]string{false: "IPv4", true: "IPv6"}[ipv6])
		}
		out = append(out, x)
	}
	return out, nil
}

func (s *serviceField) read(p *parser, words []string) (bool, error) {
	if words[0] != "protocol" || len(words) < 2 || words[1] == "service" {
		return false, nil
	}
	l, err := p.portLine(words[1:])
	if err != nil {
		return false, err
	}
	s.lines = append(s.lines, l)
	return true, nil
}

// portLine reads "tcp|udp [source port ...] [destination port ...]".
func (p *parser) portLine(words []string) (l portLine, err error) {
	l.number = p.number
	switch words[0] {
	case "tcp":
		l.proto = iana.TCP
	case "udp":
		l.proto = iana.UDP
	default:
		return l, p.fail("%q is neither tcp nor udp", words[0])
	}
	rest := words[1:]
	if len(rest) >= 2 && rest[0] == "flags" && l.proto == iana.TCP {
		l.flags, rest = rest[1], rest[2:]
		if l.flags != policy.Established && l.flags != policy.Initial && l.flags != policy.Reset {
			return l, p.fail("flags %q: established, initial and rst are known", l.flags)
		}
	}
	for _, side := range []struct {
		word  string
		ports *[]policy.PortSpan
		sets  *[]string
	}{{"source", &l.source, &l.sourceSets}, {"destination", &l.dest, &l.destSets}} {
		if len(rest) < 2 || rest[0] != side.word || rest[1] != "port" {
			continue
		}
		rest = rest[2:]
		n := 0
		for n < len(rest) && !(side.word == "source" && rest[n] == "destination") {
			n++
		}
		list := rest[:n]
		rest = rest[n:]
		switch {
		case len(list) == 0:
			return l, p.fail("%s port names no port", side.word)
		case is(list, "all"):
		case list[0] == "field-set" && len(list) > 1:
			*side.sets, l.specific = list[1:], true
		default:
			if *side.ports, err = parsePorts(list); err != nil {
				return l, p.fail("%w", err)
			}
			l.specific = true
		}
	}
	if len(rest) > 0 {
		return l, p.fail("%q is not known behind protocol %s", rest[0], words[0])
	}
	return l, nil
}

// parsePorts reads numbers and ranges with commas between them, and names.
func parsePorts(words []string) (out []policy.PortSpan, err error) {
	parts, err := listed(words)
	if err != nil {
		return nil, err
	}
	for _, part := range parts {
		var s policy.PortSpan
		if n, ok := portNames[part]; ok {
			s = policy.PortSpan{Lo: n, Hi: n}
		} else if err := s.UnmarshalText([]byte(part)); err != nil {
			return nil, fmt.Errorf("%q is neither a port, a range of ports nor a name of a port that is known here", part)
		}
		out = append(out, s)
	}
	return policy.JoinPorts(out), nil
}

// parseNumbers reads numbers and ranges up to a limit.
func parseNumbers(words []string, limit uint16, what string) ([]policy.PortSpan, error) {
	parts, err := listed(words)
	if err != nil {
		return nil, err
	}
	var out []policy.PortSpan
	for _, part := range parts {
		var s policy.PortSpan
		if err := s.UnmarshalText([]byte(part)); err != nil || s.Hi > limit {
			return nil, fmt.Errorf("%q is not %s from 0 to %s", part, what, strconv.Itoa(int(limit)))
		}
		out = append(out, s)
	}
	return policy.JoinPorts(out), nil
}

// listed divides a list with commas. Numbers need commas between them, as on the device; names do without.
func listed(words []string) (out []string, err error) {
	comma := true
	for _, w := range words {
		number := w[0] >= '0' && w[0] <= '9'
		if !comma && number {
			return nil, fmt.Errorf("there is no comma before %q", w)
		}
		parts := strings.Split(w, ",")
		comma = parts[len(parts)-1] == ""
		if comma {
			parts = parts[:len(parts)-1]
		}
		for _, part := range parts {
			if part == "" {
				return nil, fmt.Errorf("%q has a comma with nothing before it", w)
			}
			out = append(out, part)
		}
	}
	if comma {
		return nil, fmt.Errorf("the list ends with a comma")
	}
	return out, nil
}

// portNames are the names that devices take for ports.
var portNames = map[string]uint16{
	"ftp-data": 20, "ftp": 21, "ssh": 22, "telnet": 23, "smtp": 25, "time": 37, "nameserver": 42, "whois": 43, "tacacs": 49, "domain": 53,
	"bootps": 67, "bootpc": 68, "tftp": 69, "gopher": 70, "finger": 79, "www": 80, "http": 80, "kerberos": 88, "hostname": 101, "pop2": 109,
	"pop3": 110, "sunrpc": 111, "ident": 113, "nntp": 119, "ntp": 123, "netbios-ns": 137, "netbios-dgm": 138, "netbios-ss": 139,
	"netbios-ssn": 139, "imap4": 143, "snmp": 161, "snmptrap": 162, "xdmcp": 177, "bgp": 179, "irc": 194, "ldap": 389, "mobile-ip": 434,
	"https": 443, "isakmp": 500, "biff": 512, "exec": 512, "who": 513, "login": 513, "syslog": 514, "cmd": 514, "lpd": 515, "talk": 517,
	"rip": 520, "uucp": 540, "klogin": 543, "kshell": 544, "ldaps": 636, "bfd": 3784, "bfd-echo": 3785, "multihop-bfd": 4784,
	"sbfd": 7784, "sbfd-initiator": 7785,
}

// icmpTypes are names of types, by protocol.
var icmpTypes = map[uint8]map[string]uint16{
	iana.ICMP: {"echo-reply": 0, "unreachable": 3, "source-quench": 4, "redirect": 5, "echo": 8, "router-advertisement": 9,
		"router-solicitation": 10, "time-exceeded": 11, "parameter-problem": 12, "timestamp-request": 13, "timestamp-reply": 14,
		"information-request": 15, "information-reply": 16, "mask-request": 17, "mask-reply": 18},
	iana.ICMPv6: {"unreachable": 1, "packet-too-big": 2, "time-exceeded": 3, "parameter-problem": 4, "echo-request": 128,
		"echo-reply": 129, "router-solicitation": 133, "router-advertisement": 134, "neighbor-solicitation": 135,
		"neighbor-advertisement": 136, "redirect": 137},
}

// FieldSets gives the prefixes of each prefix field-set of a running-config by its name: those of IPv4 and IPv6 together where both families
// have a set of the name. The path is for errors.
func FieldSets(path string, data []byte) (map[string][]netip.Prefix, error) {
	c, err := Parse(path, data)
	if err != nil {
		return nil, err
	}
	out := map[string][]netip.Prefix{}
	for _, family := range c.prefixes {
		for name, set := range family {
			out[name] = append(out[name], set.addresses().Prefixes()...)
		}
	}
	return out, nil
}
