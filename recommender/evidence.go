package recommender

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"cordon/categories"
	"cordon/recommender/cells"
	"cordon/recommender/decide"
	"cordon/recommender/policy"
)

// verdict is what Go decided about the sessions of a part, handed back for
// counting: either that a rule holds them, or that they have another reason than
// ClickHouse found.
type verdict struct {
	part int
	rule uint32 // number of the rule over all VRFs, or noRule
}

func (r *run) createVerdicts(ctx context.Context) error {
	return r.conn.Exec(ctx, "CREATE TABLE "+r.table("verdicts")+` (
		cell UInt64, rule UInt32, reason UInt8, note Int32
	) ENGINE = MergeTree ORDER BY ()`)
}

func (r *run) sendVerdicts(ctx context.Context, parts []cells.Part, verdicts []verdict) (uint64, error) {
	if len(verdicts) == 0 {
		return 0, nil
	}
	batch, err := r.conn.PrepareBatch(ctx, "INSERT INTO "+r.table("verdicts")+" (cell, rule, reason, note)")
	if err != nil {
		return 0, err
	}
	defer batch.Close()
	for _, v := range verdicts {
		p := &parts[v.part]
		if err := batch.Append(p.Hash, v.rule, p.Reason, p.Note); err != nil {
			return 0, err
		}
	}
	return uint64(len(verdicts)), batch.Send()
}

// noRule stands in the verdicts for a reason instead of a rule.
const noRule = ^uint32(0)

// ruleEvidence is the evidence of one rule and the pairs seen under it.
type ruleEvidence struct {
	policy.Evidence
	pairs uint64
}

// readEvidence counts, for each rule, its sessions. Pairs are those of sessions
// permitted before as well: they were seen, so they are no excess.
func (r *run) readEvidence(ctx context.Context, n int) ([]ruleEvidence, error) {
	out := make([]ruleEvidence, n)
	if n == 0 {
		return out, nil
	}
	rows, err := r.conn.Query(ctx, `SELECT v.rule, countIf(v.reason = 0), sumIf(s.flows, v.reason = 0), sumIf(s.bytes, v.reason = 0),
		uniqExactIf(s.client, v.reason = 0), uniqExactIf(s.server, v.reason = 0),
		minIf(s.first_seen, v.reason = 0), maxIf(s.last_seen, v.reason = 0), uniqExactIf((s.client, s.server), `+isPair("s.client", "s.server")+`),
		maxIf(s.sampling, v.reason = 0 AND s.sampling != `+unknownSampling+`), maxIf(s.sampling = `+unknownSampling+`, v.reason = 0), arraySort(groupUniqArrayArrayIf(s.lossy, v.reason = 0))
		FROM `+r.table("sessions")+` AS s INNER JOIN `+r.table("verdicts")+` AS v ON v.cell = s.cell
		WHERE v.rule != ?
		GROUP BY v.rule`, noRule)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var rule uint32
		var e ruleEvidence
		var first, last time.Time
		var unknown uint8
		if err := rows.Scan(&rule, &e.Sessions, &e.Flows, &e.Bytes, &e.Clients, &e.Servers, &first, &last, &e.pairs, &e.Sampling, &unknown, &e.LossyExporters); err != nil {
			return nil, err
		}
		if e.Sampling == 1 {
			e.Sampling = 0
		}
		e.SamplingUnknown = unknown != 0
		e.FirstSeen, e.LastSeen = policy.NewTime(first), policy.NewTime(last)
		out[rule] = e
	}
	return out, rows.Err()
}

// groupOf is a group of a VRF.
type groupOf struct {
	vrf   string
	group uint32
}

// hosts counts known endpoints, those of IPv4 and those of IPv6: no session has both.
type hosts struct{ ipv4, ipv6 uint64 }

func (h *hosts) add(o hosts) { h.ipv4, h.ipv6 = h.ipv4+o.ipv4, h.ipv6+o.ipv6 }

// hostsOf gives n hosts of the family of an address.
func hostsOf(a netip.Addr, n uint64) hosts {
	if a.Is4() {
		return hosts{ipv4: n}
	}
	return hosts{ipv6: n}
}

// ofIPv4 is the SQL that tells whether a column with IPv6 addresses has one that stands for an IPv4 address.
func ofIPv4(column string) string { return isIPv4("toUInt128(" + column + ")") }

// isPair is the SQL that tells whether two columns with IPv6 addresses have a pair of policy.Excess: no host with
// itself, and no IPv4 host with an IPv6 host, which sessions translated between the families have.
func isPair(client, server string) string {
	return client + " != " + server + " AND " + ofIPv4(client) + " = " + ofIPv4(server)
}

