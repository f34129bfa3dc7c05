package cover

import (
	"cmp"
	"math/bits"
	"slices"
)

// matrix is a set-covering matrix: the rows are cells to cover, the columns are legal boxes. Parts of it are
// switched off by masks (see view); cut makes a smaller matrix of what is still on.
type matrix struct {
	col   []bitset // rows of each column
	row   []bitset // columns of each row
	rowID []int32  // the row's number in the matrix that all cuts stem from
	colID []int32
}

// view is the part of a matrix that is still to be solved.
type view struct{ rows, cols bitset }

func (v view) clone() view { return view{slices.Clone(v.rows), slices.Clone(v.cols)} }

// newMatrix builds a matrix from its columns.
func newMatrix(rows int, columns []bitset) *matrix {
	m := &matrix{col: columns, row: make([]bitset, rows), rowID: make([]int32, rows), colID: make([]int32, len(columns))}
	for i := range m.row {
		m.row[i], m.rowID[i] = newBitset(len(columns)), int32(i)
	}
	var list []int32
	for j, c := range columns {
		m.colID[j] = int32(j)
		list = c.appendTo(list[:0])
		for _, i := range list {
			m.row[i].set(int32(j))
		}
	}
	return m
}

func (m *matrix) all() view { return view{fullBitset(len(m.row)), fullBitset(len(m.col))} }

// cut returns a matrix of the rows and columns of v alone, in the same order, and the multipliers of what is left.
func (m *matrix) cut(v view, d duals) (*matrix, view, duals) {
	rows, cols := v.rows.appendTo(nil), v.cols.appendTo(nil)
	number := make([]int32, len(m.row))
	c := &matrix{rowID: make([]int32, len(rows)), colID: make([]int32, len(cols))}
	kept := duals{row: make([]float64, len(rows))}
	for k, i := range rows {
		number[i], c.rowID[k], kept.row[k] = int32(k), m.rowID[i], d.row[i]
	}
	for _, old := range d.cuts {
		if old.within(v) {
			kept.cuts = append(kept.cuts, cut{[3]int32{number[old.rows[0]], number[old.rows[1]], number[old.rows[2]]}, old.y})
		}
	}
	columns := make([]bitset, len(cols))
	words := (len(rows) + 63) / 64
	block := make(bitset, words*len(cols))
	var list []int32
	for k, j := range cols {
		columns[k], block = block[:words:words], block[words:]
		list = m.col[j].appendAnd(v.rows, list[:0])
		for _, i := range list {
			columns[k].set(number[i])
		}
	}
	ids, from := c.rowID, m.colID
	c = newMatrix(len(rows), columns)
	c.rowID = ids
	for k, j := range cols {
		c.colID[k] = from[j]
	}
	return c, c.all(), kept
}

// take switches off a column that is chosen and the rows it covers.
func (m *matrix) take(v view, j int32) {
	v.rows.remove(m.col[j])
	v.cols.clear(j)
}

// cyclicCore reduces v until nothing changes and returns the columns it had to choose (numbers of m) and, for each, a row that
// only this column covers. The three steps keep the optimum: a row with one column makes it essential; a column
// whose rows are all in another is dominated; a row whose columns include all of another row's is covered with it.
// ok is false if a row has no column left.
//
// Where d is given, the multipliers of dominated rows go to the rows that dominate them. What is reduced goes to the record, with the case of each
// column that had to be chosen left open.
//
// since are the rows of a view that v is a part of and in which no column was dominated, or nil. A column is dominated anew only after
// it lost a row, so only such columns are looked at.
func (m *matrix) cyclicCore(v view, since bitset, d *duals, r *record, w *meter) (chosen, witness []int32, ok bool) {
	degree := make([]int, len(m.row))
	size := make([]int, len(m.col))
	var rows, cols, with, shorter, skipped []int32
	lost := make(bitset, len(v.rows))
	for {
		changed := false
		rows = v.rows.appendTo(rows[:0])
		for again := true; again; {
			again = false
			for _, i := range rows {
				if !v.rows.has(i) {
					continue
				}
				degree[i] = m.row[i].countAnd(v.cols)
				switch degree[i] {
				case 0:
					return chosen, witness, false
				case 1:
					j := m.row[i].appendAnd(v.cols, with[:0])[0]
					r.take(m, j)
					m.take(v, j)
					chosen, witness = append(chosen, j), append(witness, i)
					again, changed = true, true
				}
			}
		}
		if v.rows.empty() {
			clear(v.cols)
			return chosen, witness, true
		}
		rows, cols = v.rows.appendTo(rows[:0]), v.cols.appendTo(cols[:0])
		w.spend(int64(len(rows))*int64(len(v.cols)) + int64(len(cols))*int64(len(v.rows)))
		for _, j := range cols {
			size[j] = m.col[j].countAnd(v.rows)
		}
		for k := range lost {
			if lost[k] = ^v.rows[k]; since != nil {
				lost[k] &= since[k]
			}
		}
		for _, j := range cols {
			if since != nil && m.col[j].disjoint(lost) {
				continue
			}
			shorter = append(shorter, j)
		}
		changed = m.dropColumns(v, shorter, degree, size, r, w) || changed
		shorter = shorter[:0]
		since = append(since[:0:0], v.rows...)
		skipped = m.dropRows(v, rows, degree, d, skipped[:0], w)
		changed = changed || len(skipped) > 0
		r.skip(m, skipped)
		if !changed {
			return chosen, witness, true
		}
	}
}

