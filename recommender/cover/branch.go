package cover

import (
	"cmp"
	"math"
	"slices"
)

// brancher decides by branch and bound whether a covering has a solution with at most k columns.
//
// At each node the view is reduced to its cyclic core, split into components, and bounded by the Lagrangian relaxation with
// cuts, whose reduced costs also remove columns that no solution small enough can use. A node that survives branches on a row: the row is
// covered by its first column, or not by that but by its second, and so on. (The scheme is Coudert's, "On solving
// covering problems", DAC 1996.)
//
// The row is the one whose branches promise the fewest nodes, judged by how much choosing each of its columns raised the bound before
// (pseudo-costs; Benichou and others 1971). Rows with the fewest columns are often those whose columns are all alike: to branch on them
// first only doubles the tree.
type brancher struct {
	w     *meter
	r     relaxation
	log   *record // records the search; nil where nobody wants it
	nodes int64
	gain  []float64 // mean rise of the bound where a column of the original matrix was chosen
	seen  []float64 // Number of rises that gain is the mean of.
	rise  float64   // bound of the node searched last, before it branched
}

const (
	rootRounds  = 20 // rounds of cuts at the root
	nodeRounds  = 1
	probeDegree = 10 // columns of unknown gain are tried out in rows with at most so many
	meanOver    = 20 // a mean forgets older values after so many
	decay       = 5  // a bound higher by 1 means fewer nodes by about e^5
)

func newBrancher(m *matrix, w *meter) *brancher {
	n := slices.Max(m.colID) + 1
	return &brancher{w: w, gain: make([]float64, n), seen: make([]float64, n)}
}

// search returns a solution with at most k columns (numbers of the original matrix), or false. False is a proof only if the budget lasted.
// It changes v. since is as for cyclicCore.
func (b *brancher) search(m *matrix, v view, since bitset, d duals, k int) (solution []int32, found bool) {
	b.nodes++
	limit, rise := k, float64(k+1)
	defer func() {
		b.rise = rise
		b.log.end(limit - k)
	}()
	for first := true; ; first = false {
		d = d.clone()
		chosen, _, ok := m.cyclicCore(v, since, &d, b.log, b.w)
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
			rest, found := b.split(m, parts, d, k)
			return append(solution, rest...), found
		}
		if 2*v.rows.count()*v.cols.count() < len(m.row)*len(m.col) {
			m, v, d = m.cut(v, d)
		}
		since = slices.Clone(v.rows)
		cols, bound := b.bound(m, v, &d, k, nodePace, nodeRounds)
		if first {
			rise = bound + float64(limit-k)
		}
		if bound > float64(k)+tolerance && b.r.refute(m, k, b.log) {
			return nil, false
		}
		if b.r.fix(m, v, cols, bound, k, b.log) {
			continue
		}
		cost := make([]float64, len(m.col))
		for n, j := range cols {
			cost[j] = b.r.reducedCost(n)
		}
		choices := m.row[b.branchRow(m, v, cost, d, bound, k)].appendAnd(v.cols, nil)
		slices.SortFunc(choices, func(x, y int32) int {
			if c := cmp.Compare(cost[x], cost[y]); c != 0 {
				return c
			}
			return int(x - y)
		})
		for _, j := range choices {
			with := v.clone()
			m.take(with, j)
			b.log.take(m, j)
			if rest, found := b.search(m, with, since, d, k-1); found {
				return append(append(solution, m.colID[j]), rest...), true
			}
			b.log.end(1)
			b.learn(m.colID[j], b.rise+1-bound)
			v.cols.clear(j)
		}
		return nil, false
	}
}

// bound maximizes the relaxation of a view, adds cuts and maximizes again, for some rounds or as long as it finds many cuts. It
// returns the columns and the bound that belongs to the multipliers of the relaxation, and leaves those in d too.
func (b *brancher) bound(m *matrix, v view, d *duals, k int, p pace, rounds int) (cols []int32, bound float64) {
	for {
		var rows []int32
		rows, cols = b.r.load(m, v, *d)
		bound = b.r.maximize(float64(k), p, b.w)
		b.keep(v, d, rows)
		if rounds--; rounds < 0 || bound > float64(k)+tolerance || !b.w.ok() {
			return cols, bound
		}
		found := b.r.separate(rows, d.cuts, b.w)
		if len(found) < fewCuts {
			return cols, bound
		}
		d.cuts = append(d.cuts, found...)
	}
}

