package clickhousehttp

import (
	"context"
	"cordon/internal/killtest"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// stdinEnv makes the test binary insert beside its standard input.
const stdinEnv = "CORDON_TEST_STDIN"

func TestMain(m *testing.M) {
	if os.Getenv(stdinEnv) != "" {
		os.Exit(insertBesideStdin())
	}
	killtest.Main(map[string]killtest.Open{"clickhouse": func(dir string) (func(batch int) error, error) {
		ctx := context.Background()
		c, err := Open(ctx, Config{Dir: dir, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			return nil, err
		}
		conn, err := clickhouse.Open(c.Options())
		if err != nil {
			return nil, err
		}
		return func(batch int) error { return insertBatch(ctx, conn, batch) }, nil
	}})
	os.Exit(m.Run())
}

const batchRows = 5000

// insertBatch inserts rows that are the batch's number, under its token.
func insertBatch(ctx context.Context, conn clickhouse.Conn, batch int) error {
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
		"insert_deduplication_token":                         fmt.Sprint("batch-", batch),
		"deduplicate_blocks_in_dependent_materialized_views": 1,
	}))
	b, err := conn.PrepareBatch(ctx, "INSERT INTO t (batch, i)")
	if err != nil {
		return err
	}
	numbers, rows := make([]uint32, batchRows), make([]uint32, batchRows)
	for i := range rows {
		numbers[i], rows[i] = uint32(batch), uint32(i)
	}
	if err := b.Column(0).Append(numbers); err != nil {
		return err
	}
	if err := b.Column(1).Append(rows); err != nil {
		return err
	}
	return b.Send()
}

// TestClickHouseKilled kills the process during inserts, again and again, and
// counts: what was acknowledged is there once, what is sent again is there
// once, and nothing is there in part, also behind a materialised view.
func TestClickHouseKilled(t *testing.T) {
	needLibrary(t)
	dir := t.TempDir()
	quiet := slog.New(slog.DiscardHandler)
	reopen := func(check func(conn clickhouse.Conn)) {
		t.Helper()
		c, err := Open(t.Context(), Config{Dir: dir, Log: quiet})
		if err != nil {
			t.Fatal(err)
		}
		conn, err := clickhouse.Open(c.Options())
		if err != nil {
			t.Fatal(err)
		}
		check(conn)
		conn.Close()
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	reopen(func(conn clickhouse.Conn) {
		mustExec(t, conn,
			"CREATE TABLE t (batch UInt32, i UInt32) ENGINE = MergeTree PARTITION BY i % 3 ORDER BY i SETTINGS non_replicated_deduplication_window = 10000",
			"CREATE TABLE sums (batch UInt32, n UInt64) ENGINE = SummingMergeTree ORDER BY batch SETTINGS non_replicated_deduplication_window = 10000",
			"CREATE MATERIALIZED VIEW v TO sums AS SELECT batch, count() AS n FROM t GROUP BY batch")
	})
	from := 0
	for round := range 4 {
		last := killtest.After(t, "clickhouse", dir, from, 3+10*round)
		reopen(func(conn clickhouse.Conn) {
			if n := queryInt(t, conn, fmt.Sprint("SELECT count() FROM t WHERE batch <= ", last)); n != uint64(last+1)*batchRows {
				t.Errorf("round %d: %d rows of %d acknowledged", round, n, (last+1)*batchRows)
			}
			// The batch after the last may be there or not, or in some
			// partitions; sent again, it is complete, as are those before it.
			for batch := max(0, last-5); batch <= last+1; batch++ {
				if err := insertBatch(t.Context(), conn, batch); err != nil {
					t.Fatal(err)
				}
			}
			for _, q := range []string{"SELECT count() FROM t", "SELECT uniqExact(batch, i) FROM t", "SELECT sum(n) FROM sums"} {
				if n := queryInt(t, conn, q); n != uint64(last+2)*batchRows {
					t.Errorf("round %d: %s is %d, want %d", round, q, n, (last+2)*batchRows)
				}
			}
		})
		from = last + 2
	}
}

// TestFolderInUse sees that a second process, and a second engine in this one,
// are told who has the folder.
func TestFolderInUse(t *testing.T) {
	c := openTest(t, Config{Listen: "127.0.0.1:0"})
	_, err := Open(t.Context(), Config{Dir: c.Dir()})
	if err == nil || !containsAll(err.Error(), c.Dir(), "process "+strconv.Itoa(os.Getpid()), c.HTTPAddr()) {
		t.Errorf("error %v", err)
	}
	other := t.TempDir()
	_, err = Open(t.Context(), Config{Dir: other})
	if err == nil || !strings.Contains(err.Error(), "already runs a ClickHouse engine") {
		t.Errorf("error %v", err)
	}
	out, err := killtest.Command("clickhouse", c.Dir(), 0).CombinedOutput()
	if err == nil || !containsAll(string(out), c.Dir(), "in use by process "+strconv.Itoa(os.Getpid())) {
		t.Errorf("error %v, output %s", err, out)
	}
	pid, opts, err := Running(c.Dir())
	if err != nil || pid != os.Getpid() || opts == nil {
		t.Errorf("Running: %d, %v, %v", pid, opts, err)
	}
	if pid, opts, err := Running(other); err != nil || pid != 0 || opts != nil {
		t.Errorf("Running of a free folder: %d, %v, %v", pid, opts, err)
	}
	if pid, opts, err := Running(t.TempDir()); err != nil || pid != 0 || opts != nil {
		t.Errorf("Running of a new folder: %d, %v, %v", pid, opts, err)
	}
}
