package cover

// relaxation is the Lagrangian relaxation of a covering: each row gets a multiplier y ≥ 0 that pays for covering it, and the
// bound is Σ y + Σ min(0, 1 − Σ y over the rows of a column), the second sum over the columns. Its maximum is that of the linear relaxation.
//
// The multipliers move along a subgradient that keeps most of its last direction (Camerini, Fratta, Maffioli 1975: a
// heavy ball), which takes some hundred passes over the matrix where the plain subgradient takes thousands.
type relaxation struct {
	ascent           // rows are followed by cuts; a cut that counts a column twice is there twice
	need   []float64 // by row and cut: how many columns it needs
	share  []float64 // by column: how much of it the passes chose, the later ones weighing more
	total  float64   // of all passes
	weigh  float64   // of the last pass
}

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

// maximize improves the multipliers, see ascent.climb.
func (r *relaxation) maximize(target float64, p pace, w *meter) (best float64) {
	r.share = append(r.share[:0], make([]float64, len(r.start)-1)...)
	r.total, r.weigh = 0, 1
	return r.climb(r, target, p, w)
}

func (r *relaxation) passSteps() int { return r.entries }

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
