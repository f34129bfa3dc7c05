package recommender

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"cordon/categories"
	"cordon/recommender/policy"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// survey looks the sessions up once, in every category at a time, and then counts the cells of one order of categories after
// the other. Its run's table of sessions has, for each session of each part of the window, the group of both ends in every
// category; the table of excluded ones has what the groups file excludes.
type survey struct {
	run        *run
	candidates []string
	categories []*categories.Resolver // each category alone
	naming     map[netip.Addr]bool    // the addresses that groups of any category name by themselves
	known      []knownAddresses
	heldOut    bool // there is something to learn from and something after
}

// knownAddresses counts addresses that every order treats alike.
type knownAddresses struct {
	vrf    string
	kind   categories.AddressKind
	groups []uint32 // Keyed by category: the group's place in it plus one, or 0.
	ipv4   bool
	local  uint64 // the categories that name a local address by a prefix inside its range, as bits
	count  uint64
}

// The parts of the window, as the table of sessions numbers them.
const (
	wholeWindow = iota
	learnWindow
	laterWindow
	windows
)

func newSurvey(ctx context.Context, conn driver.Conn, s SuggestSettings, file *categories.File) (*survey, error) {
	if err := s.settle(ctx, conn, file); err != nil {
		return nil, err
	}
	p, err := newPlan(s.Settings, file)
	if err != nil {
		return nil, err
	}
	v := &survey{candidates: p.categories, naming: map[netip.Addr]bool{}}
	if len(v.candidates) > maxCategories {
		return nil, policy.WrongSetting("category", fmt.Errorf("%d categories: %d is the most that can be compared", len(v.candidates), maxCategories))
	}
	for _, name := range v.candidates {
		r, err := categories.NewResolver(p.file, []string{name})
		if err != nil {
			return nil, policy.WrongSetting("category", err)
		}
		v.categories = append(v.categories, r)
	}
	for _, a := range p.file.Hosts() {
		v.naming[a] = true
	}
	p.classes.history = nil // orders are compared by the groups of one moment
	p.classes.build(p.resolver, v.categories...)
	p.exclusions = newMatcher(p.exclusions.statements, &p.classes)
	v.run, err = newRun(ctx, conn, p)
	return v, err
}

// columns lists the columns with the group in each category.
func (v *survey) columns(prefix string) []string {
	out := make([]string, len(v.candidates))
	for i := range out {
		out[i] = fmt.Sprintf("%s%d", prefix, i)
	}
	return out
}

// loadGroups hands over what tells addresses apart, with the group in each category.
func (v *survey) loadGroups(ctx context.Context) (uint64, error) {
	columns := []string{"naming UInt64"}
	for _, c := range v.columns("g") {
		columns = append(columns, c+" UInt32")
	}
	return v.run.loadRanges(ctx, columns, func(c *class) []any {
		row := []any{c.naming}
		for _, place := range c.each {
			row = append(row, uint32(place+1))
		}
		return row
	})
}

// fill fills the survey's tables, and the window and cut of the answer. It reports whether there are sessions.
func (v *survey) fill(ctx context.Context, learn float64, out *Suggestions) (some bool, err error) {
	if err := v.run.plan.step("load addresses", true, func() (uint64, error) { return v.loadGroups(ctx) }); err != nil {
		return false, err
	}
	var counts [windows]uint64
	look := func(part int, w window) func() (uint64, error) {
		return func() (n uint64, err error) {
			counts[part], err = v.look(ctx, part, w)
			return counts[part], err
		}
	}
	if err := v.run.plan.step("look sessions up", true, func() (uint64, error) {
		if err := v.createSessions(ctx); err != nil {
			return 0, err
		}
		return look(wholeWindow, v.run.plan.settings.asked())()
	}); err != nil || counts[wholeWindow] == 0 {
		return false, err
	}
	var first, last time.Time
	if err := v.run.conn.QueryRow(ctx, "SELECT min(first_seen), max(last_seen) FROM "+v.run.table("sessions")).Scan(&first, &last); err != nil {
		return false, fmt.Errorf("ClickHouse: find the window: %w", err)
	}
	if !v.run.plan.settings.Since.IsZero() {
		first = v.run.plan.settings.Since.Time
	}
	if !v.run.plan.settings.Until.IsZero() {
		last = v.run.plan.settings.Until.Time
	}
	out.Window = policy.Window{From: policy.NewTime(first), To: policy.NewTime(last)}
	cut := cutAt(out.Window, learn)
	out.Cut = policy.NewTime(cut)
	for _, q := range []struct {
		name string
		f    func() (uint64, error)
	}{
		{"look up those to learn on", look(learnWindow, window{v.run.plan.settings.Since.Time, cut})},
		{"look up those after", look(laterWindow, window{cut, v.run.plan.settings.Until.Time})},
		{"exclusions", func() (uint64, error) { return v.run.exclude(ctx, "client_class", "server_class") }},
		{"known addresses", func() (uint64, error) { return v.readKnown(ctx) }},
		{"prepare rules", func() (uint64, error) {
			return 0, v.run.conn.Exec(ctx, "CREATE TABLE "+v.run.table("verdicts")+` (
				vrf LowCardinality(String), source_group UInt32, source_address IPv6, destination_group UInt32, destination_address IPv6,
				cell_proto UInt8, cell_port UInt16, rule UInt32
			) ENGINE = MergeTree ORDER BY ()`)
		}},
	} {
		if err := v.run.plan.step(q.name, true, q.f); err != nil {
			return false, err
		}
	}
	v.heldOut = counts[learnWindow] > 0 && counts[laterWindow] > 0
	return true, nil
}

