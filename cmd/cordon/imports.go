package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"cordon/internal/imports"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/spf13/cobra"
)

func (a *app) importsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "imports",
		Short: "Lists the imports of files, and takes them back",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var format string
	list := &cobra.Command{
		Use:   "list",
		Short: "List the imports, the last one first",
		Long: `Lists the imports of files, the last one first. Times are UTC. The states:

  done       all records are stored
  started    the import runs, or was interrupted: import the same file again to
             complete it, or take it back
  undoing    the import is being taken back, or that was interrupted: undo goes on
  undone     no record of it is left
  forgotten  cordon forget deleted a part of it`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.listImports(cmd.Context(), format) },
	}
	list.Flags().StringVarP(&format, "format", "f", "", "table, csv, json or ndjson (default: table on a terminal, else csv)")
	var dryRun bool
	undo := &cobra.Command{
		Use:   "undo ID...",
		Short: "Take imports back: their flows, sessions and counters",
		Long: `Deletes what imports have stored, by the numbers that ` + "`cordon imports list`" + ` shows:
flow records, what they added to sessions, and the counters of exporters. Sessions
that other records have made stay as those made them. Afterwards the same file can
be imported again. Where the command is interrupted, the same command goes on.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("%s needs the number of an import; `cordon imports list` shows them", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.undoImports(cmd.Context(), args, dryRun) },
	}
	undo.Flags().BoolVar(&dryRun, "dry-run", false, "say what would be taken back, and leave it")
	c.AddCommand(list, undo)
	return c
}

func (a *app) listImports(ctx context.Context, format string) error {
	if format == "" {
		format = "csv"
		if isTerminal(a.stdout) {
			format = "table"
		}
	}
	clickhouseFormat, ok := sessionFormats[format]
	if !ok {
		return usagef("--format %q: use table, csv, json or ndjson", format)
	}
	st, err := a.openStore(ctx, storeNeeds{})
	if err != nil {
		return err
	}
	defer st.close()
	set := clickhouse.Settings{"output_format_pretty_max_rows": 1_000_000, "output_format_pretty_display_footer_column_names": 0}
	if format == "json" {
		set["output_format_json_array_of_rows"] = 1
	}
	r, err := st.Reader.QueryFormat(clickhouse.Context(ctx, clickhouse.WithSettings(set)), clickhouseFormat,
		"SELECT id, state, records, toDateTime(started, 'UTC') AS imported, file, bad_rows, substring(digest, 1, 12) AS digest FROM imports ORDER BY id DESC, instance")
	if err != nil {
		return fmt.Errorf("imports: %w", err)
	}
	defer r.Close()
	var lines lineCounter
	if _, err := io.Copy(io.MultiWriter(a.stdout, &lines), r); err != nil {
		return fmt.Errorf("imports: %w", err)
	}
	if format == "table" && lines == 0 {
		fmt.Fprintln(a.stderr, "No file was imported yet.")
	}
	return nil
}

func (a *app) undoImports(ctx context.Context, ids []string, dryRun bool) error {
	var numbers []uint32
	for _, text := range ids {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil || n == 0 {
			return usagef("%q is not the number of an import; `cordon imports list` shows them", text)
		}
		numbers = append(numbers, uint32(n))
	}
	st, err := a.openStore(ctx, storeNeeds{bus: true})
	if err != nil {
		return err
	}
	defer st.close()
	account := a.accounts(st)
	var list []*imports.Import
	for _, n := range numbers {
		i, err := account.Get(ctx, n)
		if err != nil {
			return err
		}
		if i == nil {
			return usagef("there is no import %d; `cordon imports list` shows them", n)
		}
		list = append(list, i)
	}
	return a.withIngester(ctx, st, func() error {
		for _, i := range list {
			if err := a.undoImport(ctx, st, account, i, dryRun); err != nil {
				return err
			}
		}
		return nil
	})
}

func (a *app) undoImport(ctx context.Context, st *store, account *imports.Store, i *imports.Import, dryRun bool) error {
	if i.State == imports.Undone {
		fmt.Fprintf(a.stdout, "import %d of %s was taken back before\n", i.ID, i.File)
		return nil
	}
	stored, err := account.Stored(ctx, i)
	if err != nil {
		return err
	}
	if dryRun {
		fmt.Fprintf(a.stdout, "import %d of %s: %d records would be taken back\n", i.ID, i.File, stored)
		return nil
	}
	if err := a.undo(ctx, st, i); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "import %d of %s: %d records taken back\n", i.ID, i.File, stored)
	return nil
}
