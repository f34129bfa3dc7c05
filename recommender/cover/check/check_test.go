package check_test

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"cordon/recommender/cover"
	"cordon/recommender/cover/check"
)

// crossed is two rows and two columns of a plane, without the corner (1, 1): two boxes are needed and shown to be.
func crossed() (cover.Problem, cover.Solution) {
	p := cover.Problem{Dims: [3]int{2, 2, 1}, Ones: []cover.Cell{{0, 1, 0}, {1, 0, 0}}, DontCare: []cover.Cell{{0, 0, 0}}}
	return p, cover.Solution{
		Boxes:      []cover.Box{box("0", "1", "0"), box("1", "0", "0")},
		Literals:   6,
		LowerBound: 2, Optimal: true, Method: cover.FoolingSet,
		Witness: []cover.Cell{{0, 1, 0}, {1, 0, 0}},
	}
}

// ring is a cycle of 2n ones in a plane, each of which shares a legal box with the next alone: n boxes are needed, and
// weights of one half on every cell show it.
func ring(n int) (cover.Problem, cover.Solution) {
	p := cover.Problem{Dims: [3]int{n, n, 1}}
	s := cover.Solution{LowerBound: n, Optimal: true, Method: cover.Dual}
	part := cover.Part{Method: cover.Dual, Bound: n, Scale: 2}
	for i := range n {
		a, b := cover.Cell{int32(i), int32(i), 0}, cover.Cell{int32(i), int32((i + 1) % n), 0}
		p.Ones = append(p.Ones, a, b)
		part.Cells = append(part.Cells, a, b)
		part.Weights = append(part.Weights, 1, 1)
		s.Witness = append(s.Witness, a)
		set := []int32{int32(i), int32((i + 1) % n)}
		slices.Sort(set)
		s.Boxes = append(s.Boxes, cover.Box{Sets: [3][]int32{{int32(i)}, set, {0}}})
	}
	s.Parts = []cover.Part{part}
	return p, s
}

// box spells sets as strings of digits.
func box(sets ...string) (b cover.Box) {
	for m, set := range sets {
		for _, r := range set {
			b.Sets[m] = append(b.Sets[m], int32(r-'0'))
		}
	}
	return b
}

