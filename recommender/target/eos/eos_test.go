package eos

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cordon/categories"
	"cordon/recommender/policy"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

func shared(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "shared", "data", "eos", name))
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("../shared/data/eos is not here")
	}
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func parse(t testing.TB, data []byte) *Config {
	t.Helper()
	c, err := Parse("switch.cfg", data)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const testPolicy = `apiVersion: cordon/v1
kind: Policy
name: shop
vrf: prod
default: {ipv4: deny, ipv6: deny}
rules:
  - {name: no-ssh, action: deny, sources: [group:web], destinations: [group:db], services: [tcp/22]}
  - {name: web-db, sources: [group:web], destinations: [group:db, "ip:10.9.0.0/16", "ip:10.8.0.1"], services: [tcp/443, tcp/5432-5433, udp/53, icmp/8, icmp/3, ipv6-icmp/128, gre]}
  - {name: names, destinations: ["ip:10.0.0.53"], services: [udp/53, tcp/53]}
  - {name: all but one, sources: ["ip:10.2.0.0/16"], except: {sources: ["ip:10.2.0.0/17"]}, destinations: ["ip:10.0.0.53"], services: [ospf]}
  - {name: late, action: redirect, redirect: next-hop 10.0.0.1, direction: one-way, sources: ["ip:10.5.0.0/24"], services: [tcp], sourcePorts: [22, 1024-65535], flags: established, also: [count LATE]}
  - {name: kept, direction: one-way, sources: ["ip:0.0.0.0/0"], services: [any], opaque: [ttl 1, police rate 5 mbps]}
`

const testGroups = `category,group,prefix
role,web,10.1.0.0/24
role,web,2001:db8:1::/64
role,db,10.1.0.7/32
role,db,2001:db8:2::/64
`

func testDocument(t testing.TB) Document {
	t.Helper()
	policies, err := policy.ParsePolicies("policy.yaml", []byte(testPolicy))
	if err != nil {
		t.Fatal(err)
	}
	groups, err := categories.Parse("groups.csv", []byte(testGroups))
	if err != nil {
		t.Fatal(err)
	}
	a, err := policy.NewAddresses(groups, nil)
	if err != nil {
		t.Fatal(err)
	}
	return Document{Policy: policies[0], Set: a.Set, Remarks: []string{strings.Repeat("A long remark. ", 40), "Ümlaut"}, About: [][]string{{"first"}}}
}

func written(t testing.TB, o Options, d ...Document) ([]byte, Written) {
	t.Helper()
	var out bytes.Buffer
	w, err := Write(&out, d, o)
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), w
}

// The form of everything that is written.
func TestWritten(t *testing.T) {
	for name, o := range map[string]Options{
		"written.cfg": {},
		"options.cfg": {DefaultDeny: []policy.Endpoint{policy.GroupEndpoint("db")}, TCPEstablished: true, PortNumbers: true, Except: true, Mirror: "tap"},
	} {
		got, w := written(t, o, testDocument(t))
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), string(got)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
		for i, l := range bytes.Split(got, []byte("\n")) {
			if n := len(bytes.TrimLeft(l, " !")); n > maxRemark && bytes.Contains(l, []byte("!!")) {
				t.Errorf("%s:%d: a remark of %d bytes", name, i+1, n)
			}
		}
		if again := parse(t, got).Write(); !bytes.Equal(again, got) {
			t.Errorf("%s written again:\n%s", name, cmp.Diff(string(got), string(again)))
		}
		if w.Open != 10 {
			t.Errorf("%s: %d ports are open for answers, want 10", name, w.Open)
		}
	}
}

