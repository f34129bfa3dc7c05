package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"cordon/internal/bus"
	"cordon/internal/clickhousehttp"
	"cordon/internal/natsserver"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/nats-io/nats.go"
)

// runFile, in the data folder, tells other commands where the servers of a
// running `cordon up` are. It is stale when nothing answers there.
const runFile = "up.json"

// running is the contents of the run file.
type running struct {
	PID        int      `json:"pid"`
	NATS       string   `json:"nats"`                 // URL
	HTTP       string   `json:"http,omitempty"`       // address, empty for none
	HTTPS      bool     `json:"https,omitempty"`      // whether HTTP speaks TLS
	ClickHouse string   `json:"clickhouse,omitempty"` // address of the HTTP interface, empty for none
	UDP        []string `json:"udp,omitempty"`        // addresses of the IPFIX listeners
	TCP        []string `json:"tcp,omitempty"`
	TLS        []string `json:"tls,omitempty"`
}

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
	Own bool

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
	var opts *clickhouse.Options
	var err error
	if a.settings.ClickHouse.DSN != "" && !temporary {
		if opts, err = parseDSN(a.settings.ClickHouse.DSN); err != nil {
			return usageError(err)
		}
		s.wait = a.wait("ClickHouse at " + strings.Join(opts.Addr, ","))
		patientOptions(opts, s.wait, nil)
	} else if opts, err = s.openFolder(ctx, a, dir, temporary, create); err != nil {
		return err
	}
	opts.Auth.Database = database
	if s.Own { // a running process has migrated its store, and `cordon migrate` an external one
		if err := a.migrate(ctx, opts); err != nil {
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
	if a.settings.ClickHouse.DSN == "" || temporary {
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
		if err := checkSpace(dir, setting); err != nil {
			return err
		}
		ch, err := clickhousehttp.Open(ctx, a.settings.embeddedClickHouse(dir, "", a.log, a.command))
		if err != nil {
			return fmt.Errorf("embedded ClickHouse: %w", err)
		}
		s.Own = true
		s.onClose(func() { ch.Close(context.WithoutCancel(ctx)) })
		opts = ch.Options()
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

// runningAddress is where the engine of a data folder listens now, or "".
func runningAddress(dir string) string {
	_, opts, err := clickhousehttp.Running(clickhouseDir(dir))
	if err != nil || opts == nil {
		return ""
	}
	return opts.Addr[0]
}

// isRunning says whether a process has the engine of a data folder.
func isRunning(dir string) bool {
	pid, _, err := clickhousehttp.Running(clickhouseDir(dir))
	return err == nil && pid != 0
}

// isStarting says whether a process has the engine of a data folder that does not
// listen yet.
func isStarting(dir string) bool {
	pid, opts, err := clickhousehttp.Running(clickhouseDir(dir))
	return err == nil && pid != 0 && opts == nil
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
		n, err := a.startNATS(ctx, dir)
		if err != nil {
			return err
		}
		s.onClose(func() { n.Close() })
		cfg.URL, cfg.Options = n.URL(), []nats.Option{n.InProcess()}
	}
	b, err := connectBus(ctx, p, config)
	if err != nil {
		return err
	}
	s.onClose(b.Close)
	s.Bus = b
	return nil
}

// startNATS starts the embedded NATS for a command, once the folder is free.
func (a *app) startNATS(ctx context.Context, dir string) (n *natsserver.Server, err error) {
	cfg := a.settings.embeddedNATS(dir, "", a.log, a.command)
	err = a.wait("the process on the data folder").try(ctx, inUse, func() error {
		if n, err = natsserver.Start(cfg); err != nil {
			err = fmt.Errorf("embedded NATS: %w", err)
		}
		return err
	})
	return n, err
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

func writeRunFile(dir string, r running) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, runFile), append(data, '\n'), 0o600)
}

func readRunFile(dir string) (running, error) {
	var r running
	data, err := os.ReadFile(filepath.Join(dir, runFile))
	if errors.Is(err, fs.ErrNotExist) {
		return r, fmt.Errorf("no `cordon up` runs on %s", dir)
	}
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("%s: %w", filepath.Join(dir, runFile), err)
	}
	return r, nil
}
