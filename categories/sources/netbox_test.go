package sources

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// netboxAnswers are pages as NetBox writes them, by path and query.
var netboxAnswers = map[string]string{
	"/api/dcim/devices/?limit=1000": `{"count": 2, "next": null, "previous": null, "results": [
		{"id": 11, "name": "web-01", "role": {"id": 3, "name": "Web server", "slug": "web-server"}, "site": {"id": 1, "name": "Zürich <1>", "slug": "zrh"},
		 "tenant": {"id": 5, "name": "Shop", "slug": "shop"}, "status": {"value": "active", "label": "Active"}, "tags": [{"id": 1, "name": "pci"}, {"id": 2, "name": "blue"}],
		 "custom_fields": {"owner": "alice"}},
		{"id": 12, "name": "db-01", "device_role": {"id": 4, "name": "Database", "slug": "db"}, "site": {"id": 2, "name": "Bern"}, "tenant": null, "tags": []}]}`,
	"/api/virtualization/virtual-machines/?limit=1000": `{"count": 1, "next": null, "results": [
		{"id": 11, "name": "vm-11", "role": {"name": "Cache"}, "cluster": {"id": 1, "name": "prod"}, "site": null, "tags": []}]}`,
	"/api/ipam/prefixes/?limit=1000": `{"count": 2, "next": null, "results": [
		{"id": 1, "family": {"value": 4, "label": "IPv4"}, "prefix": "10.1.0.0/16", "site": {"id": 1, "name": "Zürich <1>"}, "vrf": null, "role": {"name": "Servers"}, "tenant": null, "tags": []},
		{"id": 2, "prefix": "2001:db8:2::/48", "scope_type": "dcim.site", "scope_id": 2, "scope": {"id": 2, "name": "Bern"}, "vrf": {"id": 1, "name": "red", "rd": "65000:1"}, "role": null, "tags": [{"name": "pci"}]}]}`,
	"/api/ipam/ip-addresses/?limit=1000": `{"count": 3, "next": "HOST/api/ipam/ip-addresses/?limit=2&offset=2", "results": [
		{"id": 101, "address": "10.1.0.1/24", "vrf": null, "role": null, "status": {"value": "active"}, "assigned_object_type": "dcim.interface",
		 "assigned_object": {"id": 7, "name": "eth0", "device": {"id": 11, "name": "web-01"}}, "tags": [{"name": "vip pool"}]},
		{"id": 102, "address": "10.1.0.2/24", "vrf": {"name": "red"}, "role": {"value": "vip", "label": "VIP"},
		 "assigned_object": {"id": 8, "name": "eth0", "virtual_machine": {"id": 11, "name": "vm-11"}}, "tags": []}]}`,
	"/api/ipam/ip-addresses/?limit=2&offset=2": `{"count": 3, "next": null, "results": [
		{"id": 103, "address": "2001:db8:2::3/64", "assigned_object": {"device": {"id": 12, "name": "db-01"}}, "tags": []}]}`,
}

const netboxCategories = "{name: role, label: device.role}, {name: site, label: site}, {name: of, label: device.site}, {name: tag, label: tag}, {name: kind, label: role}, " +
	"{name: vrf, label: vrf}, {name: owner, label: device.custom_fields.owner}, {name: cluster, label: device.cluster}, {name: device, label: device}, {name: dtag, label: device.tag}"

// netbox starts a NetBox that answers what a function makes of a recorded answer, and gives a source that reads it.
func netbox(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, recorded string)) (*httptest.Server, func() (*Snapshot, []Membership, error)) {
	t.Helper()
	t.Setenv("NETBOX_TOKEN", "0123456789abcdef")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Token 0123456789abcdef" {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"detail": "Invalid token"}`)
			return
		}
		answer(w, r, strings.ReplaceAll(netboxAnswers[r.URL.RequestURI()], "HOST", "http://"+r.Host))
	}))
	t.Cleanup(server.Close)
	return server, func() (*Snapshot, []Membership, error) {
		s := source(t, fmt.Sprintf("kind: netbox, address: %q, token: {env: NETBOX_TOKEN}, categories: [%s]", server.URL, netboxCategories))
		return Reader{}.ReadOne(t.Context(), s)
	}
}

