package access

import (
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"

	"github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v3"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/time/rate"
)

// webFile is a file in the format of Prometheus's web configuration. Users and certificates are read again whenever
// they are needed, so a change takes effect at once.
//
// exporter-toolkit checks it and makes the TLS configuration. Its own handler is not used: it asks for a password at
// every path, health among them, and knows no tokens.
type webFile struct {
	path    string
	limiter *rate.Limiter
	headers map[string]string

	mu    sync.Mutex // one comparison of bcrypt at a time, since each costs a core for a while
	known map[[32]byte]bool
}

func newWebFile(path string) *webFile { return &webFile{path: path, known: map[[32]byte]bool{}} }

func (f *webFile) read() (*web.Config, error) {
	data, err := os.ReadFile(f.path)
	if err != nil {
		return nil, err
	}
	c := &web.Config{TLSConfig: web.TLSConfig{MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS13}, HTTPConfig: web.HTTPConfig{HTTP2: true}}
	if err := yaml.Unmarshal(data, c); err != nil {
		return nil, err
	}
	c.TLSConfig.SetDirectory(filepath.Dir(f.path))
	return c, nil
}

func (f *webFile) check() error {
	if err := web.Validate(f.path); err != nil {
		return err
	}
	c, err := f.read()
	if err != nil {
		return err
	}
	if c.RateLimiterConfig.Interval != 0 {
		f.limiter = rate.NewLimiter(rate.Every(c.RateLimiterConfig.Interval), c.RateLimiterConfig.Burst)
	}
	f.headers = c.HTTPConfig.Header
	return nil
}

// prepare sets the headers that the file asks for, and answers the request itself where there are too many.
func (f *webFile) prepare(w http.ResponseWriter) bool {
	if f.limiter != nil && !f.limiter.Allow() {
		http.Error(w, "too many requests: rate_limit of http.web_config", http.StatusTooManyRequests)
		return false
	}
	for k, v := range f.headers {
		w.Header().Set(k, v)
	}
	return true
}

// users reports whether the file has users. One that cannot be read now may have some.
func (f *webFile) users() bool {
	if f == nil {
		return false
	}
	c, err := f.read()
	return err != nil || len(c.Users) > 0
}

// nobody is the hash that the password of an unknown user is compared with, so that the answer takes the same time.
var nobody = sync.OnceValue(func() []byte {
	h, _ := bcrypt.GenerateFromPassword([]byte("nobody"), bcrypt.DefaultCost) // fails for long passwords only
	return h
})

// rememberedLogins bounds how many comparisons are remembered.
const rememberedLogins = 128

func (f *webFile) login(name, password string) (bool, error) {
	c, err := f.read()
	if err != nil {
		return false, fmt.Errorf("http.web_config %s: %w", f.path, err)
	}
	secret, known := c.Users[name]
	hash := []byte(secret)
	if !known {
		hash = nobody()
	}
	asked := sha256.Sum256(fmt.Appendf(nil, "%q %q %q", name, hash, password))
	f.mu.Lock()
	defer f.mu.Unlock()
	right, remembered := f.known[asked]
	if !remembered {
		right = bcrypt.CompareHashAndPassword(hash, []byte(password)) == nil && known
		if len(f.known) >= rememberedLogins {
			clear(f.known)
		}
		f.known[asked] = right
	}
	return right, nil
}

// tls configures a server. Certificates are read at each connection.
func (f *webFile) tls(s *http.Server) (bool, error) {
	c, err := f.read()
	if err != nil {
		return false, err
	}
	if !c.TLSConfig.IsEnabled() {
		return false, nil
	}
	protocols := []string{"h2", "http/1.1"}
	if !c.HTTPConfig.HTTP2 {
		s.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){}
		protocols = protocols[1:]
	}
	if s.TLSConfig, err = web.ConfigToTLSConfig(&c.TLSConfig); err != nil {
		return false, err
	}
	s.TLSConfig.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c, err := f.read()
		if err != nil {
			return nil, err
		}
		now, err := web.ConfigToTLSConfig(&c.TLSConfig)
		if err != nil {
			return nil, errors.Join(errors.New("http.web_config "+f.path), err)
		}
		now.NextProtos = protocols
		return now, nil
	}
	return true, nil
}
