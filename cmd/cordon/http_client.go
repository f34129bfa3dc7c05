package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"

	"cordon/internal/access"

	"github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v3"
)

// askProcess asks the process that runs on the data folder, or the one at http.listen, with the key of the data folder
// where there is one. The error of a process that is not there comes with that of its run file.
func (a *app) askProcess(ctx context.Context, path string) (*http.Response, error) {
	addr, https, _ := a.runningHTTP()
	scheme, client := "http", http.DefaultClient
	if https {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.TLSClientConfig = a.ownCertificate()
		defer transport.CloseIdleConnections()
		scheme, client = "https", &http.Client{Transport: transport}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+reachable(addr)+path, nil)
	if err != nil {
		return nil, usagef("http.listen: %w", err)
	}
	if key := access.ReadKey(a.settings.DataDir); key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	return client.Do(req)
}

// reachable gives the address at which this machine reaches a server that listens on all of its addresses.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		if ip.Is6() {
			return net.JoinHostPort("::1", port)
		}
		return net.JoinHostPort("127.0.0.1", port)
	}
	return addr
}

// ownCertificate trusts the certificate that http.web_config names, whatever names are in it: the address comes from the
// data folder. Without that file the machine's authorities decide.
func (a *app) ownCertificate() *tls.Config {
	own, err := webCertificate(a.settings.HTTP.WebConfig)
	if err != nil {
		return nil
	}
	return &tls.Config{
		InsecureSkipVerify: true, // VerifyConnection does it instead
		VerifyConnection: func(s tls.ConnectionState) error {
			if !bytes.Equal(s.PeerCertificates[0].Raw, own.Raw) {
				return errors.New("the process has another certificate than http.web_config names")
			}
			return nil
		},
	}
}

func webCertificate(path string) (*x509.Certificate, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var c web.Config
	if err := yaml.Unmarshal(data, &c); err != nil {
		return nil, err
	}
	c.TLSConfig.SetDirectory(filepath.Dir(path))
	text := []byte(c.TLSConfig.TLSCert)
	if c.TLSConfig.TLSCertPath != "" {
		if text, err = os.ReadFile(c.TLSConfig.TLSCertPath); err != nil {
			return nil, err
		}
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no certificate in it")
	}
	return x509.ParseCertificate(block.Bytes)
}
