package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cordon/internal/clickhousehttp"
	"cordon/internal/natsserver"
)

// serversEnv makes the test binary run NATS and ClickHouse as a process of
// its own, which stand for the external servers of the separate roles.
const serversEnv = "CORDON_E2E_SERVERS"

// servers is what that process writes into its folder once both are ready.
type servers struct {
	PID        int    `json:"pid"`
	NATS       string `json:"nats"`
	ClickHouse string `json:"clickhouse"` // host:port
	Key        string `json:"key"`        // password of user cordon
}

// runServers serves until it is killed. Ports are those of the run before, if
// there was one.
func runServers(dir string) error {
	var s servers
	if data, err := os.ReadFile(filepath.Join(dir, "servers.json")); err == nil {
		json.Unmarshal(data, &s)
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	listen := func(old string) string {
		if old == "" {
			return "127.0.0.1:0"
		}
		return old
	}
	n, err := natsserver.Start(natsserver.Config{Dir: filepath.Join(dir, "nats"), Listen: listen(hostPort(s.NATS)), Log: log})
	if err != nil {
		return err
	}
	chDir := filepath.Join(dir, "clickhouse")
	ch, err := clickhousehttp.Open(context.Background(), clickhousehttp.Config{Dir: chDir, Listen: listen(s.ClickHouse), Log: log})
	if err != nil {
		return err
	}
	_, opts, err := clickhousehttp.Running(chDir)
	if err != nil {
		return err
	}
	data, err := json.Marshal(servers{os.Getpid(), n.URL(), ch.HTTPAddr(), opts.Auth.Password})
	if err != nil {
		return err
	}
	tmp := filepath.Join(dir, "servers.tmp")
	if err := errors.Join(os.WriteFile(tmp, data, 0o600), os.Rename(tmp, filepath.Join(dir, "servers.json"))); err != nil {
		return err
	}
	select {}
}

// startServers starts that process and waits until both servers are ready.
func startServers(t testing.TB, dir string) (*process, servers) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, name: "servers", cmd: exec.Command(exe), log: new(logBuffer), done: make(chan struct{})}
	p.cmd.Env = environment(serversEnv + "=" + dir)
	p.run()
	var s servers
	eventually(t, patience, "the servers to be ready", func() error {
		data, err := os.ReadFile(filepath.Join(dir, "servers.json"))
		if err != nil {
			return err
		}
		if err := json.Unmarshal(data, &s); err != nil {
			return err
		}
		if s.PID != p.cmd.Process.Pid {
			return fmt.Errorf("servers.json is of process %d\n%s", s.PID, tail(p.log.String(), 5))
		}
		return nil
	})
	return p, s
}

func (s servers) env() []string {
	return []string{"CORDON_NATS_URL=" + s.NATS, "CORDON_CLICKHOUSE_DSN=http://cordon:" + s.Key + "@" + s.ClickHouse + "/cordon"}
}

func (s servers) addresses() addresses { return addresses{NATS: s.NATS, ClickHouse: s.ClickHouse} }

// One ingester after the other, and the servers themselves, are killed while
// an import publishes and two ingesters insert.
func TestKillIngestersAndServers(t *testing.T) {
	dir := t.TempDir()
	srv, s := startServers(t, dir)
	env := append(s.env(), "CORDON_COLLECTOR_BATCH_MAX_ROWS=1000", "CORDON_COLLECTOR_STOP_TIMEOUT=60s")
	cordon(t, env, "migrate")

	newIngester := func() *process { return start(t, env, "ingest", "--data-dir", t.TempDir()) }
	ingesters := []*process{newIngester(), newIngester()}
	total := 0
	for round := range killRounds {
		imp := start(t, env, "import", "--data-dir", t.TempDir(), flowFile(t, total+1, recordsARound))
		total += recordsARound
		wait(imp.done, killAfter(round))
		if round%3 == 2 {
			srv.kill()
			srv, _ = startServers(t, dir)
		} else {
			i := round % len(ingesters)
			ingesters[i].kill()
			ingesters[i] = newIngester()
		}
		select {
		case <-imp.done:
		case <-time.After(patience):
			t.Fatalf("import of round %d did not end\n%s", round, tail(imp.log.String(), 20))
		}
		if imp.err != nil {
			t.Fatalf("import of round %d: %v\n%s", round, imp.err, tail(imp.log.String(), 20))
		}
		exactlyOnce(t, s.addresses(), total)
	}
	for _, i := range ingesters {
		i.stop()
	}
}

// A collector is killed while it receives. What it had not sealed is gone;
// what it had is stored once, and the next collector goes on.
func TestKillCollector(t *testing.T) {
	_, s := startServers(t, t.TempDir())
	env := append(s.env(), "CORDON_COLLECTOR_BATCH_MAX_AGE=50ms")
	cordon(t, env, "migrate")
	start(t, env, "ingest", "--data-dir", t.TempDir())

	dir, stored := t.TempDir(), 0
	for round := range 4 {
		c := start(t, append(env, "CORDON_HTTP_LISTEN=127.0.0.1:0"), "collect", "--data-dir", dir)
		to := c.listening()
		file := flowFile(t, round*recordsARound+1, recordsARound)
		rep := start(t, env, "replay", file, "--to", to, "--transport", "tcp")
		// Once some of this round is stored, the collector is in full swing.
		eventually(t, patience, "records of this round", func() error {
			n := s.addresses().count(t, "SELECT count() FROM flows")
			if n <= stored {
				return fmt.Errorf("%d rows, %d before this round", n, stored)
			}
			return nil
		})
		c.kill()
		<-rep.done
		// The stream empties; nothing is stored twice.
		eventually(t, patience, "the stream to be empty", func() error {
			out := cordon(t, env, "status", "--data-dir", t.TempDir(), "--format", "json")
			if !strings.Contains(out, `"batches": 0,`) {
				return errors.New(out)
			}
			return nil
		})
		n := s.addresses().count(t, "SELECT count() FROM flows")
		if distinct := s.addresses().count(t, "SELECT uniqExact(bytes) FROM flows"); distinct != n {
			t.Fatalf("%d rows, %d of them different", n, distinct)
		}
		stored = n
	}
}

// listening waits until a collector says where it listens for IPFIX over TCP.
func (p *process) listening() string {
	p.t.Helper()
	return p.logged("ipfix_tcp=")
}

// logged waits until a process says that it is up, and gives the value of a key
// of that line: an address, or the first of a list.
func (p *process) logged(key string) (value string) {
	p.t.Helper()
	eventually(p.t, patience, "the line with "+key, func() error {
		for line := range strings.Lines(p.log.String()) {
			if _, rest, ok := strings.Cut(line, " "+key); ok && strings.Contains(line, "cordon is up") {
				value = strings.Trim(strings.Fields(rest)[0], "[]")
				return nil
			}
		}
		return errors.New(tail(p.log.String(), 3))
	})
	return value
}
