package recommender

import (
	"slices"

	"cordon/recommender/policy"
)

// Numbers of the reasons that Go decides.
var (
	localNumber            = uint8(reasonNumber(policy.Local))
	scannerNumber          = uint8(reasonNumber(policy.Scanner))
	excludedNumber         = uint8(reasonNumber(policy.Excluded))
	guardrailNumber        = uint8(reasonNumber(policy.Guardrail))
	alreadyPermittedNumber = uint8(reasonNumber(policy.AlreadyPermitted))
	belowSupportNumber     = uint8(reasonNumber(policy.BelowSupport))
)

// judge gives each part the reasons that rest on policies: excluded, guardrail
// and already-permitted. It returns the cells of what remains, those
// already permitted among it, in order.
func judge(parts []part, by policies) []cell {
	index := map[cellKey]int{}
	var list []cell
	for i := range parts {
		pt := &parts[i]
		if pt.reason == localNumber {
			continue
		}
		if j := by.Excluded(pt.key.vrf, pt.srcClass, pt.dstClass, pt.service); j >= 0 {
			pt.reason, pt.note = excludedNumber, int32(j)
			continue
		}
		if pt.reason != 0 {
			continue
		}
		src, dst := by.ClassesOf(pt.key.src, pt.srcClass), by.ClassesOf(pt.key.dst, pt.dstClass)
		if j := by.Denied(pt.key.vrf, src, dst, pt.service); j >= 0 {
			pt.reason, pt.note = guardrailNumber, int32(j)
			continue
		}
		if j := by.Permitted(pt.key.vrf, pt.srcClass, pt.dstClass, pt.service); j >= 0 {
			pt.reason, pt.note = alreadyPermittedNumber, int32(j)
		}
		at, ok := index[pt.key]
		if !ok {
			at = len(list)
			index[pt.key] = at
			list = append(list, cell{key: pt.key})
		}
		c := &list[at]
		c.parts = append(c.parts, i)
		c.sessions += pt.sessions
		c.included = c.included || pt.reason == 0
	}
	slices.SortFunc(list, func(a, b cell) int { return a.key.compare(b.key) })
	return list
}

// enough reports whether that is what a cell needs.
func enough(b breadth, s *policy.Settings) bool {
	return (s.MinHosts <= 1 || b.clients >= s.MinHosts) && (s.MinHours <= 1 || b.hours >= s.MinHours) && b.recurring >= s.Recurring
}

// needsBreadth reports whether a cell needs more than a number of sessions.
func needsBreadth(s *policy.Settings) bool {
	return s.MinHosts > 1 || s.MinHours > 1 || s.Recurring > 1
}

// support takes out the cells that have too little, and returns the rest.
func support(list []cell, parts []part, s *policy.Settings, breadthOf func(*cell) breadth) []cell {
	return slices.DeleteFunc(list, func(c cell) bool {
		if c.sessions >= s.MinSessions {
			if !needsBreadth(s) {
				return false
			}
			b := c.breadth
			if b == nil {
				counted := breadthOf(&c)
				b = &counted
			}
			if enough(*b, s) {
				return false
			}
		}
		for _, i := range c.parts {
			if parts[i].reason == 0 {
				parts[i].reason = belowSupportNumber
			}
		}
		return true
	})
}
