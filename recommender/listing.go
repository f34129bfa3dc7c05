package recommender

import (
	"context"
	"fmt"
	"math/bits"

	"cordon/categories"
	"cordon/internal/iana"
	"cordon/internal/sqltext"
	"cordon/recommender/decide"
	"cordon/recommender/policy"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Listing is what stands behind rules of a proposal, session by session and pair
// by pair, in tables that exist until it is closed.
//
// The sessions of the proposal's VRF and window get their reasons anew, by the
// settings that the document has. A session is under a rule if it is included and
// the rule's literals hold it, so the listing is exact however rules were merged, where they overlap,
// and for rules that were edited by hand.
type Listing struct {
	// Evidence and Excess of the rules of the proposal, as they are now.
	Evidence []policy.Evidence
	Excess   []policy.Excess
	// Unproposed counts, as they are now, the sessions that are in none of the document's rules, by their reason; NoRule
	// is one of the reasons here.
	Unproposed []policy.Unproposed

	r *run
}

// ListOptions say with what a proposal was made, as far as it does not say so itself.
type ListOptions struct {
	Groups               *categories.File // nil for none
	Existing, Guardrails []policy.Policy

	// Observe, if set, is told of each step as it ends.
	Observe func(Step)
}

// openListing prepares the rules of a proposal. The connection's database is Cordon's. A mistake in the options or in the
// document is a *policy.SettingsError.
func openListing(ctx context.Context, conn driver.Conn, p *policy.Proposal, o ListOptions) (_ *Listing, err error) {
	s := settingsOf(p)
	s.Existing, s.Guardrails, s.Observe = o.Existing, o.Guardrails, o.Observe
	s.listed = statementRules(p.Rules)
	file := o.Groups.InVRF(p.VRF)
	if len(p.Categories) == 0 && file != nil {
		// A proposal without categories was made without groups.
		file = &categories.File{Path: file.Path, Exclude: file.Exclude, Services: file.Services}
	}
	if p.GroupsAt != nil {
		s.groupsAt = p.GroupsAt.Time
	}
	if err := s.settle(ctx, conn, file); err != nil {
		return nil, err
	}
	pl, err := newPlan(s, file)
	if err != nil {
		return nil, err
	}
	r, err := newRun(ctx, conn, pl)
	if err != nil {
		return nil, err
	}
	l := &Listing{r: r}
	defer func() {
		if err != nil {
			l.Close(ctx)
		}
	}()
	if err := r.list(ctx, p); err != nil {
		return nil, err
	}
	evidence, err := r.readEvidence(ctx, len(p.Rules))
	if err != nil {
		return nil, fmt.Errorf("ClickHouse: evidence: %w", err)
	}
	permitted, err := r.readPermitted(ctx, p.VRF)
	if err != nil {
		return nil, fmt.Errorf("ClickHouse: permitted pairs: %w", err)
	}
	for i := range evidence {
		l.Evidence = append(l.Evidence, evidence[i].Evidence)
		l.Excess = append(l.Excess, policy.Excess{PermittedPairs: permitted[uint32(i)], ObservedPairs: evidence[i].pairs})
	}
	left, err := r.readUnproposed(ctx, true)
	if err != nil {
		return nil, fmt.Errorf("ClickHouse: sessions left out: %w", err)
	}
	l.Unproposed = left[p.VRF]
	return l, nil
}

// Close drops the tables, also when the context has ended.
func (l *Listing) Close(ctx context.Context) error { return l.r.close(ctx) }

// statementRules gives rules as those of a policy. What they do with sessions does
// not matter here.
func statementRules(rules []policy.Rule) []policy.Policy {
	out := policy.Policy{}
	for i := range rules {
		out.Rules = append(out.Rules, rules[i].Statement())
	}
	return []policy.Policy{out}
}

// list fills the run's tables: verdicts, with what is under each rule, and beside it
// the rules' names and the classes of their ends.
func (r *run) list(ctx context.Context, p *policy.Proposal) error {
	if err := r.loadEnds(ctx); err != nil {
		return err
	}
	parts, err := r.count(ctx)
	if err != nil {
		return err
	}
	if err := r.plan.step("prepare verdicts", true, func() (uint64, error) { return 0, r.createVerdicts(ctx) }); err != nil {
		return err
	}
	if _, err := r.decide(ctx, parts); err != nil {
		return err
	}
	var verdicts []verdict
	for i := range parts {
		pt := &parts[i]
		if pt.Key.VRF != p.VRF {
			continue
		}
		held := false
		if pt.Reason == 0 || pt.Reason == decide.AlreadyPermittedNumber {
			for rule := range r.plan.listedRules.all(pt.SrcClass, pt.DstClass, pt.Service) {
				held = true
				verdicts = append(verdicts, verdict{i, uint32(rule)})
			}
		}
		switch {
		case pt.Reason != 0 || held:
		case p.Summary.Coverage != nil:
			pt.Reason, pt.Note = decide.BelowSupportNumber, decide.ShareNote
		default:
			pt.Reason = noRuleNumber
		}
		if pt.Reason >= decide.GuardrailNumber || pt.Reason == decide.ExcludedNumber {
			verdicts = append(verdicts, verdict{i, noRule})
		}
	}
	if err := r.plan.step("send reasons", true, func() (uint64, error) { return r.sendNotes(ctx) }); err != nil {
		return err
	}
	if err := r.plan.step("send verdicts", true, func() (uint64, error) { return r.sendVerdicts(ctx, parts, verdicts) }); err != nil {
		return err
	}
	return r.plan.step("send rules", true, func() (uint64, error) { return uint64(len(p.Rules)), r.sendRules(ctx, p) })
}

// all gives every statement that matches, whatever its VRF, in order.
func (m *matcher) all(src, dst uint32, s categories.Service) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		service := m.service(s)
		for w := range m.words {
			for b := m.src[src][w] & m.dst[dst][w] & service[w]; b != 0; b &= b - 1 {
				if !yield(w*64 + bits.TrailingZeros64(b)) {
					return
				}
			}
		}
	}
}

