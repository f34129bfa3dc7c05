package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"cordon/categories"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

func example(t testing.TB) *Proposal {
	t.Helper()
	at := func(s string) Time {
		x, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			t.Fatal(err)
		}
		return NewTime(x)
	}
	dns, _ := ParseService("udp/53")
	tcp, _ := ParseService("tcp/53")
	web := GroupEndpoint("web")
	rule := Rule{
		Name: "web-to-dns", Action: Allow, Direction: Bidirectional,
		Sources:      []Endpoint{web},
		Destinations: []Endpoint{GroupEndpoint("dns"), HostEndpoint(netip.MustParseAddr("10.0.0.1"))},
		Services:     []Service{tcp, dns},
		Evidence:     Evidence{Sessions: 12, Flows: 40, Bytes: 4711, Clients: 2, Servers: 2, FirstSeen: at("2026-11-20T10:00:00Z"), LastSeen: at("2026-11-20T11:00:00.25+01:00")},
		Excess:       Excess{PermittedPairs: 4, ObservedPairs: 3},
	}
	rule.ID = rule.ContentID()
	p := &Proposal{
		VRF: "default", Window: Window{at("2026-11-20T10:00:00Z"), at("2026-11-20T11:00:00Z")}, Categories: []string{"role", "infra"},
		Rules:       []Rule{rule},
		Unproposed:  []Unproposed{{Reason: HalfOpen, Sessions: 3, Examples: []Example{{Source: "10.0.0.9", Destination: "10.0.0.1", Service: "tcp/22"}}}},
		Certificate: Certificate{Rules: 1, LowerBound: 1, Optimal: true, Method: "fooling-set", Witness: []Cell{{web, GroupEndpoint("dns"), dns}}},
		Summary:     Summary{Sessions: 15, Included: 12, Cells: 2, Rules: 1, PerHostRules: 12, PerPairRules: 2, EOSLines: 12},
	}
	p.Seal()
	return p
}

func TestJSONAndYAMLAreTheSameDocument(t *testing.T) {
	p := example(t)
	var y bytes.Buffer
	if err := p.WriteYAML(&y); err != nil {
		t.Fatal(err)
	}
	var fromJSON, fromYAML any
	if err := json.Unmarshal(p.JSON(), &fromJSON); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(y.Bytes(), &fromYAML); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(fromYAML)
	if err != nil {
		t.Fatal(err)
	}
	var normal any
	if err := json.Unmarshal(again, &normal); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(fromJSON, normal); d != "" {
		t.Errorf("(-json +yaml):\n%s", d)
	}
	for name, data := range map[string][]byte{"p.json": p.JSON(), "p.yaml": y.Bytes(), "one line": p.Canonical(),
		"tabs": bytes.ReplaceAll(p.JSON(), []byte("  "), []byte("\t"))} {
		got, err := ParseProposals(name, data)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 1 || string(got[0].Canonical()) != string(p.Canonical()) {
			t.Errorf("%s: read back as\n%s\nwant\n%s", name, got[0].Canonical(), p.Canonical())
		}
		if got[0].Edited() {
			t.Errorf("%s: the id %s does not match the content read back", name, got[0].ID)
		}
	}
	both := append(p.JSON(), p.JSON()...)
	if two, err := ParseProposals("two", both); err != nil || len(two) != 2 {
		t.Errorf("%d documents of two, %v", len(two), err)
	}
	bad := bytes.Replace(both, []byte("lowerBound"), []byte("bound"), 2)
	lines := bytes.Count(bad[:bytes.Index(bad, []byte("bound"))], []byte{'\n'}) + 1
	if _, err := ParseProposals("two", bad); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("two:%d: unknown key", lines)) {
		t.Errorf("%v, want line %d", err, lines)
	}
	if _, err := ParseProposals("two", append(p.JSON(), `{"kind": }`...)); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("two:%d: ", bytes.Count(p.JSON(), []byte{'\n'})+1)) {
		t.Errorf("%v", err)
	}
}

