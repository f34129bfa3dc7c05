package schema

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"cordon/internal/sqltext"
)

// freshText makes the tables and views of an empty database as the migrations up to a version leave them, for one server. It
// was read from a migrated database: its first line names the version and the engine that wrote it, and
// TestFreshIsWhatMigrationsLeave holds the two together. Views come with the types of their columns, so that ClickHouse need
// not analyse them.
//
//go:embed fresh.sql
var freshText string

// freshLine is the first line of freshText.
const freshLine = "-- Version %d of the schema, written by ClickHouse %s\n"

// migrateOwn spares migrations where the database has none, which then gets the tables of freshText, and where it has all.
// It leaves the rest to the migrations: those of a store between the two, those after the version of freshText, and all of them
// on an engine of another version than the one that wrote the text. from is the version that was found, to the newest; done
// says that no migration is left.
//
// The versions are written last. So a database that has none was never migrated, or only in part by this function.
func (c MigrateConfig) migrateOwn(ctx context.Context, db *sql.DB, files fs.FS) (from, to int64, done bool, err error) {
	versions, err := versionsOf(files)
	if err != nil {
		return 0, 0, false, err
	}
	to = versions[len(versions)-1]
	store := versionStore{cfg: c}
	var engine string
	var tables, has uint64
	row := db.QueryRowContext(ctx, "SELECT version(), count() FROM system.tables WHERE database = "+sqltext.Text(c.Database)+" AND name = "+sqltext.Text(versionTable))
	if err := row.Scan(&engine, &tables); err != nil {
		return 0, 0, false, fmt.Errorf("look for tables in database %s: %w", c.Database, err)
	}
	if tables > 0 {
		row := db.QueryRowContext(ctx, "SELECT uniqExact(version), max(version) FROM "+store.table())
		if err := row.Scan(&has, &from); err != nil {
			return 0, 0, false, fmt.Errorf("read the version of database %s: %w", c.Database, err)
		}
	}
	if has > 0 {
		return from, to, from == to && has == uint64(len(versions)), nil
	}
	version, by, err := freshVersion()
	if err != nil {
		return 0, 0, false, err
	}
	if by != engine {
		return 0, 0, false, nil
	}
	text, err := c.renderFresh(freshText)
	if err != nil {
		return 0, 0, false, err
	}
	var list []string
	for _, v := range versions {
		if v <= version {
			list = append(list, strconv.FormatInt(v, 10))
		}
	}
	text += store.createTable() + ";\n" + store.insert("arrayJoin(["+strings.Join(list, ", ")+"]::Array(Int64))")
	if err := c.Script(ctx, text); err != nil {
		return 0, 0, false, fmt.Errorf("make the tables of database %s: %w", c.Database, err)
	}
	return 0, to, version == to, nil
}

// freshVersion reads the first line of freshText.
func freshVersion() (version int64, engine string, err error) {
	if _, err := fmt.Sscanf(freshText, freshLine, &version, &engine); err != nil {
		return 0, "", fmt.Errorf("first line of fresh.sql: %w", err)
	}
	return version, engine, nil
}

// renderFresh puts names and times into the text of an empty database.
func (c MigrateConfig) renderFresh(text string) (string, error) {
	t, err := template.New("fresh.sql").Funcs(template.FuncMap{
		"database": func() string { return sqltext.Name(c.Database) },
		"name":     func() string { return c.Database },
		"flows":    func() int64 { return int64(c.FlowTTL.Seconds()) },
		"sessions": func() int64 { return int64(c.SessionTTL.Seconds()) },
	}).Parse(text)
	if err != nil {
		return "", fmt.Errorf("fresh.sql: %w", err)
	}
	var b strings.Builder
	if err := t.Execute(&b, nil); err != nil {
		return "", fmt.Errorf("fresh.sql: %w", err)
	}
	return b.String(), nil
}

// versionsOf gives the versions of migrations in order, after the 0 that a migrated database has beside them.
func versionsOf(files fs.FS) ([]int64, error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, err
	}
	list := []int64{0}
	for _, name := range names {
		number, _, _ := strings.Cut(name, "_")
		v, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("migration %s has no number: %w", name, err)
		}
		list = append(list, v)
	}
	slices.Sort(list)
	return list, nil
}
