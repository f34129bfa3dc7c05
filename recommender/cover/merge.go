package cover

import (
	"cmp"
	"slices"
)

// groups says for each mode which indices of the layer below an index stands for.
type groups [3][][]int32

// dropUnused removes the indices that no required cell has, with their cells, and numbers the rest anew.
// A box never needs such an index.
func dropUnused(dims [3]int, entries []entry) ([3]int, []entry, groups) {
	var g groups
	var to [3][]int32
	for m := range 3 {
		used := make([]bool, dims[m])
		for i := range entries {
			if entries[i].one >= 0 {
				used[entries[i].cell[m]] = true
			}
		}
		to[m] = make([]int32, dims[m])
		for i, u := range used {
			to[m][i] = -1
			if u {
				to[m][i] = int32(len(g[m]))
				g[m] = append(g[m], []int32{int32(i)})
			}
		}
		dims[m] = len(g[m])
	}
	kept := make([]entry, 0, len(entries))
next:
	for _, e := range entries {
		for m := range 3 {
			if e.cell[m] = to[m][e.cell[m]]; e.cell[m] < 0 {
				continue next
			}
		}
		kept = append(kept, e)
	}
	return dims, kept, g
}

// mergeSlices makes one index of all indices of a mode whose slices allow the same cells, in each mode in
// turn until nothing changes. It updates g, which it was given for the unmerged indices.
func mergeSlices(dims [3]int, entries []entry, g groups) ([3]int, []entry, groups) {
	unchanged := 0
	for m := 0; unchanged < 3; m = (m + 1) % 3 {
		leader, count := identicalSlices(dims, entries, m)
		if count == dims[m] {
			unchanged++
			continue
		}
		unchanged = 1
		entries = foldSlices(entries, m, leader)
		merged := make([][]int32, 0, count)
		to := make([]int32, dims[m])
		for i, l := range leader {
			if int(l) == i {
				to[i] = int32(len(merged))
				merged = append(merged, g[m][i])
			} else {
				j := to[l]
				merged[j] = append(slices.Clip(merged[j]), g[m][i]...)
			}
		}
		for _, set := range merged {
			slices.Sort(set)
		}
		for i := range entries {
			entries[i].cell[m] = to[entries[i].cell[m]]
		}
		g[m], dims[m] = merged, count
	}
	return dims, entries, g
}

// identicalSlices returns for each index of mode m the smallest index with the same allowed cells, and how many
// different slices there are.
func identicalSlices(dims [3]int, entries []entry, m int) (leader []int32, count int) {
	n := dims[m]
	starts := make([]int32, n+1)
	for i := range entries {
		starts[entries[i].cell[m]+1]++
	}
	for i := range n {
		starts[i+1] += starts[i]
	}
	next := slices.Clone(starts)
	sorted := make([]int32, len(entries))
	hash := make([]uint64, n)
	a, b := (m+1)%3, (m+2)%3
	for i := range entries {
		c := &entries[i].cell
		x := c[m]
		sorted[next[x]] = int32(i)
		next[x]++
		hash[x] += mix(uint64(c[a])<<32 | uint64(c[b]))
	}
	byHash := make([]int32, n)
	for i := range byHash {
		byHash[i] = int32(i)
	}
	slices.SortFunc(byHash, func(x, y int32) int {
		if c := cmp.Compare(hash[x], hash[y]); c != 0 {
			return c
		}
		return int(x - y)
	})
	same := func(x, y int32) bool {
		p, q := sorted[starts[x]:starts[x+1]], sorted[starts[y]:starts[y+1]]
		if len(p) != len(q) {
			return false
		}
		for i := range p {
			c, d := &entries[p[i]].cell, &entries[q[i]].cell
			if c[a] != d[a] || c[b] != d[b] {
				return false
			}
		}
		return true
	}
	leader = make([]int32, n)
	for i := 0; i < n; {
		j := i + 1
		for j < n && hash[byHash[j]] == hash[byHash[i]] {
			j++
		}
		for k := i; k < j; k++ { // almost always all equal to the first; a hash collision only costs time
			x := byHash[k]
			leader[x] = x
			for _, y := range byHash[i:k] {
				if leader[y] == y && same(x, y) {
					leader[x] = y
					break
				}
			}
			if leader[x] == x {
				count++
			}
		}
		i = j
	}
	return leader, count
}

// foldSlices keeps the entries of the leading slices. An entry is required if an entry of any slice that it now
// stands for is; the first such cell represents it.
func foldSlices(entries []entry, m int, leader []int32) []entry {
	a, b := (m+1)%3, (m+2)%3
	type place struct{ lead, a, b int32 }
	var required map[place]int32 // set only for followers that require what their leader does not
	folded := make([]entry, 0, len(entries))
	position := make(map[place]int32)
	for _, e := range entries {
		x := e.cell[m]
		l := leader[x]
		p := place{l, e.cell[a], e.cell[b]}
		if l != x {
			if e.one >= 0 {
				if required == nil {
					required = make(map[place]int32)
				}
				if one, ok := required[p]; !ok || e.one < one {
					required[p] = e.one
				}
			}
			continue
		}
		if e.one < 0 {
			position[p] = int32(len(folded))
		}
		folded = append(folded, e)
	}
	for p, i := range position { // independent of order: each place has one position and one cell
		if one, ok := required[p]; ok {
			folded[i].one = one
		}
	}
	return folded
}
