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
	"cordon/recommender/decide"
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

// levelOf is a level with the addresses of a plan's endpoints.
type levelOf struct {
	plan *plan
	*level
}

// Parent is of decide.Level.
func (l levelOf) Parent(e cells.Endpoint) (group int, wider bool) {
	out, ok := l.found[e]
	if !ok {
		out = parent{group: -1}
		if own := l.plan.spansOf(e); len(own) > 0 {
			if g := l.resolver.LookupIndex(own[0].Lo); g >= 0 && holdSpans(l.spans[g], own) {
				out = parent{g, !holdSpans(own, l.spans[g])}
			}
		}
		l.found[e] = out
	}
	return out.group, out.wider
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

// unseen finds the cells of a VRF over the endpoints and services of c that may be permitted although nothing was seen in them:
// don't-cares of the cover. None is one of which a guardrail or a rule in force denies a pair of addresses, or an exclusion holds one.
func (p *plan) unseen(c *covered, vrf string, list []cells.Cell, parts []cells.Part) (map[cover.Cell]policy.Generalised, error) {
	hostClass := hostClasses(list, parts)
	levels := make([]decide.Level, len(p.levels))
	for i, l := range p.levels {
		levels[i] = levelOf{p, l}
	}
	zeros, err := decide.Unseen(levels, &c.Ends, vrf, list, parts, p.settings.Generalise, func(k cells.Key) bool {
		return p.closed(k, hostClass) || len(p.existing.statements) > 0 && p.permitted(k, hostClass) // no choice of ours
	}, maxDontCare)
	if errors.Is(err, decide.ErrTooFine) {
		return nil, policy.WrongSetting("generalise", fmt.Errorf("over %d pairs to look at: %w", maxDontCare, err))
	}
	out := make(map[cover.Cell]policy.Generalised, len(zeros))
	for k, z := range zeros {
		l := p.levels[z.Level].resolver
		label := func(g int) policy.Endpoint { return policy.GroupEndpoint(l.Label(l.Groups()[g])) }
		at, _ := c.at(&k)
		cell := p.cellOf(c, at)
		out[at] = policy.Generalised{Source: cell.Source, Destination: cell.Destination, Service: cell.Service,
			Within:           policy.Within{Source: label(z.Src), Destination: label(z.Dst)},
			ExpectedSessions: fourDigits(z.Expected), Probability: fourDigits(z.Probability)}
	}
	return out, err
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
				if g, ok := c.unseen[cover.Cell{s, d, v}]; ok {
					out = append(out, g)
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
