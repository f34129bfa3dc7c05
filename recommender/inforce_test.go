package recommender

import (
	"bytes"
	"testing"

	"cordon/categories"
	"cordon/recommender/policy"
	"cordon/schema"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
)

// acceptAndRunAgain takes proposals as the policy in force, as a user would: from
// their YAML. Then nothing is left to propose, every rule is needed, and each decides
// a session.
func acceptAndRunAgain(t *testing.T, conn driver.Conn, accepted []policy.Proposal, s Settings, file *categories.File) {
	t.Helper()
	var b bytes.Buffer
	for i := range accepted {
		b.WriteString("---\n")
		if err := accepted[i].WriteYAML(&b); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if s.Existing, err = policy.ParsePolicies("accepted.yaml", b.Bytes()); err != nil {
		t.Fatal(err)
	}
	again, err := Generate(t.Context(), conn, s, file)
	if err != nil {
		t.Fatal(err)
	}
	if len(again) != len(accepted) {
		t.Fatalf("%d proposals, then %d", len(accepted), len(again))
	}
	for i := range again {
		p := &again[i]
		if len(p.Rules) > 0 || p.Summary.Included > 0 || len(p.Existing) > 0 {
			t.Errorf("VRF %s: after accepting a proposal, %d rules for %d sessions are proposed; in force: %+v", p.VRF, len(p.Rules), p.Summary.Included, p.Existing)
		}
		permitted := uint64(0)
		for _, u := range p.Unproposed {
			if u.Reason == policy.AlreadyPermitted {
				permitted = u.Sessions
			}
		}
		if permitted != accepted[i].Summary.Included {
			t.Errorf("VRF %s: %d sessions are permitted already, want %d", p.VRF, permitted, accepted[i].Summary.Included)
		}
		verifyProposal(t, t, conn, p, s, file)
	}
}

// TestRulesInForce has a policy with an exception before a denial, a rule that
// is never reached, one that a proposal makes redundant, and one that nobody uses.
func TestRulesInForce(t *testing.T) {
	conn := store(t)
	file := parseGroups(t, fourGroups)
	session := func(client, server string, port uint16) flow {
		return flow{client: client, server: server, proto: 6, port: port, completeness: schema.Unknowable}
	}
	insertFlows(t, conn, []flow{
		session("10.0.0.1", "10.0.0.3", 22), session("10.0.0.2", "10.0.0.3", 22), session("10.0.0.1", "10.0.0.4", 80),
		session("10.0.0.2", "10.0.0.4", 80),
		{client: "10.0.0.4", server: "10.0.0.1", proto: 6, port: 25, completeness: schema.BothWays}, // no answer
	})
	s := Settings{Existing: parsePolicies(t, `  - {name: admin, sources: [group:a], destinations: [group:c], services: [tcp/22]}
  - {name: no-ssh, action: deny, services: [tcp/22]}
  - {name: late, sources: [group:b], destinations: [group:c], services: [tcp/22]}
  - {name: www, sources: [group:a], destinations: [group:d], services: [tcp/80]}
  - {name: mail, sources: [group:d], destinations: [group:a], services: [tcp/25]}
  - {name: backup, sources: [group:d], destinations: [group:c], services: [tcp/873]}
  - {sources: [group:a], destinations: [group:d], services: [tcp/80, tcp/81]}
`)}
	got, err := Generate(t.Context(), conn, s, file)
	if err != nil {
		t.Fatal(err)
	}
	p := &got[0]
	verifyProposal(t, t, conn, p, s, file)
	want := []policy.InForce{
		{Rule: "no-ssh", Finding: policy.Contradicted, ByProposed: []string{"b-to-c-ssh"}},
		{Rule: "late", Finding: policy.Shadowed, By: []string{"no-ssh"}},
		{Rule: "backup", Finding: policy.Unused},
		{Rule: "rule 7", Finding: policy.Redundant, By: []string{"www"}},
		{Rule: "rule 7", Finding: policy.WiderThanSeen, Beyond: &policy.Beyond{PermittedPairs: 1, ObservedPairs: 1, PermittedPorts: 2, ObservedPorts: 1}},
	}
	if d := cmp.Diff(want, p.Existing); d != "" {
		t.Errorf("(-want +got):\n%s\n%s", d, p.JSON())
	}
	// The first rule that matches decides: what a denial stops is proposed, what an
	// exception before it permits is not.
	reasons := map[policy.Reason]uint64{}
	for _, u := range p.Unproposed {
		reasons[u.Reason] = u.Sessions
	}
	if d := cmp.Diff(map[policy.Reason]uint64{policy.AlreadyPermitted: 2, policy.HalfOpen: 1}, reasons); d != "" || p.Summary.Included != 2 {
		t.Errorf("%d included, (-want +got):\n%s", p.Summary.Included, d)
	}
}

func TestAcceptedRealSet(t *testing.T) {
	file, err := categories.ReadFile(shared(t, "data/sets/k8s_boutique/groups.csv"))
	if err != nil {
		t.Fatal(err)
	}
	conn := store(t)
	insertFile(t, conn, shared(t, "data/sets/k8s_boutique/sessions.csv.zst"))
	s := Settings{Categories: []string{"app"}}
	got, err := Generate(t.Context(), conn, s, file)
	if err != nil {
		t.Fatal(err)
	}
	acceptAndRunAgain(t, conn, got, s, file)
}
