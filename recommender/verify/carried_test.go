package verify

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"cordon/categories"
	"cordon/recommender/policy"
)

const carriedGroups = groupsText + `
  - name: part
    groups:
      - {name: pci, prefixes: [10.0.4.0/24, 10.0.2.1]}
services:
  - {name: postgres, match: [tcp/5432]}
exclude:
  - {reason: backup, sources: [group:pci], services: [tcp/9100]}
`

// carrying is the example with what it was made with; an edit of the document is sealed again.
func carrying(t *testing.T, edit func(*policy.Proposal)) *policy.Proposal {
	t.Helper()
	f := parsed(t, carriedGroups)
	a, err := policy.NewAddresses(f, []string{"role"})
	if err != nil {
		t.Fatal(err)
	}
	p := right(t)
	guardrails, err := policy.ParsePolicies("g.yaml", []byte(guardrailText))
	if err != nil {
		t.Fatal(err)
	}
	p.Carry(f, a, []int{0, 1, 2, 3}, nil, guardrails)
	edit(p)
	p.Seal()
	return p
}

const guardrailText = "apiVersion: cordon/v1\nkind: Policy\nrules:\n- {name: no-ssh, action: deny, sources: [any], destinations: [group:pci], services: [tcp/22]}\n"

func parsed(t *testing.T, text string) *categories.File {
	t.Helper()
	f, err := categories.Parse("groups.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// carriedGroupOf gives the place of a group in the document.
func carriedGroupOf(p *policy.Proposal, name string) *policy.CarriedGroup {
	return &p.Groups[slices.IndexFunc(p.Groups, func(g policy.CarriedGroup) bool { return g.Name == name })]
}

// What a document carries is compared with the file, field by field; a difference is named.
func TestCarried(t *testing.T) {
	prefix := netip.MustParsePrefix
	for _, c := range []struct {
		name string
		edit func(*policy.Proposal)
		file string // "-": none is given
		text []string
	}{
		{name: "nothing", edit: func(*policy.Proposal) {}},
		{name: "a member more", edit: func(p *policy.Proposal) {
			g := carriedGroupOf(p, "web")
			g.Members = append(g.Members, prefix("10.0.7.0/24"))
		}, text: []string{"members of group web of category role", "only in the proposal: 10.0.7.0/24"}},
		{name: "a member less", edit: func(p *policy.Proposal) {
			g := carriedGroupOf(p, "app")
			g.Members = g.Members[:1]
		}, text: []string{"members of group app of category role", "not in the proposal: 10.0.2.2/32"}},
		{name: "declared otherwise", edit: func(p *policy.Proposal) {
			g := carriedGroupOf(p, "pci")
			g.Members, g.Declared = []netip.Prefix{prefix("10.0.4.0/24")}, nil
		}, text: []string{"members of group pci of category part", "not in the proposal: 10.0.2.1/32"}},
		{name: "a group that no file has", edit: func(p *policy.Proposal) {
			p.Groups = append(p.Groups, policy.CarriedGroup{Name: "ghost", Category: "role", Members: []netip.Prefix{prefix("10.9.9.9/32")}})
		}, text: []string{"carries group ghost of category role"}},
		{name: "another category", edit: func(p *policy.Proposal) { carriedGroupOf(p, "dns").Category = "site" }, text: []string{"group dns in category site"}},
		{name: "a group less", edit: func(p *policy.Proposal) {
			p.Groups = slices.DeleteFunc(p.Groups, func(g policy.CarriedGroup) bool { return g.Name == "web" })
		}, text: []string{"does not carry every group", "web"}},
		{name: "another service", edit: func(p *policy.Proposal) { p.Services[0].Name = "mysql" }, text: []string{"services of the proposal", "mysql", "postgres"}},
		{name: "no exclusion", edit: func(p *policy.Proposal) { p.Exclude = nil }, text: []string{"exclusions of the proposal", "not in the proposal: backup"}},
		{name: "a known host more", edit: func(p *policy.Proposal) { p.KnownHosts = append(p.KnownHosts, prefix("10.0.1.77/32")) },
			text: []string{"single hosts", "only in the proposal: 10.0.1.77/32"}},
		{name: "a weaker guardrail", edit: func(p *policy.Proposal) { p.Guardrails[0].Rules[0].Services = nil }, text: []string{"guardrails of the proposal", "no-ssh", "tcp/22"}},
		{name: "no guardrail", edit: func(p *policy.Proposal) { p.Guardrails = nil }, text: []string{"guardrails of the proposal", "no-ssh"}},
		{name: "a host more in the file", edit: func(*policy.Proposal) {}, file: strings.Replace(carriedGroups, "[10.0.3.1]", "[10.0.3.1, 10.0.3.2]", 1),
			text: []string{"members of group dns of category role", "not in the proposal: 10.0.3.2/32"}},
		{name: "members by themselves", edit: func(p *policy.Proposal) {
			g := carriedGroupOf(p, "pci")
			g.Members = []netip.Prefix{prefix("10.0.2.1/32")}
			g.Declared = []netip.Prefix{prefix("10.0.2.1/32"), prefix("10.0.4.0/24")}
		}, file: "-", text: []string{"members of group pci of category part", "not in the proposal: 10.0.4.0/24"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := carrying(t, c.edit)
			o := Options{}
			if c.file != "-" {
				o.Groups = parsed(t, carriedGroups)
				if c.file != "" {
					o.Groups = parsed(t, c.file)
				}
				o.Guardrails, _ = policy.ParsePolicies("g.yaml", []byte(guardrailText))
			}
			r, err := against(p, &Collected{Sessions: collected(t)}, o)
			if err != nil {
				t.Fatal(err)
			}
			var text strings.Builder
			r.WriteText(&text)
			if r.has(WrongCarried) != (len(c.text) > 0) || len(c.text) == 0 && len(r.Findings) > 0 {
				t.Fatal(text.String())
			}
			for _, s := range c.text {
				if !strings.Contains(text.String(), s) {
					t.Errorf("%s\nhas no %q", text.String(), s)
				}
			}
		})
	}
}

// A file with other words that says the same of the proposal's groups is a note; a document that cannot be read is an error.
func TestCarriedNotes(t *testing.T) {
	o := Options{Groups: parsed(t, carriedGroups+"# written anew\n")}
	r, err := against(carrying(t, func(*policy.Proposal) {}), &Collected{Sessions: collected(t)}, o)
	if err != nil || !r.OK || !slices.Equal(kinds(r), []Kind{Hint}) {
		t.Errorf("%v %+v", err, r)
	}
	broken := carrying(t, func(p *policy.Proposal) { carriedGroupOf(p, "web").Category = "" })
	if _, err := against(broken, &Collected{Sessions: collected(t)}, Options{}); !errors.Is(err, ErrCarried) {
		t.Error(err)
	}
}
