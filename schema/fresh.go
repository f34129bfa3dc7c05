package schema

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"text/template"

	"cordon/internal/sqltext"
)

// freshText makes the tables and views of an empty database as the migrations leave them, for one server. It was read from a
// migrated database: its first line names the engine that wrote it, and TestFreshIsWhatMigrationsLeave holds the two together.
// Views come with the types of their columns, so that ClickHouse need not analyse them.
//
//go:embed fresh.sql
var freshText string

// freshEngine begins the first line of freshText, before the version of the engine.
const freshEngine = "-- Written by ClickHouse "

// migrateOwn spares the migrations where the database has none, which then gets the newest tables, and where it has all.
// done is false where they are needed: between the two, and on an engine of another version than the one that wrote the text.
//
// The versions are written last. So a database that has none was never migrated, or only in part by this function.
func (c MigrateConfig) migrateOwn(ctx context.Context, db *sql.DB, files fs.FS) (from, to int64, done bool, err error) {
	if c.Cluster != "" {
		return 0, 0, false, nil
	}
	versions, to, err := versionsOf(files)
	if err != nil {
		return 0, 0, false, err
	}
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
	if !strings.HasPrefix(freshText, freshEngine+engine+"\n") {
		return 0, 0, false, nil
	}
	text, err := c.renderFresh(freshText)
	if err != nil {
		return 0, 0, false, err
	}
	text += store.createTable() + ";\n" + store.insert("arrayJoin(["+strings.Join(versions, ", ")+"]::Array(Int64))")
	if err := c.Script(ctx, text); err != nil {
		return 0, 0, false, fmt.Errorf("make the tables of database %s: %w", c.Database, err)
	}
	return 0, to, true, nil
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

// versionsOf gives the versions of migrations, with the 0 that a migrated database has beside them, and the newest.
func versionsOf(files fs.FS) (list []string, newest int64, err error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, 0, err
	}
	list = []string{"0"}
	for _, name := range names {
		number, _, _ := strings.Cut(name, "_")
		v, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, 0, fmt.Errorf("migration %s has no number: %w", name, err)
		}
		list, newest = append(list, strconv.FormatInt(v, 10)), max(newest, v)
	}
	return list, newest, nil
}
