package policy

import (
	"net/netip"
	"slices"
	"sync"

	"cordon/categories"
)

// Carry puts into a proposal what it was made with: the groups file, as far as the proposal's rules, scope and settings,
// the policies and the ends of its sessions need it, and the policies themselves. Seen are the places, in
// Resolver.Groups, of the groups that an end of any session resolves to. A nil file has no groups.
//
// What is carried follows from the document and the file alone, so it is the same in any order of arrival. It grows with
// the groups that are concerned, not with the file, unless something means every address.
func (p *Proposal) Carry(file *categories.File, a *Addresses, seen []int, existing, guardrails []Policy) {
	p.InForce, p.Guardrails = CarriedPolicies(existing, p.VRF), CarriedPolicies(guardrails, p.VRF)
	if file == nil {
		return
	}
	p.GroupsFile = file.Digest()
	for _, s := range file.Services {
		c := CarriedService{Name: s.Name}
		for _, t := range s.Match {
			c.Match = append(c.Match, Service{Term: t})
		}
		p.Services = append(p.Services, c)
	}
	c := newCarrier(p, file, a)
	for _, i := range seen {
		c.need(a.resolver.Groups()[i])
	}
	c.exclusions(file)
	c.literals()
	c.settings()
	c.namesLocal()
	c.close()
	p.Groups, p.KnownHosts = c.list()
}

// carrier finds the groups that a proposal needs.
type carrier struct {
	p        *Proposal
	file     *categories.File
	a        *Addresses
	held     [][]Span                // ranges of each group that addresses resolve to, by its place
	place    map[categories.Ref]int  // place in Resolver.Groups
	named    map[netip.Addr]bool     // known hosts, of groups of any category
	hosts    map[int][]netip.Addr    // the same by place of the group, -1 for none
	needed   map[categories.Ref]bool // carried
	declared map[categories.Ref]bool // carried with the prefixes of the file
	new      []categories.Ref        // needed, and not yet looked at
	members  map[categories.Ref][]netip.Prefix
}

func newCarrier(p *Proposal, file *categories.File, a *Addresses) *carrier {
	groups := a.resolver.Groups()
	c := &carrier{p: p, file: file, a: a, held: make([][]Span, len(groups)), place: map[categories.Ref]int{}, named: map[netip.Addr]bool{},
		hosts: map[int][]netip.Addr{}, needed: map[categories.Ref]bool{}, declared: map[categories.Ref]bool{}, members: map[categories.Ref][]netip.Prefix{}}
	for i, g := range groups {
		c.place[g] = i
	}
	for _, s := range a.spans {
		c.held[s.At] = append(c.held[s.At], s)
	}
	for _, addr := range file.Hosts() {
		c.named[addr] = true
		at := a.resolver.LookupIndex(addr)
		c.hosts[at] = append(c.hosts[at], addr)
	}
	return c
}

func (c *carrier) need(ref categories.Ref) {
	if !c.needed[ref] {
		c.needed[ref] = true
		c.new = append(c.new, ref)
	}
}

// declare carries a group with the prefixes of the file.
func (c *carrier) declare(ref categories.Ref) {
	c.need(ref)
	if !c.declared[ref] {
		c.declared[ref] = true
		c.reach(c.a.denied(ref))
	}
}

// reach carries the groups that addresses of the prefixes resolve to.
func (c *carrier) reach(prefixes []netip.Prefix) {
	groups, spans := c.a.resolver.Groups(), c.a.spans
	for _, p := range prefixes {
		lo, hi := p.Addr(), lastAddr(p)
		at, _ := slices.BinarySearchFunc(spans, lo, func(s Span, lo netip.Addr) int { return s.Hi.Compare(lo) })
		for ; at < len(spans) && spans[at].Lo.Compare(hi) <= 0; at++ {
			c.need(groups[spans[at].At])
		}
	}
}

// literal carries what a literal of a statement needs, and every group that it has an address of.
func (c *carrier) literal(e Endpoint, as Reading) {
	m, err := c.a.MeaningAs(e, as)
	if err != nil {
		return
	}
	if e.IsGroup() {
		c.need(c.a.refs[e.Group])
	}
	switch {
	case m.Any:
		c.reach([]netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)})
	case m.Internet:
		c.reach(categories.InternetPrefixes())
	case e.IsGroup() && as == Denying:
		c.declare(c.a.refs[e.Group])
	case m.Group < 0:
		c.reach(m.Prefixes)
	}
}

