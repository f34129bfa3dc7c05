package recommender

import (
	"slices"

	"cordon/categories"
	"cordon/recommender/cells"
	"cordon/recommender/cover"
	"cordon/recommender/decide"
	"cordon/recommender/policy"
)

// shareNote is the note of parts that are left out because the share asked for is reached without them.
const shareNote = 0

// partial reports whether a share of the sessions is enough.
func (p *plan) partial() bool { return !p.settings.Coverage.Whole() }

// weight is what a part counts in the share.
func (p *plan) weight(pt *cells.Part) uint64 {
	if p.settings.CoverageBy == policy.ByBytes {
		return pt.Bytes
	}
	return pt.Sessions
}

// total is what the share is a share of, and how much of that is permitted: all sessions of a VRF that have no reason, and those
// that are permitted already.
func (p *plan) total(vrf string, parts []cells.Part) (total, permitted, already uint64) {
	for i := range parts {
		if parts[i].Key.VRF != vrf {
			continue
		}
		switch w := p.weight(&parts[i]); parts[i].Reason {
		case 0:
			total, permitted = total+w, permitted+w
		case decide.AlreadyPermittedNumber:
			total, permitted, already = total+w, permitted+w, already+w
		case decide.BelowSupportNumber:
			if parts[i].Note == shareNote {
				total += w
			}
		}
	}
	return total, permitted, already
}

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
		s, _ := slices.BinarySearchFunc(c.sources, k.Src, cells.Endpoint.Compare)
		d, _ := slices.BinarySearchFunc(c.dests, k.Dst, cells.Endpoint.Compare)
		find := func(service categories.ServiceTerm) (int, bool) {
			v, _ := slices.BinarySearchFunc(c.services, service, categories.ServiceTerm.Compare)
			one, ok := at[cover.Cell{int32(s), int32(d), int32(v)}]
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
				out.Weights[one] += int64(p.weight(&parts[j]))
			}
		}
	}
	total, _, already := p.total(vrf, parts)
	out.Needed = int64(p.settings.Coverage.Of(total)) - int64(already)
	return out
}

// leaveOut gives the sessions in no rule their reason, and says how much is permitted.
func (p *plan) leaveOut(d *draft, parts []cells.Part) {
	held := map[int]bool{}
	for _, of := range d.held {
		for _, j := range of {
			held[j] = true
		}
	}
	for i := range d.cells {
		c := &d.cells[i]
		c.Included = false
		for _, j := range c.Parts {
			switch {
			case parts[j].Reason != 0:
			case held[j]:
				c.Included = true
			default:
				parts[j].Reason, parts[j].Note = decide.BelowSupportNumber, shareNote
				d.left = append(d.left, j)
			}
		}
	}
	total, permitted, _ := p.total(d.VRF, parts)
	d.Summary.Coverage = policy.NewCoverage(p.settings.Coverage, p.settings.CoverageBy, total, permitted)
}
