package bus

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		"":                                     "",
		"nats://localhost:4222":                "nats://localhost:4222",
		"nats://u:secret@h:4222":               "nats://u:xxxxx@h:4222",
		"nats://a:4222,nats://u:secret@b:4222": "nats://a:4222,nats://u:xxxxx@b:4222",
		"nats://u:secret@a:4222, nats://v:secret@b":    "nats://u:xxxxx@a:4222, nats://v:xxxxx@b",
		"nats://u:sec,ret@a:4222,tls://v:secret@b":     "nats://u:xxxxx@a:4222,tls://v:xxxxx@b",
		"nats://secret@h:4222":                         "nats://xxxxx@h:4222",
		"u:secret@h:4222":                              "u:xxxxx@h:4222",
		"nats://u:sec%ret@h:4222":                      "nats://u:xxxxx@h:4222",
		"nats://u:se@cr/e#t?@h:4222":                   "nats://u:xxxxx@h:4222",
		"http://user:secret@clickhouse:8123/cordon":    "http://user:xxxxx@clickhouse:8123/cordon",
		"http://user@clickhouse:8123/cordon?a=b":       "http://user@clickhouse:8123/cordon?a=b",
		"https://user:p:secret@clickhouse:8443/cordon": "https://user:xxxxx@clickhouse:8443/cordon",
	} {
		if got := Redact(in); got != want {
			t.Errorf("Redact(%q) = %q, want %q", in, got, want)
		}
	}
}

// No error of connecting shows the password, in whatever form the address is
// wrong, nor does the log.
func TestConnectHidesPassword(t *testing.T) {
	for _, url := range []string{
		"nats://user:s3cret@127.0.0.1:1",
		"nats://s3cret@127.0.0.1:1",
		"nats://user:s3cret@127.0.0.1:1,nats://other:s3cret@127.0.0.1:2",
		"nats://user:s3cret%@127.0.0.1:1",
		"nats://user:s3cret@127.0.0.1:port",
		"nats://user:s3cret@[::1:4222",
		"nats://user:s3cret x@127.0.0.1:1",
		"nats://user:s3cret\x7f@127.0.0.1:1",
		"user:s3cret@127.0.0.1:1",
		"htp://user:s3cret@127.0.0.1:1",
	} {
		var log bytes.Buffer
		cfg := DefaultConfig()
		cfg.URL, cfg.Log = url, slog.New(slog.NewTextHandler(&log, nil))
		b, err := Connect(cfg)
		if err == nil {
			b.Close()
			t.Fatalf("%s: connected", url)
		}
		if text := err.Error() + log.String(); strings.Contains(text, "s3cret") {
			t.Errorf("%s: the error shows the password: %s", url, text)
		}
	}
}
