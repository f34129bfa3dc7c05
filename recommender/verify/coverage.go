package verify

import (
	"fmt"
	"maps"

	"cordon/recommender/cover"
	"cordon/recommender/cover/check"
	"cordon/recommender/policy"
)

// coverage is what comes of a share that was asked for.
type coverage struct {
	weights   map[cell]uint64 // weight of the sessions that need a rule, whether they have one or not
	cells     map[cell]bool   // the judge's, before those in no rule were left out
	left      []bool          // sessions left out since the share is reached without them
	needed    uint64          // needed weight of the whole, with what is permitted already
	already   uint64
	permitted uint64
}

// leftOut finds the sessions that the rules leave out. That is what BelowSupport means for them, where a share was asked for.
func (v *verifier) leftOut() {
	s := v.o.Settings
	said := v.p.Summary.Coverage
	if s.Coverage.Whole() {
		if said != nil {
			v.report.find(WrongCount, "", "summary.coverage speaks of a share, but all sessions were asked for")
		}
		return
	}
	by := policy.BySessions
	if s.CoverageBy != "" {
		by = s.CoverageBy
	}
	j := v.judge
	c := &coverage{weights: map[cell]uint64{}, cells: maps.Clone(j.cells), left: make([]bool, len(v.c.Sessions))}
	v.coverage = c
	for of := range j.cells {
		j.cells[of] = false // true once a session of it is in a rule
	}
	in := v.rules.empty()
	total := uint64(0)
	spare := make([]uint64, len(v.p.Rules)) // weight that no other rule has
	for i := range v.c.Sessions {
		s := &v.c.Sessions[i]
		w := uint64(1)
		switch {
		case by == policy.ByBytes && v.p.ScaledBytes:
			w = s.ScaledBytes
		case by == policy.ByBytes:
			w = s.Bytes
		}
		switch j.reasons[i] {
		case policy.AlreadyPermitted:
			total, c.already = total+w, c.already+w
		case "":
			total += w
			c.weights[j.at[i]] += w
			v.rules.match(s.Client, s.Server, s.Service, in)
			holders, last := 0, 0
			in.each(func(r int) { holders, last = holders+1, r })
			if holders == 0 {
				j.reasons[i], c.left[i] = policy.BelowSupport, true
				continue
			}
			if holders == 1 {
				spare[last] += w
			}
			c.permitted += w
			if _, ok := j.cells[j.at[i]]; ok {
				j.cells[j.at[i]] = true
			}
		}
	}
	c.permitted += c.already
	want := policy.NewCoverage(s.Coverage, by, total, c.permitted)
	c.needed, v.report.Coverage = want.Needed, want
	if c.permitted < c.needed {
		v.report.find(Incomplete, "", "%s of the %s were asked for, which is %d of %d; %d are permitted", s.Coverage, by, c.needed, total, c.permitted)
	} else {
		for i, w := range spare {
			if c.permitted-w >= c.needed && v.p.Rules[i].Action == policy.Allow && w > 0 {
				v.report.find(Redundant, v.names[i], "the share that was asked for is reached without it")
			}
		}
	}
	if said == nil {
		v.report.find(WrongCount, "", "summary.coverage is not there, although %s of the %s were asked for", s.Coverage, by)
		return
	}
	for _, text := range differing([]number{
		{"summary.coverage.total", said.Total, want.Total}, {"summary.coverage.needed", said.Needed, want.Needed},
		{"summary.coverage.permitted", said.Permitted, want.Permitted},
	}) {
		v.report.find(WrongCount, "", "%s", text)
	}
	if said.By != want.By || said.Reached != want.Reached {
		v.report.find(WrongCount, "", "summary.coverage says %s of the %s, counted are %s of the %s", said.Reached, said.By, want.Reached, want.By)
	}
}

