package verify

import (
	"testing"

	"cordon/categories"
	"cordon/recommender/policy"
)

const teams = groupsText + `  - name: team
    groups:
      - {name: front, prefixes: [10.0.1.0/24, 10.0.2.0/24]}
      - {name: back, prefixes: [10.0.3.0/24, 10.0.4.0/24]}
`

// TestGeneralised has one rule for web and app to dns and db, of which app to db was
// not seen: 1 of 4 sessions is from app, 1 of 4 to db.
func TestGeneralised(t *testing.T) {
	file, err := categories.Parse("groups.yaml", []byte(teams))
	if err != nil {
		t.Fatal(err)
	}
	at := func(src, dst string) policy.Cell {
		return policy.Cell{Source: literals(t, src)[0], Destination: literals(t, dst)[0], Service: service(t, "tcp/443")}
	}
	example := func() (*policy.Proposal, []Session) {
		list := []Session{session(t, "10.0.1.7", "10.0.3.1", "tcp/443"), session(t, "10.0.1.8", "10.0.3.1", "tcp/443"),
			session(t, "10.0.1.7", "10.0.4.1", "tcp/443"), session(t, "10.0.2.1", "10.0.3.1", "tcp/443")}
		p := &policy.Proposal{VRF: "default", Window: policy.Window{From: policy.NewTime(base), To: policy.NewTime(base.Add(60e9))}, Categories: []string{"role"},
			Rules: []policy.Rule{newRule(t, "front-to-back", []string{"group:app", "group:web"}, []string{"group:db", "group:dns"}, "tcp/443",
				policy.Evidence{Sessions: 4, Clients: 3, Servers: 2}, policy.Excess{PermittedPairs: 8, ObservedPairs: 4})},
			Certificate: policy.Certificate{Rules: 1, LowerBound: 1, Optimal: true, Method: "fooling-set", Witness: []policy.Cell{at("group:web", "group:dns")}},
			Summary:     policy.Summary{Sessions: 4, Included: 4, Cells: 3, Rules: 1, PerHostRules: 4, PerPairRules: 3, EOSLines: 12, GeneralisedCells: 1},
			Settings:    &policy.Settings{Generalise: 0.05},
		}
		c := at("group:app", "group:db")
		p.Rules[0].Generalised = []policy.Generalised{{Source: c.Source, Destination: c.Destination, Service: c.Service,
			Within: policy.Within{Source: literals(t, "group:front")[0], Destination: literals(t, "group:back")[0]}, ExpectedSessions: 0.25, Probability: 0.75}}
		p.Seal()
		return p, list
	}
	unanswered := session(t, "10.0.2.2", "10.0.4.1", "tcp/443")
	unanswered.Complete, unanswered.HalfOpen = false, true
	for _, c := range []struct {
		name   string
		change func(p *policy.Proposal, list []Session, o *Options) []Session
		kinds  []Kind
		says   []string
	}{
		{"right", func(_ *policy.Proposal, list []Session, _ *Options) []Session { return list }, []Kind{}, []string{"but for 1 cell where having no session may be chance", "minimal"}},
		{"not asked for", func(_ *policy.Proposal, list []Session, o *Options) []Session {
			o.Settings.Generalise = 0
			return list
		}, []Kind{Unsound, WrongCount, WrongNumbers}, []string{"permits 1 of 4 cells that were never observed", "group:app -> group:db tcp/443"}},
		{"significant", func(_ *policy.Proposal, list []Session, o *Options) []Session {
			o.Settings.Generalise = 0.8
			return list
		}, []Kind{Unsound, WrongCount, WrongNumbers}, nil},
		{"within its own category", func(_ *policy.Proposal, list []Session, o *Options) []Session {
			o.Settings.GeneraliseWithin = "role"
			return list
		}, []Kind{Unsound, WrongCount, WrongNumbers}, nil},
		{"seen, but not answered", func(p *policy.Proposal, list []Session, _ *Options) []Session {
			p.Unproposed, p.Summary.Sessions = []policy.Unproposed{{Reason: policy.HalfOpen, Sessions: 1, Examples: examples("10.0.2.2 10.0.4.1 tcp/443")}}, 5
			return append(list, unanswered)
		}, []Kind{Edited, Unsound, WrongCount, WrongNumbers}, nil},
		{"a guardrail", func(_ *policy.Proposal, list []Session, o *Options) []Session {
			o.Guardrails = policies(t, "- {action: deny, sources: [ip:10.0.2.2/32], destinations: [group:db]}\n")
			return list
		}, []Kind{Unsound, WrongCount, WrongNumbers}, nil},
		{"a rule in force that denies", func(_ *policy.Proposal, list []Session, o *Options) []Session {
			o.Existing = policies(t, "- {action: deny, sources: [ip:10.0.2.2/32], destinations: [group:db]}\n")
			return list
		}, []Kind{BadInForce, Unsound, WrongCount, WrongNumbers}, nil},
		{"not said", func(p *policy.Proposal, list []Session, _ *Options) []Session {
			p.Rules[0].Generalised = nil
			return list
		}, []Kind{Edited, WrongNumbers}, []string{"group:app -> group:db tcp/443 is not said to be generalised"}},
		{"another chance", func(p *policy.Proposal, list []Session, _ *Options) []Session {
			p.Rules[0].Generalised[0].Probability = 0.8
			return list
		}, []Kind{Edited, WrongNumbers}, []string{"none has probability 0.75"}},
		{"a seen cell", func(p *policy.Proposal, list []Session, _ *Options) []Session {
			p.Rules[0].Generalised[0].Source = literals(t, "group:web")[0]
			return list
		}, []Kind{Edited, WrongNumbers}, []string{"group:web -> group:db tcp/443 is no cell of the rule that may be generalised"}},
		{"two witnesses that the cell joins", func(p *policy.Proposal, list []Session, _ *Options) []Session {
			p.Certificate.Witness = []policy.Cell{at("group:app", "group:dns"), at("group:web", "group:db")}
			return list
		}, []Kind{BadBound, BadWitness, Edited}, []string{"1 pairs of the witness fit into one rule"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, list := example()
			o := Options{Settings: *p.Settings, Groups: file}
			list = c.change(p, list, &o)
			r, err := against(p, &Collected{Sessions: list}, o)
			if err != nil {
				t.Fatal(err)
			}
			expect(t, r, c.kinds, c.says)
		})
	}
}