// The lines of matches are what policy.Rule.EOSLines says.
func TestLines(t *testing.T) {
	for _, services := range []string{"tcp/80", "tcp/80,udp/53", "icmp/8", "icmp/3", "icmp/8,gre", "tcp/80,gre,esp", "ipv6-icmp/128,icmp/3", "any", "tcp", "sctp", "icmp", "tcp/22,icmp/13,ospf"} {
		for _, ends := range [][2]string{{"ip:10.0.0.1", "ip:10.0.0.2"}, {"any", "ip:10.0.0.2"}, {"any", "any"}, {"ip:2001:db8::1", "any"}} {
			r := policy.StatementRule{Name: "r", Action: policy.Allow}
			for i, to := range []*[]policy.Endpoint{&r.Sources, &r.Destinations} {
				e, err := policy.ParseEndpoint(ends[i])
				if err != nil {
					t.Fatal(err)
				}
				*to = []policy.Endpoint{e}
			}
			for _, text := range strings.Split(services, ",") {
				s, err := policy.ParseService(text)
				if err != nil {
					t.Fatal(err)
				}
				r.Services = append(r.Services, s)
			}
			f := policy.Families{IPv4: !strings.Contains(ends[0], "::"), IPv6: !strings.Contains(ends[0]+ends[1], ".")}
			_, w := written(t, Options{}, Document{Policy: policy.Policy{Rules: []policy.StatementRule{r}}, Set: policy.IPSet})
			p := policy.Rule{Sources: r.Sources, Destinations: r.Destinations, Services: r.Services}
			if n := p.EOSLines(f); n != w.Lines {
				t.Errorf("%v %s: %d lines written, %d counted", ends, services, w.Lines, n)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	rule := func(name, services string) policy.StatementRule {
		s, err := policy.ParseService(services)
		if err != nil {
			t.Fatal(err)
		}
		return policy.StatementRule{Name: name, Action: policy.Allow, Sources: []policy.Endpoint{policy.Any}, Destinations: []policy.Endpoint{policy.Any}, Services: []policy.Service{s}}
	}
	for want, rules := range map[string][]policy.StatementRule{
		"EOS matches ports of TCP and UDP only": {rule("a", "sctp/5060")},
		"would be called a-b":                   {rule("a b", "tcp/1"), rule("a/b", "tcp/2")},
		"would be called a-reverse":             {rule("a", "tcp/1"), rule("a-reverse", "tcp/2")},
		"means something else on EOS":           {rule("IPv4-all-default", "tcp/1")},
		"has no letter or digit":                {rule("日本", "tcp/1")},
	} {
		var out bytes.Buffer
		_, err := Write(&out, []Document{{Policy: policy.Policy{Rules: rules}, Set: policy.IPSet}}, Options{})
		if err == nil || !strings.Contains(err.Error(), want) || out.Len() > 0 {
			t.Errorf("%v: %v, want %q", rules[0].Name, err, want)
		}
	}
	_, w := written(t, Options{Gaps: true}, Document{Policy: policy.Policy{Rules: []policy.StatementRule{rule("a", "sctp/5060"), rule("b", "tcp/1")}}, Set: policy.IPSet})
	if len(w.Gaps) != 2 || w.Matches != 4 {
		t.Errorf("%+v", w)
	}
}

func decide(t testing.TB, p *policy.Policy, client, server, service string) string {
	t.Helper()
	s, err := categories.ParseService(service)
	if err != nil {
		t.Fatal(err)
	}
	d, _, err := p.Decide(policy.IPSet, netip.MustParseAddr(client), netip.MustParseAddr(server), s)
	if err != nil {
		t.Fatal(err)
	}
	return string(d)
}

// What the author of a real configuration found out by trying.
func TestGroundTruth(t *testing.T) {
	data := shared(t, "vrf_all_home.cfg")
	p := parse(t, data).Policies()[0]
	for _, x := range []struct{ client, server, service, want string }{
		{"172.18.6.138", "10.100.99.52", "tcp/80", "permit"},
		{"172.18.6.138", "10.100.99.51", "tcp/22", "permit"},
		{"10.100.99.51", "10.100.99.50", "tcp/4567", "permit"},
		{"10.100.99.51", "10.100.99.50", "tcp/22", "deny"},
		{"10.100.99.51", "10.100.99.52", "tcp/80", "deny"},
		{"10.100.99.51", "10.100.99.52", "tcp/22", "deny"},
		{"10.100.5.10", "10.100.99.50", "tcp/22", "deny"},
		{"172.18.6.138", "10.100.99.50", "tcp/4567", "deny"},
		{"10.100.99.50", "8.8.8.8", "icmp/8", "deny"},
		{"10.100.99.50", "10.100.1.7", "udp/53", "permit"},
	} {
		if got := decide(t, &p, x.client, x.server, x.service); got != x.want {
			t.Errorf("%s -> %s %s: %s, want %s", x.client, x.server, x.service, got, x.want)
		}
	}
	if _, denied, err := p.Sessions(false); err != nil || len(denied) > 0 {
		t.Errorf("answers denied: %v %v", denied, err)
	}
	for name, session := range map[string][3]string{
		"allow_all_NTP":          {"10.100.99.50", "10.100.1.7", "udp/123"},
		"clients_to_webservers":  {"172.18.6.138", "10.100.99.52", "tcp/80"},
		"ssh_to_web-app_servers": {"172.18.6.138", "10.100.99.51", "tcp/22"},
		"web-to-appserver1":      {"10.100.99.51", "10.100.99.50", "tcp/4567"},
	} {
		p := parse(t, withoutMatch(t, data, name+"-reverse")).Policies()[0]
		if got := decide(t, &p, session[0], session[1], session[2]); got != "answers-denied" {
			t.Errorf("without %s-reverse: %s", name, got)
		}
		_, denied, err := p.Sessions(false)
		if err != nil || len(denied) == 0 || denied[0].Rule != name {
			t.Errorf("without %s-reverse: %v %v", name, denied, err)
		}
	}
}

// withoutMatch takes a match out of a configuration.
func withoutMatch(t *testing.T, data []byte, name string) []byte {
	t.Helper()
	begin := bytes.Index(data, []byte("      match "+name+" "))
	if begin < 0 {
		t.Fatalf("there is no match %s", name)
	}
	end := bytes.Index(data[begin+1:], []byte("\n      match "))
	if end < 0 {
		return data[:begin]
	}
	return append(bytes.Clone(data[:begin]), data[begin+1+end+1:]...)
}

func TestReadShared(t *testing.T) {
	for name, want := range map[string][4]int{ // matches, drops, defaults, opaque
		"vrf_all_home.cfg":                  {14, 4, 0, 0},
		"dns_ntp_services.cfg":              {4, 0, 0, 0},
		"public/rsp-demo-alpha-edge-01.cfg": {17, 1, 2, 17},
		"public/featureprofiles.cfg":        {4, 0, 2, 2},
	} {
		data := shared(t, name)
		c := parse(t, data)
		var got [4]int
		for _, p := range c.policies {
			for _, m := range p.matches {
				got[0]++
				if m.drop {
					got[1]++
				}
				if len(m.opaque) > 0 {
					got[3]++
				}
			}
			for _, m := range p.defaults {
				if m != nil {
					got[2]++
				}
			}
		}
		if got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
		if again := c.Write(); !strings.Contains(name, "feature") && !bytes.Contains(data, again) {
			t.Errorf("%s written again:\n%s", name, cmp.Diff(string(data), string(again)))
		}
	}
	for name, line := range map[string]int{"public/avd-host1-2026.cfg": 9, "public/capirca-sample.atp": 208} {
		_, err := Parse(name, shared(t, name))
		var wrong *SyntaxError
		if !errors.As(err, &wrong) || wrong.Line != line {
			t.Errorf("%v, want line %d", err, line)
		}
	}
}

// A word that is changed is an error with its line, unless it is a name or free text.
func TestChangedWord(t *testing.T) {
	data, _ := written(t, Options{}, testDocument(t))
	lines := strings.SplitAfter(string(data), "\n")
	changed := 0
	for i, l := range lines {
		words := strings.Fields(l)
		if len(words) == 0 || strings.HasPrefix(words[0], "!") {
			continue
		}
		for j, w := range words {
			free := j == 1 && (words[0] == "vrf" || words[0] == "match" || words[0] == "count") || words[0] == "counter" && j > 0 || words[0] == "redirect" && j > 1 ||
				words[0] == "field-set" && j == len(words)-1 || strings.Contains(l, "-all-default")
			if free {
				continue
			}
			bad := strings.Replace(l, w, w+"zz", 1)
			text := strings.Join(lines[:i], "") + bad + strings.Join(lines[i+1:], "")
			_, err := Parse("x.cfg", []byte(text))
			var wrong *SyntaxError
			if !errors.As(err, &wrong) || wrong.Line != i+1 && i > 0 && words[0] != "field-set" && words[0] != "traffic-policy" && words[1] != "service" {
				t.Errorf("line %d, %q: %v", i+1, bad, err)
			}
			changed++
		}
	}
	if changed < 100 {
		t.Errorf("%d words changed", changed)
	}
}

// Other forms of the same text are the same policy, and a file that is cut is read or refused with its line.
func TestForms(t *testing.T) {
	data, _ := written(t, Options{}, testDocument(t))
	want := fmt.Sprintf("%+v", parse(t, data).Policies())
	text := string(data)
	noMarks := ""
	flat := ""
	for _, l := range strings.SplitAfter(text, "\n") {
		if strings.TrimSpace(l) != "!" {
			noMarks += l
			flat += strings.TrimLeft(l, " ")
		}
	}
	for name, form := range map[string]string{
		"tabs":     strings.ReplaceAll(text, "   ", "\t"),
		"crlf":     strings.ReplaceAll(text, "\n", "\r\n"),
		"no marks": noMarks,
		"flat":     flat,
		"capital":  strings.Replace(text, "traffic-policies", "Traffic-policies", 1),
		"around":   "hostname x\n!\ninterface Ethernet1\n   mtu 9000\n!\n" + text + "!\nmanagement ssh\n   idle-timeout 0\n",
	} {
		if got := fmt.Sprintf("%+v", parse(t, []byte(form)).Policies()); got != want {
			t.Errorf("%s: %s", name, cmp.Diff(want, got))
		}
	}
	for n := range len(text) {
		_, err := Parse("x.cfg", []byte(text[:n]))
		var wrong *SyntaxError
		if err != nil && !errors.As(err, &wrong) {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	data, _ := written(f, Options{}, testDocument(f))
	f.Add(data)
	f.Add([]byte("Traffic-policies\n\ttraffic-policy a\n\tmatch b ipv6\n\tprotocol icmpv6 type echo-reply code all\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("x.cfg", data)
		if err != nil {
			return
		}
		for _, p := range c.Policies() {
			if len(p.Rules) < 50 {
				if _, _, err := p.Sessions(false); err != nil {
					t.Fatal(err)
				}
			}
		}
		c.Notes()
		text := c.Write()
		again, err := Parse("y.cfg", text)
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if second := again.Write(); !bytes.Equal(second, text) {
			t.Fatalf("%q becomes %q", text, second)
		}
	})
}
