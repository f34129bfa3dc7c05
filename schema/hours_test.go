package schema_test

import (
	"regexp"
	"testing"
	"time"

	"cordon/schema"

	"github.com/google/go-cmp/cmp"
)

// hourColumns are what sums of hours have in common with view sessions_window.
const hourColumns = `vrf, client_ip, server_ip, proto, port, icmp_type, icmp_code, first_seen, last_seen, flows, client_packets, client_bytes, server_packets, server_bytes,
	complete, half_open, denied, direction_basis::UInt8, exporters, hours, arraySort(active_hours), client_flags, server_flags, sampling, scaled_bytes`

// everything is the condition of HoursOf that leaves nothing out.
func everything(string, string) string { return "1" }

// here names the tables and views of a query with the database.
func here(query string) string {
	return regexp.MustCompile(`\b(sessions_(hourly|all|window|plain|plain_window|by_hour|by_hour_window))\b`).ReplaceAllString(query, "{db}.$1")
}

// checkHours compares the hours of all sessions, summed, with the sessions.
func checkHours(t *testing.T, s *store) {
	t.Helper()
	for _, w := range [][2]time.Time{{}, {noon.Add(-100 * time.Minute), noon.Add(-30 * time.Minute)}} {
		want := s.rows(here("SELECT " + hourColumns + " FROM " + schema.SessionsOf(w[0], w[1]) + " ORDER BY ALL"))
		got := s.rows(here("SELECT " + hourColumns + " FROM (" + schema.JudgedOf(schema.HoursOf(w[0], w[1], everything)) + ") ORDER BY ALL"))
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("sessions of %v (-view +hours):\n%.3000s", w, d)
		}
		if len(want) < 300 {
			t.Errorf("only %d sessions of %v are compared", len(want), w)
		}
	}
}
