-- +goose NO TRANSACTION
-- +goose Up

-- What collectors count for each exporter, as differences over some ten
-- seconds. Small: a row for each exporter, domain and transport per interval.
--
-- Partition: month, TTL as for sessions, since a proposal states the loss of
--   its window however old that is.
-- Sort key: hour and exporter, the grouping of every question to it. Not
--   time first: an exporter's hour should lie together.
-- Deduplicated by its batch token like flows, so a plain MergeTree is enough.
CREATE TABLE IF NOT EXISTS {{local "exporter_stats"}} {{onCluster}}
(
    time            DateTime64(3, 'UTC') COMMENT 'end of the interval, by the collector''s clock' CODEC(Delta(8), LZ4),
    interval_ms     UInt32                  COMMENT 'length of the interval',
    collector       LowCardinality(String)  COMMENT 'collector instance',
    exporter        IPv6                    COMMENT ':: in rows about a listener as a whole',
    domain          UInt32                  COMMENT 'observation domain id',
    transport       LowCardinality(String)  COMMENT 'udp, tcp, tls or file',
    name            LowCardinality(String)  COMMENT 'what the exporter calls itself, from options data',
    messages        UInt64,
    bytes           UInt64,
    records         UInt64                  COMMENT 'data records decoded',
    options_records UInt64,
    templates       UInt64                  COMMENT 'template records, new or repeated',
    lost_messages   UInt64                  COMMENT 'estimated from sequence gaps, UDP',
    lost_records    UInt64                  COMMENT 'from sequence gaps (RFC 7011, section 3.1)',
    duplicates      UInt64                  COMMENT 'messages received twice',
    reordered       UInt64                  COMMENT 'messages that came late',
    restarts        UInt64                  COMMENT 'sequence numbers started anew',
    no_template     UInt64                  COMMENT 'data sets given up because their template never came',
    waiting         UInt64                  COMMENT 'data sets waiting for their template, at the end of the interval',
    late_records    UInt64                  COMMENT 'records whose flow ended long before they came',
    errors          UInt64                  COMMENT 'malformed messages, sets and records',
    dropped_records UInt64                  COMMENT 'records that no queue had room for',
    refused         UInt64                  COMMENT 'messages of exporters that the allow-list does not have',
    kernel_drops    UInt64                  COMMENT 'datagrams that the listener''s socket buffer had no room for',
    sampling        UInt32                  COMMENT 'coarsest sampling in use; 0 unknown',
    clock_skew_ms   Int64                   COMMENT 'export time less time of receipt, of the last message',
    last_export     DateTime64(3, 'UTC')    COMMENT 'export time of the last message, by the exporter''s clock'
)
ENGINE = {{engine "MergeTree"}}
PARTITION BY toStartOfMonth(time)
ORDER BY (toStartOfHour(time), exporter, domain, transport, collector)
TTL {{ttl "exporter_stats"}}
SETTINGS ttl_only_drop_parts = 1, {{dedupWindow}}
COMMENT 'counters of collectors about exporters';

{{distributed "exporter_stats" "cityHash64(exporter)"}}

-- One row for each exporter and hour: what came, and what is missing. The
-- hour is that of receipt, or for files, which are read long after, that of
-- export. '::' stands for what cannot be laid to one exporter: datagrams that
-- a socket had no room for, records that no queue had room for.
CREATE VIEW IF NOT EXISTS {{table "exporters"}} {{onCluster}} AS
SELECT
    {{text "e.exporter"}} AS exporter,
    toStartOfHour(if(e.transport = 'file', e.last_export, e.time)) AS hour,
    argMaxIf(e.name, e.time, e.name != '') AS name,
    arraySort(groupUniqArray(e.domain)) AS domains,
    arraySort(groupUniqArray(toString(e.transport))) AS transports,
    arraySort(groupUniqArray(toString(e.collector))) AS collectors,
    min(e.time - INTERVAL e.interval_ms MILLISECOND) AS first_seen,
    maxIf(e.time, e.messages > 0) AS last_seen,
    sum(e.messages) AS messages, sum(e.bytes) AS bytes, sum(e.records) AS records,
    sum(e.options_records) AS options_records, sum(e.templates) AS templates,
    sum(e.lost_messages) AS lost_messages, sum(e.lost_records) AS lost_records,
    round(lost_records / greatest(records + lost_records, 1), 6) AS loss,
    sum(e.duplicates) AS duplicates, sum(e.reordered) AS reordered, sum(e.restarts) AS restarts,
    sum(e.no_template) AS no_template,
    sum(e.late_records) AS late_records, sum(e.errors) AS errors,
    sum(e.dropped_records) AS dropped_records, sum(e.refused) AS refused, sum(e.kernel_drops) AS kernel_drops,
    max(e.sampling) AS sampling,
    argMax(e.clock_skew_ms, e.time) AS clock_skew_ms,
    max(e.last_export) AS last_export
FROM {{table "exporter_stats"}} AS e
GROUP BY e.exporter, hour;

-- One row for each exporter, over everything stored.
CREATE VIEW IF NOT EXISTS {{table "exporters_total"}} {{onCluster}} AS
SELECT
    exporter,
    argMaxIf(h.name, h.hour, h.name != '') AS name,
    arraySort(groupUniqArrayArray(h.domains)) AS domains,
    arraySort(groupUniqArrayArray(h.transports)) AS transports,
    arraySort(groupUniqArrayArray(h.collectors)) AS collectors,
    count() AS hours,
    min(h.first_seen) AS first_seen, max(h.last_seen) AS last_seen,
    sum(h.messages) AS messages, sum(h.bytes) AS bytes, sum(h.records) AS records,
    sum(h.options_records) AS options_records, sum(h.templates) AS templates,
    sum(h.lost_messages) AS lost_messages, sum(h.lost_records) AS lost_records,
    round(lost_records / greatest(records + lost_records, 1), 6) AS loss,
    sum(h.duplicates) AS duplicates, sum(h.reordered) AS reordered, sum(h.restarts) AS restarts,
    sum(h.no_template) AS no_template,
    sum(h.late_records) AS late_records, sum(h.errors) AS errors,
    sum(h.dropped_records) AS dropped_records, sum(h.refused) AS refused, sum(h.kernel_drops) AS kernel_drops,
    max(h.sampling) AS sampling,
    argMax(h.clock_skew_ms, h.hour) AS clock_skew_ms,
    max(h.last_export) AS last_export
FROM {{table "exporters"}} AS h
GROUP BY exporter;
