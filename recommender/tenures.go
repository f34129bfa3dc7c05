package recommender

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"cordon/categories"
	"cordon/recommender/cells"
	"cordon/recommender/policy"
	"cordon/recommender/tenures"
	"cordon/schema"
)

// What becomes of the sessions of an hour that belongs to nobody, see package tenures: they are left out as those of an address in no group.

// unknownTenure is the tenure of such hours.
const unknownTenure = ^uint32(0)

// typeOf gives the type of an attribute of addresses; see loadRanges.
func typeOf(attribute string) string {
	switch attribute {
	case "kind":
		return "UInt8"
	case "naming":
		return "UInt64"
	}
	return "UInt32"
}

// tenureNumber numbers the tenures of all tracks, from 1, each time that an address is of one class in one way: an address that is
// the same again later has the same tenure.
func (c *classes) tenureNumbers() [][]uint32 {
	out := make([][]uint32, len(c.tracks))
	next := uint32(0)
	for i := range c.tracks {
		t := c.tracks[i].tenures
		for j := range t {
			same := slices.IndexFunc(t[:j], func(o tenure) bool { return o.class == t[j].class && o.former == t[j].former })
			if same >= 0 {
				out[i] = append(out[i], out[i][same])
				continue
			}
			next++
			out[i] = append(out[i], next)
		}
	}
	return out
}

// loadTenures makes the tables of addresses that change their owner, where there are any. The names are those of further columns
// with their types, whose values more gives.
func (r *run) loadTenures(ctx context.Context, names []string, typed string, more func(*class) []any) error {
	if len(r.plan.classes.tracks) == 0 {
		return nil
	}
	if err := r.conn.Exec(ctx, "CREATE TABLE "+r.table("tenures")+` (
		`+tenures.Columns+`, tenure UInt32, kind UInt8, class UInt32`+typed+`
	) ENGINE = MergeTree ORDER BY ()`); err != nil {
		return err
	}
	batch, err := r.conn.PrepareBatch(ctx, "INSERT INTO "+r.table("tenures")+" ("+strings.Join(append([]string{"track", "since", "until", "tenure", "kind", "class"}, names[1:]...), ", ")+")")
	if err != nil {
		return err
	}
	defer batch.Close()
	numbers := r.plan.classes.tenureNumbers()
	for i, t := range r.plan.classes.tracks {
		for j := range t.tenures {
			x := &t.tenures[j]
			c := &r.plan.classes.list[x.class]
			since, until := schema.OpenWindow(x.From, x.Until)
			if err := batch.Append(append([]any{uint32(i + 1), since, until, numbers[i][j], x.kindOf(c), x.class}, more(c)...)...); err != nil {
				return err
			}
		}
	}
	if err := batch.Send(); err != nil {
		return err
	}
	return r.loadTouched(ctx)
}

// loadTouched makes the table of prefixes of the addresses that change their owner.
func (r *run) loadTouched(ctx context.Context) (err error) {
	r.touched, err = tenures.Load(ctx, r.conn, r.table("touched"), r.plan.classes.changed())
	return err
}

// changed gives the addresses that change their owner, as the fewest prefixes.
func (c *classes) changed() []netip.Prefix {
	var out []netip.Prefix
	for _, t := range c.tracks {
		out = append(out, c.spans[t.span].Prefixes()...)
	}
	return categories.Aggregate(out)
}

// tenureSessions is sessionsWithEnds for the sessions of addresses that change their owner. It keeps their hours in a table, in place of those of
// another window.
func (r *run) tenureSessions(ctx context.Context, w window, attributes []string) (query string, err error) {
	if err := r.conn.Exec(ctx, "DROP TABLE IF EXISTS "+r.table("hours")+" SYNC"); err != nil {
		return "", err
	}
	if err := r.touched.KeepHours(ctx, r.conn, r.table("hours"), w.since, w.until, r.plan.settings.VRF); err != nil {
		return "", err
	}
	attributes = append(slices.Clone(attributes), "track")
	hours := r.atTheTime(r.lookUp("SELECT * FROM "+r.table("hours"), "client_ip", "now", attributes...), "c", "client_tenure", attributes)
	hours = r.atTheTime(r.lookUp(hours, "server_ip", "now", attributes...), "s", "server_tenure", attributes)
	judged := "(" + schema.JudgedOf(hours, "client_tenure", "server_tenure", "c", "s") + ")"
	return r.sessionsFrom(judged, "", "w.client_tenure AS client_tenure, w.server_tenure AS server_tenure, w.c AS c, w.s AS s", ", client_tenure, server_tenure, c, s"), nil
}

