package clickhousehttp

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestOutsideAttacks tries from outside to write, to read the disk or the
// network, and to lift the limits. Each attempt must end in an exception, and
// nothing may have changed afterwards.
func TestOutsideAttacks(t *testing.T) {
	c := openTest(t, Config{Listen: "127.0.0.1:0", Database: "cordon"})
	conn := openConn(t, c.Options())
	mustExec(t, conn,
		"CREATE DATABASE cordon",
		"CREATE TABLE cordon.t (a UInt32) ENGINE = MergeTree ORDER BY a",
		"INSERT INTO cordon.t VALUES (1)",
		"CREATE TABLE default.t (a UInt32) ENGINE = MergeTree ORDER BY a")

	hidden := t.TempDir()
	secret := filepath.Join(hidden, "secret.csv")
	if err := os.WriteFile(secret, []byte("hush,2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	reached := make(chan string, 100)
	network := listenOnce(t, reached)
	in := func(sql string) string {
		return strings.NewReplacer("$FILE", secret, "$DIR", hidden, "$HOST", network).Replace(sql)
	}

	for _, sql := range []string{
		// Writing.
		"INSERT INTO cordon.t VALUES (2)",
		"INSERT INTO cordon.t SELECT 2",
		"INSERT INTO cordon.t FORMAT CSV\n2",
		"INSERT INTO FUNCTION file('$DIR/x', 'CSV', 'a UInt8') SELECT 1",
		"CREATE TABLE cordon.u (a UInt8) ENGINE = Memory",
		"CREATE TEMPORARY TABLE u (a UInt8)",
		"CREATE DATABASE d", "CREATE DATABASE d ENGINE = Filesystem('/')",
		"CREATE FUNCTION f AS x -> x", "CREATE VIEW cordon.v AS SELECT 1", "CREATE USER u", "CREATE ROLE r",
		"DROP TABLE cordon.t", "TRUNCATE TABLE cordon.t", "DETACH TABLE cordon.t", "RENAME TABLE cordon.t TO cordon.u",
		"ALTER TABLE cordon.t DELETE WHERE 1", "DELETE FROM cordon.t WHERE 1", "UPDATE cordon.t SET a = 2 WHERE 1",
		"OPTIMIZE TABLE cordon.t FINAL", "EXCHANGE TABLES cordon.t AND cordon.t", "CHECK TABLE cordon.t",
		"BACKUP TABLE cordon.t TO File('$DIR/b')", "RESTORE TABLE cordon.t FROM File('$DIR/b')",
		"SYSTEM FLUSH LOGS", "SYSTEM SHUTDOWN", "SYSTEM STOP MERGES", "KILL QUERY WHERE 1", "GRANT ALL ON *.* TO default",
		"COPY cordon.t TO '$DIR/x'",

		// More rights, other settings.
		"SET ROLE cordon_full", "SET ROLE ALL", "set role all", "/* SELECT */ SET ROLE ALL", "SET readonly = 0", "SET max_execution_time = 0",
		"EXECUTE AS default SELECT 1", "USE default",
		"SELECT 1 SETTINGS readonly = 0", "SELECT 1 SETTINGS max_execution_time = 0", "SELECT 1 SETTINGS max_memory_usage = 0",
		"SELECT * FROM (SELECT 1 SETTINGS max_threads = 64)", "SELECT (SELECT 1 SETTINGS max_execution_time = 0)",
		"WITH x AS (SELECT 1 SETTINGS\n max_memory_usage\n= 0) SELECT * FROM x", "SELECT 1 IN (SELECT 1 SETTINGS max_result_rows = 0)",
		"SELECT 1 SETTINGS allow_introspection_functions = 1", "SELECT addressToLine(0)",
		"SELECT 1 SETTINGS join_use_nulls = 1, readonly = 0", "SELECT 1 SETTINGS max_threads = 100000", "SELECT 1 SETTINGS max_execution_time = DEFAULT",
		"SELECT 1 FORMAT TSV SETTINGS max_memory_usage = 1", "SELECT 1 SETTINGS join_use_nulls = 2", "SELECT 1 SETTINGS join_use_nulls = DEFAULT",
		"SELECT 1 SETTINGS max_result_rows = -1", "SELECT 1 SETTINGS max_rows_to_read = -1", "SELECT 1 SETTINGS format_csv_delimiter = $$;$$, readonly = 2",
		"SELECT 1 SETTINGS join_use_nulls = 1 FORMAT TSV SETTINGS log_comment = 'x'", "SELECT 1 SETTINGS additional_result_filter = '1'",
		"SELECT * FROM (SELECT 1 SETTINGS additional_table_filters = {'cordon.t': '1'})", "SELECT 1 SETTINGS `readonly` = 0",
		"SELECT 1 SETTINGS join_use_nulls = (SELECT 1)", "SELECT 1 SETTINGS profile = 'default'", "SELECT 1 SETTINGS session_timezone = '../../etc/passwd'",
		"SELECT a FROM cordon.t SETTINGS additional_table_filters = {'system.users': '1'}",
		"SELECT a FROM cordon.t SETTINGS additional_table_filters = {'default.t': '1'}",
		"SELECT a FROM cordon.t SETTINGS additional_table_filters = {'cordon.t': 'file(''$FILE'') != '''''}",
		"SELECT a FROM cordon.t SETTINGS additional_table_filters = {'cordon.t': 'a = 1', 'cordon.t': 'file(''$FILE'') != '''''}",
		"SELECT a FROM cordon.t SETTINGS additional_table_filters = {'cordon.t': 'a IN (SELECT 1)'}",
		"SELECT a FROM cordon.t SETTINGS additional_table_filters = {'cordon.t': 'a IN `$FILE`'}",
		"SELECT a FROM cordon.t SETTINGS additional_table_filters = {'cordon.t': '1) SETTINGS max_threads = 1 --'}",
		"SELECT a FROM cordon.t SETTINGS additional_table_filters = {'cordon.t': '1) OR (1'}",
		"SELECT a FROM cordon.t SETTINGS additional_table_filters = {'$FILE': '1'}", "SELECT a FROM cordon.t SETTINGS additional_table_filters = 'x'",

		// Several statements.
		"SELECT 1; SET ROLE ALL", "SELECT 1; DROP TABLE cordon.t", "SELECT 1;; INSERT INTO cordon.t VALUES (2)",
		"SELECT 1 FORMAT CSV; DROP TABLE cordon.t", "SELECT 1 PARALLEL WITH DROP TABLE cordon.t",
		"DROP TABLE cordon.t PARALLEL WITH SELECT 1", "EXPLAIN SELECT 1; DROP TABLE cordon.t",
		"EXPLAIN DROP TABLE cordon.t", "'); DROP TABLE cordon.t; SELECT ('", "SELECT 1\x00; DROP TABLE cordon.t",

		// Files.
		"SELECT 1 INTO OUTFILE '$DIR/x'", "SELECT 1 INTO/**/OUTFILE '$DIR/x' FORMAT CSV", "SELECT 1 into outfile '$DIR/x' AND STDOUT",
		"(SELECT 1) INTO OUTFILE '$DIR/x'", "SHOW TABLES INTO OUTFILE '$DIR/x'", "EXPLAIN SELECT 1 INTO OUTFILE '$DIR/x'",
		"SELECT file('$FILE')", "SELECT `file`('$FILE')", "SELECT \"file\"('$FILE')", "SELECT file /* */ ('$FILE')",
		"SELECT arrayMap(x -> file(x), ['$FILE'])", "WITH file('$FILE') AS x SELECT x", "SELECT 1 WHERE file('$FILE') != ''",
		"SELECT * FROM (SELECT file('$FILE'))", "DESCRIBE (SELECT file('$FILE'))", "EXPLAIN SELECT file('$FILE')",
		"SELECT * FROM file('$FILE')", "SELECT * FROM file('$FILE', 'CSV', 'a String, b UInt8')", "DESCRIBE TABLE file('$FILE')",
		"DESCRIBE file('$FILE', 'CSVWithNames')", "SELECT * FROM '$FILE'", "SELECT * FROM `$FILE`", "SELECT * FROM default.`$FILE`",
		"DESCRIBE TABLE `$FILE`", "DESCRIBE TABLE default.`$FILE`", "EXISTS TABLE default.`$FILE`", "EXISTS TABLE default.`$DIR/none.csv`",
		"SHOW CREATE TABLE default.`$FILE`", "SELECT 1 IN `$FILE`", "SELECT * FROM default.t", "SELECT * FROM '$DIR/none.csv'",
		"SELECT hasColumnInTable('default', '$FILE', 'c1')", "SELECT joinGet('default.`$FILE`', 'c1', 'hush')",
		"SELECT * FROM merge('default', '.*')", "SELECT * FROM view(SELECT file('$FILE'))",
		"SELECT * FROM sqlite('$DIR/new.db', 't')", "SELECT * FROM filesystem('$DIR')", "SELECT * FROM executable('cat', 'CSV', 'a String')",
		"SELECT * FROM deltaLakeLocal('$DIR')", "SELECT * FROM icebergLocal('$DIR')", "SELECT catboostEvaluate('$FILE', 1.0)",
		"SELECT * FROM arrowstream('1')", "SELECT * FROM input('a UInt8')", "SELECT * FROM loop(cordon.t)",
		"SELECT 1 FORMAT Template SETTINGS format_template_resultset = '$FILE'",
		"SELECT 1 FORMAT CapnProto SETTINGS format_schema = '$FILE:a'",
		"SELECT 1 FORMAT Protobuf SETTINGS output_format_schema = '$DIR/x'",

		// Network.
		"SELECT * FROM url('http://$HOST/', 'CSV', 'a String')", "SELECT * FROM url('http://$HOST/')",
		"SELECT * FROM s3('http://$HOST/bucket/key', 'CSV', 'a String')", "SELECT * FROM remote('$HOST', system.one)",
		"SELECT * FROM remoteSecure('$HOST', system.one)", "SELECT * FROM mysql('$HOST', 'a', 'b', 'c', 'd')",
		"SELECT * FROM postgresql('$HOST', 'a', 'b', 'c', 'd')", "SELECT * FROM mongodb('$HOST', 'a', 'b', 'c', 'd', 'e String')",
		"SELECT * FROM redis('$HOST', 'k', 'k String')", "SELECT * FROM hdfs('hdfs://$HOST/x', 'CSV', 'a String')",
		"SELECT * FROM azureBlobStorage('http://$HOST', 'c', 'b')", "SELECT * FROM cluster('default', system.one)",
		"SELECT hasColumnInTable('$HOST', 'default', '', 'system', 'one', 'dummy')", "SELECT aiGenerate('x')",
		"EXPLAIN TABLE OVERRIDE mysql('$HOST', 'a', 'b', 'c', 'd') COLUMNS (x UInt8)",

		// Nonsense.
		"", ";", "SELECT", "(", "SELECT 'abc", "SELECT `abc", "/* SELECT 1", "$$", "exit", "quit", "\\q",
	} {
		for _, access := range []string{"anonymous", "default"} {
			v := url.Values{}
			if access == "default" {
				v.Set("user", "default")
			}
			if status, _, body := get(t, c, v, in(sql)); status < 400 || !strings.Contains(body, "DB::Exception") || strings.Contains(body, "hush") {
				t.Errorf("%q: status %d, body %q", sql, status, body)
			}
		}
	}

	for _, s := range []string{
		"readonly=0", "readonly=2", "max_memory_usage=0", "allow_ddl=1", "format_schema=" + secret + ":x", "output_format_schema=" + hidden + "/x",
		"format_template_resultset=" + secret, "allow_introspection_functions=1", "max_execution_time=never", "log_comment=x",
		"profile=default", "param_t=" + secret + "&query=SELECT+*+FROM+{t:Identifier}", "max_threads=2,readonly=0", "max_threads%3D2,readonly=0",
		"user=default&password=x", "user=cordon", "user=cordon&password=x", "user=root", "session_id=1&readonly=0",
		"database=default`%3BDROP+TABLE+cordon.t%3B", "t_structure=a+UInt8&t_format=CSV&readonly=0",
	} {
		resp, err := http.Post("http://"+c.HTTPAddr()+"/?"+s, "", strings.NewReader(" "+map[bool]string{true: "", false: "SELECT 1"}[strings.Contains(s, "query=")]))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode < 400 {
			t.Errorf("%s: status %d", s, resp.StatusCode)
		}
	}

	if n := queryInt(t, conn, "SELECT sum(a) FROM cordon.t"); n != 1 {
		t.Errorf("the table was changed: sum %d", n)
	}
	if n := queryInt(t, conn, "SELECT count() FROM system.databases WHERE name = 'd'"); n != 0 {
		t.Error("a database was made")
	}
	files, err := os.ReadDir(hidden)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 1 {
		t.Errorf("files were written: %v", files)
	}
	select {
	case peer := <-reached:
		t.Errorf("the network was reached, from %s", peer)
	default:
	}
}

// TestOutsideLimits sees that each limit ends a query.
func TestOutsideLimits(t *testing.T) {
	c := openTest(t, Config{Listen: "127.0.0.1:0", Limits: Limits{
		OutsideTime: 2 * time.Second, OutsideMemory: 24 << 20, OutsideResultRows: 1000, OutsideResultBytes: 100_000}})
	for _, tt := range []struct{ params, sql, want string }{
		{"", "SELECT sum(sipHash64(number)) FROM numbers(1000000000000)", "TIMEOUT_EXCEEDED"},
		{"max_execution_time=0", "SELECT sum(sipHash64(number)) FROM system.numbers", "TIMEOUT_EXCEEDED"},
		{"max_execution_time=3600", "SELECT sleepEachRow(0.05) FROM numbers(58)", "TIMEOUT_EXCEEDED"},
		{"", "SELECT length(groupArray(number)) FROM numbers(100000000)", "MEMORY_LIMIT_EXCEEDED"},
		{"", "SELECT number FROM numbers(100000000) ORDER BY sipHash64(number) LIMIT 1 OFFSET 90000000", "MEMORY_LIMIT_EXCEEDED"},
		{"", "SELECT number FROM numbers(100000)", "TOO_MANY_ROWS_OR_BYTES"},
		{"max_result_rows=0", "SELECT number FROM numbers(100000)", "TOO_MANY_ROWS_OR_BYTES"},
		{"", "SELECT repeat('x', 1000) FROM numbers(900)", "TOO_MANY_ROWS_OR_BYTES"},
		{"max_result_rows=10", "SELECT number FROM numbers(100)", "TOO_MANY_ROWS_OR_BYTES"},
	} {
		begun := time.Now()
		v, err := url.ParseQuery(tt.params)
		if err != nil {
			t.Fatal(err)
		}
		status, _, body := get(t, c, v, tt.sql)
		if status < 400 || !strings.Contains(body, tt.want) {
			t.Errorf("%s %s: status %d, %.300q; want %s", tt.params, tt.sql, status, body, tt.want)
		}
		if d := time.Since(begun); d > 30*time.Second {
			t.Errorf("%s %s: took %v", tt.params, tt.sql, d)
		}
	}
}

// TestOutsideReads sees that what a client may do still works.
func TestOutsideReads(t *testing.T) {
	c := openTest(t, Config{Listen: "127.0.0.1:0", Database: "cordon"})
	conn := openConn(t, c.Options())
	mustExec(t, conn, "CREATE DATABASE cordon", "CREATE TABLE cordon.t (a UInt32, `into` String, `b/s` UInt8) ENGINE = MergeTree ORDER BY a COMMENT 'c'",
		"INSERT INTO cordon.t VALUES (1, 'outfile', 3)", "CREATE VIEW cordon.v AS SELECT * FROM cordon.t")
	for _, tt := range []struct{ sql, want string }{
		{"SELECT * FROM t", "1\toutfile\t3\n"},
		{"SELECT a, `into`, `b/s` FROM cordon.v -- a comment", "1\toutfile\t3\n"},
		{"WITH x AS (SELECT a FROM t) SELECT sum(a) AS `bytes/s` FROM x FORMAT JSONEachRow", `{"bytes\/s":1}` + "\n"},
		{"(SELECT 1) UNION ALL (SELECT 1)", "1\n1\n"},
		{"SELECT 'INTO OUTFILE', 'file(''x'')', $$SELECT file('x')$$", "INTO OUTFILE\tfile(\\'x\\')\tSELECT file(\\'x\\')\n"},
		{"FROM t SELECT a", "1\n"},
		{"SHOW TABLES", "t\nv\n"},
		{"SHOW TABLES FROM cordon LIKE 't'", "t\n"},
		{"EXISTS TABLE cordon.t", "1\n"},
		{"DESCRIBE TABLE t", "a\tUInt32\t\t\t\t\t\ninto\tString\t\t\t\t\t\nb/s\tUInt8\t\t\t\t\t\n"},
		{"DESC t FORMAT CSV", "\"a\",\"UInt32\",\"\",\"\",\"\",\"\",\"\"\n\"into\",\"String\",\"\",\"\",\"\",\"\",\"\"\n\"b/s\",\"UInt8\",\"\",\"\",\"\",\"\",\"\"\n"},
		{"EXPLAIN SYNTAX SELECT 1", "SELECT 1\nFROM system.one\n"},
		{"SELECT name, comment FROM system.tables WHERE database = 'cordon' AND name = 't'", "t\tc\n"},
		{"SELECT name FROM system.columns WHERE database = 'cordon' AND table = 't' ORDER BY position", "a\ninto\nb/s\n"},
		{"SELECT name FROM system.databases WHERE name = 'cordon'", "cordon\n"},
		{"SELECT value FROM system.settings WHERE name = 'readonly'", "1\n"},
		{"SELECT count() > 1000 FROM system.functions", "1\n"},
		{"SELECT table_name FROM information_schema.tables WHERE table_schema = 'cordon' AND table_name = 't'", "t\n"},
		{"SELECT version() != '', timezone(), currentDatabase()", "1\tEtc/UTC\tcordon\n"},
		{"SELECT sum(number) FROM numbers(10)", "45\n"},
		{"SELECT settings = 1, 'SETTINGS x = 1' FROM (SELECT 1 AS settings)", "1\tSETTINGS x = 1\n"},
		{"SELECT 1;", "1\n"},
		{"SELECT 1 AS x FORMAT TSVWithNames", "x\n1\n"},
		{"SELECT count() FROM t SETTINGS join_use_nulls = 1 FORMAT TSV", "1\n"},
		{"SELECT count() FROM t FORMAT TSV SETTINGS join_use_nulls = 1, max_threads = 1", "1\n"},
		{"SELECT count() FROM t SETTINGS max_execution_time = 5 FORMAT CSV SETTINGS final = false", "1\n"},
		{"SELECT value FROM system.settings WHERE name = 'max_execution_time' SETTINGS max_execution_time = 5", "5\n"},
		{"SELECT x.a, y.a FROM t AS x LEFT JOIN (SELECT 2::UInt32 AS a) AS y ON x.a = y.a SETTINGS join_use_nulls = 1", "1\t\\N\n"},
		{"SELECT toString(true) SETTINGS bool_true_representation = 'it''s'", "it\\'s\n"},
		{"SELECT sum(a) FROM (SELECT a FROM t SETTINGS final = 0)", "1\n"},
		{"SELECT count() FROM cordon.t FORMAT TSV settings additional_table_filters={'cordon.t' : ' a = 2 '}", "0\n"},
		{"SELECT count() FROM cordon.t SETTINGS additional_table_filters={'cordon.t' : ' a = 1 AND `into` = \\'outfile\\' '}", "1\n"},
		{"SELECT count() FROM t SETTINGS additional_table_filters={'cordon.t' : 'a = 2', 'cordon.none': 'b ILIKE \\'%x%\\''}", "0\n"},
		{"SELECT count() FROM cordon.v SETTINGS additional_table_filters={'cordon.v' : 'a = 2'}", "0\n"},
		{"SELECT count() FROM cordon.v SETTINGS additional_table_filters='{\\'cordon.v\\':\\'a = 1\\'}'", "1\n"},
	} {
		if status, _, body := get(t, c, nil, tt.sql); status != 200 || body != tt.want {
			t.Errorf("%s: status %d, %q; want %q", tt.sql, status, body, tt.want)
		}
	}
	for filter, want := range map[string]string{"a = 2": "0\n", "a = 1": "1\n"} { // the filter is a setting of the request
		v := url.Values{"additional_table_filters": {"{'cordon.t':'" + filter + "'}"}}
		if status, _, body := get(t, c, v, "SELECT count() FROM cordon.t"); status != 200 || body != want {
			t.Errorf("filter %s: status %d, %q; want %q", filter, status, body, want)
		}
	}
	long := "SELECT length('" + strings.Repeat("x", 900_000) + "')"
	if status, _, body := get(t, c, nil, long); status != 200 || body != "900000\n" {
		t.Errorf("long text: status %d, %.200q", status, body)
	}
}

// TestOutwardFunctions compares the functions that are refused with what the
// library has: those that are gone, and new ones of the same families.
func TestOutwardFunctions(t *testing.T) {
	c := openTest(t, Config{})
	conn := openConn(t, c.Options())
	for _, name := range outwardFunctions {
		if n := queryInt(t, conn, "SELECT count() FROM system.functions WHERE lower(name) = '"+name+"'"); n == 0 {
			t.Errorf("the library has no function %s", name)
		}
	}
	for _, name := range inwardTableFunctions {
		if n := queryInt(t, conn, "SELECT count() FROM system.table_functions WHERE lower(name) = '"+name+"'"); n == 0 {
			t.Errorf("the library has no table function %s", name)
		}
	}
	rows, err := conn.Query(t.Context(), `SELECT lower(name) FROM system.functions WHERE match(name, '^ai[A-Z]|(?i)joinGet|catboost|ColumnInTable|llm|embed|http|url[A-Z]?$|^(read|write|load|open|exec|send|fetch)[A-Z]')`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	reviewed := map[string]bool{"getclienthttpheader": true}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		if !c.refused[name] && !reviewed[name] && !strings.HasPrefix(name, "readwk") && !strings.HasSuffix(name, "hash") {
			t.Logf("function %s is new to this list: does it reach out of the engine?", name)
		}
	}
}
