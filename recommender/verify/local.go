package verify

import (
	"net/netip"
	"slices"

	"cordon/categories"
)

// localNames gives the prefixes by which groups of the selected categories, all if none is given, name addresses
// of one range of local addresses.
func localNames(file *categories.File, selected []string) (out []netip.Prefix) {
	for _, c := range file.Categories {
		if len(selected) > 0 && !slices.Contains(selected, c.Name) {
			continue
		}
		for _, g := range c.Groups {
			for _, p := range g.Prefixes {
				if slices.ContainsFunc(categories.SpecialPurpose(), func(r categories.SpecialRange) bool {
					return r.Kind == categories.Local && r.Prefix.Bits() <= p.Bits() && r.Prefix.Contains(p.Addr())
				}) {
					out = append(out, p)
				}
			}
		}
	}
	return out
}

// local reports whether sessions of an address are local, since it is link-local, multicast or the like and no selected
// group names it.
func (j *judge) local(a netip.Addr) bool {
	a = plain(a)
	return categories.KindOf(a) == categories.Local && !slices.ContainsFunc(j.namedLocal, func(p netip.Prefix) bool { return p.Contains(a) })
}

// standsForMany reports whether an address is a multicast or the broadcast address: no answer comes from it.
func standsForMany(a netip.Addr) bool {
	if a = plain(a); a.Is4() {
		first := a.As4()[0]
		return first>>4 == 14 || a == netip.AddrFrom4([4]byte{255, 255, 255, 255})
	}
	return a.As16()[0] == 0xff
}
