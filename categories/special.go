package categories

import (
	"net/netip"
	"slices"
	"sync"

	"github.com/gaissmai/bart"
)

// AddressKind sorts addresses by what a rule can say about them.
type AddressKind uint8

const (
	// Public is every address outside the special-purpose ranges: the built-in
	// group "internet".
	Public AddressKind = iota
	// Private is every special-purpose address that is not Local: RFC 1918, shared
	// address space, unique local addresses, and also documentation,
	// benchmarking and protocol ranges, since hosts in labs have such addresses.
	Private
	// Local is what never crosses a router as a session between two hosts:
	// loopback, link-local, multicast, broadcast, unspecified.
	Local
)

// String returns "public", "private" or "local".
func (k AddressKind) String() string { return [...]string{"public", "private", "local"}[k] }

// SpecialRange is an entry of the table behind KindOf.
type SpecialRange struct {
	Prefix netip.Prefix
	Kind   AddressKind // Private or Local
	Name   string      // IANA's name
}

// specialRanges are the IANA IPv4 and IPv6 Special-Purpose Address Registries
// (RFC 6890, RFC 8190, and later additions as of RFC 9780), with multicast,
// which has registries of its own (RFC 5771, RFC 4291).
//
// The public contract defines "internet" as what lies outside these registries,
// so an entry counts even where the registry calls it globally reachable
// (192.0.0.9/32, 64:ff9b::/96, 2001:4:112::/48 and other anycast and translation
// ranges): such an address is Private here. What no registry entry holds is
// Public, also fec0::/10 (deprecated site-local, RFC 3879) and IPv6 space that
// is not yet assigned. Entries inside others of the same kind are kept, so that
// the name is the most specific one.
//
// ::ffff:0:0/96 is left out on purpose: Cordon unmaps such addresses before
// it looks, and an ip_trie dictionary, which keeps IPv4 in that range, would
// take the entry for all of IPv4.
var specialRanges = []SpecialRange{
	special("0.0.0.0/8", Local, "This network"),
	special("0.0.0.0/32", Local, "Unspecified address"),
	special("10.0.0.0/8", Private, "Private-Use"),
	special("100.64.0.0/10", Private, "Shared Address Space"),
	special("127.0.0.0/8", Local, "Loopback"),
	special("169.254.0.0/16", Local, "Link Local"),
	special("172.16.0.0/12", Private, "Private-Use"),
	special("192.0.0.0/24", Private, "IETF Protocol Assignments"),
	special("192.0.0.0/29", Private, "IPv4 Service Continuity Prefix"),
	special("192.0.0.8/32", Private, "IPv4 dummy address"),
	special("192.0.0.9/32", Private, "Port Control Protocol Anycast"),
	special("192.0.0.10/32", Private, "TURN Anycast"),
	special("192.0.0.170/32", Private, "NAT64/DNS64 Discovery"),
	special("192.0.0.171/32", Private, "NAT64/DNS64 Discovery"),
	special("192.0.2.0/24", Private, "Documentation (TEST-NET-1)"),
	special("192.31.196.0/24", Private, "AS112-v4"),
	special("192.52.193.0/24", Private, "AMT"),
	special("192.88.99.0/24", Private, "Deprecated 6to4 Relay Anycast"),
	special("192.88.99.2/32", Private, "6a44 Relay Anycast"),
	special("192.168.0.0/16", Private, "Private-Use"),
	special("192.175.48.0/24", Private, "Direct Delegation AS112 Service"),
	special("198.18.0.0/15", Private, "Benchmarking"),
	special("198.51.100.0/24", Private, "Documentation (TEST-NET-2)"),
	special("203.0.113.0/24", Private, "Documentation (TEST-NET-3)"),
	special("224.0.0.0/4", Local, "Multicast"),
	special("240.0.0.0/4", Private, "Reserved"),
	special("255.255.255.255/32", Local, "Limited Broadcast"),

	special("::/128", Local, "Unspecified address"),
	special("::1/128", Local, "Loopback"),
	special("64:ff9b::/96", Private, "IPv4-IPv6 Translation"),
	special("64:ff9b:1::/48", Private, "IPv4-IPv6 Translation, local use"),
	special("100::/64", Private, "Discard-Only Address Block"),
	special("100:0:0:1::/64", Private, "Dummy IPv6 Prefix"),
	special("2001::/23", Private, "IETF Protocol Assignments"),
	special("2001::/32", Private, "TEREDO"),
	special("2001:1::1/128", Private, "Port Control Protocol Anycast"),
	special("2001:1::2/128", Private, "TURN Anycast"),
	special("2001:1::3/128", Private, "DNS-SD Service Registration Protocol Anycast"),
	special("2001:2::/48", Private, "Benchmarking"),
	special("2001:3::/32", Private, "AMT"),
	special("2001:4:112::/48", Private, "AS112-v6"),
	special("2001:10::/28", Private, "Deprecated ORCHID"),
	special("2001:20::/28", Private, "ORCHIDv2"),
	special("2001:30::/28", Private, "Drone Remote ID Protocol Entity Tags"),
	special("2001:db8::/32", Private, "Documentation"),
	special("2002::/16", Private, "6to4"),
	special("2620:4f:8000::/48", Private, "Direct Delegation AS112 Service"),
	special("3fff::/20", Private, "Documentation"),
	special("5f00::/16", Private, "Segment Routing (SRv6) SIDs"),
	special("fc00::/7", Private, "Unique-Local"),
	special("fe80::/10", Local, "Link-Local Unicast"),
	special("ff00::/8", Local, "Multicast"),
}

func special(prefix string, kind AddressKind, name string) SpecialRange {
	return SpecialRange{Prefix: netip.MustParsePrefix(prefix), Kind: kind, Name: name}
}

var specialTable = func() *bart.Table[uint8] {
	t := new(bart.Table[uint8])
	for i, r := range specialRanges {
		t.Insert(r.Prefix, uint8(i))
	}
	return t
}()

// SpecialPurpose returns the special-purpose ranges, IPv4 first, by address.
// The longest prefix that contains an address gives its kind, and an address in
// none is Public: the list can be loaded into an ip_trie dictionary as it is.
func SpecialPurpose() []SpecialRange { return slices.Clone(specialRanges) }

// KindOf classifies an address. IPv4-mapped IPv6 counts as IPv4; zones are
// ignored; the invalid zero Addr is Local.
func KindOf(addr netip.Addr) AddressKind {
	if !addr.IsValid() {
		return Local
	}
	if r, ok := specialRangeOf(addr); ok {
		return r.Kind
	}
	return Public
}

func specialRangeOf(addr netip.Addr) (*SpecialRange, bool) {
	i, ok := specialTable.Lookup(addr.Unmap())
	if !ok {
		return nil, false
	}
	return &specialRanges[i], true
}

// The built-in group, which a groups file cannot define.
const (
	BuiltinCategory = "builtin"
	InternetGroup   = "internet"
)

// Internet is the built-in group of every Public address.
var Internet = Ref{Category: BuiltinCategory, Group: InternetGroup}

// InternetPrefixes returns the addresses of the built-in group "internet" as
// the fewest prefixes, in order, without the IPv4-mapped range.
func InternetPrefixes() []netip.Prefix { return slices.Clone(internetPrefixes()) }

var internetPrefixes = sync.OnceValue(func() []netip.Prefix {
	taken := []netip.Prefix{mapped}
	for _, r := range specialRanges {
		taken = append(taken, r.Prefix)
	}
	return append(complement(netip.MustParsePrefix("0.0.0.0/0"), taken),
		complement(netip.MustParsePrefix("::/0"), taken)...)
})
