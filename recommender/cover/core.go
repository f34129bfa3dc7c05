package cover

import (
	"cmp"
	"math"
	"slices"
)

// coreSolver covers what reduction left, component by component.
type coreSolver struct {
	t      *tensor
	w      *meter
	memory int64

	boxes   []Box   // in the indices of t
	witness []int32 // ones (positions): a fooling set
	proved  []int32 // those of them in components whose fooling set is as large as their cover
	parts   []onePart
	primes  int64
	nodes   int64
}

// onePart is a Part whose cells are positions in the list of ones.
type onePart struct {
	Part
	ones []int32
}

// Limits beyond which a component is not enumerated but covered greedily.
const (
	maxRows    = 4096
	dualScale  = 1_000_000
	rootPasses = 2000
)

// solve covers the cells with the given ids.
func (s *coreSolver) solve(core []int32) {
	var sparse []int32
	components := s.components(core)
	slices.SortStableFunc(components, func(a, b []int32) int { return cmp.Compare(len(a), len(b)) })
	for _, cells := range components {
		if len(cells) > maxRows || !s.w.ok() || !s.enumerate(cells) {
			sparse = append(sparse, cells...)
		}
	}
	if len(sparse) > 0 {
		slices.Sort(sparse)
		s.cover(sparse)
	}
}

// components groups cells such that no legal box holds cells of two groups. (Cells of a legal box are connected through
// fibers of allowed cells. The converse need not hold; the matrix of a group falls apart later.)
func (s *coreSolver) components(core []int32) [][]int32 {
	parent := make([]int32, len(s.t.cells))
	for i := range parent {
		parent[i] = int32(i)
	}
	find := func(x int32) int32 {
		for parent[x] != x {
			parent[x] = parent[parent[x]]
			x = parent[x]
		}
		return x
	}
	for m := range 3 {
		for f := range len(s.t.start[m]) - 1 {
			ids := s.t.order[m][s.t.start[m][f]:s.t.start[m][f+1]]
			for _, id := range ids[1:] {
				a, b := find(ids[0]), find(id)
				parent[max(a, b)] = min(a, b)
			}
		}
	}
	number := make(map[int32]int)
	var groups [][]int32
	for _, id := range core {
		root := find(id)
		n, ok := number[root]
		if !ok {
			n = len(groups)
			number[root] = n
			groups = append(groups, nil)
		}
		groups[n] = append(groups[n], id)
	}
	return groups
}

// enumerate lists all primes around the cells of one component and covers them exactly or nearly so. It returns false, and
// has done nothing, if they are too many for the budget.
func (s *coreSolver) enumerate(cells []int32) bool {
	words := int64(len(cells)+63) / 64
	most := s.memory / 4 / (8*words + 24)
	var columns []bitset
	complete := false
	s.w.part((s.w.limit-s.w.used)/4, func() {
		e := newPrimeEnumerator(s.t, cells, s.memory/4, s.w)
		if e == nil {
			return
		}
		complete = e.run(cells, func(sets [3]bitset) bool {
			rows := make(bitset, words)
			for i, id := range cells {
				if e.holds(&sets, id) {
					rows.set(int32(i))
				}
			}
			columns = append(columns, rows)
			return int64(len(columns)) <= most
		})
	})
	if !complete {
		return false
	}
	s.primes += int64(len(columns))
	columns = maximalColumns(columns, len(cells), s.w)
	m := newMatrix(len(cells), columns)
	v := m.all()
	chosen, essential, _ := m.cyclicCore(v, s.w)
	for _, i := range essential {
		s.witness = append(s.witness, s.t.one[cells[i]])
		s.proved = append(s.proved, s.t.one[cells[i]])
	}
	for _, part := range m.components(v) {
		chosen = append(chosen, s.solveCyclic(m, part, cells)...)
	}
	for _, j := range chosen {
		s.boxes = append(s.boxes, s.around(columns[j].appendTo(nil), cells))
	}
	return true
}

// around returns the smallest box around the cells of some rows.
func (s *coreSolver) around(rows, cells []int32) (b Box) {
	for m := range 3 {
		for _, i := range rows {
			b.Sets[m] = append(b.Sets[m], s.t.cells[cells[i]][m])
		}
		slices.Sort(b.Sets[m])
		b.Sets[m] = slices.Compact(b.Sets[m])
	}
	return b
}

// maximalColumns drops duplicate columns and those within another. The rest is ordered by size, then by rows.
func maximalColumns(columns []bitset, rows int, w *meter) []bitset {
	size := make(map[*uint64]int, len(columns))
	for _, c := range columns {
		size[&c[0]] = c.count()
	}
	slices.SortFunc(columns, func(a, b bitset) int {
		if c := cmp.Compare(size[&b[0]], size[&a[0]]); c != 0 {
			return c
		}
		return slices.Compare(a, b)
	})
	holders := make([][]bitset, rows) // by row: the columns kept so far
	var list []int32
	kept := columns[:0]
next:
	for _, c := range columns {
		list = c.appendTo(list[:0])
		if len(list) == 0 {
			continue
		}
		rare := list[0]
		for _, i := range list {
			if len(holders[i]) < len(holders[rare]) {
				rare = i
			}
		}
		w.spend(int64(len(holders[rare])))
		for _, k := range holders[rare] {
			if c.within(k, c) {
				continue next
			}
		}
		kept = append(kept, c)
		for _, i := range list {
			holders[i] = append(holders[i], c)
		}
	}
	return kept
}

