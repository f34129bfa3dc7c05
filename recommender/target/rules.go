package target

import (
	"fmt"
	"net/netip"
	"slices"

	"cordon/internal/iana"
	"cordon/recommender/policy"
)

// everyPort are all ports.
var everyPort = policy.PortSpan{Lo: 0, Hi: 65535}

// everyType are all types of ICMP.
var everyType = policy.PortSpan{Lo: 0, Hi: 255}

// end is one side of a rule.
type end struct {
	literals  []policy.Endpoint
	addresses policy.AddressSet // The addresses less those that the rule leaves out.
	reading   policy.Reading
	wish      string // A name for a set of these addresses, if it is free.
}

// of gives the addresses of a family, and whether they are all of it.
func (e *end) of(ipv6 bool) (set policy.AddressSet, every bool) {
	set = e.addresses.Of(ipv6)
	return set, set.Equal(policy.NewAddressSet([]netip.Prefix{policy.FamilyOf(ipv6)[0].Prefix}))
}

// rule is a rule of which the literals are resolved.
type rule struct {
	name     string
	about    []string
	deny     bool
	src, dst end
	services services
}

// services are what a rule permits or denies.
type services struct {
	any       bool
	ports     map[uint8][]policy.PortSpan // Keyed by protocol.
	types     [2][]policy.PortSpan        // ICMP's types first, then ICMPv6's.
	protocols []uint8                     // Protocols that have no ports.
}

// divide sorts services by what they match.
func divide(list []policy.Service) (s services) {
	s.ports = map[uint8][]policy.PortSpan{}
	for _, x := range list {
		t := x.Term
		span := policy.PortSpan{Lo: t.Lo, Hi: t.Hi}
		switch {
		case x.Any:
			return services{any: true}
		case iana.HasPorts(t.Proto):
			s.ports[t.Proto] = append(s.ports[t.Proto], span)
		case t.Proto == iana.ICMP:
			s.types[0] = append(s.types[0], span)
		case t.Proto == iana.ICMPv6:
			s.types[1] = append(s.types[1], span)
		default:
			s.protocols = append(s.protocols, t.Proto)
		}
	}
	for proto, ports := range s.ports {
		s.ports[proto] = policy.JoinPorts(ports)
	}
	for i := range s.types {
		s.types[i] = policy.JoinPorts(s.types[i])
	}
	slices.Sort(s.protocols)
	s.protocols = slices.Compact(s.protocols)
	return s
}

// withPorts lists the protocols with ports, in order.
func (s *services) withPorts() []uint8 { return sortedKeys(s.ports) }

// kind is one kind of packets or sessions. For ICMP, ports are types.
type kind struct {
	any       bool
	proto     uint8
	source    []policy.PortSpan // nil for all
	ports     []policy.PortSpan // Destination ports; nil for all.
	flags     string            // TCP flags.
	fragments string
}

// kinds divides services by protocol, as a family has them: the other family's ICMP is in no packet of it.
func (s *services) kinds(ipv6 bool) (out []kind) {
	if s.any {
		return []kind{{any: true}}
	}
	for _, proto := range s.withPorts() {
		out = append(out, kind{proto: proto, ports: unlessEvery(s.ports[proto], everyPort)})
	}
	types, proto := s.types[0], uint8(iana.ICMP)
	if ipv6 {
		types, proto = s.types[1], iana.ICMPv6
	}
	if len(types) > 0 {
		out = append(out, kind{proto: proto, ports: unlessEvery(types, everyType)})
	}
	for _, proto := range s.protocols {
		out = append(out, kind{proto: proto})
	}
	return out
}

func unlessEvery(spans []policy.PortSpan, every policy.PortSpan) []policy.PortSpan {
	if len(spans) == 1 && spans[0] == every {
		return nil
	}
	return spans
}

// sessionRules gives the rules of a policy about sessions. Rules of a device, which are about packets, become such; one that cannot
// be judged denies, since nothing that it may deny is to be permitted.
func (w *writer) sessionRules(d *Document) (out []rule, err error) {
	for i := range d.Rules {
		r := &d.Rules[i]
		if r.Action == policy.Redirect {
			if err := w.gap(r.Label(i), "%s cannot redirect (%s)", w.target.Name, r.Redirect); err != nil {
				return nil, err
			}
		}
	}
	statements, _, err := d.Sessions(false)
	if err != nil {
		return nil, err
	}
	same := len(statements) == len(d.Rules)
	seen := map[string]int{}
	for i := range statements {
		r := &statements[i]
		if seen[r.Name]++; !same && seen[r.Name] > 1 { // parts of one rule
			r.Name = fmt.Sprintf("%s.%d", r.Name, seen[r.Name])
		}
		x, err := w.resolve(d, r, i)
		if err != nil {
			return nil, err
		}
		if r.Action == policy.Uncertain {
			if err := w.gap(x.name, "it has conditions that %s cannot say, so that what it may deny is denied", w.target.Name); err != nil {
				return nil, err
			}
			x.deny = true
		}
		if same && i < len(d.About) {
			x.about = d.About[i]
		}
		out = append(out, x)
	}
	return out, nil
}

