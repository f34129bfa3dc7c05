package main

import (
	"context"
	"cordon/internal/access"
	"cordon/internal/bus"
	"cordon/internal/clickhousehttp"
	"cordon/internal/natsserver"
	"cordon/schema"
	"database/sql"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/nats-io/nats.go"
)

// Which servers a process uses: external ones where the settings name them, else
// the embedded ones of a data folder. How a command finds those that another
// process runs is in store.go and runfile.go.

// external gives the way to the ClickHouse that the settings name, or nil where
// they name none.
func (s *clickhouseSettings) external() (*clickhouse.Options, error) {
	if s.DSN == "" {
		return nil, nil
	}
	opts, err := parseDSN(s.DSN)
	if err != nil {
		return nil, usageError(err)
	}
	return opts, nil
}

// parseDSN reads the address of an external ClickHouse's HTTP interface.
func parseDSN(dsn string) (*clickhouse.Options, error) {
	u, err := url.Parse(dsn)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("clickhouse.dsn: %q is not a URL such as http://user:password@host:8123/cordon", redact(dsn))
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("clickhouse.dsn: scheme %q: Cordon speaks ClickHouse's HTTP interface; write http://%s:8123/cordon or https://%s:8443/cordon",
			u.Scheme, u.Hostname(), u.Hostname())
	}
	if strings.Trim(u.Path, "/") == "" {
		u.Path = "/" + database
	}
	if strings.Trim(u.Path, "/") != database {
		return nil, fmt.Errorf("clickhouse.dsn: database %q: Cordon's is %s", strings.Trim(u.Path, "/"), database)
	}
	o, err := clickhouse.ParseDSN(u.String())
	if err != nil {
		return nil, fmt.Errorf("clickhouse.dsn: %w", err)
	}
	return o, nil
}

// redact hides the password of a URL.
func redact(s string) string { return bus.Redact(s) }

// embedded is how this process runs the servers of a data folder.
type embedded struct {
	app *app
	dir string // the data folder
	// setting is what names the folder, for people whose disk is full.
	setting string
	// role says that the process stays: its servers listen, and other commands use
	// them. Those of a command are its own, for as long as it runs.
	role bool
}

// clickHouse starts the engine and gives the way to it.
func (e embedded) clickHouse(ctx context.Context) (*clickhousehttp.Server, *clickhouse.Options, error) {
	if err := checkSpace(e.dir, e.setting); err != nil {
		return nil, nil, err
	}
	s := &e.app.settings
	memory := s.ClickHouse.MaxMemory
	if bound := e.app.memory; bound > 0 {
		if err := bound.apply(true); err != nil {
			return nil, nil, err
		}
		if memory == 0 || memory > bound.engine() {
			memory = bound.engine()
		}
	}
	cfg := clickhousehttp.Config{
		Dir: clickhouseDir(e.dir), Library: s.ClickHouse.Library, Database: database,
		Limits: clickhousehttp.Limits{
			Memory: memory, OutsideTime: s.SQL.MaxTime, OutsideMemory: s.SQL.MaxMemory, OutsideResultRows: s.SQL.MaxRows,
			OutsideQueries: s.SQL.MaxQueries,
		},
		EngineLog: s.ClickHouse.EngineLog, Log: e.app.log, By: e.app.command,
		Guard: func(next http.Handler) http.Handler { return access.Guard(s.HTTP.Hosts, next) },
	}
	if e.role {
		cfg.Listen, cfg.Log, cfg.By = s.ClickHouse.Listen, e.app.log.With("part", "clickhouse"), ""
	}
	server, err := clickhousehttp.Open(ctx, cfg)
	if err != nil {
		return nil, nil, fmt.Errorf("embedded ClickHouse: %w", err)
	}
	return server, server.Options(), nil
}

// clickhouseDir is the embedded engine's place in a data folder.
func clickhouseDir(dir string) string { return filepath.Join(dir, "clickhouse") }

// nats starts the server and puts the way to it into cfg.
func (e embedded) nats(cfg *bus.Config) (*natsserver.Server, error) {
	s := &e.app.settings
	own := natsserver.Config{Dir: natsDir(e.dir), SyncAlways: s.NATS.SyncAlways, Log: e.app.log, By: e.app.command}
	if e.role {
		own.Listen, own.Log, own.By = s.NATS.Listen, e.app.log.With("part", "nats"), ""
	}
	server, err := natsserver.Start(own)
	if err != nil {
		return nil, fmt.Errorf("embedded NATS: %w", err)
	}
	cfg.URL, cfg.Options = server.URL(), []nats.Option{server.InProcess()}
	return server, nil
}

// natsDir is the embedded server's place in a data folder.
func natsDir(dir string) string { return filepath.Join(dir, "nats") }

// setRetention makes the tables keep rows for as long as the settings say.
func (a *app) setRetention(ctx context.Context, opts *clickhouse.Options) ([]schema.Retained, error) {
	db := openDefault(opts)
	defer db.Close()
	return schema.SetRetention(ctx, db, a.settings.migration())
}

// scratch makes the database of a temporary store.
func (a *app) scratch(ctx context.Context, opts *clickhouse.Options, own *clickhousehttp.Server) (*schema.Temporary, error) {
	db := openDefault(opts)
	defer db.Close()
	return schema.NewTemporary(ctx, db, schema.MigrateConfig{Database: database, Script: own.Script})
}

// openDefault opens database default, since Cordon's may not exist yet.
func openDefault(opts *clickhouse.Options) *sql.DB {
	o := *opts
	o.Auth.Database = "default"
	return clickhouse.OpenDB(&o)
}

// migrate brings the tables to this version and says so in the log, unless the
// store is new. own is the engine where it is this process's, else nil.
func (a *app) migrate(ctx context.Context, opts *clickhouse.Options, own *clickhousehttp.Server) error {
	from, to, err := a.migrateWith(ctx, opts, own)
	if err == nil && from != 0 && from != to {
		a.log.Info("schema migrated", "from", from, "to", to)
	}
	return err
}

func (a *app) migrateWith(ctx context.Context, opts *clickhouse.Options, own *clickhousehttp.Server) (from, to int64, err error) {
	db := openDefault(opts)
	defer db.Close()
	if err := db.PingContext(ctx); err != nil {
		return 0, 0, unreachable(fmt.Errorf("ClickHouse: %w (is the server up, and clickhouse.dsn right?)", err))
	}
	cfg := a.settings.migration()
	if own != nil {
		cfg.Script = own.Script
	}
	from, to, err = schema.Migrate(ctx, db, cfg)
	if err != nil {
		return from, to, fmt.Errorf("migrate: %w", err)
	}
	return from, to, nil
}
