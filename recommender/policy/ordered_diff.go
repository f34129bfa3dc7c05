package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"cordon/categories"
	"cordon/internal/iana"
)

// Ordered is a policy to compare, such as one of a device: with denials, an end, and rules that cannot be judged.
type Ordered struct {
	Policy
	Set SetOf
	// Proposed says that the rules are those of a proposal, which read groups in a way of their own.
	Proposed bool
}

// Shift is a set of sessions that one policy permits and another does not: every source to every destination with
// every service.
type Shift struct {
	VRF  string `json:"vrf,omitempty"`
	Rule string `json:"rule"` // the rule that permits them; DefaultRule for the end of the policy
	// By is the rule of the other policy that does not; empty where none matches. With Uncertain it may or may not.
	By           string     `json:"by,omitempty"`
	Uncertain    bool       `json:"uncertain,omitempty"`
	Sources      []Endpoint `json:"sources"`
	Destinations []Endpoint `json:"destinations"`
	Services     []Service  `json:"services"`
	Example      Example    `json:"example"`
	// Sessions are those that were seen; nil where none were looked at.
	Sessions *uint64 `json:"sessions,omitempty"`

	src, dst AddressSet
}

// Holds reports whether a session is one of those.
func (s *Shift) Holds(client, server netip.Addr, service categories.Service) bool {
	return s.src.Contains(client.Unmap()) && s.dst.Contains(server.Unmap()) && matchesService(s.Services, service)
}

// ErrTooManyParts says that policies are cut into more parts than can be compared.
var ErrTooManyParts = errors.New("the policies are cut into too many parts to compare what they mean")

// maxOrderedSteps bounds the comparisons of two rules.
const maxOrderedSteps = 4_000_000

// OrderedDiff compares two policies, in which the first rule that matches decides, by the sessions that they permit,
// requests and answers. It is exact for addresses and services. What only a rule that cannot be judged decides counts as not
// permitted. The error is ErrTooManyParts, or that of the literals.
func OrderedDiff(running, next *Ordered) (gained, lost []Shift, err error) {
	a, err := running.regions()
	if err != nil {
		return nil, nil, err
	}
	b, err := next.regions()
	if err != nil {
		return nil, nil, err
	}
	var steps int
	if gained, err = beyondOther(b, a, &steps); err == nil {
		lost, err = beyondOther(a, b, &steps)
	}
	for _, list := range [][]Shift{gained, lost} {
		for i := range list {
			list[i].VRF = next.VRF
		}
	}
	return gained, lost, err
}

// region is what a rule about sessions matches.
type region struct {
	rule               string
	action             Action
	src, dst           AddressSet
	services           []Service
	srcNames, dstNames []Endpoint
}

func (p *Ordered) regions() (out []region, err error) {
	rules, _, err := p.Sessions(false)
	if err != nil {
		return nil, err
	}
	for i := range rules {
		r := &rules[i]
		as := ReadingOf(r.Action, false)
		if p.Proposed && r.Action == Allow {
			as = Proposed
		}
		x := region{rule: r.Label(i), action: r.Action, services: r.Services, srcNames: r.Sources, dstNames: r.Destinations}
		if x.src, err = p.Set(r.Sources, as); err != nil {
			return nil, fmt.Errorf("rule %q: %w", x.rule, err)
		}
		if x.dst, err = p.Set(r.Destinations, as); err != nil {
			return nil, fmt.Errorf("rule %q: %w", x.rule, err)
		}
		out = append(out, x)
	}
	for _, ipv6 := range []bool{false, true} {
		if p.Default.Of(ipv6) == Allow {
			every := NewAddressSet(everyAddress).Of(ipv6)
			out = append(out, region{DefaultRule, Allow, every, every, []Service{{Any: true}}, FamilyOf(ipv6), FamilyOf(ipv6)})
		}
	}
	return out, nil
}

// everyService is what "any" stands for, as one term for each protocol.
func everyService() (out []Service) {
	for proto := range 256 {
		t, _ := categories.ParseServiceTerm(iana.ProtocolName(uint8(proto)))
		out = append(out, Service{Term: t})
	}
	return out
}

