package recommender

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cordon/recommender/policy"
	"cordon/recommender/simulate"
)

// A proposal says how far its sessions are known, with the numbers of `cordon readiness`, where the window is long enough; the rules
// are the same with and without.
func TestProposalHasReadiness(t *testing.T) {
	conn := store(t)
	file := parseGroups(t, "categories: [{name: role, groups: [{name: web, prefixes: [10.0.0.0/24]}, {name: db, prefixes: [10.0.1.0/24]}]}]")
	rows := "src_ip,dst_ip,dst_port,proto,packets,rev_packets,start_time,vrf\n"
	add := func(hour int, src, dst string, port int, vrf string) {
		rows += fmt.Sprintf("%s,%s,%d,tcp,3,3,%s,%s\n", src, dst, port, base.Add(time.Duration(hour)*time.Hour).Format(time.RFC3339), vrf)
	}
	for h := range 60 {
		add(h, fmt.Sprintf("10.0.0.%d", 1+h%20), "10.0.1.1", 5432, "")
	}
	for h := 55; h < 60; h++ {
		add(h, fmt.Sprintf("10.9.0.%d", h), "10.0.1.1", 22, "") // hosts in no group
	}
	add(3, "10.0.0.1", "10.0.1.1", 5432, "short")
	path := filepath.Join(t.TempDir(), "flows.csv")
	if err := os.WriteFile(path, []byte(rows), 0o600); err != nil {
		t.Fatal(err)
	}
	insertFile(t, conn, path)
	got, err := Generate(t.Context(), conn, Settings{}, file)
	if err != nil || len(got) != 2 {
		t.Fatal(len(got), err)
	}
	if got[1].VRF != "short" || got[1].Readiness != nil {
		t.Errorf("VRF %s, of one hour, has readiness %+v", got[1].VRF, got[1].Readiness)
	}
	r := got[0].Readiness
	learned, err := Learn(t.Context(), conn, Settings{}, file)
	if err != nil {
		t.Fatal(err)
	}
	want := simulate.Assess(&learned[0], simulate.ReadinessOptions{AtMost: readyAtMost})
	if r == nil || r.Ready != want.Ready || !slices.Equal(r.Why, want.Why) || len(r.Backtest) != len(want.Backtest) || r.Forecast.Horizon != want.Forecast.Horizon ||
		*r.Forecast.DeniedShareAtMost != shareDigits(*want.Forecast.DeniedShareAtMost) {
		t.Fatalf("%+v, not as %+v", r, want)
	}
	states := map[string]string{}
	for _, g := range r.Groups {
		states[g.Group] = g.State
	}
	if states["web"] != simulate.Settled || states["db"] != simulate.Learning || states["ip:10.9.0.57/32"] != simulate.Learning {
		t.Errorf("%v", states)
	}
	back, err := policy.ParseProposals("p", got[0].JSON())
	if err != nil || back[0].ContentID() != got[0].ID {
		t.Errorf("what was read back has another id: %v", err)
	}
	short, err := Generate(t.Context(), conn, Settings{withoutReadiness: true}, file)
	if err != nil {
		t.Fatal(err)
	}
	got[0].Readiness = nil
	got[0].Seal()
	if short[0].ID != got[0].ID {
		t.Error("readiness changes more than itself")
	}
	if one, err := Generate(t.Context(), conn, Settings{Settings: policy.Settings{Until: policy.NewTime(base.Add(40 * time.Hour))}}, file); err != nil || one[0].Readiness != nil || strings.Contains(string(one[0].JSON()), "readiness") {
		t.Errorf("a window of 40 hours has readiness: %v", err)
	}
}
