package verify

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"cordon/categories"
	"cordon/recommender/policy"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Session is one (client, server, service) of a proposal's VRF and window.
type Session struct {
	Client, Server netip.Addr
	Service        categories.Service
	Flows, Bytes   uint64 // bytes of both directions
	First, Last    time.Time
	Complete       bool // a record was answered, or nobody can tell
	HalfOpen       bool // a record was not answered
	Denied         bool // a record was dropped by the network
	Directed       bool // client and server were told apart
}

const timeFormat = "2006-01-02 15:04:05.000000"

// window gives the bounds of a proposal's sessions, [since, until). A document
// without an end that was asked for ends with its last session, which is in it.
func window(p *policy.Proposal) (since, until time.Time) {
	if s := p.Settings; s != nil && s.Until != nil {
		return p.Window.From.Time, s.Until.Time
	}
	return p.Window.From.Time, p.Window.To.Add(time.Microsecond)
}

// Read gives the sessions that a proposal is about. The connection's database is
// the one with the sessions.
func Read(ctx context.Context, conn driver.Conn, p *policy.Proposal) ([]Session, error) {
	since, until := window(p)
	rows, err := conn.Query(ctx, `SELECT client_ip, server_ip, proto, port, icmp_type::UInt8,
			flows::UInt64, (client_bytes + server_bytes)::UInt64, first_seen, last_seen,
			complete > 0, half_open > 0, denied > 0, direction_basis::UInt8 > 0
		FROM sessions_window(since = '`+since.UTC().Format(timeFormat)+`', until = '`+until.UTC().Format(timeFormat)+`')
		WHERE vrf = ?`, p.VRF)
	if err != nil {
		return nil, fmt.Errorf("ClickHouse: read sessions: %w", err)
	}
	defer rows.Close()
	type key struct {
		client, server netip.Addr
		service        categories.Service
	}
	codes := map[key]int{} // codes of one ICMP type are one service
	var out []Session
	for rows.Next() {
		var s Session
		var proto, icmpType, complete, halfOpen, denied, directed uint8
		var port uint16
		if err := rows.Scan(&s.Client, &s.Server, &proto, &port, &icmpType, &s.Flows, &s.Bytes, &s.First, &s.Last,
			&complete, &halfOpen, &denied, &directed); err != nil {
			return nil, fmt.Errorf("ClickHouse: read sessions: %w", err)
		}
		s.Client, s.Server = s.Client.Unmap(), s.Server.Unmap()
		s.Service = categories.NewService(proto, port, icmpType)
		s.Complete, s.HalfOpen, s.Denied, s.Directed = complete > 0, halfOpen > 0, denied > 0, directed > 0
		if categories.IsICMP(proto) {
			k := key{s.Client, s.Server, s.Service}
			if at, ok := codes[k]; ok {
				out[at].add(&s)
				continue
			}
			codes[k] = len(out)
		}
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("ClickHouse: read sessions: %w", err)
	}
	return out, nil
}

func (s *Session) add(o *Session) {
	s.Flows += o.Flows
	s.Bytes += o.Bytes
	if o.First.Before(s.First) {
		s.First = o.First
	}
	if o.Last.After(s.Last) {
		s.Last = o.Last
	}
	s.Complete, s.HalfOpen, s.Denied, s.Directed = s.Complete || o.Complete, s.HalfOpen || o.HalfOpen, s.Denied || o.Denied, s.Directed || o.Directed
}
