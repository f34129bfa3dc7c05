package cover

// fooler collects cells of a tensor that are pairwise incompatible.
type fooler struct {
	t       *tensor
	w       *meter
	members []int32
	at      [3][][]int32 // at[m][x]: members with index x in mode m
}

func newFooler(t *tensor, w *meter) *fooler {
	f := &fooler{t: t, w: w}
	for m := range 3 {
		f.at[m] = make([][]int32, t.dims[m])
	}
	return f
}

// add takes the cell in if it is incompatible with all members.
func (f *fooler) add(id int32) bool {
	mode, least := 0, -1
	for m := range 3 {
		n := 0
		for _, x := range f.t.fiber(m, id) {
			n += len(f.at[m][x])
		}
		f.w.spend(int64(len(f.t.fiber(m, id))))
		if least < 0 || n < least {
			mode, least = m, n
		}
	}
	c := f.t.cells[id]
	for _, x := range f.t.fiber(mode, id) { // a compatible cell's index is in the fiber
		for _, other := range f.at[mode][x] {
			if f.t.compatible(c, f.t.cells[other]) {
				return false
			}
		}
	}
	f.w.spend(4 * int64(least) * f.t.price)
	f.members = append(f.members, id)
	for m := range 3 {
		f.at[m][c[m]] = append(f.at[m][c[m]], id)
	}
	return true
}
