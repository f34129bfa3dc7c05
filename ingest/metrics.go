package ingest

import (
	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	rows, batches  *prometheus.CounterVec // labelled by table
	bytes          prometheus.Counter
	insertSeconds  prometheus.Histogram
	delaySeconds   prometheus.Histogram
	redelivered    prometheus.Counter
	deadLetters    *prometheus.CounterVec // labelled by reason
	failedInserts  *prometheus.CounterVec // labelled by cause
	pending        prometheus.Gauge
	ackPending     prometheus.Gauge
	storeReachable prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "cordon", Subsystem: "ingest", Name: name, Help: help})
	}
	vec := func(name, label, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "cordon", Subsystem: "ingest", Name: name, Help: help}, []string{label})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "cordon", Subsystem: "ingest", Name: name, Help: help})
	}
	m := &metrics{
		rows:    vec("rows_total", "table", "Rows inserted and acknowledged. A batch that comes again counts again."),
		batches: vec("batches_total", "table", "Batches inserted and acknowledged."),
		bytes:   counter("bytes_total", "Bytes of the batches, compressed, as they came from the stream."),
		insertSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "cordon", Subsystem: "ingest", Name: "insert_seconds", Help: "Time that one insert took.",
			Buckets: prometheus.ExponentialBuckets(0.005, 2, 12),
		}),
		delaySeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "cordon", Subsystem: "ingest", Name: "delay_seconds", Help: "Time from the receipt of a batch's first record to its insert.",
			Buckets: prometheus.ExponentialBuckets(0.1, 2, 16),
		}),
		redelivered:    counter("redelivered_total", "Batches that JetStream gave again."),
		deadLetters:    vec("dead_letters_total", "reason", "Batches moved to the dead-letter stream."),
		failedInserts:  vec("failed_inserts_total", "cause", "Inserts that failed: server (away or overloaded, tried again), unclear, or batch."),
		pending:        gauge("pending_batches", "Batches in stream FLOWS that no ingester has yet."),
		ackPending:     gauge("unacknowledged_batches", "Batches that ingesters have and did not acknowledge yet."),
		storeReachable: gauge("store_reachable", "1 if the last insert or check reached ClickHouse."),
	}
	for _, l := range []string{"flows", "exporter_stats"} {
		m.rows.WithLabelValues(l)
		m.batches.WithLabelValues(l)
	}
	for _, l := range reasons {
		m.deadLetters.WithLabelValues(l)
	}
	for _, l := range []string{"server", "unclear", "batch"} {
		m.failedInserts.WithLabelValues(l)
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{
		m.rows, m.batches, m.bytes, m.insertSeconds, m.delaySeconds, m.redelivered, m.deadLetters, m.failedInserts,
		m.pending, m.ackPending, m.storeReachable,
	} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
