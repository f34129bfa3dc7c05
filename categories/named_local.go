package categories

import (
	"net/netip"

	"github.com/gaissmai/bart"
)

// A selected group that names link-local, multicast or other Local addresses on
// purpose, by a prefix inside the special-purpose range, makes their sessions
// proposable (section 5 of the public contract): a resolver at 169.254.20.10
// or a multicast group of the site. A prefix that holds more than the range, such as
// 0.0.0.0/0, was not meant for it and does not.

// insideLocal reports whether a prefix lies in a special-purpose range of Local
// addresses as a whole.
func insideLocal(p netip.Prefix) bool {
	r, ok := specialAround(p)
	return ok && r.Kind == Local
}

// namedLocal gives the prefixes by which the selected groups name Local addresses.
// Flattening drops some of them, so they are gathered before it.
func (s *selection) namedLocal() *bart.Lite {
	named := new(bart.Lite)
	for _, e := range s.entries {
		if insideLocal(e.prefix) {
			named.Insert(e.prefix)
		}
	}
	return named
}

// KindOf classifies an address like the function KindOf, except that a Local
// address that a selected group names by a prefix inside the special-purpose range is Private.
// Such an address is in a selected group, though not always in the one that names it.
func (r *Resolver) KindOf(addr netip.Addr) AddressKind {
	kind := KindOf(addr)
	if addr = addr.Unmap().WithZone(""); kind == Local && addr.IsValid() && r.NamesLocal(netip.PrefixFrom(addr, addr.BitLen())) {
		return Private
	}
	return kind
}

// NamesLocal reports whether a selected group names all addresses of a prefix, which are
// Local, by a prefix inside their special-purpose range.
func (r *Resolver) NamesLocal(p netip.Prefix) bool {
	_, ok := r.local.LookupPrefixLPM(p)
	return ok
}

// LocalPrefixes gives the prefixes by which the selected groups name Local addresses, in
// no order.
func (r *Resolver) LocalPrefixes() []netip.Prefix {
	var out []netip.Prefix
	for p := range r.local.All() {
		out = append(out, p)
	}
	return out
}
