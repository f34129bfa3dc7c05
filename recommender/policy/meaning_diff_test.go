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

func sideOf(t *testing.T, groups string, rules ...string) Side {
	f := parse(t, groups)
	a, err := NewAddresses(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	list, _ := auditRules(t, rules...)
	return Side{Rules: list, Addresses: a, Proposed: true}
}

func TestMeaningDiff(t *testing.T) {
	const roles = "categories:\n- name: role\n  groups:\n  - {name: web, prefixes: [10.0.0.0/31]}\n  - {name: db, prefixes: [10.0.1.0/24]}\n"
	const dual = "categories:\n- name: role\n  groups:\n  - {name: web, prefixes: [10.0.0.0/31, 'fd00::1']}\n"
	const sites = "categories:\n- name: site\n  groups:\n  - {name: east, prefixes: [10.0.0.0/31]}\n  - {name: west, prefixes: [10.0.1.0/25]}\n"
	for _, c := range []struct {
		name         string
		a, b         Side
		lost, gained []string
	}{
		{"the same in other rules", sideOf(t, roles, "allow web -> db tcp/80,udp/53"), sideOf(t, roles, "allow web -> db tcp/80", "allow web -> db udp/53"), nil, nil},
		{"by other groups", sideOf(t, roles, "allow web -> web tcp/80"), sideOf(t, sites, "allow east -> east tcp/80"), nil, nil},
		{"by other groups, less", sideOf(t, roles, "allow web -> db tcp/80"), sideOf(t, sites, "allow east -> west tcp/80"),
			[]string{"rule 1: group:web -> ip:10.0.1.128/25 tcp/80 2x128 10.0.0.0 10.0.1.128 tcp/80"}, nil},
		{"a rule more", sideOf(t, roles), sideOf(t, roles, "allow web,db -> db any"), nil, []string{"rule 1: group:db,group:web -> group:db any 258x256 10.0.0.0 10.0.1.0 tcp/0"}},
		{"a wider range of ports", sideOf(t, roles, "allow web -> db tcp/8000-8010"), sideOf(t, roles, "allow web -> db tcp/7000-9000"), nil,
			[]string{"rule 1: group:web -> group:db tcp/7000-7999,tcp/8011-9000 2x256 10.0.0.0 10.0.1.0 tcp/7000"}},
		{"both families", sideOf(t, dual), sideOf(t, dual, "allow web -> any tcp/80"), nil, []string{"rule 1: group:web -> any tcp/80 3x340282366920938463463374607436063178752 10.0.0.0 0.0.0.0 tcp/80"}},
		{"one family", sideOf(t, dual, "allow web -> any tcp/80"), sideOf(t, dual, "allow web -> ::/0 tcp/80"), []string{"rule 1: group:web -> any tcp/80 2x4294967296 10.0.0.0 0.0.0.0 tcp/80 ipv4"}, nil},
		{"a literal of one family", sideOf(t, dual, "allow web -> 0.0.0.0/0 tcp/80"), sideOf(t, dual), []string{"rule 1: group:web -> ip:0.0.0.0/0 tcp/80 2x4294967296 10.0.0.0 0.0.0.0 tcp/80"}, nil},
		{"a denial before it", sideOf(t, roles, "allow web -> db tcp/80"), sideOf(t, roles, "deny 10.0.0.1/32 -> any any", "allow web -> db tcp/80"),
			[]string{"rule 1: ip:10.0.0.1/32 -> group:db tcp/80 1x256 10.0.0.1 10.0.1.0 tcp/80 by rule 1"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			change, err := MeaningDiff(c.a, c.b)
			if err != nil {
				t.Fatal(err)
			}
			text := func(list []Permission) (out []string) {
				for _, p := range list {
					var words [3][]string
					for _, e := range p.Sources {
						words[0] = append(words[0], e.String())
					}
					for _, e := range p.Destinations {
						words[1] = append(words[1], e.String())
					}
					for _, s := range p.Services {
						words[2] = append(words[2], s.String())
					}
					line := fmt.Sprintf("%s: %s -> %s %s %sx%s %s %s %s", p.Rule, strings.Join(words[0], ","), strings.Join(words[1], ","), strings.Join(words[2], ","),
						p.SourceAddresses, p.DestinationAddresses, p.Example.Source, p.Example.Destination, p.Example.Service)
					if p.Family != "" {
						line += " " + p.Family
					}
					if p.By != "" {
						line += " by " + p.By
					}
					out = append(out, line)
				}
				return out
			}
			if got := text(change.Lost); !slices.Equal(got, c.lost) {
				t.Errorf("lost %q, want %q", got, c.lost)
			}
			if got := text(change.Gained); !slices.Equal(got, c.gained) {
				t.Errorf("gained %q, want %q", got, c.gained)
			}
		})
	}
}

// Session by session: what is told is exactly what one policy permits and the other does not, whatever groups each has.
func TestMeaningDiffAgainstSessions(t *testing.T) {
	var services []categories.Service
	for _, s := range []string{"tcp/22", "tcp/80", "udp/53", "icmp/8", "gre"} {
		x, err := categories.ParseService(s)
		if err != nil {
			t.Fatal(err)
		}
		services = append(services, x)
	}
	var few []netip.Addr
	for i, a := range carryAddresses {
		if i%18 < 4 {
			few = append(few, a)
		}
	}
	changes := 0
	rapid.Check(t, func(t *rapid.T) {
		var sides [2]Side
		for i := range sides {
			f := carryFiles().Draw(t, "file")
			a, err := NewAddresses(f, nil)
			if err != nil {
				t.Fatal(err)
			}
			sides[i] = Side{Addresses: a, Proposed: rapid.Bool().Draw(t, "proposed")}
			for range rapid.IntRange(0, 3).Draw(t, "rules") {
				r := StatementRule{Action: Allow, Sources: []Endpoint{drawLiteral(t, f), drawLiteral(t, f)}, Destinations: []Endpoint{drawLiteral(t, f)}}
				if !sides[i].Proposed && rapid.Bool().Draw(t, "deny") {
					r.Action = Deny
				}
				for _, s := range rapid.SliceOfN(rapid.SampledFrom([]string{"any", "tcp", "tcp/22", "tcp/1-100", "udp/53", "gre"}), 1, 2).Draw(t, "services") {
					x, err := ParseService(s)
					if err != nil {
						t.Fatal(err)
					}
					r.Services = append(r.Services, x)
				}
				sides[i].Rules = append(sides[i].Rules, r)
			}
		}
		change, err := MeaningDiff(sides[0], sides[1])
		if err != nil {
			t.Fatal(err)
		}
		permits := func(s Side, c, d netip.Addr, x categories.Service) bool {
			for _, r := range s.Rules {
				in := func(set []Endpoint, a netip.Addr) bool {
					return slices.ContainsFunc(set, func(e Endpoint) bool { return s.Addresses.Holds(e, s.reading(r.Action), a) })
				}
				if in(r.Sources, c) && in(r.Destinations, d) && matchesService(r.Services, x) {
					return r.Action == Allow
				}
			}
			return false
		}
		told := func(list []Permission, s Side, c, d netip.Addr, x categories.Service) int {
			n := 0
			for _, p := range list {
				in := func(set []Endpoint, a netip.Addr) bool {
					return slices.ContainsFunc(set, func(e Endpoint) bool { return s.Addresses.Holds(e, s.reading(Allow), a) })
				}
				family := "ipv6"
				if c.Is4() {
					family = "ipv4"
				}
				if (p.Family == "" || p.Family == family) && in(p.Sources, c) && in(p.Destinations, d) && matchesService(p.Services, x) {
					n++
				}
			}
			return n
		}
		changes += len(change.Lost) + len(change.Gained)
		for _, c := range few {
			for _, d := range few {
				if c.Is4() != d.Is4() {
					continue
				}
				for _, x := range services {
					before, after := permits(sides[0], c, d, x), permits(sides[1], c, d, x)
					want := [2]bool{before && !after, after && !before}
					got := [2]int{told(change.Lost, sides[0], c, d, x), told(change.Gained, sides[1], c, d, x)}
					for i := range want {
						if want[i] != (got[i] > 0) {
							t.Fatalf("%s -> %s %s: before %v, after %v, told %v\n%s\n%s", c, d, x, before, after, got, rulesText(sides[0].Rules), rulesText(sides[1].Rules))
						}
					}
				}
			}
		}
	})
	if changes < 50 {
		t.Errorf("%d changes: too little was drawn", changes)
	}
}

func rulesText(rules []StatementRule) string {
	var b strings.Builder
	for _, r := range rules {
		fmt.Fprintln(&b, r.Action, r.Sources, r.Destinations, r.Services)
	}
	return b.String()
}
