package render

import (
	"bytes"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"cordon/categories"
	"cordon/recommender/policy"
	"cordon/recommender/target"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

func literals(t testing.TB, texts ...string) (out []policy.Endpoint) {
	t.Helper()
	for _, s := range texts {
		e, err := policy.ParseEndpoint(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

func services(t testing.TB, texts ...string) (out []policy.Service) {
	t.Helper()
	for _, s := range texts {
		v, err := policy.ParseService(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

// proposals has what a table must cope with: long sets, long names, IPv6, every
// reason, a bound below the number of rules, and a VRF without rules.
func proposals(t testing.TB) []policy.Proposal {
	at := func(minutes int) policy.Time {
		return policy.NewTime(time.Date(2026, 11, 20, 10, minutes, 0, 250_000_000, time.UTC))
	}
	first := policy.Proposal{
		VRF: "default", Window: policy.Window{From: at(0), To: at(59)}, Categories: []string{"role", "infra"},
		Rules: []policy.Rule{
			{
				Name: "wifi_clients-to-web01_web02-http", Sources: literals(t, "group:wifi_clients"), Destinations: literals(t, "group:web01_web02"),
				Services: services(t, "tcp/80"),
				Evidence: policy.Evidence{Sessions: 2, Flows: 3, Bytes: 1466, Clients: 1, Servers: 2, FirstSeen: at(1), LastSeen: at(2)},
				Excess:   policy.Excess{PermittedPairs: 2, ObservedPairs: 2},
			},
			{
				Name:         "app-and-9-more-to-DNS_NTP_servers",
				Sources:      literals(t, "group:app", "group:backup", "group:batch", "group:db", "group:frontend", "group:jump", "group:monitoring", "ip:10.0.0.9/32", "ip:10.64.0.0/14", "ip:2001:db8:1234:5678:9abc:def0:1234:5678/128"),
				Destinations: literals(t, "group:DNS_NTP_servers", "group:internet"),
				Services:     services(t, "udp/53", "udp/123", "tcp/8000-8080", "icmp/8", "gre"),
				Evidence:     policy.Evidence{Sessions: 123456, Flows: 40, Bytes: 1 << 40, Clients: 2345, Servers: 2, FirstSeen: at(1), LastSeen: at(3)},
				Excess:       policy.Excess{PermittedPairs: 4690, ObservedPairs: 3},
			},
		},
		Certificate: policy.Certificate{Rules: 2, LowerBound: 1, Method: "fooling-set",
			Witness: []policy.Cell{{Source: literals(t, "group:app")[0], Destination: literals(t, "group:internet")[0], Service: services(t, "udp/53")[0]}}},
		Summary: policy.Summary{Sessions: 123470, Included: 123458, Cells: 101, Rules: 2, PerHostRules: 123458, PerPairRules: 21, EOSLines: 52},
	}
	first.Rules[1].Evidence.LossyExporters = []string{"10.9.9.1"}
	first.Rules[1].Evidence.Sampling = 1000
	first.Loss = []policy.Loss{
		{Exporter: "10.9.9.1", Hours: 2, Records: 900, LostRecords: 100, NoTemplate: 1, Restarts: 2, LateRecords: 7},
		{Exporter: policy.AnyExporter, Hours: 1, KernelDrops: 12, DroppedRecords: 3},
	}
	first.Sampling = []policy.Sampling{{Exporter: "10.9.9.2", OneIn: 1000}}
	first.ScaledBytes = true
	first.Prefixes = []policy.HostPrefix{
		{Prefix: netip.MustParsePrefix("10.64.0.0/14"), Hosts: 262000, ExtraAddresses: 144},
		{Prefix: netip.MustParsePrefix("10.128.0.0/31"), Hosts: 2},
	}
	first.Rules[1].Generalised = []policy.Generalised{{Source: literals(t, "ip:10.0.0.9/32")[0], Destination: literals(t, "group:internet")[0], Service: services(t, "udp/53")[0],
		Within: policy.Within{Source: literals(t, "group:dc1")[0], Destination: literals(t, "group:infra/dns")[0]}, ExpectedSessions: 0.8125, Probability: 0.4318}}
	first.Summary.GeneralisedCells = 1
	first.Rules[1].Excess.ExtraAddresses, first.Summary.ExtraAddresses = 144, 144
	for i, r := range policy.Reasons {
		u := policy.Unproposed{Reason: r, Sessions: uint64(i + 1)}
		for range min(i+1, 2) {
			u.Examples = append(u.Examples, policy.Example{Source: "10.0.0.9", Destination: "2001:db8:1234:5678:9abc:def0:1234:5678", Service: "tcp/22"})
		}
		if r == policy.Excluded {
			u.Examples[0].Note = "backup network"
		}
		first.Unproposed = append(first.Unproposed, u)
	}
	for i := range first.Rules {
		r := &first.Rules[i]
		r.Action, r.Direction = policy.Allow, policy.Bidirectional
		r.ID = r.ContentID()
	}
	second := policy.Proposal{VRF: "guest", Window: policy.Window{From: at(0), To: at(59)},
		Certificate: policy.Certificate{Optimal: true, Method: "fooling-set"}}
	first.Seal()
	second.Seal()
	return []policy.Proposal{first, second}
}

func TestGolden(t *testing.T) {
	for _, c := range []struct {
		file, format string
		o            Options
	}{
		{"proposal.txt", "table", Options{}},
		{"proposal.120.txt", "table", Options{Width: 120}},
		{"proposal.yaml", "yaml", Options{}},
		{"proposal.json", "json", Options{}},
	} {
		var b bytes.Buffer
		if err := Write(&b, c.format, proposals(t), c.o); err != nil {
			t.Fatal(err)
		}
		path := "testdata/" + c.file
		if *update {
			if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), b.String()); d != "" {
			t.Errorf("%s (-want +got):\n%s", path, d)
		}
	}
}

func TestTableFits(t *testing.T) {
	for _, width := range []int{80, 100, 120} {
		var b bytes.Buffer
		if err := Write(&b, "table", proposals(t), Options{Width: width}); err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(b.String(), "\n") {
			if n := utf8.RuneCountInString(line); n > max(width, len("sha256:")+64) {
				t.Errorf("width %d: a line of %d: %s", width, n, line)
			}
		}
	}
}

// TestTableHidesNothing looks for every literal once the breaks are taken out.
func TestTableHidesNothing(t *testing.T) {
	var b bytes.Buffer
	p := proposals(t)
	if err := Write(&b, "table", p, Options{Width: 200}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"monitoring", "10.0.0.9", "10.64.0.0/14", "tcp/8000-8080", "gre", "123456", "3/4690", "backup network", "ambiguous-direction", p[0].ID, "VRF guest",
		"100 of 1000 records lost (10.0%)", "resting on it: app-and-9-more-to-DNS_NTP_servers", "1 packet in 1000", p[0].Rules[0].Name + "\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in the table", want)
		}
	}
	if strings.Contains(b.String(), "\x1b") {
		t.Error("colours where none were asked for")
	}
	var c bytes.Buffer
	if err := Write(&c, "table", p, Options{Width: 200, Color: true}); err != nil {
		t.Fatal(err)
	}
	if got := strings.NewReplacer(bold, "", plain, "").Replace(c.String()); got != b.String() {
		t.Error("colours change the text")
	}
}

func TestWrittenDocumentsAreReadBack(t *testing.T) {
	for _, format := range []string{"yaml", "json"} {
		var b bytes.Buffer
		p := proposals(t)
		if err := Write(&b, format, p, Options{}); err != nil {
			t.Fatal(err)
		}
		got, err := policy.ParseProposals("proposals."+format, b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(p) {
			t.Fatalf("%s: %d proposals, want %d", format, len(got), len(p))
		}
		for i := range got {
			if got[i].Edited() || got[i].ID != p[i].ID {
				t.Errorf("%s: proposal %d changed", format, i)
			}
		}
	}
}

// What cannot be laid to one exporter is said in words, not by the address that stands for it in the document.
func TestNoExporterIsSaidInWords(t *testing.T) {
	p := proposals(t)[:1]
	p[0].Loss = []policy.Loss{{Exporter: policy.AnyExporter, Hours: 1, KernelDrops: 12}}
	p[0].Sampling = []policy.Sampling{{Exporter: policy.AnyExporter, OneIn: 100}}
	var b bytes.Buffer
	if err := Write(&b, "table", p, Options{}); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	if !strings.Contains(text, "any exporter, in 1 hour: 12 datagrams") || !strings.Contains(text, "an exporter that is not known looks at 1 packet in 100") || strings.Contains(text, " :: ") {
		t.Error(text)
	}
}

func TestUnknownFormat(t *testing.T) {
	err := Check("xml")
	if err == nil || err.Error() != `unknown format "xml": choose one of table, yaml, json, `+strings.Join(target.Names(), ", ") {
		t.Error(err)
	}
	for _, name := range Names() {
		if err := Check(name); err != nil {
			t.Error(err)
		}
	}
}

func TestAddressesOfHosts(t *testing.T) {
	h := policy.HostEndpoint(netip.MustParseAddr("::ffff:10.0.0.1"))
	if got := endpoints([]policy.Endpoint{h, policy.Any}); got[0] != "10.0.0.1" || got[1] != "any" {
		t.Error(got)
	}
}

// TestNobodyInAGroup: what only former owners of addresses did is no rule for a device, which would take a side without addresses
// for every address, and the configuration says so.
func TestNobodyInAGroup(t *testing.T) {
	file, err := categories.Parse("groups.yaml", []byte("categories: [{name: app, groups: [{name: web, prefixes: [10.0.1.1]}, {name: job}, {name: db, prefixes: [10.0.9.9]}]}]"))
	if err != nil {
		t.Fatal(err)
	}
	rule := func(name, src, dst, service string) policy.Rule {
		return policy.Rule{ID: name, Name: name, Action: policy.Allow, Direction: "bidirectional", Sources: literals(t, strings.Fields(src)...), Destinations: literals(t, strings.Fields(dst)...), Services: services(t, service)}
	}
	at := policy.NewTime(time.Date(2026, 11, 20, 12, 30, 0, 0, time.UTC))
	p := policy.Proposal{VRF: "default", Categories: []string{"app"}, GroupsAt: &at, Rules: []policy.Rule{
		rule("jobs", "group:job", "group:db", "tcp/5432"), rule("to-jobs", "group:web", "group:job", "tcp/22"), rule("both", "group:job group:web", "group:db", "tcp/443"),
	}}
	for _, name := range []string{"eos", "nftables", "openconfig"} {
		to, _ := target.Find(name)
		out, err := Target(to, []policy.Proposal{p}, file, target.Options{})
		if err != nil {
			t.Fatal(err)
		}
		written, text := fmt.Sprintf("%s", out.Files), strings.Join(out.Notes, "\n")
		if strings.Contains(written, "5432") || !strings.Contains(written, "443") {
			t.Errorf("%s: %s", name, written)
		}
		if !strings.Contains(text, "Rule jobs is left out: nobody is in group:job at 2026-11-20 12:30 UTC") || !strings.Contains(text, "Rule to-jobs is left out") {
			t.Errorf("%s does not say what is left out: %s", name, text)
		}
	}
	p.GroupsAt = nil // a file without times that leaves a group empty is a mistake
	nft, _ := target.Find("nftables")
	if _, err := Target(nft, []policy.Proposal{p}, file, target.Options{}); err == nil || !strings.Contains(err.Error(), "has no address") {
		t.Errorf("an empty group of a file without times: %v", err)
	}
}
