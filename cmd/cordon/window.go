package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"cordon/internal/config"
	"cordon/recommender/policy"

	"github.com/spf13/pflag"
)

// window is the flags --since, --until, --last and --tz.
type window struct {
	since, until string
	last         time.Duration
	zone         string // zone of times that name none; empty for UTC
}

// timeForms is what times may be written as, for the help of flags.
const timeForms = "RFC 3339, a date, yesterday, today, Unix seconds, or so long ago such as 1h or 7d; UTC unless --tz says otherwise"

func (w *window) flags(f *pflag.FlagSet) {
	f.StringVar(&w.since, "since", "", "sessions seen at or after this time: "+timeForms+" (default: all)")
	f.StringVar(&w.until, "until", "", "sessions seen before this time, written as --since (default: all)")
	f.Var((*span)(&w.last), "last", "sessions seen in the last so long, such as 24h or 7d")
	w.zoneFlag(f)
}

func (w *window) zoneFlag(f *pflag.FlagSet) {
	f.StringVar(&w.zone, "tz", "", "time zone of times without one, such as Europe/Berlin or local (default: UTC); results are in UTC")
}

// span is a flag for a time that has passed: a duration, or a number of days.
type span time.Duration

func (s *span) Set(text string) error {
	d, err := config.ParseDuration(text)
	if err != nil {
		if _, timeErr := parseTime("", text, time.Now(), time.UTC); timeErr == nil {
			return errors.New("this is a time, not how long ago; a time goes with --since")
		}
		return fmt.Errorf("%w; use a time such as 90m, 24h or 7d", err)
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
	zone, err := w.location()
	if err != nil {
		return since, until, err
	}
	if since, err = parseTime("--since", w.since, now, zone); err != nil {
		return since, until, err
	}
	if until, err = parseTime("--until", w.until, now, zone); err != nil {
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

// settings gives the bounds to settings.
func (w *window) settings(now time.Time, to *policy.Settings) error {
	since, until, err := w.times(now)
	if err != nil {
		return err
	}
	if !since.IsZero() {
		to.Since = policy.NewTime(since)
	}
	if !until.IsZero() {
		to.Until = policy.NewTime(until)
	}
	return nil
}

// location is the time zone of times that name none.
func (w *window) location() (*time.Location, error) {
	switch w.zone {
	case "", "UTC", "utc":
		return time.UTC, nil
	case "local", "Local":
		return time.Local, nil
	}
	zone, err := time.LoadLocation(w.zone)
	if err != nil {
		return nil, usagef("--tz %q is no time zone: use a name such as Europe/Berlin, or local", w.zone)
	}
	return zone, nil
}

// parseTime reads a time as people and scripts write it. A time without a zone is
// in the given one; a duration is so long before now.
func parseTime(flag, s string, now time.Time, zone *time.Location) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{
		time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02",
	} {
		if t, err := time.ParseInLocation(layout, s, zone); err == nil {
			return t.UTC(), nil
		}
	}
	if sec, err := strconv.ParseFloat(s, 64); err == nil && sec >= 1e8 && sec < 1e11 {
		return time.UnixMicro(int64(sec * 1e6)).UTC(), nil
	}
	today := time.Date(now.In(zone).Year(), now.In(zone).Month(), now.In(zone).Day(), 0, 0, 0, 0, zone)
	switch strings.ToLower(s) {
	case "now":
		return now.UTC(), nil
	case "today":
		return today.UTC(), nil
	case "yesterday":
		return today.AddDate(0, 0, -1).UTC(), nil
	}
	if d, err := config.ParseDuration(s); err == nil && d > 0 {
		return now.Add(-d).UTC(), nil
	}
	return time.Time{}, usageError(fmt.Errorf("%s %q: use RFC 3339 (2026-11-20T15:04:05Z), a date (2026-11-20), yesterday, today, Unix seconds, or so long ago (1h, 7d)", flag, s))
}
