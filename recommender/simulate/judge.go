package simulate

import (
	"net/netip"
	"slices"
	"time"

	"cordon/categories"
	"cordon/recommender/policy"
)

// Verdict is what a policy does with one session.
type Verdict struct {
	Policy   string          `json:"policy"`
	Decision policy.Decision `json:"decision"`
	Rule     string          `json:"rule"`
	Action   policy.Action   `json:"action,omitempty"` // the action of the rule
}

// Judge decides the flows of a session of a VRF that have their first and their last record at two moments of an hour, as a replay does: by what its
// addresses were then. It reports whether the candidate is for the VRF. It fails with a *MeaningError.
func (c *Candidate) Judge(vrf string, client, server netip.Addr, s categories.Service, first, last time.Time) (Verdict, bool, error) {
	client, server = client.Unmap(), server.Unmap()
	r, g := nameRules(c), newRegistry()
	in, err := compile(c, r, vrf, g)
	if err != nil || !in.holds {
		return Verdict{}, false, err
	}
	// The two addresses are classes of their own.
	list := []class{{ipv6: client.Is6(), sets: newBits(len(g.sets))}, {ipv6: server.Is6(), sets: newBits(len(g.sets))}}
	for i, set := range g.sets {
		for j, a := range []netip.Addr{client, server} {
			if m := g.meanings[i]; m != nil {
				if t, changes := m.intime.At(a, first, last); changes {
					if m.holds(a, t) {
						list[j].sets.set(i)
					}
					continue
				}
			}
			if slices.ContainsFunc(set, func(x policy.Span) bool {
				return x.Lo.Compare(a) <= 0 && a.Compare(x.Hi) <= 0 && x.Lo.BitLen() == a.BitLen()
			}) {
				list[j].sets.set(i)
			}
		}
	}
	d := newDecider(in, r, list).decide(0, 1, s, keepAll)
	name := r.names[d.rule]
	return Verdict{Policy: c.Name, Decision: d.Decision, Rule: name.name, Action: name.action}, true, nil
}
