package recommender

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"testing"

	"cordon/categories"
	"cordon/recommender/policy"
	"cordon/schema"

	"pgregory.net/rapid"
)

// twoLevels has teams in a and b, and parts of them. Part a3 is all of team c.
const twoLevels = `categories:
  - name: team
    groups:
      - {name: a, prefixes: [10.0.0.0/28]}
      - {name: b, prefixes: [10.0.0.16/28]}
      - {name: c, prefixes: [10.0.1.0/30]}
  - name: part
    groups:
      - {name: a1, prefixes: [10.0.0.0/30]}
      - {name: a2, prefixes: [10.0.0.4/30]}
      - {name: b1, prefixes: [10.0.0.16/30]}
      - {name: b2, prefixes: [10.0.0.20/30]}
      - {name: b3, prefixes: [10.0.0.24/30]}
      - {name: c1, prefixes: [10.0.1.0/30]}
`

func TestGeneralise(t *testing.T) {
	at := func(part string) netip.Addr { // the first address
		for _, g := range parseGroups(t, twoLevels).Categories[1].Groups {
			if g.Name == part {
				return g.Prefixes[0].Addr()
			}
		}
		t.Fatal(part)
		return netip.Addr{}
	}
	// some gives n sessions between parts.
	some := func(n int, client, server string) (out []flow) {
		for i := range n {
			a, b := at(client), at(server)
			for range i % 4 {
				a = a.Next()
			}
			for range i / 4 {
				b = b.Next()
			}
			out = append(out, flow{client: a.String(), server: b.String(), proto: 6, port: 443, packets: 1, reply: 1, completeness: schema.BothWays})
		}
		return out
	}
	// Three of four corners of a1, a2 to b1, b2: the fourth, a2 to b2, makes one rule of two.
	corners := func(n, m, k int) []flow {
		return slices.Concat(some(n, "a1", "b1"), some(m, "a1", "b2"), some(k, "a2", "b1"))
	}
	refused := func(f []flow) []flow {
		f[0].reply = 0
		return f
	}
	type testCase struct {
		name   string
		flows  []flow
		s      Settings
		groups string // The file's groups after twoLevels.
		rules  int
		want   []string // cells, with expected sessions and probability
	}
	cases := []testCase{
		{"off", corners(2, 1, 1), Settings{}, "", 2, nil},
		// 4 sessions, 1 from a2, 1 to b2: 1·1/4 expected, none with probability 3/4.
		{"by chance", corners(2, 1, 1), Settings{Settings: policy.Settings{Generalise: 0.05}}, "", 1, []string{"group:a2 -> group:b2 tcp/443 0.25 0.75"}},
		{"at the level", corners(2, 1, 1), Settings{Settings: policy.Settings{Generalise: 0.75}}, "", 1, []string{"group:a2 -> group:b2 tcp/443 0.25 0.75"}},
		{"below the level", corners(2, 1, 1), Settings{Settings: policy.Settings{Generalise: 0.76}}, "", 2, nil},
		// 23 sessions, 8 from a2, 7 to b2: 56/23 expected.
		{"not by chance", corners(8, 7, 8), Settings{Settings: policy.Settings{Generalise: 0.05}}, "", 2, nil},
		{"seen, but not answered", append(corners(2, 1, 1), refused(some(1, "a2", "b2"))...), Settings{Settings: policy.Settings{Generalise: 0.05}}, "", 2, nil},
		{"below support", slices.Concat(corners(2, 2, 2), some(1, "a2", "b2")), Settings{Settings: policy.Settings{Generalise: 0.05, MinSessions: 2}}, "", 2, nil},
		{"a guardrail", corners(2, 1, 1), Settings{Settings: policy.Settings{Generalise: 0.05},
			Guardrails: parsePolicies(t, "  - {action: deny, sources: [ip:10.0.0.7], destinations: [ip:10.0.0.20], services: [tcp/443]}\n")}, "", 2, nil},
		{"a rule in force that denies", corners(2, 1, 1), Settings{Settings: policy.Settings{Generalise: 0.05},
			Existing: parsePolicies(t, "  - {action: deny, sources: [ip:10.0.0.7], destinations: [ip:10.0.0.20], services: [tcp/443]}\n")}, "", 2, nil},
		{"a rule in force that allows", corners(2, 1, 1), Settings{Settings: policy.Settings{Generalise: 0.05},
			Existing: parsePolicies(t, "  - {sources: [group:a2], destinations: [group:b2]}\n")}, "", 1, nil},
		{"an exclusion", corners(2, 1, 1), Settings{Settings: policy.Settings{Generalise: 0.05}}, "exclude: [{reason: lab, sources: [10.0.0.6], services: [tcp/443]}]\n", 2, nil},
		{"an exclusion of another service", corners(2, 1, 1), Settings{Settings: policy.Settings{Generalise: 0.05}}, "exclude: [{reason: lab, sources: [10.0.0.6], services: [tcp/444]}]\n",
			1, []string{"group:a2 -> group:b2 tcp/443 0.25 0.75"}},
		// Without a session of its own to team b, a2 is no client there.
		{"no client there", slices.Concat(some(2, "a1", "b1"), some(1, "a1", "b2"), some(1, "a2", "c1")), Settings{Settings: policy.Settings{Generalise: 0.05}}, "", 2, nil},
		{"another team", slices.Concat(some(2, "a1", "b1"), some(1, "a1", "c1"), some(1, "a2", "b1")), Settings{Settings: policy.Settings{Generalise: 0.05}}, "", 2, nil},
		{"within the parts", corners(2, 1, 1), Settings{Settings: policy.Settings{Generalise: 0.05, GeneraliseWithin: "part"}}, "", 2, nil},
		{"two cells", slices.Concat(some(1, "a1", "b2"), some(1, "a2", "b1")), Settings{Settings: policy.Settings{Generalise: 0.05}}, "", 1,
			[]string{"group:a1 -> group:b1 tcp/443 0.5 0.5", "group:a2 -> group:b2 tcp/443 0.5 0.5"}},
	}
	for _, list := range alike(len(cases), func(i int) testCase { return testCase{s: cases[i].s, groups: cases[i].groups} }) {
		s := cases[list[0]].s
		s.Categories = []string{"part"}
		var flows [][]flow
		for _, i := range list {
			flows = append(flows, cases[i].flows)
		}
		for n, p := range proposalsOf(t, s, parseGroups(t, twoLevels+cases[list[0]].groups), flows...) {
			c := cases[list[n]]
			var have []string
			for _, r := range p.Rules {
				for _, g := range r.Generalised {
					have = append(have, fmt.Sprint(g.Source, " -> ", g.Destination, " ", g.Service, " ", g.ExpectedSessions, " ", g.Probability))
					if g.Within.Source.String() != "group:a" || g.Within.Destination.String() != "group:b" {
						t.Errorf("%s: within %v", c.name, g.Within)
					}
				}
			}
			if len(p.Rules) != c.rules || !slices.Equal(have, c.want) || p.Summary.GeneralisedCells != len(c.want) || !p.Certificate.Optimal {
				t.Errorf("%s: %d rules, want %d; %q, want %q\n%s", c.name, len(p.Rules), c.rules, have, c.want, p.JSON())
			}
		}
	}
}

