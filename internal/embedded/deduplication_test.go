package embedded

import (
	"os"
	"path/filepath"
	"testing"
)

func TestRepairDeduplication(t *testing.T) {
	data := t.TempDir()
	table := filepath.Join(data, "store", "abc", "abcdef")
	for _, dir := range []string{"deduplication_logs", "20261120_1_4_1", "20261120_6_6_0_9", "tmp_insert_20261120_7_7_0", "detached", "20261121-1_1_1_0"} {
		if err := os.MkdirAll(filepath.Join(table, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	log := filepath.Join(table, "deduplication_logs", "deduplication_log_1.txt")
	const (
		merged   = "1\t20261120_2_2_0\t20261120_a\n"
		mutated  = "1\t20261120_6_6_0\t20261120_b\n"
		other    = "1\t20261121-1_1_1_0\t20261121-1_c\n"
		lost     = "1\t20261120_7_7_0\t20261120_d\n" // its folder never got its name
		elsewise = "2\t20261120_9_9_0\t20261120_e\n"
		cut      = "1\t20261120_1_1_0\t2026"
	)
	write := func(s string) {
		if err := os.WriteFile(log, []byte(s), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(merged + mutated + lost + other + elsewise + cut)
	for _, want := range []int{2, 0} {
		n, err := repairDeduplication(data)
		if err != nil || n != want {
			t.Fatalf("%d entries removed, %v; want %d", n, err, want)
		}
		got, err := os.ReadFile(log)
		if err != nil || string(got) != merged+mutated+other+elsewise {
			t.Fatalf("the log is %q, %v", got, err)
		}
	}
}

// A token whose part is gone must not make the engine drop the insert when it
// comes again: what a kill between the two leaves behind.
func TestInsertAfterLostPart(t *testing.T) {
	dir := t.TempDir()
	c := openTest(t, ClickHouseConfig{Dir: dir})
	conn := openConn(t, c.Options())
	mustExec(t, conn, "CREATE TABLE t (id UInt32) ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 100")
	const insert = "INSERT INTO t SETTINGS insert_deduplication_token = 'one' VALUES (1)"
	mustExec(t, conn, insert)
	conn.Close()
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	parts, err := filepath.Glob(filepath.Join(dir, "data", "store", "*", "*", "all_1_1_0"))
	if err != nil || len(parts) != 1 {
		t.Fatalf("parts %v, %v", parts, err)
	}
	if err := os.RemoveAll(parts[0]); err != nil {
		t.Fatal(err)
	}
	conn = openConn(t, openTest(t, ClickHouseConfig{Dir: dir}).Options())
	mustExec(t, conn, insert)
	mustExec(t, conn, insert)
	var n uint64
	if err := conn.QueryRow(t.Context(), "SELECT count() FROM t").Scan(&n); err != nil {
		t.Fatal(err)
	}
	if n != 1 {
		t.Fatalf("%d rows, want 1", n)
	}
}
