package cover_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"cordon/recommender/cover"
	"cordon/recommender/cover/check"
)

// drawProblem draws a tensor that is too large for brute force and small
// enough to be proven: some dense ones of 7 x 7 x 7 are left a rule apart.
func drawProblem(t *rapid.T) cover.Problem {
	var p cover.Problem
	for m := range p.Dims {
		p.Dims[m] = rapid.IntRange(1, 6).Draw(t, "dim")
	}
	ones := rapid.IntRange(1, 9).Draw(t, "ones in ten")
	optional := rapid.SampledFrom([]int{0, 0, 2}).Draw(t, "optional in ten")
	for i := range p.Dims[0] {
		for j := range p.Dims[1] {
			for k := range p.Dims[2] {
				c := cover.Cell{int32(i), int32(j), int32(k)}
				switch x := rapid.IntRange(0, 9).Draw(t, "cell"); {
				case x < ones:
					p.Ones = append(p.Ones, c)
				case x < ones+optional:
					p.DontCare = append(p.DontCare, c)
				}
			}
		}
	}
	return p
}

func solve(t rapid.TB, p cover.Problem, o cover.Options) cover.Solution {
	t.Helper()
	s, err := cover.Solve(context.Background(), p, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSolutionHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawProblem(t)
		o := cover.Options{Effort: rapid.SampledFrom([]cover.Effort{cover.EffortQuick, cover.EffortDefault}).Draw(t, "effort")}
		if rapid.Bool().Draw(t, "little memory") {
			o.MaxMemory = 1 // no list of primes, no pool
		}
		s := solve(t, p, o)
		r := check.Check(p, s, check.Limits{})
		if !r.Valid() {
			t.Fatalf("%v", r.Findings)
		}
		for n, b := range s.Boxes { // each literal is needed: without it, some one would be in no box
			for m := range 3 {
				for i := range b.Sets[m] {
					if len(b.Sets[m]) == 1 {
						continue
					}
					q := s
					q.Boxes = slices.Clone(s.Boxes)
					q.Boxes[n].Sets[m] = slices.Delete(slices.Clone(b.Sets[m]), i, i+1)
					if r := check.Check(p, q, check.Limits{}); !slices.ContainsFunc(r.Findings, func(f check.Finding) bool { return f.Kind == check.Incomplete }) {
						t.Fatalf("index %d of mode %d is not needed in box %d of %v", b.Sets[m][i], m, n, s.Boxes)
					}
				}
			}
		}
		if s.Method == cover.FoolingSet && (len(s.Witness) != s.LowerBound || r.LowerBound != s.LowerBound) {
			t.Fatalf("bound %d by a fooling set of %d, checked %d", s.LowerBound, len(s.Witness), r.LowerBound)
		}
		if o.MaxMemory == 0 && !s.Optimal {
			t.Fatalf("%d boxes, bound %d", len(s.Boxes), s.LowerBound)
		}
	})
}

func TestOrderOfCellsIsIrrelevant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawProblem(t)
		q := p
		q.Ones = rapid.Permutation(p.Ones).Draw(t, "ones")
		q.DontCare = rapid.Permutation(slices.Concat(p.DontCare, p.Ones)).Draw(t, "optional") // a one stays a one
		if n := len(q.Ones); n > 0 {
			q.Ones = append(slices.Clip(q.Ones), q.Ones[:rapid.IntRange(0, n).Draw(t, "twice")]...)
		}
		if diff := cmp.Diff(solve(t, p, cover.Options{}), solve(t, q, cover.Options{})); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestNamesOfIndicesAreIrrelevant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawProblem(t)
		modes := rapid.Permutation([]int{0, 1, 2}).Draw(t, "modes")
		var to [3][]int32
		q := cover.Problem{}
		for m := range 3 {
			all := make([]int32, p.Dims[m]+2) // two indices stay unused
			for i := range all {
				all[i] = int32(i)
			}
			to[m] = rapid.Permutation(all).Draw(t, "names")
			q.Dims[modes[m]] = len(all)
		}
		rename := func(cells []cover.Cell) (out []cover.Cell) {
			for _, c := range cells {
				var d cover.Cell
				for m := range 3 {
					d[modes[m]] = to[m][c[m]]
				}
				out = append(out, d)
			}
			return out
		}
		q.Ones, q.DontCare = rename(p.Ones), rename(p.DontCare)
		a, b := solve(t, p, cover.Options{}), solve(t, q, cover.Options{})
		if len(a.Boxes) != len(b.Boxes) || a.LowerBound != b.LowerBound {
			t.Fatalf("%d boxes, bound %d; renamed %d, bound %d", len(a.Boxes), a.LowerBound, len(b.Boxes), b.LowerBound)
		}
	})
}

func TestSolvingASolutionAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawProblem(t)
		s := solve(t, p, cover.Options{})
		q := cover.Problem{Dims: p.Dims} // now everything permitted is required
		for _, b := range s.Boxes {
			for _, i := range b.Sets[0] {
				for _, j := range b.Sets[1] {
					for _, k := range b.Sets[2] {
						q.Ones = append(q.Ones, cover.Cell{i, j, k})
					}
				}
			}
		}
		if again := solve(t, q, cover.Options{}); len(again.Boxes) != len(s.Boxes) {
			t.Fatalf("%d boxes, solved again %d", len(s.Boxes), len(again.Boxes))
		}
	})
}

// offDiagonal is all pairs of different indices. The fewest boxes that cover it are known, the least k with C(k, k/2) ≥ n
// (Gregory, Pullman 1983), and are out of reach of fooling sets, which have at most three cells.
func offDiagonal(n int) cover.Problem {
	p := cover.Problem{Dims: [3]int{n, n, 1}}
	for i := range n {
		for j := range n {
			if i != j {
				p.Ones = append(p.Ones, cover.Cell{int32(i), int32(j), 0})
			}
		}
	}
	return p
}

func TestOffDiagonal(t *testing.T) {
	for n, want := range map[int]int{2: 2, 3: 3, 4: 4, 6: 4, 7: 5, 8: 5} {
		p := offDiagonal(n)
		s := solve(t, p, cover.Options{})
		if !s.Optimal || len(s.Boxes) != want {
			t.Errorf("%d indices: %d boxes, bound %d by %s, want %d", n, len(s.Boxes), s.LowerBound, s.Method, want)
		}
		if n > 3 && s.Method == cover.FoolingSet {
			t.Errorf("%d indices: bound %d by a fooling set", n, s.LowerBound)
		}
		if r := check.Check(p, s, check.Limits{}); !r.Optimal || len(r.Findings) > 0 {
			t.Errorf("%d indices: bound %d is proved, %v", n, r.LowerBound, r.Findings)
		}
	}
}

func TestEmptyAndFull(t *testing.T) {
	if s := solve(t, cover.Problem{Dims: [3]int{3, 0, 2}}, cover.Options{}); len(s.Boxes) != 0 || !s.Optimal || s.LowerBound != 0 {
		t.Errorf("empty: %+v", s)
	}
	s := solve(t, cover.Problem{Dims: [3]int{2, 1, 1}, Ones: []cover.Cell{{1, 0, 0}}, DontCare: []cover.Cell{{0, 0, 0}}}, cover.Options{})
	want := []cover.Box{{Sets: [3][]int32{{1}, {0}, {0}}}}
	if diff := cmp.Diff(want, s.Boxes); diff != "" || s.Literals != 3 {
		t.Errorf("a don't-care cell that saves no box is not used: %s, %d literals", diff, s.Literals)
	}
}

// TestCost has three cells that two boxes with seven literals cover in two ways.
func TestCost(t *testing.T) {
	p := cover.Problem{Dims: [3]int{2, 2, 1}, Ones: []cover.Cell{{0, 0, 0}, {0, 1, 0}, {1, 0, 0}}}
	for mode := range 2 {
		s, err := cover.Solve(t.Context(), p, cover.Options{Cost: func(b cover.Box) int64 {
			if len(b.Sets[mode]) > 1 {
				return 1
			}
			return 0
		}})
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range s.Boxes {
			if len(b.Sets[mode]) > 1 {
				t.Errorf("a box with two indices of mode %d costs more: %v", mode, s.Boxes)
			}
		}
		if len(s.Boxes) != 2 || s.Literals != 7 {
			t.Errorf("%d boxes with %d literals", len(s.Boxes), s.Literals)
		}
	}
}

