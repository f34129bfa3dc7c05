package recommender

import (
	"maps"
	"slices"
	"testing"
	"time"

	"cordon/recommender/policy"
)

// Accepting is one step; of several that were accepted at once the newest stays; old proposals go, those in force never.
func TestLifeOfProposals(t *testing.T) {
	conn := store(t)
	ctx := t.Context()
	if err := conn.Exec(ctx, "TRUNCATE TABLE proposal_state_rows"); err != nil {
		t.Fatal(err)
	}
	var all []policy.Proposal
	for _, vrf := range []string{"default", "default", "default", "other"} {
		p := policy.Proposal{VRF: vrf, Summary: policy.Summary{Sessions: uint64(len(all))}, Window: policy.Window{From: policy.NewTime(base), To: policy.NewTime(base)}}
		p.Seal()
		all = append(all, p)
	}
	if err := Store(ctx, conn, all, nil); err != nil {
		t.Fatal(err)
	}
	accept := func(p *policy.Proposal) []string {
		t.Helper()
		superseded, err := SetState(ctx, conn, p, InForce, "ann", "")
		if err != nil {
			t.Fatal(err)
		}
		return superseded
	}
	expect := func(want ...State) {
		t.Helper()
		states, err := States(ctx, conn)
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if got := states[all[i].ID].State; got != want[i] {
				t.Errorf("proposal %d is %q, not %q", i, got, want[i])
			}
		}
	}
	accept(&all[0])
	accept(&all[3])
	if got := accept(&all[1]); !slices.Equal(got, []string{all[0].ID}) {
		t.Errorf("superseded %v", got)
	}
	expect(Superseded, InForce, "", InForce)
	// Two people accept at the same time: neither has seen the other's.
	later := time.Now().UTC().Add(time.Hour)
	if err := addStates(ctx, conn, []stateStep{{all[0].ID, Change{State: InForce, Changed: later}}, {all[2].ID, Change{State: InForce, Changed: later.Add(time.Second)}}}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // each of them settles it
		if _, err := settle(ctx, conn, &all[0], "bob"); err != nil {
			t.Fatal(err)
		}
		expect(Superseded, Superseded, InForce, InForce)
	}
	if ids, err := DropOld(ctx, conn, time.Now().Add(-time.Hour), ""); err != nil || len(ids) != 0 {
		t.Errorf("%v deleted, %v", ids, err)
	}
	ids, err := DropOld(ctx, conn, later.Add(time.Hour), "")
	if want := slices.Sorted(slices.Values([]string{all[0].ID, all[1].ID})); err != nil || !slices.Equal(ids, want) {
		t.Errorf("%v deleted, not %v: %v", ids, want, err)
	}
	expect("", "", InForce, InForce)
	left, err := List(ctx, conn, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	ofStore := map[string]bool{}
	for i := range left {
		ofStore[left[i].ID] = true
	}
	if got, want := slices.Sorted(maps.Keys(ofStore)), slices.Sorted(slices.Values([]string{all[2].ID, all[3].ID})); !slices.Equal(got, want) {
		t.Errorf("%v are left, not %v", got, want)
	}
}
