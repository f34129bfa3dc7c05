package clickhousehttp

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// What comes in other formats than Native is inserted FROM INFILE. Many such
// inserts at a time keep to their own data.
func TestInsertsFromFilesAtTheSameTime(t *testing.T) {
	c := openTest(t, Config{Limits: Limits{Queries: 8}})
	opts := c.Options()
	opts.MaxOpenConns = 32
	conn := openConn(t, opts)
	mustExec(t, conn, "CREATE TABLE t (worker UInt32, n UInt32, filler String) ENGINE = MergeTree ORDER BY (worker, n)")
	const workers, inserts, rows = 8, 20, 400
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			filler := strings.Repeat(string(rune('a'+w)), 40)
			for i := range inserts {
				var data strings.Builder
				for n := range rows {
					fmt.Fprintf(&data, "%d,%d,%s\n", w, i*rows+n, filler)
				}
				if err := conn.InsertFormat(t.Context(), "CSV", "INSERT INTO t", strings.NewReader(data.String())); err != nil {
					t.Errorf("worker %d, insert %d: %v", w, i, err)
				}
			}
		})
	}
	wg.Wait()
	if n := queryInt(t, conn, "SELECT count() FROM t"); n != workers*inserts*rows {
		t.Errorf("%d rows, want %d", n, workers*inserts*rows)
	}
	if n := queryInt(t, conn, "SELECT uniqExact(worker, n) FROM t WHERE filler = repeat(char(97 + worker), 40)"); n != workers*inserts*rows {
		t.Errorf("%d rows with their own data, want %d", n, workers*inserts*rows)
	}
}
