package check

import (
	"math/big"
	"slices"

	"cordon/recommender/cover"
)

// share is what boxes of a partial cover may leave out.
type share struct {
	weight map[cover.Cell]int64
	least  int64 // smallest weight of a one
	budget int64
	left   int64 // weight of the ones in no box
}

// Partial verifies a solution of a problem of which a share is enough, as Check verifies one of all: the ones that no box holds weigh no
// more than they may; and the bound, where it is not one for all ones, is that of a part's weights less the most of them that may be
// left out.
func Partial(p cover.Problem, s cover.Share, x cover.Solution, limits Limits) Report {
	limits.fill()
	c := &checker{s: x, limits: limits, allowed: make(map[cover.Cell]bool, len(p.Ones)+len(p.DontCare)), count: map[Kind]int{}}
	c.report.Boxes = len(x.Boxes)
	c.share = &share{weight: map[cover.Cell]int64{}}
	if len(s.Weights) != len(p.Ones) {
		c.find(Malformed, -1, -1, nil, "%d weights for %d ones", len(s.Weights), len(p.Ones))
		return c.report
	}
	total := int64(0)
	for i, w := range s.Weights {
		c.share.weight[p.Ones[i]] += w
		total += w
	}
	c.share.budget = min(total-s.Needed, total)
	// What weighs nothing need not be covered.
	c.p = cover.Problem{Dims: p.Dims, DontCare: slices.Clone(p.DontCare)}
	for _, cell := range p.Ones {
		if w := c.share.weight[cell]; w > 0 {
			c.p.Ones = append(c.p.Ones, cell)
			if c.share.least == 0 || w < c.share.least {
				c.share.least = w
			}
		} else {
			c.p.DontCare = append(c.p.DontCare, cell)
		}
	}
	c.number()
	if !c.form() {
		return c.report
	}
	c.boxes()
	switch {
	case x.Method == cover.PartialDual || x.Method == cover.PartialExhaustive:
		c.partialBound()
	case c.share.budget < c.share.least:
		c.bound() // every one is needed
	default:
		if x.LowerBound > 0 {
			c.find(WrongMethod, -1, -1, nil, "the method %q is for covers of all ones, and weight %d may be left out", x.Method, c.share.budget)
		}
		c.claim(0)
	}
	c.report.Optimal = c.report.Optimal && c.count[Unsound]+c.count[Incomplete] == 0
	return c.report
}

// partialBound checks the certificate of a partial cover.
func (c *checker) partialBound() {
	if len(c.s.Parts) != 1 || c.s.Parts[0].Method != cover.Dual {
		c.find(WrongMethod, -1, -1, nil, "a bound by %s has one part with weights, not %d parts", c.s.Method, len(c.s.Parts))
		c.claim(0)
		return
	}
	part := c.s.Parts[0]
	before := c.count[BadDual] + c.count[WrongCount] + c.count[Unproved]
	c.apart(part.Cells, make([]int, len(part.Cells)), BadDual, 0) // each a one, and listed once
	proved := 0
	if c.count[BadDual] == before && c.dual(0, part) {
		proved = c.share.bound(part)
	}
	switch c.s.Method {
	case cover.PartialDual:
		if proved != c.s.LowerBound && c.count[BadDual]+c.count[WrongCount]+c.count[Unproved] == before {
			c.find(WrongCount, -1, 0, nil, "the lower bound is %d, the weights prove %d for this share", c.s.LowerBound, proved)
		}
	case cover.PartialExhaustive:
		if proved < c.s.LowerBound && c.count[BadDual] == before &&
			c.exhaustive(0, part, c.s.LowerBound, c.share.budget, func(cell cover.Cell) int64 { return c.share.weight[cell] }) {
			proved = c.s.LowerBound
		}
	}
	c.claim(proved)
}

// bound is the number of boxes that hold the weights of a part but for the most that may be left out: that is at most the
// fractional knapsack of the budget.
func (s *share) bound(part cover.Part) int {
	type item struct{ value, weight, density *big.Rat }
	var items []item
	left := new(big.Rat)
	for i, cell := range part.Cells {
		x := item{value: big.NewRat(part.Weights[i], 1), weight: big.NewRat(s.weight[cell], 1)}
		x.density = new(big.Rat).Quo(x.value, x.weight)
		items = append(items, x)
		left.Add(left, x.value)
	}
	slices.SortFunc(items, func(a, b item) int { return b.density.Cmp(a.density) })
	budget := big.NewRat(s.budget, 1)
	for _, x := range items {
		if x.weight.Cmp(budget) > 0 {
			left.Sub(left, x.density.Mul(x.density, budget))
			break
		}
		budget.Sub(budget, x.weight)
		left.Sub(left, x.value)
	}
	left.Quo(left, big.NewRat(part.Scale, 1))
	up := new(big.Int).Add(left.Num(), new(big.Int).Sub(left.Denom(), big.NewInt(1)))
	return int(up.Quo(up, left.Denom()).Int64())
}
