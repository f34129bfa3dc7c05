package cover

import (
	"cmp"
	"math"
	"slices"
)

// What a brancher does where rows of some weight may be left out. Of the reductions only dominated columns hold, parts do not add up, and there
// are no cuts; so a node branches on a column, and the relaxation counts what may be left out (see relaxation.spare).

// shareResult is a choice of columns for a share, and what is known about the fewest.
type shareResult struct {
	chosen []int32  // nil where nothing better was found than what there was
	bound  int      // no choice has fewer columns
	tree   []string // the proof of the bound, where weights do not show it
	y      []int64  // multipliers of the rows, of which no column holds more than dualScale
}

// solve covers rows of enough weight with fewer than few columns, if it can.
func (s *partial) solve(few int) (out shareResult) {
	colRows := make([][]int32, len(s.columns))
	for j, c := range s.columns {
		colRows[j] = c.appendTo(nil)
	}
	need := s.total - s.budget
	if greedy := newPicker(len(s.rows), colRows, s.weight, s.w).greedy(need); greedy != nil && len(greedy) < few {
		out.chosen, few = greedy, len(greedy)
	}
	m := newMatrix(len(s.rows), s.columns)
	b := newBrancher(m, s.w)
	v := m.all()
	multiplier := make([]float64, len(s.rows))
	for i := range multiplier {
		multiplier[i] = 1 / float64(m.row[i].count())
	}
	cols, relaxed := b.relaxShare(m, v, multiplier, s.weight, s.budget, float64(few), rootPace)
	out.y, _ = dualWeights(colRows, m, multiplier)
	least := int(math.Ceil(relaxed - tolerance))
	b.r.fix(m, v, cols, relaxed, few-1, nil)
	if better := s.exchange(colRows, v.cols.appendTo(nil), least, few); better != nil {
		out.chosen, few = better, len(better)
	}
	provable := entriesOf(colRows) <= maxBoxEntries
	for k := least - 1; k < few && s.w.ok(); k++ {
		log := &record{row: s.numbers(), col: positions(m.colID)}
		v := m.all()
		_, cols := b.r.loadShare(m, v, multiplier, s.weight, s.budget)
		var found []int32
		ok := false
		switch {
		case k >= least:
			b.log = log
			b.r.fix(m, v, cols, relaxed, k, log)
			found, ok = b.searchShare(m, v, slices.Clone(multiplier), s.weight, s.budget, k)
		case !b.r.refute(m, k, log):
			continue
		}
		switch {
		case ok:
			out.chosen, few = found, len(found)
		case s.w.ok() && provable && log.tree() != nil:
			out.bound, out.tree = k+1, log.tree()
		}
	}
	s.nodes = b.nodes
	return out
}

// exchange looks for fewer than few columns, among those that are open, by local search, as long as it finds some; least is known to be needed.
func (s *partial) exchange(colRows [][]int32, open []int32, least, few int) (chosen []int32) {
	var rows [][]int32
	for _, j := range open {
		rows = append(rows, colRows[j])
	}
	for few > least && s.w.ok() {
		var found []int32
		s.w.part((s.w.limit-s.w.used)/3, func() {
			found = newPicker(len(s.rows), rows, s.weight, s.w).search(few-1, s.total-s.budget, exchanges(len(s.rows)))
		})
		if found == nil {
			break
		}
		chosen, few = nil, len(found)
		for _, n := range found {
			chosen = append(chosen, open[n])
		}
	}
	return chosen
}

// relaxShare improves multipliers (by row of the matrix) and returns the columns of a view and its best bound.
func (b *brancher) relaxShare(m *matrix, v view, multiplier []float64, weight []int64, budget int64, target float64, p pace) (cols []int32, best float64) {
	rows, cols := b.r.loadShare(m, v, multiplier, weight, budget)
	best = b.r.maximize(target, p, b.w)
	for n, i := range rows {
		multiplier[i] = b.r.y[n]
	}
	return cols, best
}

// searchShare returns at most k columns that leave out no more than the budget, or false: a proof only if the meter lasted. It changes v.
func (b *brancher) searchShare(m *matrix, v view, multiplier []float64, weight []int64, budget int64, k int) (chosen []int32, found bool) {
	b.nodes++
	degree, size := make([]int, len(m.row)), make([]int, len(m.col))
	for {
		if !b.w.spend(int64(len(m.row)) + int64(len(m.col))) {
			return nil, false
		}
		open := int64(0)
		for _, i := range v.rows.appendTo(nil) {
			if degree[i] = m.row[i].countAnd(v.cols); degree[i] == 0 {
				v.rows.clear(i)
				if budget -= weight[i]; budget < 0 {
					return nil, false
				}
				continue
			}
			open += weight[i]
		}
		if open <= budget {
			return nil, true
		}
		if k == 0 {
			return nil, false
		}
		cols := v.cols.appendTo(nil)
		gains := make([]int64, len(cols))
		for n, j := range cols {
			size[j] = m.col[j].countAnd(v.rows)
			for _, i := range m.col[j].appendAnd(v.rows, nil) {
				gains[n] += weight[i]
			}
		}
		most := slices.Clone(gains)
		slices.SortFunc(most, func(x, y int64) int { return cmp.Compare(y, x) })
		reach := int64(0)
		for _, gain := range most[:min(k, len(most))] {
			reach += gain
		}
		if reach < open-budget {
			b.log.write("reach")
			return nil, false
		}
		if m.dropColumns(v, cols, degree, size, b.log, b.w) {
			continue
		}
		_, bound := b.relaxShare(m, v, multiplier, weight, budget, float64(k), nodePace)
		if bound > float64(k)+tolerance && b.r.refute(m, k, b.log) {
			return nil, false
		}
		// What the reduced costs want most, of those the column that adds most.
		branch, cheapest := 0, math.Inf(1)
		for n := range cols {
			cost := b.r.reducedCost(n)
			if cost < cheapest-tolerance || cost < cheapest+tolerance && gains[n] > gains[branch] {
				branch, cheapest = n, min(cost, cheapest)
			}
		}
		j := cols[branch]
		if b.r.fix(m, v, cols, bound, k, b.log) {
			continue
		}
		with := v.clone()
		m.take(with, j)
		b.log.take(m, j)
		if rest, ok := b.searchShare(m, with, slices.Clone(multiplier), weight, budget, k-1); ok {
			return append(rest, j), true
		}
		b.log.end(1)
		v.cols.clear(j)
	}
}
