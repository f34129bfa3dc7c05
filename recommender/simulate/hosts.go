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

// sendVerdicts makes the table of verdicts, with those that are kept. Verdicts that are told apart have numbers of their own.
func (r *Replay) sendVerdicts(ctx context.Context, keep func(*judged) bool, apart func(verdict) verdict) error {
	t := r.t
	if err := t.conn.Exec(ctx, "DROP TABLE IF EXISTS "+t.table("verdicts")+" SYNC"); err != nil {
		return err
	}
	if err := t.conn.Exec(ctx, "CREATE TABLE "+t.table("verdicts")+` (
		vrf UInt16, client_class UInt32, server_class UInt32, proto UInt8, port UInt16, verdict UInt32
	) ENGINE = MergeTree ORDER BY ()`); err != nil {
		return err
	}
	batch, err := t.conn.PrepareBatch(ctx, "INSERT INTO "+t.table("verdicts")+" (vrf, client_class, server_class, proto, port, verdict)")
	if err != nil {
		return err
	}
	defer batch.Close()
	type place struct {
		vrf            uint16
		client, server uint32
		service        categories.Service
	}
	r.verdicts = nil
	numbers := map[verdict]uint32{}
	sent := make(map[place]struct{}, len(r.parts)) // sessions and attempts are decided alike
	var vrfs, ports []uint16
	var clients, servers, verdicts []uint32
	var protos []uint8
	for i := range r.parts {
		p, j := &r.parts[i], &r.decided[i]
		at := place{p.number, p.client, p.server, p.service}
		if !j.holds || !keep(j) {
			continue
		}
		if _, ok := sent[at]; ok {
			continue
		}
		sent[at] = struct{}{}
		v := apart(r.verdictOf(j))
		n, ok := numbers[v]
		if !ok {
			n = uint32(len(r.verdicts))
			numbers[v], r.verdicts = n, append(r.verdicts, v)
		}
		vrfs, clients, servers = append(vrfs, p.number), append(clients, p.client), append(servers, p.server)
		protos, ports, verdicts = append(protos, p.service.Proto), append(ports, p.service.Port), append(verdicts, n)
	}
	if len(vrfs) == 0 {
		return nil
	}
	for i, column := range []any{vrfs, clients, servers, protos, ports, verdicts} {
		if err := batch.Column(i).Append(column); err != nil {
			return err
		}
	}
	return batch.Send()
}

// whole tells verdicts apart by all that they have.
func whole(v verdict) verdict { return v }

// withoutRuleBefore tells verdicts apart but for the rule of the policy that is compared with.
func withoutRuleBefore(v verdict) verdict {
	v.ruleBefore = -1
	return v
}

// verdictJoin joins sessions as s with verdicts as v.
const verdictJoin = "ON v.vrf = s.vrf AND v.client_class = s.client_class AND v.server_class = s.server_class AND v.proto = s.proto AND v.port = s.port"

// verdictText gives the SQL of a text of each verdict, by the number in a column.
func (r *Replay) verdictText(column string, text func(*verdict) string) string {
	texts := make([]string, len(r.verdicts))
	for i := range r.verdicts {
		texts[i] = text(&r.verdicts[i])
	}
	return textList(texts) + "[" + column + " + 1]"
}

