package check

import (
	"cmp"
	"math"
	"math/bits"
	"slices"

	"cordon/recommender/cover"
)

// set is a set of small numbers: of a part's cells, or of its boxes.
type set []uint64

func newSet(n int) set    { return make(set, (n+63)/64) }
func (s set) add(i int)   { s[i>>6] |= 1 << (i & 63) }
func (s set) drop(i int)  { s[i>>6] &^= 1 << (i & 63) }
func (s set) empty() bool { return !slices.ContainsFunc(s, func(x uint64) bool { return x != 0 }) }

// minus removes the members of o.
func (s set) minus(o set) {
	for k := range s {
		s[k] &^= o[k]
	}
}

// size counts the members that are in o too.
func (s set) size(o set) (n int) {
	for k, x := range s {
		n += bits.OnesCount64(x & o[k])
	}
	return n
}

// within reports whether all members that are in o are in t.
func (s set) within(t, o set) bool {
	for k, x := range s {
		if x&o[k]&^t[k] != 0 {
			return false
		}
	}
	return true
}

// one returns a member that is in o too, or -1.
func (s set) one(o set) int {
	for k, x := range s {
		if x &= o[k]; x != 0 {
			return k<<6 + bits.TrailingZeros64(x)
		}
	}
	return -1
}

// list appends the members that are in o too.
func (s set) list(o set, to []int) []int {
	for k, x := range s {
		for x &= o[k]; x != 0; x &= x - 1 {
			to = append(to, k<<6+bits.TrailingZeros64(x))
		}
	}
	return to
}

// search repeats an exhaustive search: it tries to cover the cells of a part by boxes, one fewer than the part's bound, and finds that
// it cannot be done.
//
// A node of the search is a set of cells still to cover, the boxes still open and how many may be taken. What follows without a
// choice is done first: a cell in one open box alone takes it; a cell whose open boxes all hold another cell too is covered with
// that one; a box whose cells are all in another is closed. Then prices on cells, as in a dual part, show that too many
// boxes are needed (for any prices y ≥ 0, Σ y + Σ min(0, 1 − price of a box) is a lower bound), or which boxes alone would make them
// too many. What is left branches on the boxes of one cell.
type search struct {
	cells []cover.Cell
	boxes []set     // by box: its cells
	holds []set     // by cell: its boxes
	gain  []float64 // by box: by how much the bound rose where it was taken, on average
	tries []float64 // how often that was
	steps int64     // cells looked at, or about as much work
	limit int64
}

// node is a state of the search; it owns its sets.
type node struct {
	cells, boxes set
	price        []float64 // by cell
	left         int       // boxes that may be taken
}

func (n node) clone() node {
	return node{slices.Clone(n.cells), slices.Clone(n.boxes), slices.Clone(n.price), n.left}
}

type outcome int

const (
	impossible outcome = iota // no cover with so few boxes
	possible                  // here is one
	unfinished                // the steps ran out
)

func (s *search) enough(n int) bool {
	s.steps += int64(n)
	return s.steps <= s.limit
}

// newSearch lists the boxes. ok is false where the steps ran out.
func newSearch(c *checker, part cover.Part) (s *search, ok bool) {
	s = &search{cells: part.Cells, limit: c.limits.Search}
	e := newEnumerator(c, part.Cells, s)
	if e == nil || !e.all() {
		return s, false
	}
	s.boxes = e.found
	s.holds = make([]set, len(s.cells))
	for i := range s.holds {
		s.holds[i] = newSet(len(s.boxes))
	}
	for j, b := range s.boxes {
		for _, i := range b.list(b, nil) {
			s.holds[i].add(j)
		}
	}
	s.gain, s.tries = make([]float64, len(s.boxes)), make([]float64, len(s.boxes))
	return s, true
}

// try looks for a cover of all cells by so many boxes.
func (s *search) try(boxes int, part cover.Part) outcome {
	root := node{newSet(len(s.cells)), newSet(len(s.boxes)), make([]float64, len(s.cells)), boxes}
	for i := range s.cells {
		root.cells.add(i)
		if len(part.Weights) > 0 {
			root.price[i] = float64(part.Weights[i]) / float64(part.Scale)
		}
	}
	for j := range s.boxes {
		root.boxes.add(j)
	}
	out, _ := s.solve(root)
	return out
}

