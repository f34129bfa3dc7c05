package recommender

import (
	"context"
	"fmt"
	"strings"
	"time"

	"cordon/categories"
	"cordon/internal/iana"
	"cordon/internal/sqltext"
	"cordon/recommender/cells"
	"cordon/recommender/policy"
	"cordon/schema"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// window is a time from one moment until before another; a zero end is open.
type window struct{ since, until time.Time }

// asked is the window that the settings ask for.
func (s *Settings) asked() window { return window{s.Since.Time, s.Until.Time} }

// window gives the sessions of the window that was asked for; see sessionsIn.
func (r *run) window() (from, where string, args []any) { return r.sessionsIn(r.plan.settings.asked()) }

// sessionsIn gives the sessions of a window and the VRF, whatever the scope: what to read FROM, what
// to add to it, and the arguments of that.
func (r *run) sessionsIn(w window) (from, where string, args []any) {
	from = schema.SessionsOf(w.since, w.until)
	if r.plan.settings.VRF != "" {
		where, args = "WHERE vrf = ?", append(args, r.plan.settings.VRF)
	}
	return from, where, args
}

// scoped adds to a query for sessions what the scope asks of their ends, as conditions of a WHERE clause, and of the
// exporters, all of which a session has only once it is put together: as a HAVING clause.
func (r *run) scoped(where string) (_, having string) {
	of := r.plan.bounds.Prefixes
	selected := schema.Ends{Client: of("client"), Server: of("server"), Host: of("host"), Exporter: of("exporter")}
	ends, seen := selected.Conditions("groupUniqArrayArray(w.exporters)")
	if where != "" {
		ends = append([]string{strings.TrimPrefix(where, "WHERE ")}, ends...)
	}
	if len(ends) > 0 {
		where = "WHERE " + strings.Join(ends, " AND ")
	}
	if len(seen) > 0 {
		having = "HAVING " + seen[0]
	}
	return where, having
}

// maxScopeQuery is how many bytes a query with a scope may have: a group may have a great many prefixes.
const maxScopeQuery = 256 << 20

// withScope lets queries of the context be as long as a scope makes them.
func (r *run) withScope(ctx context.Context) context.Context {
	if r.plan.bounds.All() {
		return ctx
	}
	return clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"max_query_size": maxScopeQuery}))
}