func TestBadInput(t *testing.T) {
	for _, c := range []struct {
		p    cover.Problem
		o    cover.Options
		want string
	}{
		{cover.Problem{Dims: [3]int{2, 2, 2}, Ones: []cover.Cell{{0, 0, 0}, {0, 2, 0}}}, cover.Options{},
			"cover: Ones[1] = [0 2 0]: index 2 of mode 1 is outside 0..1"},
		{cover.Problem{Dims: [3]int{2, 2, 2}, DontCare: []cover.Cell{{-1, 0, 0}}}, cover.Options{},
			"cover: DontCare[0] = [-1 0 0]: index -1 of mode 0 is outside 0..1"},
		{cover.Problem{Dims: [3]int{2, 2, 2}}, cover.Options{Effort: 7}, "cover: unknown effort Effort(7)"},
	} {
		if _, err := cover.Solve(t.Context(), c.p, c.o); err == nil || err.Error() != c.want {
			t.Errorf("error %v, want %s", err, c.want)
		}
	}
	if _, err := cover.Solve(t.Context(), cover.Problem{Dims: [3]int{1 << 30, 1 << 30, 1 << 30}, Ones: []cover.Cell{{}}}, cover.Options{}); !errors.Is(err, cover.ErrTooLarge) {
		t.Errorf("error %v", err)
	}
}

func TestEffortNames(t *testing.T) {
	for _, e := range []cover.Effort{cover.EffortDefault, cover.EffortQuick, cover.EffortThorough, cover.EffortExhaustive} {
		if got, err := cover.ParseEffort(e.String()); got != e || err != nil {
			t.Errorf("%v is read back as %v, %v", e, got, err)
		}
	}
	if _, err := cover.ParseEffort("hard"); err == nil {
		t.Error("no error")
	}
}

func TestContextEnds(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	p := generate(800, 60, 12_000, 3)
	s, err := cover.Solve(ended, p, cover.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r := check.Check(p, s, check.Limits{}); !r.Valid() || !s.Stats.Stopped {
		t.Fatalf("stopped %v, findings %v", s.Stats.Stopped, r.Findings)
	}

	// A search that would take hours ends soon after the deadline, with what it has.
	soon, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	p = randomCube(16, 6)
	s, err = cover.Solve(soon, p, cover.Options{Effort: cover.EffortExhaustive})
	if err != nil {
		t.Fatal(err)
	}
	if r := check.Check(p, s, check.Limits{}); !r.Valid() || !s.Stats.Stopped || s.Optimal {
		t.Fatalf("stopped %v, optimal %v, findings %v", s.Stats.Stopped, s.Optimal, r.Findings)
	}
}

func TestGreedy(t *testing.T) {
	// One client group, two servers, crossed ports: merging both sets would permit what was not seen.
	got, err := cover.Greedy(cover.Problem{Dims: [3]int{2, 2, 2}, Ones: []cover.Cell{{0, 0, 0}, {0, 1, 1}, {1, 0, 0}}}, [3]int{0, 1, 2})
	want := []cover.Box{{Sets: [3][]int32{{0}, {1}, {1}}}, {Sets: [3][]int32{{0, 1}, {0}, {0}}}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	rapid.Check(t, func(t *rapid.T) {
		p := drawProblem(t)
		p.DontCare = nil
		boxes, err := cover.Greedy(p, [3]int{2, 0, 1})
		if err != nil {
			t.Fatal(err)
		}
		s := solve(t, p, cover.Options{})
		if len(boxes) < len(s.Boxes) {
			t.Fatalf("merging leaves %d boxes, Solve %d", len(boxes), len(s.Boxes))
		}
		cells := int64(0)
		for _, b := range boxes {
			cells += b.Volume()
		}
		s.Boxes = boxes // sound and complete as well; only the counts differ
		for _, f := range check.Check(p, s, check.Limits{}).Findings {
			if f.Kind != check.WrongCount && f.Kind != check.Unproved {
				t.Fatal(f)
			}
		}
		if cells != int64(len(p.Ones)) {
			t.Fatalf("boxes hold %d cells, the problem %d: they overlap", cells, len(p.Ones))
		}
	})
}
