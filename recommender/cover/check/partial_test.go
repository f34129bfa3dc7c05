package check_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"cordon/recommender/cover"
	"cordon/recommender/cover/check"
)

// threeApart is three ones of weights 5, 3 and 2, no two of which fit in one box, of which 2 may be left out.
func threeApart() (cover.Problem, cover.Share, cover.Solution) {
	p := cover.Problem{Dims: [3]int{3, 3, 1}, Ones: []cover.Cell{{0, 0, 0}, {1, 1, 0}, {2, 2, 0}}}
	return p, cover.Share{Weights: []int64{5, 3, 2}, Needed: 8}, cover.Solution{
		Boxes:      []cover.Box{box("0", "0", "0"), box("1", "1", "0")},
		LowerBound: 2, Optimal: true, Method: cover.PartialDual,
		Parts: []cover.Part{{Method: cover.Dual, Bound: 3, Scale: 10, Cells: slices.Clone(p.Ones), Weights: []int64{10, 10, 10}}},
	}
}

// searchedShare lets the bound of threeApart rest on a search: the weights alone prove one box.
func searchedShare(s *cover.Solution, tree ...string) {
	s.Method = cover.PartialExhaustive
	part := &s.Parts[0]
	part.Weights, part.Bound, part.Boxes, part.Tree = []int64{10, 1, 1}, 2, [][]int32{{0}, {1}, {2}}, tree
}

func TestPartialFindings(t *testing.T) {
	type change func(p *cover.Problem, h *cover.Share, s *cover.Solution)
	for _, c := range []struct {
		name   string
		change change
		want   []string // Beginnings of the findings.
		bound  int
	}{
		{"nothing", func(p *cover.Problem, h *cover.Share, s *cover.Solution) {}, nil, 2},
		{"too much left out", func(p *cover.Problem, h *cover.Share, s *cover.Solution) { s.Boxes[1] = box("2", "2", "0") },
			[]string{"incomplete: ones of weight 3 are in no box; 2 may be"}, 2},
		{"a forbidden cell", func(p *cover.Problem, h *cover.Share, s *cover.Solution) { s.Boxes[1] = box("12", "1", "0") },
			[]string{"unsound: box 1 holds cell [2 1 0]"}, 2},
		{"weights for another share", func(p *cover.Problem, h *cover.Share, s *cover.Solution) { h.Needed = 5 },
			[]string{"wrong-count: the lower bound is 2, the weights prove 1"}, 1},
		{"a bound too high", func(p *cover.Problem, h *cover.Share, s *cover.Solution) {
			s.LowerBound, s.Optimal = 3, false
		}, []string{"wrong-count: the lower bound is 3, the weights prove 2", "wrong-count: the lower bound 3 is above the number of boxes 2"}, 2},
		{"too much weight in a box", func(p *cover.Problem, h *cover.Share, s *cover.Solution) {
			p.DontCare = []cover.Cell{{0, 1, 0}, {1, 0, 0}}
		}, []string{"bad-dual: part 0: one legal box holds these 2 cells, with weight above 10"}, 0},
		{"a cell twice", func(p *cover.Problem, h *cover.Share, s *cover.Solution) { s.Parts[0].Cells[1] = s.Parts[0].Cells[0] },
			[]string{"bad-dual: cell [0 0 0] is listed twice"}, 0},
		{"a cell that weighs nothing", func(p *cover.Problem, h *cover.Share, s *cover.Solution) {
			h.Weights[2], h.Needed = 0, 8
		}, []string{"bad-dual: cell [2 2 0] is not a one"}, 0},
		{"a bound for all ones", func(p *cover.Problem, h *cover.Share, s *cover.Solution) {
			s.Method, s.Witness, s.Parts = cover.FoolingSet, p.Ones[:2], nil
		}, []string{`wrong-method: the method "fooling-set" is for covers of all ones`}, 0},
		{"a search", func(p *cover.Problem, h *cover.Share, s *cover.Solution) { searchedShare(s, "reach") }, nil, 2},
		{"a search without a tree", func(p *cover.Problem, h *cover.Share, s *cover.Solution) { searchedShare(s) },
			[]string{"bad-tree: part 0: its tree does not show that 2 boxes are needed: line 1: the case ends"}, 1},
		{"a search among too few boxes", func(p *cover.Problem, h *cover.Share, s *cover.Solution) {
			searchedShare(s, "reach")
			s.Parts[0].Boxes = s.Parts[0].Boxes[:2]
		}, []string{"bad-tree: part 0: one legal box holds these 1 cells, and none of the 2 listed holds them"}, 1},
		{"no part", func(p *cover.Problem, h *cover.Share, s *cover.Solution) { s.Parts = nil },
			[]string{"wrong-method: a bound by partial-dual has one part"}, 0},
		{"weights of other ones", func(p *cover.Problem, h *cover.Share, s *cover.Solution) { h.Weights = h.Weights[:2] },
			[]string{"malformed: 2 weights for 3 ones"}, 0},
	} {
		p, h, s := threeApart()
		c.change(&p, &h, &s)
		r := check.Partial(p, h, s, check.Limits{})
		var got []string
		for _, f := range r.Findings {
			got = append(got, f.String())
		}
		if !slices.EqualFunc(got, c.want, strings.HasPrefix) || r.LowerBound != c.bound {
			t.Errorf("%s: bound %d, findings %q; want %d, %q", c.name, r.LowerBound, got, c.bound, c.want)
		}
		if ok := len(c.want) == 0 || strings.HasPrefix(c.want[0], "unproved"); r.Valid() != ok {
			t.Errorf("%s: valid is %v", c.name, r.Valid())
		}
	}
}

// TestPartialSolutions: whatever the solver says of a share holds, by code that knows nothing of the solver.
func TestPartialSolutions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := cover.Problem{Dims: [3]int{5, 4, 3}}
		var h cover.Share
		sum := int64(0)
		ones := rapid.IntRange(2, 9).Draw(t, "ones in ten")
		for i := range p.Dims[0] {
			for j := range p.Dims[1] {
				for k := range p.Dims[2] {
					switch x := rapid.IntRange(0, 11).Draw(t, "cell"); {
					case x < ones:
						p.Ones = append(p.Ones, cover.Cell{int32(i), int32(j), int32(k)})
						h.Weights = append(h.Weights, rapid.Int64Range(0, 40).Draw(t, "weight"))
						sum += h.Weights[len(h.Weights)-1]
					case x >= 11:
						p.DontCare = append(p.DontCare, cover.Cell{int32(i), int32(j), int32(k)})
					}
				}
			}
		}
		last := 0 // boxes for less
		for _, percent := range []int64{0, 30, 60, 90, 99, 100} {
			h.Needed = (sum*percent + 99) / 100
			s, err := cover.SolvePartial(t.Context(), p, h, cover.Options{Effort: cover.EffortQuick})
			if err != nil {
				t.Fatal(err)
			}
			r := check.Partial(p, h, s, check.Limits{})
			if !r.Valid() {
				t.Fatalf("%d%%: %v", percent, r.Findings)
			}
			if s.LowerBound < last {
				t.Fatalf("%d%% takes %d boxes at least, less took %d", percent, s.LowerBound, last)
			}
			if s.Optimal {
				last = len(s.Boxes)
			}
		}
	})
}
