package main

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

type noNames struct{}

func (noNames) QueryFormat(context.Context, string, string, ...any) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader("flows\nfirst_seen\nFormatVersion\n")), nil
}

// Keywords follow the case in which they are typed; names have one of their own.
func TestSQLCompleter(t *testing.T) {
	c := newSQLCompleter(t.Context(), noNames{})
	for _, tc := range []struct {
		line string
		want []string
	}{
		{"sel", []string{"select"}}, {"SEL", []string{"SELECT"}}, {"Sel", []string{"SelECT"}},
		{"SELECT a fr", []string{"from"}}, {"SELECT a FR", []string{"FROM"}}, {"group", []string{"group by"}}, {"GROUP", []string{"GROUP BY"}},
		{"flo", []string{"flows"}}, {"FLO", nil}, {"f", []string{"from", "format", "first_seen", "flows", "formatReadableSize("}},
		{"Form", []string{"FormAT", "FormatVersion"}}, {"uniq", []string{"uniqExact("}}, {"UNIQ", nil}, {"", nil}, {"SELECT ", nil}, {"sum(fl", []string{"flows"}},
	} {
		endings, length := c.Do([]rune(tc.line), len([]rune(tc.line)))
		var got []string
		for _, e := range endings {
			got = append(got, tc.line[len(tc.line)-length:]+string(e))
		}
		slices.Sort(got)
		slices.Sort(tc.want)
		if !slices.Equal(got, tc.want) {
			t.Errorf("%q: %q, want %q", tc.line, got, tc.want)
		}
	}
}

func TestSQLErrorIsShort(t *testing.T) {
	for _, tc := range []struct{ name, query, err, want string }{
		{"syntax", "SELECT a FORM flows", "Code: 62. DB::Exception: Syntax error: failed at position 15 (flows): flows. Expected one of: token, Comma, FROM, WHERE. (SYNTAX_ERROR)",
			"sql: syntax error, at line 1, column 15:\n  SELECT a FORM flows\n                ^"},
		{"syntax, as the HTTP client has it", "SELECT a FORM flows", "sendQuery: [HTTP 400] code: 62, message: Syntax error: failed at position 15 (flows): flows. Expected one of: token (SYNTAX_ERROR)",
			"sql: syntax error, at line 1, column 15:\n  SELECT a FORM flows\n                ^"},
		{"syntax in a later line", "SELECT a,\n\tFROM flows", "code: 62, message: Code: 62. DB::Exception: Syntax error: failed at position 12 (FROM) (line 2, col 2): FROM flows. Expected one of: x. (SYNTAX_ERROR) (version 26.5.3.1)",
			"sql: syntax error, at line 2, column 2:\n   FROM flows\n   ^"},
		{"end of query", "SELECT count( ", "Code: 62. DB::Exception: Syntax error: failed at position 15 (end of query): . Expected one of: x. (SYNTAX_ERROR)",
			"sql: syntax error: the query ends too early, at line 1, column 14:\n  SELECT count(\n               ^"},
		{"unknown column", "SELECT sessons, sesson FROM sessions", "Code: 47. DB::Exception: Unknown expression identifier `sesson` in scope SELECT sesson FROM sessions. Maybe you meant: ['session']. (UNKNOWN_IDENTIFIER)",
			"sql: Unknown expression identifier `sesson`. Maybe you meant: ['session'], at line 1, column 17:\n  SELECT sessons, sesson FROM sessions\n                  ^"},
		{"unknown table", "SELECT 1 FROM flow", "Code: 60. DB::Exception: Unknown table expression identifier 'flow' in scope SELECT 1 FROM flow. (UNKNOWN_TABLE)",
			"sql: Unknown table expression identifier 'flow', at line 1, column 15:\n  SELECT 1 FROM flow\n                ^"},
		{"no place", "SELECT throwIf(1)", "Code: 395. DB::Exception: Value passed to 'throwIf' function is non-zero: while executing 'FUNCTION throwIf(1)'. (FUNCTION_THROW_IF_VALUE_IS_NON_ZERO)",
			"sql: Value passed to 'throwIf' function is non-zero"},
		{"position beyond the query", "SELECT", "Code: 62. DB::Exception: Syntax error: failed at position 99 (x): x. (SYNTAX_ERROR)", "sql: syntax error, at line 1, column 7:\n  SELECT\n        ^"},
		{"no exception", "SELECT 1", "connection refused", "sql: connection refused"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := sqlError(tc.query, errors.New(tc.err)).Error(); got != tc.want {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
	long := "SELECT " + strings.Repeat("a, ", 400) + "?"
	got := sqlError(long, errors.New("Code: 62. DB::Exception: Syntax error: failed at position 1208 (?): ?. (SYNTAX_ERROR)")).Error()
	if lines := strings.Split(got, "\n"); len(lines) != 3 || len(lines[1]) > 120 || !strings.HasSuffix(lines[0], "column 1208:") {
		t.Errorf("a long line gives\n%s", got)
	}
}

// Lines become queries at a semicolon or an empty line, and commands at once.
func TestNextQuery(t *testing.T) {
	for _, tc := range []struct {
		lines []string
		want  []string
		done  bool
	}{
		{[]string{"SELECT 1;"}, []string{"SELECT 1;"}, false},
		{[]string{"SELECT", "1", ""}, []string{"SELECT\n1\n"}, false},
		{[]string{"", `\d`, `\d flows;`, "SELECT 1;"}, []string{`\d`, `\d flows`, "SELECT 1;"}, false},
		{[]string{`\q`}, nil, true}, {[]string{`\q;`}, nil, true}, {[]string{"EXIT"}, nil, true}, {[]string{"quit;"}, nil, true},
		{[]string{"SELECT", `\q`, ";"}, []string{"SELECT\n\\q\n;"}, false},
	} {
		var open, got []string
		left := false
		for _, l := range tc.lines {
			q, done := nextQuery(&open, l)
			if left = left || done; q != "" {
				got = append(got, q)
			}
		}
		if !slices.Equal(got, tc.want) || left != tc.done {
			t.Errorf("%q: %q, left %t; want %q, %t", tc.lines, got, left, tc.want, tc.done)
		}
	}
}