// readKnown counts the known endpoints of each group: addresses seen at
// either end of any session in the window, and those that the group names.
func (r *run) readKnown(ctx context.Context) (map[groupOf]hosts, error) {
	sessions := r.table("sessions")
	rows, err := r.conn.Query(ctx, `SELECT vrf, group_number, uniqExactIf(address, ipv4), uniqExactIf(address, NOT ipv4) FROM
		(
			SELECT vrf, group_number, address, `+ofIPv4("address")+` AS ipv4 FROM
			(
			SELECT DISTINCT vrf, client_group AS group_number, client AS address FROM `+sessions+` WHERE client_group != 0
			UNION ALL
			SELECT DISTINCT vrf, server_group AS group_number, server AS address FROM `+sessions+` WHERE server_group != 0
			UNION ALL
			SELECT v.vrf, p.group_number, p.address FROM `+r.table("named")+` AS p CROSS JOIN (SELECT DISTINCT vrf FROM `+sessions+`) AS v
			)
		)
		GROUP BY vrf, group_number`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[groupOf]hosts{}
	for rows.Next() {
		var g groupOf
		var n hosts
		if err := rows.Scan(&g.vrf, &g.group, &n.ipv4, &n.ipv6); err != nil {
			return nil, err
		}
		out[g] = n
	}
	return out, rows.Err()
}

// readSeenGroups gives, for each VRF, the places of the groups that an end of any session resolves to.
func (r *run) readSeenGroups(ctx context.Context) (map[string][]int, error) {
	sessions := r.table("sessions")
	rows, err := r.conn.Query(ctx, `SELECT DISTINCT vrf, g FROM
		(SELECT vrf, client_group AS g FROM `+sessions+` UNION ALL SELECT vrf, server_group AS g FROM `+sessions+`)
		WHERE g != ? AND g != ? ORDER BY vrf, g`, cells.NoGroup, cells.InternetGroup)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[string][]int{}
	for rows.Next() {
		var vrf string
		var g uint32
		if err := rows.Scan(&vrf, &g); err != nil {
			return nil, err
		}
		out[vrf] = append(out[vrf], int(g)-1)
	}
	return out, rows.Err()
}

// maxExamples is how many sessions are shown for each reason.
const maxExamples = 5

// fates gives where the sessions of the run are with what Go decided about them, as s for a FROM clause, and the
// expressions for the number of the reason, 0 for none, and for the place of what it rests on, -1 for none. Changed says
// that verdicts without a rule were sent.
func (r *run) fates(changed bool) (from, reason, note string) {
	from, reason, note = r.table("sessions")+" AS s", "s.reason", "-1::Int32"
	if changed {
		from += " LEFT JOIN (SELECT cell, reason, note FROM " + r.table("verdicts") + fmt.Sprintf(" WHERE rule = %d) AS v ON v.cell = s.cell", noRule)
		reason, note = "if(v.reason != 0, v.reason, s.reason)", "if(v.reason != 0, v.note, -1)::Int32"
	}
	return from, reason, note
}

// readUnproposed counts what is left out of each VRF, with the sessions that
// have most flows as examples; then those come first whose addresses do.
func (r *run) readUnproposed(ctx context.Context, changed bool) (map[string][]policy.Unproposed, error) {
	from, reason, note := r.fates(changed)
	rows, err := r.conn.Query(ctx, fmt.Sprintf(`SELECT vrf, why, share, sessions, top.2, top.3, top.4, top.5, top.6 FROM
		(
			SELECT s.vrf AS vrf, %[1]s AS why, why = %[5]d AND %[2]s = %[6]d AS share, count() AS sessions,
				groupArraySorted(%[4]d)((bitNot(s.flows), s.client, s.server, s.proto, s.port, %[2]s)) AS top
			FROM %[3]s
			WHERE why != 0
			GROUP BY vrf, why, share
		)
		ORDER BY vrf, why, share`, reason, note, from, maxExamples, decide.BelowSupportNumber, decide.ShareNote))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[string][]policy.Unproposed{}
	for rows.Next() {
		var vrf string
		var why, share uint8
		var u policy.Unproposed
		var clients, servers []net.IP
		var protos []uint8
		var ports []uint16
		var notes []int32
		if err := rows.Scan(&vrf, &why, &share, &u.Sessions, &clients, &servers, &protos, &ports, &notes); err != nil {
			return nil, err
		}
		u.Reason = reasonOf(why)
		if share == 1 {
			u.Detail = policy.DetailCoverage
		}
		for i := range clients {
			u.Examples = append(u.Examples, policy.Example{
				Source: addressText(clients[i]), Destination: addressText(servers[i]),
				Service: categories.Service{Proto: protos[i], Port: ports[i]}.String(),
				Note:    r.note(why, notes[i], clientOf{vrf, address(clients[i])}),
			})
		}
		out[vrf] = append(out[vrf], u)
	}
	return out, rows.Err()
}

func address(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

func addressText(ip net.IP) string { return address(ip).String() }

// readBreadth gives the breadth of each cell without the
// sessions that verdicts were sent about.
func (r *run) readBreadth(ctx context.Context) (map[cells.Key]cells.Breadth, error) {
	rows, err := r.conn.Query(ctx, `SELECT vrf, source_group, source_address, destination_group, destination_address, cell_proto, cell_port, `+r.plan.breadthColumns()+`
		FROM `+r.table("sessions")+`
		WHERE reason = 0 AND cell NOT IN (SELECT cell FROM `+r.table("verdicts")+`)
		GROUP BY vrf, source_group, source_address, destination_group, destination_address, cell_proto, cell_port`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[cells.Key]cells.Breadth{}
	for rows.Next() {
		var k cells.Key
		var src, dst netip.Addr
		var s categories.Service
		var b cells.Breadth
		if err := rows.Scan(&k.VRF, &k.Src.Group, &src, &k.Dst.Group, &dst, &s.Proto, &s.Port, &b.Clients, &b.Hours, &b.Recurring); err != nil {
			return nil, err
		}
		k.Src, k.Dst = cells.NewEndpoint(k.Src.Group, src), cells.NewEndpoint(k.Dst.Group, dst)
		k.Service = s.Term()
		out[k] = b
	}
	return out, rows.Err()
}
