package cover

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// smallProblem draws a tensor small enough for brute force.
func smallProblem(t *rapid.T) Problem {
	var p Problem
	for m := range p.Dims {
		p.Dims[m] = rapid.IntRange(1, 4).Draw(t, "dim")
	}
	ones := rapid.IntRange(1, 9).Draw(t, "ones in ten")
	optional := rapid.SampledFrom([]int{0, 0, 1, 3}).Draw(t, "optional in ten")
	for i := range p.Dims[0] {
		for j := range p.Dims[1] {
			for k := range p.Dims[2] {
				c := Cell{int32(i), int32(j), int32(k)}
				switch x := rapid.IntRange(0, 9).Draw(t, "cell"); {
				case x < ones && len(p.Ones) < 40:
					p.Ones = append(p.Ones, c)
				case x < ones+optional:
					p.DontCare = append(p.DontCare, c)
				}
			}
		}
	}
	return p
}

// maximalBoxes gives the ones (bits, by position) of each legal box that no other contains.
func maximalBoxes(p Problem) (maximal []uint64) {
	allowed := map[Cell]bool{}
	for _, c := range p.Ones {
		allowed[c] = true
	}
	for _, c := range p.DontCare {
		allowed[c] = true
	}
	number := map[Cell]int{}
	for _, c := range p.Ones {
		number[c] = len(number)
	}
	var holds []uint64 // the ones of each legal box
	for a := 1; a < 1<<p.Dims[0]; a++ {
		for b := 1; b < 1<<p.Dims[1]; b++ {
		box:
			for c := 1; c < 1<<p.Dims[2]; c++ {
				var ones uint64
				for i := range p.Dims[0] {
					for j := range p.Dims[1] {
						for k := range p.Dims[2] {
							if a>>i&1 == 0 || b>>j&1 == 0 || c>>k&1 == 0 {
								continue
							}
							cell := Cell{int32(i), int32(j), int32(k)}
							if !allowed[cell] {
								continue box
							}
							if n, ok := number[cell]; ok {
								ones |= 1 << n
							}
						}
					}
				}
				holds = append(holds, ones)
			}
		}
	}
	slices.Sort(holds)
	holds = slices.Compact(holds)
	for _, x := range holds {
		if !slices.ContainsFunc(holds, func(y uint64) bool { return x != y && x&^y == 0 }) {
			maximal = append(maximal, x)
		}
	}
	return maximal
}

// minimum finds the fewest boxes in the plainest way: all legal boxes that no other contains, and depth-first
// search with one more box each time.
func minimum(p Problem) int {
	maximal := maximalBoxes(p)
	var search func(left uint64, boxes int) bool
	search = func(left uint64, boxes int) bool {
		if left == 0 {
			return true
		}
		if boxes == 0 {
			return false
		}
		first := left & -left
		for _, x := range maximal {
			if x&first != 0 && search(left&^x, boxes-1) {
				return true
			}
		}
		return false
	}
	for n := 0; ; n++ {
		if search(1<<len(p.Ones)-1, n) {
			return n
		}
	}
}

func TestAgainstBruteForce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := smallProblem(t)
		s, err := Solve(t.Context(), p, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if want := minimum(p); len(s.Boxes) != want || !s.Optimal {
			t.Fatalf("%d boxes, optimal %v, bound %d by %s; the minimum is %d", len(s.Boxes), s.Optimal, s.LowerBound, s.Method, want)
		}
	})
}
