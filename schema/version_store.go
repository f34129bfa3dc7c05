package schema

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"cordon/internal/sqltext"

	"github.com/pressly/goose/v3/database"
)

// versionTable holds the applied migrations, one row each.
const versionTable = "schema_migrations"

// versionStore keeps goose's versions in ClickHouse. Goose's own store for
// ClickHouse knows no clusters, and two migrators at a time leave its table with
// a version twice.
type versionStore struct{ cfg MigrateConfig }

var _ database.Store = (*versionStore)(nil)

func (s *versionStore) table() string {
	return sqltext.Name(s.cfg.Database) + "." + versionTable
}

func (s *versionStore) onCluster() string {
	if s.cfg.Cluster == "" {
		return ""
	}
	return " ON CLUSTER " + sqltext.Name(s.cfg.Cluster)
}

func (s *versionStore) createDatabase(ctx context.Context, db *sql.DB) error {
	if _, err := db.ExecContext(ctx, "CREATE DATABASE IF NOT EXISTS "+sqltext.Name(s.cfg.Database)+s.onCluster()); err != nil {
		return fmt.Errorf("create database %s: %w", s.cfg.Database, err)
	}
	return nil
}

// Tablename implements [database.Store].
func (s *versionStore) Tablename() string { return versionTable }

// CreateVersionTable implements [database.Store]. Every node has the whole
// table, so any node can be asked.
func (s *versionStore) CreateVersionTable(ctx context.Context, db database.DBTxConn) error {
	_, err := db.ExecContext(ctx, s.createTable())
	return err
}

func (s *versionStore) createTable() string {
	engine := "ReplacingMergeTree(applied)"
	if s.cfg.Cluster != "" {
		engine = "ReplicatedReplacingMergeTree('/clickhouse/tables/{uuid}', '{shard}-{replica}', applied)"
	}
	return "CREATE TABLE IF NOT EXISTS " + s.table() + s.onCluster() +
		" (version Int64, applied DateTime64(3, 'UTC') DEFAULT now64(3)) ENGINE = " + engine + " ORDER BY version"
}

// Insert implements [database.Store].
func (s *versionStore) Insert(ctx context.Context, db database.DBTxConn, req database.InsertRequest) error {
	_, err := db.ExecContext(ctx, s.insert(strconv.FormatInt(req.Version, 10)))
	return err
}

// insert adds the versions that an expression gives. VALUES would be taken for a batch by the database/sql driver.
func (s *versionStore) insert(versions string) string {
	return "INSERT INTO " + s.table() + " (version) SELECT " + versions
}

// Delete implements [database.Store]. Migrations go forward only.
func (s *versionStore) Delete(context.Context, database.DBTxConn, int64) error {
	return errors.ErrUnsupported
}

// GetMigration implements [database.Store].
func (s *versionStore) GetMigration(ctx context.Context, db database.DBTxConn, version int64) (*database.GetMigrationResult, error) {
	var m database.GetMigrationResult
	row := db.QueryRowContext(ctx, "SELECT max(applied) FROM "+s.table()+" WHERE version = "+strconv.FormatInt(version, 10)+" HAVING count() > 0")
	switch err := row.Scan(&m.Timestamp); {
	case errors.Is(err, sql.ErrNoRows):
		return nil, database.ErrVersionNotFound
	case err != nil:
		return nil, err
	}
	m.IsApplied = true
	return &m, nil
}

// GetLatestVersion implements [database.Store].
func (s *versionStore) GetLatestVersion(ctx context.Context, db database.DBTxConn) (int64, error) {
	var v int64
	row := db.QueryRowContext(ctx, "SELECT max(version) FROM "+s.table()+" HAVING count() > 0")
	switch err := row.Scan(&v); {
	case errors.Is(err, sql.ErrNoRows):
		return 0, database.ErrVersionNotFound
	case err != nil:
		return 0, err
	}
	return v, nil
}

// ListMigrations implements [database.Store].
func (s *versionStore) ListMigrations(ctx context.Context, db database.DBTxConn) (list []*database.ListMigrationsResult, err error) {
	rows, err := db.QueryContext(ctx, "SELECT DISTINCT version FROM "+s.table()+" ORDER BY version DESC")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		m := &database.ListMigrationsResult{IsApplied: true}
		if err := rows.Scan(&m.Version); err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, rows.Err()
}
