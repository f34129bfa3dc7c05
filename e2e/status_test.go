package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// gate passes connections on to a server while it is open.
type gate struct {
	address, target string

	mu    sync.Mutex
	ln    net.Listener // nil while shut
	conns []net.Conn
}

func newGate(t *testing.T, target string) *gate {
	g := &gate{address: "127.0.0.1:0", target: target}
	g.open(t)
	t.Cleanup(g.shut)
	return g
}

// open lets connections through, on the same address as before.
func (g *gate) open(t *testing.T) {
	t.Helper()
	ln, err := net.Listen("tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	g.mu.Lock()
	g.address, g.ln = ln.Addr().String(), ln
	g.mu.Unlock()
	go func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", g.target)
			if err != nil {
				in.Close()
				continue
			}
			g.mu.Lock()
			g.conns = append(g.conns, in, out)
			g.mu.Unlock()
			go func() { io.Copy(out, in); out.Close() }()
			go func() { io.Copy(in, out); in.Close() }()
		}
	}()
}

// shut refuses connections, and ends those there are.
func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ln == nil {
		return
	}
	g.ln.Close()
	for _, c := range g.conns {
		c.Close()
	}
	g.ln, g.conns = nil, nil
}

// statusOf runs `cordon status` and gives its exit code and output.
func statusOf(t *testing.T, env []string, args ...string) (code int, out string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, append([]string{"status", "--data-dir", t.TempDir()}, args...)...)
	cmd.Env = environment(env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), stdout.String() + stderr.String()
}

// With roles apart `cordon status` follows the record through every role: it
// says that ClickHouse is down while batches wait, from wherever it is asked,
// and that all is well again afterwards. NetFlow beside it is named.
func TestStatusFollowsTheRecord(t *testing.T) {
	_, s := startServers(t, t.TempDir())
	click := newGate(t, s.ClickHouse)
	dsn := "CORDON_CLICKHOUSE_DSN=http://cordon:" + s.Key + "@" + click.address + "/cordon"
	env := []string{"CORDON_NATS_URL=" + s.NATS, dsn, "CORDON_COLLECTOR_BATCH_MAX_AGE=50ms", "CORDON_COLLECTOR_STATS_INTERVAL=200ms"}
	cordon(t, env, "migrate")
	c := start(t, env, "collect", "--data-dir", t.TempDir())
	i := start(t, env, "ingest", "--data-dir", t.TempDir())
	serve := start(t, env, "serve", "--data-dir", t.TempDir())
	to := c.listening()
	// Every role says in one line that it is ready.
	for p, role := range map[*process]string{c: "collect", i: "ingest", serve: "serve"} {
		if got := p.logged("role="); got != role {
			t.Errorf("cordon %s says that it runs as %s", role, got)
		}
	}
	send := func(from, n int) {
		cordon(t, env, "replay", flowFile(t, from, n), "--to", to, "--transport", "tcp", "--biflow")
	}
	// The places to ask from: with both servers known, and with NATS alone, as
	// on a collector's machine, by way of the collector.
	web := c.logged("http=")
	both, collectors := env, []string{"CORDON_NATS_URL=" + s.NATS, "CORDON_HTTP_LISTEN=" + web}

	send(1, 100)
	eventually(t, patience, "status to find nothing amiss, and all stored", func() error {
		code, out := statusOf(t, both)
		if code != 0 || strings.Contains(out, "problem") || strings.Contains(out, "warning") || !strings.Contains(out, "stored     100 flow records of 1 exporter,") ||
			!strings.Contains(out, "published  100 flow records") || !strings.Contains(out, "inserted   100 flow records") {
			return fmt.Errorf("exit code %d\n%s", code, out)
		}
		if code, out := statusOf(t, collectors); code != 0 || !strings.Contains(out, "everything that came in was published and taken by ingesters") {
			return fmt.Errorf("exit code %d\n%s", code, out)
		}
		return nil
	})

	probe := []string{"CORDON_NATS_URL=" + s.NATS, dsn, "CORDON_HTTP_LISTEN=" + i.logged("http=")}
	if code, out := statusOf(t, probe, "--ready"); code != 0 || !strings.Contains(out, "clickhouse: ok\n") {
		t.Errorf("status --ready: exit code %d\n%s", code, out)
	}

	click.shut()
	send(101, 50)
	if code, out := statusOf(t, probe, "--ready"); code != 1 || strings.Contains(out, "clickhouse: ok\n") {
		t.Errorf("status --ready without ClickHouse: exit code %d\n%s", code, out)
	}
	eventually(t, patience, "status to say that ClickHouse is down", func() error {
		code, out := statusOf(t, both)
		if code != 1 || !strings.Contains(out, "batches are not inserted") || !strings.Contains(out, "[ingest on ") || !strings.Contains(out, "the store cannot be read") || strings.Contains(out, "was stored\n") {
			return fmt.Errorf("exit code %d\n%s", code, out)
		}
		if code, out := statusOf(t, collectors); code != 1 || !strings.Contains(out, "batches are not inserted") {
			return fmt.Errorf("exit code %d\n%s", code, out)
		}
		// What the collector itself answers names the ingester's trouble, too.
		return problemIn(web)
	})

	click.open(t)
	conn, err := net.Dial("udp", c.logged("ipfix_udp="))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	v9 := append([]byte{0, 9, 0, 1}, make([]byte, 60)...)
	if _, err := conn.Write(v9); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "status to say that all goes on, and to name NetFlow", func() error {
		code, out := statusOf(t, both)
		if code != 0 || !strings.Contains(out, "stored     150 flow records") || !strings.Contains(out, "warning  collector  NetFlow v9, which is not decoded, comes from an exporter: 127.0.0.1 (udp, 1)") {
			return fmt.Errorf("exit code %d\n%s", code, out)
		}
		return nil
	})
	code, out := statusOf(t, both, "--format", "json")
	var doc struct {
		Store  struct{ Flows int }
		Roles  []struct{ Role string }
		Stream struct{ Batches int }
	}
	if err := json.Unmarshal([]byte(out), &doc); err != nil || code != 0 || doc.Store.Flows != 150 || len(doc.Roles) != 3 {
		t.Errorf("exit code %d, %v: %+v", code, err, doc)
	}
}

// problemIn looks for the ingester's error in what a process answers over HTTP.
func problemIn(address string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/api/v1/status", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	var doc struct {
		Roles []struct {
			Role   string
			Ingest *struct{ Error string }
		}
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		return err
	}
	for _, r := range doc.Roles {
		if r.Ingest != nil && strings.Contains(r.Ingest.Error, "takes no batches") {
			return nil
		}
	}
	return fmt.Errorf("no ingester with an error: %s", out)
}
