package decide

import (
	"cordon/recommender/cells"
	"cordon/recommender/policy"
)

// ShareNote is the note of parts that are left out because the share of the sessions that was asked for is reached without them.
const ShareNote = 0

// Weight is what a part counts in a share of the sessions, or of their bytes.
func Weight(p *cells.Part, by policy.Measure) uint64 {
	if by == policy.ByBytes {
		return p.Bytes
	}
	return p.Sessions
}

// Weights sums the sessions of a VRF that a share is a share of: all those that no reason leaves out but the share itself.
type Weights struct {
	Total     uint64
	Permitted uint64 // Rules or a policy in force permit so much.
	Already   uint64 // A policy in force permits so much.
}

// WeightsOf gives the weights of a VRF.
func WeightsOf(vrf string, parts []cells.Part, by policy.Measure) (w Weights) {
	for i := range parts {
		p := &parts[i]
		if p.Key.VRF != vrf {
			continue
		}
		switch n := Weight(p, by); {
		case p.Reason == 0:
			w.Total, w.Permitted = w.Total+n, w.Permitted+n
		case p.Reason == AlreadyPermittedNumber:
			w.Total, w.Permitted, w.Already = w.Total+n, w.Permitted+n, w.Already+n
		case p.Reason == BelowSupportNumber && p.Note == ShareNote:
			w.Total += n
		}
	}
	return w
}

// LeaveOut gives the sessions of cells that no rule holds their reason, where rules for a share are enough. Held are the parts that
// each rule holds. It returns the parts that are left out.
func LeaveOut(list []cells.Cell, parts []cells.Part, held [][]int) (left []int) {
	inRule := map[int]bool{}
	for _, of := range held {
		for _, j := range of {
			inRule[j] = true
		}
	}
	for i := range list {
		c := &list[i]
		c.Included = false
		for _, j := range c.Parts {
			switch {
			case parts[j].Reason != 0:
			case inRule[j]:
				c.Included = true
			default:
				parts[j].Reason, parts[j].Note = BelowSupportNumber, ShareNote
				left = append(left, j)
			}
		}
	}
	return left
}
