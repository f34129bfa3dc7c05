package infer

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Previous are the groups of an earlier run.
type Previous struct {
	Groups []PreviousGroup
	// Of gives the place in Groups of the group that has an address, or -1.
	Of func(netip.Addr) int
}

// PreviousGroup is a group of an earlier run, as a person may have changed it since.
type PreviousGroup struct {
	ID      string // empty where somebody wrote the group
	Name    string
	Members []netip.Addr
}

// Kinds of Change.
const (
	Kept   = "kept"   // the group goes on
	New    = "new"    // no earlier group has half of its hosts
	Gone   = "gone"   // no group now has half of its hosts
	Split  = "split"  // the hosts of an earlier group are in several
	Merged = "merged" // the hosts of several earlier groups are in one
)

// Change is what became of a group since the earlier run.
type Change struct {
	Kind  string `json:"kind"`
	Group string `json:"group"` // a group of this run; for Gone and Split, one of the earlier run
	// Others are the groups of now that a Split one went to, or the earlier ones that came together in a Merged one.
	Others []string `json:"others,omitempty"`
}

const (
	sameGroup = 0.5 // the share of two groups' hosts that both have, from which one goes on as the other
	largePart = 0.2 // the share of a group's hosts from which a split or merge is told
)

// settle gives the groups their ids and names, and tells what changed.
func (out *Grouping) settle(all []*draft, s Settings) {
	taken := map[string]bool{}
	ids := map[string]bool{}
	var shared [][]int // hosts that each group of now has in common with each earlier one
	if s.Previous != nil {
		shared = out.match(all, s.Previous)
		for _, d := range all {
			if d.previous >= 0 {
				g := &s.Previous.Groups[d.previous]
				d.ID, d.Name = g.ID, g.Name
				taken[d.Name] = true
			}
		}
		for _, g := range s.Previous.Groups {
			ids[g.ID] = true
		}
	}
	parts := map[string]int{}
	for _, d := range all {
		parts[d.Within]++
	}
	// Larger groups choose first: the name of a service alone is that of its largest group.
	order := slices.Clone(all)
	slices.SortStableFunc(order, func(a, b *draft) int { return cmp.Compare(len(b.Members), len(a.Members)) })
	for _, d := range order {
		if d.Name == "" {
			d.Name = free(d.names(s, parts[d.Within] == 1), taken)
			taken[d.Name] = true
		}
		if d.ID == "" {
			d.ID = newID(d.Members, ids)
			ids[d.ID] = true
		}
	}
	for _, d := range all {
		for i := range d.Members {
			if r := d.Members[i].runner; r != nil {
				d.Members[i].RunnerUp = r.Name
			}
		}
	}
	if s.Previous != nil {
		out.tell(all, s.Previous, shared)
	}
}

// names gives the names that suit a group, best first. The only part of a given group keeps its name.
func (d *draft) names(s Settings, whole bool) []string {
	if d.Within == "" {
		return d.suggestions()
	}
	if whole {
		return []string{d.Within}
	}
	var out []string
	for _, n := range d.suggestions() {
		out = append(out, d.Within+"-"+n)
	}
	return out
}

// newID makes an id of the hosts with which a group begins. So it is the same for the same beginning, and no counter has to
// be kept for it never to be used again.
func newID(members []Member, taken map[string]bool) string {
	var text strings.Builder
	for i := range members {
		fmt.Fprintln(&text, members[i].Host)
	}
	for {
		sum := sha256.Sum256([]byte(text.String()))
		if id := hex.EncodeToString(sum[:5]); !taken[id] {
			return id
		}
		text.WriteByte('+')
	}
}

// match finds which groups go on which earlier ones: those with most hosts in common first, each once.
func (out *Grouping) match(all []*draft, before *Previous) (shared [][]int) {
	known := map[netip.Addr]bool{}
	sizes := make([]int, len(before.Groups)) // hosts that are still there
	shared = make([][]int, len(all))
	type pair struct {
		now, then int
		jaccard   float64
	}
	members := make([]int, len(all)) // those that were there before
	for i, d := range all {
		shared[i] = make([]int, len(before.Groups))
		for j := range d.Members {
			known[d.Members[j].Host] = true
			if at := before.Of(d.Members[j].Host); at >= 0 {
				shared[i][at]++
				sizes[at]++
				members[i]++
			}
		}
	}
	var pairs []pair
	for i := range all {
		for at, n := range shared[i] {
			if j := float64(n) / float64(members[i]+sizes[at]-n); n > 0 && j >= sameGroup {
				pairs = append(pairs, pair{i, at, j})
			}
		}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return cmp.Compare(b.jaccard, a.jaccard) })
	used := map[int]bool{}
	for _, x := range pairs {
		if all[x.now].previous < 0 && !used[x.then] {
			all[x.now].previous = x.then
			used[x.then] = true
		}
	}
	for _, g := range before.Groups {
		for _, m := range g.Members {
			if !known[m.Unmap()] {
				out.Missing++
			}
		}
	}
	return shared
}

// tell says what changed since the earlier run.
func (out *Grouping) tell(all []*draft, before *Previous, shared [][]int) {
	goesOn := map[int]bool{}
	add := func(kind, group string, others []string) {
		slices.Sort(others)
		out.Changes = append(out.Changes, Change{kind, group, others})
	}
	sizes := make([]int, len(before.Groups))
	for _, row := range shared {
		for at, n := range row {
			sizes[at] += n
		}
	}
	for i, d := range all {
		kind := New
		if d.previous >= 0 {
			kind = Kept
			goesOn[d.previous] = true
		}
		add(kind, d.Name, nil)
		var from []string
		for at, n := range shared[i] {
			if n > 0 && 2*n > sizes[at] && float64(n) >= largePart*float64(len(d.Members)) {
				from = append(from, before.Groups[at].Name)
			}
		}
		if len(from) > 1 {
			add(Merged, d.Name, from)
		}
	}
	for at, g := range before.Groups {
		var to []string
		for i, d := range all {
			if n := shared[i][at]; n > 0 && float64(n) >= largePart*float64(sizes[at]) {
				to = append(to, d.Name)
			}
		}
		if len(to) > 1 {
			add(Split, g.Name, to)
		}
		if !goesOn[at] {
			add(Gone, g.Name, nil)
		}
	}
	slices.SortStableFunc(out.Changes, func(a, b Change) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Group, b.Group))
	})
}
