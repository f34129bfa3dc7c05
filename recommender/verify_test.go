package recommender

import (
	"errors"
	"strings"
	"testing"

	"cordon/categories"
	"cordon/recommender/policy"
	"cordon/recommender/verify"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// verifyProposal has package verify, which computes everything in another way,
// look at a proposal as it was made.
func verifyProposal(t interface{ Fatalf(string, ...any) }, tb testing.TB, conn driver.Conn, p *policy.Proposal, s Settings, file *categories.File) {
	o := verify.Options{Groups: file, Existing: s.Existing, Guardrails: s.Guardrails}
	if p.Settings != nil {
		o.Settings = *p.Settings
	}
	r, err := verify.Proposal(tb.Context(), conn, p, o)
	if errors.Is(err, verify.ErrSettings) {
		return
	}
	if err != nil {
		t.Fatalf("%v", err)
	}
	if !r.OK || p.Certificate.Method == "fooling-set" && (r.LowerBound != p.Certificate.LowerBound || r.Optimal != p.Certificate.Optimal) {
		var text strings.Builder
		r.WriteText(&text)
		t.Fatalf("verify: %s\n%s", text.String(), p.JSON())
	}
}

func TestVerifyRealSet(t *testing.T) {
	file, err := categories.ReadFile(shared(t, "data/sets/cisco_g21/groups.csv"))
	if err != nil {
		t.Fatal(err)
	}
	conn := store(t)
	insertFile(t, conn, shared(t, "data/sets/cisco_g21/sessions.csv.zst"))
	s := Settings{Categories: []string{"role"}}
	got, err := Generate(t.Context(), conn, s, file)
	if err != nil {
		t.Fatal(err)
	}
	verifyProposal(t, t, conn, &got[0], s, file)
	// An edit that opens something small among 117 rules is found, and named.
	p := got[0]
	p.Rules = append([]policy.Rule(nil), p.Rules...)
	p.Rules[40].Sources = append(append([]policy.Endpoint(nil), p.Rules[40].Sources...), p.Rules[3].Sources...)
	r, err := verify.Proposal(t.Context(), conn, &p, verify.Options{Groups: file})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Findings {
		if f.Kind == verify.Unsound && f.Rule == p.Rules[40].Name {
			return
		}
	}
	t.Errorf("a rule was widened: %+v", r.Findings)
}
