package imports

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Scope is which records of exporters are to be forgotten.
type Scope struct {
	// Exporters are addresses or prefixes; at least one. :: stands for records
	// without an exporter.
	Exporters []netip.Prefix
	// Since and Until bound the beginning of a flow, as sessions take it: the
	// first included, the second not. Zero for no bound. Sessions are kept by
	// the hour, so both are whole hours.
	Since, Until time.Time
}

// Check says what is wrong with a scope.
func (f *Scope) Check() error {
	if len(f.Exporters) == 0 {
		return fmt.Errorf("no exporter is named")
	}
	for _, b := range []struct {
		name string
		at   time.Time
	}{{"since", f.Since}, {"until", f.Until}} {
		if hour := b.at.Truncate(time.Hour); !hour.Equal(b.at) {
			return fmt.Errorf("--%s %s: sessions are kept by the hour, so only whole hours can be forgotten: use %s or %s", b.name,
				b.at.UTC().Format(time.RFC3339), hour.UTC().Format(time.RFC3339), hour.Add(time.Hour).UTC().Format(time.RFC3339))
		}
	}
	if !f.Since.IsZero() && !f.Until.IsZero() && !f.Since.Before(f.Until) {
		return fmt.Errorf("--until %s is not after --since %s", f.Until.UTC().Format(time.RFC3339), f.Since.UTC().Format(time.RFC3339))
	}
	return nil
}

// Found is what a scope holds.
type Found struct {
	Flows       uint64 // rows of table flows
	FlowRecords uint64 // records that they stand for (column count)
	Sessions    uint64 // sessions that have records in the scope
	Records     uint64 // records counted in these sessions, those included whose flows have expired
	Stats       uint64 // rows of table exporter_stats
	Names       uint64 // rows of table exporter_name_rows
}

// Empty says that nothing is there to forget.
func (f Found) Empty() bool { return f == Found{} }

// flowStart is the beginning of a flow as sessions take it (see schema.Folder): a
// time that no clock can show is replaced by the other one, or that of receipt.
const flowStart = `(least(greatest(received, toDateTime64('2000-01-01 00:00:00', 6, 'UTC')), toDateTime64('2100-01-01 00:00:00', 6, 'UTC')) AS received_sane,
	start_time BETWEEN toDateTime64('2000-01-01 00:00:00', 6, 'UTC') AND received_sane + INTERVAL 1 DAY AS start_ok,
	end_time BETWEEN toDateTime64('2000-01-01 00:00:00', 6, 'UTC') AND received_sane + INTERVAL 1 DAY AS end_ok,
	least(multiIf(start_ok, start_time, end_ok, end_time, received_sane), multiIf(end_ok, end_time, start_ok, start_time, received_sane))).4`

// deletions are the rows of a scope, by table.
func (f *Scope) deletions() []deletion {
	var from []string
	for _, p := range f.Exporters {
		low, high := bounds(p)
		from = append(from, fmt.Sprintf("exporter BETWEEN toIPv6('%s') AND toIPv6('%s')", low, high))
	}
	exporter := "(" + strings.Join(from, " OR ") + ")"
	window := func(at string) string {
		where := exporter
		if !f.Since.IsZero() {
			where += fmt.Sprintf(" AND %s >= toDateTime64(%d, 6, 'UTC')", at, f.Since.Unix())
		}
		if !f.Until.IsZero() {
			where += fmt.Sprintf(" AND %s < toDateTime64(%d, 6, 'UTC')", at, f.Until.Unix())
		}
		return where
	}
	list := []deletion{
		{"sessions_hourly", window("hour")},
		{"exporter_stats", window("toStartOfHour(if(transport = 'file', last_export, time))")},
		{"flows", window(flowStart)},
	}
	if f.Since.IsZero() && f.Until.IsZero() {
		list = append(list, deletion{"exporter_name_rows", exporter})
	}
	return list
}

// bounds are the first and last address of a prefix, as IPv6.
func bounds(p netip.Prefix) (low, high netip.Addr) {
	p = p.Masked()
	a := p.Addr().As16()
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	b := a
	for i := bits; i < 128; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom16(a), netip.AddrFrom16(b)
}

