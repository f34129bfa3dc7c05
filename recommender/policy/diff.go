package policy

import "slices"

// Difference compares what two proposals permit: the permissions of a that b
// does not have, and those of b that a does not have, in order. A permission
// is one source, destination and service literal of a rule, so proposals that
// cut the same cells into other rules do not differ. Literals are compared as
// they are written: a group is not looked into.
func Difference(a, b *Proposal) (removed, added []Cell) {
	inA, inB := a.permissions(), b.permissions()
	for c := range inA {
		if !inB[c] {
			removed = append(removed, c)
		}
	}
	for c := range inB {
		if !inA[c] {
			added = append(added, c)
		}
	}
	slices.SortFunc(removed, Cell.Compare)
	slices.SortFunc(added, Cell.Compare)
	return removed, added
}

// permissions is the set of cells that the rules contain.
func (p *Proposal) permissions() map[Cell]bool {
	set := map[Cell]bool{}
	for i := range p.Rules {
		r := &p.Rules[i]
		for _, src := range r.Sources {
			for _, dst := range r.Destinations {
				for _, svc := range r.Services {
					set[Cell{src, dst, svc}] = true
				}
			}
		}
	}
	return set
}
