package policy

import "cordon/categories"

// Service is one literal of a rule's services: a term such as "tcp/443",
// "udp/8000-8080", "icmp/8" or "gre", or every service ("any"). It is comparable.
type Service struct {
	Any  bool
	Term categories.ServiceTerm // zero where Any is set
}

// ServiceOf is the literal of one service.
func ServiceOf(s categories.Service) Service { return Service{Term: s.Term()} }

// Matches reports whether the literal holds the service.
func (s Service) Matches(o categories.Service) bool { return s.Any || s.Term.Matches(o) }

// String returns the form that ParseService reads back.
func (s Service) String() string {
	if s.Any {
		return literalAny
	}
	return s.Term.String()
}

// Compare orders "any" first, then by protocol number and port.
func (s Service) Compare(o Service) int {
	if s.Any != o.Any {
		if s.Any {
			return -1
		}
		return 1
	}
	return s.Term.Compare(o.Term)
}

// MarshalText implements encoding.TextMarshaler with the form of String.
func (s Service) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler with ParseService.
func (s *Service) UnmarshalText(text []byte) (err error) {
	*s, err = ParseService(string(text))
	return err
}

// ParseService reads a service term, or "any".
func ParseService(text string) (Service, error) {
	if text == literalAny {
		return Service{Any: true}, nil
	}
	t, err := categories.ParseServiceTerm(text)
	if err != nil {
		return Service{}, err
	}
	return Service{Term: t}, nil
}
