package collector

import (
	"cordon/collector/ipfix"

	"github.com/prometheus/client_golang/prometheus"
)

const namespace = "cordon_collector_"

// metrics gives a collector's state to Prometheus. Everything but the delay is
// read when it is asked for, so that counting costs nothing beside what the
// parts count for themselves.
type metrics struct {
	c     *Collector
	delay prometheus.Histogram
}

func newMetrics(c *Collector) *metrics {
	return &metrics{c: c, delay: prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    namespace + "batch_delay_seconds",
		Help:    "From the first record of a batch to the batch's acknowledgement by JetStream.",
		Buckets: []float64{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 1.25, 1.5, 2, 3, 5, 10, 30, 60, 300},
	})}
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(namespace+name, help, labels, nil)
}

var (
	descReceived    = describe("messages_total", "Datagrams, or messages in streams, received.", "transport", "address")
	descBytes       = describe("bytes_total", "Bytes received.", "transport", "address")
	descKernelDrops = describe("kernel_drops_total", "Datagrams that the kernel dropped because a socket's receive buffer was full.", "address")
	descBuffer      = describe("receive_buffer_bytes", "Size of a socket's receive buffer.", "address")
	descConns       = describe("connections", "Open connections.", "transport", "address")
	descAccepted    = describe("connections_accepted_total", "Connections accepted.", "transport", "address")
	descRefused     = describe("connections_refused_total", "Connections refused because too many were open.", "transport", "address")
	descBroken      = describe("connections_broken_total", "Connections closed because what came was not IPFIX, or not TLS.", "transport", "address")
	descDenied      = describe("denied_total", "Datagrams and connections from outside the allow-list.")

	descSources  = describe("decoder_sources", "Sources that the decoder keeps state for.")
	descEvicted  = describe("decoder_evicted_total", "Sources forgotten because there were too many.")
	descState    = describe("decoder_state_bytes", "Memory of templates and options data.")
	descWaiting  = describe("decoder_waiting_bytes", "Data that waits for its template.")
	descErrors   = describe("errors_total", "Messages, sets and records that could not be decoded, by reason.", "reason")
	descOpen     = describe("open_records", "Records in batches that are not sealed yet.")
	descSplits   = describe("batch_splits_total", "Batches that turned out too large and were sealed in parts.")
	descStalled  = describe("seal_stalled_seconds_total", "Time that receiving has waited for compression.")
	descAway     = describe("nats_away", "1 while NATS does not take batches.")
	descQueue    = describe("queue_batches", "Batches that wait for NATS, by place.", "place")
	descQBytes   = describe("queue_bytes", "Bytes of batches that wait for NATS, by place.", "place")
	descQLimit   = describe("queue_limit_bytes", "Most bytes that may wait for NATS, by place.", "place")
	descInFlight = describe("in_flight_batches", "Batches sent and not acknowledged.")

	descBatches     = describe("batches_total", "Batches by result: published, dropped or damaged.", "result")
	descRecords     = describe("records_total", "Flow records in batches, by result.", "result")
	descBatchBytes  = describe("batch_bytes_total", "Compressed bytes of batches, by result.", "result")
	descDuplicates  = describe("batch_duplicates_total", "Batches acknowledged that JetStream already had.")
	descRetries     = describe("publish_retries_total", "Publishes that failed and were made again.")
	descDamaged     = describe("spool_damaged_total", "Spooled batches that could not be read back.")
	descExpMessages = describe("exporter_messages_total", "Messages decoded.", "exporter")
	descExpBytes    = describe("exporter_bytes_total", "Bytes of messages decoded.", "exporter")
	descExpRecords  = describe("exporter_records_total", "Data records decoded, options left out.", "exporter")
	descExpFlows    = describe("exporter_flows_total", "Flow records decoded.", "exporter")
	descExpLostM    = describe("exporter_lost_messages_total", "Messages lost, estimated from sequence numbers.", "exporter")
	descExpLostR    = describe("exporter_lost_records_total", "Records lost, by sequence numbers.", "exporter")
	descExpDup      = describe("exporter_duplicates_total", "Datagrams that had come before.", "exporter")
	descExpReorder  = describe("exporter_reordered_total", "Datagrams that came late.", "exporter")
	descExpRestarts = describe("exporter_restarts_total", "Times that the exporter began to count anew.", "exporter")
	descExpNoTmpl   = describe("exporter_no_template_sets_total", "Data sets given up for want of their template.", "exporter")
	descExpWaiting  = describe("exporter_waiting_sets", "Data sets that wait for their template.", "exporter")
	descExpErrors   = describe("exporter_errors_total", "Messages, sets and records of the exporter that could not be decoded.", "exporter")
	descExpLast     = describe("exporter_last_message_timestamp_seconds", "When the last message came.", "exporter")
	descExpSkew     = describe("exporter_clock_behind_seconds", "How far the exporter's clock is behind, transmission included.", "exporter")
)

