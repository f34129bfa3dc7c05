package verify

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cordon/recommender/cover"
	"cordon/recommender/cover/check"
	"cordon/recommender/policy"
)

// certificate checks the lower bound.
func (v *verifier) certificate() {
	c := &v.p.Certificate
	n := len(v.p.Rules)
	if c.Rules != n {
		v.report.find(WrongCount, "", "certificate.rules is %d, the document has %d rules", c.Rules, n)
	}
	if c.LowerBound > n {
		v.report.find(BadBound, "", "the lower bound of %d rules is above the number of rules, %d: they cannot be complete, or the bound is wrong", c.LowerBound, n)
	}
	if c.Optimal != (c.LowerBound == c.Rules) {
		v.report.find(BadBound, "", "optimal is %v, with %d rules and a lower bound of %d", c.Optimal, c.Rules, c.LowerBound)
	}
	before := len(v.report.Findings)
	if v.coverage != nil {
		// The bound is about all cells, those that the rules leave out among them.
		defer func(cells map[cell]bool) { v.judge.cells = cells }(v.judge.cells)
		v.judge.cells = v.coverage.cells
		if forShare(c.Method) {
			v.report.LowerBound = min(v.shareBound(), c.LowerBound)
			return
		}
		if err := v.whole(); err != nil {
			v.report.find(BadBound, "", "%v", err)
		}
	}
	v.witness()
	proved := 0
	if len(v.report.Findings) == before {
		proved = len(c.Witness)
	}
	switch cover.Method(c.Method) {
	case cover.FoolingSet:
		if len(c.Witness) != c.LowerBound {
			v.report.find(BadBound, "", "the lower bound is %d, but the witness has %d cells", c.LowerBound, len(c.Witness))
		}
		if len(c.Parts) > 0 {
			v.report.find(BadBound, "", "a bound that rests on the witness has no parts; here are %d", len(c.Parts))
		}
	case cover.Dual, cover.Exhaustive:
		proved = max(proved, v.parts())
	default:
		v.report.find(BadBound, "", "the method is %q, not one of %s, %s and %s", c.Method, cover.FoolingSet, cover.Dual, cover.Exhaustive)
	}
	v.report.LowerBound = min(proved, c.LowerBound)
}

// forShare reports whether a method is for the bound of a share.
func forShare(method string) bool {
	return method == string(cover.PartialDual) || method == string(cover.PartialExhaustive)
}

// cellOf gives the cell that a document writes, and whether an included session is in it.
func (v *verifier) cellOf(c policy.Cell) (cell, bool) {
	src, ok := v.ends.ids[c.Source]
	dst, ok2 := v.ends.ids[c.Destination]
	at := cell{src, dst, c.Service}
	return at, ok && ok2 && v.judge.cells[at]
}

func text(c policy.Cell) string {
	return fmt.Sprintf("%s -> %s %s", c.Source, c.Destination, c.Service)
}

// witness checks that every cell of the witness needs a rule of its own: any
// rule with two of them holds the smallest box around both, and in that is a cell
// that no rule may hold.
func (v *verifier) witness() {
	list := v.p.Certificate.Witness
	var cells []cell
	var named []policy.Cell
	var absent, twice, together []string
	seen := map[cell]bool{}
	for _, w := range list {
		c, ok := v.cellOf(w)
		switch {
		case !ok:
			absent = append(absent, text(w))
		case seen[c]:
			twice = append(twice, text(w))
		default:
			seen[c] = true
			cells, named = append(cells, c), append(named, w)
		}
	}
	near := v.neighbours(cells)
	for i, a := range cells {
		for _, j := range near(i) {
			if v.fit(a, cells[j]) {
				together = append(together, text(named[j])+" and "+text(named[i]))
			}
		}
	}
	for _, x := range []struct {
		list []string
		what string
	}{
		{absent, "%d cells of the witness have no included session:"},
		{twice, "%d cells of the witness are there a second time:"},
		{together, "%d pairs of the witness fit into one rule:"},
	} {
		if n := len(x.list); n > 0 {
			f := v.report.find(BadWitness, "", x.what, n)
			f.Count, f.Examples = uint64(n), x.list[:min(n, v.o.Examples)]
		}
	}
}

