package cover

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func drawTensor(t *rapid.T) (Problem, *tensor) {
	p := smallProblem(t)
	_, entries, err := canonical(p)
	if err != nil {
		t.Fatal(err)
	}
	dims := p.Dims
	if rapid.Bool().Draw(t, "hashed") { // the same cells in a volume too large for a plain array
		dims = [3]int{1 << 20, 1 << 20, 1 << 20}
	}
	x, err := newTensor(dims, entries)
	if err != nil {
		t.Fatal(err)
	}
	if (x.dense == nil) != (dims[0] > 4) {
		t.Fatal("wrong lookup table")
	}
	return p, x
}

func TestTensorAccess(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, x := drawTensor(t)
		allowed := map[Cell]bool{}
		for _, c := range slices.Concat(p.Ones, p.DontCare) {
			allowed[c] = true
		}
		for i := range p.Dims[0] {
			for j := range p.Dims[1] {
				for k := range p.Dims[2] {
					c := Cell{int32(i), int32(j), int32(k)}
					id := x.id(c)
					if (id >= 0) != allowed[c] {
						t.Fatalf("cell %v has id %d, allowed %v", c, id, allowed[c])
					}
					if id < 0 {
						continue
					}
					if x.cells[id] != c || (x.one[id] >= 0) != slices.Contains(p.Ones, c) {
						t.Fatalf("cell %v is kept as %v, one %d", c, x.cells[id], x.one[id])
					}
					for m := range 3 {
						var want []int32
						d := c
						for y := range p.Dims[m] {
							if d[m] = int32(y); allowed[d] {
								want = append(want, int32(y))
							}
						}
						if got := x.fiber(m, id); !slices.Equal(got, want) {
							t.Fatalf("fiber %d of %v is %v, want %v", m, c, got, want)
						}
						for n, other := range x.fiberCells(m, id) {
							if d[m] = want[n]; x.cells[other] != d {
								t.Fatalf("fiber cell %v, want %v", x.cells[other], d)
							}
						}
						if !slices.Contains(x.slice(m, c[m]), id) {
							t.Fatalf("cell %v is missing in its slice of mode %d", c, m)
						}
					}
				}
			}
		}
	})
}

func TestCompatible(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		_, x := drawTensor(t)
		for _, a := range x.cells {
			for _, b := range x.cells {
				want := true
				for _, i := range [2]int32{a[0], b[0]} {
					for _, j := range [2]int32{a[1], b[1]} {
						for _, k := range [2]int32{a[2], b[2]} {
							want = want && slices.Contains(x.cells, Cell{i, j, k})
						}
					}
				}
				if got := x.compatible(a, b); got != want {
					t.Fatalf("%v and %v: compatible %v", a, b, got)
				}
			}
		}
	})
}

// primesOf lists the maximal legal boxes of a small problem the plain way.
func primesOf(p Problem) []Box {
	allowed := map[Cell]bool{}
	for _, c := range slices.Concat(p.Ones, p.DontCare) {
		allowed[c] = true
	}
	members := func(x int) (set []int32) {
		for i := range 4 {
			if x>>i&1 == 1 {
				set = append(set, int32(i))
			}
		}
		return set
	}
	var legal []Box
	for a := 1; a < 1<<p.Dims[0]; a++ {
		for b := 1; b < 1<<p.Dims[1]; b++ {
			for c := 1; c < 1<<p.Dims[2]; c++ {
				box := Box{Sets: [3][]int32{members(a), members(b), members(c)}}
				ok := true
				for _, i := range box.Sets[0] {
					for _, j := range box.Sets[1] {
						for _, k := range box.Sets[2] {
							ok = ok && allowed[Cell{i, j, k}]
						}
					}
				}
				if ok {
					legal = append(legal, box)
				}
			}
		}
	}
	inside := func(a, b Box) bool {
		for m := range 3 {
			for _, x := range a.Sets[m] {
				if !slices.Contains(b.Sets[m], x) {
					return false
				}
			}
		}
		return true
	}
	return slices.DeleteFunc(slices.Clone(legal), func(a Box) bool {
		return slices.ContainsFunc(legal, func(b Box) bool { return compareBoxes(a, b) != 0 && inside(a, b) })
	})
}

func TestPrimesAndKernels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := smallProblem(t)
		_, entries, _ := canonical(p)
		x, err := newTensor(p.Dims, entries)
		if err != nil {
			t.Fatal(err)
		}
		var cells []int32
		for id, one := range x.one {
			if one >= 0 {
				cells = append(cells, int32(id))
			}
		}
		want := slices.DeleteFunc(primesOf(p), func(b Box) bool { return !slices.ContainsFunc(p.Ones, b.Contains) })
		var got []Box
		complete := newPrimeEnumerator(x, 1<<20, unlimited()).run(cells, func(sets [3]bitset) bool {
			var b Box
			for m := range 3 {
				b.Sets[m] = sets[m].appendTo(nil)
			}
			got = append(got, b)
			return true
		})
		slices.SortFunc(got, compareBoxes)
		slices.SortFunc(want, compareBoxes)
		if !complete || !slices.EqualFunc(got, want, func(a, b Box) bool { return compareBoxes(a, b) == 0 }) {
			t.Fatalf("complete %v, primes %v, want %v", complete, got, want)
		}
		var k kernel
		for _, id := range cells {
			sets, ok := k.of(x, id, unlimited())
			if !ok {
				t.Fatal("no budget")
			}
			for m := range 3 {
				var common []int32
				for _, i := range x.fiber(m, id) {
					if !slices.ContainsFunc(want, func(b Box) bool { return b.Contains(x.cells[id]) && !slices.Contains(b.Sets[m], i) }) {
						common = append(common, i)
					}
				}
				if !slices.Equal(sets[m], common) {
					t.Fatalf("kernel of %v in mode %d is %v, want %v", x.cells[id], m, sets[m], common)
				}
			}
		}
		g := grower{x, unlimited()}
		for _, id := range cells {
			for _, order := range modeOrders {
				b := g.expand(single(x.cells[id]), order)
				if !slices.ContainsFunc(want, func(c Box) bool { return compareBoxes(b, c) == 0 }) {
					t.Fatalf("%v made maximal is %v, which is no prime", x.cells[id], b)
				}
			}
		}
	})
}
