-- +goose NO TRANSACTION
-- +goose Up

-- What the views of 00016 need beside tables. Views hold no rows, so a later version
-- changes them here and gives the file a new number.

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
