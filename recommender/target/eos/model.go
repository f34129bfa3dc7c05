package eos

import (
	"fmt"
	"slices"
	"strings"

	"cordon/categories"
	"cordon/internal/iana"
	"cordon/recommender/policy"
)

// check looks for names that nothing stands behind.
func (c *Config) check() error {
	missing := func(line int, kind, name string) error {
		return &SyntaxError{c.path, line, fmt.Errorf("%s %s is not in this file", kind, name)}
	}
	ports := func(l *portLine) error {
		for _, name := range slices.Concat(l.sourceSets, l.destSets) {
			if c.ports[name] == nil {
				return missing(l.number, "field-set l4-port", name)
			}
		}
		return nil
	}
	for _, v := range c.vrfs {
		for _, name := range v.policies {
			if c.policy(name) == nil {
				return missing(v.line, "traffic-policy", name)
			}
		}
	}
	for _, t := range c.policies {
		for _, m := range t.matches {
			for _, end := range m.ends {
				for _, name := range end.sets {
					if c.prefixes[family(m.ipv6)][name] == nil {
						return missing(end.line, "field-set "+familyName(m.ipv6)+" prefix", name)
					}
				}
			}
			for _, name := range m.services {
				if c.services[name] == nil {
					return missing(m.line, "field-set service", name)
				}
			}
			for i := range m.ports {
				if err := ports(&m.ports[i]); err != nil {
					return err
				}
			}
		}
	}
	for _, s := range c.services {
		for i := range s.lines {
			if err := ports(&s.lines[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func family(ipv6 bool) int {
	if ipv6 {
		return 1
	}
	return 0
}

func (c *Config) policy(name string) *trafficPolicy {
	for _, t := range c.policies {
		if t.name == name {
			return t
		}
	}
	return nil
}

// Policies gives the policies of the section: those that are bound in a VRF, once for each
// VRF. Where none is bound, it is all of them, as policies of every VRF.
func (c *Config) Policies() (out []policy.Policy) {
	for _, v := range c.vrfs {
		for _, name := range v.policies {
			out = append(out, c.model(c.policy(name), v.name))
		}
	}
	if len(out) > 0 {
		return out
	}
	for _, t := range c.policies {
		out = append(out, c.model(t, ""))
	}
	return out
}

// Bound reports whether some policy is bound in a VRF.
func (c *Config) Bound() bool {
	return slices.ContainsFunc(c.vrfs, func(v *vrf) bool { return len(v.policies) > 0 })
}

func (c *Config) model(t *trafficPolicy, vrf string) policy.Policy {
	if strings.EqualFold(vrf, allVRFs) {
		vrf = ""
	}
	p := policy.Policy{APIVersion: policy.APIVersion, Kind: policy.KindPolicy, Name: t.name, VRF: vrf}
	actions := [2]policy.Action{policy.Allow, policy.Allow}
	for i, m := range t.defaults {
		if m != nil && m.drop {
			actions[i] = policy.Deny
		}
	}
	p.Default = policy.Defaults{IPv4: actions[0], IPv6: actions[1]}
	for i := 0; i < len(t.matches); i++ {
		m := t.matches[i]
		if i+1 < len(t.matches) && c.isTwin(m, t.matches[i+1]) {
			p.Rules = append(p.Rules, c.both(m))
			i++
			continue
		}
		p.Rules = append(p.Rules, c.packets(m)...)
	}
	return p
}

// Notes says what is worth knowing about what was read: matches that cannot be judged, and
// those that match nothing.
func (c *Config) Notes() (out []string) {
	for _, t := range c.policies {
		for _, m := range t.matches {
			at := fmt.Sprintf("%s:%d: match %s", c.path, m.line, m.name)
			if len(m.opaque) > 0 {
				out = append(out, at+" cannot be judged, and is kept as it is: "+strings.ReplaceAll(strings.Join(m.opaque, "; "), "\n  ", ""))
			}
			if len(c.packets(m)) == 0 {
				out = append(out, at+" matches nothing: a field-set of it is empty")
			}
		}
	}
	return out
}

// alternative is one kind of packets that a match holds. No protocol means every one.
type alternative struct {
	any     bool
	service policy.Service // The destination side's service.
	source  []policy.PortSpan
	flags   string
}

// alternatives gives what the lines about protocols say.
func (c *Config) alternatives(m *matchBlock) (out []alternative) {
	lines := slices.Clone(m.ports)
	for _, name := range m.services {
		lines = append(lines, c.services[name].lines...)
	}
	tcp := false
	for i := range lines {
		l := &lines[i]
		flags := l.flags
		if l.proto == iana.TCP && m.flags != "" {
			flags, tcp = m.flags, true
		}
		source, dest := c.portsOf(l.source, l.sourceSets), c.portsOf(l.dest, l.destSets)
		if len(source) == 0 && len(l.sourceSets) > 0 || len(dest) == 0 && len(l.destSets) > 0 {
			continue // an empty field-set matches nothing
		}
		if len(dest) == 0 {
			dest = []policy.PortSpan{{Lo: 0, Hi: 65535}}
		}
		for _, d := range dest {
			out = append(out, alternative{service: term(l.proto, d), source: source, flags: flags})
		}
	}
	if m.flags != "" && !tcp {
		out = append(out, alternative{service: term(iana.TCP, policy.PortSpan{Lo: 0, Hi: 65535}), flags: m.flags})
	}
	for _, o := range m.protocols {
		for _, span := range o.protocols {
			for proto := int(span.Lo); proto <= int(span.Hi); proto++ {
				switch {
				case len(o.types) > 0:
					for _, s := range o.types {
						out = append(out, alternative{service: term(uint8(proto), s)})
					}
				case iana.HasPorts(uint8(proto)):
					out = append(out, alternative{service: term(uint8(proto), policy.PortSpan{Lo: 0, Hi: 65535})})
				case iana.IsICMP(uint8(proto)):
					out = append(out, alternative{service: term(uint8(proto), policy.PortSpan{Lo: 0, Hi: 255})})
				default:
					out = append(out, alternative{service: term(uint8(proto), policy.PortSpan{})})
				}
			}
		}
	}
	if m.opaqueProtocol || len(m.ports)+len(m.services)+len(m.protocols) == 0 && m.flags == "" {
		return append(out[:0:0], alternative{any: true, service: policy.Service{Any: true}})
	}
	return out
}

func term(proto uint8, s policy.PortSpan) policy.Service {
	return policy.Service{Term: categories.ServiceTerm{Proto: proto, Lo: s.Lo, Hi: s.Hi}}
}

func (c *Config) portsOf(ports []policy.PortSpan, sets []string) []policy.PortSpan {
	out := slices.Clone(ports)
	for _, name := range sets {
		out = append(out, c.ports[name].ports...)
	}
	out = policy.JoinPorts(out)
	if len(out) == 1 && out[0] == (policy.PortSpan{Lo: 0, Hi: 65535}) {
		return nil
	}
	return out
}

// side gives the literals of one end, and those that are left out.
func (c *Config) side(m *matchBlock, which int) (in, out []policy.Endpoint) {
	end := &m.ends[which]
	if end.line == 0 {
		return policy.FamilyOf(m.ipv6), nil
	}
	add := func(prefixes policy.AddressSet) {
		for _, x := range prefixes.Prefixes() {
			in = append(in, policy.Endpoint{Prefix: x})
		}
	}
	sets := end.sets
	if len(sets) == 1 && len(end.prefixes) == 0 { // its except is that of the rule
		s := c.prefixes[family(m.ipv6)][sets[0]]
		for _, x := range s.in {
			in = append(in, policy.Endpoint{Prefix: x})
		}
		for _, x := range s.out {
			out = append(out, policy.Endpoint{Prefix: x})
		}
	} else {
		all := policy.NewAddressSet(end.prefixes).Prefixes()
		for _, name := range sets {
			all = append(all, c.prefixes[family(m.ipv6)][name].addresses().Prefixes()...)
		}
		add(policy.NewAddressSet(all))
	}
	slices.SortFunc(in, policy.Endpoint.Compare)
	slices.SortFunc(out, policy.Endpoint.Compare)
	return slices.Compact(in), slices.Compact(out)
}

// base is what all rules of a match have in common.
func (c *Config) base(m *matchBlock) policy.StatementRule {
	r := policy.StatementRule{Name: m.name, Action: policy.Allow, Direction: policy.OneWay}
	r.Sources, r.Except.Sources = c.side(m, 0)
	r.Destinations, r.Except.Destinations = c.side(m, 1)
	r.Fragments, r.Opaque, r.Also, r.Remarks = m.fragments, m.opaque, m.also, m.remarks
	switch {
	case m.drop:
		r.Action = policy.Deny
	case m.redirect != "":
		r.Action, r.Redirect = policy.Redirect, m.redirect
	}
	return r
}

// packets gives the rules of a match: one for the alternatives that have the same
// source ports and flags. A match with an empty field-set matches nothing and has none.
func (c *Config) packets(m *matchBlock) (out []policy.StatementRule) {
	type key struct{ source, flags string }
	at := map[key]int{}
	for _, a := range c.alternatives(m) {
		k := key{spans(a.source, ","), a.flags}
		i, ok := at[k]
		if !ok {
			r := c.base(m)
			if len(r.Sources) == 0 || len(r.Destinations) == 0 {
				return nil
			}
			r.SourcePorts, r.Flags = a.source, a.flags
			i = len(out)
			at[k] = i
			if i > 0 {
				r.Name = fmt.Sprintf("%s.%d", m.name, i+1)
			}
			out = append(out, r)
		}
		out[i].Services = append(out[i].Services, a.service)
	}
	for i := range out {
		slices.SortFunc(out[i].Services, policy.Service.Compare)
		out[i].Services = slices.Compact(out[i].Services)
	}
	return out
}

// twinName is what the match for the answers of another is called.
func twinName(name string) string { return name + reverseSuffix }

// isTwin reports whether a match holds the answers of another and nothing else, so that both are one rule about sessions.
func (c *Config) isTwin(m, twin *matchBlock) bool {
	if twin.name != twinName(m.name) || twin.ipv6 != m.ipv6 || twin.drop != m.drop || m.redirect != "" || twin.redirect != "" ||
		len(m.opaque)+len(twin.opaque) > 0 || m.fragments != "" || twin.fragments != "" || !slices.Equal(m.also, twin.also) {
		return false
	}
	for i := range m.ends {
		if set := c.endSet(m, i); len(set) == 0 || !set.Equal(c.endSet(twin, 1-i)) {
			return false
		}
	}
	want := map[string]bool{}
	for _, a := range c.alternatives(m) {
		t := a.service.Term
		switch {
		case a.any || len(a.source) > 0 || a.flags != "":
			return false
		case iana.IsICMP(t.Proto):
			for request, answer := range policy.ICMPAnswers(t.Proto) {
				if t.Lo <= answer && answer <= t.Hi { // it decides answers of other sessions too
					return false
				}
				if t.Lo <= request && request <= t.Hi {
					want[term(t.Proto, policy.PortSpan{Lo: answer, Hi: answer}).String()] = true
				}
			}
		case !iana.HasPorts(t.Proto) || t.Any(): // the twin permits sessions of its own
			return false
		default:
			want["from "+t.String()] = true
		}
	}
	got := map[string]bool{}
	for _, a := range c.alternatives(twin) {
		t := a.service.Term
		switch {
		case a.any || a.flags != "":
			return false
		case iana.IsICMP(t.Proto):
			if t.Hi-t.Lo > 255 {
				return false
			}
			for n := t.Lo; n <= t.Hi; n++ {
				got[term(t.Proto, policy.PortSpan{Lo: n, Hi: n}).String()] = true
			}
		case !t.Any() || len(a.source) == 0:
			return false
		default:
			for _, s := range a.source {
				got["from "+term(t.Proto, s).String()] = true
			}
		}
	}
	if len(want) == 0 || len(want) != len(got) {
		return false
	}
	for k := range want {
		if !got[k] {
			return false
		}
	}
	return true
}

func (c *Config) endSet(m *matchBlock, which int) policy.AddressSet {
	in, out := c.side(m, which)
	if len(in) == 0 {
		return nil
	}
	a, _ := policy.IPSet(in, policy.Proposed) // It cannot fail: no group is named.
	b, _ := policy.IPSet(out, policy.Proposed)
	return a.Minus(b)
}

// both is the rule about sessions of a match and its twin.
func (c *Config) both(m *matchBlock) policy.StatementRule {
	r := c.base(m)
	r.Direction = policy.Bidirectional
	for _, a := range c.alternatives(m) {
		r.Services = append(r.Services, a.service)
	}
	slices.SortFunc(r.Services, policy.Service.Compare)
	r.Services = slices.Compact(r.Services)
	return r
}
