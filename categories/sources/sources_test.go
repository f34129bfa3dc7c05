package sources

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cordon/categories"
)

// source parses a source of a groups file; its name is cmdb.
func source(t *testing.T, fields string) *categories.Source {
	t.Helper()
	f, err := categories.Parse("g.yaml", []byte("sources: [{name: cmdb, "+fields+"}]"))
	if err != nil {
		t.Fatal(err)
	}
	return &f.Sources[0]
}

func file(t *testing.T, data string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func listed(list []Membership) string {
	var out []string
	for _, m := range list {
		out = append(out, fmt.Sprintf("%s/%s %s", m.Category, m.Group, m.Prefix))
	}
	return strings.Join(out, ", ")
}

func TestFormats(t *testing.T) {
	for name, c := range map[string]struct{ data, categories, want, problem string }{
		"CSV": {
			data:       "Name,ip,tier\nweb1,10.0.0.1,web\n\"a, b\",10.0.0.2;10.0.0.3,<b>front end</b>\nx,nothing,web\ny,,web\n",
			categories: "{name: tier, label: tier}",
			want:       "tier/<b>front end</b> 10.0.0.2/32, tier/<b>front end</b> 10.0.0.3/32, tier/web 10.0.0.1/32",
			problem:    `"nothing" is not an address`,
		},
		"JSON": {
			data:       `{"count": 2, "results": [{"id": 7, "ip_address": "10.0.0.1", "tags": [{"name": "web"}, {"name": "blue"}], "site": {"name": "Zürich"}}, {"cidr": "2001:db8::/48", "site": {"name": "Bern"}}]}`,
			categories: `{name: site, label: site.name, group: "{{lower .}}"}, {name: tag, label: tags.name}`,
			want:       "site/bern 2001:db8::/48, site/zürich 10.0.0.1/32, tag/blue 10.0.0.1/32, tag/web 10.0.0.1/32",
		},
		"Prometheus": {
			data:       `[{"targets": ["10.0.0.1:9100", "[2001:db8::1]:9100", "10.0.0.2"], "labels": {"job": "node"}}, {"targets": ["db.example.org:80"], "labels": {"job": "node"}}]`,
			categories: "{name: job, label: job}",
			want:       "job/node 10.0.0.1/32, job/node 10.0.0.2/32, job/node 2001:db8::1/128",
			problem:    "db.example.org",
		},
		"Ansible": {
			data: `{"_meta": {"hostvars": {"web1": {"ansible_host": "10.0.0.1", "env": "prod"}, "10.0.0.2": {}, "old": {}}},
				"all": {"children": ["ungrouped", "prod"]}, "prod": {"children": ["web"]}, "web": {"hosts": ["web1", "10.0.0.2"], "children": ["prod"]}, "ungrouped": {"hosts": ["old"]}}`,
			categories: "{name: group, label: group}, {name: env, label: env}",
			want:       "env/prod 10.0.0.1/32, group/prod 10.0.0.1/32, group/prod 10.0.0.2/32, group/web 10.0.0.1/32, group/web 10.0.0.2/32",
			problem:    `ansible_host "old" is not an address`,
		},
		"Kubernetes": {
			data: `{"kind": "List", "items": [
				{"kind": "Pod", "metadata": {"name": "a", "namespace": "shop", "labels": {"app": "web"}}, "status": {"phase": "Running", "podIPs": [{"ip": "10.244.0.7"}, {"ip": "fd00::7"}]}},
				{"kind": "Pod", "metadata": {"name": "done", "namespace": "shop", "labels": {"app": "job"}}, "status": {"phase": "Succeeded", "podIP": "10.244.0.7"}},
				{"kind": "Pod", "metadata": {"name": "agent", "namespace": "kube-system"}, "spec": {"hostNetwork": true}, "status": {"phase": "Running", "podIP": "10.0.0.5"}},
				{"kind": "Service", "metadata": {"name": "s", "namespace": "shop"}, "spec": {"clusterIPs": ["None"]}},
				{"kind": "Service", "metadata": {"name": "s", "namespace": "shop", "labels": {"app": "web"}}, "spec": {"clusterIPs": ["10.96.0.9"]}},
				{"kind": "Node", "metadata": {"name": "n1"}, "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.5"}, {"type": "Hostname", "address": "n1"}]}},
				{"kind": "Namespace", "metadata": {"name": "shop"}}]}`,
			categories: `{name: ns, label: namespace}, {name: app, label: "label:app"}, {name: kind, label: kind, group: "{{if eq . \"Node\"}}nodes{{end}}"}`,
			want:       "app/web 10.96.0.9/32, app/web 10.244.0.7/32, app/web fd00::7/128, kind/nodes 10.0.0.5/32, ns/shop 10.96.0.9/32, ns/shop 10.244.0.7/32, ns/shop fd00::7/128",
		},
	} {
		s := source(t, "kind: file, address: "+file(t, c.data)+", categories: ["+c.categories+"]")
		snapshot, list, err := Reader{}.ReadOne(t.Context(), s)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := listed(list); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, c.want)
		}
		if c.problem != "" && !strings.Contains(strings.Join(snapshot.Problems, "\n"), c.problem) {
			t.Errorf("%s: problems %q lack %q", name, snapshot.Problems, c.problem)
		}
	}
}

