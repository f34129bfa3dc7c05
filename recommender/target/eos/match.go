package eos

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"cordon/internal/iana"
	"cordon/recommender/policy"
)

// matchBlock is a match as it was read.
type matchBlock struct {
	name    string
	ipv6    bool
	line    int
	lines   int // Its lines, separators and remarks not counted.
	remarks []string
	ends    [2]matchEnd // source, destination

	ports     []portLine
	protocols []otherProtocol
	services  []string // field-sets
	flags     string   // The flags of a line that has nothing else.
	opaque    []string // conditions and actions, word for word
	// opaqueProtocol says that one of the alternatives of protocol is opaque.
	opaqueProtocol bool
	fragments      string

	acted    bool // there are actions
	drop     bool
	redirect string
	also     []string
}

// matchEnd is the condition about one end.
type matchEnd struct {
	prefixes []netip.Prefix
	sets     []string
	line     int // The condition's line; 0 where there is none.
}

// otherProtocol is a protocol, or several, without ports.
type otherProtocol struct {
	protocols []policy.PortSpan
	types     []policy.PortSpan // ICMP types; empty for all.
}

// read takes the lines of a match.
func (m *matchBlock) read(p *parser, words []string) (bool, error) {
	if words[0] == "!!" {
		m.remarks = append(m.remarks, strings.Join(words[1:], " "))
		return true, nil
	}
	if is(words, "actions") {
		if m.acted {
			return false, p.fail("match %s has actions twice", m.name)
		}
		m.acted = true
		p.open(3, m.readAction)
		return true, nil
	}
	if m.name == defaultName(m.ipv6) {
		return false, nil // takes no conditions
	}
	switch words[0] {
	case "source", "destination":
		return m.readEnd(p, words)
	case "protocol":
		if len(words) == 1 {
			return false, nil
		}
		return true, m.readProtocol(p, words[1:])
	case "fragment":
		return m.readFragment(p, words)
	case "ip", "ttl", "dscp", "packet":
		return m.readOpaque(p, words)
	}
	return false, nil
}

func (m *matchBlock) readEnd(p *parser, words []string) (bool, error) {
	end := &m.ends[0]
	if words[0] == "destination" {
		end = &m.ends[1]
	}
	if len(words) < 3 || words[1] != "prefix" {
		return false, nil
	}
	end.line = p.number
	if words[2] == "field-set" {
		if len(words) == 3 {
			return false, p.fail("field-set names no set")
		}
		end.sets = append(end.sets, words[3:]...)
		return true, nil
	}
	prefixes, err := parsePrefixes(words[2:], m.ipv6)
	if err != nil {
		return false, p.fail("%w", err)
	}
	end.prefixes = append(end.prefixes, prefixes...)
	return true, nil
}

// protocolNumbers are the protocols that EOS knows by name, beside those with ports.
var protocolNumbers = map[string]uint8{
	"ahp": 51, "icmp": iana.ICMP, "icmpv6": iana.ICMPv6, "igmp": 2, "ospf": 89, "pim": 103, "rsvp": 46, "vrrp": 112,
}

func (m *matchBlock) readProtocol(p *parser, words []string) error {
	switch name := words[0]; {
	case name == "service":
		if !begins(words, "service field-set") {
			return p.fail("protocol service names its services as field-set NAME")
		}
		m.services = append(m.services, words[2:]...)
	case name == "tcp" || name == "udp":
		l, err := p.portLine(words)
		if err != nil {
			return err
		}
		if l.flags != "" && !l.specific && len(words) == 3 {
			if m.flags != "" && m.flags != l.flags {
				return p.fail("match %s has flags twice", m.name)
			}
			m.flags = l.flags // it goes with every line of TCP
			return nil
		}
		m.ports = append(m.ports, l)
	case is(words, "bgp"), is(words, "neighbors bgp"), is(words, "neighbors bgp enforce ttl maximum-hops"):
		m.opaque, m.opaqueProtocol = append(m.opaque, "protocol "+strings.Join(words, " ")), true
	case name == "icmp" || name == "icmpv6":
		return m.readICMP(p, words)
	case len(words) == 1 && protocolNumbers[name] != 0:
		n := uint16(protocolNumbers[name])
		m.protocols = append(m.protocols, otherProtocol{protocols: []policy.PortSpan{{Lo: n, Hi: n}}})
	case name[0] >= '0' && name[0] <= '9':
		list, err := parseNumbers(words, 255, "a protocol")
		if err != nil {
			return p.fail("%w", err)
		}
		m.protocols = append(m.protocols, otherProtocol{protocols: list})
	default:
		return p.fail("protocol %q is not known here", name)
	}
	return nil
}

