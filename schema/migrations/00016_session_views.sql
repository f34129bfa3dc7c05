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
CREATE OR REPLACE VIEW {{table "session_ends"}} {{onCluster}} AS
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
    WHERE NOT decided AND NOT (port = 0 AND client_port = 0 AND proto IN (6, 17, 33, 132, 136))
    GROUP BY vrf, proto, server, port, client, client_port, side
    UNION ALL
    SELECT DISTINCT vrf, proto, server, port, client, 0 AS client_port, 0 AS side, 0 AS sent, server AS address, port AS end_port, client AS peer, 0 AS peer_port
    FROM {{table "sessions_hourly"}}
    WHERE decided AND (server, proto, port) GLOBAL IN
    (
        SELECT if(side = 1, server, client), proto, if(side = 1, port, client_port)
        FROM {{table "sessions_hourly"}}
        ARRAY JOIN [1, 2] AS side
        WHERE NOT decided AND NOT (port = 0 AND client_port = 0 AND proto IN (6, 17, 33, 132, 136))
    )
) AS e;

-- What session_directions knows of the ends of each undecided session.
CREATE OR REPLACE VIEW {{table "session_degrees"}} {{onCluster}} AS
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
FROM {{table "session_ends"}} AS p
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
CREATE OR REPLACE VIEW {{table "session_directions"}} {{onCluster}} AS
SELECT
    p.vrf AS vrf, p.proto AS proto,
    p.server AS server, p.port AS port, p.client AS client, p.client_port AS client_port,
    p.server_degree AS server_degree, p.client_degree AS client_degree,
    p.decided_as_here AS decided_as_here, p.decided_opposite AS decided_opposite,
    (p.port != 0 OR {{portless "p.proto"}}) AND p.port = p.client_port AND p.server_sent != p.client_sent AS one_sender,
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
        {{portless "p.proto"}}, 'address',
        hosts_differ, 'hosts',
        p.port = p.client_port AND p.port != 0, 'address',
        'ambiguous') AS verdict
FROM {{table "session_degrees"}} AS p;

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

