package recommender

import (
	"cordon/categories"
	"cordon/recommender/cells"
	"cordon/recommender/cover"
	"cordon/recommender/decide"
	"cordon/recommender/policy"
)

// partial reports whether a share of the sessions is enough.
func (p *plan) partial() bool { return !p.settings.Coverage.Whole() }

// share says how much of a cover problem's ones is needed. What lies in a range weighs with it, since it is covered with it.
func (p *plan) share(vrf string, c *covered, problem cover.Problem, list []cells.Cell, parts []cells.Part, ranged map[cells.Pair][]*cells.Cell) *cover.Share {
	at := make(map[cover.Cell]int, len(problem.Ones))
	for i, one := range problem.Ones {
		at[one] = i
	}
	out := &cover.Share{Weights: make([]int64, len(problem.Ones))}
	for i := range list {
		if !list[i].Included {
			continue
		}
		k := &list[i].Key
		find := func(service categories.ServiceTerm) (int, bool) {
			place, _ := c.at(&cells.Key{Src: k.Src, Dst: k.Dst, Service: service})
			one, ok := at[place]
			return one, ok
		}
		one, ok := find(k.Service)
		for _, r := range ranged[cells.Pair{Src: k.Src, Dst: k.Dst}] {
			if !ok && r.Included && cells.Inside(k.Service, r.Key.Service) {
				one, ok = find(r.Key.Service)
			}
		}
		if !ok {
			continue // counts as left out
		}
		for _, j := range list[i].Parts {
			if parts[j].Reason == 0 {
				out.Weights[one] += int64(decide.Weight(&parts[j], p.settings.CoverageBy))
			}
		}
	}
	w := decide.WeightsOf(vrf, parts, p.settings.CoverageBy)
	out.Needed = int64(p.settings.Coverage.Of(w.Total)) - int64(w.Already)
	return out
}

// leaveOut gives the sessions in no rule their reason, and says how much is permitted.
func (p *plan) leaveOut(d *draft, parts []cells.Part) {
	d.left = decide.LeaveOut(d.cells, parts, d.held)
	w := decide.WeightsOf(d.VRF, parts, p.settings.CoverageBy)
	d.Summary.Coverage = policy.NewCoverage(p.settings.Coverage, p.settings.CoverageBy, w.Total, w.Permitted)
}
