package clickhousehttp

import (
	"context"
	"cordon/internal/chdb"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// TestInsertLeavesStdinAlone inserts from a file in a process whose standard
// input has more of the same, and in one whose standard input is silent.
func TestInsertLeavesStdinAlone(t *testing.T) {
	for name, in := range map[string]func() io.Reader{
		"more rows": func() io.Reader { return strings.NewReader("3\n4\n") },
		"a pipe that nobody writes to": func() io.Reader {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { w.Close(); r.Close() })
			return r
		},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), stdinEnv+"=leave")
			cmd.Stdin, cmd.Stderr = in(), os.Stderr
			want := "3" // the sum of 1 and 2
			if name == "more rows" {
				cmd.Env = append(os.Environ(), stdinEnv+"=read")
				want += " 3\n4\n"
			}
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			if got := string(out); got != want {
				t.Errorf("printed %q, want %q", got, want)
			}
		})
	}
}

// insertBesideStdin prints the sum of what it has inserted and, if asked to,
// what standard input still has.
func insertBesideStdin() int {
	err := func() error {
		if err := chdb.MoveStdin(); err != nil {
			return err
		}
		ctx := context.Background()
		c, err := Open(ctx, Config{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			return err
		}
		defer c.Close(ctx)
		conn, err := clickhouse.Open(c.Options())
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := conn.Exec(ctx, "CREATE TABLE numbers_in (n UInt64) ENGINE = MergeTree ORDER BY n"); err != nil {
			return err
		}
		if err := conn.InsertFormat(ctx, "CSV", "INSERT INTO numbers_in FORMAT CSV", strings.NewReader("1\n2\n")); err != nil {
			return err
		}
		var sum uint64
		if err := conn.QueryRow(ctx, "SELECT sum(n) FROM numbers_in").Scan(&sum); err != nil {
			return err
		}
		fmt.Print(sum)
		return nil
	}()
	if err == nil && os.Getenv(stdinEnv) == "read" {
		var left []byte
		left, err = io.ReadAll(os.Stdin)
		fmt.Printf(" %s", left)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
