package policy

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"cordon/categories"

	"github.com/gaissmai/bart"
)

// AroundWindow is how long before a window a flow may have begun that ends in it, at the most that matters here: a change of
// groups before that is none of the window.
const AroundWindow = 25 * time.Hour

// InTime gives literals their meaning where addresses change their owner about a window. Its Addresses are those of one moment,
// which hold for every address that does not change. The moment also decides whether a group stands for several whole ones, and so how a rule
// reads its name. It is read-only and safe for concurrent use.
type InTime struct {
	*Addresses
	at      time.Time
	changes *categories.Changes // nil where no address changes
	members sync.Map            // group -> *bart.Table[[]categories.Times], made when first asked for
}

// Tenure is a time in which nothing about an address changes.
type Tenure struct {
	categories.Times
	// Unknown says that the owner changed somewhere within: the address is taken as one in no group.
	Unknown bool
	group   int // place in Resolver.Groups, or -1
}

// NewInTime prepares the literals of a groups file, which may have times, for the window [since, until); the zero time leaves a side open. At is the
// moment of the Addresses, and of the owner whom a proposal's rule means that names an address. It fails as NewAddresses does.
func NewInTime(f *categories.File, selected []string, since, until, at time.Time) (*InTime, error) {
	if !since.IsZero() {
		since = since.Add(-AroundWindow)
	}
	x := &InTime{at: at}
	var err error
	if x.Addresses, err = NewAddresses(f.AtIn(at, since), selected); err != nil {
		return nil, err
	}
	x.changes, err = categories.NewChanges(f, selected, since, until)
	return x, err
}

// Changing gives the prefixes of which addresses begin or cease to be in a group of any category about the window, in order.
func (x *InTime) Changing() []netip.Prefix {
	if x.changes == nil {
		return nil
	}
	return x.changes.Prefixes
}

// Dividing gives the prefixes that tell the addresses of Changing apart at some time.
func (x *InTime) Dividing() []netip.Prefix {
	if x.changes == nil {
		return nil
	}
	return x.changes.Dividing
}

// Moments gives the moments at which an address begins or ceases to be in a group, in no order.
func (x *InTime) Moments(addr netip.Addr) []time.Time {
	if x.changes == nil {
		return nil
	}
	return x.changes.Moments(addr)
}

// During gives what an address was in a time in which nothing about it changes.
func (x *InTime) During(addr netip.Addr, times categories.Times) Tenure {
	return Tenure{Times: times, group: x.changes.Line.LookupDuring(addr, times)}
}

// Former reports whether an address is in no group in a tenure that is not the one of the moment.
func (x *InTime) Former(t Tenure) bool { return !t.Unknown && t.group < 0 && !t.Holds(x.at) }

// Nobody is the tenure of an address of which nobody knows the owner.
func Nobody() Tenure { return Tenure{Unknown: true, group: -1} }

// At gives what an address was from one moment to another: Unknown where it changed its owner in between. It reports false where the address never does
// about the window.
func (x *InTime) At(addr netip.Addr, first, last time.Time) (Tenure, bool) {
	times := categories.Slices(x.Moments(addr))
	if x.changes == nil || len(times) == 1 {
		return Tenure{}, false
	}
	var out Tenure
	found := false
	for _, slice := range times {
		if !slice.Overlaps(first, last.Add(time.Microsecond)) {
			continue
		}
		t := x.During(addr, slice)
		if found && (t.group != out.group || x.Former(t) != x.Former(out)) {
			return Nobody(), true
		}
		if !found || t.Holds(x.at) {
			out = t
		}
		found = true
	}
	return out, found
}

// LabelAt gives the label of the group of an address at a moment; empty for none.
func (x *InTime) LabelAt(addr netip.Addr, at time.Time) string {
	return x.LabelDuring(addr, categories.Times{From: at, Until: at.Add(time.Microsecond)})
}

// LabelDuring gives the label of the group of an address in a time in which nothing about it changes; empty for none.
func (x *InTime) LabelDuring(addr netip.Addr, times categories.Times) string {
	group := x.resolver.LookupIndex(addr)
	if x.changes != nil {
		group = x.changes.Line.LookupDuring(addr, times)
	}
	if group < 0 {
		return ""
	}
	return x.resolver.Label(x.resolver.Groups()[group])
}

// HoldsAny reports whether one of the literals, as a statement of a kind reads them, holds an address of Changing in a tenure. A group that the file does not have holds
// none. A denial of a group holds whoever was ever in it. An address in a rule of a proposal is the owner of the moment.
func (x *InTime) HoldsAny(literals []Endpoint, as Reading, addr netip.Addr, t Tenure) bool {
	return slices.ContainsFunc(literals, func(e Endpoint) bool { return x.holds(e, as, addr, t) })
}

func (x *InTime) holds(e Endpoint, as Reading, addr netip.Addr, t Tenure) bool {
	m, err := x.MeaningAs(e, as)
	switch {
	case err != nil:
		return false
	case m.Any:
		return true
	case !e.IsGroup():
		return e.Prefix.Contains(addr) && (as != Proposed || !t.Unknown && t.Holds(x.at))
	case as == Denying:
		return x.whole(e.Group, true).Contains(addr)
	case t.Unknown:
		return false
	case m.Internet:
		return t.group < 0 && categories.KindOf(addr) == categories.Public
	case m.Group >= 0:
		return t.group == m.Group
	case m.Ungrouped && t.group >= 0:
		return x.resolver.Groups()[t.group] == x.Ref(e.Group) // No address is in it at the moment.
	}
	return x.declared(x.Ref(e.Group), addr, t.Times)
}

// declared reports whether the file puts an address into a group in a time in which nothing about it changes.
func (x *InTime) declared(ref categories.Ref, addr netip.Addr, times categories.Times) bool {
	known, ok := x.members.Load(ref)
	if !ok {
		t := new(bart.Table[[]categories.Times])
		if g := x.changes.Group(ref); g != nil {
			for k, p := range g.Prefixes {
				of, _ := t.Get(p)
				t.Insert(p, append(of, g.TimesOf(k)))
			}
		}
		known, _ = x.members.LoadOrStore(ref, t)
	}
	for _, of := range known.(*bart.Table[[]categories.Times]).Supernets(netip.PrefixFrom(addr, addr.BitLen())) {
		if slices.ContainsFunc(of, func(o categories.Times) bool { return o.Overlaps(times.From, times.Until) }) {
			return true
		}
	}
	return false
}

// NamesGroup reports whether a rule names a group, on either side.
func (r *StatementRule) NamesGroup() bool {
	group := func(e Endpoint) bool { return e.IsGroup() }
	return slices.ContainsFunc(r.Sources, group) || slices.ContainsFunc(r.Destinations, group) ||
		slices.ContainsFunc(r.Except.Sources, group) || slices.ContainsFunc(r.Except.Destinations, group)
}
