package clickhousehttp

import (
	"context"
	"cordon/internal/chdb"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
)

// Handler returns ClickHouse's HTTP interface on this engine.
func (c *Server) Handler() http.Handler { return http.HandlerFunc(c.serveHTTP) }

// access is what a request may do.
type access uint8

const (
	accessOutside access = iota // read, within limits
	accessInside                // everything
)

func (c *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-ClickHouse-Server-Display-Name", displayName())
	switch r.URL.Path {
	case "", "/":
	case "/ping", "/replicas_status":
		h.Set("Content-Type", "text/html; charset=UTF-8")
		fmt.Fprint(w, "Ok.\n")
		return
	default:
		h.Set("Content-Type", "text/plain; charset=UTF-8")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, "There is no handle %s\n\nUse / or /ping for health checks, and /?query=... for queries.\n", r.URL.Path)
		return
	}
	switch r.Method {
	case http.MethodGet, http.MethodPost, http.MethodHead:
	case http.MethodOptions:
		h.Set("Allow", "GET, HEAD, OPTIONS, POST")
		w.WriteHeader(http.StatusNoContent)
		return
	default:
		h.Set("Allow", "GET, HEAD, OPTIONS, POST")
		http.Error(w, "Code: 1. DB::Exception: Method "+r.Method+" is not supported; use GET or POST. (UNSUPPORTED_METHOD)", http.StatusMethodNotAllowed)
		return
	}
	if r.Method != http.MethodPost && r.URL.Query().Get("query") == "" {
		h.Set("Content-Type", "text/html; charset=UTF-8")
		fmt.Fprint(w, "Ok.\n")
		return
	}
	if !c.begin() {
		w.Header().Set("Connection", "close")
		writeException(w, nil, &chdb.Exception{Code: codeQueryWasCancelled, Name: "ABORTED", Message: "the server is shutting down"})
		return
	}
	defer c.active.Done()

	q, err := c.parseRequest(r)
	if err != nil {
		writeException(w, q, err)
		return
	}
	defer q.close()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(c.stopped, cancel)()
	turns, limit := c.outside, c.limits.OutsideResultBytes
	switch {
	case q.access == accessInside:
		turns, limit = c.inside, 0
	case q.command:
		turns = c.commands
	}
	leave, err := turns.enter(ctx)
	if err != nil {
		if r.Context().Err() == nil {
			writeException(w, q, err)
		}
		return
	}
	defer leave()
	out := newResponse(w, q, c.dir, limit)
	defer out.close()
	if err := c.run(ctx, q, out); err != nil {
		if ctx.Err() != nil && !out.started {
			// Nobody is listening, or the server is closing.
			err = &chdb.Exception{Code: codeQueryWasCancelled, Name: "QUERY_WAS_CANCELLED", Message: "Query was cancelled"}
		}
		out.fail(err)
	}
}

// authenticate tells who asks, and whether it is a command that a person runs
// on this machine. Credentials come from headers, basic authentication or
// parameters, in ClickHouse's order.
func (c *Server) authenticate(r *http.Request) (_ access, command bool, _ error) {
	user, password, ok := r.BasicAuth()
	if u := r.Header.Get("X-ClickHouse-User"); u != "" || r.Header.Get("X-ClickHouse-Key") != "" {
		user, password, ok = u, r.Header.Get("X-ClickHouse-Key"), true
	}
	if !ok {
		v := r.URL.Query()
		user, password = v.Get("user"), v.Get("password")
	}
	switch user {
	case "", "default":
		if password == "" && !c.login {
			return accessOutside, false, nil
		}
		if password == "" {
			return accessOutside, false, &chdb.Exception{Code: codeAuthenticationFailed, Name: "AUTHENTICATION_FAILED",
				Message: "Authentication is needed: clickhouse.listen is not on loopback, where user default may read without a password. " +
					"User " + ReaderUser + " may read with the key in file " + keyFile + " of the data folder as its password."}
		}
	case insideUser, ReaderUser:
		// Hashed, so that the comparison takes the same time for any length.
		given, want := sha256.Sum256([]byte(password)), sha256.Sum256([]byte(c.key))
		if subtle.ConstantTimeCompare(given[:], want[:]) == 1 {
			if user == ReaderUser {
				return accessOutside, true, nil
			}
			return accessInside, false, nil
		}
	}
	return accessOutside, false, &chdb.Exception{Code: codeAuthenticationFailed, Name: "AUTHENTICATION_FAILED",
		Message: user + ": Authentication failed: password is incorrect, or there is no user with such name. " +
			"User default, without a password, may read; user " + insideUser + " has the key in file " + keyFile + " of the data folder."}
}

// writeException answers with an exception before anything else was sent.
func writeException(w http.ResponseWriter, q *request, err error) {
	var e *chdb.Exception
	if !errors.As(err, &e) {
		e = &chdb.Exception{Code: chdb.CodeUnknown, Name: "UNKNOWN_EXCEPTION", Message: err.Error()}
	}
	h := w.Header()
	if q != nil && q.id != "" {
		h.Set("X-ClickHouse-Query-Id", q.id)
	}
	h.Set("X-ClickHouse-Exception-Code", strconv.Itoa(e.Code))
	h.Set("Content-Type", "text/plain; charset=UTF-8")
	h.Del("Content-Encoding")
	if e.Name == "REQUIRED_PASSWORD" {
		h.Set("WWW-Authenticate", `Basic realm="ClickHouse server HTTP API"`)
	}
	w.WriteHeader(httpStatus(e))
	fmt.Fprintln(w, e.Error())
}

func displayName() string {
	name, err := os.Hostname()
	if err != nil {
		return "cordon"
	}
	return name
}
