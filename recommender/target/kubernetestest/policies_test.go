package kubernetestest

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"cordon/categories"
	"cordon/recommender/policy"
	"cordon/recommender/target"

	"pgregory.net/rapid"
)

const groupsText = `categories:
  - name: role
    groups:
      - {name: web, prefixes: [10.0.0.0/29, "2001:db8:1::/64"], selector: {namespace: shop, labels: {app: web}}}
      - {name: db, prefixes: [10.0.0.2/32], selector: {namespace: shop, labels: {app: db, tier: "2"}}}
      - {name: jobs, prefixes: [10.0.2.0/24], selector: {namespace: batch}}
      - {name: outside, prefixes: [192.0.2.0/24, 10.0.1.0/24, "2001:db8:2::/64"]}
`

// peer is an address, and the pod that has it, if one does.
type peer struct {
	address   netip.Addr
	namespace string // empty outside the cluster
	labels    map[string]string
}

// peers has members of every group, and addresses in none.
var peers = []peer{
	{netip.MustParseAddr("10.0.0.1"), "shop", map[string]string{"app": "web"}},
	{netip.MustParseAddr("2001:db8:1::1"), "shop", map[string]string{"app": "web"}},
	{netip.MustParseAddr("10.0.0.2"), "shop", map[string]string{"app": "db", "tier": "2"}},
	{netip.MustParseAddr("10.0.2.7"), "batch", map[string]string{"app": "anything"}},
	{address: netip.MustParseAddr("10.0.1.1")},
	{address: netip.MustParseAddr("192.0.2.1")},
	{address: netip.MustParseAddr("10.9.9.9")},
	{address: netip.MustParseAddr("2001:db8:2::9")},
	{address: netip.MustParseAddr("2001:db8::1")},
}

var (
	endTexts = []string{"any", "ip:10.0.0.9", "ip:10.0.1.0/30", "ip:192.0.2.0/24", "ip:2001:db8::/64", "group:web", "group:db", "group:jobs", "group:outside"}
	// portServices are what NetworkPolicies can say; allServices are what policies can.
	portServices = []string{"tcp", "tcp/22", "tcp/80", "tcp/80-81", "udp/53", "udp/8000-9999", "sctp/80", "tcp/65535"}
	allServices  = append([]string{"any", "icmp", "icmp/8", "ipv6-icmp/128", "gre", "ospf", "udplite/9"}, portServices...)
)

// fixture is the groups file, and what its groups hold.
func fixture(t testing.TB) (*categories.File, *policy.Addresses) {
	t.Helper()
	groups, err := categories.Parse("groups.yaml", []byte(groupsText))
	if err != nil {
		t.Fatal(err)
	}
	addresses, err := policy.NewAddresses(groups, nil)
	if err != nil {
		t.Fatal(err)
	}
	return groups, addresses
}

// drawPolicy draws a policy that ends in a denial, with rules of the actions and services that are given.
func drawPolicy(t *rapid.T, actions []policy.Action, services []string) policy.Policy {
	p := policy.Policy{Default: policy.Defaults{IPv4: policy.Deny, IPv6: policy.Deny}}
	for i := range rapid.IntRange(1, 4).Draw(t, "rules") {
		r := policy.StatementRule{Name: fmt.Sprintf("r%d", i), Action: rapid.SampledFrom(actions).Draw(t, "action")}
		for _, to := range []*[]policy.Endpoint{&r.Sources, &r.Destinations} {
			for _, text := range rapid.SliceOfNDistinct(rapid.SampledFrom(endTexts), 1, 3, rapid.ID).Draw(t, "ends") {
				e, err := policy.ParseEndpoint(text)
				if err != nil {
					t.Fatal(err)
				}
				*to = append(*to, e)
			}
		}
		for _, text := range rapid.SliceOfNDistinct(rapid.SampledFrom(services), 1, 4, rapid.ID).Draw(t, "services") {
			s, err := policy.ParseService(text)
			if err != nil {
				t.Fatal(err)
			}
			r.Services = append(r.Services, s)
		}
		p.Rules = append(p.Rules, r)
	}
	return p
}

// written gives the objects that a target writes for a policy, each as YAML, and what it left out.
func written(t *rapid.T, name string, p policy.Policy, groups *categories.File, addresses *policy.Addresses) (objects [][]byte, gaps []string) {
	to, ok := target.Find(name)
	if !ok {
		t.Fatalf("there is no target %s", name)
	}
	out, err := to.Write([]target.Document{{Policy: p, Set: addresses.Set, Proposed: true}}, target.Options{Gaps: true, Groups: groups})
	if err != nil {
		t.Skip(err.Error()) // A rule without addresses is refused.
	}
	return split(out.Files[0].Data), out.Gaps
}

// golden gives the objects of the file that the golden test of a target holds, without the list of what is left out.
func golden(t *testing.T, name string) [][]byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "testdata", name+".golden"))
	if err != nil {
		t.Fatal(err)
	}
	data, _, _ = bytes.Cut(data, []byte("\n-- left out"))
	objects := split(data)
	if len(objects) < 2 {
		t.Fatalf("the golden file has %d objects", len(objects))
	}
	return objects
}

// split gives the documents of a YAML file, without the remarks before the first.
func split(data []byte) [][]byte {
	return bytes.Split(data, []byte("\n---\n"))[1:]
}
