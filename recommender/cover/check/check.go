// Package check verifies a cover and the certificate that comes with it, trusting nothing that the solver said.
//
// It uses the data types of package cover and none of its code. What it verifies, and how:
//
//   - every cell of every box is a one or a don't-care cell (soundness), every one is in a box (completeness), every box has
//     a one that no other box has (irredundance), all by looking each cell up;
//   - a fooling set: every pair of its cells is incompatible, which means that the smallest box around both holds a
//     forbidden cell, so each of its cells needs a box of its own;
//   - a dual bound: no legal box holds cells with a total weight above the scale. A walk over the legal boxes shows it, with
//     a limit on its steps;
//   - a bound by exhaustive search: the same walk shows that the listed boxes are all that matter, and the tree of the search, read
//     line by line, that fewer of them do not do;
//   - parts: no legal box holds cells of two parts, since every pair of cells from different parts is incompatible; so
//     the bounds of the parts add up;
//   - the counts, and the claim to be optimal.
//
// Where a walk was not finished, a finding of kind Unproved says so, and is no error of the solution.
package check

import (
	"fmt"
	"slices"

	"cordon/recommender/cover"
)

// Kind classifies a finding.
type Kind string

const (
	Malformed   Kind = "malformed"    // an index out of range, an empty or unsorted set, lists of different length
	Unsound     Kind = "unsound"      // a box holds a forbidden cell
	Incomplete  Kind = "incomplete"   // a one is in no box
	Redundant   Kind = "redundant"    // all ones of a box are in other boxes
	WrongCount  Kind = "wrong-count"  // a number does not follow from the rest
	BadWitness  Kind = "bad-witness"  // two cells of a fooling set fit in one legal box, or a cell is no one
	BadDual     Kind = "bad-dual"     // a legal box weighs more than the scale
	BadTree     Kind = "bad-tree"     // the tree of a part does not show its bound, or a legal box is in none of those it lists
	BadParts    Kind = "bad-parts"    // cells of two parts fit in one legal box
	Unproved    Kind = "unproved"     // nothing wrong, but the bound was not verified
	WrongMethod Kind = "wrong-method" // the method is unknown or does not fit what the certificate carries
)

// Finding is one thing that is wrong (or, for Unproved, unverified) with a solution.
type Finding struct {
	Kind  Kind
	Box   int          // position in Solution.Boxes, or -1
	Part  int          // position in Solution.Parts, or -1
	Cells []cover.Cell // the cells that show it, if any
	Text  string       // one sentence with the numbers
}

func (f Finding) String() string { return string(f.Kind) + ": " + f.Text }

// Limits bound what Check does. The zero value stands for the defaults.
type Limits struct {
	Findings int   // findings of each kind, 10 if 0
	Steps    int64 // steps of each walk over the legal boxes of a part, 2 billion (some 5 seconds) if 0
}

// Report is the result of Check.
type Report struct {
	Findings   []Finding
	Boxes      int  // boxes in the solution
	LowerBound int  // the part of the claimed bound that was verified
	Optimal    bool // the solution is sound and complete, and LowerBound equals Boxes
}

// Valid reports whether nothing is wrong; a bound may still be unproved.
func (r Report) Valid() bool {
	return !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Kind != Unproved })
}

type checker struct {
	p       cover.Problem
	s       cover.Solution
	limits  Limits
	allowed map[cover.Cell]bool // true: a one, false: don't care, absent: forbidden
	count   map[Kind]int
	share   *share // set for a partial cover
	report  Report
}

// Check verifies a solution of a problem.
func Check(p cover.Problem, s cover.Solution, limits Limits) Report {
	limits.fill()
	c := &checker{p: p, s: s, limits: limits, allowed: make(map[cover.Cell]bool, len(p.Ones)+len(p.DontCare)), count: map[Kind]int{}}
	c.report.Boxes = len(s.Boxes)
	c.number()
	if !c.form() {
		return c.report
	}
	c.boxes()
	c.bound()
	c.report.Optimal = c.report.Optimal && c.count[Unsound]+c.count[Incomplete] == 0
	return c.report
}

func (l *Limits) fill() {
	if l.Findings == 0 {
		l.Findings = 10
	}
	if l.Steps == 0 {
		l.Steps = 2_000_000_000
	}
}

// number prepares looking cells up.
func (c *checker) number() {
	for _, cell := range c.p.DontCare {
		c.allowed[cell] = false
	}
	for _, cell := range c.p.Ones {
		c.allowed[cell] = true
	}
}

func (c *checker) find(k Kind, box, part int, cells []cover.Cell, format string, args ...any) {
	if c.count[k]++; c.count[k] <= c.limits.Findings {
		c.report.Findings = append(c.report.Findings, Finding{k, box, part, cells, fmt.Sprintf(format, args...)})
	}
}

