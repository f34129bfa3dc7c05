package recommender

import (
	"testing"
	"time"

	"cordon/categories"
	"cordon/recommender/cover"
	"cordon/recommender/policy"
)

// The direction of every session of these sets can be told, but for a handful,
// though ports alone leave some open: replies, gRPC's ephemeral port, NTP
// between equal ports. What can be told is proposed.
func TestDirectionsOfRealSets(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 500,000 sessions")
	}
	for _, set := range []struct {
		name      string
		undecided uint64 // records, by what they say alone
		sessions  uint64
		ambiguous uint64
		services  string // The services, if there are few.
		left      policy.Reason
	}{
		{"ics_4sics", 6, 10, 0, "icmp/8 tcp/102 udp/53 udp/123 udp/192 udp/1194", ""},
		{"k8s_boutique", 9, 1356, 0, "tcp/53 tcp/3550 tcp/5050 tcp/6379 tcp/7000 tcp/7070 tcp/8080 tcp/9090 tcp/9555 tcp/50051 udp/53", ""},
		{"m57", 1469, 660, 3, "", policy.Local},
		{"cisco_g21", 2, 10851, 0, "", ""},
	} {
		t.Run(set.name, func(t *testing.T) {
			conn := store(t)
			insertFile(t, conn, shared(t, "data/sets/"+set.name+"/sessions.csv.zst"))
			var undecided, ambiguous, sessions uint64
			var services string
			if err := conn.QueryRow(t.Context(), `SELECT (SELECT sum(requests + replies + complete) FROM sessions_hourly WHERE NOT decided),
				(SELECT countIf(verdict = 'ambiguous') FROM session_directions), count(),
				arrayStringConcat(arrayMap(s -> s.3, arraySort(groupUniqArray((proto, port, service)))), ' ') FROM sessions`).
				Scan(&undecided, &ambiguous, &sessions, &services); err != nil {
				t.Fatal(err)
			}
			t.Logf("%d sessions, %d records undecided, %d sessions ambiguous", sessions, undecided, ambiguous)
			if undecided != set.undecided || ambiguous != set.ambiguous || sessions != set.sessions {
				t.Errorf("want %d, %d and %d", set.sessions, set.undecided, set.ambiguous)
			}
			if set.services != "" && services != set.services {
				t.Errorf("services are %s, want %s", services, set.services)
			}
			if sessions > 10_000 {
				return // Such a number of cells would take half a minute.
			}
			got, err := Generate(t.Context(), conn, Settings{Settings: policy.Settings{External: policy.ExternalHost}, Effort: cover.EffortQuick}, nil)
			if err != nil {
				t.Fatal(err)
			}
			p := &got[0]
			left := p.Summary.Sessions - p.Summary.Included
			for _, u := range p.Unproposed {
				if u.Reason == set.left || u.Reason == policy.AmbiguousDirection && u.Sessions == ambiguous {
					left -= u.Sessions
				}
			}
			if left != 0 {
				t.Errorf("%d sessions are left out: %+v", left, p.Unproposed)
			}
		})
	}
}

// The sets that other products are tested with have so many cells and rules, and their proposals come back from a device whole.
func TestCellsOfRealSets(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 500,000 sessions")
	}
	for _, set := range []struct {
		name  string
		cells map[string]int // Keyed by category.
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
				closesLoop(t, conn, file, Settings{Categories: s.Categories, Effort: s.Effort}, p)
			}
		})
	}
}
