package sources

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
)

// clusterLists are lists as an API server writes them: the objects have no kind.
var clusterLists = map[string]string{
	"namespaces": `{"kind": "NamespaceList", "metadata": {}, "items": [{"metadata": {"name": "shop", "labels": {"team": "blue & green"}}}]}`,
	"nodes":      `{"kind": "NodeList", "metadata": {}, "items": [{"metadata": {"name": "n1"}, "status": {"addresses": [{"type": "InternalIP", "address": "192.168.0.5"}, {"type": "Hostname", "address": "n1"}]}}]}`,
	"services": `{"kind": "ServiceList", "metadata": {}, "items": [
		{"metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}}, "spec": {"clusterIP": "10.96.0.9", "externalIPs": ["192.168.7.7"]}, "status": {"loadBalancer": {"ingress": [{"ip": "192.168.8.8"}, {"hostname": "lb"}]}}},
		{"metadata": {"name": "headless", "namespace": "shop"}, "spec": {"clusterIP": "None"}}]}`,
	"pods": `{"kind": "PodList", "metadata": {}, "items": [
		{"metadata": {"name": "dns", "namespace": "kube-system", "labels": {"app": "node-local-dns"}}, "spec": {"nodeName": "n1", "hostNetwork": true, "containers": [{"args": ["-localip", "169.254.20.10,10.96.0.10", "-conf", "x"]}]}, "status": {"phase": "Running", "podIP": "192.168.0.5"}},
		{"metadata": {"name": "old", "namespace": "shop"}, "spec": {"nodeName": "n1"}, "status": {"phase": "Failed", "podIP": "10.244.0.1"}}]}`,
}

// cluster answers as an API server with so many running pods does, in pages.
func cluster(t *testing.T, pods int) http.HandlerFunc {
	var lists = map[string][]any{}
	kinds := map[string]string{}
	for name, text := range clusterLists {
		var l struct {
			Kind  string
			Items []any
		}
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatal(err)
		}
		lists[name], kinds[name] = l.Items, l.Kind
	}
	for i := range pods {
		lists["pods"] = append(lists["pods"], map[string]any{
			"metadata": map[string]any{"name": fmt.Sprint("web-", i), "namespace": "shop", "labels": map[string]any{"app": "web"}, "ownerReferences": []any{map[string]any{"kind": "ReplicaSet", "name": "web-7d"}}},
			"spec":     map[string]any{"nodeName": "n1"},
			"status":   map[string]any{"phase": "Running", "podIPs": []any{map[string]any{"ip": fmt.Sprintf("10.244.%d.%d", i/250, i%250)}}},
		})
	}
	return func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/api/v1/")
		if r.Header.Get("Authorization") != "Bearer tkn" {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"kind": "Status", "message": "Unauthorized"}`)
			return
		}
		limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
		from, _ := strconv.Atoi(r.URL.Query().Get("continue"))
		to, next := from+limit, ""
		if to < len(lists[name]) {
			next = fmt.Sprint(to)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"kind": kinds[name], "apiVersion": "v1", "metadata": map[string]any{"continue": next}, "items": lists[name][from:min(to, len(lists[name]))]})
	}
}

func TestKubernetes(t *testing.T) {
	server := httptest.NewTLSServer(cluster(t, 1100))
	defer server.Close()
	ca := file(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	token := file(t, "tkn\n")
	categories := `{name: app, label: "label:app"}, {name: team, label: "namespace-label:team"}, {name: node, label: node, group: "{{.}}"}, {name: kind, label: kind}`
	s := source(t, fmt.Sprintf("kind: kubernetes, address: %q, ca: %s, token: {file: %s}, categories: [%s]", server.URL, ca, token, categories))
	snapshot, got, err := Reader{}.ReadOne(t.Context(), s)
	if err != nil || len(snapshot.Problems) > 0 {
		t.Fatal(err, snapshot)
	}
	in := map[string]int{}
	for _, m := range got {
		in[m.Category+"/"+m.Group]++
	}
	want := map[string]int{"app/web": 1103, "app/node-local-dns": 1, "team/blue & green": 1103, "node/n1": 1102, "kind/Pod": 1101, "kind/Service": 3, "kind/Node": 1}
	for group, n := range want {
		if in[group] != n {
			t.Errorf("%s has %d members, want %d", group, in[group], n)
		}
	}
	if len(in) != len(want) {
		t.Errorf("groups %v", in)
	}
	if !strings.Contains(listed(got), "app/node-local-dns 169.254.20.10/32") {
		t.Error("the address of the resolver on each node is in no group")
	}
}

func TestKubernetesFaults(t *testing.T) {
	whole := cluster(t, 600)
	gone := 0
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		token  string
		want   string
	}{
		"wrong token": {whole, "other", "401 Unauthorized"},
		"not allowed": {func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/nodes") {
				w.WriteHeader(http.StatusForbidden)
			}
			whole(w, r)
		}, "tkn", "allowed to list pods"},
		"second page is missing": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("continue") != "" {
				panic(http.ErrAbortHandler)
			}
			whole(w, r)
		}, "tkn", "EOF"},
		"not a list": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"kind": "Status"}`) }, "tkn", "no list"},
		"no JSON":    {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `ok`) }, "tkn", "not the JSON"},
		"the same again": {func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"kind": "PodList", "metadata": {"continue": "x"}}`)
		}, "tkn", "the same page"},
		"the list grew old once": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("continue") != "" && gone == 0 {
				gone++
				w.WriteHeader(http.StatusGone)
			}
			whole(w, r)
		}, "tkn", ""},
		"the list grows old each time": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("continue") != "" {
				w.WriteHeader(http.StatusGone)
			}
			whole(w, r)
		}, "tkn", "410 Gone"},
	} {
		server := httptest.NewServer(c.answer)
		t.Setenv("CLUSTER_TOKEN", c.token)
		s := source(t, fmt.Sprintf("kind: kubernetes, address: %q, token: {env: CLUSTER_TOKEN}, categories: [{name: app, label: 'label:app'}]", server.URL))
		_, got, err := Reader{}.ReadOne(t.Context(), s)
		server.Close()
		if c.want == "" {
			if n := len(got); err != nil || n != 604 {
				t.Errorf("%s: %d memberships, %v", name, n, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), c.want) || got != nil {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// Outside of a cluster the address has to be given.
func TestKubernetesWithoutCluster(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	if err := os.Unsetenv("KUBERNETES_SERVICE_HOST"); err != nil {
		t.Fatal(err)
	}
	s := source(t, "kind: kubernetes, categories: [{name: app, label: 'label:app'}]")
	if _, _, err := (Reader{}).ReadOne(t.Context(), s); err == nil || !strings.Contains(err.Error(), "needs address") {
		t.Error(err)
	}
}