func TestIDFollowsContent(t *testing.T) {
	p, q := example(t), example(t)
	if p.ID != q.ID || !strings.HasPrefix(p.ID, "sha256:") || len(p.ID) != len("sha256:")+64 {
		t.Fatalf("ids %s and %s of the same content", p.ID, q.ID)
	}
	q.Rules[0].Evidence.Bytes++
	if !q.Edited() {
		t.Error("a change of evidence is not seen")
	}
	r := q.Rules[0]
	if r.ContentID() != p.Rules[0].ID {
		t.Error("a rule's id depends on its evidence")
	}
	r.Services = r.Services[:1]
	if r.ContentID() == p.Rules[0].ID {
		t.Error("a rule's id does not depend on its services")
	}
}

func TestEmptyListsAreWritten(t *testing.T) {
	var p Proposal
	p.Seal()
	for _, want := range []string{`"categories":[]`, `"rules":[]`, `"unproposed":[]`, `"witness":[]`} {
		if !strings.Contains(string(p.Canonical()), want) {
			t.Errorf("%s is missing in %s", want, p.Canonical())
		}
	}
}

func TestEndpoint(t *testing.T) {
	for text, want := range map[string]Endpoint{
		"any":                Any,
		"group:web":          {Group: "web"},
		"group:role/web":     {Group: "role/web"},
		"ip:10.0.0.0/8":      {Prefix: netip.MustParsePrefix("10.0.0.0/8")},
		"ip:2001:db8::1/128": {Prefix: netip.MustParsePrefix("2001:db8::1/128")},
	} {
		got, err := ParseEndpoint(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("ParseEndpoint(%q) = %v, %v, written as %q", text, got, err, got)
		}
	}
	if e, err := ParseEndpoint("ip:10.0.0.1"); err != nil || e.String() != "ip:10.0.0.1/32" {
		t.Errorf("a bare address: %v, %v", e, err)
	}
	for _, text := range []string{"", "web", "group:", "ip:", "ip:10.0.0.1/8", "ip:10.0.0.0/33", "Any"} {
		if e, err := ParseEndpoint(text); err == nil {
			t.Errorf("ParseEndpoint(%q) = %v", text, e)
		}
	}
}

func TestParsePolicies(t *testing.T) {
	got, err := ParsePolicies("p.yaml", []byte(`apiVersion: cordon/v1
kind: Policy
rules:
  - name: no database for clients
    action: deny
    sources: [group:clients]
    services: [tcp/5432, tcp/8000-8080, gre]
  - destinations: [ip:10.0.0.1]
`))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || len(got[0].Rules) != 2 {
		t.Fatalf("%+v", got)
	}
	r := got[0].Rules[0]
	if r.Action != Deny || !r.Destinations[0].IsAny() || r.Services[1].Term != (categories.ServiceTerm{Proto: 6, Lo: 8000, Hi: 8080}) {
		t.Errorf("%+v", r)
	}
	if r := got[0].Rules[1]; r.Action != Allow || !r.Sources[0].IsAny() || !r.Services[0].Any {
		t.Errorf("%+v", r)
	}
	fromProposal, err := ParsePolicies("p.json", example(t).JSON())
	if err != nil || len(fromProposal) != 1 || fromProposal[0].VRF != "default" || len(fromProposal[0].Rules) != 1 {
		t.Errorf("%+v, %v", fromProposal, err)
	}
}

func TestReadErrorsSayWhere(t *testing.T) {
	head := "apiVersion: cordon/v1\nkind: Policy\n"
	for _, c := range []struct{ text, want string }{
		{"", "x: the file is empty"},
		{"- a", "x:1: a map with apiVersion"},
		{"kind: Policy", "x:1: apiVersion must be"},
		{"apiVersion: cordon/v1\nkind: Pod", "x:1: kind is \"Pod\""},
		{head + "rules:\n  - destination: [any]\n", `x:4: unknown key "destination"`},
		{head + "rules:\n  - sources: [any]\n    sources: [any]\n", `x:5: key "sources" is here a second time`},
		{head + "rules:\n  - {sources: [any],\n     destinations: [any, web]}\n", `x:5: destinations of rule 1: endpoint "web" is not`},
		{head + "rules:\n  - name: a\n  - {name: b, services: [tcp/70000]}\n", `x:5: services of rule "b": service "tcp/70000"`},
		{head + "rules:\n  - action: maybe\n", `x:4: action is "maybe"`},
		{head + "rules:\n  - web\n", "x:4: a rule must be a map"},
		{head + "rules: 5\n", "x:3:"},
		{"a: [", "x:1:"},
	} {
		_, err := ParsePolicies("x", []byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %s", c.text, err, c.want)
		}
	}
}

