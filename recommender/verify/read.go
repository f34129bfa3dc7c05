package verify

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"cordon/categories"
	"cordon/internal/iana"
	"cordon/recommender/policy"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Collected is what the store has about a proposal's VRF and window.
type Collected struct {
	Sessions []Session
	Loss     []policy.Loss     // loss of every exporter that has any in the hours of receipt, in order
	Sampling []policy.Sampling // sorted by exporter

	whole []Session // sessions as Sessions, but not apart by owners of addresses; nil where no address changed its owner
}

const timeFormat = "2006-01-02 15:04:05.000000"

// recordsTake is how long after a flow its record may come, see policy.Loss.
const recordsTake = 30 * time.Minute

// window gives the bounds of a proposal's sessions, [since, until). A document
// without an end that was asked for ends with its last session, which is in it.
func window(p *policy.Proposal) (since, until time.Time) {
	if s := p.Settings; s != nil && !s.Until.IsZero() {
		return p.Window.From.Time, s.Until.Time
	}
	return p.Window.From.Time, p.Window.To.Add(time.Microsecond)
}

// Read gives what a proposal that was made with these options is about: the sessions of its VRF and window,
// whatever its scope. The connection's database is Cordon's.
func Read(ctx context.Context, conn driver.Conn, p *policy.Proposal, o Options) (*Collected, error) {
	var c Collected
	var err error
	if c.Loss, err = readLoss(ctx, conn, p); err != nil {
		return nil, fmt.Errorf("ClickHouse: read loss: %w", err)
	}
	if c.Sampling, err = readSampling(ctx, conn, p); err != nil {
		return nil, fmt.Errorf("ClickHouse: read sampling: %w", err)
	}
	if c.Sessions, err = readSessions(ctx, conn, p, &o, c.Loss); err != nil {
		return nil, fmt.Errorf("ClickHouse: read sessions: %w", err)
	}
	if x := o.owners; x != nil {
		c.whole = c.Sessions
		c.Sessions = slices.DeleteFunc(slices.Clone(c.whole), func(s Session) bool { return x.touches(s.Client) || x.touches(s.Server) })
		former, err := x.readHours(ctx, conn, p, c.Loss)
		if err != nil {
			return nil, fmt.Errorf("ClickHouse: read sessions of addresses that changed their owner: %w", err)
		}
		c.Sessions = append(c.Sessions, former...)
	}
	return &c, nil
}

// readSessions asks the view of all sessions where the store has nothing outside the window, since ClickHouse plans that
// in a quarter of the time, and asks for the window after all if something came meanwhile.
func readSessions(ctx context.Context, conn driver.Conn, p *policy.Proposal, o *Options, loss []policy.Loss) ([]Session, error) {
	since, until := window(p)
	if beyond, err := anyBeyond(ctx, conn, since, until); err != nil {
		return nil, err
	} else if !beyond {
		out, err := sessionsOf(ctx, conn, "sessions_all", p, o, loss)
		if err != nil {
			return nil, err
		}
		if beyond, err = anyBeyond(ctx, conn, since, until); err != nil || !beyond {
			return out, err
		}
	}
	view := fmt.Sprintf("sessions_window(since = '%s', until = '%s')", since.UTC().Format(timeFormat), until.UTC().Format(timeFormat))
	return sessionsOf(ctx, conn, view, p, o, loss)
}