// solve also returns the bound of the node before it branched, for what it is worth.
func (s *search) solve(n node) (outcome, float64) {
	budget, first := n.left, math.Inf(-1)
	for {
		if !s.reduce(&n) || n.left < 0 {
			return impossible, math.Max(first, float64(budget+1))
		}
		if n.cells.empty() {
			return possible, 0
		}
		if n.left == 0 {
			return impossible, math.Max(first, float64(budget+1))
		}
		if parts := s.parts(&n); len(parts) > 1 {
			return s.each(&n, parts), math.Max(first, 0)
		}
		bound, cost, ok := s.raise(&n, raisePasses)
		if math.IsInf(first, -1) {
			first = bound + float64(budget-n.left)
		}
		if !ok {
			return unfinished, first
		}
		if bound > float64(n.left)+slack {
			return impossible, first
		}
		closed := false
		for _, j := range n.boxes.list(n.boxes, nil) {
			if cost[j] > 0 && bound+cost[j] > float64(n.left)+slack {
				n.boxes.drop(j)
				closed = true
			}
		}
		if closed {
			continue
		}
		choices := s.branch(&n, bound, cost)
		for _, j := range choices {
			with := n.clone()
			with.cells.minus(s.boxes[j])
			with.boxes.drop(j)
			with.left--
			out, after := s.solve(with)
			if out != impossible {
				return out, first
			}
			s.learn(j, after+1-bound)
			n.boxes.drop(j)
		}
		return impossible, first
	}
}

// parts divides the cells of a node into sets that share no open box.
func (s *search) parts(n *node) (parts []set) {
	left := slices.Clone(n.cells)
	for k := range left {
		for left[k] != 0 {
			part := newSet(len(s.cells))
			todo := []int{k<<6 + bits.TrailingZeros64(left[k])}
			left.drop(todo[0])
			for len(todo) > 0 {
				i := todo[len(todo)-1]
				todo = todo[:len(todo)-1]
				part.add(i)
				for _, j := range s.holds[i].list(n.boxes, nil) {
					todo = s.boxes[j].list(left, todo)
					left.minus(s.boxes[j])
				}
			}
			parts = append(parts, part)
		}
	}
	slices.SortStableFunc(parts, func(a, b set) int { return cmp.Compare(a.size(a), b.size(b)) })
	return parts
}

// each finds out how many boxes each part needs, until all together need more than may be taken.
func (s *search) each(n *node, parts []set) outcome {
	nodes, need, sum := make([]node, len(parts)), make([]int, len(parts)), 0
	for p, cells := range parts {
		nodes[p] = node{cells, slices.Clone(n.boxes), slices.Clone(n.price), n.left}
		for _, j := range n.boxes.list(n.boxes, nil) {
			if s.boxes[j].size(cells) == 0 {
				nodes[p].boxes.drop(j)
			}
		}
		bound, _, ok := s.raise(&nodes[p], raisePasses)
		if !ok {
			return unfinished
		}
		need[p] = int(math.Ceil(bound - slack))
		sum += need[p]
	}
	for p := range parts {
		for out := impossible; out != possible; {
			if sum > n.left {
				return impossible
			}
			try := nodes[p].clone()
			try.left = need[p]
			if out, _ = s.solve(try); out == unfinished {
				return out
			}
			if out == impossible {
				need[p]++
				sum++
			}
		}
	}
	return possible
}

// slack is far above the rounding error of the sums, whose terms are at most the number of cells.
const slack = 1e-6

// reduce does what follows without a choice. It returns false where a cell is in no open box.
func (s *search) reduce(n *node) bool {
	for changed := true; changed; {
		changed = false
		degree := make(map[int]int)
		cells := n.cells.list(n.cells, nil)
		for _, i := range cells {
			if n.cells[i>>6]>>(i&63)&1 == 0 {
				continue
			}
			switch degree[i] = s.holds[i].size(n.boxes); degree[i] {
			case 0:
				return false
			case 1:
				j := s.holds[i].list(n.boxes, nil)[0]
				n.cells.minus(s.boxes[j])
				n.boxes.drop(j)
				n.left--
				changed = true
			}
		}
		if n.cells.empty() {
			return true
		}
		boxes := n.boxes.list(n.boxes, nil)
		size := make(map[int]int, len(boxes))
		for _, j := range boxes {
			size[j] = s.boxes[j].size(n.cells)
		}
		var others []int
		for _, j := range boxes {
			rare := -1
			others = s.boxes[j].list(n.cells, others[:0])
			for _, i := range others {
				if rare < 0 || degree[i] < degree[rare] {
					rare = i
				}
			}
			inside := rare < 0
			if !inside {
				others = s.holds[rare].list(n.boxes, others[:0])
				s.steps += int64(len(others))
				for _, o := range others {
					if (size[o] > size[j] || size[o] == size[j] && o < j) && s.boxes[j].within(s.boxes[o], n.cells) {
						inside = true
						break
					}
				}
			}
			if inside {
				n.boxes.drop(j)
				changed = true
			}
		}
		cells = n.cells.list(n.cells, cells[:0])
		for _, i := range cells {
			degree[i] = s.holds[i].size(n.boxes)
		}
		slices.SortFunc(cells, func(a, b int) int { return cmp.Or(cmp.Compare(degree[a], degree[b]), cmp.Compare(a, b)) })
		for k, i := range cells {
			if n.cells[i>>6]>>(i&63)&1 == 0 {
				continue
			}
			box := s.boxes[s.holds[i].one(n.boxes)] // of those that a cell covered with i must be in
			for _, o := range cells[k+1:] {
				if (box[o>>6]&n.cells[o>>6])>>(o&63)&1 == 1 && s.holds[i].within(s.holds[o], n.boxes) {
					n.cells.drop(o)
					n.price[i] += n.price[o] // so that the bound stays as high as it was
					n.price[o] = 0
					changed = true
				}
			}
			s.steps += int64(len(cells) - k)
		}
	}
	return true
}

