package recommender

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"cordon/categories"
	"cordon/recommender/cover"
	"cordon/recommender/policy"
	"cordon/schema"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// TestNamedLocalAddresses: a selected group makes sessions of link-local, multicast and other local addresses
// proposable if it names them by a prefix inside that range, and not by a wider one.
func TestNamedLocalAddresses(t *testing.T) {
	conn := store(t)
	file := parseGroups(t, `categories:
  - name: role
    groups:
      - {name: pod, prefixes: [10.0.0.0/24, "fd00::/64"]}
  - name: infra
    groups:
      - {name: resolver, prefixes: [169.254.20.0/24, "fe80::53", 127.0.0.53, "::1"]}
      - {name: metadata, prefixes: ["::ffff:169.254.169.254/128"]}
      - {name: media, prefixes: [239.0.0.0/8, "ff05::/16"]}
      - {name: everybody, prefixes: [255.255.255.255]}
      - {name: wide, prefixes: [169.0.0.0/8, 126.0.0.0/7, 224.0.0.0/3, "fe00::/7", "::/64", 0.0.0.0/7]}
  - name: all
    groups:
      - {name: all, prefixes: [0.0.0.0/0, "::/0"]}
`)
	named := []string{"169.254.20.10", "fe80::53", "127.0.0.53", "::1", "169.254.169.254", "239.1.2.3", "ff05::1:3", "255.255.255.255"}
	local := []string{"169.254.21.10", "fe80::54", "127.0.0.54", "::", "224.0.0.251", "ff02::fb", "0.0.0.0"}
	var flows []flow
	for _, server := range append(slices.Clone(named), local...) {
		client := "10.0.0.1"
		if strings.Contains(server, ":") {
			client = "fd00::1"
		}
		flows = append(flows, flow{client: client, server: server, proto: 17, port: 53, completeness: schema.Unknowable})
	}
	insertFlows(t, conn, append(flows, flow{client: "10.0.0.1", server: "10.0.0.2", proto: 6, port: 443, completeness: schema.Unknowable}))
	for _, c := range []struct {
		selected []string
		included int
	}{{nil, 9}, {[]string{"all", "infra"}, 9}, {[]string{"role", "all"}, 1}, {[]string{"role"}, 1}} {
		p := onlyProposal(t, conn, Settings{Categories: c.selected, Effort: cover.EffortQuick}, file)
		if p.Summary.Included != uint64(c.included) || len(p.Unproposed) != 1 || p.Unproposed[0].Reason != policy.Local {
			t.Errorf("categories %v: %d sessions included, want %d\n%s", c.selected, p.Summary.Included, c.included, p.JSON())
		}
	}
	// Without a group for it, a named address is reported like any other local one.
	s := SuggestSettings{Settings: Settings{Effort: cover.EffortQuick}}
	got, err := Suggest(t.Context(), conn, s, file)
	if err != nil {
		t.Fatal(err)
	}
	included := map[string]uint64{}
	for _, x := range got.List {
		included[strings.Join(x.Categories, ",")] = x.Included
	}
	for order, want := range map[string]uint64{"role": 1, "infra": 9, "all": 1, "all,infra": 9, "role,all": 1, "role,infra": 9} {
		if included[order] != want {
			t.Errorf("order %s includes %d sessions, want %d of %v", order, included[order], want, included)
		}
	}
}

// onlyProposal generates the proposal of the one VRF, and has it verified.
func onlyProposal(t *testing.T, conn driver.Conn, s Settings, file *categories.File) *policy.Proposal {
	t.Helper()
	got, err := Generate(t.Context(), conn, s, file)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 {
		t.Fatalf("%d proposals, want 1", len(got))
	}
	verifyProposal(t, t, conn, &got[0], s, file)
	return &got[0]
}

