package cover

import (
	"cmp"
	"slices"
)

// polisher turns a complete list of legal boxes into an irredundant one with few literals, on the tensor of the problem itself.
type polisher struct {
	t       *tensor
	weights [3][]int64 // literal weight by mode and index; nil: 1 each
	counts  []int32    // by cell id: how many boxes hold it
}

func newPolisher(t *tensor, weights [3][]int64) *polisher {
	return &polisher{t: t, weights: weights, counts: make([]int32, len(t.cells))}
}

// literals is the weight of a box.
func (p *polisher) literals(b *Box) (sum int64) {
	for m, set := range b.Sets {
		if p.weights[m] == nil {
			sum += int64(len(set))
			continue
		}
		for _, x := range set {
			sum += p.weights[m][x]
		}
	}
	return sum
}

func (p *polisher) total(boxes []Box) (sum int64) {
	for i := range boxes {
		sum += p.literals(&boxes[i])
	}
	return sum
}

// polish drops boxes whose ones are all in others (smallest gain first), then shrinks each box to the smallest one
// around the ones that no other box holds, the heaviest box first. The result is sorted.
func (p *polisher) polish(boxes []Box) []Box {
	clear(p.counts)
	for i := range boxes {
		forCells(p.t, &boxes[i], func(id int32) { p.counts[id]++ })
	}
	boxes = p.irredundant(boxes)
	weight := make([]int64, len(boxes))
	order := make([]int, len(boxes))
	for i := range boxes {
		order[i], weight[i] = i, p.literals(&boxes[i])
	}
	slices.SortFunc(order, func(i, j int) int {
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
