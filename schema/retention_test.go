package schema_test

import (
	"testing"
	"time"

	"cordon/schema"

	"github.com/google/go-cmp/cmp"
)

// Rows that a shorter retention makes too old go, and a longer one keeps them.
func TestSetRetention(t *testing.T) {
	s := newStore(t)
	const day = 24 * time.Hour
	old := time.Now().Add(-20 * day).UnixMicro()
	for _, received := range []int64{old, time.Now().UnixMicro()} {
		s.insert(schema.Record{Received: received, Start: received, End: received, Src: [16]byte{15: 1}, Dst: [16]byte{15: 2}, Proto: 6, SrcPort: 40000, DstPort: 443, Packets: 1, Direction: schema.Forward})
	}
	set := func(flows, sessions time.Duration) []schema.Retained {
		t.Helper()
		changed, err := schema.SetRetention(t.Context(), s.db, schema.MigrateConfig{Database: s.name, FlowTTL: flows, SessionTTL: sessions})
		if err != nil {
			t.Fatal(err)
		}
		return changed
	}
	const sessions = 13 * 31 * day
	if got := set(0, 0); got != nil {
		t.Errorf("changed %v where all was as it should be", got)
	}
	if d := cmp.Diff([]schema.Retained{{Table: "flows", From: 30 * day, To: 40 * day}, {Table: "sessions_hourly", From: sessions, To: 90 * day}, {Table: "exporter_stats", From: sessions, To: 90 * day}}, set(40*day, 90*day)); d != "" {
		t.Error(d)
	}
	if got := set(40*day, 90*day); got != nil {
		t.Errorf("changed %v again", got)
	}
	if got := s.rows("SELECT count() FROM {db}.flows"); got[0] != "2" {
		t.Errorf("%v rows, want both", got)
	}
	if d := cmp.Diff([]schema.Retained{{Table: "flows", From: 40 * day, To: 10 * day}}, set(10*day, 90*day)); d != "" {
		t.Error(d)
	}
	deadline := time.Now().Add(time.Minute)
	for s.rows("SELECT count() FROM {db}.flows")[0] != "1" {
		if time.Now().After(deadline) {
			t.Fatal("the old row is there still")
		}
		// Merges drop expired parts, now and then by themselves.
		s.exec("OPTIMIZE TABLE " + s.name + ".flows")
		time.Sleep(20 * time.Millisecond)
	}
	if got := s.rows("SELECT sum(flows) FROM {db}.sessions"); got[0] != "2" {
		t.Errorf("%v flows in sessions, want both", got)
	}
	// A migration leaves retention alone.
	if _, _, err := schema.Migrate(t.Context(), s.db, schema.MigrateConfig{Database: s.name}); err != nil {
		t.Fatal(err)
	}
	if got := set(10*day, 90*day); got != nil {
		t.Errorf("migrating changed %v", got)
	}
}

func TestSetRetentionBeforeMigrating(t *testing.T) {
	s := openEngine(t)
	if _, err := schema.SetRetention(t.Context(), s.db, schema.MigrateConfig{Database: s.name}); err == nil {
		t.Error("no error")
	}
}
