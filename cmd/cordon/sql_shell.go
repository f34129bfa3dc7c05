package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/chzyer/readline"
)

const shellHelp = `\?          this help
\d          the tables and views
\d TABLE    the columns of one
\timing     say how long each query took, or stop saying it
\q          leave; Ctrl-D, exit and quit do so, too
Ctrl-C      ends the query that runs, or forgets the line
Tab         completes names and keywords

A query ends with ; or an empty line. FORMAT Vertical and the like may end it.`

// interactive reads queries, each ended by a semicolon or an empty line, and
// commands that begin with a backslash, until the end of input. Ctrl-C ends
// the query and not the session.
func (s *sqlShell) interactive(ctx context.Context) error {
	// The signal that ends other commands ends the query here.
	ctx, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)

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
	fmt.Fprintln(s.app.stderr, `Read-only SQL over database cordon. End a query with ; and leave with \q or Ctrl-D. \? lists commands, Tab completes names.`)
	var lines []string
	for {
		rl.SetPrompt("cordon> ")
		if len(lines) > 0 {
			rl.SetPrompt("     -> ")
		}
		line, err := rl.Readline()
		switch {
		case errors.Is(err, readline.ErrInterrupt):
			lines = nil
			continue
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("terminal: %w", err)
		}
		query, done := nextQuery(&lines, line)
		if done {
			return nil
		}
		if query == "" {
			continue
		}
		rl.SaveHistory(strings.Join(strings.Fields(query), " "))
		if !s.attempt(ctx, query, signals) {
			return nil
		}
	}
}

// nextQuery takes a line and gives the query or command that it completes, if
// any. done says that the person wants to leave.
func nextQuery(lines *[]string, line string) (query string, done bool) {
	trimmed := strings.TrimSpace(line)
	if len(*lines) == 0 {
		switch strings.ToLower(strings.TrimRight(trimmed, "; ")) {
		case "":
			return "", false
		case "exit", "quit", `\q`:
			return "", true
		}
		if strings.HasPrefix(trimmed, `\`) {
			return strings.TrimRight(trimmed, "; "), false
		}
	}
	*lines = append(*lines, line)
	if trimmed != "" && !strings.HasSuffix(trimmed, ";") {
		return "", false
	}
	query = strings.Join(*lines, "\n")
	*lines = nil
	return query, false
}

// attempt runs one query or command and prints what is wrong with it. It
// reports whether the session goes on: a signal to end the process ends it.
func (s *sqlShell) attempt(ctx context.Context, query string, signals <-chan os.Signal) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	select {
	case <-signals: // one from before the query
	default:
	}
	result := make(chan error, 1)
	began := time.Now()
	go func() { result <- s.do(ctx, query) }()
	goOn := true
	for {
		select {
		case sig := <-signals:
			goOn = goOn && sig == os.Interrupt
			cancel()
			continue
		case err := <-result:
			switch {
			case ctx.Err() != nil:
				fmt.Fprintf(s.app.stderr, "\nThe query was cancelled after %s.\n", took(began))
			case err != nil:
				fmt.Fprintln(s.app.stderr, err)
			}
			if s.timing && ctx.Err() == nil && !strings.HasPrefix(query, `\`) {
				fmt.Fprintln(s.app.stderr, "Time:", took(began))
			}
			return goOn
		}
	}
}

func took(since time.Time) time.Duration { return time.Since(since).Round(time.Millisecond) }

// do runs a query, or one of the commands of the shell.
func (s *sqlShell) do(ctx context.Context, query string) error {
	command, isCommand := strings.CutPrefix(query, `\`)
	if !isCommand {
		return s.run(ctx, query)
	}
	words := strings.Fields(command)
	switch {
	case len(words) == 1 && (words[0] == "?" || words[0] == "h"):
		_, err := fmt.Fprintln(s.app.stdout, shellHelp)
		return err
	case len(words) == 1 && words[0] == "timing":
		s.timing = !s.timing
		_, err := fmt.Fprintln(s.app.stdout, map[bool]string{true: "Timing is on.", false: "Timing is off."}[s.timing])
		return err
	case len(words) == 1 && words[0] == "d":
		return s.run(ctx, `SELECT name, if(endsWith(engine, 'View'), 'view', 'table') AS kind
			FROM system.tables WHERE database = 'cordon' AND NOT is_temporary ORDER BY name`)
	case len(words) == 2 && words[0] == "d":
		return s.describe(ctx, words[1])
	}
	return fmt.Errorf(`there is no command \%s; \? lists them`, command)
}

// tableName is a name that needs no quotes, with the database before it or not.
var tableName = regexp.MustCompile("^`?(?:cordon`?\\.`?)?([A-Za-z_][A-Za-z0-9_]*)`?$")

// describe lists the columns of a table.
func (s *sqlShell) describe(ctx context.Context, name string) error {
	m := tableName.FindStringSubmatch(name)
	if m == nil {
		return fmt.Errorf(`there is no table %s; \d lists them`, name)
	}
	columns := "FROM system.columns WHERE database = 'cordon' AND table = '" + m[1] + "'"
	r, err := s.db.QueryFormat(ctx, "TabSeparated", "SELECT count() "+columns)
	if err != nil {
		return sqlError("", err)
	}
	defer r.Close()
	switch n, err := io.ReadAll(r); {
	case err != nil:
		return sqlError("", err)
	case strings.TrimSpace(string(n)) == "0":
		return fmt.Errorf(`there is no table %s; \d lists them`, m[1])
	}
	// On a terminal a line has to fit; what is longer is cut.
	clip := func(column string, most int) string {
		return fmt.Sprintf("if(lengthUTF8(%[1]s) > %[2]d, concat(substringUTF8(%[1]s, 1, %[2]d - 1), '…'), %[1]s)", column, most)
	}
	types, comments := "type", "comment"
	if width := terminalWidth(s.app.stdout); width > 0 {
		const most, rest = 32, 40 // widest type; width of number, name and frame
		types, comments = clip("type", most), clip("comment", max(width-most-rest, 12))
	}
	return s.run(ctx, "SELECT name, "+types+" AS kind, "+comments+" AS about "+columns+" ORDER BY position")
}
