package recommender

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"cordon/categories"
	"cordon/recommender/policy"
	"cordon/recommender/simulate"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"pgregory.net/rapid"
)

// drawOrdered draws a policy with rules about sessions and about packets, with an end that may be open.
func drawOrdered(t *rapid.T, f *categories.File, what string) policy.Policy {
	p := policy.Policy{VRF: rapid.SampledFrom([]string{"", "", "default"}).Draw(t, what+" vrf")}
	for _, of := range drawPolicies(t, f, what) {
		p.Rules = append(p.Rules, of.Rules...)
	}
	literals := []string{"any", "ip:10.0.0.0/28", "ip:10.0.0.16/28", "ip:10.0.0.5", "ip:fd00::/64", "ip:::/0", "ip:0.0.0.0/0", "ip:::/64"}
	for range rapid.IntRange(0, 4).Draw(t, "rules about packets") {
		end := func() []policy.Endpoint {
			e, err := policy.ParseEndpoint(rapid.SampledFrom(literals).Draw(t, "literal"))
			if err != nil {
				t.Fatal(err)
			}
			return []policy.Endpoint{e}
		}
		r := policy.StatementRule{
			Action: rapid.SampledFrom([]policy.Action{policy.Allow, policy.Allow, policy.Deny, policy.Redirect}).Draw(t, "action"), Direction: policy.OneWay,
			Sources: end(), Destinations: end(), Services: []policy.Service{{Any: true}},
		}
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0:
			r.Opaque = []string{"dscp 10"}
		case 1:
			r.Services, r.SourcePorts = []policy.Service{{Term: categories.ServiceTerm{Proto: 6, Lo: 0, Hi: 65535}}}, []policy.PortSpan{{Lo: 443, Hi: 443}}
		case 2:
			r.Services, r.Flags = []policy.Service{{Term: categories.ServiceTerm{Proto: 6, Lo: 0, Hi: 65535}}}, policy.Established
		case 3:
			r.Except.Sources = end()
		case 4:
			r.Services = []policy.Service{{Term: categories.ServiceTerm{Proto: 17, Lo: 53, Hi: 123}}}
		}
		p.Rules = slices.Insert(p.Rules, rapid.IntRange(0, len(p.Rules)).Draw(t, "place"), r)
	}
	for i := range p.Rules {
		p.Rules[i].Name = fmt.Sprintf("%s-%d", what, i)
	}
	ends := []policy.Action{policy.Allow, policy.Deny, policy.Deny, ""}
	p.Default = policy.Defaults{IPv4: rapid.SampledFrom(ends).Draw(t, "end"), IPv6: rapid.SampledFrom(ends).Draw(t, "end")}
	return p
}

// attempt reports whether the reference counts a session as an attempt.
func (s *refSession) attempt() bool {
	neverAnswers := s.server.IsMulticast() || s.server == netip.MustParseAddr("255.255.255.255")
	return s.complete == 0 && (s.denied > 0 || s.half > 0 && !neverAnswers)
}

// expected is what the slow reference says of all sessions.
type expected struct {
	summary simulate.Summary
	changed simulate.Changed
	rules   map[string][2]uint64 // sessions and attempts
}

func (x *expected) add(s *refSession, d policy.Decision, rule string, before policy.Decision) {
	at := func(sessions, attempts *uint64) {
		if s.attempt() {
			*attempts++
		} else {
			*sessions++
		}
	}
	n := x.rules[rule]
	at(&n[0], &n[1])
	x.rules[rule] = n
	var none uint64
	at(&x.summary.Sessions, &none)
	switch d {
	case policy.Permitted:
		at(&x.summary.Permitted, &x.summary.AttemptsPermitted)
	case policy.Refused:
		at(&x.summary.Denied, &x.summary.AttemptsDenied)
	case policy.AnswersRefused:
		at(&x.summary.AnswersDenied, &x.summary.AttemptsDenied)
		at(&none, &x.summary.AttemptsAnswersDenied)
	case policy.UncertainDecision:
		at(&x.summary.Uncertain, &x.summary.AttemptsUncertain)
	}
	stops := func(d policy.Decision) bool { return d == policy.Refused || d == policy.AnswersRefused }
	switch {
	case before == "" || before == d || stops(before) && stops(d):
	case d == policy.Permitted:
		at(&x.changed.NowPermitted, &x.changed.AttemptsNowPermitted)
	case stops(d):
		at(&x.changed.NowDenied, &x.changed.AttemptsNowDenied)
	default:
		at(&x.changed.NowUncertain, &x.changed.AttemptsNowUncertain)
	}
}

