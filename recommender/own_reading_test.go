package recommender

import (
	"net/netip"
	"slices"
	"strings"

	"cordon/categories"
	"cordon/recommender/policy"
)

// ownReading reads groups in policies straight off the groups file, one prefix after
// another: the tests' own account of docs/policies.md. Names of groups are unique in its files.
type ownReading struct {
	file     *categories.File
	selected []string
	universe []netip.Addr // every address that the groups tell apart
}

// puts reports whether the file puts an address into a group.
func puts(g *categories.Group, a netip.Addr) bool {
	return slices.ContainsFunc(g.Prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

// category reports whether a category is selected.
func (x *ownReading) category(name string) bool {
	return len(x.selected) == 0 || slices.Contains(x.selected, name)
}

// resolves gives the group that an address resolves to, "" if none.
func (x *ownReading) resolves(a netip.Addr) string {
	order := x.selected
	if len(order) == 0 {
		order = x.file.CategoryNames()
	}
	for _, name := range order {
		best, bits := "", -1
		for _, c := range x.file.Categories {
			for _, g := range c.Groups {
				for _, p := range g.Prefixes {
					if c.Name == name && p.Contains(a) && (p.Bits() > bits || p.Bits() == bits && g.Name < best) {
						best, bits = g.Name, p.Bits()
					}
				}
			}
		}
		if bits >= 0 {
			return best
		}
	}
	return ""
}

// wholes reports whether a group of a selected category, which no address resolves to,
// is nothing but several other groups as wholes.
func (x *ownReading) wholes(g *categories.Group) bool {
	members := map[string]bool{}
	for _, a := range x.universe {
		if puts(g, a) {
			members[x.resolves(a)] = true
		}
	}
	if len(members) < 2 || members[""] || members[g.Name] {
		return false
	}
	return !slices.ContainsFunc(x.universe, func(a netip.Addr) bool { return members[x.resolves(a)] && !puts(g, a) })
}

// holds reports whether an endpoint of a policy means an address.
func (x *ownReading) holds(e policy.Endpoint, action policy.Action, guardrail bool, a netip.Addr) bool {
	label, group := strings.CutPrefix(e.String(), "group:")
	switch {
	case e.IsAny():
		return true
	case !group:
		return e.Prefix.Contains(a)
	case label == "internet":
		return categories.KindOf(a) == categories.Public && (action == policy.Deny || x.resolves(a) == "")
	}
	for i := range x.file.Categories {
		c := &x.file.Categories[i]
		for j := range c.Groups {
			g := &c.Groups[j]
			if g.Name != label || !puts(g, a) {
				continue
			}
			if action == policy.Deny {
				return true
			}
			to := x.resolves(a)
			return to == label || to == "" || !guardrail && x.category(c.Name) && x.wholes(g)
		}
	}
	return false
}
