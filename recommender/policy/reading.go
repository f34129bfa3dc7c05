package policy

import (
	"net/netip"

	"cordon/categories"

	"github.com/gaissmai/bart"
)

// Reading says what kind of statement names a group, and so which of the group's
// addresses the statement means. Groups overlap: an address of the group may
// resolve to another group, since that one is of a category which is selected
// earlier, or has a longer prefix. A denial means such addresses too, and an
// allow does not, so that each errs on the side where nothing is opened.
type Reading uint8

// The readings. Literals other than groups mean the same in all of them.
const (
	// Proposed is a rule of a proposal: see Addresses.
	Proposed Reading = iota
	// Allowing is a rule of a policy in force that allows. It means the addresses
	// that resolve to the group, and those that resolve to no group at all. Where a
	// proposal writes one group for several whole ones, it means those, see Merger.
	Allowing
	// Excepting is a rule of guardrails that allows, an exception to the denials
	// after it. It means the addresses that resolve to the group or to none.
	Excepting
	// Denying is a rule that denies, of guardrails or in force. It means every
	// address that the groups file puts into the group, also at another time of
	// the window or after it, and for the built-in group every public address.
	Denying
)

// ReadingOf gives the reading of a policy's rule, which is one of guardrails or one in force.
func ReadingOf(action Action, guardrail bool) Reading {
	switch {
	case action == Deny:
		return Denying
	case guardrail:
		return Excepting
	}
	return Allowing
}

// Meaning is what an endpoint literal stands for: every address, the built-in
// group internet, the addresses that resolve to one group, or prefixes.
type Meaning struct {
	Any       bool
	Internet  bool           // public addresses in no selected group
	Group     int            // place in Resolver.Groups, or -1
	Prefixes  []netip.Prefix // meant where none of the others holds
	Ungrouped bool           // means only addresses of the prefixes that are in no selected group
}

// Meaning resolves a literal of a proposal's rule. It fails as Check does.
func (a *Addresses) Meaning(e Endpoint) (Meaning, error) { return a.MeaningAs(e, Proposed) }

// MeaningAs resolves a literal of any statement. It fails as Check does.
func (a *Addresses) MeaningAs(e Endpoint, as Reading) (Meaning, error) {
	if err := a.Check(e); err != nil {
		return Meaning{}, err
	}
	m := Meaning{Group: -1}
	switch i, resolves := a.index[e.Group]; {
	case e.IsAny():
		m.Any = true
	case !e.IsGroup():
		m.Prefixes = []netip.Prefix{e.Prefix}
	case as == Denying:
		m.Prefixes = a.denied(a.refs[e.Group])
	case e.Group == a.internet:
		m.Internet = true
	case resolves:
		m.Group = i
	default:
		m.Prefixes = a.prefixes[a.refs[e.Group]]
		m.Ungrouped = as == Excepting || as == Allowing && !a.unions()[e.Group]
	}
	return m, nil
}

// Holds reports whether a literal, as a statement of a kind reads it, holds the
// address. A group that the file does not have holds none.
func (a *Addresses) Holds(e Endpoint, as Reading, addr netip.Addr) bool {
	m, err := a.MeaningAs(e, as)
	if err != nil {
		return false
	}
	addr = addr.Unmap()
	switch {
	case m.Any:
		return true
	case m.Internet:
		return a.resolver.LookupIndex(addr) < 0 && categories.KindOf(addr) == categories.Public
	case m.Group >= 0:
		return a.resolver.LookupIndex(addr) == m.Group
	case !e.IsGroup():
		return e.Prefix.Contains(addr)
	}
	return a.whole(e.Group, as == Denying).Contains(addr) && (!m.Ungrouped || a.resolver.LookupIndex(addr) < 0)
}

// denied gives the prefixes that a denial of a group means.
func (a *Addresses) denied(ref categories.Ref) []netip.Prefix {
	if ever, ok := a.ever[ref]; ok {
		return ever
	}
	return a.prefixes[ref]
}

// wholeGroup is a group with all its prefixes, or with all that a denial of it means.
type wholeGroup struct {
	label  string
	denied bool
}

// whole gives a table of the prefixes of a group of the file.
func (a *Addresses) whole(label string, denied bool) *bart.Lite {
	key := wholeGroup{label, denied}
	if t, ok := a.tables.Load(key); ok {
		return t.(*bart.Lite)
	}
	prefixes := a.prefixes[a.refs[label]]
	if denied {
		prefixes = a.denied(a.refs[label])
	}
	t := new(bart.Lite)
	for _, p := range prefixes {
		t.Insert(p)
	}
	made, _ := a.tables.LoadOrStore(key, t)
	return made.(*bart.Lite)
}
