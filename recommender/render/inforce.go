package render

import (
	"fmt"
	"strings"

	"cordon/recommender/policy"
)

// inForce tells which rules in force can go, permit too much, or are in the way.
func (t table) inForce(p *policy.Proposal) {
	if len(p.Existing) == 0 {
		return
	}
	t.head("Rules in force")
	for i := range p.Existing {
		t.para(indent, InForce(&p.Existing[i]))
	}
	fmt.Fprintln(t.w)
}

// InForce says in words what was found about a rule in force.
func InForce(f *policy.InForce) string {
	by := append([]string(nil), f.By...)
	for _, name := range f.ByProposed {
		by = append(by, name+" (proposed)")
	}
	list := strings.Join(by, ", ")
	text := f.Rule + ": " + string(f.Finding)
	switch f.Finding {
	case policy.Redundant:
		return text + ", can go: what was seen is decided alike by " + list
	case policy.Shadowed:
		return text + ", never reached: decided before by " + list
	case policy.Contradicted:
		return text + ", denies what is proposed: " + list
	case policy.WiderThanSeen:
		if f.Beyond == nil { // edited by hand
			return text
		}
		services := fmt.Sprint(f.Beyond.PermittedPorts)
		if f.Beyond.PermittedPorts == policy.NumServices {
			services = "all"
		}
		return fmt.Sprintf("%s, permits %d pairs of hosts (%d seen) and %s services (%d seen)", text, f.Beyond.PermittedPairs, f.Beyond.ObservedPairs, services, f.Beyond.ObservedPorts)
	case policy.Unused:
		return text + ", decides no session of the window"
	}
	return text
}
