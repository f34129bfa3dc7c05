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
	cutsPerRow     = 3 // at once, so that they differ
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
func (r *relaxation) separate(rows []int32, known []cut, w *meter) (found []cut) {
	n := len(rows)
	if n > cutRows {
		return nil
	}
	together := make([]float64, n*n)
	beyond := make([]float64, n)
	for i := range beyond {
		beyond[i] = -1
	}
	share := make([]float64, len(r.share))
	holders := make([]bitset, n) // by row: columns with a share
	for i := range holders {
		holders[i] = newBitset(len(share))
	}
	var list []int32
	for j := range share {
		if share[j] = r.share[j] / r.total; share[j] < leastShare {
			continue
		}
		list = list[:0]
		for _, i := range r.rows[r.start[j]:r.start[j+1]] {
			if int(i) < n {
				list = append(list, i)
				holders[i].set(int32(j))
			}
		}
		for a, i := range list {
			beyond[i] += share[j]
			for _, k := range list[:a] {
				together[int(i)*n+int(k)] += share[j]
				together[int(k)*n+int(i)] += share[j]
			}
		}
		w.spend(int64(len(list) * len(list) / 2))
	}
	for i := range beyond {
		beyond[i] = max(beyond[i], 0)
	}
	type violated struct {
		rows [3]int32
		by   float64
	}
	var all []violated
	pairs := 0
	for i := range n {
		for k := range i {
			p := together[i*n+k]
			if p <= 1.0/3 {
				continue
			}
			pairs++
			pi, pk := together[i*n:(i+1)*n], together[k*n:(k+1)*n]
			for l := range n {
				if p+pi[l]+pk[l] < 1+leastViolation || l == i || l == k || pi[l] > p || pk[l] > p {
					continue // of the three pairs, p is the largest
				}
				by := p + pi[l] + pk[l] - 1 - beyond[i] - beyond[k] - beyond[l]
				for word, x := range holders[i] {
					for x &= holders[k][word] & holders[l][word]; x != 0; x &= x - 1 {
						by -= float64(2 * share[word<<6+bits.TrailingZeros64(x)])
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
