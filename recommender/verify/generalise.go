package verify

import (
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"

	"cordon/categories"
	"cordon/recommender/policy"
)

// unseen is a cell that may be held although nothing was seen in it.
type unseen struct {
	within                policy.Within
	expected, probability float64
}

// around says which group of a category holds all of an endpoint.
type around struct {
	group int // place in the groups of the category's resolver, or -1
	more  bool
}

// generalise finds the cells without a session that may be held by the rule of
// docs/generalisation.md, and adds them to those that may.
func (j *judge) generalise(list []Session) {
	seen := j.pairsSeen(list)
	names := j.file.CategoryNames()
	if j.settings.GeneraliseWithin != "" {
		names = []string{j.settings.GeneraliseWithin}
	}
	decided := map[[2]int32]bool{} // pairs that an earlier category is for
	j.unseen = map[cell]unseen{}
	for _, name := range names {
		r, err := categories.NewResolver(j.file, []string{name})
		if err != nil {
			return // no category of the file: said elsewhere, in that nothing unseen is right
		}
		groups := j.around(r)
		for at, t := range seen.tables(groups) {
			j.generaliseTable(r, groups, at, t, seen, decided)
		}
		for src := range seen.sources {
			for dst := range seen.destinations {
				s, ok := groups[src]
				d, ok2 := groups[dst]
				if ok && ok2 && s.group >= 0 && d.group >= 0 && (s.more || d.more) {
					decided[[2]int32{src, dst}] = true
				}
			}
		}
	}
	for c := range j.unseen {
		j.cells[c] = false
		pair := [2]int32{c.src, c.dst}
		j.observed[pair] = append(j.observed[pair], rangeOf(c.service.Term)).sorted()
	}
}

// pairsSeen is what was seen between pairs of endpoints.
type pairsSeen struct {
	sessions map[cell]float64      // sessions of the cells that may be held
	services map[[2]int32]services // services of all sessions between two endpoints

	// Of cells that need a rule.
	sources, destinations map[int32]bool
	needed                map[policy.Service]bool
}

func (j *judge) pairsSeen(list []Session) *pairsSeen {
	seen := &pairsSeen{
		sessions: map[cell]float64{}, services: map[[2]int32]services{},
		sources: map[int32]bool{}, destinations: map[int32]bool{}, needed: map[policy.Service]bool{},
	}
	for i := range list {
		if _, ok := j.cells[j.at[i]]; ok && (j.reasons[i] == "" || j.reasons[i] == policy.AlreadyPermitted) {
			seen.sessions[j.at[i]]++
		}
		src, dst := j.ends.of(list[i].Client), j.ends.of(list[i].Server)
		if src.outside == "" && dst.outside == "" {
			pair := [2]int32{src.id, dst.id}
			seen.services[pair] = append(seen.services[pair], rangeOf(list[i].Service.Term()))
		}
	}
	for pair, s := range seen.services {
		seen.services[pair] = s.sorted()
	}
	for c, needed := range j.cells {
		if needed {
			seen.sources[c.src], seen.destinations[c.dst], seen.needed[c.service] = true, true, true
		}
	}
	return seen
}

// table counts the sessions of a service between two groups of a category, by
// the endpoints within them.
type table struct {
	all      float64
	from, to map[int32]float64
}

// tables counts the sessions by two groups of a category and a service.
func (seen *pairsSeen) tables(groups map[int32]around) map[cell]*table {
	tables := map[cell]*table{}
	for c, n := range seen.sessions {
		s, ok := groups[c.src]
		d, ok2 := groups[c.dst]
		if !ok || !ok2 || s.group < 0 || d.group < 0 {
			continue
		}
		at := cell{int32(s.group), int32(d.group), c.service}
		if tables[at] == nil {
			tables[at] = &table{from: map[int32]float64{}, to: map[int32]float64{}}
		}
		tables[at].all += n
		tables[at].from[c.src] += n
		tables[at].to[c.dst] += n
	}
	return tables
}

