package policy

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDifference(t *testing.T) {
	svc := func(s string) Service {
		v, err := ParseService(s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	web, app, db := GroupEndpoint("web"), GroupEndpoint("app"), GroupEndpoint("db")
	// The same permissions, cut into two rules and into one.
	two := &Proposal{Rules: []Rule{
		{Sources: []Endpoint{web}, Destinations: []Endpoint{app}, Services: []Service{svc("tcp/80")}},
		{Sources: []Endpoint{web}, Destinations: []Endpoint{db}, Services: []Service{svc("tcp/80")}},
	}}
	one := &Proposal{Rules: []Rule{{Sources: []Endpoint{web}, Destinations: []Endpoint{db, app}, Services: []Service{svc("tcp/80")}}}}
	if removed, added := Difference(two, one); removed != nil || added != nil {
		t.Fatalf("the same permissions differ: -%v +%v", removed, added)
	}
	one.Rules[0].Services = []Service{svc("tcp/443")}
	removed, added := Difference(two, one)
	wantRemoved := []Cell{{web, app, svc("tcp/80")}, {web, db, svc("tcp/80")}}
	wantAdded := []Cell{{web, app, svc("tcp/443")}, {web, db, svc("tcp/443")}}
	if d := cmp.Diff(wantRemoved, removed, cmp.Comparer(func(a, b Cell) bool { return a == b })); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(wantAdded, added, cmp.Comparer(func(a, b Cell) bool { return a == b })); d != "" {
		t.Error(d)
	}
}
