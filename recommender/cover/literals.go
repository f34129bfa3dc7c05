package cover

import (
	"cmp"
	"slices"
)

// polisher turns a complete list of legal boxes into an irredundant one with few literals, on the tensor of the problem itself.
type polisher struct {
	t      *tensor
	cost   func(Box) int64
	counts []int32 // number of boxes that hold each cell
}

func newPolisher(t *tensor, cost func(Box) int64) *polisher {
	if cost == nil {
		cost = func(Box) int64 { return 0 }
	}
	return &polisher{t: t, cost: cost, counts: make([]int32, len(t.cells))}
}

func literals(b *Box) int64 { return int64(len(b.Sets[0]) + len(b.Sets[1]) + len(b.Sets[2])) }

func totalLiterals(boxes []Box) (sum int64) {
	for i := range boxes {
		sum += literals(&boxes[i])
	}
	return sum
}

// costs is the cost of boxes together, see Options.Cost.
func (p *polisher) costs(boxes []Box) (sum int64) {
	for _, b := range boxes {
		sum += p.cost(b)
	}
	return sum
}

// quietTries ends improve after so many tries in a row without a better cover.
const quietTries = 100

// improve makes a complete list of legal boxes irredundant and light. Then, while the budget lasts, it makes all boxes maximal again, each
// in a random order of modes, and reduces them again in another order, and keeps the better of two covers: the one with
// fewer boxes, then fewer literals, then less cost, then the first in lexicographic order. (Espresso's loop of expand, irredundant and reduce.)
func (p *polisher) improve(boxes []Box, w *meter) (best []Box, literals int64) {
	best = p.polish(boxes, func(i int) uint64 { return 0 })
	literals = totalLiterals(best)
	g := grower{p.t, w}
	var seed random
	for quiet := 0; quiet < quietTries && w.ok(); quiet++ {
		next := make([]Box, len(best))
		for i, b := range best {
			next[i] = g.expand(b, modeOrders[seed.below(6)])
			w.spend(4 * next[i].Volume() * p.t.price)
		}
		shuffle := seed.next()
		next = p.polish(next, func(i int) uint64 { return mix(shuffle + uint64(i)) })
		n := totalLiterals(next)
		c := cmp.Or(cmp.Compare(len(next), len(best)), cmp.Compare(n, literals))
		if c == 0 {
			c = cmp.Compare(p.costs(next), p.costs(best))
		}
		if c < 0 {
			quiet = -1
		}
		if c < 0 || c == 0 && slices.CompareFunc(next, best, compareBoxes) < 0 {
			best, literals = next, n
		}
	}
	return best, literals
}

// polish drops boxes whose ones are all in others (smallest gain first), then shrinks each box to the smallest one
// around the ones that no other box holds: in the order of rank, boxes of equal rank the heaviest first. The result is sorted.
func (p *polisher) polish(boxes []Box, rank func(i int) uint64) []Box {
	clear(p.counts)
	for i := range boxes {
		forCells(p.t, &boxes[i], func(id int32) { p.counts[id]++ })
	}
	boxes = p.irredundant(boxes)
	weight := make([]int64, len(boxes))
	order := make([]int, len(boxes))
	for i := range boxes {
		order[i], weight[i] = i, literals(&boxes[i])
	}
	slices.SortFunc(order, func(i, j int) int {
		if c := cmp.Compare(rank(i), rank(j)); c != 0 {
			return c
		}
		if c := cmp.Compare(weight[j], weight[i]); c != 0 {
			return c
		}
		return compareBoxes(boxes[i], boxes[j])
	})
	for _, i := range order {
		small := p.own(&boxes[i])
		if small.Volume() == boxes[i].Volume() {
			continue
		}
		forCells(p.t, &boxes[i], func(id int32) { p.counts[id]-- })
		boxes[i] = small
		forCells(p.t, &boxes[i], func(id int32) { p.counts[id]++ })
	}
	slices.SortFunc(boxes, compareBoxes)
	return boxes
}

// irredundant removes boxes without a one of their own, those that hold the fewest ones first.
func (p *polisher) irredundant(boxes []Box) []Box {
	order := make([]int, len(boxes))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		if c := cmp.Compare(boxes[i].Volume(), boxes[j].Volume()); c != 0 {
			return c
		}
		return compareBoxes(boxes[j], boxes[i])
	})
	drop := make([]bool, len(boxes))
	for _, i := range order {
		own := false
		forCells(p.t, &boxes[i], func(id int32) { own = own || p.counts[id] == 1 && p.t.one[id] >= 0 })
		if !own {
			drop[i] = true
			forCells(p.t, &boxes[i], func(id int32) { p.counts[id]-- })
		}
	}
	kept := boxes[:0]
	for i, b := range boxes {
		if !drop[i] {
			kept = append(kept, b)
		}
	}
	return kept
}

// own returns the smallest box around the ones that only b holds; there is at least one.
func (p *polisher) own(b *Box) Box {
	var used [3][]bool
	for m := range 3 {
		used[m] = make([]bool, len(b.Sets[m]))
	}
	for i, x := range b.Sets[0] {
		for j, y := range b.Sets[1] {
			for k, z := range b.Sets[2] {
				if id := p.t.id(Cell{x, y, z}); p.counts[id] == 1 && p.t.one[id] >= 0 {
					used[0][i], used[1][j], used[2][k] = true, true, true
				}
			}
		}
	}
	var out Box
	for m := range 3 {
		for i, u := range used[m] {
			if u {
				out.Sets[m] = append(out.Sets[m], b.Sets[m][i])
			}
		}
	}
	return out
}