func TestBrokenSources(t *testing.T) {
	for data, want := range map[string]string{
		"":                                  "it is empty",
		"[]":                                "no object with an address",
		`[{"ip": "10.0.0.1", "tier": "w`:    "not whole JSON",
		`[{"ip": "10.0.0.1"}] x`:            "something behind",
		"tier,owner\nweb,alice\n":           "no column with addresses",
		"ip,tier\n10.0.0.1,web\n10.0.0.2\n": "wrong number of fields",
		`{"a": [], "b": []}`:                "not one list",
		`["10.0.0.1"]`:                      "is not an object",
	} {
		s := source(t, "kind: file, address: "+file(t, data)+", categories: [{name: tier, label: tier}]")
		if _, _, err := (Reader{}).ReadOne(t.Context(), s); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "cmdb") {
			t.Errorf("%q: %v, want %s", data, err, want)
		}
	}
}

func TestHTTP(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Token") != "" {
			t.Errorf("the token went to another server")
		}
		fmt.Fprint(w, `[{"ip": "10.0.0.9", "tier": "moved"}]`)
	}))
	defer elsewhere.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("X-Token") != "Token s3cret":
			http.Error(w, "Invalid token", http.StatusForbidden)
		case r.URL.Path == "/moved":
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
		case r.URL.Path == "/half":
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, `ip,tier`+"\n"+`10.0.0.1,web`+"\n")
		default:
			fmt.Fprint(w, `[{"ip": "10.0.0.1", "tier": "web"}]`)
		}
	}))
	defer server.Close()
	t.Setenv("CMDB_TOKEN", "s3cret")
	t.Setenv("WRONG_TOKEN", "x")
	for _, c := range []struct{ path, headers, want, err string }{
		{"/", "env: CMDB_TOKEN", "tier/web 10.0.0.1/32", ""},
		{"/", "file: " + file(t, "s3cret\n"), "tier/web 10.0.0.1/32", ""},
		{"/moved", "env: CMDB_TOKEN", "tier/moved 10.0.0.9/32", ""},
		{"/", "env: WRONG_TOKEN", "", "403 Forbidden: Invalid token"},
		{"/", "env: NO_TOKEN_HERE", "", "no variable NO_TOKEN_HERE"},
		{"/half", "env: CMDB_TOKEN", "", "read the answer"},
	} {
		s := source(t, fmt.Sprintf("kind: http, address: %q, headers: [{name: X-Token, prefix: Token, %s}], categories: [{name: tier, label: tier}]", server.URL+c.path, c.headers))
		_, list, err := Reader{}.ReadOne(t.Context(), s)
		if listed(list) != c.want || (err != nil) != (c.err != "") || err != nil && (!strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "s3cret")) {
			t.Errorf("%s with %s: %s, %v; want %s, %s", c.path, c.headers, listed(list), err, c.want, c.err)
		}
	}
	server.Close()
	if _, _, err := (Reader{}).ReadOne(t.Context(), source(t, fmt.Sprintf("kind: http, address: %q, categories: [{name: tier, label: tier}]", server.URL))); err == nil {
		t.Error("a server that is away is no error")
	}
}

// A secret stays with the server and the encryption that it was given for.
func TestSecretOnRedirection(t *testing.T) {
	for _, c := range []struct {
		from, to string
		kept     bool
	}{
		{"https://cmdb.example/hosts", "https://cmdb.example/hosts/", true},
		{"http://cmdb.example/hosts", "https://cmdb.example/hosts", true},
		{"https://cmdb.example/hosts", "http://cmdb.example/hosts", false},
		{"https://cmdb.example/hosts", "https://other.example/hosts", false},
	} {
		s, err := newHTTPSource(source(t, "kind: http, address: "+c.from+", headers: [{name: X-Token, env: CMDB_TOKEN}], categories: [{name: tier, label: tier}]"))
		if err != nil {
			t.Fatal(err)
		}
		first, next := httptest.NewRequest(http.MethodGet, c.from, nil), httptest.NewRequest(http.MethodGet, c.to, nil)
		next.Header.Set("X-Token", "s3cret")
		if err := s.client.CheckRedirect(next, []*http.Request{first}); err != nil {
			t.Fatal(err)
		}
		if kept := next.Header.Get("X-Token") != ""; kept != c.kept {
			t.Errorf("from %s to %s the token is kept: %v, want %v", c.from, c.to, kept, c.kept)
		}
	}
}

