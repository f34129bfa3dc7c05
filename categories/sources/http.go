package sources

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"cordon/categories"
)

// server is an HTTP server that is asked with secrets, which are for it alone.
type server struct {
	base    *url.URL
	headers []categories.SourceHeader
	client  *http.Client
}

// newServer prepares for asking the server of an address. The path ca names the certificates that the server's is checked with; empty for
// those of the system.
func newServer(s *categories.Source, address, ca string, headers []categories.SourceHeader) (*server, error) {
	base, err := url.Parse(address)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("source %q: address %q is not a URL that begins with http:// or https:// and names a host", s.Name, address)
	}
	if base.User != nil {
		return nil, fmt.Errorf("source %q: its address holds a user or a password, which a groups file never does: name a header with file or env", s.Name)
	}
	out := &server{base: base, headers: headers, client: &http.Client{Timeout: maxTime}}
	if ca != "" {
		pool, err := certificates(ca)
		if err != nil {
			return nil, fmt.Errorf("source %q: ca: %w", s.Name, err)
		}
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.TLSClientConfig = &tls.Config{RootCAs: pool}
		out.client.Transport = t
	}
	out.client.CheckRedirect = out.redirected
	return out, nil
}

func certificates(path string) (*x509.CertPool, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", path)
	}
	return pool, nil
}

// redirected takes the secrets out of a request to another server, or to the same without encryption.
func (s *server) redirected(r *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("too many redirections")
	}
	if r.URL.Host != via[0].URL.Host || r.URL.Scheme == "http" && via[0].URL.Scheme == "https" {
		for _, h := range s.headers {
			r.Header.Del(h.Name)
		}
	}
	return nil
}

// statusError is an answer other than 200.
type statusError struct {
	code int
	text string
}

func (e *statusError) Error() string { return e.text }

// get asks for a page of the server: a URL of its own.
func (s *server) get(ctx context.Context, page *url.URL, accept string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, page.String(), nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", accept)
	for _, x := range s.headers {
		value, err := secret(x.Secret)
		if err != nil {
			return nil, fmt.Errorf("header %s: %w", x.Name, err)
		}
		r.Header.Set(x.Name, strings.TrimSpace(x.Prefix+" "+value))
	}
	answer, err := s.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	data, err := readAll(answer.Body)
	if answer.StatusCode != http.StatusOK {
		return nil, &statusError{answer.StatusCode, fmt.Sprintf("%s answers %s%s", page.Redacted(), answer.Status, said(data[:min(len(data), maxMessage)]))}
	}
	if err != nil { // half an answer says nothing of what is in the other half
		return nil, fmt.Errorf("read the answer of %s: %w", page.Redacted(), err)
	}
	return data, nil
}

// getJSON asks for a page that is a JSON document.
func (s *server) getJSON(ctx context.Context, page *url.URL, into any) error {
	data, err := s.get(ctx, page, "application/json")
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("the answer of %s is not the JSON that was asked for: %w; it begins with %q", page.Redacted(), err, data[:min(len(data), 60)])
	}
	return nil
}

// page gives the URL of a path of the server, behind that of its address, and a query.
func (s *server) page(path, query string) *url.URL {
	u := s.base.JoinPath(path)
	u.RawQuery = query
	return u
}

type httpSource struct {
	s *categories.Source
	*server
}

func newHTTPSource(s *categories.Source) (*httpSource, error) {
	at, err := newServer(s, s.Address, s.CA, s.Headers)
	return &httpSource{s, at}, err
}

func (h *httpSource) Snapshot(ctx context.Context) (*Snapshot, error) {
	data, err := h.get(ctx, h.base, "application/json, text/csv;q=0.9, */*;q=0.1")
	if err != nil {
		return nil, err
	}
	return parse(h.s, data)
}

// secret reads a secret from its file or from the environment.
func secret(at categories.Secret) (string, error) {
	if at.File != "" {
		data, err := os.ReadFile(at.File)
		if err != nil {
			return "", err
		}
		return strings.TrimSpace(string(data)), nil
	}
	value, ok := os.LookupEnv(at.Env)
	if !ok {
		return "", fmt.Errorf("the environment has no variable %s", at.Env)
	}
	return value, nil
}

// authorization is the header with a token; none without one.
func authorization(scheme string, token categories.Secret) []categories.SourceHeader {
	if token == (categories.Secret{}) {
		return nil
	}
	return []categories.SourceHeader{{Name: "Authorization", Prefix: scheme, Secret: token}}
}