// resolve looks up the literals of a rule.
func (w *writer) resolve(d *Document, r *policy.StatementRule, place int) (x rule, err error) {
	x = rule{name: r.Label(place), deny: r.Action == policy.Deny, services: divide(r.Services), about: r.Remarks}
	as := w.reading(d, r.Action)
	for _, side := range []struct {
		to      *end
		in, out []policy.Endpoint
		which   string
	}{{&x.src, r.Sources, r.Except.Sources, "sources"}, {&x.dst, r.Destinations, r.Except.Destinations, "destinations"}} {
		in, err := d.Set(side.in, as)
		if err != nil {
			return x, fmt.Errorf("rule %q: %w", x.name, err)
		}
		out, err := d.Set(side.out, as)
		if err != nil {
			return x, fmt.Errorf("rule %q: %w", x.name, err)
		}
		*side.to = end{literals: side.in, addresses: in.Minus(out), reading: as, wish: x.name + "-" + side.which}
		if len(w.documents) > 1 {
			side.to.wish = vrfName(d) + "-" + side.to.wish
		}
		if len(side.in) == 1 && side.in[0].IsGroup() && len(side.out) == 0 {
			side.to.wish = side.in[0].Group
			more, err := d.MeansMore(side.in[0], as)
			if err != nil {
				return x, fmt.Errorf("rule %q: %w", x.name, err)
			}
			if more {
				side.to.wish += "-all"
			}
		}
	}
	if len(x.families()) == 0 {
		return x, fmt.Errorf("rule %q: no address is in its sources and destinations, in the same family", x.name)
	}
	return x, nil
}

// families lists the families in which both sides have addresses: false for IPv4, true for IPv6.
func (r *rule) families() (out []bool) {
	for _, ipv6 := range []bool{false, true} {
		if len(r.src.addresses.Of(ipv6)) > 0 && len(r.dst.addresses.Of(ipv6)) > 0 {
			out = append(out, ipv6)
		}
	}
	return out
}

// packetRule is a rule about packets of one family.
type packetRule struct {
	name     string
	about    []string
	deny     bool
	ipv6     bool
	src, dst end
	kinds    []kind
}

// packetRules gives rules about packets: of a rule about sessions, one for the requests and one for the answers.
func (w *writer) packetRules(d *Document) (out []packetRule, err error) {
	for i := range d.Rules {
		r := &d.Rules[i]
		x, err := w.resolve(d, r, i)
		if err != nil {
			return nil, err
		}
		if i < len(d.About) {
			x.about = d.About[i]
		}
		if r.Action == policy.Redirect {
			if err := w.gap(x.name, "%s cannot redirect (%s)", w.target.Name, r.Redirect); err != nil {
				return nil, err
			}
		}
		if len(r.Opaque) > 0 {
			if err := w.gap(x.name, "it has conditions that %s cannot say, so that what it may match is denied", w.target.Name); err != nil {
				return nil, err
			}
			x.deny = true
		}
		for _, ipv6 := range x.families() {
			out = append(out, w.packets(r, &x, ipv6)...)
		}
	}
	return out, nil
}

// packets gives the rules about packets of a rule in one family.
func (w *writer) packets(r *policy.StatementRule, x *rule, ipv6 bool) []packetRule {
	kinds := x.services.kinds(ipv6)
	if r.Direction == policy.OneWay {
		for i := range kinds {
			k := &kinds[i]
			k.fragments = r.Fragments
			if iana.HasPorts(k.proto) && !k.any {
				k.source = unlessEvery(policy.JoinPorts(r.SourcePorts), everyPort)
			}
			if k.proto == iana.TCP && !k.any {
				k.flags = r.Flags
			}
		}
		if len(kinds) == 0 {
			return nil
		}
		return []packetRule{{x.name, x.about, x.deny, ipv6, x.src, x.dst, kinds}}
	}
	var back []kind
	for _, k := range kinds {
		switch {
		case k.any || !iana.HasPorts(k.proto) && !iana.IsICMP(k.proto):
			back = append(back, k)
		case iana.IsICMP(k.proto):
			if types := answers(k, ipv6); len(types) > 0 {
				back = append(back, kind{proto: k.proto, ports: types})
			}
		default:
			answer := kind{proto: k.proto, source: k.ports}
			if w.options.Established && k.proto == iana.TCP {
				answer.flags = policy.Established
			}
			back = append(back, answer)
		}
	}
	var out []packetRule
	if len(kinds) > 0 {
		out = append(out, packetRule{x.name, x.about, x.deny, ipv6, x.src, x.dst, kinds})
	}
	if len(back) > 0 {
		out = append(out, packetRule{x.name + "-reverse", nil, x.deny, ipv6, x.dst, x.src, back})
	}
	return out
}

// answers gives the types that answer types of ICMP.
func answers(k kind, ipv6 bool) (out []policy.PortSpan) {
	proto := uint8(iana.ICMP)
	if ipv6 {
		proto = iana.ICMPv6
	}
	types := k.ports
	if types == nil {
		types = []policy.PortSpan{everyType}
	}
	for request, answer := range policy.ICMPAnswers(proto) {
		for _, s := range types {
			if s.Lo <= request && request <= s.Hi {
				out = append(out, policy.PortSpan{Lo: answer, Hi: answer})
			}
		}
	}
	return policy.JoinPorts(out)
}
