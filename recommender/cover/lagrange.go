package cover

import "math"

// relaxation is the Lagrangian relaxation of a covering: each row gets a multiplier y ≥ 0 that pays for covering it, and the
// bound is Σ y + Σ min(0, 1 − Σ y over the rows of a column), the second sum over the columns. Its maximum is that of the linear relaxation.
//
// The multipliers move along a subgradient that keeps most of its last direction (Camerini, Fratta, Maffioli 1975: a
// heavy ball), which takes some hundred passes over the matrix where the plain subgradient takes thousands.
type relaxation struct {
	start []int32 // by column: where its rows begin in rows
	rows  []int32
	y     []float64 // the multipliers of the best bound
	at    []float64
	slope []float64
	move  []float64
}

const (
	momentum  = 0.9
	patience  = 15 // passes without a better bound before the step is halved
	smallStep = 0.005
	tolerance = 1e-6 // far above the rounding error of the sums
)

// load makes r the relaxation of a view, starting from the given multipliers (by row of m).
func (r *relaxation) load(m *matrix, v view, multiplier []float64) (rows, cols []int32) {
	rows, cols = v.rows.appendTo(nil), v.cols.appendTo(nil)
	number := make([]int32, len(m.row))
	r.y = r.y[:0]
	for k, i := range rows {
		number[i] = int32(k)
		r.y = append(r.y, multiplier[i])
	}
	r.start, r.rows = append(r.start[:0], 0), r.rows[:0]
	for _, j := range cols {
		from := len(r.rows)
		r.rows = m.col[j].appendAnd(v.rows, r.rows)
		for k, i := range r.rows[from:] {
			r.rows[from+k] = number[i]
		}
		r.start = append(r.start, int32(len(r.rows)))
	}
	return rows, cols
}

// maximize improves the multipliers for at most the given number of passes, and no longer than needed to show that more than
// target columns are needed. It returns the best bound; r.y are its multipliers.
func (r *relaxation) maximize(target float64, passes int, w *meter) (best float64) {
	n := len(r.y)
	r.at = append(r.at[:0], r.y...)
	r.slope = append(r.slope[:0], r.y...)
	r.move = append(r.move[:0], r.y...)
	clear(r.move)
	best = math.Inf(-1)
	step, stalled := 1.0, 0
	for range passes {
		bound := r.evaluate()
		if stalled++; bound > best+1e-4 {
			stalled = 0
		}
		if bound > best {
			best = bound
			copy(r.y, r.at)
		}
		if stalled > patience {
			step, stalled = step/2, 0
			copy(r.at, r.y)
		}
		if best > target+tolerance || step < smallStep || !w.spend(int64(len(r.rows))/2) {
			break
		}
		norm := 0.0
		for i := range n {
			d := r.slope[i] + float64(momentum*r.move[i]) // the conversion forbids a fused multiply-add, which not every CPU has
			r.move[i] = d
			if r.at[i] <= 0 && d < 0 {
				r.slope[i] = 0
				continue
			}
			r.slope[i] = d
			norm += float64(d * d)
		}
		if norm == 0 {
			break
		}
		length := step * (math.Max(target+0.5, best+0.3) - bound) / norm
		for i := range n {
			r.at[i] = math.Max(0, r.at[i]+float64(length*r.slope[i]))
		}
	}
	return best
}

// evaluate returns the bound of the multipliers r.at and leaves its subgradient in r.slope. Hot.
func (r *relaxation) evaluate() (bound float64) {
	at, slope := r.at, r.slope[:len(r.at)]
	for i, y := range at {
		bound += y
		slope[i] = 1
	}
	from := r.start[0]
	for _, to := range r.start[1:] {
		cost := 1.0
		rows := r.rows[from:to]
		for _, i := range rows {
			cost -= at[i]
		}
		if cost < 0 {
			bound += cost
			for _, i := range rows {
				slope[i]--
			}
		}
		from = to
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