func (v *survey) createSessions(ctx context.Context) error {
	var groups strings.Builder
	for _, c := range append(v.columns("c"), v.columns("s")...) {
		groups.WriteString(", " + c + " UInt32")
	}
	return v.run.conn.Exec(ctx, "CREATE TABLE "+v.run.table("sessions")+` (
		part UInt8, vrf LowCardinality(String), client IPv6, server IPv6, proto UInt8, port UInt16, own_reason UInt8,
		client_kind UInt8, server_kind UInt8, client_class UInt32, server_class UInt32, client_naming UInt64, server_naming UInt64, hours Array(DateTime('UTC')),
		first_seen DateTime64(6, 'UTC'), last_seen DateTime64(6, 'UTC')`+groups.String()+`
	) ENGINE = MergeTree ORDER BY ()`)
}

// look adds the sessions of one part of the window, and counts them.
func (v *survey) look(ctx context.Context, part int, w window) (n uint64, err error) {
	if part != wholeWindow && !w.since.IsZero() && !w.until.IsZero() && !w.since.Before(w.until) {
		return 0, nil
	}
	if v.run.plan.settings.ScannerTargets > 0 {
		if err := v.run.conn.Exec(ctx, "DROP TABLE IF EXISTS "+v.run.table("scanners")+" SYNC"); err != nil {
			return 0, err
		}
		if _, err := v.run.findScanners(ctx, w); err != nil {
			return 0, err
		}
	}
	lookedUp, args, err := v.run.sessionsWithEnds(ctx, w, append([]string{"class", "kind", "naming"}, v.columns("g")...)...)
	if err != nil {
		return 0, err
	}
	var groups strings.Builder
	for _, end := range []string{"c", "s"} {
		for i := range v.candidates {
			fmt.Fprintf(&groups, ", %s.%d AS %s%d", end, i+4, end, i)
		}
	}
	if err := v.run.conn.Exec(v.run.withScope(ctx), fmt.Sprintf(`INSERT INTO %[1]s
SELECT
    %[2]d AS part, vrf, client, server, proto, port,
    multiIf(
            %[3]s
            0)::UInt8 AS own_reason,
    c.2 AS client_kind, s.2 AS server_kind, c.1 AS client_class, s.1 AS server_class, c.3 AS client_naming, s.3 AS server_naming, hours, first_seen, last_seen%[4]s
FROM
(
%[5]s
)`, v.run.table("sessions"), part, v.run.ownReasons(), groups.String(), lookedUp), args...); err != nil {
		return 0, err
	}
	return n, v.run.conn.QueryRow(ctx, "SELECT count() FROM "+v.run.table("sessions")+" WHERE part = ?", uint8(part)).Scan(&n)
}