// allBut takes services out, of every service too.
func allBut(a, b []Service) []Service {
	if slices.ContainsFunc(a, func(s Service) bool { return s.Any }) && !slices.ContainsFunc(b, func(s Service) bool { return s.Any }) {
		a = everyService()
	}
	return servicesMinus(a, b)
}

// and gives what two regions have in common, with the names of the first.
func (x region) and(o *region) (region, bool) {
	if x.src = x.src.And(o.src); len(x.src) == 0 {
		return x, false
	}
	if x.dst = x.dst.And(o.dst); len(x.dst) == 0 {
		return x, false
	}
	// Addresses of both families make no session.
	if !slices.ContainsFunc([]bool{false, true}, func(ipv6 bool) bool { return len(x.src.Of(ipv6)) > 0 && len(x.dst.Of(ipv6)) > 0 }) {
		return x, false
	}
	x.services = servicesAnd(x.services, o.services)
	return x, len(x.services) > 0
}

// minus gives the parts of a region that are not in another.
func (x region) minus(o *region) (out []region) {
	add := func(src, dst AddressSet, services []Service) {
		if len(src) > 0 && len(dst) > 0 && len(services) > 0 {
			part := x
			part.src, part.dst, part.services = src, dst, services
			out = append(out, part)
		}
	}
	add(x.src.Minus(o.src), x.dst, x.services)
	src := x.src.And(o.src)
	add(src, x.dst.Minus(o.dst), x.services)
	add(src, x.dst.And(o.dst), allBut(x.services, o.services))
	return out
}

// beyondOther gives what one policy permits and the other does not.
func beyondOther(one, other []region, steps *int) (out []Shift, err error) {
	for i := range one {
		if one[i].action != Allow {
			continue
		}
		parts := []region{one[i]}
		// First what earlier rules of the same policy decide is taken out, then the other policy decides.
		for _, by := range [][]region{one[:i], other} {
			for j := range by {
				var left []region
				for _, part := range parts {
					if *steps++; *steps > maxOrderedSteps {
						return nil, ErrTooManyParts
					}
					both, meets := part.and(&by[j])
					if !meets {
						left = append(left, part)
						continue
					}
					if len(by) == len(other) && &by[0] == &other[0] && by[j].action != Allow {
						out = append(out, both.shift(&one[i], by[j].rule, by[j].action == Uncertain))
					}
					left = append(left, part.minus(&by[j])...)
				}
				if parts = left; len(parts) == 0 {
					break
				}
			}
		}
		for _, part := range parts {
			if both, meets := part.and(&part); meets {
				out = append(out, both.shift(&one[i], "", false))
			}
		}
	}
	return out, nil
}

// shift writes a part of a rule out, with the literals of the rule where it has all of their addresses.
func (x region) shift(rule *region, by string, uncertain bool) Shift {
	s := Shift{Rule: rule.rule, By: by, Uncertain: uncertain, Services: x.services, src: x.src, dst: x.dst}
	names := func(part, whole AddressSet, literals []Endpoint) (out []Endpoint) {
		if part.Equal(whole) {
			return literals
		}
		for _, p := range part.Prefixes() {
			out = append(out, Endpoint{Prefix: p})
		}
		return out
	}
	s.Sources, s.Destinations = names(x.src, rule.src, rule.srcNames), names(x.dst, rule.dst, rule.dstNames)
	for _, ipv6 := range []bool{false, true} {
		src, dst := x.src.Of(ipv6), x.dst.Of(ipv6)
		if len(src) == 0 || len(dst) == 0 {
			continue
		}
		t := x.services[0].Term
		if x.services[0].Any {
			t.Proto = iana.TCP
		}
		s.Example = Example{Source: src[0].Lo.String(), Destination: dst[0].Lo.String(), Service: categories.Service{Proto: t.Proto, Port: t.Lo}.String()}
		break
	}
	return s
}
