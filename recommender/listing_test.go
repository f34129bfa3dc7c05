package recommender

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cordon/categories"
	"cordon/collector/replay/lab"
	"cordon/recommender/cover"
	"cordon/recommender/policy"
	"cordon/schema"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// checkListing checks the listings of a proposal with what it was made with and, sometimes, with what the document alone says of that.
func checkListing(ctx context.Context, conn driver.Conn, p *policy.Proposal, s Settings, file *categories.File) error {
	if err := checkListingWith(ctx, conn, p, s, file); err != nil {
		return err
	}
	if !sometimes(p) {
		return nil
	}
	return checkListingAlone(ctx, conn, p, s)
}

// checkListingAlone checks the listings with what the document alone says that it was made with.
func checkListingAlone(ctx context.Context, conn driver.Conn, p *policy.Proposal, s Settings) error {
	read, err := policy.ParseProposals("document", p.JSON())
	if err != nil {
		return err
	}
	file, err := read[0].CarriedFile()
	if err != nil {
		return err
	}
	s.Existing, s.Guardrails = read[0].MadeWith()
	if err := checkListingWith(ctx, conn, &read[0], s, file); err != nil {
		return fmt.Errorf("with the document alone: %w", err)
	}
	return nil
}

// checkListingWith counts the rows of a proposal's listings, by rule, and compares them with
// what the document says of every rule.
func checkListingWith(ctx context.Context, conn driver.Conn, p *policy.Proposal, s Settings, file *categories.File) error {
	rules := make([]int, len(p.Rules))
	for i := range rules {
		rules[i] = i
	}
	l, err := OpenView(ctx, conn, p, ListOptions{Groups: file, Existing: s.Existing, Guardrails: s.Guardrails})
	if err != nil {
		return err
	}
	defer l.Close(ctx)
	type counts struct {
		Sessions, Flows, Bytes, Clients, Servers, Pairs, Unobserved uint64
		First, Last                                                 time.Time
	}
	want, have := map[string]counts{}, map[string]counts{}
	for i := range p.Rules {
		r := &p.Rules[i]
		e := &r.Evidence
		want[r.Name] = counts{e.Sessions, e.Flows, e.Bytes, e.Clients, e.Servers, r.Excess.PermittedPairs, r.Excess.PermittedPairs - r.Excess.ObservedPairs, e.FirstSeen.Time, e.LastSeen.Time}
		if d := cmp.Diff(*e, l.Evidence[i], cmpopts.IgnoreFields(policy.Evidence{}, "LossyExporters")); d != "" {
			return fmt.Errorf("evidence of %s (-document +listing):\n%s", r.Name, d)
		}
		want := r.Excess
		want.ExtraAddresses = 0
		if want != l.Excess[i] {
			return fmt.Errorf("excess of %s is %+v, in the listing %+v", r.Name, r.Excess, l.Excess[i])
		}
	}
	if err := checkLeftOut(ctx, conn, p, l); err != nil {
		return err
	}
	rows, err := conn.Query(ctx, `SELECT rule, count(), sum(flows), sum(client_bytes + server_bytes), uniqExact(client), uniqExact(server), min(first_seen), max(last_seen)
		FROM `+l.Sessions(rules)+` GROUP BY rule`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var c counts
		if err := rows.Scan(&name, &c.Sessions, &c.Flows, &c.Bytes, &c.Clients, &c.Servers, &c.First, &c.Last); err != nil {
			return err
		}
		c.Pairs = want[name].Pairs
		have[name] = c
	}
	if err := rows.Err(); err != nil {
		return err
	}
	pairs, err := conn.Query(ctx, `SELECT rule, uniqExact(client, server), count() FROM (`+l.Unobserved(rules, 0)+`) GROUP BY rule`)
	if err != nil {
		return err
	}
	defer pairs.Close()
	for pairs.Next() {
		var name string
		var distinct, rows uint64
		if err := pairs.Scan(&name, &distinct, &rows); err != nil {
			return err
		}
		if distinct != rows {
			return fmt.Errorf("%s: %d pairs in %d rows", name, distinct, rows)
		}
		c := have[name]
		c.Unobserved = rows
		have[name] = c
	}
	if d := cmp.Diff(want, have); d != "" {
		return fmt.Errorf("rows (-document +listing):\n%s", d)
	}
	return pairs.Err()
}

// checkLeftOut compares the sessions in no rule with what the document counts and names; together with those under rules
// they are all sessions.
func checkLeftOut(ctx context.Context, conn driver.Conn, p *policy.Proposal, l *View) error {
	if d := cmp.Diff(p.Unproposed, l.Unproposed, cmpopts.EquateEmpty()); d != "" {
		return fmt.Errorf("left out (-document +listing):\n%s", d)
	}
	rows, err := conn.Query(ctx, "SELECT reason, client, server, service, note, uniqExact(client, server, service) OVER () FROM "+l.LeftOut(nil))
	if err != nil {
		return err
	}
	defer rows.Close()
	counts, notes, distinct := map[policy.Reason]uint64{}, map[policy.Example]bool{}, uint64(0)
	for rows.Next() {
		var reason string
		var e policy.Example
		if err := rows.Scan(&reason, &e.Source, &e.Destination, &e.Service, &e.Note, &distinct); err != nil {
			return err
		}
		counts[policy.Reason(reason)]++
		notes[e] = true
	}
	left := uint64(0)
	for _, u := range p.Unproposed {
		left += u.Sessions
		if counts[u.Reason] -= u.Sessions; u.Detail == "" && counts[u.Reason] != 0 && u.Reason != policy.BelowSupport {
			return fmt.Errorf("%d rows of %s more than the document counts", int64(counts[u.Reason]), u.Reason)
		}
		for _, e := range u.Examples {
			if u.Detail != "" {
				e.Note = u.Detail
			}
			if !notes[e] {
				return fmt.Errorf("%s: %+v is in no row", u.Reason, e)
			}
		}
		delete(notes, policy.Example{})
	}
	if distinct != left {
		return fmt.Errorf("%d sessions in the rows, the document leaves out %d", distinct, left)
	}
	return rows.Err()
}

