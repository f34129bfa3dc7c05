package simulate

import (
	"fmt"
	"net/netip"
	"slices"

	"cordon/recommender/policy"
)

// meaning is what literals of a rule mean for addresses that change their owner: those of in without those of out.
type meaning struct {
	intime  *policy.InTime
	as      policy.Reading
	in, out []policy.Endpoint
	nobody  func(*policy.InTime, policy.Tenure) bool // set where the literals do not matter
}

func (m *meaning) holds(a netip.Addr, t policy.Tenure) bool {
	if m.nobody != nil {
		return m.nobody(m.intime, t)
	}
	return m.intime.HoldsAny(m.in, m.as, a, t) && !m.intime.HoldsAny(m.out, m.as, a, t)
}

func (m *meaning) appendTo(key []byte) []byte {
	key = fmt.Appendf(key, "%p %d", m.intime, m.as)
	for _, list := range [][]policy.Endpoint{m.in, m.out} {
		key = append(key, 0)
		for _, e := range list {
			key = append(append(key, e.String()...), ' ')
		}
	}
	return key
}

// registry numbers sets of addresses, each once. A set may have another meaning for addresses that change their owner.
type registry struct {
	sets     []policy.AddressSet
	meanings []*meaning // one for each set; nil where it holds the same addresses at all times
	place    map[string]int
}

func newRegistry() *registry { return &registry{place: map[string]int{}} }

// add gives the place of a set. The meaning may be nil.
func (g *registry) add(s policy.AddressSet, m *meaning) int {
	var key []byte
	for _, x := range s {
		lo, hi := x.Lo.As16(), x.Hi.As16()
		key = append(key, byte(x.Lo.BitLen()))
		key = append(append(key, lo[:]...), hi[:]...)
	}
	if m != nil {
		key = m.appendTo(key)
	}
	at, ok := g.place[string(key)]
	if !ok {
		at = len(g.sets)
		g.place[string(key)] = at
		g.sets, g.meanings = append(g.sets, s), append(g.meanings, m)
	}
	return at
}

// addNobody adds a set without addresses, but for those that change their owner in tenures without one that a function selects.
func (g *registry) addNobody(f *policy.InTime, selects func(*policy.InTime, policy.Tenure) bool) {
	g.sets, g.meanings = append(g.sets, nil), append(g.meanings, &meaning{intime: f, nobody: selects})
}

// bits is a set of small numbers.
type bits []uint64

func newBits(n int) bits      { return make(bits, (n+63)/64) }
func (b bits) set(i int)      { b[i/64] |= 1 << (i % 64) }
func (b bits) clear(i int)    { b[i/64] &^= 1 << (i % 64) }
func (b bits) has(i int) bool { return b[i/64]>>(i%64)&1 == 1 }
func (b bits) appendTo(key []byte) []byte {
	for _, w := range b {
		key = append(key, byte(w), byte(w>>8), byte(w>>16), byte(w>>24), byte(w>>32), byte(w>>40), byte(w>>48), byte(w>>56))
	}
	return key
}

// class is addresses of one family that are in the same sets.
type class struct {
	ipv6 bool
	sets bits // the places in the registry of the sets that hold it
}

// classes divides all addresses of both families.
type classes struct {
	list   []class
	ranges []addressRange // sorted; a range ends before the next one of its family
	tracks []track        // the addresses that change their owner
	ids    map[string]uint32
}

// addressRange begins at an address.
type addressRange struct {
	first netip.Addr
	class uint32
	track uint32 // number of the track, its place plus one; 0 for addresses that do not change their owner
}

// divide gives the classes that sets make.
func divide(g *registry) *classes {
	c := &classes{ids: map[string]uint32{}}
	for _, zero := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		ipv6 := zero.Is6()
		active := newBits(len(g.sets))
		emit := func(first netip.Addr) {
			id := c.number(ipv6, active)
			if n := len(c.ranges); n > 0 && c.ranges[n-1].class == id {
				return // classes of the families differ
			}
			c.ranges = append(c.ranges, addressRange{first: first, class: id})
		}
		at := zero
		for _, e := range g.events(ipv6) {
			if at != e.at {
				emit(at)
				at = e.at
			}
			if e.ends {
				active.clear(e.set)
			} else {
				active.set(e.set)
			}
		}
		emit(at)
	}
	return c
}

// number gives the id of the class of the addresses of a family that are in the same sets.
func (c *classes) number(ipv6 bool, sets bits) uint32 {
	family := byte(32)
	if ipv6 {
		family = 128
	}
	key := string(sets.appendTo([]byte{family}))
	id, ok := c.ids[key]
	if !ok {
		id = uint32(len(c.list))
		c.ids[key] = id
		c.list = append(c.list, class{ipv6, slices.Clone(sets)})
	}
	return id
}

// event is where a set begins, or no longer is.
type event struct {
	at   netip.Addr
	set  int
	ends bool
}

// mapped is where addresses of IPv4 are among those of IPv6: no rule about IPv6 means them.
var mapped = netip.MustParsePrefix("::ffff:0:0/96")

// events are those of a family, in order of address. Those among mapped addresses come after these.
func (g *registry) events(ipv6 bool) (out []event) {
	place := func(a netip.Addr) netip.Addr {
		if ipv6 && mapped.Contains(a) {
			return netip.MustParseAddr("::1:0:0:0")
		}
		return a
	}
	for i, s := range g.sets {
		for _, x := range s.Of(ipv6) {
			lo, next := place(x.Lo), x.Hi.Next() // invalid after the last address of the family
			if next.IsValid() {
				next = place(next)
			}
			if lo == next {
				continue
			}
			out = append(out, event{lo, i, false})
			if next.IsValid() {
				out = append(out, event{next, i, true})
			}
		}
	}
	// A set that ends where another range of it begins is on behind the two: its end comes first.
	slices.SortStableFunc(out, func(a, b event) int {
		if c := a.at.Compare(b.at); c != 0 {
			return c
		}
		switch {
		case a.ends == b.ends:
			return 0
		case a.ends:
			return -1
		}
		return 1
	})
	return out
}
