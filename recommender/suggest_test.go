package recommender

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"cordon/categories"
	"cordon/recommender/cover"
	"cordon/recommender/policy"
	"cordon/schema"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestGroupings compares with every order there is.
func TestGroupings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 4).Draw(t, "categories")
		presences := rapid.SliceOfN(rapid.Uint64Range(0, 1<<n-1), 0, 6).Draw(t, "presences")
		choose := func(order []int) string {
			out := ""
			for p := range uint64(1 << n) {
				if !slices.Contains(presences, p) {
					continue
				}
				i := slices.IndexFunc(order, func(c int) bool { return p>>c&1 == 1 })
				if i < 0 {
					out += " -"
				} else {
					out += fmt.Sprint(" ", order[i])
				}
			}
			return out
		}
		shortest := map[string]int{}
		count := uint64(0)
		var walk func(order []int)
		walk = func(order []int) {
			if len(order) > 0 {
				count++
			}
			if k := choose(order); len(order) < shortest[k] || shortest[k] == 0 && len(order) > 0 {
				shortest[k] = len(order)
			}
			for c := range n {
				if !slices.Contains(order, c) {
					walk(append(slices.Clone(order), c))
				}
			}
		}
		walk(nil)
		delete(shortest, choose(nil)) // groups nothing
		if got := orderCount(n); got != count {
			t.Fatalf("%d orders, want %d", got, count)
		}
		orders, all := groupings(n, presences, 1000)
		if all != len(orders) || all != len(shortest) {
			t.Fatalf("%d and %d groupings, want %d", all, len(orders), len(shortest))
		}
		for _, order := range orders {
			k := choose(order)
			if shortest[k] != len(order) {
				t.Fatalf("%v, but %d categories are enough or it came before", order, shortest[k])
			}
			delete(shortest, k)
		}
		some, all2 := groupings(n, presences, 2)
		if d := cmp.Diff(orders[:min(2, all)], some, cmp.Comparer(func(a, b []int) bool { return slices.Equal(a, b) })); d != "" || all2 != all {
			t.Fatalf("with a limit: %s, %d", d, all2)
		}
	})
	if orderCount(30) != math.MaxUint64 {
		t.Error("30 categories have more orders than fit")
	}
	// Twelve categories that all overlap have a billion orders.
	if orders, all := groupings(12, []uint64{1<<12 - 1, 0xf0f, 0x0f0, 0x333, 0xccc, 0x555}, 50); len(orders) != 50 || all <= 50 {
		t.Errorf("%d of %d", len(orders), all)
	}
}

func TestRank(t *testing.T) {
	x := func(name string, rules, literals int, excess, included, denied uint64) Suggestion {
		return Suggestion{Categories: []string{name}, Rules: rules, Literals: literals, Excess: excess, Sessions: 100, Included: included, HeldOut: &HeldOut{50, denied}}
	}
	s := Suggestions{List: []Suggestion{
		x("worse in denial", 1, 9, 9, 90, 6),
		x("fewest rules", 1, 9, 9, 90, 5),
		x("equal", 1, 9, 9, 90, 5),
		x("fewest literals", 2, 8, 9, 90, 5),
		x("worse in coverage", 2, 8, 9, 89, 5),
		x("least excess", 2, 9, 1, 90, 5),
		x("covers most", 9, 10, 10, 91, 9),
		x("denies least", 9, 10, 10, 80, 4),
		x("worst", 9, 10, 10, 80, 9),
	}}
	s.rank()
	var best []string
	for _, x := range s.List {
		if x.Best {
			best = append(best, x.Categories[0])
		}
	}
	if d := cmp.Diff([]string{"fewest rules", "equal", "fewest literals", "least excess", "covers most", "denies least"}, best, cmp.Transformer("sorted", func(s []string) []string { s = slices.Clone(s); slices.Sort(s); return s })); d != "" {
		t.Error(d)
	}
	if last := s.List[len(s.List)-1]; last.Categories[0] != "worst" {
		t.Errorf("%v comes last", last)
	}
}

