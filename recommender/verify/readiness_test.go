package verify

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"cordon/recommender/policy"
)

// known is the readiness of the sessions of collected, counted by hand: all are seen in each of 48 hours, but that of app and db in the last
// eight of them only.
func known(list []Session) *policy.Readiness {
	first := uint32(base.Unix() / 3600)
	for i := range list {
		from := uint32(0)
		if list[i].Client.String() == "10.0.2.1" && list[i].Service.Port == 5432 {
			from = 40
		}
		for h := uint32(48); h > from; h-- {
			list[i].Hours = append(list[i].Hours, first+h-1)
		}
	}
	bound := 0.334333
	out := &policy.Readiness{
		Why: []string{"the bound of 33.43% is above the 1.00% that is acceptable.",
			"groups that are still learning and have more than 1% of the sessions: 2.",
			"Warning: no whole week was seen, so what happens on other days is unknown."},
		Forecast: policy.ReadinessForecast{Horizon: "16h", DeniedShareAtMost: &bound},
		Groups: []policy.ReadinessGroup{
			{Group: "app", State: "learning", Reason: "25.00% of its 4 sessions of the last 12h are in cells that were new then"},
			{Group: "db", State: "learning", Reason: "100.00% of its 1 sessions of the last 12h are in cells that were new then"},
			{Group: "dns", State: "settled", Reason: "0.00% of its 3 sessions of the last 12h are in cells that were new then"},
			{Group: "web", State: "settled", Reason: "0.00% of its 3 sessions of the last 12h are in cells that were new then"},
		},
	}
	for _, b := range []struct {
		stop, horizon int
		sessions      uint64
		share         float64
	}{{3, 16, 5, 0}, {7, 16, 5, 0}, {11, 16, 5, 0}, {14, 16, 5, 0}, {18, 16, 5, 0}, {22, 16, 5, 0}, {25, 16, 6, 0.166667}, {29, 16, 6, 0.166667},
		{33, 15, 6, 0.166667}, {36, 12, 6, 0.166667}, {40, 8, 6, 0.166667}, {44, 4, 6, 0}} {
		out.Backtest = append(out.Backtest, policy.ReadinessBacktest{LearnedUntil: policy.NewTime(base.Add(time.Duration(b.stop) * time.Hour)),
			Horizon: fmt.Sprintf("%dh", b.horizon), Sessions: b.sessions, DeniedShare: b.share})
	}
	return out
}

// Readiness is computed from the sessions, and each figure that is changed is a finding.
func TestReadiness(t *testing.T) {
	share := 0.5
	for _, c := range []struct {
		part   string // the part that the finding is about; empty for none
		change func(*policy.Readiness, []Session)
	}{
		{"", func(*policy.Readiness, []Session) {}},
		{"ready", func(r *policy.Readiness, _ []Session) { r.Ready = true }},
		{"why", func(r *policy.Readiness, _ []Session) { r.Why = r.Why[1:] }},
		{"why", func(r *policy.Readiness, _ []Session) { r.Why[0] = "it is ready." }},
		{"forecast", func(r *policy.Readiness, _ []Session) { r.Forecast.DeniedShareAtMost = &share }},
		{"forecast", func(r *policy.Readiness, _ []Session) { r.Forecast.Horizon = "99h" }},
		{"forecast", func(r *policy.Readiness, _ []Session) { r.Forecast = policy.ReadinessForecast{Declined: "no"} }},
		{"backtest", func(r *policy.Readiness, _ []Session) { r.Backtest[3].DeniedShare = share }},
		{"backtest", func(r *policy.Readiness, _ []Session) { r.Backtest[3].Sessions++ }},
		{"backtest", func(r *policy.Readiness, _ []Session) { r.Backtest[0].LearnedUntil = policy.NewTime(base) }},
		{"backtest", func(r *policy.Readiness, _ []Session) { r.Backtest = r.Backtest[:5] }},
		{"backtest", func(r *policy.Readiness, _ []Session) { r.Backtest = append(r.Backtest, r.Backtest[0]) }},
		{"groups", func(r *policy.Readiness, _ []Session) { r.Groups[0].State = "settled" }},
		{"groups", func(r *policy.Readiness, _ []Session) { r.Groups[0].Reason = "" }},
		{"groups", func(r *policy.Readiness, _ []Session) { r.Groups = r.Groups[1:] }},
		{" is there", func(_ *policy.Readiness, list []Session) {
			for i := range list {
				list[i].Hours = list[i].Hours[:1]
			}
		}},
	} {
		list, p := collected(t), right(t)
		p.Readiness = known(list)
		c.change(p.Readiness, list)
		p.Seal()
		r := verified(t, p, list, Options{})
		found := slices.ContainsFunc(r.Findings, func(f Finding) bool {
			return f.Kind == WrongCount && strings.HasPrefix(f.Text, strings.Replace("readiness."+c.part, ". ", " ", 1))
		})
		if r.OK != (c.part == "") || found == (c.part == "") || len(r.Findings) > 1 {
			t.Errorf("a changed %q: %+v", c.part, r.Findings)
		}
	}
}