// keep takes over the multipliers of the relaxation, without cuts that do nothing.
func (b *brancher) keep(v view, d *duals, rows []int32) {
	d.row = slices.Clone(d.row)
	for n, i := range rows {
		d.row[i] = b.r.y[n]
	}
	var cuts []cut
	n := len(rows)
	for _, c := range d.cuts {
		if c.within(v) {
			if c.y = b.r.y[n]; c.y > leastCut {
				cuts = append(cuts, c)
			}
			n++
		}
	}
	d.cuts = cuts
}

func (b *brancher) learn(column int32, rise float64) {
	b.seen[column] = min(b.seen[column]+1, meanOver)
	b.gain[column] += (rise - b.gain[column]) / b.seen[column]
}

// branchRow returns the row with the fewest expected nodes below its branches.
func (b *brancher) branchRow(m *matrix, v view, cost []float64, d duals, bound float64, k int) (best int32) {
	least, fewest := math.Inf(1), math.MaxInt
	var cols []int32
	for _, i := range v.rows.appendTo(nil) {
		cols = m.row[i].appendAnd(v.cols, cols[:0])
		if len(cols) > probeDegree {
			if math.IsInf(least, 1) && len(cols) < fewest { // no row has few columns so far
				best, fewest = i, len(cols)
			}
			continue
		}
		nodes := 0.0
		for _, j := range cols {
			id := m.colID[j]
			if b.seen[id] == 0 {
				b.learn(id, b.probe(m, v, j, d, k)-bound)
			}
			nodes += fewer(max(b.gain[id], cost[j]))
		}
		if nodes < least {
			best, least = i, nodes
		}
	}
	return best
}

// fewer is about e^(-decay·rise), by arithmetic that is the same on every machine.
func fewer(rise float64) float64 {
	x := 1 + float64(decay*rise)/8
	x *= x
	x *= x
	return 1 / (x * x)
}

// probe returns a quick bound for v with column j chosen, of at most k+1 where that is too high.
func (b *brancher) probe(m *matrix, v view, j int32, d duals, k int) float64 {
	with := v.clone()
	m.take(with, j)
	d = d.clone()
	chosen, _, ok := m.cyclicCore(with, v.rows, &d, nil, b.w)
	used := len(chosen) + 1
	switch {
	case !ok || used > k:
		return float64(k + 1)
	case with.rows.empty():
		return float64(used)
	}
	b.r.load(m, with, d)
	return float64(used) + b.r.maximize(float64(k-used), probePace, b.w)
}

// split solves independent parts one after the other, the smallest first, each with as few columns as it needs.
func (b *brancher) split(m *matrix, parts []view, d duals, k int) (solution []int32, found bool) {
	slices.SortStableFunc(parts, func(x, y view) int { return cmp.Compare(x.rows.count(), y.rows.count()) })
	need := make([]int, len(parts))
	proof := make([][]string, len(parts)) // proofs that a part needs so many
	sum := 0
	for n, part := range parts {
		b.r.load(m, part, d)
		need[n] = int(math.Ceil(b.r.maximize(float64(k), nodePace, b.w) - tolerance))
		mark := b.log.mark()
		for need[n] > 1 && !b.r.refute(m, need[n]-1, b.log) {
			need[n]--
		}
		proof[n] = b.log.cut(mark)
		sum += need[n]
	}
	for n, part := range parts {
		for {
			if !b.w.ok() {
				return nil, false
			}
			if sum > k {
				for n, part := range parts {
					b.log.part(m, need[n], part.rows.appendTo(nil))
					b.log.writeAll(proof[n])
					b.log.end(1)
				}
				return nil, false
			}
			mark := b.log.mark()
			rest, found := b.search(m, part.clone(), part.rows, d, need[n])
			lines := b.log.cut(mark)
			if found {
				solution = append(solution, rest...)
				break
			}
			proof[n] = lines
			need[n]++
			sum++
		}
	}
	return solution, true
}
