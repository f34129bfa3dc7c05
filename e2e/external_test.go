package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// lockedServer stands for an external ClickHouse as an administrator sets one
// up: one account with a password, user default locked, and nothing that makes
// the server log in to itself, which it would do as default. Behind it is the
// engine of another Cordon.
type lockedServer struct {
	*httptest.Server
	mu    sync.Mutex
	texts []string // Each request's text.
}

const lockedUser, lockedPassword = "segmentation", "pass word'7"

func newLockedServer(t *testing.T, s servers) *lockedServer {
	l := &lockedServer{}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: s.ClickHouse})
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse := func(user string) {
			w.Header().Set("X-ClickHouse-Exception-Code", "516")
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, "Code: 516. DB::Exception: %s: Authentication failed: password is incorrect, or there is no user with such name. (AUTHENTICATION_FAILED)\n", user)
		}
		user, password, ok := r.BasicAuth()
		if u := r.Header.Get("X-ClickHouse-User"); u != "" {
			user, password, ok = u, r.Header.Get("X-ClickHouse-Key"), true
		}
		if !ok || user != lockedUser || password != lockedPassword {
			refuse(user)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		text := r.URL.Query().Get("query") + "\n" + string(body)
		l.mu.Lock()
		l.texts = append(l.texts, text)
		l.mu.Unlock()
		for _, word := range []string{"DICTIONARY ", "dictGet", "remote(", "cluster("} {
			if strings.Contains(text, word) {
				refuse("default")
				return
			}
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		r.Header.Del("Authorization")
		r.Header.Set("X-ClickHouse-User", "cordon")
		r.Header.Set("X-ClickHouse-Key", s.Key)
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(l.Close)
	return l
}

// Everything that asks ClickHouse for rules works with one account that has a
// password, and the password goes nowhere but where the account logs in.
func TestExternalClickHouseWithPassword(t *testing.T) {
	_, s := startServers(t, t.TempDir())
	locked := newLockedServer(t, s)
	address := (&url.URL{Scheme: "http", User: url.UserPassword(lockedUser, lockedPassword), Host: hostPort(locked.URL), Path: "/cordon"}).String()
	dir := t.TempDir()
	env := []string{"CORDON_NATS_URL=" + s.NATS, "CORDON_CLICKHOUSE_DSN=" + address, "CORDON_DATA_DIR=" + t.TempDir()}
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	groups := write("groups.csv", "category,group,prefix\nrole,web,10.0.0.0/24\nrole,db,10.0.1.0/24\nrole,six,2001:db8::/64\nsite,north,10.0.0.0/16\n")
	flows := write("flows.csv", `src_ip,dst_ip,proto,src_port,dst_port,packets,rev_packets
10.0.0.1,10.0.1.1,tcp,0,5432,3,3
10.0.0.2,10.0.1.1,tcp,0,5432,3,3
10.0.0.2,10.9.0.1,udp,0,53,3,3
2001:db8::1,10.0.1.1,tcp,0,443,3,3
10.0.0.1,8.8.8.8,udp,0,53,1,1
`)
	cordon(t, env, "migrate")
	start(t, env, "ingest", "--data-dir", t.TempDir())
	cordon(t, env, "import", flows)

	proposal := filepath.Join(dir, "proposal.json")
	cordon(t, env, "generate-rules", "--groups", groups, "--category", "role", "--format", "json", "--output", proposal, "--exclude-scanners", "--ungrouped", "prefix")
	data, err := os.ReadFile(proposal)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"group:web", "group:db", "group:six", "ip:10.9.0.1/32", "tcp/5432", "udp/53", `"external"`} {
		if !bytes.Contains(data, []byte(want)) {
			t.Errorf("the proposal lacks %s:\n%s", want, data)
		}
	}
	cordon(t, env, "verify", proposal, "--groups", groups)
	if out := cordon(t, env, "groups", "suggest", "--groups", groups); !strings.Contains(out, "role") {
		t.Errorf("suggest says nothing of category role:\n%s", out)
	}
	locked.mu.Lock()
	defer locked.mu.Unlock()
	for _, text := range locked.texts {
		if strings.Contains(text, lockedPassword) || strings.Contains(text, "PASSWORD") {
			t.Errorf("a statement carries the account: %s", text)
		}
	}
}
