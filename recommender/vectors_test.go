package recommender

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cordon/categories"
	"cordon/recommender/policy"
	"cordon/schema"

	"github.com/google/go-cmp/cmp"
)

// vector is one case drawn from another product.
type vector struct {
	Groups []struct {
		Name     string
		Category string
		Prefixes []netip.Prefix
	}
	Services map[string]string
	Config   struct{ Categories []string }
	Flows    []vectorFlow
	Raw      []struct {
		Src, Dst     string
		Sport, Dport uint16
		Proto        string
	} `json:"raw_records"`
	Runs []struct {
		Categories []string
		Min        int `json:"strict_min_rules"`
	}
	Expected struct {
		Rules []struct {
			Src, Dst, Services []string
			Action             string
		}
		MinRules      int `json:"min_rules"`
		Unproposed    map[string]string
		MustNotPermit []vectorFlow `json:"must_not_permit"`
		EOS           struct {
			One int `json:"one_rule_two_services"`
		} `json:"eos_lines"`
		Witness []string `json:"lower_bound_witness"`
	}
}

type vectorFlow struct {
	ID       string
	Src, Dst struct{ Group, IP string }
	Proto    string
	Dport    uint16
	FwdPkts  uint64 `json:"fwd_pkts"`
	RevPkts  uint64 `json:"rev_pkts"`
}

// file makes the groups file of a vector. Groups without addresses get one of
// their own, and those that flows give them.
func (v *vector) file(t *testing.T) (*categories.File, func(group, ip string) string) {
	t.Helper()
	own := map[string]string{}
	f := &categories.File{Path: "vector"}
	order := v.Config.Categories
	for _, g := range v.Groups {
		if !slices.Contains(order, g.Category) {
			order = append(order, g.Category)
		}
	}
	for _, name := range order {
		f.Categories = append(f.Categories, categories.Category{Name: name})
	}
	for i, g := range v.Groups {
		prefixes := g.Prefixes
		if prefixes == nil {
			own[g.Name] = fmt.Sprintf("10.77.%d.1", i)
			prefixes = []netip.Prefix{netip.MustParsePrefix(own[g.Name] + "/32")}
			for _, fl := range v.Flows {
				for _, end := range []struct{ Group, IP string }{fl.Src, fl.Dst} {
					if end.Group == g.Name && end.IP != "" {
						prefixes = append(prefixes, netip.MustParsePrefix(end.IP+"/32"))
					}
				}
			}
		}
		c := &f.Categories[slices.Index(order, g.Category)]
		c.Groups = append(c.Groups, categories.Group{Name: g.Name, Prefixes: prefixes})
	}
	return f, func(group, ip string) string {
		if ip != "" {
			return ip
		}
		return own[group]
	}
}

func TestVectors(t *testing.T) {
	for _, name := range []string{"01", "02", "05", "06", "09", "12"} {
		paths, err := filepath.Glob(shared(t, "vectors") + "/" + name + "_*.json")
		if err != nil || len(paths) != 1 {
			t.Fatal(paths, err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(paths[0]), ".json"), func(t *testing.T) {
			data, err := os.ReadFile(paths[0])
			if err != nil {
				t.Fatal(err)
			}
			var v vector
			if err := json.Unmarshal(data, &v); err != nil {
				t.Fatal(err)
			}
			testVector(t, &v)
		})
	}
}

