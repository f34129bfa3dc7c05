package cover

import (
	"math/bits"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// reach is the most weight that so many boxes hold, by trying them all.
func reach(p Problem, weights []int64, boxes int) int64 {
	holds := maximalBoxes(p)
	weigh := func(ones uint64) (sum int64) {
		for i, w := range weights {
			if ones>>i&1 == 1 {
				sum += w
			}
		}
		return sum
	}
	var search func(from int, ones uint64, left int) int64
	search = func(from int, ones uint64, left int) int64 {
		best := weigh(ones)
		for i := from; i < len(holds) && left > 0; i++ {
			best = max(best, search(i+1, ones|holds[i], left-1))
		}
		return best
	}
	return search(0, 0, boxes)
}

func drawWeights(t *rapid.T, n int) []int64 {
	most := rapid.SampledFrom([]int64{1, 3, 1000}).Draw(t, "heaviest")
	return rapid.SliceOfN(rapid.Int64Range(0, most), n, n).Draw(t, "weights")
}

func sum(weights []int64) (n int64) {
	for _, w := range weights {
		n += w
	}
	return n
}

func TestPartialAgainstBruteForce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := smallProblem(t)
		w := drawWeights(t, len(p.Ones))
		needed := rapid.Int64Range(0, sum(w)).Draw(t, "needed")
		s, err := SolvePartial(t.Context(), p, Share{w, needed}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		held := int64(0)
		for i, c := range p.Ones {
			if slices.ContainsFunc(s.Boxes, func(b Box) bool { return b.Contains(c) }) {
				held += w[i]
			}
		}
		if held < needed {
			t.Fatalf("the boxes hold %d, %d are needed", held, needed)
		}
		if n := len(s.Boxes); n > 0 && n <= 6 { // More boxes take long.
			if most := reach(p, w, n-1); most >= needed {
				t.Fatalf("%d boxes for %d, but fewer hold %d", n, needed, most)
			}
		}
		if !s.Optimal || s.LowerBound != len(s.Boxes) {
			t.Fatalf("%d boxes, bound %d by %s", len(s.Boxes), s.LowerBound, s.Method)
		}
		// No answer is above that of all ones, which is the one for everything.
		full, err := Solve(t.Context(), p, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Boxes) > len(full.Boxes) {
			t.Fatalf("%d boxes, all ones take %d", len(s.Boxes), len(full.Boxes))
		}
		// The order of ones has no influence.
		type one struct {
			c Cell
			w int64
		}
		var ones []one
		for i, c := range p.Ones {
			ones = append(ones, one{c, w[i]})
		}
		q, v := Problem{Dims: p.Dims, DontCare: p.DontCare}, []int64(nil)
		for _, o := range rapid.Permutation(ones).Draw(t, "order") {
			q.Ones, v = append(q.Ones, o.c), append(v, o.w)
		}
		again, err := SolvePartial(t.Context(), q, Share{v, needed}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(s, again); d != "" {
			t.Fatalf("another order of ones:\n%s", d)
		}
	})
}

// TestPartialOfAll: where all is needed, it is the cover of all.
func TestPartialOfAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := smallProblem(t)
		w := rapid.SliceOfN(rapid.Int64Range(5, 9), len(p.Ones), len(p.Ones)).Draw(t, "weights")
		full, err := Solve(t.Context(), p, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, less := range []int64{0, 4} { // less than any one weighs
			s, err := SolvePartial(t.Context(), p, Share{w, sum(w) - less}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(full, s); d != "" && len(p.Ones) > 0 {
				t.Fatalf("-all +partial:\n%s", d)
			}
		}
	})
}

// TestPartialIncomplete: without the list of maximal boxes the answer holds as well, with a bound that does.
func TestPartialIncomplete(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := smallProblem(t)
		w := rapid.SliceOfN(rapid.Int64Range(1, 20), len(p.Ones), len(p.Ones)).Draw(t, "weights")
		if len(p.Ones) == 0 {
			return
		}
		needed := rapid.Int64Range(1, sum(w)).Draw(t, "needed")
		best, err := SolvePartial(t.Context(), p, Share{w, needed}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range []Options{{MaxMemory: 1}, {MaxMemory: 5000, Effort: EffortQuick}} {
			s, err := SolvePartial(t.Context(), p, Share{w, needed}, o)
			if err != nil {
				t.Fatal(err)
			}
			if s.LowerBound > len(best.Boxes) || len(s.Boxes) < best.LowerBound {
				t.Fatalf("%+v: %d boxes and bound %d, the minimum is %d", o, len(s.Boxes), s.LowerBound, len(best.Boxes))
			}
		}
	})
}

func TestPartialRefuses(t *testing.T) {
	p := Problem{Dims: [3]int{1, 1, 2}, Ones: []Cell{{0, 0, 0}, {0, 0, 1}}}
	for _, s := range []Share{{[]int64{1}, 1}, {[]int64{1, -1}, 0}, {[]int64{1, 2}, 4}, {[]int64{1 << 62, 1}, 4}} {
		if _, err := SolvePartial(t.Context(), p, s, Options{}); err == nil {
			t.Errorf("%+v is no share", s)
		}
	}
	if _, err := SolvePartial(t.Context(), p, Share{[]int64{1, 2}, 2}, Options{Effort: 9}); err == nil {
		t.Error("there is no effort 9")
	}
}

