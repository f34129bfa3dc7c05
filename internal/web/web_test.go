package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What is built is of the sources that are there: scripts/web.sh writes both, and this is the digest that it makes.
func TestBuiltFromTheseSources(t *testing.T) {
	files := []string{"ui/package.json", "ui/package-lock.json"}
	var sources []string
	err := filepath.WalkDir("ui/src", func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			sources = append(sources, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(sources)
	h := sha256.New()
	for _, name := range append(files, sources...) {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		h.Write(data)
	}
	want, err := os.ReadFile("ui/digest")
	if err != nil {
		t.Fatal(err)
	}
	if have := hex.EncodeToString(h.Sum(nil)); have != strings.TrimSpace(string(want)) {
		t.Error("the sources of the pages have changed since they were built: make web")
	}
}

// Script and style are at most 100 kB compressed, and name no other server.
func TestWeight(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	for _, name := range []string{"dist/index.html", "dist/assets/app.js", "dist/assets/app.css"} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) < 100 {
			t.Errorf("%s is not built", name)
		}
		z.Write(data)
	}
	z.Close()
	if packed.Len() > 100_000 {
		t.Errorf("script and style are %d bytes compressed, want 100,000 at most", packed.Len())
	}
}

func TestPages(t *testing.T) {
	for _, tc := range []struct {
		method, path string
		code         int
		kind         string
	}{
		{"GET", "/", 200, "text/html"},
		{"GET", "/matrix", 200, "text/html"},
		{"GET", "/host/10.0.0.1", 200, "text/html"},
		{"GET", "/host/<script>alert(1)<%2Fscript>", 200, "text/html"},
		{"GET", "/proposals/abc", 200, "text/html"},
		{"GET", "/matrixes", 404, "text/html"},
		{"GET", "/assets/app.js", 200, "text/javascript"},
		{"GET", "/assets/app.css", 200, "text/css"},
		{"GET", "/assets/nothing.js", 404, ""},
		{"GET", "/assets/../web.go", 404, ""},
		{"POST", "/", 405, ""},
	} {
		r := httptest.NewRequest(tc.method, "/", nil)
		r.URL.Path = tc.path
		w := httptest.NewRecorder()
		Handler().ServeHTTP(w, r)
		if w.Code != tc.code || !strings.HasPrefix(w.Header().Get("Content-Type"), tc.kind) {
			t.Errorf("%s %s: %d %s, want %d %s", tc.method, tc.path, w.Code, w.Header().Get("Content-Type"), tc.code, tc.kind)
		}
		csp := w.Header().Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: the policy %q lacks %s", tc.path, csp, want)
			}
		}
		if strings.Contains(csp, "unsafe") {
			t.Errorf("%s: the policy %q lets unsafe things through", tc.path, csp)
		}
		if strings.Contains(w.Body.String(), "alert(1)") {
			t.Errorf("%s: the path stands in the page", tc.path)
		}
	}
}
