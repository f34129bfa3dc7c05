package recommender

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"cordon/categories"
	"cordon/recommender/policy"
	"cordon/recommender/prefixcover"
	"cordon/schema"
)

// inPrefix gives the prefix of a proposal that an end of a cell is in, else the end.
func inPrefix(p *policy.Proposal, end string) string {
	text, ok := strings.CutPrefix(end, "ip:")
	if !ok {
		return end
	}
	for _, h := range p.Prefixes {
		if h.Prefix.Contains(netip.MustParsePrefix(text).Addr()) {
			return policy.Endpoint{Prefix: h.Prefix}.String()
		}
	}
	return end
}

// standsFor gives the hosts of the prefix that an address is in without having been seen, else the address.
func (x *reference) standsFor(p *policy.Proposal, a netip.Addr, seen map[netip.Addr]bool) (out []netip.Addr) {
	if end, _ := x.end(a); seen[a] || strings.HasPrefix(end, "group:") {
		return []netip.Addr{a}
	}
	for _, h := range p.Prefixes {
		for b := range seen {
			if h.Prefix.Contains(a) && h.Prefix.Contains(b) {
				out = append(out, b)
			}
		}
	}
	if out == nil {
		return []netip.Addr{a}
	}
	return out
}

// prefixes computes what prefixes a proposal should have: two hosts go together if
// exchanging them in all cells gives the same cells.
func (x *reference) prefixes(p *policy.Proposal, allowed map[refCell]bool, seen map[netip.Addr]bool) error {
	var want []policy.HostPrefix
	extra := uint64(0)
	if x.settings.Ungrouped == policy.UngroupedPrefix {
		var hosts []prefixcover.Host
		for a := range seen {
			end, _ := x.end(a)
			if categories.KindOf(a) != categories.Private || strings.HasPrefix(end, "group:") {
				continue
			}
			h := prefixcover.Host{Addr: a, Class: -1, Optional: true}
			for c, needed := range allowed {
				if c.src == end || c.dst == end {
					h.Class = 0
					h.Optional = h.Optional && !needed
				}
			}
			hosts = append(hosts, h)
		}
		slices.SortFunc(hosts, func(a, b prefixcover.Host) int { return a.Addr.Compare(b.Addr) })
		exchange := func(a, b string) bool {
			other := func(end string) string {
				switch end {
				case a:
					return b
				case b:
					return a
				}
				return end
			}
			for c := range allowed {
				if _, ok := allowed[refCell{other(c.src), other(c.dst), c.service}]; !ok && c.src != c.dst {
					return false
				}
			}
			return true
		}
		for i := range hosts {
			if hosts[i].Class < 0 {
				continue
			}
			hosts[i].Class = i
			for j := range i {
				if hosts[j].Class >= 0 && exchange(policy.HostEndpoint(hosts[i].Addr).String(), policy.HostEndpoint(hosts[j].Addr).String()) {
					hosts[i].Class = hosts[j].Class
					break
				}
			}
		}
		for _, c := range prefixcover.Cover(hosts, x.settings.MaxExtra, x.mayCover) {
			if !c.IsSingleIP() {
				want = append(want, policy.HostPrefix{Prefix: c.Prefix, Hosts: uint64(c.Hosts), ExtraAddresses: c.Extra})
				extra += c.Extra
			}
		}
	}
	if !slices.Equal(p.Prefixes, want) || p.Summary.ExtraAddresses != extra || extra > x.settings.MaxExtra {
		return fmt.Errorf("prefixes are %v with %d extra addresses, want %v with %d", p.Prefixes, p.Summary.ExtraAddresses, want, extra)
	}
	for _, r := range p.Rules {
		n := uint64(0)
		for _, h := range p.Prefixes {
			e := policy.Endpoint{Prefix: h.Prefix}
			if slices.Contains(r.Sources, e) || slices.Contains(r.Destinations, e) {
				n += h.ExtraAddresses
			}
		}
		if r.Excess.ExtraAddresses != n {
			return fmt.Errorf("%s has %d extra addresses, want %d", r.Name, r.Excess.ExtraAddresses, n)
		}
	}
	return nil
}

