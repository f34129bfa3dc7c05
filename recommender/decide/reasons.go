package decide

import (
	"slices"

	"cordon/recommender/cells"
	"cordon/recommender/policy"
)

// Numbers of the reasons that Go decides.
var (
	LocalNumber            = uint8(cells.ReasonNumber(policy.Local))
	ScannerNumber          = uint8(cells.ReasonNumber(policy.Scanner))
	ExcludedNumber         = uint8(cells.ReasonNumber(policy.Excluded))
	GuardrailNumber        = uint8(cells.ReasonNumber(policy.Guardrail))
	AlreadyPermittedNumber = uint8(cells.ReasonNumber(policy.AlreadyPermitted))
	BelowSupportNumber     = uint8(cells.ReasonNumber(policy.BelowSupport))
)

// Judge gives each part the reasons that rest on policies: excluded, guardrail
// and already-permitted. It returns the cells of what remains, those
// already permitted among it, in order.
func Judge(parts []cells.Part, by Policies) []cells.Cell {
	index := map[cells.Key]int{}
	var list []cells.Cell
	for i := range parts {
		pt := &parts[i]
		if pt.Reason == LocalNumber {
			continue
		}
		if j := by.Excluded(pt.Key.VRF, pt.SrcClass, pt.DstClass, pt.Service); j >= 0 {
			pt.Reason, pt.Note = ExcludedNumber, int32(j)
			continue
		}
		if pt.Reason != 0 {
			continue
		}
		src, dst := by.ClassesOf(pt.Key.Src, pt.SrcClass), by.ClassesOf(pt.Key.Dst, pt.DstClass)
		if j := by.Denied(pt.Key.VRF, src, dst, pt.Service); j >= 0 {
			pt.Reason, pt.Note = GuardrailNumber, int32(j)
			continue
		}
		if j := by.Permitted(pt.Key.VRF, pt.SrcClass, pt.DstClass, pt.Service); j >= 0 {
			pt.Reason, pt.Note = AlreadyPermittedNumber, int32(j)
		}
		at, ok := index[pt.Key]
		if !ok {
			at = len(list)
			index[pt.Key] = at
			list = append(list, cells.Cell{Key: pt.Key})
		}
		c := &list[at]
		c.Parts = append(c.Parts, i)
		c.Sessions += pt.Sessions
		c.Included = c.Included || pt.Reason == 0
	}
	slices.SortFunc(list, func(a, b cells.Cell) int { return a.Key.Compare(b.Key) })
	return list
}

// enough reports whether that is what a cell needs.
func enough(b cells.Breadth, s *policy.Settings) bool {
	return (s.MinHosts <= 1 || b.Clients >= s.MinHosts) && (s.MinHours <= 1 || b.Hours >= s.MinHours) && b.Recurring >= s.Recurring
}

// NeedsBreadth reports whether a cell needs more than a number of sessions.
func NeedsBreadth(s *policy.Settings) bool {
	return s.MinHosts > 1 || s.MinHours > 1 || s.Recurring > 1
}

// Support takes out the cells that have too little, and returns the rest.
func Support(list []cells.Cell, parts []cells.Part, s *policy.Settings, breadthOf func(*cells.Cell) cells.Breadth) []cells.Cell {
	return slices.DeleteFunc(list, func(c cells.Cell) bool {
		if c.Sessions >= s.MinSessions {
			if !NeedsBreadth(s) {
				return false
			}
			b := c.Breadth
			if b == nil {
				counted := breadthOf(&c)
				b = &counted
			}
			if enough(*b, s) {
				return false
			}
		}
		for _, i := range c.Parts {
			if parts[i].Reason == 0 {
				parts[i].Reason = BelowSupportNumber
			}
		}
		return true
	})
}
