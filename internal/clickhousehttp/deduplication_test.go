package clickhousehttp

import (
	"os"
	"path/filepath"
	"testing"
)

// A token whose part is gone must not make the engine drop the insert when it
// comes again: what a kill between the two leaves behind.
func TestInsertAfterLostPart(t *testing.T) {
	dir := t.TempDir()
	c := openTest(t, Config{Dir: dir})
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
	conn = openConn(t, openTest(t, Config{Dir: dir}).Options())
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
