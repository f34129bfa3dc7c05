-- +goose NO TRANSACTION
-- +goose Up

-- One more step of session_directions, the last before a session is ambiguous: one port is below 32768, the other is not, and
-- nothing else undecided leaves or enters the host of the lower port by another of its ports. Then the lower port is the server's
-- ('ports'). A record leaves that open where the higher port is a known one, such as 50051 or one that a groups file names: either
-- the client was given that number by chance, or the client's port was taken from below 32768, as old stacks and address
-- translation do. A host of the latter kind shows several of its ports, and its sessions stay ambiguous.

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
    maxIf(p.peers, p.side = 2) AS client_peers,
    maxIf(p.own_ports, p.side = 1) AS server_ports,
    maxIf(p.own_ports, p.side = 2) AS client_ports
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
        {{template "one low port"}}, 'ports',
        'ambiguous') AS verdict
FROM {{table "session_degrees"}} AS p;

{{define "one low port" -}}
least(p.port, p.client_port) BETWEEN 1 AND 32767 AND greatest(p.port, p.client_port) >= 32768 AND if(p.port < p.client_port, p.server_ports, p.client_ports) = 1
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
    max(if(u.decided, u.basis, u.from_tftp OR u.to_tftp OR u.fragment OR u.verdict IN ('sender', 'degree', 'serves', 'hosts', 'ports') OR u.verdict = 'address' AND u.port != 0)) AS basis,
    max(u.one_in) AS sampling,
    sum((u.client_packets + u.server_packets) * {{template "scale"}}) AS scaled_packets,
    sum((u.client_bytes + u.server_bytes) * {{template "scale"}}) AS scaled_bytes
FROM {{template "joined" .}} AS u
GROUP BY vrf, server_address, proto, port, icmp_type, icmp_code, client_address, hour, exporter, egress
{{- end}}

{{define "joined" -}}
{{if .}}{{table "sessions_directed_rows_window"}}(since = {since:DateTime64(6, 'UTC')}, until = {until:DateTime64(6, 'UTC')}){{else}}{{table "sessions_directed_rows"}}{{end}}
{{- end}}
{{define "scale" -}}
if(u.one_in = 4294967295, 1, greatest(u.one_in, 1))
{{- end}}

CREATE OR REPLACE VIEW {{table "sessions_by_exporter"}} {{onCluster}} AS
{{template "by_exporter body" false}};

CREATE OR REPLACE VIEW {{table "sessions_by_exporter_window"}} {{onCluster}} AS
{{template "by_exporter body" true}};
