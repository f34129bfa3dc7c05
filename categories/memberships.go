package categories

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Membership is a group of the file that has a prefix around an address, and whether the address resolves to it.
type Membership struct {
	Category string `json:"category"`
	Group    string `json:"group"`
	Prefix   string `json:"prefix"`   // the longest of the group around the address
	Selected bool   `json:"selected"` // the address resolves to this group
	Why      string `json:"why"`      // a clause that says why it does, or why it does not
}

// Memberships lists every group around an address: the one that it resolves to first, then the others in order of
// precedence, those of categories that are not selected last. It fails for a category that the file does not have.
func (f *File) Memberships(selected []string, addr netip.Addr) ([]Membership, error) {
	r, err := NewResolver(f, selected)
	if err != nil {
		return nil, err
	}
	if len(selected) == 0 {
		selected = f.CategoryNames()
	}
	addr = addr.Unmap().WithZone("")
	type member struct {
		rank   int // The category's place; len(selected) where it is not selected.
		prefix netip.Prefix
		Membership
	}
	var list []member
	for i := range f.Categories {
		c := &f.Categories[i]
		for j := range c.Groups {
			longest := netip.Prefix{}
			for _, p := range c.Groups[j].Prefixes {
				if p.Contains(addr) && (!longest.IsValid() || p.Bits() > longest.Bits()) {
					longest = p
				}
			}
			if !longest.IsValid() {
				continue
			}
			rank := slices.Index(selected, c.Name)
			if rank < 0 {
				rank = len(selected)
			}
			list = append(list, member{rank, longest, Membership{Category: c.Name, Group: c.Groups[j].Name, Prefix: longest.String()}})
		}
	}
	slices.SortFunc(list, func(a, b member) int {
		if a.rank != b.rank {
			return a.rank - b.rank
		}
		if a.prefix.Bits() != b.prefix.Bits() {
			return b.prefix.Bits() - a.prefix.Bits()
		}
		return strings.Compare(a.Category+"\x00"+a.Group, b.Category+"\x00"+b.Group)
	})
	won, resolves := r.Lookup(addr)
	out := make([]Membership, 0, len(list))
	var winner *member
	if at := slices.IndexFunc(list, func(m member) bool { return resolves && won == Ref{m.Category, m.Group} }); at > 0 {
		first := list[at]
		list = slices.Insert(slices.Delete(list, at, at+1), 0, first)
	}
	if resolves && len(list) > 0 {
		winner = &list[0]
	}
	for i := range list {
		m := &list[i]
		m.Selected = m == winner
		switch {
		case m.Selected && len(list) == 1:
			m.Why = "it is the only group around the address"
		case m.Selected:
			m.Why = fmt.Sprintf("category %s comes first of those selected, and %s is the longest prefix in it", m.Category, m.Prefix)
		case m.rank == len(selected):
			m.Why = fmt.Sprintf("category %s is not selected", m.Category)
		case winner == nil:
			m.Why = "the address resolves to no group"
		case m.rank != winner.rank:
			m.Why = fmt.Sprintf("category %s comes before %s", winner.Category, m.Category)
		case m.prefix.Bits() < winner.prefix.Bits():
			m.Why = fmt.Sprintf("%s of group %s is longer", winner.Prefix, winner.Group)
		default:
			m.Why = fmt.Sprintf("the prefix is as long, and the name %s comes first", winner.Group)
		}
		out = append(out, m.Membership)
	}
	return out, nil
}