// atTheTime gives a query for hours of sessions with what was known of an end in the hour, as as, and the tenure as tenure. The
// query has what is known of the end in general as now, the track last.
func (r *run) atTheTime(query, as, tenure string, attributes []string) string {
	track := fmt.Sprintf("q.now.%d", len(attributes))
	var parts []string
	for i, a := range attributes[:len(attributes)-1] {
		unknown := fmt.Sprintf("0::%s", typeOf(a))
		if a == "kind" {
			unknown = fmt.Sprintf("multiIf(q.now.%[1]d = %[2]d, %[3]d, q.now.%[1]d = %[4]d, %[5]d, q.now.%[1]d)::UInt8", i+1, categories.Private, formerPrivate, categories.Public, formerPublic)
		}
		parts = append(parts, fmt.Sprintf("multiIf(%[1]s = 0, q.now.%[2]d, %[3]s, %[4]s, t.%[5]s)::%[6]s", track, i+1, tenures.NobodyKnows, unknown, a, typeOf(a)))
	}
	return fmt.Sprintf("SELECT q.* EXCEPT (now, track), tuple(%[1]s) AS %[2]s, multiIf(%[3]s = 0, 0, %[4]s, %[5]d, t.tenure)::UInt32 AS %[6]s FROM ",
		strings.Join(parts, ", "), as, track, tenures.NobodyKnows, unknownTenure, tenure) +
		tenures.Join(fmt.Sprintf("SELECT *, now.%d AS track FROM (%s)", len(attributes), query), r.table("tenures"))
}

// formerReasons leaves out sessions of addresses that were in no group when they were seen, and have an owner now, as the beginning
// of the arguments of a multiIf; see tenure.
func (r *run) formerReasons() (external, ungrouped string) {
	if len(r.plan.classes.tracks) == 0 {
		return "", ""
	}
	of := func(kind int, reason policy.Reason) string {
		return fmt.Sprintf("c.2 = %[1]d OR s.2 = %[1]d, %[2]d, ", kind, cells.ReasonNumber(reason))
	}
	return of(formerPublic, policy.External), of(formerPrivate, policy.Ungrouped)
}

// readReused gives, for each VRF, the addresses with sessions in the window that changed their owner about it, with all their owners.
func (r *run) readReused(ctx context.Context) (map[string][]policy.Reused, error) {
	if len(r.plan.classes.tracks) == 0 {
		return nil, nil
	}
	sessions := r.table("sessions")
	rows, err := r.conn.Query(ctx, "SELECT DISTINCT vrf, known.1 AS track FROM ("+r.lookUp(
		"SELECT DISTINCT vrf, client AS address FROM "+sessions+" WHERE client_tenure != 0 UNION DISTINCT SELECT DISTINCT vrf, server FROM "+sessions+" WHERE server_tenure != 0",
		"address", "known", "track")+") ORDER BY vrf, track")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[string][]policy.Reused{}
	for rows.Next() {
		var vrf string
		var track uint32
		if err := rows.Scan(&vrf, &track); err != nil {
			return nil, err
		}
		out[vrf] = append(out[vrf], r.reused(&r.plan.classes.tracks[track-1])...)
	}
	for _, list := range out {
		slices.SortFunc(list, func(a, b policy.Reused) int { return a.Prefix.Compare(b.Prefix) })
	}
	return out, rows.Err()
}

// reused writes a track: the owners that the selected categories give its addresses, one after another, with the groups that
// statements name.
func (r *run) reused(t *track) (out []policy.Reused) {
	var owners []policy.Owner
	lo := r.plan.classes.spans[t.span].Lo
	for i := range t.tenures {
		x := &t.tenures[i]
		o := policy.Owner{From: policy.TimeOrNone(x.From), Until: policy.TimeOrNone(x.Until)}
		if g := r.plan.classes.list[x.class].group; g >= 0 {
			o.Group = r.plan.resolver.Label(r.plan.resolver.Groups()[g])
		}
		for ref := range r.plan.classes.history.named {
			if ref != categories.Internet && slices.ContainsFunc(r.plan.classes.history.members(ref), func(p timedPrefix) bool {
				return p.prefix.Contains(lo) && p.times.Overlaps(x.From, x.Until)
			}) {
				o.Named = append(o.Named, r.plan.resolver.Label(ref))
			}
		}
		slices.Sort(o.Named)
		if n := len(owners); n > 0 && owners[n-1].Group == o.Group && slices.Equal(owners[n-1].Named, o.Named) {
			owners[n-1].Until = o.Until
			continue
		}
		owners = append(owners, o)
	}
	if len(owners) < 2 {
		return nil // Nothing changes that the selected categories know.
	}
	for _, p := range r.plan.classes.spans[t.span].Prefixes() {
		out = append(out, policy.Reused{Prefix: p, Owners: owners})
	}
	return out
}
