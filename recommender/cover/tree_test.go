package cover_test

import (
	"maps"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"cordon/recommender/cover"
	"cordon/recommender/cover/check"
)

// drawColumns draws columns of two to four of some rows, no two rows of which are in the same ones: that makes cyclic cores which a node cannot
// finish without branching.
func drawColumns(t *rapid.T, rows int) [][]int32 {
	columns := rapid.SliceOfN(rapid.SliceOfNDistinct(rapid.Int32Range(0, int32(rows-1)), 2, 4, rapid.ID[int32]), 8, 24).Draw(t, "columns")
	for i := range rows {
		columns = append(columns, []int32{int32(i)}) // every row can be covered, and no two rows are alike
	}
	for _, list := range columns {
		slices.Sort(list)
	}
	return columns
}

// fewest is the least number of columns that leave out no more than spare, by trying all sets of rows that they can hold.
func fewest(weight []int64, columns [][]int32, spare int64) int {
	need := map[int]int{0: 0} // Keyed by the set that is held.
	for _, list := range columns {
		mask := 0
		for _, i := range list {
			mask |= 1 << i
		}
		for held, n := range maps.Clone(need) {
			if old, ok := need[held|mask]; !ok || n+1 < old {
				need[held|mask] = n + 1
			}
		}
	}
	best := len(columns)
	for held, n := range need {
		left := int64(0)
		for rest := (1<<len(weight) - 1) &^ held; rest != 0; rest &= rest - 1 {
			left += weight[bits.TrailingZeros(uint(rest))]
		}
		if left <= spare {
			best = min(best, n)
		}
	}
	return best
}

func one(cover.Cell) int64 { return 1 }

// TestTrees: a search that fails leaves a tree that proves it, and no tree proves more than is true.
func TestTrees(t *testing.T) {
	words := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.IntRange(4, 12).Draw(t, "rows")
		columns := drawColumns(t, rows)
		weight := make([]int64, rows)
		for i := range weight {
			weight[i] = 1
		}
		need := fewest(weight, columns, 0)
		for k := max(0, need-2); k <= need; k++ {
			part, found := cover.SearchTree(rows, columns, k)
			if found != (k >= need) {
				t.Fatalf("with %d columns: %v; %d are needed", k, found, need)
			}
			if found {
				continue
			}
			for _, line := range part.Tree {
				words[strings.Fields(line)[0]]++
			}
			if err := check.Tree(part, k+1, 0, one); err != nil {
				t.Fatalf("%d of %d columns: %v\n%s", k, need, err, strings.Join(part.Tree, "\n"))
			}
			if err := check.Tree(part, need+1, 0, one); err == nil {
				t.Fatalf("%d columns do, and the tree for %d proves that they do not:\n%s", need, k, strings.Join(part.Tree, "\n"))
			}
		}
	})
	for _, word := range []string{"skip", "drop", "price", "take", "end"} {
		if words[word] == 0 {
			t.Errorf("no tree has a line %q: %v", word, words)
		}
	}
}

// TestShareTrees is TestTrees where rows may be left out.
func TestShareTrees(t *testing.T) {
	words := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.IntRange(8, 12).Draw(t, "rows")
		columns := drawColumns(t, rows)
		weight := rapid.SliceOfN(rapid.Int64Range(20, 30), rows, rows).Draw(t, "weights")
		sum := int64(0)
		for _, w := range weight {
			sum += w
		}
		spare := rapid.Int64Range(0, sum/4).Draw(t, "spare")
		need := fewest(weight, columns, spare)
		of := func(c cover.Cell) int64 { return weight[c[0]] }
		for k := max(0, need-2); k <= need; k++ {
			part, found := cover.SearchShareTree(weight, columns, spare, k)
			if found != (k >= need) {
				t.Fatalf("with %d columns: %v; %d are needed", k, found, need)
			}
			if found {
				continue
			}
			for _, line := range part.Tree {
				words[strings.Fields(line)[0]]++
			}
			if err := check.Tree(part, k+1, spare, of); err != nil {
				t.Fatalf("%d of %d columns: %v\n%s", k, need, err, strings.Join(part.Tree, "\n"))
			}
			if err := check.Tree(part, need+1, spare, of); err == nil {
				t.Fatalf("%d columns do, and the tree for %d proves that they do not:\n%s", need, k, strings.Join(part.Tree, "\n"))
			}
		}
	})
	for _, word := range []string{"drop", "price", "reach", "take", "end"} {
		if words[word] == 0 {
			t.Errorf("no tree has a line %q: %v", word, words)
		}
	}
}

