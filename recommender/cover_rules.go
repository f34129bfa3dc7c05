package recommender

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"cordon/categories"
	"cordon/recommender/cells"
	"cordon/recommender/cover"
	"cordon/recommender/cover/check"
	"cordon/recommender/decide"
	"cordon/recommender/policy"
)

// maxDontCare bounds the cells that are tried for being permitted already
// although nothing was seen in them.
const maxDontCare = 2_000_000

// covered is the cells of one VRF as boxes.
type covered struct {
	solution cover.Solution
	share    *cover.Share // nil where all is needed
	cost     func(cover.Box) int64
	decide.Ends
	unseen map[cover.Cell]policy.Generalised // Cells that may be permitted although nothing was seen in them.
}

// at gives the place of a cell in the cover, if its ends are there.
func (c *covered) at(k *cells.Key) (at cover.Cell, ok bool) {
	s, inS := slices.BinarySearchFunc(c.Sources, k.Src, cells.Endpoint.Compare)
	d, inD := slices.BinarySearchFunc(c.Dests, k.Dst, cells.Endpoint.Compare)
	v, inV := slices.BinarySearchFunc(c.Services, k.Service, categories.ServiceTerm.Compare)
	return cover.Cell{int32(s), int32(d), int32(v)}, inS && inD && inV
}

// cover finds the boxes for the cells of one VRF. Cells whose sessions are all
// permitted already may be covered but need not be, and so may cells that the
// existing policy permits as a whole, and services inside a range: what covers the
// range covers them.
func (p *plan) cover(ctx context.Context, vrf string, list []cells.Cell, parts []cells.Part) (*covered, error) {
	c := new(covered)
	for i := range list {
		if list[i].Included {
			k := &list[i].Key
			c.Sources, c.Dests, c.Services = append(c.Sources, k.Src), append(c.Dests, k.Dst), append(c.Services, k.Service)
		}
	}
	c.Sources = distinct(c.Sources, cells.Endpoint.Compare)
	c.Dests = distinct(c.Dests, cells.Endpoint.Compare)
	c.Services = distinct(c.Services, categories.ServiceTerm.Compare)
	ranged := decide.RangedCells(list)
	problem := cover.Problem{Dims: [3]int{len(c.Sources), len(c.Dests), len(c.Services)}}
	for i := range list {
		k := &list[i].Key
		at, inside := c.at(k)
		switch {
		case list[i].Included && !slices.ContainsFunc(ranged[cells.Pair{Src: k.Src, Dst: k.Dst}], func(r *cells.Cell) bool { return r.Included && cells.Inside(k.Service, r.Key.Service) }):
			problem.Ones = append(problem.Ones, at)
		case inside:
			problem.DontCare = append(problem.DontCare, at)
		}
	}
	for _, of := range ranged {
		for _, r := range of {
			for _, service := range c.Services {
				if at, inside := c.at(&cells.Key{Src: r.Key.Src, Dst: r.Key.Dst, Service: service}); inside && cells.Inside(service, r.Key.Service) {
					problem.DontCare = append(problem.DontCare, at)
				}
			}
		}
	}
	if len(p.existing.statements) > 0 && problem.Dims[0]*problem.Dims[1]*problem.Dims[2] <= maxDontCare {
		problem.DontCare = append(problem.DontCare, p.permittedCells(c, list, parts)...)
	}
	if p.settings.Generalise > 0 {
		var err error
		if c.unseen, err = p.unseen(c, vrf, list, parts); err != nil {
			return nil, err
		}
	}
	if len(problem.Ones) == 0 {
		c.solution = cover.Solution{Optimal: true, Method: cover.FoolingSet}
		return c, nil
	}
	if p.partial() {
		c.share = p.share(vrf, c, problem, list, parts, ranged)
	}
	c.cost = p.lines(c)
	if err := p.solve(ctx, vrf, problem, c); err != nil {
		return nil, err
	}
	if len(c.unseen) > 0 {
		problem.DontCare = slices.AppendSeq(problem.DontCare, maps.Keys(c.unseen))
		if err := p.solveWider(ctx, vrf, problem, c); err != nil {
			return nil, err
		}
	}
	// The solver is not taken at its word: a rule too wide opens the network.
	var report check.Report
	if c.share != nil {
		report = check.Partial(problem, *c.share, c.solution, check.Limits{Findings: 3})
	} else {
		report = check.Check(problem, c.solution, check.Limits{Findings: 3})
	}
	if !report.Valid() {
		return nil, fmt.Errorf("BUG: the cover does not hold: %v", report.Findings)
	}
	return c, nil
}

// lines gives the cost of boxes of the cover: the lines of configuration that their rules take.
func (p *plan) lines(c *covered) func(cover.Box) int64 {
	families := func(ends []cells.Endpoint) []policy.Families {
		out := make([]policy.Families, len(ends))
		for i, e := range ends {
			out[i] = p.addresses.Families([]policy.Endpoint{p.literal(e)})
		}
		return out
	}
	sources, dests := families(c.Sources), families(c.Dests)
	some := func(of []policy.Families, set []int32) (f policy.Families) {
		for _, i := range set {
			f.IPv4, f.IPv6 = f.IPv4 || of[i].IPv4, f.IPv6 || of[i].IPv6
		}
		return f
	}
	return func(b cover.Box) int64 {
		// No end of a cell is "any", so one literal stands for all.
		r := policy.Rule{Sources: []policy.Endpoint{p.literal(c.Sources[b.Sets[0][0]])}, Destinations: []policy.Endpoint{p.literal(c.Dests[b.Sets[1][0]])}}
		for _, v := range b.Sets[2] {
			r.Services = append(r.Services, policy.Service{Term: c.Services[v]})
		}
		src, dst := some(sources, b.Sets[0]), some(dests, b.Sets[1])
		return int64(r.EOSLines(policy.Families{IPv4: src.IPv4 && dst.IPv4, IPv6: src.IPv6 && dst.IPv6}))
	}
}