// compareWithGenerate runs Generate for suggested orders, and on the parts of the window.
func compareWithGenerate(t interface{ Fatalf(string, ...any) }, ctx context.Context, conn driver.Conn, s SuggestSettings, file *categories.File, cut time.Time, list []Suggestion) {
	generate := func(s Settings) []policy.Proposal {
		p, err := Generate(ctx, conn, s, file)
		if err != nil {
			t.Fatalf("%+v: %v", s, err)
		}
		return p
	}
	for _, x := range list {
		set := s.Settings
		set.Categories = x.Categories
		want := Suggestion{Categories: x.Categories, Best: x.Best}
		for _, p := range generate(set) {
			want.Rules += len(p.Rules)
			want.LowerBound += p.Certificate.LowerBound
			want.Cells += p.Summary.Cells
			want.Sessions += p.Summary.Sessions
			want.Included += p.Summary.Included + permittedBefore(&p)
			for _, r := range p.Rules {
				want.Literals += len(r.Sources) + len(r.Destinations) + len(r.Services)
				want.Excess += r.Excess.PermittedPairs - r.Excess.ObservedPairs
			}
		}
		// What the learned rules deny is what has to be proposed after they are in force.
		set.Until = policy.NewTime(cut)
		var learned []policy.Policy
		before := uint64(0)
		if set.Since.Before(set.Until.Time) {
			for _, p := range generate(set) {
				before += p.Summary.Sessions
				one := policy.Policy{VRF: p.VRF}
				for _, r := range p.Rules {
					one.Rules = append(one.Rules, r.Statement())
				}
				learned = append(learned, one)
			}
		}
		set.Since, set.Until = policy.NewTime(cut), s.Until
		set.MinSessions, set.MinHosts, set.MinHours, set.Recurring, set.PortRanges = 0, 0, 0, 0, 0
		if set.Ungrouped == policy.UngroupedPrefix {
			set.Ungrouped = policy.UngroupedHost
		}
		var after, included, denied uint64
		if set.Until.IsZero() || set.Since.Before(set.Until.Time) {
			for _, p := range generate(set) {
				after += p.Summary.Sessions
				included += p.Summary.Included + permittedBefore(&p)
			}
			set.Existing = append(learned, set.Existing...)
			for _, p := range generate(set) {
				denied += p.Summary.Included
			}
		}
		if before > 0 && after > 0 {
			want.HeldOut = &HeldOut{Sessions: included, Denied: denied}
		}
		if d := cmp.Diff(want, x); d != "" {
			t.Fatalf("order %v, learned until %v (-generate-rules +suggest):\n%s", x.Categories, cut, d)
		}
	}
}

// permittedBefore is how many sessions the policies in force permit.
func permittedBefore(p *policy.Proposal) (n uint64) {
	for _, u := range p.Unproposed {
		if u.Reason == policy.AlreadyPermitted {
			n += u.Sessions
		}
	}
	return n
}

// TestSuggestAgainstGenerate draws sessions, groups and settings.
func TestSuggestAgainstGenerate(t *testing.T) { suggestAgainstGenerate(t, "10", false) }

// TestSuggestWithPoliciesAgainstGenerate draws policies, port ranges and prefixes, too.
func TestSuggestWithPoliciesAgainstGenerate(t *testing.T) { suggestAgainstGenerate(t, "11", true) }

