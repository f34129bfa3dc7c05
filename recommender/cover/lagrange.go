package cover

import "math"

// relaxation is the Lagrangian relaxation of a covering: each row gets a multiplier y ≥ 0 that pays for covering it, and the
// bound is Σ y + Σ min(0, 1 − Σ y over the rows of a column), the second sum over the columns. Its maximum is that of the linear relaxation.
//
// The multipliers move along a subgradient that keeps most of its last direction (Camerini, Fratta, Maffioli 1975: a
// heavy ball), which takes some hundred passes over the matrix where the plain subgradient takes thousands.
type relaxation struct {
	start   []int32   // by column: where its rows begin in rows
	rows    []int32   // numbers of rows, then of cuts; a cut that counts a column twice is there twice
	need    []float64 // by row and cut: how many columns it needs
	y       []float64 // the multipliers of the best bound
	at      []float64 // those of the pass
	top     []float64 // those of the best pass of a block
	slope   []float64
	move    []float64
	core    []int32   // columns with a low cost
	entries int       // of the core
	share   []float64 // by column: how much of it the passes chose, the later ones weighing more
	total   float64   // of all passes
	weigh   float64   // of the last pass
}

const (
	momentum    = 0.95
	blockPasses = 10
	lowCost     = 0.12 // below which a column is in the core
	fading      = 1.06 // how much more a pass weighs than the one before
	tolerance   = 1e-6 // far above the rounding error of the sums
)

// pace says how long the multipliers are improved.
type pace struct {
	passes   int     // at most
	patience int     // passes without a better bound before the step is halved
	step     float64 // ends it: the first step is 1
}

var (
	rootPace  = pace{3000, 40, 0.001}
	nodePace  = pace{120, 20, 0.005}
	probePace = pace{40, 20, 0.005}
)

// load makes r the relaxation of a view, starting from the given multipliers. It returns the numbers of its rows and columns in m.
func (r *relaxation) load(m *matrix, v view, d duals) (rows, cols []int32) {
	rows, cols = v.rows.appendTo(nil), v.cols.appendTo(nil)
	number := make([]int32, len(m.row))
	r.y, r.need = r.y[:0], r.need[:0]
	for k, i := range rows {
		number[i] = int32(k)
		r.y, r.need = append(r.y, d.row[i]), append(r.need, 1)
	}
	byRow := make([][]int32, len(rows))
	for _, c := range d.cuts {
		if !c.within(v) {
			continue
		}
		for _, i := range c.rows {
			byRow[number[i]] = append(byRow[number[i]], int32(len(r.y)))
		}
		r.y, r.need = append(r.y, c.y), append(r.need, 2)
	}
	held := make([]uint8, len(r.y))
	r.start, r.rows = append(r.start[:0], 0), r.rows[:0]
	for _, j := range cols {
		from := len(r.rows)
		r.rows = m.col[j].appendAnd(v.rows, r.rows)
		for k, i := range r.rows[from:] {
			r.rows[from+k] = number[i]
		}
		for _, i := range r.rows[from:] {
			for _, c := range byRow[i] {
				if held[c]++; held[c] != 2 { // of three rows, one or two count once, three twice
					r.rows = append(r.rows, c)
				}
			}
		}
		for _, i := range r.rows[from:] {
			held[i] = 0
		}
		r.start = append(r.start, int32(len(r.rows)))
	}
	return rows, cols
}

// maximize improves the multipliers, no longer than needed to show that more than target columns are needed. It returns the best
// bound; r.y are its multipliers, and no worse than those at the beginning.
//
// Few columns ever have a negative cost. So most passes look at those with a low one only (the core problem of Caprara, Fischetti and Toth,
// "A heuristic method for the set covering problem", 1999); after each block of passes all are priced at the best multipliers that
// the block found, which gives a bound that holds, and the core for the next block.
func (r *relaxation) maximize(target float64, p pace, w *meter) (best float64) {
	r.at = append(r.at[:0], r.y...)
	r.top = append(r.top[:0], r.y...)
	r.move = append(r.move[:0], r.y...)
	clear(r.move)
	r.slope = append(r.slope[:0], r.y...)
	r.share = append(r.share[:0], make([]float64, len(r.start)-1)...)
	r.total, r.weigh = 0, 1
	best = math.Inf(-1)
	step, stalled := 1.0, 0
	for done := 0; ; done += blockPasses {
		bound := r.price()
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
		if best > target+tolerance || step < p.step || done >= p.passes || !w.spend(int64(blockPasses*r.entries)/2) {
			return best
		}
		highest := math.Inf(-1)
		for range blockPasses {
			bound := r.evaluate()
			if bound > highest {
				highest = bound
				copy(r.top, r.at)
			}
			norm := 0.0
			for i, y := range r.at {
				d := r.slope[i] + float64(momentum*r.move[i]) // the conversion forbids a fused multiply-add, which not every CPU has
				r.move[i] = d
				if y <= 0 && d < 0 {
					d = 0
				}
				r.slope[i] = d
				norm += float64(d * d)
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

// price returns the bound of the multipliers r.top, and makes a core of the columns whose cost is low there.
func (r *relaxation) price() (bound float64) {
	for i, y := range r.top {
		bound += float64(r.need[i] * y)
	}
	r.core, r.entries = r.core[:0], len(r.top)
	from := r.start[0]
	for j, to := range r.start[1:] {
		cost := 1.0
		for _, i := range r.rows[from:to] {
			cost -= r.top[i]
		}
		if cost < lowCost {
			r.core = append(r.core, int32(j))
			r.entries += int(to - from)
			if cost < 0 {
				bound += cost
			}
		}
		from = to
	}
	return bound
}

// evaluate returns the bound of the multipliers r.at as far as the core goes, and leaves its subgradient in r.slope. Hot.
func (r *relaxation) evaluate() (bound float64) {
	at, slope := r.at, r.slope[:len(r.at)]
	for i, y := range at {
		bound += float64(r.need[i] * y)
		slope[i] = r.need[i]
	}
	r.weigh = float64(r.weigh * fading)
	r.total += r.weigh
	for _, j := range r.core {
		cost := 1.0
		rows := r.rows[r.start[j]:r.start[j+1]]
		for _, i := range rows {
			cost -= at[i]
		}
		if cost < 0 {
			bound += cost
			r.share[j] += r.weigh
			for _, i := range rows {
				slope[i]--
			}
		}
	}
	return bound
}

// reducedCost returns 1 minus the multipliers of the k-th column's rows.
func (r *relaxation) reducedCost(k int) float64 {
	cost := 1.0
	for _, i := range r.rows[r.start[k]:r.start[k+1]] {
		cost -= r.y[i]
	}
	return cost
}
