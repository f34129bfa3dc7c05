package clickhousehttp

import (
	"context"
	"cordon/internal/chdb"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// openTest starts ClickHouse for a test, or skips the test where the library is
// not there.
func openTest(t testing.TB, cfg Config) *Server {
	t.Helper()
	needLibrary(t)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return c
}

func needLibrary(t testing.TB) {
	t.Helper()
	if _, err := chdb.FindLibrary(""); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("needs the ClickHouse library: ", err)
	}
}

func openConn(t testing.TB, opts *clickhouse.Options) clickhouse.Conn {
	t.Helper()
	conn, err := clickhouse.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func mustExec(t testing.TB, conn clickhouse.Conn, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func queryInt(t testing.TB, conn clickhouse.Conn, query string) uint64 {
	t.Helper()
	var n uint64
	if err := conn.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// get runs a query over TCP, as curl would, and returns status, header and body.
func get(t testing.TB, c *Server, v url.Values, body string) (int, http.Header, string) {
	t.Helper()
	resp, err := http.Post("http://"+c.HTTPAddr()+"/?"+v.Encode(), "", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

func TestClickHouseGo(t *testing.T) {
	c := openTest(t, Config{Dir: t.TempDir(), Listen: "127.0.0.1:0"})
	_, running, err := Running(c.Dir())
	if err != nil {
		t.Fatal(err)
	}
	for name, opts := range map[string]*clickhouse.Options{"in process": c.Options(), "TCP": running} {
		t.Run(name, func(t *testing.T) {
			conn := openConn(t, opts)
			mustExec(t, conn, "CREATE TABLE t (a UInt32, s String) ENGINE = MergeTree ORDER BY a")
			batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO t (a, s)")
			if err != nil {
				t.Fatal(err)
			}
			const rows = 100_000
			for i := range rows {
				if err := batch.Append(uint32(i), fmt.Sprint("row ", i)); err != nil {
					t.Fatal(err)
				}
			}
			if err := batch.Send(); err != nil {
				t.Fatal(err)
			}
			if n := queryInt(t, conn, "SELECT count() FROM t WHERE s = concat('row ', toString(a))"); n != rows {
				t.Errorf("%d rows of %d", n, rows)
			}
			db := clickhouse.OpenDB(opts)
			defer db.Close()
			r, err := db.QueryContext(t.Context(), "SELECT a, s FROM t WHERE a < ? ORDER BY a", 70_000)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			n := 0
			for ; r.Next(); n++ {
				var a uint32
				var s string
				if err := r.Scan(&a, &s); err != nil {
					t.Fatal(err)
				}
				if int(a) != n || s != fmt.Sprint("row ", n) {
					t.Fatalf("row %d is %d, %q", n, a, s)
				}
			}
			if n != 70_000 || r.Err() != nil {
				t.Errorf("read %d rows, error %v", n, r.Err())
			}
			err = conn.Exec(t.Context(), "SELECT * FROM nowhere")
			var e *clickhouse.Exception
			if !errors.As(err, &e) || e.Code != 60 {
				t.Errorf("error of an unknown table: %v", err)
			}
			var none string
			if err := conn.QueryRow(t.Context(), "SELECT s FROM t WHERE a > 1e9").Scan(&none); !errors.Is(err, sql.ErrNoRows) {
				t.Errorf("error of an empty result: %v", err)
			}
			mustExec(t, conn, "DROP TABLE t SYNC")
		})
	}
}

func TestCurl(t *testing.T) {
	c := openTest(t, Config{Listen: "127.0.0.1:0"})
	for _, tt := range []struct {
		params url.Values
		body   string
		status int
		want   string
	}{
		{url.Values{"query": {"SELECT 1"}}, "", 200, "1\n"},
		{nil, "SELECT 1 + 1, 'x' FORMAT CSV", 200, "2,\"x\"\n"},
		{url.Values{"query": {"SELECT number"}}, "FROM numbers(3)", 200, "0\n1\n2\n"},
		{url.Values{"default_format": {"JSONEachRow"}}, "SELECT 1 AS a", 200, `{"a":1}` + "\n"},
		{url.Values{"param_x": {"it's"}, "query": {"SELECT {x:String}"}}, "", 200, "it\\'s\n"},
		{nil, "SELEC 1", 400, "Code: 62. DB::Exception: Syntax error"},
		{nil, "SELECT * FROM nowhere", 404, "Code: 60. DB::Exception: Unknown table expression identifier 'nowhere'"},
	} {
		status, _, body := get(t, c, tt.params, tt.body)
		if status != tt.status || !strings.HasPrefix(body, tt.want) {
			t.Errorf("%v %q: status %d, body %q; want %d, %q", tt.params, tt.body, status, body, tt.status, tt.want)
		}
	}
}

// A script's statements run one after another, and an error names the statement that is wrong.
func TestScript(t *testing.T) {
	ch := openTest(t, Config{})
	conn := openConn(t, ch.Options())
	if err := ch.Script(t.Context(), "CREATE DATABASE d;\nCREATE TABLE d.t (n UInt8) ENGINE = MergeTree ORDER BY n;\nINSERT INTO d.t SELECT 7"); err != nil {
		t.Fatal(err)
	}
	var n uint8
	if err := conn.QueryRow(t.Context(), "SELECT n FROM d.t").Scan(&n); err != nil || n != 7 {
		t.Errorf("%d, %v; want 7", n, err)
	}
	if err := ch.Script(t.Context(), "DROP TABLE d.t; SELECT nonsense; DROP DATABASE d"); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("got %v, want that there is no `nonsense`", err)
	}
	var databases uint64
	if err := conn.QueryRow(t.Context(), "SELECT count() FROM system.databases WHERE name = 'd'").Scan(&databases); err != nil || databases != 1 {
		t.Errorf("%d databases, %v; want the one that the statement after the mistake would have dropped", databases, err)
	}
	if err := ch.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := ch.Script(t.Context(), "SELECT 1"); err == nil {
		t.Error("a script ran after Close")
	}
}
