package main

// collection shows a record's way from the socket to the table, and what is lost on it.
func collection() *board {
	b := newBoard("cordon-collection", "Cordon: collection", "What exporters send, what is lost and where, and how far the store is behind.", "now-6h").
		sources(map[string]string{"prometheus": "prometheus", "clickhouse": clickhousePlugin}, "prometheus", "clickhouse")
	one := 1.0
	b.row("Is all well?")
	b.numbers("Records lost", "Within the last hour: by the kernel, on the way from exporters, and since no queue had room.", "short", 8, &one,
		metric("A", `sum(increase(cordon_collector_kernel_drops_total[1h]))`, "datagrams, kernel"),
		metric("B", `sum(increase(cordon_collector_exporter_lost_records_total[1h]))`, "on the way"),
		metric("C", `sum(increase(cordon_collector_records_total{result="dropped"}[1h]))`, "no room"))
	b.numbers("Servers away", "NATS, seen by collectors, and ClickHouse, seen by ingesters.", "short", 6, &one,
		metric("A", `sum(cordon_collector_nats_away)`, "NATS"),
		metric("B", `count(cordon_ingest_store_reachable == 0) or vector(0)`, "ClickHouse"))
	b.numbers("Batches that wait", "In stream FLOWS for an ingester, and those that could not be inserted within the last day.", "short", 6, nil,
		metric("A", `max(cordon_ingest_pending_batches)`, "waiting"),
		metric("B", `sum(increase(cordon_ingest_dead_letters_total[1d]))`, "dead letters"))
	b.numbers("Disk", "The least that is free under any folder.", "bytes", 4, nil, metric("A", `min(cordon_disk_free_bytes)`, "free"))

	b.receiving()
	b.exporters()
	b.storing()
	return b
}

// receiving shows what comes in.
func (b *board) receiving() {
	b.row("Receiving")
	b.graph("Flow records", "By exporter, as decoded.", "cps", 12, metric("A", `sum by (exporter) (rate(cordon_collector_exporter_flows_total[$__rate_interval]))`, "{{exporter}}"))
	b.graph("Messages", "Datagrams, or messages in streams, by transport.", "cps", 6, metric("A", `sum by (transport, address) (rate(cordon_collector_messages_total[$__rate_interval]))`, "{{transport}} {{address}}"))
	b.graph("Bytes", "Of the messages, by transport.", "Bps", 6, metric("A", `sum by (transport, address) (rate(cordon_collector_bytes_total[$__rate_interval]))`, "{{transport}} {{address}}"))
	b.graph("What cannot be decoded", "Messages, sets and records by reason.", "cps", 12, metric("A", `sum by (reason) (rate(cordon_collector_errors_total[$__rate_interval])) > 0`, "{{reason}}"))
	b.graph("Turned away", "From outside the allow-list, forgotten because there were too many sources, and connections closed.", "cps", 12,
		metric("A", `sum(rate(cordon_collector_denied_total[$__rate_interval]))`, "outside the allow-list"),
		metric("B", `sum(rate(cordon_collector_decoder_evicted_total[$__rate_interval]))`, "forgotten"),
		metric("C", `sum(rate(cordon_collector_connections_broken_total[$__rate_interval]))`, "connections broken"))
}

