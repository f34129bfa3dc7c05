package simulate

import (
	mathbits "math/bits"

	"cordon/categories"
	"cordon/recommender/policy"
)

// decision is what a policy does with a session, and the rules that say so.
type decision struct {
	policy.Decision
	rule            int // the one that is named: the answer's where that is not permitted, else the request's
	request, answer int // rules that were asked, in order; answer is -1 where none was
}

// decider decides sessions between classes under one compiled policy.
type decider struct {
	requests, answers *matcher
	ends              policy.Defaults
	end               int // the place of the policy's end among the rules
	classes           []class
}

func newDecider(c *compiled, r *rules, classes []class) *decider {
	return &decider{newMatcher(c.requests, classes), newMatcher(c.answers, classes), c.ends, r.end(), classes}
}

// keepAll is no rule.
const keepAll = -1

// decide decides a session as policy.Policy.Decide does, without one of the rules unless it is keepAll.
func (d *decider) decide(client, server uint32, s categories.Service, without int) decision {
	end := d.ends.Of(d.classes[client].ipv6)
	if end == "" {
		end = policy.Uncertain
	}
	first := func(m *matcher) (policy.Action, int) {
		if i := m.first(client, server, s, without); i >= 0 {
			return m.shares[i].action, m.shares[i].rule
		}
		return end, d.end
	}
	action, rule := first(d.requests)
	out := decision{policy.Permitted, rule, rule, -1}
	switch action {
	case policy.Deny:
		out.Decision = policy.Refused
		return out
	case policy.Uncertain:
		out.Decision = policy.UncertainDecision
		return out
	}
	if policy.NeverAnswered(s) {
		return out
	}
	back, by := first(d.answers)
	out.answer = by
	switch back {
	case policy.Deny:
		out.Decision, out.rule = policy.AnswersRefused, by
	case policy.Uncertain:
		out.Decision, out.rule = policy.UncertainDecision, by
	}
	return out
}

// matcher finds the first share that holds a session. It keeps a bit for each share, by class and by service, so that a
// look-up is one pass over a few words.
type matcher struct {
	shares         []share
	client, server [][]uint64 // the shares that hold each class
	services       map[categories.Service][]uint64
	ofRule         map[int][]uint64 // shares of a rule, made when first asked for
}

func newMatcher(shares []share, classes []class) *matcher {
	m := &matcher{shares: shares, services: map[categories.Service][]uint64{}, ofRule: map[int][]uint64{}}
	m.client, m.server = make([][]uint64, len(classes)), make([][]uint64, len(classes))
	for i := range classes {
		client, server := newBits(len(shares)), newBits(len(shares))
		for j := range shares {
			if classes[i].sets.has(shares[j].client) {
				client.set(j)
			}
			if classes[i].sets.has(shares[j].server) {
				server.set(j)
			}
		}
		m.client[i], m.server[i] = client, server
	}
	return m
}

// first gives the first share that holds a session, of any rule but one; -1 if there is none.
func (m *matcher) first(client, server uint32, s categories.Service, without int) int {
	service := m.sharesWith(s)
	var gone []uint64
	if without != keepAll {
		gone = m.sharesOf(without)
	}
	c, o := m.client[client], m.server[server]
	for w := range service {
		b := c[w] & o[w] & service[w]
		if gone != nil {
			b &^= gone[w]
		}
		if b != 0 {
			return w*64 + mathbits.TrailingZeros64(b)
		}
	}
	return -1
}

// sharesWith gives the shares that hold a service.
func (m *matcher) sharesWith(s categories.Service) []uint64 {
	service, ok := m.services[s]
	if !ok {
		b := newBits(len(m.shares))
		for j := range m.shares {
			for _, x := range m.shares[j].services {
				if x.Matches(s) {
					b.set(j)
					break
				}
			}
		}
		service, m.services[s] = b, b
	}
	return service
}

// every calls f with the rule of each share that holds a session, also where an earlier share decides it.
func (m *matcher) every(client, server uint32, s categories.Service, f func(rule int)) {
	service, c, o := m.sharesWith(s), m.client[client], m.server[server]
	for w := range service {
		for b := c[w] & o[w] & service[w]; b != 0; b &= b - 1 {
			f(m.shares[w*64+mathbits.TrailingZeros64(b)].rule)
		}
	}
}

func (m *matcher) sharesOf(rule int) []uint64 {
	b, ok := m.ofRule[rule]
	if !ok {
		set := newBits(len(m.shares))
		for j := range m.shares {
			if m.shares[j].rule == rule {
				set.set(j)
			}
		}
		b, m.ofRule[rule] = set, set
	}
	return b
}
