package recommender

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"testing"
	"time"

	"cordon/recommender/policy"
	"cordon/schema"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
)

// TestLossAndSampling: two exporters, one of which lost records in the window
// and samples, the other late. Their loss, the sampling and the rules that rest on
// them are named; loss in other hours and of exporters without a session is not.
func TestLossAndSampling(t *testing.T) {
	conn := store(t)
	if err := conn.Exec(t.Context(), "TRUNCATE TABLE exporter_stats"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Exec(context.Background(), "TRUNCATE TABLE exporter_stats") })
	at := time.Date(2026, 11, 20, 12, 10, 0, 0, time.UTC)
	ip := func(s string) [16]byte { return schema.Addr16(netip.MustParseAddr(s)) }
	records := []schema.Record{
		{Exporter: ip("10.9.9.1"), Dst: ip("10.0.0.2"), DstPort: 443, Sampling: 100},
		{Exporter: ip("10.9.9.2"), Dst: ip("10.0.0.3"), DstPort: 22},
	}
	i := 0
	insert(t, conn, func() (*schema.Record, error) {
		if i == len(records) {
			return nil, io.EOF
		}
		r := &records[i]
		i++
		r.Src, r.SrcPort, r.Proto, r.Count = ip("10.0.0.1"), 40000, 6, 1
		r.Start, r.End, r.Received = at.UnixMicro(), at.UnixMicro()+1e6, at.UnixMicro()+2e6
		r.Packets, r.Bytes, r.RevPackets, r.RevBytes = 4, 60, 3, 40
		r.Direction, r.Basis, r.Completeness = schema.Forward, schema.BasisInitiator, schema.BothWays
		return r, nil
	})
	stats := func(exporter string, after time.Duration, s schema.ExporterStats) schema.ExporterStats {
		s.Time, s.Interval, s.Collector, s.Transport = at.Add(after).UnixMilli(), 10_000, "c", "udp"
		s.Exporter = ip(exporter)
		return s
	}
	insertStats(t, conn, []schema.ExporterStats{
		stats("10.9.9.1", 0, schema.ExporterStats{Records: 90, LostRecords: 10, LateRecords: 4}),
		stats("10.9.9.1", 25*time.Minute, schema.ExporterStats{Records: 10, NoTemplate: 2}),
		stats("10.9.9.1", 5*time.Hour, schema.ExporterStats{Records: 10, LostRecords: 7}),
		stats("10.9.9.2", 0, schema.ExporterStats{Records: 10, LateRecords: 9}),
		stats("10.9.9.3", 0, schema.ExporterStats{Records: 10, LostRecords: 5}),
	})
	for _, scale := range []bool{false, true} {
		proposals, err := Generate(t.Context(), conn, Settings{ScaleSampled: scale}, nil)
		if err != nil {
			t.Fatal(err)
		}
		p := &proposals[0]
		verifyProposal(t, t, conn, p, Settings{}, nil)
		if d := cmp.Diff([]policy.Loss{{Exporter: "10.9.9.1", Hours: 1, Records: 100, LostRecords: 10, NoTemplate: 2, LateRecords: 4},
			{Exporter: "10.9.9.2", Hours: 1, Records: 10, LateRecords: 9}}, p.Loss); d != "" {
			t.Errorf("loss (-want +got):\n%s", d)
		}
		if d := cmp.Diff([]policy.Sampling{{Exporter: "10.9.9.1", OneIn: 100}}, p.Sampling); d != "" {
			t.Errorf("sampling (-want +got):\n%s", d)
		}
		if p.ScaledBytes != scale {
			t.Errorf("scaled bytes: %v", p.ScaledBytes)
		}
		got := map[string]string{}
		for _, r := range p.Rules {
			got[r.Services[0].String()] = fmt.Sprint(r.Evidence.Bytes, r.Evidence.Sampling, r.Evidence.LossyExporters)
		}
		bytes := 100
		if scale {
			bytes = 10_000
		}
		want := map[string]string{"tcp/443": fmt.Sprint(bytes, 100, []string{"10.9.9.1"}), "tcp/22": fmt.Sprint(100, 0, []string{"10.9.9.2"})}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("evidence, scaled %v (-want +got):\n%s", scale, d)
		}
	}
}

func insertStats(t *testing.T, conn driver.Conn, rows []schema.ExporterStats) {
	t.Helper()
	payload, err := schema.SealExporterStats(rows)
	if err != nil {
		t.Fatal(err)
	}
	batches++
	var in schema.Insert
	if err := in.Prepare(&schema.Sealed{ID: fmt.Sprintf("%s-%d", t.Name(), batches), Table: schema.TableExporterStats, Rows: len(rows), Payload: payload}); err != nil {
		t.Fatal(err)
	}
	if err := in.Run(t.Context(), conn, schema.InsertOptions{Database: database}); err != nil {
		t.Fatal(err)
	}
}
