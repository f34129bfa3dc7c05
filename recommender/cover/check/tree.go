package check

import (
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"cordon/recommender/cover"
)

// tree checks a bound by exhaustive search: it reads the lines of cover.Part.Tree, which say why so few boxes cannot do, and searches for
// nothing itself. docs/proposal.md describes the lines.
//
// What it refutes at every line is that some of the open boxes, at most left of them, hold the rows but for rows of a weight
// of at most spare. Cells in the same boxes are one row, of their weights' sum; where everything is needed, each weighs 1 and
// spare is 0.
type tree struct {
	boxes  []set   // rows of each box
	around [][]int // boxes of each row
	weight []int64
	lines  []string
	next   int // the line to read
}

// claim is what a tree refutes.
type claim struct {
	rows, open set
	left       int
	spare      int64
}

func (c claim) clone() claim {
	c.rows, c.open = slices.Clone(c.rows), slices.Clone(c.open)
	return c
}

// Tree reports an error unless the tree of a part shows that boxes of the part's, fewer than the given number, cannot hold its cells but for some
// that weigh no more than spare together. It takes the part's word for its boxes. Where all cells are needed, spare is 0 and each weighs 1.
func Tree(part cover.Part, boxes int, spare int64, weight func(cover.Cell) int64) error {
	t, err := newTree(part, weight)
	if err != nil {
		return err
	}
	return t.proves(boxes-1, spare)
}

// newTree joins the cells of a part to rows, in the order of their first cells. It returns an error if a box names a cell that is not there.
func newTree(part cover.Part, weight func(cover.Cell) int64) (*tree, error) {
	in := make([]set, len(part.Cells)) // boxes of each cell
	for i := range in {
		in[i] = newSet(len(part.Boxes))
	}
	for j, box := range part.Boxes {
		for _, i := range box {
			if i < 0 || int(i) >= len(part.Cells) {
				return nil, fmt.Errorf("box %d holds cell %d of %d", j, i, len(part.Cells))
			}
			in[i].add(j)
		}
	}
	t := &tree{lines: part.Tree}
	row := make(map[string]int)
	of := make([]int, len(part.Cells))
	for i, cell := range part.Cells {
		key := in[i].key()
		n, known := row[key]
		if !known {
			n = len(t.weight)
			row[key], t.weight = n, append(t.weight, 0)
		}
		of[i] = n
		t.weight[n] += weight(cell)
	}
	for _, box := range part.Boxes {
		b := newSet(len(t.weight))
		for _, i := range box {
			b.add(of[i])
		}
		t.boxes = append(t.boxes, b)
	}
	t.around = make([][]int, len(t.weight))
	for j, b := range t.boxes {
		for _, i := range b.list(b) {
			t.around[i] = append(t.around[i], j)
		}
	}
	return t, nil
}

// proves reports an error unless the lines show that more than left boxes are needed.
func (t *tree) proves(left int, spare int64) error {
	all := claim{newSet(len(t.weight)), newSet(len(t.boxes)), left, spare}
	for i := range t.weight {
		all.rows.add(i)
	}
	for j := range t.boxes {
		all.open.add(j)
	}
	if err := t.refute(all); err != nil {
		return err
	}
	if t.next < len(t.lines) {
		return fmt.Errorf("line %d: the tree has ended before", t.next+1)
	}
	return nil
}

// refute reads lines up to the end of the case, and reports an error unless they refute the claim.
func (t *tree) refute(c claim) error {
	for done := t.settled(&c); ; done = done || t.settled(&c) {
		if t.next == len(t.lines) || t.lines[t.next] == "end" {
			if !done {
				return fmt.Errorf("line %d: the case ends, and %d boxes may do for %d rows", t.next+1, c.left, len(c.rows.list(c.rows)))
			}
			return nil
		}
		at := t.next + 1
		ended, err := t.read(&c, done)
		if err != nil {
			if strings.HasPrefix(err.Error(), "line ") {
				return err // the error of a case inside this one
			}
			return fmt.Errorf("line %d: %w", at, err)
		}
		done = done || ended
	}
}

// settled leaves out the rows that are in no open box, and reports whether that is too much, or whether no box may be taken any more.
func (t *tree) settled(c *claim) bool {
	held := newSet(len(t.weight))
	for _, j := range c.open.list(c.open) {
		for k, x := range t.boxes[j] {
			held[k] |= x
		}
	}
	needed := int64(0)
	for _, i := range c.rows.list(c.rows) {
		if held.has(i) {
			needed += t.weight[i]
			continue
		}
		c.rows.drop(i)
		c.spare -= t.weight[i]
	}
	return c.spare < 0 || c.left == 0 && needed > c.spare
}

