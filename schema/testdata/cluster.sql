-- 00001_flows.sql
-- +goose NO TRANSACTION
-- +goose Up

-- Raw flow records, one row each, as the exporter gave them. Short-lived: what
-- the recommender needs is folded into sessions_hourly on insert.
--
-- Partition: day of `received`, the collector's clock. An exporter's clock can
--   say anything, and each partition of an insert is a part of its own.
-- Sort key: `received` alone. Every question to raw records has a time range
--   ("what did host X do around 10:30"), and batches come in that order, so that
--   an insert has nothing to sort and a merge nothing to interleave. With the
--   endpoints behind the minute an insert of 28,000 rows took 15 ms instead of 8
--   and merges twice as long, and the rows took more space, not less: 34 bytes
--   instead of 31.
-- TTL: whole parts only (ttl_only_drop_parts), so expiry rewrites nothing.
-- Deduplication: a redelivered batch comes with the same token within the
--   consumer's AckWait; the window is measured in inserts.
CREATE TABLE IF NOT EXISTS `cordon`.flows_local ON CLUSTER `main`
(
    received          DateTime64(6, 'UTC') COMMENT 'when the collector got the record' CODEC(Delta(8), LZ4),
    exporter          IPv6                                          COMMENT 'address of the exporter; :: for imported files',
    domain            UInt32                                        COMMENT 'observation domain id (RFC 7011, section 3.1)',
    start_time        DateTime64(6, 'UTC') COMMENT 'flow start, by the exporter''s clock' CODEC(Delta(8), LZ4),
    end_time          DateTime64(6, 'UTC') COMMENT 'flow end, by the exporter''s clock' CODEC(Delta(8), LZ4),
    src_ip            IPv6                                          COMMENT 'source address, IPv4 mapped; see src',
    dst_ip            IPv6                                          COMMENT 'destination address, IPv4 mapped; see dst',
    src_port          UInt16,
    dst_port          UInt16,
    proto             UInt8                                         COMMENT 'IANA protocol number',
    icmp_type         UInt8                                         COMMENT 'as sent, for ICMP and ICMPv6',
    icmp_code         UInt8,
    bytes             UInt64                                        COMMENT 'source to destination',
    packets           UInt64                                        COMMENT 'source to destination',
    rev_bytes         UInt64                                        COMMENT 'destination to source, in biflow records (RFC 5103)',
    rev_packets       UInt64                                        COMMENT 'destination to source, in biflow records (RFC 5103)',
    tcp_flags         UInt16                                        COMMENT 'union over the flow, source to destination',
    rev_tcp_flags     UInt16                                        COMMENT 'union over the flow, destination to source',
    in_if             UInt32                                        COMMENT 'SNMP index of the ingress interface',
    out_if            UInt32                                        COMMENT 'SNMP index of the egress interface',
    vlan              UInt16,
    l2_segment        UInt64                                        COMMENT 'layer2SegmentId (IE 351), encapsulation type included',
    vrf_id            UInt32                                        COMMENT 'ingressVRFID (IE 234)',
    vrf               LowCardinality(String) DEFAULT 'default',
    flow_direction    Enum8('unknown' = 0, 'ingress' = 1, 'egress' = 2)             COMMENT 'flowDirection (IE 61) at the observation point',
    forwarding_status UInt8                                         COMMENT 'IE 89 (RFC 7270): 64-127 forwarded, 128-191 dropped, 192-255 consumed',
    firewall_event    UInt8                                         COMMENT 'IE 233: 1 created, 2 deleted, 3 denied, 4 alert, 5 updated',
    end_reason        UInt8                                         COMMENT 'IE 136: 1 idle, 2 active timeout, 3 end detected, 4 forced, 5 lack of resources',
    sampling          UInt32                                        COMMENT 'one packet in so many was looked at; 0 unknown',
    action            Enum8('' = 0, 'forwarded' = 1, 'dropped' = 2)                 COMMENT 'what became of the packets',
    direction         Enum8('unknown' = 0, 'forward' = 1, 'reverse' = 2)            COMMENT 'forward: the source is the client; reverse: the destination is',
    basis             Enum8('none' = 0, 'degree' = 1, 'known-port' = 2, 'port-range' = 3, 'icmp' = 4, 'tcp-flags' = 5, 'initiator' = 6, 'stated' = 7) COMMENT 'evidence for direction',
    completeness      Enum8('one-way' = 0, 'both-ways' = 1, 'unknowable' = 2)       COMMENT 'what the record alone can tell of an answer',
    count             UInt32 DEFAULT 1                              COMMENT 'identical records that this row stands for',

    -- For people: addresses as text, IPv4 as IPv4. Cost nothing until asked for.
    src String ALIAS if(src_ip BETWEEN toIPv6('::ffff:0.0.0.0') AND toIPv6('::ffff:255.255.255.255'), substring(toString(src_ip), 8), toString(src_ip)),
    dst String ALIAS if(dst_ip BETWEEN toIPv6('::ffff:0.0.0.0') AND toIPv6('::ffff:255.255.255.255'), substring(toString(dst_ip), 8), toString(dst_ip))
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{uuid}/{shard}', '{replica}')
PARTITION BY toDate(received)
ORDER BY received
TTL toDateTime(received) + INTERVAL 86400 SECOND
SETTINGS ttl_only_drop_parts = 1, replicated_deduplication_window = 20000, replicated_deduplication_window_seconds = 86400, min_parts_to_merge_at_once = 30
COMMENT 'raw flow records';

-- Both directions between two endpoints belong on one shard: the session that
-- they make is then folded there, once. Hence least/greatest.
CREATE TABLE IF NOT EXISTS `cordon`.flows ON CLUSTER `main` AS `cordon`.flows_local
ENGINE = Distributed('main', 'cordon', 'flows_local', cityHash64(vrf, least(src_ip, dst_ip), greatest(src_ip, dst_ip)));
-- 00002_sessions.sql
-- +goose NO TRANSACTION
-- +goose Up

-- Sessions by hour: what every proposal is computed from. One row (once parts
-- have merged) for each session, hour and exporter. The ingester folds each
-- batch into such rows and inserts them under the batch's deduplication token;
-- why not a materialized view does is told at type Folder of package schema.
--
-- Each record has its client and server, or is undecided. The rows of
-- undecided records keep both ports, and `server` is, for the time being, the
-- end with the lower port (then the lower address); session_directions says
-- later, over everything stored, which end it really is.
--
-- The exporter is part of the key so that a flow seen at two places is not
-- counted twice: views sum over hours the most that one exporter saw in each.
--
-- Counts of flow records, each record in one of them:
--   complete    the record itself shows an answer, or cannot tell
--   half_open   a record with both directions, of which one is empty
--   unanswered  one-way, and shows by its TCP flags that nothing was accepted:
--               SYN without ACK, or nothing but RST
--   requests    one-way, client to server, no evidence either way
--   replies     one-way, server to client: an answer
--   denied      dropped by the network
--
-- Partition: month of `received`, since the hour is the exporter's word and
--   TTL must drop whole parts; and decided or not, so that reading the few
--   undecided rows does not touch the others.
-- Sort key: day first, so that a window reads its days only; then the server's
--   end, the question asked most ("who talks to this host", "who uses this
--   service") and the best neighbours for compression.
CREATE TABLE IF NOT EXISTS `cordon`.sessions_hourly_local ON CLUSTER `main`
(
    month          Date                                COMMENT 'first day of the month in which the records were received',
    decided        Bool                                COMMENT 'the records tell client from server',
    hour           DateTime('UTC')                     COMMENT 'hour of the flow start, or of its receipt where the exporter''s clock is out of its mind',
    vrf            LowCardinality(String),
    server         IPv6,
    proto          UInt8,
    port           UInt16                              COMMENT 'at the server''s end',
    icmp_type      UInt8                               COMMENT 'of the request',
    icmp_code      UInt8,
    client         IPv6,
    client_port    UInt16                              COMMENT 'where undecided, else 0',
    exporter       IPv6,
    first_seen     SimpleAggregateFunction(min, DateTime64(6, 'UTC')),
    last_seen      SimpleAggregateFunction(max, DateTime64(6, 'UTC')),
    client_packets SimpleAggregateFunction(sum, UInt64),
    client_bytes   SimpleAggregateFunction(sum, UInt64),
    server_packets SimpleAggregateFunction(sum, UInt64),
    server_bytes   SimpleAggregateFunction(sum, UInt64),
    complete       SimpleAggregateFunction(sum, UInt64),
    half_open      SimpleAggregateFunction(sum, UInt64),
    unanswered     SimpleAggregateFunction(sum, UInt64),
    requests       SimpleAggregateFunction(sum, UInt64),
    replies        SimpleAggregateFunction(sum, UInt64),
    denied         SimpleAggregateFunction(sum, UInt64),
    client_flags   SimpleAggregateFunction(groupBitOr, UInt16) COMMENT 'union of the client''s TCP flags',
    server_flags   SimpleAggregateFunction(groupBitOr, UInt16) COMMENT 'union of the server''s TCP flags',
    sides          SimpleAggregateFunction(groupBitOr, UInt8)  COMMENT 'one-way records seen: 1 from the client, 2 from the server',
    basis          SimpleAggregateFunction(max, UInt8)         COMMENT 'strongest evidence for the direction, as in flows',
    sampling       SimpleAggregateFunction(max, UInt32)        COMMENT 'coarsest sampling; 0 unknown',

    -- Built by merges, not by inserts: a part just inserted is small.
    INDEX last_seen last_seen TYPE minmax GRANULARITY 1,
    INDEX client    client    TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/{uuid}/{shard}', '{replica}')
PARTITION BY (month, decided)
ORDER BY (toDate(hour), server, proto, port, client, vrf, icmp_type, icmp_code, client_port, exporter, hour)
TTL month + INTERVAL 1 MONTH + INTERVAL 34819200 SECOND
SETTINGS ttl_only_drop_parts = 1, replicated_deduplication_window = 20000, replicated_deduplication_window_seconds = 86400, min_parts_to_merge_at_once = 60
COMMENT 'sessions by hour and exporter';

CREATE TABLE IF NOT EXISTS `cordon`.sessions_hourly ON CLUSTER `main` AS `cordon`.sessions_hourly_local
ENGINE = Distributed('main', 'cordon', 'sessions_hourly_local', cityHash64(vrf, least(server, client), greatest(server, client)));

-- The views over this table are made by the last file that ends in session_views.sql.
-- 00003_exporters.sql
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
CREATE TABLE IF NOT EXISTS `cordon`.exporter_stats_local ON CLUSTER `main`
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
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{uuid}/{shard}', '{replica}')
PARTITION BY toStartOfMonth(time)
ORDER BY (toStartOfHour(time), exporter, domain, transport, collector)
TTL toDateTime(toStartOfMonth(time)) + INTERVAL 1 MONTH + INTERVAL 34819200 SECOND
SETTINGS ttl_only_drop_parts = 1, replicated_deduplication_window = 20000, replicated_deduplication_window_seconds = 86400
COMMENT 'counters of collectors about exporters';

CREATE TABLE IF NOT EXISTS `cordon`.exporter_stats ON CLUSTER `main` AS `cordon`.exporter_stats_local
ENGINE = Distributed('main', 'cordon', 'exporter_stats_local', cityHash64(exporter));

-- One row for each exporter and hour: what came, and what is missing. The
-- hour is that of receipt, or for files, which are read long after, that of
-- export. '::' stands for what cannot be laid to one exporter: datagrams that
-- a socket had no room for, records that no queue had room for.
CREATE VIEW IF NOT EXISTS `cordon`.exporters ON CLUSTER `main` AS
SELECT
    if(e.exporter BETWEEN toIPv6('::ffff:0.0.0.0') AND toIPv6('::ffff:255.255.255.255'), substring(toString(e.exporter), 8), toString(e.exporter)) AS exporter,
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
FROM `cordon`.exporter_stats AS e
GROUP BY e.exporter, hour;

-- One row for each exporter, over everything stored.
CREATE VIEW IF NOT EXISTS `cordon`.exporters_total ON CLUSTER `main` AS
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
FROM `cordon`.exporters AS h
GROUP BY exporter;
-- 00004_policy.sql
-- +goose NO TRANSACTION
-- +goose Up

-- Small tables that whole answers are written to, once and as one insert. In a
-- cluster every node has all of them (no shard in their path), so that they
-- join with anything.
--
-- ReplacingMergeTree: writing the same again, after a failure or by a second
-- recommender, leaves one copy. Readers use the views, which read FINAL; the
-- tables are small.

-- Group prefixes by the file that they were loaded from. A file is known by
-- the hash of its contents.
CREATE TABLE IF NOT EXISTS `cordon`.group_prefixes ON CLUSTER `main`
(
    file_id  String                 COMMENT 'hash of the groups file',
    loaded   DateTime64(3, 'UTC')   COMMENT 'when this file was loaded last',
    category LowCardinality(String),
    `group`  LowCardinality(String),
    prefix   String                 COMMENT 'CIDR notation'
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{uuid}', '{shard}-{replica}', loaded)
ORDER BY (file_id, category, `group`, prefix)
COMMENT 'every groups file that was loaded';

-- The groups file loaded last.
CREATE VIEW IF NOT EXISTS `cordon`.groups ON CLUSTER `main` AS
SELECT category, `group`, prefix, file_id, loaded
FROM `cordon`.group_prefixes FINAL
WHERE file_id = (SELECT argMax(g.file_id, (g.loaded, g.file_id)) FROM `cordon`.group_prefixes AS g);

-- A proposal's id is the hash of its document, so a row never changes.
CREATE TABLE IF NOT EXISTS `cordon`.proposal_documents ON CLUSTER `main`
(
    id          String                  COMMENT 'sha256 of the document',
    created     DateTime64(3, 'UTC')    COMMENT 'when it was computed first',
    vrf         LowCardinality(String),
    window_from DateTime64(6, 'UTC'),
    window_to   DateTime64(6, 'UTC'),
    categories  Array(String)           COMMENT 'selected, in order of precedence',
    rules       UInt32,
    lower_bound UInt32                  COMMENT 'no sound and complete rule set has fewer rules',
    optimal     Bool,
    cells       UInt64,
    sessions    UInt64                  COMMENT 'in the window',
    included    UInt64                  COMMENT 'permitted by the rules',
    document    String COMMENT 'JSON, as published' CODEC(ZSTD(6))
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{uuid}', '{shard}-{replica}')
ORDER BY (vrf, id)
COMMENT 'policy proposals';

CREATE VIEW IF NOT EXISTS `cordon`.proposals ON CLUSTER `main` AS
SELECT id, created, vrf, window_from, window_to, categories, rules, lower_bound, optimal, cells, sessions, included, document
FROM `cordon`.proposal_documents FINAL;

CREATE TABLE IF NOT EXISTS `cordon`.proposal_rule_rows ON CLUSTER `main`
(
    proposal        String                  COMMENT 'id of the proposal',
    ordinal         UInt32                  COMMENT 'position in the document, from 0',
    id              String,
    name            String,
    action          LowCardinality(String),
    sources         Array(String)           COMMENT 'group:NAME, ip:PREFIX or any',
    destinations    Array(String)           COMMENT 'group:NAME, ip:PREFIX or any',
    services        Array(String),
    sessions        UInt64                  COMMENT 'evidence',
    flows           UInt64                  COMMENT 'evidence',
    bytes           UInt64                  COMMENT 'evidence, both directions',
    clients         UInt64                  COMMENT 'evidence',
    servers         UInt64                  COMMENT 'evidence',
    first_seen      DateTime64(6, 'UTC')    COMMENT 'evidence',
    last_seen       DateTime64(6, 'UTC')    COMMENT 'evidence',
    permitted_pairs UInt64,
    observed_pairs  UInt64
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{uuid}', '{shard}-{replica}')
ORDER BY (proposal, ordinal)
COMMENT 'rules of policy proposals';

CREATE VIEW IF NOT EXISTS `cordon`.proposal_rules ON CLUSTER `main` AS
SELECT proposal, ordinal, id, name, action, sources, destinations, services,
    sessions, flows, bytes, clients, servers, first_seen, last_seen, permitted_pairs, observed_pairs
FROM `cordon`.proposal_rule_rows FINAL;
-- 00006_exporter_names.sql
-- +goose NO TRANSACTION
-- +goose Up

-- What exporters call their interfaces and VRFs, from options data. Small, and
-- apart from flows: names come later than the records they are for, and change.
-- In a cluster every node has all of it, so that it joins with anything.
--
-- ReplacingMergeTree: the newest name of a number stays. Readers use the view.
CREATE TABLE IF NOT EXISTS `cordon`.exporter_name_rows ON CLUSTER `main`
(
    time     DateTime64(3, 'UTC')   COMMENT 'when the collector found the name',
    exporter IPv6,
    domain   UInt32                 COMMENT 'observation domain id',
    kind     LowCardinality(String) COMMENT 'interface or vrf',
    id       UInt32                 COMMENT 'as in_if, out_if and vrf_id of flows',
    name     String
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{uuid}', '{shard}-{replica}', time)
ORDER BY (exporter, domain, kind, id)
COMMENT 'names that exporters give to their interfaces and VRFs';

CREATE VIEW IF NOT EXISTS `cordon`.exporter_names ON CLUSTER `main` AS
SELECT if(r.exporter BETWEEN toIPv6('::ffff:0.0.0.0') AND toIPv6('::ffff:255.255.255.255'), substring(toString(r.exporter), 8), toString(r.exporter)) AS exporter, r.domain AS domain, r.kind AS kind, r.id AS id, r.name AS name, r.time AS time, r.exporter AS exporter_ip
FROM `cordon`.exporter_name_rows AS r FINAL;
-- 00007_session_parts.sql
-- +goose NO TRANSACTION
-- +goose Up

-- A group of batches is a part of up to 26 MB before compression, for which
-- ClickHouse would make two files a column. Making seventy files took a quarter
-- of the insert, and more than all the rest of it on a disk where files come
-- and go. So a group is one file; what merges make of several full groups has
-- files for each column again.
ALTER TABLE `cordon`.sessions_hourly_local ON CLUSTER `main` MODIFY SETTING min_bytes_for_wide_part = 33554432;

-- Since sides is taken of records for both directions, too.
ALTER TABLE `cordon`.sessions_hourly_local ON CLUSTER `main` COMMENT COLUMN sides 'whose packets the exporter has shown: 1 the client''s, 2 the server''s';
-- 00010_translation_and_exit.sql
-- +goose NO TRANSACTION
-- +goose Up

-- What NAT makes of the ends of a record. `flows` keeps what was dialled beside
-- it; a session has the hosts at its ends (see Record.Ends of package schema).
ALTER TABLE `cordon`.flows_local ON CLUSTER `main`
    ADD COLUMN IF NOT EXISTS post_src_ip   IPv6   COMMENT 'source after NAT (IE 225, 281), IPv4 mapped; :: where it stays',
    ADD COLUMN IF NOT EXISTS post_dst_ip   IPv6   COMMENT 'destination after NAT (IE 226, 282), IPv4 mapped; :: where it stays',
    ADD COLUMN IF NOT EXISTS post_src_port UInt16 COMMENT 'source port after NAT (IE 227); 0 where it stays',
    ADD COLUMN IF NOT EXISTS post_dst_port UInt16 COMMENT 'destination port after NAT (IE 228); 0 where it stays';
ALTER TABLE `cordon`.flows ON CLUSTER `main` ADD COLUMN IF NOT EXISTS post_src_ip IPv6, ADD COLUMN IF NOT EXISTS post_dst_ip IPv6, ADD COLUMN IF NOT EXISTS post_src_port UInt16, ADD COLUMN IF NOT EXISTS post_dst_port UInt16;

-- One exporter may meter a flow where its packets enter and again where they
-- leave. In the key, since the views take the most that one place saw.
ALTER TABLE `cordon`.sessions_hourly_local ON CLUSTER `main`
    ADD COLUMN IF NOT EXISTS egress Bool COMMENT 'metered where packets leave the exporter',
    MODIFY ORDER BY (toDate(hour), server, proto, port, client, vrf, icmp_type, icmp_code, client_port, exporter, hour, egress);
ALTER TABLE `cordon`.sessions_hourly ON CLUSTER `main` ADD COLUMN IF NOT EXISTS egress Bool;
ALTER TABLE `cordon`.sessions_hourly_local ON CLUSTER `main` COMMENT COLUMN client_port 'where undecided, and of TFTP (udp/69), else 0';
-- 00011_session_views.sql
-- +goose NO TRANSACTION
-- +goose Up

-- What the views of 00016 need beside tables. Views hold no rows, so a later version
-- changes them here and gives the file a new number.

-- Since 4294967295 is a rate that nobody knows (SamplingUnknown of package schema).
ALTER TABLE `cordon`.flows_local ON CLUSTER `main` COMMENT COLUMN sampling 'one packet in so many was looked at; 0 not said, 4294967295 nobody knows in how many';
ALTER TABLE `cordon`.sessions_hourly_local ON CLUSTER `main` COMMENT COLUMN sampling 'coarsest sampling; 0 not said, 4294967295 at an unknown rate';
ALTER TABLE `cordon`.exporter_stats_local ON CLUSTER `main` COMMENT COLUMN sampling 'coarsest sampling in use; 0 none is known of, 4294967295 at an unknown rate';

-- The exporters that look at some packets only. What such an exporter sent before
-- it said so has sampling 0, and was sampled all the same.
CREATE OR REPLACE VIEW `cordon`.sampled_exporters ON CLUSTER `main` AS
SELECT exporter FROM `cordon`.sessions_hourly WHERE sampling > 1 AND exporter != toIPv6('::')
UNION DISTINCT
SELECT exporter FROM `cordon`.exporter_stats WHERE sampling > 1 AND exporter != toIPv6('::');

-- Later fragments of IP packets have no ports. They go to the session of the same
-- hosts and protocol that sent most: server, client and proto are those of the
-- fragments' rows of sessions_hourly, the to_... columns are the session's.
CREATE OR REPLACE VIEW `cordon`.session_fragments ON CLUSTER `main` AS
SELECT q.vrf AS vrf, q.proto AS proto, least(q.server, q.client) AS server, greatest(q.server, q.client) AS client,
    argMax((q.server, q.port, q.client), (q.bytes, q.server, q.port)) AS session,
    session.1 AS to_server, session.2 AS to_port, session.3 AS to_client
FROM
(
    SELECT s.vrf AS vrf, s.proto AS proto, s.server AS server, s.port AS port, s.client AS client, sum(s.client_bytes + s.server_bytes) AS bytes
    FROM `cordon`.sessions_hourly AS s
    WHERE s.decided AND s.port != 0 AND (s.vrf, s.proto, least(s.server, s.client), greatest(s.server, s.client)) GLOBAL IN
    (
        SELECT vrf, proto, server, client FROM `cordon`.sessions_hourly WHERE NOT decided AND port = 0 AND client_port = 0 AND proto IN (6, 17, 33, 132, 136)
    )
    GROUP BY s.vrf, s.proto, s.server, s.port, s.client
) AS q
GROUP BY q.vrf, q.proto, least(q.server, q.client), greatest(q.server, q.client);


-- 00012_imports_apart.sql
-- +goose NO TRANSACTION
-- +goose Up

-- Rows know the import that brought them, so that one import can be taken back.
-- In sessions_hourly the number is the last part of the sorting key: the sums
-- of different imports are never merged, and the views, which group by
-- exporter, add them up as before. What exporters sent has number 0.
ALTER TABLE `cordon`.flows_local ON CLUSTER `main`
    ADD COLUMN IF NOT EXISTS import UInt32 COMMENT 'number of the import, see view imports; 0 for what exporters sent';
ALTER TABLE `cordon`.flows ON CLUSTER `main` ADD COLUMN IF NOT EXISTS import UInt32;

ALTER TABLE `cordon`.sessions_hourly_local ON CLUSTER `main`
    ADD COLUMN IF NOT EXISTS import UInt32 COMMENT 'number of the import, see view imports; 0 for what exporters sent',
    MODIFY ORDER BY (toDate(hour), server, proto, port, client, vrf, icmp_type, icmp_code, client_port, exporter, hour, egress, import);
ALTER TABLE `cordon`.sessions_hourly ON CLUSTER `main` ADD COLUMN IF NOT EXISTS import UInt32;
-- 00013_imports.sql
-- +goose NO TRANSACTION
-- +goose Up

-- The imports of files, each a row that changes its state. In a cluster every
-- node has all of them.
--
-- ReplacingMergeTree: the newest state of an import stays. Readers use the view.
-- The instance is part of the key so that two imports which took the same number
-- at the same time see each other, and one takes another number.
CREATE TABLE IF NOT EXISTS `cordon`.import_rows ON CLUSTER `main`
(
    id         UInt32                COMMENT 'number of the import, as in column import of flows and sessions_hourly',
    instance   String                COMMENT 'as column collector of exporter_stats; the batches'' ids begin with it',
    state      Enum8('started' = 1, 'done' = 2, 'undoing' = 3, 'undone' = 4, 'forgotten' = 5),
    file       String                COMMENT 'name of the file as it was given; empty where another import had the same number first',
    digest     String                COMMENT 'SHA-256 of the file''s contents, decompressed',
    records    UInt64                COMMENT 'flow records read',
    bad_rows   UInt64                COMMENT 'rows that were passed over on request',
    process    String                COMMENT 'host and process id of whoever imports or takes back',
    started    DateTime64(3, 'UTC'),
    changed    DateTime64(3, 'UTC')  COMMENT 'when the state was written last; a running import writes it again and again',
    version    UInt64                COMMENT 'counts the writes of this row'
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{uuid}', '{shard}-{replica}', version)
ORDER BY (id, instance)
COMMENT 'imports of files';

CREATE VIEW IF NOT EXISTS `cordon`.imports ON CLUSTER `main` AS
SELECT id, state, file, digest, records, bad_rows, started, changed, process, instance
FROM `cordon`.import_rows FINAL
WHERE file != '';
-- 00016_session_views.sql
-- +goose NO TRANSACTION
-- +goose Up

-- Views over sessions_hourly at the engine's speed. A test holds them against simpler ones,
-- testdata/reference_views.sql, that take three groupings for every session.
--
-- ClickHouse analyses a subquery again for each name that stands for it and for many of the
-- columns of each step around it, so one query of many steps took a second and a half
-- before it read anything. A view is analysed by itself and once. So each step is a view,
-- and a question that needs a subquery is asked in one place.

-- Each end (address, end_port) of undecided sessions and each peer it was seen with.
CREATE OR REPLACE VIEW `cordon`.session_ends ON CLUSTER `main` AS
SELECT e.*,
    count() OVER (PARTITION BY vrf, proto, address, end_port) AS degree,
    max(side = 0) OVER (PARTITION BY vrf, proto, address, end_port) AS serves,
    max(side = 0) OVER (PARTITION BY vrf, proto, address, end_port, peer) AS served,
    uniqExactIf(peer, side > 0) OVER (PARTITION BY vrf, proto, address) AS peers,
    uniqExactIf(end_port, side > 0) OVER (PARTITION BY vrf, proto, address) AS own_ports,
    uniqExactIf(peer_port, side > 0) OVER (PARTITION BY vrf, proto, address) AS peer_ports
FROM
(
    SELECT vrf, proto, server, port, client, client_port, side,
        max(if(side = 1, server_packets + server_bytes + replies, client_packets + client_bytes + requests) > 0) AS sent,
        if(side = 1, server, client) AS address, if(side = 1, port, client_port) AS end_port, if(side = 1, client, server) AS peer,
        if(side = 1, client_port, port) AS peer_port
    FROM `cordon`.sessions_hourly
    ARRAY JOIN [1, 2] AS side
    WHERE NOT decided AND NOT (port = 0 AND client_port = 0 AND proto IN (6, 17, 33, 132, 136))
    GROUP BY vrf, proto, server, port, client, client_port, side
    UNION ALL
    SELECT DISTINCT vrf, proto, server, port, client, 0 AS client_port, 0 AS side, 0 AS sent, server AS address, port AS end_port, client AS peer, 0 AS peer_port
    FROM `cordon`.sessions_hourly
    WHERE decided AND (server, proto, port) GLOBAL IN
    (
        SELECT if(side = 1, server, client), proto, if(side = 1, port, client_port)
        FROM `cordon`.sessions_hourly
        ARRAY JOIN [1, 2] AS side
        WHERE NOT decided AND NOT (port = 0 AND client_port = 0 AND proto IN (6, 17, 33, 132, 136))
    )
) AS e;

-- What session_directions knows of the ends of each undecided session.
CREATE OR REPLACE VIEW `cordon`.session_degrees ON CLUSTER `main` AS
SELECT
    p.vrf AS vrf, p.proto AS proto,
    p.server AS server, p.port AS port, p.client AS client, p.client_port AS client_port,
    maxIf(p.degree, p.side = 1) AS server_degree,
    maxIf(p.degree, p.side = 2) AS client_degree,
    maxIf(p.served, p.side = 1) AS decided_as_here,
    maxIf(p.served, p.side = 2) AS decided_opposite,
    maxIf(p.sent, p.side = 1) AS server_sent,
    maxIf(p.sent, p.side = 2) AS client_sent,
    maxIf(p.serves, p.side = 1) AS server_serves,
    maxIf(p.serves, p.side = 2) AS client_serves,
    maxIf(p.own_ports >= 4 * p.peer_ports, p.side = 1) AS server_fans_out,
    maxIf(p.own_ports >= 4 * p.peer_ports, p.side = 2) AS client_fans_out,
    maxIf(p.peers, p.side = 1) AS server_peers,
    maxIf(p.peers, p.side = 2) AS client_peers
FROM `cordon`.session_ends AS p
WHERE p.side > 0
GROUP BY p.vrf, p.proto, p.server, p.port, p.client, p.client_port;

-- Which end of an undecided session is the server, from everything stored:
--   1. the same endpoints in a decided session ('decided');
--   2. both ends have the same port, or none (GRE, ESP), and one end alone has
--      sent: it is the client ('sender');
--   3. degree: how many different ends (address and port) an end was seen with,
--      decided clients included. A server's port is used by many, a client's
--      port by one. Twice as many as the other's says enough ('degree');
--   4. one end alone is the server of others in decided sessions ('serves');
--   5. what both hosts do in all undecided sessions ('hosts'): a client of many has
--      at least four times as many ports as those that it talks to; else, of two
--      dynamic ports, a server has at least four times as many peers as its client;
--   6. nothing. Of a protocol without ports no end asks and none answers, and a
--      rule permits both ways: the lower address stays the server ('address'), so
--      that tunnels between the same two prefixes all point the same way. The same
--      where both ends send from and to one port (IKE, NTP between equals, DHCP
--      relays): which service it is is plain. With other ports the direction is
--      ambiguous, and the lower port stays the server.
-- Later fragments, which have no ports, are not here: see session_fragments.
-- A row of this view shows why, so a person can check it.
CREATE OR REPLACE VIEW `cordon`.session_directions ON CLUSTER `main` AS
SELECT
    p.vrf AS vrf, p.proto AS proto,
    p.server AS server, p.port AS port, p.client AS client, p.client_port AS client_port,
    p.server_degree AS server_degree, p.client_degree AS client_degree,
    p.decided_as_here AS decided_as_here, p.decided_opposite AS decided_opposite,
    (p.port != 0 OR p.proto NOT IN (1, 6, 17, 33, 58, 132, 136)) AND p.port = p.client_port AND p.server_sent != p.client_sent AS one_sender,
    p.client_degree >= 2 * p.server_degree OR p.server_degree >= 2 * p.client_degree AS degrees_differ,
    p.server_serves AS server_serves, p.client_serves AS client_serves,
    p.server_fans_out AS server_fans_out, p.client_fans_out AS client_fans_out,
    p.server_peers AS server_peers, p.client_peers AS client_peers,
    p.server_fans_out != p.client_fans_out
        OR least(p.port, p.client_port) >= 32768 AND (p.client_peers >= 4 * p.server_peers OR p.server_peers >= 4 * p.client_peers) AS hosts_differ,
    multiIf(
        p.decided_as_here != p.decided_opposite, p.decided_opposite,
        one_sender, p.server_sent,
        degrees_differ, p.client_degree > p.server_degree,
        p.server_serves != p.client_serves, p.client_serves,
        p.server_fans_out != p.client_fans_out, p.server_fans_out,
        hosts_differ AND p.client_peers > p.server_peers) AS turned,
    multiIf(
        p.decided_as_here != p.decided_opposite, 'decided',
        one_sender, 'sender',
        degrees_differ, 'degree',
        p.server_serves != p.client_serves, 'serves',
        p.proto NOT IN (1, 6, 17, 33, 58, 132, 136), 'address',
        hosts_differ, 'hosts',
        p.port = p.client_port AND p.port != 0, 'address',
        'ambiguous') AS verdict
FROM `cordon`.session_degrees AS p;

-- Most sessions are plain: one exporter metered them at one place, nothing was
-- sampled, and their direction is decided. What the records of an hour have in common is
-- then no question, and one grouping gives their sums. The others, which are marked,
-- take three steps: sum the parts of each exporter, those metered on entry and those
-- metered on exit apart; take over these of an hour the most that one has, so that a
-- flow seen twice counts once and directions seen by different exporters come
-- together; sum the hours. What marks a session:
--
--   - several places: more than one exporter, or entry and exit (odd_sessions, by a
--     hash of the session, which is cheap and may mark one too many);
--   - an exporter that samples;
--   - anything between two hosts, of one protocol, of which a record is undecided, a
--     fragment among them, or that use TFTP (odd_pairs). Whatever turns round or
--     joins another session stays between its hosts.
--
-- One-way requests without a reply are half-open only if an exporter that saw them
-- shows both directions of any session at all; from the others nobody can tell, and
-- unknown counts as complete. Nobody can tell either where packets were sampled: the
-- answer, or the ACK that would have followed a SYN, may be among those that nobody
-- looked at. Only a refusal that was seen tells. An answer answers the session: records of the two
-- directions cannot be paired one by one. Where each end sends to the same port of the
-- other, from ports of its own (VXLAN, BFD), that is the answer.






























CREATE OR REPLACE VIEW `cordon`.sessions_plain ON CLUSTER `main` AS
WITH
    -- Exporters that show both directions of a session: in one row, or in rows not
    -- merged yet or of different hours. The latter reads little where the former found them.
    (SELECT groupUniqArray(exporter) FROM `cordon`.sessions_hourly WHERE sides = 3) AS two_way_quick,
    arrayConcat(two_way_quick,
    (
        SELECT groupUniqArray(exporter) FROM
        (
            SELECT exporter FROM `cordon`.sessions_hourly
            WHERE sides IN (1, 2) AND NOT has(two_way_quick, exporter)
            GROUP BY exporter, vrf, server, proto, port, icmp_type, icmp_code, client, client_port
            HAVING groupBitOr(sides) = 3
        )
    )) AS two_way_exporters,
    (SELECT groupUniqArray(exporter) FROM `cordon`.sampled_exporters) AS sampling_exporters,
    odd_pairs AS
    (
        SELECT cityHash64(vrf, proto, least(server, client), greatest(server, client)) FROM `cordon`.sessions_hourly
        WHERE NOT decided OR proto = 17 AND port = 69 AND client_port != 0
    )
SELECT vrf, server AS server_address, proto, port, icmp_type, icmp_code, client AS client_address,
    min(s.first_seen) AS first_seen, max(s.last_seen) AS last_seen,
    sum(s.client_packets) AS client_packets, sum(s.client_bytes) AS client_bytes,
    sum(s.server_packets) AS server_packets, sum(s.server_bytes) AS server_bytes,
    sum(s.complete) AS complete, sum(s.half_open) AS half_open, sum(s.unanswered) AS unanswered,
    sum(s.requests) AS requests, sum(s.replies) AS replies, sum(s.denied) AS denied,
    if(has(two_way_exporters, min(s.exporter)), requests, 0) AS requests_alone,
    requests - requests_alone AS requests_unknown,
    max(s.basis) AS basis, [min(s.exporter)] AS seen_by,
    groupUniqArray(s.hour) AS active_hours, groupBitOr(s.client_flags) AS client_flags, groupBitOr(s.server_flags) AS server_flags,
    max(s.sampling) AS sampling, client_packets + server_packets AS scaled_packets, client_bytes + server_bytes AS scaled_bytes
FROM `cordon`.sessions_hourly AS s
WHERE s.decided
GROUP BY vrf, server, proto, port, icmp_type, icmp_code, client
HAVING min(s.exporter) = max(s.exporter) AND min(s.egress) = max(s.egress) AND max(s.sampling) <= 1 AND NOT has(sampling_exporters, min(s.exporter)) AND cityHash64(vrf, proto, least(server, client), greatest(server, client)) GLOBAL NOT IN odd_pairs;

CREATE OR REPLACE VIEW `cordon`.sessions_plain_window ON CLUSTER `main` AS
WITH
    -- Exporters that show both directions of a session: in one row, or in rows not
    -- merged yet or of different hours. The latter reads little where the former found them.
    (SELECT groupUniqArray(exporter) FROM `cordon`.sessions_hourly WHERE sides = 3) AS two_way_quick,
    arrayConcat(two_way_quick,
    (
        SELECT groupUniqArray(exporter) FROM
        (
            SELECT exporter FROM `cordon`.sessions_hourly
            WHERE sides IN (1, 2) AND NOT has(two_way_quick, exporter)
            GROUP BY exporter, vrf, server, proto, port, icmp_type, icmp_code, client, client_port
            HAVING groupBitOr(sides) = 3
        )
    )) AS two_way_exporters,
    (SELECT groupUniqArray(exporter) FROM `cordon`.sampled_exporters) AS sampling_exporters,
    odd_pairs AS
    (
        SELECT cityHash64(vrf, proto, least(server, client), greatest(server, client)) FROM `cordon`.sessions_hourly
        WHERE NOT decided OR proto = 17 AND port = 69 AND client_port != 0
    )
SELECT vrf, server AS server_address, proto, port, icmp_type, icmp_code, client AS client_address,
    min(s.first_seen) AS first_seen, max(s.last_seen) AS last_seen,
    sum(s.client_packets) AS client_packets, sum(s.client_bytes) AS client_bytes,
    sum(s.server_packets) AS server_packets, sum(s.server_bytes) AS server_bytes,
    sum(s.complete) AS complete, sum(s.half_open) AS half_open, sum(s.unanswered) AS unanswered,
    sum(s.requests) AS requests, sum(s.replies) AS replies, sum(s.denied) AS denied,
    if(has(two_way_exporters, min(s.exporter)), requests, 0) AS requests_alone,
    requests - requests_alone AS requests_unknown,
    max(s.basis) AS basis, [min(s.exporter)] AS seen_by,
    groupUniqArray(s.hour) AS active_hours, groupBitOr(s.client_flags) AS client_flags, groupBitOr(s.server_flags) AS server_flags,
    max(s.sampling) AS sampling, client_packets + server_packets AS scaled_packets, client_bytes + server_bytes AS scaled_bytes
FROM `cordon`.sessions_hourly AS s
WHERE s.decided
    AND s.hour < {until:DateTime64(6, 'UTC')} AND s.first_seen < {until:DateTime64(6, 'UTC')} AND s.last_seen >= {since:DateTime64(6, 'UTC')}
GROUP BY vrf, server, proto, port, icmp_type, icmp_code, client
HAVING min(s.exporter) = max(s.exporter) AND min(s.egress) = max(s.egress) AND max(s.sampling) <= 1 AND NOT has(sampling_exporters, min(s.exporter)) AND cityHash64(vrf, proto, least(server, client), greatest(server, client)) GLOBAL NOT IN odd_pairs;

CREATE OR REPLACE VIEW `cordon`.sessions_marked_rows ON CLUSTER `main` AS
WITH
    (SELECT groupUniqArray(exporter) FROM `cordon`.sampled_exporters) AS sampling_exporters,
    -- TFTP is asked for at port 69 and answered from a new port of the server to
    -- the client's, and both stay there (RFC 1350, section 4).
    tftp AS
    (
        SELECT vrf, server, client, client_port FROM `cordon`.sessions_hourly WHERE decided AND proto = 17 AND port = 69 AND client_port != 0
    ),
    odd_pairs AS
    (
        SELECT cityHash64(vrf, proto, least(server, client), greatest(server, client)) FROM `cordon`.sessions_hourly
        WHERE NOT decided OR proto = 17 AND port = 69 AND client_port != 0
    ),
    odd_sessions AS
    (
        SELECT cityHash64(vrf, server, proto, port, icmp_type, icmp_code, client) AS session FROM `cordon`.sessions_hourly AS s
        WHERE decided
        GROUP BY session
        HAVING NOT (min(s.exporter) = max(s.exporter) AND min(s.egress) = max(s.egress) AND max(s.sampling) <= 1 AND NOT has(sampling_exporters, min(s.exporter)))
    )
SELECT * EXCEPT (client, server), client AS client_address, server AS server_address FROM
(
    SELECT *,
        NOT decided OR cityHash64(vrf, proto, least(server, client), greatest(server, client)) GLOBAL IN odd_pairs
            OR sampling > 1 OR has(sampling_exporters, exporter) AS odd,
        cityHash64(vrf, server, proto, port, icmp_type, icmp_code, client) GLOBAL IN odd_sessions AS shared,
        proto = 17 AND (port != 69 OR NOT decided) AND (vrf, client, server, port) GLOBAL IN tftp AS from_tftp,
        proto = 17 AND NOT decided AND (vrf, server, client, client_port) GLOBAL IN tftp AS to_tftp,
        if(sampling = 0 AND has(sampling_exporters, exporter), 4294967295, sampling) AS one_in
    FROM `cordon`.sessions_hourly
)
WHERE odd OR shared;

CREATE OR REPLACE VIEW `cordon`.sessions_marked_rows_window ON CLUSTER `main` AS
WITH
    (SELECT groupUniqArray(exporter) FROM `cordon`.sampled_exporters) AS sampling_exporters,
    -- TFTP is asked for at port 69 and answered from a new port of the server to
    -- the client's, and both stay there (RFC 1350, section 4).
    tftp AS
    (
        SELECT vrf, server, client, client_port FROM `cordon`.sessions_hourly WHERE decided AND proto = 17 AND port = 69 AND client_port != 0
    ),
    odd_pairs AS
    (
        SELECT cityHash64(vrf, proto, least(server, client), greatest(server, client)) FROM `cordon`.sessions_hourly
        WHERE NOT decided OR proto = 17 AND port = 69 AND client_port != 0
    ),
    odd_sessions AS
    (
        SELECT cityHash64(vrf, server, proto, port, icmp_type, icmp_code, client) AS session FROM `cordon`.sessions_hourly AS s
        WHERE decided AND hour < {until:DateTime64(6, 'UTC')} AND first_seen < {until:DateTime64(6, 'UTC')} AND last_seen >= {since:DateTime64(6, 'UTC')}
        GROUP BY session
        HAVING NOT (min(s.exporter) = max(s.exporter) AND min(s.egress) = max(s.egress) AND max(s.sampling) <= 1 AND NOT has(sampling_exporters, min(s.exporter)))
    )
SELECT * EXCEPT (client, server), client AS client_address, server AS server_address FROM
(
    SELECT *,
        NOT decided OR cityHash64(vrf, proto, least(server, client), greatest(server, client)) GLOBAL IN odd_pairs
            OR sampling > 1 OR has(sampling_exporters, exporter) AS odd,
        cityHash64(vrf, server, proto, port, icmp_type, icmp_code, client) GLOBAL IN odd_sessions AS shared,
        proto = 17 AND (port != 69 OR NOT decided) AND (vrf, client, server, port) GLOBAL IN tftp AS from_tftp,
        proto = 17 AND NOT decided AND (vrf, server, client, client_port) GLOBAL IN tftp AS to_tftp,
        if(sampling = 0 AND has(sampling_exporters, exporter), 4294967295, sampling) AS one_in
    FROM `cordon`.sessions_hourly
    WHERE hour < {until:DateTime64(6, 'UTC')} AND first_seen < {until:DateTime64(6, 'UTC')} AND last_seen >= {since:DateTime64(6, 'UTC')}
)
WHERE odd OR shared;

CREATE OR REPLACE VIEW `cordon`.sessions_directed_rows ON CLUSTER `main` AS
SELECT r.decided AS decided, r.hour AS hour, r.vrf AS vrf, r.server_address AS server_address, r.proto AS proto, r.port AS port, r.icmp_type AS icmp_type,
    r.icmp_code AS icmp_code, r.client_address AS client_address, r.client_port AS client_port, r.exporter AS exporter, r.egress AS egress, r.first_seen AS first_seen,
    r.last_seen AS last_seen, r.client_packets AS client_packets, r.client_bytes AS client_bytes, r.server_packets AS server_packets,
    r.server_bytes AS server_bytes, r.complete AS complete, r.half_open AS half_open, r.unanswered AS unanswered,
    r.requests AS requests, r.replies AS replies, r.denied AS denied, r.client_flags AS client_flags, r.server_flags AS server_flags, r.basis AS basis,
    r.odd AS odd, r.from_tftp AS from_tftp, r.to_tftp AS to_tftp, r.one_in AS one_in,
    NOT r.decided AND f.to_port != 0 AS fragment, f.to_port AS to_port,
    multiIf(r.from_tftp, true, r.to_tftp OR r.decided, false, f.to_port != 0, f.to_client = r.server_address, d.turned) AS turned,
    r.complete + r.half_open + r.unanswered + r.requests + r.replies AS records,
    d.verdict AS verdict
FROM `cordon`.sessions_marked_rows AS r
GLOBAL LEFT JOIN `cordon`.session_directions AS d
    ON d.vrf = r.vrf AND d.proto = r.proto AND d.server = r.server_address AND d.port = r.port AND d.client = r.client_address AND d.client_port = r.client_port
GLOBAL LEFT JOIN `cordon`.session_fragments AS f
    ON f.vrf = r.vrf AND f.proto = r.proto AND f.server = r.server_address AND f.client = r.client_address AND r.port + r.client_port = 0;

CREATE OR REPLACE VIEW `cordon`.sessions_directed_rows_window ON CLUSTER `main` AS
SELECT r.decided AS decided, r.hour AS hour, r.vrf AS vrf, r.server_address AS server_address, r.proto AS proto, r.port AS port, r.icmp_type AS icmp_type,
    r.icmp_code AS icmp_code, r.client_address AS client_address, r.client_port AS client_port, r.exporter AS exporter, r.egress AS egress, r.first_seen AS first_seen,
    r.last_seen AS last_seen, r.client_packets AS client_packets, r.client_bytes AS client_bytes, r.server_packets AS server_packets,
    r.server_bytes AS server_bytes, r.complete AS complete, r.half_open AS half_open, r.unanswered AS unanswered,
    r.requests AS requests, r.replies AS replies, r.denied AS denied, r.client_flags AS client_flags, r.server_flags AS server_flags, r.basis AS basis,
    r.odd AS odd, r.from_tftp AS from_tftp, r.to_tftp AS to_tftp, r.one_in AS one_in,
    NOT r.decided AND f.to_port != 0 AS fragment, f.to_port AS to_port,
    multiIf(r.from_tftp, true, r.to_tftp OR r.decided, false, f.to_port != 0, f.to_client = r.server_address, d.turned) AS turned,
    r.complete + r.half_open + r.unanswered + r.requests + r.replies AS records,
    d.verdict AS verdict
FROM `cordon`.sessions_marked_rows_window(since = {since:DateTime64(6, 'UTC')}, until = {until:DateTime64(6, 'UTC')}) AS r
GLOBAL LEFT JOIN `cordon`.session_directions AS d
    ON d.vrf = r.vrf AND d.proto = r.proto AND d.server = r.server_address AND d.port = r.port AND d.client = r.client_address AND d.client_port = r.client_port
GLOBAL LEFT JOIN `cordon`.session_fragments AS f
    ON f.vrf = r.vrf AND f.proto = r.proto AND f.server = r.server_address AND f.client = r.client_address AND r.port + r.client_port = 0;

CREATE OR REPLACE VIEW `cordon`.sessions_by_exporter ON CLUSTER `main` AS
SELECT u.vrf AS vrf, if(u.turned, u.client_address, u.server_address) AS server_address, u.proto AS proto,
    multiIf(u.from_tftp OR u.to_tftp, 69, u.fragment, u.to_port, NOT u.decided AND u.turned, u.client_port, u.port)::UInt16 AS port,
    u.icmp_type AS icmp_type, u.icmp_code AS icmp_code, if(u.turned, u.server_address, u.client_address) AS client_address, u.hour AS hour, u.exporter AS exporter, u.egress AS egress,
    max(u.odd) AS odd, min(u.first_seen) AS first_seen, max(u.last_seen) AS last_seen,
    sum(if(u.turned, u.server_packets, u.client_packets)) AS client_packets, sum(if(u.turned, u.server_bytes, u.client_bytes)) AS client_bytes,
    sum(if(u.turned, u.client_packets, u.server_packets)) AS server_packets, sum(if(u.turned, u.client_bytes, u.server_bytes)) AS server_bytes,
    sum(if(u.fragment, 0, u.complete)) AS complete, sum(if(u.fragment, 0, u.half_open)) AS half_open,
    sum(multiIf(NOT u.fragment, u.unanswered, u.proto = 6, u.records, 0)) AS unanswered,
    sum(multiIf(u.fragment, if(u.proto = 6, 0, u.records), u.turned, u.replies, u.requests)) AS requests,
    sum(multiIf(u.fragment, 0, u.turned, u.requests, u.replies)) AS replies, sum(u.denied) AS denied,
    groupBitOr(if(u.turned AND NOT u.decided, u.server_flags, u.client_flags)) AS client_flags,
    groupBitOr(if(u.turned AND NOT u.decided, u.client_flags, u.server_flags)) AS server_flags,
    max(if(u.decided, u.basis, u.from_tftp OR u.to_tftp OR u.fragment OR u.verdict IN ('sender', 'degree', 'serves', 'hosts') OR u.verdict = 'address' AND u.port != 0)) AS basis,
    max(u.one_in) AS sampling,
    sum((u.client_packets + u.server_packets) * if(u.one_in = 4294967295, 1, greatest(u.one_in, 1))) AS scaled_packets,
    sum((u.client_bytes + u.server_bytes) * if(u.one_in = 4294967295, 1, greatest(u.one_in, 1))) AS scaled_bytes
FROM `cordon`.sessions_directed_rows AS u
GROUP BY vrf, server_address, proto, port, icmp_type, icmp_code, client_address, hour, exporter, egress;

CREATE OR REPLACE VIEW `cordon`.sessions_by_exporter_window ON CLUSTER `main` AS
SELECT u.vrf AS vrf, if(u.turned, u.client_address, u.server_address) AS server_address, u.proto AS proto,
    multiIf(u.from_tftp OR u.to_tftp, 69, u.fragment, u.to_port, NOT u.decided AND u.turned, u.client_port, u.port)::UInt16 AS port,
    u.icmp_type AS icmp_type, u.icmp_code AS icmp_code, if(u.turned, u.server_address, u.client_address) AS client_address, u.hour AS hour, u.exporter AS exporter, u.egress AS egress,
    max(u.odd) AS odd, min(u.first_seen) AS first_seen, max(u.last_seen) AS last_seen,
    sum(if(u.turned, u.server_packets, u.client_packets)) AS client_packets, sum(if(u.turned, u.server_bytes, u.client_bytes)) AS client_bytes,
    sum(if(u.turned, u.client_packets, u.server_packets)) AS server_packets, sum(if(u.turned, u.client_bytes, u.server_bytes)) AS server_bytes,
    sum(if(u.fragment, 0, u.complete)) AS complete, sum(if(u.fragment, 0, u.half_open)) AS half_open,
    sum(multiIf(NOT u.fragment, u.unanswered, u.proto = 6, u.records, 0)) AS unanswered,
    sum(multiIf(u.fragment, if(u.proto = 6, 0, u.records), u.turned, u.replies, u.requests)) AS requests,
    sum(multiIf(u.fragment, 0, u.turned, u.requests, u.replies)) AS replies, sum(u.denied) AS denied,
    groupBitOr(if(u.turned AND NOT u.decided, u.server_flags, u.client_flags)) AS client_flags,
    groupBitOr(if(u.turned AND NOT u.decided, u.client_flags, u.server_flags)) AS server_flags,
    max(if(u.decided, u.basis, u.from_tftp OR u.to_tftp OR u.fragment OR u.verdict IN ('sender', 'degree', 'serves', 'hosts') OR u.verdict = 'address' AND u.port != 0)) AS basis,
    max(u.one_in) AS sampling,
    sum((u.client_packets + u.server_packets) * if(u.one_in = 4294967295, 1, greatest(u.one_in, 1))) AS scaled_packets,
    sum((u.client_bytes + u.server_bytes) * if(u.one_in = 4294967295, 1, greatest(u.one_in, 1))) AS scaled_bytes
FROM `cordon`.sessions_directed_rows_window(since = {since:DateTime64(6, 'UTC')}, until = {until:DateTime64(6, 'UTC')}) AS u
GROUP BY vrf, server_address, proto, port, icmp_type, icmp_code, client_address, hour, exporter, egress;

CREATE OR REPLACE VIEW `cordon`.sessions_by_hour ON CLUSTER `main` AS
WITH
    -- Exporters that show both directions of a session: in one row, or in rows not
    -- merged yet or of different hours. The latter reads little where the former found them.
    (SELECT groupUniqArray(exporter) FROM `cordon`.sessions_hourly WHERE sides = 3) AS two_way_quick,
    arrayConcat(two_way_quick,
    (
        SELECT groupUniqArray(exporter) FROM
        (
            SELECT exporter FROM `cordon`.sessions_hourly
            WHERE sides IN (1, 2) AND NOT has(two_way_quick, exporter)
            GROUP BY exporter, vrf, server, proto, port, icmp_type, icmp_code, client, client_port
            HAVING groupBitOr(sides) = 3
        )
    )) AS two_way_exporters
SELECT vrf, server_address, proto, port, icmp_type, icmp_code, client_address, hour,
    max(e.odd) AS odd, min(e.first_seen) AS first_seen, max(e.last_seen) AS last_seen,
    max(e.client_packets) AS client_packets, max(e.client_bytes) AS client_bytes,
    max(e.server_packets) AS server_packets, max(e.server_bytes) AS server_bytes,
    max(e.complete) AS complete, max(if(e.sampling > 1 AND bitAnd(bitOr(e.client_flags, e.server_flags), 4) = 0, 0, e.half_open)) AS half_open, max(if(e.sampling > 1 AND bitAnd(e.server_flags, 4) = 0, 0, e.unanswered)) AS unanswered,
    max(e.requests + if(e.sampling > 1 AND bitAnd(e.server_flags, 4) = 0, e.unanswered, 0) + if(e.sampling > 1 AND bitAnd(bitOr(e.client_flags, e.server_flags), 4) = 0, e.half_open, 0)) AS requests, max(e.replies) AS replies, max(e.denied) AS denied,
    maxIf(e.requests, NOT (e.sampling > 1 AND bitAnd(e.server_flags, 4) = 0) AND (e.sampling > 1 OR has(two_way_exporters, e.exporter))) AS requests_alone,
    groupBitOr(e.client_flags) AS client_flags, groupBitOr(e.server_flags) AS server_flags,
    max(e.basis) AS basis, max(e.sampling) AS sampling, groupArray(e.exporter) AS seen_by, groupBitOr(e.egress + 1) AS ways,
    max(e.scaled_packets) AS scaled_packets, max(e.scaled_bytes) AS scaled_bytes
FROM `cordon`.sessions_by_exporter AS e
GROUP BY vrf, server_address, proto, port, icmp_type, icmp_code, client_address, hour;

CREATE OR REPLACE VIEW `cordon`.sessions_by_hour_window ON CLUSTER `main` AS
WITH
    -- Exporters that show both directions of a session: in one row, or in rows not
    -- merged yet or of different hours. The latter reads little where the former found them.
    (SELECT groupUniqArray(exporter) FROM `cordon`.sessions_hourly WHERE sides = 3) AS two_way_quick,
    arrayConcat(two_way_quick,
    (
        SELECT groupUniqArray(exporter) FROM
        (
            SELECT exporter FROM `cordon`.sessions_hourly
            WHERE sides IN (1, 2) AND NOT has(two_way_quick, exporter)
            GROUP BY exporter, vrf, server, proto, port, icmp_type, icmp_code, client, client_port
            HAVING groupBitOr(sides) = 3
        )
    )) AS two_way_exporters
SELECT vrf, server_address, proto, port, icmp_type, icmp_code, client_address, hour,
    max(e.odd) AS odd, min(e.first_seen) AS first_seen, max(e.last_seen) AS last_seen,
    max(e.client_packets) AS client_packets, max(e.client_bytes) AS client_bytes,
    max(e.server_packets) AS server_packets, max(e.server_bytes) AS server_bytes,
    max(e.complete) AS complete, max(if(e.sampling > 1 AND bitAnd(bitOr(e.client_flags, e.server_flags), 4) = 0, 0, e.half_open)) AS half_open, max(if(e.sampling > 1 AND bitAnd(e.server_flags, 4) = 0, 0, e.unanswered)) AS unanswered,
    max(e.requests + if(e.sampling > 1 AND bitAnd(e.server_flags, 4) = 0, e.unanswered, 0) + if(e.sampling > 1 AND bitAnd(bitOr(e.client_flags, e.server_flags), 4) = 0, e.half_open, 0)) AS requests, max(e.replies) AS replies, max(e.denied) AS denied,
    maxIf(e.requests, NOT (e.sampling > 1 AND bitAnd(e.server_flags, 4) = 0) AND (e.sampling > 1 OR has(two_way_exporters, e.exporter))) AS requests_alone,
    groupBitOr(e.client_flags) AS client_flags, groupBitOr(e.server_flags) AS server_flags,
    max(e.basis) AS basis, max(e.sampling) AS sampling, groupArray(e.exporter) AS seen_by, groupBitOr(e.egress + 1) AS ways,
    max(e.scaled_packets) AS scaled_packets, max(e.scaled_bytes) AS scaled_bytes
FROM `cordon`.sessions_by_exporter_window(since = {since:DateTime64(6, 'UTC')}, until = {until:DateTime64(6, 'UTC')}) AS e
GROUP BY vrf, server_address, proto, port, icmp_type, icmp_code, client_address, hour;

CREATE OR REPLACE VIEW `cordon`.sessions_marked ON CLUSTER `main` AS
SELECT vrf, server_address, proto, port, icmp_type, icmp_code, client_address,
    min(h.first_seen) AS first_seen, max(h.last_seen) AS last_seen,
    sum(h.client_packets) AS client_packets, sum(h.client_bytes) AS client_bytes,
    sum(h.server_packets) AS server_packets, sum(h.server_bytes) AS server_bytes,
    sum(h.complete) AS complete, sum(h.half_open) AS half_open, sum(h.unanswered) AS unanswered,
    sum(h.requests) AS requests, sum(h.replies) AS replies, sum(h.denied) AS denied,
    sum(h.requests_alone) AS requests_alone, sum(greatest(h.requests, h.requests_alone) - h.requests_alone) AS requests_unknown,
    max(h.basis) AS basis, groupUniqArrayArray(h.seen_by) AS seen_by,
    groupArray(h.hour) AS active_hours, groupBitOr(h.client_flags) AS client_flags, groupBitOr(h.server_flags) AS server_flags,
    max(h.sampling) AS sampling, sum(h.scaled_packets) AS scaled_packets, sum(h.scaled_bytes) AS scaled_bytes
FROM `cordon`.sessions_by_hour AS h
GROUP BY vrf, server_address, proto, port, icmp_type, icmp_code, client_address
HAVING max(h.odd) OR length(seen_by) > 1 OR groupBitOr(h.ways) = 3;

CREATE OR REPLACE VIEW `cordon`.sessions_marked_window ON CLUSTER `main` AS
SELECT vrf, server_address, proto, port, icmp_type, icmp_code, client_address,
    min(h.first_seen) AS first_seen, max(h.last_seen) AS last_seen,
    sum(h.client_packets) AS client_packets, sum(h.client_bytes) AS client_bytes,
    sum(h.server_packets) AS server_packets, sum(h.server_bytes) AS server_bytes,
    sum(h.complete) AS complete, sum(h.half_open) AS half_open, sum(h.unanswered) AS unanswered,
    sum(h.requests) AS requests, sum(h.replies) AS replies, sum(h.denied) AS denied,
    sum(h.requests_alone) AS requests_alone, sum(greatest(h.requests, h.requests_alone) - h.requests_alone) AS requests_unknown,
    max(h.basis) AS basis, groupUniqArrayArray(h.seen_by) AS seen_by,
    groupArray(h.hour) AS active_hours, groupBitOr(h.client_flags) AS client_flags, groupBitOr(h.server_flags) AS server_flags,
    max(h.sampling) AS sampling, sum(h.scaled_packets) AS scaled_packets, sum(h.scaled_bytes) AS scaled_bytes
FROM `cordon`.sessions_by_hour_window(since = {since:DateTime64(6, 'UTC')}, until = {until:DateTime64(6, 'UTC')}) AS h
GROUP BY vrf, server_address, proto, port, icmp_type, icmp_code, client_address
HAVING max(h.odd) OR length(seen_by) > 1 OR groupBitOr(h.ways) = 3;

-- Every session stored, with the columns of sessions_window. A view with parameters inside another is analysed twice
-- for each step in which the outer is, so a question about all sessions, asked of this view, starts half a second sooner.
CREATE OR REPLACE VIEW `cordon`.sessions_all ON CLUSTER `main` AS
WITH
    -- Exporters that show both directions of a session: in one row, or in rows not
    -- merged yet or of different hours. The latter reads little where the former found them.
    (SELECT groupUniqArray(exporter) FROM `cordon`.sessions_hourly WHERE sides = 3) AS two_way_quick,
    arrayConcat(two_way_quick,
    (
        SELECT groupUniqArray(exporter) FROM
        (
            SELECT exporter FROM `cordon`.sessions_hourly
            WHERE sides IN (1, 2) AND NOT has(two_way_quick, exporter)
            GROUP BY exporter, vrf, server, proto, port, icmp_type, icmp_code, client, client_port
            HAVING groupBitOr(sides) = 3
        )
    )) AS two_way_exporters,
    -- Each end sends to the other's port and is not answered from there.
    asking AS
    (
        SELECT vrf, proto, port, client, server FROM `cordon`.sessions_hourly
        WHERE decided AND proto IN (17, 136) AND port != 0 AND complete = 0 AND replies = 0 AND client_packets + client_bytes > 0
            AND (half_open > 0 OR requests > 0 AND has(two_way_exporters, exporter))
    )
SELECT
    h.vrf AS vrf,
    if(h.client_address BETWEEN toIPv6('::ffff:0.0.0.0') AND toIPv6('::ffff:255.255.255.255'), substring(toString(h.client_address), 8), toString(h.client_address)) AS client,
    if(h.server_address BETWEEN toIPv6('::ffff:0.0.0.0') AND toIPv6('::ffff:255.255.255.255'), substring(toString(h.server_address), 8), toString(h.server_address)) AS server,
    h.proto AS proto, h.port AS port, h.icmp_type AS icmp_type, h.icmp_code AS icmp_code,
    concat(transform(h.proto, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 62, 64, 65, 66, 67, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 88, 89, 90, 91, 92, 93, 94, 95, 96, 97, 98, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113, 115, 116, 117, 118, 119, 120, 121, 122, 123, 124, 125, 126, 127, 128, 129, 130, 131, 132, 133, 134, 135, 136, 137, 138, 139, 140, 141, 142, 143, 144, 145, 146, 147], ['hopopt', 'icmp', 'igmp', 'ggp', 'ipv4', 'st', 'tcp', 'cbt', 'egp', 'igp', 'bbn-rcc-mon', 'nvp-ii', 'pup', 'argus', 'emcon', 'xnet', 'chaos', 'udp', 'mux', 'dcn-meas', 'hmp', 'prm', 'xns-idp', 'trunk-1', 'trunk-2', 'leaf-1', 'leaf-2', 'rdp', 'irtp', 'iso-tp4', 'netblt', 'mfe-nsp', 'merit-inp', 'dccp', '3pc', 'idpr', 'xtp', 'ddp', 'idpr-cmtp', 'tp++', 'il', 'ipv6', 'sdrp', 'ipv6-route', 'ipv6-frag', 'idrp', 'rsvp', 'gre', 'dsr', 'bna', 'esp', 'ah', 'i-nlsp', 'swipe', 'narp', 'min-ipv4', 'tlsp', 'skip', 'ipv6-icmp', 'ipv6-nonxt', 'ipv6-opts', 'cftp', 'sat-expak', 'kryptolan', 'rvd', 'ippc', 'sat-mon', 'visa', 'ipcv', 'cpnx', 'cphb', 'wsn', 'pvp', 'br-sat-mon', 'sun-nd', 'wb-mon', 'wb-expak', 'iso-ip', 'vmtp', 'secure-vmtp', 'vines', 'iptm', 'nsfnet-igp', 'dgp', 'tcf', 'eigrp', 'ospfigp', 'sprite-rpc', 'larp', 'mtp', 'ax.25', 'ipip', 'micp', 'scc-sp', 'etherip', 'encap', 'gmtp', 'ifmp', 'pnni', 'pim', 'aris', 'scps', 'qnx', 'a-n', 'ipcomp', 'snp', 'compaq-peer', 'ipx-in-ip', 'vrrp', 'pgm', 'l2tp', 'ddx', 'iatp', 'stp', 'srp', 'uti', 'smp', 'sm', 'ptp', 'isis-over-ipv4', 'fire', 'crtp', 'crudp', 'sscopmce', 'iplt', 'sps', 'pipe', 'sctp', 'fc', 'rsvp-e2e-ignore', 'mobility-header', 'udplite', 'mpls-in-ip', 'manet', 'hip', 'shim6', 'wesp', 'rohc', 'ethernet', 'aggfrag', 'nsh', 'homa', 'bit-emu'], toString(h.proto)), multiIf(h.proto IN (6, 17, 33, 132, 136), concat('/', toString(h.port)), h.proto IN (1, 58), concat('/', toString(h.icmp_type)), '')) AS service,
    h.first_seen::DateTime64(6, 'UTC') AS first_seen,
    h.last_seen::DateTime64(6, 'UTC') AS last_seen,
    h.complete + h.half_open + h.unanswered + h.requests + h.replies + h.denied AS flows,
    h.client_packets AS client_packets, h.client_bytes AS client_bytes,
    h.server_packets AS server_packets, h.server_bytes AS server_bytes,
    multiIf(h.asked, h.complete + h.replies + h.requests + h.unanswered + h.half_open,
        h.complete + h.replies > 0, h.complete + h.replies + h.requests + h.unanswered,
        h.requests_unknown)::UInt64 AS complete,
    if(h.asked, 0, h.half_open + if(h.complete + h.replies > 0, 0, h.unanswered + h.requests_alone))::UInt64 AS half_open,
    h.denied AS denied,
    CAST(h.basis, 'Enum8(''none'' = 0, ''degree'' = 1, ''known-port'' = 2, ''port-range'' = 3, ''icmp'' = 4, ''tcp-flags'' = 5, ''initiator'' = 6, ''stated'' = 7)') AS direction_basis,
    arrayMap(x -> if(x BETWEEN toIPv6('::ffff:0.0.0.0') AND toIPv6('::ffff:255.255.255.255'), substring(toString(x), 8), toString(x)), arraySort(arrayFilter(x -> x != toIPv6('::'), h.seen_by))) AS exporters,
    h.client_address AS client_ip,
    h.server_address AS server_ip,
    length(h.active_hours)::UInt64 AS hours,
    h.active_hours AS active_hours,
    h.client_flags::UInt16 AS client_flags,
    h.server_flags::UInt16 AS server_flags,
    h.sampling::UInt32 AS sampling,
    h.scaled_packets AS scaled_packets,
    h.scaled_bytes AS scaled_bytes
FROM
(
    -- The addresses have names of their own, since ClickHouse mixes columns of one name up that a view and a view inside it give different types.
    SELECT *, (vrf, proto, port, server_address, client_address) GLOBAL IN asking AS asked
    FROM (SELECT * FROM `cordon`.sessions_plain UNION ALL SELECT * FROM `cordon`.sessions_marked)
) AS h;

-- Every session stored, one row for each (vrf, client, server, proto, port,
-- icmp_type, icmp_code). The public view.
CREATE OR REPLACE VIEW `cordon`.sessions ON CLUSTER `main` AS
SELECT vrf, client, server, proto, port, icmp_type, icmp_code, service, first_seen, last_seen, flows,
    client_packets, client_bytes, server_packets, server_bytes, complete, half_open, denied, direction_basis, exporters
FROM `cordon`.sessions_all;

-- The sessions that overlap [since, until): SELECT ... FROM
-- sessions_window(since = '2026-11-01', until = '2026-11-02'). Counters are
-- those of the hours that overlap. Beyond the columns of view sessions it has
-- the addresses as IPv6 (client_ip, server_ip), the hours with records
-- (active_hours) and their number, both ends' TCP flags, the coarsest
-- sampling, and the packets and bytes of both directions multiplied by the
-- sampling where its rate is known (scaled_packets, scaled_bytes): an estimate of what was sent. All
-- other counters are as the exporters gave them.
CREATE OR REPLACE VIEW `cordon`.sessions_window ON CLUSTER `main` AS
WITH
    -- Exporters that show both directions of a session: in one row, or in rows not
    -- merged yet or of different hours. The latter reads little where the former found them.
    (SELECT groupUniqArray(exporter) FROM `cordon`.sessions_hourly WHERE sides = 3) AS two_way_quick,
    arrayConcat(two_way_quick,
    (
        SELECT groupUniqArray(exporter) FROM
        (
            SELECT exporter FROM `cordon`.sessions_hourly
            WHERE sides IN (1, 2) AND NOT has(two_way_quick, exporter)
            GROUP BY exporter, vrf, server, proto, port, icmp_type, icmp_code, client, client_port
            HAVING groupBitOr(sides) = 3
        )
    )) AS two_way_exporters,
    -- Each end sends to the other's port and is not answered from there.
    asking AS
    (
        SELECT vrf, proto, port, client, server FROM `cordon`.sessions_hourly
        WHERE decided AND proto IN (17, 136) AND port != 0 AND complete = 0 AND replies = 0 AND client_packets + client_bytes > 0
            AND (half_open > 0 OR requests > 0 AND has(two_way_exporters, exporter))
    )
SELECT
    h.vrf AS vrf,
    if(h.client_address BETWEEN toIPv6('::ffff:0.0.0.0') AND toIPv6('::ffff:255.255.255.255'), substring(toString(h.client_address), 8), toString(h.client_address)) AS client,
    if(h.server_address BETWEEN toIPv6('::ffff:0.0.0.0') AND toIPv6('::ffff:255.255.255.255'), substring(toString(h.server_address), 8), toString(h.server_address)) AS server,
    h.proto AS proto, h.port AS port, h.icmp_type AS icmp_type, h.icmp_code AS icmp_code,
    concat(transform(h.proto, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 62, 64, 65, 66, 67, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 88, 89, 90, 91, 92, 93, 94, 95, 96, 97, 98, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113, 115, 116, 117, 118, 119, 120, 121, 122, 123, 124, 125, 126, 127, 128, 129, 130, 131, 132, 133, 134, 135, 136, 137, 138, 139, 140, 141, 142, 143, 144, 145, 146, 147], ['hopopt', 'icmp', 'igmp', 'ggp', 'ipv4', 'st', 'tcp', 'cbt', 'egp', 'igp', 'bbn-rcc-mon', 'nvp-ii', 'pup', 'argus', 'emcon', 'xnet', 'chaos', 'udp', 'mux', 'dcn-meas', 'hmp', 'prm', 'xns-idp', 'trunk-1', 'trunk-2', 'leaf-1', 'leaf-2', 'rdp', 'irtp', 'iso-tp4', 'netblt', 'mfe-nsp', 'merit-inp', 'dccp', '3pc', 'idpr', 'xtp', 'ddp', 'idpr-cmtp', 'tp++', 'il', 'ipv6', 'sdrp', 'ipv6-route', 'ipv6-frag', 'idrp', 'rsvp', 'gre', 'dsr', 'bna', 'esp', 'ah', 'i-nlsp', 'swipe', 'narp', 'min-ipv4', 'tlsp', 'skip', 'ipv6-icmp', 'ipv6-nonxt', 'ipv6-opts', 'cftp', 'sat-expak', 'kryptolan', 'rvd', 'ippc', 'sat-mon', 'visa', 'ipcv', 'cpnx', 'cphb', 'wsn', 'pvp', 'br-sat-mon', 'sun-nd', 'wb-mon', 'wb-expak', 'iso-ip', 'vmtp', 'secure-vmtp', 'vines', 'iptm', 'nsfnet-igp', 'dgp', 'tcf', 'eigrp', 'ospfigp', 'sprite-rpc', 'larp', 'mtp', 'ax.25', 'ipip', 'micp', 'scc-sp', 'etherip', 'encap', 'gmtp', 'ifmp', 'pnni', 'pim', 'aris', 'scps', 'qnx', 'a-n', 'ipcomp', 'snp', 'compaq-peer', 'ipx-in-ip', 'vrrp', 'pgm', 'l2tp', 'ddx', 'iatp', 'stp', 'srp', 'uti', 'smp', 'sm', 'ptp', 'isis-over-ipv4', 'fire', 'crtp', 'crudp', 'sscopmce', 'iplt', 'sps', 'pipe', 'sctp', 'fc', 'rsvp-e2e-ignore', 'mobility-header', 'udplite', 'mpls-in-ip', 'manet', 'hip', 'shim6', 'wesp', 'rohc', 'ethernet', 'aggfrag', 'nsh', 'homa', 'bit-emu'], toString(h.proto)), multiIf(h.proto IN (6, 17, 33, 132, 136), concat('/', toString(h.port)), h.proto IN (1, 58), concat('/', toString(h.icmp_type)), '')) AS service,
    h.first_seen::DateTime64(6, 'UTC') AS first_seen,
    h.last_seen::DateTime64(6, 'UTC') AS last_seen,
    h.complete + h.half_open + h.unanswered + h.requests + h.replies + h.denied AS flows,
    h.client_packets AS client_packets, h.client_bytes AS client_bytes,
    h.server_packets AS server_packets, h.server_bytes AS server_bytes,
    multiIf(h.asked, h.complete + h.replies + h.requests + h.unanswered + h.half_open,
        h.complete + h.replies > 0, h.complete + h.replies + h.requests + h.unanswered,
        h.requests_unknown)::UInt64 AS complete,
    if(h.asked, 0, h.half_open + if(h.complete + h.replies > 0, 0, h.unanswered + h.requests_alone))::UInt64 AS half_open,
    h.denied AS denied,
    CAST(h.basis, 'Enum8(''none'' = 0, ''degree'' = 1, ''known-port'' = 2, ''port-range'' = 3, ''icmp'' = 4, ''tcp-flags'' = 5, ''initiator'' = 6, ''stated'' = 7)') AS direction_basis,
    arrayMap(x -> if(x BETWEEN toIPv6('::ffff:0.0.0.0') AND toIPv6('::ffff:255.255.255.255'), substring(toString(x), 8), toString(x)), arraySort(arrayFilter(x -> x != toIPv6('::'), h.seen_by))) AS exporters,
    h.client_address AS client_ip,
    h.server_address AS server_ip,
    length(h.active_hours)::UInt64 AS hours,
    h.active_hours AS active_hours,
    h.client_flags::UInt16 AS client_flags,
    h.server_flags::UInt16 AS server_flags,
    h.sampling::UInt32 AS sampling,
    h.scaled_packets AS scaled_packets,
    h.scaled_bytes AS scaled_bytes
FROM
(
    -- The addresses have names of their own, since ClickHouse mixes columns of one name up that a view and a view inside it give different types.
    SELECT *, (vrf, proto, port, server_address, client_address) GLOBAL IN asking AS asked
    FROM (SELECT * FROM `cordon`.sessions_plain_window(since = {since:DateTime64(6, 'UTC')}, until = {until:DateTime64(6, 'UTC')}) UNION ALL SELECT * FROM `cordon`.sessions_marked_window(since = {since:DateTime64(6, 'UTC')}, until = {until:DateTime64(6, 'UTC')}))
) AS h;
-- 00017_rule_names.sql
-- +goose NO TRANSACTION
-- +goose Up

-- The names that people gave to rules. They stay with the id of a rule, which follows from what it permits, so that the
-- same rule has its name in every proposal. In a cluster every node has all of them.
--
-- ReplacingMergeTree: the newest name of a rule stays. Readers use the view.
CREATE TABLE IF NOT EXISTS `cordon`.rule_name_rows ON CLUSTER `main`
(
    rule    String                COMMENT 'id of the rule',
    name    String                COMMENT 'empty where it was taken back',
    changed DateTime64(3, 'UTC')
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{uuid}', '{shard}-{replica}', changed)
ORDER BY rule
COMMENT 'names that people gave to rules';

CREATE VIEW IF NOT EXISTS `cordon`.rule_names ON CLUSTER `main` AS
SELECT rule, name, changed
FROM `cordon`.rule_name_rows FINAL
WHERE name != '';
-- 00018_proposal_states.sql
-- +goose NO TRANSACTION
-- +goose Up

-- What people did with proposals, a row for each change. In a cluster every node has all of them. A proposal without a
-- row is a draft.
CREATE TABLE IF NOT EXISTS `cordon`.proposal_state_rows ON CLUSTER `main`
(
    proposal String                  COMMENT 'id of the proposal',
    changed  DateTime64(6, 'UTC'),
    state    LowCardinality(String)  COMMENT 'draft, reviewed, submitted, in-force, superseded, archived or deleted',
    person   String                  COMMENT 'who changed it',
    note     String
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{uuid}', '{shard}-{replica}')
ORDER BY (proposal, changed, state)
COMMENT 'the life of policy proposals';

-- The states of proposals in order of time; the last one of each holds.
CREATE VIEW IF NOT EXISTS `cordon`.proposal_states ON CLUSTER `main` AS
SELECT proposal, changed, state, person, note
FROM `cordon`.proposal_state_rows FINAL;
-- 00019_direction_by_ports.sql
-- +goose NO TRANSACTION
-- +goose Up

-- One more step of session_directions, the last before a session is ambiguous: one port is below 32768, the other is not, and
-- nothing else undecided leaves or enters the host of the lower port by another of its ports. Then the lower port is the server's
-- ('ports'). A record leaves that open where the higher port is a known one, such as 50051 or one that a groups file names: either
-- the client was given that number by chance, or the client's port was taken from below 32768, as old stacks and address
-- translation do. A host of the latter kind shows several of its ports, and its sessions stay ambiguous.

-- What session_directions knows of the ends of each undecided session.
CREATE OR REPLACE VIEW `cordon`.session_degrees ON CLUSTER `main` AS
SELECT
    p.vrf AS vrf, p.proto AS proto,
    p.server AS server, p.port AS port, p.client AS client, p.client_port AS client_port,
    maxIf(p.degree, p.side = 1) AS server_degree,
    maxIf(p.degree, p.side = 2) AS client_degree,
    maxIf(p.served, p.side = 1) AS decided_as_here,
    maxIf(p.served, p.side = 2) AS decided_opposite,
    maxIf(p.sent, p.side = 1) AS server_sent,
    maxIf(p.sent, p.side = 2) AS client_sent,
    maxIf(p.serves, p.side = 1) AS server_serves,
    maxIf(p.serves, p.side = 2) AS client_serves,
    maxIf(p.own_ports >= 4 * p.peer_ports, p.side = 1) AS server_fans_out,
    maxIf(p.own_ports >= 4 * p.peer_ports, p.side = 2) AS client_fans_out,
    maxIf(p.peers, p.side = 1) AS server_peers,
    maxIf(p.peers, p.side = 2) AS client_peers,
    maxIf(p.own_ports, p.side = 1) AS server_ports,
    maxIf(p.own_ports, p.side = 2) AS client_ports
FROM `cordon`.session_ends AS p
WHERE p.side > 0
GROUP BY p.vrf, p.proto, p.server, p.port, p.client, p.client_port;

-- Which end of an undecided session is the server, from everything stored:
--   1. the same endpoints in a decided session ('decided');
--   2. both ends have the same port, or none (GRE, ESP), and one end alone has
--      sent: it is the client ('sender');
--   3. degree: how many different ends (address and port) an end was seen with,
--      decided clients included. A server's port is used by many, a client's
--      port by one. Twice as many as the other's says enough ('degree');
--   4. one end alone is the server of others in decided sessions ('serves');
--   5. what both hosts do in all undecided sessions ('hosts'): a client of many has
--      at least four times as many ports as those that it talks to; else, of two
--      dynamic ports, a server has at least four times as many peers as its client;
--   6. one port is below 32768, the other is not, and the host of the lower one shows no
--      other port in undecided sessions: it is the server's ('ports');
--   7. nothing. Of a protocol without ports no end asks and none answers, and a
--      rule permits both ways: the lower address stays the server ('address'), so
--      that tunnels between the same two prefixes all point the same way. The same
--      where both ends send from and to one port (IKE, NTP between equals, DHCP
--      relays): which service it is is plain. With other ports the direction is
--      ambiguous, and the lower port stays the server.
-- Later fragments, which have no ports, are not here: see session_fragments.
-- A row of this view shows why, so a person can check it.
CREATE OR REPLACE VIEW `cordon`.session_directions ON CLUSTER `main` AS
SELECT
    p.vrf AS vrf, p.proto AS proto,
    p.server AS server, p.port AS port, p.client AS client, p.client_port AS client_port,
    p.server_degree AS server_degree, p.client_degree AS client_degree,
    p.decided_as_here AS decided_as_here, p.decided_opposite AS decided_opposite,
    (p.port != 0 OR p.proto NOT IN (1, 6, 17, 33, 58, 132, 136)) AND p.port = p.client_port AND p.server_sent != p.client_sent AS one_sender,
    p.client_degree >= 2 * p.server_degree OR p.server_degree >= 2 * p.client_degree AS degrees_differ,
    p.server_serves AS server_serves, p.client_serves AS client_serves,
    p.server_fans_out AS server_fans_out, p.client_fans_out AS client_fans_out,
    p.server_peers AS server_peers, p.client_peers AS client_peers,
    p.server_fans_out != p.client_fans_out
        OR least(p.port, p.client_port) >= 32768 AND (p.client_peers >= 4 * p.server_peers OR p.server_peers >= 4 * p.client_peers) AS hosts_differ,
    multiIf(
        p.decided_as_here != p.decided_opposite, p.decided_opposite,
        one_sender, p.server_sent,
        degrees_differ, p.client_degree > p.server_degree,
        p.server_serves != p.client_serves, p.client_serves,
        p.server_fans_out != p.client_fans_out, p.server_fans_out,
        hosts_differ AND p.client_peers > p.server_peers) AS turned,
    multiIf(
        p.decided_as_here != p.decided_opposite, 'decided',
        one_sender, 'sender',
        degrees_differ, 'degree',
        p.server_serves != p.client_serves, 'serves',
        p.proto NOT IN (1, 6, 17, 33, 58, 132, 136), 'address',
        hosts_differ, 'hosts',
        p.port = p.client_port AND p.port != 0, 'address',
        least(p.port, p.client_port) BETWEEN 1 AND 32767 AND greatest(p.port, p.client_port) >= 32768 AND if(p.port < p.client_port, p.server_ports, p.client_ports) = 1, 'ports',
        'ambiguous') AS verdict
FROM `cordon`.session_degrees AS p;








CREATE OR REPLACE VIEW `cordon`.sessions_by_exporter ON CLUSTER `main` AS
SELECT u.vrf AS vrf, if(u.turned, u.client_address, u.server_address) AS server_address, u.proto AS proto,
    multiIf(u.from_tftp OR u.to_tftp, 69, u.fragment, u.to_port, NOT u.decided AND u.turned, u.client_port, u.port)::UInt16 AS port,
    u.icmp_type AS icmp_type, u.icmp_code AS icmp_code, if(u.turned, u.server_address, u.client_address) AS client_address, u.hour AS hour, u.exporter AS exporter, u.egress AS egress,
    max(u.odd) AS odd, min(u.first_seen) AS first_seen, max(u.last_seen) AS last_seen,
    sum(if(u.turned, u.server_packets, u.client_packets)) AS client_packets, sum(if(u.turned, u.server_bytes, u.client_bytes)) AS client_bytes,
    sum(if(u.turned, u.client_packets, u.server_packets)) AS server_packets, sum(if(u.turned, u.client_bytes, u.server_bytes)) AS server_bytes,
    sum(if(u.fragment, 0, u.complete)) AS complete, sum(if(u.fragment, 0, u.half_open)) AS half_open,
    sum(multiIf(NOT u.fragment, u.unanswered, u.proto = 6, u.records, 0)) AS unanswered,
    sum(multiIf(u.fragment, if(u.proto = 6, 0, u.records), u.turned, u.replies, u.requests)) AS requests,
    sum(multiIf(u.fragment, 0, u.turned, u.requests, u.replies)) AS replies, sum(u.denied) AS denied,
    groupBitOr(if(u.turned AND NOT u.decided, u.server_flags, u.client_flags)) AS client_flags,
    groupBitOr(if(u.turned AND NOT u.decided, u.client_flags, u.server_flags)) AS server_flags,
    max(if(u.decided, u.basis, u.from_tftp OR u.to_tftp OR u.fragment OR u.verdict IN ('sender', 'degree', 'serves', 'hosts', 'ports') OR u.verdict = 'address' AND u.port != 0)) AS basis,
    max(u.one_in) AS sampling,
    sum((u.client_packets + u.server_packets) * if(u.one_in = 4294967295, 1, greatest(u.one_in, 1))) AS scaled_packets,
    sum((u.client_bytes + u.server_bytes) * if(u.one_in = 4294967295, 1, greatest(u.one_in, 1))) AS scaled_bytes
FROM `cordon`.sessions_directed_rows AS u
GROUP BY vrf, server_address, proto, port, icmp_type, icmp_code, client_address, hour, exporter, egress;

CREATE OR REPLACE VIEW `cordon`.sessions_by_exporter_window ON CLUSTER `main` AS
SELECT u.vrf AS vrf, if(u.turned, u.client_address, u.server_address) AS server_address, u.proto AS proto,
    multiIf(u.from_tftp OR u.to_tftp, 69, u.fragment, u.to_port, NOT u.decided AND u.turned, u.client_port, u.port)::UInt16 AS port,
    u.icmp_type AS icmp_type, u.icmp_code AS icmp_code, if(u.turned, u.server_address, u.client_address) AS client_address, u.hour AS hour, u.exporter AS exporter, u.egress AS egress,
    max(u.odd) AS odd, min(u.first_seen) AS first_seen, max(u.last_seen) AS last_seen,
    sum(if(u.turned, u.server_packets, u.client_packets)) AS client_packets, sum(if(u.turned, u.server_bytes, u.client_bytes)) AS client_bytes,
    sum(if(u.turned, u.client_packets, u.server_packets)) AS server_packets, sum(if(u.turned, u.client_bytes, u.server_bytes)) AS server_bytes,
    sum(if(u.fragment, 0, u.complete)) AS complete, sum(if(u.fragment, 0, u.half_open)) AS half_open,
    sum(multiIf(NOT u.fragment, u.unanswered, u.proto = 6, u.records, 0)) AS unanswered,
    sum(multiIf(u.fragment, if(u.proto = 6, 0, u.records), u.turned, u.replies, u.requests)) AS requests,
    sum(multiIf(u.fragment, 0, u.turned, u.requests, u.replies)) AS replies, sum(u.denied) AS denied,
    groupBitOr(if(u.turned AND NOT u.decided, u.server_flags, u.client_flags)) AS client_flags,
    groupBitOr(if(u.turned AND NOT u.decided, u.client_flags, u.server_flags)) AS server_flags,
    max(if(u.decided, u.basis, u.from_tftp OR u.to_tftp OR u.fragment OR u.verdict IN ('sender', 'degree', 'serves', 'hosts', 'ports') OR u.verdict = 'address' AND u.port != 0)) AS basis,
    max(u.one_in) AS sampling,
    sum((u.client_packets + u.server_packets) * if(u.one_in = 4294967295, 1, greatest(u.one_in, 1))) AS scaled_packets,
    sum((u.client_bytes + u.server_bytes) * if(u.one_in = 4294967295, 1, greatest(u.one_in, 1))) AS scaled_bytes
FROM `cordon`.sessions_directed_rows_window(since = {since:DateTime64(6, 'UTC')}, until = {until:DateTime64(6, 'UTC')}) AS u
GROUP BY vrf, server_address, proto, port, icmp_type, icmp_code, client_address, hour, exporter, egress;
-- 00020_session_marks.sql
-- +goose NO TRANSACTION
-- +goose Up

-- The steps of the session views that read every row, at less cost. What they give is what migration 00016 says.
--
--   - The place where a record was metered is one number, a hash of exporter and side. The rows of a session have
--     one place where AND and OR of their numbers are the same. Least and greatest of addresses of
--     sixteen bytes cost as much again as all the grouping.
--   - The marks of a row are found by one hash of its two addresses, to which VRF, protocol and port are added. Each
--     number that is added is a hash of its own or smaller than 2^16, so different sessions seldom meet, and where they do,
--     one session more is marked.
--   - A condition on the key of a grouping is asked of each row before it. That a pair has marks is asked of the session: the
--     condition also looks at an aggregate, which adds zero to the number.
--   - The columns of a row beyond those that mark it are read where it is marked.













CREATE OR REPLACE VIEW `cordon`.sessions_plain ON CLUSTER `main` AS
WITH
    (SELECT groupUniqArray(exporter) FROM `cordon`.sessions_hourly WHERE sides = 3) AS two_way_quick,
    arrayConcat(two_way_quick,
    (
        SELECT groupUniqArray(exporter) FROM
        (
            SELECT exporter FROM `cordon`.sessions_hourly
            WHERE sides IN (1, 2) AND NOT has(two_way_quick, exporter)
            GROUP BY exporter, vrf, server, proto, port, icmp_type, icmp_code, client, client_port
            HAVING groupBitOr(sides) = 3
        )
    )) AS two_way_exporters,
    (SELECT groupUniqArray(exporter) FROM `cordon`.sampled_exporters) AS sampling_exporters
SELECT vrf, server AS server_address, proto, port, icmp_type, icmp_code, client AS client_address,
    min(s.first_seen) AS first_seen, max(s.last_seen) AS last_seen,
    sum(s.client_packets) AS client_packets, sum(s.client_bytes) AS client_bytes,
    sum(s.server_packets) AS server_packets, sum(s.server_bytes) AS server_bytes,
    sum(s.complete) AS complete, sum(s.half_open) AS half_open, sum(s.unanswered) AS unanswered,
    sum(s.requests) AS requests, sum(s.replies) AS replies, sum(s.denied) AS denied,
    if(has(two_way_exporters, any(s.exporter)), requests, 0) AS requests_alone,
    requests - requests_alone AS requests_unknown,
    max(s.basis) AS basis, [any(s.exporter)] AS seen_by,
    groupUniqArray(s.hour) AS active_hours, groupBitOr(s.client_flags) AS client_flags, groupBitOr(s.server_flags) AS server_flags,
    max(s.sampling) AS sampling, client_packets + server_packets AS scaled_packets, client_bytes + server_bytes AS scaled_bytes
FROM `cordon`.sessions_hourly AS s
WHERE s.decided
GROUP BY vrf, server, proto, port, icmp_type, icmp_code, client
HAVING groupBitAnd(if(s.sampling > 1 OR has(sampling_exporters, s.exporter), 0, cityHash64(s.exporter, s.egress))) = groupBitOr(if(s.sampling > 1 OR has(sampling_exporters, s.exporter), 0, cityHash64(s.exporter, s.egress))) AND groupBitOr(if(s.sampling > 1 OR has(sampling_exporters, s.exporter), 0, cityHash64(s.exporter, s.egress))) != 0 AND cityHash64(server, client) + cityHash64(vrf) + proto + (groupBitOr(if(s.sampling > 1 OR has(sampling_exporters, s.exporter), 0, cityHash64(s.exporter, s.egress))) = 0) GLOBAL NOT IN (
    SELECT arrayJoin([cityHash64(server, client), cityHash64(client, server)]) + cityHash64(vrf) + proto FROM `cordon`.sessions_hourly
    WHERE NOT decided OR proto = 17 AND port = 69 AND client_port != 0
);

CREATE OR REPLACE VIEW `cordon`.sessions_plain_window ON CLUSTER `main` AS
WITH
    (SELECT groupUniqArray(exporter) FROM `cordon`.sessions_hourly WHERE sides = 3) AS two_way_quick,
    arrayConcat(two_way_quick,
    (
        SELECT groupUniqArray(exporter) FROM
        (
            SELECT exporter FROM `cordon`.sessions_hourly
            WHERE sides IN (1, 2) AND NOT has(two_way_quick, exporter)
            GROUP BY exporter, vrf, server, proto, port, icmp_type, icmp_code, client, client_port
            HAVING groupBitOr(sides) = 3
        )
    )) AS two_way_exporters,
    (SELECT groupUniqArray(exporter) FROM `cordon`.sampled_exporters) AS sampling_exporters
SELECT vrf, server AS server_address, proto, port, icmp_type, icmp_code, client AS client_address,
    min(s.first_seen) AS first_seen, max(s.last_seen) AS last_seen,
    sum(s.client_packets) AS client_packets, sum(s.client_bytes) AS client_bytes,
    sum(s.server_packets) AS server_packets, sum(s.server_bytes) AS server_bytes,
    sum(s.complete) AS complete, sum(s.half_open) AS half_open, sum(s.unanswered) AS unanswered,
    sum(s.requests) AS requests, sum(s.replies) AS replies, sum(s.denied) AS denied,
    if(has(two_way_exporters, any(s.exporter)), requests, 0) AS requests_alone,
    requests - requests_alone AS requests_unknown,
    max(s.basis) AS basis, [any(s.exporter)] AS seen_by,
    groupUniqArray(s.hour) AS active_hours, groupBitOr(s.client_flags) AS client_flags, groupBitOr(s.server_flags) AS server_flags,
    max(s.sampling) AS sampling, client_packets + server_packets AS scaled_packets, client_bytes + server_bytes AS scaled_bytes
FROM `cordon`.sessions_hourly AS s
WHERE s.decided
    AND s.hour < {until:DateTime64(6, 'UTC')} AND s.first_seen < {until:DateTime64(6, 'UTC')} AND s.last_seen >= {since:DateTime64(6, 'UTC')}
GROUP BY vrf, server, proto, port, icmp_type, icmp_code, client
HAVING groupBitAnd(if(s.sampling > 1 OR has(sampling_exporters, s.exporter), 0, cityHash64(s.exporter, s.egress))) = groupBitOr(if(s.sampling > 1 OR has(sampling_exporters, s.exporter), 0, cityHash64(s.exporter, s.egress))) AND groupBitOr(if(s.sampling > 1 OR has(sampling_exporters, s.exporter), 0, cityHash64(s.exporter, s.egress))) != 0 AND cityHash64(server, client) + cityHash64(vrf) + proto + (groupBitOr(if(s.sampling > 1 OR has(sampling_exporters, s.exporter), 0, cityHash64(s.exporter, s.egress))) = 0) GLOBAL NOT IN (
    SELECT arrayJoin([cityHash64(server, client), cityHash64(client, server)]) + cityHash64(vrf) + proto FROM `cordon`.sessions_hourly
    WHERE NOT decided OR proto = 17 AND port = 69 AND client_port != 0
);

CREATE OR REPLACE VIEW `cordon`.sessions_marked_rows ON CLUSTER `main` AS
WITH
    (SELECT groupUniqArray(exporter) FROM `cordon`.sampled_exporters) AS sampling_exporters,
    -- TFTP is asked for at port 69 and answered from a new port of the server to
    -- the client's, and both stay there (RFC 1350, section 4).
    tftp AS
    (
        SELECT vrf, server, client, client_port FROM `cordon`.sessions_hourly WHERE decided AND proto = 17 AND port = 69 AND client_port != 0
    )
SELECT * EXCEPT (client, server, shared), client AS client_address, server AS server_address,
    proto = 17 AND (port != 69 OR NOT decided) AND (vrf, client, server, port) GLOBAL IN tftp AS from_tftp,
    proto = 17 AND NOT decided AND (vrf, server, client, client_port) GLOBAL IN tftp AS to_tftp,
    if(sampling = 0 AND has(sampling_exporters, exporter), 4294967295, sampling) AS one_in
FROM
(
    SELECT *,
        NOT decided OR sampling > 1 OR has(sampling_exporters, exporter) OR cityHash64(server, client) + cityHash64(vrf) + proto GLOBAL IN (
    SELECT arrayJoin([cityHash64(server, client), cityHash64(client, server)]) + cityHash64(vrf) + proto FROM `cordon`.sessions_hourly
    WHERE NOT decided OR proto = 17 AND port = 69 AND client_port != 0
) AS odd,
        cityHash64(server, client) + cityHash64(vrf) + port GLOBAL IN
        (
            SELECT cityHash64(server, client) + cityHash64(vrf) + port AS session FROM `cordon`.sessions_hourly AS s
            WHERE decided
            GROUP BY session
            HAVING NOT (groupBitAnd(if(s.sampling > 1 OR has(sampling_exporters, s.exporter), 0, cityHash64(s.exporter, s.egress))) = groupBitOr(if(s.sampling > 1 OR has(sampling_exporters, s.exporter), 0, cityHash64(s.exporter, s.egress))) AND groupBitOr(if(s.sampling > 1 OR has(sampling_exporters, s.exporter), 0, cityHash64(s.exporter, s.egress))) != 0)
        ) AS shared
    FROM `cordon`.sessions_hourly
)
WHERE odd OR shared;

CREATE OR REPLACE VIEW `cordon`.sessions_marked_rows_window ON CLUSTER `main` AS
WITH
    (SELECT groupUniqArray(exporter) FROM `cordon`.sampled_exporters) AS sampling_exporters,
    -- TFTP is asked for at port 69 and answered from a new port of the server to
    -- the client's, and both stay there (RFC 1350, section 4).
    tftp AS
    (
        SELECT vrf, server, client, client_port FROM `cordon`.sessions_hourly WHERE decided AND proto = 17 AND port = 69 AND client_port != 0
    )
SELECT * EXCEPT (client, server, shared), client AS client_address, server AS server_address,
    proto = 17 AND (port != 69 OR NOT decided) AND (vrf, client, server, port) GLOBAL IN tftp AS from_tftp,
    proto = 17 AND NOT decided AND (vrf, server, client, client_port) GLOBAL IN tftp AS to_tftp,
    if(sampling = 0 AND has(sampling_exporters, exporter), 4294967295, sampling) AS one_in
FROM
(
    SELECT *,
        NOT decided OR sampling > 1 OR has(sampling_exporters, exporter) OR cityHash64(server, client) + cityHash64(vrf) + proto GLOBAL IN (
    SELECT arrayJoin([cityHash64(server, client), cityHash64(client, server)]) + cityHash64(vrf) + proto FROM `cordon`.sessions_hourly
    WHERE NOT decided OR proto = 17 AND port = 69 AND client_port != 0
) AS odd,
        cityHash64(server, client) + cityHash64(vrf) + port GLOBAL IN
        (
            SELECT cityHash64(server, client) + cityHash64(vrf) + port AS session FROM `cordon`.sessions_hourly AS s
            WHERE decided AND hour < {until:DateTime64(6, 'UTC')} AND first_seen < {until:DateTime64(6, 'UTC')} AND last_seen >= {since:DateTime64(6, 'UTC')}
            GROUP BY session
            HAVING NOT (groupBitAnd(if(s.sampling > 1 OR has(sampling_exporters, s.exporter), 0, cityHash64(s.exporter, s.egress))) = groupBitOr(if(s.sampling > 1 OR has(sampling_exporters, s.exporter), 0, cityHash64(s.exporter, s.egress))) AND groupBitOr(if(s.sampling > 1 OR has(sampling_exporters, s.exporter), 0, cityHash64(s.exporter, s.egress))) != 0)
        ) AS shared
    FROM `cordon`.sessions_hourly
    WHERE hour < {until:DateTime64(6, 'UTC')} AND first_seen < {until:DateTime64(6, 'UTC')} AND last_seen >= {since:DateTime64(6, 'UTC')}
)
WHERE odd OR shared;

-- Later fragments of IP packets have no ports. They go to the session of the same
-- hosts and protocol that sent most: server, client and proto are those of the
-- fragments' rows of sessions_hourly, the to_... columns are the session's. The first condition on the addresses
-- is one that the sort key answers; without fragments nothing is read.
CREATE OR REPLACE VIEW `cordon`.session_fragments ON CLUSTER `main` AS
SELECT q.vrf AS vrf, q.proto AS proto, least(q.server, q.client) AS server, greatest(q.server, q.client) AS client,
    argMax((q.server, q.port, q.client), (q.bytes, q.server, q.port)) AS session,
    session.1 AS to_server, session.2 AS to_port, session.3 AS to_client
FROM
(
    SELECT s.vrf AS vrf, s.proto AS proto, s.server AS server, s.port AS port, s.client AS client, sum(s.client_bytes + s.server_bytes) AS bytes
    FROM `cordon`.sessions_hourly AS s
    WHERE s.decided AND s.port != 0
        AND s.server GLOBAL IN (SELECT arrayJoin([server, client]) FROM `cordon`.sessions_hourly WHERE NOT decided AND port = 0 AND client_port = 0 AND proto IN (6, 17, 33, 132, 136))
        AND (s.vrf, s.proto, least(s.server, s.client), greatest(s.server, s.client)) GLOBAL IN
        (
            SELECT vrf, proto, server, client FROM `cordon`.sessions_hourly WHERE NOT decided AND port = 0 AND client_port = 0 AND proto IN (6, 17, 33, 132, 136)
        )
    GROUP BY s.vrf, s.proto, s.server, s.port, s.client
) AS q
GROUP BY q.vrf, q.proto, least(q.server, q.client), greatest(q.server, q.client);


-- 00021_memberships.sql
-- +goose NO TRANSACTION
-- +goose Up

-- What sources of groups said that addresses are, and when. In a cluster every node has all of it.
--
-- ReplacingMergeTree: a membership that ended is written again with its end. Readers use the view.
CREATE TABLE IF NOT EXISTS `cordon`.membership_rows ON CLUSTER `main`
(
    source      LowCardinality(String) COMMENT 'name of the source in the groups file',
    category    LowCardinality(String),
    `group`     LowCardinality(String),
    vrf         LowCardinality(String) COMMENT 'empty: in every VRF',
    prefix      String                 COMMENT 'address with its length',
    valid_from  DateTime64(6, 'UTC')   COMMENT '1970: since before the source was first read',
    valid_until DateTime64(6, 'UTC')   COMMENT 'first moment that no longer counts; 2200: still so',
    ref         String                 COMMENT 'name that the source has for the object',
    written     DateTime64(6, 'UTC')
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{uuid}', '{shard}-{replica}', written)
ORDER BY (source, category, `group`, vrf, prefix, valid_from)
COMMENT 'what sources of groups said that addresses are';

CREATE VIEW IF NOT EXISTS `cordon`.memberships ON CLUSTER `main` AS
SELECT prefix, vrf, category, `group`, valid_from, valid_until, source, ref
FROM `cordon`.membership_rows FINAL;

-- The last time that each source was read (problem is empty), and the last time that it could not be.
CREATE TABLE IF NOT EXISTS `cordon`.membership_source_rows ON CLUSTER `main`
(
    source  String,
    failed  Bool,
    taken   DateTime64(6, 'UTC'),
    members UInt64 COMMENT 'memberships that the source gave',
    problem String COMMENT 'why nothing was taken from it'
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{uuid}', '{shard}-{replica}', taken)
ORDER BY (source, failed)
COMMENT 'when sources of groups were read';

CREATE VIEW IF NOT EXISTS `cordon`.membership_sources ON CLUSTER `main` AS
SELECT source, failed, taken, members, problem
FROM `cordon`.membership_source_rows FINAL;
