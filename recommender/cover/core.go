package cover

import (
	"cmp"
	"math"
	"slices"
)

// coreResult is a cover of some cells and what is known about the fewest boxes.
type coreResult struct {
	boxes   []Box
	witness []int32 // ones (positions): a fooling set
	proved  []int32 // those of them that count for the bound; the parts count for other cells
	parts   []onePart
	primes  int64
	nodes   int64
}

// onePart is a Part whose cells are positions in the list of ones.
type onePart struct {
	Part
	ones []int32
}

// component is a share of the core that no legal box connects with the rest, with a tensor of its own.
type component struct {
	t        *tensor
	cells    []int32 // ids of the cells to cover
	w        *meter
	memory   int64
	progress *reporter
	coreResult
}

const (
	maxRows       = 4096 // cells of a component above which its primes are not enumerated
	dualScale     = 1_000_000
	maxBoxEntries = 1 << 20 // cells of boxes that a proof may list
	growth        = 10      // Least work of a search over the work of the one before.
)

// solveCore covers the cells of a tensor with the given ids, component by component, the smallest first. Each may use an even share
// of the work that is left.
func solveCore(t *tensor, core []int32, memory int64, w *meter, progress *reporter) (all coreResult, err error) {
	groups := connected(t, core)
	progress.waiting = len(groups)
	for n, entries := range groups {
		dims, entries, places := dropUnused(t.dims, entries)
		sub, err := newTensor(dims, entries)
		if err != nil {
			return all, err
		}
		progress.waiting--
		c := &component{t: sub, w: w, memory: memory, progress: progress}
		for id, one := range sub.one {
			if one >= 0 {
				c.cells = append(c.cells, int32(id))
			}
		}
		w.part((w.limit-w.used)/int64(len(groups)-n), func() {
			if len(c.cells) > maxRows || !w.ok() || !c.enumerate() {
				c.approximate()
			}
		})
		for _, b := range c.boxes {
			for m := range 3 {
				b.Sets[m] = places.expand(m, b.Sets[m])
			}
			all.boxes = append(all.boxes, b)
		}
		all.witness = append(all.witness, c.witness...)
		all.proved = append(all.proved, c.proved...)
		all.parts = append(all.parts, c.parts...)
		all.primes += c.primes
		all.nodes += c.nodes
	}
	return all, nil
}

// connected groups the allowed cells such that no legal box has cells of the core in two groups, and leaves out groups without a
// cell of the core. (The cells of a legal box are connected through fibers of allowed cells. The converse need
// not hold; the matrix of a group may fall apart later.) The smallest group comes first.
func connected(t *tensor, core []int32) [][]entry {
	parent := make([]int32, len(t.cells))
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
		for f := range len(t.start[m]) - 1 {
			ids := t.order[m][t.start[m][f]:t.start[m][f+1]]
			for _, id := range ids[1:] {
				a, b := find(ids[0]), find(id)
				parent[max(a, b)] = min(a, b)
			}
		}
	}
	required := make([]bool, len(t.cells))
	group := make([]int32, len(t.cells)) // number of each root's group + 1
	count := int32(0)
	for _, id := range core {
		required[id] = true
		if root := find(id); group[root] == 0 {
			count++
			group[root] = count
		}
	}
	groups := make([][]entry, count)
	for id := range t.cells {
		g := group[find(int32(id))] - 1
		if g < 0 {
			continue
		}
		e := entry{t.cells[id], -1}
		if required[id] {
			e.one = t.one[id]
		}
		groups[g] = append(groups[g], e)
	}
	slices.SortStableFunc(groups, func(a, b []entry) int { return cmp.Compare(len(a), len(b)) })
	return groups
}