// literals carries what rules, policies and the scope name.
func (c *carrier) literals() {
	for i := range c.p.Rules {
		r := &c.p.Rules[i]
		for _, e := range append(slices.Clone(r.Sources), r.Destinations...) {
			c.literal(e, Proposed)
		}
	}
	for guardrail, list := range [][]CarriedPolicy{c.p.InForce, c.p.Guardrails} {
		for i := range list {
			for _, r := range list[i].Rules {
				for _, e := range append(slices.Clone(r.Sources), r.Destinations...) {
					c.literal(e, ReadingOf(r.Action, guardrail == 1))
				}
			}
		}
	}
	if c.p.Scope == nil {
		return
	}
	for _, name := range ScopeFields {
		for _, e := range *c.p.Scope.Field(name) {
			c.literal(e, Denying) // a scope means every address of a group as well
		}
	}
}

// exclusions writes those of the file, and carries the groups that they name.
func (c *carrier) exclusions(file *categories.File) {
	side := func(set []categories.Selector) (out []Endpoint) {
		for _, s := range set {
			if s.Group != (categories.Ref{}) {
				out = append(out, GroupEndpoint(c.a.resolver.Label(s.Group)))
				c.declare(s.Group)
				continue
			}
			for _, p := range s.Prefixes {
				out = append(out, Endpoint{Prefix: p})
			}
		}
		return out
	}
	for i := range file.Exclude {
		x := &file.Exclude[i]
		out := CarriedExclusion{Reason: x.Reason, Sources: side(x.Sources), Destinations: side(x.Destinations)}
		for _, t := range x.Services {
			out.Services = append(out.Services, Service{Term: t})
		}
		c.p.Exclude = append(c.p.Exclude, out)
	}
}

// settings carries what counting with the settings needs.
func (c *carrier) settings() {
	s := c.p.Settings
	if s == nil {
		return
	}
	if s.External == "internet" {
		c.literal(GroupEndpoint(c.a.internet), Proposed)
	}
	if s.Generalise == 0 {
		return
	}
	for i := range c.file.Categories {
		category := &c.file.Categories[i]
		if s.GeneraliseWithin != "" && category.Name != s.GeneraliseWithin {
			continue
		}
		for j := range category.Groups {
			c.declare(categories.Ref{Category: category.Name, Group: category.Groups[j].Name})
		}
	}
}

// localRanges are the special-purpose ranges of local addresses.
var localRanges = sync.OnceValue(func() (out []netip.Prefix) {
	for _, r := range categories.SpecialPurpose() {
		if r.Kind == categories.Local {
			out = append(out, r.Prefix)
		}
	}
	return out
})

// namesLocal carries the selected groups that name local addresses by prefixes inside their range: they make these addresses
// ones that rules may be made for, whatever group the addresses resolve to.
func (c *carrier) namesLocal() {
	for ref := range c.place {
		for _, p := range c.a.prefixes[ref] {
			if slices.ContainsFunc(localRanges(), func(r netip.Prefix) bool { return r.Bits() <= p.Bits() && r.Overlaps(p) }) {
				c.declare(ref)
				break
			}
		}
	}
}

// close goes on until everything that is carried has what it needs itself.
func (c *carrier) close() {
	for len(c.new) > 0 {
		ref := c.new[len(c.new)-1]
		c.new = c.new[:len(c.new)-1]
		if ref == categories.Internet {
			continue
		}
		at, selected := c.place[ref]
		if !selected || len(c.held[at]) == 0 { // stands for all of its prefixes
			c.members[ref] = inOrder(c.a.prefixes[ref])
			if selected {
				c.reach(c.a.prefixes[ref])
			}
			continue
		}
		c.members[ref] = c.resolved(at)
		if c.misleads(ref) {
			c.declare(ref)
		}
	}
}

// misleads reports whether members, read as prefixes of a groups file, would say something that the file does not: since
// other groups cut what the file declares, a piece may look like a host that is named, or like local addresses that are.
func (c *carrier) misleads(ref categories.Ref) bool {
	declared := map[netip.Prefix]bool{}
	for _, p := range c.a.prefixes[ref] {
		declared[p] = true
	}
	return slices.ContainsFunc(c.members[ref], func(p netip.Prefix) bool {
		return !declared[p] && (p.IsSingleIP() && !c.named[p.Addr()] || slices.ContainsFunc(localRanges(), p.Overlaps))
	})
}

