package policy

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"cordon/categories"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const auditGroups = `categories:
  - name: role
    groups:
      - {name: web, prefixes: [10.0.0.0/31]}
      - {name: db, prefixes: [10.0.0.2, fd00::1]}
`

func auditAddresses(t testing.TB) *Addresses {
	t.Helper()
	f, err := categories.Parse("groups.yaml", []byte(auditGroups))
	if err != nil {
		t.Fatal(err)
	}
	a, err := NewAddresses(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// auditRules reads rules such as "deny web,10.0.0.9/32 -> any tcp/22,udp/53"; they are called a, b, c...
func auditRules(t testing.TB, lines ...string) (rules []StatementRule, labels []string) {
	t.Helper()
	ends := func(text string) (out []Endpoint) {
		for _, s := range strings.Split(text, ",") {
			switch {
			case s == "any":
			case strings.ContainsAny(s, ".:"):
				s = "ip:" + s
			default:
				s = "group:" + s
			}
			e, err := ParseEndpoint(s)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, e)
		}
		return out
	}
	for i, l := range lines {
		f := strings.Fields(l)
		r := StatementRule{Action: Action(f[0]), Sources: ends(f[1]), Destinations: ends(f[3])}
		for _, s := range strings.Split(f[4], ",") {
			x, err := ParseService(s)
			if err != nil {
				t.Fatal(err)
			}
			r.Services = append(r.Services, x)
		}
		rules, labels = append(rules, r), append(labels, string(rune('a'+i)))
	}
	return rules, labels
}

func proposedRules(t testing.TB, lines ...string) (out []Rule) {
	list, _ := auditRules(t, lines...)
	for i, r := range list {
		out = append(out, Rule{Name: fmt.Sprintf("p%d", i), Action: r.Action, Sources: r.Sources, Destinations: r.Destinations, Services: r.Services})
	}
	return out
}

func TestAudit(t *testing.T) {
	for _, c := range []struct {
		name     string
		rules    []string
		proposed []string
		unused   string
		want     []InForce
	}{
		{"nothing", []string{"allow web -> db tcp/22", "allow db -> web tcp/22"}, nil, "", nil},
		{"an earlier rule covers", []string{"allow web -> db tcp", "allow 10.0.0.1/32 -> db tcp/22"}, nil, "", []InForce{{Rule: "b", Finding: Redundant, By: []string{"a"}}}},
		{"a later rule covers", []string{"allow 10.0.0.1/32 -> db tcp/22", "allow web -> db tcp"}, nil, "", []InForce{{Rule: "a", Finding: Redundant, By: []string{"b"}}}},
		{"the later of two that are the same", []string{"allow web -> db tcp/22", "allow web -> db tcp/22"}, nil, "", []InForce{{Rule: "b", Finding: Redundant, By: []string{"a"}}}},
		{"two cover together", []string{"allow 10.0.0.0/32 -> db tcp/20-30", "allow 10.0.0.1/32 -> db tcp/1-100", "allow web -> db tcp/22-24"}, nil, "", []InForce{{Rule: "c", Finding: Redundant, By: []string{"a", "b"}}}},
		{"earlier rules that differ decide all", []string{"allow web -> db tcp/22-23", "deny any -> db tcp/24", "allow 10.0.0.0/32 -> db tcp/22-24"}, nil, "", []InForce{{Rule: "c", Finding: Shadowed, By: []string{"a", "b"}}}},
		{"shadowed", []string{"deny any -> db any", "allow web -> db tcp/22"}, nil, "ab", []InForce{{Rule: "a", Finding: Unused}, {Rule: "b", Finding: Shadowed, By: []string{"a"}}}},
		{"shadowed by two", []string{"deny any -> 10.0.0.2/32 any", "deny any -> fd00::1/128 tcp", "allow any -> db tcp/22"}, nil, "", []InForce{{Rule: "c", Finding: Shadowed, By: []string{"a", "b"}}}},
		{"a deny between makes a difference", []string{"allow web -> db tcp/22", "deny web -> db tcp", "allow web -> any tcp"}, nil, "", nil},
		{"order matters", []string{"deny web -> db tcp/22", "allow web -> db tcp"}, nil, "", nil},
		{"a proposal covers", []string{"allow 10.0.0.1/32 -> db tcp/22"}, []string{"allow web -> db tcp/22"}, "", []InForce{{Rule: "a", Finding: Redundant, ByProposed: []string{"p0"}}}},
		{"a rule and a proposal cover", []string{"allow web -> db tcp/22", "allow 10.0.0.0/32 -> db tcp"}, []string{"allow 10.0.0.1/32 -> db tcp/22"}, "",
			[]InForce{{Rule: "a", Finding: Redundant, By: []string{"b"}, ByProposed: []string{"p0"}}}},
		{"a proposal against a denial", []string{"deny any -> db tcp/22"}, []string{"allow db -> web any", "allow web -> db tcp/20-23"}, "", []InForce{{Rule: "a", Finding: Contradicted, ByProposed: []string{"p1"}}}},
		{"an exception before the denial", []string{"allow web -> db tcp/22", "deny any -> db tcp/22"}, []string{"allow web -> db tcp/22"}, "", nil},
		{"unused", []string{"allow web -> db tcp/22"}, nil, "a", []InForce{{Rule: "a", Finding: Unused}}},
		{"used in place of another", []string{"allow 10.0.0.1/32 -> db tcp/22", "allow web -> db tcp"}, nil, "b", []InForce{{Rule: "a", Finding: Redundant, By: []string{"b"}}}},
		{"mapped addresses are no IPv6", []string{"allow any -> ::/0 any", "allow web,::/0 -> any any"}, nil, "", []InForce{{Rule: "a", Finding: Redundant, By: []string{"b"}}}},
		// No session has an IPv4 and an IPv6 address.
		{"families", []string{"allow 0.0.0.0/0 -> 0.0.0.0/0 any", "allow ::/0 -> ::/0 any", "allow any -> any any"}, nil, "", []InForce{{Rule: "a", Finding: Redundant, By: []string{"c"}}, {Rule: "b", Finding: Redundant, By: []string{"c"}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			rules, labels := auditRules(t, c.rules...)
			var seen []Seen
			for i := range rules {
				if !strings.Contains(c.unused, labels[i]) {
					seen = append(seen, Seen{Holders: []int{i}})
				}
			}
			got := auditAddresses(t).Audit(audited(rules, labels), seen, proposedRules(t, c.proposed...))
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func audited(rules []StatementRule, labels []string) []AuditRule {
	out := make([]AuditRule, len(rules))
	for i := range rules {
		out[i] = AuditRule{StatementRule: rules[i], Label: labels[i]}
	}
	return out
}

// Of rules that permit what was seen, the widest goes, wherever it stands.
func TestAuditPrefersTightRules(t *testing.T) {
	for _, c := range []struct {
		name   string
		rules  []string
		widths []uint64 // permitted pairs
		seen   []Seen
		want   []InForce
	}{
		{"a wide rule before tight ones", []string{"allow web -> any any", "allow web -> db tcp/22", "deny web -> any any"}, []uint64{9, 2, 9},
			[]Seen{{Holders: []int{0, 1, 2}, Keep: true}}, []InForce{{Rule: "a", Finding: Redundant, By: []string{"b"}}, {Rule: "c", Finding: Unused}}},
		{"a wide rule behind tight ones", []string{"allow web -> db tcp/22", "allow web -> db udp/53", "allow any -> any any"}, []uint64{2, 2, 9},
			[]Seen{{Holders: []int{0, 2}, Keep: true}, {Holders: []int{1, 2}, Keep: true}, {Holders: []int{2}}}, []InForce{{Rule: "c", Finding: Redundant, By: []string{"a", "b"}}}},
		{"a wide rule that is needed", []string{"allow any -> any any", "allow web -> db tcp/22"}, []uint64{9, 2},
			[]Seen{{Holders: []int{0, 1}, Keep: true}, {Holders: []int{0}, Keep: true}}, []InForce{{Rule: "b", Finding: Redundant, By: []string{"a"}}}},
		{"a denial between", []string{"allow any -> any any", "deny any -> db tcp/22", "allow web -> db tcp/22"}, []uint64{9, 9, 2},
			[]Seen{{Holders: []int{0, 1, 2}, Keep: true}}, []InForce{{Rule: "b", Finding: Shadowed, By: []string{"a"}}, {Rule: "c", Finding: Redundant, By: []string{"a"}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			lines, labels := auditRules(t, c.rules...)
			rules := audited(lines, labels)
			for i := range rules {
				rules[i].Beyond = Beyond{PermittedPairs: c.widths[i], PermittedPorts: 1}
			}
			if d := cmp.Diff(c.want, auditAddresses(t).Audit(rules, c.seen, nil)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// Session by session: what is called redundant or shadowed may go, all of it at once, and nothing else may.
func TestAuditAgainstSessions(t *testing.T) {
	a := auditAddresses(t)
	var addrs []netip.Addr // one of each kind that a literal below tells apart
	for _, s := range []string{"10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.9.9.9", "8.8.8.8", "fd00::1", "fd00::2", "2001:4860::8"} {
		addrs = append(addrs, netip.MustParseAddr(s))
	}
	var services []categories.Service
	for _, s := range []string{"tcp/22", "tcp/80", "tcp/443", "udp/53", "udp/99", "icmp/8", "gre", "esp"} {
		x, err := categories.ParseService(s)
		if err != nil {
			t.Fatal(err)
		}
		services = append(services, x)
	}
	end := rapid.SampledFrom([]string{"any", "web", "db", "internet", "10.0.0.0/32", "10.0.0.0/30", "10.0.0.3/32", "::/0", "0.0.0.0/0"})
	line := rapid.Custom(func(t *rapid.T) string {
		return fmt.Sprintf("%s %s,%s -> %s %s", rapid.SampledFrom([]string{"allow", "allow", "deny"}).Draw(t, "action"),
			end.Draw(t, "source"), end.Draw(t, "source"), end.Draw(t, "destination"), rapid.SampledFrom([]string{"any", "tcp", "tcp/22", "tcp/1-100", "udp/53,gre"}).Draw(t, "services"))
	})
	rapid.Check(t, func(rt *rapid.T) {
		lines := rapid.SliceOfN(line, 1, 6).Draw(rt, "rules")
		rules, labels := auditRules(t, lines...)
		var more []string
		for _, l := range rapid.SliceOfN(line, 0, 2).Draw(rt, "proposed") {
			more = append(more, strings.Replace(l, "deny", "allow", 1))
		}
		proposed := proposedRules(t, more...)
		all := append([]StatementRule(nil), rules...)
		for _, p := range proposed {
			all = append(all, StatementRule{Action: p.Action, Sources: p.Sources, Destinations: p.Destinations, Services: p.Services})
		}
		// holders gives the rules of a session, in order.
		holders := func(c, s netip.Addr, x categories.Service) (out []int) {
			for i, r := range all {
				if a.matches(r.Sources, c) && a.matches(r.Destinations, s) && matchesService(r.Services, x) {
					out = append(out, i)
				}
			}
			return out
		}
		type session struct {
			c, s netip.Addr
			x    categories.Service
		}
		kept := map[session]bool{}
		var seen []Seen
		for _, i := range rapid.SliceOfN(rapid.IntRange(0, len(addrs)*len(addrs)*len(services)-1), 0, 8).Draw(rt, "seen") {
			x := session{addrs[i%len(addrs)], addrs[i/len(addrs)%len(addrs)], services[i/len(addrs)/len(addrs)]}
			if x.c.Is4() == x.s.Is4() {
				kept[x] = true
				seen = append(seen, Seen{Holders: holders(x.c, x.s, x.x), Keep: true})
			}
		}
		for i := range rules {
			seen = append(seen, Seen{Holders: []int{i}}) // each is used
		}
		widths := audited(rules, labels)
		for i := range widths {
			widths[i].Beyond = Beyond{PermittedPairs: uint64(rapid.IntRange(0, 3).Draw(rt, "width")), PermittedPorts: 1}
		}
		gone, says := make([]bool, len(all)), map[string]InForce{}
		for _, f := range a.Audit(widths, seen, proposed) {
			says[f.Rule] = f
			gone[f.Rule[0]-'a'] = f.Finding == Redundant || f.Finding == Shadowed
		}
		// decides gives the rule that decides a session without some of them, or -1.
		decides := func(without []bool, c, s netip.Addr, x categories.Service) int {
			for i, r := range all {
				if !without[i] && a.matches(r.Sources, c) && a.matches(r.Destinations, s) && matchesService(r.Services, x) {
					return i
				}
			}
			return -1
		}
		allows := func(i int) int {
			if i < 0 {
				return -1
			}
			if all[i].Action == Allow {
				return 1
			}
			return 0
		}
		matters, decided, against := make([]bool, len(rules)), make([]bool, len(rules)), make([]bool, len(rules))
		alive := make([]bool, len(rules))
		serves, wanted := make([]bool, len(rules)), make([]bool, len(rules)) // The rule serves a session; nobody else would permit it.
		for _, c := range addrs {
			for _, s := range addrs {
				if c.Is4() != s.Is4() {
					continue
				}
				for _, x := range services {
					first := decides(make([]bool, len(all)), c, s, x)
					rest := decides(gone, c, s, x)
					if allows(rest) == 1 && allows(first) != 1 || kept[session{c, s, x}] && (allows(rest) == 1) != (allows(first) == 1) {
						rt.Fatalf("%s -> %s %s is decided by %d, and by %d without %v\n%s", c, s, x, first, rest, says, strings.Join(lines, "\n"))
					}
					if first >= 0 && first < len(rules) {
						decided[first] = true
					}
					if rest < 0 || rest >= len(rules) {
						continue
					}
					alive[rest] = true
					serves[rest] = serves[rest] || kept[session{c, s, x}]
					without := append([]bool(nil), gone...)
					without[rest] = true
					if allows(decides(without, c, s, x)) != allows(rest) {
						matters[rest] = true
						wanted[rest] = wanted[rest] || kept[session{c, s, x}]
					}
					for _, p := range proposed {
						if all[rest].Action == Deny && a.Permits([]Rule{p}, c, s, x) {
							against[rest] = true
						}
					}
				}
			}
		}
		for i, label := range labels {
			f := says[label]
			if f.Finding == Shadowed && decided[i] {
				rt.Fatalf("%s decides something: %+v\n%s", label, f, strings.Join(lines, "\n"))
			}
			if !gone[i] && alive[i] && !matters[i] {
				rt.Fatalf("nothing changes without %s\n%s\n%s", label, strings.Join(lines, "\n"), strings.Join(more, "\n"))
			}
			if !gone[i] && all[i].Action == Allow && serves[i] && !wanted[i] {
				rt.Fatalf("all that was seen stays permitted without %s\n%s\n%s", label, strings.Join(lines, "\n"), strings.Join(more, "\n"))
			}
			if !gone[i] && against[i] != (f.Finding == Contradicted) {
				rt.Fatalf("%s: %+v, denies what is proposed: %v\n%s\n%s", label, f, against[i], strings.Join(lines, "\n"), strings.Join(more, "\n"))
			}
		}
	})
}
