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

{{define "plain body" -}}
WITH
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
    (SELECT groupUniqArray(exporter) FROM {{table "sampled_exporters"}}) AS sampling_exporters
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
FROM {{table "sessions_hourly"}} AS s
WHERE s.decided
{{- if .}}
    AND s.hour < {until:DateTime64(6, 'UTC')} AND s.first_seen < {until:DateTime64(6, 'UTC')} AND s.last_seen >= {since:DateTime64(6, 'UTC')}
{{- end}}
GROUP BY vrf, server, proto, port, icmp_type, icmp_code, client
HAVING {{template "onePlace"}} AND {{template "pair"}} + (groupBitOr({{template "place"}}) = 0) GLOBAL NOT IN {{template "odd pairs"}}
{{- end}}

{{define "rows body" -}}
WITH
    (SELECT groupUniqArray(exporter) FROM {{table "sampled_exporters"}}) AS sampling_exporters,
    -- TFTP is asked for at port 69 and answered from a new port of the server to
    -- the client's, and both stay there (RFC 1350, section 4).
    tftp AS
    (
        SELECT vrf, server, client, client_port FROM {{table "sessions_hourly"}} WHERE decided AND {{template "tftp"}}
    )
SELECT * EXCEPT (client, server, shared), client AS client_address, server AS server_address,
    proto = 17 AND (port != 69 OR NOT decided) AND (vrf, client, server, port) GLOBAL IN tftp AS from_tftp,
    proto = 17 AND NOT decided AND (vrf, server, client, client_port) GLOBAL IN tftp AS to_tftp,
    if(sampling = 0 AND has(sampling_exporters, exporter), 4294967295, sampling) AS one_in
FROM
(
    SELECT *,
        NOT decided OR sampling > 1 OR has(sampling_exporters, exporter) OR {{template "pair"}} GLOBAL IN {{template "odd pairs"}} AS odd,
        {{template "session"}} GLOBAL IN
        (
            SELECT {{template "session"}} AS session FROM {{table "sessions_hourly"}} AS s
            WHERE decided{{if .}} AND {{template "window"}}{{end}}
            GROUP BY session
            HAVING NOT ({{template "onePlace"}})
        ) AS shared
    FROM {{table "sessions_hourly"}}
{{- if .}}
    WHERE {{template "window"}}{{end}}
)
WHERE odd OR shared
{{- end}}

{{- /* Pairs of hosts with records of a protocol that are not to be taken as they are. Either of them may be the client. */ -}}
{{define "odd pairs" -}}
(
    SELECT arrayJoin([cityHash64(server, client), cityHash64(client, server)]) + cityHash64(vrf) + proto FROM {{table "sessions_hourly"}}
    WHERE NOT decided OR {{template "tftp"}}
)
{{- end}}

{{define "pair" -}}
cityHash64(server, client) + cityHash64(vrf) + proto
{{- end}}

{{define "session" -}}
cityHash64(server, client) + cityHash64(vrf) + port
{{- end}}

{{define "tftp" -}}
proto = 17 AND port = 69 AND client_port != 0
{{- end}}

{{- /* Where a record was metered; 0 where packets were sampled. */ -}}
{{define "place" -}}
if(s.sampling > 1 OR has(sampling_exporters, s.exporter), 0, cityHash64(s.exporter, s.egress))
{{- end}}

{{- /* Of the rows of one session: one exporter, which samples nothing, metered them on entry only or on exit only. */ -}}
{{define "onePlace" -}}
groupBitAnd({{template "place"}}) = groupBitOr({{template "place"}}) AND groupBitOr({{template "place"}}) != 0
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

-- Later fragments of IP packets have no ports. They go to the session of the same
-- hosts and protocol that sent most: server, client and proto are those of the
-- fragments' rows of sessions_hourly, the to_... columns are the session's. The first condition on the addresses
-- is one that the sort key answers; without fragments nothing is read.
CREATE OR REPLACE VIEW {{table "session_fragments"}} {{onCluster}} AS
SELECT q.vrf AS vrf, q.proto AS proto, least(q.server, q.client) AS server, greatest(q.server, q.client) AS client,
    argMax((q.server, q.port, q.client), (q.bytes, q.server, q.port)) AS session,
    session.1 AS to_server, session.2 AS to_port, session.3 AS to_client
FROM
(
    SELECT s.vrf AS vrf, s.proto AS proto, s.server AS server, s.port AS port, s.client AS client, sum(s.client_bytes + s.server_bytes) AS bytes
    FROM {{table "sessions_hourly"}} AS s
    WHERE s.decided AND s.port != 0
        AND s.server GLOBAL IN (SELECT arrayJoin([server, client]) FROM {{table "sessions_hourly"}} WHERE NOT decided AND {{template "fragment"}})
        AND (s.vrf, s.proto, least(s.server, s.client), greatest(s.server, s.client)) GLOBAL IN
        (
            SELECT vrf, proto, server, client FROM {{table "sessions_hourly"}} WHERE NOT decided AND {{template "fragment"}}
        )
    GROUP BY s.vrf, s.proto, s.server, s.port, s.client
) AS q
GROUP BY q.vrf, q.proto, least(q.server, q.client), greatest(q.server, q.client);

{{define "fragment" -}}
port = 0 AND client_port = 0 AND proto IN (6, 17, 33, 132, 136)
{{- end}}
