package sessions

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"cordon/categories"
	"cordon/schema"

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

func prefixes(texts ...string) (out []netip.Prefix) {
	for _, text := range texts {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

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
		{"ends", Filter{Ends: schema.Ends{Client: prefixes("10.0.0.1/32"), Server: prefixes("2001:db8::/32", "10.0.0.0/24")}},
			"(client_ip IN ('::ffff:10.0.0.1')) AND (((IPv6CIDRToRange(server_ip, 32).1 IN ('2001:db8::') AND NOT IPv6CIDRToRange(server_ip, 96).1 IN ('::ffff:0.0.0.0')) OR IPv6CIDRToRange(server_ip, 120).1 IN ('::ffff:10.0.0.0')))",
			map[string]string{}},
		{"either end", Filter{Ends: schema.Ends{Host: prefixes("10.0.0.1/32", "10.0.0.9/32")}},
			"(client_ip IN ('::ffff:10.0.0.1', '::ffff:10.0.0.9') OR server_ip IN ('::ffff:10.0.0.1', '::ffff:10.0.0.9'))", map[string]string{}},
		{"a group without addresses", Filter{Ends: schema.Ends{Server: []netip.Prefix{}}}, "(false)", map[string]string{}},
		{"service", Filter{Services: []string{"tcp/443"}}, "((proto = 6 AND port BETWEEN 443 AND 443))", map[string]string{}},
		{"range, protocol and ICMP", Filter{Services: []string{"udp/8000-8080", "gre", "icmp/8"}},
			"((proto = 17 AND port BETWEEN 8000 AND 8080) OR (proto = 47) OR (proto = 1 AND icmp_type BETWEEN 8 AND 8))", map[string]string{}},
		{"named service", Filter{Services: []string{"dns"}}, "((proto = 17 AND port BETWEEN 53 AND 53) OR (proto = 6 AND port BETWEEN 53 AND 53))", map[string]string{}},
		{"usual name", Filter{Services: []string{"NTP", "ping", "https"}}, "((proto = 17 AND port BETWEEN 123 AND 123) OR (proto = 1 AND icmp_type BETWEEN 8 AND 8) OR " +
			"(proto = 6 AND port BETWEEN 443 AND 443) OR (proto = 17 AND port BETWEEN 443 AND 443))", map[string]string{}},
		{"bare port", Filter{Services: []string{"22"}}, "((proto = 6 AND port BETWEEN 22 AND 22) OR (proto = 17 AND port BETWEEN 22 AND 22))", map[string]string{}},
		{"all others", Filter{VRF: "red'; DROP", Ends: schema.Ends{Exporter: prefixes("10.0.0.9/32")}, States: []State{HalfOpen, Denied}, NewSince: time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)},
			"vrf = {p0:String} AND arrayExists(e -> toIPv6(e) IN ('::ffff:10.0.0.9'), exporters) AND first_seen >= '2026-11-20 00:00:00.000000' AND (state = 'half-open' OR denied > 0)",
			map[string]string{"p0": "red'; DROP"}},
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
		{Filter{Services: []string{"tcp/99999"}}, "--service tcp/99999"},
		{Filter{States: []State{"open"}}, "--state"},
	} {
		if _, err := Build(tc.filter, Sort{"flows", true}, 0, nil); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: error %v, want %q", tc.filter, err, tc.want)
		}
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
