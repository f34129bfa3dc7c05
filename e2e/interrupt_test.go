package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// interrupted sends Ctrl-C and checks that the command ends by it.
func interrupted(t *testing.T, p *process) {
	t.Helper()
	p.cmd.Process.Signal(os.Interrupt)
	select {
	case <-p.done:
	case <-time.After(patience):
		t.Fatalf("cordon %s goes on after Ctrl-C\n%s", p.name, tail(p.log.String(), 20))
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("cordon %s: exit code %d after Ctrl-C, want 130\n%s", p.name, code, tail(p.log.String(), 20))
	}
	if !strings.Contains(p.log.String(), "cordon: interrupted") {
		t.Errorf("cordon %s does not say that it was interrupted:\n%s", p.name, tail(p.log.String(), 20))
	}
}

// Ctrl-C ends a command that reads, although nobody writes any more.
func TestInterruptWhileReading(t *testing.T) {
	rows := "src_ip,dst_ip,proto,src_port,dst_port\n" + strings.Repeat("10.0.0.1,10.0.0.2,tcp,40000,443\n", 20_000)
	for _, args := range [][]string{{"import"}, {"generate-rules", "--format", "json", "--from"}} {
		for _, from := range []string{"-", "pipe"} {
			t.Run(args[0]+" "+from, func(t *testing.T) {
				dir := t.TempDir()
				var reader, writer *os.File
				var err error
				if from == "-" {
					reader, writer, err = os.Pipe()
				} else {
					from = filepath.Join(dir, from)
					if err := syscall.Mkfifo(from, 0o600); err != nil {
						t.Skipf("no named pipes here: %v", err)
					}
					writer, err = os.OpenFile(from, os.O_RDWR, 0)
				}
				if err != nil {
					t.Fatal(err)
				}
				defer writer.Close()
				p := prepare(t, []string{"CORDON_DATA_DIR=" + filepath.Join(dir, "data"), "TMPDIR=" + dir}, append(args, from)...)
				if reader != nil {
					p.cmd.Stdin = reader
					defer reader.Close()
				}
				p.run()
				// More than a pipe holds: when it is written, the command reads.
				if _, err := io.WriteString(writer, rows); err != nil {
					t.Fatal(err)
				}
				interrupted(t, p)
				if left, _ := filepath.Glob(filepath.Join(dir, "cordon-*")); len(left) > 0 {
					t.Errorf("temporary files are left: %q", left)
				}
			})
		}
	}
}

// Ctrl-C ends a command whose query takes long, and one that waits for a named
// pipe that nobody opens.
func TestInterruptWhileWaiting(t *testing.T) {
	asked := make(chan struct{}, 100)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	defer server.Close()
	env := []string{"CORDON_CLICKHOUSE_DSN=" + server.URL + "/cordon", "CORDON_DATA_DIR=" + t.TempDir()}
	for _, args := range [][]string{{"sql", "SELECT 1"}, {"sessions"}, {"proposals", "list"}, {"imports", "list"}} {
		p := start(t, env, args...)
		select {
		case <-asked:
		case <-p.done:
			t.Fatalf("cordon %s ended: %s", args[0], p.log.String())
		case <-time.After(patience):
			t.Fatalf("cordon %s asks nothing", args[0])
		}
		interrupted(t, p)
	}
}

// A command that waits for a server ends with Ctrl-C, too, and otherwise when its
// time is over, with exit code 3; it says once that it waits.
func TestServersAway(t *testing.T) {
	const waits = "trying again for up to"
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	dsn := "CORDON_CLICKHOUSE_DSN=http://user:s3cret@" + strings.TrimPrefix(gone.URL, "http://") + "/cordon"
	dir := "CORDON_DATA_DIR=" + t.TempDir()
	p := start(t, []string{dsn, dir, "CORDON_CONNECT_TIMEOUT=1h"}, "sql", "SELECT 1")
	eventually(t, patience, "the command to say that it waits", func() error {
		if !strings.Contains(p.log.String(), waits) {
			return os.ErrDeadlineExceeded
		}
		return nil
	})
	interrupted(t, p)
	for _, limit := range []int{0, 1} {
		text, code := output(t, []string{dsn, dir, "CORDON_CONNECT_TIMEOUT=" + strconv.Itoa(limit) + "s"}, "sessions")
		if n := strings.Count(text, waits); code != 3 || n != limit || strings.Contains(text, "s3cret") {
			t.Errorf("limit %d s: exit code %d, said %d times that it waits\n%s", limit, code, n, text)
		}
	}
	nats := []string{"CORDON_NATS_URL=nats://user:s3cret@127.0.0.1:1", dir, "CORDON_CONNECT_TIMEOUT=1s"}
	text, code := output(t, nats, "dead-letters", "list")
	if code != 3 || strings.Count(text, waits) != 1 || strings.Contains(text, "s3cret") {
		t.Errorf("NATS away: exit code %d\n%s", code, text)
	}
	if text, code := output(t, nats, "collect"); code != 3 || !strings.Contains(text, "trying again") || strings.Contains(text, "s3cret") {
		t.Errorf("cordon collect with NATS away: exit code %d\n%s", code, text)
	}
	// What is no address is not tried again, and shows no password either.
	bad := []string{"CORDON_CLICKHOUSE_DSN=http://user:s3cr%t@clickhouse:8123/cordon", dir}
	if text, code := output(t, bad, "sessions"); code != 2 || strings.Contains(text, waits) || strings.Contains(text, "s3cr%t") {
		t.Errorf("an address that is none: exit code %d\n%s", code, text)
	}
}

