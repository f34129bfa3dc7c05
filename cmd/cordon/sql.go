package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/spf13/cobra"
)

const sqlHelp = `Run one query, or an interactive session without QUERY. Database cordon is the
default; tables and views: flows, sessions, groups, proposals, proposal_rules,
exporters. Access is read-only, within the limits of the settings sql.*.

In a session Ctrl-C ends the query that runs and not the session, and \? lists
commands: \d for tables, \d TABLE for columns, \timing, \q.

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
	timing bool // say how long each query took
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
	// An external server is told to stop when nobody reads the result any more.
	asked := clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"cancel_http_readonly_queries_on_client_close": 1}))
	r, err := s.db.QueryFormat(asked, format, query)
	if err != nil {
		return sqlError(query, err)
	}
	defer r.Close()
	if _, err := io.Copy(s.app.stdout, r); err != nil {
		return sqlError(query, fmt.Errorf("result: %w", err))
	}
	return nil
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
