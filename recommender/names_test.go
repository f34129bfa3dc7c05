package recommender

import (
	"strings"
	"testing"

	"cordon/categories"
	"cordon/recommender/policy"
)

func namedRule(t *testing.T, sources, destinations, services string) policy.Rule {
	t.Helper()
	r := policy.Rule{Action: policy.Allow, Direction: policy.Bidirectional}
	for _, side := range []struct {
		text string
		to   *[]policy.Endpoint
	}{{sources, &r.Sources}, {destinations, &r.Destinations}} {
		for _, s := range strings.Fields(side.text) {
			e, err := policy.ParseEndpoint(s)
			if err != nil {
				t.Fatal(err)
			}
			*side.to = append(*side.to, e)
		}
	}
	for _, s := range strings.Fields(services) {
		v, err := policy.ParseService(s)
		if err != nil {
			t.Fatal(err)
		}
		r.Services = append(r.Services, v)
	}
	r.ID = r.ContentID()
	return r
}

func nameWith(t *testing.T, text string, f *categories.File, rules []policy.Rule) []string {
	t.Helper()
	tmpl, err := parseNameTemplate(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := newNamer(tmpl, f).name(rules); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range rules {
		out = append(out, r.Name)
	}
	return out
}

func TestNames(t *testing.T) {
	file := &categories.File{Services: []categories.NamedService{{Name: "DNS", Match: []categories.ServiceTerm{{Proto: 17, Lo: 53, Hi: 53}, {Proto: 6, Lo: 53, Hi: 53}}}}}
	for _, c := range []struct{ sources, destinations, services, want string }{
		{"group:web", "group:app", "tcp/4567", "web-to-app-4567"},
		{"group:clients", "group:dns", "tcp/53 udp/53", "clients-to-dns"},
		{"group:wifi_clients", "group:DNS_NTP_servers", "udp/53 udp/123", "wifi_clients-to-DNS_NTP_servers"},
		{"group:clients", "group:mydns", "udp/53", "clients-to-mydns-DNS"},
		{"group:a group:b", "group:web", "tcp/443", "a-and-b-to-web-https"},
		{"group:a group:b group:c", "ip:10.0.0.1/32", "tcp/443 tcp/4567", "a-and-2-more-to-10.0.0.1-https-4567"},
		{"group:a", "ip:2001:db8::/32", "tcp/1 tcp/2 udp/70", "a-to-2001-db8---32-3-services"},
		{"any", "group:role/web", "icmp/8 gre", "any-to-role-web-ping-gre"},
		{"group:a", "group:b", "udp/40000", "a-to-b-udp-40000"},
	} {
		if got := nameWith(t, "", file, []policy.Rule{namedRule(t, c.sources, c.destinations, c.services)}); got[0] != c.want {
			t.Errorf("%s -> %s %s is called %q, want %q", c.sources, c.destinations, c.services, got[0], c.want)
		}
	}
}

func TestNamesAreUnique(t *testing.T) {
	rules := []policy.Rule{
		namedRule(t, "group:a", "group:b", "tcp/1"),
		namedRule(t, "group:a", "group:b", "tcp/2"),
		namedRule(t, "group:c", "group:b", "tcp/2"),
	}
	got := nameWith(t, "{{.Source}} to {{.Destination}}!", &categories.File{}, rules)
	if got[0] == got[1] || !strings.HasPrefix(got[0], "a-to-b-") || got[0] != "a-to-b-"+rules[0].ID[:4] || got[2] != "c-to-b" {
		t.Error(got)
	}
}

func TestNameTemplateLists(t *testing.T) {
	rules := []policy.Rule{namedRule(t, "group:app group:web", "group:dns", "tcp/53 udp/53")}
	text := "{{.Destination}}_from{{range .Sources}}_{{.Name}}{{end}}{{range .Services}}+{{.Literal}}{{end}}"
	if got := nameWith(t, text, &categories.File{}, rules); got[0] != "dns_from_app_web+tcp-53+udp-53" {
		t.Error(got)
	}
}

func TestNameTemplateErrors(t *testing.T) {
	for _, text := range []string{"{{", "{{.Nothing}}", "{{index .Sources 3}}", "!!"} {
		if _, err := parseNameTemplate(text); err == nil || !strings.Contains(err.Error(), ".Services") {
			t.Errorf("%q: %v, want an error that says what there is", text, err)
		}
	}
	long := nameWith(t, "{{.Source}}"+strings.Repeat("é", 500), &categories.File{}, []policy.Rule{namedRule(t, "group:a", "group:b", "tcp/1")})
	if len(long[0]) > maxNameBytes+1 {
		t.Errorf("a name of %d bytes", len(long[0]))
	}
}
