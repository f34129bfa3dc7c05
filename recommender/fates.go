package recommender

import (
	"fmt"
	"slices"

	"cordon/recommender/cover"
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
	var cells []cell
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
			at = len(cells)
			index[pt.key] = at
			cells = append(cells, cell{key: pt.key})
		}
		c := &cells[at]
		c.parts = append(c.parts, i)
		c.sessions += pt.sessions
		c.included = c.included || pt.reason == 0
	}
	slices.SortFunc(cells, func(a, b cell) int { return a.key.compare(b.key) })
	return cells
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
func support(cells []cell, parts []part, s *policy.Settings, breadthOf func(*cell) breadth) []cell {
	return slices.DeleteFunc(cells, func(c cell) bool {
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

// note says what a session's reason rests on.
func (r *run) note(reason uint8, note int32, client clientOf) string {
	if reason == scannerNumber {
		return r.scanners[client].note()
	}
	if note < 0 {
		return ""
	}
	switch reason {
	case excludedNumber:
		return r.exclusions.statements[note].note
	case guardrailNumber:
		return r.guardrails.statements[note].note
	case alreadyPermittedNumber:
		return r.existing.statements[note].note
	}
	return ""
}

// permitted reports whether the existing policy allows every session that the
// cell could have, and no guardrail forbids one.
func (p *plan) permitted(k cellKey, hostClass func(endpoint) uint32) bool {
	src, dst := p.ClassesOf(k.src, hostClass(k.src)), p.ClassesOf(k.dst, hostClass(k.dst))
	for s := range p.existing.distinct(k.service) {
		if !p.existing.permits(k.vrf, src, dst, s) {
			return false
		}
	}
	return !p.Forbidden(k.vrf, src, dst, k.service)
}

// checkGuardrails makes sure that no box of a cover has a pair of addresses that a
// guardrail denies. It asks for every cell anew, however the cell came into the box.
func (p *plan) checkGuardrails(vrf string, c *covered, boxes []cover.Box, hostClass func(endpoint) uint32) error {
	if len(p.guardrails.statements) == 0 {
		return nil
	}
	classes := func(ends []endpoint, set []int32) (out []uint32) {
		for _, i := range set {
			out = append(out, p.ClassesOf(ends[i], hostClass(ends[i]))...)
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	for i := range boxes {
		src, dst := classes(c.sources, boxes[i].Sets[0]), classes(c.dests, boxes[i].Sets[1])
		for _, v := range boxes[i].Sets[2] {
			if p.Forbidden(vrf, src, dst, c.services[v]) {
				return fmt.Errorf("BUG: a rule would permit %s between addresses that a guardrail denies", c.services[v])
			}
		}
	}
	return nil
}
