package cover

import (
	"context"
	"math/bits"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func unlimited() *meter { return &meter{ctx: context.Background(), limit: 1 << 62} }

// drawColumns draws a covering in which every row has a column.
func drawColumns(t *rapid.T) (rows int, columns []bitset) {
	rows = rapid.IntRange(1, 14).Draw(t, "rows")
	n := rapid.IntRange(1, 20).Draw(t, "columns")
	for range n {
		c := bitset{rapid.Uint64Range(1, 1<<rows-1).Draw(t, "column") & rapid.Uint64Range(1, 1<<rows-1).Draw(t, "thinned")}
		if !c.empty() {
			columns = append(columns, c)
		}
	}
	covered := uint64(0)
	for _, c := range columns {
		covered |= c[0]
	}
	if rest := (1<<rows - 1) &^ covered; rest != 0 {
		columns = append(columns, bitset{rest})
	}
	return rows, columns
}

// fewest is the size of a smallest cover, by dynamic programming over sets of rows.
func fewest(rows int, columns []bitset) int {
	need := make([]int, 1<<rows)
	for set := 1; set < len(need); set++ {
		need[set] = rows + 1
		first := bits.TrailingZeros(uint(set))
		for _, c := range columns {
			if c.has(int32(first)) {
				need[set] = min(need[set], 1+need[set&^int(c[0])])
			}
		}
	}
	return need[len(need)-1]
}

func covers(rows int, columns []bitset, chosen []int32) bool {
	covered := uint64(0)
	for _, j := range chosen {
		covered |= columns[j][0]
	}
	return covered == 1<<rows-1
}

func TestBranchAndBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, columns := drawColumns(t)
		want := fewest(rows, columns)
		m := newMatrix(rows, columns)
		for k := max(0, want-2); k <= want+1; k++ {
			b := newBrancher(m, unlimited())
			multiplier := make([]float64, rows)
			for i := range multiplier {
				multiplier[i] = rapid.Float64Range(0, 1).Draw(t, "multiplier")
			}
			v := m.all()
			got, found := b.search(m, v, nil, duals{row: multiplier}, k)
			if found != (k >= want) {
				t.Fatalf("at most %d columns: found %v, the minimum is %d", k, found, want)
			}
			if found && (len(got) > k || !covers(rows, columns, got)) {
				t.Fatalf("%v is no cover of at most %d columns", got, k)
			}
		}
	})
}

func TestCyclicCoreKeepsOptimum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, columns := drawColumns(t)
		m := newMatrix(rows, columns)
		v := m.all()
		chosen, witness, ok := m.cyclicCore(v, nil, nil, nil, unlimited())
		if !ok || len(chosen) != len(witness) {
			t.Fatalf("ok %v, %d columns, %d witnesses", ok, len(chosen), len(witness))
		}
		got := len(chosen)
		for _, part := range m.components(v) {
			sub, _, _ := m.cut(part, duals{row: make([]float64, rows)})
			got += fewest(len(sub.row), sub.col)
		}
		if want := fewest(rows, columns); got != want {
			t.Fatalf("essential columns and core need %d, the whole needs %d", got, want)
		}
		for n, i := range witness {
			for _, j := range append(slices.Clone(witness[:n]), v.rows.appendTo(nil)...) {
				for _, c := range m.row[i].appendTo(nil) { // Columns that no other holds are those that count.
					if m.col[c].has(j) && !slices.ContainsFunc(columns, func(d bitset) bool { return d[0] != columns[c][0] && columns[c].within(d, columns[c]) }) {
						t.Fatalf("rows %d and %d of the fooling set share a column", i, j)
					}
				}
			}
		}
	})
}

func TestRelaxationIsBelowOptimum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, columns := drawColumns(t)
		m := newMatrix(rows, columns)
		var r relaxation
		r.load(m, m.all(), duals{row: make([]float64, rows)})
		want := fewest(rows, columns)
		if bound := r.maximize(float64(rows), rootPace, unlimited()); bound > float64(want)+tolerance {
			t.Fatalf("bound %v of a covering that needs %d", bound, want)
		}
		var colRows [][]int32
		for _, c := range columns {
			colRows = append(colRows, c.appendTo(nil))
		}
		weights, sum := dualWeights(colRows, m, r.y)
		total := int64(0)
		for _, list := range colRows {
			load := int64(0)
			for _, i := range list {
				load += weights[i]
			}
			if load > dualScale {
				t.Fatalf("a column weighs %d", load)
			}
		}
		for _, w := range weights {
			total += w
		}
		if total != sum || (sum+dualScale-1)/dualScale > int64(want) {
			t.Fatalf("weights add up to %d, reported %d, for a covering that needs %d", total, sum, want)
		}
	})
}

