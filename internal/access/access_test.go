package access

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// who answers with who asked.
var who = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	i := From(r.Context())
	fmt.Fprintf(w, "%s %s", i.Name, i.Role)
})

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func hash(t *testing.T, password string) string {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(h)
}

func digest(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// A request is what a row of the tables below sends.
type request struct {
	method, path, host string
	header             map[string]string
	user, password     string
}

func (q request) send(h http.Handler) *httptest.ResponseRecorder {
	if q.method == "" {
		q.method = http.MethodGet
	}
	if q.path == "" {
		q.path = "/api/v1/sessions"
	}
	r := httptest.NewRequest(q.method, q.path, nil)
	r.Host = "127.0.0.1:8080"
	if q.host != "" {
		r.Host = q.host
	}
	for k, v := range q.header {
		r.Header.Set(k, v)
	}
	if q.user != "" {
		r.SetBasicAuth(q.user, q.password)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestWhoMay(t *testing.T) {
	users := write(t, "web.yml", "basic_auth_users: {alice: '"+hash(t, "wonder")+"', victor: '"+hash(t, "look")+"'}\nhttp_server_config: {headers: {X-Frame-Options: deny}}\n")
	tokens := write(t, "tokens", "# programs\n\ngrafana viewer "+digest("look")+"\nci editor sha256:"+digest("make")+"\n")
	bearer := func(token string) map[string]string { return map[string]string{"Authorization": "Bearer " + token} }
	plain, withUsers := Config{Tokens: tokens, Hosts: []string{"cordon.example"}}, Config{WebConfig: users, Viewers: []string{"victor"}}
	for _, tc := range []struct {
		name     string
		cfg      Config
		loopback bool
		request  request
		code     int
		body     string
	}{
		{"loopback", plain, true, request{}, 200, "local editor"},
		{"loopback, by name", plain, true, request{host: "localhost"}, 200, "local editor"},
		{"loopback, over IPv6", plain, true, request{host: "[::1]:8080"}, 200, "local editor"},
		{"loopback, a name of http.hosts", plain, true, request{host: "Cordon.Example.:8080"}, 200, "local editor"},
		{"loopback, a foreign name", plain, true, request{host: "evil.example"}, 403, "Host"},
		{"loopback, a name that begins like an address", plain, true, request{host: "127.0.0.1.evil.example:8080"}, 403, "Host"},
		{"loopback, a name that ends like localhost", plain, true, request{host: "evillocalhost"}, 403, "Host"},
		{"loopback, no name", plain, true, request{host: ":8080"}, 403, "Host"},
		{"loopback, a foreign name asks for health", plain, true, request{path: "/healthz", host: "evil.example"}, 403, "Host"},
		{"loopback, a write of a program", plain, true, request{method: "POST"}, 200, "local editor"},
		{"loopback, a write of the page itself", plain, true, request{method: "POST", header: map[string]string{"Origin": "http://127.0.0.1:8080"}}, 200, "local editor"},
		{"loopback, a write of another origin", plain, true, request{method: "POST", header: map[string]string{"Origin": "http://evil.example"}}, 403, "another origin"},
		{"loopback, a write of another port", plain, true, request{method: "DELETE", header: map[string]string{"Origin": "http://127.0.0.1:9"}}, 403, "another origin"},
		{"loopback, a write of another site", plain, true, request{method: "PUT", header: map[string]string{"Sec-Fetch-Site": "cross-site"}}, 403, "another origin"},
		{"loopback, a write without an origin", plain, true, request{method: "POST", header: map[string]string{"Origin": "null"}}, 403, "another origin"},
		{"loopback, a viewer's token", plain, true, request{header: bearer("look")}, 200, "grafana viewer"},
		{"loopback, an editor's token", plain, true, request{header: bearer("make")}, 200, "ci editor"},
		{"loopback, a wrong token", plain, true, request{header: bearer("guess")}, 401, "authentication"},
		{"loopback, users", withUsers, true, request{}, 401, "authentication"},
		{"loopback, a user", withUsers, true, request{user: "alice", password: "wonder"}, 200, "alice editor"},
		{"elsewhere", plain, false, request{}, 403, "http.web_config"},
		{"elsewhere, the page", plain, false, request{path: "/"}, 403, "http.web_config"},
		{"elsewhere, health", plain, false, request{path: "/healthz"}, 200, " "},
		{"elsewhere, readiness", plain, false, request{path: "/readyz"}, 200, " "},
		{"elsewhere, metrics", plain, false, request{path: "/metrics"}, 200, " "},
		{"elsewhere, a path that begins like health", plain, false, request{path: "/healthz/../api/v1/status"}, 403, "http.web_config"},
		{"elsewhere, any name", plain, false, request{host: "cordon.intranet", header: bearer("look")}, 200, "grafana viewer"},
		{"elsewhere, a wrong token", plain, false, request{header: bearer("guess")}, 401, "authentication"},
		{"elsewhere, the owner of the folder", plain, false, request{user: "cordon", password: "the key"}, 200, "cordon editor"},
		{"elsewhere, the owner's key as a token", plain, false, request{header: bearer("the key")}, 200, "cordon editor"},
		{"elsewhere, a wrong key", plain, false, request{user: "cordon", password: "a key"}, 401, "authentication"},
		{"elsewhere, no key", plain, false, request{user: "cordon"}, 401, "authentication"},
		{"elsewhere, asking to log in", plain, false, request{path: "/login"}, 401, "authentication"},
		{"elsewhere, logged in", plain, false, request{path: "/login", user: "cordon", password: "the key"}, 303, ""},
		{"elsewhere, users", withUsers, false, request{}, 401, "authentication"},
		{"elsewhere, a viewer", withUsers, false, request{user: "victor", password: "look"}, 200, "victor viewer"},
		{"elsewhere, another's password", withUsers, false, request{user: "victor", password: "wonder"}, 401, "authentication"},
		{"elsewhere, an unknown user", withUsers, false, request{user: "nobody", password: "nobody"}, 401, "authentication"},
		{"elsewhere, users, health", withUsers, false, request{path: "/healthz"}, 200, " "},
		{"elsewhere, a write of another origin", withUsers, false, request{method: "POST", user: "alice", password: "wonder", header: map[string]string{"Origin": "http://evil.example"}}, 403, "another origin"},
	} {
		a, err := New(tc.cfg, "the key", slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		w := tc.request.send(a.Handler(tc.loopback, who))
		if w.Code != tc.code || !strings.Contains(w.Body.String(), tc.body) {
			t.Errorf("%s: %d %q, want %d %q", tc.name, w.Code, w.Body, tc.code, tc.body)
		}
		if tc.cfg.WebConfig != "" && w.Code == 200 && w.Header().Get("X-Frame-Options") != "deny" {
			t.Errorf("%s: the headers of the file are missing", tc.name)
		}
	}
}

func TestChangesAreLogged(t *testing.T) {
	var log bytes.Buffer
	a, err := New(Config{}, "", slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	h := a.Handler(true, who)
	request{}.send(h)
	if log.Len() > 0 {
		t.Errorf("looking leaves a line: %s", &log)
	}
	request{method: "POST", path: "/api/v1/proposals"}.send(h)
	for _, want := range []string{"who=local", "method=POST", "path=/api/v1/proposals", "from=192.0.2.1"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the line %q lacks %s", &log, want)
		}
	}
}

// Mistakes in the files are errors at the start that name file, line and what to write.
func TestMistakesInFiles(t *testing.T) {
	for _, tc := range []struct {
		cfg  Config
		want string
	}{
		{Config{Tokens: write(t, "t", "a viewer\n")}, "t:1: a line has a name, a role"},
		{Config{Tokens: write(t, "t", "#\na admin "+digest("x")+"\n")}, `t:2: role "admin": use viewer or editor`},
		{Config{Tokens: write(t, "t", "a viewer secret\n")}, "64 hexadecimal digits"},
		{Config{Tokens: "/does/not/exist"}, "no such file"},
		{Config{WebConfig: "/does/not/exist"}, "no such file"},
		{Config{WebConfig: write(t, "w", "basic_auth_users: {a: plain}\n")}, "http.web_config"},
		{Config{WebConfig: write(t, "w", "tls_server_config: {cert_file: nothing.pem}\n")}, "http.web_config"},
		{Config{WebConfig: write(t, "w", "users: {}\n")}, "users"},
	} {
		if _, err := New(tc.cfg, "", slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: %v, want %q", tc.cfg, err, tc.want)
		}
	}
}

// Users, tokens and certificates that change take effect without a restart.
func TestFilesAreReadAgain(t *testing.T) {
	path := write(t, "tokens", "a viewer "+digest("old")+"\n")
	f := &tokenFile{path: path}
	if known, err := f.read(); err != nil || known[digest("old")].Name != "a" {
		t.Fatal(known, err)
	}
	if err := os.WriteFile(path, []byte("longer editor "+digest("new")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if known, err := f.read(); err != nil || known[digest("new")].Role != Editor || len(known) != 1 {
		t.Fatal(known, err)
	}
	path = write(t, "web.yml", "basic_auth_users: {a: '"+hash(t, "old")+"'}\n")
	w := newWebFile(path)
	for _, password := range []string{"old", "new"} {
		if err := os.WriteFile(path, []byte("basic_auth_users: {a: '"+hash(t, password)+"'}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, tried := range []string{"old", "new"} {
			if ok, err := w.login("a", tried); err != nil || ok != (tried == password) {
				t.Errorf("the password is %s; %s: %v, %v", password, tried, ok, err)
			}
		}
	}
}

func TestTLS(t *testing.T) {
	cert, key := certificate(t)
	dir := t.TempDir()
	for name, text := range map[string][]byte{"c.pem": cert, "k.pem": key, "web.yml": []byte("tls_server_config: {cert_file: c.pem, key_file: k.pem, client_auth_type: RequireAndVerifyClientCert, client_ca_file: c.pem}\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a, err := New(Config{WebConfig: filepath.Join(dir, "web.yml")}, "", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: a.Handler(false, who), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)}
	defer s.Close()
	if on, err := a.TLS(s); err != nil || !on {
		t.Fatal(on, err)
	}
	go s.ServeTLS(l, "", "")
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	for _, certificates := range [][]tls.Certificate{nil, {pair}} {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: certificates}}
		defer transport.CloseIdleConnections()
		resp, err := (&http.Client{Transport: transport}).Get("https://" + l.Addr().String() + "/x")
		if certificates == nil {
			if err == nil {
				t.Error("a client without a certificate is served")
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		var body bytes.Buffer
		body.ReadFrom(resp.Body)
		resp.Body.Close()
		if body.String() != "someone editor" {
			t.Errorf("the certificate's owner is %q", &body)
		}
	}
}

// certificate makes one that signs itself, for servers and clients.
func certificate(t *testing.T) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "someone"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}

func TestKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if ReadKey(dir) != "" {
		t.Error("a folder that is not there has a key")
	}
	keys := make(chan string)
	for range 4 {
		go func() {
			k, err := MakeKey(dir)
			if err != nil {
				t.Error(err)
			}
			keys <- k
		}()
	}
	first := <-keys
	for range 3 {
		if k := <-keys; k != first {
			t.Errorf("two keys: %s and %s", first, k)
		}
	}
	if len(first) != 48 || ReadKey(dir) != first {
		t.Errorf("key %q, read as %q", first, ReadKey(dir))
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestLoopback(t *testing.T) {
	for address, want := range map[string]bool{"127.0.0.1:1": true, "127.8.0.1:1": true, "[::1]:1": true, "0.0.0.0:1": false, "[::]:1": false, "192.0.2.1:1": false, "[::ffff:127.0.0.1]:1": true} {
		a, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if Loopback(a) != want {
			t.Errorf("%s: %v", address, !want)
		}
	}
}