// neighbours gives for a cell, by its place in the list, the places of the earlier ones that may fit into one rule with it: sessions lead
// from its source to their destination and from their source to its destination. With a policy in force, which may permit
// anything, these are all earlier ones.
func (v *verifier) neighbours(cells []cell) func(i int) []int {
	if len(v.judge.existing.statements) > 0 {
		all := make([]int, len(cells))
		for i := range all {
			all[i] = i
		}
		return func(i int) []int { return all[:i] }
	}
	bySrc, byDst := map[int32][]int{}, map[int32][]int{} // cells
	for i, c := range cells {
		bySrc[c.src], byDst[c.dst] = append(bySrc[c.src], i), append(byDst[c.dst], i)
	}
	servers, clients := map[int32][]int32{}, map[int32][]int32{}
	for pair := range v.judge.observed {
		if src, dst := pair[0], pair[1]; len(bySrc[src]) > 0 && len(byDst[dst]) > 0 {
			servers[src], clients[dst] = append(servers[src], dst), append(clients[dst], src)
		}
	}
	var near []int
	return func(i int) []int {
		c := cells[i]
		ends, at := servers[c.src], byDst
		if len(clients[c.dst]) < len(ends) {
			ends, at = clients[c.dst], bySrc
		}
		near = near[:0]
		for _, e := range ends {
			for _, j := range at[e] {
				if j < i {
					near = append(near, j)
				}
			}
		}
		slices.Sort(near)
		return near
	}
}

// fit reports whether one rule may hold both cells.
func (v *verifier) fit(a, b cell) bool {
	for _, src := range [2]int32{b.src, a.src} {
		for _, dst := range [2]int32{a.dst, b.dst} {
			for _, s := range [2]policy.Service{a.service, b.service} {
				if !v.judge.legal(cell{src, dst, s}) {
					return false
				}
			}
		}
	}
	return true
}

// parts has package check look at a bound that is the sum of parts, and gives
// how much of it holds.
func (v *verifier) parts() int {
	c := &v.p.Certificate
	sum := 0
	for _, part := range c.Parts {
		sum += part.Bound
	}
	if sum != c.LowerBound {
		v.report.find(BadBound, "", "the lower bound is %d, the bounds of its %d parts add up to %d", c.LowerBound, len(c.Parts), sum)
	}
	problem, number, name := v.problem()
	solution := cover.Solution{LowerBound: sum, Method: cover.Method(c.Method)}
	for i, part := range c.Parts {
		p, err := v.boundPart(part, number)
		if err != nil {
			v.report.find(BadBound, "", "part %d of the bound %v", i+1, err)
			return 0
		}
		solution.Parts = append(solution.Parts, p)
	}
	// The rules were looked at already; check sees one box for all, which is not asked about.
	report := check.Check(problem, solution, check.Limits{Findings: v.o.Examples})
	proved := 0
	for _, part := range c.Parts {
		proved += part.Bound
	}
	failed := map[int]bool{}
	for _, f := range report.Findings {
		var cells []string
		for _, at := range f.Cells {
			cells = append(cells, v.name(name(at)))
		}
		switch {
		case f.Kind == check.Unproved:
			part := &c.Parts[f.Part]
			v.report.find(Unproved, "", "part %d of the bound, that %d cells need %d rules: what rules may hold of them was not walked through here, it is too much", f.Part+1, len(part.Cells), part.Bound)
		case f.Kind == check.BadTree && len(cells) > 0:
			x := v.report.find(BadBound, "", "part %d of the bound: one rule may hold these cells, and none of its boxes does:", f.Part+1)
			x.Count, x.Examples = uint64(len(cells)), cells[:min(len(cells), v.o.Examples)]
		case f.Kind == check.BadTree:
			v.report.find(BadBound, "", "of the bound, %s; parts are counted from 0 there", f.Text)
		case f.Kind == check.BadParts:
			x := v.report.find(BadBound, "", "a rule may hold cells of two parts of the bound, so that they do not add up:")
			x.Count, x.Examples = 1, []string{joinTwo(cells)}
			proved = 0
			continue
		case f.Part < 0:
			continue // about boxes, and about counts that were compared above
		case f.Kind == check.BadDual && len(cells) > 1:
			x := v.report.find(BadBound, "", "part %d of the bound: one rule may hold these cells, which weigh more together than they may:", f.Part+1)
			x.Count, x.Examples = uint64(len(cells)), cells[:min(len(cells), v.o.Examples)]
		case f.Kind == check.BadWitness && len(cells) == 2:
			x := v.report.find(BadBound, "", "part %d of the bound: one rule may hold both of two cells that it says need two:", f.Part+1)
			x.Count, x.Examples = 1, []string{joinTwo(cells)}
		default:
			v.report.find(BadBound, "", "part %d of the bound does not hold: weights, scale, number of cells and bound do not go together", f.Part+1)
		}
		if f.Part >= 0 && !failed[f.Part] {
			failed[f.Part] = true
			proved -= c.Parts[f.Part].Bound
		}
	}
	return max(proved, 0)
}

