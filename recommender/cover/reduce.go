package cover

import (
	"cmp"
	"slices"
)

// layer is one round of reduction: a tensor, and the way back to the tensor of the layer below.
type layer struct {
	t      *tensor
	groups groups
	boxes  []Box // essential boxes, chosen in this layer, maximal in t
}

// reduction is what the repeated rounds of merging, essential boxes and dominance leave of a problem.
type reduction struct {
	layers    []layer
	essential []int32 // position of a one that only this box covers well, for each essential box
	core      []int32 // ids, in the topmost layer's tensor, of the cells still to be covered
}

func (r *reduction) top() *tensor { return r.layers[len(r.layers)-1].t }

// reduce simplifies the problem without losing its optimum. Every step is optional, so it may stop at any time.
//
// In each round, with R the cells still to be covered and A the allowed ones:
//
//   - indices without a cell of R are dropped, then indices with identical slices of A are merged;
//   - a cell whose region (the product of its fibers) is legal has just one maximal box, the region: it is essential;
//   - a cell of R that lies in every maximal box of another is dominated, and dropped from R;
//   - allowed cells that share no legal box with R become forbidden, which brings out new merges.
//
// The smallest box around any legally coverable part of R stays legal throughout, so the boxes found at the top,
// made maximal in each layer on the way down, cover everything; and cells of R that fit in no common box
// at the top fit in none at the bottom.
func reduce(dims [3]int, entries []entry, w *meter) (*reduction, error) {
	r := &reduction{}
	for {
		dims2, kept, g := dropUnused(dims, entries)
		dims2, kept, g = mergeSlices(dims2, kept, g)
		t, err := newTensor(dims2, kept)
		if err != nil {
			return nil, err
		}
		l := layer{t: t, groups: g}
		before := 0
		var open []int32
		for id, one := range t.one {
			if one >= 0 {
				open = append(open, int32(id))
			}
		}
		before = len(open)
		required := make([]bool, len(t.cells))
		for _, id := range open {
			required[id] = true
		}
		slices.SortFunc(open, func(a, b int32) int {
			if c := cmp.Compare(t.regionVolume(a), t.regionVolume(b)); c != 0 {
				return c
			}
			return int(a - b)
		})
		l.boxes, r.essential = essentials(t, open, required, r.essential, w)
		dominate(t, open, required, w)
		r.core = r.core[:0]
		for id, req := range required {
			if req {
				r.core = append(r.core, int32(id))
			}
		}
		r.layers = append(r.layers, l)
		if len(r.core) == 0 || !w.ok() {
			return r, nil
		}
		useful := usefulCells(t, r.core, required, w)
		next := make([]entry, 0, len(t.cells))
		for id, u := range useful {
			if u {
				e := entry{t.cells[id], -1}
				if required[id] {
					e.one = t.one[id]
				}
				next = append(next, e)
			}
		}
		if len(r.core) == before && len(next) == len(t.cells) {
			return r, nil
		}
		dims, entries = dims2, next
	}
}

// essentials takes the cells of open that have a single maximal box, in the given order, and marks what those boxes cover
// as no longer required.
func essentials(t *tensor, open []int32, required []bool, seeds []int32, w *meter) ([]Box, []int32) {
	var boxes []Box
	for _, id := range open {
		if !required[id] {
			continue
		}
		if !w.ok() {
			break
		}
		sets := t.region(id)
		if !legal(t, sets, w) {
			continue
		}
		for _, i := range sets[0] {
			for _, j := range sets[1] {
				for _, k := range sets[2] {
					required[t.id(Cell{i, j, k})] = false
				}
			}
		}
		boxes = append(boxes, Box{Sets: sets}.clone())
		seeds = append(seeds, t.one[id])
	}
	return boxes, seeds
}

// legal reports whether all cells of the product are allowed.
func legal(t *tensor, sets [3][]int32, w *meter) bool {
	n := int64(0)
	defer func() { w.spend(n * t.price) }()
	for _, i := range sets[0] {
		for _, j := range sets[1] {
			for _, k := range sets[2] {
				n++
				if t.id(Cell{i, j, k}) < 0 {
					return false
				}
			}
		}
	}
	return true
}

