package memberships

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"cordon/categories"
	"cordon/categories/sources"
	"cordon/schema"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Sides that are open, as the table has them. A groups file has no time outside of these years.
var openFrom, openUntil = schema.OpenWindow(time.Time{}, time.Time{})

func closed(t, as time.Time) time.Time {
	if t.Equal(as) {
		return time.Time{}
	}
	return t.UTC()
}

// Refresh reads a source and writes what changed. Where the snapshot fails or cannot be trusted it writes that, and the memberships stay
// what they are; the error says why. AcceptLoss takes a snapshot whatever it lost, but one that failed.
func Refresh(ctx context.Context, conn driver.Conn, reader sources.Reader, of *categories.Source, now time.Time, acceptLoss bool) (Change, error) {
	now = now.UTC().Truncate(time.Microsecond)
	before, err := lastTaken(ctx, conn, of.Name)
	if err != nil {
		return Change{}, err
	}
	_, list, err := reader.ReadOne(ctx, of)
	if err != nil {
		return Change{Source: of.Name, Taken: now}, keepProblem(ctx, conn, of.Name, now, err)
	}
	known, err := read(ctx, conn, "WHERE source = ? AND valid_until = toDateTime64('2200-01-01 00:00:00', 6, 'UTC')", of.Name)
	if err != nil {
		return Change{}, err
	}
	share := of.MaxLoss
	if acceptLoss {
		share = 1
	}
	change, err := difference(of.Name, known, list, now, before, share)
	if err != nil {
		return change, keepProblem(ctx, conn, of.Name, now, err)
	}
	if err := write(ctx, conn, append(slices.Clone(change.Went), change.Came...), now); err != nil {
		return change, err
	}
	return change, keepTaken(ctx, conn, of.Name, now, len(list), "")
}

// keepProblem writes that a source could not be read. It gives the problem.
func keepProblem(ctx context.Context, conn driver.Conn, source string, now time.Time, problem error) error {
	if err := keepTaken(ctx, conn, source, now, 0, problem.Error()); err != nil {
		return fmt.Errorf("%w; %w", problem, err)
	}
	return problem
}

// lastTaken is when a source was read last; zero for never.
func lastTaken(ctx context.Context, conn driver.Conn, source string) (time.Time, error) {
	var at time.Time
	if err := conn.QueryRow(ctx, "SELECT max(taken) FROM membership_sources WHERE source = ? AND NOT failed", source).Scan(&at); err != nil {
		return at, fmt.Errorf("memberships: when source %q was read: %w", source, err)
	}
	return closed(at, openFrom), nil
}

func keepTaken(ctx context.Context, conn driver.Conn, source string, at time.Time, members int, problem string) error {
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO membership_source_rows (source, failed, taken, members, problem)")
	if err == nil {
		defer batch.Close()
		if err = batch.Append(source, problem != "", at, uint64(members), problem); err == nil {
			err = batch.Send()
		}
	}
	if err != nil {
		return fmt.Errorf("memberships: write when source %q was read: %w", source, err)
	}
	return nil
}

// write writes rows.
func write(ctx context.Context, conn driver.Conn, rows []Row, now time.Time) error {
	if len(rows) == 0 {
		return nil
	}
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO membership_rows (source, category, `group`, vrf, prefix, valid_from, valid_until, ref, written)")
	if err != nil {
		return fmt.Errorf("memberships: write: %w", err)
	}
	defer batch.Close()
	for i := range rows {
		r := &rows[i]
		from, until := schema.OpenWindow(r.From, r.Until)
		if err := batch.Append(r.Source, r.Category, r.Group, r.VRF, r.Prefix.String(), from, until, r.Ref, now); err != nil {
			return fmt.Errorf("memberships: write: %w", err)
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("memberships: write: %w", err)
	}
	return nil
}

// read reads rows in the order of the table.
func read(ctx context.Context, conn driver.Conn, where string, args ...any) ([]Row, error) {
	rows, err := conn.Query(ctx, "SELECT source, category, `group`, vrf, prefix, valid_from, valid_until, ref FROM memberships "+where+" ORDER BY category, `group`, prefix, vrf, valid_from, source", args...)
	if err != nil {
		return nil, fmt.Errorf("memberships: %w", err)
	}
	defer rows.Close()
	var out []Row
	for rows.Next() {
		var r Row
		var prefix string
		if err := rows.Scan(&r.Source, &r.Category, &r.Group, &r.VRF, &prefix, &r.From, &r.Until, &r.Ref); err != nil {
			return nil, fmt.Errorf("memberships: %w", err)
		}
		if r.Prefix, err = netip.ParsePrefix(prefix); err != nil {
			return nil, fmt.Errorf("memberships: prefix %q of source %q: %w", prefix, r.Source, err)
		}
		r.From, r.Until = closed(r.From, openFrom), closed(r.Until, openUntil)
		out = append(out, r)
	}
	return out, rows.Err()
}

// File gives a groups file with what its sources said in the time that the store knows, with the times, in place of what they say now.
// A source that was never read into the store is read now. Stale names the sources of which the last snapshot is older than
// two of their intervals.
func File(ctx context.Context, conn driver.Conn, reader sources.Reader, f *categories.File, now time.Time) (out *categories.File, stale []string, err error) {
	if f == nil || len(f.Sources) == 0 {
		return f, nil, nil
	}
	var all []Row
	var missing []categories.Source
	for i := range f.Sources {
		s := &f.Sources[i]
		taken, err := lastTaken(ctx, conn, s.Name)
		if err != nil {
			return nil, nil, err
		}
		if taken.IsZero() {
			missing = append(missing, *s)
			continue
		}
		if age := now.Sub(taken); age > 2*s.Interval {
			stale = append(stale, fmt.Sprintf("source %q was read last at %s", s.Name, taken.Format(time.RFC3339)))
		}
		rows, err := read(ctx, conn, "WHERE source = ?", s.Name)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, rows...)
	}
	out = f.With(Categories(all))
	rest := *out
	rest.Sources = missing
	if out, _, err = reader.Read(ctx, &rest); err != nil {
		return nil, nil, err
	}
	done := *out
	done.Sources = f.Sources
	return &done, stale, nil
}

// Categories makes categories of rows, with their times.
func Categories(rows []Row) []categories.Category {
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(a.Category, b.Category), cmp.Compare(a.Group, b.Group), a.Prefix.Compare(b.Prefix), cmp.Compare(a.VRF, b.VRF), a.From.Compare(b.From))
	})
	list := make([]sources.Membership, len(rows))
	for i := range rows {
		list[i] = rows[i].Membership
	}
	return sources.Categories(list, func(i int) categories.Times { return categories.Times{From: rows[i].From, Until: rows[i].Until} })
}