// form checks what the rest relies on.
func (c *checker) form() bool {
	for _, list := range [][]cover.Cell{c.p.Ones, c.p.DontCare} {
		for _, cell := range list {
			for m, x := range cell {
				if x < 0 || int(x) >= c.p.Dims[m] {
					c.find(Malformed, -1, -1, []cover.Cell{cell}, "cell %v of the problem has index %d in mode %d, outside 0..%d", cell, x, m, c.p.Dims[m]-1)
				}
			}
		}
	}
	for i, b := range c.s.Boxes {
		for m, set := range b.Sets {
			if len(set) == 0 {
				c.find(Malformed, i, -1, nil, "box %d has no index in mode %d", i, m)
				continue
			}
			if set[0] < 0 || int(set[len(set)-1]) >= c.p.Dims[m] {
				c.find(Malformed, i, -1, nil, "box %d has an index in mode %d outside 0..%d", i, m, c.p.Dims[m]-1)
			}
			for k := 1; k < len(set); k++ {
				if set[k-1] >= set[k] {
					c.find(Malformed, i, -1, nil, "box %d has index %d after %d in mode %d: sets are sorted and hold an index once", i, set[k], set[k-1], m)
				}
			}
		}
	}
	for i, part := range c.s.Parts {
		if weighed := part.Method == cover.Dual || len(part.Weights) > 0; weighed && (len(part.Weights) != len(part.Cells) || part.Scale <= 0) {
			c.find(Malformed, -1, i, nil, "part %d has %d cells, %d weights and scale %d", i, len(part.Cells), len(part.Weights), part.Scale)
		}
	}
	return c.count[Malformed] == 0
}

// boxes checks soundness, completeness and irredundance.
func (c *checker) boxes() {
	holders := make(map[cover.Cell]int, len(c.p.Ones)) // Number of boxes that hold each one.
	forbidden := make([]bool, len(c.s.Boxes))
	for i, b := range c.s.Boxes {
		each(b, func(cell cover.Cell) bool {
			one, ok := c.allowed[cell]
			if !ok {
				c.find(Unsound, i, -1, []cover.Cell{cell}, "box %d holds cell %v, which is neither a one nor a don't-care cell", i, cell)
				forbidden[i] = true
				return false // one cell shows it, and a box may be huge
			}
			if one {
				holders[cell]++
			}
			return true
		})
	}
	missing := make(map[cover.Cell]bool)
	for _, cell := range c.p.Ones {
		if holders[cell] == 0 && !missing[cell] && !c.inUnsound(cell, forbidden) {
			missing[cell] = true
			if c.share != nil {
				c.share.left += c.share.weight[cell]
				continue
			}
			c.find(Incomplete, -1, -1, []cover.Cell{cell}, "one %v is in no box", cell)
		}
	}
	if c.share != nil && c.share.left > c.share.budget {
		c.find(Incomplete, -1, -1, nil, "ones of weight %d are in no box; %d may be", c.share.left, c.share.budget)
	}
	for i, b := range c.s.Boxes {
		if forbidden[i] {
			continue
		}
		own := false
		each(b, func(cell cover.Cell) bool {
			own = c.allowed[cell] && holders[cell] == 1
			return !own
		})
		if !own {
			c.find(Redundant, i, -1, nil, "box %d has no one that is in no other box", i)
		}
	}
}

// inUnsound reports whether a box with a forbidden cell holds the cell, since those were not walked to the end.
func (c *checker) inUnsound(cell cover.Cell, forbidden []bool) bool {
	for i, b := range c.s.Boxes {
		if !forbidden[i] {
			continue
		}
		in := 0
		for m, set := range b.Sets {
			if _, ok := slices.BinarySearch(set, cell[m]); ok {
				in++
			}
		}
		if in == 3 {
			return true
		}
	}
	return false
}

// each calls f with the cells of a box until it returns false.
func each(b cover.Box, f func(cover.Cell) bool) {
	for _, i := range b.Sets[0] {
		for _, j := range b.Sets[1] {
			for _, k := range b.Sets[2] {
				if !f(cover.Cell{i, j, k}) {
					return
				}
			}
		}
	}
}

// bound checks the certificate.
func (c *checker) bound() {
	labels := make([]int, len(c.s.Witness))
	for i := range labels {
		labels[i] = i
	}
	before := c.count[BadWitness]
	c.apart(c.s.Witness, labels, BadWitness, -1)
	proved := 0
	if c.count[BadWitness] == before {
		proved = len(c.s.Witness)
	}
	switch c.s.Method {
	case cover.FoolingSet:
		if len(c.s.Witness) != c.s.LowerBound {
			c.find(WrongCount, -1, -1, nil, "the lower bound is %d, the fooling set has %d cells", c.s.LowerBound, len(c.s.Witness))
		}
		if len(c.s.Parts) > 0 {
			c.find(WrongMethod, -1, -1, nil, "a bound by a fooling set has %d parts", len(c.s.Parts))
		}
	case cover.Dual, cover.Exhaustive:
		proved = max(proved, c.parts())
	default:
		c.find(WrongMethod, -1, -1, nil, "unknown method %q", c.s.Method)
	}
	c.claim(proved)
}

