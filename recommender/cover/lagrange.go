package cover

// relaxation is the Lagrangian relaxation of a covering: each row gets a multiplier y ≥ 0 that pays for covering it, and the
// bound is Σ y + Σ min(0, 1 − Σ y over the rows of a column), the second sum over the columns. Its maximum is that of the linear relaxation.
//
// Where some rows may be left out (spare), a multiplier also pays for leaving its row out, and the bound is less by the most that can be: the
// fractional knapsack of the rows' multipliers.
//
// The multipliers move along a subgradient that keeps most of its last direction (Camerini, Fratta, Maffioli 1975: a
// heavy ball), which takes some hundred passes over the matrix where the plain subgradient takes thousands.
type relaxation struct {
	ascent            // rows are followed by cuts; a cut that counts a column twice is there twice
	need   []float64  // number of columns that each row and cut needs
	share  []float64  // share of the passes that chose each column, later ones weighing more
	total  float64    // weight of all passes
	weigh  float64    // weight of the last pass
	of     []int32    // the rows' numbers in the matrix
	cuts   [][3]int32 // those of the cuts' rows
	spare  *knapsack  // may be left out; nil where all is required
}

// load makes r the relaxation of a view, starting from the given multipliers. It returns the numbers of its rows and columns in m.
func (r *relaxation) load(m *matrix, v view, d duals) (rows, cols []int32) {
	rows, cols = v.rows.appendTo(nil), v.cols.appendTo(nil)
	number := make([]int32, len(m.row))
	r.y, r.need, r.of, r.cuts = r.y[:0], r.need[:0], rows, r.cuts[:0]
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
		r.y, r.need, r.cuts = append(r.y, c.y), append(r.need, 2), append(r.cuts, c.rows)
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
				if held[c]++; held[c] != 2 { // one or two of three rows count once, three count twice
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

func (r *relaxation) passSteps() int {
	if r.spare != nil {
		return r.entries + 19*len(r.y) // the knapsack sorts
	}
	return r.entries
}

// loadShare is load where rows of a weight of at most budget may be left out. weight is by row of m.
func (r *relaxation) loadShare(m *matrix, v view, multiplier []float64, weight []int64, budget int64) (rows, cols []int32) {
	rows, cols = r.load(m, v, duals{row: multiplier})
	if r.spare == nil {
		r.spare = new(knapsack)
	}
	r.spare.fill(rows, weight, budget)
	return rows, cols
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
	if r.spare != nil {
		clear(r.slope)
		bound -= r.spare.leaveOut(r.top, r.slope)
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
	if r.spare != nil {
		bound -= r.spare.leaveOut(at, slope)
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

// exactScales are the units, as parts of 1, in which prices are written down, the first that will do: the last loses less than tolerance.
var exactScales = [...]int64{100, 1000, 10_000, 1_000_000, 1_000_000_000}

// exact gives the multipliers as integers in units of 1/scale, the bound that they prove, and 1 minus the multipliers of each column's rows.
func (r *relaxation) exact(scale int64) (price []int64, bound int64, cost []int64) {
	price = make([]int64, len(r.y))
	for n, y := range r.y {
		price[n] = int64(float64(y * float64(scale)))
		bound += int64(r.need[n]) * price[n]
	}
	cost = make([]int64, len(r.start)-1)
	for j := range cost {
		cost[j] = scale
		for _, i := range r.rows[r.start[j]:r.start[j+1]] {
			cost[j] -= price[i]
		}
		bound += min(cost[j], 0)
	}
	if r.spare != nil {
		bound -= r.spare.most(price)
	}
	return price, bound, cost
}

// refute reports whether the multipliers show, in integers, that more than k columns are needed, and records them.
func (r *relaxation) refute(m *matrix, k int, log *record) bool {
	for _, scale := range exactScales {
		if price, bound, _ := r.exact(scale); bound > int64(k)*scale {
			log.price(m, r.of, r.cuts, scale, price)
			return true
		}
	}
	return false
}

// fix switches off the columns that no solution of k columns can use, by the multipliers, and records those. cols are the columns of the relaxation,
// and bound its bound.
func (r *relaxation) fix(m *matrix, v view, cols []int32, bound float64, k int, log *record) (some bool) {
	beyond := 0
	for n := range cols {
		if cost := r.reducedCost(n); cost > 0 && bound+cost > float64(k)+tolerance {
			beyond++
		}
	}
	if beyond == 0 {
		return false
	}
	for _, scale := range exactScales {
		price, bound, cost := r.exact(scale)
		n := 0
		for _, c := range cost {
			if c > 0 && bound+c > int64(k)*scale {
				n++
			}
		}
		if n < beyond && scale != exactScales[len(exactScales)-1] || n == 0 {
			continue
		}
		log.price(m, r.of, r.cuts, scale, price)
		for n, c := range cost {
			if c > 0 && bound+c > int64(k)*scale {
				v.cols.clear(cols[n])
			}
		}
		return true
	}
	return false
}
