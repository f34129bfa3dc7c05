package categories

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func group(name string, prefixes ...string) Group {
	g := Group{Name: name}
	for _, p := range prefixes {
		prefix, _, err := ParsePrefix(p)
		if err != nil {
			panic(err)
		}
		g.Prefixes = append(g.Prefixes, prefix)
	}
	return g
}

func flatString(as []Assignment) string {
	var b strings.Builder
	for _, a := range as {
		fmt.Fprintf(&b, "%s %s/%s\n", a.Prefix, a.Group.Category, a.Group.Group)
	}
	return b.String()
}

func TestFlatten(t *testing.T) {
	role := Category{Name: "role", Groups: []Group{
		group("web", "10.0.0.0/24", "10.0.0.7"),
		group("db", "10.0.0.7", "10.0.0.8/29"),
	}}
	site := Category{Name: "site", Groups: []Group{
		group("nyc", "10.0.0.0/16", "10.0.0.9", "10.0.5.0/24"),
		group("lab", "10.0.6.0/24", "10.0.6.4/30"),
	}}
	for _, tc := range []struct {
		name     string
		file     File
		selected []string
		want     string
	}{
		{"first category wins inside its prefixes", File{Categories: []Category{role, site}}, nil, `
10.0.0.0/16 site/nyc
10.0.0.0/24 role/web
10.0.0.7/32 role/db
10.0.0.8/29 role/db
10.0.6.0/24 site/lab
`},
		{"order of selection decides", File{Categories: []Category{role, site}}, []string{"site", "role"}, `
10.0.0.0/16 site/nyc
10.0.6.0/24 site/lab
`},
		{"one category", File{Categories: []Category{role, site}}, []string{"role"}, `
10.0.0.0/24 role/web
10.0.0.7/32 role/db
10.0.0.8/29 role/db
`},
		{"same prefix: name in byte order, and it shadows the other for good", File{Categories: []Category{{Name: "c", Groups: []Group{
			group("b", "10.0.0.0/8", "10.1.0.0/16"), group("B", "10.1.0.0/16"), group("a", "10.0.0.0/8"),
		}}}}, nil, `
10.0.0.0/8 c/a
10.1.0.0/16 c/B
`},
		{"same prefix where the winner is already around it", File{Categories: []Category{{Name: "c", Groups: []Group{
			group("a", "10.0.0.0/8", "10.1.0.0/16"), group("b", "10.1.0.0/16"),
		}}}}, nil, `
10.0.0.0/8 c/a
`},
		{"a group returns inside another", File{Categories: []Category{{Name: "c", Groups: []Group{
			group("a", "10.0.0.0/8", "10.1.1.0/24"), group("b", "10.1.0.0/16"),
		}}}}, nil, `
10.0.0.0/8 c/a
10.1.0.0/16 c/b
10.1.1.0/24 c/a
`},
		{"both families", File{Categories: []Category{{Name: "c", Groups: []Group{
			group("a", "2001:db8::/32", "0.0.0.0/0", "::ffff:10.0.0.1"),
		}}}}, nil, `
0.0.0.0/0 c/a
2001:db8::/32 c/a
`},
		{"around the IPv4-mapped range", File{Categories: []Category{{Name: "c", Groups: []Group{
			group("a", "::/78"), group("b", "::/79"), group("c", "::8000:0:0/81"), group("d", "::2:0:0:0/79"),
		}}}}, nil, `
::/81 c/b
::8000:0:0/82 c/c
::c000:0:0/83 c/c
::e000:0:0/84 c/c
::f000:0:0/85 c/c
::f800:0:0/86 c/c
::fc00:0:0/87 c/c
::fe00:0:0/88 c/c
::ff00:0:0/89 c/c
::ff80:0:0/90 c/c
::ffc0:0:0/91 c/c
::ffe0:0:0/92 c/c
::fff0:0:0/93 c/c
::fff8:0:0/94 c/c
::fffc:0:0/95 c/c
::fffe:0:0/96 c/c
::1:0:0:0/80 c/b
::2:0:0:0/79 c/d
`},
		{"nothing", File{}, nil, "\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Flatten(&tc.file, tc.selected)
			if err != nil {
				t.Fatal(err)
			}
			if flatString(got) != tc.want[1:] {
				t.Errorf("got\n%swant%s", flatString(got), tc.want)
			}
		})
	}
}

func TestSelectionErrors(t *testing.T) {
	f := &File{Path: "g.yaml", Categories: []Category{{Name: "role"}, {Name: "site"}}}
	for selected, want := range map[string]string{
		"rolle":     `g.yaml has no category "rolle"; did you mean "role"?`,
		"zone":      `g.yaml has no category "zone"`,
		"role,role": `category "role" is selected twice: name it once`,
	} {
		if _, err := NewResolver(f, strings.Split(selected, ",")); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", selected, err, want)
		}
	}
}

