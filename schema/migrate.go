package schema

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/pressly/goose/v3"
)

// MigrateConfig says where the tables go and how long they keep rows. The zero
// value means the defaults.
type MigrateConfig struct {
	// Database is created if absent; "cordon" if empty. The public contract
	// says cordon, so another name is for tests and trials.
	Database string
	// Cluster names a cluster of the server's configuration. With it the
	// tables are replicated and distributed over all nodes of the cluster,
	// which need the macros {shard} and {replica}. Empty means one server.
	Cluster string
	// FlowTTL is how long raw records stay, 30 days if zero. Parts are dropped
	// as a whole, so rows stay up to a day longer.
	FlowTTL time.Duration
	// SessionTTL is how long sessions and exporters' counters stay, 13 months
	// of 31 days if zero, and up to a month longer.
	SessionTTL time.Duration
	// Script runs several statements in one request, on an engine that is this process's own, so that nobody else migrates the
	// database meanwhile. With it a database that has no tables gets the newest at once, in a fifth of the time. May be nil.
	Script func(ctx context.Context, statements string) error
	// Log is told of each migration; nil for none.
	Log *slog.Logger
}

const (
	defaultDatabase = "cordon"
	day             = 24 * time.Hour
	defaultFlowTTL  = 30 * day
	defaultSessTTL  = 13 * 31 * day
)

func (c MigrateConfig) withDefaults() (MigrateConfig, error) {
	if c.Database == "" {
		c.Database = defaultDatabase
	}
	if c.FlowTTL == 0 {
		c.FlowTTL = defaultFlowTTL
	}
	if c.SessionTTL == 0 {
		c.SessionTTL = defaultSessTTL
	}
	if c.FlowTTL < time.Second || c.SessionTTL < time.Second {
		return c, fmt.Errorf("flows cannot be kept for %v and sessions for %v: give at least a second", c.FlowTTL, c.SessionTTL)
	}
	return c, nil
}

// ErrNewerSchema says that the database was migrated by a newer cordon.
var ErrNewerSchema = errors.New("the database has a newer schema than this cordon knows")

// maxUps is how often the migrations are tried.
const maxUps = 4

// Migrate brings the database to the newest schema version and returns the
// versions before and after. A second call changes nothing.
//
// ClickHouse has neither transactions for this nor locks. Every statement says
// IF NOT EXISTS, so migrators that run at the same time, or one that runs again
// after it was interrupted, arrive at the same tables.
func Migrate(ctx context.Context, db *sql.DB, cfg MigrateConfig) (from, to int64, err error) {
	if cfg, err = cfg.withDefaults(); err != nil {
		return 0, 0, err
	}
	files, err := Rendered(cfg)
	if err != nil {
		return 0, 0, err
	}
	store := &versionStore{cfg: cfg}
	if err := store.createDatabase(ctx, db); err != nil {
		return 0, 0, err
	}
	found := int64(-1)
	if cfg.Script != nil && cfg.Cluster == "" {
		var done bool
		if found, to, done, err = cfg.migrateOwn(ctx, db, files); done || err != nil {
			return found, to, err
		}
	}
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	p, err := goose.NewProvider(goose.DialectCustom, db, files,
		goose.WithStore(store), goose.WithDisableGlobalRegistry(true), goose.WithSlog(log), goose.WithVerbose(cfg.Log != nil))
	if err != nil {
		return 0, 0, fmt.Errorf("migrations: %w", err)
	}
	if from, to, err = p.GetVersions(ctx); err != nil {
		return 0, 0, fmt.Errorf("migrate database %s: %w", cfg.Database, err)
	}
	if found >= 0 {
		from = found
	}
	if from > to {
		return from, from, fmt.Errorf("%w: database %s is at version %d, this cordon at %d; use the cordon that migrated it, or a newer one", ErrNewerSchema, cfg.Database, from, to)
	}
	// Of two migrators that change the key of one table at once, ClickHouse may refuse the second, which then finds the work
	// done: every statement may run again.
	for tries := 1; ; tries++ {
		if _, err = p.Up(ctx); err == nil || tries == maxUps || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		if now, verr := p.GetDBVersion(ctx); verr == nil {
			to = now
		}
		return from, to, fmt.Errorf("migrate database %s from version %d: %w", cfg.Database, from, err)
	}
	return from, to, nil
}
