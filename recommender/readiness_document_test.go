package recommender

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cordon/categories"
	"cordon/recommender/policy"
	"cordon/recommender/simulate"
	"cordon/recommender/verify"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
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
	for h := range 60 { // a port of its own each time, and a second direction
		add(h, fmt.Sprintf("10.0.0.%d", 1+h%3), "10.0.1.2", 20000+371*h, "busy")
		add(h, "10.0.1.1", "10.0.0.1", 443+h/10, "busy")
		add(h, fmt.Sprintf("10.0.0.%d", 1+h%20), "10.0.1.1", 5432, "busy")
	}
	add(3, "10.0.0.1", "10.0.1.1", 5432, "short")
	path := filepath.Join(t.TempDir(), "flows.csv")
	if err := os.WriteFile(path, []byte(rows), 0o600); err != nil {
		t.Fatal(err)
	}
	insertFile(t, conn, path)
	got, err := Generate(t.Context(), conn, Settings{}, file)
	if err != nil || len(got) != 3 {
		t.Fatal(len(got), err)
	}
	if got[2].VRF != "short" || got[2].Readiness != nil {
		t.Errorf("VRF %s, of one hour, has readiness %+v", got[2].VRF, got[2].Readiness)
	}
	got[0], got[1] = got[1], got[0] // VRF default comes first
	r := got[0].Readiness
	learned, err := Learn(t.Context(), conn, Settings{}, file)
	if err != nil {
		t.Fatal(err)
	}
	want := simulate.Assess(&learned[1], simulate.ReadinessOptions{AtMost: readyAtMost})
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
	checkReadiness(t, conn, file, &got[0])
	back, err := policy.ParseProposals("p", got[0].JSON())
	if err != nil || back[0].ContentID() != got[0].ID {
		t.Errorf("what was read back has another id: %v", err)
	}
	short, err := Generate(t.Context(), conn, Settings{WithoutReadiness: true, VRF: "default"}, file)
	if err != nil {
		t.Fatal(err)
	}
	got[0].Readiness = nil
	got[0].Seal()
	if len(short) != 1 || short[0].ID != got[0].ID {
		t.Error("readiness changes more than itself")
	}
	if one, err := Generate(t.Context(), conn, Settings{Settings: policy.Settings{Until: policy.NewTime(base.Add(40 * time.Hour))}}, file); err != nil || one[1].Readiness != nil || strings.Contains(string(one[1].JSON()), "readiness") {
		t.Errorf("a window of 40 hours has readiness: %v", err)
	}
}

// checkReadiness has verify compute readiness by itself, also where settings and policies in force decide what is learned.
func checkReadiness(t *testing.T, conn driver.Conn, file *categories.File, plain *policy.Proposal) {
	t.Helper()
	inForce := policy.Policy{Name: "in force", Rules: []policy.StatementRule{{Name: "sql", Action: policy.Allow, Direction: policy.Bidirectional,
		Sources: []policy.Endpoint{{Prefix: netip.MustParsePrefix("10.0.0.0/29")}}, Destinations: []policy.Endpoint{policy.GroupEndpoint("db")},
		Services: []policy.Service{{Term: categories.ServiceTerm{Proto: 6, Lo: 5432, Hi: 5432}}}}}}
	s := Settings{VRF: "busy", Existing: []policy.Policy{inForce}, Settings: policy.Settings{MinSessions: 9, MinHours: 3, PortRanges: 8, Since: policy.NewTime(base.Add(5 * time.Hour))}}
	list, err := Generate(t.Context(), conn, s, file)
	if err != nil || len(list) != 1 {
		t.Fatal(len(list), err)
	}
	for p, o := range map[*policy.Proposal]verify.Options{plain: {}, &list[0]: {Settings: s.Settings, Existing: s.Existing}} {
		r, err := verify.Proposal(t.Context(), conn, p, o)
		if err != nil {
			t.Fatal(err)
		}
		if !r.OK || p.Readiness == nil {
			t.Errorf("VRF %s: %+v, %+v", p.VRF, p.Readiness, r.Findings)
		}
	}
}