// naiveLookup is the contract's resolution, word for word.
func naiveLookup(f *File, selected []string, addr netip.Addr) (Ref, bool) {
	for _, name := range selected {
		var best Ref
		bits := -1
		for _, c := range f.Categories {
			if c.Name != name {
				continue
			}
			for _, g := range c.Groups {
				for _, p := range g.Prefixes {
					if p.Contains(addr) && (p.Bits() > bits || p.Bits() == bits && g.Name < best.Group) {
						best, bits = Ref{c.Name, g.Name}, p.Bits()
					}
				}
			}
		}
		if bits >= 0 {
			return best, true
		}
	}
	return Ref{}, false
}

func naiveLongestMatch(as []Assignment, addr netip.Addr) (Ref, bool) {
	var best Ref
	bits := -1
	for _, a := range as {
		if a.Prefix.Contains(addr) && a.Prefix.Bits() > bits {
			best, bits = a.Group, a.Prefix.Bits()
		}
	}
	return best, bits >= 0
}

// drawPrefix draws from few distinct bits, so that prefixes nest and collide,
// and often from the neighbourhood of the IPv4-mapped range.
func drawPrefix(t *rapid.T) netip.Prefix {
	var a [16]byte
	length := 4
	var bits int
	if rapid.Bool().Draw(t, "v6") {
		length = 16
		bits = rapid.IntRange(0, 128).Draw(t, "bits")
		if rapid.Bool().Draw(t, "near mapped") {
			a = mapped.Addr().As16()
			bits = rapid.IntRange(70, 95).Draw(t, "bits")
		}
		if rapid.Bool().Draw(t, "flip") {
			i := rapid.IntRange(0, 95).Draw(t, "bit")
			a[i/8] ^= 0x80 >> (i % 8)
		}
	} else {
		bits = rapid.IntRange(0, 32).Draw(t, "bits")
		for i := range rapid.IntRange(0, 3).Draw(t, "flips") {
			bit := rapid.IntRange(0, 31).Draw(t, fmt.Sprint("bit", i))
			a[bit/8] ^= 0x80 >> (bit % 8)
		}
	}
	addr, _ := netip.AddrFromSlice(a[:length])
	if addr.Is4In6() {
		return netip.PrefixFrom(addr, min(bits, 95)).Masked()
	}
	return netip.PrefixFrom(addr, bits).Masked()
}

func drawFile(t *rapid.T) *File {
	f := &File{Path: "random"}
	for i := range rapid.IntRange(1, 4).Draw(t, "categories") {
		c := Category{Name: string(rune('A' + i))}
		for j := range rapid.IntRange(0, 4).Draw(t, "groups") {
			g := Group{Name: string(rune('d' - j))}
			for range rapid.IntRange(0, 8).Draw(t, "prefixes") {
				g.Prefixes = append(g.Prefixes, drawPrefix(t))
			}
			c.Groups = append(c.Groups, g)
		}
		f.Categories = append(f.Categories, c)
	}
	return f
}

// border returns an address at, or one off, an end of a prefix.
func border(t *rapid.T, p netip.Prefix) netip.Addr {
	a := p.Addr()
	switch rapid.IntRange(0, 3).Draw(t, "which") {
	case 1:
		a = lastAddr(p)
	case 2:
		a = a.Prev()
	case 3:
		a = lastAddr(p).Next()
	}
	if !a.IsValid() || a.Is4In6() {
		return p.Addr()
	}
	return a
}

func TestResolutionProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawFile(t)
		selected := rapid.Permutation(f.CategoryNames()).Draw(t, "order")
		selected = selected[:rapid.IntRange(1, len(selected)).Draw(t, "selected")]
		r, err := NewResolver(f, selected)
		if err != nil {
			t.Fatal(err)
		}
		flat, err := Flatten(f, selected)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(flat, r.Assignments()) {
			t.Fatalf("Flatten %v, Resolver %v", flat, r.Assignments())
		}

		addrs := []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified(), netip.MustParseAddr("::fffe:ffff:ffff"), netip.MustParseAddr("::1:0:0:0")}
		for _, c := range f.Categories {
			for _, g := range c.Groups {
				for _, p := range g.Prefixes {
					if a := border(t, p); !a.Is4In6() {
						addrs = append(addrs, a)
					}
				}
			}
		}
		for range 5 {
			addrs = append(addrs, drawPrefix(t).Addr())
		}
		for _, a := range addrs {
			if a.Is4In6() {
				continue
			}
			want, wantOK := naiveLookup(f, selected, a)
			if got, ok := r.Lookup(a); got != want || ok != wantOK {
				t.Fatalf("Resolver(%s) = %v %v, want %v %v\n%s", a, got, ok, want, wantOK, flatString(flat))
			}
			if got, ok := naiveLongestMatch(flat, a); got != want || ok != wantOK {
				t.Fatalf("longest match(%s) = %v %v, want %v %v\n%s", a, got, ok, want, wantOK, flatString(flat))
			}
			if a.Is4() {
				if got, ok := r.Lookup(netip.AddrFrom16(a.As16())); got != want || ok != wantOK {
					t.Fatalf("Resolver(::ffff:%s) = %v %v, want %v %v", a, got, ok, want, wantOK)
				}
			}
		}
		checkFlatLaws(t, flat)
		checkEndpoints(t, f, selected, r)
	})
}

