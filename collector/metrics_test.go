package collector

import (
	"net"
	"strings"
	"testing"
	"time"

	"cordon/schema"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestMetrics(t *testing.T) {
	b := startNATS(t).connect()
	cfg := testConfig()
	cfg.MetricsExporters = 1
	cfg.TCP.Listen = nil
	c := start(t, cfg, Deps{Bus: b})
	e, conn := newExporter(1), c.udp()
	send(t, conn, e.template(), e.data(0, 20))
	c.published(20)
	e.sequence += 40 // two messages are lost
	send(t, conn, e.data(20, 20), []byte("garbage"))
	c.published(40)
	second := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 9)}}
	other, err := second.Dial("udp", c.address("udp"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	_ = testutil.CollectAndCount(c.Collector.metrics) // the first exporter takes the one label
	f := newExporter(1)
	send(t, other, f.template(), f.data(0, 20))
	c.published(60)

	address := c.address("udp")
	want := `
# HELP cordon_collector_errors_total Messages, sets and records that could not be decoded, by reason.
# TYPE cordon_collector_errors_total counter
`
	for _, reason := range []string{
		"domain-limit", "field-length", "implausible-time", "message-length", "netflow-v1", "netflow-v5", "netflow-v7", "netflow-v8", "netflow-v9",
		"no-template", "not-flow", "record-cut", "reserved-set", "set-length", "set-padding", "sflow", "short-message", "stream", "template-cut", "template-empty", "template-id", "template-limit",
		"template-refused", "template-scope", "template-too-long", "trailing-bytes", "truncated", "version", "withdrawal",
	} {
		n := "0"
		if reason == "short-message" {
			n = "1"
		}
		want += `cordon_collector_errors_total{reason="` + reason + `"} ` + n + "\n"
	}
	want += `
# HELP cordon_collector_exporter_flows_total Flow records decoded.
# TYPE cordon_collector_exporter_flows_total counter
cordon_collector_exporter_flows_total{exporter="127.0.0.1"} 40
cordon_collector_exporter_flows_total{exporter="other"} 20
# HELP cordon_collector_exporter_lost_records_total Records lost, by sequence numbers.
# TYPE cordon_collector_exporter_lost_records_total counter
cordon_collector_exporter_lost_records_total{exporter="127.0.0.1"} 40
cordon_collector_exporter_lost_records_total{exporter="other"} 0
# HELP cordon_collector_kernel_drops_total Datagrams that the kernel dropped because a socket's receive buffer was full.
# TYPE cordon_collector_kernel_drops_total counter
cordon_collector_kernel_drops_total{address="` + address + `"} 0
# HELP cordon_collector_messages_total Datagrams, or messages in streams, received.
# TYPE cordon_collector_messages_total counter
cordon_collector_messages_total{address="` + address + `",transport="udp"} 6
# HELP cordon_collector_nats_away 1 while NATS does not take batches.
# TYPE cordon_collector_nats_away gauge
cordon_collector_nats_away 0
# HELP cordon_collector_queue_bytes Bytes of batches that wait for NATS, by place.
# TYPE cordon_collector_queue_bytes gauge
cordon_collector_queue_bytes{place="disk"} 0
cordon_collector_queue_bytes{place="memory"} 0
# HELP cordon_collector_records_total Flow records in batches, by result.
# TYPE cordon_collector_records_total counter
cordon_collector_records_total{result="dropped"} 0
cordon_collector_records_total{result="published"} 60
cordon_collector_records_total{result="spooled"} 0
`
	if err := testutil.GatherAndCompare(c.metrics, strings.NewReader(want),
		"cordon_collector_errors_total", "cordon_collector_exporter_flows_total", "cordon_collector_exporter_lost_records_total",
		"cordon_collector_kernel_drops_total", "cordon_collector_messages_total", "cordon_collector_nats_away",
		"cordon_collector_queue_bytes", "cordon_collector_records_total",
	); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(c.metrics); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
	if n, err := testutil.GatherAndCount(c.metrics, "cordon_collector_batch_delay_seconds"); n != 1 || err != nil {
		t.Errorf("%d delay metrics, %v", n, err)
	}
}

// TestKernelDrops lets a small socket buffer overflow while nobody reads.
func TestKernelDrops(t *testing.T) {
	b := startNATS(t).connect()
	cfg := testConfig()
	cfg.UDP.ReceiveBuffer = 64 << 10
	c := start(t, cfg, Deps{Bus: b})
	e, conn := newExporter(1), c.udp()
	send(t, conn, e.template())
	eventually(t, "the template is known", func() bool { return c.Status().Listeners[0].Messages == 1 })
	const sent = 1000
	c.lanes[0].mu.Lock() // It looks as though decoding took long.
	for i := range sent {
		send(t, conn, e.data(20*i, 20))
	}
	c.lanes[0].mu.Unlock()
	eventually(t, "all is received or dropped", func() bool {
		l := c.Status().Listeners[0]
		return l.Messages+l.KernelDrops == sent+1
	})
	if c.Status().Listeners[0].KernelDrops == 0 {
		t.Skip("the kernel's buffer held everything")
	}
	c.published(int(c.Status().Listeners[0].Messages-1) * 20)
	c.stop()
	st := c.Status()
	for _, row := range readStream(t, b).stats {
		if row.Exporter == ([16]byte{}) {
			if row.KernelDrops != st.Listeners[0].KernelDrops {
				t.Errorf("%d kernel drops in exporter_stats, %d in status", row.KernelDrops, st.Listeners[0].KernelDrops)
			}
			return
		}
	}
	t.Error("no row for the collector in exporter_stats")
}

func TestExporterStats(t *testing.T) {
	b := startNATS(t).connect()
	cfg := testConfig()
	cfg.StatsInterval = 100 * time.Millisecond
	c := start(t, cfg, Deps{Bus: b})
	e, conn := newExporter(7), c.udp()
	send(t, conn, e.template(), e.data(0, 20))
	c.published(20)
	eventually(t, "statistics are published", func() bool { return c.Status().Publisher.Published.Statistics >= 1 })
	e.sequence += 20
	send(t, conn, e.data(40, 20))
	stream := newExporter(8)
	tcp := dial(t, "tcp", c.address("tcp"))
	send(t, tcp, stream.template(), stream.data(0, 10))
	tcp.Close()
	c.published(50)
	c.stop()

	sum := make(map[string]schema.ExporterStats)
	for _, r := range readStream(t, b).stats {
		if r.Interval == 0 || r.Collector != c.ids.instance || r.Exporter != schema.Addr16(loopback) {
			t.Errorf("row %+v", r)
		}
		s := sum[r.Transport]
		s.Domain = r.Domain
		s.Messages += r.Messages
		s.Bytes += r.Bytes
		s.Records += r.Records
		s.LostMessages += r.LostMessages
		s.LostRecords += r.LostRecords
		s.LastExport = r.LastExport
		sum[r.Transport] = s
	}
	want := map[string]schema.ExporterStats{
		"udp": {Domain: 7, Messages: 3, Records: 40, LostRecords: 20, LostMessages: 1, LastExport: e.at.UnixMilli()},
		"tcp": {Domain: 8, Messages: 2, Records: 10, LastExport: stream.at.UnixMilli()},
	}
	if d := gocmp.Diff(want, sum, cmpopts.IgnoreFields(schema.ExporterStats{}, "Bytes")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
