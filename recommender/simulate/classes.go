package simulate

import (
	"net/netip"
	"slices"
	"strings"

	"cordon/recommender/policy"
)

// registry numbers sets of addresses, each once.
type registry struct {
	sets  []policy.AddressSet
	place map[string]int
}

func newRegistry() *registry { return &registry{place: map[string]int{}} }

func (g *registry) add(s policy.AddressSet) int {
	var key strings.Builder
	for _, x := range s {
		lo, hi := x.Lo.As16(), x.Hi.As16()
		key.WriteByte(byte(x.Lo.BitLen()))
		key.Write(lo[:])
		key.Write(hi[:])
	}
	at, ok := g.place[key.String()]
	if !ok {
		at = len(g.sets)
		g.place[key.String()] = at
		g.sets = append(g.sets, s)
	}
	return at
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
}

// addressRange begins at an address.
type addressRange struct {
	first netip.Addr
	class uint32
}

// divide gives the classes that sets make.
func divide(g *registry) *classes {
	c := new(classes)
	ids := map[string]uint32{}
	for _, zero := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		ipv6 := zero.Is6()
		active := newBits(len(g.sets))
		emit := func(first netip.Addr) {
			key := string(active.appendTo([]byte{byte(zero.BitLen())}))
			id, ok := ids[key]
			if !ok {
				id = uint32(len(c.list))
				ids[key] = id
				c.list = append(c.list, class{ipv6, slices.Clone(active)})
			}
			if n := len(c.ranges); n > 0 && c.ranges[n-1].class == id {
				return // classes of the families differ
			}
			c.ranges = append(c.ranges, addressRange{first, id})
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
