// Package web is the pages: a script and a style sheet that are built from ui/src and kept here built, so that Cordon needs
// nothing of node. All they show comes from the API.
package web

import (
	"embed"
	"io/fs"
	"net/http"
	"strings"
)

//go:embed dist
var built embed.FS

// policy lets a page load nothing but its own script and style, talk to its own server alone, and run nothing that stands
// in a page: names come from exporters and files.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: blob:; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// Pages are the paths of pages; whatever else has no extension is a page that says it is not there.
var Pages = []string{"/", "/matrix", "/sessions", "/host", "/group", "/refused", "/readiness", "/generate", "/proposals", "/since", "/simulate"}

// Handler answers with the pages and what they are made of.
func Handler() http.Handler {
	files, err := fs.Sub(built, "dist")
	if err != nil {
		panic("BUG: " + err.Error())
	}
	page, err := fs.ReadFile(files, "index.html")
	if err != nil {
		panic("BUG: " + err.Error())
	}
	assets := http.FileServerFS(files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-cache")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "pages are read with GET", http.StatusMethodNotAllowed)
			return
		}
		if strings.HasPrefix(r.URL.Path, "/assets/") {
			assets.ServeHTTP(w, r)
			return
		}
		h.Set("Content-Type", "text/html; charset=utf-8")
		if !known(r.URL.Path) {
			w.WriteHeader(http.StatusNotFound)
		}
		w.Write(page)
	})
}

func known(path string) bool {
	for _, p := range Pages {
		if path == p || p != "/" && strings.HasPrefix(path, p+"/") {
			return true
		}
	}
	return false
}
