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
CREATE TABLE IF NOT EXISTS {{local "flows"}} {{onCluster}}
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
    src String ALIAS {{text "src_ip"}},
    dst String ALIAS {{text "dst_ip"}}
)
ENGINE = {{engine "MergeTree"}}
PARTITION BY toDate(received)
ORDER BY received
TTL {{ttl "flows"}}
SETTINGS ttl_only_drop_parts = 1, {{dedupWindow}}, min_parts_to_merge_at_once = 30
COMMENT 'raw flow records';

-- Both directions between two endpoints belong on one shard: the session that
-- they make is then folded there, once. Hence least/greatest.
{{distributed "flows" "cityHash64(vrf, least(src_ip, dst_ip), greatest(src_ip, dst_ip))"}}
