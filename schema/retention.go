package schema

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"cordon/internal/sqltext"
)

// expiry is the TTL of a table that does not keep its rows for ever: when its
// rows are of age 0, and how long they stay from then on.
type expiry struct {
	table, from string
	keep        func(MigrateConfig) time.Duration
}

var expiries = []expiry{
	{"flows", "toDateTime(received)", func(c MigrateConfig) time.Duration { return c.FlowTTL }},
	{"sessions_hourly", "month + INTERVAL 1 MONTH", func(c MigrateConfig) time.Duration { return c.SessionTTL }},
	{"exporter_stats", "toDateTime(toStartOfMonth(time)) + INTERVAL 1 MONTH", func(c MigrateConfig) time.Duration { return c.SessionTTL }},
}

func (e expiry) seconds(c MigrateConfig) int64 { return int64(e.keep(c) / time.Second) }

func (e expiry) ttl(c MigrateConfig) string {
	return fmt.Sprintf("%s + INTERVAL %d SECOND", e.from, e.seconds(c))
}

// ttl is the TTL of a table in the migrations.
func (c MigrateConfig) ttl(table string) (string, error) {
	for _, e := range expiries {
		if e.table == table {
			return e.ttl(c), nil
		}
	}
	return "", fmt.Errorf("table %s has no TTL", table)
}

// seconds of a TTL, as ClickHouse writes it.
var ttlSeconds = regexp.MustCompile(`\bTTL .*\+ toIntervalSecond\((\d+)\)`)

// Retained is a table whose retention was changed.
type Retained struct {
	Table    string
	From, To time.Duration
}

// SetRetention makes migrated tables keep their rows for as long as cfg says,
// where they do not yet, and returns what it changed. Parts that a shorter
// retention makes too old go soon after.
//
// [Migrate] gives new tables the retention of its configuration and leaves
// others alone, so that a command which only reads cannot shorten it.
func SetRetention(ctx context.Context, db *sql.DB, cfg MigrateConfig) (changed []Retained, err error) {
	if cfg, err = cfg.withDefaults(); err != nil {
		return nil, err
	}
	suffix, onCluster := "", ""
	if cfg.Cluster != "" {
		suffix, onCluster = "_local", " ON CLUSTER "+sqltext.Name(cfg.Cluster)
	}
	for _, e := range expiries {
		table := e.table + suffix
		var text string
		row := db.QueryRowContext(ctx, "SELECT create_table_query FROM system.tables WHERE database = "+sqltext.Text(cfg.Database)+" AND name = "+sqltext.Text(table))
		if err := row.Scan(&text); errors.Is(err, sql.ErrNoRows) {
			return changed, fmt.Errorf("retention of table %s.%s: there is no such table; migrate first", cfg.Database, table)
		} else if err != nil {
			return changed, fmt.Errorf("retention of table %s.%s: %w", cfg.Database, table, err)
		}
		was := int64(-1) // kept for ever, or by a TTL of someone else's
		if m := ttlSeconds.FindStringSubmatch(text); m != nil {
			if was, err = strconv.ParseInt(m[1], 10, 64); err != nil {
				return changed, fmt.Errorf("retention of table %s.%s: %w", cfg.Database, table, err)
			}
		}
		if was == e.seconds(cfg) {
			continue
		}
		alter := "ALTER TABLE " + sqltext.Name(cfg.Database) + "." + table + onCluster
		for _, change := range []string{
			// Parts have their expiry written down. This writes it anew and
			// leaves the rows alone.
			" MODIFY SETTING materialize_ttl_recalculate_only = 1",
			" MODIFY TTL " + e.ttl(cfg),
		} {
			if _, err := db.ExecContext(ctx, alter+change); err != nil {
				return changed, fmt.Errorf("retention of table %s.%s: %w", cfg.Database, table, err)
			}
		}
		changed = append(changed, Retained{Table: e.table, From: time.Duration(was) * time.Second, To: e.keep(cfg)})
	}
	return changed, nil
}
