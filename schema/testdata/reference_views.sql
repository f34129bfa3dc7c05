-- The views over sessions_hourly as they are simplest to read: every session takes three groupings. They are too slow for
-- use, and say what each counter is: TestViewsSay holds the views of migration 00016 against them.

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
        p.port = p.client_port AND p.port != 0, 'address',
        -- A port from 32768 up and one below it, of a host without another: the lower one.
        p.port > 0 AND p.client_port > 0 AND (p.port >= 32768) != (p.client_port >= 32768)
            AND maxIf(p.own_ports, (p.side = 1) = (p.port < p.client_port)) = 1, 'ports',
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
        WHERE NOT decided AND NOT ({{template "fragment"}})
        GROUP BY vrf, proto, server, port, client, client_port, side
        UNION ALL
        SELECT DISTINCT vrf, proto, server, port, client, 0 AS client_port, 0 AS side, 0 AS sent, server AS address, port AS end_port, client AS peer, 0 AS peer_port
        FROM {{table "sessions_hourly"}}
        WHERE decided AND (server, proto, port) GLOBAL IN
        (
            SELECT if(side = 1, server, client), proto, if(side = 1, port, client_port)
            FROM {{table "sessions_hourly"}}
            ARRAY JOIN [1, 2] AS side
            WHERE NOT decided AND NOT ({{template "fragment"}})
        )
    ) AS e
) AS p
WHERE p.side > 0
GROUP BY p.vrf, p.proto, p.server, p.port, p.client, p.client_port;

-- Later fragments of IP packets have no ports. They go to the session of the same
-- hosts and protocol that sent most: server, client and proto are those of the
-- fragments' rows of sessions_hourly, the to_... columns are the session's.
CREATE OR REPLACE VIEW {{table "session_fragments"}} {{onCluster}} AS
SELECT q.vrf AS vrf, q.proto AS proto, least(q.server, q.client) AS server, greatest(q.server, q.client) AS client,
    argMax((q.server, q.port, q.client), (q.bytes, q.server, q.port)) AS session,
    session.1 AS to_server, session.2 AS to_port, session.3 AS to_client
FROM
(
    SELECT s.vrf AS vrf, s.proto AS proto, s.server AS server, s.port AS port, s.client AS client, sum(s.client_bytes + s.server_bytes) AS bytes
    FROM {{table "sessions_hourly"}} AS s
    WHERE s.decided AND s.port != 0 AND (s.vrf, s.proto, least(s.server, s.client), greatest(s.server, s.client)) GLOBAL IN
    (
        SELECT vrf, proto, server, client FROM {{table "sessions_hourly"}} WHERE NOT decided AND {{template "fragment"}}
    )
    GROUP BY s.vrf, s.proto, s.server, s.port, s.client
) AS q
GROUP BY q.vrf, q.proto, least(q.server, q.client), greatest(q.server, q.client);

{{define "fragment" -}}
port = 0 AND client_port = 0 AND proto IN (6, 17, 33, 132, 136)
{{- end}}

