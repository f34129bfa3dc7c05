package main

import (
	"context"
	"cordon/categories"
	"cordon/categories/sources"
	"cordon/collector/flowfile"
	"cordon/internal/memberships"
	"cordon/recommender"
	"cordon/recommender/target/eos"
	"fmt"
	"net/netip"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/spf13/cobra"
)

// What commands are given: files of groups, policies and sessions. Times are in
// window.go, ends of sessions in scope.go, proposals in subject.go.

// oneArgument refuses anything but one argument, of which what says what it is.
func oneArgument(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usagef("%s takes one %s, got %d", cmd.CommandPath(), what, len(args))
		}
		return nil
	}
}

// groupSources reads sources of all kinds.
var groupSources = sources.Reader{FieldSets: eos.FieldSets}

// readGroups reads a groups file, with the groups of its sources as they are now; nil for no path.
func readGroups(ctx context.Context, path string) (*categories.File, error) {
	file, err := parseGroups(path)
	if err != nil {
		return nil, err
	}
	file, _, err = groupSources.Read(ctx, file)
	return file, err
}

// parseGroups reads a groups file and leaves its sources alone; nil for no path.
func parseGroups(path string) (*categories.File, error) {
	if path == "" {
		return nil, nil
	}
	file, err := categories.ReadFile(path)
	if err != nil {
		return nil, usageError(err)
	}
	for i := range file.Sources {
		if err := sources.CheckTemplates(&file.Sources[i]); err != nil {
			return nil, usagef("%s:%d: %w", path, file.Sources[i].Line, err)
		}
	}
	return file, nil
}

// withSources gives a file with the groups of its sources: what the store knows of them, with the times, and what a source says now that
// was never read into it. A store of the command's own knows none.
func (a *app) withSources(ctx context.Context, st *store, file *categories.File, own bool) (*categories.File, error) {
	if own {
		file, _, err := groupSources.Read(ctx, file)
		return file, err
	}
	file, stale, err := memberships.File(ctx, st.Conn, groupSources, file, time.Now())
	for _, text := range stale {
		fmt.Fprintf(a.stderr, "cordon: %s: addresses may have changed hands since; `cordon groups sources refresh` reads it\n", text)
	}
	return file, err
}

// readGroupsAt reads a groups file as it was at a moment, now for the zero time; nil for no path.
func readGroupsAt(ctx context.Context, path string, at time.Time) (*categories.File, error) {
	if at.IsZero() {
		at = time.Now()
	}
	file, err := readGroups(ctx, path)
	return file.At(at), err
}

// storedGroups is the groups file that generate-rules used last, nil for none.
func storedGroups(ctx context.Context, conn clickhouse.Conn) (*categories.File, error) {
	var rows []struct {
		Category string `ch:"category"`
		Group    string `ch:"group"`
		Prefix   string `ch:"prefix"`
	}
	if err := conn.Select(ctx, &rows, "SELECT category, `group`, prefix FROM groups ORDER BY category, `group`, prefix"); err != nil {
		return nil, fmt.Errorf("groups: %w", err)
	}
	f := &categories.File{Path: "table groups"}
	for _, r := range rows {
		p, err := netip.ParsePrefix(r.Prefix)
		if err != nil {
			return nil, fmt.Errorf("table groups: prefix %q of %s/%s: %w", r.Prefix, r.Category, r.Group, err)
		}
		if n := len(f.Categories); n == 0 || f.Categories[n-1].Name != r.Category {
			f.Categories = append(f.Categories, categories.Category{Name: r.Category})
		}
		c := &f.Categories[len(f.Categories)-1]
		if n := len(c.Groups); n == 0 || c.Groups[n-1].Name != r.Group {
			c.Groups = append(c.Groups, categories.Group{Name: r.Group})
		}
		g := &c.Groups[len(c.Groups)-1]
		g.Prefixes = append(g.Prefixes, p)
	}
	if len(f.Categories) == 0 {
		return nil, nil
	}
	return f, nil
}

// readInForce reads the files of --existing and --guardrails. A name of --existing
// may be the id of a stored proposal, but for sessions from files (from).
func readInForce(existing, guardrails, from []string) (inForce, guarding namedPolicies, err error) {
	if inForce, err = readPolicies(existing, true); err != nil {
		return nil, nil, err
	}
	if guarding, err = readPolicies(guardrails, false); err != nil {
		return nil, nil, err
	}
	if id := inForce.stored(); id != "" && len(from) > 0 {
		return nil, nil, usagef("--existing %s: no such file, and with --from no stored proposal is at hand", id)
	}
	return inForce, guarding, nil
}

// openSessions opens the store with the sessions that a command is about: those of
// the files of --from in a temporary one, else those that are stored. Records of
// files without a time are of at. Close it.
func (a *app) openSessions(ctx context.Context, from []string, at time.Time, publish bool, observe func(recommender.Step)) (_ *store, err error) {
	files := len(from) > 0
	readers, err := openFlowFiles(ctx, from, at)
	if err != nil {
		return nil, err
	}
	if files {
		readers[0] = flowfile.ReadAhead(readers[0]) // The store opens meanwhile.
	}
	began := time.Now()
	st, err := a.openStore(ctx, storeNeeds{bus: publish || files, temporary: files})
	if err != nil {
		closeAll(readers)
		return nil, err
	}
	defer func() {
		if err != nil {
			st.close()
		}
	}()
	observe(recommender.Step{Name: "open the store", Took: time.Since(began)})
	if !files {
		return st, nil
	}
	began = time.Now()
	rep, err := a.ingestFiles(ctx, st, from, readers)
	if err != nil {
		return nil, err
	}
	if rep.bad > 0 {
		return nil, usagef("%d rows of the input could not be read; the first ones are named above", rep.bad)
	}
	observe(recommender.Step{Name: "read the files into it", Took: time.Since(began), Rows: rep.records})
	return st, nil
}
