package recommender

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	if sometimes(p) {
		if alone, err := verifyAlone(tb, conn, p); err != nil || alone != reportText(r) {
			t.Fatalf("verify with the document alone: %v %s\nwith the file: %s\n%s", err, alone, reportText(r), p.JSON())
		}
	}
	if !r.OK || r.LowerBound != p.Certificate.LowerBound || r.Optimal != p.Certificate.Optimal {
		t.Fatalf("verify: %s\n%s", reportText(r), p.JSON())
	}
}

// sometimes holds for one of four proposals, always the same: a check that not every proposal of a test needs costs less so.
func sometimes(p *policy.Proposal) bool {
	return p.ID != "" && strings.Contains("048c", p.ID[len(p.ID)-1:])
}

// verifyAlone verifies a proposal as a reader of its text does, who has neither groups file nor policies.
func verifyAlone(tb testing.TB, conn driver.Conn, p *policy.Proposal) (string, error) {
	read, err := policy.ParseProposals("document", p.JSON())
	if err != nil {
		return "", err
	}
	var o verify.Options
	if p.Settings != nil {
		o.Settings = *p.Settings
	}
	r, err := verify.Proposal(tb.Context(), conn, &read[0], o)
	if err != nil {
		return "", err
	}
	return reportText(r), nil
}

func reportText(r *verify.Report) string {
	var text strings.Builder
	r.WriteText(&text)
	return text.String()
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

// TestSecondChecker: a checker in another language, which searches for nothing and asks no store, proves the bounds of all sets from their documents.
func TestSecondChecker(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3 here, which the second checker needs")
	}
	for _, c := range []struct {
		set        string
		categories []string
		exhaustive bool
	}{
		{"cisco_g21", []string{"role", "app", "tier"}, true},
		{"k8s_boutique", []string{"app"}, false},
		{"synth_small", []string{"role"}, false},
	} {
		file, err := categories.ReadFile(shared(t, "data/sets/"+c.set+"/groups.csv"))
		if err != nil {
			t.Fatal(err)
		}
		conn := store(t)
		insertFile(t, conn, shared(t, "data/sets/"+c.set+"/sessions.csv.zst"))
		searched := false
		for _, category := range c.categories {
			s := Settings{Categories: []string{category}}
			got, err := Generate(t.Context(), conn, s, file)
			if err != nil {
				t.Fatal(err)
			}
			p := &got[0]
			searched = searched || p.Certificate.Method == "exhaustive"
			verifyProposal(t, t, conn, p, s, file)
			document := filepath.Join(t.TempDir(), "proposal.json")
			check := func() (string, error) {
				if err := os.WriteFile(document, p.JSON(), 0o600); err != nil {
					t.Fatal(err)
				}
				out, err := exec.CommandContext(t.Context(), python, "../scripts/check_certificate.py", document).CombinedOutput()
				return string(out), err
			}
			want := fmt.Sprintf("%d rules, at least %d are needed: proved\n", p.Certificate.Rules, p.Certificate.LowerBound)
			if out, err := check(); err != nil || out != want {
				t.Errorf("%s by %s: %q, %v; want %q", c.set, category, out, err, want)
			}
			p.Certificate.Parts, p.Certificate.Witness = nil, p.Certificate.Witness[1:]
			if out, err := check(); err == nil {
				t.Errorf("%s by %s: %q of a witness with a cell too few", c.set, category, out)
			}
		}
		if searched != c.exhaustive {
			t.Errorf("%s: a bound rests on a search: %v, want %v", c.set, searched, c.exhaustive)
		}
	}
}
