package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"cordon/internal/bus"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const deadLettersHelp = `A batch that can never be inserted (damaged, of another schema version, refused by
ClickHouse while it takes others) is moved to stream FLOWS_DEAD with its reason, so
that the others go on. It is kept there for 30 days.

list shows these batches, replay sends them to the ingesters again, say after an
upgrade, and drop deletes them for good. A batch keeps its id, so what was stored
after all is not stored twice.`

// letterFlags select dead letters.
type letterFlags struct {
	sequences []string
	reasons   []string
	older     time.Duration
	newer     time.Duration
	all       bool
	dryRun    bool
	format    string
}

var letterFormats = []string{"table", "csv", "json", "ndjson"}

func (a *app) deadLettersCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "dead-letters",
		Short: "Batches that could not be inserted: list, send again, delete",
		Long:  deadLettersHelp,
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var listed, replayed, dropped letterFlags
	list := &cobra.Command{
		Use: "list", Short: "List the batches that could not be inserted, each with its reason", Args: noArgs,
		Example: `  cordon dead-letters list
  cordon dead-letters list --reason damaged --newer-than 24h --format ndjson`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.deadLetters(cmd.Context(), &listed, nil) },
	}
	listed.flags(list.Flags())
	replay := &cobra.Command{
		Use: "replay", Short: "Send batches to the ingesters again, all or some", Args: noArgs,
		Long: `Sends batches to the ingesters again, all of them or those that the flags select, and shows
them. A batch that still cannot be inserted becomes a dead letter again.

For a while JetStream takes a batch that it had for a duplicate (nats.duplicates, 10
minutes): such a batch stays where it is, and the exit code is 1. Where no server runs
on the data folder, the batches are inserted when cordon up runs the next time.`,
		Example: `  cordon dead-letters replay --dry-run
  cordon dead-letters replay --reason refused
  cordon dead-letters replay --sequence 3,7-9`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.deadLetters(cmd.Context(), &replayed, &letterAction{"sent again", (*bus.Bus).Replay})
		},
	}
	replayed.flags(replay.Flags())
	replay.Flags().BoolVar(&replayed.dryRun, "dry-run", false, "only show which batches would be sent again")
	drop := &cobra.Command{
		Use: "drop", Short: "Delete batches for good: some, or all with --all", Args: noArgs,
		Example: `  cordon dead-letters drop --sequence 3
  cordon dead-letters drop --reason damaged --older-than 7d --dry-run`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !dropped.all && !dropped.selects() {
				return usagef("%s: say which, with --sequence, --reason, --older-than or --newer-than, or --all", cmd.CommandPath())
			}
			return a.deadLetters(cmd.Context(), &dropped, &letterAction{"deleted", (*bus.Bus).DropDeadLetter})
		},
	}
	dropped.flags(drop.Flags())
	drop.Flags().BoolVar(&dropped.all, "all", false, "all of them")
	drop.Flags().BoolVar(&dropped.dryRun, "dry-run", false, "only show which batches would be deleted")
	c.AddCommand(list, replay, drop)
	return c
}

func (l *letterFlags) flags(f *pflag.FlagSet) {
	f.StringSliceVar(&l.sequences, "sequence", nil, "these, by the number in the first column: 3, or 3-9 (may be repeated)")
	f.StringSliceVar(&l.reasons, "reason", nil, "of this reason, such as damaged or refused (may be repeated)")
	f.Var((*span)(&l.older), "older-than", "moved there longer ago than this, such as 24h or 7d")
	f.Var((*span)(&l.newer), "newer-than", "moved there less long ago than this")
	f.StringVarP(&l.format, "format", "f", "", "table, csv, json or ndjson (default: table on a terminal, else csv)")
}

func (l *letterFlags) selects() bool {
	return len(l.sequences)+len(l.reasons) > 0 || l.older != 0 || l.newer != 0
}

// numberRange is sequence numbers from lo to hi.
type numberRange struct{ lo, hi uint64 }

// parseSequences reads numbers and ranges of them.
func parseSequences(texts []string) ([]numberRange, error) {
	var out []numberRange
	for _, text := range texts {
		first, last, isRange := strings.Cut(text, "-")
		if !isRange {
			last = first
		}
		lo, err := strconv.ParseUint(first, 10, 64)
		hi, err2 := strconv.ParseUint(last, 10, 64)
		if err != nil || err2 != nil || lo == 0 || hi < lo {
			return nil, usagef("--sequence %q: use a number such as 3, or a range such as 3-9", text)
		}
		out = append(out, numberRange{lo, hi})
	}
	return out, nil
}

// selector gives the condition that the flags are.
func (l *letterFlags) selector(now time.Time) (func(*bus.DeadLetter) bool, error) {
	for name, d := range map[string]time.Duration{"older-than": l.older, "newer-than": l.newer} {
		if d < 0 {
			return nil, usagef("--%s %v: must be more than zero", name, d)
		}
	}
	ranges, err := parseSequences(l.sequences)
	if err != nil {
		return nil, err
	}
	return func(d *bus.DeadLetter) bool {
		age := now.Sub(d.Buried)
		return (len(ranges) == 0 || slices.ContainsFunc(ranges, func(r numberRange) bool { return r.lo <= d.Sequence && d.Sequence <= r.hi })) &&
			(len(l.reasons) == 0 || slices.Contains(l.reasons, d.Reason)) &&
			(l.older == 0 || age > l.older) && (l.newer == 0 || age < l.newer)
	}, nil
}

// letterAction is what is done with each letter.
type letterAction struct {
	done string // The deed, in the past tense.
	do   func(*bus.Bus, context.Context, uint64) error
}

