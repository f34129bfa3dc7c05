package cover

import (
	"cmp"
	"slices"
)

// independentSet looks for many vertices of a graph with no edge between two of them: cells no two of which are compatible.
//
// It starts from the vertices with the fewest neighbours and improves by local search: a vertex outside with exactly one neighbour inside may
// change places with it, and vertices left with none come in (after Andrade, Resende, Werneck, "Fast local search for
// the maximum independent set problem", 2012). Adjacency lists are sorted.
func independentSet(adjacent [][]int32, exchanges, enough int, w *meter) []int32 {
	n := len(adjacent)
	s := &packing{adjacent: adjacent, in: make([]bool, n), tight: make([]int32, n), since: make([]int64, n), w: w}
	order := make([]int32, n)
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		if c := cmp.Compare(len(adjacent[a]), len(adjacent[b])); c != 0 {
			return c
		}
		return int(a - b)
	})
	for _, v := range order {
		if s.tight[v] == 0 {
			s.add(v)
		}
	}
	best := s.members()
	var seed random
	for now := int64(1); now <= int64(exchanges) && len(best) < enough && w.ok(); now++ {
		// Force in a vertex: one of a few with one neighbour inside, the one moved longest ago; now and then any.
		pick := int32(-1)
		for range 20 {
			v := int32(seed.below(n))
			if s.in[v] {
				continue
			}
			if pick < 0 || s.tight[v] < s.tight[pick] || s.tight[v] == s.tight[pick] && s.since[v] < s.since[pick] {
				pick = v
			}
		}
		if pick < 0 {
			continue
		}
		var out []int32
		for _, u := range adjacent[pick] {
			if s.in[u] {
				out = append(out, u)
			}
		}
		for _, u := range out {
			s.drop(u)
			s.since[u] = now
		}
		s.add(pick)
		s.since[pick] = now
		for _, u := range out {
			for _, v := range adjacent[u] {
				if !s.in[v] && s.tight[v] == 0 {
					s.add(v)
				}
			}
		}
		if s.size > len(best) {
			best = s.members()
		}
	}
	return best
}

type packing struct {
	adjacent [][]int32
	in       []bool
	tight    []int32 // number of neighbours that are in
	since    []int64
	size     int
	w        *meter
}

func (s *packing) add(v int32) {
	s.in[v] = true
	s.size++
	for _, u := range s.adjacent[v] {
		s.tight[u]++
	}
	s.w.spend(int64(len(s.adjacent[v])))
}

func (s *packing) drop(v int32) {
	s.in[v] = false
	s.size--
	for _, u := range s.adjacent[v] {
		s.tight[u]--
	}
	s.w.spend(int64(len(s.adjacent[v])))
}

func (s *packing) members() []int32 {
	list := make([]int32, 0, s.size)
	for v, in := range s.in {
		if in {
			list = append(list, int32(v))
		}
	}
	return list
}
