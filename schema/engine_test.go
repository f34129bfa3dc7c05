package schema_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cordon/internal/chdb"
	"cordon/internal/clickhousehttp"
	"cordon/schema"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// engine is the one ClickHouse that a process can run; each test has a
// database of its own in it.
var engine *clickhousehttp.Server

func TestMain(m *testing.M) {
	if _, err := chdb.FindLibrary(""); err == nil {
		if engine, err = clickhousehttp.Open(context.Background(), clickhousehttp.Config{Log: slog.New(slog.DiscardHandler)}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	code := m.Run()
	if engine != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := engine.Close(ctx); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

var databases atomic.Uint64

// store is a migrated database of its own.
type store struct {
	t    testing.TB
	name string
	db   *sql.DB
	conn clickhouse.Conn

	batches int
}

func openEngine(t testing.TB) *store {
	t.Helper()
	if engine == nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("no ClickHouse library")
		}
		t.Skip("needs the ClickHouse library: make deps")
	}
	s := &store{t: t, name: fmt.Sprintf("cordon_test_%d", databases.Add(1)), db: clickhouse.OpenDB(engine.Options())}
	var err error
	if s.conn, err = clickhouse.Open(engine.Options()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.exec("DROP DATABASE IF EXISTS " + s.name)
		s.db.Close()
		s.conn.Close()
	})
	return s
}

func newStore(t testing.TB) *store {
	t.Helper()
	s := openEngine(t)
	if _, _, err := schema.Migrate(t.Context(), s.db, schema.MigrateConfig{Database: s.name, Script: engine.Script}); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *store) exec(query string) {
	s.t.Helper()
	if err := s.conn.Exec(context.Background(), query); err != nil {
		s.t.Fatalf("%v\nin %s", err, query)
	}
}

// insert stores records as one batch.
func (s *store) insert(records ...schema.Record) {
	s.t.Helper()
	var b schema.Batch
	for i := range records {
		b.Append(&records[i])
	}
	payload, err := b.Seal(nil, math.MaxInt)
	if err != nil {
		s.t.Fatal(err)
	}
	s.batches++
	var in schema.Insert
	if err := in.Prepare(&schema.Sealed{ID: fmt.Sprintf("%s-%d", s.name, s.batches), Table: schema.TableFlows, Rows: b.Len(), Payload: payload}); err != nil {
		s.t.Fatal(err)
	}
	if err := in.Run(context.Background(), s.conn, schema.InsertOptions{Database: s.name}); err != nil {
		s.t.Fatal(err)
	}
}

// rows runs a query and gives its result as lines of tab-separated values.
// {db} stands for the store's database.
func (s *store) rows(query string) []string {
	s.t.Helper()
	query = strings.ReplaceAll(query, "{db}", s.name)
	r, err := s.conn.QueryFormat(context.Background(), "TSVRaw", query)
	if err != nil {
		s.t.Fatalf("%v\nin %s", err, query)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		s.t.Fatalf("%v\nin %s", err, query)
	}
	if len(text) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}
