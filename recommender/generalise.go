package recommender

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"

	"cordon/categories"
	"cordon/recommender/cells"
	"cordon/recommender/cover"
	"cordon/recommender/policy"
)

// level is a category by which cells are looked at more coarsely than by the
// endpoints that rules are made of.
type level struct {
	resolver *categories.Resolver
	spans    [][]policy.Span // Spans of each group, by its place in the resolver's Groups.
	found    map[cells.Endpoint]parent
}

// parent is the group of a level that holds all addresses of an endpoint.
type parent struct {
	group int  // place in the resolver's Groups, or -1
	wider bool // it has others
}

// coarse is a cell of a level.
type coarse struct {
	level    int
	src, dst int
	service  categories.ServiceTerm
}

// zero is a cell in which nothing was seen, and what would be expected there.
type zero struct {
	within                policy.Within
	expected, probability float64
}

func newLevels(file *categories.File, within string) ([]*level, error) {
	names := file.CategoryNames()
	if within != "" {
		names = []string{within}
	}
	if len(names) == 0 {
		return nil, policy.WrongSetting("generalise", errors.New("there are no groups to look at cells more coarsely by: give a groups file"))
	}
	var out []*level
	for _, name := range names {
		r, err := categories.NewResolver(file, []string{name})
		if err != nil {
			return nil, policy.WrongSetting("generalise-within", err)
		}
		l := &level{resolver: r, spans: make([][]policy.Span, len(r.Groups())), found: map[cells.Endpoint]parent{}}
		var prefixes []netip.Prefix
		for _, a := range r.Assignments() {
			prefixes = append(prefixes, a.Prefix)
		}
		for _, s := range policy.Spans(prefixes) {
			g := r.LookupIndex(s.Lo)
			l.spans[g] = append(l.spans[g], s)
		}
		out = append(out, l)
	}
	return out, nil
}

// spansOf gives the addresses of an endpoint: those that resolve to a group, or
// those of a prefix. The built-in group is never inside another.
func (p *plan) spansOf(e cells.Endpoint) []policy.Span {
	if e.Group == cells.NoGroup {
		return policy.Spans([]netip.Prefix{e.Prefix})
	}
	if p.groupSpans == nil {
		p.groupSpans = map[uint32][]policy.Span{}
		for _, s := range p.classes.spans {
			if g := p.classes.list[p.classes.located[s.At].class].group; g >= 0 {
				p.groupSpans[uint32(g+1)] = append(p.groupSpans[uint32(g+1)], s)
			}
		}
	}
	return p.groupSpans[e.Group]
}

// parent finds the group of a level around an endpoint.
func (p *plan) parent(l *level, e cells.Endpoint) parent {
	if out, ok := l.found[e]; ok {
		return out
	}
	out := parent{group: -1}
	own := p.spansOf(e)
	if len(own) > 0 {
		if g := l.resolver.LookupIndex(own[0].Lo); g >= 0 && holdSpans(l.spans[g], own) {
			out = parent{g, !holdSpans(own, l.spans[g])}
		}
	}
	l.found[e] = out
	return out
}

// holdSpans reports whether all addresses of the inner spans are in the outer ones. Both are in order and disjoint.
func holdSpans(outer, inner []policy.Span) bool {
	for _, s := range inner {
		i, _ := slices.BinarySearchFunc(outer, s.Lo, func(o policy.Span, a netip.Addr) int { return o.Hi.Compare(a) })
		for at := s.Lo; at.IsValid() && at.Compare(s.Hi) <= 0; i++ {
			if i == len(outer) || at.Less(outer[i].Lo) {
				return false
			}
			at = outer[i].Hi.Next()
		}
	}
	return true
}

// levelOf gives the first level at which a pair of endpoints is inside a coarser
// one: each in a group, and one of them not all of its group. It is -1 if there is none.
func (p *plan) levelOf(src, dst cells.Endpoint) int {
	return slices.IndexFunc(p.levels, func(l *level) bool {
		s, d := p.parent(l, src), p.parent(l, dst)
		return s.group >= 0 && d.group >= 0 && (s.wider || d.wider)
	})
}

// margins counts the sessions of coarse cells, and how many of them each end has.
type margins struct {
	all      map[coarse]uint64
	from, to map[coarse]map[cells.Endpoint]uint64
}