// claim compares what is claimed of the bound with what was proved.
func (c *checker) claim(proved int) {
	c.report.LowerBound = min(proved, c.s.LowerBound)
	if c.s.LowerBound > len(c.s.Boxes) {
		c.find(WrongCount, -1, -1, nil, "the lower bound %d is above the number of boxes %d", c.s.LowerBound, len(c.s.Boxes))
	}
	if claim := c.s.LowerBound == len(c.s.Boxes); claim != c.s.Optimal {
		c.find(WrongCount, -1, -1, nil, "optimal is %v, with %d boxes and lower bound %d", c.s.Optimal, len(c.s.Boxes), c.s.LowerBound)
	}
	c.report.Optimal = proved >= len(c.s.Boxes) && c.s.Optimal
}

// parts checks the parts of a bound and returns the sum of those that hold.
func (c *checker) parts() (proved int) {
	var cells []cover.Cell
	var labels []int
	sum := 0
	strongest := cover.FoolingSet
	for i, part := range c.s.Parts {
		sum += part.Bound
		for _, cell := range part.Cells {
			cells, labels = append(cells, cell), append(labels, i)
		}
		switch part.Method {
		case cover.FoolingSet:
			own := make([]int, len(part.Cells))
			for k := range own {
				own[k] = k
			}
			bad := c.count[BadWitness]
			c.apart(part.Cells, own, BadWitness, i)
			if part.Bound != len(part.Cells) {
				c.find(WrongCount, -1, i, nil, "part %d claims %d boxes by a fooling set of %d cells", i, part.Bound, len(part.Cells))
			} else if c.count[BadWitness] == bad {
				proved += part.Bound
			}
		case cover.Dual:
			if strongest == cover.FoolingSet {
				strongest = cover.Dual
			}
			if c.dual(i, part) {
				proved += part.Bound
			}
		case cover.Exhaustive:
			strongest = cover.Exhaustive
			if c.exhaustive(i, part, part.Bound, 0, one) {
				proved += part.Bound
			} else if len(part.Weights) > 0 && c.dual(i, part) {
				proved += weightBound(part)
			}
		default:
			c.find(WrongMethod, -1, i, nil, "part %d has unknown method %q", i, part.Method)
		}
	}
	before := c.count[BadParts]
	c.apart(cells, labels, BadParts, -1)
	if c.count[BadParts] > before {
		proved = 0
	}
	if sum != c.s.LowerBound {
		c.find(WrongCount, -1, -1, nil, "the lower bound is %d, the bounds of the parts add up to %d", c.s.LowerBound, sum)
	}
	if strongest != c.s.Method {
		c.find(WrongMethod, -1, -1, nil, "the method is %q, that of its parts %q", c.s.Method, strongest)
	}
	return proved
}

// dual checks one part with weights.
func (c *checker) dual(i int, part cover.Part) bool {
	for k, w := range part.Weights {
		if w < 0 || w > part.Scale {
			c.find(BadDual, -1, i, part.Cells[k:k+1], "part %d: cell %v has weight %d, outside 0..%d", i, part.Cells[k], w, part.Scale)
			return false
		}
	}
	if need := weightBound(part); part.Method == cover.Dual && need != part.Bound {
		c.find(WrongCount, -1, i, nil, "part %d: the weights prove %d boxes, not %d", i, need, part.Bound)
		return false
	}
	l := newLegal(c, part.Cells)
	if l == nil {
		c.find(Unproved, -1, i, nil, "part %d: the table of its cells would have more than %d places", i, maxVolume)
		return false
	}
	heavy, ok := l.each(func(_ int, cells set) bool {
		sum := int64(0)
		for _, k := range cells.list(cells) {
			sum += part.Weights[k]
		}
		return sum <= part.Scale
	})
	switch {
	case heavy != nil:
		in := cellsOf(part, heavy)
		c.find(BadDual, -1, i, in, "part %d: one legal box holds these %d cells, with weight above %d", i, len(in), part.Scale)
		return false
	case !ok:
		c.find(Unproved, -1, i, nil, "part %d: the walk over boxes that may weigh more than %d did not end in %d steps", i, part.Scale, c.limits.Steps)
		return false
	}
	return true
}

func cellsOf(part cover.Part, members set) (cells []cover.Cell) {
	for _, k := range members.list(members) {
		cells = append(cells, part.Cells[k])
	}
	return cells
}