// TestChangedTrees: whatever becomes of its lines, a tree proves nothing that is false.
func TestChangedTrees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.IntRange(4, 10).Draw(t, "rows")
		columns := drawColumns(t, rows)
		weight := make([]int64, rows)
		for i := range weight {
			weight[i] = 1
		}
		need := fewest(weight, columns, 0)
		part, _ := cover.SearchTree(rows, columns, need-1)
		for range rapid.IntRange(1, 6).Draw(t, "changes") {
			if len(part.Tree) == 0 {
				break
			}
			at := rapid.IntRange(0, len(part.Tree)-1).Draw(t, "line")
			fields := strings.Fields(part.Tree[at])
			switch rapid.IntRange(0, 3).Draw(t, "change") {
			case 0:
				part.Tree = slices.Delete(part.Tree, at, at+1)
			case 1:
				part.Tree = slices.Insert(part.Tree, at, part.Tree[at])
			case 2:
				part.Tree[at] = rapid.SampledFrom([]string{"end", "reach", "take 0", "skip 0", "drop 0 1", "price 1 0:5", "price 2 0,1,2:1", "part 1 0", "part 2 0 1"}).Draw(t, "word")
			case 3:
				if i := len(fields) - 1; i > 0 && !strings.ContainsAny(fields[i], ":") {
					fields[i] = strconv.Itoa(rapid.IntRange(0, rows).Draw(t, "number"))
					part.Tree[at] = strings.Join(fields, " ")
				}
			}
		}
		for boxes := need + 1; boxes <= rows+1; boxes++ {
			if check.Tree(part, boxes, 0, one) == nil {
				t.Fatalf("%d columns do, and the tree proves %d:\n%s", need, boxes, strings.Join(part.Tree, "\n"))
			}
		}
	})
}

// TestTreeOfParts covers disjoint copies of a problem that needs 5 boxes where prices show 3: the lines of the affine plane of order
// 3 by its points (Fulkerson, Nemhauser, Trotter 1974).
func TestTreeOfParts(t *testing.T) {
	var through [9][]int32 // The lines through each point.
	for n, line := range [][3]int{{0, 1, 2}, {3, 4, 5}, {6, 7, 8}, {0, 3, 6}, {1, 4, 7}, {2, 5, 8}, {0, 4, 8}, {1, 5, 6}, {2, 3, 7}, {0, 5, 7}, {1, 3, 8}, {2, 4, 6}} {
		for _, point := range line {
			through[point] = append(through[point], int32(n))
		}
	}
	for copies := 1; copies <= 3; copies++ {
		var columns [][]int32
		for n := range copies {
			for _, lines := range through {
				var column []int32
				for _, i := range lines {
					column = append(column, int32(12*n)+i)
				}
				columns = append(columns, column)
			}
		}
		for k := 3 * copies; k <= 5*copies; k++ {
			part, found := cover.SearchTree(12*copies, columns, k)
			if found != (k >= 5*copies) {
				t.Errorf("%d copies, %d columns: %v", copies, k, found)
			}
			if found {
				continue
			}
			if err := check.Tree(part, k+1, 0, one); err != nil {
				t.Errorf("%d copies, %d columns: %v", copies, k, err)
			}
			if some := slices.ContainsFunc(part.Tree, func(line string) bool { return strings.HasPrefix(line, "part ") }); copies > 1 && !some {
				t.Errorf("%d copies, %d columns: the tree has no parts", copies, k)
			}
		}
	}
}
