package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"testing"

	"cordon/internal/bus"
	"cordon/recommender/watch"
)

// webhook takes events unless it is away.
type webhook struct {
	*httptest.Server
	mu    sync.Mutex
	away  bool
	tried int
	ids   []string // ids of the events, the first that came first
}

func newWebhook(t *testing.T) *webhook {
	h := new(webhook)
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.tried++
		var e watch.Event
		body, _ := io.ReadAll(r.Body)
		if h.away || json.Unmarshal(body, &e) != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		h.ids = append(h.ids, e.ID)
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *webhook) set(away bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.away, h.tried = away, 0
}

func (h *webhook) state() (ids []string, tried int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.ids), h.tried
}

// driftEvents reads stream DRIFT.
func driftEvents(t *testing.T, a addresses) (out []watch.Event) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cfg := bus.DefaultConfig()
	cfg.URL = a.NATS
	b, err := bus.Connect(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := watch.Events(ctx, b, 0, func(e *watch.Event) error { out = append(out, *e); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

// `cordon up` watches the proposal in force. It is killed over and over while sessions outside of it come, with the webhook away for
// a while: each session is said once, and the webhook has all events in their order.
func TestWatchKilled(t *testing.T) {
	const rounds, each = 4, 30
	dir, h := t.TempDir(), newWebhook(t)
	groups := filepath.Join(dir, "groups.yaml")
	if err := os.WriteFile(groups, []byte(`categories: [{name: role, groups: [{name: web, prefixes: [10.1.0.0/16]}, {name: db, prefixes: [10.2.0.0/16]}]}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	env := []string{"CORDON_WATCH_INTERVAL=100ms", "CORDON_WATCH_WEBHOOK_URL=" + h.URL, "CORDON_WATCH_WEBHOOK_RETRY_MAX=200ms", "CORDON_WATCH_WEBHOOK_TIMEOUT=1s",
		"CORDON_WATCH_SESSIONS_PER_CELL=10000"}
	p, a := up(t, data, env...)
	cordon(t, nil, "import", "--data-dir", data, flowFile(t, 1, 10))
	proposal := cordon(t, nil, "generate-rules", "--data-dir", data, "--groups", groups, "--format", "json")
	id := regexp.MustCompile(`"id": "sha256:([0-9a-f]+)"`).FindStringSubmatch(proposal)
	if id == nil {
		t.Fatal(proposal)
	}
	cordon(t, nil, "proposals", "accept", "--data-dir", data, id[1])

	for round := range rounds {
		h.set(round == 1 || round == 2) // It stays so over the restart.
		rows := "src_ip,dst_ip,dst_port,proto,packets,rev_packets\n"
		for i := range each {
			rows += fmt.Sprintf("10.1.%d.%d,10.2.0.1,22,tcp,3,3\n", round+10, i)
		}
		name := filepath.Join(dir, fmt.Sprintf("round%d.csv", round))
		if err := os.WriteFile(name, []byte(rows), 0o600); err != nil {
			t.Fatal(err)
		}
		cordon(t, nil, "import", "--data-dir", data, name)
		wait(p.done, killAfter(round))
		p.kill()
		p, a = up(t, data, env...)
		eventually(t, patience, "every session to be said", func() error {
			if n := len(driftEvents(t, a)); n < (round+1)*each {
				return fmt.Errorf("%d of %d events", n, (round+1)*each)
			}
			return nil
		})
		if round == 2 {
			eventually(t, patience, "a try to deliver", func() error {
				if _, tried := h.state(); tried == 0 {
					return fmt.Errorf("no request came")
				}
				return nil
			})
		}
	}
	events := driftEvents(t, a)
	var said, clients []string
	for _, e := range events {
		said, clients = append(said, e.ID), append(clients, e.Client)
		if e.Type != watch.SessionOutside || e.Service != "tcp/22" || e.Source != "web" || e.Destination != "db" {
			t.Errorf("event %s: %s", e.Type, e.Text)
		}
	}
	for _, list := range [][]string{said, clients} {
		if unique := slices.Compact(slices.Sorted(slices.Values(list))); len(unique) != rounds*each || len(list) != rounds*each {
			t.Fatalf("%d events, %d different ones, for %d sessions", len(list), len(unique), rounds*each)
		}
	}
	eventually(t, patience, "the webhook to take every event in order", func() error {
		// What was taken just before a kill may come once more, under the same id.
		if ids, _ := h.state(); !slices.Equal(slices.Compact(ids), said) {
			return fmt.Errorf("%d of %d events", len(ids), len(said))
		}
		return nil
	})
	if ids, _ := h.state(); len(ids) > len(said)+rounds {
		t.Errorf("%d events were posted for %d", len(ids), len(said))
	}

	// A watcher in another process says nothing again, and what is said reaches it.
	w := start(t, env, "watch", "--data-dir", data, "--format", "text", "--interval", "100ms")
	eventually(t, patience, "the command to look at what was said", func() error {
		if !regexp.MustCompile(`events said before: \d+`).MatchString(w.log.String()) {
			return fmt.Errorf("%s", w.log)
		}
		return nil
	})
	cordon(t, nil, "import", "--data-dir", data, flowFile(t, 60000, 1)) // a known cell by a client that is known
	more := filepath.Join(dir, "more.csv")
	if err := os.WriteFile(more, []byte("src_ip,dst_ip,dst_port,proto,packets,rev_packets\n10.1.99.1,10.2.0.1,23,tcp,3,3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cordon(t, nil, "import", "--data-dir", data, more)
	line := regexp.MustCompile(`session 10\.1\.99\.1 \(web\) to 10\.2\.0\.1 \(db\) tcp/23: denied by default`)
	eventually(t, patience, "the new session on standard output", func() error {
		if n := len(line.FindAllString(w.log.String(), -1)); n != 1 {
			return fmt.Errorf("%d lines", n)
		}
		return nil
	})
	w.stop()
	if n := len(driftEvents(t, a)); n != rounds*each+1 {
		t.Errorf("%d events, %d expected", n, rounds*each+1)
	}
}
