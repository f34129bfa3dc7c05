package cover

import (
	"errors"
	"fmt"
	"slices"
)

// Cell is one position of the tensor: its index in mode 0, mode 1 and mode 2.
type Cell [3]int32

// compareCells orders cells by mode 0, then mode 1, then mode 2.
func compareCells(a, b Cell) int {
	for m := range a {
		if a[m] != b[m] {
			if a[m] < b[m] {
				return -1
			}
			return 1
		}
	}
	return 0
}

// Problem is a sparse three-mode tensor. Ones must be covered, DontCare cells may be, all other
// cells must not be. The order of cells has no influence; duplicates are harmless, and a cell in
// both lists must be covered.
type Problem struct {
	Dims     [3]int // number of indices in each mode; valid indices are 0..Dims[m]-1
	Ones     []Cell
	DontCare []Cell
}

// Box is the product of one index set per mode. The sets are sorted, without duplicates, and none is empty.
type Box struct {
	Sets [3][]int32
}

// Volume is the number of cells in the box.
func (b Box) Volume() int64 {
	return int64(len(b.Sets[0])) * int64(len(b.Sets[1])) * int64(len(b.Sets[2]))
}

// Contains reports whether the box holds c.
func (b Box) Contains(c Cell) bool {
	for m, set := range b.Sets {
		if _, ok := slices.BinarySearch(set, c[m]); !ok {
			return false
		}
	}
	return true
}

func (b Box) clone() Box {
	for m := range b.Sets {
		b.Sets[m] = slices.Clone(b.Sets[m])
	}
	return b
}

// compareBoxes orders boxes by their sets of mode 0, then 1, then 2, each lexicographically.
func compareBoxes(a, b Box) int {
	for m := range a.Sets {
		if c := slices.Compare(a.Sets[m], b.Sets[m]); c != 0 {
			return c
		}
	}
	return 0
}

// ErrTooLarge is wrapped by errors about problems whose cells cannot be numbered in 63 bits, or
// that do not fit in Options.MaxMemory.
var ErrTooLarge = errors.New("problem too large")

// entry is an allowed cell inside the solver. one is the position, in the sorted list of the
// problem's ones, of a cell that this entry stands for and that must be covered, or -1 for a cell
// that only may be covered.
type entry struct {
	cell Cell
	one  int32
}

// canonical sorts and deduplicates the cells of p and checks their indices.
func canonical(p Problem) (ones []Cell, entries []entry, err error) {
	for _, list := range []struct {
		name  string
		cells []Cell
	}{{"Ones", p.Ones}, {"DontCare", p.DontCare}} {
		for i, c := range list.cells {
			for m, x := range c {
				if x < 0 || int(x) >= p.Dims[m] {
					return nil, nil, fmt.Errorf("cover: %s[%d] = %v: index %d of mode %d is outside 0..%d", list.name, i, c, x, m, p.Dims[m]-1)
				}
			}
		}
	}
	ones = slices.Clone(p.Ones)
	slices.SortFunc(ones, compareCells)
	ones = slices.Compact(ones)
	entries = make([]entry, 0, len(ones)+len(p.DontCare))
	for i, c := range ones {
		entries = append(entries, entry{c, int32(i)})
	}
	if len(p.DontCare) > 0 {
		for _, c := range p.DontCare {
			entries = append(entries, entry{c, -1})
		}
		slices.SortFunc(entries, func(a, b entry) int {
			if c := compareCells(a.cell, b.cell); c != 0 {
				return c
			}
			return int(b.one) - int(a.one) // a one comes before a don't-care
		})
		entries = slices.CompactFunc(entries, func(a, b entry) bool { return a.cell == b.cell })
	}
	return ones, entries, nil
}
