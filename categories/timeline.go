package categories

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/gaissmai/bart"
)

// Timeline finds the group of an address at a moment, under selected categories and by the same rules as Resolver: of the
// prefixes that belong to a group then, the first category wins, inside it the longest prefix, then the group's name. A
// place in Resolver.Groups, of any file that At gives, means the same group here. It is read-only and safe for concurrent use.
type Timeline struct {
	table bart.Table[[]owner]
	s     *selection
}

// owner is a group that has a prefix for a time.
type owner struct {
	group int32
	times Times
}

// NewTimeline prepares the selected categories; none selected means all in file order. It fails for a category that
// the file does not have.
func NewTimeline(f *File, selected []string) (*Timeline, error) {
	s, err := selectMembers(f, selected)
	if err != nil {
		return nil, err
	}
	t := &Timeline{s: s}
	for _, e := range s.entries {
		owners, _ := t.table.Get(e.prefix)
		t.table.Insert(e.prefix, append(owners, owner{e.group, e.times}))
	}
	return t, nil
}

// LookupIndex gives the place in Groups of the group that an address belonged to at a moment, or -1 for none.
func (t *Timeline) LookupIndex(addr netip.Addr, at time.Time) int {
	return t.lookUp(addr, func(times Times) bool { return times.Holds(at) })
}

// LookupDuring is LookupIndex for a time in which no owner of the address changes, see Tenures.
func (t *Timeline) LookupDuring(addr netip.Addr, times Times) int {
	return t.lookUp(addr, func(o Times) bool { return o.Overlaps(times.From, times.Until) })
}

// NamesLocal reports whether, in a time in which no owner of a Local address changes, a selected group names the address by a
// prefix inside its special-purpose range.
func (t *Timeline) NamesLocal(addr netip.Addr, times Times) bool {
	addr = addr.Unmap().WithZone("")
	for p, owners := range t.table.Supernets(netip.PrefixFrom(addr, addr.BitLen())) {
		if insideLocal(p) && slices.ContainsFunc(owners, func(o owner) bool { return o.times.Overlaps(times.From, times.Until) }) {
			return true
		}
	}
	return false
}

func (t *Timeline) lookUp(addr netip.Addr, holds func(Times) bool) int {
	addr = addr.Unmap().WithZone("")
	best, bits := -1, 0
	for p, owners := range t.table.Supernets(netip.PrefixFrom(addr, addr.BitLen())) {
		for _, o := range owners {
			g := int(o.group)
			if !holds(o.times) {
				continue
			}
			if best < 0 || cmp.Or(cmp.Compare(t.s.category[g], t.s.category[best]), cmp.Compare(bits, p.Bits()), cmp.Compare(g, best)) < 0 {
				best, bits = g, p.Bits()
			}
		}
	}
	return best
}

// Groups returns the groups of the selected categories: categories in the order
// selected, groups by name. It must not be changed.
func (t *Timeline) Groups() []Ref { return t.s.groups }

// Tenure is a time in which an address belonged to one group, or to none (-1).
type Tenure struct {
	Times
	Group int // place in Groups
}

// Tenures gives the owners of an address one after another, for all of time: the first begins, and the last ends, with an
// open side. Neighbours differ. An address that never changed has one.
func (t *Timeline) Tenures(addr netip.Addr) []Tenure {
	var out []Tenure
	for _, times := range Slices(t.changes(addr)) {
		g := t.LookupDuring(addr, times)
		if n := len(out); n > 0 && out[n-1].Group == g {
			out[n-1].Until = times.Until
			continue
		}
		out = append(out, Tenure{times, g})
	}
	return out
}

// changes gives the moments at which a prefix around an address begins or ceases to belong to a group.
func (t *Timeline) changes(addr netip.Addr) (out []time.Time) {
	addr = addr.Unmap().WithZone("")
	for _, owners := range t.table.Supernets(netip.PrefixFrom(addr, addr.BitLen())) {
		for _, o := range owners {
			out = append(out, o.times.From, o.times.Until)
		}
	}
	return out
}

// Slices cuts all of time at moments, in any order. The zero time is no moment.
func Slices(at []time.Time) []Times {
	at = slices.DeleteFunc(at, time.Time.IsZero)
	slices.SortFunc(at, time.Time.Compare)
	at = slices.CompactFunc(at, time.Time.Equal)
	out := make([]Times, len(at)+1)
	for i, t := range at {
		out[i].Until, out[i+1].From = t, t
	}
	return out
}

// Changing gives the prefixes of the file, of any category and each once, that begin or cease to belong to a group within
// the window (since, until), in order. A zero time leaves that side open.
func (f *File) Changing(since, until time.Time) []netip.Prefix {
	inside := func(t time.Time) bool {
		return !t.IsZero() && t.After(since) && (until.IsZero() || t.Before(until))
	}
	var out []netip.Prefix
	if !f.Timed() {
		return nil
	}
	for i := range f.Categories {
		for j := range f.Categories[i].Groups {
			g := &f.Categories[i].Groups[j]
			for k, t := range g.times {
				if inside(t.From) || inside(t.Until) {
					out = append(out, g.Prefixes[k])
				}
			}
		}
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out)
}
