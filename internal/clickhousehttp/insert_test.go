package clickhousehttp

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

func TestParseInsert(t *testing.T) {
	for _, tt := range []struct {
		sql                          string
		target, settings, form, data string // target empty: not an insert with data
	}{
		{sql: "INSERT INTO t FORMAT CSV\n1,2", target: "INSERT INTO t", form: "CSV", data: "1,2"},
		{sql: "insert into t(a,b) values (1,'x'),(2,'y')", target: "insert into t(a,b)", form: "Values", data: " (1,'x'),(2,'y')"},
		{sql: "INSERT INTO t VALUES", target: "INSERT INTO t", form: "Values"},
		{sql: "INSERT INTO `FORMAT` FORMAT TSV", target: "INSERT INTO `FORMAT`", form: "TSV"},
		{sql: "INSERT INTO t (`values`, \"a\"\"b\") SETTINGS x = 1, y='a, b' FORMAT JSONEachRow {}", target: "INSERT INTO t (`values`, \"a\"\"b\")", settings: "SETTINGS x = 1, y='a, b'", form: "JSONEachRow", data: "{}"},
		{sql: "INSERT INTO t FORMAT CSV SETTINGS x = 1\n1", target: "INSERT INTO t", settings: "SETTINGS x = 1", form: "CSV", data: "1"},
		{sql: "INSERT INTO t FORMAT TSV\nSETTINGS", target: "INSERT INTO t", form: "TSV", data: "SETTINGS"},
		{sql: "/* INSERT */ INSERT /* into */ INTO db.t -- VALUES\n FORMAT Native\r\n\x00\x01", target: "/* INSERT */ INSERT /* into */ INTO db.t -- VALUES", form: "Native", data: "\x00\x01"},
		{sql: "INSERT INTO FUNCTION remote('h', 'd.t') (a) VALUES (1)", target: "INSERT INTO FUNCTION remote('h', 'd.t') (a)", form: "Values", data: " (1)"},
		{sql: "INSERT INTO t SELECT 1"},
		{sql: "INSERT INTO t SELECT * FROM values('a UInt8', 1) FORMAT CSV"},
		{sql: "INSERT INTO t WITH x AS (SELECT 1) SELECT * FROM x"},
		{sql: "INSERT INTO t FROM INFILE 'f' FORMAT CSV"},
		{sql: "INSERT INTO t"}, {sql: "INSERT"}, {sql: ""}, {sql: "SELECT 1 FORMAT CSV"}, {sql: "INSERT INTO t 'VALUES"}, {sql: "INSERT INTO t FORMAT"},
	} {
		head, ok := parseInsert(tt.sql)
		if ok != (tt.target != "") {
			t.Errorf("%q: insert with data: %v", tt.sql, ok)
			continue
		}
		if ok && (head.target != tt.target || head.settings != tt.settings || head.format != tt.form || tt.sql[head.data:] != tt.data) {
			t.Errorf("%q: %+v, data %q", tt.sql, head, tt.sql[head.data:])
		}
	}
}

// insideGet is get with full access.
func insideGet(t testing.TB, c *Server, v url.Values, body string) (int, http.Header, string) {
	t.Helper()
	if v == nil {
		v = url.Values{}
	}
	v.Set("user", insideUser)
	v.Set("password", c.key)
	return get(t, c, v, body)
}

