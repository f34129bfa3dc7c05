package recommender

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"cordon/categories"
	"cordon/internal/iana"
	"cordon/recommender/policy"
	"cordon/recommender/verify"
	"cordon/schema"

	"pgregory.net/rapid"
)

// classAt gives the class of an address.
func classAt(c *classes, a netip.Addr) uint32 { return c.within(netip.PrefixFrom(a, a.BitLen()))[0] }

// TestPoliciesReadGroups has every pair of addresses decided by policies in force and
// by guardrails as the tests' own reading of the file has it, over groups that overlap
// in every way: nested in one category, in several categories, of categories that are not selected.
func TestPoliciesReadGroups(t *testing.T) {
	overlapping := 0
	rapid.Check(t, func(rt *rapid.T) {
		file := drawGroups(rt, 27)
		s := Settings{Categories: drawSelection(rt, file), Existing: drawPolicies(rt, file, "existing"), Guardrails: drawPolicies(rt, file, "guardrails")}
		p := mustPlan(t, s, file)
		groups := &ownReading{file: file, selected: s.Categories, universe: universe}
		class := map[netip.Addr]uint32{}
		for _, a := range universe {
			class[a] = classAt(&p.classes, a)
		}
		for _, in := range []struct {
			policies   []policy.Policy
			matcher    *matcher
			guardrails bool
		}{{s.Existing, p.existing, false}, {s.Guardrails, p.guardrails, true}} {
			for i, st := range in.matcher.statements {
				rule := &in.policies[0].Rules[i]
				for _, a := range universe {
					for side, set := range map[*policy.Endpoint][]member{&rule.Sources[0]: st.src, &rule.Destinations[0]: st.dst} {
						want := groups.holds(*side, rule.Action, in.guardrails, a)
						if got := holdsAny(set, &p.classes.list[class[a]]); got != want {
							rt.Fatalf("%s %s, guardrails %v, categories %v: holds %s: %v, want %v\n%+v", rule.Action, side, in.guardrails, s.Categories, a, got, want, file.Categories)
						}
						if side.IsGroup() && want && "group:"+groups.resolves(a) != side.String() {
							overlapping++
						}
					}
				}
			}
		}
	})
	if overlapping == 0 {
		t.Error("no statement ever meant an address of another group: the test draws the wrong files")
	}
}

const overlappingGroups = `categories:
  - name: role
    groups:
      - {name: app, prefixes: [10.0.1.0/24, "fd00:1::/64"]}
      - {name: canary, prefixes: [10.0.1.7]}
      - {name: web, prefixes: [10.0.2.0/24]}
      - {name: saas, prefixes: [52.1.2.0/24]}
  - name: comp
    groups:
      - {name: pci, prefixes: [10.0.1.2, 10.0.9.9, 10.0.8.0/29, "fd00:1::2"]}
      - {name: card, prefixes: [10.0.9.9]}
      - {name: all-apps, prefixes: [10.0.1.0/24]}
      - {name: jump, prefixes: [10.0.2.5]}
`

