package check

import (
	"slices"

	"cordon/recommender/cover"
)

// legal walks the legal boxes around cells of a part.
//
// It begins with all that fits with one cell of the box. While the smallest box around what is left holds a forbidden cell, one of that cell's three
// indices is not among those of the box: the first is not, or it is and the second is not, or both are and the third is not. Of what is left, only the
// cells that fit with an index that is remain.
type legal struct {
	at      []cover.Cell // the part's cells, with their indices numbered anew
	dims    [3]int
	allowed []bool   // whether the cell at these indices is a one or a don't-care cell
	holders [3][]set // the part's cells that have an index, for each mode and index
	beside  [3][]set // the cells that are legal with this index in place of their own, for each mode and index
	steps   int64
	limit   int64
}

// maxVolume bounds the box around the cells of a part: its table takes a byte for each cell, 64 MiB at most.
const maxVolume = 1 << 26

// newLegal returns nil where the box around the cells is too large for its table.
func newLegal(c *checker, cells []cover.Cell) *legal {
	l := &legal{at: make([]cover.Cell, len(cells)), limit: c.limits.Steps}
	var indices [3][]int32
	volume := int64(1)
	for m := range 3 {
		for _, cell := range cells {
			indices[m] = append(indices[m], cell[m])
		}
		slices.Sort(indices[m])
		indices[m] = slices.Compact(indices[m])
		l.dims[m] = len(indices[m])
		if volume *= int64(l.dims[m]); volume > maxVolume {
			return nil
		}
		for range indices[m] {
			l.holders[m] = append(l.holders[m], newSet(len(cells)))
		}
	}
	for i, cell := range cells {
		for m := range 3 {
			k, _ := slices.BinarySearch(indices[m], cell[m])
			l.at[i][m] = int32(k)
			l.holders[m][k].add(i)
		}
	}
	l.allowed = make([]bool, volume)
next:
	for cell := range c.allowed {
		at := 0
		for m := range 3 {
			k, ok := slices.BinarySearch(indices[m], cell[m])
			if !ok {
				continue next
			}
			at = at*l.dims[m] + k
		}
		l.allowed[at] = true
	}
	l.look()
	return l
}

func (l *legal) is(c cover.Cell) bool {
	return l.allowed[(int(c[0])*l.dims[1]+int(c[1]))*l.dims[2]+int(c[2])]
}

// look fills beside.
func (l *legal) look() {
	for m := range 3 {
		for x := range l.dims[m] {
			fit := newSet(len(l.at))
			for i, cell := range l.at {
				if cell[m] = int32(x); l.is(cell) {
					fit.add(i)
				}
			}
			l.beside[m] = append(l.beside[m], fit)
		}
	}
}

// index is one of a mode.
type index struct {
	mode int
	x    int32
}

// each calls accept with the sets of cells that it comes to: each legal box holds cells of one of them, so a set that is accepted
// vouches for all its subsets. A set that is not accepted is taken apart further. each returns a set of cells in one legal box that
// is not accepted, or nil. It returns ok = false where the steps ran out first.
func (l *legal) each(accept func(first int, cells set) bool) (found set, ok bool) {
	for first, a := range l.at {
		cells := newSet(len(l.at))
		for i := first; i < len(l.at); i++ {
			cells.add(i)
		}
		var own []index
		for m := range 3 {
			own = append(own, index{m, a[m]})
			cells.keep(l.beside[m][a[m]])
		}
		if found, ok = l.descend(first, cells, own, accept); found != nil || !ok {
			return found, ok
		}
	}
	return nil, true
}

// descend looks at the boxes that hold some of the cells, the first among them, and have all the given indices.
func (l *legal) descend(first int, cells set, own []index, accept func(int, set) bool) (set, bool) {
	for _, i := range own {
		if !l.holders[i.mode][i.x].meets(cells) {
			return nil, true // there is none
		}
	}
	if !cells.has(first) || accept(first, cells) {
		return nil, true
	}
	at, some := l.forbidden(cells)
	if !some {
		return cells, true
	}
	if l.steps > l.limit {
		return nil, false
	}
	for m, x := range at {
		if slices.Contains(own, index{m, x}) {
			continue
		}
		without := slices.Clone(cells)
		without.minus(l.holders[m][x])
		if found, ok := l.descend(first, without, own, accept); found != nil || !ok {
			return found, ok
		}
		own = append(slices.Clip(own), index{m, x})
		cells = slices.Clone(cells)
		cells.keep(l.beside[m][x])
	}
	return nil, true
}

// forbidden returns a forbidden cell of the smallest box around the cells, if there is one.
func (l *legal) forbidden(cells set) (cover.Cell, bool) {
	var used [3][]int32
	for m := range 3 {
		for x, holders := range l.holders[m] {
			if holders.meets(cells) {
				used[m] = append(used[m], int32(x))
			}
		}
	}
	for _, i := range used[0] {
		for _, j := range used[1] {
			for _, k := range used[2] {
				l.steps++
				if !l.is(cover.Cell{i, j, k}) {
					return cover.Cell{i, j, k}, true
				}
			}
		}
	}
	return cover.Cell{}, false
}
