package main

import (
	"context"
	"fmt"
	"strings"

	"cordon/internal/clickhousehttp"

	"github.com/spf13/cobra"
)

func (a *app) migrateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "migrate",
		Short: "Bring ClickHouse's tables to this version (up does so by itself)",
		Long: `Creates database cordon and its tables, or brings them to this version's schema.
With clickhouse.cluster set, the tables are replicated and distributed over that cluster.
Changed retention.flows and retention.sessions take effect, too.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.migrateStore(cmd.Context()) },
	}
}

func (a *app) migrateStore(ctx context.Context) error {
	if err := a.settings.check(); err != nil {
		return usageError(err)
	}
	opts, err := a.settings.ClickHouse.external()
	if err != nil {
		return err
	}
	var engine *clickhousehttp.Server
	if opts != nil {
		patientOptions(opts, a.wait("ClickHouse at "+strings.Join(opts.Addr, ",")), nil)
	} else {
		if pid, _, err := clickhousehttp.Running(clickhouseDir(a.settings.DataDir)); err == nil && pid != 0 {
			fmt.Fprintf(a.stdout, "process %d runs on %s and has migrated it\n", pid, a.settings.DataDir)
			return nil
		}
		if err := checkDataFolder(a.settings.DataDir, true); err != nil {
			return usageError(err)
		}
		ch, own, err := embedded{app: a, dir: a.settings.DataDir, setting: dataDirSetting}.clickHouse(ctx)
		if err != nil {
			return err
		}
		defer ch.Close(context.WithoutCancel(ctx))
		engine, opts = ch, own
	}
	from, to, err := a.migrateWith(ctx, opts, engine)
	if err != nil {
		return err
	}
	changed, err := a.setRetention(ctx, opts)
	if err != nil {
		return err
	}
	switch {
	case from != to:
		fmt.Fprintf(a.stdout, "schema version %d -> %d\n", from, to)
	case len(changed) == 0:
		fmt.Fprintf(a.stdout, "schema version %d, nothing to do\n", to)
	}
	for _, c := range changed {
		fmt.Fprintf(a.stdout, "table %s keeps rows for %v, was %v\n", c.Table, c.To, c.From)
	}
	return nil
}
