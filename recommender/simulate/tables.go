package simulate

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"cordon/internal/iana"
	"cordon/internal/sqltext"
	"cordon/recommender/policy"
	"cordon/schema"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// tables are those of one replay in ClickHouse:
//
//	<name>_ranges    the class of the addresses of each range, by its first address
//	<name>_sessions  each session of the window with its classes
//	<name>_verdicts  what was decided, by classes and service
//
// close drops them. Those of a process that was killed go with the leftovers of recommendations, whose prefix the name has.
type tables struct {
	conn driver.Conn
	name string
	s    *Settings
	b    *policy.Bounds
}

const tablePrefix = "recommend_simulate_"

func newTables(conn driver.Conn, s *Settings, b *policy.Bounds) *tables {
	var id [8]byte
	rand.Read(id[:]) // does not fail
	return &tables{conn: conn, name: tablePrefix + hex.EncodeToString(id[:]), s: s, b: b}
}

func (t *tables) table(suffix string) string { return sqltext.Name(t.name + "_" + suffix) }

func (t *tables) close(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	for _, suffix := range []string{"ranges", "sessions", "verdicts"} {
		err = errors.Join(err, t.conn.Exec(ctx, "DROP TABLE IF EXISTS "+t.table(suffix)+" SYNC"))
	}
	return err
}

// timeFormat is how ClickHouse reads a DateTime64(6).
const timeFormat = "2006-01-02 15:04:05.000000"

// The ends of an open window, as the schema's view of all sessions has them.
var (
	allSince = time.Unix(0, 0)
	allUntil = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
)

// window is the view of the sessions of the window, for a FROM clause.
func (t *tables) window() string {
	since, until := allSince, allUntil
	if !t.s.Since.IsZero() {
		since = t.s.Since
	}
	if !t.s.Until.IsZero() {
		until = t.s.Until
	}
	return fmt.Sprintf("sessions_window(since = '%s', until = '%s')", since.UTC().Format(timeFormat), until.UTC().Format(timeFormat))
}

// conditions are those of the VRF and of the scope, as clauses for rows of window as w, grouped by session.
func (t *tables) conditions() (where, having string) {
	selected := schema.Ends{Client: t.b.Prefixes("client"), Server: t.b.Prefixes("server"), Host: t.b.Prefixes("host"), Exporter: t.b.Prefixes("exporter")}
	ends, seen := selected.Conditions("groupUniqArrayArray(w.exporters)")
	if t.s.VRF != "" {
		ends = append(ends, "w.vrf = "+sqltext.Text(t.s.VRF))
	}
	if len(ends) > 0 {
		where = "WHERE " + strings.Join(ends, " AND ")
	}
	if len(seen) > 0 {
		having = "HAVING " + seen[0]
	}
	return where, having
}

// maxQuery is how many bytes a query with a scope may have: a group may have a great many prefixes.
const maxQuery = 256 << 20

func long(ctx context.Context) context.Context {
	return clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"max_query_size": maxQuery}))
}

// vrfs lists the VRFs with stored sessions, whatever their window.
func (t *tables) vrfs(ctx context.Context) (out []string, err error) {
	rows, err := t.conn.Query(ctx, "SELECT DISTINCT vrf FROM sessions_hourly ORDER BY vrf")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var vrf string
		if err := rows.Scan(&vrf); err != nil {
			return nil, err
		}
		out = append(out, vrf)
	}
	return out, rows.Err()
}

// isIPv4 is the SQL that tells, from the number of an IPv6 address, whether it stands for an IPv4 address.
func isIPv4(number string) string { return "(bitShiftRight(" + number + ", 32) = 65535)" }

func as16(a netip.Addr) netip.Addr { return netip.AddrFrom16(a.As16()) }

// load sends the ranges.
func (t *tables) load(ctx context.Context, c *classes) error {
	if err := t.conn.Exec(ctx, "CREATE TABLE "+t.table("ranges")+` (
		address IPv6, first UInt128 MATERIALIZED toUInt128(address), ipv4 UInt8 MATERIALIZED `+isIPv4("first")+`, class UInt32
	) ENGINE = MergeTree ORDER BY ()`); err != nil {
		return err
	}
	batch, err := t.conn.PrepareBatch(ctx, "INSERT INTO "+t.table("ranges")+" (address, class)")
	if err != nil {
		return err
	}
	defer batch.Close()
	for _, r := range c.ranges {
		if err := batch.Append(as16(r.first), r.class); err != nil {
			return err
		}
	}
	return batch.Send()
}

