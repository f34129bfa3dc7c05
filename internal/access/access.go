package access

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
)

// Config says who may ask.
type Config struct {
	// Hosts are names, beside localhost, that requests on loopback may be addressed to.
	Hosts []string `mapstructure:"hosts"`
	// WebConfig is a file in the format of Prometheus's web configuration: TLS, client certificates, users; empty for none.
	WebConfig string `mapstructure:"web_config"`
	// Tokens is a file of bearer tokens for programs; empty for none.
	Tokens string `mapstructure:"tokens"`
	// Viewers are users of WebConfig who may look and change nothing.
	Viewers []string `mapstructure:"viewers"`
}

// Role is what somebody may do.
type Role string

// The roles. An editor may do what a viewer may, and make and change proposals.
const (
	Viewer Role = "viewer"
	Editor Role = "editor"
)

// Identity is who asks.
type Identity struct {
	Name string // "local" for whoever is on this machine and has not said
	Role Role
}

// KeyUser is the name that goes with the key of the data folder.
const KeyUser = "cordon"

// Access knows the users. Make it with [New].
type Access struct {
	cfg    Config
	key    string // the key of the data folder; empty is none
	file   *webFile
	tokens *tokenFile
	log    *slog.Logger
}

// New reads the files that the settings name; a mistake in one is an error. The key is the password of KeyUser, who may
// do everything; without one there is no such user.
func New(cfg Config, key string, log *slog.Logger) (*Access, error) {
	a := &Access{cfg: cfg, key: key, log: log}
	if cfg.WebConfig != "" {
		a.file = newWebFile(cfg.WebConfig)
		if err := a.file.check(); err != nil {
			return nil, fmt.Errorf("http.web_config %s: %w", cfg.WebConfig, err)
		}
	}
	if cfg.Tokens != "" {
		a.tokens = &tokenFile{path: cfg.Tokens}
		if _, err := a.tokens.read(); err != nil {
			return nil, fmt.Errorf("http.tokens: %w", err)
		}
	}
	return a, nil
}

// TLS configures a server as the file of http.web_config asks for, and tells whether it speaks TLS.
func (a *Access) TLS(s *http.Server) (bool, error) {
	if a.file == nil {
		return false, nil
	}
	return a.file.tls(s)
}

// open are the paths that answer without authentication: health and metrics.
var open = []string{"/healthz", "/readyz", "/metrics"}

// loginPath asks a browser for a name and a password, which it sends along from then on.
const loginPath = "/login"

type identityKey struct{}

// From gives who asks; the zero Identity, who may do nothing, where nobody was let in.
func From(ctx context.Context) Identity {
	who, _ := ctx.Value(identityKey{}).(Identity)
	return who
}

// Handler wraps a handler. On loopback everybody may do everything, unless the file of http.web_config has users or asks
// for certificates; elsewhere nothing but health and metrics answers without authentication. Who sends credentials gets the
// role that goes with them, or status 401 where they are wrong. Requests that change something leave a line in the log.
func (a *Access) Handler(loopback bool, next http.Handler) http.Handler {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.file != nil && !a.file.prepare(w) {
			return
		}
		who, err := a.identify(r, loopback)
		switch {
		case err == nil && who.Name != "":
		case slices.Contains(open, r.URL.Path):
		case errors.Is(err, errWrong), r.URL.Path == loginPath, err == nil && a.file.users():
			w.Header().Set("WWW-Authenticate", `Basic realm="cordon", charset="UTF-8"`)
			http.Error(w, "authentication is needed: a user of http.web_config, a token of http.tokens, or user "+KeyUser+" with the key in file http.key of the data folder", http.StatusUnauthorized)
			return
		case err != nil:
			a.log.Error("authentication is not possible", "err", err)
			http.Error(w, "authentication is not possible; the log says why", http.StatusInternalServerError)
			return
		default:
			http.Error(w, "http.listen is not on loopback, where nothing but /healthz, /readyz and /metrics answers without authentication. "+
				"Set http.web_config (users, TLS) or http.tokens, or log in at "+loginPath+" as user "+KeyUser+" with the key in file http.key of the data folder.", http.StatusForbidden)
			return
		}
		if r.URL.Path == loginPath {
			http.Redirect(w, r, "/", http.StatusSeeOther)
			return
		}
		r = r.WithContext(context.WithValue(r.Context(), identityKey{}, who))
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			a.log.Info("asked to change something", "who", who.Name, "role", who.Role, "method", r.Method, "path", r.URL.Path, "from", r.RemoteAddr)
		}
		next.ServeHTTP(w, r)
	})
	if loopback {
		return Guard(a.cfg.Hosts, h)
	}
	return SameOrigin(h)
}

// errWrong is the error of credentials that are not right.
var errWrong = errors.New("wrong credentials")

// identify gives who asks; an empty name where somebody has to say so first.
func (a *Access) identify(r *http.Request, loopback bool) (Identity, error) {
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return a.bearer(token)
	}
	if name, password, ok := r.BasicAuth(); ok && (a.file.users() || !loopback || name == KeyUser) {
		return a.basic(name, password)
	}
	if a.file.users() {
		return Identity{}, nil
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		name := certificateName(r.TLS)
		return Identity{name, a.roleOf(name)}, nil
	}
	if loopback {
		return Identity{"local", Editor}, nil
	}
	return Identity{}, nil
}

func certificateName(s *tls.ConnectionState) string {
	c := s.VerifiedChains[0][0]
	if c.Subject.CommonName == "" && len(c.DNSNames) > 0 {
		return c.DNSNames[0]
	}
	if c.Subject.CommonName == "" {
		return "certificate " + c.SerialNumber.String()
	}
	return c.Subject.CommonName
}

func (a *Access) roleOf(name string) Role {
	if slices.Contains(a.cfg.Viewers, name) {
		return Viewer
	}
	return Editor
}

func (a *Access) basic(name, password string) (Identity, error) {
	if name == KeyUser && a.key != "" && equal(password, a.key) {
		return Identity{KeyUser, Editor}, nil
	}
	if a.file == nil {
		return Identity{}, errWrong
	}
	ok, err := a.file.login(name, password)
	if err != nil {
		return Identity{}, err
	}
	if !ok {
		return Identity{}, errWrong
	}
	return Identity{name, a.roleOf(name)}, nil
}

func (a *Access) bearer(token string) (Identity, error) {
	if a.key != "" && equal(token, a.key) {
		return Identity{KeyUser, Editor}, nil
	}
	if a.tokens == nil {
		return Identity{}, errWrong
	}
	known, err := a.tokens.read()
	if err != nil {
		return Identity{}, err
	}
	sum := sha256.Sum256([]byte(token))
	if who, ok := known[hex.EncodeToString(sum[:])]; ok {
		return who, nil
	}
	return Identity{}, errWrong
}

// equal compares secrets in the same time for any of them.
func equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
