package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary is cordon, built once for all tests.
var binary string

func TestMain(m *testing.M) {
	if job := os.Getenv(senderEnv); job != "" {
		os.Exit(runSender(job))
	}
	if dir := os.Getenv(natsEnv); dir != "" {
		fmt.Fprintln(os.Stderr, runNATS(dir))
		os.Exit(1)
	}
	if dir := os.Getenv(serversEnv); dir != "" {
		fmt.Fprintln(os.Stderr, runServers(dir))
		os.Exit(1)
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "cordon-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "cordon")
		build := exec.Command("go", "build", "-o", binary, "cordon/cmd/cordon")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build cordon: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// process is a running cordon.
type process struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	log  *logBuffer
	done chan struct{} // closed when the process has ended
	err  error
}

// logBuffer keeps what a process writes to standard error.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// addresses is the run file of `cordon up`.
type addresses struct {
	PID        int      `json:"pid"`
	NATS       string   `json:"nats"`
	HTTP       string   `json:"http"`
	ClickHouse string   `json:"clickhouse"`
	UDP        []string `json:"udp"`
	TCP        []string `json:"tcp"`
}

// freePorts makes every server of a cordon take a port that is free.
var freePorts = []string{
	"CORDON_COLLECTOR_UDP_LISTEN=127.0.0.1:0", "CORDON_COLLECTOR_TCP_LISTEN=127.0.0.1:0",
	"CORDON_NATS_LISTEN=127.0.0.1:0", "CORDON_CLICKHOUSE_LISTEN=127.0.0.1:0", "CORDON_HTTP_LISTEN=127.0.0.1:0",
	"CORDON_LOG_FORMAT=text",
}

// environment is the test's own, with the library's place made explicit,
// since the binary lies elsewhere.
func environment(extra ...string) []string {
	env := append(os.Environ(), freePorts...)
	if root, err := filepath.Abs(".."); err == nil && os.Getenv("CORDON_CHDB_LIBRARY") == "" {
		if libs, _ := filepath.Glob(filepath.Join(root, ".cache", "chdb", "*", "libchdb.so")); len(libs) > 0 {
			env = append(env, "CORDON_CHDB_LIBRARY="+libs[len(libs)-1])
		}
	}
	return append(env, extra...)
}

// start starts cordon with args; it is killed at the end of the test.
func start(t testing.TB, env []string, args ...string) *process {
	t.Helper()
	p := prepare(t, env, args...)
	p.run()
	return p
}

// prepare is start without starting it.
func prepare(t testing.TB, env []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: args[0], cmd: exec.Command(binary, args...), log: new(logBuffer), done: make(chan struct{})}
	p.cmd.Env = environment(env...)
	p.cmd.Dir = t.TempDir()
	return p
}

// run starts the process, and has it killed at the end of the test.
func (p *process) run() {
	p.t.Helper()
	p.cmd.Stderr, p.cmd.Stdout = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	p.t.Cleanup(func() {
		p.kill()
		if p.t.Failed() {
			p.t.Logf("log of %s:\n%s", strings.Join(p.cmd.Args, " "), tail(p.log.String(), 60))
		}
	})
}

// kill ends the process as a power cut of the process would: SIGKILL.
func (p *process) kill() {
	p.cmd.Process.Signal(syscall.SIGKILL)
	<-p.done
}

// stop asks the process to end, and fails the test if it does not do so well.
func (p *process) stop() {
	p.t.Helper()
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("cordon %s did not stop within 60 s of SIGTERM", p.name)
	}
	if p.err != nil {
		p.t.Fatalf("cordon %s stopped with %v\n%s", p.name, p.err, tail(p.log.String(), 30))
	}
}

// up starts `cordon up` on dir and waits until every part is ready.
func up(t testing.TB, dir string, env ...string) (*process, addresses) {
	t.Helper()
	p := start(t, env, "up", "--data-dir", dir)
	return p, p.ready(dir)
}

// ready waits for the run file of this very process and for /readyz.
func (p *process) ready(dir string) (a addresses) {
	p.t.Helper()
	eventually(p.t, patience, "cordon "+p.name+" to be ready", func() error {
		select {
		case <-p.done:
			p.t.Fatalf("cordon %s ended: %v\n%s", p.name, p.err, tail(p.log.String(), 30))
		default:
		}
		data, err := os.ReadFile(filepath.Join(dir, "up.json"))
		if err != nil {
			return err
		}
		a = addresses{}
		if err := json.Unmarshal(data, &a); err != nil {
			return err
		}
		if a.PID != p.cmd.Process.Pid {
			return fmt.Errorf("run file is of process %d", a.PID)
		}
		resp, err := http.Get("http://" + a.HTTP + "/readyz")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("readyz: %s", body)
		}
		return nil
	})
	return a
}

// query asks the ClickHouse interface that a running cordon serves, as any
// client would.
func (a addresses) query(q string) (string, error) {
	resp, err := http.Get("http://" + a.ClickHouse + "/?database=cordon&query=" + url.QueryEscape(q))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", resp.Status, body)
	}
	return strings.TrimSpace(string(body)), nil
}

// count is query for one number.
func (a addresses) count(t testing.TB, q string) int {
	t.Helper()
	s, err := a.query(q)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("%s: %q is not a number", q, s)
	}
	return n
}

// cordon runs a command to its end and gives its standard output.
func cordon(t testing.TB, env []string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = environment(env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("cordon %s: %v\n%s", strings.Join(args, " "), err, tail(stderr.String(), 30))
	}
	return stdout.String()
}

// patience is how long a test waits for what must come, on the slowest machine.
const patience = 2 * time.Minute

// eventually waits until check gives nil; the test fails with its last error.
func eventually(t testing.TB, limit time.Duration, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s: %v", limit, what, err)
		}
		time.Sleep(20 * time.Millisecond) // A pause separates looks at a condition; it replaces none.
	}
}

func tail(s string, lines int) string {
	l := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(l[max(0, len(l)-lines):], "\n")
}
