package recommender

import (
	"slices"
	"strings"
	"testing"
	"time"

	"cordon/recommender/cover"
	"cordon/recommender/policy"
	"cordon/schema"
)

// TestRecurring: a cell has support if one of its (client, server) pairs came back in another hour, and a range of
// ports is looked at as a whole.
func TestRecurring(t *testing.T) {
	const groups = `categories:
  - name: role
    groups:
      - {name: web, prefixes: [10.0.0.0/24]}
      - {name: db, prefixes: [10.0.1.0/24]}
      - {name: ntp, prefixes: [10.0.2.0/24]}
exclude: [{reason: backup, sources: [10.0.0.9]}]
`
	f := func(client, server string, port uint16, hours ...int) (out []flow) {
		for _, h := range hours {
			out = append(out, flow{client: client, server: server, proto: 6, port: port, at: time.Duration(h) * time.Hour, completeness: schema.Unknowable})
		}
		return out
	}
	ports := func(client string, hours ...int) (out []flow) { // each port once
		for i := range 6 {
			out = append(out, f(client, "10.0.1.1", uint16(50000+7*i), hours[i%len(hours)])...)
		}
		return out
	}
	guardrail := parsePolicies(t, "- {action: deny, sources: [group:ntp], destinations: [any]}\n")
	cases := []struct {
		name  string
		flows [][]flow
		s     Settings
		want  string // the services of rules
	}{
		{"a pair came back", [][]flow{f("10.0.0.1", "10.0.1.1", 443, 0, 5)}, Settings{}, "tcp/443"},
		{"within an hour", [][]flow{f("10.0.0.1", "10.0.1.1", 443, 0, 0)}, Settings{}, ""},
		{"twice is not three times", [][]flow{f("10.0.0.1", "10.0.1.1", 443, 0, 5)}, Settings{Settings: policy.Settings{Recurring: 3}}, ""},
		{"three times", [][]flow{f("10.0.0.1", "10.0.1.1", 443, 0, 5, 9)}, Settings{Settings: policy.Settings{Recurring: 3}}, "tcp/443"},
		{"two clients, an hour apart", [][]flow{f("10.0.0.1", "10.0.1.1", 443, 0), f("10.0.0.2", "10.0.1.1", 443, 1)}, Settings{}, ""},
		{"one client, two servers", [][]flow{f("10.0.0.1", "10.0.1.1", 443, 0), f("10.0.0.1", "10.0.1.2", 443, 1)}, Settings{}, ""},
		{"two services of one pair", [][]flow{f("10.0.0.1", "10.0.1.1", 443, 0), f("10.0.0.1", "10.0.1.1", 22, 1)}, Settings{}, ""},
		{"others of the cell are permitted with it", [][]flow{f("10.0.0.1", "10.0.1.1", 443, 0, 5), f("10.0.0.2", "10.0.1.2", 443, 3)}, Settings{}, "tcp/443"},
		{"ports that are no range", [][]flow{ports("10.0.0.1", 0, 5)}, Settings{}, ""},
		{"a range as a whole", [][]flow{ports("10.0.0.1", 0, 5)}, Settings{Settings: policy.Settings{PortRanges: 3}}, "tcp/50000-50035"},
		{"a range within an hour", [][]flow{ports("10.0.0.1", 0)}, Settings{Settings: policy.Settings{PortRanges: 3}}, ""},
		{"a range of two clients, an hour apart", [][]flow{ports("10.0.0.1", 0), ports("10.0.0.2", 1)}, Settings{Settings: policy.Settings{PortRanges: 3}}, ""},
		{"with guardrails", [][]flow{f("10.0.0.1", "10.0.1.1", 443, 0, 5), f("10.0.0.1", "10.0.1.1", 22, 0), f("10.0.0.2", "10.0.1.1", 22, 5)}, Settings{Guardrails: guardrail}, "tcp/443"},
		{"what is excluded is no support", [][]flow{f("10.0.0.9", "10.0.1.1", 443, 0, 5), f("10.0.0.1", "10.0.1.1", 443, 0)}, Settings{}, ""},
		{"what is permitted already is", [][]flow{f("10.0.0.1", "10.0.1.1", 443, 0, 5), f("10.0.0.2", "10.0.1.1", 443, 3)},
			Settings{Existing: parsePolicies(t, "- {sources: [\"ip:10.0.0.1/32\"], destinations: [any]}\n")}, "tcp/443"},
		{"prefixes of those that came back", [][]flow{f("10.9.0.4", "10.0.1.1", 443, 0, 5), f("10.9.0.5", "10.0.1.1", 443, 0, 6), f("10.9.0.6", "10.0.1.1", 443, 0)},
			Settings{Settings: policy.Settings{Ungrouped: policy.UngroupedPrefix, MaxExtra: 4}}, "tcp/443"},
		{"of all that has support", [][]flow{f("10.0.0.1", "10.0.1.1", 443, 0, 5), f("10.0.0.1", "10.0.2.1", 22, 0)}, Settings{Settings: policy.Settings{Coverage: "50%"}}, "tcp/443"},
		{"beside what is generalised", [][]flow{f("10.0.0.1", "10.0.1.1", 443, 0, 5), f("10.0.0.1", "10.0.2.1", 22, 0)}, Settings{Settings: policy.Settings{Generalise: 0.05}}, "tcp/443"},
	}
	for _, list := range alike(len(cases), func(i int) Settings { return cases[i].s }) {
		s := cases[list[0]].s
		if s.Recurring == 0 {
			s.Recurring = policy.DefaultRecurring
		}
		s.Effort = cover.EffortQuick
		var flows [][]flow
		for _, i := range list {
			flows = append(flows, slices.Concat(cases[i].flows...))
		}
		for n, p := range proposalsOf(t, s, parseGroups(t, groups), flows...) {
			c := cases[list[n]]
			var got []string
			for _, r := range p.Rules {
				for _, s := range r.Services {
					got = append(got, s.String())
				}
			}
			if services := strings.Join(got, " "); services != c.want {
				t.Errorf("%s: rules are of %q, want %q\n%s", c.name, services, c.want, p.JSON())
			}
			once := slices.ContainsFunc(p.Unproposed, func(u policy.Unproposed) bool { return u.Reason == policy.BelowSupport })
			if c.want == "" && !once {
				t.Errorf("%s: nothing is listed as below-support: %s", c.name, p.JSON())
			}
		}
	}
}

func TestRecurringRefuses(t *testing.T) {
	_, err := Generate(t.Context(), nil, Settings{Settings: policy.Settings{Recurring: 1}}, nil)
	if err == nil || !strings.HasPrefix(err.Error(), "--recurring: ") {
		t.Errorf("%v, want a mistake in recurring", err)
	}
}
