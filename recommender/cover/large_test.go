package cover_test

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"cordon/recommender/cover"
	"cordon/recommender/cover/check"
)

// TestLarge solves and checks 680,000 cells of 33,000 hosts and 2,500 services.
func TestLarge(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes about half a minute")
	}
	p := generate(33_000, 2_500, 680_000, 1)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	s, err := cover.Solve(t.Context(), p, cover.Options{})
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	t.Logf("%d boxes, bound %d by %s, %d literals, %v, %d MiB from the system, %+v", len(s.Boxes), s.LowerBound, s.Method, s.Literals, took.Round(time.Millisecond), after.Sys>>20, s.Stats)
	if after.Sys > 4<<30 {
		t.Errorf("took %d MiB", after.Sys>>20)
	}
	if gap := len(s.Boxes) - s.LowerBound; gap*200 > len(s.Boxes) {
		t.Errorf("%d boxes, bound %d: more than half a percent apart", len(s.Boxes), s.LowerBound)
	}
	if r := check.Check(p, s, check.Limits{}); !r.Valid() {
		t.Errorf("%v", r.Findings)
	}
}

func BenchmarkSolve(b *testing.B) {
	for _, cells := range []int{5_000, 50_000, 680_000} {
		p := generate(max(500, cells/20), max(100, cells/270), cells, 1)
		for _, effort := range []cover.Effort{cover.EffortQuick, cover.EffortDefault} {
			b.Run(fmt.Sprintf("cells=%d/effort=%s", cells, effort), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					s, err := cover.Solve(b.Context(), p, cover.Options{Effort: effort})
					if err != nil {
						b.Fatal(err)
					}
					b.ReportMetric(float64(len(s.Boxes)), "boxes")
					b.ReportMetric(float64(s.LowerBound), "bound")
				}
			})
		}
	}
}

func BenchmarkSets(b *testing.B) {
	for _, of := range []struct{ set, category string }{
		{"cisco_g21", "role"}, {"cisco_g21", "app"}, {"cisco_g21", "tier"},
		{"cisco_g5", ""}, {"cisco_g10", ""}, // no groups: each host stands for itself
	} {
		b.Run(strings.TrimSuffix(of.set+"/"+of.category, "/"), func(b *testing.B) {
			p := readSet(b, of.set, of.category)
			b.ReportAllocs()
			for b.Loop() {
				began := processorTime()
				s, err := cover.Solve(b.Context(), p, cover.Options{})
				if err != nil {
					b.Fatal(err)
				}
				reportSolution(b, s, began)
			}
		})
	}
}

// BenchmarkLarge solves 680,000 cells of other shapes, and of other seeds.
func BenchmarkLarge(b *testing.B) {
	for _, shape := range slices.Sorted(maps.Keys(shapes)) {
		for _, seed := range []sequence{1, 2, 3} {
			b.Run(fmt.Sprintf("shape=%s/seed=%d", shape, seed), func(b *testing.B) {
				p := shapes[shape](33_000, 2_500, 680_000, seed)
				for b.Loop() {
					began := processorTime()
					s, err := cover.Solve(b.Context(), p, cover.Options{})
					if err != nil {
						b.Fatal(err)
					}
					reportSolution(b, s, began)
					b.StopTimer()
					if r := check.Check(p, s, check.Limits{}); !r.Valid() || r.LowerBound < len(s.Witness) {
						b.Fatal(r.Findings)
					}
					b.StartTimer()
				}
			})
		}
	}
}

// BenchmarkOverlaid solves two networks without groups laid over each other: the host that is in most cells of one is that of the
// other, and so on, and services likewise. It has the shapes of both, and the boxes of one run into those of the other.
func BenchmarkOverlaid(b *testing.B) {
	p := byRank(readSet(b, "cisco_g10", ""))
	second := byRank(readSet(b, "cisco_g5", ""))
	p.Ones = append(p.Ones, second.Ones...)
	for m := range 3 {
		p.Dims[m] = max(p.Dims[m], second.Dims[m])
	}
	slices.SortFunc(p.Ones, func(a, b cover.Cell) int { return slices.Compare(a[:], b[:]) })
	p.Ones = slices.Compact(p.Ones)
	for b.Loop() {
		began := processorTime()
		s, err := cover.Solve(b.Context(), p, cover.Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(p.Ones)), "cells")
		reportSolution(b, s, began)
	}
}

// byRank numbers what is in each dimension anew, what is in most cells first.
func byRank(p cover.Problem) cover.Problem {
	for m := range 3 {
		counts, order, rank := make([]int, p.Dims[m]), make([]int32, p.Dims[m]), make([]int32, p.Dims[m])
		for i := range order {
			order[i] = int32(i)
		}
		for _, c := range p.Ones {
			counts[c[m]]++
		}
		slices.SortStableFunc(order, func(a, b int32) int { return counts[b] - counts[a] })
		for r, i := range order {
			rank[i] = int32(r)
		}
		for i := range p.Ones {
			p.Ones[i][m] = rank[p.Ones[i][m]]
		}
	}
	return p
}

// processorTime is what the process has taken so far, in seconds, which others on the machine change little.
func processorTime() float64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// reportSolution reports what a search has found since it began.
func reportSolution(b *testing.B, s cover.Solution, began float64) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(processorTime()-began, "cpu-s")
	b.ReportMetric(float64(len(s.Boxes)), "boxes")
	b.ReportMetric(float64(s.LowerBound), "bound")
	b.ReportMetric(100*float64(len(s.Boxes)-s.LowerBound)/float64(len(s.Boxes)), "gap-percent")
	b.ReportMetric(float64(m.Sys>>20), "MiB")
}
