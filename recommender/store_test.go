package recommender

import (
	"errors"
	"fmt"
	"testing"

	"cordon/recommender/policy"
	"cordon/schema"

	"github.com/google/go-cmp/cmp"
)

func TestStore(t *testing.T) {
	conn := store(t)
	file := parseGroups(t, "categories: [{name: role, groups: [{name: web, prefixes: [10.0.0.1, 10.0.0.2]}]}]")
	insertFlows(t, conn, []flow{
		{client: "10.0.0.1", server: "10.0.0.9", proto: 6, port: 22, completeness: schema.Unknowable},
		{client: "10.0.0.2", server: "10.0.0.9", proto: 6, port: 80, completeness: schema.Unknowable, vrf: "red"},
		{client: "10.0.0.2", server: "8.8.8.8", proto: 17, port: 53, completeness: schema.Unknowable, vrf: "blue"},
	})
	proposals, err := Generate(t.Context(), conn, Settings{}, file)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time changes nothing
		if err := Store(t.Context(), conn, proposals, file); err != nil {
			t.Fatal(err)
		}
	}
	listed, err := List(t.Context(), conn, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(listed) != 3 {
		t.Fatalf("%d proposals are listed, want 3", len(listed))
	}
	if one, err := List(t.Context(), conn, "red", 5); err != nil || len(one) != 1 || one[0].ID != proposals[2].ID || one[0].Rules != 1 || !one[0].Optimal {
		t.Errorf("%+v, %v", one, err)
	}
	for i := range proposals {
		for _, id := range []string{proposals[i].ID, proposals[i].ID[:20], proposals[i].ID[7:20]} {
			got, err := Get(t.Context(), conn, id)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(proposals[i].JSON()), string(got.JSON())); d != "" {
				t.Errorf("%s (-want +got):\n%s", id, d)
			}
		}
	}
	for id, want := range map[string]error{"sha256:zz": ErrNoProposal, "": ErrNoProposal, "' OR 1": ErrNoProposal} {
		if _, err := Get(t.Context(), conn, id); !errors.Is(err, want) {
			t.Errorf("Get(%q): %v", id, err)
		}
	}
	var rules, groups uint64
	if err := conn.QueryRow(t.Context(), "SELECT count() FROM proposal_rules WHERE proposal IN (SELECT id FROM proposals) AND sources = ['group:web']").Scan(&rules); err != nil {
		t.Fatal(err)
	}
	if err := conn.QueryRow(t.Context(), "SELECT count() FROM groups WHERE `group` = 'web'").Scan(&groups); err != nil {
		t.Fatal(err)
	}
	if rules != 2 || groups != 2 {
		t.Errorf("%d rules and %d prefixes, want 2 and 2", rules, groups)
	}
}

func TestGetTellsSeveralApart(t *testing.T) {
	conn := store(t)
	for i := range 17 { // two must share their first digit
		p := policy.Proposal{VRF: fmt.Sprint("vrf ", i)}
		p.Seal()
		if err := Store(t.Context(), conn, []policy.Proposal{p}, nil); err != nil {
			t.Fatal(err)
		}
	}
	several := 0
	for _, digit := range "0123456789abcdef" {
		if _, err := Get(t.Context(), conn, string(digit)); errors.Is(err, ErrSeveralProposals) {
			several++
		} else if err != nil && !errors.Is(err, ErrNoProposal) {
			t.Error(err)
		}
	}
	if several == 0 {
		t.Error("no digit is the begin of several ids")
	}
}