// TestGeneraliseBeyondOwnCategory has the selected category first in the file: no cell is coarser there.
func TestGeneraliseBeyondOwnCategory(t *testing.T) {
	file := parseGroups(t, twoLevels)
	slices.Reverse(file.Categories)
	conn := store(t)
	for _, f := range [][2]string{{"10.0.0.0", "10.0.0.16"}, {"10.0.0.0", "10.0.0.20"}, {"10.0.0.4", "10.0.0.16"}} {
		insertFlows(t, conn, []flow{{client: f[0], server: f[1], proto: 6, port: 443, completeness: schema.Unknowable}})
	}
	s := Settings{Categories: []string{"part"}, Settings: policy.Settings{Generalise: 0.05}}
	got, err := Generate(t.Context(), conn, s, file)
	if err != nil {
		t.Fatal(err)
	}
	if len(got[0].Rules) != 1 || got[0].Summary.GeneralisedCells != 1 {
		t.Errorf("%s", got[0].JSON())
	}
	verifyProposal(t, t, conn, &got[0], s, file)
}

// TestGeneraliseSettings are refused where they mean nothing.
func TestGeneraliseSettings(t *testing.T) {
	for setting, s := range map[string]Settings{
		"generalise":        {Settings: policy.Settings{Generalise: 1.5}},
		"generalise-within": {Settings: policy.Settings{Generalise: 0.05, GeneraliseWithin: "nobody"}},
	} {
		var wrong *policy.SettingsError
		if _, err := Generate(t.Context(), nil, s, parseGroups(t, twoLevels)); !errors.As(err, &wrong) || wrong.Setting != setting {
			t.Errorf("%s: %v", setting, err)
		}
	}
	for _, s := range []Settings{{Settings: policy.Settings{Generalise: 0.05}}, {Settings: policy.Settings{GeneraliseWithin: "team"}}, {Settings: policy.Settings{Generalise: math.NaN()}}} {
		var wrong *policy.SettingsError
		if _, err := Generate(t.Context(), nil, s, nil); !errors.As(err, &wrong) {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

// TestGeneraliseAgainstReference draws sessions between groups of two levels.
func TestGeneraliseAgainstReference(t *testing.T) {
	conn := store(t)
	few, restore := fewChecks("5", "2")
	defer restore()
	generalised, forbidden := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		file := &categories.File{Path: "drawn", Categories: []categories.Category{{Name: "coarse"}, {Name: "fine"}}}
		for i := range 4 {
			file.Categories[0].Groups = append(file.Categories[0].Groups, categories.Group{Name: fmt.Sprint("c", i), Prefixes: []netip.Prefix{
				netip.PrefixFrom(universe[8*i], rapid.IntRange(28, 29).Draw(rt, "bits")).Masked()}})
			for k := range 4 {
				file.Categories[1].Groups = append(file.Categories[1].Groups, categories.Group{Name: fmt.Sprint("f", i, k), Prefixes: []netip.Prefix{
					netip.PrefixFrom(universe[8*i+2*k], rapid.IntRange(30, 32).Draw(rt, "bits")).Masked()}})
			}
		}
		if rapid.Bool().Draw(rt, "exclude") {
			p := netip.PrefixFrom(universe[rapid.IntRange(0, 31).Draw(rt, "excluded")], 32)
			file.Exclude = []categories.Exclusion{{Reason: "drawn", Sources: []categories.Selector{{Text: p.String(), Prefixes: []netip.Prefix{p}}},
				Services: []categories.ServiceTerm{{Proto: 6, Lo: 443, Hi: 443}}}}
		}
		s := Settings{
			Settings:   policy.Settings{Generalise: rapid.SampledFrom([]float64{0.05, 0.3, 0.8}).Draw(rt, "generalise"), GeneraliseWithin: rapid.SampledFrom([]string{"", "coarse"}).Draw(rt, "within"), Ungrouped: rapid.SampledFrom([]policy.UngroupedMode{policy.UngroupedHost, policy.UngroupedReport, policy.UngroupedPrefix}).Draw(rt, "ungrouped"), MinSessions: rapid.SampledFrom([]uint64{1, 1, 2}).Draw(rt, "min-sessions"), PortRanges: rapid.SampledFrom([]uint64{0, 2}).Draw(rt, "port-ranges"), MaxExtra: 4},
			Categories: rapid.SampledFrom([][]string{{"fine"}, {"fine", "coarse"}}).Draw(rt, "categories"),
			Existing:   drawPolicies(rt, file, "existing"),
			Guardrails: drawPolicies(rt, file, "guardrails"),
		}
		one := rapid.Custom(func(t *rapid.T) flow {
			f := drawFlow(t)
			f.vrf = "default"
			f.client, f.server = universe[rapid.IntRange(0, 15).Draw(t, "client")].String(), universe[rapid.IntRange(16, 31).Draw(t, "server")].String()
			if rapid.IntRange(0, 3).Draw(t, "answered") > 0 {
				f.reply, f.completeness, f.action = 1, schema.BothWays, schema.ActionUnknown
			}
			return f
		})
		for _, p := range againstReference(rt, t, conn, s, file, rapid.SliceOfN(one, 20, 120).Draw(rt, "flows")) {
			generalised += p.Summary.GeneralisedCells
			for _, u := range p.Unproposed {
				if u.Reason != policy.AlreadyPermitted {
					forbidden++
				}
			}
		}
	})
	if t.Logf("%d cells generalised", generalised); few && (generalised < 10 || forbidden == 0) {
		t.Error("too little was drawn")
	}
}