func testVector(t *testing.T, v *vector) {
	file, address := v.file(t)
	protocol := func(s string) uint8 {
		n, err := categories.ParseProtocol(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	var flows []flow
	if v.Raw != nil {
		for _, r := range v.Raw {
			flows = append(flows, flow{client: r.Src, server: r.Dst, sport: r.Sport, port: r.Dport, proto: protocol(r.Proto), completeness: schema.OneWay})
		}
	} else {
		for _, f := range v.Flows {
			x := flow{client: address(f.Src.Group, f.Src.IP), server: address(f.Dst.Group, f.Dst.IP), port: f.Dport, proto: protocol(f.Proto),
				packets: f.FwdPkts, reply: f.RevPkts, completeness: schema.BothWays}
			if f.FwdPkts == 0 {
				x.completeness = schema.Unknowable
			}
			flows = append(flows, x)
		}
	}
	conn := store(t)
	insertFlows(t, conn, flows)
	got, err := Generate(t.Context(), conn, Settings{}, file)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 {
		t.Fatalf("%d proposals", len(got))
	}
	p := got[0]
	verifyProposal(t, t, conn, &p, Settings{}, file)
	acceptAndRunAgain(t, conn, got, Settings{}, file)

	type rule struct{ Src, Dst, Services []string }
	sorted := func(s []string) []string { s = slices.Clone(s); slices.Sort(s); return s }
	var want, have []string
	for _, r := range v.Expected.Rules {
		want = append(want, fmt.Sprint(rule{sorted(r.Src), sorted(r.Dst), sorted(r.Services)}))
	}
	for _, r := range p.Rules {
		have = append(have, fmt.Sprint(rule{sorted(texts(r.Sources)), sorted(texts(r.Destinations)), sorted(texts(r.Services))}))
	}
	if d := cmp.Diff(sorted(want), sorted(have)); d != "" {
		t.Errorf("rules (-want +got):\n%s", d)
	}
	if len(p.Rules) != v.Expected.MinRules || !p.Certificate.Optimal || p.Certificate.LowerBound != v.Expected.MinRules || len(p.Certificate.Witness) != len(v.Expected.Witness) {
		t.Errorf("%d rules, certificate %+v, want %d", len(p.Rules), p.Certificate, v.Expected.MinRules)
	}
	reasons := map[string]uint64{}
	for _, r := range v.Expected.Unproposed {
		reasons[r]++
	}
	for _, u := range p.Unproposed {
		if reasons[string(u.Reason)] != u.Sessions {
			t.Errorf("%d sessions are %s, want %d", u.Sessions, u.Reason, reasons[string(u.Reason)])
		}
		delete(reasons, string(u.Reason))
	}
	if len(reasons) > 0 {
		t.Errorf("nothing is %v", reasons)
	}
	if v.Expected.EOS.One != 0 && p.Summary.EOSLines != v.Expected.EOS.One {
		t.Errorf("%d lines of EOS, want %d", p.Summary.EOSLines, v.Expected.EOS.One)
	}

	a, err := policy.NewAddresses(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	permits := func(f vectorFlow) bool {
		return a.Permits(p.Rules, netip.MustParseAddr(address(f.Src.Group, f.Src.IP)), netip.MustParseAddr(address(f.Dst.Group, f.Dst.IP)),
			categories.NewService(protocol(f.Proto), f.Dport, 0))
	}
	for _, f := range v.Expected.MustNotPermit {
		if permits(f) {
			t.Errorf("%s is permitted: %+v", f.ID, f)
		}
	}
	for _, f := range v.Flows {
		if _, left := v.Expected.Unproposed[f.ID]; !left != permits(f) {
			t.Errorf("%s is permitted: %v", f.ID, permits(f))
		}
	}
	for _, run := range v.Runs {
		if len(run.Categories) > 0 {
			continue
		}
		got, err := Generate(t.Context(), conn, Settings{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(got[0].Rules) != run.Min || !got[0].Certificate.Optimal {
			t.Errorf("without categories: %d rules, want %d", len(got[0].Rules), run.Min)
		}
	}
}

// TestVectorStitch has one session seen as four records of one direction each,
// one of them sent twice.
func TestVectorStitch(t *testing.T) {
	shared(t, "vectors")
	records := []flow{
		{client: "10.0.0.1", server: "10.0.0.2", sport: 9001, port: 9002, proto: 6, packets: 11},
		{client: "10.0.0.1", server: "10.0.0.2", sport: 9001, port: 9002, proto: 6, packets: 22, at: 10e9},
		{client: "10.0.0.2", server: "10.0.0.1", sport: 9002, port: 9001, proto: 6, packets: 33, at: 10e9},
		{client: "10.0.0.2", server: "10.0.0.1", sport: 9002, port: 9001, proto: 6, packets: 44, at: 20e9},
	}
	var ids []string
	for range 2 {
		slices.Reverse(records)
		conn := store(t)
		insertFlows(t, conn, records)
		got, err := Generate(t.Context(), conn, Settings{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		p := got[0]
		if p.Summary.Sessions != 1 || !p.Window.From.Equal(base) || !p.Window.To.Equal(base.Add(20e9)) {
			t.Errorf("%+v %+v", p.Summary, p.Window)
		}
		ids = append(ids, p.ID)
	}
	if ids[0] != ids[1] {
		t.Error("the order of arrival changes the proposal")
	}
}
