// Package killtest lets the test binary of a package be a server that is killed
// while it writes, to see what it acknowledged on the disk afterwards.
package killtest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
)

// The environment variables that make the test binary a victim.
const (
	victimEnv = "CORDON_TEST_VICTIM"
	dirEnv    = "CORDON_TEST_VICTIM_DIR"
	fromEnv   = "CORDON_TEST_VICTIM_FROM" // the first batch to write
)

// Open opens a server on a folder and returns what writes a batch to it and
// waits for the acknowledgement.
type Open func(dir string) (write func(batch int) error, err error)

// Main is called by TestMain first: in a victim it writes batch after batch and
// says so on standard output when each is acknowledged, until it is killed.
func Main(victims map[string]Open) {
	open, ok := victims[os.Getenv(victimEnv)]
	if !ok {
		return
	}
	fmt.Fprintln(os.Stderr, "victim:", run(open))
	os.Exit(1)
}

func run(open Open) error {
	from, err := strconv.Atoi(os.Getenv(fromEnv))
	if err != nil {
		return err
	}
	write, err := open(os.Getenv(dirEnv))
	if err != nil {
		return err
	}
	for batch := from; ; batch++ {
		if err := write(batch); err != nil {
			return err
		}
		fmt.Println(batch)
	}
}

// Command runs the test binary as a victim that begins with batch from.
func Command(victim, dir string, from int) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), victimEnv+"="+victim, dirEnv+"="+dir, fromEnv+"="+strconv.Itoa(from))
	return cmd
}

// After runs a victim until it acknowledged some batches, kills it at once, and
// returns the number of the last batch that it acknowledged.
func After(t *testing.T, victim, dir string, from, batches int) int {
	t.Helper()
	cmd := Command(victim, dir, from)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	last := from - 1
	for s := bufio.NewScanner(out); s.Scan(); {
		n, err := strconv.Atoi(s.Text())
		if err != nil {
			t.Fatal(err)
		}
		last = n
		if n == from+batches {
			cmd.Process.Kill() // Lines written meanwhile are still read.
		}
	}
	cmd.Wait() // Its error names the signal.
	if last < from+batches {
		t.Fatalf("the victim ended by itself after batch %d", last)
	}
	return last
}
