package natsserver

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func start(t testing.TB, cfg Config) *Server {
	t.Helper()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	n, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestReopen publishes over both ways of access and finds the messages
// again after the server was closed and opened.
func TestReopen(t *testing.T) {
	dir := t.TempDir()
	n := start(t, Config{Dir: dir, Listen: "127.0.0.1:0"})
	inside, err := nats.Connect("", n.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	outside, err := nats.Connect(n.URL())
	if err != nil {
		t.Fatal(err)
	}
	for i, nc := range []*nats.Conn{inside, outside} {
		if got := nc.MaxPayload(); got != defaultMaxPayload {
			t.Errorf("largest message %d, want %d", got, defaultMaxPayload)
		}
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		s, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := js.Publish(t.Context(), "s.x", make([]byte, 2<<20)); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := s.CachedInfo().State.Msgs, uint64(3*i); got != want {
			t.Errorf("%d messages before, want %d", got, want)
		}
		nc.Close()
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}

	n = start(t, Config{Dir: dir})
	defer n.Close()
	if u := n.URL(); u != "" {
		t.Errorf("listens on %s, should not", u)
	}
	nc, err := nats.Connect("", n.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	if got := s.CachedInfo().State.Msgs; got != 6 {
		t.Errorf("%d messages after reopening, want 6", got)
	}
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	n := start(t, Config{Dir: dir, Listen: "127.0.0.1:0"})
	defer n.Close()
	taken := strings.TrimPrefix(n.URL(), "nats://")
	for _, tt := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"port taken", Config{Listen: taken}, taken},
		{"folder in use", Config{Dir: dir}, "is in use by process"},
		{"no port", Config{Listen: "127.0.0.1"}, "missing port"},
		{"bad port", Config{Listen: "127.0.0.1:70000"}, "from 0 to 65535"},
		{"payload", Config{MaxPayload: 2 << 30}, "exceeds 1 GiB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Log = slog.New(slog.DiscardHandler)
			n, err := Start(tt.cfg)
			if err == nil {
				n.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q lacks %q", err, tt.want)
			}
		})
	}
}