// proposalsOf generates the proposals of lists of flows, each in a VRF of its own so that they take one run, and has each verified.
func proposalsOf(t *testing.T, s Settings, file *categories.File, lists ...[]flow) []*policy.Proposal {
	t.Helper()
	conn := store(t)
	var all []flow
	for i, flows := range lists {
		for _, f := range flows {
			f.vrf = fmt.Sprintf("vrf-%03d", i)
			all = append(all, f)
		}
	}
	insertFlows(t, conn, all)
	got, err := Generate(t.Context(), conn, s, file)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]*policy.Proposal, len(lists))
	for i := range got {
		verifyProposal(t, t, conn, &got[i], s, file)
		var list int
		if _, err := fmt.Sscanf(got[i].VRF, "vrf-%d", &list); err != nil {
			t.Fatal(err)
		}
		out[list] = &got[i]
	}
	return out
}

// alike gives the indices of the values that are equal, in lists in the order of their first ones.
func alike[V any](n int, of func(i int) V) (out [][]int) {
	for i := range n {
		same := func(list []int) bool { return reflect.DeepEqual(of(list[0]), of(i)) }
		if at := slices.IndexFunc(out, same); at >= 0 {
			out[at] = append(out[at], i)
		} else {
			out = append(out, []int{i})
		}
	}
	return out
}

// TestNamedLocalBeyondTheGroup: the group that an address resolves to need not be the one that names it, and a
// prefix that flattening drops still names.
func TestNamedLocalBeyondTheGroup(t *testing.T) {
	conn := store(t)
	insertFlows(t, conn, []flow{
		{client: "10.0.0.1", server: "169.254.20.10", proto: 17, port: 53, completeness: schema.Unknowable},
		{client: "10.0.0.1", server: "169.254.20.11", proto: 17, port: 53, completeness: schema.Unknowable},
	})
	for _, groups := range []string{
		"[{name: a, groups: [{name: all, prefixes: [0.0.0.0/0]}]}, {name: b, groups: [{name: dns, prefixes: [169.254.20.10]}]}]",
		"[{name: a, groups: [{name: all, prefixes: [0.0.0.0/0, 169.254.20.10]}]}]",
		"[{name: a, groups: [{name: all, prefixes: [0.0.0.0/0]}, {name: dns, prefixes: [169.254.20.10]}]}]",
	} {
		p := onlyProposal(t, conn, Settings{}, parseGroups(t, "categories: "+groups))
		if p.Summary.Included != 1 || len(p.Unproposed) != 1 || p.Unproposed[0].Examples[0].Destination != "169.254.20.11" {
			t.Errorf("%s: %s", groups, p.JSON())
		}
	}
}

// TestMulticastIsNeverHalfOpen: nothing answers from a multicast or broadcast address, so a missing answer neither
// keeps a session out nor makes its client a scanner.
func TestMulticastIsNeverHalfOpen(t *testing.T) {
	conn := store(t)
	file := parseGroups(t, `categories:
  - name: role
    groups:
      - {name: studio, prefixes: [10.0.0.0/24, "fd00::/64"]}
      - {name: media, prefixes: [239.1.0.0/16, "ff05::/16", 255.255.255.255]}
`)
	flows := []flow{
		{client: "10.0.0.2", server: "10.0.0.3", proto: 6, port: 443, reply: 1, completeness: schema.BothWays},
		{client: "10.0.0.2", server: "10.0.0.4", proto: 6, port: 443, completeness: schema.BothWays},
		{client: "fd00::1", server: "ff05::1:3", proto: 17, port: 5004, completeness: schema.BothWays},
		{client: "10.0.0.9", server: "255.255.255.255", proto: 17, port: 67, completeness: schema.BothWays},
	}
	for i := range 20 {
		flows = append(flows, flow{client: "10.0.0.1", server: fmt.Sprintf("239.1.0.%d", i), proto: 17, port: 5004, completeness: schema.BothWays})
	}
	insertFlows(t, conn, flows)
	p := onlyProposal(t, conn, Settings{Settings: policy.Settings{ScannerTargets: 5}}, file)
	if p.Summary.Included != 23 || len(p.Unproposed) != 1 || p.Unproposed[0].Reason != policy.HalfOpen || p.Unproposed[0].Sessions != 1 {
		t.Errorf("%s", p.JSON())
	}
}
