package policy

import (
	"net/netip"
	"slices"

	"cordon/categories"
)

// AddressSet is a set of addresses as disjoint ranges that do not touch, IPv4
// before IPv6, in order. The field At of its spans has no meaning.
type AddressSet []Span

// NewAddressSet is the set of all addresses of the prefixes.
func NewAddressSet(prefixes []netip.Prefix) AddressSet {
	spans := make([]Span, len(prefixes))
	for i, p := range prefixes {
		spans[i] = Span{Lo: p.Addr(), Hi: lastAddr(p)}
	}
	return joined(spans)
}

var everyAddress = []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)}

// Contains reports whether an address is in the set.
func (s AddressSet) Contains(a netip.Addr) bool {
	i, found := slices.BinarySearchFunc(s, a, func(x Span, a netip.Addr) int { return x.Hi.Compare(a) })
	return found || i < len(s) && s[i].Lo.BitLen() == a.BitLen() && s[i].Lo.Compare(a) <= 0
}

// And gives what is in both sets.
func (s AddressSet) And(o AddressSet) (out AddressSet) {
	for i, j := 0, 0; i < len(s) && j < len(o); {
		lo, hi := s[i].Lo, s[i].Hi
		if lo.Less(o[j].Lo) {
			lo = o[j].Lo
		}
		if o[j].Hi.Less(hi) {
			hi = o[j].Hi
		}
		if lo.BitLen() == hi.BitLen() && lo.Compare(hi) <= 0 {
			out = append(out, Span{Lo: lo, Hi: hi})
		}
		if s[i].Hi.Less(o[j].Hi) {
			i++
		} else {
			j++
		}
	}
	return out
}

// Minus gives what is in the set and not in the other.
func (s AddressSet) Minus(o AddressSet) (out AddressSet) {
	j := 0
	for _, x := range s {
		for j < len(o) && o[j].Hi.Less(x.Lo) {
			j++
		}
		lo := x.Lo
		for k := j; lo.IsValid() && lo.Compare(x.Hi) <= 0; k++ {
			if k == len(o) || x.Hi.Less(o[k].Lo) {
				out = append(out, Span{Lo: lo, Hi: x.Hi})
				break
			}
			if lo.Less(o[k].Lo) {
				out = append(out, Span{Lo: lo, Hi: o[k].Lo.Prev()})
			}
			lo = o[k].Hi.Next() // invalid after the last address of the family, which ends x
		}
	}
	return out
}

// Union gives what is in one of the sets.
func Union(sets ...AddressSet) AddressSet { return joined(slices.Concat(sets...)) }

// Equal reports whether both sets hold the same addresses.
func (s AddressSet) Equal(o AddressSet) bool {
	return slices.EqualFunc(s, o, func(a, b Span) bool { return a.Lo == b.Lo && a.Hi == b.Hi })
}

// Of gives the part of one family.
func (s AddressSet) Of(ipv6 bool) AddressSet {
	i := slices.IndexFunc(s, func(x Span) bool { return x.Lo.Is6() })
	switch {
	case i < 0 && ipv6:
		return nil
	case i < 0:
		return s
	case ipv6:
		return s[i:]
	}
	return s[:i]
}

// Prefixes gives the fewest prefixes that hold exactly the addresses of the set, in order.
func (s AddressSet) Prefixes() (out []netip.Prefix) {
	for _, x := range s {
		for lo := x.Lo; lo.IsValid() && lo.Compare(x.Hi) <= 0; {
			p := netip.PrefixFrom(lo, lo.BitLen())
			for p.Bits() > 0 {
				up := netip.PrefixFrom(lo, p.Bits()-1)
				if up.Masked().Addr() != lo || x.Hi.Less(lastAddr(up)) {
					break
				}
				p = up
			}
			out = append(out, p)
			lo = lastAddr(p).Next()
		}
	}
	return out
}

// Set gives the addresses that a statement of a kind means by its literals. It fails as Check does.
func (a *Addresses) Set(literals []Endpoint, as Reading) (AddressSet, error) {
	var grouped AddressSet // addresses in a selected group
	outside := func(s AddressSet) AddressSet {
		if grouped == nil {
			grouped = joined(slices.Clone(a.spans))
		}
		return s.Minus(grouped)
	}
	var out []Span
	for _, e := range literals {
		m, err := a.MeaningAs(e, as)
		if err != nil {
			return nil, err
		}
		switch {
		case m.Any:
			out = append(out, NewAddressSet(everyAddress)...)
		case m.Internet:
			out = append(out, outside(NewAddressSet(categories.InternetPrefixes()))...)
		case m.Group >= 0:
			for _, s := range a.spans {
				if s.At == m.Group {
					out = append(out, s)
				}
			}
		case m.Ungrouped:
			out = append(out, outside(NewAddressSet(m.Prefixes))...)
		default:
			out = append(out, NewAddressSet(m.Prefixes)...)
		}
	}
	return joined(out), nil
}
