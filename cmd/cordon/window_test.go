package main

import (
	"strings"
	"testing"
	"time"
)

func TestWindow(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		w            window
		since, until string
		err          string
	}{
		{window{}, "", "", ""},
		{window{last: time.Hour}, "2026-11-20T11:00:00Z", "", ""},
		{window{last: time.Hour, until: "2026-11-19"}, "2026-11-18T23:00:00Z", "2026-11-19T00:00:00Z", ""},
		{window{since: "2026-11-19T10:00:00+02:00"}, "2026-11-19T08:00:00Z", "", ""},
		{window{since: "2026-11-19 10:00"}, "2026-11-19T10:00:00Z", "", ""},
		{window{since: "1763600000.5"}, "2025-11-20T00:53:20Z", "", ""},
		{window{since: "yesterday"}, "2026-11-19T00:00:00Z", "", ""},
		{window{since: "yesterday", until: "today"}, "2026-11-19T00:00:00Z", "2026-11-20T00:00:00Z", ""},
		{window{since: "1h"}, "2026-11-20T11:00:00Z", "", ""},
		{window{since: "7d", until: "1d12h"}, "2026-11-13T12:00:00Z", "2026-11-19T00:00:00Z", ""},
		{window{since: "2026-11-19T10:00Z"}, "2026-11-19T10:00:00Z", "", ""},
		{window{since: "2026-11-19T10:00", zone: "Europe/Berlin"}, "2026-11-19T09:00:00Z", "", ""},
		{window{since: "2026-11-19T10:00Z", zone: "Europe/Berlin"}, "2026-11-19T10:00:00Z", "", ""},
		{window{since: "yesterday", zone: "America/New_York"}, "2026-11-19T05:00:00Z", "", ""},
		{window{since: "2026-11-19", zone: "Mars/Olympus"}, "", "", `--tz "Mars/Olympus" is no time zone`},
		{window{since: "never"}, "", "", `--since "never": use RFC 3339`},
		{window{since: "17"}, "", "", `--since "17": use RFC 3339`},
		{window{until: "x"}, "", "", `--until "x"`},
		{window{last: -time.Hour}, "", "", "--last"},
		{window{last: time.Hour, since: "2026-11-19"}, "", "", "exclude each other"},
		{window{since: "2026-11-20", until: "2026-11-19"}, "", "", "is not after"},
	} {
		since, until, err := tc.w.times(now)
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%+v: error %v, want %q", tc.w, err, tc.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%+v: %v", tc.w, err)
			continue
		}
		for _, b := range []struct {
			name string
			got  time.Time
			want string
		}{{"since", since, tc.since}, {"until", until, tc.until}} {
			got := ""
			if !b.got.IsZero() {
				got = b.got.Format(time.RFC3339)
			}
			if got != b.want {
				t.Errorf("%+v: %s = %q, want %q", tc.w, b.name, got, b.want)
			}
		}
	}
}

func TestSpan(t *testing.T) {
	for text, want := range map[string]time.Duration{"24h": 24 * time.Hour, "7d": 7 * 24 * time.Hour, "90m": 90 * time.Minute, "1h30m": 90 * time.Minute, "-1h": -time.Hour, "-1d": -24 * time.Hour, "1d12h": 36 * time.Hour} {
		var got span
		if err := got.Set(text); err != nil || time.Duration(got) != want {
			t.Errorf("%s is read as %v, %v", text, time.Duration(got), err)
		}
	}
	for _, text := range []string{"", "d", "week", "1.5d", "99999999d", "5", "yesterday"} {
		var got span
		if err := got.Set(text); err == nil {
			t.Errorf("%q is read as %v", text, time.Duration(got))
		}
	}
}
