package recommender

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"cordon/categories"
	"cordon/internal/sqltext"
	"cordon/recommender/cells"
	"cordon/recommender/decide"
	"cordon/recommender/policy"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// View is the sessions behind a proposal, judged once and kept in a table until it is closed: what stands behind matrices,
// rules and lists of sessions are groupings of that one table, so they agree with each other and with the proposal.
//
// The table has a row for each session of the proposal's VRF, window and scope, with the columns of view sessions_window that
// the command `cordon sessions` shows, and
//
//	source, destination            the ends in the proposal's terms, group:NAME or ip:PREFIX
//	client_group, server_group     the label of the group, or "" for a host in none
//	client_public, server_public   whether a host in no group has a public address
//	reason                         why it is in no rule, or ""
//	note                           what the reason rests on, or ""
//	rules                          the places of the rules that hold it
type View struct {
	Table string // name, which needs no quotes

	*Listing
	conn driver.Conn
}

// ViewPrefix begins the name of the tables of views.
const ViewPrefix = "view_"

// OpenView judges the sessions of a proposal. The connection's database is Cordon's. A mistake in the options or in the
// document is a *policy.SettingsError.
func OpenView(ctx context.Context, conn driver.Conn, p *policy.Proposal, o ListOptions) (_ *View, err error) {
	if err := dropTables(ctx, conn, ViewPrefix, leftAfter); err != nil {
		return nil, fmt.Errorf("ClickHouse: drop the views of processes that were killed: %w", err)
	}
	l, err := openListing(ctx, conn, p, o)
	if err != nil {
		return nil, err
	}
	var b [8]byte
	rand.Read(b[:]) // does not fail
	v := &View{Table: ViewPrefix + hex.EncodeToString(b[:]), Listing: l, conn: conn}
	defer func() {
		if err != nil {
			v.Close(ctx)
		}
	}()
	err = l.r.plan.step("keep the sessions", true, func() (uint64, error) {
		return 0, conn.Exec(ctx, "CREATE TABLE "+v.Table+" ENGINE = MergeTree ORDER BY () AS "+l.judged())
	})
	return v, err
}

// Close drops the tables, also when the context has ended.
func (v *View) Close(ctx context.Context) error {
	err := v.Listing.Close(ctx)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if dropped := v.conn.Exec(ctx, "DROP TABLE IF EXISTS "+v.Table+" SYNC"); dropped != nil {
		return dropped
	}
	return err
}

// Sessions is the SQL, for a FROM clause, of the sessions under the rules with the given places: the columns of the view, with the
// name of the rule as `rule` and its place as `ordinal`. Codes of one ICMP type are one session.
func (v *View) Sessions(rules []int) string {
	return fmt.Sprintf(`(
    SELECT s.*, n.name AS rule
    FROM (SELECT * EXCEPT (rules), arrayJoin(arrayFilter(x -> x IN (%[1]s), rules)) AS ordinal FROM %[2]s WHERE reason = '' AND hasAny(rules, [%[1]s])) AS s
    INNER JOIN %[3]s AS n ON n.rule = s.ordinal
)`, placesText(rules), v.Table, v.r.table("rules"))
}

// placesText lists places in SQL; no rule has the one that stands for none.
func placesText(rules []int) string {
	if len(rules) == 0 {
		return strconv.FormatUint(uint64(noRule), 10)
	}
	out := make([]string, len(rules))
	for i, place := range rules {
		out[i] = strconv.Itoa(place)
	}
	return strings.Join(out, ", ")
}

// LeftOut is the SQL, for a FROM clause, of the sessions that are in none of the document's rules: the columns of the view, with the
// place of the reason as `ordinal`. Those of some reasons, or all.
func (v *View) LeftOut(reasons []policy.Reason) string {
	texts := func(reasons []policy.Reason) string {
		out := make([]string, len(reasons))
		for i, r := range reasons {
			out[i] = sqltext.Text(string(r))
		}
		return strings.Join(out, ", ")
	}
	asked := ListedReasons()
	if len(reasons) > 0 {
		asked = reasons
	}
	return fmt.Sprintf("(SELECT *, indexOf([%s], reason) AS ordinal FROM %s WHERE reason IN (%s))", texts(ListedReasons()), v.Table, texts(asked))
}

