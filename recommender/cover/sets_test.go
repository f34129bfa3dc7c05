package cover_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"

	"cordon/recommender/cover"
	"cordon/recommender/cover/check"
)

// shared is the folder of test data beside the repository.
const shared = "../../../shared"

// problemOf builds a problem from cells given by name; names are numbered in byte order.
func problemOf(cells [][3]string) cover.Problem {
	var p cover.Problem
	var number [3]map[string]int32
	for m := range 3 {
		names := make([]string, len(cells))
		for i, c := range cells {
			names[i] = c[m]
		}
		slices.Sort(names)
		names = slices.Compact(names)
		number[m] = make(map[string]int32, len(names))
		for i, name := range names {
			number[m][name] = int32(i)
		}
		p.Dims[m] = len(names)
	}
	for _, c := range cells {
		p.Ones = append(p.Ones, cover.Cell{number[0][c[0]], number[1][c[1]], number[2][c[2]]})
	}
	return p
}

// readSet reads the cells of a set of sessions under one category of groups: a private host in no group stands for itself, and
// sessions with any other address are left out.
func readSet(t testing.TB, set, category string) cover.Problem {
	t.Helper()
	p := readSessions(t, set, category)
	p.Ones = slices.Compact(p.Ones)
	return p
}

// readGroups gives the rows of a set's groups, and none without a category.
func readGroups(t testing.TB, folder, category string) [][]string {
	t.Helper()
	if category == "" {
		return nil
	}
	file, err := os.ReadFile(filepath.Join(folder, "groups.csv"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("no test data at %s", folder)
	}
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(file)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows[1:]
}

// readSessions is readSet with a one for each session.
func readSessions(t testing.TB, set, category string) cover.Problem {
	t.Helper()
	folder := filepath.Join(shared, "data", "sets", set)
	group := map[netip.Addr]string{}
	for _, row := range readGroups(t, folder, category) {
		addr, err := netip.ParseAddr(row[2])
		if err != nil {
			t.Fatal(err) // these sets name hosts only
		}
		if row[0] == category && (group[addr] == "" || row[1] < group[addr]) {
			group[addr] = row[1]
		}
	}
	name := func(text string) string {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case group[addr] != "":
			return "group:" + group[addr]
		case addr.IsPrivate():
			return "ip:" + text
		}
		return ""
	}
	file, err := os.Open(filepath.Join(folder, "sessions.csv.zst"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("no test data at %s", folder)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	plain, err := zstd.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	r := csv.NewReader(plain)
	r.ReuseRecord = true
	header, err := r.Read()
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"start_time", "src_ip", "src_port", "dst_ip", "dst_port", "proto", "bytes", "packets", "label"}; !slices.Equal(header, want) && !slices.Equal(header, want[:8]) {
		t.Fatalf("header %q", header)
	}
	seen := map[[3]string]bool{}
	var cells [][3]string
	for {
		row, err := r.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		raw := [3]string{row[1], row[3], row[5] + "/" + row[4]}
		if seen[raw] {
			continue
		}
		for m := range raw {
			raw[m] = string([]byte(raw[m]))
		}
		seen[raw] = true
		if src, dst := name(raw[0]), name(raw[1]); src != "" && dst != "" {
			cells = append(cells, [3]string{src, dst, raw[2]})
		}
	}
	p := problemOf(cells)
	slices.SortFunc(p.Ones, func(a, b cover.Cell) int { return slices.Compare(a[:], b[:]) })
	return p
}

// TestSets pins what is reached on real networks: with the default effort, and checked by the checker.
func TestSets(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		set, category               string
		cells, boxes, bound, merged int
	}{
		{"cisco_g21", "role", 3968, 117, 117, 149},
		{"cisco_g21", "app", 3274, 106, 106, 127},
		{"cisco_g21", "tier", 4792, 145, 144, 220},
		{"k8s_boutique", "app", 53, 13, 13, 13},
		{"synth_small", "role", 3122, 145, 145, 157},
	} {
		t.Run(c.set+"/"+c.category, func(t *testing.T) {
			p := readSet(t, c.set, c.category)
			if len(p.Ones) != c.cells {
				t.Fatalf("%d cells, want %d", len(p.Ones), c.cells)
			}
			s, err := cover.Solve(t.Context(), p, cover.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d boxes, bound %d by %s, %d literals, fooling set of %d, %+v", len(s.Boxes), s.LowerBound, s.Method, s.Literals, len(s.Witness), s.Stats)
			if len(s.Boxes) > c.boxes || s.LowerBound < c.bound {
				t.Errorf("%d boxes and bound %d, want %d and %d", len(s.Boxes), s.LowerBound, c.boxes, c.bound)
			}
			r := check.Check(p, s, check.Limits{})
			if len(r.Findings) > 0 || r.LowerBound != s.LowerBound {
				t.Errorf("of the bound, %d is proved: %v", r.LowerBound, r.Findings)
			}
			merged, err := cover.Greedy(p, [3]int{2, 0, 1})
			if err != nil {
				t.Fatal(err)
			}
			if len(merged) != c.merged {
				t.Errorf("plain merging leaves %d boxes, want %d", len(merged), c.merged)
			}
		})
	}
}
