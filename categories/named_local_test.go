package categories

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestResolverKindOf compares with one look at every prefix of the selected groups.
func TestResolverKindOf(t *testing.T) {
	texts := strings.Fields(`0.0.0.0/0 0.0.0.0/8 0.0.0.0/32 127.0.0.0/8 127.0.0.1/32 169.0.0.0/8 169.254.0.0/16 169.254.0.0/17 169.254.0.0/32
		224.0.0.0/3 224.0.0.0/4 239.0.0.0/8 240.0.0.0/4 255.255.255.255/32 10.0.0.0/8 ::/0 ::/127 ::/128 ::1/128 fe80::/10 fe80::/64 fe00::/7 ff00::/8 ff02::fb/128`)
	var addrs []netip.Addr
	for _, s := range texts {
		p := netip.MustParsePrefix(s)
		addrs = append(addrs, p.Addr())
		if next := p.Addr().Next(); next.IsValid() {
			addrs = append(addrs, next)
		}
	}
	var ranges []netip.Prefix
	for _, s := range strings.Fields("0.0.0.0/8 127.0.0.0/8 169.254.0.0/16 224.0.0.0/4 255.255.255.255/32 ::/128 ::1/128 fe80::/10 ff00::/8") {
		ranges = append(ranges, netip.MustParsePrefix(s))
	}
	rapid.Check(t, func(rt *rapid.T) {
		f := &File{Path: "drawn"}
		for _, name := range []string{"a", "b", "c"} {
			c := Category{Name: name}
			for _, s := range rapid.SliceOfNDistinct(rapid.SampledFrom(texts), 0, 4, rapid.ID).Draw(rt, name) {
				c.Groups = append(c.Groups, Group{Name: name + s, Prefixes: []netip.Prefix{netip.MustParsePrefix(s)}})
			}
			f.Categories = append(f.Categories, c)
		}
		selected := rapid.SampledFrom([][]string{nil, {"a"}, {"c", "a"}, {"b", "a", "c"}}).Draw(rt, "selected")
		r, err := NewResolver(f, selected)
		if err != nil {
			rt.Fatal(err)
		}
		for _, a := range addrs {
			want := KindOf(a)
			for _, c := range f.Categories {
				for _, g := range c.Groups {
					if p := g.Prefixes[0]; len(selected) == 0 || slices.Contains(selected, c.Name) {
						for _, in := range ranges {
							if p.Contains(a) && in.Contains(a) && in.Bits() <= p.Bits() {
								want = Private
							}
						}
					}
				}
			}
			if got := r.KindOf(a); got != want {
				rt.Fatalf("%s is %s among %v of %+v, want %s", a, got, selected, f.Categories, want)
			}
		}
	})
	r, err := NewResolver(&File{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.KindOf(netip.Addr{}) != Local || r.KindOf(netip.MustParseAddr("fe80::1%eth0")) != Local {
		t.Error("an address of no group has another kind than by itself")
	}
}
