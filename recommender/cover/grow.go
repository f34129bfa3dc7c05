package cover

// modeOrders are the six orders in which the modes of a box can be filled.
var modeOrders = [6][3]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}

// grower makes legal boxes maximal in one tensor.
type grower struct {
	t *tensor
	w *meter
}

// expand makes a legal box maximal: it adds to the first mode of the order all indices that fit, then to the second, then the third.
// One pass is enough, since an index that does not fit a box fits no larger one.
func (g grower) expand(b Box, order [3]int) Box {
	for _, m := range order {
		b.Sets[m] = g.fitting(&b, m)
	}
	return b
}

// fitting returns all indices of mode m that are allowed with every cell of the product of the other two sets.
func (g grower) fitting(b *Box, m int) []int32 {
	a, c := (m+1)%3, (m+2)%3
	var seed Cell
	seed[m] = b.Sets[m][0]
	var narrow int32 = -1 // the cell with the shortest fiber
	for _, x := range b.Sets[a] {
		for _, y := range b.Sets[c] {
			seed[a], seed[c] = x, y
			id := g.t.id(seed)
			if narrow < 0 || len(g.t.fiber(m, id)) < len(g.t.fiber(m, narrow)) {
				narrow = id
			}
		}
	}
	n := int64(len(b.Sets[a])) * int64(len(b.Sets[c]))
	candidates := g.t.fiber(m, narrow)
	fit := make([]int32, 0, len(candidates))
candidate:
	for _, z := range candidates {
		seed[m] = z
		for _, x := range b.Sets[a] {
			seed[a] = x
			for _, y := range b.Sets[c] {
				seed[c] = y
				n++
				if g.t.id(seed) < 0 {
					continue candidate
				}
			}
		}
		fit = append(fit, z)
	}
	g.w.spend(n * g.t.price)
	return fit
}

// forCells calls f with the id of every cell of a legal box.
func forCells(t *tensor, b *Box, f func(id int32)) {
	for _, i := range b.Sets[0] {
		for _, j := range b.Sets[1] {
			for _, k := range b.Sets[2] {
				f(t.id(Cell{i, j, k}))
			}
		}
	}
}

// gain counts the cells of the box for which need holds.
func (g grower) gain(b *Box, need []bool) (n int64) {
	forCells(g.t, b, func(id int32) {
		if need[id] {
			n++
		}
	})
	g.w.spend(b.Volume() * g.t.price)
	return n
}

// bestAround returns, of the maximal boxes that the six orders make of b, the first with the most needed cells.
func (g grower) bestAround(b Box, need []bool) (best Box, most int64) {
	for _, order := range modeOrders {
		x := g.expand(b, order)
		if x.Volume() <= most {
			continue
		}
		if n := g.gain(&x, need); n > most {
			best, most = x, n
		}
	}
	return best, most
}

func single(c Cell) Box {
	return Box{Sets: [3][]int32{{c[0]}, {c[1]}, {c[2]}}}
}
