package categories

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"cordon/internal/text"
)

// ParseError is everything that is wrong with a groups file, by line.
type ParseError struct {
	Problems []Problem // One to 20 problems.
	Omitted  int       // problems found beyond those
}

// Problem is one mistake in a groups file.
type Problem struct {
	Path         string
	Line, Column int    // counted from 1; 0 if unknown
	Field        string // the key or column, and where it helps the entry around it
	Message      string // says what is wrong and what to do
}

// Error returns one line per problem.
func (e *ParseError) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.String())
	}
	if e.Omitted > 0 {
		fmt.Fprintf(&b, "\n%s: %d more errors", e.Problems[0].Path, e.Omitted)
	}
	return b.String()
}

// String returns "path:line:column: field: message".
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.Path)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
		if p.Column > 0 {
			fmt.Fprintf(&b, ":%d", p.Column)
		}
	}
	b.WriteString(": ")
	if p.Field != "" {
		b.WriteString(p.Field)
		b.WriteString(": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// problems collects what a parser finds.
type problems struct {
	path    string
	list    []Problem
	omitted int
}

func (ps *problems) add(line, column int, field, format string, args ...any) {
	if len(ps.list) >= maxErrors {
		ps.omitted++
		return
	}
	ps.list = append(ps.list, Problem{ps.path, line, column, field, fmt.Sprintf(format, args...)})
}

// count is how many problems there are so far, shown or not.
func (ps *problems) count() int { return len(ps.list) + ps.omitted }

func (ps *problems) err() error {
	if len(ps.list) == 0 {
		return nil
	}
	return &ParseError{Problems: ps.list, Omitted: ps.omitted}
}

// quote makes text from a file safe and short enough for a one-line message.
func quote(s string) string {
	const limit = 60
	if len(s) > limit {
		cut := limit
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "..."
	}
	return strconv.Quote(s)
}

// checkName says what is wrong with the name of a category, group or service.
func checkName(s string) error {
	switch {
	case s == "":
		return fmt.Errorf("the name is empty: give it one")
	case len(s) > MaxNameBytes:
		return fmt.Errorf("%s is %d bytes long: use at most %d", quote(s), len(s), MaxNameBytes)
	case !utf8.ValidString(s):
		return fmt.Errorf("%s is not UTF-8: save the file as UTF-8", quote(s))
	case strings.TrimSpace(s) != s:
		return fmt.Errorf("%s begins or ends with a blank: remove it", quote(s))
	}
	for _, r := range s {
		if !unicode.IsGraphic(r) {
			return fmt.Errorf("%s has a control character: remove it", quote(s))
		}
	}
	return nil
}

// checkCategoryName is checkName with what holds for categories alone.
func checkCategoryName(s string) error {
	switch {
	case strings.ContainsRune(s, '/'):
		return fmt.Errorf("%s has a slash, which separates category and group in group:CATEGORY/NAME: use another character", quote(s))
	case strings.ContainsRune(s, ','):
		return fmt.Errorf("%s has a comma, which separates categories in --category: use another character", quote(s))
	case s == BuiltinCategory:
		return fmt.Errorf("%s is the category of built-in groups: use another name", quote(s))
	}
	return checkName(s)
}

// suggest returns `; did you mean "x"?` for the nearest candidate, or "".
func suggest(word string, candidates []string) string {
	best := text.Nearest(word, candidates, 1+max(1, min(len(word), 12)/3))
	if best == "" {
		return ""
	}
	return "; did you mean " + quote(best) + "?"
}

// suggestSorted is suggest for candidates in no particular order.
func suggestSorted(word string, candidates []string) string {
	slices.Sort(candidates)
	return suggest(word, candidates)
}