func suggestAgainstGenerate(t *testing.T, seed string, policies bool) {
	conn := store(t)
	_, restore := fewChecks("2", seed) // each runs Generate eight times
	defer restore()
	rapid.Check(t, func(rt *rapid.T) {
		file := drawGroups(rt, 27)
		s := SuggestSettings{Settings: Settings{
			Settings: policy.Settings{Ungrouped: rapid.SampledFrom([]policy.UngroupedMode{policy.UngroupedHost, policy.UngroupedReport}).Draw(rt, "ungrouped"), External: rapid.SampledFrom([]policy.ExternalMode{policy.ExternalReport, policy.ExternalHost, policy.ExternalInternet}).Draw(rt, "external"), HalfOpen: rapid.SampledFrom([]policy.HalfOpenMode{policy.HalfOpenReport, policy.HalfOpenAllowUDP, policy.HalfOpenAllow}).Draw(rt, "half-open"), MinSessions: rapid.SampledFrom([]uint64{1, 1, 2}).Draw(rt, "min-sessions"), MinHosts: rapid.SampledFrom([]uint64{1, 1, 2}).Draw(rt, "min-hosts"), MinHours: rapid.SampledFrom([]uint64{1, 1, 1, 2}).Draw(rt, "min-hours"), Recurring: rapid.SampledFrom([]uint64{0, 0, 2}).Draw(rt, "recurring"), ScannerTargets: rapid.SampledFrom([]uint64{0, 0, 2}).Draw(rt, "scanners")},
			VRF:      rapid.SampledFrom([]string{"", "", "red"}).Draw(rt, "vrf"),
		}, Learn: rapid.SampledFrom([]float64{0, 0.01, 0.5}).Draw(rt, "learn")}
		if policies {
			s.Ungrouped = rapid.SampledFrom([]policy.UngroupedMode{policy.UngroupedHost, policy.UngroupedPrefix}).Draw(rt, "or prefix")
			s.PortRanges, s.MaxExtra = rapid.SampledFrom([]uint64{0, 2}).Draw(rt, "ranges"), 64
			s.Existing, s.Guardrails = drawPolicies(rt, file, "existing"), drawPolicies(rt, file, "guardrails")
		}
		if rapid.Bool().Draw(rt, "window") {
			s.Since, s.Until = policy.NewTime(base.Add(30*time.Minute)), policy.NewTime(base.Add(20*time.Hour))
		}
		flows := rapid.SliceOfN(rapid.Custom(drawFlow), 30, 120).Draw(rt, "flows")
		empty(t, conn)
		insertFlows(t, conn, flows)
		got, err := Suggest(t.Context(), conn, s, file)
		if err != nil {
			rt.Fatal(err)
		}
		if len(got.List) > 0 {
			some := rapid.SliceOfNDistinct(rapid.SampledFrom(got.List), 1, min(2, len(got.List)), func(x Suggestion) string { return fmt.Sprint(x.Categories) }).Draw(rt, "orders")
			compareWithGenerate(rt, t.Context(), conn, s, file, got.Cut.Time, some)
		}
	})
}