func TestCommand(t *testing.T) {
	s := source(t, `kind: command, command: [printf, 'ip,tier\n10.0.0.1,web\n'], categories: [{name: tier, label: tier}]`)
	if _, list, err := (Reader{}).ReadOne(t.Context(), s); err != nil || listed(list) != "tier/web 10.0.0.1/32" {
		t.Errorf("%s %v", listed(list), err)
	}
	for command, want := range map[string]string{"[cat, /no/such/file]": "no/such/file", "[no-such-program-here]": "no-such-program-here", "['false']": "exit status 1"} {
		s := source(t, "kind: command, command: "+command+", categories: [{name: tier, label: tier}]")
		if _, _, err := (Reader{}).ReadOne(t.Context(), s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", command, err, want)
		}
	}
}

// TestRead: groups of sources join those of the file, which exclusions mean as well; a source that fails leaves no half of the groups.
func TestRead(t *testing.T) {
	path := file(t, "ip,tier\n10.0.0.1,web\n10.0.0.2,db\n")
	text := "categories: [{name: tier, groups: [{name: web, prefixes: [10.0.0.9]}]}]\nexclude: [{reason: test, sources: ['group:web']}]\n" +
		"sources: [{name: cmdb, kind: file, address: " + path + ", categories: [{name: tier, label: tier}]}"
	f, err := categories.Parse("g.yaml", []byte(text+"]"))
	if err != nil {
		t.Fatal(err)
	}
	got, problems, err := Reader{}.Read(t.Context(), f)
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	var groups []string
	for _, g := range got.Categories[0].Groups {
		groups = append(groups, fmt.Sprint(g.Name, g.Prefixes))
	}
	if want := []string{"web[10.0.0.9/32 10.0.0.1/32]", "db[10.0.0.2/32]"}; !slices.Equal(groups, want) || len(got.Exclude[0].Sources[0].Prefixes) != 2 {
		t.Errorf("groups %q, want %q; excluded %v", groups, want, got.Exclude[0].Sources)
	}
	if len(f.Categories[0].Groups) != 1 || got.Digest() == f.Digest() {
		t.Errorf("the file itself changed, or its digest did not")
	}
	broken, err := categories.Parse("g.yaml", []byte(text+", {name: gone, kind: file, address: /no/such/file, categories: [{name: tier, label: tier}]}]"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := (Reader{}).Read(t.Context(), broken); err == nil || !strings.Contains(err.Error(), `"gone"`) {
		t.Errorf("a source that fails: %v", err)
	}
}

func TestSourceErrors(t *testing.T) {
	for fields, want := range map[string]string{
		"kind: ftp, address: x, categories: [{name: a, label: b}]":                                         `"ftp" is not one of`,
		"kind: http, categories: [{name: a, label: b}]":                                                    "needs address",
		"kind: command, categories: [{name: a, label: b}]":                                                 "needs command",
		"kind: file, address: x":                                                                           "makes no groups",
		"kind: file, address: x, interval: often, categories: [{name: a, label: b}]":                       "such as 5m",
		"kind: file, address: x, categories: [{name: a/b, label: b}]":                                      "has a slash",
		"kind: file, address: x, categories: [{name: a}]":                                                  "it is empty",
		"kind: http, address: x, headers: [{name: X, value: secret}], categories: [{name: a, label: b}]":   `unknown key "value"`,
		"kind: http, address: x, headers: [{name: X, env: A, file: B}], categories: [{name: a, label: b}]": "either file or env",
		"kind: http, address: x, token: {env: A}, categories: [{name: a, label: b}]":                       "takes no token",
		"kind: netbox, address: x, token: s3cret, categories: [{name: a, label: b}]":                       "the token",
		"kind: netbox, address: x, token: {file: A, env: B}, categories: [{name: a, label: b}]":            "either file or env",
		"kind: netbox, token: {env: A}, categories: [{name: a, label: b}]":                                 "needs address",
		"kind: vcenter, address: x, user: u, categories: [{name: a, label: b}]":                            "needs user and password",
		"kind: vcenter, address: x, user: u, password: p, categories: [{name: a, label: b}]":               "the password",
		"kind: file, address: x, user: u, categories: [{name: a, label: b}]":                               "takes neither user nor password",
		"kind: file, address: x, ca: y, categories: [{name: a, label: b}]":                                 "takes no ca",
		"kind: file, address: x, command: [y], categories: [{name: a, label: b}]":                          "takes no command",
		"kind: kubernetes, headers: [{name: X, env: A}], categories: [{name: a, label: b}]":                "takes no headers",
		"kind: eos, categories: [{name: a, label: b}]":                                                     "either address",
		"kind: eos, address: x, command: [y], categories: [{name: a, label: b}]":                           "either address",
		"kind: netbox, address: x, field: ip, categories: [{name: a, label: b}]":                           "takes no field",
	} {
		if _, err := categories.Parse("g.yaml", []byte("sources: [{name: cmdb, "+fields+"}]")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", fields, err, want)
		}
	}
	s := source(t, "kind: file, address: x, categories: [{name: a, label: b, group: '{{.'}]")
	if err := CheckTemplates(s); err == nil {
		t.Error("a broken template is none")
	}
}