// lookUp gives a query for the rows of another one with the class of the address in a column: the range that holds it is
// the last of its family that begins at or before it.
func (t *tables) lookUp(query, column, as string) string {
	number := "toUInt128(q." + column + ")"
	return fmt.Sprintf("SELECT q.*, a.class AS %s FROM (%s) AS q ASOF JOIN %s AS a ON a.ipv4 = %s AND a.first <= %s",
		as, query, t.table("ranges"), isIPv4(number), number)
}

// neverAnswers is the condition that an address stands for many hosts: it is never the source of an answer (RFC 1122,
// section 3.2.1.3; RFC 4291, section 2.7), so a missing answer makes no attempt.
func neverAnswers(column string) string {
	return fmt.Sprintf("(%[1]s >= toIPv6('ff00::') OR %[1]s BETWEEN toIPv6('::ffff:224.0.0.0') AND toIPv6('::ffff:239.255.255.255') OR %[1]s = toIPv6('::ffff:255.255.255.255'))", column)
}

// servicePort is the SQL of what a session's service has beside its protocol, over rows of window as w.
var servicePort = fmt.Sprintf("if(w.proto IN (%d, %d), w.icmp_type, w.port)::UInt16", iana.ICMP, iana.ICMPv6)

// classify copies the sessions of the window into a table, each with the classes of its ends.
func (t *tables) classify(ctx context.Context) error {
	if err := t.conn.Exec(ctx, "CREATE TABLE "+t.table("sessions")+` (
		vrf LowCardinality(String), client IPv6, server IPv6, proto UInt8, port UInt16, attempt Bool,
		client_class UInt32, server_class UInt32, flows UInt64, bytes UInt64,
		first_seen DateTime64(6, 'UTC'), last_seen DateTime64(6, 'UTC')
	) ENGINE = MergeTree ORDER BY ()`); err != nil {
		return err
	}
	where, having := t.conditions()
	// Codes of one ICMP type are one service.
	sessions := fmt.Sprintf(`SELECT w.vrf AS vrf, w.client_ip AS client, w.server_ip AS server, w.proto AS proto, %s AS port,
			sum(w.complete) AS complete, sum(w.half_open) AS half_open, sum(w.denied) AS denied,
			sum(w.flows) AS flows, sum(w.client_bytes + w.server_bytes) AS bytes, min(w.first_seen) AS first_seen, max(w.last_seen) AS last_seen
		FROM %s AS w %s GROUP BY vrf, client, server, proto, port %s`, servicePort, t.window(), where, having)
	return t.conn.Exec(long(ctx), fmt.Sprintf(`INSERT INTO %s
		SELECT vrf, client, server, proto, port, complete = 0 AND (denied > 0 OR half_open > 0 AND NOT %s) AS attempt,
			client_class, server_class, flows, bytes, first_seen, last_seen
		FROM (%s)`, t.table("sessions"), neverAnswers("server"), t.lookUp(t.lookUp(sessions, "client", "client_class"), "server", "server_class")))
}

// readParts counts sessions and attempts between classes.
func (t *tables) readParts(ctx context.Context) (out []part, err error) {
	rows, err := t.conn.Query(ctx, `SELECT vrf, client_class, server_class, proto, port, attempt, n, f, b, first, last, bitNot(example.1), example.2, example.3 FROM
		(
			SELECT vrf, client_class, server_class, proto, port, attempt, count() AS n, sum(flows) AS f, sum(bytes) AS b,
				min(first_seen) AS first, max(last_seen) AS last, min((bitNot(flows), client, server)) AS example
			FROM `+t.table("sessions")+`
			GROUP BY vrf, client_class, server_class, proto, port, attempt
		)`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var p part
		if err := rows.Scan(&p.vrf, &p.client, &p.server, &p.service.Proto, &p.service.Port, &p.attempts, &p.n, &p.flows, &p.bytes,
			&p.first, &p.last, &p.example.flows, &p.example.client, &p.example.server); err != nil {
			return nil, err
		}
		p.example.client, p.example.server, p.example.service = p.example.client.Unmap(), p.example.server.Unmap(), p.service.String()
		out = append(out, p)
	}
	return out, rows.Err()
}
