package schema

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"cordon/internal/sqltext"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// What can be wrong with a sealed batch that reached its reader.
var (
	// ErrDamaged: the payload cannot be decompressed.
	ErrDamaged = errors.New("damaged batch")
	// ErrBlock: the payload is not a block of the batch's table.
	ErrBlock = errors.New("not a block of its table")
)

// Insert is a sealed batch made ready for ClickHouse: Prepare, then Run. The
// zero value is ready to use, and using one again saves memory. An Insert is
// not safe for concurrent use.
type Insert struct {
	id, table string
	columns   []string
	raw       []byte
	rows      int
	received  int64
	batch     Batch
	folder    Folder
}

// InsertOptions say where an [Insert] goes.
type InsertOptions struct {
	// Database holds the tables; "cordon" if empty.
	Database string
	// Quorum is ClickHouse's insert_quorum for replicated tables; empty for none.
	Quorum string
	// FlowsOnly leaves the sessions out, for [Sessions] to insert.
	FlowsOnly bool
}

// Rows is the number of rows of the batch.
func (n *Insert) Rows() int { return n.rows }

// Received is the time of receipt of the batch's first row, in Unix
// microseconds. Rows come in that order, nearly, so it tells how long the batch
// was under way.
func (n *Insert) Received() int64 { return n.received }

// Prepare opens a batch and checks it. What passes, ClickHouse can read. An
// error wraps [ErrDamaged] or [ErrBlock].
func (n *Insert) Prepare(s *Sealed) (err error) {
	n.id, n.table, n.rows, n.received = s.ID, s.Table, 0, 0
	n.raw, err = Decompress(n.raw[:0], s.Payload)
	if err != nil {
		return fmt.Errorf("%w %s: %w", ErrDamaged, s.ID, err)
	}
	rows := 0
	switch s.Table {
	case TableFlows:
		if n.columns, err = n.batch.openBlock(n.raw); err == nil {
			if rows = n.batch.n; rows > 0 {
				n.received = n.batch.rows.received[0]
			}
		}
	case TableExporterStats:
		var stats []ExporterStats
		if stats, err = OpenExporterStats(n.raw); err == nil {
			n.columns = statsColumnNames
			if rows = len(stats); rows > 0 {
				n.received = stats[0].Time * 1000
			}
		}
	case TableExporterNames:
		var names []ExporterName
		if names, err = OpenExporterNames(n.raw); err == nil {
			n.columns = nameColumnNames
			if rows = len(names); rows > 0 {
				n.received = names[0].Time * 1000
			}
		}
	default:
		err = fmt.Errorf("table %q takes no batches", s.Table)
	}
	if err == nil && rows != s.Rows {
		err = fmt.Errorf("%d rows, header %s says %d", rows, HeaderRows, s.Rows)
	}
	if err != nil {
		return fmt.Errorf("batch %s: %w %s: %w", s.ID, ErrBlock, s.Table, err)
	}
	n.rows = rows
	return nil
}

// Run inserts the batch, and for flows the sessions that it makes. Both
// inserts have the batch's id as their deduplication token, so that Run may be
// repeated, by anyone, until it succeeds. The connection must use HTTP.
func (n *Insert) Run(ctx context.Context, conn clickhouse.Conn, opts InsertOptions) error {
	if n.rows == 0 {
		return nil
	}
	if err := insertBlock(ctx, conn, opts, n.table, n.columns, n.id, n.raw); err != nil {
		return fmt.Errorf("insert batch %s of %d rows into %s: %w", n.id, n.rows, n.table, err)
	}
	if n.table != TableFlows || opts.FlowsOnly {
		return nil
	}
	n.folder.Reset()
	n.folder.Add(&n.batch)
	if err := insertBlock(ctx, conn, opts, tableSessions, SessionColumns, n.id, n.folder.Block()); err != nil {
		return fmt.Errorf("insert %d sessions of batch %s into %s: %w", n.folder.Len(), n.id, tableSessions, err)
	}
	return nil
}

// Sessions are those of several batches of flows, inserted together. The zero
// value is ready to use, and using one again saves memory. Sessions are not safe
// for concurrent use.
type Sessions struct{ folder Folder }

// Add folds the records of a prepared batch of flows.
func (s *Sessions) Add(n *Insert) { s.folder.Add(&n.batch) }

// Len is the number of rows that the batches added make.
func (s *Sessions) Len() int { return s.folder.Len() }

// Reset forgets the batches.
func (s *Sessions) Reset() { s.folder.Reset() }

// Run inserts the rows. It may be repeated with the same batches under the
// same token, by anyone, until it succeeds.
func (s *Sessions) Run(ctx context.Context, conn clickhouse.Conn, opts InsertOptions, token string) error {
	if s.Len() == 0 {
		return nil
	}
	if err := insertBlock(ctx, conn, opts, tableSessions, SessionColumns, token, s.folder.Block()); err != nil {
		return fmt.Errorf("insert %d sessions of group %s into %s: %w", s.Len(), token, tableSessions, err)
	}
	return nil
}

const tableSessions = "sessions_hourly"

func insertBlock(ctx context.Context, conn clickhouse.Conn, opts InsertOptions, table string, columns []string, token string, block []byte) error {
	settings := clickhouse.Settings{
		"insert_deduplication_token": token,
		// In a cluster these are distributed tables: return after the shards
		// have the rows, not after a local queue has.
		"distributed_foreground_insert": 1,
		"async_insert":                  0,
		// A collector's clock that jumps spreads one batch over many days.
		"max_partitions_per_insert_block": 0,
		// Merges build the indexes; a part just inserted is small.
		"materialize_skip_indexes_on_insert": 0,
		"materialize_statistics_on_insert":   0,
		// Folding left nothing for ClickHouse to merge within the block.
		"optimize_on_insert": 0,
	}
	if opts.Quorum != "" {
		settings["insert_quorum"] = opts.Quorum
	}
	database := opts.Database
	if database == "" {
		database = defaultDatabase
	}
	query := "INSERT INTO " + sqltext.Name(database) + "." + table + " (" + strings.Join(columns, ", ") + ")"
	return conn.InsertFormat(clickhouse.Context(ctx, clickhouse.WithSettings(settings)), "Native", query, bytes.NewReader(block))
}
