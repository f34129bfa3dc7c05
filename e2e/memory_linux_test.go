package e2e

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// --max-memory holds for the whole process, ClickHouse included, where it would take more: a long file is read ahead,
// folded into sessions and inserted at once.
func TestMaxMemoryHoldsForTheProcess(t *testing.T) {
	const records, bound = 400_000, 512
	name := filepath.Join(t.TempDir(), "flows.csv")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, "start_time,src_ip,dst_ip,src_port,dst_port,proto,bytes,packets")
	for i := range records {
		fmt.Fprintf(w, "%d,10.1.%d.%d,10.2.0.%d,%d,443,tcp,100,1\n", 1644451200+i/8, i%3, i%200, i%7, 32768+i%20000)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	f.Close()
	cmd := exec.Command(binary, "generate-rules", "--from", name, "--format", "json", "--max-memory", fmt.Sprintf("%dMiB", bound))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, &stderr)
	}
	if peak := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss >> 10; peak > bound {
		t.Errorf("the process had %d MiB resident", peak)
	} else {
		t.Logf("%d MiB", peak)
	}
}