func TestFindings(t *testing.T) {
	type change func(p *cover.Problem, s *cover.Solution)
	for _, c := range []struct {
		name   string
		change change
		want   []string // the findings, in full
	}{
		{"nothing", func(p *cover.Problem, s *cover.Solution) {}, nil},
		{"a box with a forbidden cell", func(p *cover.Problem, s *cover.Solution) { s.Boxes[0] = box("01", "1", "0") },
			[]string{"unsound: box 0 holds cell [1 1 0], which is neither a one nor a don't-care cell"}},
		{"a box with a don't-care cell", func(p *cover.Problem, s *cover.Solution) { s.Boxes[0] = box("0", "01", "0") }, nil},
		{"a one left out", func(p *cover.Problem, s *cover.Solution) { s.Boxes = s.Boxes[:1] }, []string{
			"incomplete: one [1 0 0] is in no box",
			"wrong-count: the lower bound 2 is above the number of boxes 1",
			"wrong-count: optimal is true, with 1 boxes and lower bound 2",
		}},
		{"a box without a one of its own", func(p *cover.Problem, s *cover.Solution) {
			s.Boxes = append(s.Boxes, box("01", "0", "0"))
			s.Optimal = false
		}, []string{
			"redundant: box 1 has no one that is in no other box",
			"redundant: box 2 has no one that is in no other box",
		}},
		{"an empty set", func(p *cover.Problem, s *cover.Solution) { s.Boxes[1] = box("1", "", "0") },
			[]string{"malformed: box 1 has no index in mode 1"}},
		{"an unsorted set", func(p *cover.Problem, s *cover.Solution) { s.Boxes[0] = box("0", "10", "0") },
			[]string{"malformed: box 0 has index 0 after 1 in mode 1: sets are sorted and hold an index once"}},
		{"an index out of range", func(p *cover.Problem, s *cover.Solution) { s.Boxes[0] = box("0", "12", "0") },
			[]string{"malformed: box 0 has an index in mode 1 outside 0..1"}},
		{"a cell of the problem out of range", func(p *cover.Problem, s *cover.Solution) { p.Ones[0] = cover.Cell{0, 1, 1} },
			[]string{"malformed: cell [0 1 1] of the problem has index 1 in mode 2, outside 0..0"}},
		{"two witnesses in one box", func(p *cover.Problem, s *cover.Solution) { p.DontCare = append(p.DontCare, cover.Cell{1, 1, 0}) },
			[]string{"bad-witness: cells [0 1 0] and [1 0 0] fit in one legal box"}},
		{"a witness twice", func(p *cover.Problem, s *cover.Solution) { s.Witness[1] = s.Witness[0] },
			[]string{"bad-witness: cell [0 1 0] is listed twice"}},
		{"a witness that is no one", func(p *cover.Problem, s *cover.Solution) { s.Witness[1] = cover.Cell{0, 0, 0} },
			[]string{"bad-witness: cell [0 0 0] is not a one"}},
		{"a witness too few", func(p *cover.Problem, s *cover.Solution) { s.Witness = s.Witness[:1] },
			[]string{"wrong-count: the lower bound is 2, the fooling set has 1 cells"}},
		{"a bound too low for its claim", func(p *cover.Problem, s *cover.Solution) { s.LowerBound, s.Witness = 1, s.Witness[:1] },
			[]string{"wrong-count: optimal is true, with 2 boxes and lower bound 1"}},
		{"an unknown method", func(p *cover.Problem, s *cover.Solution) { s.Method = "oracle" }, []string{`wrong-method: unknown method "oracle"`}},
		{"no parts", func(p *cover.Problem, s *cover.Solution) { s.Method = cover.Exhaustive }, []string{
			"wrong-count: the lower bound is 2, the bounds of the parts add up to 0",
			`wrong-method: the method is "exhaustive", that of its parts "fooling-set"`,
		}},
		{"a search", func(p *cover.Problem, s *cover.Solution) { *s = searched(*p, *s, 2) }, nil},
		{"a search for too many", func(p *cover.Problem, s *cover.Solution) { *s = searched(*p, *s, 3) }, []string{
			"bad-tree: part 0: its tree does not show that 3 boxes are needed: line 2: the case ends, and 1 boxes may do for 1 rows",
			"wrong-count: the lower bound 3 is above the number of boxes 2",
		}},
		{"a search without a tree", func(p *cover.Problem, s *cover.Solution) {
			*s = searched(*p, *s, 2)
			s.Parts[0].Tree = nil
		}, []string{"bad-tree: part 0: its tree does not show that 2 boxes are needed: line 1: the case ends, and 1 boxes may do for 2 rows"}},
		{"a search among too few boxes", func(p *cover.Problem, s *cover.Solution) {
			*s = searched(*p, *s, 2)
			s.Witness = nil
			p.DontCare = append(p.DontCare, cover.Cell{1, 1, 0})
		}, []string{"bad-tree: part 0: one legal box holds these 2 cells, and none of the 2 listed holds them"}},
		{"a search among boxes of other cells", func(p *cover.Problem, s *cover.Solution) {
			*s = searched(*p, *s, 2)
			s.Parts[0].Boxes[1] = []int32{2}
		}, []string{"bad-tree: part 0: its tree does not show that 2 boxes are needed: box 1 holds cell 2 of 2"}},
		{"a search among other cells", func(p *cover.Problem, s *cover.Solution) {
			s.Method, s.Parts = cover.Exhaustive, []cover.Part{{Method: cover.Exhaustive, Bound: 2, Cells: []cover.Cell{{0, 1, 0}, {0, 0, 0}}}}
		}, []string{"bad-parts: cell [0 0 0] is not a one"}},
		{"parts that touch", func(p *cover.Problem, s *cover.Solution) {
			p.DontCare = append(p.DontCare, cover.Cell{1, 1, 0})
			s.Witness = s.Witness[:1]
			s.Method = cover.Dual
			for _, cell := range p.Ones {
				s.Parts = append(s.Parts, cover.Part{Method: cover.Dual, Bound: 1, Cells: []cover.Cell{cell}, Weights: []int64{1}, Scale: 1})
			}
		}, []string{"bad-parts: cells [0 1 0] and [1 0 0] fit in one legal box"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, s := crossed()
			c.change(&p, &s)
			r := check.Check(p, s, check.Limits{})
			var got []string
			unproved := 0
			for _, f := range r.Findings {
				got = append(got, f.String())
				if f.Kind == check.Unproved {
					unproved++
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("findings\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
			if r.Valid() != (len(c.want) == unproved) {
				t.Errorf("valid %v", r.Valid())
			}
		})
	}
}

func TestDual(t *testing.T) {
	p, s := ring(5)
	s.Witness = s.Witness[:1] // the weights alone prove it
	if r := check.Check(p, s, check.Limits{}); !r.Valid() || r.LowerBound != 5 || !r.Optimal {
		t.Fatalf("bound %d, optimal %v, %v", r.LowerBound, r.Optimal, r.Findings)
	}
	for _, c := range []struct {
		name   string
		change func(part *cover.Part)
		want   check.Kind
	}{
		{"a box too heavy", func(part *cover.Part) { part.Weights[3], part.Weights[4] = 2, 0 }, check.BadDual},
		{"a negative weight", func(part *cover.Part) { part.Weights[3] = -1 }, check.BadDual},
		{"a bound not reached", func(part *cover.Part) { part.Weights[0], part.Weights[1] = 0, 0 }, check.WrongCount},
		{"a weight too few", func(part *cover.Part) { part.Weights = part.Weights[1:] }, check.Malformed},
		{"no scale", func(part *cover.Part) { part.Scale = 0 }, check.Malformed},
		{"a cell twice", func(part *cover.Part) { part.Cells[1] = part.Cells[0] }, check.BadParts},
	} {
		_, s := ring(5)
		s.Witness = s.Witness[:1]
		c.change(&s.Parts[0])
		if r := check.Check(p, s, check.Limits{}); r.Valid() || r.Optimal || !slices.ContainsFunc(r.Findings, func(f check.Finding) bool { return f.Kind == c.want }) {
			t.Errorf("%s: optimal %v, %v", c.name, r.Optimal, r.Findings)
		}
	}
}

// TestHeaviestBox compares the search for a heavy box with all boxes of a small tensor.
func TestHeaviestBox(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := cover.Problem{Dims: [3]int{3, 3, 3}}
		part := cover.Part{Method: cover.Dual, Scale: 10}
		weight := map[cover.Cell]int64{}
		sum := int64(0)
		for i := range 27 {
			c := cover.Cell{int32(i / 9), int32(i / 3 % 3), int32(i % 3)}
			if rapid.IntRange(0, 2).Draw(t, "one") == 0 {
				continue
			}
			p.Ones = append(p.Ones, c)
			weight[c] = rapid.Int64Range(0, 6).Draw(t, "weight")
			sum += weight[c]
			part.Cells, part.Weights = append(part.Cells, c), append(part.Weights, weight[c])
		}
		part.Bound = int((sum + 9) / 10)
		heaviest := int64(0)
		for x := range 512 {
			a, b, c, total := x&7, x>>3&7, x>>6, int64(0)
			for i := range 27 {
				if a>>(i/9)&1 == 1 && b>>(i/3%3)&1 == 1 && c>>(i%3)&1 == 1 {
					w, ok := weight[cover.Cell{int32(i / 9), int32(i / 3 % 3), int32(i % 3)}]
					if !ok {
						total = -1 << 40
					}
					total += w
				}
			}
			heaviest = max(heaviest, total)
		}
		s := cover.Solution{Method: cover.Dual, LowerBound: part.Bound, Parts: []cover.Part{part}}
		r := check.Check(p, s, check.Limits{})
		bad := slices.ContainsFunc(r.Findings, func(f check.Finding) bool { return f.Kind == check.BadDual })
		if bad != (heaviest > 10) {
			t.Fatalf("the heaviest box weighs %d, findings %v", heaviest, r.Findings)
		}
	})
}

func TestLimits(t *testing.T) {
	p, s := ring(5)
	s.Boxes, s.Witness = nil, nil
	r := check.Check(p, s, check.Limits{Findings: 3, Steps: 1})
	count := map[check.Kind]int{}
	for _, f := range r.Findings {
		count[f.Kind]++
	}
	if count[check.Incomplete] != 3 {
		t.Errorf("%v", r.Findings)
	}
}

// TestEveryPair compares the witness check with all pairs.
func TestEveryPair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := cover.Problem{Dims: [3]int{4, 4, 4}}
		var s cover.Solution
		allowed := map[cover.Cell]bool{}
		for i := range 64 {
			c := cover.Cell{int32(i / 16), int32(i / 4 % 4), int32(i % 4)}
			switch rapid.IntRange(0, 5).Draw(t, "cell") {
			case 0:
				p.Ones, allowed[c] = append(p.Ones, c), true
				s.Witness = append(s.Witness, c)
			case 1, 2:
				p.DontCare, allowed[c] = append(p.DontCare, c), true
			}
		}
		s.Method, s.LowerBound = cover.FoolingSet, len(s.Witness)
		want := map[string]bool{}
		for i, a := range s.Witness {
			for _, b := range s.Witness[i+1:] {
				legal := true
				for v := range 8 {
					c := a
					for m := range 3 {
						if v>>m&1 == 1 {
							c[m] = b[m]
						}
					}
					legal = legal && allowed[c]
				}
				if legal {
					want[fmt.Sprint([]cover.Cell{a, b})] = true
				}
			}
		}
		got := map[string]bool{}
		for _, f := range check.Check(p, s, check.Limits{Findings: 10_000}).Findings {
			if f.Kind == check.BadWitness {
				got[fmt.Sprint(f.Cells)] = true
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("pairs %v, want %v", got, want)
		}
	})
}

