package recommender

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"time"

	"cordon/categories"
	"cordon/recommender/policy"
)

// endpoint is one end of a cell: a group by its number in the run's tables, or
// a prefix of addresses that are in none, most often a single one. It is comparable.
type endpoint struct {
	group  uint32
	prefix netip.Prefix // unmapped; the zero Prefix for a group
}

func newEndpoint(group uint32, addr netip.Addr) endpoint {
	if group != noGroup {
		return endpoint{group: group}
	}
	addr = addr.Unmap()
	return endpoint{prefix: netip.PrefixFrom(addr, addr.BitLen())}
}

func (e endpoint) compare(o endpoint) int {
	return cmp.Or(cmp.Compare(e.group, o.group), e.prefix.Compare(o.prefix))
}

// cellKey is one (VRF, source, destination, service).
type cellKey struct {
	vrf      string
	src, dst endpoint
	service  categories.ServiceTerm // one service, or a range of ports
}

func (k cellKey) compare(o cellKey) int {
	return cmp.Or(cmp.Compare(k.vrf, o.vrf), k.src.compare(o.src), k.dst.compare(o.dst), k.service.Compare(o.service))
}

// part is the sessions of a cell that everything treats alike: those between two
// classes of addresses, with the same reason.
type part struct {
	hash               uint64
	key                cellKey
	service            categories.Service
	srcClass, dstClass uint32
	reason             uint8 // number of the reason; 0 if none so far
	note               int32 // statement that decided, or -1
	sessions           uint64
	breadth            breadth // as far as the settings ask for it
	bytes              uint64
	first, last        time.Time
}

// breadth is how many distinct clients and hours a cell has, and how many distinct hours the (client, server) pair
// has that came back most often.
type breadth struct{ clients, hours, recurring uint64 }

// cell is one (source, destination, service) of a VRF with the parts that come
// as far as being counted as its support.
type cell struct {
	key      cellKey
	parts    []int // into the run's parts
	sessions uint64
	included bool     // has a session that needs a rule
	breadth  *breadth // of a range; other cells are counted in ClickHouse
}

// errHash says that two cells have the same hash: another salt helps.
var errHash = errors.New("two cells have the same 64-bit hash")

// readParts reads the run's cells, in no order.
func (r *run) readParts(ctx context.Context) ([]part, error) {
	rows, err := r.conn.Query(ctx, `SELECT cell, vrf, reason, source_group, source_address, source_class,
		destination_group, destination_address, destination_class, cell_proto, cell_port,
		count(), `+r.breadthColumns()+`, sum(bytes), min(first_seen), max(last_seen)
		FROM `+r.table("sessions")+`
		GROUP BY cell, vrf, reason, source_group, source_address, source_class, destination_group, destination_address, destination_class, cell_proto, cell_port`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []part
	seen := map[uint64]struct{}{}
	for rows.Next() {
		p := part{note: -1}
		var src, dst netip.Addr
		if err := rows.Scan(&p.hash, &p.key.vrf, &p.reason, &p.key.src.group, &src, &p.srcClass,
			&p.key.dst.group, &dst, &p.dstClass, &p.service.Proto, &p.service.Port,
			&p.sessions, &p.breadth.clients, &p.breadth.hours, &p.breadth.recurring, &p.bytes, &p.first, &p.last); err != nil {
			return nil, err
		}
		p.key.src, p.key.dst = newEndpoint(p.key.src.group, src), newEndpoint(p.key.dst.group, dst)
		p.key.service = p.service.Term()
		if _, ok := seen[p.hash]; ok {
			return nil, errHash
		}
		seen[p.hash] = struct{}{}
		out = append(out, p)
	}
	return out, rows.Err()
}

// breadthColumns are the three of breadth, over rows of which each is a session; zero where no setting asks.
func (p *plan) breadthColumns() string {
	clients, hours, recurring := "0::UInt64", "0::UInt64", "0::UInt64"
	if p.MinHosts > 1 {
		clients = "uniqExact(client)"
	}
	if p.MinHours > 1 {
		hours = "uniqExactArray(hours)"
	}
	if p.Recurring > 1 {
		recurring = "max(length(hours))" // the hours of a session are those of its pair
	}
	return clients + ", " + hours + ", " + recurring
}

// literal gives an endpoint as rules write it.
func (p *plan) literal(e endpoint) policy.Endpoint {
	switch e.group {
	case noGroup:
		return policy.Endpoint{Prefix: e.prefix}
	case internetGroup:
		return p.internet
	}
	return p.labels[e.group-1]
}
