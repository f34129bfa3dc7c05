package cover

import "math"

const (
	momentum    = 0.95
	blockPasses = 10
	lowCost     = 0.12 // below which a column is in the core
	fading      = 1.06 // Weight of a pass over the weight of the one before.
	tolerance   = 1e-6 // far above the rounding error of the sums
)

// pace says how long the multipliers are improved.
type pace struct {
	passes   int     // the largest number of passes
	patience int     // passes without a better bound before the step is halved
	step     float64 // ends it: the first step is 1
}

var (
	rootPace  = pace{3000, 40, 0.001}
	nodePace  = pace{120, 20, 0.005}
	probePace = pace{40, 20, 0.005}
)

// ascent is what a Lagrangian relaxation needs to improve its multipliers.
type ascent struct {
	start   []int32 // The place in rows at which each column's begin.
	rows    []int32
	y       []float64 // the multipliers of the best bound
	at      []float64 // those of the pass
	top     []float64 // those of the best pass of a block
	slope   []float64
	move    []float64
	core    []int32 // columns with a low cost
	entries int     // number of entries of the core
}

// dual is the bound of a relaxation, as a function of its multipliers.
type dual interface {
	price() float64    // the bound at top, over all columns; makes the core
	evaluate() float64 // the bound at at, over the core; slope becomes a subgradient
	passSteps() int    // twice the steps that evaluate counts
}

// climb improves the multipliers, no longer than needed to show that more than target columns are needed. It returns the best
// bound; r.y are its multipliers, and no worse than those at the beginning.
//
// Few columns ever have a negative cost. So most passes look at those with a low one only (the core problem of Caprara, Fischetti and Toth,
// "A heuristic method for the set covering problem", 1999); after each block of passes all are priced at the best multipliers that
// the block found, which gives a bound that holds, and the core for the next block.
func (r *ascent) climb(d dual, target float64, p pace, w *meter) (best float64) {
	r.at = append(r.at[:0], r.y...)
	r.top = append(r.top[:0], r.y...)
	r.move = append(r.move[:0], r.y...)
	clear(r.move)
	r.slope = append(r.slope[:0], r.y...)
	best = math.Inf(-1)
	step, stalled := 1.0, 0
	for done := 0; ; done += blockPasses {
		bound := d.price()
		w.spend(int64(len(r.rows)) / 2)
		if stalled += blockPasses; bound > best+1e-4 {
			stalled = 0
		}
		if bound > best {
			best = bound
			copy(r.y, r.top)
		}
		if stalled > p.patience {
			step, stalled = step/2, 0
			copy(r.at, r.y)
		}
		if best > target+tolerance || step < p.step || done >= p.passes || !w.spend(int64(blockPasses*d.passSteps())/2) {
			return best
		}
		highest := math.Inf(-1)
		for range blockPasses {
			bound := d.evaluate()
			if bound > highest {
				highest = bound
				copy(r.top, r.at)
			}
			norm := 0.0
			for i, y := range r.at {
				s := r.slope[i] + float64(momentum*r.move[i]) // the conversion forbids a fused multiply-add, which not every CPU has
				r.move[i] = s
				if y <= 0 && s < 0 {
					s = 0
				}
				r.slope[i] = s
				norm += float64(s * s)
			}
			if norm == 0 {
				break
			}
			length := step * (math.Max(target+0.5, best+0.3) - bound) / norm
			for i, y := range r.at {
				r.at[i] = min(max(0, y+float64(length*r.slope[i])), 1) // no dual solution needs more
			}
		}
	}
}