func (p *plan) margins(list []cells.Cell) *margins {
	m := &margins{map[coarse]uint64{}, map[coarse]map[cells.Endpoint]uint64{}, map[coarse]map[cells.Endpoint]uint64{}}
	for i := range list {
		k := &list[i].Key
		for at, l := range p.levels {
			s, d := p.parent(l, k.Src), p.parent(l, k.Dst)
			if s.group < 0 || d.group < 0 {
				continue
			}
			c := coarse{at, s.group, d.group, k.Service}
			if m.from[c] == nil {
				m.from[c], m.to[c] = map[cells.Endpoint]uint64{}, map[cells.Endpoint]uint64{}
			}
			m.all[c] += list[i].Sessions
			m.from[c][k.Src] += list[i].Sessions
			m.to[c][k.Dst] += list[i].Sessions
		}
	}
	return m
}

// unseen finds the cells of a VRF over the endpoints and services of c that may be
// permitted although nothing was seen in them: don't-cares of the cover.
//
// A cell (s, d, service) in which no session was seen lies in the coarse cell (S, D, service)
// of the first category of the file that has groups S and D around s and d. It is a
// don't-care if s is a client and d a server of sessions in the coarse cell, and
// that they have none together is no more than chance: see zeroProbability. With
// P < Settings.Generalise the zero is significant, and the cell stays forbidden.
//
// There is no correction for testing many zeros. It would call fewer of them
// significant, and the mistake to fear here is a permission, not its absence.
//
// A cell with a session that was left out, for whatever reason, is not one in which
// nothing was seen. Nor is a cell a don't-care if a guardrail or a rule in force denies
// a pair of addresses in it, or an exclusion holds one.
func (p *plan) unseen(c *covered, vrf string, list []cells.Cell, parts []cells.Part) (map[cover.Cell]zero, error) {
	seen := map[cells.Pair][]categories.ServiceTerm{}
	for i := range parts {
		if k := &parts[i].Key; k.VRF == vrf {
			at := cells.Pair{Src: k.Src, Dst: k.Dst}
			seen[at] = append(seen[at], parts[i].Service.Term())
		}
	}
	for i := range list { // Cells of a range are permitted with it.
		at := cells.Pair{Src: list[i].Key.Src, Dst: list[i].Key.Dst}
		seen[at] = append(seen[at], list[i].Key.Service)
	}
	for at, terms := range seen {
		seen[at] = joinTerms(terms)
	}
	hostClass := hostClasses(list, parts)
	m := p.margins(list)
	out := map[cover.Cell]zero{}
	tried := 0
	for at, all := range m.all {
		v, ok := slices.BinarySearchFunc(c.services, at.service, categories.ServiceTerm.Compare)
		if !ok {
			continue
		}
		if tried += len(m.from[at]) * len(m.to[at]); tried > maxDontCare {
			return nil, policy.WrongSetting("generalise", fmt.Errorf("over %d pairs to look at: the groups are too fine", maxDontCare))
		}
		for src, row := range m.from[at] {
			s, inS := slices.BinarySearchFunc(c.sources, src, cells.Endpoint.Compare)
			for dst, column := range m.to[at] {
				d, inD := slices.BinarySearchFunc(c.dests, dst, cells.Endpoint.Compare)
				if !inS || !inD || src == dst && src.Group == cells.NoGroup || p.levelOf(src, dst) != at.level ||
					meets(seen[cells.Pair{Src: src, Dst: dst}], at.service) {
					continue
				}
				below := p.settings.Generalise * (1 - 1e-9) // A share equal to the level but for rounding is not below it.
				probability := zeroProbability(all, row, column, below)
				if probability < below {
					continue
				}
				if k := (cells.Key{VRF: vrf, Src: src, Dst: dst, Service: at.service}); p.closed(k, hostClass) || len(p.existing.statements) > 0 && p.permitted(k, hostClass) {
					continue // no choice of ours
				}
				l := p.levels[at.level].resolver
				label := func(g int) policy.Endpoint { return policy.GroupEndpoint(l.Label(l.Groups()[g])) }
				out[cover.Cell{int32(s), int32(d), int32(v)}] = zero{
					policy.Within{Source: label(at.src), Destination: label(at.dst)},
					fourDigits(float64(row) * float64(column) / float64(all)), fourDigits(probability),
				}
			}
		}
	}
	return out, nil
}

