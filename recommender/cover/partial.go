package cover

import (
	"context"
	"fmt"
	"math"
	"slices"
)

// Methods of the bounds of SolvePartial, where leaving ones out makes a difference.
const (
	// PartialDual: weights on cells, at most the scale in total in any legal box, less the most that can be left out.
	PartialDual Method = "partial-dual"
	// PartialExhaustive: a complete search, as for Exhaustive.
	PartialExhaustive Method = "partial-exhaustive"
)

// Share says how much of a problem's ones the boxes have to hold.
type Share struct {
	Weights []int64 // weights of Problem.Ones in their order, not negative; those of duplicates add up
	Needed  int64   // total weight of the ones that have to be in boxes
}

// SolvePartial covers ones of p that weigh enough with few boxes: a budgeted set cover. What it says of Boxes holds for the ones
// that are in boxes: those are irredundant, and no fewer boxes hold ones of weight share.Needed than LowerBound says.
//
// Where every one is needed, since each weighs more than may be left out, this is Solve, certificate and all. Otherwise the
// certificate is one part, without a witness. Its cells are ones with weights y, and no legal box holds more of y than the scale. Boxes that hold
// ones of weight Needed hold all of y but what lies on ones of a weight w that together weigh no more than the rest; that is at
// most their fractional knapsack K, so they are at least (Σ y − K) / scale many. (The linear relaxation's dual, with the best
// multipliers, has the same value. The part's own Bound says what all its cells need.)
//
// The boxes are never more than those of Solve with the same options, of which some may do already.
func SolvePartial(ctx context.Context, p Problem, share Share, o Options) (Solution, error) {
	weight, total, err := share.byCell(p)
	if err != nil {
		return Solution{}, err
	}
	if share.Needed <= 0 {
		return Solution{Optimal: true, Method: FoolingSet}, nil
	}
	// What weighs nothing need not be covered.
	heavy := Problem{Dims: p.Dims, DontCare: slices.Clone(p.DontCare)}
	least := int64(math.MaxInt64)
	for _, c := range p.Ones {
		if weight[c] == 0 {
			heavy.DontCare = append(heavy.DontCare, c)
			continue
		}
		heavy.Ones = append(heavy.Ones, c)
		least = min(least, weight[c])
	}
	full, err := Solve(ctx, heavy, o)
	if err != nil || total-share.Needed < least {
		return full, err
	}
	return solvePartial(ctx, heavy, weight, total-share.Needed, full, o)
}

// byCell adds up the weights of each one.
func (s Share) byCell(p Problem) (weight map[Cell]int64, total int64, err error) {
	if len(s.Weights) != len(p.Ones) {
		return nil, 0, fmt.Errorf("cover: %d weights for %d ones", len(s.Weights), len(p.Ones))
	}
	weight = make(map[Cell]int64, len(p.Ones))
	for i, w := range s.Weights {
		if w < 0 || w > maxWeight-total {
			return nil, 0, fmt.Errorf("cover: weight %d of %v: weights must not be negative, nor above %d together", w, p.Ones[i], int64(maxWeight))
		}
		weight[p.Ones[i]] += w
		total += w
	}
	if s.Needed > total {
		return nil, 0, fmt.Errorf("cover: weight %d is needed, all ones together weigh %d", s.Needed, total)
	}
	return weight, total, nil
}

// maxWeight bounds the sum of all weights.
const maxWeight = 1 << 62

