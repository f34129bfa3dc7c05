package policy

import "cordon/categories"

// Half is what one rule of a policy decides of one half of sessions: of their requests, or of their answers. Client and Server are
// those of the session either way.
type Half struct {
	Rule           int // place in Policy.Rules
	Client, Server AddressSet
	Services       []Service
	Action         Action // Allow, Deny or Uncertain
	Turned         bool   // Client has the rule's destinations, and Server its sources
}

// Halves gives what the rules decide of the requests of sessions and of their answers, each in the order of the rules:
// the first half that holds a session decides, as Decide does for one session. Rules that mean no address are left out, but for those
// that keep asks for; it may be nil for none. It fails where sets does.
func (p *Policy) Halves(sets SetOf, keep func(*StatementRule) bool) (requests, answers []Half, err error) {
	q, a, err := p.shares(sets, keep)
	if err != nil {
		return nil, nil, err
	}
	exported := func(list []share) []Half {
		out := make([]Half, len(list))
		for i, s := range list {
			out[i] = Half{s.rule, s.client, s.server, s.services, s.action, s.turned}
		}
		return out
	}
	return exported(q), exported(a), nil
}

// NeverAnswered reports whether nothing answers a service, such as a type of ICMP that is no request: then the request alone decides.
func NeverAnswered(s categories.Service) bool {
	never, _ := answered([]Service{ServiceOf(s)})
	return len(never) > 0
}
