package simulate

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// seen is one session of the reference: a cell and the hours with a record.
type seen struct {
	cell  int
	hours []int
}

// permittedBy says whether a policy learned until a stop permits a cell: by what was seen before the stop alone.
func permittedBy(c *LearnedCell, cell, stop int, all []seen) bool {
	if c.Permitted {
		return true
	}
	sessions, hours := map[int]bool{}, map[int]bool{}
	for i, s := range all {
		for _, h := range s.hours {
			if s.cell == cell && h < stop {
				sessions[i], hours[h] = true, true
			}
		}
	}
	return !c.Never && uint64(len(sessions)) >= c.MinSessions && uint64(len(hours)) >= c.MinHours && len(sessions) > 0
}

// TestBacktestAgainstReference compares every backtest with a policy that is learned anew at each stop.
func TestBacktestAgainstReference(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := &Learned{VRF: "default", From: time.Date(2026, 11, 20, 22, 0, 0, 0, time.UTC), Hours: rapid.IntRange(2, 100).Draw(rt, "hours")}
		var all []seen
		for i := range rapid.IntRange(1, 6).Draw(rt, "cells") {
			c := LearnedCell{Source: fmt.Sprintf("group:%d", i%3), Destination: "group:x", Service: fmt.Sprintf("tcp/%d", i),
				MinSessions: uint64(rapid.IntRange(1, 3).Draw(rt, "sessions")), MinHours: uint64(rapid.IntRange(1, 2).Draw(rt, "hours needed")),
				Never: rapid.IntRange(0, 9).Draw(rt, "never") == 0, Permitted: rapid.IntRange(0, 9).Draw(rt, "permitted") == 0}
			for range rapid.IntRange(1, 6).Draw(rt, "sessions of the cell") {
				hours := rapid.SliceOfNDistinct(rapid.IntRange(0, l.Hours-1), 1, 4, rapid.ID[int]).Draw(rt, "at")
				slices.Sort(hours)
				all = append(all, seen{i, hours})
				c.Activity = append(c.Activity, Activity{hours, 1})
			}
			l.Cells = append(l.Cells, c)
		}
		r := Assess(l, ReadinessOptions{AtMost: 0.01})
		check := func(b *Backtest, to int) {
			stop := int(b.LearnedUntil.Sub(l.From) / time.Hour)
			var sessions, denied uint64
			for _, s := range all {
				if slices.ContainsFunc(s.hours, func(h int) bool { return stop <= h && h < to }) {
					sessions++
					if !permittedBy(&l.Cells[s.cell], s.cell, stop, all) {
						denied++
					}
				}
			}
			if b.Sessions != sessions || b.Denied != denied {
				rt.Fatalf("learned until hour %d, to %d: %d of %d denied, want %d of %d", stop, to, b.Denied, b.Sessions, denied, sessions)
			}
		}
		for i := range r.Backtest {
			stop := int(r.Backtest[i].LearnedUntil.Sub(l.From) / time.Hour)
			check(&r.Backtest[i], min(stop+max(l.Hours/3, 1), l.Hours))
		}
		for i := range r.Ago {
			check(&r.Ago[i].Backtest, l.Hours)
		}
		cells := map[int]bool{}
		for _, s := range all {
			cells[s.cell] = true
		}
		if last := r.Curve[len(r.Curve)-1]; last.Cells != len(cells) {
			rt.Fatalf("%d cells at the end of the curve, want %d", last.Cells, len(cells))
		}
		hours := 0
		for _, d := range r.Curve {
			hours += len(d.ByHour)
		}
		if hours != l.Hours {
			rt.Fatalf("%d hours in the curve, want %d", hours, l.Hours)
		}
	})
}

// steady is sessions of one cell in every hour.
func steady(source string, hours int, n uint64) LearnedCell {
	c := LearnedCell{Source: source, Destination: "group:db", Service: "tcp/5432", MinSessions: 1, MinHours: 1}
	all := make([]int, hours)
	for h := range all {
		all[h] = h
	}
	c.Activity = []Activity{{all, n}}
	return c
}

func TestForecastIsDeclined(t *testing.T) {
	at := func(hours int, lossy ...string) *Readiness {
		l := &Learned{VRF: "default", From: time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC), Hours: hours, Lossy: lossy, Cells: []LearnedCell{steady("group:web", hours, 10)}}
		return Assess(l, ReadinessOptions{AtMost: 0.01})
	}
	for _, c := range []struct {
		r        *Readiness
		declined string
	}{{at(20), "only 20 hours have data"}, {at(40), "at least two days"}, {at(100, "10.255.0.1"), "exporters 10.255.0.1"}} {
		if !strings.Contains(c.r.Forecast.Declined, c.declined) || c.r.Forecast.DeniedShareAtMost != nil || c.r.Ready {
			t.Errorf("forecast %+v, ready %v; want it declined since %q", c.r.Forecast, c.r.Ready, c.declined)
		}
	}
	r := at(100)
	if !r.Ready || r.Forecast.Declined != "" || *r.Forecast.DeniedShareAtMost != boundAdded || r.Forecast.Horizon != "33h" || !strings.Contains(r.Forecast.Text, "if nothing new is introduced") {
		t.Errorf("a steady cell: %+v, ready %v", r.Forecast, r.Ready)
	}
	if why := strings.Join(r.Why, " "); !strings.Contains(why, "no whole week") {
		t.Errorf("no warning that no week was seen: %s", why)
	}
}

func TestGroupStates(t *testing.T) {
	l := &Learned{VRF: "default", From: time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC), Hours: 200}
	late := LearnedCell{Source: "group:new", Destination: "group:db", Service: "tcp/22", MinSessions: 1, MinHours: 1, Activity: []Activity{{[]int{190}, 5}}}
	gone := LearnedCell{Source: "group:gone", Destination: "group:old", Service: "tcp/23", MinSessions: 1, MinHours: 1, Activity: []Activity{{[]int{3, 9}, 5}}}
	l.Cells = []LearnedCell{steady("group:web", 200, 1000), late, gone}
	states := map[string]string{}
	for _, g := range Assess(l, ReadinessOptions{}).Groups {
		states[g.Group] = g.State
	}
	for group, want := range map[string]string{"web": Settled, "new": Learning, "gone": TooLittle, "db": Settled} {
		if states[group] != want {
			t.Errorf("%s is %s, want %s", group, states[group], want)
		}
	}
}
