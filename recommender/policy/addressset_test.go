package policy

import (
	"net/netip"
	"testing"

	"cordon/categories"

	"pgregory.net/rapid"
)

func drawPrefixes(t *rapid.T, name string) (out []netip.Prefix) {
	for range rapid.IntRange(0, 4).Draw(t, name) {
		a := netip.AddrFrom4([4]byte{byte(rapid.SampledFrom([]int{0, 10, 255}).Draw(t, "a")), 0, 0, byte(rapid.IntRange(0, 15).Draw(t, "d"))})
		out = append(out, netip.PrefixFrom(a, rapid.SampledFrom([]int{0, 1, 28, 30, 31, 32}).Draw(t, "bits")).Masked())
	}
	if rapid.Bool().Draw(t, "v6") {
		out = append(out, netip.MustParsePrefix(rapid.SampledFrom([]string{"::/0", "2001:db8::/64", "2001:db8::1/128", "ffff::/16"}).Draw(t, "p6")))
	}
	return out
}

// Sets agree with membership, address by address, and their prefixes are exact.
func TestAddressSets(t *testing.T) {
	var probes []netip.Addr
	for _, first := range []byte{0, 10, 255} {
		for d := range 17 {
			probes = append(probes, netip.AddrFrom4([4]byte{first, 0, 0, byte(d)}))
		}
	}
	for _, s := range []string{"255.255.255.255", "::", "2001:db8::", "2001:db8::1", "2001:db8::2", "ffff::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "128.0.0.0"} {
		probes = append(probes, netip.MustParseAddr(s))
	}
	in := func(prefixes []netip.Prefix, a netip.Addr) bool {
		for _, p := range prefixes {
			if p.Contains(a) {
				return true
			}
		}
		return false
	}
	rapid.Check(t, func(t *rapid.T) {
		p, q := drawPrefixes(t, "p"), drawPrefixes(t, "q")
		a, b := NewAddressSet(p), NewAddressSet(q)
		both, rest := a.And(b), a.Minus(b)
		for _, x := range probes {
			inP, inQ := in(p, x), in(q, x)
			if a.Contains(x) != inP || both.Contains(x) != (inP && inQ) || rest.Contains(x) != (inP && !inQ) {
				t.Fatalf("%v and %v at %v: %v %v %v", p, q, x, a, both, rest)
			}
			if in(rest.Prefixes(), x) != rest.Contains(x) {
				t.Fatalf("%v has the prefixes %v", rest, rest.Prefixes())
			}
		}
		if !NewAddressSet(a.Prefixes()).Equal(a) {
			t.Fatalf("%v becomes %v", a, a.Prefixes())
		}
	})
}

// A set is what Holds says of each address, in each reading.
func TestSetOfLiterals(t *testing.T) {
	file, err := categories.Parse("groups.csv", []byte("category,group,prefix\nrole,web,10.0.0.0/24\nrole,db,10.0.0.7/32\ncomp,pci,10.0.0.4/30\ncomp,all,8.8.8.0/24\nrole,six,2001:db8::/64\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, selected := range [][]string{nil, {"role"}, {"comp", "role"}} {
		a, err := NewAddresses(file, selected)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"web", "db", "pci", "all", "six", "internet"} {
			for as := Proposed; as <= Denying; as++ {
				e := GroupEndpoint(name)
				set, err := a.Set([]Endpoint{e}, as)
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range []string{"10.0.0.1", "10.0.0.4", "10.0.0.7", "10.0.0.8", "10.0.1.0", "8.8.8.8", "8.8.9.0", "192.168.0.1", "2001:db8::1", "2600::1"} {
					if x := netip.MustParseAddr(s); set.Contains(x) != a.Holds(e, as, x) {
						t.Errorf("%v %s read as %d: set %v, holds %v at %s", selected, name, as, set.Contains(x), a.Holds(e, as, x), s)
					}
				}
			}
		}
	}
	a, _ := NewAddresses(file, nil)
	if set, _ := a.Set([]Endpoint{GroupEndpoint("web")}, Proposed); len(set.Prefixes()) != 8 {
		t.Errorf("web without db: %v", set.Prefixes())
	}
}
