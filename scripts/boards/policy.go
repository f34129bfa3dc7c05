package main

// latest names the last proposal of the VRF, and how addresses took their groups and prefixes in it. Bigger groups that it
// writes for several, group:internet, exclusions and policies in force are left to the command.
const latest = `WITH
    (SELECT (id, categories) FROM cordon.proposals WHERE vrf = ${vrf:sqlstring} ORDER BY created DESC LIMIT 1) AS latest,
    (
        SELECT arrayMap(g -> (g.3, g.4), arraySort(groupArray((indexOf(latest.2, category), -toInt16(splitByChar('/', prefix)[2]), ` + "`group`" + `, prefix))))
        FROM cordon.groups WHERE has(latest.2, category)
    ) AS ranked,
    (
        SELECT groupUniqArray(substring(literal, 4))
        FROM (SELECT arrayJoin(arrayConcat(sources, destinations)) AS literal FROM cordon.proposal_rules WHERE proposal = latest.1)
        WHERE startsWith(literal, 'ip:')
    ) AS alone,
    address -> arrayFirst(g -> isIPAddressInRange(address, g.2), ranked).1 AS grouped,
    address -> arrayFirst(p -> isIPAddressInRange(address, p), alone) AS prefixed,
    address -> multiIf(grouped(address) != '', 'group:' || grouped(address), prefixed(address) != '', 'ip:' || prefixed(address), 'ip:' || address) AS place,
    term -> if(match(term, '/[0-9]+-[0-9]+$'),
        arrayMap(port -> extract(term, '^[^/]+/') || toString(port), range(toUInt32(extract(term, '/([0-9]+)-')), toUInt32(extract(term, '-([0-9]+)$')) + 1)),
        [term]) AS services_of,
    permitted AS
    (
        SELECT DISTINCT ordinal, name, source, destination, one
        FROM cordon.proposal_rules
        ARRAY JOIN sources AS source
        ARRAY JOIN destinations AS destination
        ARRAY JOIN arrayFlatten(arrayMap(term -> services_of(term), services)) AS one
        WHERE proposal = latest.1
    ),
    seen AS
    (
        SELECT s.client AS client, s.server AS server, s.service AS service, place(s.client) AS source, place(s.server) AS destination,
            s.flows AS flows, s.complete AS complete, s.half_open AS half_open, s.denied AS denied, s.first_seen AS first, s.last_seen AS last
        FROM ` + window + `
    )
`

// policy shows proposals, and what goes on beside the latest of them.
func policy() *board {
	b := newBoard("cordon-policy", "Cordon: policy", "Proposals, what their rules rest on, and what no rule of the latest permits.", "now-24h").
		sources(map[string]string{"clickhouse": clickhousePlugin}, "clickhouse").vrfs()
	b.row("Proposals")
	b.numbers("Latest proposal", "Of the VRF, whatever the time range.", "short", 14, nil, rows(`SELECT rules, lower_bound, cells, sessions, included
FROM cordon.proposals
WHERE vrf = ${vrf:sqlstring}
ORDER BY created DESC
LIMIT 1`))
	b.numbers("Sessions without a rule", "Complete sessions in the time range that the latest proposal does not permit, and rules of it without a session.", "short", 10, nil, rows(latest+`SELECT countIf(complete > 0 AND (source, destination, service) NOT IN (SELECT source, destination, one FROM permitted)) AS sessions,
    (SELECT uniqExact(ordinal) FROM permitted WHERE ordinal NOT IN (SELECT p.ordinal FROM permitted AS p INNER JOIN seen AS s ON s.source = p.source AND s.destination = p.destination AND s.service = p.one)) AS rules
FROM seen`))
	b.table("Proposals of the time range", "The last first, with its state. `optimal`: nobody can do with fewer rules.", 24, map[string]string{"share": "percentunit"}, rows(`SELECT p.created AS created, substring(p.id, 8, 12) AS proposal, s.state AS state, p.rules AS rules, p.lower_bound AS lower_bound, p.optimal AS optimal,
    p.cells AS cells, p.sessions AS sessions, p.included / greatest(p.sessions, 1) AS share, p.window_from AS since, p.window_to AS until
FROM cordon.proposals AS p
LEFT JOIN (SELECT proposal, argMax(state, changed) AS state FROM cordon.proposal_states GROUP BY proposal) AS s ON s.proposal = p.id
WHERE p.vrf = ${vrf:sqlstring} AND $__timeFilter(p.created)
ORDER BY created DESC
LIMIT 100`))
	b.table("Rules of the latest proposal", "The thinnest first: these are the ones to ask about.", 24, map[string]string{"bytes": "bytes"}, rows(`SELECT name, sources, destinations, services, sessions, clients, servers, bytes, permitted_pairs, observed_pairs, last_seen AS last
FROM cordon.proposal_rules
WHERE proposal = (SELECT id FROM cordon.proposals WHERE vrf = ${vrf:sqlstring} ORDER BY created DESC LIMIT 1)
ORDER BY sessions, name`))

	b.row("Beside the latest proposal")
	b.bars("Cells that no rule permits, by hour", "By the first complete session of each (source, destination, service) in the time range. New ones after quiet days are drift.", "short", 24, series(latest+`SELECT toStartOfHour(first) AS time, count() AS cells
FROM (
    SELECT source, destination, service, min(first) AS first
    FROM seen
    WHERE complete > 0 AND (source, destination, service) NOT IN (SELECT source, destination, one FROM permitted)
    GROUP BY source, destination, service
)
GROUP BY time
ORDER BY time`))
	b.table("Sessions that no rule permits", "Complete ones. Before enforcement each would break; the proposal says why it left one out.", 14, nil, rows(latest+`SELECT first, client, server, service, source, destination, flows
FROM seen
WHERE complete > 0 AND (source, destination, service) NOT IN (SELECT source, destination, one FROM permitted)
ORDER BY first DESC, client, server, service
LIMIT 200`))
	b.table("Rules and their traffic", "Sessions of the time range under each rule, the least first. A rule that stays without is a candidate to go.", 10, nil, rows(latest+`SELECT p.name AS name, countIf(s.flows > 0) AS sessions, uniqExactIf(s.client, s.flows > 0) AS clients, nullIf(maxIf(s.last, s.flows > 0), toDateTime64(0, 6)) AS last
FROM permitted AS p
LEFT JOIN seen AS s ON s.source = p.source AND s.destination = p.destination AND s.service = p.one
GROUP BY p.ordinal, name
ORDER BY sessions, name`))
	return b
}