// readICMP reads "icmp [type LIST code all|LIST]".
func (m *matchBlock) readICMP(p *parser, words []string) error {
	proto := protocolNumbers[words[0]]
	other := otherProtocol{protocols: []policy.PortSpan{{Lo: uint16(proto), Hi: uint16(proto)}}}
	if len(words) > 1 {
		code := 2
		for code < len(words) && words[code] != "code" {
			code++
		}
		if words[1] != "type" || code == 2 || code+1 >= len(words) {
			return p.fail("types of %s are written: type LIST code all", words[0])
		}
		var numbers []string
		for _, w := range words[2:code] {
			if n, ok := icmpTypes[proto][strings.TrimSuffix(w, ",")]; ok {
				other.types = append(other.types, policy.PortSpan{Lo: n, Hi: n})
			} else if w[0] >= '0' && w[0] <= '9' {
				numbers = append(numbers, w)
			} else {
				return p.fail("%q is no type of %s that is known here", w, words[0])
			}
		}
		if len(numbers) > 0 {
			list, err := parseNumbers(numbers, 255, "a type")
			if err != nil {
				return p.fail("%w", err)
			}
			other.types = append(other.types, list...)
		}
		other.types = policy.JoinPorts(other.types)
		if codes := words[code+1:]; !is(codes, "all") {
			if _, err := parseNumbers(codes, 255, "a code"); err != nil {
				return p.fail("%w", err)
			}
			m.opaque, m.opaqueProtocol = append(m.opaque, "protocol "+strings.Join(words, " ")), true
			return nil
		}
	}
	m.protocols = append(m.protocols, other)
	return nil
}

func (m *matchBlock) readFragment(p *parser, words []string) (bool, error) {
	switch {
	case m.ipv6:
		return false, p.fail("fragment goes with ipv4")
	case len(words) == 1:
		m.fragments = allFragments
	case begins(words, "fragment offset"):
		if _, err := parseNumbers(words[2:], 8191, "an offset"); err != nil {
			return false, p.fail("%w", err)
		}
		m.fragments = strings.Join(words[2:], " ")
	default:
		return false, nil
	}
	return true, nil
}

// readOpaque keeps conditions that the model cannot say.
func (m *matchBlock) readOpaque(p *parser, words []string) (bool, error) {
	limits := map[string]uint16{"ttl": 255, "dscp": 63}
	switch {
	case begins(words, "ip length"):
		if _, err := parseNumbers(words[2:], 65535, "a length"); err != nil {
			return false, p.fail("%w", err)
		}
	case is(words, "packet type"):
		at := len(m.opaque)
		p.open(3, func(_ *parser, words []string) (bool, error) {
			if !is(words, "multicast") && !is(words, "vxlan decap") && !is(words, "vxlan decap exclude") {
				return false, nil
			}
			m.opaque[at] += "\n   " + strings.Join(words, " ")
			return true, nil
		})
	case limits[words[0]] > 0 && len(words) > 1:
		if _, err := parseNumbers(words[1:], limits[words[0]], "a value"); err != nil {
			return false, p.fail("%w", err)
		}
	default:
		return false, nil
	}
	m.opaque = append(m.opaque, strings.Join(words, " "))
	return true, nil
}

// readAction takes the lines of actions.
func (m *matchBlock) readAction(p *parser, words []string) (bool, error) {
	text := strings.Join(words, " ")
	switch {
	case is(words, "count"):
	case is(words, "count *"), is(words, "log"), is(words, "mirror session *"):
		m.also = append(m.also, text)
	case is(words, "drop"):
		m.drop = true
	case is(words, "set traffic class *"), is(words, "set dscp *"):
		if _, ok := number(words[len(words)-1], 63); !ok {
			return false, p.fail("%q is not a number from 0 to 63", words[len(words)-1])
		}
		m.also = append(m.also, text)
	case begins(words, "police rate"):
		if err := checkPolice(words[2:]); err != nil {
			return false, p.fail("%w", err)
		}
		m.opaque = append(m.opaque, text)
	case begins(words, "redirect next-hop"), begins(words, "redirect interface"), begins(words, "redirect aggregation group"), begins(words, "redirect tunnel"):
		if m.redirect != "" {
			m.redirect += "; "
		}
		m.redirect += strings.Join(words[1:], " ")
	default:
		return false, nil
	}
	return true, nil
}

var (
	rateUnits = []string{"bps", "kbps", "mbps", "gbps", "pps", "kpps", "mpps"}
	sizeUnits = []string{"bytes", "kbytes", "mbytes", "packets"}
)

// checkPolice reads "RATE UNIT [burst-size SIZE UNIT]".
func checkPolice(words []string) error {
	for i := 0; i+1 < len(words); i += 2 {
		if i == 2 {
			if words[i] != "burst-size" || len(words) != 5 {
				break
			}
			i++
		}
		units := rateUnits
		if i > 0 {
			units = sizeUnits
		}
		if _, ok := number(words[i], 1<<50); !ok || !slices.Contains(units, words[i+1]) {
			break
		}
		if i+2 == len(words) {
			return nil
		}
	}
	return fmt.Errorf("a rate is written: police rate N UNIT [burst-size N UNIT]")
}
