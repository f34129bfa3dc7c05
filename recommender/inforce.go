package recommender

import "cordon/recommender/policy"

// markUsed finds, for each draft, the rules in force that decide a session of its
// window, whatever became of the session.
func (p *plan) markUsed(drafts []*draft, parts []part) {
	for _, d := range drafts {
		d.used = make([]bool, len(p.existing.statements))
		for _, i := range d.parts {
			pt := &parts[i]
			if j := p.existing.first(pt.key.vrf, pt.srcClass, pt.dstClass, pt.service); j >= 0 {
				d.used[j] = true
			}
		}
	}
}

// audit compares the rules in force with those of a draft.
func (p *plan) audit(d *draft) []policy.InForce {
	var rules []policy.StatementRule
	var labels []string
	var used []bool
	at := 0
	for _, doc := range p.Existing {
		for i := range doc.Rules {
			if doc.VRF == "" || doc.VRF == d.VRF {
				// A rule that reaches beyond the scope may decide sessions there, which nobody looked at.
				r := &doc.Rules[i]
				beyond := !p.bounds.HoldsAll(p.addresses.Around(r.Sources), p.addresses.Around(r.Destinations))
				rules, labels, used = append(rules, *r), append(labels, r.Label(i)), append(used, d.used[at] || beyond)
			}
			at++
		}
	}
	if len(rules) == 0 {
		return nil
	}
	return p.addresses.Audit(rules, labels, used, d.Rules)
}
