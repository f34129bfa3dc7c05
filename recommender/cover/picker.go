package cover

import "math"

// picker chooses columns that hold as much weight as possible.
type picker struct {
	colRows [][]int32
	rowCols [][]int32
	weight  []int64
	in      []bool
	times   []int32 // number of chosen columns that hold each row
	gain    []int64 // weight that choosing a column adds, or that dropping it loses
	since   []int64 // the step at which each column was last moved
	covered int64
	w       *meter
}

func newPicker(rows int, colRows [][]int32, weight []int64, w *meter) *picker {
	p := &picker{colRows: colRows, rowCols: make([][]int32, rows), weight: weight, w: w}
	for j, list := range colRows {
		for _, i := range list {
			p.rowCols[i] = append(p.rowCols[i], int32(j))
		}
	}
	p.in, p.times = make([]bool, len(colRows)), make([]int32, rows)
	p.gain, p.since = make([]int64, len(colRows)), make([]int64, len(colRows))
	for j, list := range colRows {
		for _, i := range list {
			p.gain[j] += weight[i]
		}
	}
	return p
}

func (p *picker) add(j int32) {
	p.in[j] = true
	p.covered += p.gain[j]
	n := 0
	for _, i := range p.colRows[j] {
		p.times[i]++
		switch p.times[i] {
		case 1: // the others add it no more; j loses it
			for _, k := range p.rowCols[i] {
				if k != j {
					p.gain[k] -= p.weight[i]
				}
			}
			n += len(p.rowCols[i])
		case 2: // neither j nor the one that had it alone loses it
			for _, k := range p.rowCols[i] {
				if k != j && p.in[k] {
					p.gain[k] -= p.weight[i]
				}
			}
			n += len(p.rowCols[i])
		}
	}
	p.w.spend(int64(n + len(p.colRows[j])))
}

func (p *picker) drop(j int32) {
	p.in[j] = false
	p.covered -= p.gain[j]
	n := 0
	for _, i := range p.colRows[j] {
		p.times[i]--
		switch p.times[i] {
		case 0:
			for _, k := range p.rowCols[i] {
				if k != j {
					p.gain[k] += p.weight[i]
				}
			}
			n += len(p.rowCols[i])
		case 1:
			for _, k := range p.rowCols[i] {
				if k != j && p.in[k] {
					p.gain[k] += p.weight[i]
				}
			}
			n += len(p.rowCols[i])
		}
	}
	p.w.spend(int64(n + len(p.colRows[j])))
}

// best returns the column with the best gain, of those that are in or out as asked and not moved at or after a time: the largest
// if sign is 1, the smallest if it is -1; of several the one moved longest ago.
func (p *picker) best(in bool, sign int64, before int64) int32 {
	best := int32(-1)
	for j := range p.colRows {
		if p.in[j] != in || p.since[j] >= before && p.since[j] > 0 {
			continue
		}
		if best < 0 || sign*p.gain[j] > sign*p.gain[best] || p.gain[j] == p.gain[best] && p.since[j] < p.since[best] {
			best = int32(j)
		}
	}
	p.w.spend(int64(len(p.colRows)))
	return best
}

func (p *picker) chosen() (out []int32) {
	for j, in := range p.in {
		if in {
			out = append(out, int32(j))
		}
	}
	return out
}

// greedy chooses what adds most until there is enough, and drops what is not needed after all. It returns nil if all columns together
// are not enough.
func (p *picker) greedy(need int64) []int32 {
	for p.covered < need {
		j := p.best(false, 1, math.MaxInt64)
		if j < 0 || p.gain[j] == 0 {
			return nil
		}
		p.add(j)
	}
	for {
		j := p.best(true, -1, math.MaxInt64)
		if j < 0 || p.covered-p.gain[j] < need {
			return p.chosen()
		}
		p.drop(j)
	}
}

// search looks for k columns of enough weight by local search: the column that is missed least gives place to the one that adds most, and
// what moved stays as it is for a while. It returns nil if it found none in so many exchanges.
func (p *picker) search(k int, need int64, exchanges int) []int32 {
	for n := 0; n < k && p.covered < need; n++ {
		j := p.best(false, 1, math.MaxInt64)
		if j < 0 {
			break
		}
		p.add(j)
	}
	var seed random
	for now := int64(1); p.covered < need; now++ {
		if now > int64(exchanges) || !p.w.ok() {
			return nil
		}
		stay := int64(2 + seed.below(10))
		out := p.best(true, -1, now-min(stay, int64(k)-1))
		if out < 0 {
			continue
		}
		p.drop(out)
		p.since[out] = now
		in := p.best(false, 1, now-stay)
		if in < 0 {
			in = out
		}
		p.add(in)
		p.since[in] = now
	}
	return p.chosen()
}

// searchPool looks for fewer than few boxes among those that the six orders make of each cell, where the maximal boxes are too many
// to list. It returns nil if it finds none.
func (s *partial) searchPool(few int) []Box {
	row := make(map[int32]int32, len(s.rows))
	for i, list := range s.rows {
		row[list[0]] = int32(i)
	}
	g := grower{s.t, s.w}
	left := s.memory / 4
	var boxes []Box
	var colRows [][]int32
	seen := make(map[uint64]bool)
	s.w.part((s.w.limit-s.w.used)/2, func() {
		for _, list := range s.rows {
			for _, order := range modeOrders {
				if left <= 0 || !s.w.ok() {
					return
				}
				b := g.expand(single(s.t.cells[list[0]]), order)
				h := b.hash()
				if seen[h] { // one of two boxes with the same hash is lost, which does no harm
					continue
				}
				seen[h] = true
				var holds []int32
				forCells(s.t, &b, func(id int32) {
					if i, ok := row[id]; ok {
						holds = append(holds, i)
					}
				})
				s.w.spend(b.Volume() * s.t.price)
				left -= int64(12*len(holds) + 4*len(b.Sets[0]) + 4*len(b.Sets[1]) + 4*len(b.Sets[2]) + 200)
				boxes, colRows = append(boxes, b), append(colRows, holds)
			}
		}
	})
	need := s.total - s.budget
	chosen := newPicker(len(s.rows), colRows, s.weight, s.w).greedy(need)
	for best := min(few, len(chosen)); chosen != nil && best > 1 && s.w.ok(); best = len(chosen) {
		found := newPicker(len(s.rows), colRows, s.weight, s.w).search(best-1, need, exchanges(len(s.rows)))
		if found == nil {
			break
		}
		chosen = found
	}
	if chosen == nil || len(chosen) >= few {
		return nil
	}
	out := make([]Box, len(chosen))
	for n, j := range chosen {
		out[n] = s.lift(boxes[j])
	}
	return out
}

func (b *Box) hash() (h uint64) {
	for m := range 3 {
		for _, x := range b.Sets[m] {
			h = mix(h + uint64(m)<<32 + uint64(x) + 1)
		}
	}
	return h
}