// generaliseTable notes the cells of a table that had no session and may be held.
// at has the groups of the category for its ends.
func (j *judge) generaliseTable(r *categories.Resolver, groups map[int32]around, at cell, t *table, seen *pairsSeen, decided map[[2]int32]bool) {
	label := func(g int32) policy.Endpoint { return policy.GroupEndpoint(r.Label(r.Groups()[g])) }
	for src, row := range t.from {
		for dst, column := range t.to {
			pair, c := [2]int32{src, dst}, cell{src, dst, at.service}
			_, held := j.cells[c]
			switch {
			case decided[pair], !groups[src].more && !groups[dst].more:
			case held, !seen.sources[src], !seen.destinations[dst], !seen.needed[at.service]:
			case seen.services[pair].overlaps(rangeOf(at.service.Term)), j.observed[pair].overlaps(rangeOf(at.service.Term)):
			case src == dst && j.single(src), j.denied(c):
			default:
				p := chanceOfNone(t.all, row, column)
				if p >= j.settings.Generalise*(1-1e-9) && !j.isPermitted(c) {
					j.unseen[c] = unseen{policy.Within{Source: label(at.src), Destination: label(at.dst)}, row * column / t.all, p}
				}
			}
		}
	}
}

// single reports whether an endpoint is one address.
func (j *judge) single(id int32) bool {
	p := j.ends.literals[id].Prefix
	return p.IsValid() && p.IsSingleIP()
}

// chanceOfNone is the chance that none of the row sessions is among the column ones when
// row of all sessions are drawn without putting back.
func chanceOfNone(all, row, column float64) float64 {
	if row+column > all {
		return 0
	}
	sum := 0.0
	for i := range int(row) {
		sum += math.Log1p(-column / (all - float64(i)))
	}
	return math.Exp(sum)
}

// around finds, for every endpoint, the group of a category that holds all its
// addresses. It asks for one address of each stretch in which no group of either kind
// begins or ends.
func (j *judge) around(r *categories.Resolver) map[int32]around {
	begins := map[netip.Addr]bool{netip.IPv4Unspecified(): true, netip.IPv6Unspecified(): true}
	cut := func(p netip.Prefix) {
		s := policy.Spans([]netip.Prefix{p})[0]
		begins[s.Lo] = true
		if next := s.Hi.Next(); next.IsValid() {
			begins[next] = true
		}
	}
	for _, x := range []*categories.Resolver{r, j.ends.resolver} {
		for _, as := range x.Assignments() {
			cut(as.Prefix)
		}
	}
	for _, h := range j.ends.hosts {
		cut(netip.PrefixFrom(h, h.BitLen()))
	}
	for _, h := range j.ends.prefixes {
		cut(h.Prefix)
	}
	internet := map[netip.Addr]bool{}
	owner := func(a netip.Addr) (int32, bool) {
		if g := j.ends.resolver.LookupIndex(a); g >= 0 {
			return j.ends.groups[g], true
		}
		if h := j.ends.prefixOf(a); h != nil {
			return h.id, true
		}
		e, seen := j.ends.found[a]
		return e.id, seen && e.outside == "" && !internet[a]
	}
	if j.settings.External == policy.ExternalInternet {
		for a := range j.ends.found {
			internet[a] = categories.KindOf(a) == categories.Public
		}
	}
	out := map[int32]around{}
	parts := map[int]map[int32]bool{} // owners of the addresses of a group; -1 for none
	for a := range begins {
		g := r.LookupIndex(a)
		id, ok := owner(a)
		if !ok {
			id = -1
		} else if x, known := out[id]; !known {
			out[id] = around{group: g}
		} else if x.group != g {
			out[id] = around{group: -1}
		}
		if parts[g] == nil {
			parts[g] = map[int32]bool{}
		}
		parts[g][id] = true
	}
	for id, x := range out {
		x.more = len(parts[x.group]) > 1
		out[id] = x
	}
	return out
}

