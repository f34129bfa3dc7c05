package cover

import "context"

// SearchTree searches for a cover of rows by at most k columns, given by their rows, and returns the part with the tree of a search that failed.
func SearchTree(rows int, columns [][]int32, k int) (part Part, found bool) {
	m, part := searchMatrix(rows, columns)
	b := newBrancher(m, &meter{ctx: context.Background(), limit: 1 << 40})
	b.log = newRecord(m)
	v := m.all()
	_, found = b.search(m, v, nil, duals{row: make([]float64, rows)}, k)
	part.Tree = b.log.tree()
	return part, found
}

// SearchShareTree is SearchTree where rows of a weight of at most spare may be left out.
func SearchShareTree(weight []int64, columns [][]int32, spare int64, k int) (part Part, found bool) {
	m, part := searchMatrix(len(weight), columns)
	b := newBrancher(m, &meter{ctx: context.Background(), limit: 1 << 40})
	b.log = newRecord(m)
	_, found = b.searchShare(m, m.all(), make([]float64, len(weight)), weight, spare, k)
	part.Tree = b.log.tree()
	return part, found
}

func searchMatrix(rows int, columns [][]int32) (*matrix, Part) {
	part := Part{Method: Exhaustive, Boxes: columns}
	for i := range rows {
		part.Cells = append(part.Cells, Cell{int32(i), 0, 0})
	}
	sets := make([]bitset, len(columns))
	for j, list := range columns {
		sets[j] = newBitset(rows)
		for _, i := range list {
			sets[j].set(i)
		}
	}
	return newMatrix(rows, sets), part
}
