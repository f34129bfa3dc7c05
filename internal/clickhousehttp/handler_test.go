package clickhousehttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// TestHTTPInterface goes through what clients look at besides the result.
func TestHTTPInterface(t *testing.T) {
	c := openTest(t, Config{Listen: "127.0.0.1:0"})
	base := "http://" + c.HTTPAddr()
	do := func(method, path string, header http.Header) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if header != nil {
			req.Header = header
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(b)
	}
	for _, tt := range []struct {
		method, path string
		header       http.Header
		status       int
		body         string
		want         map[string]string
	}{
		{method: "GET", path: "/", status: 200, body: "Ok.\n"},
		{method: "GET", path: "/ping", status: 200, body: "Ok.\n"},
		{method: "HEAD", path: "/ping", status: 200},
		{method: "HEAD", path: "/", status: 200},
		{method: "GET", path: "/replicas_status", status: 200, body: "Ok.\n"},
		{method: "GET", path: "/nothing", status: 404, body: "There is no handle"},
		{method: "OPTIONS", path: "/", status: 204, want: map[string]string{"Allow": "GET, HEAD, OPTIONS, POST"}},
		{method: "DELETE", path: "/", status: 405, body: "Code: 1."},
		{method: "GET", path: "/?query=SELECT+1&query_id=me", status: 200, body: "1\n", want: map[string]string{
			"X-ClickHouse-Query-Id": "me", "X-ClickHouse-Format": "TabSeparated", "X-ClickHouse-Timezone": c.timezone,
			"Content-Type": "text/tab-separated-values; charset=UTF-8", "X-ClickHouse-Server-Display-Name": displayName()}},
		{method: "GET", path: "?query=SELECT+1+AS+a+FORMAT+JSONCompact", status: 200, body: "{\n\t\"meta\":", want: map[string]string{
			"X-ClickHouse-Format": "JSONCompact", "Content-Type": "application/json; charset=UTF-8"}},
		{method: "GET", path: "/?query=SELECT+1", header: http.Header{"X-Clickhouse-Format": {"CSV"}}, status: 200, body: "1\n", want: map[string]string{"X-ClickHouse-Format": "CSV"}},
		{method: "GET", path: "/?query=SELECT+1", header: http.Header{"X-Clickhouse-User": {"cordon"}, "X-Clickhouse-Key": {c.key}}, status: 200, body: "1\n"},
		{method: "GET", path: "/?query=SELECT+1", header: http.Header{"X-Clickhouse-User": {"cordon"}, "X-Clickhouse-Key": {"x"}}, status: 403, body: "Code: 516. DB::Exception: cordon: Authentication failed", want: map[string]string{"X-ClickHouse-Exception-Code": "516"}},
		{method: "GET", path: "/?query=SELECT+currentDatabase()&database=system", status: 200, body: "system\n"},
		{method: "GET", path: "/?query=SELECT+1&database=none", status: 404, body: "Code: 81."},
		{method: "GET", path: "/?query=SELECT+throwIf(1)", status: 500, body: "Code: 395. DB::Exception: ", want: map[string]string{"X-ClickHouse-Exception-Code": "395"}},
		{method: "GET", path: "/?query=SELECT+1&nosuchsetting=1", status: 403, body: "Code: 164."},
		{method: "GET", path: "/?query=SELECT+1&nosuchsetting=1&user=cordon&password=" + c.key, status: 404, body: "Code: 115."},
		{method: "GET", path: "/?query=CREATE+TABLE+x+(a+Int8)+ENGINE=Memory&user=cordon&password=" + c.key, status: 403, body: "Code: 164."},
		{method: "GET", path: "/?query=SELECT+toDateTime(0)&session_timezone=Asia/Tokyo", status: 200, body: "1970-01-01 09:00:00\n"},
		{method: "GET", path: "/?query=SELECT+{a:UInt8}%2B{b:UInt8}&param_a=1&param_b=2", status: 200, body: "3\n"},
		{method: "GET", path: "/?query=SELECT+{a:UInt8}", status: 400, body: "Code: 456."},
	} {
		resp, body := do(tt.method, tt.path, tt.header)
		if resp.StatusCode != tt.status || !strings.HasPrefix(body, tt.body) {
			t.Errorf("%s %s: status %d, %q; want %d, %q", tt.method, tt.path, resp.StatusCode, body, tt.status, tt.body)
		}
		for name, want := range tt.want {
			if got := resp.Header.Get(name); got != want {
				t.Errorf("%s %s: %s is %q, want %q", tt.method, tt.path, name, got, want)
			}
		}
	}
	if fi, err := os.Stat(filepath.Join(c.Dir(), keyFile)); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v", fi, err)
	}
}

