package sessions

import (
	"strings"
	"testing"
	"time"

	"cordon/categories"

	"github.com/google/go-cmp/cmp"
)

const groupsFile = `
categories:
  - name: role
    groups:
      - {name: servers, prefixes: [10.2.0.0/16]}
      - {name: db, prefixes: [10.2.3.0/24]}
services:
  - {name: DNS, match: [udp/53, tcp/53]}
`

func TestBuild(t *testing.T) {
	file, err := categories.Parse("groups.yaml", []byte(groupsFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		filter Filter
		where  string // one line
		params map[string]string
	}{
		{"nothing", Filter{}, "", map[string]string{}},
		{"host", Filter{Host: []string{"10.0.0.1"}}, "(client = {p0:String} OR server = {p1:String})", map[string]string{"p0": "10.0.0.1", "p1": "10.0.0.1"}},
		{"mapped host", Filter{Client: []string{"::ffff:10.0.0.1"}}, "(client = {p0:String})", map[string]string{"p0": "10.0.0.1"}},
		{"prefix", Filter{Server: []string{"2001:db8::/32"}}, "(isIPAddressInRange(server, {p0:String}))", map[string]string{"p0": "2001:db8::/32"}},
		{"group", Filter{Client: []string{"group:db"}}, "(arrayExists(p -> isIPAddressInRange(client, p), {p0:Array(String)}))", map[string]string{"p0": "['10.2.3.0/24']"}},
		// db lies within servers: the longest prefix decides.
		{"group around another", Filter{Client: []string{"group:servers"}},
			"(arrayMax(arrayMap(p -> if(isIPAddressInRange(client, p), toInt16(splitByChar('/', p)[2]), -1), {p0:Array(String)})) > arrayMax(arrayMap(p -> if(isIPAddressInRange(client, p), toInt16(splitByChar('/', p)[2]), -1), {p1:Array(String)})))",
			map[string]string{"p0": "['10.2.0.0/16']", "p1": "['10.2.3.0/24']"}},
		{"service", Filter{Services: []string{"tcp/443"}}, "((proto = 6 AND port BETWEEN 443 AND 443))", map[string]string{}},
		{"range, protocol and ICMP", Filter{Services: []string{"udp/8000-8080", "gre", "icmp/8"}},
			"((proto = 17 AND port BETWEEN 8000 AND 8080) OR (proto = 47) OR (proto = 1 AND icmp_type BETWEEN 8 AND 8))", map[string]string{}},
		{"named service", Filter{Services: []string{"dns"}}, "((proto = 17 AND port BETWEEN 53 AND 53) OR (proto = 6 AND port BETWEEN 53 AND 53))", map[string]string{}},
		{"usual name", Filter{Services: []string{"NTP", "ping", "https"}}, "((proto = 17 AND port BETWEEN 123 AND 123) OR (proto = 1 AND icmp_type BETWEEN 8 AND 8) OR " +
			"(proto = 6 AND port BETWEEN 443 AND 443) OR (proto = 17 AND port BETWEEN 443 AND 443))", map[string]string{}},
		{"bare port", Filter{Services: []string{"22"}}, "((proto = 6 AND port BETWEEN 22 AND 22) OR (proto = 17 AND port BETWEEN 22 AND 22))", map[string]string{}},
		{"all others", Filter{VRF: "red'; DROP", Exporter: "10.0.0.9", States: []State{HalfOpen, Denied}, NewSince: time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)},
			"vrf = {p0:String} AND has(exporters, {p1:String}) AND first_seen >= '2026-11-20 00:00:00.000000' AND (state = 'half-open' OR denied > 0)",
			map[string]string{"p0": "red'; DROP", "p1": "10.0.0.9"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			q, err := Build(tc.filter, Sort{"last_seen", true}, 10, file)
			if err != nil {
				t.Fatal(err)
			}
			_, rest, _ := strings.Cut(q.SQL, "\nWHERE ")
			where, _, _ := strings.Cut(rest, "\nORDER BY")
			if d := cmp.Diff(tc.where, strings.ReplaceAll(where, "\n  AND ", " AND ")); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(tc.params, q.Parameters); d != "" {
				t.Error(d)
			}
			if strings.Contains(q.SQL, "DROP") {
				t.Error("a value stands in the text of the query")
			}
		})
	}
}

func TestBuildErrors(t *testing.T) {
	for _, tc := range []struct {
		filter Filter
		want   string
	}{
		{Filter{Host: []string{"web01"}}, "--host web01: not an address, a prefix or group:NAME"},
		{Filter{Client: []string{"group:web"}}, "--client group:web: no groups are known"},
		{Filter{Services: []string{"tcp/99999"}}, "--service tcp/99999"},
		{Filter{Exporter: "me"}, "--exporter"},
		{Filter{States: []State{"open"}}, "--state"},
	} {
		if _, err := Build(tc.filter, Sort{"flows", true}, 0, nil); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: error %v, want %q", tc.filter, err, tc.want)
		}
	}
}

// TestInternetNeedsNoFile asks for the built-in group where no groups are known.
func TestInternetNeedsNoFile(t *testing.T) {
	q, err := Build(Filter{Server: []string{"group:internet"}}, Sort{"flows", true}, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(q.SQL, "isIPAddressInRange(server, p)") || !strings.Contains(q.Parameters["p0"], "'8.0.0.0/7'") {
		t.Errorf("%s\n%v", q.SQL, q.Parameters)
	}
}

func TestParseSort(t *testing.T) {
	for in, want := range map[string]Sort{
		"flows": {"flows", true}, "+flows": {"flows", false}, "client": {"client", false}, "-client": {"client", true}, "first-seen": {"first_seen", false},
	} {
		if got, err := ParseSort(in); err != nil || got != want {
			t.Errorf("ParseSort(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "nonsense", "--flows"} {
		if s, err := ParseSort(in); err == nil {
			t.Errorf("ParseSort(%q) = %v, want an error", in, s)
		}
	}
}
