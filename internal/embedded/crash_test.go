package embedded

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/nats-io/nats.go/jetstream"
)

// The environment variables that make the test binary a server to be killed.
const (
	victimEnv    = "CORDON_TEST_VICTIM" // "clickhouse" or "nats"; "stdin" ends by itself
	victimDirEnv = "CORDON_TEST_VICTIM_DIR"
	victimPosEnv = "CORDON_TEST_VICTIM_FROM" // the first batch to write
)

func TestMain(m *testing.M) {
	if victim := os.Getenv(victimEnv); victim != "" {
		if victim == "stdin" {
			os.Exit(insertBesideStdin())
		}
		from, err := strconv.Atoi(os.Getenv(victimPosEnv))
		if err == nil {
			err = runVictim(victim, os.Getenv(victimDirEnv), from)
		}
		fmt.Fprintln(os.Stderr, "victim:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// runVictim writes batch after batch and says so on standard output when each
// is acknowledged, until it is killed.
func runVictim(what, dir string, from int) error {
	ctx := context.Background()
	quiet := slog.New(slog.DiscardHandler)
	var write func(batch int) error
	switch what {
	case "clickhouse":
		c, err := OpenClickHouse(ctx, ClickHouseConfig{Dir: dir, Log: quiet})
		if err != nil {
			return err
		}
		conn, err := clickhouse.Open(c.Options())
		if err != nil {
			return err
		}
		write = func(batch int) error { return insertBatch(ctx, conn, batch) }
	case "nats":
		n, err := StartNATS(NATSConfig{Dir: dir, Log: quiet})
		if err != nil {
			return err
		}
		nc, err := n.Connect()
		if err != nil {
			return err
		}
		js, err := jetstream.New(nc)
		if err != nil {
			return err
		}
		if _, err := js.CreateOrUpdateStream(ctx, victimStream); err != nil {
			return err
		}
		write = func(batch int) error {
			_, err := js.Publish(ctx, "v.x", make([]byte, 10_000), jetstream.WithMsgID(strconv.Itoa(batch)))
			return err
		}
	}
	for batch := from; ; batch++ {
		if err := write(batch); err != nil {
			return err
		}
		fmt.Println(batch)
	}
}

var victimStream = jetstream.StreamConfig{Name: "V", Subjects: []string{"v.>"}, Storage: jetstream.FileStorage, Duplicates: time.Hour}

// killAfter runs the victim until it acknowledged some batches, kills it at
// once, and returns the number of the last batch it acknowledged.
func killAfter(t *testing.T, what, dir string, from, batches int) int {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), victimEnv+"="+what, victimDirEnv+"="+dir, victimPosEnv+"="+strconv.Itoa(from))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	last := from - 1
	for s := bufio.NewScanner(out); s.Scan(); {
		n, err := strconv.Atoi(s.Text())
		if err != nil {
			t.Fatal(err)
		}
		last = n
		if n == from+batches {
			cmd.Process.Kill() // what it wrote meanwhile is still read
		}
	}
	cmd.Wait() // with the signal as its error
	if last < from+batches {
		t.Fatalf("the victim ended by itself after batch %d", last)
	}
	return last
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
		c, err := OpenClickHouse(t.Context(), ClickHouseConfig{Dir: dir, Log: quiet})
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
		last := killAfter(t, "clickhouse", dir, from, 3+10*round)
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

// TestNATSKilled does the same to JetStream.
func TestNATSKilled(t *testing.T) {
	dir := t.TempDir()
	from := 0
	for range 3 {
		last := killAfter(t, "nats", dir, from, 3000)
		n := startNATS(t, NATSConfig{Dir: dir})
		nc, err := n.Connect()
		if err != nil {
			t.Fatal(err)
		}
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		for batch := last - 20; batch <= last+1; batch++ {
			if _, err := js.Publish(t.Context(), "v.x", nil, jetstream.WithMsgID(strconv.Itoa(batch))); err != nil {
				t.Fatal(err)
			}
		}
		s, err := js.Stream(t.Context(), "V")
		if err != nil {
			t.Fatal(err)
		}
		if got := s.CachedInfo().State.Msgs; got != uint64(last+2) {
			t.Errorf("%d messages, want %d", got, last+2)
		}
		nc.Close()
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		from = last + 2
	}
}

// TestFolderInUse sees that a second process, and a second engine in this one,
// are told who has the folder.
func TestFolderInUse(t *testing.T) {
	c := openTest(t, ClickHouseConfig{Listen: "127.0.0.1:0"})
	_, err := OpenClickHouse(t.Context(), ClickHouseConfig{Dir: c.Dir()})
	if err == nil || !containsAll(err.Error(), c.Dir(), "process "+strconv.Itoa(os.Getpid()), c.HTTPAddr()) {
		t.Errorf("error %v", err)
	}
	other := t.TempDir()
	_, err = OpenClickHouse(t.Context(), ClickHouseConfig{Dir: other})
	if err == nil || !strings.Contains(err.Error(), "already runs a ClickHouse engine") {
		t.Errorf("error %v", err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), victimEnv+"=clickhouse", victimDirEnv+"="+c.Dir(), victimPosEnv+"=0")
	out, err := cmd.CombinedOutput()
	if err == nil || !containsAll(string(out), c.Dir(), "in use by process "+strconv.Itoa(os.Getpid())) {
		t.Errorf("error %v, output %s", err, out)
	}
	pid, opts, err := RunningClickHouse(c.Dir())
	if err != nil || pid != os.Getpid() || opts == nil {
		t.Errorf("RunningClickHouse: %d, %v, %v", pid, opts, err)
	}
	if pid, opts, err := RunningClickHouse(other); err != nil || pid != 0 || opts != nil {
		t.Errorf("RunningClickHouse of a free folder: %d, %v, %v", pid, opts, err)
	}
	if pid, opts, err := RunningClickHouse(t.TempDir()); err != nil || pid != 0 || opts != nil {
		t.Errorf("RunningClickHouse of a new folder: %d, %v, %v", pid, opts, err)
	}
}
