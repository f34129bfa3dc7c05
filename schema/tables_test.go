package schema_test

import (
	"flag"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"cordon/categories"
	"cordon/schema"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Table flows has the columns that batches have: names, order, types, defaults.
func TestFlowsHasTheColumnsOfBatches(t *testing.T) {
	s := newStore(t)
	var want []string
	for _, c := range schema.TableColumns() {
		want = append(want, strings.Join(c[:], "\t"))
	}
	got := s.rows("SELECT name, type, default_expression FROM system.columns WHERE database = '{db}' AND table = 'flows' AND default_kind != 'ALIAS' ORDER BY position")
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("columns of flows (-batch +table):\n%s", d)
	}
	got = s.rows("SELECT name FROM system.columns WHERE database = '{db}' AND table = 'sessions_hourly' ORDER BY position")
	if d := cmp.Diff(schema.SessionColumns, got); d != "" {
		t.Errorf("columns of sessions_hourly (-block +table):\n%s", d)
	}
}

// SQL names services as package categories does.
func TestServiceNamesAreThoseOfCategories(t *testing.T) {
	s := newStore(t)
	var records []schema.Record
	for n := range 256 {
		records = append(records, rec("10.0.0.1", 40000, "10.0.0.2", 443, uint8(n), forward, icmp(8, 0)))
	}
	s.insert(records...)
	for _, line := range s.rows("SELECT proto, port, icmp_type, service FROM {db}.sessions") {
		var proto, typ uint8
		var port uint16
		var service string
		if _, err := fmtSscan(line, &proto, &port, &typ, &service); err != nil {
			t.Fatal(err)
		}
		if want := categories.NewService(proto, port, typ).String(); service != want {
			t.Errorf("protocol %d: service %q, want %q", proto, service, want)
		}
	}
}

// The statements for a cluster are as the golden file has them, and
// ClickHouse's own parser takes every one.
func TestClusterRendering(t *testing.T) {
	files, err := schema.Rendered(schema.MigrateConfig{Cluster: "main", FlowTTL: 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString("-- " + name + "\n")
		all.Write(text)
	}
	const golden = "testdata/cluster.sql"
	if *update {
		if err := os.WriteFile(golden, []byte(all.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), all.String()); d != "" {
		t.Errorf("cluster rendering (-golden +now; go test ./schema -run ClusterRendering -update):\n%s", d)
	}

	s := openEngine(t)
	changes := 0
	for _, statement := range strings.Split(all.String(), ";\n") {
		if !strings.Contains(statement, "CREATE") && !strings.Contains(statement, "ALTER TABLE") {
			continue
		}
		changes++
		if err := s.conn.Exec(t.Context(), "EXPLAIN AST "+statement); err != nil {
			t.Errorf("%v\nin %s", err, statement)
		}
		if !strings.Contains(statement, "ON CLUSTER `main`") {
			t.Errorf("not on the cluster: %s", statement)
		}
		if strings.Contains(statement, "MergeTree") && !strings.Contains(statement, "ENGINE = Replicated") {
			t.Errorf("not replicated: %s", statement)
		}
	}
	if changes < 15 {
		t.Errorf("%d statements", changes)
	}
}

// An exporter's clock does not scatter parts, and a row past its TTL goes with
// its part.
func TestPartitionsFollowReceipt(t *testing.T) {
	s := newStore(t)
	var records []schema.Record
	for i := range 200 {
		records = append(records, rec("10.0.0.1", 40000, "10.0.0.2", 443, 6, forward, func(r *schema.Record) {
			r.Received = time.Now().UnixMicro()
			r.Start = r.Received - int64(i)*20*86400e6
			r.End = r.Start
		}))
	}
	s.insert(records...)
	if got := s.rows("SELECT uniqExact(partition) FROM system.parts WHERE active AND database = '{db}' AND table = 'flows'"); got[0] != "1" {
		t.Errorf("%s partitions of flows, want 1", got[0])
	}
	if got := s.rows("SELECT uniqExact(partition) FROM system.parts WHERE active AND database = '{db}' AND table = 'sessions_hourly'"); got[0] != "1" {
		t.Errorf("%s partitions of sessions_hourly, want 1", got[0])
	}
	s.insert(rec("10.0.0.1", 40000, "10.0.0.2", 443, 6, forward, after(-31*24*time.Hour)))
	s.exec("OPTIMIZE TABLE " + s.name + ".flows FINAL")
	if got := s.rows("SELECT count() FROM {db}.flows"); got[0] != "200" {
		t.Errorf("%s flows, want the 200 of today", got[0])
	}
	if got := s.rows("SELECT sum(flows) FROM {db}.sessions"); got[0] != "201" {
		t.Errorf("%s flows in sessions, which stay longer; want 201", got[0])
	}
}

// The sessions of a full group are one file, not two for each column.
func TestGroupIsOneFile(t *testing.T) {
	s := newStore(t)
	s.exec("INSERT INTO " + s.name + ".sessions_hourly (month, decided, server, client) SELECT '2026-11-01', true, toIPv6('::1'), toIPv6(IPv4NumToString(toUInt32(number))) FROM numbers(160000)")
	if got := s.rows("SELECT part_type, rows FROM system.parts WHERE active AND database = '{db}' AND table = 'sessions_hourly'"); len(got) != 1 || got[0] != "Compact\t160000" {
		t.Errorf("parts %q, want one that is compact", got)
	}
}

// A batch that comes again changes neither flows nor sessions.
func TestSameBatchTwice(t *testing.T) {
	s := newStore(t)
	records := []schema.Record{rec("10.0.0.1", 40000, "10.0.0.2", 443, 6, forward), rec("10.0.0.3", 40000, "10.0.0.2", 443, 6)}
	s.insert(records...)
	s.batches--
	s.insert(records...)
	if got := s.rows("SELECT (SELECT count() FROM {db}.flows), (SELECT sum(requests) FROM {db}.sessions_hourly)"); got[0] != "2\t2" {
		t.Errorf("flows and sessions have %q rows, want 2 and 2", got[0])
	}
}
