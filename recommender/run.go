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

	"cordon/recommender/policy"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// run is one recommendation's tables in ClickHouse. They are ordinary tables,
// since a dictionary cannot read a temporary one, with a name that no other run has:
//
//	<name>_prefixes   what tells addresses apart
//	<name>_addresses  the same as a dictionary
//	<name>_scanners   clients that scan, where they are kept out
//	<name>_sessions   each session of the window, looked up
//	<name>_verdicts   what Go decided about cells
//	<name>_excluded   what the groups file excludes, of a survey
//	<name>_rules      names of rules, for a Listing
//	<name>_ends       classes of the ends of these rules
//
// close drops them. A run that was killed leaves them behind; the next run
// after a day removes them.
type run struct {
	*plan
	conn     driver.Conn
	database string
	name     string
	scanners map[clientOf]scanner
	lossy    []string // exporters with loss around the window, see readLossy
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
	err := r.conn.Exec(ctx, "DROP DICTIONARY IF EXISTS "+r.table("addresses"))
	for _, suffix := range []string{"prefixes", "scanners", "sessions", "verdicts", "excluded", "rules", "ends"} {
		err = errors.Join(err, r.conn.Exec(ctx, "DROP TABLE IF EXISTS "+r.table(suffix)+" SYNC"))
	}
	return err
}

// dropLeftovers removes the tables of runs that began longer ago than the given
// time and were killed.
func (r *run) dropLeftovers(ctx context.Context, older time.Duration) error {
	rows, err := r.conn.Query(ctx, `SELECT name, engine = 'Dictionary' FROM system.tables
		WHERE database = currentDatabase() AND startsWith(name, ?) AND metadata_modification_time < now() - toIntervalSecond(?)
		ORDER BY engine != 'Dictionary', name`, runPrefix, int(older/time.Second))
	if err != nil {
		return err
	}
	defer rows.Close()
	var drops []string
	for rows.Next() {
		var name string
		var dictionary uint8
		if err := rows.Scan(&name, &dictionary); err != nil {
			return err
		}
		if dictionary == 1 {
			drops = append(drops, "DROP DICTIONARY IF EXISTS "+identifier(name))
		} else {
			drops = append(drops, "DROP TABLE IF EXISTS "+identifier(name))
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, q := range drops {
		if err := r.conn.Exec(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// table gives the quoted name of one of the run's tables.
func (r *run) table(suffix string) string { return identifier(r.name + "_" + suffix) }

func identifier(name string) string {
	return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(name) + "`"
}

func text(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

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
	p.Observe(Step{Name: name, Server: server, Took: time.Since(start), Rows: rows})
	return nil
}

// noGroup and internetGroup stand in the run's tables for what is not a group of the
// groups file; a group is its place in Resolver.Groups plus one.
const (
	noGroup       = uint32(0)
	internetGroup = ^uint32(0)
)

// loadAddresses hands over what tells addresses apart. The rows of the table
// are the dictionary's prefixes, and, marked as named, the known endpoints.
func (r *run) loadAddresses(ctx context.Context) (uint64, error) {
	if err := r.conn.Exec(ctx, "CREATE TABLE "+r.table("prefixes")+` (
		prefix String, address IPv6, named UInt8, group_number UInt32, kind UInt8, class UInt32
	) ENGINE = MergeTree ORDER BY ()`); err != nil {
		return 0, err
	}
	batch, err := r.conn.PrepareBatch(ctx, "INSERT INTO "+r.table("prefixes")+" (prefix, address, named, group_number, kind, class)")
	if err != nil {
		return 0, err
	}
	defer batch.Close()
	group := func(place int) uint32 { return uint32(place + 1) }
	add := func(p netip.Prefix, named bool, groupNumber uint32, kind uint8, class uint32) error {
		return batch.Append(p.String(), as16(p.Addr()), named, groupNumber, kind, class)
	}
	for _, l := range r.classes.located {
		c := &r.classes.list[l.class]
		if err := add(l.prefix, false, group(c.group), uint8(c.kind), l.class); err != nil {
			return 0, err
		}
	}
	for _, e := range r.resolver.Endpoints() {
		if err := add(netip.PrefixFrom(e.Addr, e.Addr.BitLen()), true, group(r.resolver.LookupIndex(e.Addr)), 0, 0); err != nil {
			return 0, err
		}
	}
	if err := batch.Send(); err != nil {
		return 0, err
	}
	return uint64(len(r.classes.located)), r.createDictionary(ctx, "prefix String, group_number UInt32 DEFAULT 0, kind UInt8 DEFAULT 0, class UInt32 DEFAULT 0", " WHERE 'NOT named'")
}

// createDictionary makes a dictionary of columns of the table of prefixes.
func (r *run) createDictionary(ctx context.Context, columns, where string) error {
	account := ""
	if r.DictionaryUser != "" {
		account = " USER " + text(r.DictionaryUser) + " PASSWORD " + text(r.DictionaryPassword)
	}
	return r.conn.Exec(ctx, "CREATE DICTIONARY "+r.table("addresses")+" ("+columns+`
	) PRIMARY KEY prefix
	SOURCE(CLICKHOUSE(DB `+text(r.database)+` TABLE `+text(r.name+"_prefixes")+where+account+`))
	LAYOUT(IP_TRIE()) LIFETIME(0)`)
}

func as16(a netip.Addr) netip.Addr { return netip.AddrFrom16(a.As16()) }

// reasonNumber is a reason in the run's tables: its place in policy.Reasons plus
// one; 0 is included.
func reasonNumber(reason policy.Reason) int {
	for i, r := range policy.Reasons {
		if r == reason {
			return i + 1
		}
	}
	panic("BUG: no number for reason " + string(reason))
}
