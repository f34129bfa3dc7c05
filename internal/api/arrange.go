package api

import (
	"cmp"
	"math/bits"
	"slices"
)

// arrange puts rows and columns in order, and leaves those with least sessions away where there are more than limit.
func (b *matrixBuilder) arrange(order string, limit int) {
	m := b.m
	rowSums, columnSums := make([]uint64, len(m.Rows)), make([]uint64, len(m.Columns))
	for _, c := range m.Cells {
		rowSums[c.Row] += c.Sessions
		columnSums[c.Column] += c.Sessions
	}
	rowRules, columnRules := make([][]int, len(m.Rows)), make([][]int, len(m.Columns))
	for i, r := range m.Rules {
		for _, at := range r.Rows {
			rowRules[at] = append(rowRules[at], i)
		}
		for _, at := range r.Columns {
			columnRules[at] = append(columnRules[at], i)
		}
	}
	rows := inOrder(m.Rows, order, rowSums, rowRules, m.Rules, limit)
	columns := inOrder(m.Columns, order, columnSums, columnRules, m.Rules, limit)
	m.LeftAway = len(m.Rows) + len(m.Columns) - len(rows) - len(columns)
	newRow, newColumn := places(rows, len(m.Rows)), places(columns, len(m.Columns))
	m.Rows, m.Columns = labelsOf(m.Rows, rows), labelsOf(m.Columns, columns)
	m.Cells = slices.DeleteFunc(m.Cells, func(c MatrixCell) bool { return newRow[c.Row] < 0 || newColumn[c.Column] < 0 })
	for i := range m.Cells {
		m.Cells[i].Row, m.Cells[i].Column = newRow[m.Cells[i].Row], newColumn[m.Cells[i].Column]
	}
	slices.SortFunc(m.Cells, func(a, b MatrixCell) int { return cmp.Or(a.Row-b.Row, a.Column-b.Column) })
	for i := range m.Rules {
		m.Rules[i].Rows, m.Rules[i].Columns = moved(m.Rules[i].Rows, newRow), moved(m.Rules[i].Columns, newColumn)
	}
}

// places gives where each of n things went, -1 for nowhere.
func places(order []int, n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = -1
	}
	for to, from := range order {
		out[from] = to
	}
	return out
}

func labelsOf(labels []string, order []int) []string {
	out := make([]string, len(order))
	for to, from := range order {
		out[to] = labels[from]
	}
	return out
}

func moved(list, to []int) []int {
	out := []int{}
	for _, at := range list {
		if to[at] >= 0 {
			out = append(out, to[at])
		}
	}
	return unique(out)
}

// mostCompared is for how many rows or columns every two are compared; beyond it they are sorted by their rules.
const mostCompared = 2000

// inOrder gives the places of rows or columns in the order asked for. The order of the cover puts those side by side that
// are in the same rules, so that the boxes of rules come apart into few pieces: it begins with the one in most rules and goes
// on, each time, with the one that shares most with the last. Folded hosts come last.
func inOrder(labels []string, order string, sums []uint64, rules [][]int, all []MatrixRule, limit int) []int {
	at := make([]int, len(labels))
	for i := range at {
		at[i] = i
	}
	folded := func(i int) int {
		switch labels[i] {
		case foldedHosts:
			return 1
		case foldedExternal:
			return 2
		}
		return 0
	}
	bySum := func(a, b int) int {
		return cmp.Or(cmp.Compare(sums[b], sums[a]), cmp.Compare(labels[a], labels[b]))
	}
	if len(at) > limit {
		slices.SortFunc(at, func(a, b int) int { return cmp.Or(folded(b)-folded(a), bySum(a, b)) })
		at = at[:limit]
	}
	slices.SortFunc(at, func(a, b int) int {
		byName := cmp.Compare(labels[a], labels[b])
		switch order {
		case "name":
			return cmp.Or(folded(a)-folded(b), byName)
		case "traffic":
			return cmp.Or(folded(a)-folded(b), bySum(a, b))
		}
		return cmp.Or(folded(a)-folded(b), cmp.Compare(len(rules[b]), len(rules[a])), slices.Compare(rules[a], rules[b]), bySum(a, b))
	})
	if order != "cover" || len(at) > mostCompared {
		return at
	}
	return neighbours(at, folded, rules, len(all))
}

// neighbours chains what is in the same rules.
func neighbours(at []int, folded func(int) int, rules [][]int, n int) []int {
	words := (n + 63) / 64
	sets := make(map[int][]uint64, len(at))
	for _, i := range at {
		set := make([]uint64, words)
		for _, r := range rules[i] {
			set[r/64] |= 1 << (r % 64)
		}
		sets[i] = set
	}
	shared := func(a, b int) (same, differ int) {
		for w := range words {
			same += bits.OnesCount64(sets[a][w] & sets[b][w])
			differ += bits.OnesCount64(sets[a][w] ^ sets[b][w])
		}
		return same, differ
	}
	out := at[:0:0]
	left := slices.Clone(at)
	for len(left) > 0 {
		best := 0
		if len(out) > 0 {
			last := out[len(out)-1]
			bestSame, bestDiffer := -1, 0
			for i, x := range left {
				if folded(x) != folded(left[0]) {
					break
				}
				if same, differ := shared(last, x); same > bestSame || same == bestSame && differ < bestDiffer {
					best, bestSame, bestDiffer = i, same, differ
				}
			}
		}
		out = append(out, left[best])
		left = slices.Delete(left, best, best+1)
	}
	return out
}
