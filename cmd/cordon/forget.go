package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"cordon/internal/imports"

	"github.com/spf13/cobra"
)

type forgetFlags struct {
	exporters   []string
	window      window
	yes, dryRun bool
}

func (a *app) forgetCommand() *cobra.Command {
	var f forgetFlags
	c := &cobra.Command{
		Use:   "forget --exporter A [--since T] [--until T] [--yes]",
		Short: "Delete what an exporter has sent: flows, sessions and counters",
		Long: `Deletes the flow records of exporters that began within a time, what they added to
sessions, and the counters of the exporters; without a time all that is stored of
them. Without --yes the command only says what it would delete. Sessions are kept
by the hour, so the times are whole hours. What comes in later is kept. Where the
command is interrupted, the same command goes on.`,
		Example: `  cordon forget --exporter 192.0.2.7 --since 2026-11-20T08:00Z --until 2026-11-20T10:00Z
  cordon forget --exporter 192.0.2.0/24 --since yesterday --yes`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.forget(cmd.Context(), &f) },
	}
	fs := c.Flags()
	fs.StringSliceVar(&f.exporters, "exporter", nil, "address or prefix of the exporter; :: for records without one (may be repeated)")
	fs.StringVar(&f.window.since, "since", "", "flows that began at or after this time: "+timeForms+" (default: all)")
	fs.StringVar(&f.window.until, "until", "", "flows that began before this time (default: all)")
	f.window.zoneFlag(fs)
	fs.BoolVar(&f.yes, "yes", false, "delete")
	fs.BoolVar(&f.dryRun, "dry-run", false, "only say what would be deleted (the default)")
	return c
}

func (a *app) forget(ctx context.Context, f *forgetFlags) error {
	scope, err := f.scope(time.Now())
	if err != nil {
		return err
	}
	st, err := a.openStore(ctx, storeNeeds{bus: true})
	if err != nil {
		return err
	}
	defer st.close()
	return a.withIngester(ctx, st, func() error {
		// What is on its way counts as stored.
		if err := st.waitIngested(ctx, a.patience()); err != nil {
			return err
		}
		account := a.accounts(st)
		found, err := account.Count(ctx, scope)
		if err != nil {
			return err
		}
		a.printFound(scope, found)
		switch {
		case found.Empty():
			return nil
		case !f.yes:
			fmt.Fprintln(a.stdout, "Nothing was deleted; the same command with --yes deletes it.")
			return nil
		}
		if err := account.Forget(ctx, scope); err != nil {
			return err
		}
		fmt.Fprintln(a.stdout, "Deleted.")
		return nil
	})
}

func (f *forgetFlags) scope(now time.Time) (*imports.Scope, error) {
	if f.yes && f.dryRun {
		return nil, usagef("--yes and --dry-run exclude each other")
	}
	if len(f.exporters) == 0 {
		return nil, usagef("--exporter: name the exporter whose records are to be deleted; `cordon status` lists them")
	}
	var s imports.Scope
	for _, text := range f.exporters {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			addr, err := netip.ParseAddr(text)
			if err != nil || addr.Zone() != "" {
				return nil, usagef("--exporter %q is neither an address nor a prefix", text)
			}
			p = netip.PrefixFrom(addr, addr.BitLen())
		}
		s.Exporters = append(s.Exporters, p)
	}
	var err error
	if s.Since, s.Until, err = f.window.times(now); err != nil {
		return nil, err
	}
	return &s, usageError(s.Check())
}

func (a *app) printFound(s *imports.Scope, n imports.Found) {
	var exporters []string
	for _, p := range s.Exporters {
		if p.IsSingleIP() {
			exporters = append(exporters, p.Addr().String())
		} else {
			exporters = append(exporters, p.String())
		}
	}
	when := ""
	if !s.Since.IsZero() {
		when += " since " + s.Since.UTC().Format(time.RFC3339)
	}
	if !s.Until.IsZero() {
		when += " until " + s.Until.UTC().Format(time.RFC3339)
	}
	if when == "" {
		when = ", all times"
	}
	fmt.Fprintf(a.stdout, "Exporter %s%s:\n", strings.Join(exporters, ", "), when)
	if n.Empty() {
		fmt.Fprintln(a.stdout, "  nothing is stored")
		return
	}
	fmt.Fprintf(a.stdout, "  %d flow records\n  %d records in %d sessions\n  %d rows of counters\n", n.Flows, n.Records, n.Sessions, n.Stats)
	if n.Names > 0 {
		fmt.Fprintf(a.stdout, "  %d names of interfaces and VRFs\n", n.Names)
	}
}
