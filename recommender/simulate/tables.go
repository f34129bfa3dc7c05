package simulate

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"cordon/internal/iana"
	"cordon/internal/sqltext"
	"cordon/recommender/policy"
	"cordon/recommender/tenures"
	"cordon/schema"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// tables are those of one replay in ClickHouse:
//
//	<name>_ranges    the class of the addresses of each range, by its first address, and the track of those that change their owner
//	<name>_tenures   the class of the addresses of each track in each time, and in an hour in which it is not known
//	<name>_touched   prefixes of the addresses with a track
//	<name>_hours     the hours of the sessions of these, with the classes of both ends
//	<name>_sessions  each session of the window with its classes
//	<name>_merged    the ICMP sessions among them on their way to one for each type
//	<name>_verdicts  the number of what was decided, by classes and service
//	<name>_stopped   the sessions that hosts are counted by, with that number
//
// Keys of groupings and joins are numbers of a fixed size, which take ClickHouse a fraction of the time that texts take. close drops them. Those of a process that was killed go with the leftovers of recommendations, whose prefix the name has.
type tables struct {
	conn driver.Conn
	name string
	s    *Settings
	b    *policy.Bounds
	list []string // VRFs; their numbers in tables count from 1

	touched *tenures.Touched // nil where no address changes its owner
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
	for _, suffix := range []string{"ranges", "tenures", "touched", "hours", "hours_seen", "sessions", "merged", "verdicts", "stopped"} {
		err = errors.Join(err, t.conn.Exec(ctx, "DROP TABLE IF EXISTS "+t.table(suffix)+" SYNC"))
	}
	return err
}

// window is what a query names behind FROM for the sessions of the window.
func (t *tables) window() string { return schema.SessionsOf(t.s.Since, t.s.Until) }

