package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"cordon/internal/bus"
	"cordon/internal/clickhousehttp"
	"cordon/schema"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// storeNeeds says what a command wants besides queries.
type storeNeeds struct {
	bus       bool // a connection to NATS, with the streams made
	temporary bool // servers of its own in a folder that is removed afterwards
	create    bool // a data folder where there is none: the command brings data
}

// store is what a command that needs the servers works with. Close it.
type store struct {
	Conn   driver.Conn // full access
	Reader driver.Conn // read-only, within the limits for SQL
	Bus    *bus.Bus    // nil unless asked for

	// wait is the patience with ClickHouse.
	wait *patience

	// Own is set where the servers run inside this process, so that nothing
	// else ingests what is published.
	Own    bool
	engine *clickhousehttp.Server // Set if the store is Own.

	// scratch is the database of a temporary store, else nil.
	scratch *schema.Temporary

	closers []func()
}

func (s *store) close() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		s.closers[i]()
	}
}

func (s *store) onClose(f func()) { s.closers = append(s.closers, f) }

// openStore connects to the external servers where the settings name them,
// else to a running `cordon up` on the data folder, else it starts the
// embedded servers on that folder for as long as the command runs.
func (a *app) openStore(ctx context.Context, need storeNeeds) (_ *store, err error) {
	s := &store{wait: a.wait("ClickHouse")}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	dir := a.settings.DataDir
	if need.temporary {
		if dir, err = os.MkdirTemp("", "cordon-"); err != nil {
			return nil, fmt.Errorf("temporary folder: %w", err)
		}
		s.onClose(func() { os.RemoveAll(dir) })
	}
	if err := s.openClickHouse(ctx, a, dir, need.temporary, need.create); err != nil {
		return nil, err
	}
	if need.bus {
		if err := s.openBus(ctx, a, dir, need.temporary); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *store) openClickHouse(ctx context.Context, a *app, dir string, temporary, create bool) error {
	opts, err := a.settings.ClickHouse.external()
	if err != nil {
		return err
	}
	external := opts != nil && !temporary
	if external {
		s.wait = a.wait("ClickHouse at " + strings.Join(opts.Addr, ","))
		patientOptions(opts, s.wait, nil)
	} else if opts, err = s.openFolder(ctx, a, dir, temporary, create); err != nil {
		return err
	}
	opts.Auth.Database = database
	if !s.Own {
		if err := a.memory.apply(false); err != nil {
			return err
		}
	}
	if temporary {
		if s.scratch, err = a.scratch(ctx, opts, s.engine); err != nil {
			return err
		}
	} else if s.Own { // a running process has migrated its store, and `cordon migrate` an external one
		if err := a.migrate(ctx, opts, s.engine); err != nil {
			return err
		}
	}
	if s.Conn, err = clickhouse.Open(opts); err != nil {
		return fmt.Errorf("ClickHouse: %w", err)
	}
	s.onClose(func() { s.Conn.Close() }) // the connection that is there then
	if err := s.Conn.Ping(ctx); err != nil {
		return unreachable(fmt.Errorf("ClickHouse at %s: %w (is the server up, and clickhouse.dsn right?)", strings.Join(opts.Addr, ","), err))
	}
	readerOpts := *opts
	if !external {
		readerOpts.Auth = clickhouse.Auth{Database: database, Username: clickhousehttp.ReaderUser, Password: opts.Auth.Password}
	} else {
		readerOpts.Settings = a.settings.SQL.clickhouse()
	}
	if s.Reader, err = clickhouse.Open(&readerOpts); err != nil {
		return fmt.Errorf("ClickHouse: %w", err)
	}
	s.onClose(func() { s.Reader.Close() })
	return nil
}

// openFolder gives the way to the engine of a data folder: that of a running
// process, or one of its own. A process that has the folder and does not listen
// is starting or stopping, or a command that will be done.
func (s *store) openFolder(ctx context.Context, a *app, dir string, temporary, create bool) (opts *clickhouse.Options, err error) {
	if !temporary && !isRunning(dir) {
		if err := checkDataFolder(dir, create); err != nil {
			return nil, usageError(err)
		}
	}
	p := a.wait("the process on the data folder")
	p.coming = func() bool { return isStarting(dir) }
	err = p.try(ctx, inUse, func() error {
		if !temporary {
			if _, o, err := clickhousehttp.Running(clickhouseDir(dir)); err == nil && o != nil {
				opts = o
				s.wait = a.waitForUp(dir)
				patientOptions(opts, s.wait, func() string { return runningAddress(dir) })
				return nil
			}
		}
		setting := dataDirSetting
		if temporary {
			setting = "TMPDIR"
		}
		ch, o, err := embedded{app: a, dir: dir, setting: setting}.clickHouse(ctx)
		if err != nil {
			return err
		}
		s.Own, s.engine, opts = true, ch, o
		s.onClose(func() { ch.Close(context.WithoutCancel(ctx)) })
		return nil
	})
	return opts, err
}

// waitForUp is the patience with a running `cordon up`, which counts from when it
// was started again.
func (a *app) waitForUp(dir string) *patience {
	p := a.wait("`cordon up` on " + dir)
	p.coming = func() bool { return isStarting(dir) }
	return p
}

func (s *store) openBus(ctx context.Context, a *app, dir string, temporary bool) error {
	cfg := a.settings.bus(a.log)
	p := a.wait("NATS at " + bus.Redact(cfg.URL))
	config := func() (bus.Config, error) { return cfg, nil }
	switch {
	case a.settings.NATS.URL != "" && !temporary:
	case !s.Own:
		p = s.wait
		config = func() (bus.Config, error) {
			run, err := readRunFile(dir)
			cfg.URL = run.NATS
			return cfg, err
		}
	default:
		err := a.wait("the process on the data folder").try(ctx, inUse, func() error {
			n, err := embedded{app: a, dir: dir}.nats(&cfg)
			if err == nil {
				s.onClose(func() { n.Close() })
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	b, err := connectBus(ctx, p, config)
	if err != nil {
		return err
	}
	s.onClose(b.Close)
	s.Bus = b
	return nil
}
