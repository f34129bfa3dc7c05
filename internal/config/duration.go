package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// days finds the days at the beginning of a duration.
var days = regexp.MustCompile(`^(\d{1,6})d`)

// ParseDuration reads a duration as time.ParseDuration does, with days of 24 hours
// before the rest: 30d, 1d12h.
func ParseDuration(s string) (time.Duration, error) {
	text := strings.TrimSpace(s)
	negative := strings.HasPrefix(text, "-")
	rest := strings.TrimPrefix(text, "-")
	var d time.Duration
	if m := days.FindStringSubmatch(rest); m != nil {
		n, err := strconv.Atoi(m[1])
		if err != nil || n > 100_000 {
			return 0, fmt.Errorf("%q is too long", s)
		}
		d = time.Duration(n) * 24 * time.Hour
		if rest = rest[len(m[0]):]; rest == "" {
			rest = "0"
		}
	}
	part, err := time.ParseDuration(rest)
	if _, bare := strconv.ParseFloat(text, 64); bare == nil && text != "0" {
		return 0, fmt.Errorf("%q has no unit: write %ss, %sm, %sh or %sd for seconds, minutes, hours or days", s, text, text, text, text)
	}
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration, such as 500ms, 90s, 15m, 24h or 30d", s)
	}
	if d += part; negative {
		d = -d
	}
	return d, nil
}
