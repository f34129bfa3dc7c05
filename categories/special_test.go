package categories

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestKindOf(t *testing.T) {
	for want, addrs := range map[AddressKind][]string{
		Local: {"0.0.0.0", "0.255.255.255", "127.0.0.1", "127.255.255.255", "169.254.0.0", "169.254.255.255",
			"224.0.0.1", "239.255.255.255", "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0", "febf::1", "ff02::1", "ffff::",
			"::ffff:127.0.0.1"},
		Private: {"10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.1", "100.64.0.0", "100.127.255.255",
			"192.0.0.1", "192.0.0.9", "192.0.0.10", "192.0.0.170", "192.0.2.1", "198.51.100.10", "203.0.113.53", "198.18.0.1", "198.19.255.255",
			"192.88.99.1", "192.88.99.2", "192.31.196.1", "192.52.193.1", "192.175.48.1", "240.0.0.0", "255.255.255.254",
			"fc00::1", "fdff::1", "2001:db8::1", "3fff:fff::1", "2001::1", "2001:1::1", "2001:1ff::1", "2001:20::1", "2001:30::1", "2001:4:112::1",
			"2002::1", "64:ff9b::1.2.3.4", "64:ff9b:1::1", "100::1", "100:0:0:1::1", "5f00::1", "2620:4f:8000::1",
			"::ffff:10.0.0.1"},
		Public: {"1.0.0.0", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
			"169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255", "192.169.0.0",
			"198.17.255.255", "198.20.0.0", "203.0.112.255", "203.0.114.0", "223.255.255.255",
			"2000::", "2001:200::", "2001:4860:4860::8888", "2606:4700::1111", "2620:4f:8001::", "3ffe::1", "3fff:1000::", "2003::", "64:ff9b::1:0:0",
			"::2", "fec0::1", "4000::", "100:0:0:2::", "::ffff:8.8.8.8"},
	} {
		for _, text := range addrs {
			if got := KindOf(netip.MustParseAddr(text)); got != want {
				t.Errorf("%s is %s, want %s", text, got, want)
			}
		}
	}
	if KindOf(netip.Addr{}) != Local {
		t.Error("the zero Addr is not local")
	}
}

func TestSpecialPurpose(t *testing.T) {
	ranges := SpecialPurpose()
	if !slices.IsSortedFunc(ranges, func(a, b SpecialRange) int { return a.Prefix.Compare(b.Prefix) }) {
		t.Error("not in order of prefix")
	}
	for i, r := range ranges {
		if r.Prefix != r.Prefix.Masked() || r.Kind == Public || r.Name == "" {
			t.Errorf("%+v", r)
		}
		if i > 0 && ranges[i-1].Prefix == r.Prefix {
			t.Errorf("%s is listed twice", r.Prefix)
		}
		if r.Prefix.Overlaps(mapped) {
			t.Errorf("%s would hold IPv4 in an ip_trie dictionary", r.Prefix)
		}
	}
	ranges[0].Kind = Public
	if specialRanges[0].Kind == Public {
		t.Error("SpecialPurpose gives away its table")
	}
}

// TestInternetProperty: the built-in group's prefixes are exactly the public
// addresses, and the table read as a longest-match list says the same.
func TestInternetProperty(t *testing.T) {
	internet := InternetPrefixes()
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SampledFrom(specialRanges).Draw(t, "range").Prefix
		if rapid.Bool().Draw(t, "internet") {
			p = rapid.SampledFrom(internet).Draw(t, "prefix")
		}
		a := border(t, p)
		in := slices.ContainsFunc(internet, func(p netip.Prefix) bool { return p.Contains(a) })
		if in != (KindOf(a) == Public) {
			t.Fatalf("%s is %s, in the group internet: %v", a, KindOf(a), in)
		}
		kind, bits := Public, -1
		for _, r := range specialRanges {
			if r.Prefix.Contains(a) && r.Prefix.Bits() > bits {
				kind, bits = r.Kind, r.Prefix.Bits()
			}
		}
		if kind != KindOf(a) {
			t.Fatalf("%s is %s, longest match says %s", a, KindOf(a), kind)
		}
	})
	for _, p := range internet {
		if p.Overlaps(mapped) {
			t.Errorf("%s holds IPv4-mapped addresses", p)
		}
	}
}