// denied reports whether a guardrail or a rule in force denies a pair of addresses of the cell,
// or an exclusion holds one.
func (j *judge) denied(c cell) bool {
	if j.guardrail(c) >= 0 {
		return true
	}
	if len(j.existing.statements) > 0 {
		for _, s := range j.existing.pieces(rangeOf(c.service.Term)) {
			for _, a := range j.members[c.src] {
				for _, b := range j.members[c.dst] {
					if k := j.existing.first(j.vrf, a, b, serviceOf(s.lo)); k >= 0 && j.existing.statements[k].deny {
						return true
					}
				}
			}
		}
	}
	for i := range j.file.Exclude {
		x := &j.file.Exclude[i]
		if len(x.Services) > 0 && !slices.ContainsFunc(x.Services, func(t categories.ServiceTerm) bool {
			return services{rangeOf(t)}.overlaps(rangeOf(c.service.Term))
		}) {
			continue
		}
		from, anyFrom := x.SourcePrefixes()
		to, anyTo := x.DestinationPrefixes()
		if (anyFrom || j.reaches(c.src, from)) && (anyTo || j.reaches(c.dst, to)) {
			return true
		}
	}
	return false
}

// reaches reports whether an endpoint has an address in one of the prefixes.
func (j *judge) reaches(id int32, prefixes []netip.Prefix) bool {
	for _, p := range prefixes {
		ids, err := j.ends.expand(policy.Endpoint{Prefix: p})
		if err == nil && slices.Contains(ids, id) {
			return true
		}
		for _, h := range j.ends.prefixes {
			if h.id == id && h.Prefix.Overlaps(p) {
				return true
			}
		}
	}
	return false
}

// overlaps reports whether the set has a service of the range.
func (s services) overlaps(r keyRange) bool {
	i := s.from(r.lo)
	return i < len(s) && s[i].lo <= r.hi
}

// generalised compares the cells that the rules say to hold without a session in them.
func (v *verifier) generalised() {
	total := map[cell]bool{}
	for i := range v.boxes {
		b := &v.boxes[i]
		want := map[policy.Cell]unseen{}
		for _, src := range b.ends[0] {
			for _, dst := range b.ends[1] {
				for _, s := range v.p.Rules[i].Services {
					if u, ok := v.judge.unseen[cell{src, dst, s}]; ok {
						total[cell{src, dst, s}] = true
						want[policy.Cell{Source: v.ends.literals[src], Destination: v.ends.literals[dst], Service: s}] = u
					}
				}
			}
		}
		var wrong []string
		for _, g := range v.p.Rules[i].Generalised {
			u, ok := want[g.Cell()]
			delete(want, g.Cell())
			switch {
			case !ok:
				wrong = append(wrong, text(g.Cell())+" is no cell of the rule that may be generalised")
			case g.Within != u.within || !near(g.ExpectedSessions, u.expected) || !near(g.Probability, u.probability):
				wrong = append(wrong, fmt.Sprintf("%s: %.4g sessions are expected within %s -> %s, and none has probability %.4g",
					text(g.Cell()), u.expected, u.within.Source, u.within.Destination, u.probability))
			}
		}
		for _, c := range slices.SortedFunc(maps.Keys(want), policy.Cell.Compare) {
			wrong = append(wrong, text(c)+" is not said to be generalised")
		}
		if len(wrong) > 0 {
			f := v.report.find(WrongNumbers, v.names[i], "its generalised cells are not those that it holds:")
			f.Count, f.Examples = uint64(len(wrong)), v.examples(wrong)
		}
	}
	v.report.Unseen = uint64(len(total))
}

// near compares numbers that are written with four digits.
func near(said, are float64) bool { return math.Abs(said-are) <= 1e-3*are }
