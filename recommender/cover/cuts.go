package cover

import (
	"cmp"
	"math/bits"
	"slices"
)

// cut is an inequality that every cover satisfies and the linear relaxation need not: three rows need two columns, where a
// column with one or two of the rows counts once, and one with all three twice. (The sum of the three rows, halved and rounded
// up: a zero-half cut of Caprara and Fischetti, "{0, 1/2}-Chvátal-Gomory cuts", 1996.)
type cut struct {
	rows [3]int32
	y    float64 // its multiplier
}

// within reports whether all rows of the cut are still to be covered. A cut that lost a row says no more than the other two.
func (c *cut) within(v view) bool {
	return v.rows.has(c.rows[0]) && v.rows.has(c.rows[1]) && v.rows.has(c.rows[2])
}

// duals are the multipliers of a matrix: by row, and of cuts.
type duals struct {
	row  []float64
	cuts []cut
}

func (d *duals) clone() duals { return duals{slices.Clone(d.row), slices.Clone(d.cuts)} }

// absorb hands a dominated row's multipliers on to the row that dominates it. The bound stays what it was, since the columns of
// the dominating row have the other row too, and those that lose it only get dearer.
func (d *duals) absorb(row, by int32) {
	d.row[by] += d.row[row]
	d.row[row] = 0
	kept := d.cuts[:0]
	for _, c := range d.cuts {
		if at := slices.Index(c.rows[:], row); at >= 0 {
			if slices.Contains(c.rows[:], by) {
				continue
			}
			c.rows[at] = by
		}
		kept = append(kept, c)
	}
	d.cuts = kept
}

const (
	cutRows        = 1024 // rows above which no cuts are looked for: the table of pairs would be too large
	cutsAtOnce     = 60
	cutsPerRow     = 3 // more at once would be alike
	fewCuts        = 3 // are not worth another relaxation
	leastViolation = 0.05
	leastShare     = 1e-3
	leastCut       = 1e-3 // multiplier below which a cut is forgotten
)

// separate returns cuts that the mean solution of the last passes violates, those that it violates most first. rows are the
// numbers of the relaxation's rows in the matrix.
//
// With p the share of the columns that two of the rows have in common, and q that of all three, the cut is violated by
// p + p + p − 2q − 1, less what the rows are covered beyond 1. So one of the three p is above a third.
func (r *relaxation) separate(rows []int32, known []cut, w *meter) []cut {
	n := len(rows)
	if n > cutRows {
		return nil
	}
	m := r.meanSolution(n, w)
	var all []violated
	pairs := 0
	for i := range n {
		for k := range i {
			p := m.together[i*n+k]
			if p <= 1.0/3 {
				continue
			}
			pairs++
			pi, pk := m.together[i*n:(i+1)*n], m.together[k*n:(k+1)*n]
			for l := range n {
				if p+pi[l]+pk[l] < 1+leastViolation || l == i || l == k || pi[l] > p || pk[l] > p {
					continue // p is the largest of the three pairs
				}
				by := p + pi[l] + pk[l] - 1 - m.beyond[i] - m.beyond[k] - m.beyond[l]
				for word, x := range m.holders[i] {
					for x &= m.holders[k][word] & m.holders[l][word]; x != 0; x &= x - 1 {
						by -= float64(2 * m.share[word<<6+bits.TrailingZeros64(x)])
					}
				}
				if by >= leastViolation {
					c := [3]int32{rows[i], rows[k], rows[l]}
					slices.Sort(c[:])
					all = append(all, violated{c, by})
				}
			}
		}
	}
	w.spend(int64(pairs) * int64(n) / 2)
	return mostViolated(all, known)
}

// meanSolution is the mean solution of the last passes, as separate looks at it.
type meanSolution struct {
	share    []float64 // share of each column
	together []float64 // share of the columns that two rows both have, n*n
	beyond   []float64 // cover of each row beyond 1
	holders  []bitset  // columns of each row that have a share
}

func (r *relaxation) meanSolution(n int, w *meter) *meanSolution {
	m := &meanSolution{together: make([]float64, n*n), beyond: make([]float64, n), share: make([]float64, len(r.share)), holders: make([]bitset, n)}
	for i := range m.beyond {
		m.beyond[i] = -1
		m.holders[i] = newBitset(len(m.share))
	}
	var list []int32
	for j := range m.share {
		share := r.share[j] / r.total
		if m.share[j] = share; share < leastShare {
			continue
		}
		list = list[:0]
		for _, i := range r.rows[r.start[j]:r.start[j+1]] {
			if int(i) < n {
				list = append(list, i)
				m.holders[i].set(int32(j))
			}
		}
		for a, i := range list {
			m.beyond[i] += share
			for _, k := range list[:a] {
				m.together[int(i)*n+int(k)] += share
				m.together[int(k)*n+int(i)] += share
			}
		}
		w.spend(int64(len(list) * len(list) / 2))
	}
	for i := range m.beyond {
		m.beyond[i] = max(m.beyond[i], 0)
	}
	return m
}

// violated is a cut of three rows, and by how much a solution violates it.
type violated struct {
	rows [3]int32
	by   float64
}

// mostViolated chooses cuts that are not known yet, those that are violated most
// first and few with the same row, so that they differ.
func mostViolated(all []violated, known []cut) (found []cut) {
	slices.SortFunc(all, func(a, b violated) int {
		return cmp.Or(cmp.Compare(b.by, a.by), slices.Compare(a.rows[:], b.rows[:]))
	})
	have := make(map[[3]int32]bool, len(known))
	for _, c := range known {
		have[c.rows] = true
	}
	used := make(map[int32]int)
	for _, v := range all {
		if have[v.rows] || max(used[v.rows[0]], used[v.rows[1]], used[v.rows[2]]) == cutsPerRow {
			continue
		}
		have[v.rows] = true
		for _, i := range v.rows {
			used[i]++
		}
		if found = append(found, cut{rows: v.rows}); len(found) == cutsAtOnce {
			break
		}
	}
	return found
}
