package verify

import (
	"slices"

	"cordon/categories"
	"cordon/recommender/policy"
)

// services is a set of services: ranges of keys, in order, disjoint and not
// touching one another.
type services []keyRange

// keyRange is a range of service keys, both ends included.
type keyRange struct{ lo, hi uint32 }

// keyOf numbers services by protocol, then port.
func keyOf(s categories.Service) uint32 { return uint32(s.Proto)<<16 | uint32(s.Port) }

func serviceOf(key uint32) categories.Service {
	return categories.Service{Proto: uint8(key >> 16), Port: uint16(key)}
}

func rangeOf(t categories.ServiceTerm) keyRange {
	return keyRange{keyOf(categories.Service{Proto: t.Proto, Port: t.Lo}), keyOf(categories.Service{Proto: t.Proto, Port: t.Hi})}
}

// every is what "any" stands for.
var every = keyRange{0, 255<<16 | 65535}

// servicesOf gives the services of a rule's literals.
func servicesOf(set []policy.Service) services {
	var out services
	for _, s := range set {
		if s.Any {
			return services{every}
		}
		out = append(out, rangeOf(s.Term))
	}
	return out.sorted()
}

// sorted brings ranges into order and joins what overlaps or touches.
func (s services) sorted() services {
	slices.SortFunc(s, func(a, b keyRange) int { return int(int64(a.lo) - int64(b.lo)) })
	out := s[:0]
	for _, r := range s {
		if n := len(out); n > 0 && r.lo <= out[n-1].hi+1 {
			out[n-1].hi = max(out[n-1].hi, r.hi)
			continue
		}
		out = append(out, r)
	}
	return out
}

// size is the number of services.
func (s services) size() (n uint64) {
	for _, r := range s {
		n += uint64(r.hi-r.lo) + 1
	}
	return n
}

// from gives the place of the first range that ends at or after a key.
func (s services) from(key uint32) int {
	i, _ := slices.BinarySearchFunc(s, key, func(r keyRange, key uint32) int { return int(int64(r.hi) - int64(key)) })
	return i
}

// holds reports whether every service of the range is in the set.
func (s services) holds(r keyRange) bool {
	i := s.from(r.lo)
	return i < len(s) && s[i].lo <= r.lo && r.hi <= s[i].hi
}

// common counts the services that are in both sets.
func (s services) common(o services) (n uint64) {
	if len(s) > len(o) {
		s, o = o, s
	}
	for _, r := range s {
		for i := o.from(r.lo); i < len(o) && o[i].lo <= r.hi; i++ {
			n += uint64(min(r.hi, o[i].hi)-max(r.lo, o[i].lo)) + 1
		}
	}
	return n
}

// without gives the services of s that are not in o.
func (s services) without(o services) (out services) {
	for _, r := range s {
		at := r.lo
		for i := o.from(r.lo); i < len(o) && o[i].lo <= r.hi; i++ {
			if at < o[i].lo {
				out = append(out, keyRange{at, o[i].lo - 1})
			}
			at = o[i].hi + 1
		}
		if at <= r.hi {
			out = append(out, keyRange{at, r.hi})
		}
	}
	return out
}
