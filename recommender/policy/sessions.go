package policy

import (
	"fmt"
	"net/netip"
	"slices"

	"cordon/categories"
	"cordon/internal/iana"
)

// Devices match packets, and people think in sessions. A session is permitted where
// its requests are and its answers are. This file makes rules about sessions of rules
// about packets.

// A client's port is one of these: nobody knows which. A rule that allows some of them
// only, or none, permits no session; one that denies some of them cannot be judged.
const (
	firstClientPort = 1024
	lastClientPort  = 65535
)

// SetOf gives the addresses that a statement of a kind means by its literals, such as Addresses.Set and IPSet.
type SetOf func([]Endpoint, Reading) (AddressSet, error)

// share is what of sessions a rule decides: of their requests, or of their answers. Client and server
// are those of the session either way.
type share struct {
	rule           int // place in the policy
	client, server AddressSet
	services       []Service
	action         Action // Allow, Deny or Uncertain
	denies         bool   // the rule does, if it matches
	turned         bool   // the client is one of the rule's destinations
}

// shares gives what the rules decide of requests and of answers, in order. Rules that mean no address are left out, but for those
// that keep asks for.
func (p *Policy) shares(sets SetOf, keep func(*StatementRule) bool) (requests, answers []share, err error) {
	for i := range p.Rules {
		r := &p.Rules[i]
		src, dst, err := r.ends(sets)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", r.Label(i), err)
		}
		if (len(src) == 0 || len(dst) == 0) && (keep == nil || !keep(r)) {
			continue
		}
		action := r.Action
		if action == Redirect {
			action = Allow
		}
		if len(r.Opaque) > 0 {
			action = Uncertain
		}
		if r.Direction != OneWay {
			whole := share{rule: i, client: src, server: dst, services: r.Services, action: action, denies: r.Action == Deny}
			requests, answers = append(requests, whole), append(answers, whole)
			continue
		}
		if r.Fragments != "" { // whole packets are no fragments
			continue
		}
		if a := r.ofRequests(action); a != "" {
			requests = append(requests, share{rule: i, client: src, server: dst, services: r.Services, action: a, denies: r.Action == Deny})
		}
		if a, services := r.ofAnswers(action); a != "" && len(services) > 0 {
			answers = append(answers, share{rule: i, client: dst, server: src, services: services, action: a, denies: r.Action == Deny, turned: true})
		}
	}
	return requests, answers, nil
}

// ends gives the addresses that a rule means.
func (r *StatementRule) ends(sets SetOf) (src, dst AddressSet, err error) {
	as := ReadingOf(r.Action, false)
	for _, side := range []struct {
		in, out []Endpoint
		to      *AddressSet
	}{{r.Sources, r.Except.Sources, &src}, {r.Destinations, r.Except.Destinations, &dst}} {
		in, err := sets(side.in, as)
		if err != nil {
			return nil, nil, err
		}
		out, err := sets(side.out, as)
		if err != nil {
			return nil, nil, err
		}
		*side.to = in.Minus(out)
	}
	return src, dst, nil
}

// ofClients says whether ranges of ports, all where there is none, hold the ports of clients.
func ofClients(ports []PortSpan) (all, some bool) {
	if len(ports) == 0 {
		return true, true
	}
	for _, s := range JoinPorts(ports) {
		all = all || s.Lo <= firstClientPort && s.Hi >= lastClientPort
		some = some || s.Hi >= firstClientPort
	}
	return all, some
}

// ofRequests says what a one-way rule does with requests; "" where it decides none.
func (r *StatementRule) ofRequests(action Action) Action {
	all, some := ofClients(r.SourcePorts)
	switch {
	case !some || !all && action == Allow:
		return ""
	case !all:
		return Uncertain
	case r.Flags == "":
		return action
	case action == Deny && r.Flags != Reset: // the first packet of a client, or all others
		return Deny
	case action == Allow && r.Flags != Initial: // no first packet
		return ""
	}
	return Uncertain
}