// conditions are those of the VRF and of the scope, and further ones, as clauses for rows of window as w, grouped by session.
func (t *tables) conditions(further ...string) (where, having string) {
	selected := schema.Ends{Client: t.b.Prefixes("client"), Server: t.b.Prefixes("server"), Host: t.b.Prefixes("host"), Exporter: t.b.Prefixes("exporter")}
	ends, seen := selected.Conditions("groupUniqArrayArray(w.exporters)")
	if t.s.VRF != "" {
		ends = append(ends, "w.vrf = "+sqltext.Text(t.s.VRF))
	}
	if ends = append(ends, further...); len(ends) > 0 {
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

// vrfs lists the VRFs with stored sessions, whatever their window, and numbers them.
func (t *tables) vrfs(ctx context.Context) (out []string, err error) {
	defer func() { t.list = out }()
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
		address IPv6, first UInt128 MATERIALIZED toUInt128(address), ipv4 UInt8 MATERIALIZED `+isIPv4("first")+`, class UInt32, track UInt32
	) ENGINE = MergeTree ORDER BY ()`); err != nil {
		return err
	}
	batch, err := t.conn.PrepareBatch(ctx, "INSERT INTO "+t.table("ranges")+" (address, class, track)")
	if err != nil {
		return err
	}
	defer batch.Close()
	for _, r := range c.ranges {
		if err := batch.Append(as16(r.first), r.class, r.track); err != nil {
			return err
		}
	}
	if err := batch.Send(); err != nil || len(c.tracks) == 0 {
		return err
	}
	return t.loadTenures(ctx, c)
}

// loadTenures sends what became of the addresses that change their owner.
func (t *tables) loadTenures(ctx context.Context, c *classes) error {
	if err := t.conn.Exec(ctx, "CREATE TABLE "+t.table("tenures")+" ("+tenures.Columns+", class UInt32, nobody UInt32) ENGINE = MergeTree ORDER BY ()"); err != nil {
		return err
	}
	batch, err := t.conn.PrepareBatch(ctx, "INSERT INTO "+t.table("tenures")+" (track, since, until, class, nobody)")
	if err != nil {
		return err
	}
	defer batch.Close()
	for i, x := range c.tracks {
		for _, of := range x.tenures {
			since, until := schema.OpenWindow(of.From, of.Until)
			if err := batch.Append(uint32(i+1), since, until, of.class, x.nobody); err != nil {
				return err
			}
		}
	}
	if err := batch.Send(); err != nil {
		return err
	}
	t.touched, err = tenures.Load(ctx, t.conn, t.table("touched"), c.changed())
	return err
}

// lookUp gives a query for the rows of another one with the class of the address in a column: the range that holds it is
// the last of its family that begins at or before it.
func (t *tables) lookUp(query, column, as string) string {
	number := "toUInt128(q." + column + ")"
	return fmt.Sprintf("SELECT q.*, a.class AS %s FROM (%s) AS q ASOF JOIN %s AS a ON a.ipv4 = %s AND a.first <= %s",
		as, query, t.table("ranges"), isIPv4(number), number)
}

// lookUpTrack is lookUp with the class as class, and with the track of the address as track, 0 for none.
func (t *tables) lookUpTrack(query, column string) string {
	number := "toUInt128(q." + column + ")"
	return fmt.Sprintf("SELECT q.*, a.class AS class, a.track AS track FROM (%s) AS q ASOF JOIN %s AS a ON a.ipv4 = %s AND a.first <= %s", query, t.table("ranges"), isIPv4(number), number)
}

// neverAnswers is the condition that an address stands for many hosts: it is never the source of an answer (RFC 1122,
// section 3.2.1.3; RFC 4291, section 2.7), so a missing answer makes no attempt.
func neverAnswers(column string) string {
	return fmt.Sprintf("(%[1]s >= toIPv6('ff00::') OR %[1]s BETWEEN toIPv6('::ffff:224.0.0.0') AND toIPv6('::ffff:239.255.255.255') OR %[1]s = toIPv6('::ffff:255.255.255.255'))", column)
}

// servicePort is the SQL of what a session's service has beside its protocol, over rows of window as w.
var servicePort = fmt.Sprintf("if(w.proto IN (%d, %d), w.icmp_type, w.port)::UInt16", iana.ICMP, iana.ICMPv6)

// sessionColumns are those of the table of sessions. Those with half-open records and none that was answered, or that were dropped, are
// attempts; where the server stands for many hosts, half-open means nothing.
const sessionColumns = `vrf UInt16, client IPv6, server IPv6, proto UInt8, port UInt16, complete Bool, half_open Bool, denied Bool,
	client_class UInt32, server_class UInt32, flows UInt64, bytes UInt64, first_seen DateTime64(6, 'UTC'), last_seen DateTime64(6, 'UTC'),
	attempt Bool ALIAS NOT complete AND (half_open OR denied)`

// icmp is the condition that a session is of ICMP.
var icmp = fmt.Sprintf("proto IN (%d, %d)", iana.ICMP, iana.ICMPv6)

// createSessions makes a table of sessions, those of ICMP in a partition of their own.
func (t *tables) createSessions(ctx context.Context, suffix string) error {
	return t.conn.Exec(ctx, "CREATE TABLE "+t.table(suffix)+" ("+sessionColumns+") ENGINE = MergeTree ORDER BY () PARTITION BY "+icmp)
}

// counted are the columns of a session of rows as w, by what sums and what takes the least and the most of several rows; all empty for one row.
func counted(sum, least, most string) string {
	return fmt.Sprintf(`w.vrf AS vrf, w.client_ip AS client, w.server_ip AS server, w.proto AS proto, %[4]s AS port,
		%[1]s(w.complete) AS complete, %[1]s(w.half_open) AS half_open, %[1]s(w.denied) AS denied,
		%[1]s(w.flows) AS flows, %[1]s(w.client_bytes + w.server_bytes) AS bytes, %[2]s(w.first_seen) AS first_seen, %[3]s(w.last_seen) AS last_seen`, sum, least, most, servicePort)
}

// whole is a query for the sessions of the window with the classes of their ends, but for those of addresses that change their owner. Each row of
// the view is a session, but that it has the codes of an ICMP type apart. All rows are grouped only where the exporters of all
// codes matter, since that costs as much as the view.
func (t *tables) whole() string {
	where, having := t.conditions(t.untouched()...)
	sessions := fmt.Sprintf("SELECT %s FROM %s AS w %s", counted("", "", ""), t.window(), where)
	if having != "" {
		sessions = fmt.Sprintf("SELECT %s FROM %s AS w %s GROUP BY vrf, client, server, proto, port %s", counted("sum", "min", "max"), t.window(), where, having)
	}
	return t.lookUp(t.lookUp(sessions, "client", "client_class"), "server", "server_class")
}

// untouched is the condition that no address of a session changes its owner; none where no address does.
func (t *tables) untouched() []string {
	if t.touched == nil {
		return nil
	}
	return []string{"NOT " + t.touched.Condition("w.client_ip", "w.server_ip")}
}

// keepHours makes the table of the hours of sessions of addresses that change their owner, with the classes of both ends.
func (t *tables) keepHours(ctx context.Context) error {
	if err := t.touched.KeepHours(ctx, t.conn, t.table("hours_seen"), t.s.Since, t.s.Until, ""); err != nil {
		return err
	}
	hours := "SELECT * FROM " + t.table("hours_seen")
	for _, end := range []string{"client", "server"} {
		hours = fmt.Sprintf("SELECT q.* EXCEPT (class, track), multiIf(q.track = 0, q.class, %s, t.nobody, t.class)::UInt32 AS %s_class FROM %s", tenures.NobodyKnows, end,
			tenures.Join(t.lookUpTrack(hours, end+"_ip"), t.table("tenures")))
	}
	return t.conn.Exec(ctx, "CREATE TABLE "+t.table("hours")+" ENGINE = MergeTree ORDER BY () AS "+hours)
}

// divided is a query for the sessions of addresses that change their owner, with the columns of view sessions_window that follow from no other,
// and with client_class and server_class. A session counts once for each pair of classes that its hours have.
func (t *tables) divided() string {
	return schema.JudgedOf("SELECT * FROM "+t.table("hours"), "client_class", "server_class")
}

// former is whole for the sessions of addresses that change their owner.
func (t *tables) former() string {
	where, having := t.conditions()
	return fmt.Sprintf("SELECT %s, w.client_class AS client_class, w.server_class AS server_class FROM (%s) AS w %s GROUP BY vrf, client, server, proto, port, client_class, server_class %s",
		counted("sum", "min", "max"), t.divided(), where, having)
}

// classify copies the sessions of the window into a table, each with the classes of its ends.
func (t *tables) classify(ctx context.Context) error {
	if err := t.createSessions(ctx, "sessions"); err != nil {
		return err
	}
	queries := []string{t.whole()}
	if t.touched != nil {
		if err := t.keepHours(ctx); err != nil {
			return err
		}
		queries = append(queries, t.former())
	}
	for _, query := range queries {
		if err := t.conn.Exec(long(ctx), fmt.Sprintf(`INSERT INTO %s
			SELECT indexOf(%s, vrf::String) AS number, client, server, proto, port, complete > 0, half_open > 0 AND NOT %s, denied > 0,
				client_class, server_class, flows, bytes, first_seen, last_seen
			FROM (%s) WHERE number > 0`, t.table("sessions"), textList(t.list), neverAnswers("server"), query)); err != nil {
			return err
		}
	}
	return t.mergeCodes(ctx)
}

// mergeCodes makes one session of the codes of an ICMP type.
func (t *tables) mergeCodes(ctx context.Context) error {
	var more bool
	if err := t.conn.QueryRow(ctx, "SELECT count() > uniqExact(vrf, client, server, proto, port, client_class, server_class) FROM "+t.table("sessions")+" WHERE "+icmp).Scan(&more); err != nil || !more {
		return err
	}
	if err := t.createSessions(ctx, "merged"); err != nil {
		return err
	}
	if err := t.conn.Exec(ctx, fmt.Sprintf(`INSERT INTO %s
		SELECT vrf, client, server, proto, port, max(s.complete), max(s.half_open), max(s.denied), s.client_class, s.server_class,
			sum(s.flows), sum(s.bytes), min(s.first_seen), max(s.last_seen)
		FROM %s AS s WHERE %s GROUP BY vrf, client, server, proto, port, client_class, server_class`, t.table("merged"), t.table("sessions"), icmp)); err != nil {
		return err
	}
	return t.conn.Exec(ctx, "ALTER TABLE "+t.table("sessions")+" REPLACE PARTITION 1 FROM "+t.table("merged"))
}

// textList is the SQL of a list of texts.
func textList(texts []string) string {
	quoted := make([]string, len(texts))
	for i := range texts {
		quoted[i] = sqltext.Text(texts[i])
	}
	return "[" + strings.Join(quoted, ", ") + "]::Array(String)"
}

// bestExample is the aggregate of the session to name among rows as s: the one with most flows, then the one whose addresses come first. The bytes of
// what is compared are one text, which is compared at a fraction of the cost of a tuple.
const bestExample = `min(concat(reverse(reinterpretAsFixedString(bitNot(s.flows))), reinterpretAsFixedString(s.client), reinterpretAsFixedString(s.server),
	reinterpretAsFixedString(s.proto), reverse(reinterpretAsFixedString(s.port))))`

// packed is the SQL of one text with the bytes of columns. A driver takes more time for the values of a row than the engine for
// grouping them, so a row that is read in great numbers is one text. Numbers are little-endian, times are microseconds since 1970.
func packed(columns ...string) string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = "reinterpretAsFixedString(" + c + ")"
	}
	return "concat(" + strings.Join(out, ", ") + ")"
}

// packedWithSums is packed with what is counted of rows as s behind the columns: flows, bytes, the first and the last moment, and bestExample.
func packedWithSums(columns ...string) string {
	columns = append(columns, "sum(s.flows)", "sum(s.bytes)", "toUnixTimestamp64Micro(min(s.first_seen))", "toUnixTimestamp64Micro(max(s.last_seen))")
	return "concat(" + packed(columns...) + ", " + bestExample + ")"
}

// unpacker reads the values of a packed text, one after another.
type unpacker struct {
	rest []byte
	err  error
}

// bytes gives the next bytes; zeros, and an error, where the text is too short.
func (u *unpacker) bytes(n int) []byte {
	if len(u.rest) < n {
		u.err = fmt.Errorf("a row is %d bytes short", n-len(u.rest))
		return make([]byte, n)
	}
	out := u.rest[:n]
	u.rest = u.rest[n:]
	return out
}

func (u *unpacker) uint16() uint16 { return binary.LittleEndian.Uint16(u.bytes(2)) }
func (u *unpacker) uint32() uint32 { return binary.LittleEndian.Uint32(u.bytes(4)) }
func (u *unpacker) uint64() uint64 { return binary.LittleEndian.Uint64(u.bytes(8)) }
func (u *unpacker) time() time.Time {
	return time.UnixMicro(int64(u.uint64())).UTC()
}
func (u *unpacker) addr() netip.Addr { return netip.AddrFrom16([16]byte(u.bytes(16))) }

// sums reads what packedWithSums has behind its columns.
func (u *unpacker) sums(t *tallied) {
	t.flows, t.bytes, t.first, t.last = u.uint64(), u.uint64(), u.time(), u.time()
	t.example = u.example()
}

// example reads what bestExample gives.
func (u *unpacker) example() (e example) {
	e.flows = ^binary.BigEndian.Uint64(u.bytes(8))
	e.client, e.server = u.addr().Unmap(), u.addr().Unmap()
	e.service.Proto = u.bytes(1)[0]
	e.service.Port = binary.BigEndian.Uint16(u.bytes(2))
	return e
}

// end fails where the text had not the bytes that were read.
func (u *unpacker) end() error {
	if u.err == nil && len(u.rest) > 0 {
		u.err = fmt.Errorf("a row is %d bytes too long", len(u.rest))
	}
	return u.err
}

// unpack calls f with each row of a query for one text.
func (t *tables) unpack(ctx context.Context, query string, f func(*unpacker)) error {
	rows, err := t.conn.Query(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	var text string
	for rows.Next() {
		if err := rows.Scan(&text); err != nil {
			return err
		}
		u := unpacker{rest: []byte(text)}
		f(&u)
		if err := u.end(); err != nil {
			return err
		}
	}
	return rows.Err()
}

// readParts counts sessions and attempts between classes.
func (t *tables) readParts(ctx context.Context) (out []part, err error) {
	row := packedWithSums("s.vrf", "s.client_class", "s.server_class", "s.attempt", "count()")
	err = t.unpack(ctx, "SELECT "+row+" FROM "+t.table("sessions")+` AS s
		GROUP BY s.vrf, s.client_class, s.server_class, s.proto, s.port, s.attempt`, func(u *unpacker) {
		p := part{number: u.uint16(), client: u.uint32(), server: u.uint32()}
		p.attempts, p.n = u.bytes(1)[0] > 0, u.uint64()
		u.sums(&p.tallied)
		if u.err == nil {
			p.vrf, p.service = t.list[p.number-1], p.example.service
		}
		out = append(out, p)
	})
	return out, err
}
