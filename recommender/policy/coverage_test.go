package policy

import (
	"testing"

	"pgregory.net/rapid"
)

func TestParseShare(t *testing.T) {
	for text, want := range map[string]Share{
		"99%": "99%", "0.99": "99%", "99.50%": "99.5%", "100%": "100%", "1": "100%", "099%": "99%", "0.000001%": "0.000001%", "50.0%": "50%",
	} {
		if got, err := ParseShare(text); err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"", "%", "0", "0%", "101%", "1.01", "-1%", "1e1%", "1/2", "99 %", "99%%", "0x1", "NaN", "1_0%", ".5", "5."} {
		if got, err := ParseShare(text); err == nil {
			t.Errorf("%q is no share, and was read as %q", text, got)
		}
	}
}

func TestShareOf(t *testing.T) {
	for _, c := range []struct {
		share Share
		total uint64
		want  uint64
	}{
		{"99%", 10851, 10743}, {"7%", 100, 7}, {"100%", 3, 3}, {"", 3, 3}, {"0.1%", 1, 1}, {"50%", 0, 0}, {"50%", 1<<64 - 1, 1 << 63}, {"33.3%", 10, 4},
	} {
		if got := c.share.Of(c.total); got != c.want {
			t.Errorf("%s of %d is %d, want %d", c.share, c.total, got, c.want)
		}
	}
	if f := Share("70%").Float(); f != 0.7 {
		t.Errorf("70%% is %v", f)
	}
}

func TestNewCoverage(t *testing.T) {
	for _, c := range []struct {
		total, permitted uint64
		want             string
	}{{0, 0, "100%"}, {3, 2, "66.66%"}, {10000, 9999, "99.99%"}, {100000, 99999, "99.99%"}, {7, 7, "100%"}, {1 << 63, 1<<63 - 1, "99.99%"}, {100, 5, "5.00%"}} {
		if got := NewCoverage("50%", BySessions, c.total, c.permitted); got.Reached != c.want {
			t.Errorf("%d of %d is %s, want %s", c.permitted, c.total, got.Reached, c.want)
		}
	}
}

func FuzzParseShare(f *testing.F) {
	f.Add("99%")
	f.Add("0.995")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseShare(text)
		if err != nil {
			return
		}
		if again, err := ParseShare(string(s)); err != nil || again != s {
			t.Errorf("%q is %q, and that is %q, %v", text, s, again, err)
		}
		if n := s.Of(1000); n < 1 || n > 1000 {
			t.Errorf("%q of 1000 is %d", text, n)
		}
	})
}

// TestShareIsLeast: the share of a total is reached, and one less would not do.
func TestShareIsLeast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		percent := rapid.Uint64Range(1, 100).Draw(t, "percent")
		total := rapid.Uint64Range(0, 1<<50).Draw(t, "total")
		s, err := ParseShare(string(rune('0'+percent/100)) + string(rune('0'+percent/10%10)) + string(rune('0'+percent%10)) + "%")
		if err != nil {
			t.Fatal(err)
		}
		if n := s.Of(total); n*100 < percent*total || n > 0 && (n-1)*100 >= percent*total {
			t.Fatalf("%s of %d is %d", s, total, n)
		}
	})
}
