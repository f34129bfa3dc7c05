package recommender

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"cordon/categories"
	"cordon/recommender/policy"
	"cordon/schema"

	"pgregory.net/rapid"
)

// drawScope draws a scope, of which few sessions are left where it has several lists.
func drawScope(t *rapid.T, f *categories.File) *policy.Scope {
	literals := []string{"10.0.0.0/28", "10.0.0.5", "fd00::/64", "::/0", "0.0.0.0/0", "group:internet", "10.0.0.16/29"}
	for _, c := range f.Categories {
		for _, g := range c.Groups {
			literals = append(literals, "group:"+g.Name, "group:"+c.Name+"/"+g.Name)
		}
	}
	draw := func(from []string, what string) (out []policy.Endpoint) {
		for range rapid.SampledFrom([]int{0, 0, 1, 2, 3}).Draw(t, what) {
			e, err := policy.ParseScopeEnd(rapid.SampledFrom(from).Draw(t, what))
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, e)
		}
		return out
	}
	return &policy.Scope{Client: draw(literals, "client"), Server: draw(literals, "server"), Host: draw(literals, "host"),
		Exporter: draw([]string{"10.255.0.1", "10.255.0.2/31", "2001:db8::9"}, "exporter")}
}

// inScope tells by hand whether a session is in the scope: group by group and prefix by prefix, in the file as it stands.
func inScope(s *policy.Scope, f *categories.File, client, server netip.Addr, exporters []netip.Addr) bool {
	holds := func(e policy.Endpoint, a netip.Addr) bool {
		if !e.IsGroup() {
			return e.Prefix.Contains(a)
		}
		if e.Group == "internet" {
			return categories.KindOf(a) == categories.Public
		}
		for _, c := range f.Categories {
			for _, g := range c.Groups {
				for _, p := range g.Prefixes {
					if (g.Name == e.Group || c.Name+"/"+g.Name == e.Group) && p.Contains(a) {
						return true
					}
				}
			}
		}
		return false
	}
	fits := func(list []policy.Endpoint, addrs ...netip.Addr) bool {
		for _, e := range list {
			for _, a := range addrs {
				if holds(e, a) {
					return true
				}
			}
		}
		return len(list) == 0
	}
	return fits(s.Client, client) && fits(s.Server, server) && fits(s.Host, client, server) && fits(s.Exporter, exporters...)
}

// TestScope holds proposals with a scope against those of a store that has nothing but the sessions of the scope.
func TestScope(t *testing.T) {
	conn := store(t)
	few, restore := fewChecks("3", "3")
	defer restore()
	some, beyond := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		file := drawGroups(rt, 27)
		scope := drawScope(rt, file)
		flows := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) flow {
			f := drawFlow(t)
			f.reply, f.completeness = 1, schema.BothWays
			f.exporter = rapid.SampledFrom([]string{"", "10.255.0.1", "10.255.0.2", "10.255.0.3", "2001:db8::9"}).Draw(t, "exporter")
			if f.exporter == "10.255.0.3" {
				f.sampling = 100
			}
			return f
		}), 40, 150).Draw(rt, "flows")
		type session struct {
			vrf, client, server string
			proto               uint8
			port                uint16
		}
		of := func(f flow) session {
			s := session{f.vrf, f.client, f.server, f.proto, f.port}
			if f.proto == 1 {
				s.port = uint16(f.icmpType)
			}
			return s
		}
		exporters := map[session][]netip.Addr{}
		for _, f := range flows {
			if f.exporter != "" {
				exporters[of(f)] = append(exporters[of(f)], netip.MustParseAddr(f.exporter))
			}
		}
		var left []flow
		for _, f := range flows {
			if inScope(scope, file, netip.MustParseAddr(f.client), netip.MustParseAddr(f.server), exporters[of(f)]) {
				left = append(left, f)
			}
		}
		some, beyond = some+min(len(left), 1), beyond+min(len(flows)-len(left), 1)
		s := Settings{
			Settings: policy.Settings{External: rapid.SampledFrom([]policy.ExternalMode{policy.ExternalReport, policy.ExternalHost, policy.ExternalInternet}).Draw(rt, "external"), MinHosts: rapid.SampledFrom([]uint64{1, 1, 2}).Draw(rt, "min-hosts")},
			Existing: drawPolicies(rt, file, "existing"), Guardrails: drawPolicies(rt, file, "guardrails"),
			Scope: scope,
		}
		empty(t, conn)
		insertFlows(t, conn, flows)
		got, err := Generate(t.Context(), conn, s, file)
		if err != nil {
			rt.Fatal(err)
		}
		for i := range got {
			verifyProposal(rt, t, conn, &got[i], s, file)
			if err := checkListing(t.Context(), conn, &got[i], s, file); err != nil {
				rt.Error(err)
			}
		}
		empty(t, conn)
		if len(left) > 0 {
			insertFlows(t, conn, left)
		}
		s.Scope = nil
		want, err := Generate(t.Context(), conn, s, file)
		if err != nil {
			rt.Fatal(err)
		}
		if len(got) != len(want) {
			rt.Fatalf("%d proposals, of nothing but the sessions of the scope %d", len(got), len(want))
		}
		for i := range got {
			if scope.Empty() == (got[i].Scope != nil) {
				rt.Errorf("the proposal names the scope %v", got[i].Scope)
			}
			got[i].Scope, got[i].Window = nil, want[i].Window
			// What sessions beyond the scope a rule in force decides is not known.
			got[i].Existing, want[i].Existing = nil, nil
			// The groups that only the scope names are carried as well.
			got[i].Groups, want[i].Groups = nil, nil
			got[i].KnownHosts, want[i].KnownHosts = nil, nil
			got[i].Seal()
			want[i].Seal()
			if got[i].ID != want[i].ID {
				rt.Errorf("scope %s: with all sessions in the store\n%s\nwith those of the scope\n%s", scope, got[i].JSON(), want[i].JSON())
			}
		}
	})
	if t.Logf("%d with sessions, %d with others", some, beyond); few && (some < 1 || beyond < 1) {
		t.Error("too little was drawn")
	}
}

