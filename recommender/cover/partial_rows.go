package cover

import (
	"slices"
)

// partial is a partial cover in the making. Its rows are what is covered or left out as a whole: ones that every maximal box
// holds together or not at all. Of the reductions for full covers only those hold that join ones like this: identical slices, and
// rows with the same columns. What is essential or dominated there may be left out here.
type partial struct {
	t       *tensor // identical slices are merged
	groups  groups
	rows    [][]int32 // ids of cells of t
	weight  []int64   // weight of each row
	total   int64
	budget  int64    // weight that may be left out
	columns []bitset // maximal boxes, by rows
	places  []int32  // cell of t at the position of each one
	memory  int64
	w       *meter
	nodes   int64
}

func newPartial(dims [3]int, ones []Cell, entries []entry, weight map[Cell]int64, budget, memory int64, w *meter) (*partial, error) {
	s := &partial{budget: budget, memory: memory, w: w, places: make([]int32, len(ones))}
	dims2, kept, g := dropUnused(dims, entries)
	dims2, kept, g = mergeSlices(dims2, kept, g)
	var err error
	if s.t, err = newTensor(dims2, kept); err != nil {
		return nil, err
	}
	s.groups = g
	var to [3][]int32 // index of the problem -> index of t
	for m := range 3 {
		to[m] = make([]int32, dims[m])
		for x, from := range g[m] {
			for _, i := range from {
				to[m][i] = int32(x)
			}
		}
	}
	byCell := make([]int64, len(s.t.cells))
	for i, c := range ones {
		id := s.t.id(Cell{to[0][c[0]], to[1][c[1]], to[2][c[2]]})
		s.places[i] = id
		byCell[id] += weight[c]
		s.total += weight[c]
	}
	for id, w := range byCell {
		if w > 0 {
			s.rows = append(s.rows, []int32{int32(id)})
			s.weight = append(s.weight, w)
		}
	}
	return s, nil
}

// enumerate lists all maximal boxes as columns, and joins rows with the same columns. It returns false if they are too many
// for the budget.
func (s *partial) enumerate() (complete bool) {
	row := make([]int32, len(s.t.cells))
	ids := make([]int32, len(s.rows))
	for i, list := range s.rows {
		row[list[0]], ids[i] = int32(i), list[0]
	}
	byOne := make(map[int32]int32, len(ids)) // row of whatever stands for a cell in the tensor of its component
	for i, id := range ids {
		byOne[s.t.one[id]] = int32(i)
	}
	words := int64(len(s.rows)+63) / 64
	most := s.memory / 8 / (8*words + 24)
	complete = true
	s.w.part((s.w.limit-s.w.used)/4, func() {
		for _, entries := range connected(s.t, ids) {
			dims, entries, _ := dropUnused(s.t.dims, entries)
			sub, err := newTensor(dims, entries)
			if err != nil {
				complete = false
				return
			}
			var cells []int32
			for id, one := range sub.one {
				if one >= 0 {
					cells = append(cells, int32(id))
				}
			}
			e := newPrimeEnumerator(sub, s.memory/4, s.w)
			if e == nil || !e.run(cells, func(sets [3]bitset) bool {
				column := make(bitset, words)
				for _, id := range cells {
					if e.holds(&sets, id) {
						column.set(byOne[sub.one[id]])
					}
				}
				s.w.spend(int64(len(cells)))
				s.columns = append(s.columns, column)
				return int64(len(s.columns)) <= most
			}) {
				complete = false
				return
			}
		}
	})
	if !complete {
		s.columns = nil
		return false
	}
	s.columns = maximalColumns(s.columns, len(s.rows), s.w)
	s.joinRows()
	return true
}

