package decide

import (
	"cordon/categories"
	"cordon/recommender/cells"
)

// Policies are what exclusions, guardrails and policies in force say of sessions, by the classes of addresses of their ends. The
// place of a statement is -1 where there is none.
type Policies interface {
	// ClassesOf gives all classes of addresses that an endpoint of a cell has; seen is the class of the sessions at hand, which is
	// the one of a single host.
	ClassesOf(e cells.Endpoint, seen uint32) []uint32
	// Excluded gives the place of the exclusion that holds a session.
	Excluded(vrf string, src, dst uint32, s categories.Service) int
	// Denied gives the place of the first guardrail that denies a session between any two of the classes.
	Denied(vrf string, src, dst []uint32, s categories.Service) int
	// Permitted gives the place of the statement in force that permits a session.
	Permitted(vrf string, src, dst uint32, s categories.Service) int
	// Forbidden reports whether a guardrail denies one of the services to one of the pairs of classes.
	Forbidden(vrf string, src, dst []uint32, t categories.ServiceTerm) bool
}
