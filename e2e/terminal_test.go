package e2e

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
)

// terminal is a cordon on a terminal of its own.
type terminal struct {
	*process
	pty *os.File
}

func onTerminal(t *testing.T, env []string, args ...string) *terminal {
	t.Helper()
	p := &process{t: t, name: args[0], cmd: exec.Command(binary, args...), log: new(logBuffer), done: make(chan struct{})}
	p.cmd.Env = append(environment(env...), "TERM=xterm", "HOME="+t.TempDir())
	f, err := pty.StartWithSize(p.cmd, &pty.Winsize{Rows: 40, Cols: 100})
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		io.Copy(p.log, f) // ends when the process does
	}()
	go func() {
		p.err = p.cmd.Wait()
		<-read
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		f.Close()
		if t.Failed() {
			t.Logf("terminal:\n%s", p.log.String())
		}
	})
	return &terminal{p, f}
}

// types sends keys, and waits until what was printed since has a text.
func (x *terminal) types(keys, want string) {
	x.t.Helper()
	from := len(x.log.String())
	if _, err := x.pty.WriteString(keys); err != nil {
		x.t.Fatal(err)
	}
	x.shows(from, want)
}

func (x *terminal) shows(from int, want string) {
	x.t.Helper()
	eventually(x.t, patience, fmt.Sprintf("the terminal to show %q", want), func() error {
		if !strings.Contains(x.log.String()[from:], want) {
			return errors.New(tail(x.log.String()[from:], 10))
		}
		return nil
	})
}

// A session of `cordon sql`: Ctrl-C ends the query and not the session, an
// error is short and shows the place, and the commands do what \? says.
func TestSQLSession(t *testing.T) {
	dir := t.TempDir()
	up(t, dir)
	x := onTerminal(t, nil, "sql", "--data-dir", dir)
	x.shows(0, "cordon> ")
	x.types("\\?\r", "the columns of one")
	x.types("\\d\r", "sessions")
	x.types("\\d flows\r", "src_port")
	x.types("\\d nonsense\r", "there is no table nonsense")
	x.types("\\x\r", "there is no command \\x")
	x.types("\\timing\r", "Timing is on.")
	x.types("SELECT 41 + 1 AS answer;\r", "Time: ")
	x.types("SELECT 1 FORM flows;\r", "syntax error, at line 1, column 15:")
	x.types("sel\t 6*7 AS lower;\r", "42")
	// A query that takes far longer than anybody waits.
	x.types("SELECT count() FROM numbers(100000000000) WHERE sipHash64(number, 1) % 7 = 8;\r\n", "\n")
	for cancelled := false; !cancelled; {
		from := len(x.log.String())
		if _, err := x.pty.WriteString("\x03"); err != nil {
			t.Fatal(err)
		}
		// Until the query runs, the key forgets the line; then it comes again.
		wait(x.done, time.Second)
		cancelled = strings.Contains(x.log.String(), "The query was cancelled after") || strings.Contains(x.log.String()[from:], "cancelled")
	}
	x.types("SELECT 1234567 + 1 AS still_here;\r", "1234568")
	if _, err := x.pty.WriteString("\\q\r"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-x.done:
	case <-time.After(patience):
		t.Fatal("\\q does not end the session")
	}
	if x.err != nil {
		t.Errorf("the session ended with %v", x.err)
	}
	for _, bad := range []string{"DB::Exception", "Expected one of"} {
		if strings.Contains(x.log.String(), bad) {
			t.Errorf("the session shows %q", bad)
		}
	}
}