// read takes one line, with the lines of the cases that it opens, and reports whether it ends the claim.
func (t *tree) read(c *claim, done bool) (ended bool, err error) {
	word, rest, _ := strings.Cut(t.lines[t.next], " ")
	t.next++
	switch word {
	case "skip":
		rows, err := numbers(rest, len(t.weight))
		for _, i := range rows {
			c.rows.drop(i)
		}
		return false, err
	case "drop":
		return false, t.drop(c, rest)
	case "price":
		return t.price(c, rest)
	case "reach":
		return t.reach(c), nil
	case "take":
		return false, t.take(c, rest, done)
	case "part":
		t.next--
		return t.parts(c, done)
	}
	return false, fmt.Errorf("%q is not one of skip, drop, price, reach, take, part and end", word)
}

func numbers(text string, below int) (list []int, err error) {
	for _, field := range strings.Fields(text) {
		n, err := strconv.Atoi(field)
		if err != nil || n < 0 || n >= below {
			return nil, fmt.Errorf("%q is no number below %d", field, below)
		}
		list = append(list, n)
	}
	return list, nil
}

// drop closes boxes whose rows are all in another open box, which serves as well.
func (t *tree) drop(c *claim, text string) error {
	pairs, err := numbers(text, len(t.boxes))
	if err != nil || len(pairs)%2 != 0 {
		return fmt.Errorf("drop wants pairs of boxes: %w", err)
	}
	for ; len(pairs) > 0; pairs = pairs[2:] {
		j, by := pairs[0], pairs[1]
		if j == by || !c.open.has(by) || !t.boxes[j].within(t.boxes[by], c.rows) {
			return fmt.Errorf("the rows of box %d are not all in box %d, or that is closed", j, by)
		}
		c.open.drop(j)
	}
	return nil
}

// take reads the case in which a box is chosen, and closes it for what follows.
func (t *tree) take(c *claim, text string, done bool) error {
	j, err := numbers(text, len(t.boxes))
	if err != nil || len(j) != 1 || !c.open.has(j[0]) {
		return fmt.Errorf("take wants one open box: %w", err)
	}
	c.open.drop(j[0])
	with := c.clone()
	with.rows.minus(t.boxes[j[0]])
	with.left--
	return t.inside(with, done)
}

// inside reads a case up to its end. In a claim that is refuted already it may say what it likes.
func (t *tree) inside(c claim, done bool) error {
	if done {
		c.left, c.spare = -1, -1
	}
	if err := t.refute(c); err != nil {
		return err
	}
	if t.next == len(t.lines) {
		return fmt.Errorf("line %d: the last case has no end", t.next)
	}
	t.next++
	return nil
}

// parts reads parts up to the last: rows of which no open box holds some of two parts, each with what it needs at least. A part's case refutes that it
// needs one less.
func (t *tree) parts(c *claim, done bool) (bool, error) {
	sum := 0
	apart := newSet(len(t.weight))
	var touched = newSet(len(t.boxes))
	for t.next < len(t.lines) && strings.HasPrefix(t.lines[t.next], "part ") {
		list, err := numbers(t.lines[t.next][len("part "):], max(len(t.weight), len(t.boxes))+1)
		t.next++
		if err != nil || len(list) == 0 {
			return false, fmt.Errorf("part wants what it needs, and its rows: %w", err)
		}
		part := claim{newSet(len(t.weight)), slices.Clone(c.open), list[0] - 1, 0}
		for _, i := range list[1:] {
			if i >= len(t.weight) || !c.rows.has(i) || apart.has(i) {
				return false, fmt.Errorf("row %d is not open, or in two parts", i)
			}
			part.rows.add(i)
			apart.add(i)
		}
		for _, j := range c.open.list(c.open) {
			if t.boxes[j].meets(part.rows) {
				if touched.has(j) {
					return false, fmt.Errorf("box %d holds rows of two parts", j)
				}
				touched.add(j)
			}
		}
		if c.spare != 0 {
			return false, fmt.Errorf("parts add up only where nothing may be left out, and weight %d may", c.spare)
		}
		if err := t.inside(part, done); err != nil {
			return false, err
		}
		sum += list[0]
	}
	return sum > c.left, nil
}

