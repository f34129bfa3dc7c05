package cover

// partialRelaxation is the Lagrangian relaxation of a partial covering. A multiplier y ≥ 0 pays for covering a row, or for leaving it
// out; the bound is Σ y + Σ min(0, 1 − Σ y over the rows of a column) − K, where K is the fractional knapsack of what may be left
// out: rows of the most multipliers that weigh no more than the budget. Its maximum is that of the linear relaxation.
//
// The multipliers move as those of relaxation do, and most passes look at columns of low cost only.
type partialRelaxation struct {
	ascent
	spare knapsack
}

// load makes r the relaxation of a view, starting from the given multipliers (by row of m).
func (r *partialRelaxation) load(m *matrix, v view, weight []int64, budget int64, multiplier []float64) (rows []int32) {
	rows = v.rows.appendTo(nil)
	number := make([]int32, len(m.row))
	r.y, r.spare.weight, r.spare.budget = r.y[:0], r.spare.weight[:0], float64(budget)
	for k, i := range rows {
		number[i] = int32(k)
		r.y, r.spare.weight = append(r.y, multiplier[i]), append(r.spare.weight, float64(weight[i]))
	}
	r.start, r.rows = append(r.start[:0], 0), r.rows[:0]
	for _, j := range v.cols.appendTo(nil) {
		from := len(r.rows)
		r.rows = m.col[j].appendAnd(v.rows, r.rows)
		for k, i := range r.rows[from:] {
			r.rows[from+k] = number[i]
		}
		r.start = append(r.start, int32(len(r.rows)))
	}
	return rows
}

// maximize improves the multipliers, see ascent.climb.
func (r *partialRelaxation) maximize(target float64, p pace, w *meter) (best float64) {
	return r.climb(r, target, p, w)
}

func (r *partialRelaxation) passSteps() int { return r.entries + 20*len(r.y) } // the knapsack sorts

// cost is 1 minus the given multipliers of the k-th column's rows.
func (r *partialRelaxation) cost(k int, y []float64) float64 {
	cost := 1.0
	for _, i := range r.rows[r.start[k]:r.start[k+1]] {
		cost -= y[i]
	}
	return cost
}

// price returns the bound of the multipliers r.top, and makes a core of the columns whose cost is low there.
func (r *partialRelaxation) price() (bound float64) {
	for _, y := range r.top {
		bound += y
	}
	r.core, r.entries = r.core[:0], 0
	for k := range len(r.start) - 1 {
		cost := r.cost(k, r.top)
		if cost < lowCost {
			r.core = append(r.core, int32(k))
			r.entries += int(r.start[k+1] - r.start[k])
			bound += min(cost, 0)
		}
	}
	clear(r.slope)
	return bound - r.spare.leaveOut(r.top, r.slope)
}

// evaluate returns the bound of the multipliers r.at as far as the core goes, and leaves its subgradient in r.slope. Hot.
func (r *partialRelaxation) evaluate() (bound float64) {
	for i, y := range r.at {
		bound += y
		r.slope[i] = 1
	}
	for _, k := range r.core {
		if cost := r.cost(int(k), r.at); cost < 0 {
			bound += cost
			for _, i := range r.rows[r.start[k]:r.start[k+1]] {
				r.slope[i]--
			}
		}
	}
	return bound - r.spare.leaveOut(r.at, r.slope)
}
