package clickhousehttp

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// typeCases are the column types that Cordon uses or a person may meet, each
// with an expression that makes a value of it from a number.
var typeCases = []struct{ typ, value string }{
	{"UInt8", "number"}, {"UInt16", "number"}, {"UInt32", "number"}, {"UInt64", "number"}, {"UInt128", "number"}, {"UInt256", "number"},
	{"Int8", "-number"}, {"Int16", "-number"}, {"Int32", "-number"}, {"Int64", "-number"}, {"Int128", "-number"}, {"Int256", "-number"},
	{"Float32", "number / 3"}, {"Float64", "number / 3"}, {"Bool", "number % 2"},
	{"String", "repeat('ü', number % 300)"}, {"FixedString(7)", "leftPad(toString(number), 7, '0')"},
	{"Decimal(9, 2)", "number / 100"}, {"Decimal(18, 4)", "number / 100"}, {"Decimal(38, 10)", "number / 100"}, {"Decimal(76, 20)", "number / 100"},
	{"Date", "number"}, {"Date32", "number"}, {"DateTime", "number * 1000"}, {"DateTime('Europe/Zurich')", "number * 1000"},
	{"DateTime64(3)", "toDateTime64(number / 7, 3)"}, {"DateTime64(9, 'UTC')", "toDateTime64(number / 7, 9)"},
	{"Enum8('a' = 1, 'b, (c)' = 2)", "number % 2 + 1"}, {"Enum16('it''s' = 1000, '\\\\' = 2)", "if(number % 2, 1000, 2)"},
	{"IPv4", "toIPv4(number * 65537)"}, {"IPv6", "toIPv6('2001:db8::' || hex(number))"}, {"UUID", "reinterpretAsUUID(number)"},
	{"Nullable(UInt32)", "if(number % 3, number, NULL)"}, {"Nullable(String)", "if(number % 3, toString(number), NULL)"},
	{"LowCardinality(String)", "toString(number % 5)"}, {"LowCardinality(Nullable(String))", "if(number % 3, toString(number), NULL)"},
	{"LowCardinality(FixedString(2))", "toString(number % 10)"},
	{"Array(UInt16)", "range(number % 5)"}, {"Array(String)", "splitByChar('1', toString(number))"},
	{"Array(Nullable(String))", "[NULL, toString(number)]"}, {"Array(LowCardinality(String))", "[toString(number % 3), 'x']"},
	{"Array(Array(IPv6))", "[[toIPv6('::1')], [], [toIPv6('::' || hex(number % 65536))]]"},
	{"Map(String, UInt64)", "map(toString(number), number)"}, {"Map(LowCardinality(String), Array(String))", "map('k', [toString(number)])"},
	{"Tuple(UInt8, String)", "(number % 256, toString(number))"}, {"Tuple(a UInt8, b LowCardinality(String))", "(number % 256, toString(number % 7))"},
	{"Array(Tuple(proto UInt8, port UInt16))", "[(6, number % 65536), (17, 53)]"},
	{"SimpleAggregateFunction(sum, UInt64)", "number"}, {"SimpleAggregateFunction(groupUniqArrayArray, Array(UInt8))", "range(number % 4)"},
	{"Point", "(number, -number)"},
}

