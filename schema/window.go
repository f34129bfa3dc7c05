package schema

import (
	"fmt"
	"time"

	"cordon/internal/sqltext"
)

// TimeLayout is how a DateTime64(6) in UTC is written in a query, as a layout of [time.Time.Format].
const TimeLayout = "2006-01-02 15:04:05.000000"

// OpenWindow gives the window [since, until) with the ends of time that ClickHouse knows where one is the zero time.
func OpenWindow(since, until time.Time) (_, _ time.Time) {
	if since.IsZero() {
		since = time.Unix(0, 0)
	}
	if until.IsZero() {
		until = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return since, until
}

// SessionsOf gives what a query names behind FROM for the sessions that overlap [since, until), with the columns of
// view sessions_window. The zero time leaves an end open; the view of all sessions costs less than a window that is
// open at both ends.
func SessionsOf(since, until time.Time) string {
	if since.IsZero() && until.IsZero() {
		return "sessions_all"
	}
	since, until = OpenWindow(since, until)
	return fmt.Sprintf("sessions_window(since = %s, until = %s)", timeText(since), timeText(until))
}

func timeText(t time.Time) string { return sqltext.Text(t.UTC().Format(TimeLayout)) }