// TestExceptionInResult sees that an exception after the first part of a result
// went out reaches each kind of client.
func TestExceptionInResult(t *testing.T) {
	c := openTest(t, Config{Listen: "127.0.0.1:0"})
	_, tcp, err := Running(c.Dir())
	if err != nil {
		t.Fatal(err)
	}
	const query = "SELECT number, throwIf(number = 2900000, 'enough') FROM numbers(3000000) SETTINGS max_block_size = 10000, max_threads = 1"
	for name, opts := range map[string]*clickhouse.Options{"in process": c.Options(), "TCP": tcp} {
		conn := openConn(t, opts)
		rows, err := conn.Query(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for rows.Next() {
			n++
		}
		var e *clickhouse.Exception
		if n == 0 || !errors.As(rows.Err(), &e) || e.Code != 395 {
			t.Errorf("%s: %d rows, error %v", name, n, rows.Err())
		}
		rows.Close()
	}
	v := url.Values{"user": {insideUser}, "password": {c.key}}
	resp, err := http.Post("http://"+c.HTTPAddr()+"/?"+v.Encode(), "", strings.NewReader(query))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil || !strings.Contains(string(b), "\r\n__exception__\r\n"+resp.Header.Get("X-ClickHouse-Exception-Tag")+"\r\nCode: 395. DB::Exception: enough") {
		t.Errorf("error %v, body ends in %q", err, b[max(0, len(b)-300):])
	}
	// With wait_end_of_query nothing goes out before the end.
	v.Set("wait_end_of_query", "1")
	if status, _, body := get(t, c, v, query); status != 500 || !strings.HasPrefix(body, "Code: 395.") {
		t.Errorf("wait_end_of_query: status %d, %.100q", status, body)
	}
	if status, _, body := get(t, c, v, "SELECT sum(number) FROM numbers(3000000)"); status != 200 || body != "4499998500000\n" {
		t.Errorf("wait_end_of_query: status %d, %.100q", status, body)
	}
}

// TestCancel ends queries by their context and sees them gone from the engine.
func TestCancel(t *testing.T) {
	c := openTest(t, Config{Listen: "127.0.0.1:0"})
	_, tcp, err := Running(c.Dir())
	if err != nil {
		t.Fatal(err)
	}
	watch := openConn(t, c.Options())
	const running = "SELECT count() FROM system.processes WHERE query LIKE '%sipHash64%' AND query NOT LIKE '%processes%'"
	for name, opts := range map[string]*clickhouse.Options{"in process": c.Options(), "TCP": tcp} {
		conn := openConn(t, opts)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- conn.Exec(ctx, "SELECT sum(sipHash64(number)) FROM system.numbers") }()
		waitFor(t, name+": query runs", func() bool { return queryInt(t, watch, running) == 1 })
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v", name, err)
		}
		waitFor(t, name+": query is gone", func() bool { return queryInt(t, watch, running) == 0 })
	}
}

// TestCloseWaits sees that Close lets a query finish, refuses new ones, and
// cancels the query when its own time is up.
func TestCloseWaits(t *testing.T) {
	for _, patience := range []time.Duration{time.Minute, 300 * time.Millisecond} {
		c := openTest(t, Config{})
		conn, watch := openConn(t, c.Options()), openConn(t, c.Options())
		query := "SELECT sum(sleepEachRow(0.02)) FROM numbers(150) SETTINGS max_block_size = 1" // 3 s
		if patience < time.Second {
			query = "SELECT sum(sipHash64(number)) FROM system.numbers"
		}
		done := make(chan error, 1)
		go func() { done <- conn.Exec(t.Context(), query) }()
		// By its text: the driver asks the server questions of its own when it connects.
		const running = "SELECT count() FROM system.processes WHERE query LIKE 'SELECT sum(%'"
		waitFor(t, "query runs", func() bool { return queryInt(t, watch, running) == 1 })
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if err := c.Close(ctx); err != nil {
			t.Error(err)
		}
		cancel()
		err := <-done
		if patience > time.Second && err != nil {
			t.Errorf("query failed: %v", err)
		}
		if patience < time.Second && (err == nil || !strings.Contains(err.Error(), "cancel")) {
			t.Errorf("error of the query: %v", err)
		}
		if err := watch.Exec(t.Context(), "SELECT 1"); err == nil || !strings.Contains(err.Error(), "shutting down") {
			t.Errorf("error after Close: %v", err)
		}
		if _, err := os.Stat(c.Dir()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("temporary folder: %v", err)
		}
	}
}

