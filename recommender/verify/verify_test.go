package verify

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"cordon/categories"
	"cordon/recommender/policy"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const groupsText = `
categories:
  - name: role
    groups:
      - {name: web, prefixes: [10.0.1.0/24]}
      - {name: app, prefixes: [10.0.2.1, 10.0.2.2]}
      - {name: dns, prefixes: [10.0.3.1]}
      - {name: db, prefixes: [10.0.4.1]}
`

func groups(t testing.TB) *categories.File {
	t.Helper()
	f, err := categories.Parse("groups.yaml", []byte(groupsText))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

var base = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)

func session(t testing.TB, client, server, service string) Session {
	t.Helper()
	s, err := categories.ParseService(service)
	if err != nil {
		t.Fatal(err)
	}
	return Session{Client: netip.MustParseAddr(client), Server: netip.MustParseAddr(server), Service: s,
		Flows: 2, Bytes: 300, First: base, Last: base.Add(time.Minute), Complete: true, Directed: true}
}

// collected is what the example is about: web uses app and dns, app uses db and
// dns, one host in no group uses dns, and one session has no answer.
func collected(t testing.TB) []Session {
	out := []Session{
		session(t, "10.0.1.7", "10.0.2.1", "tcp/4567"),
		session(t, "10.0.1.8", "10.0.2.2", "tcp/4567"),
		session(t, "10.0.1.7", "10.0.3.1", "udp/53"),
		session(t, "10.0.2.1", "10.0.3.1", "udp/53"),
		session(t, "10.0.2.1", "10.0.4.1", "tcp/5432"),
		session(t, "10.0.9.9", "10.0.3.1", "udp/53"),
		session(t, "10.0.1.7", "10.0.4.1", "tcp/5432"),
	}
	half := &out[len(out)-1]
	half.Complete, half.HalfOpen = false, true
	return out
}