// share gives package check the part of the ones of a problem that is needed. What lies in a range weighs with it.
func (v *verifier) share(p cover.Problem, name func(cover.Cell) cell) (s cover.Share) {
	ranges := map[[2]int32][]int{} // ones with a range, by source and destination
	s.Weights = make([]int64, len(p.Ones))
	for i, one := range p.Ones {
		if t := name(one).service.Term; t.Lo != t.Hi {
			at := [2]int32{one[0], one[1]}
			ranges[at] = append(ranges[at], i)
		}
	}
	for i, one := range p.Ones {
		c, to := name(one), i
		for _, r := range ranges[[2]int32{one[0], one[1]}] {
			if t, wide := c.service.Term, name(p.Ones[r]).service.Term; t != wide && t.Proto == wide.Proto && t.Lo >= wide.Lo && t.Hi <= wide.Hi {
				to = r
			}
		}
		s.Weights[to] += int64(v.coverage.weights[c])
	}
	s.Needed = int64(v.coverage.needed) - int64(v.coverage.already)
	return s
}

// shareBound has package check look at a bound for a share, and gives how much of it holds.
func (v *verifier) shareBound() int {
	c := &v.p.Certificate
	problem, number, name := v.problem()
	solution := cover.Solution{LowerBound: c.LowerBound, Method: cover.Method(c.Method)}
	for i, part := range c.Parts {
		p, err := v.boundPart(part, number)
		if err != nil {
			v.report.find(BadBound, "", "part %d of the bound %v", i+1, err)
			return 0
		}
		solution.Parts = append(solution.Parts, p)
	}
	share := v.share(problem, name)
	// The rules were looked at already; check sees no box, which is not asked about.
	report := check.Partial(problem, share, solution, check.Limits{Findings: v.o.Examples})
	for _, f := range report.Findings {
		switch {
		case f.Kind == check.Unproved:
			v.report.find(Unproved, "", "that %d rules are needed: what rules may hold was not walked through here, it is too much", c.LowerBound)
		case f.Kind == check.BadTree:
			v.report.find(BadBound, "", "of the bound, %s", f.Text)
		case f.Kind == check.WrongMethod:
			v.report.find(BadBound, "", "%s", f.Text)
		case f.Part < 0:
			continue // about boxes, and about counts that were compared above
		case f.Kind == check.BadDual && len(f.Cells) > 1:
			x := v.report.find(BadBound, "", "one rule may hold these cells, which weigh more together than they may:")
			for _, at := range f.Cells {
				x.Examples = append(x.Examples, v.name(name(at)))
			}
			x.Count, x.Examples = uint64(len(f.Cells)), v.examples(x.Examples)
		case f.Kind == check.WrongCount:
			v.report.find(BadBound, "", "the lower bound is %d, its weights prove %d for %s", c.LowerBound, report.LowerBound, v.o.Settings.Coverage)
		default:
			v.report.find(BadBound, "", "the bound does not hold: weights, scale, number of cells and bound do not go together")
		}
	}
	return report.LowerBound
}

// whole reports whether every cell is needed for the share, so that a bound for all of them holds.
func (v *verifier) whole() error {
	problem, _, name := v.problem()
	share := v.share(problem, name)
	total, least := int64(0), int64(0)
	for _, w := range share.Weights {
		total += w
		if w > 0 && (least == 0 || w < least) {
			least = w
		}
	}
	c := &v.p.Certificate
	if share.Needed <= 0 && c.LowerBound > 0 {
		return fmt.Errorf("the lower bound is %d, although what is permitted already is the share that was asked for", c.LowerBound)
	}
	cells := c.Witness
	for _, part := range c.Parts {
		cells = append(cells[:len(cells):len(cells)], part.Cells...)
	}
	for _, w := range cells {
		if at, ok := v.cellOf(w); ok && v.coverage.weights[at] == 0 {
			return fmt.Errorf("the bound rests on %s, which weighs nothing and may be left out", text(w))
		}
	}
	if left := total - share.Needed; share.Needed > 0 && left >= least {
		return fmt.Errorf("the method %q is for rules that permit everything, and %d of %d may be left out", v.p.Certificate.Method, left, total)
	}
	return nil
}
