package recommender

import (
	"testing"

	"cordon/schema"
)

// TestFewerLines: two rules with seven literals in two ways. A protocol without ports
// takes a line beside the line for ports, or instead of it where it is alone.
func TestFewerLines(t *testing.T) {
	conn := store(t)
	for _, f := range []flow{
		{client: "10.0.0.1", server: "10.0.0.3", proto: 6, port: 80},
		{client: "10.0.0.1", server: "10.0.0.3", proto: 47},
		{client: "10.0.0.2", server: "10.0.0.3", proto: 6, port: 80},
	} {
		f.completeness = schema.Unknowable
		insertFlows(t, conn, []flow{f})
	}
	got, err := Generate(t.Context(), conn, Settings{}, parseGroups(t, fourGroups))
	if err != nil {
		t.Fatal(err)
	}
	// a, b -> c tcp/80 and a -> c gre take 12 lines each; a -> c tcp/80, gre would take 14.
	p := &got[0]
	literals := 0
	for i := range p.Rules {
		literals += p.Rules[i].Literals()
	}
	if len(p.Rules) != 2 || literals != 7 || p.Summary.EOSLines != 24 {
		t.Errorf("%d rules, %d literals, %d lines: %s", len(p.Rules), literals, p.Summary.EOSLines, p.JSON())
	}
}
