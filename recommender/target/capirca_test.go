package target

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cordon/categories"
	"cordon/internal/iana"
	"cordon/recommender/policy"
)

// capircaTerm is a term of a policy file.
type capircaTerm map[string][]string

// capircaDevice has the terms of each family.
type capircaDevice struct {
	networks, services map[string][]string
	terms              [2][]capircaTerm
}

// readCapirca reads the policy files whose names end in a suffix, before that of the family.
func readCapirca(suffix string) func(t fataler, files []File) device {
	return func(t fataler, files []File) device {
		d := capircaDevice{networks: map[string][]string{}, services: map[string][]string{}}
		for _, f := range files {
			text := string(f.Data)
			name := strings.TrimSuffix(filepath.Base(f.Name), ".pol")
			short := strings.TrimSuffix(name, "-v6")
			kind := ""
			if at := strings.LastIndex(short, "-"); at >= 0 && short[at:] != "-all" {
				kind = short[at:]
			}
			switch {
			case strings.HasSuffix(f.Name, ".net"):
				capircaDefinitions(t, text, d.networks)
			case strings.HasSuffix(f.Name, ".svc"):
				capircaDefinitions(t, text, d.services)
			case kind == suffix:
				d.terms[family(name != short)] = capircaTerms(t, text)
			}
		}
		return &d
	}
}

func capircaDefinitions(t fataler, text string, into map[string][]string) {
	name := ""
	for _, l := range strings.Split(text, "\n") {
		w := strings.Fields(l)
		if len(w) > 2 && w[1] == "=" {
			if name = w[0]; into[name] != nil {
				t.Fatalf("%s twice", name)
			}
			w = w[2:]
		}
		into[name] = append(into[name], w...)
	}
}

func capircaTerms(t fataler, text string) (out []capircaTerm) {
	names := map[string]bool{}
	for _, block := range strings.Split(text, "\n}\n") {
		lines := strings.Split(strings.TrimSpace(block), "\n")
		w := strings.Fields(lines[0])
		if len(w) == 0 || w[0] != "term" {
			continue
		}
		if names[w[1]] || len(w[1]) > 62 {
			t.Fatalf("term %s is there twice or too long", w[1])
		}
		names[w[1]] = true
		term := capircaTerm{}
		for _, l := range lines[1:] {
			key, values, ok := strings.Cut(strings.TrimSpace(l), ":: ")
			if !ok {
				t.Fatalf("%q is no line of a term", l)
			}
			term[key] = strings.Fields(values)
		}
		out = append(out, term)
	}
	return out
}

// capircaNumbers are the protocols and types that the tests ask for.
var capircaNumbers = map[string]int{"tcp": 6, "udp": 17, "sctp": 132, "icmp": 1, "icmpv6": 58, "gre": 47, "ospf": 89, "udplite": 136,
	"echo-request": 8, "echo-reply": 0, "unreachable": 3, "timestamp-request": 13, "timestamp-reply": 14}

func (d *capircaDevice) permits(p packet) bool {
	for _, term := range d.terms[family(p.src.Is6())] {
		if d.matches(term, p) {
			return term["action"][0] == "accept"
		}
	}
	return false
}

func (d *capircaDevice) matches(term capircaTerm, p packet) bool {
	in := func(key string, hit func(string) bool) bool {
		return term[key] == nil || slices.ContainsFunc(term[key], hit)
	}
	network := func(a netip.Addr) func(string) bool {
		return func(name string) bool {
			return slices.ContainsFunc(d.networks[name], func(x string) bool { return inPrefix(x, a) })
		}
	}
	port := func(n int) func(string) bool {
		return func(name string) bool {
			ports, proto, _ := strings.Cut(d.services[name][0], "/")
			return capircaNumbers[proto] == p.proto && portIn([]string{ports}, "-", n)
		}
	}
	types := map[string]int{"echo-request": 128, "echo-reply": 129, "destination-unreachable": 1}
	return in("source-address", network(p.src)) && in("destination-address", network(p.dst)) &&
		in("source-port", port(p.sport)) && in("destination-port", port(p.dport)) &&
		in("protocol", func(x string) bool { return capircaNumbers[x] == p.proto }) &&
		in("icmp-type", func(x string) bool {
			n, ok := types[x]
			if !ok || p.src.Is4() {
				n, ok = capircaNumbers[x]
			}
			return ok && n == p.dport
		}) &&
		in("option", func(x string) bool { return x == "tcp-established" && p.ack }) // nothing here is established otherwise
}