{{define "sessions" -}}
{{- /* The body of views sessions and sessions_window; with a true argument it
has the window, and the columns that only the latter has.

Three steps: sum the parts of each exporter, those metered on entry and those
metered on exit apart; take over these of an hour the most that one has, so that a
flow seen twice counts once and directions seen by different exporters come
together; sum the hours.

One-way requests without a reply are half-open only if an exporter that saw them
shows both directions of any session at all; from the others nobody can tell, and
unknown counts as complete. Nobody can tell either where packets were sampled: the
answer, or the ACK that would have followed a SYN, may be among those that nobody
looked at. Only a refusal that was seen tells. An answer answers the session: records of the two
directions cannot be paired one by one. Where each end sends to the same port of the
other, from ports of its own (VXLAN, BFD), that is the answer.

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
    -- TFTP is asked for at port 69 and answered from a new port of the server to
    -- the client's, and both stay there (RFC 1350, section 4).
    tftp AS
    (
        SELECT vrf, server, client, client_port FROM {{table "sessions_hourly"}} WHERE decided AND proto = 17 AND port = 69 AND client_port != 0
    ),
    directed AS
    (
        WITH s.proto = 17 AND s.port != 69 AND (s.vrf, s.client, s.server, s.port) GLOBAL IN tftp AS turned
        SELECT s.hour AS hour, s.vrf AS vrf, if(turned, s.client, s.server) AS server, s.proto AS proto, if(turned, 69, s.port)::UInt16 AS port,
            s.icmp_type AS icmp_type, s.icmp_code AS icmp_code, if(turned, s.server, s.client) AS client, s.exporter AS exporter, s.egress AS egress,
            s.first_seen AS first_seen, s.last_seen AS last_seen,
            if(turned, s.server_packets, s.client_packets) AS client_packets, if(turned, s.server_bytes, s.client_bytes) AS client_bytes,
            if(turned, s.client_packets, s.server_packets) AS server_packets, if(turned, s.client_bytes, s.server_bytes) AS server_bytes,
            s.complete AS complete, s.half_open AS half_open, s.unanswered AS unanswered,
            if(turned, s.replies, s.requests) AS requests, if(turned, s.requests, s.replies) AS replies, s.denied AS denied,
            s.client_flags AS client_flags, s.server_flags AS server_flags, s.basis AS basis, s.sampling AS sampling
        FROM {{table "sessions_hourly"}} AS s
        WHERE s.decided{{if .}} AND {{template "window"}}{{end}}
        UNION ALL
        -- Fragments are no evidence of an answer.
        WITH
            u.proto = 17 AND (u.vrf, u.client, u.server, u.port) GLOBAL IN tftp AS from_tftp,
            u.proto = 17 AND (u.vrf, u.server, u.client, u.client_port) GLOBAL IN tftp AS to_tftp,
            f.to_port != 0 AS fragment,
            multiIf(from_tftp, true, to_tftp, false, fragment, f.to_client = u.server, d.turned) AS turned,
            u.complete + u.half_open + u.unanswered + u.requests + u.replies AS records
        SELECT u.hour, u.vrf, if(turned, u.client, u.server), u.proto,
            multiIf(from_tftp OR to_tftp, 69, fragment, f.to_port, turned, u.client_port, u.port)::UInt16, u.icmp_type, u.icmp_code,
            if(turned, u.server, u.client), u.exporter, u.egress, u.first_seen, u.last_seen,
            if(turned, u.server_packets, u.client_packets), if(turned, u.server_bytes, u.client_bytes),
            if(turned, u.client_packets, u.server_packets), if(turned, u.client_bytes, u.server_bytes),
            if(fragment, 0, u.complete), if(fragment, 0, u.half_open), multiIf(NOT fragment, u.unanswered, u.proto = 6, records, 0),
            multiIf(fragment, if(u.proto = 6, 0, records), turned, u.replies, u.requests), multiIf(fragment, 0, turned, u.requests, u.replies), u.denied,
            if(turned, u.server_flags, u.client_flags), if(turned, u.client_flags, u.server_flags),
            from_tftp OR to_tftp OR fragment OR d.verdict IN ('sender', 'degree', 'serves', 'hosts', 'ports') OR d.verdict = 'address' AND u.port != 0 AS basis, u.sampling
        FROM {{table "sessions_hourly"}} AS u
        GLOBAL LEFT JOIN {{table "session_directions"}} AS d
            ON d.vrf = u.vrf AND d.proto = u.proto AND d.server = u.server AND d.port = u.port AND d.client = u.client AND d.client_port = u.client_port
        GLOBAL LEFT JOIN {{table "session_fragments"}} AS f
            ON f.vrf = u.vrf AND f.proto = u.proto AND f.server = u.server AND f.client = u.client AND u.port + u.client_port = 0
        WHERE NOT u.decided{{if .}} AND {{template "window"}}{{end}}
    ),
    -- Each end sends to the other's port and is not answered from there.
    asking AS
    (
        SELECT vrf, proto, port, client, server FROM {{table "sessions_hourly"}}
        WHERE decided AND proto IN (17, 136) AND port != 0 AND complete = 0 AND replies = 0 AND client_packets + client_bytes > 0
            AND (half_open > 0 OR requests > 0 AND exporter GLOBAL IN (SELECT exporter FROM two_way_exporters))
    ),
    by_exporter AS
    (
        SELECT vrf, server, proto, port, icmp_type, icmp_code, client, hour, exporter, egress,
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
        GROUP BY vrf, server, proto, port, icmp_type, icmp_code, client, hour, exporter, egress
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
    multiIf((h.vrf, h.proto, h.port, h.server, h.client) GLOBAL IN asking,
        sum(h.complete + h.replies + h.requests + h.unanswered + h.half_open),
        sum(h.complete + h.replies) > 0,
        sum(h.complete + h.replies + h.requests + h.unanswered),
        sum(greatest(h.requests, h.requests_alone) - h.requests_alone)::UInt64) AS complete,
    if((h.vrf, h.proto, h.port, h.server, h.client) GLOBAL IN asking, 0,
        sum(h.half_open) + if(sum(h.complete + h.replies) > 0, 0, sum(h.unanswered + h.requests_alone)))::UInt64 AS half_open,
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