// classify copies the sessions of the window into the run's table, each with
// the cell it belongs to and the first reason to leave it out that needs no
// policy (0 if none).
//
// Cells are told apart by their hash, `cell`: Go hands back decisions about
// cells, and a join on eight bytes is cheaper than one on the whole key. Where
// the reason is not 0 only the counts matter, so those rows share a cell, unless
// somebody still asks what is in it. The salt goes into the hash.
func (r *run) classify(ctx context.Context, salt int) error {
	detailed := "reason = 0"
	// Where generalised, a cell must not be taken for one without sessions; rules in force decide sessions whatever becomes of them.
	if len(r.plan.exclusions.statements) > 0 || r.plan.settings.Generalise > 0 || len(r.plan.existing.statements) > 0 {
		detailed = "1"
	}
	class := func(end string) string {
		if r.plan.needsClasses() {
			return end + ".3"
		}
		return "0::UInt32"
	}
	// Without a group: public addresses are external, private ones ungrouped.
	alone := func(kind categories.AddressKind) string {
		return fmt.Sprintf("(c.1 = 0 AND c.2 = %[1]d OR s.1 = 0 AND s.2 = %[1]d)", kind)
	}
	external, ungrouped := r.formerReasons()
	if r.plan.settings.External == policy.ExternalReport {
		external += fmt.Sprintf("%s, %d,", alone(categories.Public), cells.ReasonNumber(policy.External))
	}
	if r.plan.settings.Ungrouped == policy.UngroupedReport {
		ungrouped += fmt.Sprintf("%s, %d,", alone(categories.Private), cells.ReasonNumber(policy.Ungrouped))
	}
	lookedUp, args, err := r.sessionsWithEnds(ctx, r.plan.settings.asked(), "group_number", "kind", "class")
	if err != nil {
		return err
	}
	group := func(end string) string {
		if r.plan.settings.External == policy.ExternalInternet {
			return fmt.Sprintf("if(%[1]s.1 = 0 AND %[1]s.2 = %[2]d, %[3]d, %[1]s.1)::UInt32", end, categories.Public, cells.InternetGroup)
		}
		return end + ".1"
	}
	if err := r.conn.Exec(ctx, "CREATE TABLE "+r.table("sessions")+` (
		vrf LowCardinality(String), client IPv6, server IPv6, proto UInt8, port UInt16, reason UInt8,
		source_group UInt32, source_address IPv6, source_class UInt32,
		destination_group UInt32, destination_address IPv6, destination_class UInt32,
		cell_proto UInt8, cell_port UInt16, cell UInt64,
		client_group UInt32, server_group UInt32, client_tenure UInt32, server_tenure UInt32, flows UInt64, bytes UInt64, hours Array(DateTime('UTC')),
		first_seen DateTime64(6, 'UTC'), last_seen DateTime64(6, 'UTC'),
		sampling UInt32, lossy Array(LowCardinality(String))
	) ENGINE = MergeTree ORDER BY ()`); err != nil {
		return err
	}
	query := sqltext.Named(`INSERT INTO {table}
SELECT
    vrf, client, server, proto, port, reason,
    if(detailed, client_group, 0) AS source_group,
    if(detailed AND client_group = 0, client, toIPv6('::')) AS source_address,
    if(detailed, client_class, 0) AS source_class,
    if(detailed, server_group, 0) AS destination_group,
    if(detailed AND server_group = 0, server, toIPv6('::')) AS destination_address,
    if(detailed, server_class, 0) AS destination_class,
    if(detailed, proto, 0) AS cell_proto,
    if(detailed, port, 0) AS cell_port,
    cityHash64(vrf, reason, source_group, source_address, source_class, destination_group, destination_address, destination_class, cell_proto, cell_port, {salt}) AS cell,
    client_group, server_group, client_tenure, server_tenure, flows, bytes, hours, first_seen, last_seen, sampling, lossy
FROM
(
    SELECT
        vrf, client, server, proto, port, flows, bytes, hours, first_seen, last_seen, sampling, lossy, client_tenure, server_tenure,
        multiIf(
            {own_reasons}
            {external}
            {ungrouped}
            0)::UInt8 AS reason,
        {client_group_of} AS client_group, {server_group_of} AS server_group,
        {client_class_of} AS client_class, {server_class_of} AS server_class,
        {is_detailed} AS detailed
    FROM
    (
{looked_up}
    )
)`, sqltext.Values{
		"table": r.table("sessions"), "own_reasons": r.ownReasons(), "external": external, "ungrouped": ungrouped,
		"client_group_of": group("c"), "server_group_of": group("s"), "client_class_of": class("c"), "server_class_of": class("s"),
		"is_detailed": detailed, "looked_up": lookedUp, "salt": salt,
	})
	return r.conn.Exec(r.withScope(ctx), query, args...)
}

// ownReasons are the first reasons, which neither groups nor policies decide, as the beginning of the arguments of a multiIf
// over the columns of windowSessions; c and s are what is known of client and server, the kind second.
func (r *run) ownReasons() string {
	unanswered := fmt.Sprintf("complete = 0 AND half_open > 0 AND NOT (%s)", neverAnswers("server"))
	halfOpen := fmt.Sprintf("%s, %d,", unanswered, cells.ReasonNumber(policy.HalfOpen))
	switch r.plan.settings.HalfOpen {
	case policy.HalfOpenAllow:
		halfOpen = ""
	case policy.HalfOpenAllowUDP:
		halfOpen = fmt.Sprintf("%s AND proto != %d, %d,", unanswered, iana.UDP, cells.ReasonNumber(policy.HalfOpen))
	}
	scanner := ""
	if r.plan.settings.ScannerTargets > 0 {
		scanner = fmt.Sprintf("(vrf, client) IN (SELECT vrf, client FROM %s), %d,", r.table("scanners"), cells.ReasonNumber(policy.Scanner))
	}
	return fmt.Sprintf(`c.2 = %[1]d OR s.2 = %[1]d, %[2]d,
            complete = 0 AND denied > 0, %[3]d,
            %[4]s
            basis = 0 AND %[7]s, %[5]d,
            %[6]s`, categories.Local, cells.ReasonNumber(policy.Local), cells.ReasonNumber(policy.Denied), halfOpen, cells.ReasonNumber(policy.AmbiguousDirection), scanner, hasClient("proto"))
}