// capircaFolder writes files into a folder.
func capircaFolder(t *testing.T, files []File) string {
	t.Helper()
	folder := t.TempDir()
	for _, f := range files {
		name := filepath.Join(folder, f.Name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// aclCheck is capirca's own judgement of cells: for each line of standard input, what each policy file does.
const aclCheck = `
import logging, sys
logging.disable(logging.CRITICAL)
from capirca.lib import aclcheck, naming, policy
definitions = naming.Naming(sys.argv[1] + "/def")
policies = [policy.ParsePolicy(open(p).read(), definitions, base_dir=sys.argv[1] + "/policies") for p in sys.argv[2:]]
for line in sys.stdin:
    src, dst, sport, dport, proto = line.split()
    for p in policies:
        found = aclcheck.AclCheck(p, src=src, dst=dst, sport=sport, dport=dport, proto=proto).ExactMatches()
        print(found[0].action if found else "none")
`

// capirca judges every cell as the policy does. Its check knows no types of ICMP, which only the interpreter looks at.
func TestCapircaChecks(t *testing.T) {
	python := "/usr/bin/python3" // Debian's, which has Debian's package
	if exec.Command(python, "-c", "import capirca").Run() != nil {
		t.Skip("python3-capirca is not installed")
	}
	groups, addresses := cellAddresses(t)
	policies, err := policy.ParsePolicies("policy.yaml", []byte(capircaPolicy))
	if err != nil {
		t.Fatal(err)
	}
	d := Document{Policy: policies[0], Set: addresses.Set}
	target, _ := Find("capirca")
	out, err := target.Write([]Document{d}, Options{Groups: groups})
	if err != nil {
		t.Fatal(err)
	}
	folder := capircaFolder(t, out.Files)
	words := map[uint8]string{6: "tcp", 17: "udp", 132: "sctp", 47: "gre", 89: "ospf"}
	var cells strings.Builder
	var want []string
	var byAnswers []bool
	for _, from := range cellHosts {
		for _, to := range cellHosts {
			for _, name := range cellServices {
				s, _ := categories.ParseService(name)
				if iana.IsICMP(s.Proto) || from == to || addr(from).Is4() != addr(to).Is4() {
					continue
				}
				fmt.Fprintf(&cells, "%s %s 50000 %d %s\n", from, to, s.Port, words[s.Proto])
				by := decides(t, &d, addr(from), addr(to), s)
				want = append(want, map[bool]string{true: "accept", false: "deny"}[by != nil && by.Action != policy.Deny])
				byAnswers = append(byAnswers, opened(t, &d, addr(from), addr(to), s))
			}
		}
	}
	for _, name := range []string{"shop", "shop-stateful", "shop-netfilter"} {
		cmd := exec.Command(python, "-c", aclCheck, folder, filepath.Join(folder, "policies/pol", name+".pol"), filepath.Join(folder, "policies/pol", name+"-v6.pol"))
		cmd.Stdin = strings.NewReader(cells.String())
		got, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, got)
		}
		verdicts := strings.Fields(string(got))
		if len(verdicts) != 2*len(want) || len(want) < 100 {
			t.Fatalf("%d verdicts about %d cells:\n%s", len(verdicts), len(want), got)
		}
		for i, cell := range strings.Split(strings.TrimSpace(cells.String()), "\n") {
			ofFamily := verdicts[2*i+family(strings.Contains(cell, ":"))]
			if ofFamily != want[i] && !(name == "shop" && ofFamily == "accept" && byAnswers[i]) {
				t.Errorf("%s: %s: %s, want %s", name, cell, ofFamily, want[i])
			}
		}
	}
}

// Every generator writes a file that is not empty of it. For one that it does not know, capirca writes none and says nothing.
func TestCapircaGenerates(t *testing.T) {
	program := needs(t, "aclgen")
	groups, addresses := cellAddresses(t)
	policies, err := policy.ParsePolicies("policy.yaml", []byte(capircaPolicy))
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Groups: groups}
	want := 0
	for _, p := range capircaPlatforms {
		text := p.name
		if p.asks != "" {
			text += "=" + map[string]string{"juniperevo": "ingress physical"}[p.name]
			if p.name != "juniperevo" {
				text += "from-zone a to-zone b"
			}
		}
		if p.name == "paloalto" {
			continue // it refuses OSPF and SCTP
		}
		x, err := ParseCapircaPlatform(text)
		if err != nil {
			t.Fatal(err)
		}
		o.Capirca = append(o.Capirca, x)
		want += 2
	}
	target, _ := Find("capirca")
	out, err := target.Write([]Document{{Policy: policies[0], Set: addresses.Set}}, o)
	if err != nil {
		t.Fatal(err)
	}
	folder, into := capircaFolder(t, out.Files), t.TempDir()
	cmd := exec.Command(program, "--base_directory", filepath.Join(folder, "policies"), "--definitions_directory", filepath.Join(folder, "def"), "--output_directory", into)
	cmd.Dir = into
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	files, err := filepath.Glob(filepath.Join(into, "*shop*"))
	if err != nil || len(files) != want || want < 20 {
		t.Fatalf("%d files, want %d (%v): %v", len(files), want, err, files)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil || !strings.Contains(string(data), "web") && !strings.Contains(string(data), "2001:db8:1::") {
			t.Errorf("%s has no rule (%v):\n%s", name, err, data)
		}
	}
}

const capircaPolicy = `apiVersion: cordon/v1
kind: Policy
name: shop
default: deny
rules:
  - {name: web, sources: ["group:web"], destinations: ["group:db", "ip:192.0.2.0/25"], services: [tcp/80, tcp/443, udp/9000-9001, sctp/80, gre]}
  - {name: no-web, action: deny, sources: ["group:outside"], destinations: ["group:web"], services: [tcp/22]}
  - {name: all-web, sources: ["group:outside"], destinations: ["group:web"], services: [tcp, ospf]}
`

// What is asked of capirca is checked, since it says nothing itself.
func TestCapircaPlatform(t *testing.T) {
	for text, want := range map[string]string{
		"nosuch":             "no platform of capirca that is known here: choose some of arista, cisco,",
		"nftables":           "no platform of capirca",
		"srx":                "srx needs options: write srx=from-zone ZONE to-zone ZONE",
		"cisco=x":            "cisco takes no options",
		"srx=from-zone a }":  "and not",
		"srx=from-zone \n a": "and not",
	} {
		if _, err := ParseCapircaPlatform(text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if p, err := ParseCapircaPlatform("srx=from-zone a to-zone b"); err != nil || p.Options != "from-zone a to-zone b" {
		t.Errorf("%v, %v", p, err)
	}
}
