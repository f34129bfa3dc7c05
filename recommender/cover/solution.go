package cover

// Method says what a lower bound rests on.
type Method string

const (
	FoolingSet Method = "fooling-set" // the witness: as many cells as the bound, no two in one legal box
	Dual       Method = "dual"        // weights on cells, at most 1 in total in any legal box
	Exhaustive Method = "exhaustive"  // a complete search; to check it, search again
)

// Solution is a cover and what is known about the fewest boxes.
type Solution struct {
	Boxes      []Box // irredundant, sorted by the sets of mode 0, then 1, then 2
	Literals   int64 // weighted size of all sets of all boxes
	LowerBound int   // no cover has fewer boxes
	Optimal    bool  // LowerBound == len(Boxes)
	Method     Method
	Witness    []Cell // the largest fooling set found, sorted; proves LowerBound alone if Method is FoolingSet
	Parts      []Part // otherwise: the proof of LowerBound, which is the sum of their bounds
	Stats      Stats
}

// Part is a share of a lower bound: its cells need at least Bound boxes. No legal box holds cells of two parts,
// so the bounds of parts add up.
type Part struct {
	Method Method
	Bound  int
	Cells  []Cell // ones
	// Weights go with Cells. No legal box holds a total weight above Scale, so the sum of all, divided by Scale and
	// rounded up, is a bound: Bound itself if Method is Dual, a smaller one that is easy to check if it is Exhaustive.
	Weights []int64
	Scale   int64
	// Boxes and Tree are the proof where Method is Exhaustive. Boxes are the legal boxes, by the positions in Cells of what they hold, as far as
	// no other holds the same and more. Tree are the lines of a search for fewer of them, which fails; see record.
	Boxes [][]int32
	Tree  []string
}

// Stats describes a run.
type Stats struct {
	Ones      int    // different cells to cover
	Layers    int    // rounds of reduction
	Essential int    // boxes that reduction proved to belong to an optimal cover
	Core      int    // cells left after reduction
	Dims      [3]int // indices left after reduction
	Primes    int64  // maximal boxes enumerated
	Nodes     int64  // nodes of the branch and bound
	Steps     int64
	Stopped   bool // the budget or the context ended the search early
	// Interrupted says that the context ended: the solution depends on the moment, and may have more boxes than it would have had.
	Interrupted bool
}
