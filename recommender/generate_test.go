package recommender

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"cordon/categories"
	"cordon/recommender/policy"
	"cordon/schema"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// addresses to draw from: 32 that groups are made of, and some of every other kind.
var universe = func() (out []netip.Addr) {
	for i := range 32 {
		out = append(out, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}))
	}
	for _, s := range []string{"192.168.7.7", "8.8.8.8", "9.9.9.9", "224.0.0.251", "fd00::1", "fd00::2", "2001:4860::8", "fe80::1"} {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}()

// drawGroups draws groups of prefixes with at least so many bits.
func drawGroups(t *rapid.T, least int) *categories.File {
	f := &categories.File{Path: "drawn"}
	prefix := func() netip.Prefix {
		if rapid.IntRange(0, 5).Draw(t, "v6") == 0 {
			return rapid.SampledFrom([]netip.Prefix{netip.MustParsePrefix("fd00::1/128"), netip.MustParsePrefix("fd00::/64"), netip.MustParsePrefix("9.9.9.9/32"),
				netip.MustParsePrefix("224.0.0.251/32"), netip.MustParsePrefix("224.0.0.0/3"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("fe00::/7")}).Draw(t, "prefix")
		}
		a := universe[rapid.IntRange(0, 31).Draw(t, "addr")]
		return netip.PrefixFrom(a, rapid.IntRange(least, 32).Draw(t, "bits")).Masked()
	}
	for c := range rapid.IntRange(1, 2).Draw(t, "categories") {
		category := categories.Category{Name: fmt.Sprintf("c%d", c)}
		for g := range rapid.IntRange(1, 4).Draw(t, "groups") {
			category.Groups = append(category.Groups, categories.Group{Name: fmt.Sprintf("c%dg%d", c, g),
				Prefixes: []netip.Prefix{prefix(), prefix()}})
		}
		f.Categories = append(f.Categories, category)
	}
	for range rapid.IntRange(0, 2).Draw(t, "exclusions") {
		p := prefix()
		x := categories.Exclusion{Reason: "drawn", Sources: []categories.Selector{{Text: p.String(), Prefixes: []netip.Prefix{p}}}}
		if rapid.Bool().Draw(t, "of one service") {
			x.Services = []categories.ServiceTerm{{Proto: 6, Lo: 443, Hi: 443}}
		}
		f.Exclude = append(f.Exclude, x)
	}
	return f
}

// drawSelection draws some of the categories in any order, or none for all.
func drawSelection(t *rapid.T, f *categories.File) []string {
	names := rapid.Permutation(f.CategoryNames()).Draw(t, "order of categories")
	return names[:rapid.IntRange(0, len(names)).Draw(t, "selected categories")]
}

func drawPolicies(t *rapid.T, f *categories.File, what string) []policy.Policy {
	n := rapid.IntRange(0, 3).Draw(t, what)
	if n == 0 {
		return nil
	}
	literals := []string{"any", "group:internet", "ip:8.8.8.8", "ip:10.0.0.0/28", "ip:10.0.0.5", "ip:fd00::/64", "ip:::/0", "ip:0.0.0.0/0"}
	for _, c := range f.Categories {
		for _, g := range c.Groups {
			literals = append(literals, "group:"+g.Name)
		}
	}
	endpoint := func() policy.Endpoint {
		e, err := policy.ParseEndpoint(rapid.SampledFrom(literals).Draw(t, "literal"))
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	p := policy.Policy{VRF: rapid.SampledFrom([]string{"", "default", "red"}).Draw(t, "vrf")}
	for range n {
		r := policy.StatementRule{
			Action:  rapid.SampledFrom([]policy.Action{policy.Allow, policy.Deny}).Draw(t, "action"),
			Sources: []policy.Endpoint{endpoint()}, Destinations: []policy.Endpoint{endpoint()},
			Services: []policy.Service{{Any: true}},
		}
		if rapid.Bool().Draw(t, "of one service") {
			r.Services = []policy.Service{{Term: categories.ServiceTerm{Proto: 6, Lo: 400, Hi: 500}}}
		}
		p.Rules = append(p.Rules, r)
	}
	return []policy.Policy{p}
}

func drawFlow(t *rapid.T) flow {
	f := flow{
		client: rapid.SampledFrom(universe).Draw(t, "client").String(), server: rapid.SampledFrom(universe).Draw(t, "server").String(),
		vrf: rapid.SampledFrom([]string{"default", "default", "red"}).Draw(t, "vrf"),
		at:  time.Duration(rapid.IntRange(0, rapid.SampledFrom([]int{7200, 40 * 3600}).Draw(t, "until")).Draw(t, "at")) * time.Second,
		// Few services, so that cells get several sessions.
		packets: uint64(rapid.IntRange(1, 3).Draw(t, "packets")), reply: uint64(rapid.IntRange(0, 3).Draw(t, "reply")),
		completeness: schema.BothWays,
	}
	switch rapid.IntRange(0, 8).Draw(t, "service") {
	case 0, 1:
		f.proto, f.port = 6, 443
	case 2:
		f.proto, f.port = 6, 22
	case 3:
		f.proto, f.port = 17, 53
	case 4:
		f.proto, f.icmpType, f.icmpCode = 1, 8, uint8(rapid.IntRange(0, 1).Draw(t, "code"))
	case 5:
		f.proto = 47
	default:
		f.proto, f.port = 6, uint16(50000+rapid.IntRange(0, 15).Draw(t, "dynamic"))
	}
	if rapid.IntRange(0, 3).Draw(t, "unknowable") == 0 {
		f.completeness, f.reply = schema.Unknowable, 0
	}
	if rapid.IntRange(0, 9).Draw(t, "dropped") == 0 {
		f.action = schema.Dropped
	}
	return f
}

// drawBurst draws answered sessions of one pair of hosts on many dynamic ports,
// as passive FTP or media have them; drawFlow alone hardly ever gives a range.
func drawBurst(t *rapid.T) []flow {
	f := drawFlow(t)
	f.proto, f.icmpType, f.icmpCode, f.reply, f.completeness, f.action = 6, 0, 0, 1, schema.BothWays, schema.ActionUnknown
	out := make([]flow, rapid.IntRange(2, 8).Draw(t, "burst"))
	for i := range out {
		out[i] = f
		out[i].port = uint16(50000 + 3*i)
	}
	return out
}

// drawFleet draws hosts that do the same: they use a service, or serve it, or
// use it of each other.
func drawFleet(t *rapid.T) []flow {
	f := drawFlow(t)
	f.reply, f.completeness, f.action = 1, schema.BothWays, schema.ActionUnknown
	first, n, way := rapid.IntRange(8, 30).Draw(t, "first"), rapid.IntRange(2, 6).Draw(t, "fleet"), rapid.IntRange(0, 2).Draw(t, "way")
	members := universe[first:min(first+n, 32)]
	var out []flow
	for _, m := range members {
		g := f
		switch way {
		case 0:
			g.client = m.String()
		case 1:
			g.server = m.String()
		default:
			for _, peer := range members {
				if peer != m {
					g.client, g.server = m.String(), peer.String()
					out = append(out, g)
				}
			}
			continue
		}
		out = append(out, g)
	}
	return out
}

// fewChecks has rapid draw less often than usual, since each draw takes a few dozen
// queries, and then always the same, since what so few draws have in them is
// luck. It reports whether it does: not if the command line asks for something else.
func fewChecks(n, seed string) (few bool, restore func()) {
	checks, seeds := flag.Lookup("rapid.checks").Value, flag.Lookup("rapid.seed").Value
	c, s := checks.String(), seeds.String()
	if few = c == flag.Lookup("rapid.checks").DefValue && s == flag.Lookup("rapid.seed").DefValue; few {
		checks.Set(n)
		seeds.Set(seed)
	}
	return few, func() { checks.Set(c); seeds.Set(s) }
}

// againstReference compares the proposals for flows with the reference: every session's
// fate, soundness, completeness and evidence. The same records in another order
// give the same bytes.
func againstReference(rt *rapid.T, t *testing.T, conn driver.Conn, s Settings, file *categories.File, flows []flow) (proposals []policy.Proposal) {
	var documents []string
	for pass := range 2 {
		if pass == 1 {
			flows = rapid.Permutation(flows).Draw(rt, "order")
		}
		empty(t, conn)
		insertFlows(t, conn, flows)
		got, err := Generate(t.Context(), conn, s, file)
		if err != nil {
			rt.Fatal(err)
		}
		all := ""
		for i := range got {
			all += string(got[i].JSON())
		}
		documents = append(documents, all)
		if pass == 1 {
			continue
		}
		proposals = got
		a, err := policy.NewAddresses(file, s.Categories)
		if err != nil {
			rt.Fatal(err)
		}
		x := &reference{settings: s, file: file, addresses: a, universe: universe}
		vrfs := map[string][]*refSession{}
		for _, session := range x.sessions(flows) {
			vrfs[session.vrf] = append(vrfs[session.vrf], session)
		}
		if len(got) != len(vrfs) {
			rt.Fatalf("%d proposals, want %d", len(got), len(vrfs))
		}
		for i := range got {
			if err := x.check(&got[i], vrfs[got[i].VRF]); err != nil {
				rt.Fatalf("%v\n%s", err, got[i].JSON())
			}
			verifyProposal(rt, t, conn, &got[i], s, file)
		}
	}
	if documents[0] != documents[1] {
		rt.Fatalf("the order of records changes the document:\n%s", cmp.Diff(documents[0], documents[1]))
	}
	return proposals
}

// TestAgainstReference draws sessions, groups, policies and settings.
func TestAgainstReference(t *testing.T) {
	conn := store(t)
	few, restore := fewChecks("9", "2")
	defer restore()
	included, ranges, prefixes, reasons := 0, 0, 0, map[policy.Reason]int{}
	rapid.Check(t, func(rt *rapid.T) {
		ungrouped := rapid.SampledFrom([]policy.UngroupedMode{policy.UngroupedHost, policy.UngroupedReport, policy.UngroupedPrefix}).Draw(rt, "ungrouped")
		bits, fewest, most := 27, 30, 120
		if ungrouped == policy.UngroupedPrefix { // hosts that are in no group, and do the same
			bits, fewest, most = 30, 0, 12
		}
		file := drawGroups(rt, bits)
		s := Settings{
			Categories: drawSelection(rt, file),
			Settings:   policy.Settings{Ungrouped: ungrouped, External: rapid.SampledFrom([]policy.ExternalMode{policy.ExternalReport, policy.ExternalHost, policy.ExternalInternet}).Draw(rt, "external"), HalfOpen: rapid.SampledFrom([]policy.HalfOpenMode{policy.HalfOpenReport, policy.HalfOpenAllowUDP, policy.HalfOpenAllow}).Draw(rt, "half-open"), MinSessions: rapid.SampledFrom([]uint64{1, 1, 1, 2}).Draw(rt, "min-sessions"), MinHosts: rapid.SampledFrom([]uint64{1, 1, 1, 2}).Draw(rt, "min-hosts"), MinHours: rapid.SampledFrom([]uint64{1, 1, 1, 1, 2}).Draw(rt, "min-hours"), Recurring: rapid.SampledFrom([]uint64{0, 0, 0, 2}).Draw(rt, "recurring"), ScannerTargets: rapid.SampledFrom([]uint64{0, 0, 0, 2}).Draw(rt, "scanners"), PortRanges: rapid.SampledFrom([]uint64{0, 2, 3}).Draw(rt, "port-ranges"), Generalise: rapid.SampledFrom([]float64{0, 0.05, 0.5}).Draw(rt, "generalise"), MaxExtra: rapid.SampledFrom([]uint64{0, 1, 4, 30}).Draw(rt, "max-extra")},
			Existing:   drawPolicies(rt, file, "existing"),
			Guardrails: drawPolicies(rt, file, "guardrails"),
		}
		flows := rapid.SliceOfN(rapid.Custom(drawFlow), fewest, most).Draw(rt, "flows")
		for range rapid.IntRange(0, 6).Draw(rt, "bursts") {
			flows = append(flows, drawBurst(rt)...)
		}
		if ungrouped == policy.UngroupedPrefix {
			for range rapid.IntRange(1, 4).Draw(rt, "fleets") {
				flows = append(flows, drawFleet(rt)...)
			}
		}
		for _, p := range againstReference(rt, t, conn, s, file, flows) {
			included += int(p.Summary.Included)
			prefixes += len(p.Prefixes)
			for _, r := range p.Rules {
				ranges += len(r.PortRanges)
			}
			for _, u := range p.Unproposed {
				reasons[u.Reason]++
			}
		}
	})
	if t.Logf("%d included, %d ranges, %d prefixes, %v", included, ranges, prefixes, reasons); few && (included < 50 || len(reasons) < 6 || ranges == 0 || prefixes == 0) {
		t.Error("too little was drawn")
	}
}

func TestAcceptedProposalLeavesNothing(t *testing.T) {
	conn := store(t)
	file := parseGroups(t, `categories:
  - name: role
    groups:
      - {name: web, prefixes: [10.0.0.0/28]}
      - {name: db, prefixes: [10.0.1.0/28]}
`)
	insertFlows(t, conn, []flow{
		{client: "10.0.0.1", server: "10.0.1.1", proto: 6, port: 5432, completeness: schema.Unknowable},
		{client: "10.0.0.2", server: "10.0.1.2", proto: 6, port: 5432, completeness: schema.Unknowable},
		{client: "10.0.0.2", server: "10.9.9.9", proto: 17, port: 123, completeness: schema.Unknowable},
	})
	first, err := Generate(t.Context(), conn, Settings{}, file)
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := policy.ParsePolicies("proposal.json", first[0].JSON())
	if err != nil {
		t.Fatal(err)
	}
	again, err := Generate(t.Context(), conn, Settings{Existing: accepted}, file)
	if err != nil {
		t.Fatal(err)
	}
	p := again[0]
	if len(p.Rules) != 0 || len(p.Unproposed) != 1 || p.Unproposed[0].Reason != policy.AlreadyPermitted || p.Unproposed[0].Sessions != 3 {
		t.Errorf("%s", p.JSON())
	}
	if note := p.Unproposed[0].Examples[0].Note; note != first[0].Rules[0].Name && note != first[0].Rules[1].Name {
		t.Errorf("the example does not name the rule in force: %q", note)
	}
}

func TestAmbiguousDirectionIsReported(t *testing.T) {
	conn := store(t)
	insertFlows(t, conn, []flow{{client: "10.0.0.1", server: "10.0.0.2", sport: 40000, port: 50000, proto: 17, unknown: true, completeness: schema.Unknowable}})
	got, err := Generate(t.Context(), conn, Settings{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if u := got[0].Unproposed; len(u) != 1 || u[0].Reason != policy.AmbiguousDirection {
		t.Errorf("%s", got[0].JSON())
	}
}

// A tunnel has no client: whatever end its records show first or most, one rule
// permits it, and all tunnels between two groups are in that rule.
func TestTunnels(t *testing.T) {
	file := parseGroups(t, "categories: [{name: site, groups: [{name: east, prefixes: [10.1.0.0/16]}, {name: west, prefixes: [10.2.0.0/16]}]}]")
	flows := []flow{
		{client: "10.1.0.1", server: "10.2.0.1", proto: 47, unknown: true},
		{client: "10.2.0.1", server: "10.1.0.1", proto: 47, unknown: true},
		{client: "10.2.0.2", server: "10.1.0.2", proto: 47, unknown: true},
		{client: "10.1.0.2", server: "10.2.0.2", proto: 47, unknown: true},
		{client: "10.1.0.3", server: "10.2.0.3", proto: 50, unknown: true, reply: 7, completeness: schema.BothWays},
	}
	for range 2 {
		conn := store(t)
		insertFlows(t, conn, flows)
		got, err := Generate(t.Context(), conn, Settings{}, file)
		if err != nil {
			t.Fatal(err)
		}
		p := &got[0]
		verifyProposal(t, t, conn, p, Settings{}, file)
		if len(p.Rules) != 1 || p.Summary.Sessions != 3 || p.Summary.Included != 3 {
			t.Fatalf("%s", p.JSON())
		}
		if r := &p.Rules[0]; r.Sources[0].String() != "group:west" || r.Destinations[0].String() != "group:east" || len(r.Services) != 2 {
			t.Errorf("rule %+v", r)
		}
		slices.Reverse(flows)
	}
}

func TestWindow(t *testing.T) {
	conn := store(t)
	insertFlows(t, conn, []flow{
		{client: "10.0.0.1", server: "10.0.0.2", proto: 6, port: 22, completeness: schema.Unknowable},
		{client: "10.0.0.1", server: "10.0.0.2", proto: 6, port: 80, at: 5 * time.Hour, completeness: schema.Unknowable, vrf: "red"},
	})
	for _, c := range []struct {
		s    Settings
		want []string
	}{
		{Settings{}, []string{"default 2026-11-20T10:00:00Z 2026-11-20T10:00:00Z tcp/22", "red 2026-11-20T15:00:00Z 2026-11-20T15:00:00Z tcp/80"}},
		{Settings{VRF: "red"}, []string{"red 2026-11-20T15:00:00Z 2026-11-20T15:00:00Z tcp/80"}},
		{Settings{VRF: "it's"}, nil},
		{Settings{Settings: policy.Settings{Since: policy.NewTime(base.Add(time.Hour))}}, []string{"red 2026-11-20T11:00:00Z 2026-11-20T15:00:00Z tcp/80"}},
		{Settings{Settings: policy.Settings{Until: policy.NewTime(base.Add(time.Hour))}}, []string{"default 2026-11-20T10:00:00Z 2026-11-20T11:00:00Z tcp/22"}},
		{Settings{Settings: policy.Settings{Since: policy.NewTime(base.Add(24 * time.Hour))}}, nil},
	} {
		got, err := Generate(t.Context(), conn, c.s, nil)
		if err != nil {
			t.Fatal(err)
		}
		var have []string
		for _, p := range got {
			from, _ := p.Window.From.MarshalYAML()
			to, _ := p.Window.To.MarshalYAML()
			have = append(have, fmt.Sprint(p.VRF, " ", from, " ", to, " ", p.Rules[0].Services[0]))
		}
		if !slices.Equal(have, c.want) {
			t.Errorf("%+v: %q, want %q", c.s, have, c.want)
		}
	}
}

func TestSettingsErrors(t *testing.T) {
	file := parseGroups(t, "categories: [{name: role, groups: [{name: web, prefixes: [10.0.0.1]}]}]")
	nobody := []policy.Policy{{Rules: []policy.StatementRule{{Sources: []policy.Endpoint{policy.GroupEndpoint("nobody")}}}}}
	for setting, s := range map[string]Settings{
		"ungrouped":     {Settings: policy.Settings{Ungrouped: "drop"}},
		"external":      {Settings: policy.Settings{External: "drop"}},
		"half-open":     {Settings: policy.Settings{HalfOpen: "drop"}},
		"until":         {Settings: policy.Settings{Since: policy.NewTime(base), Until: policy.NewTime(base)}},
		"port-ranges":   {Settings: policy.Settings{PortRanges: 1}},
		"name-template": {NameTemplate: "{{.Nothing}}"},
		"category":      {Categories: []string{"site"}},
		"existing":      {Existing: nobody},
		"guardrails":    {Guardrails: nobody},
	} {
		_, err := Generate(t.Context(), nil, s, file) // It fails before the connection is used.
		var wrong *policy.SettingsError
		if !errors.As(err, &wrong) || wrong.Setting != setting {
			t.Errorf("%s: %v", setting, err)
		}
	}
}

// TestRunsLeaveNothing also after they were cancelled, and removes what killed runs left.
func TestRunsLeaveNothing(t *testing.T) {
	conn := store(t)
	insertFlows(t, conn, []flow{{client: "10.0.0.1", server: "10.0.0.2", proto: 6, port: 22, completeness: schema.Unknowable}})
	count := func() (n uint64) {
		if err := conn.QueryRow(context.Background(), "SELECT count() FROM system.tables WHERE database = currentDatabase() AND startsWith(name, ?)", runPrefix).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, stop := range []string{"load addresses", "count cells", "evidence", ""} {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := Generate(ctx, conn, Settings{Observe: func(s Step) {
			if s.Name == stop {
				cancel()
			}
		}}, nil)
		cancel()
		if (err == nil) != (stop == "") {
			t.Errorf("stopped at %q: %v", stop, err)
		}
		if n := count(); n != 0 {
			t.Errorf("stopped at %q: %d tables are left", stop, n)
		}
	}

	// A run that was killed a day ago leaves tables. Their age
	// cannot be set, so here a day is as long as the test needs.
	left, err := newRun(t.Context(), conn, mustPlan(t, Settings{}, nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := left.loadAddresses(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := left.dropLeftovers(t.Context(), leftAfter); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 2 {
		t.Errorf("%d tables are left of a run that is not a day old, want 2", n)
	}
	if err := left.dropLeftovers(t.Context(), -time.Minute); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 0 {
		t.Errorf("%d tables of a killed run are left", n)
	}
}

func mustPlan(t testing.TB, s Settings, f *categories.File) *plan {
	t.Helper()
	p, err := newPlan(s, f)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const fourGroups = `categories:
  - name: role
    groups:
      - {name: a, prefixes: [10.0.0.1]}
      - {name: b, prefixes: [10.0.0.2]}
      - {name: c, prefixes: [10.0.0.3]}
      - {name: d, prefixes: [10.0.0.4]}
`

func parsePolicies(t testing.TB, rules string) []policy.Policy {
	t.Helper()
	p, err := policy.ParsePolicies("policy.yaml", []byte("apiVersion: cordon/v1\nkind: Policy\nrules:\n"+rules))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPermittedCellsJoinRules where nothing was seen in them: they make one rule
// of two, unless a guardrail forbids them.
func TestPermittedCellsJoinRules(t *testing.T) {
	conn := store(t)
	file := parseGroups(t, fourGroups)
	for _, f := range [][2]string{{"10.0.0.1", "10.0.0.3"}, {"10.0.0.1", "10.0.0.4"}, {"10.0.0.2", "10.0.0.3"}} {
		insertFlows(t, conn, []flow{{client: f[0], server: f[1], proto: 6, port: 80, completeness: schema.Unknowable}})
	}
	corner := "  - {%s, sources: [group:b], destinations: [group:d], services: [tcp/1-100]}\n"
	allow, deny := parsePolicies(t, fmt.Sprintf(corner, "action: allow")), parsePolicies(t, fmt.Sprintf(corner, "action: deny"))
	for _, c := range []struct {
		s     Settings
		rules int
	}{
		{Settings{}, 2},
		{Settings{Existing: allow}, 1},
		{Settings{Existing: allow, Guardrails: deny}, 2},
		{Settings{Guardrails: deny}, 2},
	} {
		got, err := Generate(t.Context(), conn, c.s, file)
		if err != nil {
			t.Fatal(err)
		}
		if len(got[0].Rules) != c.rules || !got[0].Certificate.Optimal || got[0].Summary.Cells != 3 {
			t.Errorf("%+v: %d rules of %d cells, want %d of 3", c.s, len(got[0].Rules), got[0].Summary.Cells, c.rules)
		}
	}
}

// TestIPv6PrefixesHoldNoIPv4, although IPv4 addresses are numbers inside ::/0.
func TestIPv6PrefixesHoldNoIPv4(t *testing.T) {
	conn := store(t)
	insertFlows(t, conn, []flow{
		{client: "8.8.8.8", server: "9.9.9.9", proto: 6, port: 80, completeness: schema.Unknowable},
		{client: "2001:4860::8", server: "2001:4860::9", proto: 6, port: 80, completeness: schema.Unknowable},
		{client: "2001:4860::8", server: "::1:2:3", proto: 6, port: 80, completeness: schema.Unknowable},
	})
	for _, c := range []struct {
		literal string
		want    uint64
	}{{"ip:::/0", 2}, {"ip:0.0.0.0/0", 1}, {"any", 3}} {
		got, err := Generate(t.Context(), conn, Settings{Settings: policy.Settings{External: policy.ExternalHost}, Existing: parsePolicies(t, "  - {sources: ["+c.literal+"], destinations: ["+c.literal+"]}\n")}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n := got[0].Summary.Sessions - got[0].Summary.Included; n != c.want {
			t.Errorf("%s permits %d sessions, want %d", c.literal, n, c.want)
		}
	}
}

// TestPairsPermittedBeforeAreNoExcess: evidence is what a rule is needed for,
// but a pair that was seen is not one that was not.
func TestPairsPermittedBeforeAreNoExcess(t *testing.T) {
	conn := store(t)
	file := parseGroups(t, "categories: [{name: role, groups: [{name: web, prefixes: [10.0.0.1, 10.0.0.2, 10.0.0.3]}, {name: db, prefixes: [10.0.1.1]}]}]")
	insertFlows(t, conn, []flow{
		{client: "10.0.0.1", server: "10.0.1.1", proto: 6, port: 80, completeness: schema.Unknowable},
		{client: "10.0.0.2", server: "10.0.1.1", proto: 6, port: 80, completeness: schema.Unknowable},
	})
	got, err := Generate(t.Context(), conn, Settings{Existing: parsePolicies(t, "  - {sources: [ip:10.0.0.1], destinations: [group:db]}\n")}, file)
	if err != nil {
		t.Fatal(err)
	}
	r := got[0].Rules[0]
	if r.Evidence.Sessions != 1 || r.Evidence.Clients != 1 || r.Excess != (policy.Excess{PermittedPairs: 3, ObservedPairs: 2}) {
		t.Errorf("%+v %+v", r.Evidence, r.Excess)
	}
}
