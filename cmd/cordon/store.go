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
	"cordon/internal/embedded"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// runFile, in the data folder, tells other commands where the servers of a
// running `cordon up` are. It is stale when nothing answers there.
const runFile = "up.json"

// running is the contents of the run file.
type running struct {
	PID        int      `json:"pid"`
	NATS       string   `json:"nats"`                 // URL
	HTTP       string   `json:"http,omitempty"`       // address, empty for none
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
	s := &store{}
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
	opts, migrate := (*clickhouse.Options)(nil), true
	switch {
	case a.settings.ClickHouse.DSN != "" && !temporary:
		o, err := parseDSN(a.settings.ClickHouse.DSN)
		if err != nil {
			return usageError(err)
		}
		opts, migrate = o, false // an external server is migrated by `cordon migrate`
	default:
		if !temporary {
			_, o, err := embedded.RunningClickHouse(clickhouseDir(dir))
			if err == nil && o != nil {
				opts, migrate = o, false
				break
			}
		}
		if !temporary {
			if err := checkDataFolder(dir, create); err != nil {
				return usageError(err)
			}
		}
		ch, err := embedded.OpenClickHouse(ctx, a.settings.embeddedClickHouse(dir, "", a.log))
		if err != nil {
			return fmt.Errorf("embedded ClickHouse: %w", err)
		}
		s.Own = true
		s.onClose(func() { ch.Close(context.WithoutCancel(ctx)) })
		opts = ch.Options()
	}
	opts.Auth.Database = database
	if migrate {
		if err := a.migrate(ctx, opts); err != nil {
			return err
		}
	}
	var err error
	if s.Conn, err = clickhouse.Open(opts); err != nil {
		return fmt.Errorf("ClickHouse: %w", err)
	}
	s.onClose(func() { s.Conn.Close() }) // the connection that is there then
	if err := s.Conn.Ping(ctx); err != nil {
		return unreachable(fmt.Errorf("ClickHouse at %s: %w (is the server up, and clickhouse.dsn right?)", strings.Join(opts.Addr, ","), err))
	}
	readerOpts := *opts
	if a.settings.ClickHouse.DSN == "" || temporary {
		readerOpts.Auth = clickhouse.Auth{Database: database, Username: embedded.ReaderUser, Password: opts.Auth.Password}
	} else {
		readerOpts.Settings = a.settings.SQL.clickhouse()
	}
	if s.Reader, err = clickhouse.Open(&readerOpts); err != nil {
		return fmt.Errorf("ClickHouse: %w", err)
	}
	s.onClose(func() { s.Reader.Close() })
	return nil
}

// reconnect finds the running `cordon up` again, which listens elsewhere perhaps
// since it was started anew.
func (s *store) reconnect(a *app) error {
	if s.Own || a.settings.ClickHouse.DSN != "" {
		return nil
	}
	_, opts, err := embedded.RunningClickHouse(clickhouseDir(a.settings.DataDir))
	if err != nil || opts == nil {
		return err
	}
	opts.Auth.Database = database
	conn, err := clickhouse.Open(opts)
	if err != nil {
		return fmt.Errorf("ClickHouse: %w", err)
	}
	s.Conn.Close()
	s.Conn = conn
	return nil
}

func (s *store) openBus(ctx context.Context, a *app, dir string, temporary bool) error {
	cfg := a.settings.bus(a.log)
	switch {
	case a.settings.NATS.URL != "" && !temporary:
	case !s.Own:
		run, err := readRunFile(dir)
		if err != nil {
			return unreachable(err)
		}
		cfg.URL = run.NATS
	default:
		n, err := embedded.StartNATS(a.settings.embeddedNATS(dir, "", a.log))
		if err != nil {
			return fmt.Errorf("embedded NATS: %w", err)
		}
		s.onClose(func() { n.Close() })
		cfg.URL, cfg.Options = n.URL(), inProcess(n)
	}
	b, err := bus.Connect(cfg)
	if err != nil {
		return unreachable(err)
	}
	s.onClose(b.Close)
	if err := b.EnsureStreams(ctx); err != nil {
		return err
	}
	s.Bus = b
	return nil
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
func redact(s string) string {
	parts := strings.Split(s, ",")
	for i, p := range parts {
		if u, err := url.Parse(p); err == nil && u.User != nil {
			parts[i] = u.Redacted()
		}
	}
	return strings.Join(parts, ",")
}

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
