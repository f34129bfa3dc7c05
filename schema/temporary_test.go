package schema_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"cordon/schema"

	"github.com/google/go-cmp/cmp"
)

// newTemporary is a database that is filled and asked once.
func newTemporary(t *testing.T) (*store, *schema.Temporary) {
	t.Helper()
	s := openEngine(t)
	tmp, err := schema.NewTemporary(t.Context(), s.db, schema.MigrateConfig{Database: s.name, Script: engine.Script})
	if err != nil {
		t.Fatal(err)
	}
	return s, tmp
}

// plainRecords are records of one exporter of which none needs the long way.
func plainRecords() (records []schema.Record) {
	r := rand.New(rand.NewPCG(3, 4))
	for seed := range 8 {
		records = append(records, scenario(0, seed, r)...)
	}
	for i := range records {
		x := &records[i]
		x.Exporter, x.VRF = ip("10.100.0.1"), "default"
		x.Direction, x.Basis, x.Sampling = schema.Forward, schema.BasisPortRange, 0
		x.FlowDirection, x.InIf, x.OutIf = 0, 0, 0
		x.PostSrcPort, x.PostDstPort = 0, 0
		if x.SrcPort == 69 || x.DstPort == 69 || x.SrcPort|x.DstPort == 0 {
			x.SrcPort, x.DstPort = 40000, 443
		}
	}
	return records
}

// The short views alone say of plain records what the views of a migrated database say.
func TestTemporarySessions(t *testing.T) {
	whole := newStore(t)
	s, tmp := newTemporary(t)
	records := plainRecords()
	for _, into := range []*store{whole, s} {
		into.insert(records[:len(records)/2]...)
		into.insert(records[len(records)/2:]...)
	}
	if err := tmp.Filled(t.Context(), s.conn); err != nil {
		t.Fatal(err)
	}
	if n := s.rows("SELECT count() FROM system.tables WHERE database = '{db}' AND name = 'sessions_marked'")[0]; n != "0" {
		t.Errorf("the views are not the short ones: %q", s.rows("SELECT countIf(NOT decided), countIf(sampling > 1), countIf(proto = 17 AND port = 69 AND client_port != 0), groupUniqArray((exporter, egress)) FROM {db}.sessions_hourly"))
	}
	sameSessions(t, whole, s)
	if n := s.rows("SELECT count() FROM {db}.flows")[0]; n != "0" {
		t.Errorf("%s raw records are stored", n)
	}
}

// One record or counter that the short views get wrong is enough for the others, which are those of a migrated database.
func TestTemporaryNeedsTheLongWay(t *testing.T) {
	s, tmp := newTemporary(t)
	records := plainRecords()
	isPlain := func() bool {
		t.Helper()
		plain, err := tmp.IsPlain(t.Context(), s.conn)
		if err != nil {
			t.Fatal(err)
		}
		return plain
	}
	for name, change := range map[string]func(x *schema.Record){
		"open direction": func(x *schema.Record) { x.Direction, x.Basis = 0, 0 },
		"sampling":       func(x *schema.Record) { x.Sampling = 100 },
		"two exporters":  func(x *schema.Record) { x.Exporter = ip("10.100.0.2") },
		"exit":           func(x *schema.Record) { x.FlowDirection = schema.Egress },
		"TFTP": func(x *schema.Record) {
			x.Proto, x.SrcPort, x.DstPort = 17, 40000, 69
		},
		"fragment": func(x *schema.Record) { x.Proto, x.SrcPort, x.DstPort = 17, 0, 0 },
		"":         func(*schema.Record) {},
	} {
		s.exec("TRUNCATE TABLE " + s.name + ".sessions_hourly")
		again := records[3]
		change(&again)
		s.insert(append(records[:50:50], again)...)
		if got := isPlain(); got != (name == "") {
			t.Errorf("with %q: the short views alone: %v", name, got)
		}
	}
	s.exec("TRUNCATE TABLE " + s.name + ".sessions_hourly")
	s.insert(records...)
	s.exec("INSERT INTO " + s.name + ".exporter_stats (time, exporter, sampling) SELECT '2026-11-20 12:00:10', toIPv6('10.100.0.1'), 1000")
	if isPlain() {
		t.Error("with counters that tell of sampling: the short views alone")
	}
	if err := tmp.Filled(t.Context(), s.conn); err != nil {
		t.Fatal(err)
	}
	if n := s.rows("SELECT count() > 20 FROM {db}.sessions_marked")[0]; n != "1" {
		t.Error("no sessions are marked")
	}
}

// sameSessions compares what the views of two stores say, those with a window too, and the hours of sessions.
func sameSessions(t *testing.T, want, got *store) {
	t.Helper()
	const hours = "* REPLACE arraySort(active_hours) AS active_hours"
	for _, view := range []string{
		"sessions_all",
		"sessions_window(since = '2026-11-20 10:20:00', until = '2026-11-20 11:30:00')",
	} {
		query := fmt.Sprintf("SELECT %s FROM {db}.%s ORDER BY ALL", hours, view)
		rows := want.rows(query)
		if d := cmp.Diff(rows, got.rows(query)); d != "" {
			t.Errorf("%s (-migrated +temporary):\n%.2000s", view, d)
		}
		if len(rows) < 20 {
			t.Errorf("%s: only %d sessions are compared", view, len(rows))
		}
	}
	const columns = "SELECT name, type FROM system.columns WHERE database = '{db}' AND table IN ('sessions', 'sessions_all', 'sessions_hourly', 'flows', 'sessions_by_hour') ORDER BY table, position"
	if d := cmp.Diff(want.rows(columns), got.rows(columns)); d != "" {
		t.Errorf("columns (-migrated +temporary):\n%s", d)
	}
	query := here("SELECT " + hourColumns + " FROM (" + schema.JudgedOf(schema.HoursOf(noon.Add(-100*time.Minute), noon.Add(-30*time.Minute), everything)) + ") ORDER BY ALL")
	if d := cmp.Diff(want.rows(query), got.rows(query)); d != "" {
		t.Errorf("hours (-migrated +temporary):\n%.2000s", d)
	}
}

// Where fresh.sql is not of this engine or of the newest version, the migrations make a temporary database.
func TestTemporaryOfAnotherEngine(t *testing.T) {
	restore := schema.SetFresh(1, "1.2.3.4")
	t.Cleanup(restore)
	s, tmp := newTemporary(t)
	if err := tmp.Filled(t.Context(), s.conn); err != nil {
		t.Fatal(err)
	}
	if n := s.rows("SELECT count() FROM {db}.sessions_all")[0]; n != "0" {
		t.Errorf("%s sessions", n)
	}
}