// Servers that are started again while a command begins are waited for, by
// commands and roles; a refused login is not.
func TestServersComeBack(t *testing.T) {
	dir := t.TempDir()
	srv, s := startServers(t, dir)
	env := append(s.env(), "CORDON_CONNECT_TIMEOUT=2m", "CORDON_DATA_DIR="+t.TempDir())
	cordon(t, env, "migrate")
	wrong := strings.Replace(s.env()[1], s.Key, "wrong", 1)
	text, code := output(t, append(env, wrong), "sql", "SELECT 1")
	if code == 0 || strings.Contains(text, "trying again") {
		t.Errorf("a wrong password: exit code %d\n%s", code, text)
	}
	srv.kill()
	waiting := []*process{
		start(t, env, "sql", "SELECT 1"), start(t, env, "import", flowFile(t, 1, 100)), start(t, env, "migrate"),
	}
	ingester := start(t, append(env, "CORDON_DATA_DIR="+t.TempDir()), "ingest")
	for _, p := range append(waiting, ingester) {
		eventually(t, patience, "cordon "+p.name+" to say that it waits", func() error {
			if !strings.Contains(p.log.String(), "does not answer") {
				return os.ErrDeadlineExceeded
			}
			return nil
		})
	}
	startServers(t, dir)
	for _, p := range waiting {
		select {
		case <-p.done:
		case <-time.After(patience):
			t.Fatalf("cordon %s did not end\n%s", p.name, tail(p.log.String(), 20))
		}
		if p.err != nil {
			t.Errorf("cordon %s: %v\n%s", p.name, p.err, tail(p.log.String(), 20))
		}
	}
	exactlyOnce(t, s.addresses(), 100)
}

// A data folder of someone else's is named with its owner, and what to do.
func TestAnotherUsersFolder(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("it takes root to run a command as another user")
	}
	const nobody = 65534
	top, err := os.MkdirTemp("", "cordon-owner-") // Other users may enter it.
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(top)
	exe := filepath.Join(top, "cordon")
	if data, err := os.ReadFile(binary); err != nil {
		t.Fatal(err)
	} else if err := os.WriteFile(exe, data, 0o755); err != nil {
		t.Fatal(err)
	}
	os.Chmod(top, 0o755)
	dir := filepath.Join(top, "data")
	cordon(t, []string{"CORDON_DATA_DIR=" + dir}, "import", flowFile(t, 1, 1))
	flows := filepath.Join(top, "flows.csv")
	if err := os.WriteFile(flows, []byte("src_ip,dst_ip,proto,src_port,dst_port\n10.0.0.1,10.0.0.2,tcp,40000,443\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o700, 0o755} {
		for _, d := range []string{dir, filepath.Join(dir, "clickhouse")} {
			if err := os.Chmod(d, mode); err != nil {
				t.Fatal(err)
			}
		}
		for _, args := range [][]string{{"sql", "SELECT 1"}, {"sessions"}, {"import", flows}, {"status"}, {"imports", "list"}, {"up"}, {"dead-letters", "list"}, {"migrate"}} {
			p := prepare(t, []string{"CORDON_DATA_DIR=" + dir}, args...)
			p.cmd.Path, p.cmd.Dir = exe, top
			p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
			p.run()
			<-p.done
			last := tail(p.log.String(), 1)
			if code := p.cmd.ProcessState.ExitCode(); code != 2 || !strings.Contains(last, "belongs to user root") || !strings.Contains(last, "run as its owner") || !strings.Contains(last, "data_dir") {
				t.Errorf("cordon %s, folder of mode %o: exit code %d\n%s", strings.Join(args, " "), mode, code, p.log.String())
			}
		}
	}
}
