package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"cordon/categories"

	"pgregory.net/rapid"
)

// carryAddresses are private, public and link-local addresses, a few of each; groups are drawn over them.
var carryAddresses = func() (out []netip.Addr) {
	for _, begin := range []string{"10.0.0.0", "8.8.8.0", "169.254.0.0", "fd00::", "fe80::"} {
		a := netip.MustParseAddr(begin)
		for range 18 {
			out = append(out, a)
			a = a.Next()
		}
	}
	return out
}()

// carryFiles draws groups that overlap, some with the same name in several categories.
func carryFiles() *rapid.Generator[*categories.File] {
	return rapid.Custom(func(t *rapid.T) *categories.File {
		f := &categories.File{Path: "drawn"}
		names := []string{"web", "app", "db", "dns", "internet", "c0/web", "wide"}
		for c := range rapid.IntRange(1, 3).Draw(t, "categories") {
			category := categories.Category{Name: fmt.Sprintf("c%d", c)}
			for _, name := range rapid.Permutation(names).Draw(t, "names")[:rapid.IntRange(1, 5).Draw(t, "groups")] {
				g := categories.Group{Name: name}
				for range rapid.IntRange(0, 4).Draw(t, "prefixes") {
					a := rapid.SampledFrom(carryAddresses).Draw(t, "address")
					bits := a.BitLen() - rapid.SampledFrom([]int{0, 0, 1, 2, 3, 4, 17, a.BitLen()}).Draw(t, "bits")
					g.Prefixes = append(g.Prefixes, netip.PrefixFrom(a, bits).Masked())
				}
				category.Groups = append(category.Groups, g)
			}
			f.Categories = append(f.Categories, category)
		}
		return f
	})
}

// drawLiteral draws a group of the file, the built-in group, a prefix or any.
func drawLiteral(t *rapid.T, f *categories.File) Endpoint {
	labels := categories.NewLabels(f)
	switch rapid.IntRange(0, 7).Draw(t, "literal") {
	case 0:
		return HostEndpoint(rapid.SampledFrom(carryAddresses).Draw(t, "host"))
	case 1:
		return Endpoint{Prefix: netip.PrefixFrom(rapid.SampledFrom(carryAddresses[:18]).Draw(t, "prefix"), 29).Masked()}
	case 2:
		return GroupEndpoint(labels.Label(categories.Internet))
	case 3:
		return Any
	}
	c := rapid.SampledFrom(f.Categories).Draw(t, "category")
	return GroupEndpoint(labels.Label(categories.Ref{Category: c.Name, Group: rapid.SampledFrom(c.Groups).Draw(t, "group").Name}))
}

// carryCase is a proposal in the making, with what it is made with.
type carryCase struct {
	file       *categories.File
	addresses  *Addresses
	p          *Proposal
	seen       []netip.Addr
	statements [][2]any // Endpoint, Reading
}

func drawCarried(t *rapid.T) *carryCase {
	x := &carryCase{file: carryFiles().Draw(t, "file"), p: &Proposal{VRF: "default"}}
	x.p.Categories = rapid.Permutation(x.file.CategoryNames()).Draw(t, "order")
	x.p.Categories = x.p.Categories[:rapid.IntRange(1, len(x.p.Categories)).Draw(t, "selected")]
	var err error
	if x.addresses, err = NewAddresses(x.file, x.p.Categories); err != nil {
		t.Fatal(err)
	}
	rule := func(action Action, reading Reading) StatementRule {
		e := drawLiteral(t, x.file)
		x.statements = append(x.statements, [2]any{e, reading})
		return StatementRule{Action: action, Sources: []Endpoint{e}, Destinations: []Endpoint{HostEndpoint(netip.MustParseAddr("10.0.0.99"))}, Services: []Service{{Any: true}}}
	}
	var existing, guardrails []Policy
	for range rapid.IntRange(0, 2).Draw(t, "policies") {
		existing = append(existing, Policy{Rules: []StatementRule{rule(Allow, Allowing), rule(Deny, Denying)}})
		guardrails = append(guardrails, Policy{VRF: "default", Rules: []StatementRule{rule(Allow, Excepting), rule(Deny, Denying)}})
	}
	if rapid.Bool().Draw(t, "rules") {
		r := rule(Allow, Proposed)
		x.p.Rules = []Rule{{Action: Allow, Sources: r.Sources, Destinations: r.Destinations, Services: r.Services}}
	}
	if e := drawLiteral(t, x.file); !e.IsAny() && rapid.Bool().Draw(t, "scope") {
		x.p.Scope = &Scope{Client: []Endpoint{e}}
	}
	if rapid.Bool().Draw(t, "exclude") {
		c := rapid.SampledFrom(x.file.Categories).Draw(t, "excluded category")
		g := rapid.SampledFrom(c.Groups).Draw(t, "excluded group")
		x.file.Exclude = []categories.Exclusion{{Reason: "backup", Sources: []categories.Selector{{Group: categories.Ref{Category: c.Name, Group: g.Name}, Prefixes: g.Prefixes}}}}
	}
	var s Settings
	s.External = rapid.SampledFrom([]ExternalMode{"", ExternalInternet}).Draw(t, "external")
	s.Generalise = rapid.SampledFrom([]float64{0, 0, 0, 0.1}).Draw(t, "generalise")
	x.p.Settings = s.Document()
	x.seen = rapid.SliceOfN(rapid.SampledFrom(carryAddresses), 0, 5).Draw(t, "seen")
	var places []int
	for _, a := range x.seen {
		if g := x.addresses.resolver.LookupIndex(a); g >= 0 {
			places = append(places, g)
		}
	}
	x.p.Carry(x.file, x.addresses, rapid.Permutation(places).Draw(t, "places"), existing, guardrails)
	x.p.Seal()
	return x
}

