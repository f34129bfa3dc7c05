package main

import (
	"context"
	"fmt"
	"strings"

	"cordon/internal/clickhousehttp"
	"cordon/schema"

	"github.com/ClickHouse/clickhouse-go/v2"
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
	var opts *clickhouse.Options
	if dsn := a.settings.ClickHouse.DSN; dsn != "" {
		var err error
		if opts, err = parseDSN(dsn); err != nil {
			return usageError(err)
		}
		patientOptions(opts, a.wait("ClickHouse at "+strings.Join(opts.Addr, ",")), nil)
	} else {
		if pid, _, err := clickhousehttp.Running(clickhouseDir(a.settings.DataDir)); err == nil && pid != 0 {
			fmt.Fprintf(a.stdout, "process %d runs on %s and has migrated it\n", pid, a.settings.DataDir)
			return nil
		}
		if err := checkDataFolder(a.settings.DataDir, true); err != nil {
			return usageError(err)
		}
		ch, err := clickhousehttp.Open(ctx, a.settings.embeddedClickHouse(a.settings.DataDir, "", a.log, a.command))
		if err != nil {
			return fmt.Errorf("embedded ClickHouse: %w", err)
		}
		defer ch.Close(context.WithoutCancel(ctx))
		opts = ch.Options()
	}
	from, to, err := a.migrateWith(ctx, opts)
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

// setRetention makes the tables keep rows for as long as the settings say.
func (a *app) setRetention(ctx context.Context, opts *clickhouse.Options) ([]schema.Retained, error) {
	o := *opts
	o.Auth.Database = "default"
	db := clickhouse.OpenDB(&o)
	defer db.Close()
	return schema.SetRetention(ctx, db, a.settings.migration())
}

// migrate brings the tables to this version and says so in the log, unless the
// store is new.
func (a *app) migrate(ctx context.Context, opts *clickhouse.Options) error {
	from, to, err := a.migrateWith(ctx, opts)
	if err == nil && from != 0 && from != to {
		a.log.Info("schema migrated", "from", from, "to", to)
	}
	return err
}

func (a *app) migrateWith(ctx context.Context, opts *clickhouse.Options) (from, to int64, err error) {
	// The database may not exist yet.
	o := *opts
	o.Auth.Database = "default"
	db := clickhouse.OpenDB(&o)
	defer db.Close()
	if err := db.PingContext(ctx); err != nil {
		return 0, 0, unreachable(fmt.Errorf("ClickHouse: %w (is the server up, and clickhouse.dsn right?)", err))
	}
	from, to, err = schema.Migrate(ctx, db, a.settings.migration())
	if err != nil {
		return from, to, fmt.Errorf("migrate: %w", err)
	}
	return from, to, nil
}
