// Package tenures finds the sessions of addresses that change their owner, and the tenure that each hour of them falls into.
//
// A session of such an address is judged by what the address was when the session was seen. The store has sessions by the
// hour, with the first and the last moment of each hour's flows. An hour belongs to the owner that the
// address had at that first moment. Where the address changed between the first and the last moment, nobody knows which flows
// were whose: the hour belongs to nobody.
package tenures

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"cordon/internal/sqltext"
	"cordon/schema"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// last is the SQL of the last moment of the flows of an hour q, as far as the hour goes: a flow belongs to the hour in which it began.
const last = "greatest(q.first_seen, least(q.last_seen, addMicroseconds(toDateTime64(q.hour, 6, 'UTC'), 3599999999)))"

// NobodyKnows is the SQL condition that the owner of an address changed within the flows of an hour; see Join.
const NobodyKnows = "t.until <= " + last

// Columns are those that a table of tenures has at least: the number of a range of addresses, and the time.
const Columns = "track UInt32, since DateTime64(6, 'UTC'), until DateTime64(6, 'UTC')"

// Join is the SQL, for a FROM clause, of hours of sessions, as schema.HoursOf gives them, as q with the tenure of one of their ends as t. The hours
// have the number of the end's range as column track. Those with a number of which the table has no tenure have one of zeros.
func Join(hours, table string) string {
	return "(" + hours + ") AS q ASOF LEFT JOIN " + table + " AS t ON t.track = q.track AND t.since <= q.first_seen"
}

// KeepHours makes a table of the hours of the sessions that overlap [since, until) and of which an end changes its owner, as schema.HoursOf gives
// them; of one VRF, or of all if that is empty. What joins tenures to them asks the table: ClickHouse analyses a query again for each use of it
// inside another, and for the query of hours that takes a second each time.
func (t *Touched) KeepHours(ctx context.Context, conn driver.Conn, table string, since, until time.Time, vrf string) error {
	where := ""
	if vrf != "" {
		where = " WHERE vrf = " + sqltext.Text(vrf)
	}
	return conn.Exec(ctx, "CREATE TABLE "+table+" ENGINE = MergeTree ORDER BY () AS SELECT * FROM ("+schema.HoursOf(since, until, t.Condition)+")"+where)
}

// Touched is a table of the prefixes of addresses that change their owner.
type Touched struct {
	table string
	bits  []int // the lengths of the prefixes, each once
}

// mappedBits is how long the prefix is under which IPv6 has the addresses of IPv4.
const mappedBits = 96

// Load makes the table. Its name is given as SQL has it.
func Load(ctx context.Context, conn driver.Conn, table string, prefixes []netip.Prefix) (*Touched, error) {
	t := &Touched{table: table}
	if err := conn.Exec(ctx, "CREATE TABLE "+table+" (bits UInt8, address IPv6) ENGINE = MergeTree ORDER BY ()"); err != nil {
		return nil, err
	}
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO "+table+" (bits, address)")
	if err != nil {
		return nil, err
	}
	defer batch.Close()
	for _, p := range prefixes {
		bits := p.Bits()
		if p.Addr().Is4() {
			bits += mappedBits
		}
		if !slices.Contains(t.bits, bits) {
			t.bits = append(t.bits, bits)
		}
		if err := batch.Append(uint8(bits), netip.AddrFrom16(p.Addr().As16())); err != nil {
			return nil, err
		}
	}
	return t, batch.Send()
}

// Condition is the SQL condition that an address in one of two columns changes its owner.
func (t *Touched) Condition(client, server string) string {
	var any []string
	for _, column := range []string{client, server} {
		for _, bits := range t.bits {
			network := column
			if bits < 128 {
				network = fmt.Sprintf("IPv6CIDRToRange(%s, %d).1", column, bits)
			}
			any = append(any, fmt.Sprintf("%s GLOBAL IN (SELECT address FROM %s WHERE bits = %d)", network, t.table, bits))
		}
	}
	return "(" + strings.Join(any, " OR ") + ")"
}
