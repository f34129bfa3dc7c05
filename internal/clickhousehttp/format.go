package clickhousehttp

import (
	"context"
	"cordon/internal/chdb"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// rowFormats are the output formats, in lower case, in which two results one
// behind the other are one result. The library formats each piece of a streamed
// result by itself, so these alone can be streamed: in any other the result
// would have a header, a frame or a row number one in every piece. A test
// compares the list with what the library does.
var rowFormats = map[string]bool{
	"native": true, "rowbinary": true, "null": true,
	"tabseparated": true, "tsv": true, "tabseparatedraw": true, "tsvraw": true, "csv": true, "tskv": true,
	"jsoneachrow": true, "jsonlines": true, "ndjson": true, "jsonstringseachrow": true,
	"jsoncompacteachrow": true, "jsoncompactstringseachrow": true,
	"bsoneachrow": true, "msgpack": true, "lineasstring": true, "rawblob": true,
}

// arrayOfRows is a setting that makes a row format a document.
const arrayOfRows = "output_format_json_array_of_rows"

// streamable tells whether the pieces of a result can follow one another.
func (q *request) streamable(format string) bool {
	asArray := strings.Contains(q.sql, arrayOfRows) || slices.ContainsFunc(q.settings, func(s setting) bool { return s.name == arrayOfRows })
	return rowFormats[strings.ToLower(format)] && !asArray
}

// formatClause finds the clause FORMAT name that ends a query, before SETTINGS
// if it has some. It returns where the clause begins, and the name; without one
// the end of the text and "".
func formatClause(sql string) (start int, name string) {
	if !strings.Contains(strings.ToUpper(sql), "FORMAT") {
		return len(sql), ""
	}
	start = len(sql)
	l := lexer{sql: sql}
	depth := 0
	for t := l.next(); t.kind != tokenEnd && t.kind != tokenInvalid; {
		next := l.next()
		switch {
		case t.kind == tokenPunct && (sql[t.start] == '(' || sql[t.start] == '['):
			depth++
		case t.kind == tokenPunct && (sql[t.start] == ')' || sql[t.start] == ']'):
			depth--
		case depth == 0 && l.is(t, "FORMAT") && (next.kind == tokenWord || next.kind == tokenQuoted) && !notFormats[strings.ToUpper(l.text(next))]:
			behind := l
			after := behind.next()
			if after.kind == tokenEnd || l.is(after, "SETTINGS") || after.kind == tokenPunct && sql[after.start] == ';' {
				start, name = t.start, identifierText(l.text(next))
			}
		}
		t = next
	}
	return start, name
}

// notFormats are words that may end a query behind a column called format.
var notFormats = map[string]bool{"ASC": true, "DESC": true, "END": true, "FINAL": true, "SETTINGS": true}

// isSelect tells whether a statement in canonical form is a SELECT whose result
// goes nowhere but to the client.
func isSelect(canonical string) bool {
	l := lexer{sql: canonical}
	t := l.next()
	for t.kind == tokenPunct && canonical[t.start] == '(' {
		t = l.next()
	}
	if !l.is(t, "SELECT") && !l.is(t, "WITH") {
		return false
	}
	for t.kind != tokenEnd {
		next := l.next()
		if l.is(t, "INTO") && l.is(next, "OUTFILE") {
			return false
		}
		t = next
	}
	return true
}

// explicitFormat returns the format that a text names for its result, or "".
func explicitFormat(sql string) string {
	_, name := formatClause(sql)
	return name
}

// intoPipe runs a SELECT whose result is one document. The engine writes it as
// it comes into the pipe that the result is read from: the library's other way
// to a whole document is one buffer that no limit holds for. cancel ends the
// query.
func intoPipe(conn *chdb.Connection, cancel context.CancelFunc, q *request, sql, format string, out *response) error {
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("a pipe for the result: %w", err)
	}
	defer r.Close()
	copied := make(chan error, 1)
	go func() {
		_, err := io.Copy(struct{ io.Writer }{out}, r)
		if err != nil {
			cancel()
			io.Copy(io.Discard, r) // this ends when the engine has closed its end
		}
		copied <- err
	}()
	at, _ := formatClause(sql)
	into := fmt.Sprintf("%s\nINTO OUTFILE '/dev/fd/%d' TRUNCATE FORMAT %s", sql[:at], w.Fd(), format)
	if _, behind, ok := strings.Cut(sql[at:], "SETTINGS"); ok {
		into += " SETTINGS" + behind
	}
	_, out.stats, err = conn.Run(into, format, q.params)
	w.Close()
	if lost := <-copied; lost != nil {
		return lost
	}
	return err
}
