package cover_test

import (
	"context"
	"testing"

	"pgregory.net/rapid"

	"cordon/recommender/cover"
	"cordon/recommender/cover/check"
)

func drawProblem(t *rapid.T) cover.Problem {
	var p cover.Problem
	for m := range p.Dims {
		p.Dims[m] = rapid.IntRange(1, 7).Draw(t, "dim")
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

func TestSolutionHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawProblem(t)
		o := cover.Options{Effort: rapid.SampledFrom([]cover.Effort{cover.EffortQuick, cover.EffortDefault}).Draw(t, "effort")}
		s, err := cover.Solve(context.Background(), p, o)
		if err != nil {
			t.Fatal(err)
		}
		if r := check.Check(p, s, check.Limits{}); !r.Valid() {
			t.Fatalf("%v", r.Findings)
		}
	})
}