// exclude finds the sessions that the groups file excludes, whatever the order of categories is: by classes of addresses, of
// which it is told the columns, and service.
func (r *run) exclude(ctx context.Context, client, server string) (n uint64, err error) {
	if len(r.plan.exclusions.statements) == 0 {
		return 0, nil
	}
	if err := r.conn.Exec(ctx, "CREATE TABLE "+r.table("excluded")+" (client_class UInt32, server_class UInt32, proto UInt8, port UInt16) ENGINE = MergeTree ORDER BY ()"); err != nil {
		return 0, err
	}
	batch, err := r.conn.PrepareBatch(ctx, "INSERT INTO "+r.table("excluded")+" (client_class, server_class, proto, port)")
	if err != nil {
		return 0, err
	}
	defer batch.Close()
	rows, err := r.conn.Query(ctx, "SELECT DISTINCT "+client+", "+server+", proto, port FROM "+r.table("sessions"))
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var from, to uint32
		var s categories.Service
		if err := rows.Scan(&from, &to, &s.Proto, &s.Port); err != nil {
			return 0, err
		}
		if r.plan.exclusions.first("", from, to, s) >= 0 {
			n++
			if err := batch.Append(from, to, s.Proto, s.Port); err != nil {
				return 0, err
			}
		}
	}
	if err := rows.Err(); err != nil || n == 0 {
		return 0, err
	}
	return n, batch.Send()
}

// readKnown counts the known addresses as readKnown of a run does, before any order is chosen.
func (v *survey) readKnown(ctx context.Context) (uint64, error) {
	ends := func(c string) string {
		address := "client"
		if c == "s" {
			address = "server"
		}
		return fmt.Sprintf("SELECT DISTINCT vrf, %[2]s_kind AS kind, %[2]s_naming AS naming, [%[1]s] AS groups, %[2]s AS address FROM %[3]s WHERE part = %[4]d",
			strings.Join(v.columns(c), ", "), address, v.run.table("sessions"), wholeWindow)
	}
	both := "(" + ends("c") + " UNION DISTINCT " + ends("s") + ")"
	rows, err := v.run.conn.Query(ctx, "SELECT vrf, kind, naming, groups, "+ofIPv4("address")+" AS ipv4, count() FROM "+both+" GROUP BY vrf, kind, naming, groups, ipv4")
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	vrfs := map[string]bool{}
	for rows.Next() {
		var k knownAddresses
		var kind, ipv4 uint8
		if err := rows.Scan(&k.vrf, &kind, &k.local, &k.groups, &ipv4, &k.count); err != nil {
			return 0, err
		}
		k.kind, k.ipv4 = categories.AddressKind(kind), ipv4 == 1
		vrfs[k.vrf] = true
		v.known = append(v.known, k)
	}
	if err := rows.Err(); err != nil || len(v.naming) == 0 {
		return uint64(len(v.known)), err
	}
	// Of the addresses that groups name, those that were seen are counted already.
	grouped := ""
	if len(v.candidates) == len(v.run.plan.file.Categories) {
		grouped = " WHERE arrayExists(x -> x != 0, groups)" // no group of another category names any
	}
	seen, err := v.run.conn.Query(ctx, "SELECT vrf, address FROM "+both+grouped)
	if err != nil {
		return 0, err
	}
	defer seen.Close()
	type host struct {
		vrf  string
		addr netip.Addr
	}
	there := map[host]bool{}
	for seen.Next() {
		var h host
		if err := seen.Scan(&h.vrf, &h.addr); err != nil {
			return 0, err
		}
		if h.addr = h.addr.Unmap(); v.naming[h.addr] {
			there[h] = true
		}
	}
	if err := seen.Err(); err != nil {
		return 0, err
	}
	unseen := map[string]*knownAddresses{}
	for addr := range v.naming {
		groups := make([]uint32, len(v.categories))
		for i, r := range v.categories {
			groups[i] = uint32(r.LookupIndex(addr) + 1)
		}
		for vrf := range vrfs {
			if there[host{vrf, addr}] {
				continue
			}
			kind := v.run.plan.resolver.KindOf(addr)
			key := fmt.Sprintf("%q %d %v %v", vrf, kind, addr.Is4(), groups)
			if unseen[key] == nil {
				unseen[key] = &knownAddresses{vrf: vrf, kind: kind, groups: groups, ipv4: addr.Is4()}
			}
			unseen[key].count++
		}
	}
	for _, key := range slices.Sorted(maps.Keys(unseen)) {
		v.known = append(v.known, *unseen[key])
	}
	return uint64(len(v.known)), nil
}

// presences gives the sets of categories that known addresses have a group in, and those that make local addresses
// proposable: an order without any of them treats these addresses differently.
func (v *survey) presences() []uint64 {
	var out []uint64
	for _, k := range v.known {
		in := uint64(0)
		for c, g := range k.groups {
			if g != 0 {
				in |= 1 << c
			}
		}
		out = append(out, in)
		if k.local != 0 {
			out = append(out, k.local)
		}
	}
	return out
}
