package schema

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"text/template"

	"cordon/internal/sqltext"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// DeduplicationWindow is how many inserts a table remembers the tokens of. At
// the highest rate of inserts seen (60 a second) it is five minutes, several
// times the AckWait after which JetStream gives an unacknowledged batch again.
const DeduplicationWindow = 20_000

// Rendered gives the migrations as files of plain SQL, as they run with cfg.
func Rendered(cfg MigrateConfig) (fs.FS, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	names, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	files := make(memFS, len(names))
	for _, name := range names {
		text, err := migrationFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if files[path.Base(name)], err = cfg.render(name, string(text)); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// render gives the SQL of a migration.
func (c MigrateConfig) render(name, text string) ([]byte, error) {
	t, err := template.New(name).Funcs(c.funcs()).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("migration: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, nil); err != nil {
		return nil, fmt.Errorf("migration: %w", err)
	}
	return b.Bytes(), nil
}

// funcs are the words of the migrations.
func (c MigrateConfig) funcs() template.FuncMap {
	name := func(table string) string { return sqltext.Name(c.Database) + "." + table }
	local := func(table string) string {
		if c.Cluster != "" {
			table += "_local"
		}
		return name(table)
	}
	onCluster := func() string {
		if c.Cluster == "" {
			return ""
		}
		return "ON CLUSTER " + sqltext.Name(c.Cluster)
	}
	// {uuid} is the same on every node because ON CLUSTER creates the table
	// with one; {shard} and {replica} are macros of each server.
	replicated := func(engine, zkPath, replica string, args ...string) string {
		if c.Cluster != "" {
			engine = "Replicated" + engine
			args = append([]string{sqltext.Text(zkPath), sqltext.Text(replica)}, args...)
		}
		if len(args) == 0 {
			return engine
		}
		return engine + "(" + strings.Join(args, ", ") + ")"
	}
	return template.FuncMap{
		"ttl":       c.ttl,
		"onCluster": onCluster,
		// table is what queries name: the distributed table of a cluster.
		"table": name,
		// local is where the rows of this node are.
		"local": local,
		"engine": func(engine string) string {
			return replicated(engine, "/clickhouse/tables/{uuid}/{shard}", "{replica}")
		},
		// engineEverywhere is for tables that every node has in full.
		"engineEverywhere": func(engine, version string) string {
			var args []string
			if version != "" {
				args = []string{version}
			}
			return replicated(engine, "/clickhouse/tables/{uuid}", "{shard}-{replica}", args...)
		},
		"dedupWindow": func() string {
			if c.Cluster != "" {
				return fmt.Sprintf("replicated_deduplication_window = %d, replicated_deduplication_window_seconds = 86400", DeduplicationWindow)
			}
			return fmt.Sprintf("non_replicated_deduplication_window = %d", DeduplicationWindow)
		},
		"distributed": func(table, shardingKey string) string {
			if c.Cluster == "" {
				return ""
			}
			return fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s %s AS %s\nENGINE = Distributed(%s, %s, %s, %s);",
				name(table), onCluster(), local(table),
				sqltext.Text(c.Cluster), sqltext.Text(c.Database), sqltext.Text(table+"_local"), shardingKey)
		},
		// alsoDistributed changes the distributed table above a local one.
		"alsoDistributed": func(table, change string) string {
			if c.Cluster == "" {
				return ""
			}
			return fmt.Sprintf("ALTER TABLE %s %s %s;", name(table), onCluster(), change)
		},
		"text":     addressText,
		"service":  serviceText,
		"portless": portlessText,
	}
}
