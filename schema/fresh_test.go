package schema_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"cordon/schema"

	"github.com/google/go-cmp/cmp"
)

// definitions gives the statements that make the tables and views of a database, as the engine writes them, by name.
func (s *store) definitions() []string {
	s.t.Helper()
	rows, err := s.conn.Query(context.Background(), "SELECT formatQuery(create_table_query) FROM system.tables WHERE database = '"+s.name+"' ORDER BY engine = 'View', name")
	if err != nil {
		s.t.Fatal(err)
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			s.t.Fatal(err)
		}
		list = append(list, strings.ReplaceAll(text, s.name+".", "{{database}}."))
	}
	return list
}

// An empty database that was made in one step is what the migrations make of one, whatever its name and its times, and though
// fresh.sql may be of an older version than the newest migration; a step that was interrupted is made again.
func TestFreshIsWhatMigrationsLeave(t *testing.T) {
	const flows, sessions = 1234567 * time.Second, 7654321 * time.Second
	migrated, fresh := openEngine(t), openEngine(t)
	cfg := schema.MigrateConfig{Database: migrated.name, FlowTTL: flows, SessionTTL: sessions}
	from, to, err := schema.Migrate(t.Context(), migrated.db, cfg)
	if err != nil || from != 0 {
		t.Fatal(from, err)
	}
	want := migrated.definitions()
	if *update {
		writeFresh(t, to, migrated.rows("SELECT version()")[0], want)
		t.Skip("fresh.sql is written; run the test again")
	}
	cfg.Database, cfg.Script = fresh.name, engine.Script
	if from, newest, err := schema.Migrate(t.Context(), fresh.db, cfg); err != nil || from != 0 || newest != to {
		t.Fatalf("fresh database: from %d to %d, want 0 to %d: %v", from, newest, to, err)
	}
	advice := "(-migrations +fresh; go test ./schema -run FreshIs -update)"
	if d := cmp.Diff(want, fresh.definitions()); d != "" {
		t.Fatalf("tables and views %s:\n%s", advice, d)
	}
	const versions = "SELECT version FROM {db}.schema_migrations ORDER BY version"
	if d := cmp.Diff(migrated.rows(versions), fresh.rows(versions)); d != "" {
		t.Errorf("versions %s:\n%s", advice, d)
	}
	if engine := fresh.rows("SELECT version()")[0]; !strings.Contains(firstLine(t), " by ClickHouse "+engine+"\n") {
		t.Errorf("fresh.sql is not of engine %s, so nobody uses it %s", engine, advice)
	}
	if from, newest, err := schema.Migrate(t.Context(), fresh.db, cfg); err != nil || from != to || newest != to {
		t.Errorf("again: from %d to %d, want %d both times: %v", from, newest, to, err)
	}
	// As where the step was interrupted.
	fresh.exec("TRUNCATE TABLE " + fresh.name + ".schema_migrations")
	if _, _, err := schema.Migrate(t.Context(), fresh.db, cfg); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, fresh.definitions()); d != "" {
		t.Errorf("tables and views after the migrations ran on a fresh database (-want +got):\n%s", d)
	}
}

// The migrations after the version of fresh.sql run on what it makes; on another engine all of them run.
func TestFreshOfAnOlderVersion(t *testing.T) {
	newest := newStore(t)
	want := newest.definitions()
	version := newest.rows("SELECT max(version) FROM {db}.schema_migrations WHERE version < (SELECT max(version) FROM {db}.schema_migrations)")[0]
	older, err := strconv.ParseInt(version, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	engineVersion := newest.rows("SELECT version()")[0]
	for _, by := range []string{engineVersion, "1.2.3.4"} {
		restore := schema.SetFresh(older, by)
		t.Cleanup(restore)
		s := openEngine(t)
		from, _, err := schema.Migrate(t.Context(), s.db, schema.MigrateConfig{Database: s.name, Script: engine.Script})
		if err != nil || from != 0 {
			t.Fatalf("written by %s: from version %d, %v", by, from, err)
		}
		if d := cmp.Diff(want, s.definitions()); d != "" {
			t.Errorf("written by %s: tables and views (-newest +got):\n%s", by, d)
		}
		restore()
	}
}

func firstLine(t *testing.T) string {
	text, err := os.ReadFile("fresh.sql")
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return line + "\n"
}

// writeFresh writes what makes an empty database: all but the table of versions, which has a place of its own.
func writeFresh(t *testing.T, version int64, engine string, definitions []string) {
	text := fmt.Sprintf(schema.FreshLine, version, engine) + "-- from the tables and views that the migrations make: go test ./schema -run FreshIs -update\n\n"
	for _, d := range definitions {
		if strings.Contains(d, "{{database}}.schema_migrations") {
			continue
		}
		// A view with parameters is named as a function is, in one pair of quotes.
		d = strings.NewReplacer("`{{database}}.", "`{{name}}.", "toIntervalSecond(1234567)", "toIntervalSecond({{flows}})", "toIntervalSecond(7654321)", "toIntervalSecond({{sessions}})").Replace(d)
		d = strings.Replace(d, "CREATE TABLE ", "CREATE TABLE IF NOT EXISTS ", 1)
		d = strings.Replace(d, "CREATE VIEW ", "CREATE VIEW IF NOT EXISTS ", 1)
		text += d + ";\n\n"
	}
	if err := os.WriteFile("fresh.sql", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
