package cover_test

import (
	"testing"
	"time"

	"cordon/recommender/cover"
	"cordon/recommender/cover/check"
)

// TestPartialSets pins how many boxes a share of the sessions of real networks takes, by quick effort, and checks what is said of it.
func TestPartialSets(t *testing.T) {
	for _, c := range []struct {
		set, category string
		percent       int64
		boxes, bound  int
	}{
		{"cisco_g21", "role", 99, 72, 72},
		{"cisco_g21", "role", 90, 13, 13},
		{"cisco_g21", "app", 99, 59, 59},
		{"cisco_g21", "tier", 99, 103, 49},
		{"k8s_boutique", "app", 95, 12, 12},
		{"synth_small", "role", 99, 37, 37},
	} {
		p := readSessions(t, c.set, c.category)
		weights := make([]int64, len(p.Ones))
		for i := range weights {
			weights[i] = 1
		}
		share := cover.Share{Weights: weights, Needed: (int64(len(p.Ones))*c.percent + 99) / 100}
		began := time.Now()
		s, err := cover.SolvePartial(t.Context(), p, share, cover.Options{Effort: cover.EffortQuick})
		if err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		began = time.Now()
		r := check.Partial(p, share, s, check.Limits{})
		t.Logf("%s/%s %d%%: %d boxes, bound %d by %s, weights prove %d, %d cells, %d literals, %+v, %v, check %v", c.set, c.category, c.percent,
			len(s.Boxes), s.LowerBound, s.Method, r.LowerBound, len(s.Parts[0].Cells), s.Literals, s.Stats, took, time.Since(began))
		if !r.Valid() || len(s.Boxes) > c.boxes || s.LowerBound < c.bound {
			t.Errorf("%s/%s %d%%: %d boxes and bound %d, want %d and %d; %v", c.set, c.category, c.percent, len(s.Boxes), s.LowerBound, c.boxes, c.bound, r.Findings)
		}
	}
}
