-- +goose NO TRANSACTION
-- +goose Up

-- The views over sessions_hourly. They hold no rows, so a later version
-- changes them here and gives the file a new number; 00002 and 00005 made them
-- before.

-- Since 4294967295 is a rate that nobody knows (SamplingUnknown of package schema).
ALTER TABLE {{local "flows"}} {{onCluster}} COMMENT COLUMN sampling 'one packet in so many was looked at; 0 not said, 4294967295 nobody knows in how many';
ALTER TABLE {{local "sessions_hourly"}} {{onCluster}} COMMENT COLUMN sampling 'coarsest sampling; 0 not said, 4294967295 at an unknown rate';
ALTER TABLE {{local "exporter_stats"}} {{onCluster}} COMMENT COLUMN sampling 'coarsest sampling in use; 0 none is known of, 4294967295 at an unknown rate';

-- The exporters that look at some packets only. What such an exporter sent before
-- it said so has sampling 0, and was sampled all the same.
CREATE OR REPLACE VIEW {{table "sampled_exporters"}} {{onCluster}} AS
SELECT exporter FROM {{table "sessions_hourly"}} WHERE sampling > 1 AND exporter != toIPv6('::')
UNION DISTINCT
SELECT exporter FROM {{table "exporter_stats"}} WHERE sampling > 1 AND exporter != toIPv6('::');

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
--      that tunnels between the same two prefixes all point the same way. With
--      ports the direction is ambiguous, and the lower port stays the server.
-- A row of this view shows why, so a person can check it.
CREATE OR REPLACE VIEW {{table "session_directions"}} {{onCluster}} AS
SELECT
    p.vrf AS vrf, p.proto AS proto,
    p.server AS server, p.port AS port, p.client AS client, p.client_port AS client_port,
    maxIf(p.degree, p.side = 1) AS server_degree,
    maxIf(p.degree, p.side = 2) AS client_degree,
    maxIf(p.served, p.side = 1) AS decided_as_here,
    maxIf(p.served, p.side = 2) AS decided_opposite,
    (p.port != 0 OR {{portless "p.proto"}}) AND p.port = p.client_port AND maxIf(p.sent, p.side = 1) != maxIf(p.sent, p.side = 2) AS one_sender,
    client_degree >= 2 * server_degree OR server_degree >= 2 * client_degree AS degrees_differ,
    maxIf(p.serves, p.side = 1) AS server_serves,
    maxIf(p.serves, p.side = 2) AS client_serves,
    maxIf(p.own_ports >= 4 * p.peer_ports, p.side = 1) AS server_fans_out,
    maxIf(p.own_ports >= 4 * p.peer_ports, p.side = 2) AS client_fans_out,
    maxIf(p.peers, p.side = 1) AS server_peers,
    maxIf(p.peers, p.side = 2) AS client_peers,
    server_fans_out != client_fans_out
        OR least(p.port, p.client_port) >= 32768 AND (client_peers >= 4 * server_peers OR server_peers >= 4 * client_peers) AS hosts_differ,
    multiIf(
        decided_as_here != decided_opposite, decided_opposite,
        one_sender, maxIf(p.sent, p.side = 1),
        degrees_differ, client_degree > server_degree,
        server_serves != client_serves, client_serves,
        server_fans_out != client_fans_out, server_fans_out,
        hosts_differ AND client_peers > server_peers) AS turned,
    multiIf(
        decided_as_here != decided_opposite, 'decided',
        one_sender, 'sender',
        degrees_differ, 'degree',
        server_serves != client_serves, 'serves',
        {{portless "p.proto"}}, 'address',
        hosts_differ, 'hosts',
        'ambiguous') AS verdict
FROM
(
    -- One row for each end (address, end_port) and each peer it was seen with.
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
        FROM {{table "sessions_hourly"}}
        ARRAY JOIN [1, 2] AS side
        WHERE NOT decided
        GROUP BY vrf, proto, server, port, client, client_port, side
        UNION ALL
        SELECT DISTINCT vrf, proto, server, port, client, 0 AS client_port, 0 AS side, 0 AS sent, server AS address, port AS end_port, client AS peer, 0 AS peer_port
        FROM {{table "sessions_hourly"}}
        WHERE decided AND (server, proto, port) GLOBAL IN
        (
            SELECT if(side = 1, server, client), proto, if(side = 1, port, client_port)
            FROM {{table "sessions_hourly"}}
            ARRAY JOIN [1, 2] AS side
            WHERE NOT decided
        )
    ) AS e
) AS p
WHERE p.side > 0
GROUP BY p.vrf, p.proto, p.server, p.port, p.client, p.client_port;

