package check

import (
	"slices"

	"cordon/recommender/cover"
)

// enumerator lists the legal boxes around cells of a part, each as the set of the part's cells that it holds, as far as no other
// legal box holds those and more.
//
// It decides on one cell after the other, whether the box holds it or not. chosen are cells that the box holds, open those that are
// not decided, shut those that it shall not hold; all of them fit with the chosen ones. Where all open cells fit at once, they
// make a box, which counts unless a shut cell fits too.
type enumerator struct {
	s     *search
	dims  [3]int
	at    []cover.Cell // the part's cells, with indices numbered anew
	legal []bool       // by these indices
	found []set
}

// newEnumerator returns nil where the part is too large for its tables.
func newEnumerator(c *checker, cells []cover.Cell, s *search) *enumerator {
	e := &enumerator{s: s, at: make([]cover.Cell, len(cells))}
	var index [3][]int32
	for m := range 3 {
		for _, cell := range cells {
			index[m] = append(index[m], cell[m])
		}
		slices.Sort(index[m])
		index[m] = slices.Compact(index[m])
		e.dims[m] = len(index[m])
	}
	if int64(e.dims[0])*int64(e.dims[1])*int64(e.dims[2]) > maxVolume {
		return nil
	}
	for i, cell := range cells {
		for m := range 3 {
			k, _ := slices.BinarySearch(index[m], cell[m])
			e.at[i][m] = int32(k)
		}
	}
	for _, i := range index[0] {
		for _, j := range index[1] {
			for _, k := range index[2] {
				_, ok := c.allowed[cover.Cell{i, j, k}]
				e.legal = append(e.legal, ok)
			}
		}
	}
	return e
}

// around returns the smallest box around some cells.
func (e *enumerator) around(lists ...[]int) (b cover.Box) {
	for m := range 3 {
		used := make([]bool, e.dims[m])
		for _, list := range lists {
			for _, i := range list {
				used[e.at[i][m]] = true
			}
		}
		for x, u := range used {
			if u {
				b.Sets[m] = append(b.Sets[m], int32(x))
			}
		}
	}
	return b
}

// missing counts forbidden cells of a box, up to a limit.
func (e *enumerator) missing(b cover.Box, limit int) (n int) {
	for _, i := range b.Sets[0] {
		for _, j := range b.Sets[1] {
			row := (int(i)*e.dims[1] + int(j)) * e.dims[2]
			for _, k := range b.Sets[2] {
				e.s.steps++
				if !e.legal[row+int(k)] {
					if n++; n == limit {
						return n
					}
				}
			}
		}
	}
	return n
}

// fitting returns those of the cells that are legal with a box each on its own.
func (e *enumerator) fitting(b cover.Box, cells []int) (fit []int) {
	for _, i := range cells {
		if e.missing(with(b, e.at[i]), 1) == 0 {
			fit = append(fit, i)
		}
	}
	return fit
}

func (e *enumerator) all() bool {
	var open []int
	for i := range e.at {
		open = append(open, i)
	}
	for n, i := range open { // boxes whose first cell this is
		b := e.around([]int{i})
		if !e.descend([]int{i}, e.fitting(b, open[n+1:]), e.fitting(b, open[:n])) {
			return false
		}
	}
	return true
}

// What an enumerator may take: some 64 MB each.
const (
	maxVolume = 1 << 26 // of the box around all cells
	maxWords  = 1 << 23 // of the boxes found
)

func (e *enumerator) descend(chosen, open, shut []int) bool {
	if e.s.steps > e.s.limit || len(e.found)*(len(e.at)/64+1) > maxWords {
		return false
	}
	whole := e.around(chosen, open)
	for _, i := range shut {
		if e.joins(whole, e.at[i]) {
			return true // whatever is chosen, this cell fits too
		}
	}
	conflicts, at := e.conflicts(whole)
	if conflicts == 0 {
		box := newSet(len(e.at))
		for _, list := range [2][]int{chosen, open} {
			for _, i := range list {
				box.add(i)
			}
		}
		e.found = append(e.found, box)
		return true
	}
	worst, most := 0, -1
	for k, i := range open {
		if n := at[0][e.at[i][0]] + at[1][e.at[i][1]] + at[2][e.at[i][2]]; n > most {
			worst, most = k, n
		}
	}
	i := open[worst]
	rest := slices.Delete(slices.Clone(open), worst, worst+1)
	b := e.around(chosen, []int{i})
	taken, left := e.inside(b, append(slices.Clip(chosen), i), rest)
	ok := true
	if held, barred := e.inside(b, nil, shut); len(held) == 0 {
		ok = e.descend(taken, e.fitting(b, left), e.fitting(b, barred))
	}
	return ok && e.descend(chosen, rest, append(slices.Clip(shut), i))
}

// inside moves those of the cells that a box holds to held.
func (e *enumerator) inside(b cover.Box, held, cells []int) (_, rest []int) {
	for _, i := range cells {
		if holds(b, e.at[i]) {
			held = append(held, i)
		} else {
			rest = append(rest, i)
		}
	}
	return held, rest
}

func holds(b cover.Box, x cover.Cell) bool {
	for m, set := range b.Sets {
		if _, in := slices.BinarySearch(set, x[m]); !in {
			return false
		}
	}
	return true
}

// joins reports whether a cell can be added to every legal box within a box: then nothing is forbidden beside any of its indices.
func (e *enumerator) joins(b cover.Box, x cover.Cell) bool {
	b = with(b, x)
	for m := range 3 {
		plane := b
		plane.Sets[m] = []int32{x[m]}
		if e.missing(plane, 1) > 0 {
			return false
		}
	}
	return true
}

// conflicts counts the forbidden cells of a box, in all and by index.
func (e *enumerator) conflicts(b cover.Box) (n int, at [3][]int) {
	for m := range 3 {
		at[m] = make([]int, e.dims[m])
	}
	each(b, func(c cover.Cell) bool {
		e.s.steps++
		if !e.legal[(int(c[0])*e.dims[1]+int(c[1]))*e.dims[2]+int(c[2])] {
			n++
			for m := range 3 {
				at[m][c[m]]++
			}
		}
		return true
	})
	return n, at
}