// solveCyclic solves one component of a cyclic core and records its bound. It returns columns of m.
func (s *coreSolver) solveCyclic(m *matrix, part view, cells []int32) []int32 {
	m, v, multiplier := m.cut(part, make([]float64, len(m.row)))
	colRows := make([][]int32, len(m.col))
	for j, c := range m.col {
		colRows[j] = c.appendTo(nil)
	}
	best := newLocalSearch(len(m.row), colRows, s.w).run(20*len(m.row)+2000, 2)
	for n, j := range best {
		best[n] = m.colID[j]
	}

	fooling := independentSet(m.rowGraph(), 20*len(m.row)+2000, len(best), s.w)
	ones := func(rows []int32) []int32 {
		list := make([]int32, 0, len(rows))
		for _, i := range rows {
			list = append(list, s.t.one[cells[m.rowID[i]]])
		}
		return list
	}
	s.witness = append(s.witness, ones(fooling)...)
	if len(fooling) == len(best) {
		s.proved = append(s.proved, ones(fooling)...)
		return best
	}

	b := &brancher{w: s.w}
	for i := range multiplier {
		multiplier[i] = 1 / float64(m.row[i].count())
	}
	b.r.load(m, v, multiplier)
	relaxed := b.r.maximize(float64(len(best)), rootPasses, s.w)
	copy(multiplier, b.r.y)
	weights, sum := dualWeights(colRows, m, multiplier)
	dual := int((sum + dualScale - 1) / dualScale)

	bound, method := len(fooling), FoolingSet
	if dual > bound {
		bound, method = dual, Dual
	}
	if lower := int(math.Ceil(relaxed - tolerance)); lower > bound {
		bound, method = lower, Exhaustive
	}
	for k := bound; k < len(best) && s.w.ok(); k++ {
		solution, found := b.search(m, v.clone(), multiplier, k)
		if found {
			best = solution
		} else if s.w.ok() {
			bound, method = k+1, Exhaustive
		}
	}
	s.nodes += b.nodes
	if method == FoolingSet {
		s.proved = append(s.proved, ones(fooling)...)
		return best
	}
	p := onePart{Part: Part{Method: method, Bound: bound, Scale: dualScale}}
	for i, weight := range weights {
		if weight > 0 || method == Exhaustive {
			p.Weights = append(p.Weights, weight)
			p.ones = append(p.ones, s.t.one[cells[m.rowID[i]]])
		}
	}
	s.parts = append(s.parts, p)
	return best
}

// rowGraph joins rows that share a column.
func (m *matrix) rowGraph() [][]int32 {
	adjacent := make([][]int32, len(m.row))
	for i := range m.row {
		near := make(bitset, len(m.col[0]))
		for _, j := range m.row[i].appendTo(nil) {
			for k, x := range m.col[j] {
				near[k] |= x
			}
		}
		near.clear(int32(i))
		adjacent[i] = near.appendTo(nil)
	}
	return adjacent
}

// dualWeights turns multipliers into integer weights of which no column holds more than dualScale, and returns their sum.
func dualWeights(colRows [][]int32, m *matrix, multiplier []float64) (weights []int64, sum int64) {
	heaviest := make([]float64, len(m.row))
	for i := range heaviest {
		heaviest[i] = 1
	}
	for _, rows := range colRows {
		load := 0.0
		for _, i := range rows {
			load += multiplier[i]
		}
		for _, i := range rows {
			heaviest[i] = max(heaviest[i], load)
		}
	}
	weights = make([]int64, len(m.row))
	for i := range weights {
		weights[i] = int64(multiplier[i] / heaviest[i] * (dualScale - 1))
	}
	load := make([]int64, len(colRows))
	for j, rows := range colRows {
		for _, i := range rows {
			load[j] += weights[i]
		}
	}
	for i := range weights { // raise what can be raised
		slack := int64(dualScale)
		columns := m.row[i].appendTo(nil)
		for _, j := range columns {
			slack = min(slack, dualScale-load[j])
		}
		weights[i] += slack
		for _, j := range columns {
			load[j] += slack
		}
		sum += weights[i]
	}
	return weights, sum
}

// cover covers cells of any number: greedily, with a greedy fooling set as bound.
func (s *coreSolver) cover(cells []int32) {
	order := slices.Clone(cells)
	slices.SortFunc(order, func(a, b int32) int {
		if c := cmp.Compare(s.t.regionVolume(a), s.t.regionVolume(b)); c != 0 {
			return c
		}
		return int(a - b)
	})
	s.boxes = append(s.boxes, greedyCover(s.t, order, s.w)...)
	f := newFooler(s.t, s.w)
	for _, id := range order {
		f.add(id)
	}
	for _, id := range f.members {
		s.witness = append(s.witness, s.t.one[id])
		s.proved = append(s.proved, s.t.one[id])
	}
}
