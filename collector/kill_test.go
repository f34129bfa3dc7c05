package collector

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"cordon/internal/bus"

	gocmp "github.com/google/go-cmp/cmp"
)

// TestKill kills a collector, again and again, at moments when NATS comes and
// goes. Every record of a batch that was acknowledged or on disk is stored once.
func TestKill(t *testing.T) {
	s := startNATS(t)
	s.connect()
	dir := t.TempDir()
	e := newExporter(1)
	sent := 0
	for round := range 4 {
		k := startKillable(t, s, dir)
		conn := dial(t, "udp", k.address)
		send(t, conn, e.template())
		for i := range 30 {
			send(t, conn, e.data(sent, 20))
			sent += 20
			// One datagram is one batch here: wait until it is safe.
			k.until(t, func(st Status) bool {
				return st.Publisher.QueuedBatches == 0 && st.Sealer.OpenRecords == 0 && st.Records == uint64(20*(i+1))
			})
			if i == 10+round {
				s.stop()
			}
			if i == 20 && round%2 == 0 {
				s.start()
			}
		}
		k.kill(t)
		if s.n == nil {
			s.start()
		}
	}
	c := start(t, testConfig(), Deps{Bus: s.connect(), Dir: dir})
	eventually(t, "the spool is empty", func() bool { return c.Status().Publisher.SpooledBatches == 0 })
	if d := gocmp.Diff(upTo(sent), bytesOf(readStream(t, c.deps.Bus).records)); d != "" {
		t.Errorf("(-want +got):\n%.2000s", d)
	}
	if damaged, _ := filepath.Glob(filepath.Join(dir, "spool", "*"+damagedSuffix)); len(damaged) > 0 {
		t.Errorf("damaged files: %v", damaged)
	}
}

// killable is a collector in a process of its own.
type killable struct {
	cmd     *exec.Cmd
	address string
	ask     interface{ Write([]byte) (int, error) }
	answers *json.Decoder
}

func startKillable(t *testing.T, s *natsServer, dir string) *killable {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "nats://"+s.listen, dir)
	cmd.Env = append(os.Environ(), helperVariable+"=collector")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	k := &killable{cmd: cmd, ask: in, answers: json.NewDecoder(out)}
	t.Cleanup(func() { k.kill(t) })
	k.until(t, func(st Status) bool {
		if len(st.Listeners) == 0 {
			return false
		}
		k.address = st.Listeners[0].Address
		return true
	})
	return k
}

// until asks for the status until ok.
func (k *killable) until(t *testing.T, ok func(Status) bool) {
	t.Helper()
	eventually(t, "the collector has reached a state", func() bool {
		var st Status
		if _, err := fmt.Fprintln(k.ask); err != nil {
			t.Fatal(err)
		}
		if err := k.answers.Decode(&st); err != nil {
			t.Fatal(err)
		}
		return ok(st)
	})
}

func (k *killable) kill(t *testing.T) {
	if k.cmd.ProcessState != nil {
		return
	}
	if err := k.cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = k.cmd.Wait() // "signal: killed"
}

// helperCollector runs a collector that prints its status for each line it reads.
func helperCollector() {
	cfg := bus.DefaultConfig()
	cfg.URL = os.Args[1]
	b, err := bus.Connect(cfg)
	helperMust(err)
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	config := testConfig()
	config.Batch.MaxAge = time.Millisecond
	c, err := New(config, Deps{Bus: b, Dir: os.Args[2], Log: log})
	helperMust(err)
	go func() { helperMust(c.Run(context.Background())) }()
	out := json.NewEncoder(os.Stdout)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		helperMust(out.Encode(c.Status()))
	}
}
