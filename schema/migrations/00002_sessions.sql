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
CREATE TABLE IF NOT EXISTS {{local "sessions_hourly"}} {{onCluster}}
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
ENGINE = {{engine "AggregatingMergeTree"}}
PARTITION BY (month, decided)
ORDER BY (toDate(hour), server, proto, port, client, vrf, icmp_type, icmp_code, client_port, exporter, hour)
TTL {{ttl "sessions_hourly"}}
SETTINGS ttl_only_drop_parts = 1, {{dedupWindow}}, min_parts_to_merge_at_once = 60
COMMENT 'sessions by hour and exporter';

{{distributed "sessions_hourly" "cityHash64(vrf, least(server, client), greatest(server, client))"}}

-- The views over this table are made by the last file that ends in session_views.sql.
