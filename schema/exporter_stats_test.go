package schema

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestExporterStatsSealThenOpen(t *testing.T) {
	want := []ExporterStats{
		{Time: 1_763_600_000_123, Interval: 10_000, Collector: "c1", Exporter: [16]byte{15: 1}, Domain: 7, Transport: "udp", Name: "softflowd",
			Messages: 1, Bytes: 2, Records: 3, LostRecords: 4, KernelDrops: 5, Sampling: 100, ClockSkew: -1500, LastExport: 1_763_600_000_000},
		{Time: 1_763_600_000_123, Interval: 10_000, Collector: "c1", Refused: 9},
	}
	payload, err := SealExporterStats(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := OpenExporterStats(payload)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