// TestDamagedSolutions damages true solutions: whatever is taken away or added, the checker finds it.
func TestDamagedSolutions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := cover.Problem{Dims: [3]int{4, 4, 3}}
		for i := range 48 {
			if rapid.IntRange(0, 9).Draw(t, "one") < 6 {
				p.Ones = append(p.Ones, cover.Cell{int32(i / 12), int32(i / 3 % 4), int32(i % 3)})
			}
		}
		s, err := cover.Solve(context.Background(), p, cover.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Boxes) == 0 {
			t.Skip("nothing to damage")
		}
		n := rapid.IntRange(0, len(s.Boxes)-1).Draw(t, "box")
		switch m := rapid.IntRange(0, 2).Draw(t, "mode"); rapid.SampledFrom([]string{"drop", "shrink", "bound", "witness"}).Draw(t, "damage") {
		case "drop":
			s.Boxes = slices.Delete(s.Boxes, n, n+1)
		case "shrink": // boxes are reduced, so each index is needed
			if len(s.Boxes[n].Sets[m]) == 1 {
				t.Skip("nothing to shrink")
			}
			s.Boxes[n].Sets[m] = s.Boxes[n].Sets[m][1:]
		case "bound":
			s.LowerBound++
		case "witness":
			s.Method, s.Parts, s.LowerBound = cover.FoolingSet, nil, len(s.Witness)+1
			s.Optimal = s.LowerBound == len(s.Boxes)
			extra := p.Ones[rapid.IntRange(0, len(p.Ones)-1).Draw(t, "extra")]
			s.Witness = append(slices.Clone(s.Witness), extra)
			if len(s.Witness) <= len(s.Boxes) {
				t.Skip("may be a larger fooling set")
			}
		}
		if check.Check(p, s, check.Limits{}).Valid() {
			t.Fatalf("damage not found in %+v", s)
		}
	})
}