// Whatever value of a proposal cannot be read, the error has its line and key.
func TestReadErrorsNameTheValue(t *testing.T) {
	p := example(t)
	p.Prefixes = []HostPrefix{{Prefix: netip.MustParsePrefix("10.9.0.0/30"), Hosts: 2, ExtraAddresses: 2}}
	var b strings.Builder
	if err := p.WriteYAML(&b); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")
	for _, c := range []struct{ key, bad, want string }{
		{"    from: ", "yesterday", "window.from"},
		{"        firstSeen: ", "soon", "rules[0].evidence.firstSeen"},
		{"  - prefix: ", "10.9.0/30", "prefixes[0].prefix"},
		{"    - source: ", "web", "certificate.witness[0].source"},
	} {
		changed := slices.Clone(lines)
		at := slices.IndexFunc(lines, func(l string) bool {
			return strings.HasPrefix(strings.TrimLeft(l, " -"), strings.TrimLeft(c.key, " -")) && (c.key[0] != '-')
		})
		if c.key == "    - source: " {
			at = slices.Index(lines, "  witness:") + 1
		}
		head, _, _ := strings.Cut(lines[at], ": ")
		changed[at] = head + ": " + c.bad
		_, err := ParseProposals("x", []byte(strings.Join(changed, "\n")))
		if err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("x:%d: ", at+1)) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want line %d and %s", c.key, err, at+1, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	p := example(f)
	f.Add(p.JSON())
	var y bytes.Buffer
	if err := p.WriteYAML(&y); err != nil {
		f.Fatal(err)
	}
	f.Add(y.Bytes())
	f.Add([]byte("apiVersion: cordon/v1\nkind: Policy\nrules:\n  - &a {sources: [any], services: [tcp/1-2]}\n  - *a\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = ParsePolicies("fuzz", data)
		got, err := ParseProposals("fuzz", data)
		if err != nil {
			return
		}
		for i := range got {
			_, _ = got[i].Side()
			again, err := ParseProposals("again", got[i].JSON())
			if err != nil {
				t.Fatalf("%v\n%s", err, got[i].JSON())
			}
			if string(again[0].Canonical()) != string(got[i].Canonical()) {
				t.Fatalf("read back as\n%s\nwas\n%s", again[0].Canonical(), got[i].Canonical())
			}
		}
	})
}

func TestHead(t *testing.T) {
	p := example(t)
	p.GroupsFile, p.Groups = "sha256:00", []CarriedGroup{{Name: "web", Category: "role", Members: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}}}
	p.Guardrails, p.InForce = []CarriedPolicy{{}}, []CarriedPolicy{{}}
	p.Seal()
	whole := string(p.JSON())
	var head Proposal
	if err := json.Unmarshal(p.Head(), &head); err != nil {
		t.Fatal(err)
	}
	if head.Kind != KindProposalHead || head.ID != p.ID || len(head.Rules)+len(head.Unproposed)+len(head.Certificate.Witness)+len(head.Certificate.Parts) > 0 {
		t.Errorf("%+v", head)
	}
	if head.GroupsFile != p.GroupsFile || len(head.Groups)+len(head.Guardrails)+len(head.InForce) > 0 {
		t.Errorf("what the proposal was made with: %+v", head)
	}
	if head.Summary != p.Summary || head.Certificate.LowerBound != p.Certificate.LowerBound || head.VRF != p.VRF {
		t.Errorf("%+v", head)
	}
	if string(p.JSON()) != whole {
		t.Error("the proposal itself has changed")
	}
}
