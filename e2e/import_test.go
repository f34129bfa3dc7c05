package e2e

import (
	"fmt"
	"testing"
	"time"
)

// An import that is killed, at whatever moment, is complete after the same file
// was imported again, and its rows are there once; so are those of an undo that
// is killed, gone after the next one.
func TestKillImport(t *testing.T) {
	dir := t.TempDir()
	env := []string{"CORDON_COLLECTOR_BATCH_MAX_ROWS=1000"}
	_, a := up(t, dir, env...)
	file := flowFile(t, 1, recordsARound)
	for round := range 3 {
		imp := start(t, env, "import", "--data-dir", dir, file)
		wait(imp.done, time.Duration(round+1)*300*time.Millisecond)
		imp.kill()
	}
	cordon(t, env, "import", "--data-dir", dir, file)
	exactlyOnce(t, a, recordsARound)
	cordon(t, env, "import", "--data-dir", dir, file)
	exactlyOnce(t, a, recordsARound)

	id := fmt.Sprint(a.count(t, "SELECT max(id) FROM imports WHERE state = 'done'"))
	undo := start(t, env, "imports", "undo", id, "--data-dir", dir)
	wait(undo.done, 150*time.Millisecond)
	undo.kill()
	cordon(t, env, "imports", "undo", id, "--data-dir", dir)
	if n := a.count(t, "SELECT (SELECT count() FROM flows) + (SELECT count() FROM sessions_hourly)"); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	cordon(t, env, "import", "--data-dir", dir, file)
	exactlyOnce(t, a, recordsARound)
}
