package simulate

import (
	"fmt"
	"slices"

	"cordon/recommender/policy"
)

// Candidate is a policy to replay sessions against: documents, of which those of a VRF and those of every VRF hold in the
// VRF, one after another.
type Candidate struct {
	Name      string // the text it is called by: a path, or the beginning of an id
	Documents []Document
}

// Document is one policy with the meaning of its literals.
type Document struct {
	Policy policy.Policy
	Sets   policy.SetOf
	// InTime says what the literals mean for addresses that change their owner; nil where the groups have no times.
	InTime *policy.InTime
	// Beside says that the policy is in force beside the candidate, which builds on it.
	Beside bool
}

// ruleName is a rule as results name it. A device's match may be several rules of the model: they are one here.
type ruleName struct {
	id, name string
	action   policy.Action
}

// rules are the rules of a candidate as results name them; the end of the policy is the last.
type rules struct {
	names []ruleName
	alike []int32 // the place of the first rule that has the name of each
	of    [][]int // the places in names of the rules of each document
}

// end is the place of the policy's end.
func (r *rules) end() int { return len(r.names) - 1 }

// nameRules gives the rules of a candidate.
func nameRules(c *Candidate) *rules {
	r := new(rules)
	for d := range c.Documents {
		p := &c.Documents[d].Policy
		type key struct {
			name   string
			action policy.Action
		}
		known := map[key]int{}
		var of []int
		for i := range p.Rules {
			rule := &p.Rules[i]
			k := key{rule.Label(i), rule.Action}
			at, ok := known[k]
			if !ok {
				at = len(r.names)
				known[k] = at
				r.names = append(r.names, ruleName{rule.ID, k.name, k.action})
			}
			of = append(of, at)
		}
		r.of = append(r.of, of)
	}
	r.names = append(r.names, ruleName{"", policy.DefaultRule, c.endAction()})
	first := map[string]int32{}
	for i, n := range r.names {
		if _, ok := first[n.name]; !ok {
			first[n.name] = int32(i)
		}
		r.alike = append(r.alike, first[n.name])
	}
	return r
}

// endAction is what the end of the candidate does, where all of it does the same; empty where it does not.
func (c *Candidate) endAction() policy.Action {
	var action policy.Action
	for i := range c.Documents {
		d := c.Documents[i].Policy.Default
		for _, a := range []policy.Action{d.IPv4, d.IPv6} {
			switch {
			case a == "":
			case action == "":
				action = a
			case action != a:
				return ""
			}
		}
	}
	return action
}

// RuleError names a rule that a policy does not have.
type RuleError struct{ Rule, Policy string }

func (e *RuleError) Error() string {
	return fmt.Sprintf("%s has no rule of the name or id %q", e.Policy, e.Rule)
}

// MeaningError says which literal of a policy has no meaning, such as a group that the groups file does not have. It is the caller's mistake.
type MeaningError struct{ Err error }

func (e *MeaningError) Error() string { return e.Err.Error() }
func (e *MeaningError) Unwrap() error { return e.Err }

// Without gives the candidate without the rules of some names or ids. It fails with a *RuleError.
func (c *Candidate) Without(names []string) (*Candidate, error) {
	out := &Candidate{Name: c.Name}
	found := map[string]bool{}
	for _, d := range c.Documents {
		var kept []policy.StatementRule
		for i := range d.Policy.Rules {
			rule := &d.Policy.Rules[i]
			label := rule.Label(i)
			gone := slices.IndexFunc(names, func(n string) bool { return n == label || rule.ID != "" && n == rule.ID })
			if gone >= 0 {
				found[names[gone]] = true
				continue
			}
			r := *rule
			r.Name = label // a rule without a name is called by its place
			kept = append(kept, r)
		}
		d.Policy.Rules = kept
		out.Documents = append(out.Documents, d)
	}
	for _, n := range names {
		if !found[n] {
			return nil, &RuleError{n, c.Name}
		}
	}
	return out, nil
}

// share is a share of some policy of a candidate, with its sets by their places in the registry.
type share struct {
	rule           int // the place in rules.names
	client, server int
	services       []policy.Service
	action         policy.Action
}

// compiled is a candidate in one VRF.
type compiled struct {
	requests, answers []share
	ends              policy.Defaults
	holds             bool // some document is of this VRF
}

// changes reports whether some address changes its owner.
func (d *Document) changes() bool { return d.InTime != nil && len(d.InTime.Changing()) > 0 }

// ends says what the client and the server of a half mean for addresses that change their owner; nil where none does.
func (d *Document) ends(h *policy.Half) (client, server *meaning) {
	if !d.changes() {
		return nil, nil
	}
	r := &d.Policy.Rules[h.Rule]
	as := policy.ReadingOf(r.Action, false)
	if d.Policy.Kind == policy.KindProposal {
		as = policy.Proposed
	}
	client, server = &meaning{intime: d.InTime, as: as, in: r.Sources, out: r.Except.Sources}, &meaning{intime: d.InTime, as: as, in: r.Destinations, out: r.Except.Destinations}
	if h.Turned {
		client, server = server, client
	}
	return client, server
}

// compile gives what holds in a VRF.
func compile(c *Candidate, r *rules, vrf string, g *registry) (*compiled, error) {
	out := new(compiled)
	for d := range c.Documents {
		p := &c.Documents[d].Policy
		if p.VRF != "" && p.VRF != vrf {
			continue
		}
		out.holds = true
		var keep func(*policy.StatementRule) bool
		if c.Documents[d].changes() {
			keep = (*policy.StatementRule).NamesGroup // whoever is in the group at another time
		}
		requests, answers, err := p.Halves(c.Documents[d].Sets, keep)
		if err != nil {
			return nil, &MeaningError{fmt.Errorf("%s: %w", c.Name, err)}
		}
		for _, side := range []struct {
			from []policy.Half
			to   *[]share
		}{{requests, &out.requests}, {answers, &out.answers}} {
			for _, s := range side.from {
				client, server := c.Documents[d].ends(&s)
				*side.to = append(*side.to, share{r.of[d][s.Rule], g.add(s.Client, client), g.add(s.Server, server), s.Services, s.Action})
			}
		}
		if out.ends.IPv4 == "" {
			out.ends.IPv4 = p.Default.IPv4
		}
		if out.ends.IPv6 == "" {
			out.ends.IPv6 = p.Default.IPv6
		}
	}
	return out, nil
}
