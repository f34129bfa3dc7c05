package recommender

import (
	"fmt"
	"testing"

	"cordon/recommender/policy"
	"cordon/schema"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestCoverage works an example out by hand: three services of 6, 3 and 1 clients, each with a server of its own.
func TestCoverage(t *testing.T) {
	conn := store(t)
	file := parseGroups(t, "categories: [{name: use, groups: [{name: web, prefixes: [10.0.80.0/24]}, {name: tls, prefixes: [10.0.193.0/24]}, {name: ssh, prefixes: [10.0.22.0/24]}]}]")
	var flows []flow
	for port, clients := range map[uint16]int{80: 6, 443: 3, 22: 1} {
		for i := range clients {
			// ssh has more bytes than all others together.
			f := flow{client: fmt.Sprintf("10.0.%d.%d", port%250, i), server: fmt.Sprintf("10.1.0.%d", port%250), proto: 6, port: port, completeness: schema.Unknowable}
			if port == 22 {
				f.packets = 91
			}
			flows = append(flows, f)
		}
	}
	insertFlows(t, conn, flows)
	get := func(s Settings) *policy.Proposal {
		t.Helper()
		got, err := Generate(t.Context(), conn, s, file)
		if err != nil {
			t.Fatal(err)
		}
		verifyProposal(t, t, conn, &got[0], s, file)
		return &got[0]
	}
	all := get(Settings{})
	if p := get(Settings{Settings: policy.Settings{Coverage: "100%", CoverageBy: policy.ByBytes}}); string(p.JSON()) != string(all.JSON()) {
		t.Errorf("everything is no share:\n%s\n%s", all.JSON(), p.JSON())
	}
	for _, c := range []struct {
		s         Settings
		rules     int
		bound     int
		want      policy.Coverage
		left      []policy.Unproposed
		keepsPort uint16
	}{
		{Settings{Settings: policy.Settings{Coverage: "90%"}}, 2, 2, policy.Coverage{By: "sessions", Total: 10, Needed: 9, Permitted: 9, Reached: "90.00%"},
			[]policy.Unproposed{{Reason: policy.BelowSupport, Detail: "coverage", Sessions: 1, Examples: []policy.Example{{Source: "10.0.22.0", Destination: "10.1.0.22", Service: "tcp/22"}}}}, 80},
		{Settings{Settings: policy.Settings{Coverage: "60%"}}, 1, 1, policy.Coverage{By: "sessions", Total: 10, Needed: 6, Permitted: 6, Reached: "60.00%"}, nil, 80},
		{Settings{Settings: policy.Settings{Coverage: "60.1%"}}, 2, 2, policy.Coverage{By: "sessions", Total: 10, Needed: 7, Permitted: 9, Reached: "90.00%"}, nil, 80},
		{Settings{Settings: policy.Settings{Coverage: "91%", CoverageBy: policy.ByBytes}}, 1, 1, policy.Coverage{By: "bytes", Total: 10000, Needed: 9100, Permitted: 9100, Reached: "91.00%"}, nil, 22},
		// What support takes out is no part of the whole: one of 9 sessions is too few.
		{Settings{Settings: policy.Settings{Coverage: "60%", MinHosts: 2}}, 1, 1, policy.Coverage{By: "sessions", Total: 9, Needed: 6, Permitted: 6, Reached: "66.66%"}, []policy.Unproposed{
			{Reason: policy.BelowSupport, Sessions: 1, Examples: []policy.Example{{Source: "10.0.22.0", Destination: "10.1.0.22", Service: "tcp/22"}}},
			{Reason: policy.BelowSupport, Detail: "coverage", Sessions: 3, Examples: []policy.Example{
				{Source: "10.0.193.0", Destination: "10.1.0.193", Service: "tcp/443"}, {Source: "10.0.193.1", Destination: "10.1.0.193", Service: "tcp/443"},
				{Source: "10.0.193.2", Destination: "10.1.0.193", Service: "tcp/443"}}},
		}, 80},
		// What is permitted already counts: 3 of 10, so 6 more are enough, and 3 for 60%.
		{Settings{Settings: policy.Settings{Coverage: "90%"}, Existing: parsePolicies(t, "  - {services: [tcp/443]}\n")}, 1, 1,
			policy.Coverage{By: "sessions", Total: 10, Needed: 9, Permitted: 9, Reached: "90.00%"}, nil, 80},
		{Settings{Settings: policy.Settings{Coverage: "30%"}, Existing: parsePolicies(t, "  - {services: [tcp/443]}\n")}, 0, 0,
			policy.Coverage{By: "sessions", Total: 10, Needed: 3, Permitted: 3, Reached: "30.00%"}, nil, 0},
	} {
		p := get(c.s)
		if len(p.Rules) != c.rules || p.Certificate.LowerBound != c.bound || !p.Certificate.Optimal {
			t.Errorf("%+v: %d rules, %+v", c.s, len(p.Rules), p.Certificate)
		}
		if d := cmp.Diff(&c.want, p.Summary.Coverage); d != "" {
			t.Errorf("%+v: %s", c.s, d)
		}
		if c.left != nil {
			if d := cmp.Diff(c.left, p.Unproposed); d != "" {
				t.Errorf("%+v: %s", c.s, d)
			}
		}
		if c.keepsPort != 0 && p.Rules[0].Services[0].Term.Lo != c.keepsPort && p.Rules[len(p.Rules)-1].Services[0].Term.Lo != c.keepsPort {
			t.Errorf("%+v: no rule for port %d", c.s, c.keepsPort)
		}
	}
	for _, s := range []Settings{{Settings: policy.Settings{Coverage: "0%"}}, {Settings: policy.Settings{Coverage: "x"}}, {Settings: policy.Settings{CoverageBy: "flows"}}} {
		if _, err := Generate(t.Context(), conn, s, file); err == nil {
			t.Errorf("%+v is no share", s)
		}
	}
}

// TestCoverageHolds draws everything, and has package verify look at it.
func TestCoverageHolds(t *testing.T) {
	conn := store(t)
	_, restore := fewChecks("2", "8") // each takes five runs
	defer restore()
	rapid.Check(t, func(rt *rapid.T) {
		file := drawGroups(rt, 27)
		s := Settings{
			Settings:   policy.Settings{Ungrouped: rapid.SampledFrom([]policy.UngroupedMode{policy.UngroupedHost, policy.UngroupedReport, policy.UngroupedPrefix}).Draw(rt, "ungrouped"), External: rapid.SampledFrom([]policy.ExternalMode{policy.ExternalReport, policy.ExternalHost, policy.ExternalInternet}).Draw(rt, "external"), MinSessions: rapid.SampledFrom([]uint64{1, 2}).Draw(rt, "min-sessions"), PortRanges: rapid.SampledFrom([]uint64{0, 2}).Draw(rt, "port-ranges"), CoverageBy: rapid.SampledFrom([]policy.Measure{policy.BySessions, policy.ByBytes}).Draw(rt, "by"), Generalise: rapid.SampledFrom([]float64{0, 0, 0.05}).Draw(rt, "generalise")},
			Existing:   drawPolicies(rt, file, "existing"),
			Guardrails: drawPolicies(rt, file, "guardrails"),
		}
		flows := rapid.SliceOfN(rapid.Custom(drawFlow), 30, 120).Draw(rt, "flows")
		for range rapid.IntRange(0, 4).Draw(rt, "bursts") {
			flows = append(flows, drawBurst(rt)...)
		}
		empty(t, conn)
		insertFlows(t, conn, flows)
		run := func(s Settings) []policy.Proposal {
			got, err := Generate(t.Context(), conn, s, file)
			if err != nil {
				rt.Fatal(err)
			}
			for i := range got {
				verifyProposal(rt, t, conn, &got[i], s, file)
			}
			return got
		}
		full := run(s)
		var last []policy.Proposal
		for _, share := range []policy.Share{"40%", "90%"} {
			s.Coverage = share
			got := run(s)
			for i := range got {
				p := &got[i]
				c := p.Summary.Coverage
				if c.Permitted < c.Needed || c.Needed != share.Of(c.Total) {
					rt.Fatalf("%+v", c)
				}
				if len(p.Rules) > len(full[i].Rules) || p.Summary.Sessions != full[i].Summary.Sessions || p.Summary.Included > full[i].Summary.Included {
					rt.Fatalf("%s: %+v, all of it: %+v", share, p.Summary, full[i].Summary)
				}
				if last != nil && last[i].Certificate.LowerBound > len(p.Rules) {
					rt.Fatalf("%d rules for %s, less took %d at least", len(p.Rules), share, last[i].Certificate.LowerBound)
				}
			}
			last = got
		}
		// The same in another order; and what was accepted is enough.
		flows = rapid.Permutation(flows).Draw(rt, "order")
		empty(t, conn)
		insertFlows(t, conn, flows)
		again := run(s)
		for i := range again {
			if string(again[i].JSON()) != string(last[i].JSON()) {
				rt.Fatalf("another order of records:\n%s\n%s", last[i].JSON(), again[i].JSON())
			}
			in := policy.Policy{VRF: last[i].VRF}
			for _, r := range last[i].Rules {
				in.Rules = append(in.Rules, r.Statement())
			}
			s.Existing = append([]policy.Policy{in}, s.Existing...)
		}
		if s.MinSessions > 1 {
			return // a session that a rule permits by the way may be one of too few
		}
		for _, p := range run(s) {
			if len(p.Rules) > 0 {
				rt.Fatalf("after everything was accepted there are %d rules more for %+v", len(p.Rules), p.Summary.Coverage)
			}
		}
	})
}
