// Package imports keeps account of the files that were imported, and takes back
// what they brought, or what an exporter sent.
//
// An import has a number, which each of its rows in flows and sessions_hourly
// carries, and a state in table import_rows. The state is written before the
// first row is sent and after the last is stored, and before the first row is
// deleted and after the last is gone. So whoever finds an import that is begun and
// not done, or half taken back, can take its rows away and start again: deleting
// twice does no harm.
package imports

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"cordon/internal/sqltext"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// State is how far an import has come.
type State string

// The states of an import.
const (
	Started State = "started" // rows are on their way
	Done    State = "done"    // all rows are stored
	Undoing State = "undoing" // rows are being taken back
	Undone  State = "undone"  // no row is left
	// Forgotten imports are stored in part: [Store.Forget] deleted some of it.
	Forgotten State = "forgotten"
)

// Import is a file that was imported.
type Import struct {
	ID       uint32 // carried by its rows
	Instance string // begins the ids of its batches; column collector of exporter_stats
	State    State
	File     string // name of the file as it was given
	Digest   string // SHA-256 of its decompressed contents, hexadecimal
	Records  uint64 // flow records read
	BadRows  uint64 // rows passed over on request
	Process  string // host:pid of whoever wrote the state last
	Started  time.Time
	Changed  time.Time // The state was written last then.

	version uint64
}

// Store is the account in a ClickHouse database.
type Store struct {
	Conn     driver.Conn
	Database string
	Cluster  string // name in the server's configuration; empty for one server
	// Alone says that no other process can use the store, so that whoever
	// imported before is gone.
	Alone bool
}

// List gives all imports, the last one first.
func (s *Store) List(ctx context.Context) ([]Import, error) {
	return s.read(ctx, "1")
}

// Get gives an import by its number.
func (s *Store) Get(ctx context.Context, id uint32) (*Import, error) {
	list, err := s.read(ctx, fmt.Sprintf("id = %d", id))
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[0], nil
}

// Same gives the imports with a digest that are not taken back, the last first.
func (s *Store) Same(ctx context.Context, digest string) ([]Import, error) {
	return s.read(ctx, "digest = "+sqltext.Text(digest)+" AND state != 'undone'")
}

const unknownTable = 60 // UNKNOWN_TABLE among ClickHouse's error codes

