package cover

import "math/bits"

// primeEnumerator lists the primes (maximal legal boxes) of a small tensor that hold a required cell, each once.
//
// For each required cell in turn it lists the primes with that cell and without an earlier one, by branching: a
// box U that is taken, candidate indices V that can each be added to U, and indices X that were rejected.
// One candidate that does not fit with all others is taken or rejected; when all fit, U ∪ V is legal, and
// maximal if no rejected index fits. A branch ends as soon as a rejected index fits with all of U ∪ V, since
// no box in it can be maximal. (Data-Peeler, Cerf et al. 2009, for closed n-sets, has this shape.)
type primeEnumerator struct {
	t      *tensor
	fibers [3][]bitset // fibers[m][x*dims[m+2]+y]: allowed indices of mode m beside x in mode m+1, y in mode m+2
	done   []int32     // cells whose primes were listed
	level  []peel
	w      *meter
	emit   func([3]bitset) bool
	stop   bool
}

// peel is the state of one level of the recursion.
type peel struct{ u, v, x, uv [3]bitset }

// newPrimeEnumerator returns nil if its tables would take more than the given bytes.
func newPrimeEnumerator(t *tensor, memory int64, w *meter) *primeEnumerator {
	e := &primeEnumerator{t: t, w: w}
	for m := range 3 {
		a, b := (m+1)%3, (m+2)%3
		rows := int64(t.dims[a]) * int64(t.dims[b])
		words := int64(t.dims[m]+63) / 64
		if memory -= rows * (8*words + 24); memory < 0 {
			return nil
		}
		block := make(bitset, rows*words)
		e.fibers[m] = make([]bitset, rows)
		for i := range rows {
			e.fibers[m][i] = block[i*words : (i+1)*words : (i+1)*words]
		}
		for _, c := range t.cells {
			e.fibers[m][int(c[a])*t.dims[b]+int(c[b])].set(c[m])
		}
	}
	return e
}

// holds reports whether the product of the sets holds a cell.
func (e *primeEnumerator) holds(sets *[3]bitset, id int32) bool {
	c := &e.t.cells[id]
	return sets[0].has(c[0]) && sets[1].has(c[1]) && sets[2].has(c[2])
}

func (e *primeEnumerator) at(depth int) *peel {
	for len(e.level) <= depth {
		var p peel
		for m := range 3 {
			n := e.t.dims[m]
			p.u[m], p.v[m], p.x[m], p.uv[m] = newBitset(n), newBitset(n), newBitset(n), newBitset(n)
		}
		e.level = append(e.level, p)
	}
	return &e.level[depth]
}

// run calls emit with the sets of each prime that holds one of the cells, until emit returns false or the budget
// ends. It reports whether the list is complete. The sets are only lent.
func (e *primeEnumerator) run(cells []int32, emit func([3]bitset) bool) bool {
	e.emit = emit
	for _, id := range cells {
		c := e.t.cells[id]
		p := e.at(0)
		for m := range 3 {
			clear(p.u[m])
			clear(p.v[m])
			clear(p.x[m])
			p.u[m].set(c[m])
			for _, x := range e.t.fiber(m, id) {
				if x != c[m] {
					p.v[m].set(x)
				}
			}
		}
		e.descend(0)
		if e.stop {
			return false
		}
		e.done = append(e.done, id)
	}
	return true
}

// fits reports whether index x of mode m can be added to the box with the given sets.
func (e *primeEnumerator) fits(m int, x int32, sets *[3]bitset) bool {
	return e.missing(m, x, sets, 1) == 0
}

// missing counts the forbidden cells in the product of {x} and the sets of the other two modes, up to a limit.
func (e *primeEnumerator) missing(m int, x int32, sets *[3]bitset, limit int) int {
	a, b := (m+1)%3, (m+2)%3
	if len(sets[a]) > len(sets[b]) || len(sets[a]) == len(sets[b]) && sets[a].count() > sets[b].count() {
		a, b = b, a // iterate over the smaller, compare words of the larger
	}
	need := sets[b]
	n := 0
	for w, y := range sets[a] {
		for ; y != 0; y &= y - 1 {
			i := w<<6 + bits.TrailingZeros64(y)
			have := e.row(b, m, int(x), i)
			for k, q := range need {
				n += bits.OnesCount64(q &^ have[k])
			}
			if n >= limit {
				return n
			}
		}
	}
	return n
}

// row returns the fiber of mode b beside x in mode m and y in the third mode.
func (e *primeEnumerator) row(b, m, x, y int) bitset {
	if m == (b+1)%3 {
		return e.fibers[b][x*e.t.dims[(b+2)%3]+y]
	}
	return e.fibers[b][y*e.t.dims[(b+2)%3]+x]
}

func (e *primeEnumerator) descend(depth int) {
	p := e.at(depth)
	if e.stop = e.stop || !e.w.spend(64); e.stop {
		return
	}
	for _, id := range e.done {
		if e.holds(&p.u, id) {
			return
		}
	}
	for m := range 3 {
		for k := range p.uv[m] {
			p.uv[m][k] = p.u[m][k] | p.v[m][k]
		}
	}
	for m := range 3 {
		for w, x := range p.x[m] {
			for ; x != 0; x &= x - 1 {
				if e.fits(m, int32(w<<6+bits.TrailingZeros64(x)), &p.uv) {
					return
				}
			}
		}
	}
	mode, index, worst := -1, int32(0), 0
	for m := range 3 {
		for w, v := range p.v[m] {
			for ; v != 0; v &= v - 1 {
				i := int32(w<<6 + bits.TrailingZeros64(v))
				if n := e.missing(m, i, &p.uv, 1<<30); n > worst {
					mode, index, worst = m, i, n
				}
			}
		}
	}
	if mode < 0 {
		for _, id := range e.done {
			if e.holds(&p.uv, id) {
				return
			}
		}
		e.stop = !e.emit(p.uv)
		return
	}
	q := e.at(depth + 1)
	p = e.at(depth)
	for m := range 3 { // take it
		copy(q.u[m], p.u[m])
		copy(q.v[m], p.v[m])
		copy(q.x[m], p.x[m])
	}
	q.u[mode].set(index)
	q.v[mode].clear(index)
	for _, m := range [2]int{(mode + 1) % 3, (mode + 2) % 3} {
		for _, s := range [2]bitset{q.v[m], q.x[m]} {
			for w, v := range s {
				for ; v != 0; v &= v - 1 {
					i := int32(w<<6 + bits.TrailingZeros64(v))
					if !e.fits(m, i, &q.u) {
						s.clear(i)
					}
				}
			}
		}
	}
	e.descend(depth + 1)
	if e.stop {
		return
	}
	p = e.at(depth)
	q = e.at(depth + 1)
	for m := range 3 { // reject it
		copy(q.u[m], p.u[m])
		copy(q.v[m], p.v[m])
		copy(q.x[m], p.x[m])
	}
	q.v[mode].clear(index)
	q.x[mode].set(index)
	e.descend(depth + 1)
}
