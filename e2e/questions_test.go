package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The ten questions of docs/architecture.md lead to files that exist, and to names
// that stand in them once, so that a reader finds the answer.
func TestQuestions(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "docs", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(doc), "## Ten questions\n")
	section, _, _ = strings.Cut(section, "\n## ")
	rows := regexp.MustCompile("(?m)^\\| (.+\\?) \\| `([^`]+)` \\| `([^`]+)` \\|$").FindAllStringSubmatch(section, -1)
	if len(rows) != 10 {
		t.Errorf("%d questions, want 10", len(rows))
	}
	for _, row := range rows {
		source, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(row[2])))
		if err != nil {
			t.Errorf("%s %v", row[1], err)
			continue
		}
		if n := strings.Count(string(source), row[3]); n != 1 {
			t.Errorf("%s %s has %q %d times", row[1], row[2], row[3], n)
		}
	}
}