func (s *Store) read(ctx context.Context, where string) (list []Import, err error) {
	rows, err := s.Conn.Query(ctx, "SELECT id, instance, toString(state), file, digest, records, bad_rows, process, started, changed, version FROM "+
		s.table("import_rows")+" FINAL WHERE file != '' AND ("+where+") ORDER BY id DESC, instance")
	if err != nil {
		var e *clickhouse.Exception
		if errors.As(err, &e) && e.Code == unknownTable {
			return nil, fmt.Errorf("imports: the tables are of an older version; run `cordon migrate` (%w)", err)
		}
		return nil, fmt.Errorf("imports: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var i Import
		var state string
		if err := rows.Scan(&i.ID, &i.Instance, &state, &i.File, &i.Digest, &i.Records, &i.BadRows, &i.Process, &i.Started, &i.Changed, &i.version); err != nil {
			return nil, fmt.Errorf("imports: %w", err)
		}
		i.State = State(state)
		list = append(list, i)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("imports: %w", err)
	}
	return list, nil
}

// Begin gives an import its number, and writes that it has started. Who finds
// that another has taken the same number takes another one: each looks after it
// has written, so of two who took one, one sees the other at least. Called again
// with the same instance it gives the same import.
func (s *Store) Begin(ctx context.Context, file, digest, instance string) (*Import, error) {
	// An earlier call may have written, and its answer been lost.
	if begun, err := s.read(ctx, "instance = "+sqltext.Text(instance)+" AND state = 'started'"); err != nil {
		return nil, err
	} else if len(begun) > 0 {
		return &begun[0], nil
	}
	for {
		var last uint32
		if err := s.Conn.QueryRow(ctx, "SELECT max(id) FROM "+s.table("import_rows")).Scan(&last); err != nil {
			return nil, fmt.Errorf("imports: %w", err)
		}
		i := &Import{ID: last + 1, Instance: instance, File: file, Digest: digest, Started: time.Now()}
		if err := s.write(ctx, i, Started); err != nil {
			return nil, err
		}
		same, err := s.read(ctx, fmt.Sprintf("id = %d", i.ID))
		if err != nil {
			return nil, err
		}
		if len(same) == 1 {
			return i, nil
		}
		i.File = "" // A row without a file is not shown.
		if err := s.write(ctx, i, Undone); err != nil {
			return nil, err
		}
		time.Sleep(rand.N(50 * time.Millisecond))
	}
}

// Touch writes that an import still runs.
func (s *Store) Touch(ctx context.Context, i *Import) error { return s.write(ctx, i, i.State) }

// Finish writes that all records of an import are stored.
func (s *Store) Finish(ctx context.Context, i *Import) error { return s.write(ctx, i, Done) }

func (s *Store) write(ctx context.Context, i *Import, state State) error {
	i.State, i.Changed, i.Process = state, time.Now(), thisProcess()
	i.version++
	err := s.Conn.Exec(ctx, "INSERT INTO "+s.table("import_rows")+
		" (id, instance, state, file, digest, records, bad_rows, process, started, changed, version) SELECT "+
		strings.Join([]string{
			fmt.Sprint(i.ID), sqltext.Text(i.Instance), sqltext.Text(string(i.State)), sqltext.Text(i.File), sqltext.Text(i.Digest), fmt.Sprint(i.Records), fmt.Sprint(i.BadRows),
			sqltext.Text(i.Process), millis(i.Started), millis(i.Changed), fmt.Sprint(i.version),
		}, ", "))
	if err != nil {
		return fmt.Errorf("write the state of import %d: %w", i.ID, err)
	}
	return nil
}

// silence is after how long an import on another host counts as interrupted if
// it has not written that it runs. [Store.Touch] is called far more often.
const silence = 90 * time.Second

// Interrupted says whether an import, or its taking back, ended before its end.
func (s *Store) Interrupted(i *Import) bool {
	if i.State != Started && i.State != Undoing {
		return false
	}
	host, pid, _ := strings.Cut(i.Process, ":")
	switch own, ownPID, _ := strings.Cut(thisProcess(), ":"); {
	case s.Alone:
		return true
	case host == own:
		// A container that starts anew has the same host and process id.
		return pid == ownPID || !processRuns(pid)
	}
	return time.Since(i.Changed) > silence
}

func thisProcess() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s:%d", strings.ReplaceAll(host, ":", "_"), os.Getpid())
}

// ErrRuns says that rows cannot be taken back since they still come.
var ErrRuns = errors.New("is still running")

// Undo takes the rows of an import back. No batch of it may be in stream FLOWS.
// If it is interrupted, calling it again goes on.
func (s *Store) Undo(ctx context.Context, i *Import) error {
	if i.State == Undone {
		return nil
	}
	if (i.State == Started || i.State == Undoing) && !s.Interrupted(i) {
		return fmt.Errorf("import %d of %s %w in process %s", i.ID, i.File, ErrRuns, i.Process)
	}
	return s.TakeBack(ctx, i)
}

// TakeBack is [Store.Undo] of an import that this process has itself begun.
func (s *Store) TakeBack(ctx context.Context, i *Import) error {
	if err := s.write(ctx, i, Undoing); err != nil {
		return err
	}
	number := fmt.Sprintf("import = %d", i.ID)
	for _, d := range []deletion{
		{"sessions_hourly", number},
		{"exporter_stats", "collector = " + sqltext.Text(i.Instance)},
		{"flows", number},
	} {
		if err := s.delete(ctx, d); err != nil {
			return fmt.Errorf("take back import %d: %w", i.ID, err)
		}
	}
	return s.write(ctx, i, Undone)
}

// Stored counts the rows of an import in table flows.
func (s *Store) Stored(ctx context.Context, i *Import) (n uint64, err error) {
	err = s.Conn.QueryRow(ctx, fmt.Sprintf("SELECT count() FROM %s WHERE import = %d", s.table("flows"), i.ID)).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count the rows of import %d: %w", i.ID, err)
	}
	return n, nil
}

func millis(t time.Time) string { return fmt.Sprintf("fromUnixTimestamp64Milli(%d)", t.UnixMilli()) }

func (s *Store) table(name string) string { return sqltext.Name(s.Database) + "." + name }
