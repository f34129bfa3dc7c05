package recommender

import (
	"testing"
	"time"

	"cordon/categories"
	"cordon/recommender/cover"
)

func TestCellsOfRealSets(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 500,000 sessions")
	}
	for _, set := range []struct {
		name  string
		cells map[string]int // by category
		rules map[string]int // the proven minimum, where it takes no time to find
	}{
		{"k8s_boutique", map[string]int{"app": 53}, map[string]int{"app": 13}},
		{"cisco_g21", map[string]int{"role": 3968, "app": 3274, "tier": 4792}, map[string]int{"role": 117, "app": 106}},
	} {
		t.Run(set.name, func(t *testing.T) {
			file, err := categories.ReadFile(shared(t, "data/sets/"+set.name+"/groups.csv"))
			if err != nil {
				t.Fatal(err)
			}
			conn := store(t)
			n := insertFile(t, conn, shared(t, "data/sets/"+set.name+"/sessions.csv.zst"))
			t.Logf("%d records", n)
			for category, want := range set.cells {
				var server, here time.Duration
				s := Settings{Categories: []string{category}, Effort: cover.EffortQuick, Observe: func(st Step) {
					t.Logf("%-20s %8d rows %v", st.Name, st.Rows, st.Took.Round(time.Millisecond))
					if st.Server {
						server += st.Took
					} else {
						here += st.Took
					}
				}}
				got, err := Generate(t.Context(), conn, s, file)
				if err != nil {
					t.Fatal(err)
				}
				p := &got[0]
				t.Logf("%s: %+v %d/%d %v, ClickHouse %v, Go %v", category, p.Summary, p.Certificate.LowerBound, p.Certificate.Rules, p.Certificate.Optimal, server.Round(time.Millisecond), here.Round(time.Millisecond))
				if p.Summary.Cells != want {
					t.Errorf("%s: %d cells, want %d", category, p.Summary.Cells, want)
				}
				if minimum, ok := set.rules[category]; ok && (len(p.Rules) != minimum || !p.Certificate.Optimal) {
					t.Errorf("%s: %d rules, optimal %v, want the proven minimum of %d", category, len(p.Rules), p.Certificate.Optimal, minimum)
				}
			}
		})
	}
}