// TestKnapsackBound: at least what whole items give, at most one item more.
func TestKnapsackBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 10).Draw(t, "items")
		scale := rapid.SampledFrom([]int64{1, 1 << 40}).Draw(t, "scale")
		value := rapid.SliceOfN(rapid.Int64Range(1, 30), n, n).Draw(t, "values")
		weight := rapid.SliceOfN(rapid.Int64Range(1, 30), n, n).Draw(t, "weights")
		budget := rapid.Int64Range(0, 200).Draw(t, "budget") * scale
		for i := range weight {
			weight[i] *= scale
			value[i] *= scale
		}
		best := int64(0)
		for set := range 1 << n {
			v, w := int64(0), int64(0)
			for i := range n {
				if set>>i&1 == 1 {
					v, w = v+value[i], w+weight[i]
				}
			}
			if w <= budget {
				best = max(best, v)
			}
		}
		got := knapsackBound(value, weight, budget)
		if got < best || got > best+slices.Max(value) {
			t.Fatalf("%d, whole items give %d", got, best)
		}
		k := &knapsack{budget: float64(budget)}
		var v []float64
		for i := range n {
			k.weight, v = append(k.weight, float64(weight[i])), append(v, float64(value[i]))
		}
		slope := make([]float64, n)
		if f := k.leaveOut(v, slope); f < float64(got)-0.001 || f > float64(got)+1.001 {
			t.Fatalf("%v in floating point, %d in whole numbers", f, got)
		}
	})
}

// TestPartialBrancher: the search alone, on matrices, says what trying everything says.
func TestPartialBrancher(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.IntRange(1, 9).Draw(t, "rows")
		columns := make([]bitset, rapid.IntRange(1, 9).Draw(t, "columns"))
		for j := range columns {
			columns[j] = newBitset(rows)
			columns[j][0] = rapid.Uint64Range(1, 1<<rows-1).Draw(t, "column")
		}
		weight := rapid.SliceOfN(rapid.Int64Range(1, 9), rows, rows).Draw(t, "weights")
		budget := rapid.Int64Range(0, sum(weight)).Draw(t, "budget")
		out := func(chosen uint64) (left int64) {
			held := uint64(0)
			for j, c := range columns {
				if chosen>>j&1 == 1 {
					held |= c[0]
				}
			}
			for i, w := range weight {
				if held>>i&1 == 0 {
					left += w
				}
			}
			return left
		}
		fewest := len(columns) + 1
		for chosen := range uint64(1) << len(columns) {
			if out(chosen) <= budget {
				fewest = min(fewest, bits.OnesCount64(chosen))
			}
		}
		m := newMatrix(rows, columns)
		for k := range len(columns) + 1 {
			b := newBrancher(m, &meter{ctx: t.Context(), limit: 1 << 40})
			chosen, found := b.searchShare(m, m.all(), make([]float64, rows), weight, budget, k)
			set := uint64(0)
			for _, j := range chosen {
				set |= 1 << j
			}
			switch {
			case found != (k >= fewest):
				t.Fatalf("%d columns are enough: %v, but the fewest are %d", k, found, fewest)
			case found && (len(chosen) > k || out(set) > budget):
				t.Fatalf("%v leaves out %d of weight, %d may be", chosen, out(set), budget)
			}
		}
	})
}

// TestPicker: what it keeps of gains as columns come and go is what counting says.
func TestPicker(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const rows = 6
		weight := rapid.SliceOfN(rapid.Int64Range(1, 9), rows, rows).Draw(t, "weights")
		colRows := rapid.SliceOfN(rapid.SliceOfNDistinct(rapid.Int32Range(0, rows-1), 1, rows, rapid.ID[int32]), 1, 6).Draw(t, "columns")
		p := newPicker(rows, colRows, weight, &meter{ctx: t.Context(), limit: 1 << 40})
		for range 12 {
			j := int32(rapid.IntRange(0, len(colRows)-1).Draw(t, "column"))
			if p.in[j] {
				p.drop(j)
			} else {
				p.add(j)
			}
			held := func(without int) (w int64) {
				for i := range rows {
					for k, list := range colRows {
						if p.in[k] && k != without && slices.Contains(list, int32(i)) {
							w += weight[i]
							break
						}
					}
				}
				return w
			}
			if p.covered != held(-1) {
				t.Fatalf("%d covered, counted are %d", p.covered, held(-1))
			}
			for k := range colRows {
				in := p.in[k]
				p.in[k] = true
				if want := held(-1) - held(k); p.gain[k] != want {
					t.Fatalf("column %d: gain %d, counted are %d", k, p.gain[k], want)
				}
				p.in[k] = in
			}
		}
	})
}
