package cover

import "slices"

// localSearch looks for a small solution of a covering by local search with row weights (Gao, Weise, Li, "An efficient local search
// heuristic with row weighting for the unicost set covering problem", 2015).
//
// Whenever the chosen columns cover all rows, one is dropped. Then, step by step, the column that is missed least leaves, and one
// that covers a random uncovered row comes in; the rows that stay uncovered get heavier. A column that left comes back only
// after a neighbour of it changed.
type localSearch struct {
	rowCols [][]int32
	colRows [][]int32
	in      []bool
	times   []int32 // number of chosen columns that cover each row
	weight  []int64 // weight of each row
	score   []int64 // weight that choosing a column would cover, or minus what dropping it would lose
	since   []int64 // the step at which each column was last moved
	barred  []bool  // columns that must not come back yet
	open    []int32 // uncovered rows
	where   []int32 // position of each row in open
	chosen  []int32
	w       *meter
}

func newLocalSearch(rows int, colRows [][]int32, w *meter) *localSearch {
	n := len(colRows)
	s := &localSearch{
		rowCols: make([][]int32, rows), colRows: colRows, in: make([]bool, n), times: make([]int32, rows), weight: make([]int64, rows),
		score: make([]int64, n), since: make([]int64, n), barred: make([]bool, n), where: make([]int32, rows), w: w,
	}
	for j, list := range colRows {
		for _, i := range list {
			s.rowCols[i] = append(s.rowCols[i], int32(j))
		}
		s.score[j] = int64(len(list))
	}
	for i := range rows {
		s.weight[i] = 1
		s.uncover(int32(i))
	}
	return s
}

func (s *localSearch) uncover(i int32) {
	s.where[i] = int32(len(s.open))
	s.open = append(s.open, i)
}

func (s *localSearch) covered(i int32) {
	last := s.open[len(s.open)-1]
	s.open[s.where[i]], s.where[last] = last, s.where[i]
	s.open = s.open[:len(s.open)-1]
}

func (s *localSearch) add(j int32) {
	s.in[j], s.score[j] = true, -s.score[j]
	s.chosen = append(s.chosen, j)
	n := 0
	for _, i := range s.colRows[j] {
		n += len(s.rowCols[i])
		if s.times[i]++; s.times[i] == 1 {
			s.covered(i)
		}
		for _, k := range s.rowCols[i] {
			if k == j {
				continue
			}
			s.barred[k] = false
			switch {
			case s.times[i] == 1:
				s.score[k] -= s.weight[i]
			case s.times[i] == 2 && s.in[k]:
				s.score[k] += s.weight[i]
			}
		}
	}
	s.w.spend(int64(n))
}

func (s *localSearch) drop(j int32) {
	s.in[j], s.score[j], s.barred[j] = false, -s.score[j], true
	at := slices.Index(s.chosen, j)
	s.chosen[at] = s.chosen[len(s.chosen)-1]
	s.chosen = s.chosen[:len(s.chosen)-1]
	n := 0
	for _, i := range s.colRows[j] {
		n += len(s.rowCols[i])
		if s.times[i]--; s.times[i] == 0 {
			s.uncover(i)
		}
		for _, k := range s.rowCols[i] {
			if k == j {
				continue
			}
			s.barred[k] = false
			switch {
			case s.times[i] == 0:
				s.score[k] += s.weight[i]
			case s.times[i] == 1 && s.in[k]:
				s.score[k] -= s.weight[i]
			}
		}
	}
	s.w.spend(int64(n))
}

// missedLeast returns the chosen column with the best score that is not just in, and of several the one that was moved longest ago.
func (s *localSearch) missedLeast(just int32) int32 {
	best := int32(-1)
	for _, j := range s.chosen {
		if j != just && (best < 0 || s.better(j, best)) {
			best = j
		}
	}
	return best
}

func (s *localSearch) better(j, k int32) bool {
	if s.score[j] != s.score[k] {
		return s.score[j] > s.score[k]
	}
	if s.since[j] != s.since[k] {
		return s.since[j] < s.since[k]
	}
	return j < k
}

// run starts from the greedy solution and makes at most the given number of exchanges, or stops at a solution of enough columns. Every row has a
// column. The result covers all rows, whatever the budget.
func (s *localSearch) run(exchanges, enough int) []int32 {
	for len(s.open) > 0 {
		best := int32(-1)
		for _, j := range s.rowCols[s.open[0]] {
			if !s.in[j] && (best < 0 || s.better(j, best)) {
				best = j
			}
		}
		s.add(best)
	}
	best := slices.Clone(s.chosen)
	var seed random
	just := int32(-1)
	for now := int64(1); ; now++ {
		for len(s.open) == 0 {
			best = append(best[:0], s.chosen...)
			if len(best) <= enough || len(best) == 1 {
				return best
			}
			j := s.missedLeast(-1)
			s.drop(j)
			s.since[j] = now
		}
		if now > int64(exchanges) || !s.w.ok() {
			return best
		}
		j := s.missedLeast(just)
		if j < 0 {
			j = just
		}
		s.drop(j)
		s.since[j] = now
		i := s.open[seed.below(len(s.open))]
		in := int32(-1)
		for _, k := range s.rowCols[i] {
			if !s.barred[k] && (in < 0 || s.better(k, in)) {
				in = k
			}
		}
		if in < 0 {
			in = s.rowCols[i][0]
		}
		s.add(in)
		s.since[in], just = now, in
		for _, i := range s.open {
			s.weight[i]++
			for _, k := range s.rowCols[i] {
				s.score[k]++
			}
		}
	}
}
