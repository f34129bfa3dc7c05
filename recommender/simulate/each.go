package simulate

import (
	"slices"

	"cordon/recommender/policy"
)

// each finds for every rule what changes without it. A session is decided otherwise only where the rule was one of those
// that decided its request or its answer, so this is one pass.
func (r *Replay) each() {
	names := r.candidate.rules.names[:r.candidate.rules.end()]
	out := make([]Removal, len(names))
	for i, n := range names {
		out[i] = Removal{Rule: n.name, ID: n.id, Action: n.action}
	}
	for i := range r.parts {
		p, j := &r.parts[i], &r.decided[i]
		if !j.holds {
			continue
		}
		asked := []int{j.now.request}
		if j.now.answer >= 0 && j.now.answer != j.now.request {
			asked = append(asked, j.now.answer)
		}
		for _, rule := range slices.DeleteFunc(asked, func(rule int) bool { return rule == r.candidate.rules.end() }) {
			out[rule].add(j.now, r.candidate.ready[p.vrf].decide(p.client, p.server, p.service, rule), &p.tallied)
		}
	}
	r.Result.Each = out
}

// add counts sessions that are decided in two ways with and without the rule.
func (m *Removal) add(with, without decision, t *tallied) {
	before, now := kind(with.Decision), kind(without.Decision)
	if before == now {
		if !t.attempts {
			m.Elsewhere += t.n
		}
		return
	}
	m.Changed.add(before, now, t)
	switch {
	case before == policy.Permitted:
		m.Denied.add(t)
	case now == policy.Permitted:
		m.Permitted.add(t)
	}
}