// TestUsesTypesOnly keeps the checker independent: of package cover it may name data types and constants, no code.
func TestUsesTypesOnly(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	data := map[string]bool{"Problem": true, "Solution": true, "Cell": true, "Box": true, "Part": true, "FoolingSet": true, "Dual": true, "Exhaustive": true,
		"Share": true, "PartialDual": true, "PartialExhaustive": true}
	methods := map[string]bool{"Volume": true, "Contains": true} // Box has these methods.
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			x, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if pkg, ok := x.X.(*ast.Ident); ok && pkg.Name == "cover" && !data[x.Sel.Name] {
				t.Errorf("%s uses cover.%s", f.Name(), x.Sel.Name)
			}
			if pkg, ok := x.X.(*ast.Ident); methods[x.Sel.Name] && (!ok || pkg.Name != "slices") {
				t.Errorf("%s calls method %s", f.Name(), x.Sel.Name)
			}
			return true
		})
	}
}

// searched gives the solution of crossed with the claim that a search found its ones to need so many boxes: the tree shows that they need two.
func searched(p cover.Problem, s cover.Solution, boxes int) cover.Solution {
	s.Method, s.LowerBound, s.Optimal = cover.Exhaustive, boxes, boxes == len(s.Boxes)
	s.Parts = []cover.Part{{Method: cover.Exhaustive, Bound: boxes, Cells: slices.Clone(p.Ones), Boxes: [][]int32{{0}, {1}}, Tree: []string{"take 0", "end"}}}
	return s
}

