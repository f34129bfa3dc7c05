package text

import "testing"

func TestNearest(t *testing.T) {
	for _, c := range []struct {
		word       string
		candidates []string
		limit      int
		want       string
	}{
		{"colector", []string{"ingest", "collector"}, 3, "collector"},
		{"teir", []string{"site", "tier"}, 2, "tier"}, // neighbours swapped are one edit
		{"TIER", []string{"tier"}, 1, "tier"},
		{"ab", []string{"ac", "ad"}, 2, "ac"},
		{"ab", []string{"cd"}, 2, ""},
		{"ab", []string{"abcdef"}, 4, ""},
		{"", []string{"a"}, 2, "a"},
		{"x", nil, 9, ""},
	} {
		if got := Nearest(c.word, c.candidates, c.limit); got != c.want {
			t.Errorf("nearest to %q in %q below %d edits is %q, want %q", c.word, c.candidates, c.limit, got, c.want)
		}
	}
}
