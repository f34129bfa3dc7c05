package recommender

import (
	"iter"
	"math/bits"
	"slices"

	"cordon/categories"
	"cordon/recommender/policy"
)

// matcher finds the first statement of a list that matches a session, by
// classes instead of addresses. It keeps a bit per statement for each class
// and service, so that a look-up is one pass over a few words.
type matcher struct {
	statements []statement
	words      int
	src, dst   [][]uint64 // Keyed by class.
	services   map[categories.Service][]uint64
	deny       []uint64 // statements that deny
}

// statement is a rule of a policy, or an exclusion.
type statement struct {
	note     string // Its name in messages.
	vrf      string // empty: in every VRF
	deny     bool
	src, dst []member
	services []policy.Service
}

// newMatcher needs the classes built.
func newMatcher(statements []statement, c *classes) *matcher {
	m := &matcher{statements: statements, words: (len(statements) + 63) / 64, services: map[categories.Service][]uint64{}}
	m.src, m.dst = make([][]uint64, len(c.list)), make([][]uint64, len(c.list))
	m.deny = make([]uint64, m.words)
	for i := range c.list {
		m.src[i], m.dst[i] = make([]uint64, m.words), make([]uint64, m.words)
		for j := range statements {
			if holdsAny(statements[j].src, &c.list[i]) {
				set(m.src[i], j)
			}
			if holdsAny(statements[j].dst, &c.list[i]) {
				set(m.dst[i], j)
			}
		}
	}
	for j := range statements {
		if statements[j].deny {
			set(m.deny, j)
		}
	}
	return m
}

func holdsAny(members []member, c *class) bool {
	for _, m := range members {
		if m.holds(c) {
			return true
		}
	}
	return false
}

func set(b []uint64, i int) { b[i/64] |= 1 << (i % 64) }

// service gives the statements that a service and VRF do not rule out.
func (m *matcher) service(s categories.Service) []uint64 {
	b, ok := m.services[s]
	if !ok {
		b = make([]uint64, m.words)
		for j := range m.statements {
			for _, t := range m.statements[j].services {
				if t.Matches(s) {
					set(b, j)
					break
				}
			}
		}
		m.services[s] = b
	}
	return b
}

// distinct gives services of a term so that every other service of it is matched
// by the same statements as one of them.
func (m *matcher) distinct(t categories.ServiceTerm) iter.Seq[categories.Service] {
	ports := []uint16{t.Lo}
	if t.Lo == t.Hi {
		return slices.Values([]categories.Service{{Proto: t.Proto, Port: t.Lo}})
	}
	for j := range m.statements {
		for _, s := range m.statements[j].services {
			if s.Any || s.Term.Proto != t.Proto {
				continue
			}
			// Where a statement begins to match, and where it has ceased to.
			if s.Term.Lo > t.Lo && s.Term.Lo <= t.Hi {
				ports = append(ports, s.Term.Lo)
			}
			if s.Term.Hi >= t.Lo && s.Term.Hi < t.Hi {
				ports = append(ports, s.Term.Hi+1)
			}
		}
	}
	slices.Sort(ports)
	return func(yield func(categories.Service) bool) {
		for _, port := range slices.Compact(ports) {
			if !yield(categories.Service{Proto: t.Proto, Port: port}) {
				return
			}
		}
	}
}

// first returns the first statement that matches, or -1.
func (m *matcher) first(vrf string, src, dst uint32, s categories.Service) int {
	if m.words == 0 {
		return -1
	}
	service := m.service(s)
	for w := range m.words {
		for b := m.src[src][w] & m.dst[dst][w] & service[w]; b != 0; b &= b - 1 {
			j := w*64 + bits.TrailingZeros64(b)
			if v := m.statements[j].vrf; v == "" || v == vrf {
				return j
			}
		}
	}
	return -1
}

// denied returns the first statement that denies one of the pairs of classes, or -1.
func (m *matcher) denied(vrf string, src, dst []uint32, s categories.Service) int {
	if m.words == 0 {
		return -1
	}
	// Most cells meet no denial at all: one look at all their classes together.
	service, possible := m.service(s), false
	for w := range m.words {
		var a, b uint64
		for _, c := range src {
			a |= m.src[c][w]
		}
		for _, c := range dst {
			b |= m.dst[c][w]
		}
		if a&b&service[w]&m.deny[w] != 0 {
			possible = true
			break
		}
	}
	first := -1
	if !possible {
		return first
	}
	for _, a := range src {
		for _, b := range dst {
			if j := m.first(vrf, a, b, s); j >= 0 && m.statements[j].deny && (first < 0 || j < first) {
				first = j
			}
		}
	}
	return first
}

// permits reports whether every pair of classes is allowed.
func (m *matcher) permits(vrf string, src, dst []uint32, s categories.Service) bool {
	for _, a := range src {
		for _, b := range dst {
			if j := m.first(vrf, a, b, s); j < 0 || m.statements[j].deny {
				return false
			}
		}
	}
	return len(src) > 0 && len(dst) > 0
}
