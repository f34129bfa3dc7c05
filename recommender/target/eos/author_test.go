package eos

import (
	"bytes"
	"strings"
	"testing"

	"cordon/categories"
	"cordon/internal/text"
	"cordon/recommender/policy"

	"github.com/google/go-cmp/cmp"
)

// authorsGroups are the field-sets of the lab's author as a groups file.
const authorsGroups = `categories:
  - name: role
    groups:
      - {name: web01_web02, prefixes: [10.100.99.51/32, 10.100.99.52/32]}
      - {name: appserver1, prefixes: [10.100.99.50/32]}
      - {name: DNS_NTP_servers, prefixes: [10.100.1.6/32, 10.100.1.7/32]}
      - {name: wifi_clients, prefixes: [172.18.6.0/24]}
  - name: app
    groups:
      - {name: web-appserver1, prefixes: [10.100.99.50/32, 10.100.99.51/32, 10.100.99.52/32]}
services:
  - {name: DNS, match: [udp/53]}
  - {name: NTP, match: [udp/123]}
  - {name: HTTP, match: [tcp/80]}
  - {name: SSH, match: [tcp/22]}
  - {name: appserver1-tcp, match: [tcp/4567]}
`

// authorsDifferences is everything in which what is written differs from the configuration of the lab's author for the same
// policy: "-" begins lines that he has and "+" those that are written.
const authorsDifferences = `A field-set has the fewest prefixes:
-      10.100.1.6/32 10.100.1.7/32
+      10.100.1.6/31
-      10.100.99.50/32 10.100.99.51/32 10.100.99.52/32
+      10.100.99.50/31 10.100.99.52/32
The remark and the description of the policy are not part of the policy:
-      !! Allow DNS and NTP requests to 10.100.1.6 and 10.100.1.7
-      description #policy-id=256
The matches that drop all else have names of their own, and no remark:
-      match drop_all_else_web-app ipv4
-         !! Drop_all_else
+      match drop_all_else ipv4
-      match drop_all_else_web-app-reverse ipv4
-         !! Drop_all_else
+      match drop_all_else-reverse ipv4
The end of the policy, which permits, is written out:
+      match ipv4-all-default ipv4
+         actions
+            count
+      !
+      match ipv6-all-default ipv6
+         actions
+            count
`

// The policy of the lab's author, written for EOS, is his configuration but for what a table lists, and its matches have as
// many lines as his.
func TestAuthorsForm(t *testing.T) {
	his := parse(t, shared(t, "vrf_all_home.cfg"))
	var as bytes.Buffer
	if err := policy.WriteYAML(&as, his.Policies()); err != nil {
		t.Fatal(err)
	}
	yaml := strings.NewReplacer("'ip:10.100.99.50/32', 'ip:10.100.99.51/32', 'ip:10.100.99.52/32'", "'group:web-appserver1'",
		"'ip:10.100.99.51/32', 'ip:10.100.99.52/32'", "'group:web01_web02'", "'ip:10.100.99.50/32'", "'group:appserver1'",
		"'ip:10.100.1.6/32', 'ip:10.100.1.7/32'", "'group:DNS_NTP_servers'", "'ip:172.18.6.0/24'", "'group:wifi_clients'").
		Replace(as.String()[:strings.Index(as.String(), "  - name: drop_all_else_web-app\n")])
	policies, err := policy.ParsePolicies("policy.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	groups, err := categories.Parse("groups.yaml", []byte(authorsGroups))
	if err != nil {
		t.Fatal(err)
	}
	addresses, err := policy.NewAddresses(groups, nil)
	if err != nil {
		t.Fatal(err)
	}
	out, _ := written(t, Options{Services: groups.Services, DefaultDeny: []policy.Endpoint{policy.GroupEndpoint("web-appserver1")}},
		Document{Policy: policies[0], Set: addresses.Set, Proposed: true})
	ours := parse(t, out)
	lines := func(c *Config) (n int) {
		for _, p := range c.Prices() {
			n += p.Lines
		}
		return n
	}
	if lines(ours) != lines(his) || lines(his) != 78 {
		t.Errorf("%d lines of matches, and his have %d", lines(ours), lines(his))
	}
	var got, want []string
	for _, e := range text.Diff(his.Lines(), ours.Lines()) {
		if e.Kind != 0 {
			got = append(got, map[int]string{-1: "-", 1: "+"}[e.Kind]+e.Line)
		}
	}
	for _, l := range strings.Split(authorsDifferences, "\n") {
		if strings.HasPrefix(l, "-") || strings.HasPrefix(l, "+") {
			want = append(want, l)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("differences (-listed +found):\n%s", d)
	}
}