// unequal is all pairs of different indices below n, which need as many boxes as a set must have elements so that it has n subsets of half its
// size (de Caen, Gregory, Pullman, "The boolean rank of zero-one matrices", 1981). No fooling set has more than three, and weights show little more.
func unequal(n int32) (p cover.Problem) {
	p.Dims = [3]int{int(n), int(n), 1}
	for i := range n {
		for j := range n {
			if i != j {
				p.Ones = append(p.Ones, cover.Cell{i, j, 0})
			}
		}
	}
	return p
}

// TestSearches: what the solver found by search holds, tree, boxes and all.
func TestSearches(t *testing.T) {
	for n, need := range map[int32]int{4: 4, 5: 4, 6: 4, 7: 5, 8: 5, 10: 5} {
		p := unequal(n)
		s, err := cover.Solve(t.Context(), p, cover.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if s.LowerBound != need {
			t.Errorf("%d: bound %d by %s, want %d", n, s.LowerBound, s.Method, need)
		}
		if r := check.Check(p, s, check.Limits{}); len(r.Findings) > 0 || r.LowerBound != need {
			t.Errorf("%d: %d proved, %v", n, r.LowerBound, r.Findings)
		}
		at := slices.IndexFunc(s.Parts, func(part cover.Part) bool { return part.Method == cover.Exhaustive })
		if n < 7 && at < 0 {
			continue
		}
		if at < 0 {
			t.Fatalf("%d: no part rests on a search", n)
		}
		if r := check.Check(p, s, check.Limits{Steps: 10}); !r.Valid() || len(r.Findings) == 0 || r.Findings[0].Kind != check.Unproved {
			t.Errorf("%d, in ten steps: %v", n, r.Findings)
		}
		s.Parts[at].Boxes = s.Parts[at].Boxes[1:] // the tree speaks of other boxes then, or one is missing
		if r := check.Check(p, s, check.Limits{}); r.Valid() {
			t.Errorf("%d, without a box: nothing was found", n)
		}
	}
}
