package recommender

import (
	"slices"

	"cordon/categories"
	"cordon/internal/iana"
)

// policies are what exclusions, guardrails and policies in force say of sessions, by the classes of addresses of their ends. The
// place of a statement is -1 where there is none.
type policies interface {
	// ClassesOf gives all classes of addresses that an endpoint of a cell has; seen is the class of the sessions at hand, which is
	// the one of a single host.
	ClassesOf(e endpoint, seen uint32) []uint32
	// Excluded gives the place of the exclusion that holds a session.
	Excluded(vrf string, src, dst uint32, s categories.Service) int
	// Denied gives the place of the first guardrail that denies a session between any two of the classes.
	Denied(vrf string, src, dst []uint32, s categories.Service) int
	// Permitted gives the place of the statement in force that permits a session.
	Permitted(vrf string, src, dst uint32, s categories.Service) int
	// Forbidden reports whether a guardrail denies one of the services to one of the pairs of classes.
	Forbidden(vrf string, src, dst []uint32, t categories.ServiceTerm) bool
}

// Excluded is of policies.
func (p *plan) Excluded(vrf string, src, dst uint32, s categories.Service) int {
	return p.exclusions.first(vrf, src, dst, s)
}

// Denied is of policies.
func (p *plan) Denied(vrf string, src, dst []uint32, s categories.Service) int {
	return p.guardrails.denied(vrf, src, dst, s)
}

// Permitted is of policies.
func (p *plan) Permitted(vrf string, src, dst uint32, s categories.Service) int {
	if j := p.existing.first(vrf, src, dst, s); j >= 0 && !p.existing.statements[j].deny {
		return j
	}
	return -1
}

// Forbidden is of policies.
func (p *plan) Forbidden(vrf string, src, dst []uint32, t categories.ServiceTerm) bool {
	for s := range p.guardrails.distinct(t) {
		if p.guardrails.denied(vrf, src, dst, s) >= 0 {
			return true
		}
	}
	return false
}

// ClassesOf is of policies.
func (p *plan) ClassesOf(e endpoint, seen uint32) []uint32 {
	switch e.group {
	case noGroup:
		if !e.prefix.IsSingleIP() {
			return p.classes.within(e.prefix)
		}
		return []uint32{seen}
	case internetGroup:
		return p.classes.internet
	}
	return p.classes.byGroup[int(e.group-1)]
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
