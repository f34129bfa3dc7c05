package target

import (
	"slices"

	"cordon/categories"
	"cordon/internal/iana"
	"cordon/recommender/policy"
)

// Some platforms have no place where all packets pass. Each guarded group has rules of its own, for what goes in and for
// what goes out, and a session passes where both its ends permit it; an end that nothing guards permits everything.

// guard is a group with the rules at its members.
type guard struct {
	label     string
	addresses policy.AddressSet
	pods      *categories.Pods // nil for other platforms
	in, out   []access
}

// access is what a rule says at a group: which peers with which services.
type access struct {
	rule   *rule
	any    bool // every peer
	guards []*guard
	// addresses are those peers that are in no guarded group as a whole.
	addresses policy.AddressSet
}

// guards gives the groups that the rules name and that can be guarded, with what the rules say at each. With
// byIdentity, peers are known by their group and never by their addresses.
func (w *writer) guards(d *Document, rules []rule, groups map[string]*categories.Pods, byIdentity bool) (out []*guard, err error) {
	named := map[string]bool{}
	for i := range rules {
		for _, e := range slices.Concat(rules[i].src.literals, rules[i].dst.literals) {
			named[e.Group] = true
		}
	}
	var all []*guard
	for _, label := range sortedKeys(groups) {
		if !named[label] && !byIdentity {
			continue
		}
		set, err := d.Set([]policy.Endpoint{policy.GroupEndpoint(label)}, policy.Proposed)
		if err != nil {
			return nil, err
		}
		all = append(all, &guard{label: label, addresses: set, pods: groups[label]})
	}
	for i := range rules {
		if err := w.place(&rules[i], all); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(all, func(g *guard) bool { return !named[g.label] }), nil
}

// side divides the addresses of one side of a rule into guarded groups that are in it as a whole, those that are in
// part, and all other addresses.
func side(e *end, all []*guard) (whole, part []*guard, rest policy.AddressSet) {
	rest = e.addresses
	for _, g := range all {
		both := e.addresses.And(g.addresses)
		switch {
		case len(both) == 0:
		case both.Equal(g.addresses):
			whole = append(whole, g)
			rest = rest.Minus(both)
		default:
			part = append(part, g)
		}
	}
	return whole, part, rest
}

// place puts a rule to the groups that it is about.
func (w *writer) place(r *rule, all []*guard) error {
	src, srcPart, srcRest := side(&r.src, all)
	dst, dstPart, dstRest := side(&r.dst, all)
	every := func(e *end) bool {
		_, v4 := e.of(false)
		_, v6 := e.of(true)
		return v4 && v6
	}
	for _, g := range slices.Concat(srcPart, dstPart) {
		if err := w.gap(r.name, "it is about a part of group:%s, and rules go to all of its members", g.label); err != nil {
			return err
		}
	}
	if r.deny { // rather too much than too little
		src, dst = slices.Concat(src, srcPart), slices.Concat(dst, dstPart)
	}
	for _, g := range dst {
		g.in = append(g.in, access{r, every(&r.src), src, srcRest})
	}
	for _, g := range src {
		g.out = append(g.out, access{r, every(&r.dst), dst, dstRest})
	}
	if !r.deny && len(src)+len(dst) == 0 {
		return w.gap(r.name, "no end of it is a group that %s has rules for", w.target.Name)
	}
	return nil
}

// allowRules gives the rules that allow, for targets that cannot deny and deny what nothing allows. Of a rule that a
// denial before it meets, the services of the denial are left out.
func (w *writer) allowRules(d *Document) (out []rule, err error) {
	rules, err := w.sessionRules(d)
	if err != nil {
		return nil, err
	}
	for _, ipv6 := range []bool{false, true} {
		if d.Default.Of(ipv6) == policy.Allow {
			if err := w.gap(policy.DefaultRule, "%s denies what no rule permits", w.target.Name); err != nil {
				return nil, err
			}
		}
	}
	for i := range rules {
		r := rules[i]
		if r.deny {
			r.services = services{} // the group is named, and nothing allowed
			out = append(out, r)
			continue
		}
		for j := range rules[:i] {
			o := &rules[j]
			if !o.deny || len(r.src.addresses.And(o.src.addresses)) == 0 || len(r.dst.addresses.And(o.dst.addresses)) == 0 {
				continue
			}
			left, less := r.services.minus(&o.services)
			if !less {
				continue
			}
			if err := w.gap(r.name, "rule %q denies a part of it, and %s cannot deny", o.name, w.target.Name); err != nil {
				return nil, err
			}
			r.services = left
		}
		out = append(out, r)
	}
	return out, nil
}

// empty reports whether nothing is meant.
func (s *services) empty() bool {
	return !s.any && len(s.ports)+len(s.types[0])+len(s.types[1])+len(s.protocols) == 0
}

// minus takes services out; of every service it takes all. It reports whether there was something to take.
func (s *services) minus(o *services) (out services, less bool) {
	if s.any || o.any {
		return services{}, !s.empty() && !o.empty()
	}
	out.ports = map[uint8][]policy.PortSpan{}
	take := func(a, b []policy.PortSpan) []policy.PortSpan {
		left := spansMinus(a, b)
		less = less || !slices.Equal(left, a)
		return left
	}
	for proto, spans := range s.ports {
		if left := take(spans, o.ports[proto]); len(left) > 0 {
			out.ports[proto] = left
		}
	}
	for i := range s.types {
		out.types[i] = take(s.types[i], o.types[i])
	}
	for _, proto := range s.protocols {
		if slices.Contains(o.protocols, proto) {
			less = true
		} else {
			out.protocols = append(out.protocols, proto)
		}
	}
	return out, less
}

// spansMinus takes ranges out of ranges.
func spansMinus(a, b []policy.PortSpan) []policy.PortSpan {
	for _, y := range b {
		var next []policy.PortSpan
		for _, x := range a {
			if y.Hi < x.Lo || x.Hi < y.Lo {
				next = append(next, x)
				continue
			}
			if x.Lo < y.Lo {
				next = append(next, policy.PortSpan{Lo: x.Lo, Hi: y.Lo - 1})
			}
			if y.Hi < x.Hi {
				next = append(next, policy.PortSpan{Lo: y.Hi + 1, Hi: x.Hi})
			}
		}
		a = next
	}
	return a
}

// podsOf gives the selectors of groups by label.
func (w *writer) podsOf() map[string]*categories.Pods {
	known := map[string]*categories.Pods{}
	f := w.options.Groups
	if f == nil {
		return known
	}
	labels := categories.NewLabels(f)
	for i := range f.Categories {
		for j := range f.Categories[i].Groups {
			if g := &f.Categories[i].Groups[j]; g.Pods != nil {
				known[labels.Label(categories.Ref{Category: f.Categories[i].Name, Group: g.Name})] = g.Pods
			}
		}
	}
	return known
}

// podGuards gives the groups with selectors; without one, nothing can be written for Kubernetes.
func (w *writer) podGuards(d *Document, rules []rule, byIdentity bool) ([]*guard, error) {
	all, err := w.guards(d, rules, w.podsOf(), byIdentity)
	if err == nil && len(all) == 0 {
		return nil, errNoPods
	}
	if err == nil && !resolvesNames(all) {
		w.note("no rule lets pods ask for names (udp/53): what they do by name will fail unless another policy permits it")
	}
	return all, err
}

// resolvesNames reports whether some group may ask for names.
func resolvesNames(all []*guard) bool {
	return slices.ContainsFunc(all, func(g *guard) bool {
		return slices.ContainsFunc(g.out, func(a access) bool {
			s := &a.rule.services
			return !a.rule.deny && (s.any || slices.ContainsFunc(s.ports[iana.UDP], func(x policy.PortSpan) bool { return x.Lo <= 53 && 53 <= x.Hi }))
		})
	})
}
