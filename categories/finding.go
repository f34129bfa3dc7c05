package categories

import (
	"cmp"
	"fmt"
	"strings"
)

// Severity says how much a finding matters.
type Severity uint8

const (
	Info    Severity = iota // worth knowing
	Warning                 // probably not what was meant
	Error                   // the file cannot be used as it is
)

// String returns "info", "warning" or "error".
func (s Severity) String() string { return [...]string{"info", "warning", "error"}[s] }

// MarshalText implements encoding.TextMarshaler with the form of String.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Finding is one line of `cordon groups lint`.
type Finding struct {
	Severity Severity `json:"severity"`
	Path     string   `json:"path"`
	Line     int      `json:"line,omitempty"`     // 0 where the finding is about the whole file
	Category string   `json:"category,omitempty"` // empty where it is about none
	Group    string   `json:"group,omitempty"`
	Message  string   `json:"message"`
}

func newFinding(path string, s Severity, line int, category, group, format string, args ...any) Finding {
	return Finding{s, path, line, category, group, fmt.Sprintf(format, args...)}
}

// String returns "path:line: severity: category/group: message".
func (f Finding) String() string {
	var b strings.Builder
	b.WriteString(f.Path)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d", f.Line)
	}
	fmt.Fprintf(&b, ": %s: ", f.Severity)
	switch {
	case f.Group != "":
		fmt.Fprintf(&b, "%s/%s: ", f.Category, f.Group)
	case f.Category != "":
		fmt.Fprintf(&b, "%s: ", f.Category)
	}
	b.WriteString(f.Message)
	return b.String()
}

// compareFindings orders by line, the whole file last, then the worst first.
func compareFindings(a, b Finding) int {
	return cmp.Or(
		cmp.Compare(uint(a.Line-1), uint(b.Line-1)),
		cmp.Compare(b.Severity, a.Severity),
		cmp.Compare(a.Category, b.Category),
		cmp.Compare(a.Group, b.Group),
		cmp.Compare(a.Message, b.Message),
	)
}
