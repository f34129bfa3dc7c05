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
		{"NetFlow v9 alone", func(d *Document) {
			d.Collector.Exporters = []collector.ExporterStatus{{Exporter: netip.MustParseAddr("10.0.0.7"), Transport: "udp", Errors: map[string]uint64{"netflow-v9": 1204}}}
			d.Collector.Errors = map[string]uint64{"netflow-v9": 1204}
		}, "problem collector NetFlow v9, which is not decoded, comes from an exporter: 10.0.0.7 (udp, 1,204)"},
		{"NetFlow v5 and sFlow beside IPFIX of another", func(d *Document) {
			d.Collector.Exporters = append(d.Collector.Exporters,
				collector.ExporterStatus{Exporter: netip.MustParseAddr("10.0.0.7"), Transport: "tcp", Errors: map[string]uint64{"netflow-v5": 2}},
				collector.ExporterStatus{Exporter: netip.MustParseAddr("10.0.0.8"), Transport: "udp", Errors: map[string]uint64{"netflow-v5": 3, "sflow": 1}})
			d.Collector.Errors = map[string]uint64{"netflow-v5": 5, "sflow": 1}
		}, "warning collector NetFlow v5, which is not decoded, comes from exporters: 10.0.0.7 (tcp, 2), 10.0.0.8 (udp, 3)\n" +
			"warning collector sFlow, which is not decoded, comes from an exporter: 10.0.0.8 (udp, 1)"},
		{"NetFlow over TCP alone", func(d *Document) {
			d.Collector.Listeners = []collector.ListenerStatus{{Transport: "tcp", Address: "[::]:4739", Broken: 3}}
			d.Collector.Exporters = []collector.ExporterStatus{{Exporter: netip.MustParseAddr("10.0.0.7"), Transport: "tcp", Errors: map[string]uint64{"netflow-v9": 3}}}
			d.Collector.Errors = map[string]uint64{"netflow-v9": 3}
		}, "problem collector NetFlow v9, which is not decoded, comes from an exporter: 10.0.0.7 (tcp, 3)"},
		{"TLS refused", func(d *Document) {
			d.Collector.Listeners, d.Collector.Exporters = []collector.ListenerStatus{{Transport: "tls", Address: "[::]:4740", Broken: 1}}, nil
		}, "problem collector 1 connection ended before a message came: the TLS handshake failed"},
		{"garbage alone", func(d *Document) {
			d.Collector.Exporters[0].Flows, d.Collector.Exporters[0].Messages = 0, 0
			d.Collector.Errors = map[string]uint64{"version": 1210, "message-length": 2}
		}, "problem collector data has come, but none of it could be decoded: version (1,210), message-length (2)"},
		{"some errors", func(d *Document) { d.Collector.Errors = map[string]uint64{"length": 2} },
			"warning collector some of what came could not be decoded: length (2)"},
		{"odd times", func(d *Document) { d.Collector.Errors = map[string]uint64{"implausible-time": 3} },
			"warning collector 3 flows ended after the time of export; what ends late is kept"},
		{"not flows", func(d *Document) { d.Collector.Errors = map[string]uint64{"not-flow": 3, "length": 1} },
			"note collector 3 records were left out for want of a source and destination IP address\nwarning collector some of what came could not be decoded: length (1)"},
		{"no template said once", func(d *Document) {
			d.Collector.Exporters[0].NoTemplateSets = 2
			d.Collector.Errors = map[string]uint64{"no-template": 2, "length": 1}
		}, "2 sets were given up because their template did not come in time\nwarning collector some of what came could not be decoded: length (1)"},
		{"options only", func(d *Document) { e := &d.Collector.Exporters[0]; e.Flows, e.OptionsRecords = 0, 5 },
			"problem collector only options records"},
		{"templates from another port", func(d *Document) {
			d.Collector.Exporters[0].Elsewhere = []collector.Elsewhere{{Template: 256, Port: 4001, Announced: 4000, Transport: "udp"}}
		}, "exporter 10.0.0.1 sends data of template 256 (observation domain 0) from port 4001, but has announced that template from udp port 4000"},
		{"a mediator that is not one", func(d *Document) { d.Collector.Exporters[0].Names = true }, "note collector 10.0.0.1 sends records that name several exporters, and is not a mediator"},
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
			"problem ingest 8 batches are waiting in the stream, and no ingester asks for them"},
		{"no ingester, and one that died with batches in hand", func(d *Document) {
			idle := 40.0
			d.Ingest, d.Stream = nil, &Stream{Batches: 8, Unacknowledged: 2, OldestSeconds: 60, IdleSeconds: &idle}
		}, "problem ingest 8 batches are waiting in the stream, and no ingester asks for them"},
		{"no ingester asks between two requests", func(d *Document) {
			d.Ingest, d.Stream = nil, &Stream{Batches: 1, OldestSeconds: 0.5, Ingesters: 0}
		}, "ok all everything that came in was stored, but for 1 batch on the way"},
		{"ClickHouse hangs", func(d *Document) {
			idle := 95.0
			d.Stream = &Stream{Batches: 1210, Unacknowledged: 2, OldestSeconds: 100, IdleSeconds: &idle}
		}, "problem ingest nothing is being stored: 1,210 batches are waiting in the stream, the oldest for 1m40s; the last one was stored 1m35s ago"},
		{"nothing was ever stored", func(d *Document) {
			d.Stream, d.Store = &Stream{Batches: 1, Unacknowledged: 1, OldestSeconds: 31}, nil
		}, "problem ingest nothing is being stored: 1 batch is waiting in the stream, the oldest for 31s; none was ever stored"},
		{"ingest is behind", func(d *Document) {
			idle := 0.1
			d.Stream = &Stream{Batches: 50, Unacknowledged: 2, OldestSeconds: 45, IdleSeconds: &idle}
		}, "warning ingest ingest is behind: 50 batches are waiting in the stream, the oldest for 45s"},
		{"collector alone, all taken", func(d *Document) { d.Ingest, d.Store = nil, nil },
			"ok all everything that came in was published and taken by ingesters"},
		{"collector alone, ingester elsewhere without ClickHouse", func(d *Document) {
			d.Ingest, d.Store, d.Stream.Batches = nil, nil, 3
			d.Roles = []*Document{{Role: "ingest", Host: "b", PID: 9, Ingest: &ingest.Status{Error: "connection refused", Pending: 3}}}
		}, "problem ingest batches are not inserted: connection refused [ingest on b, process 9]"},
		{"collector elsewhere drops", func(d *Document) {
			far := healthy()
			far.Role, far.Host, far.PID, far.Collector.Publisher.Dropped.Records = "collect", "a", 5, 1
			d.Collector, d.Roles = nil, []*Document{far}
		}, "warning nats 1 record was dropped because the queue was full [collect on a, process 5]"},
		{"published and on the way", func(d *Document) { d.Store, d.Stream.Batches, d.Stream.OldestSeconds = &Store{}, 1, 1 },
			"note store 100 records were published and on the way; none is stored yet"},
		{"external servers and no role", func(d *Document) { *d = Document{Taken: now, Store: d.Store, Stream: d.Stream, External: true} },
			"note collector no running process of Cordon answers over NATS"},
		{"batches of an up that rests", func(d *Document) {
			*d = Document{Taken: now, Store: d.Store, Stream: &Stream{Batches: 2, OldestSeconds: 1e6}}
		},
			"note ingest 2 batches are waiting in the stream for the next start"},
		{"stream nearly full", func(d *Document) { d.Stream.Bytes = 1<<30 - 1 }, "warning nats stream FLOWS is 99% full"},
		{"dead letters", func(d *Document) { d.Stream.Dead = 1 }, "warning ingest 1 message is in stream FLOWS_DEAD"},
		{"published but not stored", func(d *Document) { d.Store = &Store{} }, "problem store 100 records were published, but none is stored"},
		{"old data", func(d *Document) { d.Store.NewestFlow = now.Add(-48 * time.Hour) }, "note store the newest flow ended at 2026-11-18T12:00:00Z"},
		{"one direction only", func(d *Document) { d.Store.OneWay = []string{"10.0.0.7"} },
			"note store exporter 10.0.0.7 shows one direction only: its TCP sessions are judged by their flags, and whether any other was answered is unknown, which counts as complete"},
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
			if strings.Contains(all, string(OK)+" ") && len(found) > 1 {
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
	if err := d.Text(&b, 0); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"warning  nats       5 records were dropped", "EXPORTER  DOMAIN", "10.0.0.1", "stored     100 flow records of 1 exporter,"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in:\n%s", want, b.String())
		}
	}
	if !strings.HasPrefix(b.String(), "warning") {
		t.Errorf("does not begin with the findings:\n%s", b.String())
	}
}

// A full disk is a problem that names folder and what lies there; little space is
// a warning, and enough is nothing to say.
func TestDisks(t *testing.T) {
	d := &Document{PID: 1, Disks: []Disk{
		{Folder: "/data/nats", Holds: "NATS", Free: 1 << 20, Full: true},
		{Folder: "/data/clickhouse", Holds: "ClickHouse", Free: 100 << 20},
		{Folder: "/data/collector", Holds: "spool", Free: 1 << 40},
	}}
	var got []Finding
	for _, f := range d.Diagnose() {
		if f.Part == "disk" {
			got = append(got, f)
		}
	}
	if len(got) != 2 || got[0].Severity != Problem || got[1].Severity != Warning {
		t.Fatalf("findings: %+v", got)
	}
	if want := "the disk of /data/nats is full (1 MiB free): what NATS stores cannot be written"; got[0].Text != want {
		t.Errorf("%q, want %q", got[0].Text, want)
	}
	if want := "the disk of /data/clickhouse is nearly full: 100 MiB are free for what ClickHouse stores"; got[1].Text != want {
		t.Errorf("%q, want %q", got[1].Text, want)
	}
}
