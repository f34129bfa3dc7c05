package policy

import (
	"cmp"
	"net/netip"
	"slices"
)

// Merger writes several groups as one bigger group where its addresses are
// exactly theirs.
type Merger struct{ bigger []union }

// union is a group that no address resolves to, since others, its members,
// take exactly its addresses.
type union struct {
	label   string
	members []string // sorted labels
}

// NewMerger finds the bigger groups among the selected categories. What
// makes one: no address resolves to the group itself, and everything that
// its prefixes hold resolves to groups which hold nothing else.
func NewMerger(a *Addresses) *Merger {
	groups := a.resolver.Groups()
	held := make([][]Span, len(groups))
	for _, s := range a.spans {
		held[s.At] = append(held[s.At], s)
	}
	m := new(Merger)
	for i, g := range groups {
		if len(held[i]) > 0 {
			continue
		}
		var want []Span
		for _, p := range a.prefixes[g] {
			want = append(want, Span{Lo: p.Addr(), Hi: lastAddr(p)})
		}
		want = joined(want)
		members := map[int]bool{}
		for _, w := range want {
			at, _ := slices.BinarySearchFunc(a.spans, w.Lo, func(s Span, lo netip.Addr) int { return s.Hi.Compare(lo) })
			for ; at < len(a.spans) && a.spans[at].Lo.Compare(w.Hi) <= 0; at++ {
				members[a.spans[at].At] = true
			}
		}
		if len(members) < 2 {
			continue
		}
		u := union{label: a.resolver.Label(g)}
		var have []Span
		for member := range members {
			have = append(have, held[member]...)
			u.members = append(u.members, a.resolver.Label(groups[member]))
		}
		if slices.Equal(joined(have), want) {
			slices.Sort(u.members)
			m.bigger = append(m.bigger, u)
		}
	}
	// Larger first, so that fewer are needed; then by label, for a stable choice.
	slices.SortFunc(m.bigger, func(a, b union) int {
		return cmp.Or(cmp.Compare(len(b.members), len(a.members)), cmp.Compare(a.label, b.label))
	})
	return m
}

// Merge replaces groups of a set by bigger ones where that makes it smaller.
// The set is sorted before and after.
func (m *Merger) Merge(set []Endpoint) []Endpoint {
	if m == nil || len(m.bigger) == 0 || len(set) < 2 {
		return set
	}
	open := make(map[string]bool, len(set)) // group labels, true until replaced
	for _, e := range set {
		if e.IsGroup() {
			open[e.Group] = true
		}
	}
	var out []Endpoint
	for _, u := range m.bigger {
		gain := 0
		for _, label := range u.members {
			still, in := open[label]
			if !in {
				gain = -1
				break
			}
			if still {
				gain++
			}
		}
		if gain < 2 {
			continue
		}
		for _, label := range u.members {
			open[label] = false
		}
		out = append(out, GroupEndpoint(u.label))
	}
	if out == nil {
		return set
	}
	for _, e := range set {
		if !e.IsGroup() || open[e.Group] {
			out = append(out, e)
		}
	}
	return sorted(out, Endpoint.Compare)
}
