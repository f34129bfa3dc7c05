package cover

import (
	"testing"

	"pgregory.net/rapid"
)

func TestLastAnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, c := newBitset(200), newBitset(200)
		want := int32(-1)
		for i := range int32(200) {
			inB, inC := rapid.Bool().Draw(t, "in b"), rapid.IntRange(0, 9).Draw(t, "in c") == 0
			if inB {
				b.set(i)
			}
			if inC {
				c.set(i)
			}
			if inB && inC {
				want = i
			}
		}
		if got := b.lastAnd(c); got != want {
			t.Fatalf("last common member is %d, want %d", got, want)
		}
	})
}

// TestStepsGrow: the default effort grows with a large problem, no other does, and a small one keeps what it had.
func TestStepsGrow(t *testing.T) {
	const small, large, huge = 5_000, 680_000, 100_000_000
	for e := range Effort(len(effortNames)) {
		if got := e.steps(small); got != e.steps(0) {
			t.Errorf("%v: %d steps for %d ones, %d for none", e, got, small, e.steps(0))
		}
		if got := e.steps(large); (got > e.steps(0)) != (e == EffortDefault) {
			t.Errorf("%v: %d steps for %d ones, %d for none", e, got, large, e.steps(0))
		}
	}
	if got, most := EffortDefault.steps(huge), EffortThorough.steps(huge); got > most {
		t.Errorf("default takes %d steps, thorough %d", got, most)
	}
}
