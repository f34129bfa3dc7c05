package cover

import (
	"context"
	"fmt"
	"slices"
)

// Effort is how much work Solve may do. It bounds counted steps, not time, so that a result depends on the problem
// and the options alone.
type Effort int

const (
	EffortDefault    Effort = iota // up to about ten seconds, and longer above 270,000 ones
	EffortQuick                    // reductions, one greedy pass and a greedy fooling set
	EffortThorough                 // up to about two minutes
	EffortExhaustive               // the search goes on until it is optimal, or the context ends
)

var effortNames = [...]string{"default", "quick", "thorough", "exhaustive"}

func (e Effort) String() string {
	if e < 0 || int(e) >= len(effortNames) {
		return fmt.Sprintf("Effort(%d)", int(e))
	}
	return effortNames[e]
}

// EffortNames lists what ParseEffort reads, the default first.
func EffortNames() []string { return slices.Clone(effortNames[:]) }

// ParseEffort is the inverse of String.
func ParseEffort(name string) (Effort, error) {
	if i := slices.Index(effortNames[:], name); i >= 0 {
		return Effort(i), nil
	}
	return 0, fmt.Errorf("unknown effort %q: use quick, default, thorough or exhaustive", name)
}

// steps returns the budget of an effort, for a problem of so many ones, in steps of a meter (some 300 to 600 million a second).
func (e Effort) steps(ones int) int64 {
	switch e {
	case EffortQuick:
		return 500_000_000
	case EffortThorough:
		return 40_000_000_000
	case EffortExhaustive:
		return 1 << 62
	}
	return min(max(4_000_000_000, int64(ones)*stepsPerOne), EffortThorough.steps(0))
}

// stepsPerOne lets the default effort list the maximal boxes of most components of a problem, however many there are.
const stepsPerOne = 15_000

// polishSteps is the budget for saving literals.
func (e Effort) polishSteps() int64 { return min(e.steps(0), 40_000_000_000) / 10 }

// Options tunes Solve. The zero value is ready to use.
type Options struct {
	Effort Effort
	// MaxMemory bounds, in bytes and roughly, what Solve allocates beyond the reduced problem; 0 means DefaultMaxMemory.
	MaxMemory int64
	// Cost, if set, is that of a box, by which covers with equally few boxes and literals are compared.
	Cost func(Box) int64
	// Progress, if set, is called from Solve whenever a better cover or bound is known.
	Progress func(Progress)
}

// DefaultMaxMemory is one GiB.
const DefaultMaxMemory = 1 << 30

// Progress is how far Solve has come.
type Progress struct {
	Boxes      int // boxes of the best cover so far, of what was looked at
	LowerBound int // number of them that are known to be needed
	Waiting    int // components that were not looked at yet
}

// Solve covers p with few boxes. The answer is always sound and complete, and its bound holds, also when ctx ends
// early: then it is the best found so far. Without an end of ctx the result depends on p and o only, and not on the order of cells.
func Solve(ctx context.Context, p Problem, o Options) (Solution, error) {
	if o.Effort < 0 || int(o.Effort) >= len(effortNames) {
		return Solution{}, fmt.Errorf("cover: unknown effort %v", o.Effort)
	}
	ones, entries, err := canonical(p)
	if err != nil {
		return Solution{}, err
	}
	full, err := newTensor(p.Dims, entries)
	if err != nil {
		return Solution{}, err
	}
	w := &meter{ctx: ctx, limit: o.Effort.steps(len(ones))}
	var r *reduction
	w.part(o.Effort.steps(0)/2, func() { r, err = reduce(p.Dims, entries, w) })
	if err != nil {
		return Solution{}, err
	}
	memory := o.MaxMemory
	if memory == 0 {
		memory = DefaultMaxMemory
	}
	progress := &reporter{call: o.Progress}
	progress.add(len(r.essential), len(r.essential))
	core, err := solveCore(r.top(), r.core, memory, w, progress)
	if err != nil {
		return Solution{}, err
	}

	s := Solution{Witness: pick(ones, r.essential, core.witness), Method: FoolingSet}
	polish := meter{ctx: ctx, limit: o.Effort.polishSteps()}
	s.Boxes, s.Literals = newPolisher(full, o.Cost).improve(r.lift(core.boxes, w), &polish)
	s.LowerBound = len(s.Witness)
	if len(core.parts) > 0 {
		cells := pick(ones, r.essential, core.proved)
		s.Parts = []Part{{Method: FoolingSet, Bound: len(cells), Cells: cells}}
		s.LowerBound, s.Method = len(cells), Dual
		for _, p := range core.parts {
			p.Cells = make([]Cell, len(p.ones))
			for i, one := range p.ones {
				p.Cells[i] = ones[one]
			}
			s.Parts = append(s.Parts, p.Part)
			s.LowerBound += p.Bound
			if p.Method == Exhaustive {
				s.Method = Exhaustive
			}
		}
	}
	s.Optimal = s.LowerBound == len(s.Boxes)
	s.Stats = Stats{
		Ones: len(ones), Layers: len(r.layers), Essential: len(r.essential), Core: len(r.core), Dims: r.top().dims,
		Primes: core.primes, Nodes: core.nodes, Steps: w.used + polish.used, Stopped: !w.ok(), Interrupted: w.ended || polish.ended,
	}
	return s, nil
}

// pick returns the ones at the given positions, sorted.
func pick(ones []Cell, lists ...[]int32) []Cell {
	at := slices.Concat(lists...)
	slices.Sort(at)
	cells := make([]Cell, len(at))
	for i, one := range at {
		cells[i] = ones[one]
	}
	return cells
}
