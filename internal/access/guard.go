// Package access decides who may ask Cordon over HTTP: which hosts a request may be addressed to, which pages may write,
// who has authenticated, and what that person or program may do.
package access

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Loopback reports whether an address that is listened on can be reached from this machine only.
func Loopback(addr net.Addr) bool {
	a, err := netip.ParseAddrPort(addr.String())
	return err == nil && a.Addr().Unmap().IsLoopback()
}

// Guard wraps a handler that listens on loopback and asks for no login. It refuses, with status 403, requests whose
// Host is a name that is neither localhost nor one of hosts: a page of a foreign site reaches loopback by giving its own
// name the address of loopback (DNS rebinding), and that name is then the Host. It also refuses writes that a page of
// another origin sends.
func Guard(hosts []string, next http.Handler) http.Handler {
	next = SameOrigin(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !knownHost(r.Host, hosts) {
			http.Error(w, fmt.Sprintf("Host %q is refused: this server answers to addresses, to localhost and to the names of http.hosts", r.Host), http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// SameOrigin refuses, with status 403, requests that are neither GET, HEAD nor OPTIONS and that a page of another origin sends.
func SameOrigin(next http.Handler) http.Handler {
	p := http.NewCrossOriginProtection()
	p.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "a page of another origin may not write here", http.StatusForbidden)
	}))
	return p.Handler(next)
}

// knownHost reports whether the Host of a request, with or without a port, names this server: by an address, as
// localhost or a name below it, or by one of names.
func knownHost(host string, names []string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.ToLower(strings.Trim(name, "[]")), ".")
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(strings.TrimSuffix(n, "."), name) })
}
