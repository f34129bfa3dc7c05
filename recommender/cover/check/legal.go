package check

import (
	"slices"

	"cordon/recommender/cover"
)

// legal walks the legal boxes around cells of a part.
//
// It begins with all that is legal beside one cell of the box, and while the smallest box around what is left holds a forbidden cell, leaves out
// one of that cell's three indices, in each way that keeps the first cell. So every legal box lies in one of the boxes that it comes to.
type legal struct {
	at      []cover.Cell // the part's cells, with their indices numbered anew
	dims    [3]int
	allowed []bool   // by these indices: the cell is a one or a don't-care cell
	holders [3][]set // by mode and index: the part's cells that have it
	held    [3][]int // by mode and index: zero, but for what forbidden counts in passing
	steps   int64
	limit   int64
}

// maxVolume bounds the box around the cells of a part: its table takes a byte for each cell, 64 MiB at most.
const maxVolume = 1 << 26

// newLegal returns nil where the box around the cells is too large for its table.
func newLegal(c *checker, cells []cover.Cell) *legal {
	l := &legal{at: make([]cover.Cell, len(cells)), limit: c.limits.Steps}
	var index [3][]int32
	volume := int64(1)
	for m := range 3 {
		for _, cell := range cells {
			index[m] = append(index[m], cell[m])
		}
		slices.Sort(index[m])
		index[m] = slices.Compact(index[m])
		l.dims[m] = len(index[m])
		if volume *= int64(l.dims[m]); volume > maxVolume {
			return nil
		}
		for range index[m] {
			l.holders[m] = append(l.holders[m], newSet(len(cells)))
		}
		l.held[m] = make([]int, len(index[m]))
	}
	for i, cell := range cells {
		for m := range 3 {
			k, _ := slices.BinarySearch(index[m], cell[m])
			l.at[i][m] = int32(k)
			l.holders[m][k].add(i)
		}
	}
	l.allowed = make([]bool, volume)
next:
	for cell := range c.allowed {
		at := 0
		for m := range 3 {
			k, ok := slices.BinarySearch(index[m], cell[m])
			if !ok {
				continue next
			}
			at = at*l.dims[m] + k
		}
		l.allowed[at] = true
	}
	return l
}

func (l *legal) is(i, j, k int32) bool {
	return l.allowed[(int(i)*l.dims[1]+int(j))*l.dims[2]+int(k)]
}

// each calls accept with the sets of cells that it comes to: each legal box holds cells of one of them, so a set that is accepted
// vouches for all its subsets. A set that is not accepted is taken apart further. each returns a set of cells in one legal box that
// is not accepted, or nil. It returns ok = false where the steps ran out first.
func (l *legal) each(accept func(first int, cells set) bool) (found set, ok bool) {
	for first, a := range l.at {
		cells := newSet(len(l.at))
		for i, b := range l.at[first:] {
			if l.is(a[0], b[1], b[2]) && l.is(b[0], a[1], b[2]) && l.is(b[0], b[1], a[2]) &&
				l.is(a[0], a[1], b[2]) && l.is(a[0], b[1], a[2]) && l.is(b[0], a[1], a[2]) {
				cells.add(first + i)
			}
		}
		seen := make(map[string]bool)
		if found, ok = l.descend(first, cells, seen, accept); found != nil || !ok {
			return found, ok
		}
	}
	return nil, true
}

func (l *legal) descend(first int, cells set, seen map[string]bool, accept func(int, set) bool) (set, bool) {
	key := cells.key()
	if seen[key] || accept(first, cells) {
		return nil, true
	}
	seen[key] = true
	at, some := l.forbidden(first, cells)
	if !some {
		return cells, true
	}
	if l.steps > l.limit {
		return nil, false
	}
	for m := range 3 {
		if at[m] == l.at[first][m] {
			continue
		}
		fewer := slices.Clone(cells)
		fewer.minus(l.holders[m][at[m]])
		if found, ok := l.descend(first, fewer, seen, accept); found != nil || !ok {
			return found, ok
		}
	}
	return nil, true
}

// forbidden returns a forbidden cell of the smallest box around the cells, of several one whose indices have many of them, so that little is
// left of each way to leave it out.
func (l *legal) forbidden(first int, cells set) (worst cover.Cell, some bool) {
	var used [3][]int32
	members := cells.list(cells)
	for m := range 3 {
		held := l.held[m]
		for _, i := range members {
			x := l.at[i][m]
			if held[x] == 0 {
				used[m] = append(used[m], x)
			}
			held[x]++
		}
		defer func() {
			for _, x := range used[m] {
				held[x] = 0
			}
		}()
	}
	most := -1
	own := l.at[first]
	for _, i := range used[0] {
		for _, j := range used[1] {
			row := (int(i)*l.dims[1] + int(j)) * l.dims[2]
			for _, k := range used[2] {
				if l.allowed[row+int(k)] {
					continue
				}
				some = true
				least := len(l.at)
				for m, x := range [3]int32{i, j, k} {
					if x != own[m] {
						least = min(least, l.held[m][x])
					}
				}
				if least > most {
					worst, most = cover.Cell{i, j, k}, least
				}
			}
			l.steps += int64(len(used[2]))
		}
	}
	return worst, some
}
