package recommender

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"cordon/categories"
	"cordon/internal/sqltext"
	"cordon/recommender/cells"
	"cordon/recommender/policy"
	"cordon/recommender/tenures"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// run is one recommendation's tables in ClickHouse. They are ordinary tables,
// since a temporary one lives in one session and a run has many connections,
// with a name that no other run has:
//
//	<name>_ranges     what tells addresses apart, by the first address of each range
//	<name>_tenures    what addresses that change their owner were, by track and the moment from which they were it
//	<name>_touched    the prefixes of these addresses
//	<name>_hours      the hours of their sessions
//	<name>_named      the known endpoints that groups of any category name
//	<name>_scanners   clients that scan, where they are kept out
//	<name>_sessions   each session of the window, looked up
//	<name>_verdicts   what Go decided about cells
//	<name>_excluded   what the groups file excludes, of a survey
//	<name>_rules      names of rules, for a Listing
//	<name>_ends       classes of the ends of these rules
//	<name>_notes      what reasons rest on, for a Listing
//	<name>_force      what is under each rule in force
//	<name>_dynamic    ports that are no services, for Activities
//
// close drops them. A run that was killed leaves them behind; the next run
// after a day removes them.
type run struct {
	plan     *plan
	conn     driver.Conn
	database string
	name     string
	scanners map[clientOf]scanner
	lossy    []string // exporters with loss around the window, see readLossy

	touched *tenures.Touched // set where addresses change their owner
}

const (
	runPrefix = "recommend_"
	leftAfter = 24 * time.Hour
)

func newRun(ctx context.Context, conn driver.Conn, p *plan) (*run, error) {
	var b [8]byte
	rand.Read(b[:]) // does not fail
	r := &run{plan: p, conn: conn, name: runPrefix + hex.EncodeToString(b[:])}
	if err := conn.QueryRow(ctx, "SELECT currentDatabase()").Scan(&r.database); err != nil {
		return nil, fmt.Errorf("ClickHouse: %w", err)
	}
	return r, nil
}

// close drops the run's tables, also when the run's context has ended.
func (r *run) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	var err error
	for _, suffix := range []string{"ranges", "tenures", "touched", "hours", "named", "scanners", "sessions", "verdicts", "excluded", "rules", "ends", "notes", "force", "dynamic"} {
		err = errors.Join(err, r.conn.Exec(ctx, "DROP TABLE IF EXISTS "+r.table(suffix)+" SYNC"))
	}
	return err
}

// dropLeftovers removes the tables of runs that began longer ago than the given
// time and were killed. Earlier versions of Cordon left dictionaries as well.
func (r *run) dropLeftovers(ctx context.Context, older time.Duration) error {
	var left []struct {
		Kind string `ch:"kind"`
		Name string `ch:"name"`
	}
	if err := r.conn.Select(ctx, &left, `SELECT if(engine = 'Dictionary', 'DICTIONARY', 'TABLE') AS kind, name FROM system.tables
		WHERE database = currentDatabase() AND startsWith(name, ?) AND metadata_modification_time < now() - toIntervalSecond(?)
		ORDER BY kind, name`, runPrefix, int(older/time.Second)); err != nil {
		return err
	}
	for _, t := range left {
		if err := r.conn.Exec(ctx, "DROP "+t.Kind+" IF EXISTS "+sqltext.Name(t.Name)); err != nil {
			return err
		}
	}
	return nil
}

// table gives the quoted name of one of the run's tables.
func (r *run) table(suffix string) string { return sqltext.Name(r.name + "_" + suffix) }

// step runs f and tells the observer how long it took. f returns a number of rows.
func (p *plan) step(name string, server bool, f func() (uint64, error)) error {
	start := time.Now()
	rows, err := f()
	if err != nil {
		if server {
			return fmt.Errorf("ClickHouse: %s: %w", name, err)
		}
		return fmt.Errorf("%s: %w", name, err)
	}
	p.settings.Observe(Step{Name: name, Server: server, Took: time.Since(start), Rows: rows})
	return nil
}

