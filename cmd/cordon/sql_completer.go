package main

import (
	"context"
	"io"
	"sort"
	"strings"
	"unicode"
)

// sqlCompleter completes keywords, in the case in which they are typed, and the
// names of functions, tables and columns, whose case matters.
type sqlCompleter struct{ keywords, names []string }

var sqlKeywords = []string{
	"SELECT", "FROM", "WHERE", "GROUP BY", "ORDER BY", "LIMIT", "HAVING", "DISTINCT", "WITH", "FORMAT", "DESCRIBE TABLE", "SHOW TABLES",
	"INTERVAL", "BETWEEN", "INNER JOIN", "LEFT JOIN", "USING", "UNION ALL", "DESC",
}

var sqlFunctions = []string{
	"count()", "uniqExact(", "sum(", "min(", "max(", "toStartOfHour(", "now()", "isIPAddressInRange(", "formatReadableSize(",
}

func newSQLCompleter(ctx context.Context, db formatQuerier) *sqlCompleter {
	c := &sqlCompleter{keywords: sqlKeywords, names: append([]string(nil), sqlFunctions...)}
	r, err := db.QueryFormat(ctx, "TabSeparatedRaw", "SELECT DISTINCT arrayJoin([table, name]) FROM system.columns WHERE database = 'cordon'")
	if err == nil {
		defer r.Close()
		if names, err := io.ReadAll(r); err == nil {
			c.names = append(c.names, strings.Fields(string(names))...)
		}
	}
	sort.Strings(c.names)
	return c
}

// Do gives the endings of the words that start with what stands before the
// cursor, and the length of that beginning.
func (c *sqlCompleter) Do(line []rune, pos int) (endings [][]rune, length int) {
	start := pos
	for start > 0 && !strings.ContainsRune(" \t,()=<>", line[start-1]) {
		start--
	}
	word := string(line[start:pos])
	if word == "" {
		return nil, 0
	}
	lower := strings.IndexFunc(word, unicode.IsUpper) < 0
	for _, w := range c.keywords {
		if len(w) > len(word) && strings.EqualFold(w[:len(word)], word) {
			ending := w[len(word):]
			if lower {
				ending = strings.ToLower(ending)
			}
			endings = append(endings, []rune(ending))
		}
	}
	for _, w := range c.names {
		if ending, ok := strings.CutPrefix(w, word); ok && ending != "" {
			endings = append(endings, []rune(ending))
		}
	}
	return endings, pos - start
}
