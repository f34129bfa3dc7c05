package cover

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestAgainstCBC lets the solver cbc cover random tensors by all their maximal boxes.
func TestAgainstCBC(t *testing.T) {
	t.Parallel()
	cbc, err := exec.LookPath("cbc")
	if err != nil {
		t.Skip("cbc is not installed (Debian: coinor-cbc)")
	}
	var seed random
	for n := range 12 {
		p := Problem{Dims: [3]int{6 + seed.below(3), 5 + seed.below(3), 4 + seed.below(3)}}
		dense := 4 + seed.below(5)
		for i := range p.Dims[0] {
			for j := range p.Dims[1] {
				for k := range p.Dims[2] {
					c := Cell{int32(i), int32(j), int32(k)}
					switch x := seed.below(10); {
					case x < dense:
						p.Ones = append(p.Ones, c)
					case x == 9 && n%3 == 0:
						p.DontCare = append(p.DontCare, c)
					}
				}
			}
		}
		s := mustSolve(t, p)
		want := integerProgram(t, cbc, p)
		if len(s.Boxes) != want || !s.Optimal {
			t.Errorf("problem %d of %d cells: %d boxes, bound %d by %s; cbc needs %d", n, len(p.Ones), len(s.Boxes), s.LowerBound, s.Method, want)
		}
	}
}

func mustSolve(t *testing.T, p Problem) Solution {
	t.Helper()
	s, err := Solve(t.Context(), p, Options{Effort: EffortExhaustive})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// integerProgram returns the fewest primes that cover p, as cbc finds them from a file in LP format.
func integerProgram(t *testing.T, cbc string, p Problem) int {
	t.Helper()
	_, entries, err := canonical(p)
	if err != nil {
		t.Fatal(err)
	}
	x, err := newTensor(p.Dims, entries)
	if err != nil {
		t.Fatal(err)
	}
	var cells []int32
	for id, one := range x.one {
		if one >= 0 {
			cells = append(cells, int32(id))
		}
	}
	holders := make([][]string, len(cells))
	count := 0
	e := newPrimeEnumerator(x, 1<<30, unlimited())
	e.run(cells, func(sets [3]bitset) bool {
		for i, id := range cells {
			if e.holds(&sets, id) {
				holders[i] = append(holders[i], fmt.Sprintf("x%d", count))
			}
		}
		count++
		return true
	})
	var lp strings.Builder
	names := make([]string, count)
	for j := range names {
		names[j] = fmt.Sprintf("x%d", j)
	}
	lines := func(terms []string, sign string) { // LP format limits the length of lines
		for part := range slices.Chunk(terms, 20) {
			fmt.Fprintln(&lp, sign+strings.Join(part, sign))
		}
	}
	lp.WriteString("Minimize\nboxes:\n")
	lines(names, " + ")
	lp.WriteString("Subject To\n")
	for i, list := range holders {
		fmt.Fprintf(&lp, "c%d:\n", i)
		lines(list, " + ")
		lp.WriteString(" >= 1\n")
	}
	lp.WriteString("Binary\n")
	lines(names, " ")
	lp.WriteString("End\n")
	folder := t.TempDir()
	in, out := filepath.Join(folder, "cover.lp"), filepath.Join(folder, "cover.txt")
	if err := os.WriteFile(in, []byte(lp.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := exec.CommandContext(t.Context(), cbc, in, "solve", "solution", out).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	file, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	first := bufio.NewScanner(file)
	first.Scan() // "Optimal - objective value 12.00000000"
	value, ok := strings.CutPrefix(first.Text(), "Optimal - objective value ")
	best, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if !ok || err != nil {
		t.Fatalf("cbc ends with %q", first.Text())
	}
	return int(best + 0.5)
}
