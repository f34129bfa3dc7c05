package categories

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestLintGolden(t *testing.T) {
	for _, name := range []string{"lint.yaml", "broken.csv"} {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("testdata", name))
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			for _, f := range lintData(name, data) {
				b.WriteString(f.String() + "\n")
			}
			golden := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(b.String(), "\n")); diff != "" {
				t.Errorf("-want +got (-update writes the golden file anew):\n%s", diff)
			}
		})
	}
}

func TestLintFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.yaml")
	if _, err := LintFile(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: got %v", err)
	}
	findings, err := LintFile(filepath.Join("testdata", "broken.csv"))
	if err != nil || len(findings) == 0 || findings[len(findings)-1].Severity != Error {
		t.Errorf("got %v, %v", findings, err)
	}
	text, err := json.Marshal(Finding{Severity: Warning, Path: "g.yaml", Line: 3, Message: "m"})
	if want := `{"severity":"warning","path":"g.yaml","line":3,"message":"m"}`; err != nil || string(text) != want {
		t.Errorf("JSON: got %s, %v; want %s", text, err, want)
	}
}

func TestLintWithoutGroups(t *testing.T) {
	findings := Lint(&File{Path: "g.yaml"})
	if len(findings) != 1 || findings[0].Severity != Warning {
		t.Errorf("got %v", findings)
	}
}

// TestLintShadowedProperty: lint says that a group gets no address exactly
// where no longest-match entry of the category on its own is the group's and has
// an address of its own.
func TestLintShadowedProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawFile(t)
		said := map[Ref]bool{}
		for _, finding := range Lint(f) {
			if strings.HasPrefix(finding.Message, "gets no address") {
				said[Ref{finding.Category, finding.Group}] = true
			}
		}
		for _, c := range f.Categories {
			flat, err := Flatten(f, []string{c.Name})
			if err != nil {
				t.Fatal(err)
			}
			owns := map[Ref]bool{}
			for i, a := range flat {
				outer := area{member: member{prefix: a.Prefix}}
				for _, b := range flat[i+1:] {
					if covers(a.Prefix, b.Prefix) {
						outer.inside = append(outer.inside, b.Prefix)
					}
				}
				if !outer.full() {
					owns[a.Group] = true
				}
			}
			for _, g := range c.Groups {
				ref := Ref{c.Name, g.Name}
				if want := len(g.Prefixes) > 0 && !owns[ref]; said[ref] != want {
					t.Fatalf("%v gets no address: lint says %v, longest match says %v\n%s", ref, said[ref], want, flatString(flat))
				}
			}
		}
	})
}

func BenchmarkLint(b *testing.B) {
	f := largeFile(300_000)
	for b.Loop() {
		Lint(f)
	}
}

// lintData is LintFile for content that is in memory; path is for the messages.
func lintData(path string, data []byte) []Finding {
	f, err := Parse(path, data)
	var parse *ParseError
	if !errors.As(err, &parse) {
		return Lint(f)
	}
	return lintParseError(f, parse)
}
