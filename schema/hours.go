package schema

import (
	"fmt"
	"strings"
	"time"
)

// HoursOf gives a query for the hours of the sessions that overlap [since, until) and of which an end is touched: one row for
// each session and hour, as far as the hour overlaps the window. Columns vrf, client_ip, server_ip, proto, port, icmp_type,
// icmp_code and hour tell them apart. The counters add up, over the hours of a session, to what JudgedOf makes a row of view
// sessions_window of. The zero time leaves an end open. Touched gives a condition on two columns of addresses, those of the
// client and of the server, whichever is which.
func HoursOf(since, until time.Time, touched func(client, server string) string) string {
	views, window := "", ""
	if !since.IsZero() || !until.IsZero() {
		since, until = OpenWindow(since, until)
		from, to := timeText(since), timeText(until)
		views = fmt.Sprintf("_window(since = %s, until = %s)", from, to)
		window = fmt.Sprintf(" AND hour < toDateTime64(%[2]s, 6, 'UTC') AND first_seen < %[2]s AND last_seen >= %[1]s", from, to)
	}
	return fmt.Sprintf(`WITH
    (SELECT groupUniqArray(exporter) FROM sessions_hourly WHERE sides = 3) AS two_way_quick,
    arrayConcat(two_way_quick,
    (
        SELECT groupUniqArray(exporter) FROM
        (
            SELECT exporter FROM sessions_hourly
            WHERE sides IN (1, 2) AND NOT has(two_way_quick, exporter)
            GROUP BY exporter, vrf, server, proto, port, icmp_type, icmp_code, client, client_port
            HAVING groupBitOr(sides) = 3
        )
    )) AS two_way_exporters,
    -- Each end sends to the other's port and is not answered from there; see view sessions.
    asking AS
    (
        SELECT vrf, proto, port, client, server FROM sessions_hourly
        WHERE decided AND proto IN (17, 136) AND port != 0 AND complete = 0 AND replies = 0 AND client_packets + client_bytes > 0
            AND (half_open > 0 OR requests > 0 AND has(two_way_exporters, exporter)) AND %[4]s
    )
SELECT *, (vrf, proto, port, server_ip, client_ip) GLOBAL IN asking AS asked FROM
(
    SELECT s.vrf AS vrf, s.client AS client_ip, s.server AS server_ip, s.proto AS proto, s.port AS port, s.icmp_type AS icmp_type, s.icmp_code AS icmp_code, s.hour AS hour,
        min(s.first_seen)::DateTime64(6, 'UTC') AS first_seen, max(s.last_seen)::DateTime64(6, 'UTC') AS last_seen,
        sum(s.client_packets) AS client_packets, sum(s.client_bytes) AS client_bytes, sum(s.server_packets) AS server_packets, sum(s.server_bytes) AS server_bytes,
        sum(s.complete) AS complete, sum(s.half_open) AS half_open, sum(s.unanswered) AS unanswered, sum(s.requests) AS requests, sum(s.replies) AS replies, sum(s.denied) AS denied,
        if(any(p.alone), sum(s.requests), 0) AS requests_alone, sum(s.requests) - requests_alone AS requests_unknown,
        max(s.basis) AS basis, [min(s.exporter)] AS seen_by, groupBitOr(s.client_flags) AS client_flags, groupBitOr(s.server_flags) AS server_flags,
        max(s.sampling) AS sampling, client_packets + server_packets AS scaled_packets, client_bytes + server_bytes AS scaled_bytes
    FROM (SELECT * FROM sessions_hourly WHERE decided AND %[4]s%[2]s) AS s
    GLOBAL INNER JOIN
    (
        SELECT vrf, client_address, server_address, proto, port, icmp_type, icmp_code, requests_alone > 0 AS alone FROM sessions_plain%[1]s WHERE %[3]s
    ) AS p ON p.vrf = s.vrf AND p.client_address = s.client AND p.server_address = s.server AND p.proto = s.proto AND p.port = s.port AND p.icmp_type = s.icmp_type AND p.icmp_code = s.icmp_code
    GROUP BY vrf, client_ip, server_ip, proto, port, icmp_type, icmp_code, hour
    UNION ALL
    SELECT vrf, client_address, server_address, proto, port, icmp_type, icmp_code, hour,
        first_seen::DateTime64(6, 'UTC'), last_seen::DateTime64(6, 'UTC'), client_packets, client_bytes, server_packets, server_bytes,
        complete, half_open, unanswered, requests, replies, denied, requests_alone, greatest(requests, requests_alone) - requests_alone,
        basis, seen_by, client_flags, server_flags, sampling, scaled_packets, scaled_bytes
    FROM
    (
        SELECT *, max(odd) OVER one OR length(groupUniqArrayArray(seen_by) OVER one) > 1 OR groupBitOr(ways) OVER one = 3 AS marked
        FROM sessions_by_hour%[1]s WHERE %[3]s
        WINDOW one AS (PARTITION BY vrf, server_address, proto, port, icmp_type, icmp_code, client_address)
    )
    WHERE marked
)`, views, window, touched("client_address", "server_address"), touched("client", "server"))
}

// JudgedOf gives a query that sums the rows of HoursOf to sessions with the columns of view sessions_window, apart by
// further columns of the rows: a session of an address counts once for each value. The texts of view sessions_window that
// follow from other columns (client, server, service) are not there.
func JudgedOf(hours string, by ...string) string {
	keys := strings.Join(append([]string{"vrf", "client_ip", "server_ip", "proto", "port", "icmp_type", "icmp_code"}, by...), ", ")
	return fmt.Sprintf(`SELECT %[1]s, first AS first_seen, last AS last_seen,
    c_packets AS client_packets, c_bytes AS client_bytes, s_packets AS server_packets, s_bytes AS server_bytes,
    answered + refused + unheard + asked_for + replied + dropped AS flows,
    multiIf(turned_to, answered + replied + asked_for + unheard + refused,
        answered + replied > 0, answered + replied + asked_for + unheard,
        unknown)::UInt64 AS complete,
    if(turned_to, 0, refused + if(answered + replied > 0, 0, unheard + alone))::UInt64 AS half_open,
    dropped AS denied, known_by AS direction_basis,
    arrayMap(x -> `+addressText("x")+`, arraySort(arrayFilter(x -> x != toIPv6('::'), observers))) AS exporters,
    length(active_hours)::UInt64 AS hours, active_hours,
    c_flags::UInt16 AS client_flags, s_flags::UInt16 AS server_flags, one_in::UInt32 AS sampling, scaled AS scaled_bytes
FROM
(
    SELECT %[1]s, min(h.first_seen) AS first, max(h.last_seen) AS last,
        sum(h.client_packets) AS c_packets, sum(h.client_bytes) AS c_bytes, sum(h.server_packets) AS s_packets, sum(h.server_bytes) AS s_bytes,
        sum(h.complete) AS answered, sum(h.half_open) AS refused, sum(h.unanswered) AS unheard, sum(h.requests) AS asked_for, sum(h.replies) AS replied,
        sum(h.denied) AS dropped, sum(h.requests_alone) AS alone, sum(h.requests_unknown) AS unknown, max(h.asked) AS turned_to, max(h.basis) AS known_by,
        groupUniqArrayArray(h.seen_by) AS observers, groupUniqArray(h.hour) AS active_hours,
        groupBitOr(h.client_flags) AS c_flags, groupBitOr(h.server_flags) AS s_flags, max(h.sampling) AS one_in, sum(h.scaled_bytes) AS scaled
    FROM (%[2]s) AS h
    GROUP BY %[1]s
)`, keys, hours)
}
