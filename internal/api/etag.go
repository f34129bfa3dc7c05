package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
)

// maxTagged is how much of an answer is kept to make a tag of it; a longer one has none.
const maxTagged = 16 << 20

// tagged gives answers in JSON a tag that follows from what is in them, and answers 304 where the asker has them.
func tagged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "private, no-cache")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodGet {
			next.ServeHTTP(w, r)
			return
		}
		t := &tagWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(t, r)
		if t.through {
			return
		}
		sum := sha256.Sum256(t.body.Bytes())
		tag := `"` + hex.EncodeToString(sum[:16]) + `"`
		w.Header().Set("ETag", tag)
		if t.status == http.StatusOK && matches(r.Header.Get("If-None-Match"), tag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.WriteHeader(t.status)
		w.Write(t.body.Bytes())
	})
}

func matches(header, tag string) bool {
	for _, t := range strings.Split(header, ",") {
		if t = strings.TrimPrefix(strings.TrimSpace(t), "W/"); t == tag || t == "*" {
			return true
		}
	}
	return false
}

// tagWriter holds an answer in JSON back until it is whole, and lets everything else through.
type tagWriter struct {
	http.ResponseWriter
	body    bytes.Buffer
	status  int
	through bool
}

func (t *tagWriter) WriteHeader(status int) {
	t.status = status
	if status != http.StatusOK || !strings.HasPrefix(t.Header().Get("Content-Type"), "application/json") {
		t.pass()
	}
}

func (t *tagWriter) pass() {
	if t.through {
		return
	}
	t.through = true
	t.ResponseWriter.WriteHeader(t.status)
	t.ResponseWriter.Write(t.body.Bytes())
	t.body.Reset()
}

func (t *tagWriter) Write(b []byte) (int, error) {
	if !t.through && (t.body.Len()+len(b) > maxTagged || !strings.HasPrefix(t.Header().Get("Content-Type"), "application/json")) {
		t.pass()
	}
	if t.through {
		return t.ResponseWriter.Write(b)
	}
	return t.body.Write(b)
}

// Flush lets what is there through, for streams.
func (t *tagWriter) Flush() {
	t.pass()
	if f, ok := t.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}