// TestSuggestCounts: numbers that were worked out by hand.
func TestSuggestCounts(t *testing.T) {
	conn := store(t)
	file := parseGroups(t, `categories:
  - {name: role, groups: [{name: web, prefixes: [10.0.0.1, 10.0.0.2, 10.0.0.3]}, {name: db, prefixes: [10.0.1.1]}]}
  - {name: site, groups: [{name: all, prefixes: [10.0.0.0/16]}]}
exclude: [{reason: backup, services: [tcp/873]}]
`)
	f := func(client, server string, port uint16, at time.Duration) flow {
		return flow{client: client, server: server, proto: 6, port: port, at: at, completeness: schema.Unknowable}
	}
	insertFlows(t, conn, []flow{
		f("10.0.0.1", "10.0.1.1", 80, 0), f("10.0.0.2", "10.0.1.1", 22, time.Hour), f("10.0.0.9", "10.0.1.1", 80, time.Hour),
		f("10.0.0.2", "10.0.1.1", 873, time.Hour),
		// After seven of ten hours:
		f("10.0.0.2", "10.0.1.1", 80, 8*time.Hour),   // learned from another of web
		f("10.0.0.1", "10.0.1.1", 443, 9*time.Hour),  // a new service
		f("10.0.0.9", "10.0.1.1", 22, 10*time.Hour),  // new for the host, not for its site
		f("10.0.0.9", "10.0.1.1", 873, 10*time.Hour), // excluded
	})
	got, err := Suggest(t.Context(), conn, SuggestSettings{}, file)
	if err != nil {
		t.Fatal(err)
	}
	if want := base.Add(7 * time.Hour); !got.Cut.Equal(want) {
		t.Errorf("learned until %v, want %v", got.Cut, want)
	}
	want := []Suggestion{
		// all -> all tcp/22, tcp/80, tcp/443: of 5 hosts known (10.0.0.3 only by role), 4 were seen in 3 pairs.
		{Categories: []string{"site"}, Rules: 1, LowerBound: 1, Cells: 3, Literals: 5, Excess: 5*5 - 5 - 3, HeldOut: &HeldOut{3, 1}},
		// web and 10.0.0.9 -> db tcp/22, tcp/80 and web -> db tcp/443: 4 and 3 pairs permitted, 3 and 1 seen.
		{Categories: []string{"role"}, Rules: 2, LowerBound: 2, Cells: 5, Literals: 5 + 3, Excess: 1 + 2, HeldOut: &HeldOut{3, 2}},
		// As before, with all in the place of 10.0.0.9, the only one that is in no role.
		{Categories: []string{"role", "site"}, Rules: 2, LowerBound: 2, Cells: 5, Literals: 5 + 3, Excess: 1 + 2, HeldOut: &HeldOut{3, 2}},
	}
	for i := range want {
		want[i].Sessions, want[i].Included, want[i].Best = 8, 6, true
	}
	if d := cmp.Diff(want, got.List); d != "" {
		t.Error(d)
	}
	if got.Orders != 4 || got.Groupings != 3 {
		t.Errorf("%d groupings of %d orders", got.Groupings, got.Orders)
	}
}

// TestSuggestCountsWithPolicies: numbers that were worked out by hand.
func TestSuggestCountsWithPolicies(t *testing.T) {
	conn := store(t)
	file := parseGroups(t, `categories:
  - {name: role, groups: [{name: web, prefixes: [10.0.0.1, 10.0.0.2, 10.0.0.3]}, {name: db, prefixes: [10.0.1.1]}]}
`)
	var flows []flow
	for _, f := range []struct {
		client string
		port   uint16
		hour   time.Duration
	}{{"10.0.0.1", 80, 0}, {"10.0.0.2", 22, 1}, {"10.0.0.2", 80, 8}, {"10.0.0.1", 443, 9}, {"10.0.0.3", 22, 9}, {"10.0.0.3", 5432, 10}} {
		flows = append(flows, flow{client: f.client, server: "10.0.1.1", proto: 6, port: f.port, at: f.hour * time.Hour, completeness: schema.Unknowable})
	}
	insertFlows(t, conn, flows)
	rule := func(action policy.Action, port uint16) policy.StatementRule {
		return policy.StatementRule{Action: action, Sources: []policy.Endpoint{policy.Any}, Destinations: []policy.Endpoint{policy.Any},
			Services: []policy.Service{{Term: categories.ServiceTerm{Proto: 6, Lo: port, Hi: port}}}}
	}
	got, err := Suggest(t.Context(), conn, SuggestSettings{Settings: Settings{
		Existing:   []policy.Policy{{Rules: []policy.StatementRule{rule(policy.Deny, 80), rule(policy.Allow, 5432)}}},
		Guardrails: []policy.Policy{{Rules: []policy.StatementRule{rule(policy.Deny, 22)}}},
	}}, file)
	if err != nil {
		t.Fatal(err)
	}
	// web -> db tcp/80, tcp/443, of which two hosts of web were seen. After seven hours tcp/80 is learned, whatever was in force,
	// tcp/5432 in force, and tcp/443 new.
	want := []Suggestion{{Categories: []string{"role"}, Rules: 1, LowerBound: 1, Cells: 2, Literals: 4, Excess: 3 - 2, Sessions: 6, Included: 3 + 1,
		HeldOut: &HeldOut{Sessions: 3, Denied: 1}, Best: true}}
	if d := cmp.Diff(want, got.List); d != "" {
		t.Error(d)
	}
}