func TestLocalSearches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, columns := drawColumns(t)
		var colRows [][]int32
		for _, c := range columns {
			colRows = append(colRows, c.appendTo(nil))
		}
		s := newLocalSearch(rows, colRows, unlimited())
		chosen := s.run(300, 1)
		if !covers(rows, columns, chosen) {
			t.Fatalf("%v covers not all", chosen)
		}
		if want := fewest(rows, columns); len(chosen) != want {
			t.Fatalf("%d columns, the minimum is %d", len(chosen), want)
		}
		for j := range columns { // the scores are kept up to date step by step; compute them anew
			score := int64(0)
			for _, i := range colRows[j] {
				switch {
				case s.in[j] && s.times[i] == 1:
					score -= s.weight[i]
				case !s.in[j] && s.times[i] == 0:
					score += s.weight[i]
				}
			}
			if score != s.score[j] {
				t.Fatalf("column %d has score %d, kept %d", j, score, s.score[j])
			}
		}

		m := newMatrix(rows, columns)
		graph := m.rowGraph()
		set := independentSet(graph, 300, rows, unlimited())
		best := 0
	subset:
		for x := range 1 << rows {
			if bits.OnesCount(uint(x)) <= best {
				continue
			}
			for i := range rows {
				for _, k := range graph[i] {
					if x>>i&1 == 1 && x>>k&1 == 1 {
						continue subset
					}
				}
			}
			best = bits.OnesCount(uint(x))
		}
		for _, i := range set {
			for _, k := range set {
				if slices.Contains(graph[i], k) {
					t.Fatalf("%d and %d are neighbours", i, k)
				}
			}
		}
		if len(set) != best {
			t.Fatalf("independent set of %d, the largest has %d", len(set), best)
		}
	})
}

func TestMaximalColumns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, columns := drawColumns(t)
		kept := maximalColumns(slices.Clone(columns), rows, unlimited())
		for i, c := range columns {
			holders := 0
			for _, k := range kept {
				if c.within(k, c) {
					holders++
				}
			}
			if holders == 0 {
				t.Fatalf("column %d is in none that was kept", i)
			}
		}
		for i, c := range kept {
			for k, d := range kept {
				if i != k && c.within(d, c) {
					t.Fatalf("kept column %d is within %d", i, k)
				}
			}
		}
	})
}

// TestComponentsWithGap covers disjoint copies of the smallest Steiner triple covering (Fulkerson, Nemhauser, Trotter 1974): the
// lines of the affine plane of order 3 by its points. One copy needs 5 columns where the linear relaxation says 3, so each component
// is searched more than once. A triangle beside them (three rows, any two in a column) needs 2.
func TestComponentsWithGap(t *testing.T) {
	var lines [][3]int
	for a := range 9 {
		for b := range a {
			c := 3*((6-a/3-b/3)%3) + (6-a%3-b%3)%3 // the third point of the line through a and b
			if c < b {
				lines = append(lines, [3]int{a, b, c})
			}
		}
	}
	for _, c := range []struct{ copies, triangles int }{{1, 1}, {3, 0}, {2, 1}} {
		rows := 12*c.copies + 3*c.triangles
		var columns []bitset
		add := func(list ...int) {
			b := newBitset(rows)
			for _, i := range list {
				b.set(int32(i))
			}
			columns = append(columns, b)
		}
		for n := range c.copies {
			for point := range 9 {
				var through []int
				for i, line := range lines {
					if slices.Contains(line[:], point) {
						through = append(through, 12*n+i)
					}
				}
				add(through...)
			}
		}
		for n := range c.triangles {
			i := 12*c.copies + 3*n
			add(i, i+1)
			add(i+1, i+2)
			add(i, i+2)
		}
		m := newMatrix(rows, columns)
		want := 5*c.copies + 2*c.triangles
		for k := want - 2; k <= want+1; k++ {
			b := newBrancher(m, unlimited())
			solution, found := b.search(m, m.all(), nil, duals{row: make([]float64, rows)}, k)
			if found != (k >= want) || found && (len(solution) > k || !covers(rows, columns, solution)) {
				t.Errorf("%+v, at most %d columns: found %v, %v", c, k, found, solution)
			}
		}
	}
}