// Describe implements [prometheus.Collector].
func (m *metrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

// Collect implements [prometheus.Collector].
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	m.delay.Collect(ch)
	st, to := m.c.Status(), metricsTo(ch)
	to.listeners(&st)
	to.decoder(&st)
	to.publisher(&st.Publisher)
	for _, e := range m.perExporter(st.Exporters) {
		to.exporter(e)
	}
}

// metricsTo is where metrics go.
type metricsTo chan<- prometheus.Metric

func (to metricsTo) count(d *prometheus.Desc, v uint64, labels ...string) {
	to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

func (to metricsTo) gauge(d *prometheus.Desc, v float64, labels ...string) {
	to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (to metricsTo) listeners(st *Status) {
	for _, l := range mergeSockets(st.Listeners) {
		to.count(descReceived, l.Messages, l.Transport, l.Address)
		to.count(descBytes, l.Bytes, l.Transport, l.Address)
		if l.Transport == ipfix.UDP.String() {
			to.count(descKernelDrops, l.KernelDrops, l.Address)
			to.gauge(descBuffer, float64(l.ReceiveBuffer), l.Address)
			continue
		}
		to.gauge(descConns, float64(l.Connections), l.Transport, l.Address)
		to.count(descAccepted, l.Accepted, l.Transport, l.Address)
		to.count(descRefused, l.Refused, l.Transport, l.Address)
		to.count(descBroken, l.Broken, l.Transport, l.Address)
	}
	to.count(descDenied, st.Denied.Total)
}

// decoder gives the metrics of decoder and sealer.
func (to metricsTo) decoder(st *Status) {
	to.gauge(descSources, float64(st.Decoder.Sources))
	to.count(descEvicted, st.Decoder.Evicted)
	to.gauge(descState, float64(st.Decoder.StateBytes))
	to.gauge(descWaiting, float64(st.Decoder.WaitingBytes))
	for _, r := range ipfix.Reasons() {
		to.count(descErrors, st.Errors[r.String()], r.String())
	}

	to.gauge(descOpen, float64(st.Sealer.OpenRecords))
	to.count(descSplits, st.Sealer.Splits)
	to <- prometheus.MustNewConstMetric(descStalled, prometheus.CounterValue, st.Sealer.Stalled.Seconds())
}

func (to metricsTo) publisher(p *PublisherStatus) {
	away := 0.0
	if p.Away != "" {
		away = 1
	}
	to.gauge(descAway, away)
	to.gauge(descQueue, float64(p.QueuedBatches), "memory")
	to.gauge(descQueue, float64(p.SpooledBatches), "disk")
	to.gauge(descQBytes, float64(p.QueuedBytes), "memory")
	to.gauge(descQBytes, float64(p.SpooledBytes), "disk")
	to.gauge(descQLimit, float64(p.QueueLimit), "memory")
	to.gauge(descQLimit, float64(p.SpoolLimit), "disk")
	to.gauge(descInFlight, float64(p.InFlight))
	for _, v := range []struct {
		result string
		Volume
	}{{"published", p.Published}, {"spooled", p.Spooled}, {"dropped", p.Dropped}} {
		to.count(descBatches, v.Batches, v.result)
		to.count(descRecords, v.Records, v.result)
		to.count(descBatchBytes, v.Bytes, v.result)
	}
	to.count(descDuplicates, p.Duplicates)
	to.count(descRetries, p.Retries)
	to.count(descDamaged, p.Damaged)
}

func (to metricsTo) exporter(e *exporterMetrics) {
	to.count(descExpMessages, e.Messages, e.label)
	to.count(descExpBytes, e.Bytes, e.label)
	to.count(descExpRecords, e.Records, e.label)
	to.count(descExpFlows, e.Flows, e.label)
	to.count(descExpLostM, e.LostMessages, e.label)
	to.count(descExpLostR, e.LostRecords, e.label)
	to.count(descExpDup, e.Duplicates, e.label)
	to.count(descExpReorder, e.Reordered, e.label)
	to.count(descExpRestarts, e.Restarts, e.label)
	to.count(descExpNoTmpl, e.NoTemplateSets, e.label)
	to.gauge(descExpWaiting, float64(e.WaitingSets), e.label)
	to.count(descExpErrors, e.errors, e.label)
	if e.label != otherExporters && !e.LastMessage.IsZero() {
		to.gauge(descExpLast, float64(e.LastMessage.UnixMilli())/1000, e.label)
		to.gauge(descExpSkew, e.ClockBehind.Seconds(), e.label)
	}
}

// mergeSockets adds up the sockets that share an address.
func mergeSockets(list []ListenerStatus) []ListenerStatus {
	var merged []ListenerStatus
	for _, l := range list {
		if n := len(merged); n > 0 && merged[n-1].Transport == l.Transport && merged[n-1].Address == l.Address {
			m := &merged[n-1]
			m.Messages += l.Messages
			m.Bytes += l.Bytes
			m.KernelDrops += l.KernelDrops
			continue
		}
		merged = append(merged, l)
	}
	return merged
}

// otherExporters is the label of the exporters that have none of their own.
const otherExporters = "other"

type exporterMetrics struct {
	label string
	ExporterStatus
	errors uint64
}

// perExporter adds up the domains and transports of each exporter. An exporter
// keeps its label for the life of the collector; who comes when all labels are
// taken goes under "other".
func (m *metrics) perExporter(list []ExporterStatus) []*exporterMetrics {
	c := m.c
	c.labelsMu.Lock()
	defer c.labelsMu.Unlock()
	byLabel := make(map[string]*exporterMetrics)
	var order []*exporterMetrics
	for i := range list {
		e := &list[i]
		label := otherExporters
		if e.Exporter.IsValid() {
			if _, has := c.labels[e.Exporter]; !has && len(c.labels) < c.cfg.MetricsExporters && e.Records+e.OptionsRecords > 0 {
				c.labels[e.Exporter] = struct{}{}
			}
			if _, has := c.labels[e.Exporter]; has {
				label = e.Exporter.String()
			}
		}
		t := byLabel[label]
		if t == nil {
			t = &exporterMetrics{label: label}
			byLabel[label] = t
			order = append(order, t)
		}
		t.add(e)
	}
	return order
}

func (t *exporterMetrics) add(e *ExporterStatus) {
	t.Messages += e.Messages
	t.Bytes += e.Bytes
	t.Records += e.Records
	t.Flows += e.Flows
	t.LostMessages += e.LostMessages
	t.LostRecords += e.LostRecords
	t.Duplicates += e.Duplicates
	t.Reordered += e.Reordered
	t.Restarts += e.Restarts
	t.NoTemplateSets += e.NoTemplateSets
	t.WaitingSets += e.WaitingSets
	for _, n := range e.Errors {
		t.errors += n
	}
	if e.LastMessage.After(t.LastMessage) {
		t.LastMessage, t.ClockBehind = e.LastMessage, e.ClockBehind
	}
}
