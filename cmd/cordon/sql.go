package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"

	"github.com/chzyer/readline"
	"github.com/spf13/cobra"
)

const sqlHelp = `Run one query, or an interactive session without QUERY. Database cordon is the
default; tables and views: flows, sessions, groups, proposals, proposal_rules,
exporters. Access is read-only, within the limits of the settings sql.*.

The result's format is any of ClickHouse's, by --format or by FORMAT in the query.
QUERY "-" reads the query from standard input.`

func (a *app) sqlCommand() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "sql [QUERY]",
		Short: "SQL over the store; interactive without QUERY",
		Long:  sqlHelp,
		Example: `  cordon sql 'SELECT service, count() AS sessions FROM sessions GROUP BY service ORDER BY sessions DESC'
  cordon sql --format CSVWithNames 'SELECT * FROM sessions' > sessions.csv
  cordon sql`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("%d arguments; put the query in quotes", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.sql(cmd.Context(), format, args) },
	}
	c.Flags().StringVarP(&format, "format", "f", "", "ClickHouse output format (default PrettyCompact on a terminal, else TabSeparatedWithNames)")
	return c
}

func (a *app) sql(ctx context.Context, format string, args []string) error {
	if format == "" {
		format = "TabSeparatedWithNames"
		if isTerminal(a.stdout) {
			format = "PrettyCompactMonoBlock"
		}
	}
	st, err := a.openStore(ctx, storeNeeds{})
	if err != nil {
		return err
	}
	defer st.close()
	sh := &sqlShell{app: a, db: st.Reader, format: format}
	switch {
	case len(args) == 1 && args[0] != "-":
		return sh.run(ctx, args[0])
	case len(args) == 1 || !isTerminal(a.stdin):
		query, err := io.ReadAll(a.stdin)
		if err != nil {
			return fmt.Errorf("standard input: %w", err)
		}
		return sh.run(ctx, string(query))
	}
	return sh.interactive(ctx)
}

// formatQuerier is the part of a ClickHouse connection that the shell needs.
type formatQuerier interface {
	QueryFormat(ctx context.Context, format, query string, args ...any) (io.ReadCloser, error)
}

// sqlShell runs queries and prints their results as they come.
type sqlShell struct {
	app    *app
	db     formatQuerier
	format string
}

// formatClause is FORMAT name at the end of a query. The server is told the
// format apart from the query, so the clause moves there.
var formatClause = regexp.MustCompile(`(?is)\sFORMAT\s+([A-Za-z][A-Za-z0-9]*)\s*$`)

func (s *sqlShell) run(ctx context.Context, query string) error {
	query = strings.TrimRight(strings.TrimSpace(query), "; \t\r\n")
	if query == "" {
		return usagef("empty query")
	}
	format := s.format
	if m := formatClause.FindStringSubmatchIndex(query); m != nil {
		format, query = query[m[2]:m[3]], query[:m[0]]
	}
	r, err := s.db.QueryFormat(ctx, format, query)
	if err != nil {
		return fmt.Errorf("sql: %w", err)
	}
	defer r.Close()
	if _, err := io.Copy(s.app.stdout, r); err != nil {
		return fmt.Errorf("sql: result: %w", err)
	}
	return nil
}

// interactive reads queries, each ended by a semicolon or an empty line,
// until end of input.
func (s *sqlShell) interactive(ctx context.Context) error {
	rl, err := readline.NewEx(&readline.Config{
		Prompt:                 "cordon> ",
		HistoryFile:            historyFile(),
		DisableAutoSaveHistory: true,
		AutoComplete:           newSQLCompleter(ctx, s.db),
		InterruptPrompt:        "^C",
		Stdout:                 s.app.stdout,
		Stderr:                 s.app.stderr,
	})
	if err != nil {
		return fmt.Errorf("terminal: %w", err)
	}
	defer rl.Close()
	fmt.Fprintln(s.app.stderr, "Read-only SQL over database cordon. End a query with ; and leave with Ctrl-D. Tab completes names.")
	var lines []string
	for {
		line, err := rl.Readline()
		switch {
		case errors.Is(err, readline.ErrInterrupt):
			lines = nil
			rl.SetPrompt("cordon> ")
			continue
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("terminal: %w", err)
		}
		trimmed := strings.TrimSpace(line)
		if len(lines) == 0 {
			switch strings.ToLower(strings.TrimRight(trimmed, ";")) {
			case "":
				continue
			case "exit", "quit":
				return nil
			}
		}
		lines = append(lines, line)
		if trimmed != "" && !strings.HasSuffix(trimmed, ";") {
			rl.SetPrompt("     -> ")
			continue
		}
		query := strings.Join(lines, "\n")
		lines = nil
		rl.SetPrompt("cordon> ")
		rl.SaveHistory(strings.Join(strings.Fields(query), " "))
		if err := s.run(ctx, query); err != nil {
			fmt.Fprintln(s.app.stderr, err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// historyFile keeps the queries of a person across sessions; without a place
// for it there is no history.
func historyFile() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	dir = filepath.Join(dir, "cordon")
	if os.MkdirAll(dir, 0o700) != nil {
		return ""
	}
	return filepath.Join(dir, "sql_history")
}

// sqlCompleter completes keywords and the names of tables and columns.
type sqlCompleter struct{ words []string }

var sqlKeywords = []string{
	"SELECT", "FROM", "WHERE", "GROUP BY", "ORDER BY", "LIMIT", "HAVING", "DISTINCT", "WITH", "FORMAT", "DESCRIBE TABLE", "SHOW TABLES",
	"count()", "uniqExact(", "sum(", "min(", "max(", "toStartOfHour(", "now()", "INTERVAL", "isIPAddressInRange(", "formatReadableSize(",
}

func newSQLCompleter(ctx context.Context, db formatQuerier) *sqlCompleter {
	c := &sqlCompleter{words: append([]string(nil), sqlKeywords...)}
	r, err := db.QueryFormat(ctx, "TabSeparatedRaw", "SELECT DISTINCT arrayJoin([table, name]) FROM system.columns WHERE database = 'cordon'")
	if err == nil {
		defer r.Close()
		if names, err := io.ReadAll(r); err == nil {
			c.words = append(c.words, strings.Fields(string(names))...)
		}
	}
	sort.Strings(c.words)
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
	for _, w := range c.words {
		if len(w) > len(word) && strings.EqualFold(w[:len(word)], word) {
			endings = append(endings, []rune(w[len(word):]))
		}
	}
	return endings, pos - start
}