func solvePartial(ctx context.Context, p Problem, weight map[Cell]int64, budget int64, full Solution, o Options) (Solution, error) {
	ones, entries, err := canonical(p)
	if err != nil {
		return Solution{}, err
	}
	memory := o.MaxMemory
	if memory == 0 {
		memory = DefaultMaxMemory
	}
	w := &meter{ctx: ctx, limit: o.Effort.steps(0)}
	s, err := newPartial(p.Dims, ones, entries, weight, budget, memory, w)
	if err != nil {
		return Solution{}, err
	}
	best := s.some(full.Boxes, weight)
	out := Solution{Method: PartialDual, Stats: full.Stats}
	var dual Part
	if s.enumerate() {
		r := s.solve(len(best))
		if r.chosen != nil {
			best = s.boxes(r.chosen)
		}
		dual = s.part(ones, weight, r.y, nil)
		if r.bound > partialBound(dual, weight, budget) {
			dual = s.part(ones, weight, r.y, r.tree)
			out.LowerBound, out.Method = r.bound, PartialExhaustive
		}
	} else {
		if pooled := s.searchPool(len(best)); pooled != nil {
			best = pooled
		}
		dual = dualOf(full)
	}
	proved := partialBound(dual, weight, budget)
	if out.LowerBound <= proved {
		out.LowerBound, out.Method = proved, PartialDual
	}
	out.Parts = []Part{dual}

	// The ones that the boxes hold are what a polished cover must hold.
	held := make(map[Cell]bool)
	for i := range best {
		best[i] = best[i].clone()
		eachCell(&best[i], func(c Cell) { held[c] = true })
	}
	for i := range entries {
		if !held[entries[i].cell] {
			entries[i].one = -1
		}
	}
	t, err := newTensor(p.Dims, entries)
	if err != nil {
		return Solution{}, err
	}
	polish := meter{ctx: ctx, limit: o.Effort.polishSteps()}
	polisher := newPolisher(t, o.Cost)
	out.Boxes, _ = polisher.improve(best, &polish)
	// Boxes may have grown over ones that were left out, and others be needed no more.
	if fewer := s.some(out.Boxes, weight); len(fewer) < len(out.Boxes) {
		slices.SortFunc(fewer, compareBoxes)
		out.Boxes = fewer
	}
	out.Literals = totalLiterals(out.Boxes)
	out.Optimal = out.LowerBound == len(out.Boxes)
	out.Stats.Nodes += s.nodes
	out.Stats.Primes += int64(len(s.columns))
	out.Stats.Steps += w.used + polish.used
	out.Stats.Stopped = out.Stats.Stopped || !w.ok()
	out.Stats.Interrupted = out.Stats.Interrupted || w.ended || polish.ended
	if o.Progress != nil {
		o.Progress(Progress{Boxes: len(out.Boxes), LowerBound: out.LowerBound})
	}
	return out, nil
}

// eachCell calls f with the cells of a box.
func eachCell(b *Box, f func(Cell)) {
	for _, i := range b.Sets[0] {
		for _, j := range b.Sets[1] {
			for _, k := range b.Sets[2] {
				f(Cell{i, j, k})
			}
		}
	}
}

// some takes boxes of a cover, those that add most first, until little enough is left out, and drops what is not needed after all.
func (s *partial) some(boxes []Box, weight map[Cell]int64) (chosen []Box) {
	times := make(map[Cell]int, len(weight))
	left := s.total - s.budget
	used := make([]bool, len(boxes))
	for left > 0 {
		best, most := -1, int64(0)
		for j := range boxes {
			if used[j] {
				continue
			}
			gain := int64(0)
			eachCell(&boxes[j], func(c Cell) {
				if times[c] == 0 {
					gain += weight[c]
				}
			})
			if gain > most {
				best, most = j, gain
			}
		}
		used[best] = true
		left -= most
		eachCell(&boxes[best], func(c Cell) { times[c]++ })
		chosen = append(chosen, boxes[best])
	}
	return slices.DeleteFunc(chosen, func(b Box) bool {
		own := int64(0)
		eachCell(&b, func(c Cell) {
			if times[c] == 1 {
				own += weight[c]
			}
		})
		if left+own > 0 {
			return false
		}
		left += own
		eachCell(&b, func(c Cell) { times[c]-- })
		return true
	})
}

// dualOf makes one part of the certificate of a full cover, whose weights no legal box holds more of than the scale either.
func dualOf(full Solution) Part {
	out := Part{Method: Dual, Scale: dualScale}
	add := func(cells []Cell, weights []int64, scale int64) {
		for i, c := range cells {
			y := int64(dualScale)
			if weights != nil {
				y = int64(float64(weights[i]) / float64(scale) * (dualScale - 1))
				if scale == dualScale {
					y = weights[i]
				}
			}
			if y > 0 {
				out.Cells, out.Weights = append(out.Cells, c), append(out.Weights, y)
			}
		}
	}
	if len(full.Parts) == 0 {
		add(full.Witness, nil, 1)
	}
	for _, part := range full.Parts {
		if part.Method == FoolingSet {
			add(part.Cells, nil, 1)
		} else {
			add(part.Cells, part.Weights, part.Scale)
		}
	}
	out.Bound = out.rounded(0)
	return out
}

// rounded is the bound of the part's weights less some of them.
func (p *Part) rounded(less int64) int {
	sum := p.Scale - 1 - less
	for _, y := range p.Weights {
		sum += y
	}
	return int(max(sum, 0) / p.Scale)
}

// partialBound is what a part proves about boxes that leave out no more than the budget.
func partialBound(p Part, weight map[Cell]int64, budget int64) int {
	w := make([]int64, len(p.Cells))
	for i, c := range p.Cells {
		w[i] = weight[c]
	}
	return p.rounded(knapsackBound(p.Weights, w, budget))
}
