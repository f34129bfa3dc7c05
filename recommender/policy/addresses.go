package policy

import (
	"fmt"
	"net/netip"
	"sync"

	"cordon/categories"
)

// Addresses gives endpoint literals their meaning under a groups file and the
// selected categories of a proposal. In a rule of a proposal (other statements
// read groups otherwise, see Reading):
//
//   - "ip:PREFIX" and "any" are the addresses that they say;
//   - "group:internet" (the built-in group) is every public address in no selected group;
//   - "group:G" is every address that resolves to G, so that overlapping groups
//     never share an address;
//   - a group that no address resolves to, because groups of higher precedence
//     take all of it, or because its category is not selected, stands for all
//     its prefixes in the file. So a proposal can write one bigger group
//     for several that make it up, see Merge.
//
// It is read-only and safe for concurrent use.
type Addresses struct {
	resolver *categories.Resolver
	spans    []Span                            // ranges that resolve to a group, laid out
	families []Families                        // families of each group, by its place
	index    map[string]int                    // label of a group that addresses resolve to -> its place in Groups
	refs     map[string]categories.Ref         // every group of the file, by label
	prefixes map[categories.Ref][]netip.Prefix // prefixes of every group of the file and of the built-in one
	ever     map[categories.Ref][]netip.Prefix // Prefixes of groups that had others at another time: a denial means all of them, see categories.Group.Ever.
	internet string                            // label of the built-in group

	tables sync.Map               // whole group -> *bart.Lite with its prefixes, made when first asked for
	unions func() map[string]bool // labels of the groups that stand for several whole ones, see Merger
}

// NewAddresses prepares the literals of a groups file. It fails for a
// category that the file does not have.
func NewAddresses(f *categories.File, selected []string) (*Addresses, error) {
	r, err := categories.NewResolver(f, selected)
	if err != nil {
		return nil, err
	}
	a := &Addresses{
		resolver: r,
		index:    map[string]int{},
		refs:     map[string]categories.Ref{},
		prefixes: map[categories.Ref][]netip.Prefix{categories.Internet: categories.InternetPrefixes()},
		ever:     map[categories.Ref][]netip.Prefix{},
		internet: r.Label(categories.Internet),
	}
	place := map[categories.Ref]int{}
	for i, g := range r.Groups() {
		place[g] = i
	}
	// An assignment alone is not enough: others inside may take all of it.
	prefixes := make([]netip.Prefix, len(r.Assignments()))
	for i, as := range r.Assignments() {
		prefixes[i] = as.Prefix
	}
	a.spans = Spans(prefixes)
	for i := range a.spans {
		a.spans[i].At = place[r.Assignments()[a.spans[i].At].Group]
	}
	a.families = make([]Families, len(r.Groups()))
	for _, s := range a.spans {
		a.index[r.Label(r.Groups()[s.At])] = s.At
		if s.Lo.Is4() {
			a.families[s.At].IPv4 = true
		} else {
			a.families[s.At].IPv6 = true
		}
	}
	for i := range f.Categories {
		for j := range f.Categories[i].Groups {
			g := &f.Categories[i].Groups[j]
			if at, selected := place[categories.Ref{Category: f.Categories[i].Name, Group: g.Name}]; selected && len(g.Prefixes) == 0 {
				a.index[r.Label(r.Groups()[at])] = at // no address is in it, of another moment perhaps one was
			}
			ref := categories.Ref{Category: f.Categories[i].Name, Group: g.Name}
			a.prefixes[ref] = g.Prefixes
			if ever := g.Ever(); len(ever) != len(g.Prefixes) || len(ever) > 0 && &ever[0] != &g.Prefixes[0] {
				a.ever[ref] = ever
			}
			a.refs[r.Label(ref)] = ref
		}
	}
	a.refs[a.internet] = categories.Internet
	a.unions = sync.OnceValue(func() map[string]bool {
		out := map[string]bool{}
		for _, u := range NewMerger(a).bigger {
			out[u.label] = true
		}
		return out
	})
	return a, nil
}

// Resolver is the resolver behind the literals.
func (a *Addresses) Resolver() *categories.Resolver { return a.resolver }

// Ref gives the group that has a label; the zero Ref where there is none.
func (a *Addresses) Ref(label string) categories.Ref { return a.refs[label] }

// Check fails for a group that the file does not have.
func (a *Addresses) Check(e Endpoint) error {
	if !e.IsGroup() {
		return nil
	}
	if _, ok := a.refs[e.Group]; ok {
		return nil
	}
	if ref, err := a.resolver.Labels().Find(e.Group); err == nil {
		return fmt.Errorf("group %q is written %s%s", e.Group, categories.GroupPrefix, a.resolver.Label(ref))
	} else {
		return err
	}
}

// Contains reports whether the literal of a proposal's rule holds the address. A
// group that the file does not have holds none.
func (a *Addresses) Contains(e Endpoint, addr netip.Addr) bool { return a.Holds(e, Proposed, addr) }

// Permits reports whether one of the rules allows a session from client to
// server. The first rule that matches decides.
func (a *Addresses) Permits(rules []Rule, client, server netip.Addr, service categories.Service) bool {
	for i := range rules {
		r := &rules[i]
		if a.matches(r.Sources, client) && a.matches(r.Destinations, server) && matchesService(r.Services, service) {
			return r.Action == Allow
		}
	}
	return false
}

func (a *Addresses) matches(set []Endpoint, addr netip.Addr) bool {
	for _, e := range set {
		if a.Contains(e, addr) {
			return true
		}
	}
	return false
}

func matchesService(set []Service, s categories.Service) bool {
	for _, t := range set {
		if t.Matches(s) {
			return true
		}
	}
	return false
}

// Around gives prefixes that hold every address of a set of literals, and perhaps more: of a group all that the file
// puts into it. A literal that means nothing here may be any address.
func (a *Addresses) Around(set []Endpoint) []netip.Prefix {
	var out []netip.Prefix
	for _, e := range set {
		ref, err := a.resolver.Labels().Find(e.Group)
		switch {
		case !e.IsAny() && !e.IsGroup():
			out = append(out, e.Prefix)
		case e.IsGroup() && e.Group == a.internet:
			out = append(out, categories.InternetPrefixes()...)
		case e.IsGroup() && err == nil:
			out = append(out, a.denied(ref)...)
		default:
			out = append(out, netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0))
		}
	}
	return out
}

// Families says in which address families a set of literals has addresses.
func (a *Addresses) Families(set []Endpoint) Families {
	var f Families
	add := func(addr netip.Addr) {
		f.IPv4 = f.IPv4 || addr.Is4()
		f.IPv6 = f.IPv6 || addr.Is6()
	}
	for _, e := range set {
		m, err := a.Meaning(e)
		switch {
		case err != nil:
		case m.Any || m.Internet:
			f = Families{true, true}
		case m.Group >= 0:
			g := a.families[m.Group]
			f.IPv4, f.IPv6 = f.IPv4 || g.IPv4, f.IPv6 || g.IPv6
		default:
			for _, p := range m.Prefixes {
				add(p.Addr())
			}
		}
	}
	return f
}

// Families says which families a rule needs: those in which it has both sources and destinations.
func (r *Rule) Families(a *Addresses) Families {
	s, d := a.Families(r.Sources), a.Families(r.Destinations)
	return Families{s.IPv4 && d.IPv4, s.IPv6 && d.IPv6}
}
