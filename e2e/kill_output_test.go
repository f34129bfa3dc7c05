package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Files that a command writes appear whole: whenever it is killed, each is as it was or as it is to be, in a folder of
// several too.
func TestKillOutput(t *testing.T) {
	dir := t.TempDir()
	policyOf := func(name string, port int) string {
		var text strings.Builder
		text.WriteString("apiVersion: cordon/v1\nkind: Policy\nname: large\ndefault: deny\nrules:\n")
		for i := range 1500 {
			fmt.Fprintf(&text, "  - {name: r%d, sources: [\"ip:10.0.%d.%d\"], destinations: [\"ip:10.1.%d.%d\"], services: [tcp/%d]}\n", i, i/250, i%250, i%250, i/250, port)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	before, after := policyOf("before.yaml", 1000), policyOf("after.yaml", 2000)
	for _, format := range []string{"eos", "capirca"} {
		t.Run(format, func(t *testing.T) {
			convert := func(policy, out string) []string {
				if format == "eos" {
					if err := os.MkdirAll(out, 0o755); err != nil {
						t.Fatal(err)
					}
					out = filepath.Join(out, "large.cfg")
				}
				return []string{"policy", "convert", policy, "--to", format, "--output", out}
			}
			// What is right, for each file.
			right := map[string][][]byte{}
			for _, policy := range []string{before, after} {
				out := filepath.Join(t.TempDir(), "out")
				cordon(t, nil, convert(policy, out)...)
				for name, data := range filesOf(t, out) {
					right[name] = append(right[name], data)
				}
			}
			out := filepath.Join(t.TempDir(), "out")
			cordon(t, nil, convert(before, out)...)
			killed := 0
			// Each round kills the command a little later after its first file has begun to appear.
			for round := range 16 {
				if killedWhileWriting(t, out, round, convert([]string{after, before}[round%2], out)...) {
					killed++
				}
				for name, data := range filesOf(t, out) {
					if !slices.ContainsFunc(right[name], func(b []byte) bool { return bytes.Equal(b, data) }) {
						t.Fatalf("round %d: %s has %d bytes that no run writes", round, name, len(data))
					}
				}
				for _, left := range staged(t, out) {
					if err := os.Remove(left); err != nil {
						t.Fatal(err)
					}
				}
				if killed >= 4 {
					break
				}
			}
			if killed == 0 {
				t.Fatal("no run was killed while it wrote")
			}
			// The next run is as good as any.
			cordon(t, nil, convert(after, out)...)
			for name, data := range filesOf(t, out) {
				if !bytes.Equal(data, right[name][1]) {
					t.Errorf("%s is not what the last run wrote", name)
				}
			}
		})
	}
}

// killedWhileWriting runs a command, and kills it soon after the first of its files has begun to appear in a folder:
// the later, the more looks it is given. It reports whether the command was still running.
func killedWhileWriting(t *testing.T, out string, looks int, args ...string) bool {
	t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Env = environment()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for len(staged(t, out)) == 0 {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("%s: %v", strings.Join(args, " "), err)
			}
			return false
		default:
		}
	}
	for range looks {
		staged(t, out) // It takes a moment, and the command goes on meanwhile.
	}
	_ = cmd.Process.Kill()
	return <-ended != nil
}

// staged lists the hidden files of a folder, which are not in place yet.
func staged(t *testing.T, dir string) (hidden []string) {
	t.Helper()
	walk(t, dir, func(path string) {
		if strings.HasPrefix(filepath.Base(path), ".") {
			hidden = append(hidden, path)
		}
	})
	return hidden
}

// filesOf reads the files of a folder that are in place.
func filesOf(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	walk(t, dir, func(path string) {
		if strings.HasPrefix(filepath.Base(path), ".") {
			return
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimPrefix(path, dir)] = data
	})
	if len(out) == 0 {
		t.Fatalf("%s has no files", dir)
	}
	return out
}

// walk calls a function with every file of a folder. A file may go while it looks.
func walk(t *testing.T, dir string, file func(path string)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case !d.IsDir():
			file(path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