// enumerate lists all primes around the cells and covers them exactly or nearly so. It returns false, and
// has done nothing, if they are too many for the budget.
func (c *component) enumerate() bool {
	words := int64(len(c.cells)+63) / 64
	most := c.memory / 4 / (8*words + 24)
	var columns []bitset
	complete := false
	c.w.part((c.w.limit-c.w.used)/4, func() {
		e := newPrimeEnumerator(c.t, c.memory/4, c.w)
		if e == nil {
			return
		}
		complete = e.run(c.cells, func(sets [3]bitset) bool {
			rows := make(bitset, words)
			for i, id := range c.cells {
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
	c.primes = int64(len(columns))
	columns = maximalColumns(columns, len(c.cells), c.w)
	m := newMatrix(len(c.cells), columns)
	v := m.all()
	chosen, essential, _ := m.cyclicCore(v, nil, nil, nil, c.w)
	c.witness = append(c.witness, c.ones(essential)...)
	c.proved = append(c.proved, c.ones(essential)...)
	c.progress.add(len(chosen), len(essential))
	parts := m.components(v)
	slices.SortStableFunc(parts, func(a, b view) int { return cmp.Compare(a.rows.count(), b.rows.count()) })
	for n, part := range parts {
		c.w.part((c.w.limit-c.w.used)/int64(len(parts)-n), func() {
			chosen = append(chosen, c.solveCyclic(m, part)...)
		})
	}
	for _, j := range chosen {
		c.boxes = append(c.boxes, c.around(columns[j].appendTo(nil)))
	}
	return true
}

// ones returns the positions in the list of ones of some rows.
func (c *component) ones(rows []int32) []int32 {
	list := make([]int32, len(rows))
	for n, i := range rows {
		list[n] = c.t.one[c.cells[i]]
	}
	return list
}

// around returns the smallest box around the cells of some rows.
func (c *component) around(rows []int32) (b Box) {
	for m := range 3 {
		for _, i := range rows {
			b.Sets[m] = append(b.Sets[m], c.t.cells[c.cells[i]][m])
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
	holders := make([][]bitset, rows) // the columns kept so far, of each row
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
func (c *component) solveCyclic(m *matrix, part view) []int32 {
	m, v, d := m.cut(part, duals{row: make([]float64, len(m.row))})
	colRows := make([][]int32, len(m.col))
	for j, rows := range m.col {
		colRows[j] = rows.appendTo(nil)
	}
	best := newLocalSearch(len(m.row), colRows, c.w).run(exchanges(len(m.row)), 2)
	for n, j := range best {
		best[n] = m.colID[j]
	}
	named := func(rows []int32) []int32 { // gives rows by their numbers in the component
		list := make([]int32, len(rows))
		for n, i := range rows {
			list[n] = m.rowID[i]
		}
		return list
	}
	fooling := c.ones(named(independentSet(m.rowGraph(), exchanges(len(m.row)), len(best), c.w)))
	c.witness = append(c.witness, fooling...)
	c.progress.update(len(best), len(fooling))
	p := onePart{Part: Part{Method: FoolingSet, Bound: len(fooling), Scale: dualScale}}
	if p.Bound < len(best) && c.w.ok() {
		best = c.bound(m, v, d, colRows, best, &p.Part)
		for i, weight := range p.Weights {
			if weight > 0 || p.Method == Exhaustive {
				p.ones = append(p.ones, c.ones(named([]int32{int32(i)}))...)
			}
		}
		if p.Method != Exhaustive {
			p.Weights = slices.DeleteFunc(p.Weights, func(weight int64) bool { return weight == 0 })
		}
	}
	c.progress.add(len(best), p.Bound)
	if p.Method == FoolingSet {
		c.proved = append(c.proved, fooling...)
	} else {
		c.parts = append(c.parts, p)
	}
	return best
}

// bound raises the bound of a part by weights and by searching for fewer columns than best has, and returns the fewest found. The part's weights
// are by row of m, zeros among them. A bound that is more than the weights show is claimed with its proof only.
func (c *component) bound(m *matrix, v view, d duals, colRows [][]int32, best []int32, p *Part) []int32 {
	b := newBrancher(m, c.w)
	for i := range d.row {
		d.row[i] = 1 / float64(m.row[i].count())
	}
	_, relaxed := b.bound(m, v, &d, len(best), rootPace, 0)
	var sum int64
	p.Weights, sum = dualWeights(colRows, m, d.row)
	if dual := int((sum + dualScale - 1) / dualScale); dual > p.Bound {
		p.Bound, p.Method = dual, Dual
	}
	prove := func(lower int, log *record) {
		if tree := log.tree(); lower > p.Bound && tree != nil && entriesOf(colRows) <= maxBoxEntries {
			p.Bound, p.Method, p.Tree, p.Boxes = lower, Exhaustive, tree, colRows
		}
		c.progress.update(len(best), p.Bound)
	}
	relax := func(relaxed float64) {
		for lower := int(math.Ceil(relaxed - tolerance)); lower > p.Bound; lower-- {
			if log := newRecord(m); b.r.refute(m, lower-1, log) {
				prove(lower, log)
				return
			}
		}
	}
	relax(relaxed)
	if p.Bound < len(best) {
		_, relaxed = b.bound(m, v, &d, len(best), rootPace, rootRounds)
		relax(relaxed)
	}
	for last, k := int64(0), p.Bound; k < len(best) && growth*last <= c.w.limit-c.w.used && c.w.ok(); {
		began := c.w.used
		b.log = newRecord(m)
		solution, found := b.search(m, v.clone(), v.rows, d, k)
		last = c.w.used - began
		switch {
		case found:
			best = solution
		case c.w.ok():
			k++
			prove(k, b.log)
		}
	}
	c.nodes += b.nodes
	return best
}

func entriesOf(lists [][]int32) (n int) {
	for _, list := range lists {
		n += len(list)
	}
	return n
}

// exchanges is how long the local searches on a matrix with so many rows may go on.
func exchanges(rows int) int { return 5000 + 100*rows }

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