// Count says what a scope holds.
func (s *Store) Count(ctx context.Context, f *Scope) (n Found, err error) {
	for _, d := range f.deletions() {
		from := " FROM " + s.table(d.table) + " WHERE " + d.where
		switch d.table {
		case "flows":
			err = s.Conn.QueryRow(ctx, "SELECT count(), sum(count)"+from).Scan(&n.Flows, &n.FlowRecords)
		case "sessions_hourly":
			err = s.Conn.QueryRow(ctx, "SELECT uniqExact(vrf, server, proto, port, icmp_type, icmp_code, client, client_port), "+
				"sum(complete + half_open + unanswered + requests + replies + denied)"+from).Scan(&n.Sessions, &n.Records)
		case "exporter_stats":
			err = s.Conn.QueryRow(ctx, "SELECT count()"+from).Scan(&n.Stats)
		default:
			err = s.Conn.QueryRow(ctx, "SELECT count()"+from).Scan(&n.Names)
		}
		if err != nil {
			return n, fmt.Errorf("count the rows of table %s: %w", d.table, err)
		}
	}
	return n, nil
}

// Forget deletes what a scope holds. No batch with such records may be in stream
// FLOWS, or its rows come after. If it is interrupted, calling it again goes on.
func (s *Store) Forget(ctx context.Context, f *Scope) error {
	if err := f.Check(); err != nil {
		return err
	}
	concerned, err := s.markForgotten(ctx, f)
	if err != nil {
		return err
	}
	for _, d := range f.deletions() {
		if err := s.delete(ctx, d); err != nil {
			return fmt.Errorf("forget: %w", err)
		}
	}
	for i := range concerned {
		if err := s.endIfEmpty(ctx, &concerned[i]); err != nil {
			return err
		}
	}
	return nil
}

// markForgotten writes of each import that has rows in a scope, and of those of
// an earlier call that was interrupted, that it is not whole any more.
func (s *Store) markForgotten(ctx context.Context, f *Scope) ([]Import, error) {
	var in []string
	for _, d := range f.deletions() {
		if d.table == "flows" || d.table == "sessions_hourly" {
			in = append(in, "id IN (SELECT import FROM "+s.table(d.table)+" WHERE "+d.where+")")
		}
	}
	list, err := s.read(ctx, "state = 'forgotten' OR state = 'done' AND ("+strings.Join(in, " OR ")+")")
	if err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].State == Done {
			if err := s.write(ctx, &list[i], Forgotten); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

// endIfEmpty takes an import back of which neither flows nor sessions are left.
func (s *Store) endIfEmpty(ctx context.Context, i *Import) error {
	var left uint64
	number := fmt.Sprintf(" WHERE import = %d)", i.ID)
	err := s.Conn.QueryRow(ctx, "SELECT (SELECT count() FROM "+s.table("flows")+number+" + (SELECT count() FROM "+s.table("sessions_hourly")+number).Scan(&left)
	if err != nil {
		return fmt.Errorf("count the rows of import %d: %w", i.ID, err)
	}
	if left > 0 {
		return nil
	}
	return s.TakeBack(ctx, i)
}

// deletion is rows of a table.
type deletion struct{ table, where string }

// everywhere are tables that are whole on every node of a cluster; the others are
// spread over it.
var everywhere = map[string]bool{"exporter_name_rows": true}

// delete deletes rows, and waits until they are gone on all replicas. ClickHouse
// notes the deletion on disk first and goes on with it after a restart.
func (s *Store) delete(ctx context.Context, d deletion) error {
	table, onCluster := s.table(d.table), ""
	if s.Cluster != "" {
		onCluster = " ON CLUSTER `" + s.Cluster + "`"
		if !everywhere[d.table] {
			table += "_local"
		}
	}
	if err := s.Conn.Exec(ctx, "ALTER TABLE "+table+onCluster+" DELETE WHERE "+d.where+" SETTINGS mutations_sync = 2"); err != nil {
		return fmt.Errorf("delete rows of table %s: %w", d.table, err)
	}
	return nil
}
