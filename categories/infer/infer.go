package infer

import (
	"cmp"
	"net/netip"
	"slices"

	"cordon/categories"
)

// Settings say how to group, and what to keep.
type Settings struct {
	// Names are names of services, for the names of groups; nil has the well-known ones.
	Names *categories.ServiceNames
	// Within gives the group that hosts must not leave; "" is a group like any other. Nil has all hosts in one.
	Within func(netip.Addr) string
	// Previous are the groups of an earlier run; nil for none.
	Previous *Previous
}

// WeakBits is how much better its group must be for a host than the next one, in bits, for its place not to be weak.
const WeakBits = 3

// Grouping is what Infer proposes.
type Grouping struct {
	Groups  []Group  `json:"groups"`  // sorted by name
	Changes []Change `json:"changes"` // against Settings.Previous
	// Missing counts the hosts of Settings.Previous that have no activity now, and so no group.
	Missing int `json:"missing"`
}

// Group is a set of hosts that do the same.
type Group struct {
	ID      string   `json:"id"` // no other group has it, now or later
	Name    string   `json:"name"`
	Within  string   `json:"within,omitempty"` // see Settings.Within
	Reasons []Reason `json:"reasons"`          // features that tell the group from all hosts
	Members []Member `json:"members"`          // sorted by address
}

// Member is a host of a group.
type Member struct {
	Host netip.Addr `json:"address"`
	// Bits is how much cheaper the host is to describe here than in the next best group or in a group of its own.
	Bits     float64  `json:"bits"`
	Weak     bool     `json:"weak"`
	RunnerUp string   `json:"runnerUp,omitempty"` // name of the next best group; empty for a group of its own
	Reasons  []Reason `json:"reasons"`            // features of the host that say most for the group

	runner *draft
}

// Reason is a feature, and the share of members of a group that have it.
type Reason struct {
	Feature Feature `json:"-"`
	Text    string  `json:"text"` // the feature in words
	Share   float64 `json:"share"`
}

// draft is a group in the making.
type draft struct {
	Group
	of       *corpus
	features []feature // the most telling first
	previous int       // place in Previous.Groups of the group that it goes on, or -1
}

// Infer groups the hosts of some activities.
func Infer(activities []Activity, s Settings) *Grouping {
	parts := map[string][]Activity{}
	for _, a := range activities {
		within := ""
		if s.Within != nil {
			within = s.Within(a.Host)
		}
		parts[within] = append(parts[within], a)
	}
	names := make([]string, 0, len(parts))
	for name := range parts {
		names = append(names, name)
	}
	slices.Sort(names)
	var all []*draft
	for _, name := range names {
		p := group(newCorpus(parts[name], s.Names))
		all = append(all, p.drafts(name)...)
	}
	out := &Grouping{}
	out.settle(all, s)
	for _, d := range all {
		out.Groups = append(out.Groups, d.Group)
	}
	slices.SortFunc(out.Groups, func(a, b Group) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// group finds the grouping of least cost that the search comes to.
func group(c *corpus) *partition {
	p := newPartition(c, c.atoms())
	p.fill()
	p.improve()
	p.reset(p.clusters())
	return p
}