// hosts counts by client and by server what is not permitted, and what has changed.
func (r *Replay) hosts(ctx context.Context) error {
	if err := r.sendVerdicts(ctx, func(j *judged) bool { return j.now.Decision != policy.Permitted || j.changed() }, withoutRuleBefore); err != nil {
		return err
	}
	if len(r.verdicts) == 0 {
		return nil
	}
	if err := r.t.conn.Exec(ctx, "CREATE TABLE "+r.t.table("stopped")+` (
		vrf UInt16, client IPv6, server IPv6, proto UInt8, port UInt16, attempt Bool, flows UInt64, bytes UInt64,
		first_seen DateTime64(6, 'UTC'), last_seen DateTime64(6, 'UTC'), verdict UInt32
	) ENGINE = MergeTree ORDER BY ()`); err != nil {
		return err
	}
	if err := r.t.conn.Exec(ctx, fmt.Sprintf(`INSERT INTO %s
		SELECT s.vrf, s.client, s.server, s.proto, s.port, s.attempt, s.flows, s.bytes, s.first_seen, s.last_seen, v.verdict
		FROM %s AS s INNER JOIN %s AS v `+verdictJoin, r.t.table("stopped"), r.t.table("sessions"), r.t.table("verdicts"))); err != nil {
		return err
	}
	for _, role := range []string{RoleClient, RoleServer} {
		services, err := r.readHostServices(ctx, role)
		if err != nil {
			return err
		}
		if err := r.readHosts(ctx, role, services); err != nil {
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

// hostKey is a host with what becomes of its sessions.
type hostKey struct {
	vrf     uint16
	address netip.Addr
	verdict uint32
}

// readHosts counts by the hosts of a role.
func (r *Replay) readHosts(ctx context.Context, role string, services map[hostKey][]string) error {
	peer := RoleServer
	if role == RoleServer {
		peer = RoleClient
	}
	row := packedWithSums("s.vrf", "s."+role, "s.verdict", "countIf(NOT s.attempt)", "countIf(s.attempt)", "uniqExact(s."+peer+")")
	return r.t.unpack(ctx, fmt.Sprintf("SELECT %[1]s FROM %[2]s AS s GROUP BY s.vrf, s.%[3]s, s.verdict", row, r.t.table("stopped"), role), func(u *unpacker) {
		h := Host{Role: role}
		k := hostKey{u.uint16(), u.addr(), u.uint32()}
		h.Sessions, h.Attempts, h.Peers = u.uint64(), u.uint64(), u.uint64()
		var t tallied
		u.sums(&t)
		if u.err != nil {
			return
		}
		v := &r.verdicts[k.verdict]
		h.VRF, h.Address, h.Decision, h.Before, h.Services = r.t.list[k.vrf-1], addressText(k.address), v.decision, v.before, services[k]
		h.Rule, _ = r.names(v)
		h.Count.add(&t) // sessions are counted already
		r.Result.Hosts = append(r.Result.Hosts, h)
	})
}

// readHostServices gives the services with most sessions and attempts of the hosts of a role.
func (r *Replay) readHostServices(ctx context.Context, role string) (map[hostKey][]string, error) {
	// A service and its count are one number: more sessions come first, then the lower protocol and port. The length of a list stands before
	// it, since places behind its end are zeros.
	most := make([]string, maxServices)
	for i := range most {
		most[i] = fmt.Sprintf("most[%d]", i+1)
	}
	out := map[hostKey][]string{}
	names := map[uint32]string{}
	err := r.t.unpack(ctx, fmt.Sprintf(`SELECT %[4]s FROM
		(
			SELECT vrf, host, verdict, groupArraySorted(%[2]d)(bitShiftLeft(bitAnd(bitNot(n), 0xFFFFFFFFFF), 24) + service) AS most FROM
			(
				SELECT s.vrf AS vrf, s.%[1]s AS host, s.verdict AS verdict, s.proto::UInt64 * 65536 + s.port AS service, count() AS n
				FROM %[3]s AS s GROUP BY s.vrf, s.%[1]s, s.verdict, s.proto, s.port
			)
			GROUP BY vrf, host, verdict
		)`, role, maxServices, r.t.table("stopped"), packed(append([]string{"vrf", "host", "verdict", "length(most)::UInt8"}, most...)...)), func(u *unpacker) {
		k := hostKey{u.uint16(), u.addr(), u.uint32()}
		n := int(u.bytes(1)[0])
		for i := range maxServices {
			s := uint32(u.uint64()) & 0xFFFFFF
			if i >= n {
				continue
			}
			name, ok := names[s]
			if !ok {
				name = categories.Service{Proto: uint8(s >> 16), Port: uint16(s)}.String()
				names[s] = name
			}
			out[k] = append(out[k], name)
		}
	})
	return out, err
}

// Sessions is the SQL, for a FROM clause, of every session that was judged: the columns of view sessions_window with the decision and the
// rule of the policy as `decision` and `rule`, those of the policy that is compared with as `before` and `rule_before`
// (empty for none), and its place for an order by decision as `ordinal`. Decisions may be selected, none for all; changed selects the
// sessions that are decided otherwise than before.
func (r *Replay) Sessions(ctx context.Context, decisions []policy.Decision, changed bool) (string, error) {
	keep := func(j *judged) bool {
		return (len(decisions) == 0 || slices.Contains(decisions, j.now.Decision)) && (!changed || j.changed())
	}
	if err := r.sendVerdicts(ctx, keep, whole); err != nil {
		return "", fmt.Errorf("ClickHouse: send decisions: %w", err)
	}
	if len(r.verdicts) == 0 {
		r.verdicts = []verdict{{}} // no session has it, and ClickHouse takes no empty list
	}
	text := func(of func(*verdict) string) string { return r.verdictText("v.verdict", of) }
	// The classes of a session tell its owners apart, where an address changed its owner.
	classes, same := "", ""
	if r.t.touched != nil {
		touched := r.t.touched.Condition("s.client", "s.server")
		classes = fmt.Sprintf("if(%[1]s, s.client_class, 0) AS client_class, if(%[1]s, s.server_class, 0) AS server_class,", touched)
		same = "AND m.client_class = s.client_class AND m.server_class = s.server_class"
	}
	return fmt.Sprintf(`(
    SELECT m.decision AS decision, m.rule AS rule, m.before AS before, m.rule_before AS rule_before,
        indexOf(['deny', 'answers-denied', 'uncertain', 'permit'], m.decision) AS ordinal, s.* %[11]s
    FROM (%[1]s) AS s
    INNER JOIN
    (
        SELECT %[4]s[s.vrf] AS vrf, s.client AS client, s.server AS server, s.proto AS proto, s.port AS port, %[9]s
            %[5]s AS decision, %[6]s AS rule, %[7]s AS before, %[8]s AS rule_before
        FROM %[2]s AS s INNER JOIN %[3]s AS v `+verdictJoin+`
    ) AS m ON m.vrf = s.vrf AND m.client = s.client_ip AND m.server = s.server_ip AND m.proto = s.proto AND m.port = s.service_port %[10]s
)`, r.t.listed(), r.t.table("sessions"), r.t.table("verdicts"), textList(r.t.list),
		text(func(v *verdict) string { return string(v.decision) }), text(func(v *verdict) string { rule, _ := r.names(v); return rule }),
		text(func(v *verdict) string { return string(v.before) }), text(func(v *verdict) string { _, before := r.names(v); return before }),
		classes, same, map[bool]string{true: "EXCEPT (client_class, server_class)"}[r.t.touched != nil]), nil
}

// listed is a query for the sessions of the window with the columns that listings show, and service_port. Where addresses change their owner
// it has client_class and server_class too, 0 in the sessions of others.
func (t *tables) listed() string {
	of := func(from, classes, by string, further ...string) string {
		where, having := t.conditions(further...)
		return fmt.Sprintf(`SELECT w.vrf AS vrf, any(w.client) AS client, any(w.server) AS server, any(w.service) AS service,
            w.client_ip AS client_ip, w.server_ip AS server_ip, w.proto AS proto, any(w.port) AS port, any(w.icmp_type) AS icmp_type, 0 AS icmp_code,
            %[1]s AS service_port,
            sum(w.flows) AS flows, sum(w.client_packets) AS client_packets, sum(w.client_bytes) AS client_bytes,
            sum(w.server_packets) AS server_packets, sum(w.server_bytes) AS server_bytes,
            sum(w.complete) AS complete, sum(w.half_open) AS half_open, sum(w.denied) AS denied,
            min(w.first_seen) AS first_seen, max(w.last_seen) AS last_seen, max(w.direction_basis) AS direction_basis,
            arraySort(groupUniqArrayArray(w.exporters)) AS exporters%[5]s
        FROM %[2]s AS w %[3]s
        GROUP BY vrf, client_ip, server_ip, proto, service_port%[6]s %[4]s`, servicePort, from, where, having, classes, by)
	}
	whole := of(t.window(), "", "")
	if t.touched == nil {
		return whole
	}
	const key = "vrf, client_ip, server_ip, proto, port, icmp_type, icmp_code"
	named := fmt.Sprintf("(SELECT d.* EXCEPT (direction_basis), n.client AS client, n.server AS server, n.service AS service, n.direction_basis AS direction_basis FROM (%s) AS d INNER JOIN (SELECT %s, client, server, service, direction_basis FROM %s WHERE %s) AS n USING (%s))",
		t.divided(), key, t.window(), t.touched.Condition("client_ip", "server_ip"), key)
	return of(t.window(), ", 0::UInt32 AS client_class, 0::UInt32 AS server_class", "", t.untouched()...) +
		" UNION ALL " + of(named, ", w.client_class AS client_class, w.server_class AS server_class", ", client_class, server_class")
}
