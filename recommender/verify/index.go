package verify

import (
	"cmp"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"

	"cordon/categories"
	"cordon/recommender/policy"
)

// bitset is a set of rules by their place.
type bitset []uint64

func (b bitset) set(i int)      { b[i/64] |= 1 << (i % 64) }
func (b bitset) has(i int) bool { return b[i/64]>>(i%64)&1 == 1 }

// or gives the rules of b and those of o, which may be nil.
func (b bitset) or(o bitset) bitset {
	out := slices.Clone(b)
	for w := range o {
		out[w] |= o[w]
	}
	return out
}

func (b bitset) each(f func(i int)) {
	for w, x := range b {
		for ; x != 0; x &= x - 1 {
			f(w*64 + bits.TrailingZeros64(x))
		}
	}
}

// statement is a rule of a proposal or of a policy.
type statement struct {
	name     string // name that people read
	vrf      string // empty: every VRF
	deny     bool
	as       policy.Reading       // reading of the groups among its ends
	ends     [2][]policy.Endpoint // sources, destinations
	services []policy.Service
}

// index finds the rules that hold an address at one end, or a service.
type index struct {
	statements []statement
	meanings   *meanings
	ends       [2]endIndex
	services   map[categories.Service]bitset // filled as it is asked for
}

type endIndex struct {
	groups map[int]bitset        // keyed by place in Resolver.Groups
	hosts  map[netip.Addr]bitset // /32 and /128
	wide   []wideLiteral         // everything else is looked at in turn
	known  map[netip.Addr]bitset // filled as it is asked for
}

type wideLiteral struct {
	literal literal
	rules   bitset
}

func newIndex(m *meanings, statements []statement) *index {
	x := &index{statements: statements, meanings: m, services: map[categories.Service]bitset{}}
	for side := range 2 {
		literals := map[literal]bitset{}
		for i := range statements {
			for _, e := range statements[i].literals(side) {
				if literals[e] == nil {
					literals[e] = x.empty()
				}
				literals[e].set(i)
			}
		}
		end := &x.ends[side]
		*end = endIndex{groups: map[int]bitset{}, hosts: map[netip.Addr]bitset{}, known: map[netip.Addr]bitset{}}
		for e, rules := range literals {
			group, err := m.group(e)
			switch {
			case err != nil: // an unknown group holds nothing
			case group >= 0: // several readings may mean the same
				end.groups[group] = rules.or(end.groups[group])
			case e.Prefix.IsValid() && e.Prefix.IsSingleIP():
				end.hosts[e.Prefix.Addr()] = rules.or(end.hosts[e.Prefix.Addr()])
			default:
				end.wide = append(end.wide, wideLiteral{e, rules})
			}
		}
	}
	return x
}

func (x *index) empty() bitset { return make(bitset, (len(x.statements)+63)/64) }

// address gives the rules that hold the address as source (side 0) or destination (side 1).
func (x *index) address(side int, addr netip.Addr) bitset {
	end := &x.ends[side]
	if b, ok := end.known[addr]; ok {
		return b
	}
	if f, was := x.meanings.owners.formerly(addr); was {
		b := x.formerRules(side, f)
		end.known[addr] = b
		return b
	}
	b := x.empty()
	add := func(o bitset) {
		for w := range o {
			b[w] |= o[w]
		}
	}
	add(end.hosts[addr])
	if g := x.meanings.addresses.Resolver().LookupIndex(addr); g >= 0 {
		add(end.groups[g])
	}
	for i := range end.wide {
		if x.meanings.holds(end.wide[i].literal, addr) {
			add(end.wide[i].rules)
		}
	}
	end.known[addr] = b
	return b
}

func (x *index) service(s categories.Service) bitset {
	b, ok := x.services[s]
	if !ok {
		b = x.empty()
		for i := range x.statements {
			for _, t := range x.statements[i].services {
				if t.Matches(s) {
					b.set(i)
					break
				}
			}
		}
		x.services[s] = b
	}
	return b
}

// match writes the rules that hold a session into out.
func (x *index) match(client, server netip.Addr, s categories.Service, out bitset) {
	a, b, c := x.address(0, client), x.address(1, server), x.service(s)
	for w := range out {
		out[w] = a[w] & b[w] & c[w]
	}
}

// first returns the first statement that holds a session of the VRF, or -1.
func (x *index) first(vrf string, client, server netip.Addr, s categories.Service) int {
	a, b, c := x.address(0, client), x.address(1, server), x.service(s)
	for w := range a {
		for m := a[w] & b[w] & c[w]; m != 0; m &= m - 1 {
			i := w*64 + bits.TrailingZeros64(m)
			if v := x.statements[i].vrf; v == "" || v == vrf {
				return i
			}
		}
	}
	return -1
}

// pieces cuts a range of services where a statement begins or ends to match, so
// that all services of a piece are matched alike.
func (x *index) pieces(r keyRange) []keyRange {
	if r.lo == r.hi {
		return []keyRange{r}
	}
	begins := []uint32{r.lo}
	for i := range x.statements {
		for _, s := range servicesOf(x.statements[i].services) {
			if r.lo < s.lo && s.lo <= r.hi {
				begins = append(begins, s.lo)
			}
			if r.lo <= s.hi && s.hi < r.hi {
				begins = append(begins, s.hi+1)
			}
		}
	}
	slices.Sort(begins)
	begins = slices.Compact(begins)
	out := make([]keyRange, len(begins))
	for i, lo := range begins {
		out[i] = keyRange{lo, r.hi}
		if i > 0 {
			out[i-1].hi = lo - 1
		}
	}
	return out
}

// literals gives a statement's ends at a side, as it reads them.
func (s *statement) literals(side int) []literal {
	out := make([]literal, len(s.ends[side]))
	for i, e := range s.ends[side] {
		out[i] = literal{e, s.as}
	}
	return out
}

// statements gives the rules of policies in order, those of guardrails or those in force.
func statements(policies []policy.Policy, guardrails bool) []statement {
	var out []statement
	for _, p := range policies {
		for i, r := range p.Rules {
			out = append(out, statement{cmp.Or(r.Name, r.ID, fmt.Sprintf("rule %d", i+1)), p.VRF, r.Action != policy.Allow,
				policy.ReadingOf(r.Action, guardrails), [2][]policy.Endpoint{r.Sources, r.Destinations}, r.Services})
		}
	}
	return out
}