{{define "sessions" -}}
{{- /* The body of views sessions and sessions_window; with a true argument it
has the window, and the columns that only the latter has.

Three steps: sum each exporter's parts; take over the exporters of an hour the
most that one saw, so that a flow seen twice counts once and directions seen by
different exporters come together; sum the hours.

One-way requests without a reply are half-open only if an exporter that saw them
shows both directions of any session at all; from the others nobody can tell, and
unknown counts as complete. Nobody can tell either where packets were sampled: the
answer, or the ACK that would have followed a SYN, may be among those that nobody
looked at. Only a refusal that was seen tells. An answer answers the session: records of the two
directions cannot be paired one by one.

Each step around another multiplies the time that ClickHouse takes to analyse
the query, so there are no more of them than needed, and the two views do not
stand on each other. */ -}}
WITH
    two_way_quick AS (SELECT DISTINCT exporter FROM {{table "sessions_hourly"}} WHERE sides = 3),
    two_way_exporters AS
    (
        SELECT exporter FROM two_way_quick
        UNION ALL
        -- Those whose directions lie in rows not merged yet, or in different
        -- hours. Reads little where the quick way found the exporters.
        SELECT exporter FROM {{table "sessions_hourly"}}
        WHERE sides IN (1, 2) AND exporter GLOBAL NOT IN (SELECT exporter FROM two_way_quick)
        GROUP BY exporter, vrf, server, proto, port, icmp_type, icmp_code, client, client_port
        HAVING groupBitOr(sides) = 3
    ),
    directed AS
    (
        SELECT hour, vrf, server, proto, port, icmp_type, icmp_code, client, exporter, first_seen, last_seen,
            client_packets, client_bytes, server_packets, server_bytes,
            complete, half_open, unanswered, requests, replies, denied, client_flags, server_flags, basis, sampling
        FROM {{table "sessions_hourly"}}
        WHERE decided{{if .}} AND {{template "window"}}{{end}}
        UNION ALL
        SELECT hour, vrf, if(d.turned, u.client, u.server), proto, if(d.turned, u.client_port, u.port), icmp_type, icmp_code,
            if(d.turned, u.server, u.client), exporter, first_seen, last_seen,
            if(d.turned, server_packets, client_packets), if(d.turned, server_bytes, client_bytes),
            if(d.turned, client_packets, server_packets), if(d.turned, client_bytes, server_bytes),
            complete, half_open, unanswered, if(d.turned, replies, requests), if(d.turned, requests, replies), denied,
            if(d.turned, server_flags, client_flags), if(d.turned, client_flags, server_flags),
            d.verdict IN ('sender', 'degree', 'serves', 'hosts') AS basis, sampling
        FROM {{table "sessions_hourly"}} AS u
        GLOBAL INNER JOIN {{table "session_directions"}} AS d
            ON d.vrf = u.vrf AND d.proto = u.proto AND d.server = u.server AND d.port = u.port AND d.client = u.client AND d.client_port = u.client_port
        WHERE NOT u.decided{{if .}} AND {{template "window"}}{{end}}
    ),
    by_exporter AS
    (
        SELECT vrf, server, proto, port, icmp_type, icmp_code, client, hour, exporter,
            min(d.first_seen) AS first_seen, max(d.last_seen) AS last_seen,
            sum(d.client_packets) AS client_packets, sum(d.client_bytes) AS client_bytes,
            sum(d.server_packets) AS server_packets, sum(d.server_bytes) AS server_bytes,
            sum(d.complete) AS complete, sum(d.half_open) AS half_open, sum(d.unanswered) AS unanswered,
            sum(d.requests) AS requests, sum(d.replies) AS replies, sum(d.denied) AS denied,
            groupBitOr(d.client_flags) AS client_flags, groupBitOr(d.server_flags) AS server_flags,
            max(d.basis) AS basis,
            max(if(d.sampling = 0 AND d.exporter GLOBAL IN (SELECT exporter FROM {{table "sampled_exporters"}}), 4294967295, d.sampling)) AS sampling
{{- if .}},
            sum((d.client_packets + d.server_packets) * {{template "scale"}}) AS scaled_packets,
            sum((d.client_bytes + d.server_bytes) * {{template "scale"}}) AS scaled_bytes
{{- end}}
        FROM directed AS d
        GROUP BY vrf, server, proto, port, icmp_type, icmp_code, client, hour, exporter
    ),
    by_hour AS
    (
        SELECT vrf, server, proto, port, icmp_type, icmp_code, client, hour,
            min(e.first_seen) AS first_seen, max(e.last_seen) AS last_seen,
            max(e.client_packets) AS client_packets, max(e.client_bytes) AS client_bytes,
            max(e.server_packets) AS server_packets, max(e.server_bytes) AS server_bytes,
            max(e.complete) AS complete, max(if({{template "unrefused"}}, 0, e.half_open)) AS half_open, max(if({{template "blind"}}, 0, e.unanswered)) AS unanswered,
            max(e.requests + if({{template "blind"}}, e.unanswered, 0) + if({{template "unrefused"}}, e.half_open, 0)) AS requests, max(e.replies) AS replies, max(e.denied) AS denied,
            maxIf(e.requests, NOT ({{template "blind"}}) AND (e.sampling > 1 OR e.exporter GLOBAL IN (SELECT exporter FROM two_way_exporters))) AS requests_alone,
            groupBitOr(e.client_flags) AS client_flags, groupBitOr(e.server_flags) AS server_flags,
            max(e.basis) AS basis, max(e.sampling) AS sampling, groupArray(e.exporter) AS seen_by
{{- if .}},
            max(e.scaled_packets) AS scaled_packets, max(e.scaled_bytes) AS scaled_bytes
{{- end}}
        FROM by_exporter AS e
        GROUP BY vrf, server, proto, port, icmp_type, icmp_code, client, hour
    )
