package recommender

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"cordon/categories"
	"cordon/recommender/cells"
	"cordon/recommender/decide"
	"cordon/recommender/policy"
)

// errHash says that two cells have the same hash: another salt helps.
var errHash = errors.New("two cells have the same 64-bit hash")

// readParts reads the run's cells, in no order.
func (r *run) readParts(ctx context.Context) ([]cells.Part, error) {
	rows, err := r.conn.Query(ctx, `SELECT cell, vrf, reason, source_group, source_address, source_class,
		destination_group, destination_address, destination_class, cell_proto, cell_port,
		count(), `+r.plan.breadthColumns()+`, sum(bytes), min(first_seen), max(last_seen)
		FROM `+r.table("sessions")+`
		GROUP BY cell, vrf, reason, source_group, source_address, source_class, destination_group, destination_address, destination_class, cell_proto, cell_port`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []cells.Part
	seen := map[uint64]struct{}{}
	for rows.Next() {
		p := cells.Part{Note: -1}
		var src, dst netip.Addr
		if err := rows.Scan(&p.Hash, &p.Key.VRF, &p.Reason, &p.Key.Src.Group, &src, &p.SrcClass,
			&p.Key.Dst.Group, &dst, &p.DstClass, &p.Service.Proto, &p.Service.Port,
			&p.Sessions, &p.Breadth.Clients, &p.Breadth.Hours, &p.Breadth.Recurring, &p.Bytes, &p.First, &p.Last); err != nil {
			return nil, err
		}
		p.Key.Src, p.Key.Dst = cells.NewEndpoint(p.Key.Src.Group, src), cells.NewEndpoint(p.Key.Dst.Group, dst)
		p.Key.Service = p.Service.Term()
		if _, ok := seen[p.Hash]; ok {
			return nil, errHash
		}
		seen[p.Hash] = struct{}{}
		out = append(out, p)
	}
	return out, rows.Err()
}

// breadthColumns are the three of breadth, over rows of which each is a session; zero where no setting asks.
func (p *plan) breadthColumns() string {
	clients, hours, recurring := "0::UInt64", "0::UInt64", "0::UInt64"
	if p.settings.MinHosts > 1 {
		clients = "uniqExact(client)"
	}
	if p.settings.MinHours > 1 {
		hours = "uniqExactArray(hours)"
	}
	if p.settings.Recurring > 1 {
		recurring = "max(length(hours))" // the hours of a session are those of its pair
	}
	return clients + ", " + hours + ", " + recurring
}

// literal gives an endpoint as rules write it.
func (p *plan) literal(e cells.Endpoint) policy.Endpoint {
	switch e.Group {
	case cells.NoGroup:
		return policy.Endpoint{Prefix: e.Prefix}
	case cells.InternetGroup:
		return p.internet
	}
	return p.labels[e.Group-1]
}

// readUses gives the use of parts by their hash, for the destinations that may have a range.
func (r *run) readUses(ctx context.Context) (map[uint64]*decide.Use, error) {
	ends := "vrf, destination_group, destination_address, cell_proto"
	// Where pairs are asked for, the arrays have the client, the server and the hours of one session after the other.
	columns := "groupUniqArray(client), groupUniqArray(server), [groupUniqArrayArray(hours)]"
	if r.plan.settings.Recurring > 1 {
		columns = "groupArray(client), groupArray(server), groupArray(hours)"
	}
	where := fmt.Sprintf("reason = 0 AND %s AND cell_port >= %d", hasPorts("cell_proto"), decide.FirstDynamicPort)
	rows, err := r.conn.Query(ctx, fmt.Sprintf(`SELECT cell, %[4]s
		FROM %[1]s
		WHERE %[2]s AND (%[3]s) IN
		(
			SELECT %[3]s FROM %[1]s WHERE %[2]s
			GROUP BY %[3]s, source_group, source_address HAVING uniqExact(cell_port) >= ?
		)
		GROUP BY cell`, r.table("sessions"), where, ends, columns), r.plan.settings.PortRanges)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[uint64]*decide.Use{}
	for rows.Next() {
		var hash uint64
		var clients, servers []net.IP
		var hours [][]time.Time
		if err := rows.Scan(&hash, &clients, &servers, &hours); err != nil {
			return nil, err
		}
		u := decide.NewUse()
		for _, ip := range clients {
			u.Clients[address(ip)] = true
		}
		for _, ip := range servers {
			u.Servers[address(ip)] = true
		}
		for i, list := range hours {
			for _, h := range list {
				u.Hours[h.Unix()] = true
				if r.plan.settings.Recurring > 1 {
					u.Pairs[decide.Visit{Client: address(clients[i]), Server: address(servers[i]), Hour: h.Unix()}] = true
				}
			}
		}
		out[hash] = u
	}
	return out, rows.Err()
}

// readUngrouped gives, by VRF, the private addresses in no group that are an
// end of any session of the window, in order.
func (r *run) readUngrouped(ctx context.Context) (map[string][]netip.Addr, error) {
	end := func(address string) string {
		return fmt.Sprintf("SELECT DISTINCT vrf, %[1]s AS address FROM %[2]s WHERE %[1]s_group = %[3]d", address, r.table("sessions"), cells.NoGroup)
	}
	var rows []struct {
		VRF     string     `ch:"vrf"`
		Address netip.Addr `ch:"address"`
	}
	if err := r.conn.Select(ctx, &rows, fmt.Sprintf("SELECT vrf, address FROM (%s) WHERE known.1 = %d",
		r.lookUp(end("client")+" UNION DISTINCT "+end("server"), "address", "known", "kind"), categories.Private)); err != nil {
		return nil, err
	}
	out := map[string][]netip.Addr{}
	for _, row := range rows {
		out[row.VRF] = append(out[row.VRF], row.Address.Unmap())
	}
	for _, list := range out {
		slices.SortFunc(list, netip.Addr.Compare)
	}
	return out, nil
}
