package simulate

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"cordon/categories"
	"cordon/recommender/policy"
)

// sendVerdicts makes the table of verdicts, with those that are kept.
func (r *Replay) sendVerdicts(ctx context.Context, keep func(*judged) bool) error {
	t := r.t
	if err := t.conn.Exec(ctx, "DROP TABLE IF EXISTS "+t.table("verdicts")+" SYNC"); err != nil {
		return err
	}
	if err := t.conn.Exec(ctx, "CREATE TABLE "+t.table("verdicts")+` (
		vrf LowCardinality(String), client_class UInt32, server_class UInt32, proto UInt8, port UInt16,
		decision LowCardinality(String), rule LowCardinality(String), before LowCardinality(String), rule_before LowCardinality(String)
	) ENGINE = MergeTree ORDER BY ()`); err != nil {
		return err
	}
	batch, err := t.conn.PrepareBatch(ctx, "INSERT INTO "+t.table("verdicts")+" (vrf, client_class, server_class, proto, port, decision, rule, before, rule_before)")
	if err != nil {
		return err
	}
	defer batch.Close()
	type place struct {
		vrf            string
		client, server uint32
		service        categories.Service
	}
	sent := map[place]bool{} // sessions and attempts are decided alike
	for i := range r.parts {
		p, j := &r.parts[i], &r.decided[i]
		at := place{p.vrf, p.client, p.server, p.service}
		if !j.holds || !keep(j) || sent[at] {
			continue
		}
		sent[at] = true
		before := ""
		if j.compared {
			before = r.against.rules.names[j.before.rule].name
		}
		if err := batch.Append(p.vrf, p.client, p.server, p.service.Proto, p.service.Port, string(j.now.Decision),
			r.candidate.rules.names[j.now.rule].name, string(j.beforeDecision()), before); err != nil {
			return err
		}
	}
	if batch.Rows() == 0 {
		return nil
	}
	return batch.Send()
}

// verdictJoin joins sessions as s with verdicts as v.
const verdictJoin = "ON v.vrf = s.vrf AND v.client_class = s.client_class AND v.server_class = s.server_class AND v.proto = s.proto AND v.port = s.port"

// hosts counts by client and by server what is not permitted, and what has changed.
func (r *Replay) hosts(ctx context.Context) error {
	if err := r.sendVerdicts(ctx, func(j *judged) bool { return j.now.Decision != policy.Permitted || j.changed() }); err != nil {
		return err
	}
	for _, role := range []string{RoleClient, RoleServer} {
		if err := r.readHosts(ctx, role); err != nil {
			return err
		}
	}
	slices.SortFunc(r.Result.Hosts, func(a, b Host) int {
		if c := heavier(a.weight(), b.weight()); c != 0 {
			return c
		}
		return strings.Compare(a.key(), b.key())
	})
	return nil
}

// weight orders hosts: sessions that are denied come first, then attempts, then what has changed otherwise.
func (h *Host) weight() [4]uint64 {
	if h.Decision == policy.Permitted {
		return [4]uint64{0, 0, 0, h.Sessions + h.Attempts}
	}
	return [4]uint64{h.Sessions, h.Attempts, 0, 0}
}

func (h *Host) key() string {
	return strings.Join([]string{h.VRF, h.Address, h.Role, string(h.Decision), h.Rule, string(h.Before)}, "\x00")
}