// resolved gives the addresses that resolve to a group. Each known host has a prefix of its own, and so has what the file
// names by a longer prefix inside a wider one of the group: the longest prefix decides between groups.
func (c *carrier) resolved(at int) []netip.Prefix {
	var out []netip.Prefix
	held := c.held[at]
	for _, s := range held {
		out = append(out, s.Prefixes()...)
	}
	for _, p := range c.a.prefixes[c.a.resolver.Groups()[at]] {
		i, _ := slices.BinarySearchFunc(held, p.Addr(), func(s Span, lo netip.Addr) int { return s.Hi.Compare(lo) })
		if i < len(held) && held[i].Lo.Compare(p.Addr()) <= 0 && lastAddr(p).Compare(held[i].Hi) <= 0 {
			out = append(out, p)
		}
	}
	for _, a := range c.hosts[at] {
		if categories.KindOf(a) != categories.Local {
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return inOrder(out)
}

// without gives the prefixes of a list that another one does not have, in order.
func without(list, other []netip.Prefix) []netip.Prefix {
	there := make(map[netip.Prefix]bool, len(other))
	for _, p := range other {
		there[p] = true
	}
	return inOrder(slices.DeleteFunc(slices.Clone(list), func(p netip.Prefix) bool { return there[p] }))
}

// inOrder gives the prefixes in order, each once.
func inOrder(list []netip.Prefix) []netip.Prefix {
	return sorted(slices.Clone(list), netip.Prefix.Compare)
}

// list gives the groups in the order of the file's categories, by name, and the known hosts that cannot be read off them.
func (c *carrier) list() (groups []CarriedGroup, hosts []netip.Prefix) {
	said := map[netip.Addr]bool{}
	add := func(ref categories.Ref) {
		g := CarriedGroup{Name: c.a.resolver.Label(ref), Category: ref.Category, Members: c.members[ref]}
		if g.Name != ref.Group {
			g.Group = ref.Group
		}
		effective := g.Members
		if declared := inOrder(c.a.prefixes[ref]); c.declared[ref] && !slices.Equal(declared, g.Members) {
			g.Declared, effective = declared, declared
		}
		g.Members = notNil(g.Members)
		g.AtOtherTimes = without(c.a.ever[ref], c.a.prefixes[ref])
		for _, p := range effective {
			if p.IsSingleIP() {
				said[p.Addr()] = true
			}
		}
		groups = append(groups, g)
	}
	for i := range c.file.Categories {
		category := &c.file.Categories[i]
		var names []string
		for j := range category.Groups {
			if c.needed[categories.Ref{Category: category.Name, Group: category.Groups[j].Name}] {
				names = append(names, category.Groups[j].Name)
			}
		}
		slices.Sort(names)
		for _, name := range names {
			add(categories.Ref{Category: category.Name, Group: name})
		}
	}
	if c.needed[categories.Internet] {
		g := CarriedGroup{Name: c.a.internet, Category: categories.BuiltinCategory, Members: c.a.ungroupedPublic()}
		if g.Name != categories.InternetGroup {
			g.Group = categories.InternetGroup
		}
		groups = append(groups, g)
	}
	for at, list := range c.hosts {
		if at >= 0 && !c.needed[c.a.resolver.Groups()[at]] {
			continue // no literal has it, so nothing counts it
		}
		for _, a := range list {
			if !said[a] {
				hosts = append(hosts, netip.PrefixFrom(a, a.BitLen()))
			}
		}
	}
	return groups, categories.Aggregate(hosts)
}

// ungroupedPublic gives the addresses that the built-in group stands for in a rule.
func (a *Addresses) ungroupedPublic() []netip.Prefix {
	var out []netip.Prefix
	for _, p := range categories.InternetPrefixes() {
		lo, hi := p.Addr(), lastAddr(p)
		at, _ := slices.BinarySearchFunc(a.spans, lo, func(s Span, lo netip.Addr) int { return s.Hi.Compare(lo) })
		for ; at < len(a.spans) && a.spans[at].Lo.Compare(hi) <= 0 && lo.IsValid() && lo.Compare(hi) <= 0; at++ {
			if s := a.spans[at]; lo.Less(s.Lo) {
				out = append(out, Span{Lo: lo, Hi: s.Lo.Prev()}.Prefixes()...)
			}
			lo = a.spans[at].Hi.Next()
		}
		if lo.IsValid() && within(lo, hi) {
			out = append(out, Span{Lo: lo, Hi: hi}.Prefixes()...)
		}
	}
	return out
}

// Prefixes gives the fewest prefixes that hold exactly the addresses of a range, in order.
func (s Span) Prefixes() (out []netip.Prefix) {
	for lo := s.Lo; ; {
		bits := lo.BitLen()
		for bits > 0 {
			wider := netip.PrefixFrom(lo, bits-1)
			if wider.Masked().Addr() != lo || s.Hi.Less(lastAddr(wider)) {
				break
			}
			bits--
		}
		p := netip.PrefixFrom(lo, bits)
		out = append(out, p)
		if lo = lastAddr(p).Next(); !lo.IsValid() || s.Hi.Less(lo) {
			return out
		}
	}
}