// deadLetters shows the letters that are selected, and does something with each.
func (a *app) deadLetters(ctx context.Context, l *letterFlags, act *letterAction) error {
	if l.format == "" {
		l.format = "csv"
		if isTerminal(a.stdout) {
			l.format = "table"
		}
	}
	if err := oneOf("format", l.format, letterFormats); err != nil {
		return err
	}
	selected, err := l.selector(time.Now())
	if err != nil {
		return err
	}
	st, err := a.openLetters(ctx)
	if err != nil {
		return err
	}
	defer st.close()
	letters := []bus.DeadLetter{}
	if st.Bus != nil {
		if err := st.Bus.DeadLetters(ctx, func(d bus.DeadLetter) error {
			if selected(&d) {
				letters = append(letters, d)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	if act != nil && !l.dryRun {
		letters, err = a.actOn(ctx, st, letters, act)
	}
	if written := writeLetters(a.stdout, l.format, letters); err == nil {
		err = written
	}
	switch {
	case act == nil && len(letters) == 0:
		fmt.Fprintln(a.stderr, "cordon: there is no such dead letter")
	case act != nil && l.dryRun:
		fmt.Fprintf(a.stderr, "cordon: %d would be %s; nothing was changed\n", len(letters), act.done)
	case act != nil:
		fmt.Fprintf(a.stderr, "cordon: %d %s\n", len(letters), act.done)
	}
	return err
}

// actOn gives the letters that something was done with.
func (a *app) actOn(ctx context.Context, st *store, letters []bus.DeadLetter, act *letterAction) (done []bus.DeadLetter, err error) {
	remembered := 0
	done = []bus.DeadLetter{}
	for i := range letters {
		err := act.do(st.Bus, ctx, letters[i].Sequence)
		if errors.Is(err, bus.ErrRemembered) {
			remembered++
			continue
		}
		if err != nil {
			return done, err
		}
		done = append(done, letters[i])
	}
	if remembered > 0 {
		return done, fmt.Errorf("%d of %d stay: %w: try again in %v", remembered, len(letters), bus.ErrRemembered, a.settings.NATS.Duplicates)
	}
	return done, nil
}

// openLetters connects to NATS alone: the external one, that of a running `cordon up`, or an embedded one for as long as
// the command runs. Bus is nil where the data folder has no streams yet.
func (a *app) openLetters(ctx context.Context) (_ *store, err error) {
	s := &store{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	cfg := a.settings.bus(a.log)
	p, passes := a.wait("NATS at "+bus.Redact(cfg.URL)), bus.Passing
	connect := func() (err error) {
		if s.Bus, err = bus.Connect(cfg); err != nil {
			return unreachable(err)
		}
		s.onClose(s.Bus.Close)
		return nil
	}
	if a.settings.NATS.URL == "" {
		p, passes = a.wait("the process on the data folder"), inUse
		connect = func() error { return s.openFolderBus(a, cfg) }
	}
	if err := p.try(ctx, passes, connect); err != nil {
		return nil, err
	}
	return s, nil
}

// openFolderBus connects to the NATS of a running `cordon up`, or starts one on
// the data folder, if that holds streams.
func (s *store) openFolderBus(a *app, cfg bus.Config) error {
	run, err := readRunFile(a.settings.DataDir)
	if err == nil {
		cfg.URL = run.NATS
		if s.Bus, err = bus.Connect(cfg); err == nil {
			s.onClose(s.Bus.Close)
			return nil
		}
		a.log.Debug("the run file is of a process that has ended", "err", err)
	}
	dir := a.settings.DataDir
	if _, err := os.Stat(filepath.Join(natsDir(dir), "jetstream")); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err := checkDataFolder(dir, true); err != nil {
		return usageError(err)
	}
	n, err := embedded{app: a, dir: dir}.nats(&cfg)
	if err != nil {
		return err
	}
	s.Own = true
	s.onClose(func() { n.Close() })
	if s.Bus, err = bus.Connect(cfg); err != nil {
		return unreachable(err)
	}
	s.onClose(s.Bus.Close)
	return nil
}

func writeLetters(w io.Writer, format string, letters []bus.DeadLetter) error {
	at := func(d *bus.DeadLetter) string { return d.Buried.Format(time.RFC3339) }
	switch format {
	case "json", "ndjson":
		e := json.NewEncoder(w)
		if format == "json" {
			e.SetIndent("", "  ")
			return e.Encode(letters)
		}
		for i := range letters {
			if err := e.Encode(&letters[i]); err != nil {
				return err
			}
		}
		return nil
	case "csv":
		c := csv.NewWriter(w)
		c.Write([]string{"sequence", "buried", "reason", "collector", "batch", "table", "rows", "bytes", "error"})
		for i := range letters {
			d := &letters[i]
			c.Write([]string{fmt.Sprint(d.Sequence), at(d), d.Reason, d.Collector, d.Batch, d.Table, fmt.Sprint(d.Rows), fmt.Sprint(d.Bytes), d.Error})
		}
		c.Flush()
		return c.Error()
	}
	if len(letters) == 0 {
		return nil
	}
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "SEQUENCE\tBURIED\tREASON\tCOLLECTOR\tROWS\tBYTES\tBATCH\tERROR")
	for i := range letters {
		d := &letters[i]
		fmt.Fprintf(tw, "%d\t%s\t%s\t%s\t%d\t%d\t%s\t%s\n", d.Sequence, at(d), d.Reason, d.Collector, d.Rows, d.Bytes, d.Batch, d.Error)
	}
	return tw.Flush()
}
