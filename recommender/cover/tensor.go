package cover

import (
	"fmt"
	"math/bits"
)

// tensor holds allowed cells (required or optional) sparsely, with the two access paths that the
// algorithms need: from a cell to its three fibers, and from coordinates to the cell's id.
//
// The fiber of mode m through a cell is the set of indices that may replace the cell's index in
// mode m so that the cell stays allowed. Cells have ids 0..len(cells)-1 in the order of modes 0, 1, 2.
type tensor struct {
	dims    [3]int
	cells   []Cell
	one     []int32    // see entry
	value   [3][]int32 // indices of all fibers of mode m, fiber after fiber
	fiberOf [3][]int32 // cell id -> fiber number
	start   [3][]int32 // fiber number -> first position in value; one more at the end
	order   [3][]int32 // position in value -> cell id; sorted by modes m+1, m+2, m (cyclic)
	slices  [3][]int32 // slices[m][i]: first position in order[(m+2)%3] of the cells with index i in mode m
	dense   []int32    // cell id + 1 by coordinates, where the volume is small enough
	hash    []int32    // otherwise: open addressing, cell id + 1
	mask    uint64
	price   int64 // steps that a lookup counts for
}

// denseLimit is the volume (in cells) up to which coordinates are looked up in a plain array.
const denseLimit = 1 << 23

// Lookups that miss the caches cost more than the additions by which other work is counted.
const (
	densePrice = 4
	hashPrice  = 24
)

// newTensor indexes entries, which are sorted by cell, without duplicates, within dims.
func newTensor(dims [3]int, entries []entry) (*tensor, error) {
	n := len(entries)
	hi, lo := bits.Mul64(uint64(dims[0])*uint64(dims[1]), uint64(dims[2]))
	if hi != 0 || lo > 1<<62 || uint64(dims[0]) > 1<<31 || uint64(dims[1]) > 1<<31 || n > 1<<30 {
		return nil, fmt.Errorf("cover: %d cells of %d × %d × %d indices: %w", n, dims[0], dims[1], dims[2], ErrTooLarge)
	}
	t := &tensor{dims: dims, cells: make([]Cell, n), one: make([]int32, n)}
	for i, e := range entries {
		t.cells[i], t.one[i] = e.cell, e.one
	}
	// Stable bucket sorts: (0,1,2) by 2 gives (2,0,1), that by 1 gives (1,2,0).
	natural := make([]int32, n)
	for i := range natural {
		natural[i] = int32(i)
	}
	t.order[2], t.slices[0] = natural, bucketStarts(t.cells, 0, dims[0])
	t.order[1], t.slices[2] = bucketSort(t.cells, natural, 2, dims[2])
	t.order[0], t.slices[1] = bucketSort(t.cells, t.order[1], 1, dims[1])
	for m := range 3 {
		t.buildFibers(m)
	}
	if lo <= denseLimit {
		t.price = densePrice
		t.dense = make([]int32, lo)
		for i, c := range t.cells {
			t.dense[t.key(c)] = int32(i) + 1
		}
	} else {
		t.price = hashPrice
		size := uint64(1) << bits.Len(uint(2*n))
		t.hash, t.mask = make([]int32, size), size-1
		for i, c := range t.cells {
			h := mix(t.key(c)) & t.mask
			for t.hash[h] != 0 {
				h = (h + 1) & t.mask
			}
			t.hash[h] = int32(i) + 1
		}
	}
	return t, nil
}

// bucketStarts counts cells by their index in mode m.
func bucketStarts(cells []Cell, m, dim int) []int32 {
	starts := make([]int32, dim+1)
	for i := range cells {
		starts[cells[i][m]+1]++
	}
	for i := range dim {
		starts[i+1] += starts[i]
	}
	return starts
}

// bucketSort sorts ids stably by their cells' index in mode m and returns where each index begins.
func bucketSort(cells []Cell, ids []int32, m, dim int) (sorted, starts []int32) {
	starts = bucketStarts(cells, m, dim)
	next := make([]int32, dim)
	copy(next, starts)
	sorted = make([]int32, len(ids))
	for _, id := range ids {
		x := cells[id][m]
		sorted[next[x]] = id
		next[x]++
	}
	return sorted, starts
}

func (t *tensor) buildFibers(m int) {
	n := len(t.cells)
	a, b := (m+1)%3, (m+2)%3
	t.value[m], t.fiberOf[m] = make([]int32, n), make([]int32, n)
	for pos, id := range t.order[m] {
		c := t.cells[id]
		if pos == 0 {
			t.start[m] = append(t.start[m], 0)
		} else if prev := t.cells[t.order[m][pos-1]]; prev[a] != c[a] || prev[b] != c[b] {
			t.start[m] = append(t.start[m], int32(pos))
		}
		t.value[m][pos] = c[m]
		t.fiberOf[m][id] = int32(len(t.start[m]) - 1)
	}
	t.start[m] = append(t.start[m], int32(n))
}

// fiber returns the sorted indices of mode m that are allowed in place of the cell's own, which is among them.
func (t *tensor) fiber(m int, id int32) []int32 {
	f := t.fiberOf[m][id]
	return t.value[m][t.start[m][f]:t.start[m][f+1]]
}

// fiberCells returns the ids of the cells of a fiber, in the order of fiber.
func (t *tensor) fiberCells(m int, id int32) []int32 {
	f := t.fiberOf[m][id]
	return t.order[m][t.start[m][f]:t.start[m][f+1]]
}

// slice returns the ids of the cells with index i in mode m, in the order of modes m, m+1, m+2.
func (t *tensor) slice(m int, i int32) []int32 {
	return t.order[(m+2)%3][t.slices[m][i]:t.slices[m][i+1]]
}

// region is the product of the three fibers through a cell. Every legal box with the cell lies inside it.
func (t *tensor) region(id int32) (sets [3][]int32) {
	return [3][]int32{t.fiber(0, id), t.fiber(1, id), t.fiber(2, id)}
}

func (t *tensor) regionVolume(id int32) int64 {
	return int64(len(t.fiber(0, id))) * int64(len(t.fiber(1, id))) * int64(len(t.fiber(2, id)))
}

func (t *tensor) key(c Cell) uint64 {
	return (uint64(c[0])*uint64(t.dims[1])+uint64(c[1]))*uint64(t.dims[2]) + uint64(c[2])
}

// id returns the id of an allowed cell, or -1 for a forbidden one. Hot: nearly all time is spent here or just above.
func (t *tensor) id(c Cell) int32 {
	k := t.key(c)
	if t.dense != nil {
		return t.dense[k] - 1
	}
	return t.probe(c, k)
}

func (t *tensor) probe(c Cell, k uint64) int32 {
	for h := mix(k) & t.mask; ; h = (h + 1) & t.mask {
		id := t.hash[h] - 1
		if id < 0 || t.cells[id] == c {
			return id
		}
	}
}

// compatible reports whether the smallest box with both cells is legal.
func (t *tensor) compatible(a, b Cell) bool {
	for v := 1; v < 7; v++ { // a and b themselves are allowed
		c := a
		for m := range 3 {
			if v>>m&1 == 1 {
				c[m] = b[m]
			}
		}
		if t.id(c) < 0 {
			return false
		}
	}
	return true
}

// mix is the finalizer of splitmix64.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
