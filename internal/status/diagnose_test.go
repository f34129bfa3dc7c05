package status

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"cordon/collector"
	"cordon/ingest"
)

var now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// healthy is the status of a node through which records flow.
func healthy() *Document {
	return &Document{
		Version: "test", PID: 7, Started: now.Add(-time.Minute), Taken: now,
		Collector: &collector.Status{
			Ready: "ok", Started: now.Add(-time.Minute),
			Listeners: []collector.ListenerStatus{{Transport: "udp", Address: "[::]:4739", Messages: 10}},
			Exporters: []collector.ExporterStatus{{Exporter: netip.MustParseAddr("10.0.0.1"), Transport: "udp", Messages: 10, Records: 100, Flows: 100, Templates: 2, LastMessage: now}},
			Publisher: collector.PublisherStatus{Published: collector.Volume{Batches: 1, Records: 100}},
		},
		Stream: &Stream{Limit: 1 << 30, Ingesters: 1},
		Ingest: &ingest.Status{Rows: 100, Batches: 1, LastInsert: now},
		Store:  &Store{Flows: 100, NewestFlow: now, OldestFlow: now.Add(-time.Minute), Exporters: 1},
	}
}

func TestDiagnose(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Document)
		want   string // severity, part, and a piece of the text; "" for ok alone
	}{
		{"healthy", func(*Document) {}, ""},
		{"nothing received", func(d *Document) {
			d.Collector.Listeners[0].Messages, d.Collector.Exporters = 0, nil
			d.Collector.Publisher, d.Store = collector.PublisherStatus{}, &Store{}
		}, "problem collector nothing has been received in 1m0s on udp [::]:4739"},
		{"refused only", func(d *Document) {
			d.Collector.Listeners[0].Messages, d.Collector.Exporters = 0, nil
			d.Collector.Denied = collector.DeniedStatus{Total: 3, Exporters: map[netip.Addr]uint64{netip.MustParseAddr("10.9.9.9"): 3}}
		}, "problem collector 3 datagrams and connections came from outside the allow-list: 10.9.9.9"},
		{"no template", func(d *Document) {
			e := &d.Collector.Exporters[0]
			e.Flows, e.Templates, e.WaitingSets = 0, 0, 4
		}, "problem collector data has come, but its templates have not"},
		{"netflow", func(d *Document) {
			d.Collector.Exporters[0].Flows = 0
			d.Collector.Errors = map[string]uint64{"version": 10, "length": 2}
		}, "problem collector data has come, but none of it could be decoded: version (10), length (2)"},
		{"some errors", func(d *Document) { d.Collector.Errors = map[string]uint64{"length": 2} },
			"warning collector some of what came could not be decoded: length (2)"},
		{"odd times", func(d *Document) { d.Collector.Errors = map[string]uint64{"implausible-time": 3} },
			"warning collector 3 flows ended after they were exported; they are kept"},
		{"not flows", func(d *Document) { d.Collector.Errors = map[string]uint64{"not-flow": 3, "length": 1} },
			"note collector 3 records have no source and destination IP address, and are left out\nwarning collector some of what came could not be decoded: length (1)"},
		{"no template said once", func(d *Document) {
			d.Collector.Exporters[0].NoTemplateSets = 2
			d.Collector.Errors = map[string]uint64{"no-template": 2, "length": 1}
		}, "2 sets were given up because their template did not come in time\nwarning collector some of what came could not be decoded: length (1)"},
		{"options only", func(d *Document) { e := &d.Collector.Exporters[0]; e.Flows, e.OptionsRecords = 0, 5 },
			"problem collector only options records"},
		{"kernel drops", func(d *Document) { d.Collector.Listeners[0].KernelDrops = 9 },
			"warning collector the kernel dropped 9 datagrams"},
		{"lost on the way", func(d *Document) { d.Collector.Exporters[0].LostRecords = 12 },
			"warning collector sequence numbers say that 12 records were lost on the way from 10.0.0.1"},
		{"clock behind", func(d *Document) { d.Collector.Exporters[0].ClockBehind = 3 * time.Hour },
			"warning collector the clock of exporter 10.0.0.1 is 3h0m0s behind"},
		{"clock ahead", func(d *Document) { d.Collector.Exporters[0].ClockBehind = -3 * time.Hour },
			"warning collector the clock of exporter 10.0.0.1 is 3h0m0s ahead"},
		{"NATS away", func(d *Document) {
			d.Collector.Publisher.Away, d.Collector.Publisher.Since, d.Collector.Publisher.QueuedBatches = "no responders", now, 4
		}, "problem nats batches cannot be published since 2026-11-20T12:00:00Z: no responders; 4 wait in memory"},
		{"dropped", func(d *Document) { d.Collector.Publisher.Dropped.Records = 5 }, "warning nats 5 records were dropped"},
		{"ClickHouse away", func(d *Document) { d.Ingest.Error = "connection refused" }, "problem ingest batches are not inserted: connection refused"},
		{"no ingester", func(d *Document) { d.Ingest, d.Stream.Ingesters, d.Stream.Batches = nil, 0, 8 },
			"problem ingest 8 batches wait and no ingester asks for them"},
		{"stream nearly full", func(d *Document) { d.Stream.Bytes = 1<<30 - 1 }, "warning nats stream FLOWS is 99% full"},
		{"dead letters", func(d *Document) { d.Stream.Dead = 1 }, "warning ingest 1 messages could not be inserted"},
		{"published but not stored", func(d *Document) { d.Store = &Store{} }, "problem store 100 records were published, but none is stored yet"},
		{"old data", func(d *Document) { d.Store.NewestFlow = now.Add(-48 * time.Hour) }, "note store the newest flow ended at 2026-11-18T12:00:00Z"},
		{"one direction only", func(d *Document) { d.Store.OneWay = []string{"10.0.0.7"} },
			"note store exporter 10.0.0.7 shows one direction only: completeness of its sessions is unknown"},
		{"store away", func(d *Document) { d.Store = &Store{Error: "refused"} }, "problem store the store cannot be read: refused"},
		{"nothing runs", func(d *Document) { *d = Document{Taken: now, Store: d.Store} }, "note collector no `cordon up` runs"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := healthy()
			tc.change(d)
			found := d.Diagnose()
			var lines []string
			for _, f := range found {
				lines = append(lines, string(f.Severity)+" "+f.Part+" "+f.Text)
			}
			all := strings.Join(lines, "\n")
			if tc.want == "" {
				if len(found) != 1 || found[0].Severity != OK {
					t.Fatalf("findings on a healthy node:\n%s", all)
				}
				return
			}
			if !strings.Contains(all, tc.want) {
				t.Fatalf("want %q among:\n%s", tc.want, all)
			}
			if strings.Contains(all, string(OK)+" ") {
				t.Fatalf("ok beside a finding:\n%s", all)
			}
		})
	}
}

func TestRemedyNamesThePorts(t *testing.T) {
	d := healthy()
	d.Collector.Listeners = []collector.ListenerStatus{{Transport: "udp", Address: "[::]:9995"}, {Transport: "tcp", Address: "127.0.0.1:9995"}, {Transport: "tls", Address: "[::]:9996"}}
	if got, want := d.Diagnose()[0].Remedy, "tcpdump -ni any port 9995 or port 9996"; !strings.HasSuffix(got, want) {
		t.Errorf("remedy %q, want one that ends in %q", got, want)
	}
}

func TestTextShowsFindingsFirst(t *testing.T) {
	d := healthy()
	d.Collector.Publisher.Dropped.Records = 5
	var b strings.Builder
	if err := d.Text(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"warning  nats       5 records were dropped", "EXPORTER  DOMAIN", "10.0.0.1", "stored     100 flow records of 1 exporters"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in:\n%s", want, b.String())
		}
	}
	if !strings.HasPrefix(b.String(), "warning") {
		t.Errorf("does not begin with the findings:\n%s", b.String())
	}
}
