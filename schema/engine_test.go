package schema_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"cordon/internal/embedded"
	"cordon/schema"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// engine is the one ClickHouse that a process can run; each test has a
// database of its own in it.
var engine *embedded.ClickHouse

func TestMain(m *testing.M) {
	if _, err := embedded.FindLibrary(""); err == nil {
		if engine, err = embedded.OpenClickHouse(context.Background(), embedded.ClickHouseConfig{Log: slog.New(slog.DiscardHandler)}); err != nil {
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
	if _, _, err := schema.Migrate(t.Context(), s.db, schema.MigrateConfig{Database: s.name}); err != nil {
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
