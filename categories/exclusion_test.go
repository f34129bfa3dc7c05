package categories

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const excludeYAML = `
categories:
  - name: role
    groups:
      - {name: backup, prefixes: [10.9.0.0/17, 10.9.128.0/17]}
      - {name: web, prefixes: [10.1.0.1, "fd00::1"]}
      - {name: none, prefixes: []}
  - name: site
    groups:
      - {name: web, prefixes: [10.2.0.0/16]}
services:
  - {name: DNS, match: [udp/53, tcp/53]}
exclude:
  - {reason: backup network, sources: [group:backup, 10.10.0.1]}
  - {reason: resolvers, destinations: [group:role/web], services: [DNS, icmp]}
  - {reason: outside, sources: [group:site/web], destinations: [group:internet]}
  - {reason: nobody, sources: [group:none]}
  - {reason: tunnels, services: [gre, udp/4789-4790]}
`

func TestExclusions(t *testing.T) {
	f, err := Parse("x.yaml", []byte(excludeYAML))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ client, server, service, want string }{
		{"10.9.200.1", "10.1.0.1", "tcp/443", "backup network"},
		{"::ffff:10.9.0.1", "10.1.0.1", "tcp/443", "backup network"},
		{"10.10.0.1", "10.1.0.1", "udp/53", "backup network"},
		{"10.10.0.2", "10.1.0.1", "udp/53", "resolvers"},
		{"10.10.0.2", "fd00::1", "icmp/8", "resolvers"},
		{"10.10.0.2", "10.1.0.1", "udp/54", ""},
		{"10.10.0.2", "10.2.0.1", "udp/53", ""},
		{"10.2.0.2", "8.8.8.8", "udp/53", "outside"},
		{"10.2.0.2", "2001:4860:4860::8888", "udp/53", "outside"},
		{"10.2.0.2", "192.168.1.1", "udp/53", ""},
		{"10.1.0.1", "8.8.8.8", "udp/53", ""},
		{"10.0.0.1", "10.0.0.2", "gre", "tunnels"},
		{"10.0.0.1", "10.0.0.2", "udp/4790", "tunnels"},
	} {
		service, err := ParseService(tc.service)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for i := range f.Exclude {
			if f.Exclude[i].Matches(netip.MustParseAddr(tc.client), netip.MustParseAddr(tc.server), service) {
				got = f.Exclude[i].Reason
				break
			}
		}
		if got != tc.want {
			t.Errorf("%s to %s %s: excluded for %q, want %q", tc.client, tc.server, tc.service, got, tc.want)
		}
	}

	prefixes, all := f.Exclude[0].SourcePrefixes()
	if diff := cmp.Diff("[10.9.0.0/16 10.10.0.1/32] false", fmt.Sprint(prefixes, all)); diff != "" {
		t.Error(diff)
	}
	if prefixes, all = f.Exclude[0].DestinationPrefixes(); len(prefixes) != 0 || !all {
		t.Errorf("no destinations: got %v %v, want all", prefixes, all)
	}
	if prefixes, all = f.Exclude[3].SourcePrefixes(); len(prefixes) != 0 || all {
		t.Errorf("a group without prefixes: got %v %v, want none", prefixes, all)
	}
	// Aggregating works on a copy.
	if got := f.Exclude[0].Sources[0].Prefixes[0].String(); got != "10.9.0.0/17" {
		t.Errorf("the group's own prefix became %s", got)
	}
}

func TestAggregateAndComplementProperty(t *testing.T) {
	contains := func(ps []netip.Prefix, a netip.Addr) bool {
		for _, p := range ps {
			if p.Contains(a) {
				return true
			}
		}
		return false
	}
	rapid.Check(t, func(t *rapid.T) {
		ps := rapid.SliceOfN(rapid.Custom(drawPrefix), 0, 12).Draw(t, "prefixes")
		whole := aggregate(append([]netip.Prefix(nil), ps...))
		rest := append(complement(netip.MustParsePrefix("0.0.0.0/0"), ps), complement(netip.MustParsePrefix("::/0"), ps)...)
		for _, p := range append(append(whole, rest...), ps...) {
			for _, a := range []netip.Addr{p.Addr(), lastAddr(p), p.Addr().Prev(), lastAddr(p).Next()} {
				if !a.IsValid() {
					continue
				}
				in := contains(ps, a)
				if contains(whole, a) != in || contains(rest, a) == in {
					t.Fatalf("%s: in the prefixes %v, aggregate %v, complement %v", a, in, contains(whole, a), contains(rest, a))
				}
			}
		}
		for i := 1; i < len(whole); i++ {
			if whole[i-1].Compare(whole[i]) >= 0 || whole[i-1].Overlaps(whole[i]) || siblings(whole[i-1], whole[i]) {
				t.Fatalf("not the fewest prefixes: %v", whole)
			}
		}
		if again := aggregate(append([]netip.Prefix(nil), rest...)); len(again) != len(rest) {
			t.Fatalf("complement is not the fewest prefixes: %v, aggregated %v", rest, again)
		}
	})
}