// A reader of the document alone comes to what a reader of the groups file comes to, address by address.
func TestDocumentStandsForItsFile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := drawCarried(t)
		read, err := ParseProposals("document", x.p.JSON())
		if err != nil {
			t.Fatal(err)
		}
		p := &read[0]
		if p.Edited() {
			t.Fatal("the document is not the same when it was read")
		}
		file, err := p.CarriedFile()
		if err != nil {
			t.Fatal(err)
		}
		b, err := NewAddresses(file, p.Categories)
		if err != nil {
			t.Fatal(err)
		}
		a := x.addresses
		for _, s := range x.statements {
			e, as := s[0].(Endpoint), s[1].(Reading)
			for _, addr := range carryAddresses {
				if want, got := a.Holds(e, as, addr), b.Holds(e, as, addr); want != got {
					t.Fatalf("%s as %d holds %s: %v, by the document %v\n%s", e, as, addr, want, got, p.JSON())
				}
			}
		}
		carried := map[string][]netip.Prefix{}
		for _, g := range p.Groups {
			carried[g.Name] = g.Members
		}
		label := func(a *Addresses, addr netip.Addr) string {
			if g, ok := a.resolver.Lookup(addr); ok {
				return a.resolver.Label(g)
			}
			return ""
		}
		for _, addr := range carryAddresses {
			want, got := label(a, addr), label(b, addr)
			if _, in := carried[want]; in && want != got || !in && got != "" || slices.Contains(x.seen, addr) && want != got {
				t.Fatalf("%s is in %q, by the document in %q\n%s", addr, want, got, p.JSON())
			}
			if want, got := a.resolver.KindOf(addr), b.resolver.KindOf(addr); want != got {
				t.Fatalf("%s is %v, by the document %v\n%s", addr, want, got, p.JSON())
			}
			for name, members := range carried {
				in := slices.ContainsFunc(members, func(p netip.Prefix) bool { return p.Contains(addr) })
				if want := a.Contains(GroupEndpoint(name), addr); want != in {
					t.Fatalf("%s has %s: %v, by its members %v\n%s", name, addr, want, in, p.JSON())
				}
			}
			sameExclusion(t, x.file, file, addr)
		}
		sameHosts(t, x.file, file, a, carried)
		if x.p.Scope != nil {
			_, want, err := x.p.Scope.Bounds(x.file)
			_, got, err2 := p.Scope.Bounds(file)
			if err != nil || err2 != nil || !slices.Equal(want.Prefixes("client"), got.Prefixes("client")) {
				t.Fatalf("scope %v %v, by the document %v %v", want.Prefixes("client"), err, got.Prefixes("client"), err2)
			}
		}
		if p.Settings != nil && p.Settings.Generalise > 0 {
			for _, name := range x.file.CategoryNames() {
				want, err := NewAddresses(x.file, []string{name})
				got, err2 := NewAddresses(file, []string{name})
				if err != nil || err2 != nil {
					t.Fatal(err, err2)
				}
				for _, addr := range carryAddresses {
					if label(want, addr) != label(got, addr) {
						t.Fatalf("by category %s %s is in %q, by the document in %q", name, addr, label(want, addr), label(got, addr))
					}
				}
			}
		}
	})
}

// sameHosts compares the known hosts in the groups that are carried, and in none.
func sameHosts(t *rapid.T, a, b *categories.File, resolved *Addresses, carried map[string][]netip.Prefix) {
	hosts := func(f *categories.File) (out []string) {
		for _, addr := range f.Hosts() {
			label := ""
			if g, ok := resolved.resolver.Lookup(addr); ok {
				label = resolved.resolver.Label(g)
			}
			if label == "" || carried[label] != nil {
				out = append(out, label+" "+addr.String())
			}
		}
		slices.Sort(out)
		return out
	}
	if want, got := strings.Join(hosts(a), "\n"), strings.Join(hosts(b), "\n"); want != got {
		t.Fatalf("known hosts\n%s\nby the document\n%s", want, got)
	}
}

func sameExclusion(t *rapid.T, a, b *categories.File, client netip.Addr) {
	for i := range a.Exclude {
		server := netip.MustParseAddr("10.1.1.1")
		if want, got := a.Exclude[i].Matches(client, server, categories.Service{}), b.Exclude[i].Matches(client, server, categories.Service{}); want != got {
			t.Fatalf("%s is excluded: %v, by the document %v", client, want, got)
		}
	}
}

func TestCarriedMistakes(t *testing.T) {
	const group = `{"name": "web", "category": "role", "members": ["10.0.0.1/32"]}`
	for _, c := range []struct{ fields, says string }{
		{`"groups": [` + group + `, ` + group + `]`, "a second time"},
		{`"groups": [{"name": "web", "category": "role", "members": ["10.0.0.1/24"]}]`, "no bits behind its length"},
		{`"groups": [{"name": "web", "category": "", "members": []}]`, "needs a name and a category"},
		{`"groups": [{"name": "site/web", "category": "role", "group": "web", "members": []}]`, "role/web"},
		{`"knownHosts": ["10.0.0.0/8"]`, "at most"},
		{`"exclude": [{"reason": "backup", "sources": ["group:nobody"]}]`, "nobody"},
	} {
		text := `{"apiVersion": "cordon/v1", "kind": "PolicyProposal", "vrf": "default", "categories": [], "rules": [], ` + c.fields + `}`
		read, err := ParseProposals("document", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := read[0].CarriedFile(); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.fields, err, c.says)
		}
	}
}
