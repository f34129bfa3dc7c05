package recommender

import (
	"cmp"
	"slices"

	"cordon/recommender/policy"
)

// Numbers of the reasons that Go decides.
var (
	localNumber            = uint8(reasonNumber(policy.Local))
	excludedNumber         = uint8(reasonNumber(policy.Excluded))
	guardrailNumber        = uint8(reasonNumber(policy.Guardrail))
	alreadyPermittedNumber = uint8(reasonNumber(policy.AlreadyPermitted))
	belowSupportNumber     = uint8(reasonNumber(policy.BelowSupport))
)

// cell is one (source, destination, service) of a VRF with the parts that come
// as far as being counted as its support.
type cell struct {
	key      cellKey
	parts    []int // into the run's parts
	sessions uint64
	included bool // has a session that needs a rule
}

// judge gives each part the reasons that rest on policies: excluded, guardrail
// and already-permitted. It returns the cells of what remains, those
// already permitted among it, in order.
func (p *plan) judge(parts []part) []cell {
	index := map[cellKey]int{}
	var cells []cell
	for i := range parts {
		pt := &parts[i]
		if pt.reason == localNumber {
			continue
		}
		if j := p.exclusions.first(pt.key.vrf, pt.srcClass, pt.dstClass, pt.key.service); j >= 0 {
			pt.reason, pt.note = excludedNumber, int32(j)
			continue
		}
		if pt.reason != 0 {
			continue
		}
		src, dst := p.classesOf(pt.key.src, pt.srcClass), p.classesOf(pt.key.dst, pt.dstClass)
		if j := p.guardrails.denied(pt.key.vrf, src, dst, pt.key.service); j >= 0 {
			pt.reason, pt.note = guardrailNumber, int32(j)
			continue
		}
		if j := p.existing.first(pt.key.vrf, pt.srcClass, pt.dstClass, pt.key.service); j >= 0 && !p.existing.statements[j].deny {
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

func (k cellKey) compare(o cellKey) int {
	return cmp.Or(cmp.Compare(k.vrf, o.vrf), k.src.compare(o.src), k.dst.compare(o.dst), k.service.Compare(o.service))
}

// support takes out the cells that have too little: clients gives the number of
// distinct clients of a cell. It returns the rest.
func (p *plan) support(cells []cell, parts []part, clients func(*cell) uint64) []cell {
	return slices.DeleteFunc(cells, func(c cell) bool {
		if c.sessions >= p.MinSessions && (p.MinHosts <= 1 || clients(&c) >= p.MinHosts) {
			return false
		}
		for _, i := range c.parts {
			if parts[i].reason == 0 {
				parts[i].reason = belowSupportNumber
			}
		}
		return true
	})
}

// note says what a part's reason rests on.
func (p *plan) note(reason uint8, note int32) string {
	if note < 0 {
		return ""
	}
	switch reason {
	case excludedNumber:
		return p.exclusions.statements[note].note
	case guardrailNumber:
		return p.guardrails.statements[note].note
	case alreadyPermittedNumber:
		return p.existing.statements[note].note
	}
	return ""
}

// permitted reports whether the existing policy allows every session that the cell could have.
func (p *plan) permitted(k cellKey, hostClass func(endpoint) uint32) bool {
	src, dst := p.classesOf(k.src, hostClass(k.src)), p.classesOf(k.dst, hostClass(k.dst))
	return p.existing.permits(k.vrf, src, dst, k.service) && p.guardrails.denied(k.vrf, src, dst, k.service) < 0
}
