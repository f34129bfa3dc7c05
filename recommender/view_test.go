package recommender

import (
	"context"
	"fmt"
	"maps"
	"testing"

	"cordon/categories"
	"cordon/recommender/policy"
	"cordon/schema"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// checkView groups the table of a view and compares it with what the document says of every rule and every reason.
func checkView(ctx context.Context, conn driver.Conn, p *policy.Proposal, s Settings, file *categories.File) error {
	var steps int
	v, err := OpenView(ctx, conn, p, ListOptions{Groups: file, Existing: s.Existing, Guardrails: s.Guardrails, Observe: func(Step) { steps++ }})
	if err != nil {
		return err
	}
	defer v.Close(ctx)
	if steps == 0 {
		return fmt.Errorf("nobody was told of the steps")
	}
	var sessions, included uint64
	if err := conn.QueryRow(ctx, "SELECT count(), countIf(reason = '') FROM "+v.Table).Scan(&sessions, &included); err != nil {
		return err
	}
	if sessions != p.Summary.Sessions || included != p.Summary.Included {
		return fmt.Errorf("%d sessions in the view, %d of them included; the document has %d and %d", sessions, included, p.Summary.Sessions, p.Summary.Included)
	}
	for i := range p.Rules {
		e := &p.Rules[i].Evidence
		var n, flows, bytes, outside uint64
		if err := conn.QueryRow(ctx, "SELECT count(), sum(flows), sum(client_bytes + server_bytes), countIf(reason != '') FROM "+v.Table+" WHERE has(rules, ?)", uint32(i)).Scan(&n, &flows, &bytes, &outside); err != nil {
			return err
		}
		if n != e.Sessions || flows != e.Flows || bytes != e.Bytes || outside > 0 {
			return fmt.Errorf("rule %s holds %d sessions, %d flows, %d bytes, %d left out; the document says %+v", p.Rules[i].Name, n, flows, bytes, outside, *e)
		}
	}
	want, have := map[policy.Reason]uint64{}, map[policy.Reason]uint64{}
	for _, u := range p.Unproposed {
		want[u.Reason] += u.Sessions
	}
	rows, err := conn.Query(ctx, "SELECT reason, count() FROM "+v.Table+" WHERE reason != '' GROUP BY reason")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var reason string
		var n uint64
		if err := rows.Scan(&reason, &n); err != nil {
			return err
		}
		have[policy.Reason(reason)] = n
	}
	if !maps.Equal(want, have) {
		return fmt.Errorf("reasons in the view are %v, in the document %v", have, want)
	}
	return rows.Err()
}

// A view agrees with the proposal that it is of, whatever the proposal was made with, and leaves nothing behind.
func TestView(t *testing.T) {
	conn, ctx := store(t), t.Context()
	file, err := categories.Parse("groups", []byte(`categories:
  - name: role
    groups: [{name: "we'b", prefixes: [10.0.1.0/24]}, {name: db, prefixes: [10.0.2.0/24]}]
exclude: [{reason: backup network, destinations: [10.0.9.9/32]}]
`))
	if err != nil {
		t.Fatal(err)
	}
	insertFlows(t, conn, []flow{
		{client: "10.0.1.1", server: "10.0.2.1", proto: 6, port: 5432, packets: 3, reply: 3},
		{client: "10.0.1.2", server: "10.0.2.1", proto: 6, port: 5432, packets: 3, reply: 3},
		{client: "10.0.3.3", server: "10.0.2.1", proto: 6, port: 5432, packets: 3, reply: 3},
		{client: "10.0.1.1", server: "8.8.8.8", proto: 17, port: 53, packets: 1, reply: 1},
		{client: "2001:db8::1", server: "fd00::2", proto: 17, port: 53, packets: 1, reply: 1},
		{client: "10.0.1.1", server: "10.0.9.9", proto: 6, port: 22, packets: 1, reply: 1},
		{client: "10.0.1.1", server: "10.0.2.2", proto: 1, icmpType: 8, packets: 1, reply: 1},
		{client: "10.0.1.1", server: "10.0.2.3", proto: 6, port: 443, packets: 1, completeness: schema.OneWay},
	})
	guardrails := []policy.Policy{{Rules: []policy.StatementRule{}}}
	for _, s := range []Settings{{Guardrails: guardrails}, {Settings: policy.Settings{External: policy.ExternalInternet, Ungrouped: policy.UngroupedReport, MinSessions: 2}}} {
		proposals, err := Generate(ctx, conn, s, file)
		if err != nil {
			t.Fatal(err)
		}
		for i := range proposals {
			if err := checkView(ctx, conn, &proposals[i], s, file); err != nil {
				t.Errorf("%+v: %v", s, err)
			}
		}
	}
	// What processes that were killed left is removed, and nothing else.
	for _, name := range []string{"view_0123456789abcdef", "recommend_0123456789abcdef_sessions", "view_of_mine"} {
		if err := conn.Exec(ctx, "CREATE TABLE "+name+" (x UInt8) ENGINE = MergeTree ORDER BY ()"); err != nil {
			t.Fatal(err)
		}
	}
	if err := DropViews(ctx, conn, 0); err != nil {
		t.Fatal(err)
	}
	var left uint64
	if err := conn.QueryRow(ctx, "SELECT count() FROM system.tables WHERE database = currentDatabase() AND (startsWith(name, 'view_') OR startsWith(name, 'recommend_'))").Scan(&left); err != nil {
		t.Fatal(err)
	}
	if left != 1 {
		t.Errorf("%d tables are left, want view_of_mine alone", left)
	}
	if err := conn.Exec(ctx, "DROP TABLE view_of_mine"); err != nil {
		t.Fatal(err)
	}
}