// TestSession keeps a temporary table and a setting over requests.
func TestSession(t *testing.T) {
	c := openTest(t, Config{Listen: "127.0.0.1:0"})
	in := func(id, sql string, more ...string) (int, string) {
		t.Helper()
		v := url.Values{"session_id": {id}}
		for i := 0; i < len(more); i += 2 {
			v.Set(more[i], more[i+1])
		}
		status, _, body := insideGet(t, c, v, sql)
		return status, body
	}
	for _, tt := range []struct {
		id, sql string
		more    []string
		status  int
		want    string
	}{
		{"a", "SELECT 1", []string{"session_check", "1"}, 404, "Code: 372."},
		{"a", "CREATE TEMPORARY TABLE x (a UInt8)", nil, 200, ""},
		{"a", "INSERT INTO x VALUES (7)", []string{"max_threads", "1"}, 200, ""},
		{"a", "SET max_block_size = 77", nil, 200, ""},
		{"a", "SELECT a FROM x", []string{"session_check", "1"}, 200, "7\n"},
		{"a", "SELECT getSetting('max_block_size'), getSetting('max_threads') = 1", nil, 200, "77\t0\n"},
		{"b", "SELECT a FROM x", nil, 404, "Code: 60."},
		{"b", "SELECT getSetting('max_block_size')", nil, 200, "65409\n"},
		{"b", "SELECT 1", []string{"session_timeout", "never"}, 400, "Code: 36."},
	} {
		if status, body := in(tt.id, tt.sql, tt.more...); status != tt.status || !strings.HasPrefix(body, tt.want) {
			t.Errorf("session %s, %s: status %d, %q; want %d, %q", tt.id, tt.sql, status, body, tt.status, tt.want)
		}
	}
	if status, body := in("c", "SELECT 1", "session_timeout", "1"); status != 200 {
		t.Fatal(body)
	}
	waitFor(t, "session expires", func() bool {
		c.sessions.mu.Lock()
		defer c.sessions.mu.Unlock()
		return c.sessions.byID["c"] == nil
	})
}

// TestConcurrent inserts and reads from many goroutines.
func TestConcurrent(t *testing.T) {
	c := openTest(t, Config{Listen: "127.0.0.1:0", Limits: Limits{Queries: 6}})
	opts := c.Options()
	opts.MaxOpenConns = 32
	conn := openConn(t, opts)
	mustExec(t, conn, "CREATE TABLE t (batch UInt32, i UInt32) ENGINE = MergeTree ORDER BY i SETTINGS non_replicated_deduplication_window = 1000")
	var wg sync.WaitGroup
	const workers, each = 8, 6
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				// Each batch is sent twice, by different workers.
				if err := insertBatch(t.Context(), conn, (w/2)*each+i); err != nil {
					t.Error(err)
				}
				var n uint64
				if err := conn.QueryRow(t.Context(), "SELECT count() FROM t").Scan(&n); err != nil || n%batchRows != 0 {
					t.Errorf("%d rows, error %v", n, err)
				}
			}
		})
	}
	wg.Wait()
	if n := queryInt(t, conn, "SELECT count() FROM t"); n != workers/2*each*batchRows {
		t.Errorf("%d rows, want %d", n, workers/2*each*batchRows)
	}
}