func literals(t testing.TB, texts ...string) (out []policy.Endpoint) {
	t.Helper()
	for _, s := range texts {
		e, err := policy.ParseEndpoint(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

func service(t testing.TB, text string) policy.Service {
	t.Helper()
	s, err := policy.ParseService(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newRule(t testing.TB, name string, src, dst []string, svc string, e policy.Evidence, x policy.Excess) policy.Rule {
	e.FirstSeen, e.LastSeen = policy.NewTime(base), policy.NewTime(base.Add(time.Minute))
	e.Flows, e.Bytes = 2*e.Sessions, 300*e.Sessions
	r := policy.Rule{Name: name, Action: policy.Allow, Direction: policy.Bidirectional, Sources: literals(t, src...), Destinations: literals(t, dst...),
		Services: []policy.Service{service(t, svc)}, Evidence: e, Excess: x}
	r.ID = r.ContentID()
	return r
}

// examples reads examples, "client server service" each and perhaps a note behind.
func examples(texts ...string) (out []policy.Example) {
	for _, text := range texts {
		f := strings.SplitN(text, " ", 4)
		e := policy.Example{Source: f[0], Destination: f[1], Service: f[2]}
		if len(f) == 4 {
			e.Note = f[3]
		}
		out = append(out, e)
	}
	return out
}

// right is a proposal for the example, counted by hand.
func right(t testing.TB) *policy.Proposal {
	at := func(src, dst, svc string) policy.Cell {
		return policy.Cell{Source: literals(t, src)[0], Destination: literals(t, dst)[0], Service: service(t, svc)}
	}
	p := &policy.Proposal{
		VRF: "default", Window: policy.Window{From: policy.NewTime(base), To: policy.NewTime(base.Add(time.Minute))}, Categories: []string{"role"},
		Rules: []policy.Rule{
			newRule(t, "app-to-db", []string{"group:app"}, []string{"group:db"}, "tcp/5432", policy.Evidence{Sessions: 1, Clients: 1, Servers: 1}, policy.Excess{PermittedPairs: 2, ObservedPairs: 1}),
			newRule(t, "clients-to-dns", []string{"group:app", "group:web", "ip:10.0.9.9/32"}, []string{"group:dns"}, "udp/53", policy.Evidence{Sessions: 3, Clients: 3, Servers: 1}, policy.Excess{PermittedPairs: 5, ObservedPairs: 3}),
			newRule(t, "web-to-app", []string{"group:web"}, []string{"group:app"}, "tcp/4567", policy.Evidence{Sessions: 2, Clients: 2, Servers: 2}, policy.Excess{PermittedPairs: 4, ObservedPairs: 2}),
		},
		Unproposed: []policy.Unproposed{{Reason: policy.HalfOpen, Sessions: 1, Examples: examples("10.0.1.7 10.0.4.1 tcp/5432")}},
		Certificate: policy.Certificate{Rules: 3, LowerBound: 3, Optimal: true, Method: "fooling-set", Witness: []policy.Cell{
			at("group:app", "group:db", "tcp/5432"), at("group:app", "group:dns", "udp/53"), at("group:web", "group:app", "tcp/4567"),
		}},
		Summary: policy.Summary{Sessions: 7, Included: 6, Cells: 5, Rules: 3, PerHostRules: 6, PerPairRules: 5, EOSLines: 36},
	}
	p.Seal()
	return p
}

func kinds(r *Report) []Kind {
	out := []Kind{}
	for i := range r.Findings {
		out = append(out, r.Findings[i].Kind)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func verified(t testing.TB, p *policy.Proposal, list []Session, o Options) *Report {
	t.Helper()
	o.Groups = groups(t)
	r, err := against(p, &Collected{Sessions: list}, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRightProposalIsVerified(t *testing.T) {
	r := verified(t, right(t), collected(t), Options{})
	if !r.OK || !r.Optimal || r.LowerBound != 3 || len(r.Findings) > 0 || r.Permits != 5 {
		var b bytes.Buffer
		r.WriteText(&b)
		t.Error(b.String())
	}
}

// Each kind of damage has exactly its findings.
func TestDamage(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(p *policy.Proposal)
		kinds  []Kind
		says   []string // Parts of the text for people.
	}{
		{"renamed", func(p *policy.Proposal) { p.Rules[0].Name = "database" }, []Kind{Edited}, []string{"the document was edited", "Verified."}},
		{"rule removed", func(p *policy.Proposal) { p.Rules = p.Rules[1:] },
			[]Kind{Incomplete, BadBound, WrongCount, Edited},
			[]string{"10.0.2.1 -> 10.0.4.1 tcp/5432", "1 included sessions are in no rule", "above the number of rules, 2"}},
		{"source removed", func(p *policy.Proposal) { p.Rules[1].Sources = p.Rules[1].Sources[:2] },
			[]Kind{Incomplete, WrongNumbers, Edited}, []string{"10.0.9.9 -> 10.0.3.1 udp/53 (rule clients-to-dns holds it but for the source)", "rule clients-to-dns", "evidence.sessions is 3, counted are 2"}},
		{"service added", func(p *policy.Proposal) { p.Rules[2].Services = append(p.Rules[2].Services, service(t, "tcp/22")) },
			[]Kind{Unsound, Edited}, []string{"rule web-to-app: permits 1 of 2 cells", "group:web -> group:app tcp/22"}},
		{"services opened", func(p *policy.Proposal) { p.Rules[2].Services = []policy.Service{service(t, "tcp/4560-4569")} },
			[]Kind{Unsound, Edited}, []string{"permits 9 of 10 cells", "and 4 more"}},
		{"any service", func(p *policy.Proposal) { p.Rules[2].Services = []policy.Service{{Any: true}} },
			[]Kind{Unsound, WrongCount, Edited}, []string{"group:web -> group:app any other service"}},
		{"destination added", func(p *policy.Proposal) { p.Rules[2].Destinations = literals(t, "group:app", "group:db") },
			[]Kind{Unsound, WrongNumbers, Edited}, []string{"group:web -> group:db tcp/4567"}},
		{"any source", func(p *policy.Proposal) { p.Rules[0].Sources = literals(t, "any") },
			[]Kind{Unsound, WrongNumbers, WrongCount, Edited}, []string{"any -> group:db tcp/5432"}},
		{"source widened", func(p *policy.Proposal) { p.Rules[1].Sources = literals(t, "group:app", "group:web", "ip:10.0.9.8/31") },
			[]Kind{Unsound, Edited}, []string{"ip:10.0.9.8/32 -> group:dns udp/53"}},
		{"part of a group", func(p *policy.Proposal) { p.Rules[2].Sources = literals(t, "ip:10.0.1.7/32", "ip:10.0.1.8/32") },
			[]Kind{Edited}, []string{"Verified."}},
		{"unknown group", func(p *policy.Proposal) { p.Rules[0].Sources = literals(t, "group:apps") },
			[]Kind{BadRule, Incomplete, WrongNumbers, Edited}, []string{"rule app-to-db: group:apps"}},
		{"deny", func(p *policy.Proposal) { p.Rules[0].Action = policy.Deny },
			[]Kind{BadRule, Incomplete, Edited}, []string{`rule app-to-db: the action is "deny"`}},
		{"rule doubled", func(p *policy.Proposal) { p.Rules = append(p.Rules, p.Rules[2]); p.Rules[3].Name = "again" },
			[]Kind{Redundant, WrongCount, Edited}, []string{"rule again: every session under it is under other rules", "web-to-app"}},
		{"evidence", func(p *policy.Proposal) { p.Rules[2].Evidence.Bytes++ }, []Kind{WrongNumbers, Edited}, []string{"evidence.bytes is 601, counted are 600"}},
		{"last seen", func(p *policy.Proposal) { p.Rules[2].Evidence.LastSeen = policy.NewTime(base) }, []Kind{WrongNumbers, Edited}, []string{"evidence.lastSeen"}},
		{"excess", func(p *policy.Proposal) { p.Rules[1].Excess.PermittedPairs = 3 }, []Kind{WrongNumbers, Edited}, []string{"excess.permittedPairs is 3, counted are 5"}},
		{"reason", func(p *policy.Proposal) { p.Unproposed[0].Sessions = 2 }, []Kind{WrongReason, Hint, Edited}, []string{"2 sessions are said to be left out as half-open, counted are 1", "--half-open"}},
		{"example", func(p *policy.Proposal) { p.Unproposed[0].Examples = examples("10.0.1.8 10.0.4.1 tcp/5432") }, []Kind{WrongReason, Edited},
			[]string{"10.0.1.8 -> 10.0.4.1 tcp/5432, where the sessions say 10.0.1.7 -> 10.0.4.1 tcp/5432"}},
		{"note", func(p *policy.Proposal) { p.Unproposed[0].Examples[0].Note = "why" }, []Kind{WrongReason, Edited}, []string{"(why)"}},
		{"no example", func(p *policy.Proposal) { p.Unproposed[0].Examples = nil }, []Kind{WrongReason, Edited}, []string{"none, where the sessions say"}},
		{"reason twice", func(p *policy.Proposal) { p.Unproposed = append(p.Unproposed, p.Unproposed[0]) }, []Kind{WrongReason, Edited}, []string{"half-open is there a second time"}},
		{"no reason", func(p *policy.Proposal) { p.Unproposed[0].Reason = "mood" }, []Kind{WrongReason, Hint, Edited}, []string{`"mood" is no reason`}},
		{"name twice", func(p *policy.Proposal) { p.Rules[2].Name = "app-to-db" }, []Kind{BadRule, Edited}, []string{"rules 1 and 3 have this name"}},
		{"no name", func(p *policy.Proposal) { p.Rules[2].Name = "" }, []Kind{BadRule, Edited}, []string{"it has no name"}},
		{"window", func(p *policy.Proposal) { p.Window.From = policy.NewTime(base.Add(-time.Hour)) }, []Kind{WrongCount, Edited},
			[]string{"window.from is 2026-11-20T09:00:00Z, the first moment of the sessions is 2026-11-20T10:00:00Z"}},
		{"since", func(p *policy.Proposal) {
			p.Settings = &policy.Settings{Since: policy.NewTime(base.Add(-time.Hour))}
		}, []Kind{WrongCount, Edited}, []string{"window.from is 2026-11-20T10:00:00Z, the settings ask for 2026-11-20T09:00:00Z"}},
		{"sampling of a rule", func(p *policy.Proposal) { p.Rules[0].Evidence.Sampling = 100 }, []Kind{WrongNumbers, Edited}, []string{"evidence.sampling is 100, counted are 0"}},
		{"loss under a rule", func(p *policy.Proposal) { p.Rules[0].Evidence.LossyExporters = []string{"10.9.9.9"} }, []Kind{WrongNumbers, Edited}, []string{"evidence.lossyExporters is [10.9.9.9], counted are []"}},
		{"loss", func(p *policy.Proposal) { p.Loss = []policy.Loss{{Exporter: "10.9.9.9", Hours: 1}} }, []Kind{WrongMissing, Edited}, []string{"loss is not what", `said {"exporter":"10.9.9.9","hours":1`}},
		{"sampling", func(p *policy.Proposal) { p.Sampling = []policy.Sampling{{Exporter: "10.9.9.9", OneIn: 10}} }, []Kind{WrongMissing, Edited}, []string{`said {"exporter":"10.9.9.9","oneIn":10}`}},
		{"scaled", func(p *policy.Proposal) { p.ScaledBytes = true }, []Kind{WrongMissing, WrongNumbers, Edited}, []string{"nothing was sampled"}},
		{"port ranges", func(p *policy.Proposal) {
			p.Settings = &policy.Settings{PortRanges: 2}
			p.Rules[0].PortRanges = []policy.PortRange{{Service: service(t, "tcp/1-9"), ObservedPorts: 1, PermittedPorts: 9}}
		}, []Kind{WrongNumbers, Edited}, []string{"its portRanges"}},
		{"summary", func(p *policy.Proposal) { p.Summary.Cells = 4 }, []Kind{WrongCount, Edited}, []string{"summary.cells is 4, counted are 5"}},
		{"bound", func(p *policy.Proposal) { p.Certificate.LowerBound, p.Certificate.Optimal = 2, false }, []Kind{BadBound, Edited}, []string{"the witness has 3 cells"}},
		{"optimal", func(p *policy.Proposal) { p.Certificate.Optimal = false }, []Kind{BadBound, Edited}, []string{"optimal is false"}},
		{"method", func(p *policy.Proposal) { p.Certificate.Method = "guess" }, []Kind{BadBound, Edited}, []string{`"guess"`}},
		{"witness unobserved", func(p *policy.Proposal) { p.Certificate.Witness[0].Service = service(t, "tcp/1") }, []Kind{BadWitness, Edited}, []string{"group:app -> group:db tcp/1"}},
		{"witness twice", func(p *policy.Proposal) { p.Certificate.Witness[1] = p.Certificate.Witness[0] }, []Kind{BadWitness, Edited}, []string{"a second time"}},
		{"witness in one rule", func(p *policy.Proposal) {
			p.Certificate.Witness[0].Source, p.Certificate.Witness[0].Destination = literals(t, "group:web")[0], literals(t, "group:dns")[0]
			p.Certificate.Witness[0].Service = service(t, "udp/53")
		}, []Kind{BadWitness, Edited}, []string{"group:web -> group:dns udp/53 and group:app -> group:dns udp/53"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := right(t)
			c.damage(p)
			var o Options
			if p.Settings != nil {
				o.Settings = *p.Settings
			}
			r := verified(t, p, collected(t), o)
			slices.Sort(c.kinds)
			if d := cmp.Diff(c.kinds, kinds(r)); d != "" {
				t.Errorf("findings (-want +got):\n%s", d)
			}
			wrong := slices.ContainsFunc(c.kinds, func(k Kind) bool { return !k.Note() })
			if r.OK == wrong {
				t.Errorf("OK is %v", r.OK)
			}
			var b bytes.Buffer
			if err := r.WriteText(&b); err != nil {
				t.Fatal(err)
			}
			for _, s := range c.says {
				if !strings.Contains(b.String(), s) {
					t.Errorf("nothing says %q:\n%s", s, b.String())
				}
			}
		})
	}
}

func TestSessionsChanged(t *testing.T) {
	r := verified(t, right(t), append(collected(t), session(t, "10.0.4.1", "10.0.3.1", "udp/53")), Options{})
	if d := cmp.Diff([]Kind{Incomplete, WrongCount}, kinds(r)); d != "" || r.OK {
		t.Error(d)
	}
}

func TestPoliciesAndSettings(t *testing.T) {
	read := func(text string) []policy.Policy {
		p, err := policy.ParsePolicies("policy.yaml", []byte("apiVersion: cordon/v1\nkind: Policy\nrules:\n"+text))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, c := range []struct {
		name  string
		o     Options
		want  []Kind
		wider string // service of rule web-to-app, besides its own
	}{
		{"in force for a part", Options{Existing: read("- {sources: [ip:10.0.1.7/32], services: [udp/53]}\n")}, []Kind{BadInForce, Hint, WrongCount, WrongNumbers, WrongReason}, ""},
		{"in force", Options{Existing: read("- {sources: [group:web], destinations: [group:app], services: [tcp/22]}\n")}, []Kind{BadInForce}, ""},
		{"in force for another service", Options{Existing: read("- {sources: [group:web], destinations: [group:app], services: [tcp/22]}\n")}, []Kind{BadInForce, Edited}, "tcp/22"},
		{"in force for half a group", Options{Existing: read("- {sources: [ip:10.0.1.0/25], destinations: [group:app], services: [tcp/22]}\n")}, []Kind{BadInForce, Edited, Unsound}, "tcp/22"},
		{"guardrail", Options{Guardrails: read("- {action: deny, sources: [ip:10.0.1.200/32], destinations: [group:app]}\n")},
			[]Kind{BadWitness, Hint, Redundant, Unsound, WrongCount, WrongNumbers, WrongReason}, ""},
		{"ungrouped", Options{Settings: policy.Settings{Ungrouped: "report"}}, []Kind{Hint, Unsound, WrongCount, WrongNumbers, WrongReason}, ""},
		{"half-open", Options{Settings: policy.Settings{HalfOpen: "allow"}}, []Kind{Hint, Incomplete, WrongCount, WrongReason}, ""},
		{"min-sessions", Options{Settings: policy.Settings{MinSessions: 2}}, []Kind{BadWitness, Hint, Redundant, Unsound, WrongCount, WrongNumbers, WrongReason}, ""},
		{"min-hosts", Options{Settings: policy.Settings{MinHosts: 2}}, []Kind{BadWitness, Hint, Redundant, Unsound, WrongCount, WrongNumbers, WrongReason}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := right(t)
			if c.wider != "" {
				p.Rules[2].Services = append(p.Rules[2].Services, service(t, c.wider))
			}
			r := verified(t, p, collected(t), c.o)
			if c.name == "guardrail" && !slices.ContainsFunc(r.Findings, func(f Finding) bool {
				return slices.Contains(f.Examples, "group:web -> group:app tcp/4567 (guardrail rule 1 forbids it)")
			}) {
				t.Errorf("the guardrail is not named: %+v", r.Findings)
			}
			if d := cmp.Diff(c.want, kinds(r)); d != "" {
				var b bytes.Buffer
				r.WriteText(&b)
				t.Errorf("findings (-want +got):\n%s\n%s", d, b.String())
			}
		})
	}
}

// What is said of rules in force is tried session by session.
func TestRulesInForce(t *testing.T) {
	policies, err := policy.ParsePolicies("policy.yaml", []byte(`apiVersion: cordon/v1
kind: Policy
rules: [
		{name: wide, sources: [group:db], services: [tcp/20-30]},
		{name: narrow, sources: [group:db], services: [tcp/22]},
		{name: no, action: deny, sources: [group:web], destinations: [group:app], services: [tcp/4560-4570]},
		{name: never, sources: [group:web], destinations: [group:app], services: [tcp/4561]}]`))
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Existing: policies}
	right := func() *policy.Proposal {
		p := right(t)
		p.Existing = []policy.InForce{
			{Rule: "wide", Finding: policy.Unused},
			{Rule: "narrow", Finding: policy.Redundant, By: []string{"wide"}},
			{Rule: "no", Finding: policy.Contradicted, ByProposed: []string{"web-to-app"}},
			{Rule: "never", Finding: policy.Shadowed, By: []string{"no"}},
		}
		p.Seal()
		return p
	}
	if r := verified(t, right(), collected(t), o); !r.OK {
		t.Errorf("%+v", r.Findings)
	}
	for i, says := range []string{"wide in force is not said to be unused", "narrow in force is not said to be redundant", "no in force denies what the proposal permits", "never in force is not said to be redundant"} {
		p := right()
		p.Existing = slices.Delete(p.Existing, i, i+1)
		p.Seal()
		if r := verified(t, p, collected(t), o); !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Kind == BadInForce && strings.HasPrefix(f.Text, says) }) {
			t.Errorf("without what is said of a rule, nothing says %q: %+v", says, r.Findings)
		}
	}
	for i, wrong := range []policy.Audited{policy.Redundant, policy.Unused, policy.Unused, policy.Unused} {
		p := right()
		p.Existing[i].Finding = wrong
		p.Seal()
		if r := verified(t, p, collected(t), o); !r.has(BadInForce) {
			t.Errorf("%+v is taken", p.Existing[i])
		}
	}
	for name, edit := range map[string]func(p *policy.Proposal){
		"other rules":           func(p *policy.Proposal) { p.Existing[1].By = []string{"never"} },
		"more rules":            func(p *policy.Proposal) { p.Existing[3].By = []string{"wide", "no"} },
		"no rules":              func(p *policy.Proposal) { p.Existing[3].By = nil },
		"rules for nothing":     func(p *policy.Proposal) { p.Existing[0].By = []string{"no"} },
		"other proposed rules":  func(p *policy.Proposal) { p.Existing[2].ByProposed = []string{"clients-to-dns"} },
		"numbers for no reason": func(p *policy.Proposal) { p.Existing[1].Beyond = &policy.Beyond{PermittedPairs: 1} },
		"wider for no reason": func(p *policy.Proposal) {
			p.Existing = slices.Insert(p.Existing, 1, policy.InForce{Rule: "wide", Finding: policy.WiderThanSeen, Beyond: &policy.Beyond{}})
		},
	} {
		p := right()
		edit(p)
		p.Seal()
		if r := verified(t, p, collected(t), o); !r.has(BadInForce) {
			t.Errorf("%s are taken", name)
		}
	}
	p := right()
	p.Existing = append(p.Existing, policy.InForce{Rule: "nobody", Finding: policy.Unused})
	if r := verified(t, p, collected(t), o); !r.has(BadInForce) {
		t.Error("a rule that is not in force is taken")
	}
}

// Values of settings that nobody writes are found, whatever id the document has.
func TestSettingsOfADocument(t *testing.T) {
	for name, s := range map[string]policy.Settings{
		"settings.ungrouped": {Ungrouped: "host"}, "settings.external": {External: "report"}, "settings.halfOpen": {HalfOpen: "report"},
		"settings.maxExtra": {MaxExtra: 7}, "settings.minSessions": {MinSessions: 1}, "settings.minHosts": {MinHosts: 1}, "settings.minHours": {MinHours: 1},
		"settings.portRanges": {PortRanges: 1}, "settings.generalise ": {Generalise: 2}, "settings.generaliseWithin": {GeneraliseWithin: "role"},
		"settings.coverage": {Coverage: "100%"}, "settings.coverageBy": {CoverageBy: policy.BySessions}, "settings is": {},
	} {
		p := right(t)
		p.Settings = &s
		p.Seal()
		r := verified(t, p, collected(t), Options{Settings: s})
		if !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Kind == WrongCount && strings.HasPrefix(f.Text, name) }) {
			t.Errorf("%s: %+v", name, r.Findings)
		}
	}
}

func TestPartsOfABound(t *testing.T) {
	p := right(t)
	w := p.Certificate.Witness
	p.Certificate.Method = "dual"
	p.Certificate.Parts = []policy.BoundPart{
		{Method: "fooling-set", Bound: 2, Cells: w[:2]},
		{Method: "dual", Bound: 1, Cells: w[2:], Weights: []int64{3}, Scale: 3},
	}
	p.Certificate.Witness = w[:1]
	p.Seal()
	if r := verified(t, p, collected(t), Options{}); !r.OK || r.LowerBound != 3 {
		t.Errorf("%+v", r)
	}
	p.Certificate.Parts[1].Bound, p.Certificate.Parts[0].Bound = 2, 1
	if d := cmp.Diff([]Kind{BadBound, Edited}, kinds(verified(t, p, collected(t), Options{}))); d != "" {
		t.Error(d)
	}
	p = right(t)
	p.Certificate.Method, p.Certificate.Parts = "exhaustive", []policy.BoundPart{{Method: "exhaustive", Bound: 3, Cells: w,
		Boxes: []string{"0", "1", "2"}, Tree: []string{"take 0", "take 1", "end", "end"}}}
	p.Certificate.Witness = w[:2]
	p.Seal()
	if r := verified(t, p, collected(t), Options{}); !r.OK || r.LowerBound != 3 || !r.Optimal || len(r.Findings) > 0 {
		t.Errorf("%+v", r)
	}
	for _, damage := range []func(part *policy.BoundPart){
		func(part *policy.BoundPart) { part.Cells = w[:2] }, // too few cells for the bound
		func(part *policy.BoundPart) { part.Boxes = []string{"0", "1"} },
		func(part *policy.BoundPart) { part.Boxes = []string{"0", "1", "zwei"} },
		func(part *policy.BoundPart) { part.Tree = part.Tree[:2] },
		func(part *policy.BoundPart) { part.Tree = nil },
	} {
		part := p.Certificate.Parts[0]
		damage(&p.Certificate.Parts[0])
		p.Seal()
		if r := verified(t, p, collected(t), Options{}); r.OK || r.LowerBound != 2 || !slices.Equal(kinds(r), []Kind{BadBound}) {
			t.Errorf("%+v", r)
		}
		p.Certificate.Parts[0] = part
	}
}

func TestSettingsThatAreNotKnown(t *testing.T) {
	for _, s := range []policy.Settings{{Ungrouped: "drop"}, {External: "drop"}, {HalfOpen: "drop"}} {
		if _, err := against(right(t), &Collected{}, Options{Groups: groups(t), Settings: s}); !errors.Is(err, ErrSettings) {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

// Support counted in hours, and sessions of a client that scans.
func TestHoursAndScanners(t *testing.T) {
	list := collected(t)
	for i := range list {
		list[i].Hours = []uint32{1, 2}
	}
	list[4].Hours = []uint32{2} // the only one of its cell
	for port := range 5 {
		s := session(t, "10.0.2.2", "10.0.4.1", fmt.Sprintf("tcp/%d", 7000+port))
		s.ServerFlags, s.Hours = 0x14, []uint32{1, 2}
		list = append(list, s)
	}
	p := right(t)
	p.Rules, p.Certificate.Witness = p.Rules[1:], p.Certificate.Witness[1:]
	p.Certificate.Rules, p.Certificate.LowerBound = 2, 2
	p.Settings = &policy.Settings{MinHours: 2, ScannerTargets: 5}
	p.Unproposed = []policy.Unproposed{p.Unproposed[0],
		{Reason: policy.Scanner, Sessions: 5},
		{Reason: policy.BelowSupport, Sessions: 1, Examples: examples("10.0.2.1 10.0.4.1 tcp/5432")}}
	for port := range 5 {
		p.Unproposed[1].Examples = append(p.Unproposed[1].Examples, examples(fmt.Sprintf("10.0.2.2 10.0.4.1 tcp/%d 5 of the client's 5 targets were never answered, or used only once", 7000+port))...)
	}
	p.Summary = policy.Summary{Sessions: 12, Included: 5, Cells: 4, Rules: 2, PerHostRules: 5, PerPairRules: 4, EOSLines: 24}
	p.Seal()
	if r := verified(t, p, list, Options{Settings: *p.Settings}); !r.OK {
		t.Errorf("%+v", r.Findings)
	}
	// Here every pair of the other cells comes back.
	again := *p
	again.Settings = &policy.Settings{Recurring: 2, ScannerTargets: 5}
	again.Seal()
	if r := verified(t, &again, list, Options{Settings: *again.Settings}); !r.OK {
		t.Errorf("%+v", r.Findings)
	}
	// Each setting alone leaves its share of the sessions in.
	for _, s := range []policy.Settings{{Recurring: 2}, {Recurring: 3, ScannerTargets: 5}, {MinHours: 2}, {ScannerTargets: 5}, {MinHours: 2, ScannerTargets: 6}, {MinHours: 3, ScannerTargets: 5}} {
		if r := verified(t, p, list, Options{Settings: s}); !r.has(WrongReason) {
			t.Errorf("%+v changes nothing", s)
		}
	}
}

// Dynamic ports make a range, which a rule may hold as a whole or in part.
func TestRangeOfPorts(t *testing.T) {
	var list []Session
	for _, port := range []int{50000, 50010, 50020} {
		list = append(list, session(t, "10.0.1.7", "10.0.4.1", fmt.Sprintf("tcp/%d", port)))
	}
	p := &policy.Proposal{VRF: "default", Window: right(t).Window, Categories: []string{"role"}, Settings: &policy.Settings{PortRanges: 3},
		Rules:   []policy.Rule{newRule(t, "web-to-db", []string{"group:web"}, []string{"group:db"}, "tcp/50000-50020", policy.Evidence{Sessions: 3, Clients: 1, Servers: 1}, policy.Excess{PermittedPairs: 1, ObservedPairs: 1})},
		Summary: policy.Summary{Sessions: 3, Included: 3, Cells: 1, Rules: 1, PerHostRules: 3, PerPairRules: 1, EOSLines: 12},
	}
	p.Rules[0].PortRanges = []policy.PortRange{{Service: service(t, "tcp/50000-50020"), ObservedPorts: 3, PermittedPorts: 21}}
	p.Certificate = policy.Certificate{Rules: 1, LowerBound: 1, Optimal: true, Method: "fooling-set", Witness: []policy.Cell{
		{Source: literals(t, "group:web")[0], Destination: literals(t, "group:db")[0], Service: service(t, "tcp/50000-50020")}}}
	p.Seal()
	o := Options{Settings: *p.Settings}
	if r := verified(t, p, list, o); !r.OK || !r.Optimal {
		t.Errorf("%+v", r.Findings)
	}
	p.Rules[0].PortRanges[0].ObservedPorts = 2
	if d := cmp.Diff([]Kind{Edited, WrongNumbers}, kinds(verified(t, p, list, o))); d != "" {
		t.Error(d)
	}
	p.Rules[0].Services = []policy.Service{service(t, "tcp/50000-50021")}
	if r := verified(t, p, list, o); !r.has(Unsound) {
		t.Errorf("a port too many: %+v", r.Findings)
	}
	if r := verified(t, p, list, Options{}); !r.has(Unsound) {
		t.Errorf("without the setting: %+v", r.Findings)
	}
	p.Rules[0].Services = []policy.Service{service(t, "tcp/50000-50010"), service(t, "tcp/50020")}
	if r := verified(t, p, list, o); r.has(Unsound, Incomplete) {
		t.Errorf("a part of the range: %+v", r.Findings)
	}
}

// Sets of services against sets of numbers.
func TestServices(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) (services, map[uint32]bool) {
			set := map[uint32]bool{}
			var s services
			for range rapid.IntRange(0, 5).Draw(t, name) {
				lo := rapid.Uint32Range(0, 30).Draw(t, "lo")
				r := keyRange{lo, lo + rapid.Uint32Range(0, 5).Draw(t, "more")}
				s = append(s, r)
				for k := r.lo; k <= r.hi; k++ {
					set[k] = true
				}
			}
			return s.sorted(), set
		}
		a, inA := draw("a")
		b, inB := draw("b")
		common, without := 0, map[uint32]bool{}
		for k := range inA {
			if inB[k] {
				common++
			} else {
				without[k] = true
			}
		}
		rest := map[uint32]bool{}
		for _, r := range a.without(b) {
			for k := r.lo; k <= r.hi; k++ {
				rest[k] = true
			}
		}
		if a.size() != uint64(len(inA)) || a.common(b) != uint64(common) || !maps.Equal(rest, without) {
			t.Fatalf("%v and %v: %d, %d in common, without %v", a, b, a.size(), a.common(b), a.without(b))
		}
		r := keyRange{3, 3 + rapid.Uint32Range(0, 9).Draw(t, "held")}
		all := true
		for k := r.lo; k <= r.hi; k++ {
			all = all && inA[k]
		}
		if a.holds(r) != all {
			t.Fatalf("%v holds %v: %v", a, r, !all)
		}
	})
}

func TestGroupsAreNeeded(t *testing.T) {
	if _, err := against(right(t), &Collected{}, Options{}); err == nil || !strings.Contains(err.Error(), "groups") {
		t.Error(err)
	}
}

func TestReasonsOfSessions(t *testing.T) {
	list := append(collected(t), session(t, "169.254.0.1", "10.0.3.1", "udp/53"), session(t, "8.8.8.8", "10.0.3.1", "udp/53"),
		session(t, "10.0.4.1", "10.0.3.1", "udp/53"), session(t, "10.0.4.1", "10.0.3.1", "udp/54"))
	list[9].Directed = false
	list[10].Complete, list[10].Denied = false, true
	p := right(t)
	for i, r := range []policy.Reason{policy.Local, policy.Denied, policy.AmbiguousDirection, policy.External} {
		p.Unproposed = append(p.Unproposed, policy.Unproposed{Reason: r, Sessions: 1, Examples: examples([]string{"169.254.0.1 10.0.3.1 udp/53",
			"10.0.4.1 10.0.3.1 udp/54", "10.0.4.1 10.0.3.1 udp/53", "8.8.8.8 10.0.3.1 udp/53"}[i])})
	}
	p.Summary.Sessions = 11
	p.Seal()
	if r := verified(t, p, list, Options{}); !r.OK {
		t.Errorf("%+v", r.Findings)
	}
}

// A host with itself is no pair.
func TestPairsInsideAGroup(t *testing.T) {
	p := right(t)
	p.Rules[0] = newRule(t, "app-to-db", []string{"group:app", "group:db"}, []string{"group:db"}, "tcp/5432",
		policy.Evidence{Sessions: 1, Clients: 1, Servers: 1}, policy.Excess{PermittedPairs: 2, ObservedPairs: 1})
	if d := cmp.Diff([]Kind{Edited, Unsound}, kinds(verified(t, p, collected(t), Options{}))); d != "" {
		t.Error(d)
	}
}

func TestSumOfParts(t *testing.T) {
	p := right(t)
	p.Certificate.Method, p.Certificate.Parts = "exhaustive", []policy.BoundPart{{Method: "exhaustive", Bound: 2, Cells: p.Certificate.Witness}}
	if d := cmp.Diff([]Kind{BadBound, Edited}, kinds(verified(t, p, collected(t), Options{}))); d != "" {
		t.Error(d)
	}
}

// against is Proposal with what Read gives at hand.
func against(p *policy.Proposal, c *Collected, o Options) (*Report, error) {
	v, err := newVerifier(p, o)
	if err != nil {
		return nil, err
	}
	return v.check(c), nil
}
