package target

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cordon/recommender/policy"

	"github.com/google/go-cmp/cmp"
)

// documents are policies that show everything that a target may be asked for.
func checkedDocuments(t *testing.T) (out []Document) {
	t.Helper()
	_, addresses := cellAddresses(t)
	for _, text := range []string{
		`{name: shop, action: allow, sources: ["group:web"], destinations: ["group:db", "ip:10.9.0.0/16", "ip:10.8.0.1"], services: [tcp/443, tcp/5432-5433, udp/53, icmp/8, icmp/3, gre, sctp/80]}
  - {name: 'A "quoted" name of a rule with Ümlauts and more than a hundred and twenty-eight bytes, so that it is too long for a comment of a rule', action: deny, sources: ["group:web"], services: [ospf]}
  - {name: all, sources: ["group:outside"], services: [any]}
  - {name: v6, sources: ["group:web"], destinations: ["group:outside"], services: [ipv6-icmp/128, tcp/22]}
  - {name: tcp, services: [tcp, udp/1-1000, dccp/7, udplite/9, icmp, ipv6-icmp]}`,
		`{name: many, services: [` + manyPorts() + `]}`,
	} {
		policies, err := policy.ParsePolicies("policy.yaml", []byte("apiVersion: cordon/v1\nkind: Policy\nname: shop\ndefault: deny\nrules:\n  - "+text+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, Document{Policy: policies[0], Set: addresses.Set})
	}
	return out
}

func manyPorts() string {
	var list []string
	for n := range 50 {
		list = append(list, fmt.Sprintf("tcp/%d", 1000+2*n))
		if n%5 == 0 {
			list = append(list, fmt.Sprintf("udp/%d-%d", 1000+20*n, 1000+20*n+7))
		}
	}
	return strings.Join(list, ", ")
}

// written gives what a target of one file writes, with gaps.
func written(t *testing.T, name string, d Document) string {
	t.Helper()
	target, _ := Find(name)
	groups, _ := cellAddresses(t)
	out, err := target.Write([]Document{d}, Options{Gaps: true, Groups: groups})
	if err != nil {
		t.Fatal(err)
	}
	return string(out.Files[0].Data)
}

var update = flag.Bool("update", false, "write the golden files")

// The form of everything that is written; that of EOS is in its own package.
func TestGolden(t *testing.T) {
	groups, _ := cellAddresses(t)
	for _, target := range All() {
		if target.Name == "eos" {
			continue
		}
		out, err := target.Write(checkedDocuments(t)[:1], Options{Gaps: true, Groups: groups})
		if err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for _, f := range out.Files {
			if target.Several {
				fmt.Fprintf(&got, "-- %s --\n", f.Name)
			}
			got.Write(f.Data)
		}
		for _, gap := range out.Gaps {
			fmt.Fprintf(&got, "-- left out: %s\n", gap)
		}
		path := filepath.Join("testdata", target.Name+".golden")
		if *update {
			if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), got.String()); d != "" {
			t.Errorf("%s (-want +got):\n%s", target.Name, d)
		}
	}
}

// Every target has the same refusals, and is in the test of meaning.
func TestRefused(t *testing.T) {
	groups, addresses := cellAddresses(t)
	for _, target := range All() {
		if _, ok := interpreters[target.Name]; !ok && target.Name != "eos" {
			t.Errorf("%s is in no test of its meaning", target.Name)
		}
		for text, want := range map[string]string{
			`{name: a, sources: ["group:empty"], services: [tcp/80]}`:                                                "has no address",
			`{name: a, sources: ["ip:10.0.0.1"], destinations: ["ip:2001:db8::1"], services: [tcp/80]}`:              "no address is in its sources and destinations, in the same family",
			`{name: a, sources: ["group:nosuch"], services: [tcp/80]}`:                                               "nosuch",
			`{name: a, action: redirect, redirect: next-hop 10.0.0.1, direction: one-way, sources: ["ip:10.0.0.1"]}`: "redirect",
		} {
			if want == "redirect" && (target.Name == "eos" || target.Name == "csv") {
				continue
			}
			policies, err := policy.ParsePolicies("policy.yaml", []byte("apiVersion: cordon/v1\nkind: Policy\nrules:\n  - "+text+"\n"))
			if err != nil {
				t.Fatal(err)
			}
			set := func(list []policy.Endpoint, as policy.Reading) (policy.AddressSet, error) {
				if len(list) == 1 && list[0].Group == "empty" {
					return nil, nil
				}
				return addresses.Set(list, as)
			}
			_, err = target.Write([]Document{{Policy: policies[0], Set: set}}, Options{Groups: groups})
			var refused *Error
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %s: %v, want %q", target.Name, text, err, want)
			}
		}
	}
}