// dominate clears required for cells that every maximal box of some other required cell contains.
func dominate(t *tensor, open []int32, required []bool, w *meter) {
	var k kernel
	for _, id := range open {
		if !required[id] {
			continue
		}
		if !w.ok() {
			return
		}
		sets, ok := k.of(t, id, w)
		if !ok {
			continue
		}
		for _, i := range sets[0] {
			for _, j := range sets[1] {
				for _, k := range sets[2] {
					if other := t.id(Cell{i, j, k}); other != id {
						required[other] = false
					}
				}
			}
		}
	}
}

// kernel computes the intersection of all maximal boxes of a cell, without enumerating them.
type kernel struct {
	in   [3][]bool
	sets [3][]int32
}

// of returns the kernel of a cell c, valid until the next call, or false where the budget ended.
//
// An index x of mode m is in every maximal box with c iff it can be added to every legal box with c. A legal box with c
// spans cells (c[m], y, z) such that the box around c and that cell is legal; conversely each such cell lies with c
// in some maximal box. So x is in the kernel iff (x, y, z) is allowed for all of them.
func (k *kernel) of(t *tensor, id int32, w *meter) ([3][]int32, bool) {
	c := t.cells[id]
	region := t.region(id)
	for m := range 3 {
		if len(k.in[m]) < t.dims[m] {
			k.in[m] = make([]bool, t.dims[m])
		}
		for _, x := range region[m] {
			k.in[m][x] = true
		}
	}
	defer func() {
		for m := range 3 {
			for _, x := range region[m] {
				k.in[m][x] = false
			}
		}
	}()
	for m := range 3 {
		k.sets[m] = append(k.sets[m][:0], region[m]...)
		a, b := (m+1)%3, (m+2)%3
		if len(k.sets[m]) == 1 {
			continue
		}
		n := int64(0)
		for _, other := range t.slice(m, c[m]) {
			o := t.cells[other]
			n++
			if !k.in[a][o[a]] || !k.in[b][o[b]] {
				continue
			}
			// (c[m], o[a], o[b]), (c[m], o[a], c[b]) and (c[m], c[a], o[b]) are allowed.
			kept := k.sets[m][:0]
			for _, x := range k.sets[m] {
				o[m] = x
				if t.id(o) >= 0 {
					kept = append(kept, x)
				}
			}
			n += int64(len(k.sets[m]))
			k.sets[m] = kept
			if len(kept) == 1 {
				break
			}
		}
		if !w.spend(n * t.price) {
			return k.sets, false
		}
	}
	return k.sets, true
}

// usefulCells marks the cells that share a legal box with a required one and whose indices all have required cells (no other can
// be in the smallest box around required cells). Without budget it marks more.
func usefulCells(t *tensor, core []int32, required []bool, w *meter) []bool {
	var used [3][]bool
	for m := range 3 {
		used[m] = make([]bool, t.dims[m])
		for _, id := range core {
			used[m][t.cells[id][m]] = true
		}
	}
	useful := make([]bool, len(t.cells))
	for id, c := range t.cells {
		switch {
		case !used[0][c[0]] || !used[1][c[1]] || !used[2][c[2]]:
		case required[id] || !w.ok():
			useful[id] = true
		default:
			useful[id] = sharesBox(t, int32(id), required, &used, w)
		}
	}
	return useful
}

// sharesBox reports whether some required cell is compatible with the cell.
func sharesBox(t *tensor, id int32, required []bool, used *[3][]bool, w *meter) bool {
	c := t.cells[id]
	n := int64(0)
	defer func() { w.spend(n * t.price) }()
	for m := range 3 { // the common case: a required cell in one of the fibers
		for _, other := range t.fiberCells(m, id) {
			if n++; required[other] {
				return true
			}
		}
	}
	region := t.region(id)
	for _, i := range region[0] {
		if !used[0][i] {
			continue
		}
		for _, j := range region[1] {
			if !used[1][j] {
				continue
			}
			if n++; t.id(Cell{i, j, c[2]}) < 0 {
				continue // no cell (i, j, k) is compatible then
			}
			for _, k := range region[2] {
				n++
				if other := t.id(Cell{i, j, k}); other >= 0 && required[other] && t.compatible(c, t.cells[other]) {
					return true
				}
			}
		}
	}
	return false
}