func (r *run) sendRules(ctx context.Context, p *policy.Proposal) error {
	if err := r.conn.Exec(ctx, "CREATE TABLE "+r.table("rules")+" (rule UInt32, name String) ENGINE = MergeTree ORDER BY ()"); err != nil {
		return err
	}
	if err := r.conn.Exec(ctx, "CREATE TABLE "+r.table("ends")+" (rule UInt32, side UInt8, class UInt32) ENGINE = MergeTree ORDER BY ()"); err != nil {
		return err
	}
	if len(p.Rules) == 0 {
		return nil
	}
	names, err := r.conn.PrepareBatch(ctx, "INSERT INTO "+r.table("rules")+" (rule, name)")
	if err != nil {
		return err
	}
	defer names.Close()
	ends, err := r.conn.PrepareBatch(ctx, "INSERT INTO "+r.table("ends")+" (rule, side, class)")
	if err != nil {
		return err
	}
	defer ends.Close()
	for i := range p.Rules {
		if err := names.Append(uint32(i), p.Rules[i].Name); err != nil {
			return err
		}
		for side, held := range [][][]uint64{r.plan.listedRules.src, r.plan.listedRules.dst} {
			for class := range held {
				if held[class][i/64]>>(i%64)&1 == 1 {
					if err := ends.Append(uint32(i), uint8(side), uint32(class)); err != nil {
						return err
					}
				}
			}
		}
	}
	if err := names.Send(); err != nil {
		return err
	}
	if ends.Rows() == 0 {
		return nil
	}
	return ends.Send()
}

// known is the SQL of the known endpoints of a VRF with their classes.
func (r *run) known(vrf string) string {
	addresses := fmt.Sprintf(`SELECT DISTINCT address FROM
		(
			SELECT client AS address FROM %[1]s WHERE vrf = %[2]s
			UNION ALL
			SELECT server FROM %[1]s WHERE vrf = %[2]s
			UNION ALL
			SELECT address FROM %[3]s
		)`, r.table("sessions"), sqltext.Text(vrf), r.table("named"))
	return "SELECT address, known.1 AS class FROM (" + r.lookUp(addresses, "address", "known", "class") + ")"
}

// side is the SQL of the known endpoints on one side of each rule.
func (r *run) side(side int, vrf string) string {
	return fmt.Sprintf("SELECT e.rule AS rule, k.address AS address FROM (%s) AS k INNER JOIN %s AS e ON e.class = k.class WHERE e.side = %d", r.known(vrf), r.table("ends"), side)
}