// TestSimulateAgainstReference replays drawn sessions against drawn policies, and without each of their rules, as
// policy.Policy.Decide does one session at a time.
func TestSimulateAgainstReference(t *testing.T) {
	conn := store(t)
	_, restore := fewChecks("12", "3")
	defer restore()
	rapid.Check(t, func(rt *rapid.T) {
		file := drawGroups(rt, 27)
		selected := drawSelection(rt, file)
		a, err := policy.NewAddresses(file, selected)
		if err != nil {
			rt.Fatal(err)
		}
		now, before := drawOrdered(rt, file, "now"), drawOrdered(rt, file, "before")
		flows := rapid.SliceOfN(rapid.Custom(drawFlow), 1, 60).Draw(rt, "flows")
		empty(t, conn)
		insertFlows(t, conn, flows)
		ref := &reference{settings: Settings{Categories: selected}, file: file, addresses: a, universe: universe}
		sessions := ref.sessions(flows)
		set := simulate.Settings{Groups: file, Categories: selected, Each: true}
		candidate := func(p policy.Policy) *simulate.Candidate {
			return &simulate.Candidate{Name: "drawn", Documents: []simulate.Document{{Policy: p, Sets: a.Set}}}
		}
		r := checkSimulation(rt, t, conn, set, candidate(now), candidate(before), a.Set, sessions)
		for i := range now.Rules {
			less, err := candidate(now).Without([]string{now.Rules[i].Name})
			if err != nil {
				rt.Fatal(err)
			}
			if got, want := r.Each[i].Changed, *checkSimulation(rt, t, nil, set, less, candidate(now), a.Set, sessions).Changed; got != want {
				rt.Fatalf("without %s: %+v, want %+v\n%+v", now.Rules[i].Name, got, want, now)
			}
		}
	})
}

// checkSimulation compares a simulation with the reference and gives it; without a connection it gives what the reference says.
func checkSimulation(rt *rapid.T, t *testing.T, conn driver.Conn, set simulate.Settings, now, before *simulate.Candidate, sets policy.SetOf, sessions []*refSession) *simulate.Result {
	want := expected{rules: map[string][2]uint64{}}
	p, q := now.Documents[0].Policy, before.Documents[0].Policy
	for _, s := range sessions {
		if p.VRF != "" && p.VRF != s.vrf {
			want.summary.NotJudged++
			continue
		}
		d, rule, err := p.Decide(sets, s.client, s.server, s.service)
		if err != nil {
			rt.Fatal(err)
		}
		var was policy.Decision
		if q.VRF == "" || q.VRF == s.vrf {
			if was, _, err = q.Decide(sets, s.client, s.server, s.service); err != nil {
				rt.Fatal(err)
			}
		}
		want.add(s, d, rule, was)
	}
	if conn == nil {
		return &simulate.Result{Summary: want.summary, Changed: &want.changed}
	}
	r, err := simulate.New(t.Context(), conn, set, now, before)
	if err != nil {
		rt.Fatal(err)
	}
	defer r.Close(t.Context())
	got := &r.Result
	if got.Summary != want.summary || *got.Changed != want.changed {
		rt.Fatalf("got  %+v %+v\nwant %+v %+v\nof %+v\nagainst %+v", got.Summary, *got.Changed, want.summary, want.changed, p, q)
	}
	for _, rule := range got.Rules {
		if n := want.rules[rule.Name]; n != [2]uint64{rule.Sessions, rule.Attempts} {
			rt.Fatalf("rule %s: %d sessions and %d attempts, want %v", rule.Name, rule.Sessions, rule.Attempts, n)
		}
	}
	// Every part divides the same sessions.
	var stopped uint64
	for _, pair := range got.Pairs {
		stopped += pair.Stopped.Sessions + pair.Stopped.Attempts
	}
	for _, service := range got.Services {
		stopped -= service.Stopped.Sessions + service.Stopped.Attempts
	}
	var byClient, byServer uint64
	for _, h := range got.Hosts {
		if h.Decision == policy.Permitted {
			continue
		}
		if h.Role == simulate.RoleClient {
			byClient += h.Sessions + h.Attempts
		} else {
			byServer += h.Sessions + h.Attempts
		}
	}
	s := &want.summary
	all := s.Denied + s.AnswersDenied + s.Uncertain + s.AttemptsDenied + s.AttemptsUncertain
	if stopped != 0 || byClient != all || byServer != all {
		rt.Fatalf("what is stopped is %d by clients and %d by servers, want %d; pairs and services differ by %d", byClient, byServer, all, int64(stopped))
	}
	checkSimulatedSessions(rt, t, conn, r, all)
	return got
}