SELECT
    h.vrf AS vrf,
    {{text "h.client"}} AS client,
    {{text "h.server"}} AS server,
    h.proto AS proto, h.port AS port, h.icmp_type AS icmp_type, h.icmp_code AS icmp_code,
    {{service "h.proto" "h.port" "h.icmp_type"}} AS service,
    min(h.first_seen)::DateTime64(6, 'UTC') AS first_seen,
    max(h.last_seen)::DateTime64(6, 'UTC') AS last_seen,
    sum(h.complete + h.half_open + h.unanswered + h.requests + h.replies + h.denied) AS flows,
    sum(h.client_packets) AS client_packets, sum(h.client_bytes) AS client_bytes,
    sum(h.server_packets) AS server_packets, sum(h.server_bytes) AS server_bytes,
    if(sum(h.complete + h.replies) > 0,
        sum(h.complete + h.replies + h.requests + h.unanswered),
        sum(greatest(h.requests, h.requests_alone) - h.requests_alone)::UInt64) AS complete,
    sum(h.half_open) + if(sum(h.complete + h.replies) > 0, 0, sum(h.unanswered + h.requests_alone)) AS half_open,
    sum(h.denied) AS denied,
    CAST(max(h.basis), 'Enum8(''none'' = 0, ''degree'' = 1, ''known-port'' = 2, ''port-range'' = 3, ''icmp'' = 4, ''tcp-flags'' = 5, ''initiator'' = 6, ''stated'' = 7)') AS direction_basis,
    arrayMap(x -> {{text "x"}}, arraySort(arrayFilter(x -> x != toIPv6('::'), groupUniqArrayArray(h.seen_by)))) AS exporters
{{- if .}},
    h.client AS client_ip,
    h.server AS server_ip,
    count() AS hours,
    groupArray(h.hour) AS active_hours,
    groupBitOr(h.client_flags)::UInt16 AS client_flags,
    groupBitOr(h.server_flags)::UInt16 AS server_flags,
    max(h.sampling)::UInt32 AS sampling,
    sum(h.scaled_packets) AS scaled_packets,
    sum(h.scaled_bytes) AS scaled_bytes
{{- end}}
FROM by_hour AS h
GROUP BY h.vrf, h.server, h.proto, h.port, h.icmp_type, h.icmp_code, h.client
{{- end}}

{{define "scale" -}}
if(d.sampling = 4294967295, 1, greatest(d.sampling, 1))
{{- end}}

{{- /* Packets were sampled, and no RST of the server was among them; for records of
both directions, of either end, since exporters give the union of both. */ -}}
{{define "blind" -}}
e.sampling > 1 AND bitAnd(e.server_flags, 4) = 0
{{- end}}

{{define "unrefused" -}}
e.sampling > 1 AND bitAnd(bitOr(e.client_flags, e.server_flags), 4) = 0
{{- end}}

{{define "window" -}}
hour < {until:DateTime64(6, 'UTC')} AND first_seen < {until:DateTime64(6, 'UTC')} AND last_seen >= {since:DateTime64(6, 'UTC')}
{{- end}}

-- Every session stored, one row for each (vrf, client, server, proto, port,
-- icmp_type, icmp_code). The public view.
CREATE OR REPLACE VIEW {{table "sessions"}} {{onCluster}} AS
{{template "sessions" false}};

-- The sessions that overlap [since, until): SELECT ... FROM
-- sessions_window(since = '2026-11-01', until = '2026-11-02'). Counters are
-- those of the hours that overlap. Beyond the columns of view sessions it has
-- the addresses as IPv6 (client_ip, server_ip), the hours with records
-- (active_hours) and their number, both ends' TCP flags, the coarsest
-- sampling, and the packets and bytes of both directions multiplied by the
-- sampling where its rate is known (scaled_packets, scaled_bytes): an estimate of what was sent. All
-- other counters are as the exporters gave them.
CREATE OR REPLACE VIEW {{table "sessions_window"}} {{onCluster}} AS
{{template "sessions" true}};