// readHosts counts by the hosts of a role.
func (r *Replay) readHosts(ctx context.Context, role string) error {
	peer := RoleServer
	if role == RoleServer {
		peer = RoleClient
	}
	rows, err := r.t.conn.Query(ctx, fmt.Sprintf(`SELECT vrf, host, decision, rule, before, sessions, attempts, peers, flows, bytes, first, last,
			services.2, services.3, bitNot(top.1), top.2, top.3, top.4, top.5 FROM
		(
			SELECT vrf, host, decision, rule, before, sum(n) AS sessions, sum(a) AS attempts, uniqExactMerge(p) AS peers,
				sum(f) AS flows, sum(b) AS bytes, min(since) AS first, max(until) AS last,
				groupArraySorted(%[5]d)((-(n + a)::Int64, proto, port)) AS services, min(example) AS top
			FROM
			(
				SELECT s.vrf AS vrf, s.%[1]s AS host, v.decision AS decision, v.rule AS rule, v.before AS before, s.proto AS proto, s.port AS port,
					countIf(NOT s.attempt) AS n, countIf(s.attempt) AS a, uniqExactState(s.%[2]s) AS p,
					sum(s.flows) AS f, sum(s.bytes) AS b, min(s.first_seen) AS since, max(s.last_seen) AS until,
					min((bitNot(s.flows), s.client, s.server, s.proto, s.port)) AS example
				FROM %[3]s AS s INNER JOIN %[4]s AS v `+verdictJoin+`
				GROUP BY vrf, host, decision, rule, before, proto, port
			)
			GROUP BY vrf, host, decision, rule, before
		)`, role, peer, r.t.table("sessions"), r.t.table("verdicts"), maxServices))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		h := Host{Role: role}
		var address netip.Addr
		var decision, before string
		var t tallied
		var protos []uint8
		var ports []uint16
		var service categories.Service
		if err := rows.Scan(&h.VRF, &address, &decision, &h.Rule, &before, &h.Sessions, &h.Attempts, &h.Peers, &t.flows, &t.bytes, &t.first, &t.last,
			&protos, &ports, &t.example.flows, &t.example.client, &t.example.server, &service.Proto, &service.Port); err != nil {
			return err
		}
		h.Address, h.Decision, h.Before = addressText(address), policy.Decision(decision), policy.Decision(before)
		for i := range protos {
			h.Services = append(h.Services, categories.Service{Proto: protos[i], Port: ports[i]}.String())
		}
		t.example.client, t.example.server, t.example.service = t.example.client.Unmap(), t.example.server.Unmap(), service.String()
		h.Count.add(&t) // of no sessions: those are counted
		r.Result.Hosts = append(r.Result.Hosts, h)
	}
	return rows.Err()
}

// Sessions is the SQL, for a FROM clause, of every session that was judged: the columns of view sessions_window with the decision and the
// rule of the policy as `decision` and `rule`, those of the policy that is compared with as `before` and `rule_before`
// (empty for none), and its place for an order by decision as `ordinal`. Decisions may be selected, none for all; changed selects the
// sessions that are decided otherwise than before.
func (r *Replay) Sessions(ctx context.Context, decisions []policy.Decision, changed bool) (string, error) {
	keep := func(j *judged) bool {
		return (len(decisions) == 0 || slices.Contains(decisions, j.now.Decision)) && (!changed || j.changed())
	}
	if err := r.sendVerdicts(ctx, keep); err != nil {
		return "", fmt.Errorf("ClickHouse: send decisions: %w", err)
	}
	where, having := r.t.conditions()
	return fmt.Sprintf(`(
    SELECT m.decision AS decision, m.rule AS rule, m.before AS before, m.rule_before AS rule_before,
        indexOf(['deny', 'answers-denied', 'uncertain', 'permit'], m.decision) AS ordinal, s.*
    FROM
    (
        SELECT w.vrf AS vrf, any(w.client) AS client, any(w.server) AS server, any(w.service) AS service,
            w.client_ip AS client_ip, w.server_ip AS server_ip, w.proto AS proto, any(w.port) AS port, any(w.icmp_type) AS icmp_type, 0 AS icmp_code,
            %[1]s AS service_port,
            sum(w.flows) AS flows, sum(w.client_packets) AS client_packets, sum(w.client_bytes) AS client_bytes,
            sum(w.server_packets) AS server_packets, sum(w.server_bytes) AS server_bytes,
            sum(w.complete) AS complete, sum(w.half_open) AS half_open, sum(w.denied) AS denied,
            min(w.first_seen) AS first_seen, max(w.last_seen) AS last_seen, max(w.direction_basis) AS direction_basis,
            arraySort(groupUniqArrayArray(w.exporters)) AS exporters
        FROM %[2]s AS w %[3]s
        GROUP BY vrf, client_ip, server_ip, proto, service_port %[4]s
    ) AS s
    INNER JOIN
    (
        SELECT s.vrf AS vrf, s.client AS client, s.server AS server, s.proto AS proto, s.port AS port,
            v.decision::String AS decision, v.rule::String AS rule, v.before::String AS before, v.rule_before::String AS rule_before
        FROM %[5]s AS s INNER JOIN %[6]s AS v `+verdictJoin+`
    ) AS m ON m.vrf = s.vrf AND m.client = s.client_ip AND m.server = s.server_ip AND m.proto = s.proto AND m.port = s.service_port
)`, servicePort, r.t.window(), where, having, r.t.table("sessions"), r.t.table("verdicts")), nil
}