{{define "plain body" -}}
{{- /* The plain sessions. */ -}}
WITH
    -- Exporters that show both directions of a session: in one row, or in rows not
    -- merged yet or of different hours. The latter reads little where the former found them.
    (SELECT groupUniqArray(exporter) FROM {{table "sessions_hourly"}} WHERE sides = 3) AS two_way_quick,
    arrayConcat(two_way_quick,
    (
        SELECT groupUniqArray(exporter) FROM
        (
            SELECT exporter FROM {{table "sessions_hourly"}}
            WHERE sides IN (1, 2) AND NOT has(two_way_quick, exporter)
            GROUP BY exporter, vrf, server, proto, port, icmp_type, icmp_code, client, client_port
            HAVING groupBitOr(sides) = 3
        )
    )) AS two_way_exporters,
    (SELECT groupUniqArray(exporter) FROM {{table "sampled_exporters"}}) AS sampling_exporters,
    odd_pairs AS
    (
        SELECT cityHash64(vrf, proto, least(server, client), greatest(server, client)) FROM {{table "sessions_hourly"}}
        WHERE NOT decided OR {{template "tftp"}}
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
FROM {{table "sessions_hourly"}} AS s
WHERE s.decided
{{- if .}}
    AND s.hour < {until:DateTime64(6, 'UTC')} AND s.first_seen < {until:DateTime64(6, 'UTC')} AND s.last_seen >= {since:DateTime64(6, 'UTC')}
{{- end}}
GROUP BY vrf, server, proto, port, icmp_type, icmp_code, client
HAVING {{template "onePlace"}} AND cityHash64(vrf, proto, least(server, client), greatest(server, client)) GLOBAL NOT IN odd_pairs
{{- end}}

{{define "rows body" -}}
{{- /* The rows of marked sessions. */ -}}
WITH
    (SELECT groupUniqArray(exporter) FROM {{table "sampled_exporters"}}) AS sampling_exporters,
    -- TFTP is asked for at port 69 and answered from a new port of the server to
    -- the client's, and both stay there (RFC 1350, section 4).
    tftp AS
    (
        SELECT vrf, server, client, client_port FROM {{table "sessions_hourly"}} WHERE decided AND {{template "tftp"}}
    ),
    odd_pairs AS
    (
        SELECT cityHash64(vrf, proto, least(server, client), greatest(server, client)) FROM {{table "sessions_hourly"}}
        WHERE NOT decided OR {{template "tftp"}}
    ),
    odd_sessions AS
    (
        SELECT cityHash64(vrf, server, proto, port, icmp_type, icmp_code, client) AS session FROM {{table "sessions_hourly"}} AS s
        WHERE decided{{if .}} AND {{template "window"}}{{end}}
        GROUP BY session
        HAVING NOT ({{template "onePlace"}})
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
    FROM {{table "sessions_hourly"}}
{{- if .}}
    WHERE {{template "window"}}{{end}}
)
WHERE odd OR shared
{{- end}}

{{define "joined body" -}}
{{- /* The same with the client and the server that each undecided row has, and the session of each fragment. */ -}}
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
FROM {{template "rows" .}} AS r
GLOBAL LEFT JOIN {{table "session_directions"}} AS d
    ON d.vrf = r.vrf AND d.proto = r.proto AND d.server = r.server_address AND d.port = r.port AND d.client = r.client_address AND d.client_port = r.client_port
GLOBAL LEFT JOIN {{table "session_fragments"}} AS f
    ON f.vrf = r.vrf AND f.proto = r.proto AND f.server = r.server_address AND f.client = r.client_address AND r.port + r.client_port = 0
{{- end}}

{{define "by_exporter body" -}}
{{- /* The sums of each exporter, entry and exit apart. Fragments are no evidence of an answer. */ -}}
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
    sum((u.client_packets + u.server_packets) * {{template "scale"}}) AS scaled_packets,
    sum((u.client_bytes + u.server_bytes) * {{template "scale"}}) AS scaled_bytes
FROM {{template "joined" .}} AS u
GROUP BY vrf, server_address, proto, port, icmp_type, icmp_code, client_address, hour, exporter, egress
{{- end}}

{{define "by_hour body" -}}
{{- /* The most that one exporter saw in each hour. */ -}}
WITH
    -- Exporters that show both directions of a session: in one row, or in rows not
    -- merged yet or of different hours. The latter reads little where the former found them.
    (SELECT groupUniqArray(exporter) FROM {{table "sessions_hourly"}} WHERE sides = 3) AS two_way_quick,
    arrayConcat(two_way_quick,
    (
        SELECT groupUniqArray(exporter) FROM
        (
            SELECT exporter FROM {{table "sessions_hourly"}}
            WHERE sides IN (1, 2) AND NOT has(two_way_quick, exporter)
            GROUP BY exporter, vrf, server, proto, port, icmp_type, icmp_code, client, client_port
            HAVING groupBitOr(sides) = 3
        )
    )) AS two_way_exporters
SELECT vrf, server_address, proto, port, icmp_type, icmp_code, client_address, hour,
    max(e.odd) AS odd, min(e.first_seen) AS first_seen, max(e.last_seen) AS last_seen,
    max(e.client_packets) AS client_packets, max(e.client_bytes) AS client_bytes,
    max(e.server_packets) AS server_packets, max(e.server_bytes) AS server_bytes,
    max(e.complete) AS complete, max(if({{template "unrefused"}}, 0, e.half_open)) AS half_open, max(if({{template "blind"}}, 0, e.unanswered)) AS unanswered,
    max(e.requests + if({{template "blind"}}, e.unanswered, 0) + if({{template "unrefused"}}, e.half_open, 0)) AS requests, max(e.replies) AS replies, max(e.denied) AS denied,
    maxIf(e.requests, NOT ({{template "blind"}}) AND (e.sampling > 1 OR has(two_way_exporters, e.exporter))) AS requests_alone,
    groupBitOr(e.client_flags) AS client_flags, groupBitOr(e.server_flags) AS server_flags,
    max(e.basis) AS basis, max(e.sampling) AS sampling, groupArray(e.exporter) AS seen_by, groupBitOr(e.egress + 1) AS ways,
    max(e.scaled_packets) AS scaled_packets, max(e.scaled_bytes) AS scaled_bytes
FROM {{template "by_exporter" .}} AS e
GROUP BY vrf, server_address, proto, port, icmp_type, icmp_code, client_address, hour
{{- end}}

{{define "marked body" -}}
{{- /* The marked sessions. */ -}}
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
FROM {{template "by_hour" .}} AS h
GROUP BY vrf, server_address, proto, port, icmp_type, icmp_code, client_address
HAVING max(h.odd) OR length(seen_by) > 1 OR groupBitOr(h.ways) = 3
{{- end}}

{{define "sessions" -}}
WITH
    -- Exporters that show both directions of a session: in one row, or in rows not
    -- merged yet or of different hours. The latter reads little where the former found them.
    (SELECT groupUniqArray(exporter) FROM {{table "sessions_hourly"}} WHERE sides = 3) AS two_way_quick,
    arrayConcat(two_way_quick,
    (
        SELECT groupUniqArray(exporter) FROM
        (
            SELECT exporter FROM {{table "sessions_hourly"}}
            WHERE sides IN (1, 2) AND NOT has(two_way_quick, exporter)
            GROUP BY exporter, vrf, server, proto, port, icmp_type, icmp_code, client, client_port
            HAVING groupBitOr(sides) = 3
        )
    )) AS two_way_exporters,
    -- Each end sends to the other's port and is not answered from there.
    asking AS
    (
        SELECT vrf, proto, port, client, server FROM {{table "sessions_hourly"}}
        WHERE decided AND proto IN (17, 136) AND port != 0 AND complete = 0 AND replies = 0 AND client_packets + client_bytes > 0
            AND (half_open > 0 OR requests > 0 AND has(two_way_exporters, exporter))
    )
SELECT
    h.vrf AS vrf,
    {{text "h.client_address"}} AS client,
    {{text "h.server_address"}} AS server,
    h.proto AS proto, h.port AS port, h.icmp_type AS icmp_type, h.icmp_code AS icmp_code,
    {{service "h.proto" "h.port" "h.icmp_type"}} AS service,
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
    arrayMap(x -> {{text "x"}}, arraySort(arrayFilter(x -> x != toIPv6('::'), h.seen_by))) AS exporters,
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
    FROM (SELECT * FROM {{template "plain" .}} UNION ALL SELECT * FROM {{template "marked" .}})
) AS h
{{- end}}