// ofAnswers says what a one-way rule does with answers, and of which services.
func (r *StatementRule) ofAnswers(action Action) (Action, []Service) {
	var out []Service
	for _, s := range r.Services {
		switch {
		case s.Any:
			out = append(out, s)
		case iana.HasPorts(s.Term.Proto):
			all, some := ofClients([]PortSpan{{s.Term.Lo, s.Term.Hi}})
			if !some || !all && action == Allow {
				continue
			}
			if !all {
				action = Uncertain
			}
			ports := r.SourcePorts
			if len(ports) == 0 {
				ports = []PortSpan{{0, 65535}}
			}
			for _, p := range JoinPorts(ports) {
				out = append(out, Service{Term: categories.ServiceTerm{Proto: s.Term.Proto, Lo: p.Lo, Hi: p.Hi}})
			}
		case iana.IsICMP(s.Term.Proto):
			for request, answer := range ICMPAnswers(s.Term.Proto) {
				if s.Term.Lo <= answer && answer <= s.Term.Hi {
					out = append(out, Service{Term: categories.ServiceTerm{Proto: s.Term.Proto, Lo: request, Hi: request}})
				}
			}
		default:
			out = append(out, s)
		}
	}
	out = sorted(out, Service.Compare)
	switch {
	case r.Flags == "" || r.Flags == Established:
		return action, out
	case r.Flags == Reset && action != Allow:
		return Uncertain, out
	}
	return "", nil // no answer has SYN alone, and none consists of RST alone
}

// ICMPAnswers gives the type that answers a type, for those that are requests.
func ICMPAnswers(proto uint8) map[uint16]uint16 {
	if proto == iana.ICMPv6 {
		return map[uint16]uint16{128: 129}
	}
	return map[uint16]uint16{8: 0, 13: 14, 15: 16, 17: 18}
}

// answered divides services into those that nothing answers, and the others.
func answered(services []Service) (never, others []Service) {
	for _, s := range services {
		if s.Any {
			for _, proto := range []uint8{iana.ICMP, iana.ICMPv6} {
				types, _ := answered([]Service{{Term: categories.ServiceTerm{Proto: proto, Hi: 255}}})
				never = append(never, types...)
			}
		}
		if s.Any || !iana.IsICMP(s.Term.Proto) {
			others = append(others, s)
			continue
		}
		var requests []Service
		for request := range ICMPAnswers(s.Term.Proto) {
			if s.Term.Lo <= request && request <= s.Term.Hi {
				requests = append(requests, Service{Term: categories.ServiceTerm{Proto: s.Term.Proto, Lo: request, Hi: request}})
			}
		}
		others = append(others, requests...)
		never = append(never, servicesMinus([]Service{s}, requests)...)
	}
	return never, sorted(others, Service.Compare)
}

// servicesAnd gives what is in both sets.
func servicesAnd(a, b []Service) (out []Service) {
	for _, x := range a {
		for _, y := range b {
			switch {
			case x.Any:
				out = append(out, y)
			case y.Any:
				out = append(out, x)
			case x.Term.Overlaps(y.Term):
				out = append(out, Service{Term: categories.ServiceTerm{Proto: x.Term.Proto, Lo: max(x.Term.Lo, y.Term.Lo), Hi: min(x.Term.Hi, y.Term.Hi)}})
			}
		}
	}
	return sorted(out, Service.Compare)
}

// servicesMinus gives what is in a and not in b. Of every service it takes nothing but every service.
func servicesMinus(a, b []Service) []Service {
	if slices.ContainsFunc(b, func(s Service) bool { return s.Any }) {
		return nil
	}
	left := slices.Clone(a)
	for _, y := range b {
		var next []Service
		for _, x := range left {
			if x.Any || !x.Term.Overlaps(y.Term) {
				next = append(next, x)
				continue
			}
			if x.Term.Lo < y.Term.Lo {
				next = append(next, Service{Term: categories.ServiceTerm{Proto: x.Term.Proto, Lo: x.Term.Lo, Hi: y.Term.Lo - 1}})
			}
			if y.Term.Hi < x.Term.Hi {
				next = append(next, Service{Term: categories.ServiceTerm{Proto: x.Term.Proto, Lo: y.Term.Hi + 1, Hi: x.Term.Hi}})
			}
		}
		left = next
	}
	return left
}