// TestInsertFormats sends rows in the ways that clients do: data in the URL, in
// the body, after the text, with defaults and with settings.
func TestInsertFormats(t *testing.T) {
	c := openTest(t, Config{Listen: "127.0.0.1:0"})
	conn := openConn(t, c.Options())
	mustExec(t, conn, `CREATE TABLE t (id UInt32, s String, d String DEFAULT concat('d', s), m UInt64 MATERIALIZED id * 2, n Nullable(Int8))
		ENGINE = MergeTree ORDER BY id`)
	for _, tt := range []struct{ query, body, want string }{
		{"INSERT INTO t FORMAT CSV", "1,\"a,b\",x,\n", "1\ta,b\tx\t2\t\\N\n"},
		{"", "INSERT INTO t (id, s) FORMAT CSV\n1,007\n2,a\n", "1\t007\td007\t2\t\\N\n2\ta\tda\t4\t\\N\n"},
		{"", "INSERT INTO t (id, s) VALUES (1, 'it''s'), (2, concat('a', 'b'))", "1\tit\\'s\tdit\\'s\t2\t\\N\n2\tab\tdab\t4\t\\N\n"},
		{"INSERT INTO t (s, id) FORMAT TabSeparated", "x\t9\n", "9\tx\tdx\t18\t\\N\n"},
		{"INSERT INTO t FORMAT JSONEachRow", `{"s":"j","id":3,"n":-1}`, "3\tj\tdj\t6\t-1\n"},
		{"INSERT INTO t SETTINGS input_format_skip_unknown_fields = 1 FORMAT JSONEachRow", `{"s":"j","id":3,"zz":1}`, "3\tj\tdj\t6\t\\N\n"},
		{"INSERT INTO t FORMAT CSVWithNames", "s,id\nq,4\n", "4\tq\tdq\t8\t\\N\n"},
		{"INSERT INTO t SELECT 5, 'sel', 'x', 1", "", "5\tsel\tx\t10\t1\n"},
		{"INSERT INTO t (id, s) VALUES", "(6, 'v')", "6\tv\tdv\t12\t\\N\n"},
		{"INSERT INTO t (* EXCEPT(d, n)) FORMAT TSV", "7\tw\n", "7\tw\tdw\t14\t\\N\n"},
	} {
		mustExec(t, conn, "TRUNCATE TABLE t")
		v := url.Values{}
		if tt.query != "" {
			v.Set("query", tt.query)
		}
		status, h, body := insideGet(t, c, v, tt.body)
		if status != 200 || body != "" {
			t.Errorf("%s %q: status %d, %q", tt.query, tt.body, status, body)
			continue
		}
		if s := h.Get("X-ClickHouse-Summary"); !strings.Contains(s, `"written_rows":"`+fmt.Sprint(strings.Count(tt.want, "\n"))+`"`) {
			t.Errorf("%s %q: summary %s", tt.query, tt.body, s)
		}
		_, _, got := insideGet(t, c, nil, "SELECT id, s, d, m, n FROM t ORDER BY id")
		if got != tt.want {
			t.Errorf("%s %q: stored %q, want %q", tt.query, tt.body, got, tt.want)
		}
	}

	for _, tt := range []struct{ query, body, want string }{
		{"INSERT INTO t FORMAT CSV", "x,y\n", "CANNOT_PARSE"},
		{"INSERT INTO none FORMAT CSV", "x,y\n", "UNKNOWN_TABLE"},
		{"INSERT INTO t FORMAT Nonsense", "x,y\n", "UNKNOWN_FORMAT"},
		{"INSERT INTO t (zz) FORMAT CSV", "1\n", "NO_SUCH_COLUMN"},
		{"INSERT INTO t FORMAT Native", "\x01\x02garbage", "DB::Exception"},
	} {
		status, _, body := insideGet(t, c, url.Values{"query": {tt.query}}, tt.body)
		if status < 400 || !strings.Contains(body, tt.want) {
			t.Errorf("%s %q: status %d, %q; want %s", tt.query, tt.body, status, body, tt.want)
		}
	}
}

// TestBodyEncodings sends one insert in each encoding and reads the rows back
// in each.
func TestBodyEncodings(t *testing.T) {
	c := openTest(t, Config{Listen: "127.0.0.1:0"})
	conn := openConn(t, c.Options())
	mustExec(t, conn, "CREATE TABLE t (s String) ENGINE = MergeTree ORDER BY s")
	var plain bytes.Buffer
	for i := range 200_000 {
		fmt.Fprintln(&plain, "row", i)
	}
	for _, encoding := range []string{"", "gzip", "deflate", "zstd", "lz4", "br", "frames"} {
		t.Run(encoding, func(t *testing.T) {
			mustExec(t, conn, "TRUNCATE TABLE t")
			var body bytes.Buffer
			v := url.Values{"query": {"INSERT INTO t FORMAT LineAsString"}, "user": {insideUser}, "password": {c.key}}
			header := http.Header{}
			if encoding == "frames" {
				v.Set("decompress", "1")
				w, err := newFrameWriter(&body, "LZ4")
				if err != nil {
					t.Fatal(err)
				}
				w.Write(plain.Bytes())
				w.Close()
			} else {
				header.Set("Content-Encoding", encoding)
				w, err := encodeBody(&body, encoding)
				if err != nil {
					t.Fatal(err)
				}
				w.Write(plain.Bytes())
				w.Close()
			}
			post(t, c, v, header, &body)
			if n := queryInt(t, conn, "SELECT uniqExact(s) FROM t"); n != 200_000 {
				t.Fatalf("%d rows stored", n)
			}

			v = url.Values{"query": {"SELECT s FROM t ORDER BY toUInt32(splitByChar(' ', s)[2]) FORMAT LineAsString"}}
			v.Set("user", insideUser)
			v.Set("password", c.key)
			header = http.Header{"Accept-Encoding": {"identity"}}
			if encoding == "frames" {
				v.Set("compress", "1")
			} else if encoding != "" {
				v.Set("enable_http_compression", "1")
				header.Set("Accept-Encoding", encoding)
			}
			resp := post(t, c, v, header, nil)
			if got := resp.Header.Get("Content-Encoding"); encoding != "frames" && got != encoding {
				t.Errorf("Content-Encoding %q, want %q", got, encoding)
			}
			body = *bytes.NewBuffer(resp.body)
			var decoded io.Reader = &body
			var err error
			switch encoding {
			case "frames":
				decoded = newFrameReader(&body)
			case "gzip":
				decoded, err = gzip.NewReader(&body)
			case "zstd":
				decoded, err = zstd.NewReader(&body)
			case "lz4":
				decoded = lz4.NewReader(&body)
			case "deflate", "br":
				decoded, err = decodeBody(io.NopCloser(&body), encoding, false)
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(decoded)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, plain.Bytes()) {
				t.Errorf("read back %d bytes that differ from the %d sent", len(got), plain.Len())
			}
		})
	}
}

