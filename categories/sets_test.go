package categories

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
)

// TestRealSets reads the groups of the shared data sets, which are not part of
// the repository.
func TestRealSets(t *testing.T) {
	root := filepath.Join("..", "..", "shared", "data", "sets")
	if _, err := os.Stat(root); err != nil {
		t.Skipf("no shared data beside the repository: %v", err)
	}
	for _, tc := range []struct {
		set      string
		groups   map[string]int // Keyed by category.
		selected []string
		lookups  map[string]string
	}{
		{"cisco_g21", map[string]int{"role": 23, "app": 13, "tier": 26}, []string{"role"},
			map[string]string{"10.21.0.2": "role01", "10.21.255.255": ""}},
		{"k8s_boutique", map[string]int{"app": 15, "env": 3}, []string{"app", "env"},
			map[string]string{"10.244.0.3": "adservice", "fd00:10:244::3": "adservice"}},
		{"synth_small", map[string]int{"role": 32, "site": 6, "env": 5}, []string{"role"},
			map[string]string{"10.0.10.11": "workstation"}},
	} {
		t.Run(tc.set, func(t *testing.T) {
			f, err := ReadFile(filepath.Join(root, tc.set, "groups.csv"))
			if err != nil {
				t.Fatal(err)
			}
			for i := range f.Categories {
				c := &f.Categories[i]
				if want, ok := tc.groups[c.Name]; ok && len(c.Groups) != want {
					t.Errorf("category %s has %d groups, want %d", c.Name, len(c.Groups), want)
				}
			}
			r, err := NewResolver(f, tc.selected)
			if err != nil {
				t.Fatal(err)
			}
			for addr, want := range tc.lookups {
				if got, _ := r.Lookup(netip.MustParseAddr(addr)); got.Group != want {
					t.Errorf("%s is in %q, want %q", addr, got.Group, want)
				}
			}
			// The longest-match list against the word of the contract, for every host named.
			for i := range f.Categories {
				for j, g := range f.Categories[i].Groups {
					if j > 20 {
						break
					}
					for _, p := range g.Prefixes[:min(20, len(g.Prefixes))] {
						want, wantOK := naiveLookup(f, tc.selected, p.Addr())
						if got, ok := r.Lookup(p.Addr()); got != want || ok != wantOK {
							t.Errorf("%s is in %v, want %v", p.Addr(), got, want)
						}
					}
				}
			}
			counts := map[Severity]int{}
			for _, finding := range Lint(f) {
				counts[finding.Severity]++
			}
			if counts[Error] > 0 {
				t.Errorf("lint finds errors: %v", counts)
			}
			t.Log(fmt.Sprint(counts), len(r.Assignments()), "assignments,", len(r.Endpoints()), "endpoints")
		})
	}
}