// neverAnswers is the condition that a column of addresses has one that stands for many hosts, multicast or limited
// broadcast. It is never the source of an answer (RFC 1122, section 3.2.1.3; RFC 4291, section 2.7), so a missing answer
// says nothing.
func neverAnswers(column string) string {
	return fmt.Sprintf("%[1]s >= toIPv6('ff00::') OR %[1]s BETWEEN toIPv6('::ffff:224.0.0.0') AND toIPv6('::ffff:239.255.255.255') OR %[1]s = toIPv6('::ffff:255.255.255.255')", column)
}

// sessionsWithEnds is a query for the sessions of a window that the settings select, with what is known of client and server, as c
// and s, and its arguments. A session of an address that changes its owner counts once for each owner, with the hours of that one.
func (r *run) sessionsWithEnds(ctx context.Context, w window, attributes ...string) (query string, args []any, err error) {
	sessions, args := r.windowSessions(w)
	query = r.lookUp(r.lookUp(sessions, "client", "c", attributes...), "server", "s", attributes...)
	if len(r.plan.classes.tracks) == 0 {
		return query, args, nil
	}
	former, err := r.tenureSessions(ctx, w, attributes)
	return "SELECT " + sessionColumns + ", c, s FROM (" + query + ") UNION ALL SELECT " + sessionColumns + ", c, s FROM (" + former + ")", args, err
}

// sessionColumns are those of windowSessions.
const sessionColumns = "vrf, client, server, proto, port, flows, bytes, hours, first_seen, last_seen, complete, half_open, denied, basis, sampling, lossy, client_tenure, server_tenure"

// windowSessions is a query for the sessions of a window that the settings select, one row each, and its arguments. Those of
// addresses that change their owner are not among them.
func (r *run) windowSessions(w window) (query string, args []any) {
	from, where, args := r.sessionsIn(w)
	if len(r.plan.classes.tracks) > 0 {
		where = and(where, "NOT "+r.touched.Condition("client_ip", "server_ip"))
	}
	return r.sessionsFrom(from, where, "0::UInt32 AS client_tenure, 0::UInt32 AS server_tenure", ""), args
}

// and adds a condition to a WHERE clause, which may be empty.
func and(where, condition string) string {
	if where == "" {
		return "WHERE " + condition
	}
	return where + " AND " + condition
}

// sessionsFrom puts together the sessions of what is named behind FROM. Tenures are the SQL of client_tenure and server_tenure, and
// of what else there is of both; by lists what of that tells sessions apart.
func (r *run) sessionsFrom(from, where, tenures, by string) string {
	where, having := r.scoped(where)
	hours := "[]::Array(DateTime('UTC'))"
	if r.plan.needsHours() {
		hours = "groupUniqArrayArray(w.active_hours)"
	}
	bytes := "w.client_bytes + w.server_bytes"
	if r.plan.settings.ScaleSampled {
		bytes = "w.scaled_bytes"
	}
	return sqltext.Named(`        -- Codes of one ICMP type are one service.
        SELECT
            w.vrf AS vrf, w.client_ip AS client, w.server_ip AS server, w.proto AS proto,
            if(w.proto IN ({icmp}, {icmpv_six}), w.icmp_type, w.port)::UInt16 AS port,
            sum(w.flows) AS flows, sum({bytes}) AS bytes, {hours} AS hours,
            min(w.first_seen) AS first_seen, max(w.last_seen) AS last_seen,
            sum(w.complete) AS complete, sum(w.half_open) AS half_open, sum(w.denied) AS denied,
            max(w.direction_basis::UInt8) AS basis,
            max(w.sampling) AS sampling, {lossy} AS lossy, {tenures}
        FROM {sessions} AS w
        {where}
        GROUP BY vrf, client, server, proto, port{by}
        {having}`, sqltext.Values{
		"icmp": iana.ICMP, "icmpv_six": iana.ICMPv6, "bytes": bytes, "hours": hours, "lossy": r.lossyOf("w.exporters"),
		"tenures": tenures, "by": by, "sessions": from, "where": where, "having": having,
	})
}
