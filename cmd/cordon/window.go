package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// window is the flags --since, --until and --last.
type window struct {
	since, until string
	last         time.Duration
}

func (w *window) flags(f *pflag.FlagSet) {
	f.StringVar(&w.since, "since", "", "sessions seen at or after this time: RFC 3339, a date, or Unix seconds (default: all)")
	f.StringVar(&w.until, "until", "", "sessions seen before this time (default: all)")
	f.Var((*span)(&w.last), "last", "sessions seen in the last so long, such as 24h or 7d")
}

// span is a flag for a time that has passed: a duration, or a number of days.
type span time.Duration

func (s *span) Set(text string) error {
	if number, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(number, 10, 16); err == nil {
			*s = span(time.Duration(n) * day)
			return nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return errors.New("use a time such as 90m, 24h or 7d")
	}
	*s = span(d)
	return nil
}

func (s *span) Type() string { return "duration" }

func (s *span) String() string {
	if *s == 0 {
		return ""
	}
	return time.Duration(*s).String()
}

// times gives the bounds, zero for open ones.
func (w *window) times(now time.Time) (since, until time.Time, err error) {
	if w.last < 0 {
		return since, until, usagef("--last %v: must be more than zero", w.last)
	}
	if w.last > 0 && w.since != "" {
		return since, until, usagef("--last and --since exclude each other")
	}
	if since, err = parseTime("--since", w.since); err != nil {
		return since, until, err
	}
	if until, err = parseTime("--until", w.until); err != nil {
		return since, until, err
	}
	if w.last > 0 {
		end := now
		if !until.IsZero() {
			end = until
		}
		since = end.Add(-w.last)
	}
	if !since.IsZero() && !until.IsZero() && !since.Before(until) {
		return since, until, usagef("--until %s is not after --since %s", until.Format(time.RFC3339), since.Format(time.RFC3339))
	}
	return since, until, nil
}

// parseTime reads a time as people and scripts write it. A time without a
// zone is UTC, as everything in Cordon.
func parseTime(flag, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	if sec, err := strconv.ParseFloat(s, 64); err == nil && sec >= 0 && sec < 1e11 {
		return time.UnixMicro(int64(sec * 1e6)).UTC(), nil
	}
	return time.Time{}, usageError(fmt.Errorf("%s %q: use RFC 3339 (2026-11-20T15:04:05Z), a date (2026-11-20) or Unix seconds", flag, s))
}
