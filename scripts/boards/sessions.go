package main

// window are the sessions of the board's time range and VRF.
const window = `cordon.sessions_window(since = toString(toTimeZone($__fromTime, 'UTC')), until = toString(toTimeZone($__toTime, 'UTC'))) AS s
WHERE s.vrf = ${vrf:sqlstring}`

// firstSeen are the sessions of the VRF whose direction the records tell, each with the time from which it is stored.
const firstSeen = `SELECT client, server, proto, port, icmp_type, icmp_code, min(first_seen) AS first
    FROM cordon.sessions_hourly
    WHERE vrf = ${vrf:sqlstring} AND decided
    GROUP BY client, server, proto, port, icmp_type, icmp_code`

// sessions shows who talks to whom.
func sessions() *board {
	b := newBoard("cordon-sessions", "Cordon: sessions", "Who talks to whom, what is new, and what is refused. A long time range takes long: it is computed when it is asked.", "now-24h").
		sources(map[string]string{"clickhouse": clickhousePlugin}, "clickhouse").vrfs()
	b.row("Overview")
	b.numbers("Sessions", "In the time range. Half-open and denied ones are those that were never answered.", "short", 24, nil, rows(`SELECT count() AS sessions, uniqExact(s.client) AS clients, uniqExact(s.server) AS servers, uniqExact(s.service) AS services,
    countIf(s.complete = 0 AND s.half_open > 0) AS half_open, countIf(s.complete = 0 AND s.denied > 0) AS denied
FROM `+window))
	b.bars("Traffic by hour", "Bytes of both directions by exporter, as each exporter counts: what several see counts for each.", "bytes", 12, series(`SELECT hour AS time, replaceRegexpOne(toString(exporter), '^::ffff:', '') AS seen_by, sum(client_bytes + server_bytes) AS volume
FROM cordon.sessions_hourly
WHERE $__timeFilter(hour) AND vrf = ${vrf:sqlstring}
GROUP BY time, seen_by
ORDER BY time, seen_by`))
	b.bars("New sessions by hour", "Sessions that were never stored before. Of those whose direction the records do not tell none is counted.", "short", 12, series(`SELECT toStartOfHour(first) AS time, count() AS new_sessions
FROM (
    `+firstSeen+`
)
WHERE $__timeFilter(first)
GROUP BY time
ORDER BY time`))

	b.row("Who talks to whom")
	volume := map[string]string{"bytes": "bytes"}
	b.table("Services", "A service with one client and one server is worth a second look.", 12, volume, rows(`SELECT s.service AS service, count() AS sessions, uniqExact(s.client) AS clients, uniqExact(s.server) AS servers, sum(s.client_bytes + s.server_bytes) AS bytes
FROM `+window+` AND s.complete > 0
GROUP BY service
ORDER BY sessions DESC, service
LIMIT 100`))
	b.table("Busiest pairs", "By bytes of both directions.", 12, volume, rows(`SELECT s.client AS client, s.server AS server, groupUniqArray(10)(s.service) AS services, sum(s.flows) AS flows, sum(s.client_bytes + s.server_bytes) AS bytes
FROM `+window+` AND s.complete > 0
GROUP BY client, server
ORDER BY bytes DESC, client, server
LIMIT 100`))
	b.table("Newest sessions", "Never stored before the time range, the last first.", 24, nil, rows(`SELECT n.first AS first, s.client AS client, s.server AS server, s.service AS service, s.flows AS flows, s.complete AS complete, s.half_open AS half_open, s.denied AS denied
FROM cordon.sessions_window(since = toString(toTimeZone($__fromTime, 'UTC')), until = toString(toTimeZone($__toTime, 'UTC'))) AS s
INNER JOIN (
    `+firstSeen+`
    HAVING $__timeFilter(first)
) AS n ON n.client = s.client_ip AND n.server = s.server_ip AND n.proto = s.proto AND n.port = s.port AND n.icmp_type = s.icmp_type AND n.icmp_code = s.icmp_code
WHERE s.vrf = ${vrf:sqlstring}
ORDER BY first DESC, client, server, service
LIMIT 200`))

	b.row("Refused and tried")
	b.table("Hosts that try much", "Clients by the number of (server, service) pairs. Many of them unanswered: a scanner, a monitor, or broken.", 12, map[string]string{"share": "percentunit"}, rows(`SELECT s.client AS client, count() AS tried, uniqExact(s.server) AS servers, uniqExact(s.service) AS services, countIf(s.complete = 0) / tried AS share
FROM `+window+`
GROUP BY client
ORDER BY servers * share DESC, tried DESC, client
LIMIT 50`))
	b.table("Never answered", "Half-open or denied, and never complete in the time range.", 12, nil, rows(`SELECT s.client AS client, s.server AS server, s.service AS service, s.half_open AS half_open, s.denied AS denied, s.first_seen AS first, s.last_seen AS last
FROM `+window+` AND s.complete = 0
ORDER BY half_open + denied DESC, client, server, service
LIMIT 200`))
	return b
}
