package simulate

import (
	"net/netip"
	"slices"
	"time"

	"cordon/categories"
	"cordon/recommender/policy"
)

// track is a range of addresses that change their owner, all at the same moments.
type track struct {
	first   netip.Addr
	tenures []tenure // They follow one another and cover all time.
	nobody  uint32   // the class in an hour of which nobody knows the owner
}

// tenure is a time in which the addresses of a track are of one class.
type tenure struct {
	categories.Times
	class uint32
}

// follow finds the tenures of the addresses that change their owner by some of the groups files.
func (c *classes) follow(g *registry, files []*policy.InTime) {
	var changing, dividing []netip.Prefix
	for _, f := range files {
		changing, dividing = append(changing, f.Changing()...), append(dividing, f.Dividing()...)
	}
	if len(changing) == 0 {
		return
	}
	for _, m := range g.meanings {
		if m == nil {
			continue
		}
		for _, e := range slices.Concat(m.in, m.out) {
			if e.Prefix.IsValid() {
				dividing = append(dividing, e.Prefix)
			}
		}
	}
	cuts := c.cuts(dividing)
	var marks []mark
	for _, area := range policy.NewAddressSet(changing) {
		for at := area.Lo; at.IsValid() && at.Compare(area.Hi) <= 0; {
			i, found := slices.BinarySearchFunc(cuts, at, netip.Addr.Compare)
			if found {
				i++
			}
			next := area.Hi.Next() // invalid after the last address of the family
			if i < len(cuts) && cuts[i].BitLen() == at.BitLen() && cuts[i].Compare(area.Hi) <= 0 {
				next = cuts[i]
			}
			if c.track(g, files, at) {
				marks = append(marks, mark{at, next})
			}
			at = next
		}
	}
	c.mark(marks)
}

// cuts are the addresses at which another class or another prefix may begin, in order.
func (c *classes) cuts(dividing []netip.Prefix) (out []netip.Addr) {
	for _, r := range c.ranges {
		out = append(out, r.first)
	}
	for _, x := range dividing {
		for _, s := range policy.NewAddressSet([]netip.Prefix{x}) {
			out = append(out, s.Lo)
			if next := s.Hi.Next(); next.IsValid() {
				out = append(out, next)
			}
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

// track follows the addresses from one on before the next cut. It reports whether they have a track: where they are of one class at all times they
// have none.
func (c *classes) track(g *registry, files []*policy.InTime, first netip.Addr) bool {
	var moments []time.Time
	for _, f := range files {
		moments = append(moments, f.Moments(first)...)
	}
	always := c.list[c.at(first)].sets
	t := track{first: first, nobody: c.of(g, first, always, func(*policy.InTime) policy.Tenure { return policy.Nobody() })}
	for _, times := range categories.Slices(moments) {
		known := map[*policy.InTime]policy.Tenure{}
		class := c.of(g, first, always, func(f *policy.InTime) policy.Tenure {
			was, ok := known[f]
			if !ok {
				was = f.During(first, times)
				known[f] = was
			}
			return was
		})
		if n := len(t.tenures); n > 0 && t.tenures[n-1].class == class {
			t.tenures[n-1].Until = times.Until
			continue
		}
		t.tenures = append(t.tenures, tenure{times, class})
	}
	if len(t.tenures) < 2 {
		return false
	}
	c.tracks = append(c.tracks, t)
	return true
}

// of gives the class of an address in a tenure, which is asked for by groups file. Always are the sets that hold it where it does not change.
func (c *classes) of(g *registry, addr netip.Addr, always bits, in func(*policy.InTime) policy.Tenure) uint32 {
	sets := slices.Clone(always)
	for i, m := range g.meanings {
		switch {
		case m == nil:
		case m.holds(addr, in(m.intime)):
			sets.set(i)
		default:
			sets.clear(i)
		}
	}
	return c.number(addr.Is6(), sets)
}

// at gives the class of an address at the moment of the sets.
func (c *classes) at(addr netip.Addr) uint32 {
	i, found := slices.BinarySearchFunc(c.ranges, addr, func(r addressRange, a netip.Addr) int { return r.first.Compare(a) })
	if !found {
		i--
	}
	return c.ranges[i].class
}

// mark is the addresses of a track: those from one before another, which is invalid after the last one of the family.
type mark struct{ first, next netip.Addr }

// mark divides the ranges, so that those with a track are ranges of their own. Marks are in order, one for each track, and each within one range.
func (c *classes) mark(marks []mark) {
	var out []addressRange
	number := uint32(0)
	for i, r := range c.ranges {
		end := netip.Addr{}
		if i+1 < len(c.ranges) && c.ranges[i+1].first.BitLen() == r.first.BitLen() {
			end = c.ranges[i+1].first
		}
		at := r.first
		for int(number) < len(marks) && marks[number].first.BitLen() == at.BitLen() && (!end.IsValid() || marks[number].first.Less(end)) {
			m := marks[number]
			number++
			if at.Less(m.first) {
				out = append(out, addressRange{first: at, class: r.class})
			}
			out = append(out, addressRange{m.first, r.class, number})
			if at = m.next; !at.IsValid() {
				break
			}
		}
		if at.IsValid() && (!end.IsValid() || at.Less(end)) {
			out = append(out, addressRange{first: at, class: r.class})
		}
	}
	c.ranges = out
}

// changed gives the addresses with a track, as the fewest prefixes.
func (c *classes) changed() []netip.Prefix {
	var out policy.AddressSet
	for i, r := range c.ranges {
		if r.track == 0 {
			continue
		}
		last := netip.MustParseAddr("255.255.255.255")
		if r.first.Is6() {
			last = netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
		}
		if i+1 < len(c.ranges) && c.ranges[i+1].first.BitLen() == r.first.BitLen() {
			last = c.ranges[i+1].first.Prev()
		}
		out = append(out, policy.Span{Lo: r.first, Hi: last})
	}
	return categories.Aggregate(out.Prefixes())
}
