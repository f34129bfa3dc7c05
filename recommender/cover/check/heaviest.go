package check

import (
	"cmp"
	"slices"

	"cordon/recommender/cover"
)

// heaviest searches for a legal box whose cells weigh more than the scale of a dual part.
//
// It keeps a list of chosen cells whose smallest common box is legal, and the cells that may still join; the weight of both
// lists together bounds what a branch can reach. Joining a cell or leaving it out for good makes the two branches.
type heaviest struct {
	c     *checker
	cells []cover.Cell
	weigh map[cover.Cell]int64
	scale int64
	steps int64
}

func newHeaviest(c *checker, part cover.Part) *heaviest {
	h := &heaviest{c: c, weigh: make(map[cover.Cell]int64), scale: part.Scale}
	for k, cell := range part.Cells {
		if part.Weights[k] > 0 {
			h.cells = append(h.cells, cell)
			h.weigh[cell] = part.Weights[k]
		}
	}
	slices.SortFunc(h.cells, func(a, b cover.Cell) int {
		if x := cmp.Compare(h.weigh[b], h.weigh[a]); x != 0 {
			return x
		}
		return slices.Compare(a[:], b[:])
	})
	return h
}

// search returns the cells of a box that is too heavy, or nil; ok is false where the steps ran out first.
func (h *heaviest) search() (found []cover.Cell, ok bool) {
	for i, cell := range h.cells {
		var rest []cover.Cell
		for _, other := range h.cells[i+1:] {
			h.steps++
			if h.c.compatible(cell, other) {
				rest = append(rest, other)
			}
		}
		box := cover.Box{Sets: [3][]int32{{cell[0]}, {cell[1]}, {cell[2]}}}
		found, ok = h.grow(box, []cover.Cell{cell}, h.weigh[cell], rest)
		if found != nil || !ok {
			return found, ok
		}
	}
	return nil, true
}

func (h *heaviest) grow(box cover.Box, chosen []cover.Cell, weight int64, rest []cover.Cell) ([]cover.Cell, bool) {
	// What the box holds already is chosen without a choice; what cannot join any more is left out.
	var open []cover.Cell
	chosen = slices.Clip(chosen)
	bound := weight
	for _, cell := range rest {
		switch h.joins(box, cell) {
		case inside:
			chosen = append(chosen, cell)
			weight += h.weigh[cell]
			bound += h.weigh[cell]
		case fits:
			open = append(open, cell)
			bound += h.weigh[cell]
		}
	}
	if weight > h.scale {
		return chosen, true
	}
	if bound <= h.scale || len(open) == 0 {
		return nil, true
	}
	if h.steps > h.c.limits.Steps {
		return nil, false
	}
	for i, cell := range open {
		found, ok := h.grow(with(box, cell), append(slices.Clip(chosen), cell), weight+h.weigh[cell], open[i+1:])
		if found != nil || !ok {
			return found, ok
		}
		if bound -= h.weigh[cell]; bound <= h.scale {
			break
		}
	}
	return nil, true
}

type join int

const (
	fails join = iota
	fits
	inside
)

// joins says whether the smallest box around box and cell is legal, or even box itself. box is legal.
func (h *heaviest) joins(box cover.Box, cell cover.Cell) join {
	larger := with(box, cell)
	n := 0
	for m := range 3 {
		n += len(larger.Sets[m]) - len(box.Sets[m])
	}
	if n == 0 {
		return inside
	}
	legal := true
	each(larger, func(x cover.Cell) bool {
		h.steps++
		_, legal = h.c.allowed[x]
		return legal
	})
	if !legal {
		return fails
	}
	return fits
}

// with returns the smallest box around box and cell.
func with(box cover.Box, cell cover.Cell) cover.Box {
	for m, x := range cell {
		if i, ok := slices.BinarySearch(box.Sets[m], x); !ok {
			box.Sets[m] = slices.Insert(slices.Clone(box.Sets[m]), i, x)
		}
	}
	return box
}
