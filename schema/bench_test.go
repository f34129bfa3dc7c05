package schema_test

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
)

var sessionHours = flag.Int("session-hours", 1_000_000, "rows of sessions_hourly that BenchmarkViews asks")

// bySession is the one grouping that the views are compared with; %s are its aggregates.
const bySession = "SELECT %s FROM {db}.sessions_hourly GROUP BY vrf, client, server, proto, port, icmp_type, icmp_code"

const sums = "sum(complete) AS c, sum(half_open) AS h, sum(requests) AS r, sum(replies) AS a, sum(unanswered) AS u, sum(denied) AS d, sum(client_bytes) AS b, max(last_seen) AS l"

// BenchmarkViews asks the views of sessions, and by turns the engine alone, which groups the same rows by session for the same
// counters. Processor time is that of the process, and the ratio is that of the medians of five turns. Sixteen
// hours of each session, one session in a hundred seen by two exporters.
func BenchmarkViews(b *testing.B) {
	s := newStore(b)
	s.generateSessions(*sessionHours)
	view := "SELECT count(), sum(flows), sum(client_bytes), max(last_seen) FROM {db}."
	plain := "SELECT count(), sum(c + h + r + a + u + d), sum(b), max(l) FROM (" + fmt.Sprintf(bySession, sums)
	where := " WHERE client = '10.2.7.9'"
	for _, q := range []struct{ name, query, grouping string }{
		{"count", "SELECT count() FROM {db}.sessions", "SELECT count() FROM (" + fmt.Sprintf(bySession, "count() AS n") + ") WHERE n > 0"},
		{"sums", view + "sessions", plain + ")"},
		{"listing", "SELECT sum(cityHash64(*)) FROM {db}.sessions", "SELECT sum(cityHash64(*)) FROM (" + fmt.Sprintf(bySession, "vrf, client, server, proto, port, icmp_type, icmp_code, min(first_seen), sum(client_packets), sum(server_packets), sum(server_bytes), max(basis), groupUniqArray(exporter), "+sums) + ")"},
		{"window", view + "sessions_window(since = '2026-11-20 00:00:00', until = '2026-12-20 00:00:00')", plain + ")"},
		{"host", view + "sessions" + where, strings.Replace(plain, " GROUP BY", where+" GROUP BY", 1) + ")"},
		{"hour", view + "sessions_window(since = '2026-11-20 03:00:00', until = '2026-11-20 04:00:00')", strings.Replace(plain, " GROUP BY", " WHERE hour = '2026-11-20 03:00:00' GROUP BY", 1) + ")"},
	} {
		b.Run(q.name, func(b *testing.B) {
			var asked, grouped []float64
			for range 5 {
				grouped = append(grouped, s.processorTime(q.grouping))
				asked = append(asked, s.processorTime(q.query))
			}
			for b.Loop() { // the figures are those above
			}
			slices.Sort(asked)
			slices.Sort(grouped)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(asked[2], "cpu-ms")
			b.ReportMetric(grouped[2], "cpu-ms-of-one-grouping")
			b.ReportMetric(asked[2]/grouped[2], "times-one-grouping")
		})
	}
}

// processorTime gives the milliseconds of processor time, of all threads, that the process takes while it answers a query.
func (s *store) processorTime(query string) float64 {
	var before, after syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	s.rows(query)
	syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	return float64(after.Utime.Nano()+after.Stime.Nano()-before.Utime.Nano()-before.Stime.Nano()) / 1e6
}

// generateSessions stores so many rows of sessions that sixteen hours have each. Parts are as large as an insert makes them
// and as merges have left them.
func (s *store) generateSessions(rows int) {
	s.t.Helper()
	const hours = 16
	sessions := max(1, rows/hours)
	s.exec(strings.NewReplacer("{db}", s.name, "{rows}", fmt.Sprint(rows), "{sessions}", fmt.Sprint(sessions)).Replace(`INSERT INTO {db}.sessions_hourly
		(month, decided, hour, vrf, server, proto, port, client, exporter, first_seen, last_seen, client_packets, client_bytes, server_packets, server_bytes,
		complete, unanswered, client_flags, server_flags, sides, basis)
		SELECT '2026-11-01', true, toDateTime('2026-11-20 00:00:00', 'UTC') + 3600 * intDiv(number, {sessions}) AS h, 'default',
			toIPv6(concat('10.1.', toString(x % 8), '.', toString(intDiv(x, 8) % 64))), 6,
			[443, 80, 22, 5432, 8080, 389, 636, 3306][1 + intDiv(x, 512) % 8],
			toIPv6(concat('10.2.', toString(y % 100), '.', toString(intDiv(y, 100) % 250))), toIPv6(concat('10.9.9.', toString(x % 4))),
			h + 1, h + 1800, 10, 1000, 10, 5000, number % 50 != 0, number % 50 = 0, 27, 27, 3, 7
		FROM (SELECT number, cityHash64(number % {sessions}) AS x, cityHash64(number % {sessions}, 1) AS y FROM numbers({rows}))`))
	s.exec(strings.ReplaceAll("INSERT INTO {db}.sessions_hourly SELECT * REPLACE toIPv6('10.9.9.77') AS exporter FROM {db}.sessions_hourly WHERE cityHash64(server, client, port) % 100 = 0", "{db}", s.name))
	s.exec("OPTIMIZE TABLE " + s.name + ".sessions_hourly")
	if err := s.conn.Exec(context.Background(), "SYSTEM STOP MERGES "+s.name+".sessions_hourly"); err != nil {
		s.t.Log("merges go on:", err)
	}
}
