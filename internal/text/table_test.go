package text

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestTable(t *testing.T) {
	rows := [][]string{{"EXPORTER", "FLOWS", "LOST", "SOFTWARE", "NAME"}, {"10.0.0.1", "1,210", "0", "-", ""}, {"2001:db8::1", "7", "0", "-", "edge router of the east"}}
	for _, tc := range []struct {
		width int
		want  string
	}{
		{0, "EXPORTER     FLOWS  LOST  SOFTWARE  NAME\n10.0.0.1     1,210  0     -\n2001:db8::1  7      0     -         edge router of the east\n"},
		{56, "EXPORTER     FLOWS  LOST  NAME\n10.0.0.1     1,210  0\n2001:db8::1  7      0     edge router of the east\n"},
		{45, "EXPORTER     FLOWS  NAME\n10.0.0.1     1,210\n2001:db8::1  7      edge router of the east\n"},
		{33, "EXPORTER     FLOWS  NAME\n10.0.0.1     1,210\n2001:db8::1  7      edge router …\n"},
	} {
		var b strings.Builder
		if err := Table(&b, rows, tc.width); err != nil {
			t.Fatal(err)
		}
		if b.String() != tc.want {
			t.Errorf("width %d:\n%s\nwant\n%s", tc.width, b.String(), tc.want)
		}
	}
	var b strings.Builder
	if err := Table(&b, rows, 38, "NAME", "FLOWS"); err != nil || b.String() != "EXPORTER     FLOWS\n10.0.0.1     1,210\n2001:db8::1  7\n" {
		t.Errorf("without NAME, %v:\n%s", err, b.String())
	}
}

// No line is wider than asked where the columns can give way, and no row is
// lost.
func TestTableFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		columns := rapid.IntRange(1, 8).Draw(t, "columns")
		row := rapid.SliceOfN(rapid.StringMatching(`[a-z0ü.-]{0,30}`), columns, columns)
		rows := rapid.SliceOfN(row, 1, 6).Draw(t, "rows")
		width := rapid.IntRange((leastWidth+gap)*columns, 200).Draw(t, "width")
		var b strings.Builder
		if err := Table(&b, rows, width); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
		if len(lines) != len(rows) {
			t.Fatalf("%d lines of %d rows", len(lines), len(rows))
		}
		for _, l := range lines {
			if utf8.RuneCountInString(l) > width {
				t.Fatalf("a line of %d characters, wider than %d: %q", utf8.RuneCountInString(l), width, l)
			}
		}
	})
}
