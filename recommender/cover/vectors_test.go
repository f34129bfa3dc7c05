package cover_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"cordon/recommender/cover"
	"cordon/recommender/cover/check"
)

// vector is what a case drawn from another product says about cells.
type vector struct {
	Flows []struct {
		ID       string
		Src, Dst endpoint
		Proto    string
		Dport    int
	}
	Expected struct {
		MinRules int               `json:"min_rules"`
		Witness  []string          `json:"lower_bound_witness"`
		Without  map[string]string `json:"unproposed"`
		Rules    []struct{ Src, Dst, Services []string }
	}
	Runs []struct {
		MinRules int      `json:"strict_min_rules"`
		Witness  []string `json:"strict_lower_bound_witness"`
	}
}

type endpoint struct{ Group, IP string }

// TestVectors solves the cells of cases in which groups are given by name or each host stands for itself, and
// those where the groups are told here.
func TestVectors(t *testing.T) {
	for _, c := range []struct {
		file   string
		groups map[string]string // The group that the case's categories resolve each address to.
		strict bool              // each host stands for itself
	}{
		{file: "01_theia_three_flow_types.json"},
		{file: "02_theia_same_label_pair_many_ports.json"},
		{file: "05_mss_dns_ntp_categories.json", strict: true},
		{file: "05_mss_dns_ntp_categories.json", groups: map[string]string{
			"172.18.6.197": "wifi", "172.18.6.138": "wifi", "172.18.6.92": "wifi", "172.18.6.96": "wifi", "172.18.6.132": "wifi",
			"10.100.1.6": "servers", "10.100.1.7": "servers",
		}},
		{file: "06_mss_web_app_tiers.json", groups: map[string]string{
			"172.18.6.138": "wifi", "10.100.99.50": "app", "10.100.99.51": "web", "10.100.99.52": "web", "10.100.1.7": "servers",
		}},
		{file: "12_no_cross_product_merge.json"},
	} {
		t.Run(fmt.Sprintf("%s/strict=%v", c.file, c.strict), func(t *testing.T) {
			path := filepath.Join(shared, "vectors", c.file)
			data, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) {
				t.Skipf("no test data at %s", path)
			}
			if err != nil {
				t.Fatal(err)
			}
			var v vector
			if err := json.Unmarshal(data, &v); err != nil {
				t.Fatal(err)
			}
			name := func(e endpoint) string {
				switch {
				case c.groups[e.IP] != "":
					return c.groups[e.IP]
				case e.Group != "":
					return "group " + e.Group
				}
				return e.IP
			}
			var cells [][3]string
			var ids []string
			for _, f := range v.Flows {
				if v.Expected.Without[f.ID] == "" {
					ids = append(ids, f.ID)
					src, dst := name(f.Src), name(f.Dst)
					if c.file[:2] == "01" { // here a flow names the group and the address of one server of it
						dst = name(endpoint{Group: f.Dst.Group, IP: f.Dst.IP})
					}
					cells = append(cells, [3]string{src, dst, fmt.Sprintf("%s/%d", f.Proto, f.Dport)})
				}
			}
			want, witness := v.Expected.MinRules, v.Expected.Witness
			if c.strict {
				want, witness = v.Runs[0].MinRules, v.Runs[0].Witness
			}
			p := problemOf(cells)
			s, err := cover.Solve(t.Context(), p, cover.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if len(s.Boxes) != want || !s.Optimal || s.Method != cover.FoolingSet {
				t.Errorf("%d boxes, bound %d by %s, want %d", len(s.Boxes), s.LowerBound, s.Method, want)
			}
			s.Witness = nil // the case's own witness proves the same
			for _, id := range witness {
				s.Witness = append(s.Witness, p.Ones[slices.Index(ids, id)])
			}
			if r := check.Check(p, s, check.Limits{}); !r.Valid() || !r.Optimal {
				t.Errorf("witness %v: %v", witness, r.Findings)
			}
		})
	}
}
