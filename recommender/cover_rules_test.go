package recommender

import (
	"context"
	"errors"
	"testing"

	"cordon/recommender/cover"
	"cordon/recommender/cover/check"
)

// wheel is a problem that no fooling set proves: all pairs of different indices.
func wheel(n int) (p cover.Problem) {
	p.Dims = [3]int{n, n, 1}
	for i := range n {
		for j := range n {
			if i != j {
				p.Ones = append(p.Ones, cover.Cell{int32(i), int32(j), 0})
			}
		}
	}
	return p
}

func TestInterruptedSearchAnswers(t *testing.T) {
	problem := wheel(40)
	closed := make(chan struct{})
	close(closed)
	var told []Progress
	p := &plan{settings: Settings{Effort: cover.EffortExhaustive, Interrupt: closed, Progress: func(now Progress) { told = append(told, now) }}}
	var c covered
	if err := p.solve(t.Context(), "red", problem, &c); err != nil {
		t.Fatal(err)
	}
	if r := check.Check(problem, c.solution, check.Limits{}); !r.Valid() {
		t.Fatal(r.Findings)
	}
	if certificate := p.certificate(&covered{solution: cover.Solution{Stats: c.solution.Stats}}); !certificate.Interrupted {
		t.Error("the certificate does not say that the search was interrupted")
	}
	if n := len(told); n < 2 || told[0] != (Progress{VRF: "red", Cells: 40 * 39}) || !told[n-1].Done || told[n-1].VRF != "red" {
		t.Errorf("progress %+v", told)
	}

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	p.settings.Interrupt = nil
	if err := p.solve(ended, "red", problem, &c); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestWholeSearchIsNotInterrupted(t *testing.T) {
	p := &plan{settings: Settings{Progress: func(Progress) {}}}
	var c covered
	if err := p.solve(t.Context(), "", wheel(6), &c); err != nil || c.solution.Stats.Interrupted || !c.solution.Optimal {
		t.Errorf("%v, %+v", err, c.solution)
	}
}
