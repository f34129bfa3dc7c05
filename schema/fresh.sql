-- Version 21 of the schema, written by ClickHouse 26.5.1.1
-- from the tables and views that the migrations make: go test ./schema -run FreshIs -update

CREATE TABLE IF NOT EXISTS {{database}}.exporter_name_rows
(
    `time` DateTime64(3, 'UTC') COMMENT 'when the collector found the name',
    `exporter` IPv6,
    `domain` UInt32 COMMENT 'observation domain id',
    `kind` LowCardinality(String) COMMENT 'interface or vrf',
    `id` UInt32 COMMENT 'as in_if, out_if and vrf_id of flows',
    `name` String
)
ENGINE = ReplacingMergeTree(time)
ORDER BY (exporter, domain, kind, id)
SETTINGS index_granularity = 8192
COMMENT 'names that exporters give to their interfaces and VRFs';

CREATE TABLE IF NOT EXISTS {{database}}.exporter_stats
(
    `time` DateTime64(3, 'UTC') COMMENT 'end of the interval, by the collector\'s clock' CODEC(Delta(8), LZ4),
    `interval_ms` UInt32 COMMENT 'length of the interval',
    `collector` LowCardinality(String) COMMENT 'collector instance',
    `exporter` IPv6 COMMENT ':: in rows about a listener as a whole',
    `domain` UInt32 COMMENT 'observation domain id',
    `transport` LowCardinality(String) COMMENT 'udp, tcp, tls or file',
    `name` LowCardinality(String) COMMENT 'what the exporter calls itself, from options data',
    `messages` UInt64,
    `bytes` UInt64,
    `records` UInt64 COMMENT 'data records decoded',
    `options_records` UInt64,
    `templates` UInt64 COMMENT 'template records, new or repeated',
    `lost_messages` UInt64 COMMENT 'estimated from sequence gaps, UDP',
    `lost_records` UInt64 COMMENT 'from sequence gaps (RFC 7011, section 3.1)',
    `duplicates` UInt64 COMMENT 'messages received twice',
    `reordered` UInt64 COMMENT 'messages that came late',
    `restarts` UInt64 COMMENT 'sequence numbers started anew',
    `no_template` UInt64 COMMENT 'data sets given up because their template never came',
    `waiting` UInt64 COMMENT 'data sets waiting for their template, at the end of the interval',
    `late_records` UInt64 COMMENT 'records whose flow ended long before they came',
    `errors` UInt64 COMMENT 'malformed messages, sets and records',
    `dropped_records` UInt64 COMMENT 'records that no queue had room for',
    `refused` UInt64 COMMENT 'messages of exporters that the allow-list does not have',
    `kernel_drops` UInt64 COMMENT 'datagrams that the listener\'s socket buffer had no room for',
    `sampling` UInt32 COMMENT 'coarsest sampling in use; 0 none is known of, 4294967295 at an unknown rate',
    `clock_skew_ms` Int64 COMMENT 'export time less time of receipt, of the last message',
    `last_export` DateTime64(3, 'UTC') COMMENT 'export time of the last message, by the exporter\'s clock'
)
ENGINE = MergeTree
PARTITION BY toStartOfMonth(time)
ORDER BY (toStartOfHour(time), exporter, domain, transport, collector)
TTL (toDateTime(toStartOfMonth(time)) + toIntervalMonth(1)) + toIntervalSecond({{sessions}})
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 20000, index_granularity = 8192
COMMENT 'counters of collectors about exporters';

CREATE TABLE IF NOT EXISTS {{database}}.flows
(
    `received` DateTime64(6, 'UTC') COMMENT 'when the collector got the record' CODEC(Delta(8), LZ4),
    `exporter` IPv6 COMMENT 'address of the exporter; :: for imported files',
    `domain` UInt32 COMMENT 'observation domain id (RFC 7011, section 3.1)',
    `start_time` DateTime64(6, 'UTC') COMMENT 'flow start, by the exporter\'s clock' CODEC(Delta(8), LZ4),
    `end_time` DateTime64(6, 'UTC') COMMENT 'flow end, by the exporter\'s clock' CODEC(Delta(8), LZ4),
    `src_ip` IPv6 COMMENT 'source address, IPv4 mapped; see src',
    `dst_ip` IPv6 COMMENT 'destination address, IPv4 mapped; see dst',
    `src_port` UInt16,
    `dst_port` UInt16,
    `proto` UInt8 COMMENT 'IANA protocol number',
    `icmp_type` UInt8 COMMENT 'as sent, for ICMP and ICMPv6',
    `icmp_code` UInt8,
    `bytes` UInt64 COMMENT 'source to destination',
    `packets` UInt64 COMMENT 'source to destination',
    `rev_bytes` UInt64 COMMENT 'destination to source, in biflow records (RFC 5103)',
    `rev_packets` UInt64 COMMENT 'destination to source, in biflow records (RFC 5103)',
    `tcp_flags` UInt16 COMMENT 'union over the flow, source to destination',
    `rev_tcp_flags` UInt16 COMMENT 'union over the flow, destination to source',
    `in_if` UInt32 COMMENT 'SNMP index of the ingress interface',
    `out_if` UInt32 COMMENT 'SNMP index of the egress interface',
    `vlan` UInt16,
    `l2_segment` UInt64 COMMENT 'layer2SegmentId (IE 351), encapsulation type included',
    `vrf_id` UInt32 COMMENT 'ingressVRFID (IE 234)',
    `vrf` LowCardinality(String) DEFAULT 'default',
    `flow_direction` Enum8('unknown' = 0, 'ingress' = 1, 'egress' = 2) COMMENT 'flowDirection (IE 61) at the observation point',
    `forwarding_status` UInt8 COMMENT 'IE 89 (RFC 7270): 64-127 forwarded, 128-191 dropped, 192-255 consumed',
    `firewall_event` UInt8 COMMENT 'IE 233: 1 created, 2 deleted, 3 denied, 4 alert, 5 updated',
    `end_reason` UInt8 COMMENT 'IE 136: 1 idle, 2 active timeout, 3 end detected, 4 forced, 5 lack of resources',
    `sampling` UInt32 COMMENT 'one packet in so many was looked at; 0 not said, 4294967295 nobody knows in how many',
    `action` Enum8('' = 0, 'forwarded' = 1, 'dropped' = 2) COMMENT 'what became of the packets',
    `direction` Enum8('unknown' = 0, 'forward' = 1, 'reverse' = 2) COMMENT 'forward: the source is the client; reverse: the destination is',
    `basis` Enum8('none' = 0, 'degree' = 1, 'known-port' = 2, 'port-range' = 3, 'icmp' = 4, 'tcp-flags' = 5, 'initiator' = 6, 'stated' = 7) COMMENT 'evidence for direction',
    `completeness` Enum8('one-way' = 0, 'both-ways' = 1, 'unknowable' = 2) COMMENT 'what the record alone can tell of an answer',
    `count` UInt32 DEFAULT 1 COMMENT 'identical records that this row stands for',
    `src` String ALIAS if((src_ip >= toIPv6('::ffff:0.0.0.0')) AND (src_ip <= toIPv6('::ffff:255.255.255.255')), substring(toString(src_ip), 8), toString(src_ip)),
    `dst` String ALIAS if((dst_ip >= toIPv6('::ffff:0.0.0.0')) AND (dst_ip <= toIPv6('::ffff:255.255.255.255')), substring(toString(dst_ip), 8), toString(dst_ip)),
    `post_src_ip` IPv6 COMMENT 'source after NAT (IE 225, 281), IPv4 mapped; :: where it stays',
    `post_dst_ip` IPv6 COMMENT 'destination after NAT (IE 226, 282), IPv4 mapped; :: where it stays',
    `post_src_port` UInt16 COMMENT 'source port after NAT (IE 227); 0 where it stays',
    `post_dst_port` UInt16 COMMENT 'destination port after NAT (IE 228); 0 where it stays',
    `import` UInt32 COMMENT 'number of the import, see view imports; 0 for what exporters sent'
)
ENGINE = MergeTree
PARTITION BY toDate(received)
ORDER BY received
TTL toDateTime(received) + toIntervalSecond({{flows}})
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 20000, min_parts_to_merge_at_once = 30, index_granularity = 8192
COMMENT 'raw flow records';

CREATE TABLE IF NOT EXISTS {{database}}.group_prefixes
(
    `file_id` String COMMENT 'hash of the groups file',
    `loaded` DateTime64(3, 'UTC') COMMENT 'when this file was loaded last',
    `category` LowCardinality(String),
    `group` LowCardinality(String),
    `prefix` String COMMENT 'CIDR notation'
)
ENGINE = ReplacingMergeTree(loaded)
ORDER BY (file_id, category, group, prefix)
SETTINGS index_granularity = 8192
COMMENT 'every groups file that was loaded';