// TestOutsideQueue sees that more queries from outside than may run wait their
// turn, that more than may wait are refused, and that neither keeps our own and
// people's commands from running.
func TestOutsideQueue(t *testing.T) {
	c := openTest(t, Config{Listen: "127.0.0.1:0", Limits: Limits{OutsideQueries: 2, OutsideQueue: 1}})
	conn := openConn(t, c.Options())
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			req, _ := http.NewRequestWithContext(ctx, "GET", "http://"+c.HTTPAddr()+"/?query="+url.QueryEscape("SELECT sum(sipHash64(number)) FROM system.numbers"), nil)
			if resp, err := http.DefaultClient.Do(req); err == nil {
				resp.Body.Close()
			}
		})
	}
	waitFor(t, "two run", func() bool { return len(c.outside.running) == 2 })
	wg.Go(func() {
		if status, _, body := get(t, c, nil, "SELECT 'waited'"); status != 200 || body != "waited\n" {
			t.Errorf("a query that waits its turn: status %d, %q", status, body)
		}
	})
	waitFor(t, "one waits", func() bool { return len(c.outside.waiting) == 1 })
	if status, _, body := get(t, c, nil, "SELECT 1"); status != 429 || !strings.HasPrefix(body, "Code: 202.") || !strings.Contains(body, "sql.max_queries") {
		t.Errorf("status %d, %q", status, body)
	}
	if status, _, body := get(t, c, url.Values{"user": {ReaderUser}, "password": {c.key}}, "SELECT 2"); status != 200 || body != "2\n" {
		t.Errorf("a command while the queue is full: status %d, %q", status, body)
	}
	for sql, params := range map[string]url.Values{
		"SELECT 1":                          {"user": {ReaderUser}, "password": {"wrong"}},
		"CREATE DATABASE d":                 {"user": {ReaderUser}, "password": {c.key}},
		"SELECT 1 SETTINGS max_threads = 0": {"user": {ReaderUser}, "password": {c.key}},
	} {
		if status, _, body := get(t, c, params, sql); status < 400 {
			t.Errorf("%s as %s: status %d, %q", sql, ReaderUser, status, body)
		}
	}
	if n := queryInt(t, conn, "SELECT 1::UInt64"); n != 1 {
		t.Error(n)
	}
	cancel()
	wg.Wait()
	waitFor(t, "outside is free again", func() bool { return len(c.outside.running) == 0 && len(c.outside.waiting) == 0 })
	if status, _, body := get(t, c, nil, "SELECT 1"); status != 200 {
		t.Errorf("status %d, %q", status, body)
	}
}

// TestExternalTable sends a table along with a query.
func TestExternalTable(t *testing.T) {
	c := openTest(t, Config{Listen: "127.0.0.1:0"})
	conn := openConn(t, c.Options())
	table, err := newExternalTable("ids", 3, 5, 8)
	if err != nil {
		t.Fatal(err)
	}
	var sum uint64
	if err := conn.QueryRow(clickhouse.Context(t.Context(), clickhouse.WithExternalTable(table)),
		"SELECT sum(number) FROM numbers(10) WHERE number IN ids").Scan(&sum); err != nil || sum != 16 {
		t.Errorf("sum %d, error %v", sum, err)
	}
}

// TestStreaming reads a result that is larger than the process may grow.
func TestStreaming(t *testing.T) {
	c := openTest(t, Config{Listen: "127.0.0.1:0"})
	before := residentBytes(t)
	v := url.Values{"query": {"SELECT repeat('x', 999) FROM numbers(600000)"}, "user": {insideUser}, "password": {c.key}}
	resp, err := http.Post("http://"+c.HTTPAddr()+"/?"+v.Encode(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err != nil || n != 6e8 {
		t.Fatalf("%d bytes, error %v", n, err)
	}
	if grown := residentBytes(t) - before; grown > 300<<20 {
		t.Errorf("grew by %d MiB", grown>>20)
	}
}

// TestPanicSurvives sees that Go's handler of faults is back in its place after
// the library has been at work: a nil pointer is a panic, not the end.
func TestPanicSurvives(t *testing.T) {
	openTest(t, Config{})
	defer func() {
		if p := recover(); p == nil || !strings.Contains(fmt.Sprint(p), "nil pointer") {
			t.Errorf("recovered %v", p)
		}
	}()
	var nothing *Server
	_ = nothing.key
}

// Where others than this machine reach the interface, nobody reads without a password, and health is told to all. On
// loopback the guard stands before the handler.
func TestLogin(t *testing.T) {
	c := openTest(t, Config{Listen: "0.0.0.0:0", Guard: func(http.Handler) http.Handler { return http.NotFoundHandler() }})
	_, port, err := net.SplitHostPort(c.HTTPAddr())
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		path, user, password string
		code                 int
	}{
		{"/?query=SELECT+1", "", "", http.StatusForbidden},
		{"/?query=SELECT+1", "default", "", http.StatusForbidden},
		{"/?query=SELECT+1&user=default", "", "", http.StatusForbidden},
		{"/?query=SELECT+1", ReaderUser, c.key, http.StatusOK},
		{"/?query=SELECT+1", insideUser, c.key, http.StatusOK},
		{"/?query=SELECT+1", ReaderUser, "", http.StatusForbidden},
		{"/ping", "", "", http.StatusOK},
	} {
		r, err := http.NewRequest(http.MethodGet, "http://127.0.0.1:"+port+tc.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if tc.user != "" {
			r.SetBasicAuth(tc.user, tc.password)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != tc.code {
			t.Errorf("%s as %q: %s, want %d", tc.path, tc.user, resp.Status, tc.code)
		}
	}
}