func TestListingOfDrawnProposals(t *testing.T) {
	conn := store(t)
	_, restore := fewChecks("3", "9") // each takes a few dozen queries
	defer restore()
	rapid.Check(t, func(rt *rapid.T) {
		file := drawGroups(rt, 27)
		s := Settings{
			Settings:   policy.Settings{Ungrouped: rapid.SampledFrom([]policy.UngroupedMode{policy.UngroupedHost, policy.UngroupedPrefix}).Draw(rt, "ungrouped"), External: rapid.SampledFrom([]policy.ExternalMode{policy.ExternalReport, policy.ExternalHost, policy.ExternalInternet}).Draw(rt, "external"), Coverage: rapid.SampledFrom([]policy.Share{"", "70%"}).Draw(rt, "coverage"), MinSessions: rapid.SampledFrom([]uint64{1, 1, 2}).Draw(rt, "min-sessions"), ScannerTargets: rapid.SampledFrom([]uint64{0, 0, 2}).Draw(rt, "scanners"), PortRanges: rapid.SampledFrom([]uint64{0, 3}).Draw(rt, "port-ranges")},
			Existing:   drawPolicies(rt, file, "existing"),
			Guardrails: drawPolicies(rt, file, "guardrails"),
		}
		flows := rapid.SliceOfN(rapid.Custom(drawFlow), 30, 120).Draw(rt, "flows")
		for range rapid.IntRange(0, 4).Draw(rt, "bursts") {
			flows = append(flows, drawBurst(rt)...)
		}
		empty(t, conn)
		insertFlows(t, conn, flows)
		got, err := Generate(t.Context(), conn, s, file)
		if err != nil {
			rt.Fatal(err)
		}
		for i := range got {
			if err := checkListing(t.Context(), conn, &got[i], s, file); err != nil {
				rt.Fatalf("%v\n%s", err, got[i].JSON())
			}
		}
	})
}

func TestListingOfTheLab(t *testing.T) {
	conn := store(t)
	file := parseGroups(t, lab.Groups)
	for _, n := range lab.Nodes(1, base) {
		i := 0
		insert(t, conn, func() (*schema.Record, error) {
			if i == len(n.Records) {
				return nil, io.EOF
			}
			r := n.Records[i]
			i++
			r.Received = r.End
			if r.Direction == schema.DirectionUnknown {
				rules.Infer(&r)
			}
			return &r, nil
		})
	}
	for _, s := range []Settings{{}, {Categories: []string{"role"}, Settings: policy.Settings{ScannerTargets: 10, HalfOpen: policy.HalfOpenAllow, PortRanges: 5, External: policy.ExternalInternet}}} {
		got, err := Generate(t.Context(), conn, s, file)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 1 || len(got[0].Rules) < 3 {
			t.Fatalf("%s", got[0].JSON())
		}
		if err := checkListingWith(t.Context(), conn, &got[0], s, file); err != nil {
			t.Error(err)
		}
		if err := checkListingAlone(t.Context(), conn, &got[0], s); err != nil {
			t.Error(err)
		}
	}
}

func TestListingOfARealSet(t *testing.T) {
	file, err := categories.ReadFile(shared(t, "data/sets/cisco_g21/groups.csv"))
	if err != nil {
		t.Fatal(err)
	}
	conn := store(t)
	insertFile(t, conn, shared(t, "data/sets/cisco_g21/sessions.csv.zst"))
	s := Settings{Categories: []string{"role"}, Effort: cover.EffortQuick}
	got, err := Generate(t.Context(), conn, s, file)
	if err != nil {
		t.Fatal(err)
	}
	if err := checkListingWith(t.Context(), conn, &got[0], s, file); err != nil {
		t.Error(err)
	}
	if err := checkListingAlone(t.Context(), conn, &got[0], s); err != nil {
		t.Error(err)
	}

	// The query of the cookbook says the same.
	if err := Store(t.Context(), conn, got, file); err != nil {
		t.Fatal(err)
	}
	cookbook, err := os.ReadFile(filepath.Join("..", "docs", "sql-cookbook.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, query, _ := strings.Cut(string(cookbook), "\n### The sessions under a rule\n")
	_, query, _ = strings.Cut(query, "```sql\n")
	query, _, _ = strings.Cut(query, "```")
	var rules, same uint64
	if err := conn.QueryRow(t.Context(), `SELECT count(), countIf((p.sessions, p.flows, p.bytes, p.first_seen, p.last_seen) = (q.sessions, q.flows, q.bytes, q.first, q.last))
		FROM proposal_rules AS p
		LEFT JOIN (SELECT rule, count() AS sessions, sum(flows) AS flows, sum(bytes) AS bytes, min(first) AS first, max(last) AS last FROM (`+query+`) GROUP BY rule) AS q ON q.rule = p.name`).
		Scan(&rules, &same); err != nil {
		t.Fatal(err)
	}
	if rules != uint64(len(got[0].Rules)) || same != rules {
		t.Errorf("the query of the cookbook counts the evidence of %d rules, of %d", same, rules)
	}
}