CREATE TABLE IF NOT EXISTS {{database}}.import_rows
(
    `id` UInt32 COMMENT 'number of the import, as in column import of flows and sessions_hourly',
    `instance` String COMMENT 'as column collector of exporter_stats; the batches\' ids begin with it',
    `state` Enum8('started' = 1, 'done' = 2, 'undoing' = 3, 'undone' = 4, 'forgotten' = 5),
    `file` String COMMENT 'name of the file as it was given; empty where another import had the same number first',
    `digest` String COMMENT 'SHA-256 of the file\'s contents, decompressed',
    `records` UInt64 COMMENT 'flow records read',
    `bad_rows` UInt64 COMMENT 'rows that were passed over on request',
    `process` String COMMENT 'host and process id of whoever imports or takes back',
    `started` DateTime64(3, 'UTC'),
    `changed` DateTime64(3, 'UTC') COMMENT 'when the state was written last; a running import writes it again and again',
    `version` UInt64 COMMENT 'counts the writes of this row'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (id, instance)
SETTINGS index_granularity = 8192
COMMENT 'imports of files';

CREATE TABLE IF NOT EXISTS {{database}}.membership_rows
(
    `source` LowCardinality(String) COMMENT 'name of the source in the groups file',
    `category` LowCardinality(String),
    `group` LowCardinality(String),
    `vrf` LowCardinality(String) COMMENT 'empty: in every VRF',
    `prefix` String COMMENT 'address with its length',
    `valid_from` DateTime64(6, 'UTC') COMMENT '1970: since before the source was first read',
    `valid_until` DateTime64(6, 'UTC') COMMENT 'first moment that no longer counts; 2200: still so',
    `ref` String COMMENT 'name that the source has for the object',
    `written` DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(written)
ORDER BY (source, category, group, vrf, prefix, valid_from)
SETTINGS index_granularity = 8192
COMMENT 'what sources of groups said that addresses are';

CREATE TABLE IF NOT EXISTS {{database}}.membership_source_rows
(
    `source` String,
    `failed` Bool,
    `taken` DateTime64(6, 'UTC'),
    `members` UInt64 COMMENT 'memberships that the source gave',
    `problem` String COMMENT 'why nothing was taken from it'
)
ENGINE = ReplacingMergeTree(taken)
ORDER BY (source, failed)
SETTINGS index_granularity = 8192
COMMENT 'when sources of groups were read';

CREATE TABLE IF NOT EXISTS {{database}}.proposal_documents
(
    `id` String COMMENT 'sha256 of the document',
    `created` DateTime64(3, 'UTC') COMMENT 'when it was computed first',
    `vrf` LowCardinality(String),
    `window_from` DateTime64(6, 'UTC'),
    `window_to` DateTime64(6, 'UTC'),
    `categories` Array(String) COMMENT 'selected, in order of precedence',
    `rules` UInt32,
    `lower_bound` UInt32 COMMENT 'no sound and complete rule set has fewer rules',
    `optimal` Bool,
    `cells` UInt64,
    `sessions` UInt64 COMMENT 'in the window',
    `included` UInt64 COMMENT 'permitted by the rules',
    `document` String COMMENT 'JSON, as published' CODEC(ZSTD(6))
)
ENGINE = ReplacingMergeTree
ORDER BY (vrf, id)
SETTINGS index_granularity = 8192
COMMENT 'policy proposals';

CREATE TABLE IF NOT EXISTS {{database}}.proposal_rule_rows
(
    `proposal` String COMMENT 'id of the proposal',
    `ordinal` UInt32 COMMENT 'position in the document, from 0',
    `id` String,
    `name` String,
    `action` LowCardinality(String),
    `sources` Array(String) COMMENT 'group:NAME, ip:PREFIX or any',
    `destinations` Array(String) COMMENT 'group:NAME, ip:PREFIX or any',
    `services` Array(String),
    `sessions` UInt64 COMMENT 'evidence',
    `flows` UInt64 COMMENT 'evidence',
    `bytes` UInt64 COMMENT 'evidence, both directions',
    `clients` UInt64 COMMENT 'evidence',
    `servers` UInt64 COMMENT 'evidence',
    `first_seen` DateTime64(6, 'UTC') COMMENT 'evidence',
    `last_seen` DateTime64(6, 'UTC') COMMENT 'evidence',
    `permitted_pairs` UInt64,
    `observed_pairs` UInt64
)
ENGINE = ReplacingMergeTree
ORDER BY (proposal, ordinal)
SETTINGS index_granularity = 8192
COMMENT 'rules of policy proposals';

CREATE TABLE IF NOT EXISTS {{database}}.proposal_state_rows
(
    `proposal` String COMMENT 'id of the proposal',
    `changed` DateTime64(6, 'UTC'),
    `state` LowCardinality(String) COMMENT 'draft, reviewed, submitted, in-force, superseded, archived or deleted',
    `person` String COMMENT 'who changed it',
    `note` String
)
ENGINE = ReplacingMergeTree
ORDER BY (proposal, changed, state)
SETTINGS index_granularity = 8192
COMMENT 'the life of policy proposals';

CREATE TABLE IF NOT EXISTS {{database}}.rule_name_rows
(
    `rule` String COMMENT 'id of the rule',
    `name` String COMMENT 'empty where it was taken back',
    `changed` DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(changed)
ORDER BY rule
SETTINGS index_granularity = 8192
COMMENT 'names that people gave to rules';

CREATE TABLE IF NOT EXISTS {{database}}.sessions_hourly
(
    `month` Date COMMENT 'first day of the month in which the records were received',
    `decided` Bool COMMENT 'the records tell client from server',
    `hour` DateTime('UTC') COMMENT 'hour of the flow start, or of its receipt where the exporter\'s clock is out of its mind',
    `vrf` LowCardinality(String),
    `server` IPv6,
    `proto` UInt8,
    `port` UInt16 COMMENT 'at the server\'s end',
    `icmp_type` UInt8 COMMENT 'of the request',
    `icmp_code` UInt8,
    `client` IPv6,
    `client_port` UInt16 COMMENT 'where undecided, and of TFTP (udp/69), else 0',
    `exporter` IPv6,
    `first_seen` SimpleAggregateFunction(min, DateTime64(6, 'UTC')),
    `last_seen` SimpleAggregateFunction(max, DateTime64(6, 'UTC')),
    `client_packets` SimpleAggregateFunction(sum, UInt64),
    `client_bytes` SimpleAggregateFunction(sum, UInt64),
    `server_packets` SimpleAggregateFunction(sum, UInt64),
    `server_bytes` SimpleAggregateFunction(sum, UInt64),
    `complete` SimpleAggregateFunction(sum, UInt64),
    `half_open` SimpleAggregateFunction(sum, UInt64),
    `unanswered` SimpleAggregateFunction(sum, UInt64),
    `requests` SimpleAggregateFunction(sum, UInt64),
    `replies` SimpleAggregateFunction(sum, UInt64),
    `denied` SimpleAggregateFunction(sum, UInt64),
    `client_flags` SimpleAggregateFunction(groupBitOr, UInt16) COMMENT 'union of the client\'s TCP flags',
    `server_flags` SimpleAggregateFunction(groupBitOr, UInt16) COMMENT 'union of the server\'s TCP flags',
    `sides` SimpleAggregateFunction(groupBitOr, UInt8) COMMENT 'whose packets the exporter has shown: 1 the client\'s, 2 the server\'s',
    `basis` SimpleAggregateFunction(max, UInt8) COMMENT 'strongest evidence for the direction, as in flows',
    `sampling` SimpleAggregateFunction(max, UInt32) COMMENT 'coarsest sampling; 0 not said, 4294967295 at an unknown rate',
    `egress` Bool COMMENT 'metered where packets leave the exporter',
    `import` UInt32 COMMENT 'number of the import, see view imports; 0 for what exporters sent',
    INDEX last_seen last_seen TYPE minmax GRANULARITY 1,
    INDEX client client TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = AggregatingMergeTree
PARTITION BY (month, decided)
PRIMARY KEY (toDate(hour), server, proto, port, client, vrf, icmp_type, icmp_code, client_port, exporter, hour)
ORDER BY (toDate(hour), server, proto, port, client, vrf, icmp_type, icmp_code, client_port, exporter, hour, egress, import)
TTL (month + toIntervalMonth(1)) + toIntervalSecond({{sessions}})
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 20000, min_parts_to_merge_at_once = 60, index_granularity = 8192, min_bytes_for_wide_part = 33554432
COMMENT 'sessions by hour and exporter';

CREATE VIEW IF NOT EXISTS {{database}}.exporter_names
(
    `exporter` String,
    `domain` UInt32,
    `kind` LowCardinality(String),
    `id` UInt32,
    `name` String,
    `time` DateTime64(3, 'UTC'),
    `exporter_ip` IPv6
)
AS SELECT
    if((r.exporter >= toIPv6('::ffff:0.0.0.0')) AND (r.exporter <= toIPv6('::ffff:255.255.255.255')), substring(toString(r.exporter), 8), toString(r.exporter)) AS exporter,
    r.domain AS domain,
    r.kind AS kind,
    r.id AS id,
    r.name AS name,
    r.time AS time,
    r.exporter AS exporter_ip
FROM {{database}}.exporter_name_rows AS r
FINAL;

CREATE VIEW IF NOT EXISTS {{database}}.exporters
(
    `exporter` String,
    `hour` DateTime('UTC'),
    `name` String,
    `domains` Array(UInt32),
    `transports` Array(String),
    `collectors` Array(String),
    `first_seen` DateTime64(3, 'UTC'),
    `last_seen` DateTime64(3, 'UTC'),
    `messages` UInt64,
    `bytes` UInt64,
    `records` UInt64,
    `options_records` UInt64,
    `templates` UInt64,
    `lost_messages` UInt64,
    `lost_records` UInt64,
    `loss` Float64,
    `duplicates` UInt64,
    `reordered` UInt64,
    `restarts` UInt64,
    `no_template` UInt64,
    `late_records` UInt64,
    `errors` UInt64,
    `dropped_records` UInt64,
    `refused` UInt64,
    `kernel_drops` UInt64,
    `sampling` UInt32,
    `clock_skew_ms` Int64,
    `last_export` DateTime64(3, 'UTC')
)
AS SELECT
    if((e.exporter >= toIPv6('::ffff:0.0.0.0')) AND (e.exporter <= toIPv6('::ffff:255.255.255.255')), substring(toString(e.exporter), 8), toString(e.exporter)) AS exporter,
    toStartOfHour(if(e.transport = 'file', e.last_export, e.time)) AS hour,
    argMaxIf(e.name, e.time, e.name != '') AS name,
    arraySort(groupUniqArray(e.domain)) AS domains,
    arraySort(groupUniqArray(toString(e.transport))) AS transports,
    arraySort(groupUniqArray(toString(e.collector))) AS collectors,
    min(e.time - toIntervalMillisecond(e.interval_ms)) AS first_seen,
    maxIf(e.time, e.messages > 0) AS last_seen,
    sum(e.messages) AS messages,
    sum(e.bytes) AS bytes,
    sum(e.records) AS records,
    sum(e.options_records) AS options_records,
    sum(e.templates) AS templates,
    sum(e.lost_messages) AS lost_messages,
    sum(e.lost_records) AS lost_records,
    round(lost_records / greatest(records + lost_records, 1), 6) AS loss,
    sum(e.duplicates) AS duplicates,
    sum(e.reordered) AS reordered,
    sum(e.restarts) AS restarts,
    sum(e.no_template) AS no_template,
    sum(e.late_records) AS late_records,
    sum(e.errors) AS errors,
    sum(e.dropped_records) AS dropped_records,
    sum(e.refused) AS refused,
    sum(e.kernel_drops) AS kernel_drops,
    max(e.sampling) AS sampling,
    argMax(e.clock_skew_ms, e.time) AS clock_skew_ms,
    max(e.last_export) AS last_export
FROM {{database}}.exporter_stats AS e
GROUP BY
    e.exporter,
    hour;

CREATE VIEW IF NOT EXISTS {{database}}.exporters_total
(
    `exporter` String,
    `name` String,
    `domains` Array(UInt32),
    `transports` Array(String),
    `collectors` Array(String),
    `hours` UInt64,
    `first_seen` DateTime64(3, 'UTC'),
    `last_seen` DateTime64(3, 'UTC'),
    `messages` UInt64,
    `bytes` UInt64,
    `records` UInt64,
    `options_records` UInt64,
    `templates` UInt64,
    `lost_messages` UInt64,
    `lost_records` UInt64,
    `loss` Float64,
    `duplicates` UInt64,
    `reordered` UInt64,
    `restarts` UInt64,
    `no_template` UInt64,
    `late_records` UInt64,
    `errors` UInt64,
    `dropped_records` UInt64,
    `refused` UInt64,
    `kernel_drops` UInt64,
    `sampling` UInt32,
    `clock_skew_ms` Int64,
    `last_export` DateTime64(3, 'UTC')
)
AS SELECT
    exporter,
    argMaxIf(h.name, h.hour, h.name != '') AS name,
    arraySort(groupUniqArrayArray(h.domains)) AS domains,
    arraySort(groupUniqArrayArray(h.transports)) AS transports,
    arraySort(groupUniqArrayArray(h.collectors)) AS collectors,
    count() AS hours,
    min(h.first_seen) AS first_seen,
    max(h.last_seen) AS last_seen,
    sum(h.messages) AS messages,
    sum(h.bytes) AS bytes,
    sum(h.records) AS records,
    sum(h.options_records) AS options_records,
    sum(h.templates) AS templates,
    sum(h.lost_messages) AS lost_messages,
    sum(h.lost_records) AS lost_records,
    round(lost_records / greatest(records + lost_records, 1), 6) AS loss,
    sum(h.duplicates) AS duplicates,
    sum(h.reordered) AS reordered,
    sum(h.restarts) AS restarts,
    sum(h.no_template) AS no_template,
    sum(h.late_records) AS late_records,
    sum(h.errors) AS errors,
    sum(h.dropped_records) AS dropped_records,
    sum(h.refused) AS refused,
    sum(h.kernel_drops) AS kernel_drops,
    max(h.sampling) AS sampling,
    argMax(h.clock_skew_ms, h.hour) AS clock_skew_ms,
    max(h.last_export) AS last_export
FROM {{database}}.exporters AS h
GROUP BY exporter;

CREATE VIEW IF NOT EXISTS {{database}}.groups
(
    `category` LowCardinality(String),
    `group` LowCardinality(String),
    `prefix` String,
    `file_id` String,
    `loaded` DateTime64(3, 'UTC')
)
AS SELECT
    category,
    group,
    prefix,
    file_id,
    loaded
FROM {{database}}.group_prefixes
FINAL
WHERE file_id = (
    SELECT argMax(g.file_id, (g.loaded, g.file_id))
    FROM {{database}}.group_prefixes AS g
);

CREATE VIEW IF NOT EXISTS {{database}}.imports
(
    `id` UInt32,
    `state` Enum8('started' = 1, 'done' = 2, 'undoing' = 3, 'undone' = 4, 'forgotten' = 5),
    `file` String,
    `digest` String,
    `records` UInt64,
    `bad_rows` UInt64,
    `started` DateTime64(3, 'UTC'),
    `changed` DateTime64(3, 'UTC'),
    `process` String,
    `instance` String
)
AS SELECT
    id,
    state,
    file,
    digest,
    records,
    bad_rows,
    started,
    changed,
    process,
    instance
FROM {{database}}.import_rows
FINAL
WHERE file != '';

CREATE VIEW IF NOT EXISTS {{database}}.membership_sources
(
    `source` String,
    `failed` Bool,
    `taken` DateTime64(6, 'UTC'),
    `members` UInt64,
    `problem` String
)
AS SELECT
    source,
    failed,
    taken,
    members,
    problem
FROM {{database}}.membership_source_rows
FINAL;

CREATE VIEW IF NOT EXISTS {{database}}.memberships
(
    `prefix` String,
    `vrf` LowCardinality(String),
    `category` LowCardinality(String),
    `group` LowCardinality(String),
    `valid_from` DateTime64(6, 'UTC'),
    `valid_until` DateTime64(6, 'UTC'),
    `source` LowCardinality(String),
    `ref` String
)
AS SELECT
    prefix,
    vrf,
    category,
    group,
    valid_from,
    valid_until,
    source,
    ref
FROM {{database}}.membership_rows
FINAL;

CREATE VIEW IF NOT EXISTS {{database}}.proposal_rules
(
    `proposal` String,
    `ordinal` UInt32,
    `id` String,
    `name` String,
    `action` LowCardinality(String),
    `sources` Array(String),
    `destinations` Array(String),
    `services` Array(String),
    `sessions` UInt64,
    `flows` UInt64,
    `bytes` UInt64,
    `clients` UInt64,
    `servers` UInt64,
    `first_seen` DateTime64(6, 'UTC'),
    `last_seen` DateTime64(6, 'UTC'),
    `permitted_pairs` UInt64,
    `observed_pairs` UInt64
)
AS SELECT
    proposal,
    ordinal,
    id,
    name,
    action,
    sources,
    destinations,
    services,
    sessions,
    flows,
    bytes,
    clients,
    servers,
    first_seen,
    last_seen,
    permitted_pairs,
    observed_pairs
FROM {{database}}.proposal_rule_rows
FINAL;

CREATE VIEW IF NOT EXISTS {{database}}.proposal_states
(
    `proposal` String,
    `changed` DateTime64(6, 'UTC'),
    `state` LowCardinality(String),
    `person` String,
    `note` String
)
AS SELECT
    proposal,
    changed,
    state,
    person,
    note
FROM {{database}}.proposal_state_rows
FINAL;

CREATE VIEW IF NOT EXISTS {{database}}.proposals
(
    `id` String,
    `created` DateTime64(3, 'UTC'),
    `vrf` LowCardinality(String),
    `window_from` DateTime64(6, 'UTC'),
    `window_to` DateTime64(6, 'UTC'),
    `categories` Array(String),
    `rules` UInt32,
    `lower_bound` UInt32,
    `optimal` Bool,
    `cells` UInt64,
    `sessions` UInt64,
    `included` UInt64,
    `document` String
)
AS SELECT
    id,
    created,
    vrf,
    window_from,
    window_to,
    categories,
    rules,
    lower_bound,
    optimal,
    cells,
    sessions,
    included,
    document
FROM {{database}}.proposal_documents
FINAL;

CREATE VIEW IF NOT EXISTS {{database}}.rule_names
(
    `rule` String,
    `name` String,
    `changed` DateTime64(3, 'UTC')
)
AS SELECT
    rule,
    name,
    changed
FROM {{database}}.rule_name_rows
FINAL
WHERE name != '';

CREATE VIEW IF NOT EXISTS {{database}}.sampled_exporters
(
    `exporter` IPv6
)
AS SELECT exporter
FROM {{database}}.sessions_hourly
WHERE (sampling > 1) AND (exporter != toIPv6('::'))
UNION DISTINCT
SELECT exporter
FROM {{database}}.exporter_stats
WHERE (sampling > 1) AND (exporter != toIPv6('::'));

CREATE VIEW IF NOT EXISTS {{database}}.session_degrees
(
    `vrf` LowCardinality(String),
    `proto` UInt8,
    `server` IPv6,
    `port` UInt16,
    `client` IPv6,
    `client_port` UInt16,
    `server_degree` UInt64,
    `client_degree` UInt64,
    `decided_as_here` UInt8,
    `decided_opposite` UInt8,
    `server_sent` UInt8,
    `client_sent` UInt8,
    `server_serves` UInt8,
    `client_serves` UInt8,
    `server_fans_out` UInt8,
    `client_fans_out` UInt8,
    `server_peers` UInt64,
    `client_peers` UInt64,
    `server_ports` UInt64,
    `client_ports` UInt64
)
AS SELECT
    p.vrf AS vrf,
    p.proto AS proto,
    p.server AS server,
    p.port AS port,
    p.client AS client,
    p.client_port AS client_port,
    maxIf(p.degree, p.side = 1) AS server_degree,
    maxIf(p.degree, p.side = 2) AS client_degree,
    maxIf(p.served, p.side = 1) AS decided_as_here,
    maxIf(p.served, p.side = 2) AS decided_opposite,
    maxIf(p.sent, p.side = 1) AS server_sent,
    maxIf(p.sent, p.side = 2) AS client_sent,
    maxIf(p.serves, p.side = 1) AS server_serves,
    maxIf(p.serves, p.side = 2) AS client_serves,
    maxIf(p.own_ports >= (4 * p.peer_ports), p.side = 1) AS server_fans_out,
    maxIf(p.own_ports >= (4 * p.peer_ports), p.side = 2) AS client_fans_out,
    maxIf(p.peers, p.side = 1) AS server_peers,
    maxIf(p.peers, p.side = 2) AS client_peers,
    maxIf(p.own_ports, p.side = 1) AS server_ports,
    maxIf(p.own_ports, p.side = 2) AS client_ports
FROM {{database}}.session_ends AS p
WHERE p.side > 0
GROUP BY
    p.vrf,
    p.proto,
    p.server,
    p.port,
    p.client,
    p.client_port;

CREATE VIEW IF NOT EXISTS {{database}}.session_directions
(
    `vrf` LowCardinality(String),
    `proto` UInt8,
    `server` IPv6,
    `port` UInt16,
    `client` IPv6,
    `client_port` UInt16,
    `server_degree` UInt64,
    `client_degree` UInt64,
    `decided_as_here` UInt8,
    `decided_opposite` UInt8,
    `one_sender` UInt8,
    `degrees_differ` UInt8,
    `server_serves` UInt8,
    `client_serves` UInt8,
    `server_fans_out` UInt8,
    `client_fans_out` UInt8,
    `server_peers` UInt64,
    `client_peers` UInt64,
    `hosts_differ` UInt8,
    `turned` UInt8,
    `verdict` String
)
AS SELECT
    p.vrf AS vrf,
    p.proto AS proto,
    p.server AS server,
    p.port AS port,
    p.client AS client,
    p.client_port AS client_port,
    p.server_degree AS server_degree,
    p.client_degree AS client_degree,
    p.decided_as_here AS decided_as_here,
    p.decided_opposite AS decided_opposite,
    ((p.port != 0) OR (p.proto NOT IN (1, 6, 17, 33, 58, 132, 136))) AND (p.port = p.client_port) AND (p.server_sent != p.client_sent) AS one_sender,
    (p.client_degree >= (2 * p.server_degree)) OR (p.server_degree >= (2 * p.client_degree)) AS degrees_differ,
    p.server_serves AS server_serves,
    p.client_serves AS client_serves,
    p.server_fans_out AS server_fans_out,
    p.client_fans_out AS client_fans_out,
    p.server_peers AS server_peers,
    p.client_peers AS client_peers,
    (p.server_fans_out != p.client_fans_out) OR ((least(p.port, p.client_port) >= 32768) AND ((p.client_peers >= (4 * p.server_peers)) OR (p.server_peers >= (4 * p.client_peers)))) AS hosts_differ,
    multiIf(p.decided_as_here != p.decided_opposite, p.decided_opposite, one_sender, p.server_sent, degrees_differ, p.client_degree > p.server_degree, p.server_serves != p.client_serves, p.client_serves, p.server_fans_out != p.client_fans_out, p.server_fans_out, hosts_differ AND (p.client_peers > p.server_peers)) AS turned,
    multiIf(p.decided_as_here != p.decided_opposite, 'decided', one_sender, 'sender', degrees_differ, 'degree', p.server_serves != p.client_serves, 'serves', (p.proto NOT IN (1, 6, 17, 33, 58, 132, 136)), 'address', hosts_differ, 'hosts', (p.port = p.client_port) AND (p.port != 0), 'address', ((least(p.port, p.client_port) >= 1) AND (least(p.port, p.client_port) <= 32767)) AND (greatest(p.port, p.client_port) >= 32768) AND (if(p.port < p.client_port, p.server_ports, p.client_ports) = 1), 'ports', 'ambiguous') AS verdict
FROM {{database}}.session_degrees AS p;

CREATE VIEW IF NOT EXISTS {{database}}.session_ends
(
    `vrf` LowCardinality(String),
    `proto` UInt8,
    `server` IPv6,
    `port` UInt16,
    `client` IPv6,
    `client_port` UInt16,
    `side` UInt8,
    `sent` UInt8,
    `address` IPv6,
    `end_port` UInt16,
    `peer` IPv6,
    `peer_port` UInt16,
    `degree` UInt64,
    `serves` UInt8,
    `served` UInt8,
    `peers` UInt64,
    `own_ports` UInt64,
    `peer_ports` UInt64
)
AS SELECT
    e.*,
    count() OVER (PARTITION BY vrf, proto, address, end_port) AS degree,
    max(side = 0) OVER (PARTITION BY vrf, proto, address, end_port) AS serves,
    max(side = 0) OVER (PARTITION BY vrf, proto, address, end_port, peer) AS served,
    uniqExactIf(peer, side > 0) OVER (PARTITION BY vrf, proto, address) AS peers,
    uniqExactIf(end_port, side > 0) OVER (PARTITION BY vrf, proto, address) AS own_ports,
    uniqExactIf(peer_port, side > 0) OVER (PARTITION BY vrf, proto, address) AS peer_ports
FROM
(
    SELECT
        vrf,
        proto,
        server,
        port,
        client,
        client_port,
        side,
        max(if(side = 1, (server_packets + server_bytes) + replies, (client_packets + client_bytes) + requests) > 0) AS sent,
        if(side = 1, server, client) AS address,
        if(side = 1, port, client_port) AS end_port,
        if(side = 1, client, server) AS peer,
        if(side = 1, client_port, port) AS peer_port
    FROM {{database}}.sessions_hourly
    ARRAY JOIN [1, 2] AS side
    WHERE (NOT decided) AND (NOT ((port = 0) AND (client_port = 0) AND (proto IN (6, 17, 33, 132, 136))))
    GROUP BY
        vrf,
        proto,
        server,
        port,
        client,
        client_port,
        side
    UNION ALL
    SELECT DISTINCT
        vrf,
        proto,
        server,
        port,
        client,
        0 AS client_port,
        0 AS side,
        0 AS sent,
        server AS address,
        port AS end_port,
        client AS peer,
        0 AS peer_port
    FROM {{database}}.sessions_hourly
    WHERE decided AND ((server, proto, port) GLOBAL IN (
        SELECT
            if(side = 1, server, client),
            proto,
            if(side = 1, port, client_port)
        FROM {{database}}.sessions_hourly
        ARRAY JOIN [1, 2] AS side
        WHERE (NOT decided) AND (NOT ((port = 0) AND (client_port = 0) AND (proto IN (6, 17, 33, 132, 136))))
    ))
) AS e;

CREATE VIEW IF NOT EXISTS {{database}}.session_fragments
(
    `vrf` LowCardinality(String),
    `proto` UInt8,
    `server` IPv6,
    `client` IPv6,
    `session` Tuple(
        IPv6,
        UInt16,
        IPv6),
    `to_server` IPv6,
    `to_port` UInt16,
    `to_client` IPv6
)
AS SELECT
    q.vrf AS vrf,
    q.proto AS proto,
    least(q.server, q.client) AS server,
    greatest(q.server, q.client) AS client,
    argMax((q.server, q.port, q.client), (q.bytes, q.server, q.port)) AS session,
    session.1 AS to_server,
    session.2 AS to_port,
    session.3 AS to_client
FROM
(
    SELECT
        s.vrf AS vrf,
        s.proto AS proto,
        s.server AS server,
        s.port AS port,
        s.client AS client,
        sum(s.client_bytes + s.server_bytes) AS bytes
    FROM {{database}}.sessions_hourly AS s
    WHERE s.decided AND (s.port != 0) AND (s.server GLOBAL IN (
        SELECT arrayJoin([server, client])
        FROM {{database}}.sessions_hourly
        WHERE (NOT decided) AND (port = 0) AND (client_port = 0) AND (proto IN (6, 17, 33, 132, 136))
    )) AND ((s.vrf, s.proto, least(s.server, s.client), greatest(s.server, s.client)) GLOBAL IN (
        SELECT
            vrf,
            proto,
            server,
            client
        FROM {{database}}.sessions_hourly
        WHERE (NOT decided) AND (port = 0) AND (client_port = 0) AND (proto IN (6, 17, 33, 132, 136))
    ))
    GROUP BY
        s.vrf,
        s.proto,
        s.server,
        s.port,
        s.client
) AS q
GROUP BY
    q.vrf,
    q.proto,
    least(q.server, q.client),
    greatest(q.server, q.client);

CREATE VIEW IF NOT EXISTS {{database}}.sessions
(
    `vrf` LowCardinality(String),
    `client` String,
    `server` String,
    `proto` UInt8,
    `port` UInt16,
    `icmp_type` UInt8,
    `icmp_code` UInt8,
    `service` String,
    `first_seen` DateTime64(6, 'UTC'),
    `last_seen` DateTime64(6, 'UTC'),
    `flows` UInt64,
    `client_packets` UInt64,
    `client_bytes` UInt64,
    `server_packets` UInt64,
    `server_bytes` UInt64,
    `complete` UInt64,
    `half_open` UInt64,
    `denied` UInt64,
    `direction_basis` Enum8('none' = 0, 'degree' = 1, 'known-port' = 2, 'port-range' = 3, 'icmp' = 4, 'tcp-flags' = 5, 'initiator' = 6, 'stated' = 7),
    `exporters` Array(String)
)
AS SELECT
    vrf,
    client,
    server,
    proto,
    port,
    icmp_type,
    icmp_code,
    service,
    first_seen,
    last_seen,
    flows,
    client_packets,
    client_bytes,
    server_packets,
    server_bytes,
    complete,
    half_open,
    denied,
    direction_basis,
    exporters
FROM {{database}}.sessions_all;

CREATE VIEW IF NOT EXISTS {{database}}.sessions_all
(
    `vrf` LowCardinality(String),
    `client` String,
    `server` String,
    `proto` UInt8,
    `port` UInt16,
    `icmp_type` UInt8,
    `icmp_code` UInt8,
    `service` String,
    `first_seen` DateTime64(6, 'UTC'),
    `last_seen` DateTime64(6, 'UTC'),
    `flows` UInt64,
    `client_packets` UInt64,
    `client_bytes` UInt64,
    `server_packets` UInt64,
    `server_bytes` UInt64,
    `complete` UInt64,
    `half_open` UInt64,
    `denied` UInt64,
    `direction_basis` Enum8('none' = 0, 'degree' = 1, 'known-port' = 2, 'port-range' = 3, 'icmp' = 4, 'tcp-flags' = 5, 'initiator' = 6, 'stated' = 7),
    `exporters` Array(String),
    `client_ip` IPv6,
    `server_ip` IPv6,
    `hours` UInt64,
    `active_hours` Array(DateTime),
    `client_flags` UInt16,
    `server_flags` UInt16,
    `sampling` UInt32,
    `scaled_packets` UInt64,
    `scaled_bytes` UInt64
)
AS WITH
    (
        SELECT groupUniqArray(exporter)
        FROM {{database}}.sessions_hourly
        WHERE sides = 3
    ) AS two_way_quick,
    arrayConcat(two_way_quick, (
        SELECT groupUniqArray(exporter)
        FROM
        (
            SELECT exporter
            FROM {{database}}.sessions_hourly
            WHERE (sides IN (1, 2)) AND (NOT has(two_way_quick, exporter))
            GROUP BY
                exporter,
                vrf,
                server,
                proto,
                port,
                icmp_type,
                icmp_code,
                client,
                client_port
            HAVING groupBitOr(sides) = 3
        )
    )) AS two_way_exporters,
    asking AS
    (
        SELECT
            vrf,
            proto,
            port,
            client,
            server
        FROM {{database}}.sessions_hourly
        WHERE decided AND (proto IN (17, 136)) AND (port != 0) AND (complete = 0) AND (replies = 0) AND ((client_packets + client_bytes) > 0) AND ((half_open > 0) OR ((requests > 0) AND has(two_way_exporters, exporter)))
    )
SELECT
    h.vrf AS vrf,
    if((h.client_address >= toIPv6('::ffff:0.0.0.0')) AND (h.client_address <= toIPv6('::ffff:255.255.255.255')), substring(toString(h.client_address), 8), toString(h.client_address)) AS client,
    if((h.server_address >= toIPv6('::ffff:0.0.0.0')) AND (h.server_address <= toIPv6('::ffff:255.255.255.255')), substring(toString(h.server_address), 8), toString(h.server_address)) AS server,
    h.proto AS proto,
    h.port AS port,
    h.icmp_type AS icmp_type,
    h.icmp_code AS icmp_code,
    concat(transform(h.proto, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 62, 64, 65, 66, 67, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 88, 89, 90, 91, 92, 93, 94, 95, 96, 97, 98, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113, 115, 116, 117, 118, 119, 120, 121, 122, 123, 124, 125, 126, 127, 128, 129, 130, 131, 132, 133, 134, 135, 136, 137, 138, 139, 140, 141, 142, 143, 144, 145, 146, 147], ['hopopt', 'icmp', 'igmp', 'ggp', 'ipv4', 'st', 'tcp', 'cbt', 'egp', 'igp', 'bbn-rcc-mon', 'nvp-ii', 'pup', 'argus', 'emcon', 'xnet', 'chaos', 'udp', 'mux', 'dcn-meas', 'hmp', 'prm', 'xns-idp', 'trunk-1', 'trunk-2', 'leaf-1', 'leaf-2', 'rdp', 'irtp', 'iso-tp4', 'netblt', 'mfe-nsp', 'merit-inp', 'dccp', '3pc', 'idpr', 'xtp', 'ddp', 'idpr-cmtp', 'tp++', 'il', 'ipv6', 'sdrp', 'ipv6-route', 'ipv6-frag', 'idrp', 'rsvp', 'gre', 'dsr', 'bna', 'esp', 'ah', 'i-nlsp', 'swipe', 'narp', 'min-ipv4', 'tlsp', 'skip', 'ipv6-icmp', 'ipv6-nonxt', 'ipv6-opts', 'cftp', 'sat-expak', 'kryptolan', 'rvd', 'ippc', 'sat-mon', 'visa', 'ipcv', 'cpnx', 'cphb', 'wsn', 'pvp', 'br-sat-mon', 'sun-nd', 'wb-mon', 'wb-expak', 'iso-ip', 'vmtp', 'secure-vmtp', 'vines', 'iptm', 'nsfnet-igp', 'dgp', 'tcf', 'eigrp', 'ospfigp', 'sprite-rpc', 'larp', 'mtp', 'ax.25', 'ipip', 'micp', 'scc-sp', 'etherip', 'encap', 'gmtp', 'ifmp', 'pnni', 'pim', 'aris', 'scps', 'qnx', 'a-n', 'ipcomp', 'snp', 'compaq-peer', 'ipx-in-ip', 'vrrp', 'pgm', 'l2tp', 'ddx', 'iatp', 'stp', 'srp', 'uti', 'smp', 'sm', 'ptp', 'isis-over-ipv4', 'fire', 'crtp', 'crudp', 'sscopmce', 'iplt', 'sps', 'pipe', 'sctp', 'fc', 'rsvp-e2e-ignore', 'mobility-header', 'udplite', 'mpls-in-ip', 'manet', 'hip', 'shim6', 'wesp', 'rohc', 'ethernet', 'aggfrag', 'nsh', 'homa', 'bit-emu'], toString(h.proto)), multiIf((h.proto IN (6, 17, 33, 132, 136)), concat('/', toString(h.port)), (h.proto IN (1, 58)), concat('/', toString(h.icmp_type)), '')) AS service,
    CAST(h.first_seen, 'DateTime64(6, \'UTC\')') AS first_seen,
    CAST(h.last_seen, 'DateTime64(6, \'UTC\')') AS last_seen,
    ((((h.complete + h.half_open) + h.unanswered) + h.requests) + h.replies) + h.denied AS flows,
    h.client_packets AS client_packets,
    h.client_bytes AS client_bytes,
    h.server_packets AS server_packets,
    h.server_bytes AS server_bytes,
    CAST(multiIf(h.asked, (((h.complete + h.replies) + h.requests) + h.unanswered) + h.half_open, (h.complete + h.replies) > 0, ((h.complete + h.replies) + h.requests) + h.unanswered, h.requests_unknown), 'UInt64') AS complete,
    CAST(if(h.asked, 0, h.half_open + if((h.complete + h.replies) > 0, 0, h.unanswered + h.requests_alone)), 'UInt64') AS half_open,
    h.denied AS denied,
    CAST(h.basis, 'Enum8(\'none\' = 0, \'degree\' = 1, \'known-port\' = 2, \'port-range\' = 3, \'icmp\' = 4, \'tcp-flags\' = 5, \'initiator\' = 6, \'stated\' = 7)') AS direction_basis,
    arrayMap(x -> if((x >= toIPv6('::ffff:0.0.0.0')) AND (x <= toIPv6('::ffff:255.255.255.255')), substring(toString(x), 8), toString(x)), arraySort(arrayFilter(x -> (x != toIPv6('::')), h.seen_by))) AS exporters,
    h.client_address AS client_ip,
    h.server_address AS server_ip,
    CAST(length(h.active_hours), 'UInt64') AS hours,
    h.active_hours AS active_hours,
    CAST(h.client_flags, 'UInt16') AS client_flags,
    CAST(h.server_flags, 'UInt16') AS server_flags,
    CAST(h.sampling, 'UInt32') AS sampling,
    h.scaled_packets AS scaled_packets,
    h.scaled_bytes AS scaled_bytes
FROM
(
    SELECT
        *,
        (vrf, proto, port, server_address, client_address) GLOBAL IN (asking) AS asked
    FROM
    (
        SELECT *
        FROM {{database}}.sessions_plain
        UNION ALL
        SELECT *
        FROM {{database}}.sessions_marked
    )
) AS h;

CREATE VIEW IF NOT EXISTS {{database}}.sessions_by_exporter
(
    `vrf` LowCardinality(String),
    `server_address` IPv6,
    `proto` UInt8,
    `port` UInt16,
    `icmp_type` UInt8,
    `icmp_code` UInt8,
    `client_address` IPv6,
    `hour` DateTime('UTC'),
    `exporter` IPv6,
    `egress` Bool,
    `odd` Bool,
    `first_seen` SimpleAggregateFunction(min, DateTime64(6, 'UTC')),
    `last_seen` SimpleAggregateFunction(max, DateTime64(6, 'UTC')),
    `client_packets` UInt64,
    `client_bytes` UInt64,
    `server_packets` UInt64,
    `server_bytes` UInt64,
    `complete` UInt64,
    `half_open` UInt64,
    `unanswered` UInt64,
    `requests` UInt64,
    `replies` UInt64,
    `denied` UInt64,
    `client_flags` UInt16,
    `server_flags` UInt16,
    `basis` SimpleAggregateFunction(max, UInt8),
    `sampling` UInt32,
    `scaled_packets` UInt64,
    `scaled_bytes` UInt64
)
AS SELECT
    u.vrf AS vrf,
    if(u.turned, u.client_address, u.server_address) AS server_address,
    u.proto AS proto,
    CAST(multiIf(u.from_tftp OR u.to_tftp, 69, u.fragment, u.to_port, (NOT u.decided) AND u.turned, u.client_port, u.port), 'UInt16') AS port,
    u.icmp_type AS icmp_type,
    u.icmp_code AS icmp_code,
    if(u.turned, u.server_address, u.client_address) AS client_address,
    u.hour AS hour,
    u.exporter AS exporter,
    u.egress AS egress,
    max(u.odd) AS odd,
    min(u.first_seen) AS first_seen,
    max(u.last_seen) AS last_seen,
    sum(if(u.turned, u.server_packets, u.client_packets)) AS client_packets,
    sum(if(u.turned, u.server_bytes, u.client_bytes)) AS client_bytes,
    sum(if(u.turned, u.client_packets, u.server_packets)) AS server_packets,
    sum(if(u.turned, u.client_bytes, u.server_bytes)) AS server_bytes,
    sum(if(u.fragment, 0, u.complete)) AS complete,
    sum(if(u.fragment, 0, u.half_open)) AS half_open,
    sum(multiIf(NOT u.fragment, u.unanswered, u.proto = 6, u.records, 0)) AS unanswered,
    sum(multiIf(u.fragment, if(u.proto = 6, 0, u.records), u.turned, u.replies, u.requests)) AS requests,
    sum(multiIf(u.fragment, 0, u.turned, u.requests, u.replies)) AS replies,
    sum(u.denied) AS denied,
    groupBitOr(if(u.turned AND (NOT u.decided), u.server_flags, u.client_flags)) AS client_flags,
    groupBitOr(if(u.turned AND (NOT u.decided), u.client_flags, u.server_flags)) AS server_flags,
    max(if(u.decided, u.basis, u.from_tftp OR u.to_tftp OR u.fragment OR (u.verdict IN ('sender', 'degree', 'serves', 'hosts', 'ports')) OR ((u.verdict = 'address') AND (u.port != 0)))) AS basis,
    max(u.one_in) AS sampling,
    sum((u.client_packets + u.server_packets) * if(u.one_in = 4294967295, 1, greatest(u.one_in, 1))) AS scaled_packets,
    sum((u.client_bytes + u.server_bytes) * if(u.one_in = 4294967295, 1, greatest(u.one_in, 1))) AS scaled_bytes
FROM {{database}}.sessions_directed_rows AS u
GROUP BY
    vrf,
    server_address,
    proto,
    port,
    icmp_type,
    icmp_code,
    client_address,
    hour,
    exporter,
    egress;

CREATE VIEW IF NOT EXISTS {{database}}.sessions_by_exporter_window
AS SELECT
    u.vrf AS vrf,
    if(u.turned, u.client_address, u.server_address) AS server_address,
    u.proto AS proto,
    CAST(multiIf(u.from_tftp OR u.to_tftp, 69, u.fragment, u.to_port, (NOT u.decided) AND u.turned, u.client_port, u.port), 'UInt16') AS port,
    u.icmp_type AS icmp_type,
    u.icmp_code AS icmp_code,
    if(u.turned, u.server_address, u.client_address) AS client_address,
    u.hour AS hour,
    u.exporter AS exporter,
    u.egress AS egress,
    max(u.odd) AS odd,
    min(u.first_seen) AS first_seen,
    max(u.last_seen) AS last_seen,
    sum(if(u.turned, u.server_packets, u.client_packets)) AS client_packets,
    sum(if(u.turned, u.server_bytes, u.client_bytes)) AS client_bytes,
    sum(if(u.turned, u.client_packets, u.server_packets)) AS server_packets,
    sum(if(u.turned, u.client_bytes, u.server_bytes)) AS server_bytes,
    sum(if(u.fragment, 0, u.complete)) AS complete,
    sum(if(u.fragment, 0, u.half_open)) AS half_open,
    sum(multiIf(NOT u.fragment, u.unanswered, u.proto = 6, u.records, 0)) AS unanswered,
    sum(multiIf(u.fragment, if(u.proto = 6, 0, u.records), u.turned, u.replies, u.requests)) AS requests,
    sum(multiIf(u.fragment, 0, u.turned, u.requests, u.replies)) AS replies,
    sum(u.denied) AS denied,
    groupBitOr(if(u.turned AND (NOT u.decided), u.server_flags, u.client_flags)) AS client_flags,
    groupBitOr(if(u.turned AND (NOT u.decided), u.client_flags, u.server_flags)) AS server_flags,
    max(if(u.decided, u.basis, u.from_tftp OR u.to_tftp OR u.fragment OR (u.verdict IN ('sender', 'degree', 'serves', 'hosts', 'ports')) OR ((u.verdict = 'address') AND (u.port != 0)))) AS basis,
    max(u.one_in) AS sampling,
    sum((u.client_packets + u.server_packets) * if(u.one_in = 4294967295, 1, greatest(u.one_in, 1))) AS scaled_packets,
    sum((u.client_bytes + u.server_bytes) * if(u.one_in = 4294967295, 1, greatest(u.one_in, 1))) AS scaled_bytes
FROM `{{name}}.sessions_directed_rows_window`(since = {since:DateTime64(6, 'UTC')}, until = {until:DateTime64(6, 'UTC')}) AS u
GROUP BY
    vrf,
    server_address,
    proto,
    port,
    icmp_type,
    icmp_code,
    client_address,
    hour,
    exporter,
    egress;

CREATE VIEW IF NOT EXISTS {{database}}.sessions_by_hour
(
    `vrf` LowCardinality(String),
    `server_address` IPv6,
    `proto` UInt8,
    `port` UInt16,
    `icmp_type` UInt8,
    `icmp_code` UInt8,
    `client_address` IPv6,
    `hour` DateTime('UTC'),
    `odd` Bool,
    `first_seen` SimpleAggregateFunction(min, DateTime64(6, 'UTC')),
    `last_seen` SimpleAggregateFunction(max, DateTime64(6, 'UTC')),
    `client_packets` UInt64,
    `client_bytes` UInt64,
    `server_packets` UInt64,
    `server_bytes` UInt64,
    `complete` UInt64,
    `half_open` UInt64,
    `unanswered` UInt64,
    `requests` UInt64,
    `replies` UInt64,
    `denied` UInt64,
    `requests_alone` UInt64,
    `client_flags` UInt16,
    `server_flags` UInt16,
    `basis` SimpleAggregateFunction(max, UInt8),
    `sampling` UInt32,
    `seen_by` Array(IPv6),
    `ways` UInt16,
    `scaled_packets` UInt64,
    `scaled_bytes` UInt64
)
AS WITH
    (
        SELECT groupUniqArray(exporter)
        FROM {{database}}.sessions_hourly
        WHERE sides = 3
    ) AS two_way_quick,
    arrayConcat(two_way_quick, (
        SELECT groupUniqArray(exporter)
        FROM
        (
            SELECT exporter
            FROM {{database}}.sessions_hourly
            WHERE (sides IN (1, 2)) AND (NOT has(two_way_quick, exporter))
            GROUP BY
                exporter,
                vrf,
                server,
                proto,
                port,
                icmp_type,
                icmp_code,
                client,
                client_port
            HAVING groupBitOr(sides) = 3
        )
    )) AS two_way_exporters
SELECT
    vrf,
    server_address,
    proto,
    port,
    icmp_type,
    icmp_code,
    client_address,
    hour,
    max(e.odd) AS odd,
    min(e.first_seen) AS first_seen,
    max(e.last_seen) AS last_seen,
    max(e.client_packets) AS client_packets,
    max(e.client_bytes) AS client_bytes,
    max(e.server_packets) AS server_packets,
    max(e.server_bytes) AS server_bytes,
    max(e.complete) AS complete,
    max(if((e.sampling > 1) AND (bitAnd(bitOr(e.client_flags, e.server_flags), 4) = 0), 0, e.half_open)) AS half_open,
    max(if((e.sampling > 1) AND (bitAnd(e.server_flags, 4) = 0), 0, e.unanswered)) AS unanswered,
    max((e.requests + if((e.sampling > 1) AND (bitAnd(e.server_flags, 4) = 0), e.unanswered, 0)) + if((e.sampling > 1) AND (bitAnd(bitOr(e.client_flags, e.server_flags), 4) = 0), e.half_open, 0)) AS requests,
    max(e.replies) AS replies,
    max(e.denied) AS denied,
    maxIf(e.requests, (NOT ((e.sampling > 1) AND (bitAnd(e.server_flags, 4) = 0))) AND ((e.sampling > 1) OR has(two_way_exporters, e.exporter))) AS requests_alone,
    groupBitOr(e.client_flags) AS client_flags,
    groupBitOr(e.server_flags) AS server_flags,
    max(e.basis) AS basis,
    max(e.sampling) AS sampling,
    groupArray(e.exporter) AS seen_by,
    groupBitOr(e.egress + 1) AS ways,
    max(e.scaled_packets) AS scaled_packets,
    max(e.scaled_bytes) AS scaled_bytes
FROM {{database}}.sessions_by_exporter AS e
GROUP BY
    vrf,
    server_address,
    proto,
    port,
    icmp_type,
    icmp_code,
    client_address,
    hour;

CREATE VIEW IF NOT EXISTS {{database}}.sessions_by_hour_window
AS WITH
    (
        SELECT groupUniqArray(exporter)
        FROM {{database}}.sessions_hourly
        WHERE sides = 3
    ) AS two_way_quick,
    arrayConcat(two_way_quick, (
        SELECT groupUniqArray(exporter)
        FROM
        (
            SELECT exporter
            FROM {{database}}.sessions_hourly
            WHERE (sides IN (1, 2)) AND (NOT has(two_way_quick, exporter))
            GROUP BY
                exporter,
                vrf,
                server,
                proto,
                port,
                icmp_type,
                icmp_code,
                client,
                client_port
            HAVING groupBitOr(sides) = 3
        )
    )) AS two_way_exporters
SELECT
    vrf,
    server_address,
    proto,
    port,
    icmp_type,
    icmp_code,
    client_address,
    hour,
    max(e.odd) AS odd,
    min(e.first_seen) AS first_seen,
    max(e.last_seen) AS last_seen,
    max(e.client_packets) AS client_packets,
    max(e.client_bytes) AS client_bytes,
    max(e.server_packets) AS server_packets,
    max(e.server_bytes) AS server_bytes,
    max(e.complete) AS complete,
    max(if((e.sampling > 1) AND (bitAnd(bitOr(e.client_flags, e.server_flags), 4) = 0), 0, e.half_open)) AS half_open,
    max(if((e.sampling > 1) AND (bitAnd(e.server_flags, 4) = 0), 0, e.unanswered)) AS unanswered,
    max((e.requests + if((e.sampling > 1) AND (bitAnd(e.server_flags, 4) = 0), e.unanswered, 0)) + if((e.sampling > 1) AND (bitAnd(bitOr(e.client_flags, e.server_flags), 4) = 0), e.half_open, 0)) AS requests,
    max(e.replies) AS replies,
    max(e.denied) AS denied,
    maxIf(e.requests, (NOT ((e.sampling > 1) AND (bitAnd(e.server_flags, 4) = 0))) AND ((e.sampling > 1) OR has(two_way_exporters, e.exporter))) AS requests_alone,
    groupBitOr(e.client_flags) AS client_flags,
    groupBitOr(e.server_flags) AS server_flags,
    max(e.basis) AS basis,
    max(e.sampling) AS sampling,
    groupArray(e.exporter) AS seen_by,
    groupBitOr(e.egress + 1) AS ways,
    max(e.scaled_packets) AS scaled_packets,
    max(e.scaled_bytes) AS scaled_bytes
FROM `{{name}}.sessions_by_exporter_window`(since = {since:DateTime64(6, 'UTC')}, until = {until:DateTime64(6, 'UTC')}) AS e
GROUP BY
    vrf,
    server_address,
    proto,
    port,
    icmp_type,
    icmp_code,
    client_address,
    hour;

CREATE VIEW IF NOT EXISTS {{database}}.sessions_directed_rows
(
    `decided` Bool,
    `hour` DateTime('UTC'),
    `vrf` LowCardinality(String),
    `server_address` IPv6,
    `proto` UInt8,
    `port` UInt16,
    `icmp_type` UInt8,
    `icmp_code` UInt8,
    `client_address` IPv6,
    `client_port` UInt16,
    `exporter` IPv6,
    `egress` Bool,
    `first_seen` SimpleAggregateFunction(min, DateTime64(6, 'UTC')),
    `last_seen` SimpleAggregateFunction(max, DateTime64(6, 'UTC')),
    `client_packets` SimpleAggregateFunction(sum, UInt64),
    `client_bytes` SimpleAggregateFunction(sum, UInt64),
    `server_packets` SimpleAggregateFunction(sum, UInt64),
    `server_bytes` SimpleAggregateFunction(sum, UInt64),
    `complete` SimpleAggregateFunction(sum, UInt64),
    `half_open` SimpleAggregateFunction(sum, UInt64),
    `unanswered` SimpleAggregateFunction(sum, UInt64),
    `requests` SimpleAggregateFunction(sum, UInt64),
    `replies` SimpleAggregateFunction(sum, UInt64),
    `denied` SimpleAggregateFunction(sum, UInt64),
    `client_flags` SimpleAggregateFunction(groupBitOr, UInt16),
    `server_flags` SimpleAggregateFunction(groupBitOr, UInt16),
    `basis` SimpleAggregateFunction(max, UInt8),
    `odd` Bool,
    `from_tftp` Bool,
    `to_tftp` Bool,
    `one_in` UInt32,
    `fragment` Bool,
    `to_port` UInt16,
    `turned` Bool,
    `records` UInt64,
    `verdict` String
)
AS SELECT
    r.decided AS decided,
    r.hour AS hour,
    r.vrf AS vrf,
    r.server_address AS server_address,
    r.proto AS proto,
    r.port AS port,
    r.icmp_type AS icmp_type,
    r.icmp_code AS icmp_code,
    r.client_address AS client_address,
    r.client_port AS client_port,
    r.exporter AS exporter,
    r.egress AS egress,
    r.first_seen AS first_seen,
    r.last_seen AS last_seen,
    r.client_packets AS client_packets,
    r.client_bytes AS client_bytes,
    r.server_packets AS server_packets,
    r.server_bytes AS server_bytes,
    r.complete AS complete,
    r.half_open AS half_open,
    r.unanswered AS unanswered,
    r.requests AS requests,
    r.replies AS replies,
    r.denied AS denied,
    r.client_flags AS client_flags,
    r.server_flags AS server_flags,
    r.basis AS basis,
    r.odd AS odd,
    r.from_tftp AS from_tftp,
    r.to_tftp AS to_tftp,
    r.one_in AS one_in,
    (NOT r.decided) AND (f.to_port != 0) AS fragment,
    f.to_port AS to_port,
    multiIf(r.from_tftp, true, r.to_tftp OR r.decided, false, f.to_port != 0, f.to_client = r.server_address, d.turned) AS turned,
    (((r.complete + r.half_open) + r.unanswered) + r.requests) + r.replies AS records,
    d.verdict AS verdict
FROM {{database}}.sessions_marked_rows AS r
GLOBAL LEFT JOIN {{database}}.session_directions AS d ON (d.vrf = r.vrf) AND (d.proto = r.proto) AND (d.server = r.server_address) AND (d.port = r.port) AND (d.client = r.client_address) AND (d.client_port = r.client_port)
GLOBAL LEFT JOIN {{database}}.session_fragments AS f ON (f.vrf = r.vrf) AND (f.proto = r.proto) AND (f.server = r.server_address) AND (f.client = r.client_address) AND ((r.port + r.client_port) = 0);

CREATE VIEW IF NOT EXISTS {{database}}.sessions_directed_rows_window
AS SELECT
    r.decided AS decided,
    r.hour AS hour,
    r.vrf AS vrf,
    r.server_address AS server_address,
    r.proto AS proto,
    r.port AS port,
    r.icmp_type AS icmp_type,
    r.icmp_code AS icmp_code,
    r.client_address AS client_address,
    r.client_port AS client_port,
    r.exporter AS exporter,
    r.egress AS egress,
    r.first_seen AS first_seen,
    r.last_seen AS last_seen,
    r.client_packets AS client_packets,
    r.client_bytes AS client_bytes,
    r.server_packets AS server_packets,
    r.server_bytes AS server_bytes,
    r.complete AS complete,
    r.half_open AS half_open,
    r.unanswered AS unanswered,
    r.requests AS requests,
    r.replies AS replies,
    r.denied AS denied,
    r.client_flags AS client_flags,
    r.server_flags AS server_flags,
    r.basis AS basis,
    r.odd AS odd,
    r.from_tftp AS from_tftp,
    r.to_tftp AS to_tftp,
    r.one_in AS one_in,
    (NOT r.decided) AND (f.to_port != 0) AS fragment,
    f.to_port AS to_port,
    multiIf(r.from_tftp, true, r.to_tftp OR r.decided, false, f.to_port != 0, f.to_client = r.server_address, d.turned) AS turned,
    (((r.complete + r.half_open) + r.unanswered) + r.requests) + r.replies AS records,
    d.verdict AS verdict
FROM `{{name}}.sessions_marked_rows_window`(since = {since:DateTime64(6, 'UTC')}, until = {until:DateTime64(6, 'UTC')}) AS r
GLOBAL LEFT JOIN {{database}}.session_directions AS d ON (d.vrf = r.vrf) AND (d.proto = r.proto) AND (d.server = r.server_address) AND (d.port = r.port) AND (d.client = r.client_address) AND (d.client_port = r.client_port)
GLOBAL LEFT JOIN {{database}}.session_fragments AS f ON (f.vrf = r.vrf) AND (f.proto = r.proto) AND (f.server = r.server_address) AND (f.client = r.client_address) AND ((r.port + r.client_port) = 0);

CREATE VIEW IF NOT EXISTS {{database}}.sessions_marked
(
    `vrf` LowCardinality(String),
    `server_address` IPv6,
    `proto` UInt8,
    `port` UInt16,
    `icmp_type` UInt8,
    `icmp_code` UInt8,
    `client_address` IPv6,
    `first_seen` SimpleAggregateFunction(min, DateTime64(6, 'UTC')),
    `last_seen` SimpleAggregateFunction(max, DateTime64(6, 'UTC')),
    `client_packets` UInt64,
    `client_bytes` UInt64,
    `server_packets` UInt64,
    `server_bytes` UInt64,
    `complete` UInt64,
    `half_open` UInt64,
    `unanswered` UInt64,
    `requests` UInt64,
    `replies` UInt64,
    `denied` UInt64,
    `requests_alone` UInt64,
    `requests_unknown` Int64,
    `basis` SimpleAggregateFunction(max, UInt8),
    `seen_by` Array(IPv6),
    `active_hours` Array(DateTime('UTC')),
    `client_flags` UInt16,
    `server_flags` UInt16,
    `sampling` UInt32,
    `scaled_packets` UInt64,
    `scaled_bytes` UInt64
)
AS SELECT
    vrf,
    server_address,
    proto,
    port,
    icmp_type,
    icmp_code,
    client_address,
    min(h.first_seen) AS first_seen,
    max(h.last_seen) AS last_seen,
    sum(h.client_packets) AS client_packets,
    sum(h.client_bytes) AS client_bytes,
    sum(h.server_packets) AS server_packets,
    sum(h.server_bytes) AS server_bytes,
    sum(h.complete) AS complete,
    sum(h.half_open) AS half_open,
    sum(h.unanswered) AS unanswered,
    sum(h.requests) AS requests,
    sum(h.replies) AS replies,
    sum(h.denied) AS denied,
    sum(h.requests_alone) AS requests_alone,
    sum(greatest(h.requests, h.requests_alone) - h.requests_alone) AS requests_unknown,
    max(h.basis) AS basis,
    groupUniqArrayArray(h.seen_by) AS seen_by,
    groupArray(h.hour) AS active_hours,
    groupBitOr(h.client_flags) AS client_flags,
    groupBitOr(h.server_flags) AS server_flags,
    max(h.sampling) AS sampling,
    sum(h.scaled_packets) AS scaled_packets,
    sum(h.scaled_bytes) AS scaled_bytes
FROM {{database}}.sessions_by_hour AS h
GROUP BY
    vrf,
    server_address,
    proto,
    port,
    icmp_type,
    icmp_code,
    client_address
HAVING max(h.odd) OR (length(seen_by) > 1) OR (groupBitOr(h.ways) = 3);

CREATE VIEW IF NOT EXISTS {{database}}.sessions_marked_rows
(
    `month` Date,
    `decided` Bool,
    `hour` DateTime('UTC'),
    `vrf` LowCardinality(String),
    `proto` UInt8,
    `port` UInt16,
    `icmp_type` UInt8,
    `icmp_code` UInt8,
    `client_port` UInt16,
    `exporter` IPv6,
    `first_seen` SimpleAggregateFunction(min, DateTime64(6, 'UTC')),
    `last_seen` SimpleAggregateFunction(max, DateTime64(6, 'UTC')),
    `client_packets` SimpleAggregateFunction(sum, UInt64),
    `client_bytes` SimpleAggregateFunction(sum, UInt64),
    `server_packets` SimpleAggregateFunction(sum, UInt64),
    `server_bytes` SimpleAggregateFunction(sum, UInt64),
    `complete` SimpleAggregateFunction(sum, UInt64),
    `half_open` SimpleAggregateFunction(sum, UInt64),
    `unanswered` SimpleAggregateFunction(sum, UInt64),
    `requests` SimpleAggregateFunction(sum, UInt64),
    `replies` SimpleAggregateFunction(sum, UInt64),
    `denied` SimpleAggregateFunction(sum, UInt64),
    `client_flags` SimpleAggregateFunction(groupBitOr, UInt16),
    `server_flags` SimpleAggregateFunction(groupBitOr, UInt16),
    `sides` SimpleAggregateFunction(groupBitOr, UInt8),
    `basis` SimpleAggregateFunction(max, UInt8),
    `sampling` SimpleAggregateFunction(max, UInt32),
    `egress` Bool,
    `import` UInt32,
    `odd` Bool,
    `client_address` IPv6,
    `server_address` IPv6,
    `from_tftp` Bool,
    `to_tftp` Bool,
    `one_in` UInt32
)
AS WITH
    (
        SELECT groupUniqArray(exporter)
        FROM {{database}}.sampled_exporters
    ) AS sampling_exporters,
    tftp AS
    (
        SELECT
            vrf,
            server,
            client,
            client_port
        FROM {{database}}.sessions_hourly
        WHERE decided AND (proto = 17) AND (port = 69) AND (client_port != 0)
    )
SELECT
    * EXCEPT (client, server, shared),
    client AS client_address,
    server AS server_address,
    (proto = 17) AND ((port != 69) OR (NOT decided)) AND ((vrf, client, server, port) GLOBAL IN (tftp)) AS from_tftp,
    (proto = 17) AND (NOT decided) AND ((vrf, server, client, client_port) GLOBAL IN (tftp)) AS to_tftp,
    if((sampling = 0) AND has(sampling_exporters, exporter), 4294967295, sampling) AS one_in
FROM
(
    SELECT
        *,
        (NOT decided) OR (sampling > 1) OR has(sampling_exporters, exporter) OR (((cityHash64(server, client) + cityHash64(vrf)) + proto) GLOBAL IN (
            SELECT (arrayJoin([cityHash64(server, client), cityHash64(client, server)]) + cityHash64(vrf)) + proto
            FROM {{database}}.sessions_hourly
            WHERE (NOT decided) OR ((proto = 17) AND (port = 69) AND (client_port != 0))
        )) AS odd,
        ((cityHash64(server, client) + cityHash64(vrf)) + port) GLOBAL IN (
            SELECT (cityHash64(server, client) + cityHash64(vrf)) + port AS session
            FROM {{database}}.sessions_hourly AS s
            WHERE decided
            GROUP BY session
            HAVING NOT ((groupBitAnd(if((s.sampling > 1) OR has(sampling_exporters, s.exporter), 0, cityHash64(s.exporter, s.egress))) = groupBitOr(if((s.sampling > 1) OR has(sampling_exporters, s.exporter), 0, cityHash64(s.exporter, s.egress)))) AND (groupBitOr(if((s.sampling > 1) OR has(sampling_exporters, s.exporter), 0, cityHash64(s.exporter, s.egress))) != 0))
        ) AS shared
    FROM {{database}}.sessions_hourly
)
WHERE odd OR shared;

CREATE VIEW IF NOT EXISTS {{database}}.sessions_marked_rows_window
AS WITH
    (
        SELECT groupUniqArray(exporter)
        FROM {{database}}.sampled_exporters
    ) AS sampling_exporters,
    tftp AS
    (
        SELECT
            vrf,
            server,
            client,
            client_port
        FROM {{database}}.sessions_hourly
        WHERE decided AND (proto = 17) AND (port = 69) AND (client_port != 0)
    )
SELECT
    * EXCEPT (client, server, shared),
    client AS client_address,
    server AS server_address,
    (proto = 17) AND ((port != 69) OR (NOT decided)) AND ((vrf, client, server, port) GLOBAL IN (tftp)) AS from_tftp,
    (proto = 17) AND (NOT decided) AND ((vrf, server, client, client_port) GLOBAL IN (tftp)) AS to_tftp,
    if((sampling = 0) AND has(sampling_exporters, exporter), 4294967295, sampling) AS one_in
FROM
(
    SELECT
        *,
        (NOT decided) OR (sampling > 1) OR has(sampling_exporters, exporter) OR (((cityHash64(server, client) + cityHash64(vrf)) + proto) GLOBAL IN (
            SELECT (arrayJoin([cityHash64(server, client), cityHash64(client, server)]) + cityHash64(vrf)) + proto
            FROM {{database}}.sessions_hourly
            WHERE (NOT decided) OR ((proto = 17) AND (port = 69) AND (client_port != 0))
        )) AS odd,
        ((cityHash64(server, client) + cityHash64(vrf)) + port) GLOBAL IN (
            SELECT (cityHash64(server, client) + cityHash64(vrf)) + port AS session
            FROM {{database}}.sessions_hourly AS s
            WHERE decided AND (hour < {until:DateTime64(6, 'UTC')}) AND (first_seen < {until:DateTime64(6, 'UTC')}) AND (last_seen >= {since:DateTime64(6, 'UTC')})
            GROUP BY session
            HAVING NOT ((groupBitAnd(if((s.sampling > 1) OR has(sampling_exporters, s.exporter), 0, cityHash64(s.exporter, s.egress))) = groupBitOr(if((s.sampling > 1) OR has(sampling_exporters, s.exporter), 0, cityHash64(s.exporter, s.egress)))) AND (groupBitOr(if((s.sampling > 1) OR has(sampling_exporters, s.exporter), 0, cityHash64(s.exporter, s.egress))) != 0))
        ) AS shared
    FROM {{database}}.sessions_hourly
    WHERE (hour < {until:DateTime64(6, 'UTC')}) AND (first_seen < {until:DateTime64(6, 'UTC')}) AND (last_seen >= {since:DateTime64(6, 'UTC')})
)
WHERE odd OR shared;

CREATE VIEW IF NOT EXISTS {{database}}.sessions_marked_window
AS SELECT
    vrf,
    server_address,
    proto,
    port,
    icmp_type,
    icmp_code,
    client_address,
    min(h.first_seen) AS first_seen,
    max(h.last_seen) AS last_seen,
    sum(h.client_packets) AS client_packets,
    sum(h.client_bytes) AS client_bytes,
    sum(h.server_packets) AS server_packets,
    sum(h.server_bytes) AS server_bytes,
    sum(h.complete) AS complete,
    sum(h.half_open) AS half_open,
    sum(h.unanswered) AS unanswered,
    sum(h.requests) AS requests,
    sum(h.replies) AS replies,
    sum(h.denied) AS denied,
    sum(h.requests_alone) AS requests_alone,
    sum(greatest(h.requests, h.requests_alone) - h.requests_alone) AS requests_unknown,
    max(h.basis) AS basis,
    groupUniqArrayArray(h.seen_by) AS seen_by,
    groupArray(h.hour) AS active_hours,
    groupBitOr(h.client_flags) AS client_flags,
    groupBitOr(h.server_flags) AS server_flags,
    max(h.sampling) AS sampling,
    sum(h.scaled_packets) AS scaled_packets,
    sum(h.scaled_bytes) AS scaled_bytes
FROM `{{name}}.sessions_by_hour_window`(since = {since:DateTime64(6, 'UTC')}, until = {until:DateTime64(6, 'UTC')}) AS h
GROUP BY
    vrf,
    server_address,
    proto,
    port,
    icmp_type,
    icmp_code,
    client_address
HAVING max(h.odd) OR (length(seen_by) > 1) OR (groupBitOr(h.ways) = 3);

CREATE VIEW IF NOT EXISTS {{database}}.sessions_plain
(
    `vrf` LowCardinality(String),
    `server_address` IPv6,
    `proto` UInt8,
    `port` UInt16,
    `icmp_type` UInt8,
    `icmp_code` UInt8,
    `client_address` IPv6,
    `first_seen` SimpleAggregateFunction(min, DateTime64(6, 'UTC')),
    `last_seen` SimpleAggregateFunction(max, DateTime64(6, 'UTC')),
    `client_packets` UInt64,
    `client_bytes` UInt64,
    `server_packets` UInt64,
    `server_bytes` UInt64,
    `complete` UInt64,
    `half_open` UInt64,
    `unanswered` UInt64,
    `requests` UInt64,
    `replies` UInt64,
    `denied` UInt64,
    `requests_alone` UInt64,
    `requests_unknown` Int64,
    `basis` SimpleAggregateFunction(max, UInt8),
    `seen_by` Array(IPv6),
    `active_hours` Array(DateTime),
    `client_flags` UInt16,
    `server_flags` UInt16,
    `sampling` SimpleAggregateFunction(max, UInt32),
    `scaled_packets` UInt64,
    `scaled_bytes` UInt64
)
AS WITH
    (
        SELECT groupUniqArray(exporter)
        FROM {{database}}.sessions_hourly
        WHERE sides = 3
    ) AS two_way_quick,
    arrayConcat(two_way_quick, (
        SELECT groupUniqArray(exporter)
        FROM
        (
            SELECT exporter
            FROM {{database}}.sessions_hourly
            WHERE (sides IN (1, 2)) AND (NOT has(two_way_quick, exporter))
            GROUP BY
                exporter,
                vrf,
                server,
                proto,
                port,
                icmp_type,
                icmp_code,
                client,
                client_port
            HAVING groupBitOr(sides) = 3
        )
    )) AS two_way_exporters,
    (
        SELECT groupUniqArray(exporter)
        FROM {{database}}.sampled_exporters
    ) AS sampling_exporters
SELECT
    vrf,
    server AS server_address,
    proto,
    port,
    icmp_type,
    icmp_code,
    client AS client_address,
    min(s.first_seen) AS first_seen,
    max(s.last_seen) AS last_seen,
    sum(s.client_packets) AS client_packets,
    sum(s.client_bytes) AS client_bytes,
    sum(s.server_packets) AS server_packets,
    sum(s.server_bytes) AS server_bytes,
    sum(s.complete) AS complete,
    sum(s.half_open) AS half_open,
    sum(s.unanswered) AS unanswered,
    sum(s.requests) AS requests,
    sum(s.replies) AS replies,
    sum(s.denied) AS denied,
    if(has(two_way_exporters, any(s.exporter)), requests, 0) AS requests_alone,
    requests - requests_alone AS requests_unknown,
    max(s.basis) AS basis,
    [any(s.exporter)] AS seen_by,
    groupUniqArray(s.hour) AS active_hours,
    groupBitOr(s.client_flags) AS client_flags,
    groupBitOr(s.server_flags) AS server_flags,
    max(s.sampling) AS sampling,
    client_packets + server_packets AS scaled_packets,
    client_bytes + server_bytes AS scaled_bytes
FROM {{database}}.sessions_hourly AS s
WHERE s.decided
GROUP BY
    vrf,
    server,
    proto,
    port,
    icmp_type,
    icmp_code,
    client
HAVING (groupBitAnd(if((s.sampling > 1) OR has(sampling_exporters, s.exporter), 0, cityHash64(s.exporter, s.egress))) = groupBitOr(if((s.sampling > 1) OR has(sampling_exporters, s.exporter), 0, cityHash64(s.exporter, s.egress)))) AND (groupBitOr(if((s.sampling > 1) OR has(sampling_exporters, s.exporter), 0, cityHash64(s.exporter, s.egress))) != 0) AND ((((cityHash64(server, client) + cityHash64(vrf)) + proto) + (groupBitOr(if((s.sampling > 1) OR has(sampling_exporters, s.exporter), 0, cityHash64(s.exporter, s.egress))) = 0)) GLOBAL NOT IN (
    SELECT (arrayJoin([cityHash64(server, client), cityHash64(client, server)]) + cityHash64(vrf)) + proto
    FROM {{database}}.sessions_hourly
    WHERE (NOT decided) OR ((proto = 17) AND (port = 69) AND (client_port != 0))
));

CREATE VIEW IF NOT EXISTS {{database}}.sessions_plain_window
AS WITH
    (
        SELECT groupUniqArray(exporter)
        FROM {{database}}.sessions_hourly
        WHERE sides = 3
    ) AS two_way_quick,
    arrayConcat(two_way_quick, (
        SELECT groupUniqArray(exporter)
        FROM
        (
            SELECT exporter
            FROM {{database}}.sessions_hourly
            WHERE (sides IN (1, 2)) AND (NOT has(two_way_quick, exporter))
            GROUP BY
                exporter,
                vrf,
                server,
                proto,
                port,
                icmp_type,
                icmp_code,
                client,
                client_port
            HAVING groupBitOr(sides) = 3
        )
    )) AS two_way_exporters,
    (
        SELECT groupUniqArray(exporter)
        FROM {{database}}.sampled_exporters
    ) AS sampling_exporters
SELECT
    vrf,
    server AS server_address,
    proto,
    port,
    icmp_type,
    icmp_code,
    client AS client_address,
    min(s.first_seen) AS first_seen,
    max(s.last_seen) AS last_seen,
    sum(s.client_packets) AS client_packets,
    sum(s.client_bytes) AS client_bytes,
    sum(s.server_packets) AS server_packets,
    sum(s.server_bytes) AS server_bytes,
    sum(s.complete) AS complete,
    sum(s.half_open) AS half_open,
    sum(s.unanswered) AS unanswered,
    sum(s.requests) AS requests,
    sum(s.replies) AS replies,
    sum(s.denied) AS denied,
    if(has(two_way_exporters, any(s.exporter)), requests, 0) AS requests_alone,
    requests - requests_alone AS requests_unknown,
    max(s.basis) AS basis,
    [any(s.exporter)] AS seen_by,
    groupUniqArray(s.hour) AS active_hours,
    groupBitOr(s.client_flags) AS client_flags,
    groupBitOr(s.server_flags) AS server_flags,
    max(s.sampling) AS sampling,
    client_packets + server_packets AS scaled_packets,
    client_bytes + server_bytes AS scaled_bytes
FROM {{database}}.sessions_hourly AS s
WHERE s.decided AND (s.hour < {until:DateTime64(6, 'UTC')}) AND (s.first_seen < {until:DateTime64(6, 'UTC')}) AND (s.last_seen >= {since:DateTime64(6, 'UTC')})
GROUP BY
    vrf,
    server,
    proto,
    port,
    icmp_type,
    icmp_code,
    client
HAVING (groupBitAnd(if((s.sampling > 1) OR has(sampling_exporters, s.exporter), 0, cityHash64(s.exporter, s.egress))) = groupBitOr(if((s.sampling > 1) OR has(sampling_exporters, s.exporter), 0, cityHash64(s.exporter, s.egress)))) AND (groupBitOr(if((s.sampling > 1) OR has(sampling_exporters, s.exporter), 0, cityHash64(s.exporter, s.egress))) != 0) AND ((((cityHash64(server, client) + cityHash64(vrf)) + proto) + (groupBitOr(if((s.sampling > 1) OR has(sampling_exporters, s.exporter), 0, cityHash64(s.exporter, s.egress))) = 0)) GLOBAL NOT IN (
    SELECT (arrayJoin([cityHash64(server, client), cityHash64(client, server)]) + cityHash64(vrf)) + proto
    FROM {{database}}.sessions_hourly
    WHERE (NOT decided) OR ((proto = 17) AND (port = 69) AND (client_port != 0))
));

CREATE VIEW IF NOT EXISTS {{database}}.sessions_window
AS WITH
    (
        SELECT groupUniqArray(exporter)
        FROM {{database}}.sessions_hourly
        WHERE sides = 3
    ) AS two_way_quick,
    arrayConcat(two_way_quick, (
        SELECT groupUniqArray(exporter)
        FROM
        (
            SELECT exporter
            FROM {{database}}.sessions_hourly
            WHERE (sides IN (1, 2)) AND (NOT has(two_way_quick, exporter))
            GROUP BY
                exporter,
                vrf,
                server,
                proto,
                port,
                icmp_type,
                icmp_code,
                client,
                client_port
            HAVING groupBitOr(sides) = 3
        )
    )) AS two_way_exporters,
    asking AS
    (
        SELECT
            vrf,
            proto,
            port,
            client,
            server
        FROM {{database}}.sessions_hourly
        WHERE decided AND (proto IN (17, 136)) AND (port != 0) AND (complete = 0) AND (replies = 0) AND ((client_packets + client_bytes) > 0) AND ((half_open > 0) OR ((requests > 0) AND has(two_way_exporters, exporter)))
    )
SELECT
    h.vrf AS vrf,
    if((h.client_address >= toIPv6('::ffff:0.0.0.0')) AND (h.client_address <= toIPv6('::ffff:255.255.255.255')), substring(toString(h.client_address), 8), toString(h.client_address)) AS client,
    if((h.server_address >= toIPv6('::ffff:0.0.0.0')) AND (h.server_address <= toIPv6('::ffff:255.255.255.255')), substring(toString(h.server_address), 8), toString(h.server_address)) AS server,
    h.proto AS proto,
    h.port AS port,
    h.icmp_type AS icmp_type,
    h.icmp_code AS icmp_code,
    concat(transform(h.proto, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 62, 64, 65, 66, 67, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 88, 89, 90, 91, 92, 93, 94, 95, 96, 97, 98, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113, 115, 116, 117, 118, 119, 120, 121, 122, 123, 124, 125, 126, 127, 128, 129, 130, 131, 132, 133, 134, 135, 136, 137, 138, 139, 140, 141, 142, 143, 144, 145, 146, 147], ['hopopt', 'icmp', 'igmp', 'ggp', 'ipv4', 'st', 'tcp', 'cbt', 'egp', 'igp', 'bbn-rcc-mon', 'nvp-ii', 'pup', 'argus', 'emcon', 'xnet', 'chaos', 'udp', 'mux', 'dcn-meas', 'hmp', 'prm', 'xns-idp', 'trunk-1', 'trunk-2', 'leaf-1', 'leaf-2', 'rdp', 'irtp', 'iso-tp4', 'netblt', 'mfe-nsp', 'merit-inp', 'dccp', '3pc', 'idpr', 'xtp', 'ddp', 'idpr-cmtp', 'tp++', 'il', 'ipv6', 'sdrp', 'ipv6-route', 'ipv6-frag', 'idrp', 'rsvp', 'gre', 'dsr', 'bna', 'esp', 'ah', 'i-nlsp', 'swipe', 'narp', 'min-ipv4', 'tlsp', 'skip', 'ipv6-icmp', 'ipv6-nonxt', 'ipv6-opts', 'cftp', 'sat-expak', 'kryptolan', 'rvd', 'ippc', 'sat-mon', 'visa', 'ipcv', 'cpnx', 'cphb', 'wsn', 'pvp', 'br-sat-mon', 'sun-nd', 'wb-mon', 'wb-expak', 'iso-ip', 'vmtp', 'secure-vmtp', 'vines', 'iptm', 'nsfnet-igp', 'dgp', 'tcf', 'eigrp', 'ospfigp', 'sprite-rpc', 'larp', 'mtp', 'ax.25', 'ipip', 'micp', 'scc-sp', 'etherip', 'encap', 'gmtp', 'ifmp', 'pnni', 'pim', 'aris', 'scps', 'qnx', 'a-n', 'ipcomp', 'snp', 'compaq-peer', 'ipx-in-ip', 'vrrp', 'pgm', 'l2tp', 'ddx', 'iatp', 'stp', 'srp', 'uti', 'smp', 'sm', 'ptp', 'isis-over-ipv4', 'fire', 'crtp', 'crudp', 'sscopmce', 'iplt', 'sps', 'pipe', 'sctp', 'fc', 'rsvp-e2e-ignore', 'mobility-header', 'udplite', 'mpls-in-ip', 'manet', 'hip', 'shim6', 'wesp', 'rohc', 'ethernet', 'aggfrag', 'nsh', 'homa', 'bit-emu'], toString(h.proto)), multiIf((h.proto IN (6, 17, 33, 132, 136)), concat('/', toString(h.port)), (h.proto IN (1, 58)), concat('/', toString(h.icmp_type)), '')) AS service,
    CAST(h.first_seen, 'DateTime64(6, \'UTC\')') AS first_seen,
    CAST(h.last_seen, 'DateTime64(6, \'UTC\')') AS last_seen,
    ((((h.complete + h.half_open) + h.unanswered) + h.requests) + h.replies) + h.denied AS flows,
    h.client_packets AS client_packets,
    h.client_bytes AS client_bytes,
    h.server_packets AS server_packets,
    h.server_bytes AS server_bytes,
    CAST(multiIf(h.asked, (((h.complete + h.replies) + h.requests) + h.unanswered) + h.half_open, (h.complete + h.replies) > 0, ((h.complete + h.replies) + h.requests) + h.unanswered, h.requests_unknown), 'UInt64') AS complete,
    CAST(if(h.asked, 0, h.half_open + if((h.complete + h.replies) > 0, 0, h.unanswered + h.requests_alone)), 'UInt64') AS half_open,
    h.denied AS denied,
    CAST(h.basis, 'Enum8(\'none\' = 0, \'degree\' = 1, \'known-port\' = 2, \'port-range\' = 3, \'icmp\' = 4, \'tcp-flags\' = 5, \'initiator\' = 6, \'stated\' = 7)') AS direction_basis,
    arrayMap(x -> if((x >= toIPv6('::ffff:0.0.0.0')) AND (x <= toIPv6('::ffff:255.255.255.255')), substring(toString(x), 8), toString(x)), arraySort(arrayFilter(x -> (x != toIPv6('::')), h.seen_by))) AS exporters,
    h.client_address AS client_ip,
    h.server_address AS server_ip,
    CAST(length(h.active_hours), 'UInt64') AS hours,
    h.active_hours AS active_hours,
    CAST(h.client_flags, 'UInt16') AS client_flags,
    CAST(h.server_flags, 'UInt16') AS server_flags,
    CAST(h.sampling, 'UInt32') AS sampling,
    h.scaled_packets AS scaled_packets,
    h.scaled_bytes AS scaled_bytes
FROM
(
    SELECT
        *,
        (vrf, proto, port, server_address, client_address) GLOBAL IN (asking) AS asked
    FROM
    (
        SELECT *
        FROM `{{name}}.sessions_plain_window`(since = {since:DateTime64(6, 'UTC')}, until = {until:DateTime64(6, 'UTC')})
        UNION ALL
        SELECT *
        FROM `{{name}}.sessions_marked_window`(since = {since:DateTime64(6, 'UTC')}, until = {until:DateTime64(6, 'UTC')})
    )
) AS h;