// boundPart reads a part of the bound. number gives the places of cells in the problem.
func (v *verifier) boundPart(part policy.BoundPart, number func(cell) cover.Cell) (p cover.Part, err error) {
	p = cover.Part{Method: cover.Method(part.Method), Bound: part.Bound, Weights: part.Weights, Scale: part.Scale, Tree: part.Tree}
	for _, w := range part.Cells {
		at, ok := v.cellOf(w)
		if !ok {
			return p, fmt.Errorf("has %s, where no included session is", text(w))
		}
		p.Cells = append(p.Cells, number(at))
	}
	for n, list := range part.Boxes {
		var box []int32
		for _, field := range strings.Fields(list) {
			at, err := strconv.ParseInt(field, 10, 32)
			if err != nil {
				return p, fmt.Errorf("has %q in boxes[%d], which is no position in cells", field, n)
			}
			box = append(box, int32(at))
		}
		p.Boxes = append(p.Boxes, box)
	}
	return p, nil
}

func joinTwo(cells []string) string {
	if len(cells) != 2 {
		return fmt.Sprint(cells)
	}
	return cells[0] + " and " + cells[1]
}

// problem numbers the cells that rules may hold for package check.
func (v *verifier) problem() (p cover.Problem, number func(cell) cover.Cell, name func(cover.Cell) cell) {
	var src, dst []int32
	var services []policy.Service
	for c, needed := range v.judge.cells {
		if needed {
			src, dst, services = append(src, c.src), append(dst, c.dst), append(services, c.service)
		}
	}
	slices.Sort(src)
	slices.Sort(dst)
	slices.SortFunc(services, policy.Service.Compare)
	src, dst, services = slices.Compact(src), slices.Compact(dst), slices.Compact(services)
	find := func(c cell) (cover.Cell, bool) {
		s, ok := slices.BinarySearch(src, c.src)
		d, ok2 := slices.BinarySearch(dst, c.dst)
		x, ok3 := slices.BinarySearchFunc(services, c.service, policy.Service.Compare)
		return cover.Cell{int32(s), int32(d), int32(x)}, ok && ok2 && ok3
	}
	p.Dims = [3]int{len(src), len(dst), len(services)}
	for c, needed := range v.judge.cells {
		if at, ok := find(c); ok && needed {
			p.Ones = append(p.Ones, at)
		} else if ok {
			p.DontCare = append(p.DontCare, at)
		}
		if c.service.Term.Lo == c.service.Term.Hi {
			continue
		}
		// What lies in a range is permitted with it.
		for _, x := range services {
			if at, ok := find(cell{c.src, c.dst, x}); ok && x != c.service && v.judge.legal(cell{c.src, c.dst, x}) {
				p.DontCare = append(p.DontCare, at)
			}
		}
	}
	if len(v.judge.existing.statements) > 0 && len(src)*len(dst)*len(services) <= maxJudged {
		for i, s := range src {
			for j, d := range dst {
				for k, x := range services {
					if v.judge.isPermitted(cell{s, d, x}) {
						p.DontCare = append(p.DontCare, cover.Cell{int32(i), int32(j), int32(k)})
					}
				}
			}
		}
	}
	return p, func(c cell) cover.Cell { at, _ := find(c); return at },
		func(at cover.Cell) cell { return cell{src[at[0]], dst[at[1]], services[at[2]]} }
}