// reach reports whether the boxes that hold most are too few together.
func (t *tree) reach(c *claim) bool {
	needed := -c.spare
	for _, i := range c.rows.list(c.rows) {
		needed += t.weight[i]
	}
	var gains []int64
	for _, j := range c.open.list(c.open) {
		gain := int64(0)
		for _, i := range t.boxes[j].list(c.rows) {
			gain += t.weight[i]
		}
		gains = append(gains, gain)
	}
	slices.SortFunc(gains, func(a, b int64) int { return int(min(max(b-a, -1), 1)) })
	for _, gain := range gains[:min(c.left, len(gains))] {
		needed -= gain
	}
	return needed > 0
}

// priced is rows with a price: one row, or three of which any two are not enough.
type priced struct {
	rows  []int
	price int64
}

// price adds prices up. Every row that is covered costs its price once at least, and each three rows together cost theirs twice at least,
// where a box pays once for one or two of three, and twice for all. So, in units of the scale, all prices less what boxes pay beyond the
// scale, and less the most that can be left out, is a lower bound. It may be above left, or be where one more box is taken, which is
// then closed.
func (t *tree) price(c *claim, text string) (ended bool, err error) {
	scale, prices, err := t.readPrices(c, text)
	if err != nil {
		return false, err
	}
	single := make([]int64, len(t.weight))
	bound := int64(0)
	for _, p := range prices {
		bound += p.price * int64(len(p.rows)+1) / 2
		if len(p.rows) == 1 {
			single[p.rows[0]] += p.price
		}
	}
	bound -= t.leftOut(c, single)
	pays := make([]int64, len(t.boxes))
	held := make([]int64, len(t.boxes)) // rows of one price
	for _, p := range prices {
		for _, i := range p.rows {
			for _, j := range t.around[i] {
				if held[j]++; held[j] != 2 {
					pays[j] += p.price
				}
			}
		}
		for _, i := range p.rows {
			for _, j := range t.around[i] {
				held[j] = 0
			}
		}
	}
	open := c.open.list(c.open)
	for _, j := range open {
		bound += min(scale-pays[j], 0)
	}
	limit := int64(c.left) * scale
	for _, j := range open {
		if more := scale - pays[j]; more > 0 && bound+more > limit {
			c.open.drop(j)
		}
	}
	return bound > limit, nil
}

// maxPrice keeps sums of prices, of which there are no more than a line has characters, far below 2^63.
const maxPrice = 1 << 40

func (t *tree) readPrices(c *claim, text string) (scale int64, prices []priced, err error) {
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return 0, nil, fmt.Errorf("price wants a scale")
	}
	if scale, err = strconv.ParseInt(fields[0], 10, 64); err != nil || scale <= 0 || scale > maxPrice {
		return 0, nil, fmt.Errorf("%q is no scale", fields[0])
	}
	for _, field := range fields[1:] {
		names, number, _ := strings.Cut(field, ":")
		rows, err := numbers(strings.ReplaceAll(names, ",", " "), len(t.weight))
		if err != nil {
			return 0, nil, err
		}
		price, err := strconv.ParseInt(number, 10, 64)
		slices.Sort(rows)
		rows = slices.Compact(rows)
		if err != nil || price < 0 || price > maxPrice || len(rows) != 1 && (len(rows) != 3 || c.spare != 0) {
			return 0, nil, fmt.Errorf("%q is no price of one row, nor of three where nothing may be left out", field)
		}
		for _, i := range rows {
			if !c.rows.has(i) {
				return 0, nil, fmt.Errorf("row %d has a price and is not open", i)
			}
		}
		prices = append(prices, priced{rows, price})
	}
	return scale, prices, nil
}

// leftOut is the most of the prices that lies on rows which may be left out: a fractional knapsack, rounded down.
func (t *tree) leftOut(c *claim, price []int64) int64 {
	rows := c.rows.list(c.rows)
	each := func(i, w int) *big.Int { return new(big.Int).Mul(big.NewInt(price[i]), big.NewInt(t.weight[w])) }
	slices.SortFunc(rows, func(a, b int) int { return each(b, a).Cmp(each(a, b)) })
	spare, most := c.spare, int64(0)
	for _, i := range rows {
		if t.weight[i] > spare {
			part := new(big.Int).Mul(big.NewInt(price[i]), big.NewInt(spare))
			return most + part.Div(part, big.NewInt(t.weight[i])).Int64()
		}
		spare -= t.weight[i]
		most += price[i]
	}
	return most
}
