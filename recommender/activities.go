package recommender

import (
	"context"
	"fmt"
	"net/netip"

	"cordon/categories"
	"cordon/categories/infer"
	"cordon/recommender/cells"
	"cordon/recommender/decide"
	"cordon/recommender/policy"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Activities counts what each host does in the window, for package infer: which services it uses and serves, and for how many
// distinct hours with each peer. It reads sessions as Generate does, and leaves the same ones out: local, half-open, denied,
// ambiguous and excluded ones, and those of scanners where Settings.ScannerTargets asks for it.
//
// A host is an address that is not public, or that a group of the selected categories of the file has. All other addresses
// are one peer. With Settings.PortRanges, the weak ports of a server that has so many become one service, all ports from
// firstDynamicPort on; see ranges. The activities come in no order. A nil file has no groups. A mistake in the settings is
// a *policy.SettingsError.
func Activities(ctx context.Context, conn driver.Conn, s Settings, file *categories.File) (_ []infer.Activity, err error) {
	s.External, s.Ungrouped = policy.ExternalInternet, policy.UngroupedHost
	if err := s.settle(ctx, conn, file); err != nil {
		return nil, err
	}
	p, err := newPlan(s, file)
	if err != nil {
		return nil, err
	}
	p.hourly = true
	r, err := newRun(ctx, conn, p)
	if err != nil {
		return nil, err
	}
	defer func() {
		if closed := r.close(ctx); closed != nil && err == nil {
			err = fmt.Errorf("ClickHouse: drop the tables of the run: %w", closed)
		}
	}()
	if err := r.dropLeftovers(ctx, leftAfter); err != nil {
		return nil, fmt.Errorf("ClickHouse: drop the tables of runs that were killed: %w", err)
	}
	if err := r.loadEnds(ctx); err != nil {
		return nil, err
	}
	var out []infer.Activity
	for _, q := range []struct {
		name string
		f    func() (uint64, error)
	}{
		{"classify sessions", func() (uint64, error) { return 0, r.classify(ctx, 0) }},
		{"exclusions", func() (uint64, error) { return r.exclude(ctx, "source_class", "destination_class") }},
		{"find dynamic ports", func() (uint64, error) { return r.findDynamicPorts(ctx) }},
		{"count activities", func() (n uint64, err error) {
			out, err = r.readActivities(ctx)
			return uint64(len(out)), err
		}},
	} {
		if err := r.plan.step(q.name, true, q.f); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// peers are the ends of a session, where all public addresses are one.
func peers() (client, server string) {
	one := func(end string) string {
		return fmt.Sprintf("if(%[1]s_group = %[2]d, toIPv6('::'), %[1]s)", end, cells.InternetGroup)
	}
	return one("client"), one("server")
}

// included is the condition that a session counts as an activity.
func (r *run) included() string {
	if len(r.plan.exclusions.statements) == 0 {
		return "reason = 0"
	}
	return "reason = 0 AND (source_class, destination_class, proto, port) NOT IN (SELECT client_class, server_class, proto, port FROM " + r.table("excluded") + ")"
}

// findDynamicPorts makes the run's table of ports that are no services.
func (r *run) findDynamicPorts(ctx context.Context) (uint64, error) {
	if err := r.conn.Exec(ctx, "CREATE TABLE "+r.table("dynamic")+" (vrf LowCardinality(String), server IPv6, proto UInt8, port UInt16) ENGINE = MergeTree ORDER BY ()"); err != nil {
		return 0, err
	}
	if r.plan.settings.PortRanges == 0 {
		return 0, nil
	}
	from, to := peers()
	rows, err := r.conn.Query(ctx, fmt.Sprintf(`SELECT vrf, at, proto, groupArray(port), groupArray(clients), groupArray(busy) FROM
		(
			SELECT vrf, %[3]s AS at, proto, port, uniqExact(%[2]s) AS clients, uniqExactArray(hours) AS busy
			FROM %[1]s
			WHERE %[4]s AND %[5]s AND port >= %[6]d
			GROUP BY vrf, at, proto, port
		)
		GROUP BY vrf, at, proto HAVING count() >= ?`,
		r.table("sessions"), from, to, r.included(), hasPorts("proto"), decide.FirstDynamicPort), r.plan.settings.PortRanges)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	batch, err := r.conn.PrepareBatch(ctx, "INSERT INTO "+r.table("dynamic")+" (vrf, server, proto, port)")
	if err != nil {
		return 0, err
	}
	defer batch.Close()
	n := uint64(0)
	for rows.Next() {
		var vrf string
		var at netip.Addr
		var proto uint8
		var ports []uint16
		var clients, hours []uint64
		if err := rows.Scan(&vrf, &at, &proto, &ports, &clients, &hours); err != nil {
			return 0, err
		}
		for _, port := range r.weakPortsOf(proto, ports, clients, hours) {
			n++
			if err := batch.Append(vrf, as16(at), proto, port); err != nil {
				return 0, err
			}
		}
	}
	if err := rows.Err(); err != nil || n == 0 {
		return 0, err
	}
	return n, batch.Send()
}

// weakPortsOf gives those ports of one destination that are no services, if there are enough of them.
func (r *run) weakPortsOf(proto uint8, ports []uint16, clients, hours []uint64) []uint16 {
	uses := map[uint16]decide.PortUse{}
	for i, port := range ports {
		if !r.plan.named(categories.Service{Proto: proto, Port: port}) {
			uses[port] = decide.PortUse{Clients: int(clients[i]), Hours: int(hours[i])}
		}
	}
	strong := decide.StrongPorts(uses)
	if uint64(len(uses)-len(strong)) < r.plan.settings.PortRanges {
		return nil
	}
	var out []uint16
	for port := range uses {
		if !strong[port] {
			out = append(out, port)
		}
	}
	return out
}

// readActivities counts the hours of each host, once as a client and once as a server.
func (r *run) readActivities(ctx context.Context) ([]infer.Activity, error) {
	from, to := peers()
	rows, err := r.conn.Query(ctx, fmt.Sprintf(`SELECT toIPv6(e.1) AS host, e.2 AS role, proto, number, dynamic, e.3 AS public, sum(hours) FROM
		(
			SELECT vrf, %[2]s AS asker, %[3]s AS asked, proto, (vrf, asked, proto, port) IN (SELECT vrf, server, proto, port FROM %[4]s) AS dynamic,
				if(dynamic, %[5]d, port)::UInt16 AS number, uniqExactArray(hours) AS hours
			FROM %[1]s
			WHERE %[6]s
			GROUP BY vrf, asker, asked, proto, dynamic, number
		)
		ARRAY JOIN [(asker, %[7]d, asked = toIPv6('::')), (asked, %[8]d, asker = toIPv6('::'))] AS e
		WHERE host != toIPv6('::')
		GROUP BY host, role, proto, number, dynamic, public`,
		r.table("sessions"), from, to, r.table("dynamic"), decide.FirstDynamicPort, r.included(), infer.Client, infer.Server))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []infer.Activity
	for rows.Next() {
		var a infer.Activity
		var host netip.Addr
		var role, proto, dynamic, public uint8
		var port uint16
		if err := rows.Scan(&host, &role, &proto, &port, &dynamic, &public, &a.Hours); err != nil {
			return nil, err
		}
		a.Host, a.Role, a.Public = host.Unmap(), infer.Role(role), public == 1
		a.Service = categories.Service{Proto: proto, Port: port}.Term()
		if dynamic == 1 {
			a.Service.Hi = 65535
		}
		out = append(out, a)
	}
	return out, rows.Err()
}