// readPermitted counts the pairs of known endpoints that each rule permits.
func (r *run) readPermitted(ctx context.Context, vrf string) (map[uint32]uint64, error) {
	rows, err := r.conn.Query(ctx, fmt.Sprintf(`SELECT rule, countIf(side = 0 AND ipv4) * countIf(side = 1 AND ipv4) + countIf(side = 0 AND NOT ipv4) * countIf(side = 1 AND NOT ipv4)
			- (count() - uniqExact(address)) AS pairs FROM
		(
			SELECT rule, side, address, %s AS ipv4 FROM
			(
				SELECT rule, address, 0 AS side FROM (%s) UNION ALL SELECT rule, address, 1 AS side FROM (%s)
			)
		)
		GROUP BY rule`, ofIPv4("address"), r.side(0, vrf), r.side(1, vrf)))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[uint32]uint64{}
	for rows.Next() {
		var rule uint32
		var pairs int64
		if err := rows.Scan(&rule, &pairs); err != nil {
			return nil, err
		}
		out[rule] = uint64(pairs)
	}
	return out, rows.Err()
}

// listedColumns are the columns of sessions of a listing beside their own, of a subquery s.
const listedColumns = `s.vrf AS vrf, s.client AS client, s.server AS server, s.service AS service,
        s.client_ip AS client_ip, s.server_ip AS server_ip, s.proto AS proto, s.port AS port, s.icmp_type AS icmp_type, s.icmp_code AS icmp_code,
        s.flows AS flows, s.client_packets AS client_packets, s.client_bytes AS client_bytes, s.server_packets AS server_packets, s.server_bytes AS server_bytes,
        s.complete AS complete, s.half_open AS half_open, s.denied AS denied,
        s.first_seen AS first_seen, s.last_seen AS last_seen, s.direction_basis AS direction_basis, s.exporters AS exporters`

// whole is the SQL of the sessions of the window and VRF with the columns that listings show.
func (r *run) whole() string {
	window, _, _ := r.window()
	return fmt.Sprintf(`SELECT w.vrf AS vrf, any(w.client) AS client, any(w.server) AS server, any(w.service) AS service,
            w.client_ip AS client_ip, w.server_ip AS server_ip, w.proto AS proto, any(w.port) AS port, any(w.icmp_type) AS icmp_type, 0 AS icmp_code,
            if(w.proto IN (%d, %d), w.icmp_type, w.port)::UInt16 AS cell_port,
            sum(w.flows) AS flows, sum(w.client_packets) AS client_packets, sum(w.client_bytes) AS client_bytes,
            sum(w.server_packets) AS server_packets, sum(w.server_bytes) AS server_bytes,
            sum(w.complete) AS complete, sum(w.half_open) AS half_open, sum(w.denied) AS denied,
            min(w.first_seen) AS first_seen, max(w.last_seen) AS last_seen, max(w.direction_basis) AS direction_basis,
            arraySort(groupUniqArrayArray(w.exporters)) AS exporters
        FROM %s AS w
        WHERE w.vrf = %s
        GROUP BY w.vrf, w.client_ip, w.server_ip, w.proto, cell_port`, iana.ICMP, iana.ICMPv6, window, sqltext.Text(r.plan.settings.VRF))
}

// Unobserved is the SQL of a query for the pairs of known endpoints that the rules with the given places permit
// and that were not seen, a host with itself left out: rule, client, server. Each is how
// many of each rule, 0 for all.
func (l *Listing) Unobserved(rules []int, each int) string {
	r, limit := l.r, ""
	if each > 0 {
		limit = fmt.Sprintf("\nLIMIT %d BY c.rule", each)
	}
	address := func(column string) string {
		return fmt.Sprintf("if(%[2]s, substring(toString(%[1]s), 8), toString(%[1]s))", column, ofIPv4(column))
	}
	return fmt.Sprintf(`SELECT n.name AS rule, %[1]s AS client, %[2]s AS server
FROM (%[3]s) AS c
INNER JOIN (%[4]s) AS s ON s.rule = c.rule
INNER JOIN %[5]s AS n ON n.rule = c.rule
WHERE c.rule IN (%[11]s) AND s.rule IN (%[11]s) AND c.address != s.address AND (%[9]s) = (%[10]s) AND (c.rule, c.address, s.address) NOT IN
(
    SELECT v.rule, x.client, x.server FROM %[6]s AS x INNER JOIN %[7]s AS v ON v.cell = x.cell
)
ORDER BY c.rule, c.address, s.address%[8]s`, address("c.address"), address("s.address"), r.side(0, r.plan.settings.VRF), r.side(1, r.plan.settings.VRF),
		r.table("rules"), r.table("sessions"), r.table("verdicts"), limit, ofIPv4("c.address"), ofIPv4("s.address"), placesText(rules))
}