func checkFlatLaws(t *rapid.T, flat []Assignment) {
	for i, a := range flat {
		if i > 0 && flat[i-1].Prefix.Compare(a.Prefix) >= 0 {
			t.Fatalf("not in order: %s, %s", flat[i-1].Prefix, a.Prefix)
		}
		if a.Prefix.Contains(netip.MustParseAddr("::ffff:1.2.3.4")) {
			t.Fatalf("%s holds IPv4-mapped addresses", a.Prefix)
		}
		outer, bits := Ref{}, -1
		for _, b := range flat {
			if b.Prefix != a.Prefix && covers(b.Prefix, a.Prefix) && b.Prefix.Bits() > bits {
				outer, bits = b.Group, b.Prefix.Bits()
			}
		}
		if bits >= 0 && outer == a.Group {
			t.Fatalf("%s %v is redundant", a.Prefix, a.Group)
		}
	}
}

func checkEndpoints(t *rapid.T, f *File, selected []string, r *Resolver) {
	want := map[netip.Addr]Endpoint{}
	for _, c := range f.Categories {
		if !slices.Contains(selected, c.Name) {
			continue
		}
		for _, g := range c.Groups {
			for _, p := range g.Prefixes {
				if p.IsSingleIP() {
					e := want[p.Addr()]
					e.Addr = p.Addr()
					e.Group, _ = naiveLookup(f, selected, p.Addr())
					e.Named = e.Named || e.Group == Ref{c.Name, g.Name}
					want[p.Addr()] = e
				}
			}
		}
	}
	got := r.Endpoints()
	if len(got) != len(want) {
		t.Fatalf("endpoints %v, want %v", got, want)
	}
	for i, e := range got {
		if want[e.Addr] != e {
			t.Fatalf("endpoint %v, want %v", e, want[e.Addr])
		}
		if i > 0 && got[i-1].Addr.Compare(e.Addr) >= 0 {
			t.Fatalf("endpoints not in order: %s, %s", got[i-1].Addr, e.Addr)
		}
	}
	for i, addrs := range r.EndpointsByGroup() {
		for _, a := range addrs {
			if e := want[a]; !e.Named || e.Group != r.Groups()[i] {
				t.Fatalf("%s is listed under %v, want %v", a, r.Groups()[i], e)
			}
			delete(want, a)
		}
	}
	for _, e := range want {
		if e.Named {
			t.Fatalf("%v is in no group's list", e)
		}
	}
}

// largeFile has n prefixes in two categories, a third of them IPv6, nested.
func largeFile(n int) *File {
	rng := rand.New(rand.NewPCG(1, 2))
	f := &File{Path: "large", Categories: []Category{{Name: "role"}, {Name: "site"}}}
	for i := range f.Categories {
		c := &f.Categories[i]
		for j := range 200 {
			g := Group{Name: fmt.Sprint("g", j)}
			for range n / 400 {
				var p netip.Prefix
				if rng.IntN(3) == 0 {
					a := [16]byte{0xfd, 0, byte(rng.IntN(4)), byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32()), 15: byte(rng.Uint32())}
					p = netip.PrefixFrom(netip.AddrFrom16(a), 48+rng.IntN(81)).Masked()
				} else {
					a := [4]byte{10, byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32())}
					p = netip.PrefixFrom(netip.AddrFrom4(a), 20+rng.IntN(13)).Masked()
				}
				g.Prefixes = append(g.Prefixes, p)
			}
			c.Groups = append(c.Groups, g)
		}
	}
	return f
}

func TestLookupDoesNotAllocate(t *testing.T) {
	r, err := NewResolver(largeFile(4000), nil)
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddr("::ffff:10.1.2.3")
	if n := testing.AllocsPerRun(100, func() { r.Lookup(addr) }); n != 0 {
		t.Errorf("Lookup allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() { KindOf(addr) }); n != 0 {
		t.Errorf("KindOf allocates %v times", n)
	}
}

func BenchmarkFlatten(b *testing.B) {
	f := largeFile(300_000)
	for b.Loop() {
		if _, err := Flatten(f, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewResolver(b *testing.B) {
	f := largeFile(300_000)
	for b.Loop() {
		if _, err := NewResolver(f, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	r, err := NewResolver(largeFile(300_000), nil)
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for _, family := range []string{"IPv4", "IPv6"} {
		b.Run(family, func(b *testing.B) {
			addrs := make([]netip.Addr, 1024)
			for i := range addrs {
				if family == "IPv4" {
					addrs[i] = netip.AddrFrom4([4]byte{10, byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32())})
				} else {
					addrs[i] = netip.AddrFrom16([16]byte{0xfd, 0, byte(rng.IntN(4)), byte(rng.Uint32()), 15: byte(rng.Uint32())})
				}
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				r.Lookup(addrs[i&1023])
				i++
			}
		})
	}
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