// TestNativeTypes reads every type with clickhouse-go, which asks for a recent
// revision of Native, and compares with what ClickHouse itself writes as text.
// Then it sends what it read back in a batch and compares the tables.
func TestNativeTypes(t *testing.T) {
	c := openTest(t, Config{})
	conn := openConn(t, c.Options())
	const rows = 3000 // several blocks
	for _, tt := range typeCases {
		t.Run(tt.typ, func(t *testing.T) {
			mustExec(t, conn, "DROP TABLE IF EXISTS src SYNC", "DROP TABLE IF EXISTS dst SYNC",
				"CREATE TABLE src (n UInt32, v "+tt.typ+", w UInt8) ENGINE = Memory",
				"CREATE TABLE dst (n UInt32, v "+tt.typ+", w UInt8) ENGINE = MergeTree ORDER BY n",
				"INSERT INTO src SELECT number, CAST("+tt.value+", '"+escapeSQL(tt.typ)+"'), 7 FROM numbers(3000)")
			r, err := conn.Query(t.Context(), "SELECT n, v, w FROM src ORDER BY n SETTINGS max_block_size = 700")
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO dst")
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for ; r.Next(); n++ {
				row := make([]any, 3)
				for i, ct := range r.ColumnTypes() {
					row[i] = newValue(ct.ScanType())
				}
				if err := r.Scan(row...); err != nil {
					t.Fatal(err)
				}
				for i := range row {
					row[i] = elem(row[i])
				}
				if err := batch.Append(row...); err != nil {
					t.Fatal(err)
				}
			}
			if r.Err() != nil || n != rows {
				t.Fatalf("read %d rows, error %v", n, r.Err())
			}
			if err := batch.Send(); err != nil {
				t.Fatal(err)
			}
			if n := queryInt(t, conn, "SELECT count() FROM src INNER JOIN dst USING n WHERE isNotDistinctFrom(toString(src.v), toString(dst.v)) AND dst.w = 7"); n != rows {
				t.Errorf("%d rows of %d came back the same", n, rows)
			}
		})
	}
}

// TestNativeUnsupported sees that a type whose data cannot be delimited is
// named in an exception, and that other formats still carry it.
func TestNativeUnsupported(t *testing.T) {
	c := openTest(t, Config{Listen: "127.0.0.1:0"})
	conn := openConn(t, c.Options())
	for _, tt := range []struct{ typ, expr string }{
		{"AggregateFunction(uniq, UInt64)", "uniqState(number)"},
		{"Variant(String, UInt8)", "any(CAST(1, 'Variant(String, UInt8)'))"},
	} {
		_, err := conn.Query(t.Context(), "SELECT "+tt.expr+" AS x FROM numbers(3)")
		if err == nil || !containsAll(err.Error(), "a column of type "+tt.typ, "convert it in the query") {
			t.Errorf("%s: error %v", tt.typ, err)
		}
		for _, format := range []string{"Native", "RowBinary", "TabSeparated"} {
			if status, _, body := get(t, c, nil, "SELECT "+tt.expr+" FROM numbers(3) FORMAT "+format); status != 200 || body == "" {
				t.Errorf("%s as %s: status %d, %q", tt.typ, format, status, body)
			}
		}
	}
	// The states survive where they are stored and merged.
	mustExec(t, conn, "CREATE TABLE s (k UInt8, u AggregateFunction(uniq, UInt64)) ENGINE = AggregatingMergeTree ORDER BY k",
		"INSERT INTO s SELECT number % 2, uniqState(number) FROM numbers(100) GROUP BY 1")
	if n := queryInt(t, conn, "SELECT uniqMerge(u) FROM s"); n != 100 {
		t.Errorf("%d distinct values, want 100", n)
	}
}

// TestFlowTypes appends and scans the Go types that Cordon's batches hold.
func TestFlowTypes(t *testing.T) {
	c := openTest(t, Config{})
	conn := openConn(t, c.Options())
	mustExec(t, conn, `CREATE TABLE f (t DateTime64(3, 'UTC'), ip IPv6, proto UInt8, vrf LowCardinality(String),
		basis Enum8('unknown' = 0, 'syn' = 1), bytes UInt64, exporters Array(IPv6)) ENGINE = MergeTree ORDER BY t`)
	type row struct {
		T         time.Time  `ch:"t"`
		IP        netip.Addr `ch:"ip"`
		Proto     uint8      `ch:"proto"`
		VRF       string     `ch:"vrf"`
		Basis     string     `ch:"basis"`
		Bytes     uint64     `ch:"bytes"`
		Exporters []net.IP   `ch:"exporters"`
	}
	want := row{time.Date(2026, 11, 20, 12, 0, 0, 123e6, time.UTC), netip.MustParseAddr("2001:db8::1"), 6, "blue", "syn", 1 << 63,
		[]net.IP{net.ParseIP("10.0.0.1")}}
	batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO f")
	if err != nil {
		t.Fatal(err)
	}
	if err := batch.AppendStruct(&want); err != nil {
		t.Fatal(err)
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
	var got []row
	if err := conn.Select(t.Context(), &got, "SELECT * FROM f"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]row{want}, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}
