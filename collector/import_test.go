package collector

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cordon/collector/flowfile"
	"cordon/internal/bus"
	"cordon/schema"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// flowCSV makes a file of n rows, and a bad one after each in bad.
func flowCSV(t *testing.T, n int, bad ...int) flowfile.Reader {
	t.Helper()
	var b strings.Builder
	b.WriteString("src_ip,dst_ip,proto,src_port,dst_port,bytes\n")
	for i := range n {
		fmt.Fprintf(&b, "%s,%s,tcp,%d,443,%d\n", client(i), server, 49152+i%16384, 1000+i)
		for _, at := range bad {
			if at == i {
				b.WriteString("10.0.0.1,10.0.0.256,tcp,1,2,3\n")
			}
		}
	}
	file := filepath.Join(t.TempDir(), "flows.csv")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := flowfile.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func TestImport(t *testing.T) {
	b := startNATS(t).connect()
	cfg := DefaultConfig()
	cfg.Batch.MaxRows = 3000
	cfg.Queue.InFlight = 1
	const rows = 50_000
	var bad []int
	var progress uint64
	report, err := Import(context.Background(), cfg, Deps{Bus: b}, flowCSV(t, rows, 7, 40_000), ImportOptions{
		RowError: func(e *flowfile.RowError) error { bad = append(bad, e.Line); return nil },
		Progress: func(n uint64) { progress = n },
	})
	if err != nil {
		t.Fatal(err)
	}
	if report.Records != rows || report.BadRows != 2 || report.Published.Records != rows || report.Published.Batches != 17 {
		t.Errorf("report %+v", report)
	}
	if d := gocmp.Diff([]int{10, 40_004}, bad); d != "" {
		t.Errorf("bad lines (-want +got):\n%s", d)
	}
	if progress != rows/importProgress*importProgress {
		t.Errorf("progress ended at %d", progress)
	}
	got := readStream(t, b)
	if d := gocmp.Diff(upTo(rows), bytesOf(got.records)); d != "" {
		t.Errorf("(-want +got):\n%.1000s", d)
	}
	if r := got.records[0]; r.Direction != schema.Forward || r.Basis != schema.BasisPortRange {
		t.Errorf("direction %v, basis %v", r.Direction, r.Basis)
	}
}

// TestImportWaits imports far more than the queue holds.
func TestImportWaits(t *testing.T) {
	s := startNATS(t)
	b := s.connect()
	cfg := DefaultConfig()
	cfg.Batch.MaxRows = 20_000
	cfg.Queue.Memory = schema.MaxPayload
	const rows = 300_000
	s.stop()
	restarted := make(chan struct{})
	opts := ImportOptions{Progress: func(n uint64) {
		if n == importProgress {
			time.AfterFunc(200*time.Millisecond, func() { s.start(); close(restarted) })
		}
	}}
	report, err := Import(context.Background(), cfg, Deps{Bus: b}, flowCSV(t, rows), opts)
	<-restarted
	if err != nil {
		t.Fatal(err)
	}
	if report.Published.Records != rows {
		t.Errorf("report %+v", report)
	}
	if got := readStream(t, s.connect()); len(got.records) != rows {
		t.Errorf("%d records stored, want %d", len(got.records), rows)
	}
}

func TestImportGivesUp(t *testing.T) {
	s := startNATS(t)
	b := s.connect()
	s.stop()
	cfg := DefaultConfig()
	cfg.StopTimeout = 100 * time.Millisecond
	report, err := Import(context.Background(), cfg, Deps{Bus: b}, flowCSV(t, 1000), ImportOptions{})
	if !errors.Is(err, bus.ErrUnreachable) {
		t.Errorf("error %v", err)
	}
	if report.Published != (Volume{}) {
		t.Errorf("report %+v", report)
	}
}

func TestImportEndsWithRowError(t *testing.T) {
	b := startNATS(t).connect()
	enough := errors.New("enough")
	report, err := Import(context.Background(), DefaultConfig(), Deps{Bus: b}, flowCSV(t, 100, 49), ImportOptions{
		RowError: func(*flowfile.RowError) error { return enough },
	})
	if !errors.Is(err, enough) {
		t.Errorf("error %v", err)
	}
	if report.Records != 50 || report.Published.Records != 50 {
		t.Errorf("report %+v", report)
	}
}

func TestImportCancelled(t *testing.T) {
	b := startNATS(t).connect()
	ctx, cancel := context.WithCancel(context.Background())
	_, err := Import(ctx, DefaultConfig(), Deps{Bus: b}, flowCSV(t, 50_000), ImportOptions{Progress: func(uint64) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// What is known of the exporters in a file of messages is stored: loss above
// all, since a proposal says what it may miss.
func TestImportOfMessagesTellsOfLoss(t *testing.T) {
	b := startNATS(t).connect()
	e := newExporter(7)
	var messages []byte
	messages = append(messages, e.message(1,
		set(3, []byte{1, 44, 0, 3, 0, 1, 0, 149, 0, 4, 0, 130, 0, 4, 1, 44, 0, 8}), // Scope and fields: domain, exporter, name.
		set(300, append([]byte{0, 0, 0, 7, 192, 0, 2, 9}, "leaf1\x00\x00\x00"...)),
		set(3, []byte{1, 45, 0, 2, 0, 1, 0, 10, 0, 4, 0, 82, 0, 4}), set(301, []byte{0, 0, 0, 3, 'e', 't', 'h', '3'}))...)
	e.sequence++
	messages = append(messages, e.template()...)
	messages = append(messages, e.data(0, 3)...)
	e.sequence += 5 // The file lacks these five.
	messages = append(messages, e.data(3, 3)...)
	messages = append(messages, e.data(6, 3)...)
	messages = append(messages, e.message(1, set(999, []byte{1, 2, 3, 4}))...)
	file := filepath.Join(t.TempDir(), "messages.ipfix")
	if err := os.WriteFile(file, messages, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := flowfile.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	if _, err := Import(context.Background(), DefaultConfig(), Deps{Bus: b}, r, ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	got := readStream(t, b)
	if len(got.records) != 9 {
		t.Errorf("%d records, want 9", len(got.records))
	}
	exporter := schema.Addr16(netip.MustParseAddr("192.0.2.9"))
	want := []schema.ExporterStats{{
		Exporter: exporter, Domain: 7, Transport: "file", Name: "leaf1", Messages: 6, Bytes: uint64(len(messages)), Records: 9, OptionsRecords: 2,
		Templates: 3, LostMessages: got.stats[0].LostMessages, LostRecords: 5, NoTemplate: 1, LastExport: e.at.UnixMilli(),
	}}
	if d := gocmp.Diff(want, got.stats, cmpopts.IgnoreFields(schema.ExporterStats{}, "Time", "Collector")); d != "" {
		t.Errorf("statistics (-want +got):\n%s", d)
	}
	if d := gocmp.Diff([]schema.ExporterName{{Exporter: exporter, Domain: 7, Kind: schema.NameInterface, ID: 3, Name: "eth3"}}, got.names, cmpopts.IgnoreFields(schema.ExporterName{}, "Time")); d != "" {
		t.Errorf("names (-want +got):\n%s", d)
	}
}