{{define "plain" -}}
{{if .}}{{table "sessions_plain_window"}}(since = {since:DateTime64(6, 'UTC')}, until = {until:DateTime64(6, 'UTC')}){{else}}{{table "sessions_plain"}}{{end}}
{{- end}}
{{define "rows" -}}
{{if .}}{{table "sessions_marked_rows_window"}}(since = {since:DateTime64(6, 'UTC')}, until = {until:DateTime64(6, 'UTC')}){{else}}{{table "sessions_marked_rows"}}{{end}}
{{- end}}
{{define "joined" -}}
{{if .}}{{table "sessions_directed_rows_window"}}(since = {since:DateTime64(6, 'UTC')}, until = {until:DateTime64(6, 'UTC')}){{else}}{{table "sessions_directed_rows"}}{{end}}
{{- end}}
{{define "by_exporter" -}}
{{if .}}{{table "sessions_by_exporter_window"}}(since = {since:DateTime64(6, 'UTC')}, until = {until:DateTime64(6, 'UTC')}){{else}}{{table "sessions_by_exporter"}}{{end}}
{{- end}}
{{define "by_hour" -}}
{{if .}}{{table "sessions_by_hour_window"}}(since = {since:DateTime64(6, 'UTC')}, until = {until:DateTime64(6, 'UTC')}){{else}}{{table "sessions_by_hour"}}{{end}}
{{- end}}
{{define "marked" -}}
{{if .}}{{table "sessions_marked_window"}}(since = {since:DateTime64(6, 'UTC')}, until = {until:DateTime64(6, 'UTC')}){{else}}{{table "sessions_marked"}}{{end}}
{{- end}}

{{define "tftp" -}}
proto = 17 AND port = 69 AND client_port != 0
{{- end}}

{{- /* Of the rows of one session: one exporter, which samples nothing, metered them on entry only or on exit only. */ -}}
{{define "onePlace" -}}
min(s.exporter) = max(s.exporter) AND min(s.egress) = max(s.egress) AND max(s.sampling) <= 1 AND NOT has(sampling_exporters, min(s.exporter))
{{- end}}

{{define "scale" -}}
if(u.one_in = 4294967295, 1, greatest(u.one_in, 1))
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

CREATE OR REPLACE VIEW {{table "sessions_plain"}} {{onCluster}} AS
{{template "plain body" false}};

CREATE OR REPLACE VIEW {{table "sessions_plain_window"}} {{onCluster}} AS
{{template "plain body" true}};

CREATE OR REPLACE VIEW {{table "sessions_marked_rows"}} {{onCluster}} AS
{{template "rows body" false}};

CREATE OR REPLACE VIEW {{table "sessions_marked_rows_window"}} {{onCluster}} AS
{{template "rows body" true}};

CREATE OR REPLACE VIEW {{table "sessions_directed_rows"}} {{onCluster}} AS
{{template "joined body" false}};

CREATE OR REPLACE VIEW {{table "sessions_directed_rows_window"}} {{onCluster}} AS
{{template "joined body" true}};

CREATE OR REPLACE VIEW {{table "sessions_by_exporter"}} {{onCluster}} AS
{{template "by_exporter body" false}};

CREATE OR REPLACE VIEW {{table "sessions_by_exporter_window"}} {{onCluster}} AS
{{template "by_exporter body" true}};

CREATE OR REPLACE VIEW {{table "sessions_by_hour"}} {{onCluster}} AS
{{template "by_hour body" false}};

CREATE OR REPLACE VIEW {{table "sessions_by_hour_window"}} {{onCluster}} AS
{{template "by_hour body" true}};

CREATE OR REPLACE VIEW {{table "sessions_marked"}} {{onCluster}} AS
{{template "marked body" false}};

CREATE OR REPLACE VIEW {{table "sessions_marked_window"}} {{onCluster}} AS
{{template "marked body" true}};

-- Every session stored, with the columns of sessions_window. A view with parameters inside another is analysed twice
-- for each step in which the outer is, so a question about all sessions, asked of this view, starts half a second sooner.
CREATE OR REPLACE VIEW {{table "sessions_all"}} {{onCluster}} AS
{{template "sessions" false}};

-- Every session stored, one row for each (vrf, client, server, proto, port,
-- icmp_type, icmp_code). The public view.
CREATE OR REPLACE VIEW {{table "sessions"}} {{onCluster}} AS
SELECT vrf, client, server, proto, port, icmp_type, icmp_code, service, first_seen, last_seen, flows,
    client_packets, client_bytes, server_packets, server_bytes, complete, half_open, denied, direction_basis, exporters
FROM {{table "sessions_all"}};

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
