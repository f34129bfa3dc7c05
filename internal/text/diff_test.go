package text

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// An edit makes the second list of the first, is empty for equal ones, and has as many lines as that of diff.
func TestDiff(t *testing.T) {
	program, err := exec.LookPath("diff")
	if err != nil {
		t.Skip("diff is not installed")
	}
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		line := rapid.SampledFrom([]string{"a", "b", "c", "d", "!"})
		a, b := rapid.SliceOfN(line, 0, 12).Draw(t, "a"), rapid.SliceOfN(line, 0, 12).Draw(t, "b")
		edits := Diff(a, b)
		var back, forth []string
		for _, e := range edits {
			if e.Kind <= 0 {
				back = append(back, e.Line)
			}
			if e.Kind >= 0 {
				forth = append(forth, e.Line)
			}
		}
		if !slices.Equal(back, a) || !slices.Equal(forth, b) {
			t.Fatalf("%v", edits)
		}
		added, removed := Changed(edits)
		if len(a) != len(b) && added+removed == 0 || slices.Equal(a, b) && added+removed > 0 {
			t.Fatalf("%d added, %d removed", added, removed)
		}
		if rapid.IntRange(0, 4).Draw(t, "often") > 0 {
			return
		}
		names := []string{filepath.Join(dir, "a"), filepath.Join(dir, "b")}
		for i, list := range [][]string{a, b} {
			text := strings.Join(list, "\n")
			if text != "" {
				text += "\n"
			}
			if err := os.WriteFile(names[i], []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		out, _ := exec.Command(program, "-d", "-u", names[0], names[1]).Output()
		var plus, minus int
		for i, l := range strings.Split(string(out), "\n") {
			switch {
			case i < 2 || l == "":
			case l[0] == '+':
				plus++
			case l[0] == '-':
				minus++
			}
		}
		if plus != added || minus != removed {
			t.Fatalf("diff: %d added, %d removed; here %d, %d\n%v\n%v", plus, minus, added, removed, a, b)
		}
	})
}

// Texts that differ everywhere take bounded work, and still become one another.
func TestDiffLarge(t *testing.T) {
	var a, b []string
	for i := range 20000 {
		a = append(a, strings.Repeat("x", i%7)+string(rune('a'+i%26)), "once "+strings.Repeat("y", i%50)+string(rune(i)))
		if i%3 > 0 {
			b = append(b, strings.Repeat("z", i%5), "once "+strings.Repeat("y", i%50)+string(rune(i)))
		}
	}
	var forth []string
	for _, e := range Diff(a, b) {
		if e.Kind >= 0 {
			forth = append(forth, e.Line)
		}
	}
	if !slices.Equal(forth, b) {
		t.Fatal("the edit does not make the second list")
	}
}
