package e2e

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// smallDisk mounts a disk of a size such as 200m.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("a small disk cannot be made (it takes root): %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// fill writes a file until the disk is full.
func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 1<<20); err == nil; {
		_, err = f.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

// get gives the body of a page of a running cordon.
func get(url string) string {
	resp, err := http.Get(url)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return string(body)
}

// output runs cordon and gives all that it says, and its exit code.
func output(t *testing.T, env []string, args ...string) (string, int) {
	t.Helper()
	p := start(t, env, args...)
	<-p.done
	return p.log.String(), p.cmd.ProcessState.ExitCode()
}

// The disk fills while records come, and has space again later. Meanwhile the
// full disk is named everywhere; afterwards everything goes on by itself, and
// each record that was sent is stored once.
func TestDiskFull(t *testing.T) {
	disk := smallDisk(t, "400m")
	dir, filler := filepath.Join(disk, "data"), filepath.Join(disk, "filler")
	p, a := up(t, dir)
	env := []string{"CORDON_DATA_DIR=" + dir}
	send := func(file string) { cordon(t, env, "replay", "--transport", "tcp", "--to", a.TCP[0], file) }
	stored := func(n int) {
		t.Helper()
		eventually(t, patience, fmt.Sprintf("%d records to be stored", n), func() error {
			got, err := a.query("SELECT count() FROM flows")
			if err == nil && got != fmt.Sprint(n) {
				err = fmt.Errorf("%s are", got)
			}
			return err
		})
	}
	send(flowFile(t, 1, 500))
	stored(500)

	fill(t, filler)
	send(flowFile(t, 501, 500))
	eventually(t, patience, "/readyz to name the full disk", func() error {
		body := get("http://" + a.HTTP + "/readyz")
		for _, folder := range []string{"nats", "clickhouse", "collector"} {
			if !strings.Contains(body, "disk is full") || !strings.Contains(body, filepath.Join(dir, folder)) {
				return errors.New(body)
			}
		}
		for _, part := range []string{"clickhouse", "disk", "ingest", "nats"} {
			if strings.Contains("\n"+body, "\n"+part+": ok") {
				return fmt.Errorf("%s is said to be ready:\n%s", part, body)
			}
		}
		return nil
	})
	if body := get("http://" + a.HTTP + "/metrics"); !strings.Contains(body, fmt.Sprintf(`cordon_disk_full{folder="%s",holds="nats"} 1`, filepath.Join(dir, "nats"))) {
		t.Errorf("the metrics do not name the full disk:\n%s", body)
	}
	text, code := output(t, env, "status")
	for _, want := range []string{"problem", "the disk of " + filepath.Join(dir, "nats") + " is full", "the disk of " + filepath.Join(dir, "clickhouse") + " is full"} {
		if code != 1 || !strings.Contains(text, want) {
			t.Errorf("status, exit code %d, does not say %q:\n%s", code, want, text)
		}
	}

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "every part to be ready again", func() error {
		if body := get("http://" + a.HTTP + "/readyz"); strings.Count(body, ": ok\n") != strings.Count(body, "\n") {
			return errors.New(body)
		}
		return nil
	})
	stored(1000)
	send(flowFile(t, 1001, 500))
	exactlyOnce(t, a, 1500)

	// A start on a disk that is full is refused in one line, and does no harm.
	p.stop()
	fill(t, filler)
	for _, args := range [][]string{{"up"}, {"sql", "SELECT 1"}} {
		text, code := output(t, env, args...)
		last := tail(text, 1)
		if code != 1 || !strings.Contains(last, dir) || !strings.Contains(last, "64 MiB") || !strings.Contains(last, "data_dir") {
			t.Errorf("cordon %s on a full disk: exit code %d\n%s", args[0], code, text)
		}
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	_, a = up(t, dir)
	exactlyOnce(t, a, 1500)
}

// Rules from a file, and a store of its own, take little of a disk.
func TestLittleDisk(t *testing.T) {
	disk := smallDisk(t, "100m")
	env := []string{"TMPDIR=" + disk, "CORDON_DATA_DIR=" + filepath.Join(disk, "data")}
	if text, code := output(t, env, "generate-rules", "--from", flowFile(t, 1, 10), "--format", "json", "--output", os.DevNull); code != 0 {
		t.Errorf("generate-rules: exit code %d\n%s", code, text)
	}
	fill(t, filepath.Join(disk, "filler"))
	text, code := output(t, env, "generate-rules", "--from", flowFile(t, 1, 10), "--format", "json", "--output", os.DevNull)
	if last := tail(text, 1); code != 1 || !strings.Contains(last, disk) || !strings.Contains(last, "64 MiB") || !strings.Contains(last, "TMPDIR") {
		t.Errorf("generate-rules on a full disk: exit code %d\n%s", code, text)
	}
}
