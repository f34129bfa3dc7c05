package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// words are those of docs/glossary.md that a reader cannot guess, with what finds them in a text. Session, service,
// exporter, pair and the like are not here: documents explain them as they go, or use them as everybody does. Nor are
// words that mean something else as a verb: to bound, to cover, to support.
var words = map[string]*regexp.Regexp{
	"Backtest":           regexp.MustCompile(`(?i)\bbacktests?\b`),
	"Basis":              regexp.MustCompile(`(?i)\bbasis\b`),
	"Batch":              regexp.MustCompile(`(?i)\bbatch(es)?\b`),
	"Biflow":             regexp.MustCompile(`(?i)\bbiflows?\b`),
	"Bound":              regexp.MustCompile(`(?i)\blower bounds?\b`),
	"Box":                regexp.MustCompile(`(?i)\bbox(es)?\b`),
	"Cell":               regexp.MustCompile(`(?i)\bcells?\b`),
	"Certificate":        regexp.MustCompile(`(?i)\bcertificates?\b`),
	"Don't-care":         regexp.MustCompile(`(?i)\bdon't[- ]cares?\b`),
	"Excess":             regexp.MustCompile(`(?i)\bexcess\b`),
	"Fooling set":        regexp.MustCompile(`(?i)\bfooling[- ]sets?\b`),
	"Guardrail":          regexp.MustCompile(`(?i)\bguardrails?\b`),
	"Half-open":          regexp.MustCompile(`(?i)\bhalf-open\b`),
	"Known host":         regexp.MustCompile(`(?i)\bknown hosts?\b`),
	"Literal":            regexp.MustCompile(`(?i)\bliterals?\b`),
	"Mediator":           regexp.MustCompile(`(?i)\bmediators?\b`),
	"Observation domain": regexp.MustCompile(`(?i)\bobservation domains?\b`),
	"Sampling":           regexp.MustCompile(`(?i)\bsampling\b`),
	"Session-hour":       regexp.MustCompile(`(?i)\bsession-hours?\b`),
	"Sound":              regexp.MustCompile(`(?i)\bsound\b`),
	"Support":            regexp.MustCompile(`(?i)\b(?:enough|no|little|more|less|with|of|its|for)\s+support\b`),
	"Template":           regexp.MustCompile(`(?i)\btemplates?\b`),
	"VRF":                regexp.MustCompile(`\bVRFs?\b`),
	"Witness":            regexp.MustCompile(`(?i)\bwitness(es)?\b`),
}

// otherMeaning are the documents in which a word means what the glossary does not: certificates of TLS, templates of Go.
var otherMeaning = map[string][]string{
	"operations.md": {"Certificate"}, "exporters.md": {"Certificate"}, "api.md": {"Certificate"}, "dependencies.md": {"Certificate"}, "proposal.md": {"Template"},
}

var (
	fence      = regexp.MustCompile("(?ms)^```.*?^```[^\n]*$")
	inlineCode = regexp.MustCompile("`[^`\n]*`")
	heading    = regexp.MustCompile(`(?m)^#.*$`)
	firstCell  = regexp.MustCompile(`(?m)^\|[^|\n]*\|`)
	anyLink    = regexp.MustCompile(`\[([^\[\]]*)\]\(([^()\s]*)\)`)
)

// prose blanks what is no running text in a document, keeping every place: code, headings, links, and the first
// cells of tables, which are names or what a program prints. Of links to the glossary the text stays; linked gives where it is.
func prose(text string) (masked string, linked [][]int) {
	b := []byte(text)
	blank := func(from, to int) {
		for i := from; i < to; i++ {
			if b[i] != '\n' {
				b[i] = ' '
			}
		}
	}
	for _, re := range []*regexp.Regexp{firstCell, fence, inlineCode, heading} {
		for _, m := range re.FindAllIndex(b, -1) {
			blank(m[0], m[1])
		}
	}
	for _, m := range anyLink.FindAllSubmatchIndex([]byte(text), -1) {
		if strings.HasPrefix(text[m[4]:m[5]], "glossary.md") {
			blank(m[0], m[2])
			copy(b[m[2]:m[3]], text[m[2]:m[3]])
			blank(m[3], m[1])
			linked = append(linked, []int{m[2], m[3]})
		} else {
			blank(m[0], m[1])
		}
	}
	return string(b), linked
}

// Each document links a word to the glossary where it first uses it in running text.
func TestDocsFilesExplainWords(t *testing.T) {
	glossary, err := os.ReadFile(filepath.Join("..", "docs", "glossary.md"))
	if err != nil {
		t.Fatal(err)
	}
	for word := range words {
		if !strings.Contains(string(glossary), "**"+word+"**") {
			t.Errorf("docs/glossary.md does not define %s", word)
		}
	}
	documents, err := filepath.Glob(filepath.Join("..", "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, path := range documents {
		name := filepath.Base(path)
		if name == "glossary.md" {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		masked, linked := prose(string(data))
		for word, re := range words {
			m := re.FindStringIndex(masked)
			if m == nil || slices.Contains(otherMeaning[name], word) {
				continue
			}
			found++
			if !within(m, linked) {
				t.Errorf("docs/%s:%d: %q is the first use of a word of the glossary here; write [%[3]s](glossary.md)", name, 1+strings.Count(masked[:m[0]], "\n"), masked[m[0]:m[1]])
			}
		}
	}
	if found < 50 {
		t.Errorf("%d words found", found)
	}
}

func within(m []int, spans [][]int) bool {
	for _, s := range spans {
		if s[0] <= m[1]-1 && m[0] < s[1] {
			return true
		}
	}
	return false
}