type answer struct {
	Header http.Header
	body   []byte
}

// post sends a body and expects success.
func post(t testing.TB, c *Server, v url.Values, header http.Header, body io.Reader) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+c.HTTPAddr()+"/?"+v.Encode(), body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 200 {
		t.Fatalf("status %d, %q", resp.StatusCode, b)
	}
	return answer{resp.Header, b}
}

// TestClientCompression runs clickhouse-go with each of its compressions.
func TestClientCompression(t *testing.T) {
	c := openTest(t, Config{Listen: "127.0.0.1:0"})
	_, opts, err := Running(c.Dir())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []clickhouse.CompressionMethod{clickhouse.CompressionLZ4, clickhouse.CompressionZSTD, clickhouse.CompressionGZIP, clickhouse.CompressionDeflate, clickhouse.CompressionBrotli} {
		t.Run(m.String(), func(t *testing.T) {
			o := *opts
			o.Compression = &clickhouse.Compression{Method: m, Level: 3}
			o.Settings = clickhouse.Settings{"enable_http_compression": 1}
			conn := openConn(t, &o)
			mustExec(t, conn, "CREATE TABLE t (a UInt32, s String) ENGINE = MergeTree ORDER BY a")
			batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO t")
			if err != nil {
				t.Fatal(err)
			}
			for i := range 50_000 {
				if err := batch.Append(uint32(i), strings.Repeat("x", i%50)); err != nil {
					t.Fatal(err)
				}
			}
			if err := batch.Send(); err != nil {
				t.Fatal(err)
			}
			if n := queryInt(t, conn, "SELECT sum(a + length(s)) FROM t"); n != 50_000*49_999/2+1000*(49*50/2) {
				t.Errorf("sum %d", n)
			}
			if err := conn.Exec(t.Context(), "SELECT nonsense"); err == nil || !strings.Contains(err.Error(), "nonsense") {
				t.Errorf("error: %v", err)
			}
			mustExec(t, conn, "DROP TABLE t SYNC")
		})
	}
}

// TestLargeInsert spools a body that does not stay in memory.
func TestLargeInsert(t *testing.T) {
	c := openTest(t, Config{Listen: "127.0.0.1:0"})
	conn := openConn(t, c.Options())
	mustExec(t, conn, "CREATE TABLE t (s String) ENGINE = MergeTree ORDER BY tuple()")
	line := strings.Repeat("x", 1023) + "\n"
	const lines = (spoolMemory + spoolMemory/4) / 1024
	r, w := io.Pipe()
	go func() {
		for range lines {
			if _, err := io.WriteString(w, line); err != nil {
				return
			}
		}
		w.Close()
	}()
	post(t, c, url.Values{"query": {"INSERT INTO t FORMAT LineAsString"}, "user": {insideUser}, "password": {c.key}}, http.Header{}, r)
	if n := queryInt(t, conn, "SELECT countIf(length(s) = 1023) FROM t"); n != lines {
		t.Errorf("%d rows, want %d", n, lines)
	}
}

func TestColumnsOfInsert(t *testing.T) {
	for target, want := range map[string]string{
		"INSERT INTO t (a, `b c`,\"d\")":       "a, `b c`,\"d\"",
		"INSERT INTO `x`.t(a)":                 "a",
		"INSERT INTO t":                        "",
		"INSERT INTO t (* EXCEPT(a))":          "",
		"INSERT INTO t ()":                     "",
		"INSERT INTO t (a, )":                  "",
		"INSERT INTO t (a.b)":                  "",
		"INSERT INTO FUNCTION f(a)":            "",
		"INSERT INTO FUNCTION f('x', 'y') (a)": "",
		"INSERT INTO t (a) PARTITION":          "",
	} {
		if got := (insertHead{target: target}).columns(); got != want {
			t.Errorf("%s: columns %q, want %q", target, got, want)
		}
	}
}
