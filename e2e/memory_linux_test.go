package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// --max-memory holds for the whole process, ClickHouse included, with more sessions than its parts have room for at once; the
// proposal is what it is without a bound.
func TestMaxMemoryHoldsForTheProcess(t *testing.T) {
	flows := flowFile(t, 1, 60_000)
	var proposals [2][]byte
	var peaks [2]int64
	for i, args := range [][]string{nil, {"--max-memory", "512MiB"}} {
		cmd := exec.Command(binary, append([]string{"generate-rules", "--from", flows, "--format", "json", "--ungrouped", "report"}, args...)...)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd.Args, err, &stderr)
		}
		proposals[i] = stdout.Bytes()
		peaks[i] = cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss >> 10
	}
	t.Logf("%d MiB without a bound, %d with 512", peaks[0], peaks[1])
	if peaks[1] > 512 {
		t.Errorf("the process had %d MiB resident", peaks[1])
	}
	if !bytes.Equal(proposals[0], proposals[1]) {
		t.Error("the bound changes the proposal")
	}
}