// and gives what two shares have in common, with the action of the second.
func (s *share) and(o *share) (share, bool) {
	both := share{rule: s.rule, action: o.action, denies: o.denies, services: servicesAnd(s.services, o.services)}
	if len(both.services) == 0 {
		return both, false
	}
	both.client = s.client.And(o.client)
	if len(both.client) == 0 {
		return both, false
	}
	both.server = s.server.And(o.server)
	return both, len(both.server) > 0
}

// AnswersDenied says that a rule permits requests of which the answers are not permitted: no
// rule permits them, or another denies them first.
type AnswersDenied struct {
	Rule     string
	By       string // the rule that denies them; empty where none permits them
	Services []Service
}

// Sessions gives rules about sessions that decide as the policy does, for policies of
// devices, in which requests and answers are matched apart. A session of which the
// requests are permitted and the answers are not is denied. A rule that cannot be
// judged becomes a statement with action Uncertain; with guarding, one that denies
// becomes a denial, and any other no exception. What nothing but the end of the policy
// decides has no statement, but for denials with guarding. A policy with rules about
// sessions only is given as it is.
func (p *Policy) Sessions(guarding bool) (out []StatementRule, denied []AnswersDenied, err error) {
	if !slices.ContainsFunc(p.Rules, func(r StatementRule) bool { return !r.plain() }) {
		return p.withEnd(p.Rules, guarding), nil, nil
	}
	requests, answers, err := p.shares(IPSet, nil)
	if err != nil {
		return nil, nil, err
	}
	if guarding {
		requests, answers = judged(requests), judged(answers)
	}
	var against []*share // answers that are not permitted
	for i := range answers {
		if answers[i].action != Allow {
			against = append(against, &answers[i])
		}
	}
	for i := range requests {
		q := &requests[i]
		r := &p.Rules[q.rule]
		// The answers of a rule about sessions are permitted behind those against.
		if q.action != Allow || r.Direction != OneWay && !slices.ContainsFunc(against, func(a *share) bool {
			both, meets := q.and(a)
			return a.rule < q.rule && meets && !decided(requests[:i], &both)
		}) {
			out = append(out, q.statement(r, q.rule, ""))
			continue
		}
		more, lost := p.withAnswers(q, requests[:i], answers)
		out, denied = append(out, more...), append(denied, lost...)
	}
	return p.withEnd(out, guarding), denied, nil
}

// judged takes shares that cannot be judged as denials, where the rule denies, and leaves the others out.
func judged(shares []share) (out []share) {
	for _, s := range shares {
		if s.action == Uncertain && s.denies {
			s.action = Deny
		}
		if s.action != Uncertain {
			out = append(out, s)
		}
	}
	return out
}

// withEnd adds what the end of a policy denies, where the rules guard.
func (p *Policy) withEnd(rules []StatementRule, guarding bool) []StatementRule {
	if !guarding {
		return rules
	}
	rules = slices.Clone(rules)
	for _, ipv6 := range []bool{false, true} {
		if p.Default.Of(ipv6) == Deny {
			rules = append(rules, StatementRule{Name: DefaultRule, Action: Deny, Direction: Bidirectional,
				Sources: FamilyOf(ipv6), Destinations: FamilyOf(ipv6), Services: []Service{{Any: true}}})
		}
	}
	return rules
}

// decided reports whether one of the shares holds all of another.
func decided(before []share, s *share) bool {
	return slices.ContainsFunc(before, func(b share) bool {
		return len(servicesMinus(s.services, b.services)) == 0 && len(s.client.Minus(b.client)) == 0 && len(s.server.Minus(b.server)) == 0
	})
}

