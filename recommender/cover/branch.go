package cover

import (
	"cmp"
	"math"
	"slices"
)

// brancher decides by branch and bound whether a covering has a solution with at most k columns.
//
// At each node the view is reduced to its cyclic core, split into components, and bounded by the Lagrangian relaxation, whose
// reduced costs also remove columns that no solution small enough can use. A node that survives branches on a row with the
// fewest columns: the row is covered by its first column, or not by that but by its second, and so on. (The scheme is
// Coudert's, "On solving covering problems", DAC 1996.)
type brancher struct {
	w     *meter
	r     relaxation
	nodes int64
}

const nodePasses = 300

// search returns a solution with at most k columns (numbers of the original matrix), or false. False is a proof only if the budget lasted.
// It changes v.
func (b *brancher) search(m *matrix, v view, multiplier []float64, k int) (solution []int32, found bool) {
	b.nodes++
	for {
		chosen, _, ok := m.cyclicCore(v, b.w)
		for _, j := range chosen {
			solution = append(solution, m.colID[j])
		}
		k -= len(chosen)
		if !ok || k < 0 || !b.w.ok() {
			return nil, false
		}
		if v.rows.empty() {
			return solution, true
		}
		if k == 0 {
			return nil, false
		}
		if parts := m.components(v); len(parts) > 1 {
			rest, found := b.split(m, parts, multiplier, k)
			return append(solution, rest...), found
		}
		if 2*v.rows.count()*v.cols.count() < len(m.row)*len(m.col) {
			m, v, multiplier = m.cut(v, multiplier)
		}
		rows, cols := b.r.load(m, v, multiplier)
		bound := b.r.maximize(float64(k), nodePasses, b.w)
		if bound > float64(k)+tolerance {
			return nil, false
		}
		multiplier = slices.Clone(multiplier)
		for n, i := range rows {
			multiplier[i] = b.r.y[n]
		}
		cost := make([]float64, len(m.col))
		removed := false
		for n, j := range cols {
			cost[j] = b.r.reducedCost(n)
			if cost[j] > 0 && bound+cost[j] > float64(k)+tolerance {
				v.cols.clear(j)
				removed = true
			}
		}
		if removed {
			continue
		}
		choices := m.row[m.branchRow(v)].appendAnd(v.cols, nil)
		slices.SortFunc(choices, func(x, y int32) int {
			if c := cmp.Compare(cost[x], cost[y]); c != 0 {
				return c
			}
			return int(x - y)
		})
		for _, j := range choices {
			with := v.clone()
			m.take(with, j)
			if rest, found := b.search(m, with, multiplier, k-1); found {
				return append(append(solution, m.colID[j]), rest...), true
			}
			v.cols.clear(j)
		}
		return nil, false
	}
}

// branchRow returns a row with the fewest columns; of several, one whose columns hold the most rows.
func (m *matrix) branchRow(v view) (best int32) {
	fewest, most := math.MaxInt, 0
	var cols []int32
	for _, i := range v.rows.appendTo(nil) {
		cols = m.row[i].appendAnd(v.cols, cols[:0])
		if len(cols) > fewest {
			continue
		}
		sum := 0
		for _, j := range cols {
			sum += m.col[j].countAnd(v.rows)
		}
		if len(cols) < fewest || sum > most {
			best, fewest, most = i, len(cols), sum
		}
	}
	return best
}

// split solves independent parts one after the other, the smallest first, each with as few columns as it needs.
func (b *brancher) split(m *matrix, parts []view, multiplier []float64, k int) (solution []int32, found bool) {
	slices.SortStableFunc(parts, func(x, y view) int { return cmp.Compare(x.rows.count(), y.rows.count()) })
	need := make([]int, len(parts))
	sum := 0
	for n, part := range parts {
		b.r.load(m, part, multiplier)
		need[n] = int(math.Ceil(b.r.maximize(float64(k), nodePasses, b.w) - tolerance))
		sum += need[n]
	}
	for n, part := range parts {
		for {
			if sum > k || !b.w.ok() {
				return nil, false
			}
			rest, found := b.search(m, part.clone(), multiplier, need[n])
			if found {
				solution = append(solution, rest...)
				break
			}
			need[n]++
			sum++
		}
	}
	return solution, true
}