// dropRows switches off rows that are covered with another one, appends them to skipped, and gives the multipliers of each to that other row
// where d is given. It sorts rows by degree, which it counts anew.
func (m *matrix) dropRows(v view, rows []int32, degree []int, d *duals, skipped []int32, w *meter) []int32 {
	for _, i := range rows {
		degree[i] = m.row[i].countAnd(v.cols)
	}
	slices.SortFunc(rows, func(a, b int32) int {
		if c := cmp.Compare(degree[a], degree[b]); c != 0 {
			return c
		}
		return int(a - b)
	})
	for k, i := range rows {
		if !v.rows.has(i) {
			continue
		}
		one := m.col[m.row[i].lastAnd(v.cols)] // one of the columns that a dominated row must have
		for _, other := range rows[k+1:] {
			if one.has(other) && v.rows.has(other) && m.row[i].within(m.row[other], v.cols) {
				v.rows.clear(other)
				skipped = append(skipped, other)
				if d != nil {
					d.absorb(other, i)
				}
			}
		}
		w.spend(int64(len(rows) - k))
	}
	return skipped
}

// dropColumns switches off those of some columns that hold nothing any more, or no more than another, and reports whether there was one.
func (m *matrix) dropColumns(v view, cols []int32, degree, size []int, r *record, w *meter) (some bool) {
	var dropped []int32 // pairs: a dropped column, then one that dominates it
	for _, j := range cols {
		by := int32(-1)
		if size[j] > 0 {
			if by = m.dominatesColumn(v, j, degree, size, w); by < 0 {
				continue
			}
			dropped = append(dropped, j, by)
		}
		v.cols.clear(j)
		some = true
	}
	r.drop(m, dropped)
	return some
}

// dominatesColumn returns another column of v that holds all rows of column j, or -1; of equal columns the first stays.
// Such a column also covers j's row with the fewest columns, so only those are compared.
func (m *matrix) dominatesColumn(v view, j int32, degree, size []int, w *meter) (by int32) {
	rare := int32(-1)
	for k, x := range m.col[j] {
		for x &= v.rows[k]; x != 0; x &= x - 1 {
			if i := int32(k<<6 + bits.TrailingZeros64(x)); rare < 0 || degree[i] < degree[rare] {
				rare = i
			}
		}
	}
	n := int64(0)
	defer func() { w.spend(n) }()
	for k, x := range m.row[rare] {
		for x &= v.cols[k]; x != 0; x &= x - 1 {
			other := int32(k<<6 + bits.TrailingZeros64(x))
			n++
			if (size[other] > size[j] || size[other] == size[j] && other < j) && m.col[j].within(m.col[other], v.rows) {
				return other
			}
		}
	}
	return -1
}

// components splits v into views that share no column, in the order of their first rows.
func (m *matrix) components(v view) []view {
	left := slices.Clone(v.rows)
	var parts []view
	var stack []int32
	for w := range left {
		for left[w] != 0 {
			first := int32(w<<6 + bits.TrailingZeros64(left[w]))
			part := view{make(bitset, len(v.rows)), make(bitset, len(v.cols))}
			left.clear(first)
			stack = append(stack[:0], first)
			for len(stack) > 0 {
				i := stack[len(stack)-1]
				stack = stack[:len(stack)-1]
				part.rows.set(i)
				for k, x := range m.row[i] {
					for x &= v.cols[k] &^ part.cols[k]; x != 0; x &= x - 1 {
						j := int32(k<<6 + bits.TrailingZeros64(x))
						part.cols.set(j)
						stack = m.col[j].appendAnd(left, stack)
						left.remove(m.col[j])
					}
				}
			}
			parts = append(parts, part)
		}
	}
	return parts
}
