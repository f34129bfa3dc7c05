package check

import (
	"math/bits"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"cordon/recommender/cover"
)

// searchOf is a search among boxes given by the cells that they hold.
func searchOf(cells int, boxes [][]int) *search {
	s := &search{cells: make([]cover.Cell, cells), limit: 1 << 60, gain: make([]float64, len(boxes)), tries: make([]float64, len(boxes))}
	for range cells {
		s.holds = append(s.holds, newSet(len(boxes)))
	}
	for j, list := range boxes {
		b := newSet(cells)
		for _, i := range list {
			b.add(i)
			s.holds[i].add(j)
		}
		s.boxes = append(s.boxes, b)
	}
	return s
}

// fewest is the size of a smallest cover, by dynamic programming over sets of cells.
func fewest(cells int, boxes [][]int) int {
	need := make([]int, 1<<cells)
	for set := 1; set < len(need); set++ {
		need[set] = cells + 1
		for _, list := range boxes {
			if rest := set; slices.Contains(list, bits.TrailingZeros(uint(set))) {
				for _, i := range list {
					rest &^= 1 << i
				}
				need[set] = min(need[set], 1+need[rest])
			}
		}
	}
	return need[len(need)-1]
}

func TestSearch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cells := rapid.IntRange(4, 12).Draw(t, "cells")
		// Boxes of two to four cells of a dozen leave cyclic cores that a node cannot finish without branching.
		boxes := rapid.SliceOfN(rapid.SliceOfNDistinct(rapid.IntRange(0, cells-1), 2, 4, rapid.ID[int]), 8, 24).Draw(t, "boxes")
		for i := range cells {
			if !slices.ContainsFunc(boxes, func(list []int) bool { return slices.Contains(list, i) }) {
				boxes = append(boxes, []int{i})
			}
		}
		want := fewest(cells, boxes)
		part := cover.Part{Scale: 10}
		for range cells {
			part.Weights = append(part.Weights, rapid.Int64Range(0, 10).Draw(t, "weight"))
		}
		for k := max(0, want-2); k <= want+1; k++ {
			if out := searchOf(cells, boxes).try(k, part); (out == possible) != (k >= want) || out == unfinished {
				t.Fatalf("with %d boxes: %v; %d are needed", k, out, want)
			}
		}
	})
}

// TestSearchOfParts covers disjoint copies of a problem that needs 5 boxes where prices show 3: the lines of the affine plane of order
// 3 by its points (Fulkerson, Nemhauser, Trotter 1974).
func TestSearchOfParts(t *testing.T) {
	var through [9][]int // by point: its lines
	for n, line := range [][3]int{{0, 1, 2}, {3, 4, 5}, {6, 7, 8}, {0, 3, 6}, {1, 4, 7}, {2, 5, 8}, {0, 4, 8}, {1, 5, 6}, {2, 3, 7}, {0, 5, 7}, {1, 3, 8}, {2, 4, 6}} {
		for _, point := range line {
			through[point] = append(through[point], n)
		}
	}
	for copies := 1; copies <= 3; copies++ {
		var boxes [][]int
		for n := range copies {
			for _, lines := range through {
				var box []int
				for _, i := range lines {
					box = append(box, 12*n+i)
				}
				boxes = append(boxes, box)
			}
		}
		for k := 3 * copies; k <= 5*copies+1; k++ {
			if out := searchOf(12*copies, boxes).try(k, cover.Part{}); (out == possible) != (k >= 5*copies) {
				t.Errorf("%d copies, %d boxes: %v", copies, k, out)
			}
		}
	}
}
