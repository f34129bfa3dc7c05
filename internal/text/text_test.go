package text

import (
	"math"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestNumber(t *testing.T) {
	for _, tc := range []struct{ got, want string }{
		{Number(0), "0"}, {Number(7), "7"}, {Number(999), "999"}, {Number(1000), "1,000"}, {Number(-1000), "-1,000"}, {Number(-999), "-999"},
		{Number(1234567), "1,234,567"}, {Number(uint64(math.MaxUint64)), "18,446,744,073,709,551,615"}, {Number(int64(math.MinInt64)), "-9,223,372,036,854,775,808"},
		{Count(1, "record"), "1 record"}, {Count(0, "record"), "0 records"}, {Count(uint64(1210), "record"), "1,210 records"}, {Count(2, "batch", "batches"), "2 batches"},
	} {
		if tc.got != tc.want {
			t.Errorf("%q, want %q", tc.got, tc.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64().Draw(t, "n")
		s := Number(n)
		if got := strings.ReplaceAll(s, ",", ""); got != strconv.FormatInt(n, 10) {
			t.Fatalf("%d is written as %s", n, s)
		}
		for i, part := range strings.Split(strings.TrimPrefix(s, "-"), ",") {
			if len(part) > 3 || len(part) == 0 || i > 0 && len(part) != 3 {
				t.Fatalf("%d is written as %s", n, s)
			}
		}
	})
}

func TestList(t *testing.T) {
	items := strings.Split("abcde", "")
	for _, tc := range []struct {
		items []string
		most  int
		want  string
	}{
		{nil, 3, ""}, {items[:1], 3, "a"}, {items[:3], 3, "a, b, c"}, {items[:4], 3, "a, b, c, d"}, {items, 3, "a, b, c … and 2 more"},
		{make([]string, 1213), 1, " … and 1,212 more"},
	} {
		if got := List(tc.items, tc.most); got != tc.want {
			t.Errorf("%d items: %q, want %q", len(tc.items), got, tc.want)
		}
	}
}
