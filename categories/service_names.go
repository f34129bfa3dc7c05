package categories

import (
	"cmp"
	"slices"

	"cordon/internal/iana"
)

// NamedService is a name for a set of services, as in the groups file.
type NamedService struct {
	Name  string
	Match []ServiceTerm
	Line  int // line in the file, 0 if made otherwise
}

// ServiceNames finds a service's name. The zero value knows no names of its
// own. It is read-only and safe for concurrent use.
type ServiceNames struct {
	terms [256][]namedTerm // one list for each protocol, in order of precedence
}

type namedTerm struct {
	ServiceTerm
	name string
}

// NewServiceNames indexes named services. Where several match, the smallest
// term wins, then the one that comes first.
func NewServiceNames(services []NamedService) *ServiceNames {
	n := new(ServiceNames)
	for _, s := range services {
		for _, t := range s.Match {
			n.terms[t.Proto] = append(n.terms[t.Proto], namedTerm{t, s.Name})
		}
	}
	for _, terms := range n.terms {
		slices.SortStableFunc(terms, func(a, b namedTerm) int { return cmp.Compare(a.Size(), b.Size()) })
	}
	return n
}

// Lookup returns the name that the groups file gives to a service, or "".
func (n *ServiceNames) Lookup(s Service) string {
	for _, t := range n.terms[s.Proto] {
		if t.Matches(s) {
			return t.name
		}
	}
	return ""
}

// Name returns the best name there is: from the groups file, from the table of
// known services ("https"), or the service itself ("tcp/8123").
func (n *ServiceNames) Name(s Service) string {
	if name := n.Lookup(s); name != "" {
		return name
	}
	if name, ok := iana.ServiceName(s.Proto, s.Port); ok {
		return name
	}
	return s.String()
}