// sessionsOf reads the sessions of a proposal's VRF from a view.
func sessionsOf(ctx context.Context, conn driver.Conn, view string, p *policy.Proposal, o *Options, loss []policy.Loss) ([]Session, error) {
	made, scoped := &o.Settings, !o.scope(p).Empty()
	hours, exporters := "[]::Array(UInt32)", "[]::Array(String)"
	if made.MinHours > 1 || made.Recurring > 1 || made.ScannerTargets > 0 || made.PortRanges > 0 || p.Readiness != nil {
		hours = "arrayMap(h -> intDiv(toUnixTimestamp(h), 3600)::UInt32, active_hours)"
	}
	if len(loss) > 0 || scoped {
		exporters = "exporters"
	}
	rows, err := conn.Query(ctx, `SELECT client_ip, server_ip, proto, port, icmp_type::UInt8,
			flows::UInt64, (client_bytes + server_bytes)::UInt64, scaled_bytes::UInt64, first_seen, last_seen,
			complete > 0, half_open > 0, denied > 0, direction_basis::UInt8 > 0,
			`+hours+`, client_flags::UInt16, server_flags::UInt16, client_packets::UInt64, client_bytes::UInt64, server_packets::UInt64, sampling::UInt32, `+exporters+`
		FROM `+view+`
		WHERE vrf = ?`, p.VRF)
	if err != nil {
		return nil, err
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
		if err := rows.Scan(&s.Client, &s.Server, &proto, &port, &icmpType, &s.Flows, &s.Bytes, &s.ScaledBytes, &s.First, &s.Last,
			&complete, &halfOpen, &denied, &directed, &s.Hours, &s.ClientFlags, &s.ServerFlags, &s.ClientPackets, &s.ClientBytes, &s.ServerPackets, &s.Sampling, &s.Exporters); err != nil {
			return nil, err
		}
		s.Client, s.Server = s.Client.Unmap(), s.Server.Unmap()
		s.Service = categories.NewService(proto, port, icmpType)
		s.Complete, s.HalfOpen, s.Denied, s.Directed = complete > 0, halfOpen > 0, denied > 0, directed > 0
		if scoped {
			for _, e := range s.Exporters {
				if a, err := netip.ParseAddr(e); err == nil {
					s.SeenBy = append(s.SeenBy, a)
				}
			}
		}
		s.Exporters = slices.DeleteFunc(s.Exporters, func(e string) bool {
			return !slices.ContainsFunc(loss, func(l policy.Loss) bool { return l.Exporter == e })
		})
		if iana.IsICMP(proto) {
			k := key{s.Client, s.Server, s.Service}
			if at, ok := codes[k]; ok {
				out[at].add(&s)
				continue
			}
			codes[k] = len(out)
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

// anyBeyond tells whether the store has anything, of any VRF, outside [since, until).
func anyBeyond(ctx context.Context, conn driver.Conn, since, until time.Time) (bool, error) {
	var n uint64
	err := conn.QueryRow(ctx, `SELECT count() FROM sessions_hourly
		WHERE first_seen >= '`+until.UTC().Format(timeFormat)+`' OR last_seen < '`+since.UTC().Format(timeFormat)+`'`).Scan(&n)
	return n > 0, err
}

// readLoss sums what is missing of each exporter over the hours in which records
// of the window come.
func readLoss(ctx context.Context, conn driver.Conn, p *policy.Proposal) ([]policy.Loss, error) {
	rows, err := conn.Query(ctx, `SELECT exporter, records, lost_records, lost_messages, no_template, restarts, late_records, kernel_drops, dropped_records
		FROM exporters WHERE hour BETWEEN toDateTime(?, 'UTC') AND toDateTime(?, 'UTC')`,
		p.Window.From.Truncate(time.Hour).Unix(), p.Window.To.Add(recordsTake).Unix())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	sums := map[string]*policy.Loss{}
	for rows.Next() {
		var l policy.Loss
		var messages uint64
		if err := rows.Scan(&l.Exporter, &l.Records, &l.LostRecords, &messages, &l.NoTemplate, &l.Restarts, &l.LateRecords, &l.KernelDrops, &l.DroppedRecords); err != nil {
			return nil, err
		}
		sum := sums[l.Exporter]
		if sum == nil {
			sum = &policy.Loss{Exporter: l.Exporter}
			sums[l.Exporter] = sum
		}
		if l.LostRecords+messages+l.NoTemplate+l.Restarts+l.LateRecords+l.KernelDrops+l.DroppedRecords > 0 {
			sum.Hours++
		}
		sum.Records += l.Records
		sum.LostRecords += l.LostRecords
		sum.NoTemplate += l.NoTemplate
		sum.Restarts += l.Restarts
		sum.LateRecords += l.LateRecords
		sum.KernelDrops += l.KernelDrops
		sum.DroppedRecords += l.DroppedRecords
	}
	var out []policy.Loss
	for _, sum := range sums {
		if sum.Hours > 0 {
			out = append(out, *sum)
		}
	}
	slices.SortFunc(out, func(a, b policy.Loss) int { return strings.Compare(a.Exporter, b.Exporter) })
	return out, rows.Err()
}

// readSampling gives the coarsest sampling of each exporter, where there is any.
func readSampling(ctx context.Context, conn driver.Conn, p *policy.Proposal) ([]policy.Sampling, error) {
	since, until := window(p)
	rows, err := conn.Query(ctx, `SELECT exporter, maxIf(h.sampling, h.sampling < 4294967295), countIf(h.sampling = 4294967295),
			countIf(h.sampling = 0) > 0 AND exporter GLOBAL IN (SELECT exporter FROM sampled_exporters)
		FROM sessions_hourly AS h
		WHERE vrf = ? AND first_seen < '`+until.UTC().Format(timeFormat)+`' AND last_seen >= '`+since.UTC().Format(timeFormat)+`'
		GROUP BY exporter ORDER BY exporter`, p.VRF)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []policy.Sampling
	for rows.Next() {
		var exporter netip.Addr
		var s policy.Sampling
		var unknown uint64
		var early uint8
		if err := rows.Scan(&exporter, &s.OneIn, &unknown, &early); err != nil {
			return nil, err
		}
		if s.OneIn == 1 {
			s.OneIn = 0
		}
		s.UnknownRate = unknown > 0 || early > 0
		if s.OneIn > 1 || s.UnknownRate {
			s.Exporter = exporter.Unmap().String()
			out = append(out, s)
		}
	}
	return out, rows.Err()
}