// loadAddresses hands over what tells addresses apart, and the known endpoints
// that groups name.
func (r *run) loadAddresses(ctx context.Context) (uint64, error) {
	group := func(place int) uint32 { return uint32(place + 1) }
	n, err := r.loadRanges(ctx, []string{"group_number UInt32"}, func(c *class) []any { return []any{group(c.group)} })
	if err != nil {
		return 0, err
	}
	if err := r.conn.Exec(ctx, "CREATE TABLE "+r.table("named")+" (address IPv6, group_number UInt32) ENGINE = MergeTree ORDER BY ()"); err != nil {
		return 0, err
	}
	hosts := r.plan.file.Hosts()
	if len(hosts) == 0 {
		return n, nil
	}
	batch, err := r.conn.PrepareBatch(ctx, "INSERT INTO "+r.table("named")+" (address, group_number)")
	if err != nil {
		return 0, err
	}
	defer batch.Close()
	for _, a := range hosts {
		number := group(r.plan.resolver.LookupIndex(a))
		if number == cells.NoGroup && r.plan.settings.External == policy.ExternalInternet && categories.KindOf(a) == categories.Public {
			number = cells.InternetGroup
		}
		if err := batch.Append(as16(a), number); err != nil {
			return 0, err
		}
	}
	return n, batch.Send()
}

// loadRanges makes the table of ranges: the kind and the class of the addresses
// of each, and further columns ("name Type"), whose values for a class more gives.
func (r *run) loadRanges(ctx context.Context, columns []string, more func(*class) []any) (uint64, error) {
	names, typed := []string{"address", "kind", "class", "track"}, ""
	for _, c := range columns {
		name, _, _ := strings.Cut(c, " ")
		names, typed = append(names, name), typed+", "+c
	}
	if err := r.conn.Exec(ctx, "CREATE TABLE "+r.table("ranges")+` (
		address IPv6, first UInt128 MATERIALIZED toUInt128(address), ipv4 UInt8 MATERIALIZED `+isIPv4("first")+`,
		kind UInt8, class UInt32, track UInt32`+typed+`
	) ENGINE = MergeTree ORDER BY ()`); err != nil {
		return 0, err
	}
	batch, err := r.conn.PrepareBatch(ctx, "INSERT INTO "+r.table("ranges")+" ("+strings.Join(names, ", ")+")")
	if err != nil {
		return 0, err
	}
	defer batch.Close()
	ranges := r.plan.classes.ranges()
	for _, g := range ranges {
		c := &r.plan.classes.list[g.class]
		if err := batch.Append(append([]any{as16(g.first), uint8(c.kind), g.class, g.track}, more(c)...)...); err != nil {
			return 0, err
		}
	}
	if err := batch.Send(); err != nil {
		return 0, err
	}
	return uint64(len(ranges)), r.loadTenures(ctx, names[3:], typed, more)
}

// lookUp gives a query for the rows of another one, with what is known of the
// address in one of its columns: a tuple of columns of the table of ranges.
//
// A dictionary would do the same, but an external server loads it by logging in
// to itself, for which the account would have to stand in the dictionary's
// definition, where others can read it. The range that holds an address is the
// last of its family that begins at or before it. Ranges leave no address out.
func (r *run) lookUp(query, column, as string, attributes ...string) string {
	number := "toUInt128(q." + column + ")"
	return fmt.Sprintf("SELECT q.*, tuple(a.%[1]s) AS %[2]s FROM (%[3]s) AS q ASOF JOIN %[4]s AS a ON a.ipv4 = %[5]s AND a.first <= %[6]s",
		strings.Join(attributes, ", a."), as, query, r.table("ranges"), isIPv4(number), number)
}

// isIPv4 is the SQL that tells, from the number of an IPv6 address, whether it stands for an IPv4 address.
func isIPv4(number string) string { return "(bitShiftRight(" + number + ", 32) = 65535)" }

func as16(a netip.Addr) netip.Addr { return netip.AddrFrom16(a.As16()) }