// joinRows makes one row of those with the same columns.
func (s *partial) joinRows() {
	m := newMatrix(len(s.rows), s.columns)
	order := make([]int32, len(s.rows))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		if c := slices.Compare(m.row[a], m.row[b]); c != 0 {
			return c
		}
		return int(a - b)
	})
	first := make([]int32, len(s.rows)) // the first row with the same columns, for each row
	for n, i := range order {
		first[i] = i
		if n > 0 && slices.Equal(m.row[i], m.row[order[n-1]]) {
			first[i] = first[order[n-1]]
		}
	}
	number := make([]int32, len(s.rows))
	var rows [][]int32
	var weight []int64
	for i, f := range first {
		if int(f) == i {
			number[i] = int32(len(rows))
			rows, weight = append(rows, s.rows[i]), append(weight, s.weight[i])
			continue
		}
		n := number[f]
		rows[n] = append(rows[n], s.rows[i]...)
		weight[n] += s.weight[i]
	}
	for j, c := range s.columns {
		short := newBitset(len(rows))
		for _, i := range c.appendTo(nil) {
			short.set(number[first[i]])
		}
		s.columns[j] = short
	}
	s.rows, s.weight = rows, weight
}

// boxes gives chosen columns as legal boxes of the problem.
func (s *partial) boxes(chosen []int32) []Box {
	out := make([]Box, len(chosen))
	for n, j := range chosen {
		var b Box
		for _, i := range s.columns[j].appendTo(nil) {
			for _, id := range s.rows[i] {
				for m := range 3 {
					b.Sets[m] = append(b.Sets[m], s.t.cells[id][m])
				}
			}
		}
		out[n] = s.lift(b)
	}
	return out
}

// lift gives a box of t, with its indices in any order and perhaps twice, in indices of the problem.
func (s *partial) lift(b Box) (out Box) {
	for m := range 3 {
		slices.Sort(b.Sets[m])
		out.Sets[m] = s.groups.expand(m, slices.Compact(b.Sets[m]))
	}
	return out
}

// numbers gives each row its number in the certificate: rows are numbered by the first of their ones.
func (s *partial) numbers() []int32 {
	number := make([]int32, len(s.rows))
	for i := range number {
		number[i] = -1
	}
	next := int32(0)
	of := s.rowOf()
	for _, id := range s.places {
		if i := of[id]; i >= 0 && number[i] < 0 {
			number[i] = next
			next++
		}
	}
	return number
}

// rowOf gives the row of each cell of t, or -1.
func (s *partial) rowOf() []int32 {
	row := make([]int32, len(s.t.cells))
	for i := range row {
		row[i] = -1
	}
	for i, list := range s.rows {
		for _, id := range list {
			row[id] = int32(i)
		}
	}
	return row
}

// part gives the multipliers of rows to the ones that they stand for, by weight, so that none of them is cheaper to leave out. Where there is a tree,
// the part has all ones that weigh something, and the boxes.
func (s *partial) part(ones []Cell, weight map[Cell]int64, y []int64, tree []string) Part {
	out := Part{Method: Dual, Scale: dualScale, Tree: tree}
	row := s.rowOf()
	left := slices.Clone(y)
	rest := slices.Clone(s.weight)
	members := make([][]int32, len(s.rows)) // positions of each row in out.Cells
	for k, c := range ones {
		i := row[s.places[k]]
		if i < 0 {
			continue
		}
		share := int64(float64(left[i]) * (float64(weight[c]) / float64(rest[i])))
		if weight[c] == rest[i] {
			share = left[i] // the last one takes what rounding left
		}
		left[i] -= share
		rest[i] -= weight[c]
		if share > 0 || tree != nil {
			members[i] = append(members[i], int32(len(out.Cells)))
			out.Cells, out.Weights = append(out.Cells, c), append(out.Weights, share)
		}
	}
	if tree != nil {
		for _, c := range s.columns {
			var box []int32
			for _, i := range c.appendTo(nil) {
				box = append(box, members[i]...)
			}
			slices.Sort(box)
			out.Boxes = append(out.Boxes, box)
		}
	}
	out.Bound = out.rounded(0)
	return out
}
