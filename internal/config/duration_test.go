package config

import (
	"strings"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	const day = 24 * time.Hour
	for in, want := range map[string]time.Duration{
		"30d": 30 * day, "1d12h": 36 * time.Hour, "-2d": -2 * day, "0": 0, "0d": 0, "90s": 90 * time.Second, "1.5h": 90 * time.Minute, " 7d ": 7 * day,
	} {
		if got, err := ParseDuration(in); err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	for in, want := range map[string]string{"5": "has no unit", "1.5": "has no unit", "-3": "has no unit", "": "is not a duration", "d": "is not a duration", "1d2": "is not a duration", "5 days": "is not a duration", "999999d": "too long"} {
		if got, err := ParseDuration(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseDuration(%q) = %v, %v; want an error with %q", in, got, err, want)
		}
	}
}

func TestUnknownVariables(t *testing.T) {
	l, err := NewLoader(defaults())
	if err != nil {
		t.Fatal(err)
	}
	errs := l.UnknownVariables([]string{"PATH=/bin", "CORDON_NATS_URL=x", "CORDON_NATS_URI=x", "CORDON_OTHER=1", "CORDON_EXTRA_THING_THAT_NOBODY_KNOWS=1"}, "CORDON_OTHER")
	if len(errs) != 2 || !strings.Contains(errs[0].Error(), "CORDON_NATS_URI: no setting has that name; did you mean CORDON_NATS_URL?") ||
		!strings.Contains(errs[1].Error(), "lists the keys") {
		t.Errorf("%v", errs)
	}
}
