package schema_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"cordon/schema"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func fmtSscan(line string, v ...any) (int, error) {
	return fmt.Sscan(strings.ReplaceAll(line, "\t", " "), v...)
}

func exporterStats() *rapid.Generator[schema.ExporterStats] {
	return rapid.Custom(func(t *rapid.T) schema.ExporterStats {
		n := rapid.Uint64()
		return schema.ExporterStats{
			Time: rapid.Int64().Draw(t, "time"), Interval: rapid.Uint32().Draw(t, "interval"), Collector: rapid.String().Draw(t, "collector"),
			Exporter: [16]byte{15: rapid.Byte().Draw(t, "exporter")}, Domain: rapid.Uint32().Draw(t, "domain"),
			Transport: rapid.SampledFrom([]string{"udp", "tcp", "tls", "file"}).Draw(t, "transport"), Name: rapid.String().Draw(t, "name"),
			Messages: n.Draw(t, "1"), Bytes: n.Draw(t, "2"), Records: n.Draw(t, "3"), OptionsRecords: n.Draw(t, "4"), Templates: n.Draw(t, "5"),
			LostMessages: n.Draw(t, "6"), LostRecords: n.Draw(t, "7"), Duplicates: n.Draw(t, "8"), Reordered: n.Draw(t, "9"), Restarts: n.Draw(t, "10"),
			NoTemplate: n.Draw(t, "11"), Waiting: n.Draw(t, "12"), LateRecords: n.Draw(t, "13"), Errors: n.Draw(t, "14"), DroppedRecords: n.Draw(t, "15"),
			Refused: n.Draw(t, "16"), KernelDrops: n.Draw(t, "17"),
			Sampling: rapid.Uint32().Draw(t, "sampling"), ClockSkew: rapid.Int64().Draw(t, "skew"), LastExport: rapid.Int64().Draw(t, "export"),
		}
	})
}

func TestExporterStatsThereAndBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(exporterStats(), 0, 20).Draw(t, "rows")
		payload, err := schema.SealExporterStats(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := open(payload, schema.OpenExporterStats)
		if err != nil {
			t.Fatal(err)
		}
		if len(want) == 0 && len(got) == 0 {
			return
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("rows (-want +got):\n%s", d)
		}
	})
}

func FuzzOpenExporterStats(f *testing.F) {
	payload, err := schema.SealExporterStats([]schema.ExporterStats{{Collector: "a", Transport: "udp"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(payload)
	f.Fuzz(func(t *testing.T, payload []byte) {
		rows, err := open(payload, schema.OpenExporterStats)
		if err == nil && len(rows) > schema.MaxRows {
			t.Fatalf("%d rows", len(rows))
		}
	})
}

func TestExportersView(t *testing.T) {
	s := newStore(t)
	at := noon.UnixMilli()
	rows := []schema.ExporterStats{
		{Time: at, Interval: 10_000, Collector: "c1", Exporter: ip("10.9.9.1"), Domain: 1, Transport: "udp", Messages: 90, Records: 900, LostRecords: 100, LateRecords: 7, Templates: 4, ClockSkew: -5000, LastExport: at - 5000},
		{Time: at + 7200e3, Interval: 10_000, Collector: "c2", Exporter: ip("10.9.9.1"), Domain: 2, Transport: "udp", Name: "leaf1", Messages: 10, Records: 100, Restarts: 1, ClockSkew: 250, LastExport: at + 7200e3},
		{Time: at, Interval: 10_000, Collector: "c1", Exporter: ip("2001:db8::9"), Transport: "tcp", NoTemplate: 3, Waiting: 2},
		{Time: at, Interval: 10_000, Collector: "c1", Exporter: ip("10.9.9.8"), Transport: "file", Messages: 1, Records: 5, LastExport: at - 48*3600e3},
	}
	payload, err := schema.SealExporterStats(rows)
	if err != nil {
		t.Fatal(err)
	}
	var in schema.Insert
	if err := in.Prepare(&schema.Sealed{ID: "stats-1", Table: schema.TableExporterStats, Rows: len(rows), Payload: payload}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time is dropped as a duplicate
		if err := in.Run(context.Background(), s.conn, schema.InsertOptions{Database: s.name}); err != nil {
			t.Fatal(err)
		}
	}
	got := s.rows("SELECT exporter, name, domains, transports, collectors, messages, records, lost_records, loss, restarts, no_template, clock_skew_ms, last_seen FROM {db}.exporters_total ORDER BY exporter")
	want := []string{
		"10.9.9.1\tleaf1\t[1,2]\t['udp']\t['c1','c2']\t100\t1000\t100\t0.090909\t1\t0\t250\t2026-11-20 14:00:00.000",
		"10.9.9.8\t\t[0]\t['file']\t['c1']\t1\t5\t0\t0\t0\t0\t0\t2026-11-20 12:00:00.000",
		"2001:db8::9\t\t[0]\t['tcp']\t['c1']\t0\t0\t0\t0\t0\t3\t0\t1970-01-01 00:00:00.000",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("exporters_total (-want +got):\n%s", d)
	}
	got = s.rows("SELECT exporter, hour, domains, records, lost_records, loss, late_records, templates FROM {db}.exporters ORDER BY exporter, hour")
	want = []string{
		"10.9.9.1\t2026-11-20 12:00:00\t[1]\t900\t100\t0.1\t7\t4",
		"10.9.9.1\t2026-11-20 14:00:00\t[2]\t100\t0\t0\t0\t0",
		"10.9.9.8\t2026-11-18 12:00:00\t[0]\t5\t0\t0\t0\t0", // a file: when it was exported, not when it was read
		"2001:db8::9\t2026-11-20 12:00:00\t[0]\t0\t0\t0\t0\t0",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("exporters by hour (-want +got):\n%s", d)
	}
	// The table has the columns of the batch, in its order.
	if got := s.rows("SELECT groupArray(name) = " + sqlArray(schema.StatsColumnNames) + " FROM (SELECT name FROM system.columns WHERE database = '{db}' AND table = 'exporter_stats' ORDER BY position)"); got[0] != "1" {
		t.Error("columns of exporter_stats differ from those of its batches")
	}
}

func sqlArray(names []string) string { return "['" + strings.Join(names, "', '") + "']" }

// open decompresses a sealed payload and gives back its rows.
func open[T any](payload []byte, rows func(raw []byte) ([]T, error)) ([]T, error) {
	raw, err := schema.Decompress(nil, payload)
	if err != nil {
		return nil, err
	}
	return rows(raw)
}
