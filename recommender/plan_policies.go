package recommender

import (
	"fmt"
	"slices"

	"cordon/categories"
	"cordon/internal/iana"
	"cordon/recommender/cells"
	"cordon/recommender/cover"
	"cordon/recommender/decide"
)

// Excluded is of decide.Policies.
func (p *plan) Excluded(vrf string, src, dst uint32, s categories.Service) int {
	return p.exclusions.first(vrf, src, dst, s)
}

// Denied is of decide.Policies.
func (p *plan) Denied(vrf string, src, dst []uint32, s categories.Service) int {
	return p.guardrails.denied(vrf, src, dst, s)
}

// Permitted is of decide.Policies.
func (p *plan) Permitted(vrf string, src, dst uint32, s categories.Service) int {
	if j := p.existing.first(vrf, src, dst, s); j >= 0 && !p.existing.statements[j].deny {
		return j
	}
	return -1
}

// Forbidden is of decide.Policies.
func (p *plan) Forbidden(vrf string, src, dst []uint32, t categories.ServiceTerm) bool {
	for s := range p.guardrails.distinct(t) {
		if p.guardrails.denied(vrf, src, dst, s) >= 0 {
			return true
		}
	}
	return false
}

// ClassesOf is of decide.Policies.
func (p *plan) ClassesOf(e cells.Endpoint, seen uint32) []uint32 {
	switch e.Group {
	case cells.NoGroup:
		if !e.Prefix.IsSingleIP() {
			return p.classes.within(e.Prefix)
		}
		return []uint32{seen}
	case cells.InternetGroup:
		return p.classes.internet
	}
	return p.classes.byGroup[int(e.Group-1)]
}

// named reports whether a service has a name of its own: a name for a range says
// nothing about one port of it.
func (p *plan) named(s categories.Service) bool {
	if _, ok := iana.ServiceName(s.Proto, s.Port); ok {
		return true
	}
	return slices.ContainsFunc(p.file.Services, func(n categories.NamedService) bool {
		return slices.Contains(n.Match, s.Term())
	})
}

// note says what a session's reason rests on.
func (r *run) note(reason uint8, note int32, client clientOf) string {
	if reason == decide.ScannerNumber {
		return r.scanners[client].note()
	}
	if note < 0 {
		return ""
	}
	switch reason {
	case decide.ExcludedNumber:
		return r.plan.exclusions.statements[note].note
	case decide.GuardrailNumber:
		return r.plan.guardrails.statements[note].note
	case decide.AlreadyPermittedNumber:
		return r.plan.existing.statements[note].note
	}
	return ""
}

// permitted reports whether the existing policy allows every session that the
// cell could have, and no guardrail forbids one.
func (p *plan) permitted(k cells.Key, hostClass func(cells.Endpoint) uint32) bool {
	src, dst := p.ClassesOf(k.Src, hostClass(k.Src)), p.ClassesOf(k.Dst, hostClass(k.Dst))
	for s := range p.existing.distinct(k.Service) {
		if !p.existing.permits(k.VRF, src, dst, s) {
			return false
		}
	}
	return !p.Forbidden(k.VRF, src, dst, k.Service)
}

// checkGuardrails makes sure that no box of a cover has a pair of addresses that a
// guardrail denies. It asks for every cell anew, however the cell came into the box.
func (p *plan) checkGuardrails(vrf string, c *covered, boxes []cover.Box, hostClass func(cells.Endpoint) uint32) error {
	if len(p.guardrails.statements) == 0 {
		return nil
	}
	classes := func(ends []cells.Endpoint, set []int32) (out []uint32) {
		for _, i := range set {
			out = append(out, p.ClassesOf(ends[i], hostClass(ends[i]))...)
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	for i := range boxes {
		src, dst := classes(c.Sources, boxes[i].Sets[0]), classes(c.Dests, boxes[i].Sets[1])
		for _, v := range boxes[i].Sets[2] {
			if p.Forbidden(vrf, src, dst, c.Services[v]) {
				return fmt.Errorf("BUG: a rule would permit %s between addresses that a guardrail denies", c.Services[v])
			}
		}
	}
	return nil
}
