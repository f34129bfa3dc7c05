package categories

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Assignment is one entry of a flattened file: the longest prefix that
// contains an address names the address's group.
type Assignment struct {
	Prefix netip.Prefix
	Group  Ref
}

// Flatten reduces the selected categories to one list in which the longest
// match is the answer of the public contract: the first selected category with a
// group that contains the address wins, inside it the longest prefix, then the
// group's name in byte order. No categories selected means all in file order.
//
// The list has no prefix twice and none whose enclosing entry gives the same
// group, and is in order of prefix (netip.Prefix.Compare). No IPv6 entry
// contains the IPv4-mapped range, because an ip_trie dictionary keeps IPv4 there:
// "::/0" comes as the pieces around it. The time is that of one sort.
func Flatten(f *File, selected []string) ([]Assignment, error) {
	s, err := selectGroups(f, selected)
	if err != nil {
		return nil, err
	}
	flat := s.flatten()
	out := make([]Assignment, len(flat))
	for i, e := range flat {
		out[i] = Assignment{e.prefix, s.groups[e.group]}
	}
	return out, nil
}

// selection is the groups of the selected categories in order of precedence:
// by category, then by name. An index into groups is a group's rank.
type selection struct {
	groups   []Ref
	category []int32 // place of each group's category among the selected ones
	entries  []entry // every prefix of every group
}

type entry struct {
	prefix netip.Prefix
	group  int32
	times  Times
}

// selectGroups fails for a category that the file does not have, or that is
// selected twice, and for a file with times or VRFs: which of them count is for the caller to say.
func selectGroups(f *File, selected []string) (*selection, error) {
	s, err := selectMembers(f, selected)
	if err == nil && f.Timed() {
		return nil, fmt.Errorf("BUG: the groups of %s are looked up without a time", f.Path)
	}
	return s, err
}

// selectMembers is selectGroups with the prefixes of all times.
func selectMembers(f *File, selected []string) (*selection, error) {
	if vrfs := f.VRFs(); len(vrfs) > 0 {
		return nil, fmt.Errorf("%s has groups of single VRFs (%s): name the VRF to look at", f.Path, strings.Join(vrfs[:min(len(vrfs), 5)], ", "))
	}
	names := f.CategoryNames()
	if len(selected) == 0 {
		selected = names
	}
	s := new(selection)
	for place, name := range selected {
		i := slices.Index(names, name)
		if i < 0 {
			return nil, fmt.Errorf("%s has no category %s%s", f.Path, quote(name), suggest(name, names))
		}
		if slices.Contains(selected[:place], name) {
			return nil, fmt.Errorf("category %s is selected twice: name it once", quote(name))
		}
		groups := make([]*Group, len(f.Categories[i].Groups))
		for j := range groups {
			groups[j] = &f.Categories[i].Groups[j]
		}
		slices.SortFunc(groups, func(a, b *Group) int { return cmp.Compare(a.Name, b.Name) })
		n := 0
		for _, g := range groups {
			n += len(g.Prefixes)
		}
		s.entries = slices.Grow(s.entries, n)
		for _, g := range groups {
			for i, p := range g.Prefixes {
				s.entries = append(s.entries, entry{p, int32(len(s.groups)), g.TimesOf(i)})
			}
			s.groups = append(s.groups, Ref{name, g.Name})
			s.category = append(s.category, int32(place))
		}
	}
	return s, nil
}

// CategoryNames returns the names of the file's categories in file order.
func (f *File) CategoryNames() []string {
	names := make([]string, len(f.Categories))
	for i := range f.Categories {
		names[i] = f.Categories[i].Name
	}
	return names
}

// Category returns the category of a name, or nil. A nil file has none.
func (f *File) Category(name string) *Category {
	if f == nil {
		return nil
	}
	for i := range f.Categories {
		if f.Categories[i].Name == name {
			return &f.Categories[i]
		}
	}
	return nil
}

// flatten sorts the entries, walks them from outside in, and keeps those that
// decide something. A prefix inside one of an earlier category decides nothing:
// every address in it belongs to that category. Because of that, the innermost
// kept prefix around an entry is also of the earliest category around it, and one
// look at the top of the stack is enough.
func (s *selection) flatten() []entry {
	slices.SortFunc(s.entries, func(a, b entry) int {
		return cmp.Or(a.prefix.Compare(b.prefix), cmp.Compare(a.group, b.group))
	})
	var kept, around []entry
	var previous netip.Prefix
	for _, e := range s.entries {
		if e.prefix == previous {
			continue // the first of the same prefix has precedence
		}
		previous = e.prefix
		for len(around) > 0 && !covers(around[len(around)-1].prefix, e.prefix) {
			around = around[:len(around)-1]
		}
		if len(around) > 0 {
			outer := around[len(around)-1]
			if outer.group == e.group || s.category[outer.group] < s.category[e.group] {
				continue
			}
		}
		kept = append(kept, e)
		around = append(around, e)
	}
	return withoutMapped(kept)
}

// withoutMapped replaces the entries that contain the IPv4-mapped range by
// prefixes around it, so that every IPv6 address finds the same group as before.
func withoutMapped(entries []entry) []entry {
	var chain []entry // outermost first, since the entries are sorted
	rest := entries[:0:0]
	for _, e := range entries {
		if e.prefix.Addr().Is6() && covers(e.prefix, mapped) {
			chain = append(chain, e)
		} else {
			rest = append(rest, e)
		}
	}
	if len(chain) == 0 {
		return entries
	}
	// Walk down to the mapped range. At each step the half that does not lead
	// there belongs to the innermost entry so far, unless an entry of its own
	// holds that very half.
	own := make(map[netip.Prefix]bool)
	for _, e := range rest {
		own[e.prefix] = true
	}
	for i, e := range chain {
		end := mapped.Bits()
		if i+1 < len(chain) {
			end = chain[i+1].prefix.Bits()
		}
		for bits := e.prefix.Bits(); bits < end; bits++ {
			at := netip.PrefixFrom(mapped.Addr(), bits).Masked()
			aside := half(at, 0)
			if covers(aside, mapped) {
				aside = half(at, 1)
			}
			if !own[aside] {
				rest = append(rest, entry{prefix: aside, group: e.group})
			}
		}
	}
	slices.SortFunc(rest, func(a, b entry) int { return a.prefix.Compare(b.prefix) })
	return rest
}
