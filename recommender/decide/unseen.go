package decide

import (
	"cmp"
	"errors"
	"slices"

	"cordon/categories"
	"cordon/recommender/cells"
)

// Level is a category by which cells are looked at more coarsely than by the endpoints that rules are made of.
type Level interface {
	// Parent gives the number of the group that holds all addresses of an endpoint, or -1, and whether it has others.
	Parent(e cells.Endpoint) (group int, wider bool)
}

// Zero is a cell in which nothing was seen, and what would be expected there.
type Zero struct {
	Level                 int // place of the level
	Src, Dst              int // The level's groups around the ends.
	Expected, Probability float64
}

// ErrTooFine says that there are more pairs to look at than the bound permits.
var ErrTooFine = errors.New("the groups are too fine")

// Ends are the endpoints and services that rules are made of, each in order.
type Ends struct {
	Sources, Dests []cells.Endpoint
	Services       []categories.ServiceTerm
}

// Has reports whether both endpoints and the service of a cell are among them.
func (e *Ends) Has(k *cells.Key) bool {
	_, s := slices.BinarySearchFunc(e.Sources, k.Src, cells.Endpoint.Compare)
	_, d := slices.BinarySearchFunc(e.Dests, k.Dst, cells.Endpoint.Compare)
	_, v := slices.BinarySearchFunc(e.Services, k.Service, categories.ServiceTerm.Compare)
	return s && d && v
}

// Unseen finds the cells of a VRF over given endpoints and services that may be permitted although nothing was seen in them. The
// list has the cells of the VRF. Closed says of a cell that it is none of ours to permit. It looks at no more than so many pairs.
//
// A cell (s, d, service) in which no session was seen lies in the coarse cell (S, D, service) of the first level that has groups S
// and D around s and d, one of which has other addresses too. It may be permitted if s is a client and d a server of sessions in
// the coarse cell, and that they have none together is no more than chance: see zeroProbability. With a probability below the
// given level of significance it stays forbidden.
//
// There is no correction for testing many zeros. It would call fewer of them significant, and the mistake to fear here is a
// permission, not its absence.
//
// A cell with a session that was left out, for whatever reason, is not one in which nothing was seen.
func Unseen(levels []Level, ends *Ends, vrf string, list []cells.Cell, parts []cells.Part, significance float64, closed func(cells.Key) bool, most int) (map[cells.Key]Zero, error) {
	below := significance * (1 - 1e-9) // A share equal to the level but for rounding is not below it.
	seen := servicesSeen(vrf, list, parts)
	m := marginsOf(levels, list)
	out := map[cells.Key]Zero{}
	tried := 0
	for at, all := range m.all {
		if _, ok := slices.BinarySearchFunc(ends.Services, at.service, categories.ServiceTerm.Compare); !ok {
			continue
		}
		if tried += len(m.from[at]) * len(m.to[at]); tried > most {
			return nil, ErrTooFine
		}
		for src, row := range m.from[at] {
			for dst, column := range m.to[at] {
				k := cells.Key{VRF: vrf, Src: src, Dst: dst, Service: at.service}
				if !ends.Has(&k) || src == dst && src.Group == cells.NoGroup || levelOf(levels, src, dst) != at.level ||
					meets(seen[cells.Pair{Src: src, Dst: dst}], at.service) {
					continue
				}
				probability := zeroProbability(all, row, column, below)
				if probability < below || closed(k) {
					continue
				}
				out[k] = Zero{at.level, at.src, at.dst, float64(row) * float64(column) / float64(all), probability}
			}
		}
	}
	return out, nil
}

