package clickhousehttp

import (
	"cordon/internal/chdb"
	"cordon/internal/sqltext"
	"slices"
	"strings"
)

// Reading from outside is kept to reading by several means, each of which
// would do for most attacks alone:
//
//   - The connection drops to a role that may SELECT and nothing else, so the
//     engine itself refuses writing, and reading of the disk and the network.
//   - It sets its limits and then readonly = 1, after which the engine refuses
//     every change of a setting, also inside a query.
//   - The engine's parser takes the text as the value of a parameter, refuses
//     several statements, and returns it in canonical form. That form is
//     checked, and that form is what runs. It must be a statement that reads,
//     which keeps the role from being changed back; it may not write a file with
//     INTO OUTFILE, which the library does without asking for rights; and it may
//     not call the functions that reach out of the engine without asking either.

// readingStatements are the words that a canonical statement from outside may
// begin with.
var readingStatements = map[string]bool{
	"SELECT": true, "WITH": true, "SHOW": true, "DESCRIBE": true, "DESC": true, "EXISTS": true, "EXPLAIN": true,
}

// outwardFunctions are the functions, in lower case, that reach files, the
// network or tables without the engine asking for a right to do so. A test
// compares them with what the library has.
var outwardFunctions = []string{
	"file", "hascolumnintable", "joinget", "joingetornull", "catboostevaluate",
	"aigenerate", "aiclassify", "aiextract", "aitranslate",
}

// inwardTableFunctions are the table functions that stay within the engine.
// All others are refused: most need a right, but some touch the disk first.
var inwardTableFunctions = []string{
	"numbers", "numbers_mt", "zeros", "zeros_mt", "values", "sqlstandardvalues", "null", "generateseries", "generate_series",
	"generaterandom", "primes", "format", "merge", "view", "viewexplain", "viewifpermitted", "dictionary",
	"mergetreeindex", "mergetreeprojection", "fuzzquery", "fuzzjson",
}

// outward lists what a statement from outside may not call.
func outward(conn *chdb.Connection) (map[string]bool, error) {
	names, err := conn.Text("SELECT lower(name) FROM system.table_functions FORMAT TSVRaw")
	if err != nil {
		return nil, err
	}
	refused := map[string]bool{}
	for _, n := range strings.Fields(names) {
		refused[n] = !slices.Contains(inwardTableFunctions, n)
	}
	for _, n := range outwardFunctions {
		refused[n] = true
	}
	return refused, nil
}

// prepareOutside limits the connection and replaces the text by its checked form.
func (c *Server) prepareOutside(conn *chdb.Connection, q *request, mark string) error {
	limits, err := c.outsideSettings(conn, q, mark)
	if err != nil {
		return err
	}
	if err := applySettings(conn, limits); err != nil {
		return err
	}
	canonical, err := canonicalForm(conn, q.sql)
	if err != nil {
		return parsingFailure(err)
	}
	if canonical, err = c.takeSettings(conn, q, canonical, mark); err != nil {
		return err
	}
	if err := c.checkReading(canonical, q.params); err != nil {
		return err
	}
	q.sql = canonical
	switch {
	case q.database != "":
		if err := conn.Exec("USE " + sqltext.Name(q.database)); err != nil {
			return err
		}
	case c.database != "":
		// It may not be there yet.
		if e, ok := conn.Exec("USE " + sqltext.Name(c.database)).(*chdb.Exception); ok && e.Name != "UNKNOWN_DATABASE" {
			return e
		}
	}
	return conn.Exec("SET readonly = 1; SET ROLE " + chdb.RoleReader)
}

// canonicalForm returns one statement as the engine's parser understood it.
func canonicalForm(conn *chdb.Connection, sql string) (string, error) {
	text, err := conn.Text("SELECT formatQuery({sql:String})", chdb.Param{Name: "sql", Value: escapeParam(sql)})
	return trimLine(text), err
}

// checkReading refuses a canonical statement that does more than read what is
// in the engine.
func (c *Server) checkReading(canonical string, params []chdb.Param) error {
	l := lexer{sql: canonical}
	tokens, err := l.all()
	if err != nil {
		return err
	}
	text := func(i int) string {
		if i >= len(tokens) {
			return ""
		}
		return l.text(tokens[i])
	}
	first := 0
	for text(first) == "(" {
		first++
	}
	if word := strings.ToUpper(text(first)); !readingStatements[word] {
		return errReadOnly(firstOf(word, "an empty statement"))
	}
	for i, t := range tokens {
		switch t.kind {
		case tokenWord, tokenQuoted:
			name := identifierText(text(i))
			if text(i+1) == "(" && c.refused[strings.ToLower(name)] {
				return errReadOnly("function " + name)
			}
			if t.kind == tokenWord && strings.EqualFold(name, "INTO") && strings.EqualFold(text(i+1), "OUTFILE") {
				return errReadOnly("INTO OUTFILE")
			}
			// readonly = 1 does not reach the settings of a subquery; those behind the whole query are gone.
			if clause := settingsAt(&l, tokens, i); clause != nil {
				if err := clause.harmless(); err != nil {
					return err
				}
			}
			if t.kind == tokenQuoted && isPath(name) {
				return errReadOnly("the name " + text(i))
			}
		case tokenPunct:
			// {name:Identifier} puts a parameter in the place of a name.
			if text(i) == "{" && text(i+2) == ":" && strings.EqualFold(text(i+3), "Identifier") {
				for _, p := range params {
					if p.Name == text(i+1) && isPath(p.Value) {
						return errReadOnly("the name " + p.Value)
					}
				}
			}
		}
	}
	return nil
}

// isPath tells whether the engine would look for a table of this name among
// files elsewhere: in database default, files are tables.
func isPath(name string) bool {
	return strings.HasPrefix(name, "/") || strings.HasPrefix(name, ".") || strings.Contains(name, "../")
}

// identifierText takes the quotes off an identifier.
func identifierText(s string) string {
	if len(s) < 2 || s[0] != '`' && s[0] != '"' || s[len(s)-1] != s[0] {
		return s
	}
	quote := s[0]
	s = s[1 : len(s)-1]
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' || s[i] == quote { // the next byte stands for itself
			i++
		}
		if i < len(s) {
			b = append(b, s[i])
		}
	}
	return string(b)
}

// parsingFailure keeps the parser's message and drops what it says of the
// query around the text.
func parsingFailure(err error) error {
	if e, ok := err.(*chdb.Exception); ok {
		e.Message, _, _ = strings.Cut(e.Message, ": In scope SELECT formatQuery")
		e.Message, _, _ = strings.Cut(e.Message, ": while executing")
	}
	return err
}

// escapeParam writes a query parameter as the engine reads it, escaped as in
// TabSeparated.
func escapeParam(s string) string {
	return strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`, "\x00", `\0`).Replace(s)
}
