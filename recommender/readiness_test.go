package recommender

import (
	"slices"
	"testing"

	"cordon/categories"
	"cordon/recommender/simulate"
)

// TestForecastHolds prints, for sets and shares of their time, the bound on what is denied in the next third of the time
// learned, and what was denied then. The bound has to hold in nine of ten trials where no rule begins within the horizon.
func TestForecastHolds(t *testing.T) {
	trials, held, declined := 0, 0, 0
	for _, set := range []string{"cisco_g21"} {
		conn := store(t)
		insertFile(t, conn, shared(t, "data/sets/"+set+"/sessions.csv.zst"))
		file, err := categories.ReadFile(shared(t, "data/sets/"+set+"/groups.csv"))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []Settings{{}, {PortRanges: DefaultPortRanges, ScannerTargets: DefaultScannerTargets}} {
			learned, err := Learn(t.Context(), conn, s, file)
			if err != nil {
				t.Fatal(err)
			}
			for i := range learned {
				for percent := 30; percent <= 75; percent += 5 {
					l := learned[i]
					l.Hours = learned[i].Hours * percent / 100
					r := simulate.Assess(&l, simulate.ReadinessOptions{AtMost: 0.01})
					if r.Forecast.Declined != "" {
						declined++
						t.Logf("%s ports %d, %d%%: declined: %s", set, s.PortRanges, percent, r.Forecast.Declined)
						continue
					}
					denied := deniedAfter(&learned[i], l.Hours, l.Hours+l.Hours/3)
					trials++
					if denied <= *r.Forecast.DeniedShareAtMost {
						held++
					}
					t.Logf("%s ports %d, %d%%: at most %.4f, was %.4f", set, s.PortRanges, percent, *r.Forecast.DeniedShareAtMost, denied)
				}
			}
		}
	}
	t.Logf("the bound held in %d of %d trials, %d were declined", held, trials, declined)
	if trials == 0 || 10*held < 9*trials {
		t.Errorf("the bound held in %d of %d trials", held, trials)
	}
}

// deniedAfter is the share of the sessions within [stop, to) whose cell was not seen before.
func deniedAfter(l *simulate.Learned, stop, to int) float64 {
	var sessions, denied uint64
	for i := range l.Cells {
		before := slices.ContainsFunc(l.Cells[i].Activity, func(a simulate.Activity) bool { return a.Hours[0] < stop })
		for _, a := range l.Cells[i].Activity {
			if !slices.ContainsFunc(a.Hours, func(h int) bool { return stop <= h && h < to }) {
				continue
			}
			sessions += a.Sessions
			if !before {
				denied += a.Sessions
			}
		}
	}
	return float64(denied) / float64(max(sessions, 1))
}