// exporters shows each exporter's silence, loss and clock.
func (b *board) exporters() {
	b.row("Exporters")
	b.graph("Silence", "Since the last message.", "s", 8, metric("A", `time() - cordon_collector_exporter_last_message_timestamp_seconds`, "{{exporter}}"))
	b.graph("Clock", "How far the exporter's clock is behind, transmission included.", "s", 8, metric("A", `cordon_collector_exporter_clock_behind_seconds`, "{{exporter}}"))
	b.graph("Lost for want of templates", "Sets of data that were given up.", "cps", 8, metric("A", `sum by (exporter) (rate(cordon_collector_exporter_no_template_sets_total[$__rate_interval])) > 0`, "{{exporter}}"))
	b.bars("Records lost on the way, by hour", "From sequence numbers, as stored.", "short", 12, series(`SELECT hour AS time, exporter, sum(lost_records) AS lost
FROM cordon.exporters
WHERE $__timeFilter(hour) AND exporter != '::'
GROUP BY time, exporter
ORDER BY time, exporter`))
	b.table("Exporters", "Within the time range, as stored. Times and skew are those of the last message.", 12, map[string]string{"bytes": "bytes", "skew": "ms", "share": "percentunit"}, rows(`SELECT exporter, argMax(name, hour) AS name, sum(records) AS records, sum(bytes) AS bytes, sum(lost_records) AS lost,
    lost / greatest(records + lost, 1) AS share, max(sampling) AS sampling, argMax(clock_skew_ms, hour) AS skew, max(last_seen) AS last
FROM cordon.exporters
WHERE $__timeFilter(hour)
GROUP BY exporter
ORDER BY records DESC`))
}

// storing shows the way from the collector into ClickHouse, and what is kept there.
func (b *board) storing() {
	b.row("From the collector to the store")
	b.graph("Delay", "From a batch's first record to its acknowledgement by NATS, and from its receipt to its insert: 99th percentiles.", "s", 8,
		metric("A", `histogram_quantile(0.99, sum by (le) (rate(cordon_collector_batch_delay_seconds_bucket[$__rate_interval])))`, "to NATS"),
		metric("B", `histogram_quantile(0.99, sum by (le) (rate(cordon_ingest_delay_seconds_bucket[$__rate_interval])))`, "to ClickHouse"))
	b.graph("Queue for NATS", "Bytes that wait, of those that may.", "percentunit", 8, metric("A", `cordon_collector_queue_bytes / cordon_collector_queue_limit_bytes`, "{{instance}} {{place}}"))
	b.graph("Stream FLOWS", "Batches that no ingester has yet, and those that ingesters have and did not acknowledge.", "short", 8,
		metric("A", `max(cordon_ingest_pending_batches)`, "waiting"), metric("B", `max(cordon_ingest_unacknowledged_batches)`, "in work"))
	b.graph("Rows stored", "By table.", "cps", 8, metric("A", `sum by (table) (rate(cordon_ingest_rows_total[$__rate_interval]))`, "{{table}}"))
	b.graph("An insert", "Median and 99th percentile.", "s", 8,
		metric("A", `histogram_quantile(0.5, sum by (le) (rate(cordon_ingest_insert_seconds_bucket[$__rate_interval])))`, "median"),
		metric("B", `histogram_quantile(0.99, sum by (le) (rate(cordon_ingest_insert_seconds_bucket[$__rate_interval])))`, "99th percentile"))
	b.graph("Inserts that fail", "By cause; those of the server are tried again.", "cps", 8, metric("A", `sum by (cause) (rate(cordon_ingest_failed_inserts_total[$__rate_interval]))`, "{{cause}}"))
	b.graph("Memory", "Resident, by process.", "bytes", 8, metric("A", `process_resident_memory_bytes{job=~"cordon.*"}`, "{{instance}}"))
	b.graph("Processor", "Cores, by process.", "short", 8, metric("A", `rate(process_cpu_seconds_total{job=~"cordon.*"}[$__rate_interval])`, "{{instance}}"))
	b.graph("Disk", "Free bytes, by folder.", "bytes", 8, metric("A", `cordon_disk_free_bytes`, "{{holds}} {{folder}}"))
	b.table("Tables", "What is stored, and in how many parts.", 24, map[string]string{"bytes": "bytes"}, rows(`SELECT table, sum(rows) AS stored, sum(bytes_on_disk) AS bytes, round(bytes / greatest(stored, 1), 1) AS bytes_per_row, count() AS parts,
    min(partition) AS oldest, max(partition) AS newest
FROM system.parts
WHERE database = 'cordon' AND active
GROUP BY table
ORDER BY bytes DESC`))
}