// TestScopeForm checks that a document has a scope in one form, however it was asked for, and what is said of
// one that cannot be.
func TestScopeForm(t *testing.T) {
	file := parseGroups(t, `categories:
  - name: role
    groups:
      - {name: web, prefixes: [10.0.0.0/28]}
      - {name: db, prefixes: [10.0.1.0/28]}
  - name: site
    groups:
      - {name: web, prefixes: [10.0.0.0/16]}
`)
	literals := func(texts ...string) (out []policy.Endpoint) {
		for _, text := range texts {
			e, err := policy.ParseScopeEnd(text)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, e)
		}
		return out
	}
	scope := &policy.Scope{Host: literals("10.0.0.7", "group:role/db", "ip:10.0.0.0/8", "10.0.0.7/32", "group:db", "group:site/web")}
	got, _, err := scope.Bounds(file)
	if err != nil {
		t.Fatal(err)
	}
	if text := got.String(); text != "--host group:db --host group:site/web --host 10.0.0.0/8 --host 10.0.0.7" {
		t.Errorf("%s", text)
	}
	for field, text := range map[string]string{"client": "group:web", "exporter": "group:wbe", "host": "group:none"} {
		s := &policy.Scope{}
		*s.Field(field) = literals(text)
		_, err := newPlan(Settings{Scope: s}, file)
		if wrong, ok := err.(*policy.SettingsError); !ok || wrong.Setting != field {
			t.Errorf("--%s %s: %v", field, text, err)
		}
	}
}

// TestScopeKeepsScanners asks for one server only: who scans is still told by all targets of a client.
func TestScopeKeepsScanners(t *testing.T) {
	conn := store(t)
	var flows []flow
	for i := range 200 {
		flows = append(flows, flow{client: "10.0.0.66", server: fmt.Sprintf("10.0.2.%d", i), proto: 6, port: 22, completeness: schema.BothWays, at: time.Duration(i) * time.Second})
	}
	flows = append(flows,
		flow{client: "10.0.0.66", server: "10.0.1.1", proto: 6, port: 443, reply: 3, completeness: schema.BothWays},
		flow{client: "10.0.0.7", server: "10.0.1.1", proto: 6, port: 443, reply: 3, completeness: schema.BothWays})
	insertFlows(t, conn, flows)
	server := policy.HostEndpoint(netip.MustParseAddr("10.0.1.1"))
	s := Settings{Scope: &policy.Scope{Server: []policy.Endpoint{server}}, Settings: policy.Settings{ScannerTargets: 100}}
	got, err := Generate(t.Context(), conn, s, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &got[0]
	if p.Summary.Sessions != 2 || p.Summary.Included != 1 || len(p.Unproposed) != 1 || p.Unproposed[0].Reason != policy.Scanner {
		t.Errorf("%s", p.JSON())
	}
	verifyProposal(t, t, conn, p, s, nil)
}