func TestSuggestRealSet(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 500,000 records")
	}
	file, err := categories.ReadFile(shared(t, "data/sets/cisco_g21/groups.csv"))
	if err != nil {
		t.Fatal(err)
	}
	conn := store(t)
	insertFile(t, conn, shared(t, "data/sets/cisco_g21/sessions.csv.zst"))
	s := SuggestSettings{Settings: Settings{Effort: cover.EffortQuick, Observe: func(st Step) {
		t.Logf("%-30s %8d rows %v", st.Name, st.Rows, st.Took.Round(time.Millisecond))
	}}}
	began := time.Now()
	got, err := Suggest(t.Context(), conn, s, file)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%v for %d groupings of %d orders", time.Since(began), got.Groupings, got.Orders)
	// What generate-rules gives; app,tier is app, since each host of app is in a tier, and so on.
	want := map[string]string{
		"app,role": "100 of 3199", "tier,role": "139 of 4663", "tier": "145 of 4792", "app": "106 of 3274", "role": "117 of 3968",
	}
	for _, x := range got.List {
		t.Logf("%+v %+v", x, x.HeldOut)
		name := strings.Join(x.Categories, ",")
		if rules := fmt.Sprintf("%d of %d", x.Rules, x.Cells); want[name] != rules {
			t.Errorf("%s: %s cells, want %s", name, rules, want[name])
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("not tried: %v", want)
	}
}

func TestSuggestRefuses(t *testing.T) {
	file := parseGroups(t, "categories: [{name: role, groups: [{name: web, prefixes: [10.0.0.1]}]}]")
	for _, c := range []struct {
		setting string
		file    *categories.File
		s       SuggestSettings
	}{
		{"learn", file, SuggestSettings{Learn: 1}},
		{"learn", file, SuggestSettings{Learn: math.NaN()}},
		{"max-orders", file, SuggestSettings{MaxOrders: -1}},
		{"groups", nil, SuggestSettings{}},
		{"category", file, SuggestSettings{Settings: Settings{Categories: []string{"site"}}}},
		{"ungrouped", file, SuggestSettings{Settings: Settings{Settings: policy.Settings{Ungrouped: "x"}}}},
	} {
		_, err := Suggest(t.Context(), nil, c.s, c.file)
		if wrong, ok := errors.AsType[*policy.SettingsError](err); !ok || wrong.Setting != c.setting {
			t.Errorf("%+v: %v, want a mistake in %s", c.s, err, c.setting)
		}
	}
}

// TestSuggestWithoutHeldOut: one moment has no part before and after.
func TestSuggestWithoutHeldOut(t *testing.T) {
	conn := store(t)
	file := parseGroups(t, "categories: [{name: role, groups: [{name: web, prefixes: [10.0.0.1]}]}]")
	got, err := Suggest(t.Context(), conn, SuggestSettings{}, file)
	if err != nil || len(got.List) != 0 {
		t.Errorf("without sessions: %+v, %v", got, err)
	}
	insertFlows(t, conn, []flow{{client: "10.0.0.1", server: "10.0.0.2", proto: 6, port: 80, completeness: schema.Unknowable}})
	got, err = Suggest(t.Context(), conn, SuggestSettings{}, file)
	if err != nil {
		t.Fatal(err)
	}
	want := []Suggestion{{Categories: []string{"role"}, Rules: 1, LowerBound: 1, Cells: 1, Literals: 3, Sessions: 1, Included: 1, Best: true}}
	if d := cmp.Diff(want, got.List); d != "" {
		t.Error(d)
	}
}
