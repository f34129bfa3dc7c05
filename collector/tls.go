package collector

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// serverTLS makes the TLS configuration of the listeners. The files are read
// now, so that what is wrong with them is seen at the start, and again at a
// handshake after they have changed.
func serverTLS(cfg TLSConfig, log *slog.Logger) (*tls.Config, error) {
	files := &tlsFiles{cfg: cfg, log: log}
	if _, err := files.config(nil); err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: files.config}, nil
}

// tlsFiles keeps the configuration that the certificate files give.
type tlsFiles struct {
	cfg TLSConfig
	log *slog.Logger

	mu      sync.Mutex
	stamp   [3]fileStamp
	current *tls.Config
}

type fileStamp struct {
	modified time.Time
	size     int64
}

// config gives the configuration of the files as they are. If they cannot be
// read the one before stays in force.
func (f *tlsFiles) config(*tls.ClientHelloInfo) (*tls.Config, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var stamp [3]fileStamp
	for i, name := range []string{f.cfg.Cert, f.cfg.Key, f.cfg.ClientCA} {
		if info, err := os.Stat(name); err == nil {
			stamp[i] = fileStamp{info.ModTime(), info.Size()}
		}
	}
	if f.current != nil && stamp == f.stamp {
		return f.current, nil
	}
	c, err := loadTLS(f.cfg)
	f.stamp = stamp
	switch {
	case err == nil && f.current != nil:
		f.log.Info("read the TLS certificate again", "cert", f.cfg.Cert)
	case err != nil && f.current != nil:
		f.log.Error("the TLS files have changed and cannot be used; the ones before stay in force", "err", err)
		return f.current, nil
	case err != nil:
		return nil, err
	}
	f.current = c
	return c, nil
}

func loadTLS(cfg TLSConfig) (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(cfg.Cert, cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("collector.tls: cert %s, key %s: %w", cfg.Cert, cfg.Key, err)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}
	if cfg.ClientCA == "" {
		return c, nil
	}
	pem, err := os.ReadFile(cfg.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("collector.tls: client_ca: %w", err)
	}
	c.ClientCAs = x509.NewCertPool()
	if !c.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("collector.tls: client_ca %s holds no certificate in PEM form", cfg.ClientCA)
	}
	c.ClientAuth = tls.RequireAndVerifyClientCert
	return c, nil
}
