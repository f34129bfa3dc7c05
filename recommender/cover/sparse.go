package cover

import (
	"cmp"
	"slices"
)

// approximate covers a component whose primes are too many to list: greedily, then by local search over a pool of primes. Its bound is a
// fooling set, greedy, then improved by local search where the graph of compatible cells fits in memory.
func (c *component) approximate() {
	order := slices.Clone(c.cells)
	slices.SortFunc(order, func(a, b int32) int {
		if c := cmp.Compare(c.t.regionVolume(a), c.t.regionVolume(b)); c != 0 {
			return c
		}
		return int(a - b)
	})
	best := greedyCover(c.t, order, c.w)
	f := newFooler(c.t, c.w)
	for _, id := range order {
		f.add(id)
	}
	fooling := f.members
	c.progress.update(len(best), len(fooling))
	if len(fooling) < len(best) {
		c.w.part((c.w.limit-c.w.used)/2, func() {
			if adjacent := c.compatibleCells(); adjacent != nil {
				if set := independentSet(adjacent, exchanges(len(c.cells)), len(best), c.w); len(set) > len(fooling) {
					fooling = fooling[:0]
					for _, i := range set {
						fooling = append(fooling, c.cells[i])
					}
				}
			}
		})
	}
	if len(fooling) < len(best) && c.w.ok() {
		c.progress.update(len(best), len(fooling))
		if pooled := c.searchPool(best, len(fooling)); len(pooled) < len(best) {
			best = pooled
		}
	}
	c.progress.add(len(best), len(fooling))
	c.boxes = append(c.boxes, best...)
	for _, id := range fooling {
		c.witness = append(c.witness, c.t.one[id])
		c.proved = append(c.proved, c.t.one[id])
	}
}

// greedyCover covers the cells in the given order, each by the maximal box around it that holds the most cells not yet covered.
func greedyCover(t *tensor, order []int32, w *meter) []Box {
	need := make([]bool, len(t.cells))
	for _, id := range order {
		need[id] = true
	}
	g := grower{t, w}
	var boxes []Box
	for _, id := range order {
		if !need[id] {
			continue
		}
		box := single(t.cells[id])
		if w.ok() {
			box, _ = g.bestAround(box, need)
		} else {
			box = g.expand(box, modeOrders[0])
		}
		forCells(t, &box, func(id int32) { need[id] = false })
		boxes = append(boxes, box)
	}
	return boxes
}

// searchPool looks for a smaller cover among the boxes of a cover and other primes: those that the six orders make of each cell, and of
// pairs of compatible cells drawn at random while budget and memory last.
func (c *component) searchPool(start []Box, enough int) []Box {
	row := make(map[int32]int32, len(c.cells))
	for i, id := range c.cells {
		row[id] = int32(i)
	}
	g := grower{c.t, c.w}
	left := c.memory / 4
	var boxes []Box
	var rows [][]int32
	seen := make(map[uint64]bool)
	add := func(b Box) {
		h := uint64(0)
		for m := range 3 {
			for _, x := range b.Sets[m] {
				h = mix(h + uint64(m)<<32 + uint64(x) + 1)
			}
		}
		if seen[h] { // one of two boxes with the same hash is lost, which does no harm
			return
		}
		seen[h] = true
		var holds []int32
		forCells(c.t, &b, func(id int32) {
			if i, ok := row[id]; ok {
				holds = append(holds, i)
			}
		})
		c.w.spend(b.Volume() * c.t.price)
		left -= int64(12*len(holds) + 4*len(b.Sets[0]) + 4*len(b.Sets[1]) + 4*len(b.Sets[2]) + 200)
		boxes, rows = append(boxes, b), append(rows, holds)
	}
	for _, b := range start {
		add(b)
	}
	c.w.part((c.w.limit-c.w.used)/3, func() {
		for _, id := range c.cells {
			for _, order := range modeOrders {
				if left > 0 && c.w.ok() {
					add(g.expand(single(c.t.cells[id]), order))
				}
			}
		}
		var seed random
		for n := 0; n < poolPairs*len(c.cells) && left > 0 && c.w.ok(); n++ {
			id := c.cells[seed.below(len(c.cells))]
			b := single(c.t.cells[id])
			for _, m := range modeOrders[seed.below(6)] {
				fits := g.fitting(&b, m)
				b.Sets[m] = appendIfNew(b.Sets[m], fits[seed.below(len(fits))])
			}
			add(g.expand(b, modeOrders[seed.below(6)]))
		}
	})
	var best []int32
	c.w.part((c.w.limit-c.w.used)/2, func() {
		best = newLocalSearch(len(c.cells), rows, c.w).run(exchanges(len(c.cells)), enough)
	})
	found := make([]Box, len(best))
	for n, j := range best {
		found[n] = boxes[j]
	}
	return found
}

// poolPairs is how many boxes per cell are drawn at random.
const poolPairs = 4

func appendIfNew(set []int32, x int32) []int32 {
	if i, ok := slices.BinarySearch(set, x); !ok {
		return slices.Insert(slices.Clone(set), i, x)
	}
	return set
}

// compatibleCells lists for each of the cells which others (by position) share a legal box with it, or returns nil if that takes too much.
func (c *component) compatibleCells() [][]int32 {
	position := make([]int32, len(c.t.cells))
	for i, id := range c.cells {
		position[id] = int32(i) + 1
	}
	left := c.memory / 4
	adjacent := make([][]int32, len(c.cells))
	for i, id := range c.cells {
		cell := c.t.cells[id]
		region := c.t.region(id)
		var near []int32
		n := int64(0)
		for _, x := range region[0] {
			for _, y := range region[1] {
				if n++; c.t.id(Cell{x, y, cell[2]}) < 0 {
					continue // no cell (x, y, z) is compatible then
				}
				for _, z := range region[2] {
					n++
					if other := c.t.id(Cell{x, y, z}); other >= 0 && other != id && position[other] > 0 && c.t.compatible(cell, c.t.cells[other]) {
						near = append(near, position[other]-1)
					}
				}
			}
			if !c.w.spend(n * c.t.price) {
				return nil
			}
			n = 0
		}
		if left -= int64(4*len(near)) + 24; left < 0 {
			return nil
		}
		slices.Sort(near)
		adjacent[i] = slices.Clip(near)
	}
	return adjacent
}