// TestDenialsReachEveryMember: whatever group a member of a denied group resolves to,
// nothing to it is proposed, and verify finds a rule that permits it. Each case has a
// service of its own, so that all are decided in one run.
func TestDenialsReachEveryMember(t *testing.T) {
	file := parseGroups(t, overlappingGroups)
	all, roleFirst := [][]string{nil, {"role"}, {"comp"}, {"comp", "role"}}, [][]string{nil, {"role"}}
	cases := []struct {
		name           string
		rules          string
		client, server string
		service        string
		selected       [][]string // Selections with which the denial reaches the session.
	}{
		{"another category", "{action: deny, destinations: [group:pci], services: [tcp/1]}", "10.0.2.9", "10.0.1.2", "tcp/1", all},
		{"another host of the cell", "{action: deny, destinations: [group:pci], services: [tcp/2]}", "10.0.2.9", "10.0.1.99", "tcp/2", roleFirst},
		{"a longer prefix of the same category", "{action: deny, destinations: [group:app], services: [tcp/3]}", "10.0.2.9", "10.0.1.7", "tcp/3", all},
		{"a longer prefix of a later category", "{action: deny, destinations: [group:pci], services: [tcp/4]}", "10.0.2.9", "10.0.9.9", "tcp/4", all},
		{"nowhere else", "{action: deny, destinations: [group:pci], services: [tcp/5]}", "10.0.2.9", "10.0.8.3", "tcp/5", all},
		{"as source", "{action: deny, sources: [group:pci], services: [tcp/6]}", "10.0.1.2", "10.0.2.9", "tcp/6", all},
		{"every service", "{action: deny, destinations: [group:card]}", "10.0.2.9", "10.0.9.9", "tcp/7", all},
		{"a range of services", "{action: deny, destinations: [group:pci], services: [tcp/8-9]}", "10.0.2.9", "10.0.1.2", "tcp/9", all},
		{"ICMP", "{action: deny, destinations: [group:pci], services: [icmp/8]}", "10.0.2.9", "10.0.1.2", "icmp/8", all},
		{"a protocol without ports", "{action: deny, destinations: [group:pci], services: [gre]}", "10.0.2.9", "10.0.1.2", "gre", all},
		{"IPv6", "{action: deny, destinations: [group:pci], services: [tcp/10]}", "fd00:2::9", "fd00:1::2", "tcp/10", all},
		{"public addresses", "{action: deny, destinations: [group:internet], services: [tcp/11]}", "10.0.2.9", "52.1.2.3", "tcp/11", all},
		{"an exception does not reach members that resolve elsewhere",
			"{sources: [group:jump], services: [tcp/12]}\n  - {action: deny, services: [tcp/12]}", "10.0.2.5", "10.0.2.9", "tcp/12", roleFirst},
		{"an exception for what they resolve to does",
			"{sources: [group:web], services: [tcp/13]}\n  - {action: deny, services: [tcp/13]}", "10.0.2.5", "10.0.2.9", "tcp/13", nil},
	}
	conn := store(t)
	var text string
	var flows []flow
	for _, c := range cases {
		x, err := categories.ParseService(c.service)
		if err != nil {
			t.Fatal(err)
		}
		f := flow{client: c.client, server: c.server, proto: x.Proto, port: x.Port, packets: 3, reply: 3, completeness: schema.BothWays}
		if x.Proto == iana.ICMP {
			f.port, f.icmpType = 0, uint8(x.Port)
		}
		flows, text = append(flows, f), text+"  - "+c.rules+"\n"
	}
	insertFlows(t, conn, flows)
	for i, selected := range all {
		s := Settings{Categories: selected, Guardrails: parsePolicies(t, text), Settings: policy.Settings{External: policy.ExternalHost}}
		if i == 1 {
			s.Ungrouped, s.MaxExtra = policy.UngroupedPrefix, 30
		}
		got, err := Generate(t.Context(), conn, s, file)
		if err != nil {
			t.Fatal(err)
		}
		p := &got[0]
		verifyProposal(t, t, conn, p, s, file)
		a, err := policy.NewAddresses(file, selected)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range cases {
			x, _ := categories.ParseService(c.service)
			denied := slices.ContainsFunc(c.selected, func(l []string) bool { return slices.Equal(l, selected) })
			if c.selected == nil && !(len(selected) == 0 || selected[0] == "role") {
				continue // the client resolves to another group
			}
			if permitted := a.Permits(p.Rules, netip.MustParseAddr(c.client), netip.MustParseAddr(c.server), x); permitted && denied || !permitted && c.selected == nil {
				t.Errorf("%v, %s: permitted %v", selected, c.name, permitted)
			}
		}
		// Made without the guardrails, it does not hold under them.
		s.Guardrails = nil
		if got, err = Generate(t.Context(), conn, s, file); err != nil {
			t.Fatal(err)
		}
		o := verify.Options{Groups: file, Guardrails: parsePolicies(t, text), Examples: 100}
		if got[0].Settings != nil {
			o.Settings = *got[0].Settings
		}
		r, err := verify.Proposal(t.Context(), conn, &got[0], o)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range cases {
			found := slices.ContainsFunc(r.Findings, func(f verify.Finding) bool {
				return f.Kind == verify.Unsound && slices.ContainsFunc(f.Examples, func(x string) bool { return strings.Contains(x, c.service+" (guardrail") })
			})
			if denied := slices.ContainsFunc(c.selected, func(l []string) bool { return slices.Equal(l, selected) }); denied && !found {
				t.Errorf("%v: verify does not find %s", selected, c.name)
			}
		}
	}
}