// DropViews removes the tables of views that were made longer ago than the given time, and those of runs: what processes
// that were killed have left.
func DropViews(ctx context.Context, conn driver.Conn, older time.Duration) error {
	for _, prefix := range []string{ViewPrefix, runPrefix} {
		if err := dropTables(ctx, conn, prefix, older); err != nil {
			return err
		}
	}
	return nil
}

func dropTables(ctx context.Context, conn driver.Conn, prefix string, older time.Duration) error {
	rows, err := conn.Query(ctx, `SELECT name FROM system.tables
		WHERE database = currentDatabase() AND match(name, ?) AND metadata_modification_time <= now() - toIntervalSecond(?) ORDER BY name`,
		"^"+prefix+"[0-9a-f]{16}(_[a-z]+)?$", int(older/time.Second))
	if err != nil {
		return err
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, name := range names {
		if err := conn.Exec(ctx, "DROP TABLE IF EXISTS "+sqltext.Name(name)+" SYNC"); err != nil {
			return err
		}
	}
	return nil
}

// judged is a query for the sessions with what was decided about each.
func (l *Listing) judged() string {
	r := l.r
	from, why, note := r.fates(true)
	numbers, labels := []string{strconv.FormatUint(uint64(cells.InternetGroup), 10)}, []string{sqltext.Text(r.plan.internet.Group)}
	for i, label := range r.plan.labels {
		numbers, labels = append(numbers, strconv.Itoa(i+1)), append(labels, sqltext.Text(label.Group))
	}
	var reasons, names []string
	for i, reason := range ListedReasons() {
		reasons, names = append(reasons, strconv.Itoa(i+1)), append(names, sqltext.Text(string(reason)))
	}
	label := func(column string) string {
		return fmt.Sprintf("transform(%s, [%s]::Array(UInt32), [%s], '')", column, strings.Join(numbers, ", "), strings.Join(labels, ", "))
	}
	end := func(group, address string) string {
		return fmt.Sprintf("if(%[1]s != '', concat('group:', %[1]s), if(%[3]s, concat('ip:', substring(toString(%[2]s), 8), '/32'), concat('ip:', toString(%[2]s), '/128')))",
			group, address, ofIPv4(address))
	}
	public := func(end string) string { return fmt.Sprintf("%s.1 = %d", end, categories.Public) }
	inner := fmt.Sprintf(`SELECT %[1]s, m.client_number AS client_number, m.server_number AS server_number, m.why AS why, n.note AS note, m.rules AS rules
    FROM
    (
        %[2]s
    ) AS s
    INNER JOIN
    (
        SELECT s.client AS client, s.server AS server, s.proto AS proto, s.port AS port, s.client_group AS client_number, s.server_group AS server_number,
            %[3]s AS why, %[4]s AS place, if(why = %[5]d, s.client, toIPv6('::')) AS told, u.rules AS rules
        FROM %[6]s
        LEFT JOIN (SELECT cell, arraySort(groupUniqArray(rule)) AS rules FROM %[7]s WHERE rule != %[8]d AND reason = 0 GROUP BY cell) AS u ON u.cell = s.cell
        WHERE s.vrf = %[9]s
    ) AS m ON m.client = s.client_ip AND m.server = s.server_ip AND m.proto = s.proto AND m.port = s.cell_port
    LEFT JOIN %[10]s AS n ON n.reason = m.why AND n.place = m.place AND n.client = m.told`,
		listedColumns, r.whole(), why, note, decide.ScannerNumber, from, r.table("verdicts"), noRule, sqltext.Text(r.plan.settings.VRF), r.table("notes"))
	return fmt.Sprintf(`SELECT * EXCEPT (client_number, server_number, why, c, d), %[1]s AS client_group, %[2]s AS server_group,
    %[3]s AS client_public, %[4]s AS server_public, %[5]s AS source, %[6]s AS destination,
    transform(why, [%[7]s], [%[8]s], '') AS reason
FROM (%[9]s)`,
		label("client_number"), label("server_number"), public("c"), public("d"), end("client_group", "client_ip"), end("server_group", "server_ip"),
		strings.Join(reasons, ", "), strings.Join(names, ", "),
		r.lookUp(r.lookUp(inner, "client_ip", "c", "kind"), "server_ip", "d", "kind"))
}

// RulePlace gives the place of the rule of a proposal with a name or an id, -1 for none.
func RulePlace(p *policy.Proposal, name string) int {
	return slices.IndexFunc(p.Rules, func(r policy.Rule) bool { return r.ID == name || r.Name == name })
}