const (
	raisePasses = 150
	tryPasses   = 40
	tryBoxes    = 10
	inertia     = 0.9
)

// raise looks for prices with a high bound by a subgradient, and returns it with what each box costs beyond the prices of its cells. ok is false
// where the steps ran out.
func (s *search) raise(n *node, passes int) (best float64, cost []float64, ok bool) {
	cells, boxes := n.cells.list(n.cells, nil), n.boxes.list(n.boxes, nil)
	position := make([]int, len(s.cells))
	y, slope, move := make([]float64, len(cells)), make([]float64, len(cells)), make([]float64, len(cells))
	for k, i := range cells {
		position[i], y[k] = k, n.price[i]
	}
	start, entries := []int{0}, []int(nil)
	for _, j := range boxes {
		from := len(entries)
		entries = s.boxes[j].list(n.cells, entries)
		for k, i := range entries[from:] {
			entries[from+k] = position[i]
		}
		start = append(start, len(entries))
	}
	best = math.Inf(-1)
	top := slices.Clone(y)
	step, since := 1.0, 0
	for range passes {
		bound := 0.0
		for k, x := range y {
			bound += x
			slope[k] = 1
		}
		for b := range boxes {
			c := 1.0
			in := entries[start[b]:start[b+1]]
			for _, k := range in {
				c -= y[k]
			}
			if c < 0 {
				bound += c
				for _, k := range in {
					slope[k]--
				}
			}
		}
		if since++; bound > best {
			if bound > best+1e-4 {
				since = 0
			}
			best = bound
			copy(top, y)
		}
		if best > float64(n.left)+slack || !s.enough(len(entries)/2) {
			break
		}
		if since > 15 {
			step, since = step/2, 0
			copy(y, top)
			continue
		}
		norm := 0.0
		for k := range y {
			move[k] = slope[k] + float64(inertia*move[k])
			if slope[k] = move[k]; y[k] <= 0 && slope[k] < 0 {
				slope[k] = 0
			}
			norm += float64(slope[k] * slope[k])
		}
		if norm == 0 || step < 0.005 {
			break
		}
		length := step * (math.Max(float64(n.left)+0.5, best+0.3) - bound) / norm
		for k := range y {
			y[k] = math.Min(1, math.Max(0, y[k]+float64(length*slope[k])))
		}
	}
	for k, i := range cells {
		n.price[i] = top[k]
	}
	cost = make([]float64, len(s.boxes))
	for b, j := range boxes {
		cost[j] = 1
		for _, k := range entries[start[b]:start[b+1]] {
			cost[j] -= top[k]
		}
	}
	return best, cost, s.steps <= s.limit
}

func (s *search) learn(j int, gain float64) {
	s.tries[j] = math.Min(s.tries[j]+1, 20)
	s.gain[j] += (gain - s.gain[j]) / s.tries[j]
}

// probe returns a quick bound with one box taken.
func (s *search) probe(n *node, j int) float64 {
	with := n.clone()
	with.cells.minus(s.boxes[j])
	with.boxes.drop(j)
	with.left--
	if !s.reduce(&with) || with.left < 0 {
		return float64(n.left + 1)
	}
	if with.cells.empty() {
		return float64(n.left - with.left)
	}
	bound, _, _ := s.raise(&with, tryPasses)
	return float64(n.left-with.left) + bound
}

// branch returns the open boxes of the cell whose boxes promise the fewest nodes, as far as they were tried before; the cheapest first.
func (s *search) branch(n *node, bound float64, cost []float64) []int {
	least, at, fewest := math.Inf(1), -1, math.MaxInt
	var in []int
	for _, i := range n.cells.list(n.cells, nil) {
		in = s.holds[i].list(n.boxes, in[:0])
		if len(in) > tryBoxes {
			if math.IsInf(least, 1) && len(in) < fewest {
				at, fewest = i, len(in)
			}
			continue
		}
		sum := 0.0
		for _, j := range in {
			if s.tries[j] == 0 {
				s.learn(j, s.probe(n, j)-bound)
			}
			x := 1 + 5*math.Max(s.gain[j], cost[j])/8
			x *= x
			x *= x
			x *= x
			sum += 1 / x
		}
		if sum < least {
			least, at = sum, i
		}
	}
	in = s.holds[at].list(n.boxes, in[:0])
	slices.SortFunc(in, func(a, b int) int { return cmp.Or(cmp.Compare(cost[a], cost[b]), cmp.Compare(a, b)) })
	return in
}
