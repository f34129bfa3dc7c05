package recommender

import (
	"fmt"
	"slices"
	"testing"

	"cordon/categories"
	"cordon/recommender/policy"
	"cordon/schema"

	"github.com/google/go-cmp/cmp"
)

// TestPortRanges has a passive FTP server with a control port, a port that
// everyone uses, dynamic ports, and one port far from them.
func TestPortRanges(t *testing.T) {
	conn := store(t)
	file := parseGroups(t, `categories:
  - name: role
    groups:
      - {name: web, prefixes: [10.0.0.0/28]}
      - {name: app, prefixes: [10.0.1.0/28]}
      - {name: ftp, prefixes: [10.0.2.1]}
services:
  - {name: passive, match: [tcp/40000-49999]}
`)
	session := func(client string, port uint16) flow {
		return flow{client: client, server: "10.0.2.1", proto: 6, port: port, completeness: schema.Unknowable}
	}
	var flows []flow
	for i := range 12 {
		flows = append(flows, session("10.0.0.1", uint16(40000+10*i)), session("10.0.1.1", uint16(40003+10*i)))
	}
	for i := 1; i < 10; i++ {
		flows = append(flows, session(fmt.Sprintf("10.0.0.%d", i), 21), session(fmt.Sprintf("10.0.0.%d", i), 40015))
	}
	flows = append(flows, session("10.0.0.2", 60111), session("10.0.0.3", 5432))
	insertFlows(t, conn, flows)

	deny := parsePolicies(t, "  - {action: deny, sources: [group:web], destinations: [group:ftp], services: [tcp/40050]}\n")
	for _, c := range []struct {
		name string
		s    Settings
		want []string // services of all rules, by source; a range holds what is strong inside it
	}{
		{"ranges", Settings{Settings: policy.Settings{PortRanges: 10}}, []string{
			"app tcp/40000-40113", "web tcp/21", "web tcp/40000-40113", "web tcp/5432", "web tcp/60111"}},
		{"a guardrail inside", Settings{Settings: policy.Settings{PortRanges: 10}, Guardrails: deny}, []string{
			"app tcp/40003-40113", "web tcp/21", "web tcp/40000", "web tcp/40010", "web tcp/40015", "web tcp/40020", "web tcp/40030", "web tcp/40040",
			"web tcp/40060", "web tcp/40070", "web tcp/40080", "web tcp/40090", "web tcp/40100", "web tcp/40110", "web tcp/5432", "web tcp/60111"}},
		{"support of the whole range", Settings{Settings: policy.Settings{PortRanges: 10, MinSessions: 9}}, []string{
			"app tcp/40000-40113", "web tcp/21", "web tcp/40000-40113"}},
		{"too few", Settings{Settings: policy.Settings{PortRanges: 13, MinSessions: 9}}, []string{"web tcp/21", "web tcp/40015"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Generate(t.Context(), conn, c.s, file)
			if err != nil {
				t.Fatal(err)
			}
			verifyProposal(t, t, conn, &got[0], c.s, file)
			var have []string
			for _, r := range got[0].Rules {
				for _, src := range r.Sources {
					for _, s := range r.Services {
						have = append(have, src.Group+" "+s.String())
					}
				}
				for _, pr := range r.PortRanges {
					if !slices.Contains(r.Services, pr.Service) || pr.PermittedPorts != pr.Service.Term.Size() || pr.ObservedPorts < 12 || pr.ObservedPorts > 25 {
						t.Errorf("%+v", pr)
					}
				}
			}
			slices.Sort(have)
			if d := cmp.Diff(c.want, slices.Compact(have)); d != "" {
				t.Errorf("cells (-want +got):\n%s", d)
			}
		})
	}
}

// TestDistinct: every service of a term is matched as one of its representatives is.
func TestDistinct(t *testing.T) {
	var st []statement
	for _, s := range []string{"tcp/100-200", "tcp/150", "udp/1-2", "tcp/190-300", "any"} {
		service, err := policy.ParseService(s)
		if err != nil {
			t.Fatal(err)
		}
		st = append(st, statement{services: []policy.Service{service}})
	}
	m := newMatcher(st, &classes{})
	term := categories.ServiceTerm{Proto: 6, Lo: 120, Hi: 250}
	key := func(port uint16) string { return fmt.Sprint(m.service(categories.Service{Proto: 6, Port: port})) }
	have := map[string]bool{}
	n := 0
	for s := range m.distinct(term) {
		have[key(s.Port)] = true
		n++
	}
	for port := term.Lo; port <= term.Hi; port++ {
		if !have[key(port)] {
			t.Errorf("nothing stands for port %d", port)
		}
	}
	if n != 5 {
		t.Errorf("%d representatives", n)
	}
}
