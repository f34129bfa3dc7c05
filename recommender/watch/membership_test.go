package watch

import (
	"context"
	"slices"
	"testing"
	"time"

	"cordon/categories"
	"cordon/recommender/policy"
	"cordon/recommender/simulate"
)

func groupsOf(t *testing.T, text string) *categories.File {
	t.Helper()
	f, err := categories.Parse("groups.yaml", []byte("categories: [{name: role, groups: ["+text+"]}]"))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Addresses that left or joined a group that rules name are said, each change once; others are not.
func TestMembershipChanged(t *testing.T) {
	const before = "{name: web, prefixes: [10.0.0.0/24]}, {name: db, prefixes: [10.0.1.0/24]}, {name: mail, prefixes: [10.0.2.0/24]}, {name: lab, prefixes: [10.0.3.0/24]}"
	p := watched()
	p.Categories = []string{"role"}
	p.Candidate = &simulate.Candidate{Documents: []simulate.Document{{Policy: policy.Policy{Rules: []policy.StatementRule{
		{Sources: []policy.Endpoint{policy.GroupEndpoint("web")}, Destinations: []policy.Endpoint{policy.GroupEndpoint("db")}},
	}}}}}
	b, _ := newBus(t)
	w := newWatcher(t, b, DefaultConfig(), &found{print: "x"})
	w.deps.Policies = func(context.Context) ([]Policy, error) { return []Policy{p}, nil }
	want := []string{}
	for _, c := range []struct {
		now  string
		says []string
	}{
		{before, nil},
		{"{name: web, prefixes: [10.0.0.0/24, 10.0.2.0/25]}, {name: db, prefixes: [10.0.1.0/25]}, {name: mail, prefixes: [10.0.2.128/25]}, {name: new, prefixes: [10.0.3.0/24]}", []string{
			"10.0.1.128/25: in group db when policy aaaa was made, and now in no group that it knows",
			"10.0.2.0/25: in group mail when policy aaaa was made, and now in group web"}},
		{"{name: web, prefixes: [10.0.0.0/24]}, {name: db, prefixes: [10.0.1.0/24, {prefix: 10.0.0.7, from: 2026-01-01}]}, {name: mail, prefixes: [{prefix: 10.0.1.9, from: 2020-01-01, until: 2020-02-01}]}", []string{
			"10.0.0.7/32: in group web when policy aaaa was made, and now in group db"}},
		{before, nil},
	} {
		p.Memberships = &Memberships{Before: groupsOf(t, before), Now: groupsOf(t, c.now)}
		for range 2 {
			look(t, w)
		}
		want = append(want, c.says...)
		var got []string
		for _, e := range said(t, b) {
			if e.Type != MembershipChanged || len(e.Prefixes) != 1 || e.GroupBefore == e.GroupNow {
				t.Errorf("%+v", e)
			}
			got = append(got, e.Text)
		}
		if !slices.Equal(got, want) && len(got)+len(want) > 0 {
			t.Fatalf("said %q, want %q", got, want)
		}
	}
	p.Categories = []string{"site"} // today's groups do not have it
	if got := p.changed(time.Now()); got != nil {
		t.Errorf("%v", got)
	}
}
