package categories

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// mapped holds the IPv4-mapped IPv6 addresses (RFC 4291, section 2.5.5.2).
// They are IPv4 addresses in another spelling, and Cordon writes them as such.
var mapped = netip.MustParsePrefix("::ffff:0:0/96")

// ParsePrefix reads an address or a prefix of a groups file. A bare address
// means /32 or /128, IPv4-mapped IPv6 becomes IPv4, and bits behind the length
// are cleared: hostBits reports that there were some.
func ParsePrefix(s string) (p netip.Prefix, hostBits bool, err error) {
	text, length, hasLength := strings.Cut(s, "/")
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, false, fmt.Errorf("%s is not an address or prefix: write one such as 10.0.0.1, 10.0.0.0/24 or 2001:db8::/32", quote(s))
	}
	if addr.Zone() != "" {
		return netip.Prefix{}, false, fmt.Errorf("%s has a zone: leave out %s", quote(s), quote("%"+addr.Zone()))
	}
	bits := addr.BitLen()
	if hasLength {
		// ParseUint alone would read "+8" and "024".
		n, err := strconv.ParseUint(length, 10, 8)
		if err != nil || int(n) > bits || strconv.FormatUint(n, 10) != length {
			return netip.Prefix{}, false, fmt.Errorf("%s: the prefix length must be a number from 0 to %d", quote(s), bits)
		}
		bits = int(n)
	}
	if addr.Is4In6() {
		if bits < mapped.Bits() {
			return netip.Prefix{}, false, fmt.Errorf("%s: an IPv4-mapped prefix has a length of at least 96, write it as IPv4, such as %s/24", quote(s), addr.Unmap())
		}
		addr, bits = addr.Unmap(), bits-mapped.Bits()
	}
	p = netip.PrefixFrom(addr, bits)
	masked := p.Masked()
	return masked, masked != p, nil
}

var errNoAddress = errors.New("the address is empty: write one such as 10.0.0.1 or 10.0.0.0/24")

// covers reports whether every address of q is in p.
func covers(p, q netip.Prefix) bool {
	return p.Bits() <= q.Bits() && p.Contains(q.Addr())
}

// half returns the lower (0) or upper (1) half of a prefix that is not a
// single address.
func half(p netip.Prefix, which int) netip.Prefix {
	bits := p.Bits()
	if which == 0 {
		return netip.PrefixFrom(p.Addr(), bits+1)
	}
	a := p.Addr().AsSlice()
	a[bits/8] |= 0x80 >> (bits % 8)
	addr, _ := netip.AddrFromSlice(a)
	return netip.PrefixFrom(addr, bits+1)
}

// parent returns the prefix that is one bit shorter.
func parent(p netip.Prefix) netip.Prefix {
	return netip.PrefixFrom(p.Addr(), p.Bits()-1).Masked()
}

// aggregate returns the fewest prefixes that hold exactly the addresses of the
// given ones, in order. It works in place on its argument.
func aggregate(prefixes []netip.Prefix) []netip.Prefix {
	slices.SortFunc(prefixes, netip.Prefix.Compare)
	out := prefixes[:0]
	for _, p := range prefixes {
		if n := len(out); n > 0 && covers(out[n-1], p) {
			continue
		}
		out = append(out, p)
		for n := len(out); n >= 2 && siblings(out[n-2], out[n-1]); n = len(out) {
			out = append(out[:n-2], parent(out[n-1]))
		}
	}
	return out
}

func siblings(lower, upper netip.Prefix) bool {
	return lower.Bits() == upper.Bits() && lower.Bits() > 0 &&
		lower.Addr().BitLen() == upper.Addr().BitLen() &&
		half(parent(lower), 0) == lower && half(parent(lower), 1) == upper
}

// complement returns the fewest prefixes that hold every address of within
// that is in none of the given prefixes, in order.
func complement(within netip.Prefix, prefixes []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	var walk func(p netip.Prefix, inside []netip.Prefix)
	walk = func(p netip.Prefix, inside []netip.Prefix) {
		if len(inside) == 0 {
			out = append(out, p)
			return
		}
		if inside[0] == p {
			return
		}
		upper := half(p, 1)
		split := len(inside)
		for i, q := range inside {
			if covers(upper, q) {
				split = i
				break
			}
		}
		walk(half(p, 0), inside[:split])
		walk(upper, inside[split:])
	}
	var inside []netip.Prefix
	for _, p := range aggregate(slices.Clone(prefixes)) {
		if covers(p, within) {
			return nil
		}
		if covers(within, p) {
			inside = append(inside, p)
		}
	}
	walk(within, inside)
	return out
}
