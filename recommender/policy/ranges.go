package policy

import (
	"net/netip"
	"slices"
)

// Span is a range of addresses of one family, both ends included.
type Span struct {
	Lo, Hi netip.Addr
	At     int // place of the owner of the range
}

// Spans lays prefixes out as disjoint ranges in order of address: At is the
// place of the longest prefix that holds the range. A prefix whose addresses
// are all in longer ones has none. The prefixes are in the order of
// netip.Prefix.Compare, each once.
func Spans(prefixes []netip.Prefix) []Span {
	var out []Span
	var around []Span // enclosing prefixes, outermost first; Lo is what is not yet laid out
	closeTop := func() {
		top := around[len(around)-1]
		around = around[:len(around)-1]
		if top.Lo.IsValid() && top.Lo.Compare(top.Hi) <= 0 {
			out = append(out, top)
		}
		if n := len(around); n > 0 {
			around[n-1].Lo = top.Hi.Next() // invalid after the last address of the family
		}
	}
	for i, p := range prefixes {
		s := Span{p.Addr(), lastAddr(p), i}
		for n := len(around); n > 0 && !within(s.Lo, around[n-1].Hi); n = len(around) {
			closeTop()
		}
		if n := len(around); n > 0 && around[n-1].Lo.Less(s.Lo) {
			out = append(out, Span{around[n-1].Lo, s.Lo.Prev(), around[n-1].At})
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

// joined merges ranges that overlap or touch, whatever they belong to.
func joined(s []Span) []Span {
	slices.SortFunc(s, func(a, b Span) int { return a.Lo.Compare(b.Lo) })
	var out []Span
	for _, x := range s {
		if n := len(out); n > 0 && x.Lo.BitLen() == out[n-1].Hi.BitLen() &&
			(x.Lo.Compare(out[n-1].Hi) <= 0 || out[n-1].Hi.Next() == x.Lo) {
			if out[n-1].Hi.Less(x.Hi) {
				out[n-1].Hi = x.Hi
			}
			continue
		}
		out = append(out, Span{Lo: x.Lo, Hi: x.Hi})
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