// joinTerms gives the same services as disjoint terms, in order.
func joinTerms(terms []categories.ServiceTerm) []categories.ServiceTerm {
	slices.SortFunc(terms, categories.ServiceTerm.Compare)
	out := terms[:0]
	for _, t := range terms {
		if n := len(out); n > 0 && out[n-1].Proto == t.Proto && t.Lo <= out[n-1].Hi {
			out[n-1].Hi = max(out[n-1].Hi, t.Hi)
			continue
		}
		out = append(out, t)
	}
	return out
}

// meets reports whether one of the disjoint terms, which are in order, has a service of t.
func meets(terms []categories.ServiceTerm, t categories.ServiceTerm) bool {
	_, found := slices.BinarySearchFunc(terms, t, func(a, t categories.ServiceTerm) int {
		switch {
		case a.Proto != t.Proto:
			return cmp.Compare(a.Proto, t.Proto)
		case a.Hi < t.Lo:
			return -1
		case a.Lo > t.Hi:
			return 1
		}
		return 0
	})
	return found
}

// zeroProbability is how likely it is that none of n sessions is both one of the row ones that
// an end has and one of the column ones that the other end has, if who meets
// whom is chance: C(n-column, row) / C(n, row), the hypergeometric distribution at 0, which is
// the one-sided P of Fisher's exact test (Fisher, Statistical Methods for Research Workers,
// 1934, section 21.02). What is expected is row column / n sessions. It stops with a
// value below the given one once that is certain.
func zeroProbability(n, row, column uint64, below float64) float64 {
	row, column = min(row, column), max(row, column)
	if row+column > n {
		return 0
	}
	p := 1.0
	for i := range row {
		if p *= float64(n-column-i) / float64(n-i); p < below {
			break
		}
	}
	return p
}

// fourDigits rounds to what a reader needs, so that the document does not depend
// on how a machine rounds.
func fourDigits(x float64) float64 {
	out, err := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 4, 64), 64)
	if err != nil || math.IsNaN(out) {
		panic(fmt.Sprintf("BUG: %v is no number to round", x))
	}
	return out
}

// closed reports whether a cell holds a pair of addresses that a guardrail or a
// rule in force denies, or that an exclusion holds.
func (p *plan) closed(k cells.Key, hostClass func(cells.Endpoint) uint32) bool {
	src, dst := p.ClassesOf(k.Src, hostClass(k.Src)), p.ClassesOf(k.Dst, hostClass(k.Dst))
	if p.Forbidden(k.VRF, src, dst, k.Service) {
		return true
	}
	for s := range p.existing.distinct(k.Service) {
		if p.existing.denied(k.VRF, src, dst, s) >= 0 {
			return true
		}
	}
	for s := range p.exclusions.distinct(k.Service) {
		for _, a := range src {
			for _, b := range dst {
				if p.exclusions.first(k.VRF, a, b, s) >= 0 {
					return true
				}
			}
		}
	}
	return false
}

// generalised lists the cells of a box in which nothing was seen.
func (p *plan) generalised(c *covered, b *cover.Box) (out []policy.Generalised) {
	if len(c.unseen) == 0 {
		return nil
	}
	for _, s := range b.Sets[0] {
		for _, d := range b.Sets[1] {
			for _, v := range b.Sets[2] {
				if z, ok := c.unseen[cover.Cell{s, d, v}]; ok {
					at := p.cellOf(c, cover.Cell{s, d, v})
					out = append(out, policy.Generalised{Source: at.Source, Destination: at.Destination, Service: at.Service,
						Within: z.within, ExpectedSessions: z.expected, Probability: z.probability})
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b policy.Generalised) int { return a.Cell().Compare(b.Cell()) })
	return out
}

// solveWider solves a problem that has the cells of c.unseen as don't-cares beside
// those of the problem that c.solution is for. Where they give neither fewer boxes nor
// fewer literals, the boxes stay, and nothing unseen is permitted. The bound is the one of
// the wider problem in any case: it holds for all rules that would be accepted.
func (p *plan) solveWider(ctx context.Context, vrf string, problem cover.Problem, c *covered) error {
	narrow := c.solution
	if err := p.solve(ctx, vrf, problem, c); err != nil {
		return err
	}
	wide := &c.solution
	wide.Stats.Interrupted = wide.Stats.Interrupted || narrow.Stats.Interrupted
	if d := cmp.Compare(len(wide.Boxes), len(narrow.Boxes)); d > 0 || d == 0 && wide.Literals >= narrow.Literals {
		wide.Boxes, wide.Literals = narrow.Boxes, narrow.Literals
		wide.Optimal = wide.LowerBound == len(wide.Boxes)
	}
	return nil
}
