package main

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"cordon/collector"
	"cordon/ingest"
	"cordon/internal/api"
	"cordon/internal/bus"
	"cordon/internal/httpapi"
	"cordon/recommender/watch"
	"cordon/schema"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// settings is the whole configuration. `cordon config show` lists its keys.
type settings struct {
	// DataDir holds the embedded servers, the spool of batches that wait for
	// NATS, and the exporters' templates.
	DataDir string `mapstructure:"data_dir"`
	// ConnectTimeout is how long a server that does not answer is tried again.
	ConnectTimeout time.Duration `mapstructure:"connect_timeout"`

	Log struct {
		Level  string `mapstructure:"level"`
		Format string `mapstructure:"format"`
	} `mapstructure:"log"`

	NATS       natsSettings       `mapstructure:"nats"`
	ClickHouse clickhouseSettings `mapstructure:"clickhouse"`
	SQL        sqlLimits          `mapstructure:"sql"`
	Retention  retention          `mapstructure:"retention"`

	Collector collector.Config `mapstructure:"collector"`
	Ingest    ingest.Config    `mapstructure:"ingest"`
	HTTP      httpapi.Config   `mapstructure:"http"`
	Views     api.Limits       `mapstructure:"views"`
	Watch     watch.Config     `mapstructure:"watch"`

	Groups struct {
		// File is a groups file whose sources `cordon up` reads at their intervals; empty for none.
		File string `mapstructure:"file"`
	} `mapstructure:"groups"`
}

// natsSettings say which NATS to use. Empty URL means the embedded one.
type natsSettings struct {
	URL         string `mapstructure:"url"`
	Credentials string `mapstructure:"credentials"` // .creds file, for an external server

	Listen     string        `mapstructure:"listen"`      // address of the embedded server
	Replicas   int           `mapstructure:"replicas"`    // replicas of the streams
	MaxBytes   int64         `mapstructure:"max_bytes"`   // bound of stream FLOWS
	Duplicates time.Duration `mapstructure:"duplicates"`  // window in which message ids are remembered
	SyncAlways bool          `mapstructure:"sync_always"` // fsync every message: safe against power loss, slower
}

// clickhouseSettings say which ClickHouse to use. Empty DSN means the
// embedded one.
type clickhouseSettings struct {
	DSN     string `mapstructure:"dsn"`
	Cluster string `mapstructure:"cluster"` // name of the external cluster, for replicated and distributed tables

	Listen    string `mapstructure:"listen"`     // HTTP interface of the embedded engine
	Library   string `mapstructure:"library"`    // path of libchdb; empty looks for it
	MaxMemory int64  `mapstructure:"max_memory"` // bytes for the embedded engine; 0 is half of the machine's
	EngineLog string `mapstructure:"engine_log"` // level of the embedded engine's own log; empty for none
}

// sqlLimits bound every query that is not Cordon's own.
type sqlLimits struct {
	MaxTime    time.Duration `mapstructure:"max_time"`
	MaxMemory  int64         `mapstructure:"max_memory"`
	MaxRows    int64         `mapstructure:"max_rows"`
	MaxQueries int           `mapstructure:"max_queries"` // Queries of the embedded engine at a time.
}

// clickhouse gives the limits as settings for an external server.
func (l sqlLimits) clickhouse() clickhouse.Settings {
	return clickhouse.Settings{
		"readonly":             2,
		"max_execution_time":   int(l.MaxTime.Seconds()),
		"max_memory_usage":     l.MaxMemory,
		"max_result_rows":      l.MaxRows,
		"result_overflow_mode": "throw",
	}
}

// retention is how long rows are kept.
type retention struct {
	Flows     time.Duration `mapstructure:"flows"`
	Sessions  time.Duration `mapstructure:"sessions"`
	Proposals time.Duration `mapstructure:"proposals"` // those that are not in force; 0 for ever
}

const day = 24 * time.Hour

// maxRetention is the longest retention. The moment at which a row expires is a DateTime, which ends in 2106: a longer
// retention would pass that end, begin again in 1970, and drop rows as they come.
const maxRetention = 18250 * day

// check refuses a retention under which rows would go too early.
func (r retention) check() error {
	var errs []error
	for _, k := range []struct {
		key  string
		keep time.Duration
	}{{"retention.flows", r.Flows}, {"retention.sessions", r.Sessions}, {"retention.proposals", r.Proposals}} {
		switch {
		case k.key == "retention.proposals" && k.keep == 0:
		case k.keep < day:
			errs = append(errs, fmt.Errorf("%s: at least 24h, since rows are dropped by whole days", k.key))
		case k.keep > maxRetention:
			errs = append(errs, fmt.Errorf("%s: at most %dd (50 years), since ClickHouse's DateTime, in which rows expire, ends in 2106", k.key, maxRetention/day))
		}
	}
	return errors.Join(errs...)
}

