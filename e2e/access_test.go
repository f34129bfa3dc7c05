package e2e

import (
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// answer gives the status of a request to a server at an address.
func answer(t *testing.T, method, url string, header ...string) int {
	t.Helper()
	r, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// A process that listens beyond loopback answers nothing but health and metrics to who has not said who it is, on both
// of its interfaces; commands of whoever owns the data folder still reach it.
func TestOffLoopback(t *testing.T) {
	dir := t.TempDir()
	tokens := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(tokens, fmt.Appendf(nil, "grafana viewer %x\n", sha256.Sum256([]byte("look"))), 0o600); err != nil {
		t.Fatal(err)
	}
	_, a := up(t, dir, "CORDON_HTTP_LISTEN=0.0.0.0:0", "CORDON_CLICKHOUSE_LISTEN=0.0.0.0:0", "CORDON_HTTP_TOKENS="+tokens)
	local := func(address string) string {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		return "http://127.0.0.1:" + port
	}
	web, sql := local(a.HTTP), local(a.ClickHouse)
	for path, want := range map[string]int{"/": 403, "/api/v1/status": 403, "/healthz": 200, "/readyz": 200, "/metrics": 200, "/login": 401} {
		if code := answer(t, "GET", web+path); code != want {
			t.Errorf("GET %s without authentication: %d, want %d", path, code, want)
		}
	}
	if code := answer(t, "GET", web+"/api/v1/status", "Authorization", "Bearer look"); code != 200 {
		t.Errorf("with a token: %d", code)
	}
	if code := answer(t, "GET", sql+"/?query=SELECT+1"); code != 403 {
		t.Errorf("SQL without a password: %d", code)
	}
	if code := answer(t, "GET", sql+"/ping"); code != 200 {
		t.Errorf("/ping: %d", code)
	}
	env := []string{"CORDON_DATA_DIR=" + dir}
	cmd := exec.Command(binary, "status")
	cmd.Env = environment(env...)
	if out, _ := cmd.Output(); !strings.Contains(string(out), "nothing has been received") { // it fails, since that is a problem
		t.Errorf("cordon status: %s", out)
	}
	cordon(t, env, "status", "--ready")
	if out := cordon(t, env, "sql", "SELECT 41 + 1"); !strings.Contains(out, "42") {
		t.Errorf("cordon sql: %s", out)
	}
}

// On loopback nobody logs in, but a page elsewhere gets nothing by a name of its own, and writes nothing.
func testForeign(t *testing.T, a addresses) {
	for _, base := range []string{"http://" + a.HTTP, "http://" + a.ClickHouse} {
		for _, tc := range []struct {
			method string
			header []string
			want   bool
		}{
			{"GET", nil, true},
			{"GET", []string{"Host", "localhost"}, true},
			{"GET", []string{"Host", "evil.example"}, false},
			{"POST", []string{"Origin", "http://evil.example"}, false},
			{"POST", []string{"Sec-Fetch-Site", "cross-site"}, false},
		} {
			if code := answer(t, tc.method, base+"/", tc.header...); (code != 403) != tc.want {
				t.Errorf("%s %s with %v: %d", tc.method, base, tc.header, code)
			}
		}
	}
}