func TestNetbox(t *testing.T) {
	_, read := netbox(t, func(w http.ResponseWriter, _ *http.Request, recorded string) { fmt.Fprint(w, recorded) })
	snapshot, got, err := read()
	if err != nil {
		t.Fatal(err)
	}
	want := "cluster/prod 10.1.0.2/32, device/db-01 2001:db8:2::3/128, device/vm-11 10.1.0.2/32, device/web-01 10.1.0.1/32, dtag/blue 10.1.0.1/32, dtag/pci 10.1.0.1/32, " +
		"kind/Servers 10.1.0.0/16, kind/vip 10.1.0.2/32, of/Bern 2001:db8:2::3/128, of/Zürich <1> 10.1.0.1/32, owner/alice 10.1.0.1/32, " +
		"role/Cache 10.1.0.2/32, role/Database 2001:db8:2::3/128, role/Web server 10.1.0.1/32, site/Bern 2001:db8:2::/48, site/Zürich <1> 10.1.0.0/16, " +
		"tag/pci 2001:db8:2::/48, tag/vip pool 10.1.0.1/32, vrf/red 10.1.0.2/32, vrf/red 2001:db8:2::/48"
	if listed(got) != want {
		t.Errorf("\n%s\nwant\n%s", listed(got), want)
	}
	if len(snapshot.Problems) > 0 {
		t.Errorf("problems %q", snapshot.Problems)
	}
}

// Whatever goes wrong, nothing is half read, and the token goes to nobody else.
func TestNetboxFaults(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("another server was asked for %s with %q", r.URL, r.Header.Get("Authorization"))
	}))
	defer elsewhere.Close()
	addresses := func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/api/ipam/ip-addresses/") }
	second := func(r *http.Request) bool { return r.URL.Query().Get("offset") != "" }
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request, recorded string)
		want   string
	}{
		"no such token": {func(w http.ResponseWriter, _ *http.Request, _ string) {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"detail": "Token expired"}`)
		}, "Token expired\"}; the token has to be valid"},
		"not allowed": {func(w http.ResponseWriter, r *http.Request, recorded string) {
			if addresses(r) {
				w.WriteHeader(http.StatusForbidden)
			}
			fmt.Fprint(w, recorded)
		}, "403 Forbidden"},
		"broken": {func(w http.ResponseWriter, r *http.Request, recorded string) {
			if addresses(r) && second(r) {
				w.WriteHeader(http.StatusInternalServerError)
			}
			fmt.Fprint(w, recorded)
		}, "500 Internal Server Error"},
		"half an answer": {func(w http.ResponseWriter, r *http.Request, recorded string) {
			if second(r) {
				w.Header().Set("Content-Length", "100000")
			}
			fmt.Fprint(w, recorded)
		}, "unexpected EOF"},
		"a page cut by something between": {func(w http.ResponseWriter, r *http.Request, recorded string) {
			fmt.Fprint(w, recorded[:len(recorded)-5])
		}, "not the JSON that was asked for"},
		"a page to log in": {func(w http.ResponseWriter, r *http.Request, recorded string) {
			fmt.Fprint(w, "<!DOCTYPE html><title>Log in</title>")
		}, `it begins with "<!DOCTYPE html>`},
		"something else": {func(w http.ResponseWriter, r *http.Request, recorded string) { fmt.Fprint(w, `{"version": "4.2"}`) }, "neither count nor results"},
		"fewer than it counts": {func(w http.ResponseWriter, r *http.Request, recorded string) {
			fmt.Fprint(w, strings.ReplaceAll(recorded, `"count": 3`, `"count": 4`))
		}, "gave 3 of 4 objects"},
		"a circle": {func(w http.ResponseWriter, r *http.Request, recorded string) {
			fmt.Fprint(w, strings.Replace(recorded, `"next": null`, `"next": "/api/?limit=1000"`, 1))
		}, "a second time"},
	} {
		_, read := netbox(t, c.answer)
		if _, got, err := read(); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), `source "cmdb"`) || strings.Contains(err.Error(), "abcdef") || got != nil {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}

	// A link to another server is followed at the one that was asked.
	_, read := netbox(t, func(w http.ResponseWriter, r *http.Request, recorded string) {
		fmt.Fprint(w, strings.ReplaceAll(recorded, "http://"+r.Host, elsewhere.URL))
	})
	if _, got, err := read(); err != nil || len(got) == 0 {
		t.Errorf("a next page elsewhere: %v", err)
	}
	t.Setenv("NETBOX_TOKEN", "wrong")
	s := source(t, fmt.Sprintf("kind: netbox, address: %q, token: {env: NETBOX_TOKEN}, categories: [{name: a, label: b}]", elsewhere.URL))
	elsewhere.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	if _, _, err := (Reader{}).ReadOne(t.Context(), s); err == nil || !strings.Contains(err.Error(), "403") || strings.Contains(err.Error(), "wrong") {
		t.Errorf("a wrong token: %v", err)
	}
}