// database is where everything lives; the public contract names it.
const database = "cordon"

func defaultSettings() settings {
	var s settings
	s.DataDir = "cordon-data"
	s.ConnectTimeout = 15 * time.Second
	s.Log.Level, s.Log.Format = "info", "auto"
	b := bus.DefaultConfig()
	s.NATS = natsSettings{Listen: "127.0.0.1:4222", Replicas: b.Replicas, MaxBytes: b.MaxBytes, Duplicates: b.Duplicates}
	s.ClickHouse = clickhouseSettings{Listen: "127.0.0.1:8123"}
	s.SQL = sqlLimits{MaxTime: time.Minute, MaxMemory: 4 << 30, MaxRows: 10_000_000, MaxQueries: 8}
	s.Retention = retention{Flows: 30 * day, Sessions: 400 * day, Proposals: 400 * day}
	s.Collector = collector.DefaultConfig()
	s.Ingest = ingest.DefaultConfig()
	s.HTTP = httpapi.DefaultConfig()
	s.Views = api.DefaultLimits()
	s.Watch = watch.DefaultConfig()
	return s
}

// check says everything that is wrong with the settings.
func (s *settings) check() error {
	var errs []error
	if s.ClickHouse.DSN != "" {
		_, err := parseDSN(s.ClickHouse.DSN)
		errs = append(errs, err)
	}
	if s.ClickHouse.Cluster != "" && s.ClickHouse.DSN == "" {
		errs = append(errs, errors.New("clickhouse.cluster needs clickhouse.dsn: the embedded engine is no cluster"))
	}
	if s.SQL.MaxQueries < 1 || s.SQL.MaxQueries > 1000 {
		errs = append(errs, fmt.Errorf("sql.max_queries: %d is not from 1 to 1000", s.SQL.MaxQueries))
	}
	errs = append(errs, s.Retention.check())
	if s.Groups.File != "" {
		if _, err := sourcesOf(s.Groups.File, ""); err != nil {
			errs = append(errs, fmt.Errorf("groups.file: %w", err))
		}
	}
	for _, l := range []struct{ key, address string }{{"clickhouse.listen", s.ClickHouse.Listen}, {"nats.listen", s.NATS.Listen}, {"http.listen", s.HTTP.Listen}} {
		if l.address == "" {
			continue
		}
		if err := collector.CheckListen(l.address); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", l.key, err))
		}
	}
	return errors.Join(append(append(errs, s.checkLimits()...), s.Collector.Validate(), s.Ingest.Validate(), s.Views.Check(), s.Watch.Validate())...)
}

// checkLimits refuses limits that let nothing through.
func (s *settings) checkLimits() (errs []error) {
	for _, l := range []struct {
		key         string
		value, from int64
		is          any // the value as people write it
		use         string
	}{
		{"sql.max_time", int64(s.SQL.MaxTime), int64(time.Second), s.SQL.MaxTime, "at least 1s"},
		{"sql.max_memory", s.SQL.MaxMemory, 16 << 20, s.SQL.MaxMemory, "at least 16MiB"},
		{"sql.max_rows", s.SQL.MaxRows, 1, s.SQL.MaxRows, "at least 1"},
		{"clickhouse.max_memory", s.ClickHouse.MaxMemory, 0, s.ClickHouse.MaxMemory, "a size, or 0 for half of the machine's"},
		{"nats.max_bytes", s.NATS.MaxBytes, 1 << 20, s.NATS.MaxBytes, "at least 1MiB"},
		{"connect_timeout", int64(s.ConnectTimeout), 0, s.ConnectTimeout, "a duration, or 0 to try once"},
		{"nats.replicas", int64(s.NATS.Replicas), 1, s.NATS.Replicas, "1 to 5"},
		{"nats.duplicates", int64(s.NATS.Duplicates), int64(time.Second), s.NATS.Duplicates, "at least 1s"},
	} {
		if l.value < l.from {
			errs = append(errs, fmt.Errorf("%s is %v: give %s", l.key, l.is, l.use))
		}
	}
	if s.NATS.Replicas > 5 {
		errs = append(errs, fmt.Errorf("nats.replicas is %d: give 1 to 5", s.NATS.Replicas))
	}
	return errs
}

func (s *settings) bus(log *slog.Logger) bus.Config {
	c := bus.DefaultConfig()
	c.URL, c.Credentials, c.Replicas, c.MaxBytes, c.Duplicates, c.Log = s.NATS.URL, s.NATS.Credentials, s.NATS.Replicas, s.NATS.MaxBytes, s.NATS.Duplicates, log
	return c
}

func (s *settings) migration() schema.MigrateConfig {
	return schema.MigrateConfig{Cluster: s.ClickHouse.Cluster, Database: database, FlowTTL: s.Retention.Flows, SessionTTL: s.Retention.Sessions}
}