// solve searches for few boxes until the effort is spent, Interrupt is closed or the context ends. The last is an error.
func (p *plan) solve(ctx context.Context, vrf string, problem cover.Problem, c *covered) (err error) {
	search, cancel := context.WithCancel(ctx)
	over := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-p.settings.Interrupt:
		case <-over:
		}
		cancel()
	}()
	progress := Progress{VRF: vrf, Cells: len(problem.Ones)}
	p.settings.Progress(progress)
	options := cover.Options{Effort: p.settings.Effort, MaxMemory: p.settings.MaxMemory, Cost: c.cost, Progress: func(now cover.Progress) {
		progress.Progress = now
		p.settings.Progress(progress)
	}}
	if c.share != nil {
		c.solution, err = cover.SolvePartial(search, problem, *c.share, options)
	} else {
		c.solution, err = cover.Solve(search, problem, options)
	}
	close(over)
	<-watched
	progress.Done = true
	p.settings.Progress(progress)
	return errors.Join(err, ctx.Err())
}

// permittedCells lists cells over the same endpoints and services that the
// existing policy permits as a whole.
func (p *plan) permittedCells(c *covered, list []cells.Cell, parts []cells.Part) []cover.Cell {
	if len(list) == 0 {
		return nil
	}
	hostClass := hostClasses(list, parts)
	var out []cover.Cell
	for s, src := range c.Sources {
		for d, dst := range c.Dests {
			for v, service := range c.Services {
				if p.permitted(cells.Key{VRF: list[0].Key.VRF, Src: src, Dst: dst, Service: service}, hostClass) {
					out = append(out, cover.Cell{int32(s), int32(d), int32(v)})
				}
			}
		}
	}
	return out
}

// hostClasses gives the class of each single host that is an end of cells.
func hostClasses(list []cells.Cell, parts []cells.Part) func(cells.Endpoint) uint32 {
	class := map[cells.Endpoint]uint32{}
	for i := range list {
		for _, j := range list[i].Parts {
			class[parts[j].Key.Src], class[parts[j].Key.Dst] = parts[j].SrcClass, parts[j].DstClass
		}
	}
	return func(e cells.Endpoint) uint32 { return class[e] }
}

func distinct[T comparable](s []T, compare func(T, T) int) []T {
	slices.SortFunc(s, compare)
	return slices.Compact(s)
}

// rules writes the boxes as rules, in order, and gives for each the box it comes from.
func (p *plan) rules(c *covered) (rules []policy.Rule, boxes []cover.Box) {
	type made struct {
		rule policy.Rule
		box  cover.Box
	}
	all := make([]made, len(c.solution.Boxes))
	for i, b := range c.solution.Boxes {
		r := policy.Rule{Action: policy.Allow, Direction: policy.Bidirectional}
		for _, s := range b.Sets[0] {
			r.Sources = append(r.Sources, p.literal(c.Sources[s]))
		}
		for _, d := range b.Sets[1] {
			r.Destinations = append(r.Destinations, p.literal(c.Dests[d]))
		}
		for _, v := range b.Sets[2] {
			r.Services = append(r.Services, policy.Service{Term: c.Services[v]})
		}
		r.Normalize()
		r.Sources, r.Destinations = p.merger.Merge(r.Sources), p.merger.Merge(r.Destinations)
		r.ID = r.ContentID()
		all[i] = made{r, b}
	}
	slices.SortFunc(all, func(a, b made) int { return a.rule.Compare(&b.rule) })
	for _, m := range all {
		rules, boxes = append(rules, m.rule), append(boxes, m.box)
	}
	return rules, boxes
}

// cellOf writes a cell of the cover.
func (p *plan) cellOf(c *covered, at cover.Cell) policy.Cell {
	return policy.Cell{Source: p.literal(c.Sources[at[0]]), Destination: p.literal(c.Dests[at[1]]), Service: policy.Service{Term: c.Services[at[2]]}}
}

// certificate writes what is known about the fewest rules.
func (p *plan) certificate(c *covered) policy.Certificate {
	s := &c.solution
	out := policy.Certificate{Rules: len(s.Boxes), LowerBound: s.LowerBound, Optimal: s.Optimal, Method: string(s.Method),
		Interrupted: s.Stats.Interrupted}
	name := func(list []cover.Cell) []policy.Cell {
		named := make([]policy.Cell, len(list))
		for i, at := range list {
			named[i] = p.cellOf(c, at)
		}
		return named
	}
	out.Witness = name(s.Witness)
	slices.SortFunc(out.Witness, policy.Cell.Compare)
	for _, part := range s.Parts {
		of := policy.BoundPart{Method: string(part.Method), Bound: part.Bound, Cells: name(part.Cells), Weights: part.Weights, Scale: part.Scale, Tree: part.Tree}
		for _, box := range part.Boxes {
			of.Boxes = append(of.Boxes, strings.Trim(fmt.Sprint(box), "[]"))
		}
		out.Parts = append(out.Parts, of)
	}
	return out
}
