package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"cordon/categories"

	"pgregory.net/rapid"
)

const lab = `categories:
  - name: role
    groups:
      - {name: web, prefixes: [10.0.0.1, 10.0.0.2]}
      - {name: app, prefixes: [10.0.0.3]}
  - name: tier
    groups:
      - {name: front, prefixes: [10.0.0.1, 10.0.0.2, 10.0.0.3]}
      - {name: back, prefixes: [10.0.0.0/24]}
`

func parse(t testing.TB, text string) *categories.File {
	t.Helper()
	f, err := categories.Parse("groups.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestAddresses(t *testing.T) {
	a, err := NewAddresses(parse(t, lab), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		literal, addr string
		want          bool
	}{
		{"any", "10.0.0.1", true},
		{"ip:10.0.0.0/8", "10.9.9.9", true},
		{"ip:10.0.0.0/8", "::ffff:10.9.9.9", true},
		{"ip:10.0.0.0/8", "11.0.0.1", false},
		{"group:web", "10.0.0.2", true},
		{"group:web", "10.0.0.3", false},
		{"group:front", "10.0.0.3", true}, // resolves to app, but front is nothing but web and app
		{"group:front", "10.0.0.4", false},
		{"group:back", "10.0.0.4", true},
		{"group:back", "10.0.0.1", false}, // resolves to web
		{"group:internet", "8.8.8.8", true},
		{"group:internet", "10.9.9.9", false},
		{"group:nobody", "10.0.0.1", false},
	} {
		e, err := ParseEndpoint(c.literal)
		if err != nil {
			t.Fatal(err)
		}
		if got := a.Contains(e, netip.MustParseAddr(c.addr)); got != c.want {
			t.Errorf("%s contains %s: %v", c.literal, c.addr, got)
		}
		if err := a.Check(e); (err != nil) != (c.literal == "group:nobody") {
			t.Errorf("Check(%s) = %v", c.literal, err)
		}
	}
}

func TestMerge(t *testing.T) {
	a, err := NewAddresses(parse(t, lab), nil)
	if err != nil {
		t.Fatal(err)
	}
	m := NewMerger(a)
	set := func(labels ...string) (s []Endpoint) {
		for _, l := range labels {
			s = append(s, GroupEndpoint(l))
		}
		return s
	}
	for _, c := range []struct{ in, want []Endpoint }{
		{set("app", "web"), set("front")},
		{set("app", "back", "web"), set("back", "front")},
		{set("app", "back"), set("app", "back")},
		{set("web"), set("web")},
		{append(set("app", "web"), HostEndpoint(netip.MustParseAddr("10.9.9.9"))), append(set("front"), HostEndpoint(netip.MustParseAddr("10.9.9.9")))},
	} {
		if got := m.Merge(slices.Clone(c.in)); !slices.Equal(got, c.want) {
			t.Errorf("Merge(%v) = %v, want %v", c.in, got, c.want)
		}
	}
	only, err := NewAddresses(parse(t, lab), []string{"role"})
	if err != nil {
		t.Fatal(err)
	}
	if got := NewMerger(only).Merge(set("app", "web")); !slices.Equal(got, set("app", "web")) {
		t.Errorf("merged into a group of a category that is not selected: %v", got)
	}
}

// smallFiles draws groups over a few addresses, so that they overlap often.
func smallFiles() *rapid.Generator[*categories.File] {
	return rapid.Custom(func(t *rapid.T) *categories.File {
		f := &categories.File{Path: "drawn"}
		for c := range rapid.IntRange(1, 3).Draw(t, "categories") {
			category := categories.Category{Name: fmt.Sprintf("c%d", c)}
			for g := range rapid.IntRange(1, 5).Draw(t, "groups") {
				group := categories.Group{Name: fmt.Sprintf("c%dg%d", c, g)}
				for range rapid.IntRange(1, 4).Draw(t, "prefixes") {
					addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(rapid.IntRange(0, 15).Draw(t, "addr"))})
					bits := rapid.IntRange(28, 32).Draw(t, "bits")
					group.Prefixes = append(group.Prefixes, netip.PrefixFrom(addr, bits).Masked())
				}
				category.Groups = append(category.Groups, group)
			}
			f.Categories = append(f.Categories, category)
		}
		return f
	})
}

func TestMergeKeepsTheAddresses(t *testing.T) {
	merged := 0
	rapid.Check(t, func(t *rapid.T) {
		f := smallFiles().Draw(t, "file")
		a, err := NewAddresses(f, nil)
		if err != nil {
			t.Fatal(err)
		}
		var labels []string
		for label := range a.index {
			labels = append(labels, label)
		}
		slices.Sort(labels)
		var set []Endpoint
		for _, l := range labels {
			if rapid.IntRange(0, 3).Draw(t, "in") > 0 {
				set = append(set, GroupEndpoint(l))
			}
		}
		got := NewMerger(a).Merge(slices.Clone(set))
		if len(got) > len(set) {
			t.Fatalf("%v became %v", set, got)
		}
		if len(got) < len(set) {
			merged++
		}
		for i := range 256 {
			addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
			if a.matches(set, addr) != a.matches(got, addr) {
				t.Fatalf("%v became %v, which differ in %s", set, got, addr)
			}
		}
	})
	if merged == 0 {
		t.Error("nothing was ever merged: the test draws the wrong files")
	}
}

func TestSpansResolveLikeTheFile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, err := NewAddresses(smallFiles().Draw(t, "file"), nil)
		if err != nil {
			t.Fatal(err)
		}
		all := a.spans
		for i := range 32 {
			addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
			got := -1
			for _, s := range all {
				if s.Lo.Compare(addr) <= 0 && within(addr, s.Hi) {
					if got >= 0 {
						t.Fatalf("%s is in two spans of %v", addr, all)
					}
					got = s.At
				}
			}
			if want := a.resolver.LookupIndex(addr); got != want {
				t.Fatalf("%s is in group %d, want %d: %v", addr, got, want, all)
			}
		}
	})
}
