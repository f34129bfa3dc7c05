// Package httpapi is Cordon's own HTTP side: health, readiness, Prometheus
// metrics and the state that `cordon status` shows.
package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sort"
	"strings"
	"time"

	"cordon/internal/access"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Config says where to listen, and who may ask.
type Config struct {
	// Listen is a TCP address; empty for no HTTP at all.
	Listen string `mapstructure:"listen"`

	access.Config `mapstructure:",squash"`
}

// DefaultConfig binds to loopback, where nobody has to log in.
func DefaultConfig() Config { return Config{Listen: "127.0.0.1:8080"} }

// Deps are what the server reports on.
type Deps struct {
	Log      *slog.Logger
	Gatherer prometheus.Gatherer
	// Ready holds a check for each part; nil means that it is ready.
	Ready map[string]func() error
	// Status gives the document of /api/v1/status.
	Status func(context.Context) any
	// Dir is the data folder, which keeps the key for those who own it; empty for no key.
	Dir string
	// More answers every other path, the API and the pages; nil for a list of the endpoints.
	More http.Handler
}

// Server is the HTTP server. Make it with [New].
type Server struct {
	deps Deps
	ln   net.Listener
	srv  *http.Server
	tls  bool
}

// New binds the address, so that a taken port is an error at start.
func New(cfg Config, deps Deps) (*Server, error) {
	ln, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("http.listen: %w (set another address, or an empty one for no HTTP)", err)
	}
	s := &Server{deps: deps, ln: ln}
	s.srv = &http.Server{ReadHeaderTimeout: 5 * time.Second, ErrorLog: slog.NewLogLogger(deps.Log.Handler(), slog.LevelDebug)}
	if err := s.protect(cfg.Config); err != nil {
		ln.Close()
		return nil, err
	}
	return s, nil
}

// protect puts those who may ask before the handler.
func (s *Server) protect(cfg access.Config) error {
	loopback, key := access.Loopback(s.ln.Addr()), ""
	if s.deps.Dir != "" && (!loopback || cfg.WebConfig != "") {
		var err error
		if key, err = access.MakeKey(s.deps.Dir); err != nil {
			s.deps.Log.Warn("there is no user "+access.KeyUser+": commands on this machine cannot ask this process for its status", "err", err)
		}
	}
	a, err := access.New(cfg, key, s.deps.Log)
	if err != nil {
		return err
	}
	s.srv.Handler = a.Handler(loopback, s.Handler())
	s.tls, err = a.TLS(s.srv)
	return err
}

// TLS reports whether the server speaks TLS.
func (s *Server) TLS() bool { return s.tls }

// Addr is the address that is listened on.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		s.srv.Shutdown(grace)
	})
	defer stop()
	serve := func() error { return s.srv.Serve(s.ln) }
	if s.tls {
		serve = func() error { return s.srv.ServeTLS(s.ln, "", "") }
	}
	if err := serve(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("http server at %s: %w", s.ln.Addr(), err)
	}
	return nil
}

// Handler serves the endpoints; tests call it without a listener.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", s.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.deps.Gatherer, promhttp.HandlerOpts{}))
	if s.deps.More != nil { // it has a status of its own, with findings
		mux.Handle("/", s.deps.More)
		return mux
	}
	mux.HandleFunc("GET /api/v1/status", s.status)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "cordon\n\n/healthz        the process is alive\n/readyz         every part can do its work\n/metrics        Prometheus metrics\n/api/v1/status  what `cordon status` shows, as JSON\n")
	})
	return mux
}

// ready answers 200 when every part is ready, otherwise 503, with a line for
// each part.
func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	names := make([]string, 0, len(s.deps.Ready))
	for name := range s.deps.Ready {
		names = append(names, name)
	}
	sort.Strings(names)
	code := http.StatusOK
	var body strings.Builder
	for _, name := range names {
		if err := s.deps.Ready[name](); err != nil {
			code = http.StatusServiceUnavailable
			fmt.Fprintf(&body, "%s: %v\n", name, err)
		} else {
			fmt.Fprintf(&body, "%s: ok\n", name)
		}
	}
	w.WriteHeader(code)
	fmt.Fprint(w, body.String())
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(s.deps.Status(r.Context())); err != nil {
		s.deps.Log.Debug("write status", "err", err)
	}
}