// servicesSeen gives the services of all sessions between each pair of a VRF, as disjoint terms in order. Services inside a range
// of the pair count as seen: they are permitted with it.
func servicesSeen(vrf string, list []cells.Cell, parts []cells.Part) map[cells.Pair][]categories.ServiceTerm {
	seen := map[cells.Pair][]categories.ServiceTerm{}
	for i := range parts {
		if k := &parts[i].Key; k.VRF == vrf {
			at := cells.Pair{Src: k.Src, Dst: k.Dst}
			seen[at] = append(seen[at], parts[i].Service.Term())
		}
	}
	for i := range list {
		at := cells.Pair{Src: list[i].Key.Src, Dst: list[i].Key.Dst}
		seen[at] = append(seen[at], list[i].Key.Service)
	}
	for at, terms := range seen {
		seen[at] = JoinTerms(terms)
	}
	return seen
}

// levelOf gives the first level at which a pair of endpoints is inside a coarser one: each in a group, and one of them not all of
// its group. It is -1 if there is none.
func levelOf(levels []Level, src, dst cells.Endpoint) int {
	return slices.IndexFunc(levels, func(l Level) bool {
		s, widerS := l.Parent(src)
		d, widerD := l.Parent(dst)
		return s >= 0 && d >= 0 && (widerS || widerD)
	})
}

// coarse is a cell of a level.
type coarse struct {
	level    int
	src, dst int
	service  categories.ServiceTerm
}

// margins counts the sessions of coarse cells, and how many of them each end has.
type margins struct {
	all      map[coarse]uint64
	from, to map[coarse]map[cells.Endpoint]uint64
}

func marginsOf(levels []Level, list []cells.Cell) *margins {
	m := &margins{map[coarse]uint64{}, map[coarse]map[cells.Endpoint]uint64{}, map[coarse]map[cells.Endpoint]uint64{}}
	for i := range list {
		k := &list[i].Key
		for at, l := range levels {
			s, _ := l.Parent(k.Src)
			d, _ := l.Parent(k.Dst)
			if s < 0 || d < 0 {
				continue
			}
			c := coarse{at, s, d, k.Service}
			if m.from[c] == nil {
				m.from[c], m.to[c] = map[cells.Endpoint]uint64{}, map[cells.Endpoint]uint64{}
			}
			m.all[c] += list[i].Sessions
			m.from[c][k.Src] += list[i].Sessions
			m.to[c][k.Dst] += list[i].Sessions
		}
	}
	return m
}

// JoinTerms gives the same services as disjoint terms, in order. It uses the memory of the terms.
func JoinTerms(terms []categories.ServiceTerm) []categories.ServiceTerm {
	slices.SortFunc(terms, categories.ServiceTerm.Compare)
	out := terms[:0]
	for _, t := range terms {
		if n := len(out); n > 0 && out[n-1].Proto == t.Proto && t.Lo <= out[n-1].Hi {
			out[n-1].Hi = max(out[n-1].Hi, t.Hi)
			continue
		}
		out = append(out, t)
	}
	return out
}

// meets reports whether one of the disjoint terms, which are in order, has a service of t.
func meets(terms []categories.ServiceTerm, t categories.ServiceTerm) bool {
	_, found := slices.BinarySearchFunc(terms, t, func(a, t categories.ServiceTerm) int {
		switch {
		case a.Proto != t.Proto:
			return cmp.Compare(a.Proto, t.Proto)
		case a.Hi < t.Lo:
			return -1
		case a.Lo > t.Hi:
			return 1
		}
		return 0
	})
	return found
}

// zeroProbability is how likely it is that none of n sessions is both one of the row ones that an end has and one of the column
// ones that the other end has, if who meets whom is chance: C(n-column, row) / C(n, row), the hypergeometric distribution at 0,
// which is the one-sided P of Fisher's exact test (Fisher, Statistical Methods for Research Workers, 1934, section 21.02). What is
// expected is row column / n sessions. It stops with a value below the given one once that is certain.
func zeroProbability(n, row, column uint64, below float64) float64 {
	row, column = min(row, column), max(row, column)
	if row+column > n {
		return 0
	}
	p := 1.0
	for i := range row {
		if p *= float64(n-column-i) / float64(n-i); p < below {
			break
		}
	}
	return p
}