// exhaustive checks the tree of a part by which its cells need a number of boxes, where cells of a weight of at most spare may be left out.
func (c *checker) exhaustive(i int, part cover.Part, boxes int, spare int64, weight func(cover.Cell) int64) bool {
	if slices.ContainsFunc(part.Cells, func(cell cover.Cell) bool { return !c.allowed[cell] }) {
		return false // apart names it
	}
	if err := Tree(part, boxes, spare, weight); err != nil {
		c.find(BadTree, -1, i, nil, "part %d: its tree does not show that %d boxes are needed: %v", i, boxes, err)
		return false
	}
	return c.allBoxes(i, part)
}

// allBoxes checks that every legal box holds no more cells of the part than one of the boxes that the part lists.
func (c *checker) allBoxes(i int, part cover.Part) bool {
	l := newLegal(c, part.Cells)
	if l == nil {
		c.find(Unproved, -1, i, nil, "part %d: the table of its cells would have more than %d places", i, maxVolume)
		return false
	}
	around := make([][]set, len(part.Cells)) // the boxes that hold each cell
	for _, list := range part.Boxes {
		box := newSet(len(part.Cells))
		for _, k := range list {
			box.add(int(k))
		}
		for _, k := range list {
			around[k] = append(around[k], box)
		}
	}
	missing, ok := l.each(func(first int, cells set) bool {
		l.steps += int64(len(around[first]))
		return slices.ContainsFunc(around[first], func(box set) bool { return cells.within(box, cells) })
	})
	switch {
	case missing != nil:
		in := cellsOf(part, missing)
		c.find(BadTree, -1, i, in, "part %d: one legal box holds these %d cells, and none of the %d listed holds them", i, len(in), len(part.Boxes))
		return false
	case !ok:
		c.find(Unproved, -1, i, nil, "part %d: the walk over its legal boxes did not end in %d steps", i, c.limits.Steps)
		return false
	}
	return true
}

func one(cover.Cell) int64 { return 1 }

// weightBound is what the weights of a part prove if they hold.
func weightBound(part cover.Part) int {
	var sum int64
	for _, w := range part.Weights {
		sum += w
	}
	return int((sum + part.Scale - 1) / part.Scale)
}

// compatible reports whether the smallest box with both cells is legal.
func (c *checker) compatible(a, b cover.Cell) bool {
	for _, x := range [2]int32{a[0], b[0]} {
		for _, y := range [2]int32{a[1], b[1]} {
			for _, z := range [2]int32{a[2], b[2]} {
				if _, ok := c.allowed[cover.Cell{x, y, z}]; !ok {
					return false
				}
			}
		}
	}
	return true
}

// apart checks that the cells are ones, each listed once, and that cells with different labels are incompatible.
//
// Two compatible cells a and b need (b0, a1, a2) allowed. So only the cells b whose index in mode 0 is one of those allowed
// beside a1 and a2 are tried; the other modes serve as well, and the one with the fewest trials is taken.
func (c *checker) apart(cells []cover.Cell, labels []int, kind Kind, part int) {
	type place struct {
		mode int
		x, y int32
	}
	at := func(m int, cell cover.Cell) place { return place{m, cell[(m+1)%3], cell[(m+2)%3]} }
	beside := make(map[place][]int32) // the fibers through the cells
	seen := make(map[cover.Cell]bool, len(cells))
	byIndex := [3]map[int32][]int{{}, {}, {}}
	for i, cell := range cells {
		if one := c.allowed[cell]; !one {
			c.find(kind, -1, part, []cover.Cell{cell}, "cell %v is not a one", cell)
			return
		}
		if seen[cell] {
			c.find(kind, -1, part, []cover.Cell{cell}, "cell %v is listed twice", cell)
			return
		}
		seen[cell] = true
		for m := range 3 {
			beside[at(m, cell)] = nil
			byIndex[m][cell[m]] = append(byIndex[m][cell[m]], i)
		}
	}
	for cell := range c.allowed {
		for m := range 3 {
			p := at(m, cell)
			if list, ok := beside[p]; ok && len(byIndex[m][cell[m]]) > 0 {
				beside[p] = append(list, cell[m])
			}
		}
	}
	for i, a := range cells {
		mode, fewest := 0, -1
		for m := range 3 {
			n := 0
			for _, x := range beside[at(m, a)] {
				n += len(byIndex[m][x])
			}
			if fewest < 0 || n < fewest {
				mode, fewest = m, n
			}
		}
		var near []int
		for _, x := range beside[at(mode, a)] {
			for _, k := range byIndex[mode][x] {
				if k > i && labels[k] != labels[i] && c.compatible(a, cells[k]) {
					near = append(near, k)
				}
			}
		}
		slices.Sort(near)
		for _, k := range near {
			c.find(kind, -1, part, []cover.Cell{a, cells[k]}, "cells %v and %v fit in one legal box", a, cells[k])
		}
	}
}