// checkSimulatedSessions lists what is stopped.
func checkSimulatedSessions(rt *rapid.T, t *testing.T, conn driver.Conn, r *simulate.Replay, want uint64) {
	sql, err := r.Sessions(t.Context(), []policy.Decision{policy.Refused, policy.AnswersRefused, policy.UncertainDecision}, false)
	if err != nil {
		rt.Fatal(err)
	}
	var n uint64
	if err := conn.QueryRow(t.Context(), "SELECT count() FROM "+sql).Scan(&n); err != nil {
		rt.Fatal(err)
	}
	if n != want {
		rt.Fatalf("%d sessions are listed as stopped, want %d", n, want)
	}
}

// simulated is a proposal as a policy to replay against.
func simulated(t testing.TB, p *policy.Proposal, file *categories.File) *simulate.Candidate {
	t.Helper()
	a, err := policy.NewAddresses(file, p.Categories)
	if err != nil {
		t.Fatal(err)
	}
	doc := p.Policy()
	doc.Default = policy.Defaults{IPv4: policy.Deny, IPv6: policy.Deny}
	sets := func(literals []policy.Endpoint, _ policy.Reading) (policy.AddressSet, error) {
		return a.Set(literals, policy.Proposed)
	}
	return &simulate.Candidate{Name: "proposal", Documents: []simulate.Document{{Policy: doc, Sets: sets}}}
}

// TestSimulateProposal replays drawn sessions against the proposals that were made of them: what is denied is what they
// leave out, but for what a rule's literals hold all the same.
func TestSimulateProposal(t *testing.T) {
	conn := store(t)
	_, restore := fewChecks("6", "5")
	defer restore()
	rapid.Check(t, func(rt *rapid.T) {
		file := drawGroups(rt, 27)
		s := Settings{Categories: drawSelection(rt, file), Settings: policy.Settings{MinSessions: uint64(rapid.IntRange(1, 2).Draw(rt, "support")), External: rapid.SampledFrom([]policy.ExternalMode{policy.ExternalReport, policy.ExternalHost, policy.ExternalInternet}).Draw(rt, "external")}}
		empty(t, conn)
		insertFlows(t, conn, rapid.SliceOfN(rapid.Custom(drawFlow), 1, 60).Draw(rt, "flows"))
		proposals, err := Generate(t.Context(), conn, s, file)
		if err != nil {
			rt.Fatal(err)
		}
		for i := range proposals {
			checkProposalReplay(rt, t, conn, &proposals[i], file)
		}
	})
}

func checkProposalReplay(rt *rapid.T, t *testing.T, conn driver.Conn, p *policy.Proposal, file *categories.File) {
	l, err := OpenView(t.Context(), conn, p, ListOptions{Groups: file})
	if err != nil {
		rt.Fatal(err)
	}
	defer l.Close(t.Context())
	r, err := simulate.New(t.Context(), conn, simulate.Settings{VRF: p.VRF, Groups: file, Categories: p.Categories}, simulated(t, p, file), nil)
	if err != nil {
		rt.Fatal(err)
	}
	defer r.Close(t.Context())
	s := &r.Result.Summary
	if s.AnswersDenied+s.Uncertain != 0 {
		rt.Fatalf("a proposal has uncertain sessions: %+v", *s)
	}
	sql, err := r.Sessions(t.Context(), nil, false)
	if err != nil {
		rt.Fatal(err)
	}
	left := l.LeftOut(nil)
	// Sessions by whether they are denied and left out, and whether a rule's literals hold them.
	a, err := policy.NewAddresses(file, p.Categories)
	if err != nil {
		rt.Fatal(err)
	}
	rows, err := conn.Query(t.Context(), `SELECT s.client, s.server, s.proto, if(s.proto IN (1, 58), s.icmp_type, s.port)::UInt16, s.decision, l.reason FROM `+sql+` AS s
		LEFT JOIN `+left+` AS l ON l.client_ip = s.client_ip AND l.server_ip = s.server_ip AND l.service = s.service`)
	if err != nil {
		rt.Fatal(err)
	}
	defer rows.Close()
	n := uint64(0)
	for rows.Next() {
		n++
		var client, server, decision, reason string
		var service categories.Service
		if err := rows.Scan(&client, &server, &service.Proto, &service.Port, &decision, &reason); err != nil {
			rt.Fatal(err)
		}
		holds := a.Permits(p.Rules, netip.MustParseAddr(client), netip.MustParseAddr(server), service)
		if denied := decision == string(policy.Refused); denied != (reason != "" && !holds) {
			rt.Fatalf("%s to %s %s: %s, left out as %q, held by a rule: %v", client, server, service, decision, reason, holds)
		}
	}
	if err := rows.Err(); err != nil || n != p.Summary.Sessions {
		rt.Fatalf("%d sessions, the proposal has %d: %v", n, p.Summary.Sessions, err)
	}
}
