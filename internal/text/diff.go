package text

// Edit is one line of the difference between two texts: 0 for a line that both have, -1 for one of the first only, 1
// for one of the second only.
type Edit struct {
	Kind int
	Line string
}

// maxEdits bounds the work of the shortest edit. What differs in more lines is divided at lines that
// both texts have once, so that its edit may be a little longer than the shortest.
const maxEdits = 3000

// Diff gives the edit that makes the second list of lines of the first: the shortest (Myers, "An O(ND) difference
// algorithm", 1986), unless they differ in very many lines.
func Diff(a, b []string) (out []Edit) {
	ids := map[string]int{}
	number := func(list []string) []int {
		n := make([]int, len(list))
		for i, l := range list {
			id, ok := ids[l]
			if !ok {
				id = len(ids)
				ids[l] = id
			}
			n[i] = id
		}
		return n
	}
	x := differ{a: number(a), b: number(b)}
	x.diff(0, len(a), 0, len(b))
	i, j := 0, 0
	for _, kind := range x.script {
		switch kind {
		case -1:
			out = append(out, Edit{-1, a[i]})
			i++
		case 1:
			out = append(out, Edit{1, b[j]})
			j++
		default:
			out = append(out, Edit{0, a[i]})
			i, j = i+1, j+1
		}
	}
	return out
}

// Changed counts the lines of an edit that are added and removed.
func Changed(edits []Edit) (added, removed int) {
	for _, e := range edits {
		switch e.Kind {
		case 1:
			added++
		case -1:
			removed++
		}
	}
	return added, removed
}

// differ compares numbers that stand for lines.
type differ struct {
	a, b   []int
	script []int8
}

func (d *differ) emit(kind int8, n int) {
	for range n {
		d.script = append(d.script, kind)
	}
}

// diff appends the edit of a part of both lists.
func (d *differ) diff(aLo, aHi, bLo, bHi int) {
	for aLo < aHi && bLo < bHi && d.a[aLo] == d.b[bLo] {
		d.emit(0, 1)
		aLo, bLo = aLo+1, bLo+1
	}
	same := 0
	for aLo < aHi && bLo < bHi && d.a[aHi-1] == d.b[bHi-1] {
		aHi, bHi, same = aHi-1, bHi-1, same+1
	}
	switch {
	case aLo == aHi:
		d.emit(1, bHi-bLo)
	case bLo == bHi:
		d.emit(-1, aHi-aLo)
	case !d.shortest(aLo, aHi, bLo, bHi):
		d.anchored(aLo, aHi, bLo, bHi)
	}
	d.emit(0, same)
}

// shortest appends the shortest edit, if it has not too many lines.
func (d *differ) shortest(aLo, aHi, bLo, bHi int) bool {
	n, m := aHi-aLo, bHi-bLo
	most := min(n+m, maxEdits)
	v := make([]int32, 2*most+3)
	var trace [][]int32
	for steps := 0; steps <= most; steps++ {
		trace = append(trace, append([]int32(nil), v[most-steps:most+steps+3]...))
		for k := -steps; k <= steps; k += 2 {
			at := most + 1 + k
			x := v[at-1] + 1
			if k == -steps || k != steps && v[at-1] < v[at+1] {
				x = v[at+1]
			}
			y := int(x) - k
			for int(x) < n && y < m && d.a[aLo+int(x)] == d.b[bLo+y] {
				x, y = x+1, y+1
			}
			v[at] = x
			if int(x) >= n && y >= m {
				d.backtrack(trace, n, m)
				return true
			}
		}
	}
	return false
}

// backtrack appends the edit that a trace of shortest leads to.
func (d *differ) backtrack(trace [][]int32, x, y int) {
	var back []int8
	for steps := len(trace) - 1; steps >= 0; steps-- {
		v := trace[steps] // begins at diagonal -steps-1
		k := x - y
		at := func(k int) int { return int(v[k+steps+1]) }
		prev := k - 1
		if k == -steps || k != steps && at(k-1) < at(k+1) {
			prev = k + 1
		}
		px := at(prev)
		py := px - prev
		if steps == 0 {
			px, py = 0, 0
		}
		for x > px && y > py {
			back = append(back, 0)
			x, y = x-1, y-1
		}
		switch {
		case steps == 0:
		case x == px:
			back = append(back, 1)
			y--
		default:
			back = append(back, -1)
			x--
		}
	}
	for i := len(back) - 1; i >= 0; i-- {
		d.script = append(d.script, back[i])
	}
}

// anchored divides two lists at the lines that each has once, in an order that both have them in.
func (d *differ) anchored(aLo, aHi, bLo, bHi int) {
	const none, several = -1, -2
	place := func(list []int, lo, hi int) map[int]int {
		at := map[int]int{}
		for i := lo; i < hi; i++ {
			if _, twice := at[list[i]]; twice {
				at[list[i]] = several
			} else {
				at[list[i]] = i
			}
		}
		return at
	}
	inA, inB := place(d.a, aLo, aHi), place(d.b, bLo, bHi)
	// The longest rising list of places, by patience: piles, and what lies under each card.
	var piles, anchors []int
	under := map[int]int{}
	for i := aLo; i < aHi; i++ {
		j, ok := inB[d.a[i]]
		if inA[d.a[i]] < 0 || !ok || j < 0 {
			continue
		}
		lo, hi := 0, len(piles)
		for lo < hi {
			if mid := (lo + hi) / 2; inB[d.a[piles[mid]]] < j {
				lo = mid + 1
			} else {
				hi = mid
			}
		}
		under[i] = none
		if lo > 0 {
			under[i] = piles[lo-1]
		}
		if lo == len(piles) {
			piles = append(piles, i)
		} else {
			piles[lo] = i
		}
	}
	if len(piles) > 0 {
		for i := piles[len(piles)-1]; i != none; i = under[i] {
			anchors = append(anchors, i)
		}
	}
	if len(anchors) == 0 {
		d.emit(-1, aHi-aLo)
		d.emit(1, bHi-bLo)
		return
	}
	for n := len(anchors) - 1; n >= 0; n-- {
		i := anchors[n]
		j := inB[d.a[i]]
		d.diff(aLo, i, bLo, j)
		d.emit(0, 1)
		aLo, bLo = i+1, j+1
	}
	d.diff(aLo, aHi, bLo, bHi)
}