// withAnswers divides the requests that a rule permits by what becomes of their answers;
// before are the requests that earlier rules decide.
func (p *Policy) withAnswers(q *share, before, answers []share) (out []StatementRule, denied []AnswersDenied) {
	r := &p.Rules[q.rule]
	never, rest := answered(q.services)
	if len(never) > 0 {
		alone := *q
		alone.services = never
		out = append(out, alone.statement(r, q.rule, ""))
	}
	for i := range answers {
		if len(rest) == 0 {
			break
		}
		left := *q
		left.services = rest
		both, meets := left.and(&answers[i])
		if !meets || both.action != Allow && decided(before, &both) {
			continue
		}
		by := p.Rules[answers[i].rule].Label(answers[i].rule)
		suffix := ""
		if both.action == Deny {
			suffix = " (answers denied by " + by + ")"
			denied = append(denied, AnswersDenied{r.Label(q.rule), by, both.services})
		}
		out = append(out, both.statement(r, q.rule, suffix))
		if both.client.Equal(q.client) && both.server.Equal(q.server) {
			rest = servicesMinus(rest, both.services)
		}
	}
	if len(rest) > 0 && !p.covered(q, rest, answers) {
		left := *q
		left.services, left.action = rest, Deny
		if decided(before, &left) {
			return out, denied
		}
		out = append(out, left.statement(r, q.rule, " (answers denied)"))
		denied = append(denied, AnswersDenied{r.Label(q.rule), "", rest})
	}
	return out, denied
}

// covered reports whether several answers together, none of them alone, decide all of the services of a share.
func (p *Policy) covered(q *share, services []Service, answers []share) bool {
	for _, s := range services {
		left := q.client
		for i := range answers {
			a := &answers[i]
			if len(servicesMinus([]Service{s}, a.services)) == 0 && len(q.server.Minus(a.server)) == 0 {
				left = left.Minus(a.client)
			}
		}
		if len(left) > 0 {
			return false
		}
	}
	return true
}

// statement makes a rule about sessions of a share.
func (s *share) statement(r *StatementRule, place int, suffix string) StatementRule {
	prefixes := func(set AddressSet) (out []Endpoint) {
		for _, p := range set.Prefixes() {
			out = append(out, Endpoint{Prefix: p})
		}
		return out
	}
	if s.action == Uncertain {
		suffix += " (cannot be judged)"
	}
	return StatementRule{ID: r.ID, Name: r.Label(place) + suffix, Action: s.action, Direction: Bidirectional,
		Sources: prefixes(s.client), Destinations: prefixes(s.server), Services: s.services}
}

// Decision is what becomes of a session.
type Decision string

// The decisions.
const (
	Permitted         Decision = "permit"
	Refused           Decision = "deny"
	AnswersRefused    Decision = "answers-denied" // the request is permitted, the answer is not
	UncertainDecision Decision = "uncertain"      // a rule that cannot be judged comes first, or the default is not known
)

// DefaultRule is what the end of a policy is called where a rule is named.
const DefaultRule = "default"

// Decide says what the policy does with a session, and which rule decides: that of
// the request, or where the request is permitted and the answer is not, that of the answer.
func (p *Policy) Decide(sets SetOf, client, server netip.Addr, service categories.Service) (Decision, string, error) {
	requests, answers, err := p.shares(sets, nil)
	if err != nil {
		return "", "", err
	}
	end := p.Default.Of(client.Is6())
	if end == "" {
		end = Uncertain
	}
	first := func(list []share) (Action, string) {
		for i := range list {
			s := &list[i]
			if s.client.Contains(client) && s.server.Contains(server) && matchesService(s.services, service) {
				return s.action, p.Rules[s.rule].Label(s.rule)
			}
		}
		return end, DefaultRule
	}
	action, rule := first(requests)
	if action != Allow {
		return map[Action]Decision{Deny: Refused, Uncertain: UncertainDecision}[action], rule, nil
	}
	if never, _ := answered([]Service{ServiceOf(service)}); len(never) > 0 {
		return Permitted, rule, nil
	}
	switch back, by := first(answers); back {
	case Deny:
		return AnswersRefused, by, nil
	case Uncertain:
		return UncertainDecision, by, nil
	}
	return Permitted, rule, nil
}
