package clickhousehttp

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// notForManyRows are formats that cannot hold the result below.
var notForManyRows = []string{"AvroConfluent", "Npy", "Prometheus", "ProtobufSingle", "Template"}

// varying is what differs each time: durations, and progress in rows of its own.
var varying = regexp.MustCompile(`"elapsed(_ns)?": ?"?[0-9.e-]+"?|<elapsed>.*?</elapsed>|\{"progress":.*\}\n`)

// constant takes out of a result what differs each time.
func constant(format, result string) string {
	if n := len(result) - 16; format == "Avro" && n > 0 { // ends in the marker, at random, that is between its blocks
		return strings.ReplaceAll(result, result[n:], "")
	}
	return varying.ReplaceAllString(result, "")
}

// TestOutputFormats asks for a result of several blocks in every format that the
// engine has. It is what the engine writes in one piece, whoever asks and however
// the format is named.
func TestOutputFormats(t *testing.T) {
	c := openTest(t, Config{Listen: "127.0.0.1:0"})
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	conn, err := c.engine.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// Pretty formats join blocks that come within 50 ms, unless told not to.
	if err := conn.Exec("SET max_block_size = 3, max_threads = 1, output_format_pretty_squash_consecutive_ms = 0"); err != nil {
		t.Fatal(err)
	}
	names, err := conn.Text("SELECT name FROM system.formats WHERE is_output ORDER BY name")
	if err != nil {
		t.Fatal(err)
	}
	const sql = "SELECT * FROM (SELECT number AS a, concat('x', toString(number)) AS b FROM numbers(10) UNION ALL SELECT 1, 'y') ORDER BY a, b"
	for _, format := range strings.Fields(names) {
		if slices.Contains(notForManyRows, format) {
			continue
		}
		whole, _, err := conn.Run(sql, format, nil)
		if err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		want := constant(format, string(whole))
		for name, v := range map[string]url.Values{
			"default_format": {"default_format": {format}, "query": {sql}},
			"FORMAT":         {"query": {sql + " FORMAT " + format + " -- FORMAT CSV"}},
			"inside":         {"query": {sql + "\nFORMAT " + format + " SETTINGS max_result_rows = 11;"}, "user": {insideUser}, "password": {c.key}},
		} {
			v.Set("max_block_size", "3")
			v.Set("max_threads", "1")
			v.Set("output_format_pretty_squash_consecutive_ms", "0")
			status, _, body := get(t, c, v, "")
			if got := constant(format, body); status != 200 || got != want {
				t.Errorf("%s by %s: status %d\n%q\nwant\n%q", format, name, status, got, want)
			}
		}
	}
	v := url.Values{"query": {sql}, "default_format": {"JSONEachRow"}, arrayOfRows: {"1"}, "max_block_size": {"3"}}
	if _, _, body := get(t, c, v, ""); strings.Count(body, "[") != 1 || !strings.HasSuffix(body, "\n]\n") {
		t.Errorf("an array of rows: %q", body)
	}
}

func TestFormatClause(t *testing.T) {
	for _, tt := range []struct{ sql, body, name string }{
		{"SELECT 1", "SELECT 1", ""},
		{"SELECT 1\nFORMAT JSON", "SELECT 1\n", "JSON"},
		{"SELECT 1 format CSV;", "SELECT 1 ", "CSV"},
		{"SELECT 1 FORMAT CSV SETTINGS max_threads = 1", "SELECT 1 ", "CSV"},
		{"SELECT 1 FORMAT CSV -- FORMAT JSON", "SELECT 1 ", "CSV"},
		{"SELECT 1 FORMAT `Values`", "SELECT 1 ", "Values"}, // a keyword, as the engine writes it
		{"SELECT 'FORMAT CSV'", "SELECT 'FORMAT CSV'", ""},
		{"SELECT format FROM t", "SELECT format FROM t", ""},
		{"SELECT format FROM t FORMAT TSV", "SELECT format FROM t ", "TSV"},
		{"SELECT a FROM t ORDER BY format DESC", "SELECT a FROM t ORDER BY format DESC", ""},
		{"SELECT a FROM t AS format FINAL", "SELECT a FROM t AS format FINAL", ""},
		{"SELECT [format x], (1 FORMAT CSV)", "SELECT [format x], (1 FORMAT CSV)", ""},
	} {
		at, name := formatClause(tt.sql)
		if tt.sql[:at] != tt.body || name != tt.name {
			t.Errorf("%q: %q and %q, want %q and %q", tt.sql, tt.sql[:at], name, tt.body, tt.name)
		}
	}
}

// TestDocumentEnds sees that a result that is one document stops with its reader,
// at a limit and at an exception.
func TestDocumentEnds(t *testing.T) {
	c := openTest(t, Config{Listen: "127.0.0.1:0", Limits: Limits{OutsideResultBytes: 20_000_000, OutsideResultRows: 1000}})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	v := url.Values{"query": {"SELECT number FROM system.numbers FORMAT JSON"}, "user": {insideUser}, "password": {c.key}}
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+c.HTTPAddr()+"/?"+v.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadFull(resp.Body, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	cancel()
	conn := openConn(t, c.Options())
	waitFor(t, "the query ends", func() bool {
		return queryInt(t, conn, "SELECT count() FROM system.processes WHERE query LIKE '%system.numbers%' AND query NOT LIKE '%processes%'") == 0
	})
	for sql, want := range map[string]string{
		"SELECT number FROM numbers(2000)":                         "TOO_MANY_ROWS_OR_BYTES",
		"SELECT repeat('x', 100_000) FROM numbers(900)":            "TOO_MANY_ROWS_OR_BYTES", // a constant, which the engine counts once
		"SELECT throwIf(number = 900, 'enough') FROM numbers(901)": "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO",
		"SELECT a FROM nowhere":                                    "UNKNOWN_TABLE",
		"SELECT 1 AS a INTO OUTFILE '/dev/null'":                   "READONLY",
	} {
		resp, err := http.Get("http://" + c.HTTPAddr() + "/?default_format=JSON&query=" + url.QueryEscape(sql))
		if err != nil {
			t.Fatal(err)
		}
		tail := make([]byte, 0, 1<<20)
		for buf := make([]byte, 1<<19); ; {
			n, err := resp.Body.Read(buf)
			tail = append(tail[max(0, len(tail)-1<<19):], buf[:n]...)
			if err != nil {
				break
			}
		}
		resp.Body.Close()
		if !strings.Contains(string(tail), want) {
			t.Errorf("%s: status %d, ends in %q; want %s", sql, resp.StatusCode, tail[max(0, len(tail)-300):], want)
		}
	}
	// A name of a format that is none is not spliced into the text.
	if status, _, body := get(t, c, url.Values{"query": {"SELECT 1"}, "default_format": {"JSON SETTINGS max_threads = 1"}}, ""); status == 200 {
		t.Errorf("status %d, %q", status, body)
	}
}