// mayCover looks at every address of a prefix.
func (x *reference) mayCover(p netip.Prefix) bool {
	treated := func(a netip.Addr) (out []bool) {
		for i := range x.file.Exclude {
			e := &x.file.Exclude[i]
			for _, list := range [][]categories.Selector{e.Sources, e.Destinations} {
				for _, s := range list {
					out = append(out, slices.ContainsFunc(s.Prefixes, func(p netip.Prefix) bool { return p.Contains(a) }))
				}
			}
		}
		for _, g := range x.settings.Guardrails {
			for _, r := range g.Rules {
				for _, e := range append(slices.Clone(r.Sources), r.Destinations...) {
					out = append(out, x.addresses.Contains(e, a))
				}
			}
		}
		return out
	}
	first := treated(p.Addr())
	for a := p.Addr(); p.Contains(a); a = a.Next() {
		if x.addresses.Resolver().LookupIndex(a) >= 0 || categories.KindOf(a) != categories.Private || !slices.Equal(first, treated(a)) {
			return false
		}
	}
	return true
}

// TestPrefixes has hosts that behave alike and others next to them.
func TestPrefixes(t *testing.T) {
	file := parseGroups(t, `categories:
  - name: role
    groups:
      - {name: dns, prefixes: [10.9.0.1]}
      - {name: printer, prefixes: [10.0.0.24]}
  - name: site
    groups:
      - {name: lab, prefixes: [10.0.4.8/31, 10.0.4.10/31]}
exclude:
  - {reason: lab, sources: [10.0.2.8/29]}
  - {reason: two ranges, sources: [10.0.4.2/31, 10.0.4.4/30], services: [tcp/22]}
`)
	use := func(client, server string, port uint16) flow {
		return flow{client: client, server: server, proto: 17, port: port, packets: 1, reply: 1, completeness: schema.BothWays}
	}
	fleet := func(format, server string, port uint16, hosts ...int) (out []flow) {
		for _, h := range hosts {
			out = append(out, use(fmt.Sprintf(format, h), server, port))
		}
		return out
	}
	half := use("10.0.0.6", "10.9.0.1", 161)
	half.reply = 0
	cases := []struct {
		name  string
		flows []flow
		s     Settings
		want  []string // prefixes: hosts + extra addresses
		rules int
	}{
		{"alike", fleet("10.0.0.%d", "10.9.0.1", 53, 1, 2, 3, 4, 5, 6, 7), Settings{Settings: policy.Settings{MaxExtra: 1}}, []string{"10.0.0.0/29 7+1"}, 1},
		{"no extra", fleet("10.0.0.%d", "10.9.0.1", 53, 1, 2, 3, 4, 5, 6, 7), Settings{}, []string{"10.0.0.2/31 2+0", "10.0.0.4/30 4+0"}, 1},
		{"another role", append(fleet("10.0.0.%d", "10.9.0.1", 53, 1, 2, 3, 4, 5, 6, 7), use("10.0.0.5", "10.9.0.1", 123)), Settings{Settings: policy.Settings{MaxExtra: 99}},
			[]string{"10.0.0.0/30 3+1", "10.0.0.6/31 2+0"}, 2},
		{"seen, but not answered", append(fleet("10.0.0.%d", "10.9.0.1", 53, 4, 5, 7), half), Settings{Settings: policy.Settings{MaxExtra: 99}}, []string{"10.0.0.4/31 2+0"}, 1},
		{"another group inside", fleet("10.0.0.%d", "10.9.0.1", 53, 22, 23, 25, 26), Settings{Settings: policy.Settings{MaxExtra: 99}}, []string{"10.0.0.22/31 2+0"}, 1},
		{"up to what is excluded", fleet("10.0.2.%d", "10.9.0.1", 53, 1, 6, 17, 18), Settings{Settings: policy.Settings{MaxExtra: 99}}, []string{"10.0.2.0/29 2+6", "10.0.2.16/30 2+2"}, 1},
		{"all of what is excluded", fleet("10.0.4.%d", "10.9.0.1", 53, 2, 3, 4, 5), Settings{Settings: policy.Settings{MaxExtra: 99}}, []string{"10.0.4.2/31 2+0", "10.0.4.4/31 2+0"}, 1},
		{"in one guardrail", fleet("10.0.4.%d", "10.9.0.1", 53, 8, 9, 10, 11), Settings{Settings: policy.Settings{MaxExtra: 99},
			Guardrails: parsePolicies(t, "  - {action: deny, sources: [group:lab], services: [tcp/22]}\n")}, []string{"10.0.4.8/30 4+0"}, 1},
		{"in one exclusion", fleet("10.0.4.%d", "10.9.0.1", 53, 4, 5, 7), Settings{Settings: policy.Settings{MaxExtra: 99}}, []string{"10.0.4.4/30 3+1"}, 1},
		{"up to a guardrail", fleet("10.0.3.%d", "10.9.0.1", 53, 1, 2, 3), Settings{Settings: policy.Settings{MaxExtra: 99},
			Guardrails: parsePolicies(t, "  - {action: deny, destinations: [ip:10.0.3.0/32], services: [tcp/22]}\n")}, []string{"10.0.3.2/31 2+0"}, 1},
		{"not over public addresses", append(fleet("192.0.0.%d", "10.9.0.1", 53, 200, 201), use("192.0.2.1", "10.9.0.1", 53)), Settings{Settings: policy.Settings{MaxExtra: 9999}}, []string{"192.0.0.200/31 2+0"}, 1},
		{"not over broadcast", fleet("255.255.255.%d", "10.9.0.1", 53, 252, 254), Settings{Settings: policy.Settings{MaxExtra: 9999}}, nil, 1},
		{"servers", []flow{use("10.9.0.1", "10.0.0.1", 161), use("10.9.0.1", "10.0.0.0", 161)}, Settings{}, []string{"10.0.0.0/31 2+0"}, 1},
		{"of each other", []flow{use("10.0.0.2", "10.0.0.3", 7000), use("10.0.0.3", "10.0.0.2", 7000)}, Settings{}, []string{"10.0.0.2/31 2+0"}, 1},
		{"one of the other", []flow{use("10.0.0.2", "10.0.0.3", 7000)}, Settings{Settings: policy.Settings{MaxExtra: 99}}, nil, 1},
		{"IPv6", fleet("fd00::%d", "10.9.0.1", 53, 4, 5, 6), Settings{Settings: policy.Settings{MaxExtra: 1}}, []string{"fd00::4/126 3+1"}, 1},
		{"in force for some", fleet("10.0.0.%d", "10.9.0.1", 53, 0, 1, 2, 3), Settings{Existing: parsePolicies(t, "  - {sources: [ip:10.0.0.0/31]}\n")}, []string{"10.0.0.2/31 2+0"}, 1},
		{"in force for all", fleet("10.0.0.%d", "10.9.0.1", 53, 0, 1, 2, 3), Settings{Existing: parsePolicies(t, "  - {sources: [ip:10.0.0.0/29]}\n")}, nil, 0},
	}
	for _, list := range alike(len(cases), func(i int) Settings { return cases[i].s }) {
		s := cases[list[0]].s
		s.Ungrouped, s.Categories = policy.UngroupedPrefix, []string{"role"}
		var flows [][]flow
		for _, i := range list {
			flows = append(flows, cases[i].flows)
		}
		for n, p := range proposalsOf(t, s, file, flows...) {
			c := cases[list[n]]
			var have []string
			for _, h := range p.Prefixes {
				have = append(have, fmt.Sprintf("%s %d+%d", h.Prefix, h.Hosts, h.ExtraAddresses))
			}
			if !slices.Equal(have, c.want) || len(p.Rules) != c.rules {
				t.Errorf("%s: %q, want %q\n%s", c.name, have, c.want, p.JSON())
			}
		}
	}
}

// TestAcceptedPrefixesLeaveNothing in a second run.
func TestAcceptedPrefixesLeaveNothing(t *testing.T) {
	conn := store(t)
	var flows []flow
	for i := range 5 {
		flows = append(flows, flow{client: fmt.Sprintf("10.0.0.%d", i), server: "10.1.0.1", proto: 6, port: 22, completeness: schema.Unknowable})
	}
	insertFlows(t, conn, flows)
	s := Settings{Settings: policy.Settings{Ungrouped: policy.UngroupedPrefix, MaxExtra: policy.DefaultMaxExtra}}
	first, err := Generate(t.Context(), conn, s, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.Existing, err = policy.ParsePolicies("proposal.json", first[0].JSON()); err != nil {
		t.Fatal(err)
	}
	again, err := Generate(t.Context(), conn, s, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(first[0].Prefixes) != 1 || len(again[0].Rules)+len(again[0].Prefixes) != 0 {
		t.Errorf("%s%s", first[0].JSON(), again[0].JSON())
	}
}
