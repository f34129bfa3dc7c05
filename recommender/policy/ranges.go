package policy

import (
	"net/netip"
	"slices"

	"cordon/categories"
)

// span is a range of addresses of one family, both ends included, and the
// place of the group that it resolves to.
type span struct {
	lo, hi netip.Addr
	group  int
}

// spans lays a flattened groups file out as disjoint ranges in order of
// address. group gives a group's place.
func spans(flat []categories.Assignment, group func(categories.Ref) int) []span {
	var out []span
	var around []span // enclosing prefixes, outermost first; lo is what is not yet laid out
	closeTop := func() {
		top := around[len(around)-1]
		around = around[:len(around)-1]
		if top.lo.IsValid() && top.lo.Compare(top.hi) <= 0 {
			out = append(out, top)
		}
		if n := len(around); n > 0 {
			around[n-1].lo = top.hi.Next() // invalid after the last address of the family
		}
	}
	for _, as := range flat {
		s := span{as.Prefix.Addr(), lastAddr(as.Prefix), group(as.Group)}
		for n := len(around); n > 0 && !within(s.lo, around[n-1].hi); n = len(around) {
			closeTop()
		}
		if n := len(around); n > 0 && around[n-1].lo.Less(s.lo) {
			out = append(out, span{around[n-1].lo, s.lo.Prev(), around[n-1].group})
		}
		around = append(around, s)
	}
	for len(around) > 0 {
		closeTop()
	}
	return out
}

// within reports whether a, which is not below the range, is in a range that ends at hi.
func within(a, hi netip.Addr) bool { return a.BitLen() == hi.BitLen() && a.Compare(hi) <= 0 }

// joined merges ranges that overlap or touch, whatever their groups.
func joined(s []span) []span {
	slices.SortFunc(s, func(a, b span) int { return a.lo.Compare(b.lo) })
	var out []span
	for _, x := range s {
		if n := len(out); n > 0 && x.lo.BitLen() == out[n-1].hi.BitLen() &&
			(x.lo.Compare(out[n-1].hi) <= 0 || out[n-1].hi.Next() == x.lo) {
			if out[n-1].hi.Less(x.hi) {
				out[n-1].hi = x.hi
			}
			continue
		}
		out = append(out, span{lo: x.lo, hi: x.hi})
	}
	return out
}

// lastAddr returns the highest address of a prefix.
func lastAddr(p netip.Prefix) netip.Addr {
	a := p.Addr().AsSlice()
	for i := p.Bits(); i < len(a)*8; i++ {
		a[i/8] |= 0x80 >> (i % 8)
	}
	addr, _ := netip.AddrFromSlice(a)
	return addr
}
