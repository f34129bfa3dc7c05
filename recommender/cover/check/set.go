package check

import "math/bits"

// set is a set of small numbers: of a part's cells, of its rows, or of its boxes.
type set []uint64

func newSet(n int) set       { return make(set, (n+63)/64) }
func (s set) add(i int)      { s[i>>6] |= 1 << (i & 63) }
func (s set) drop(i int)     { s[i>>6] &^= 1 << (i & 63) }
func (s set) has(i int) bool { return s[i>>6]>>(i&63)&1 == 1 }

// meets reports whether the sets have a member in common.
func (s set) meets(o set) bool {
	for k, x := range s {
		if x&o[k] != 0 {
			return true
		}
	}
	return false
}

// minus removes the members of o.
func (s set) minus(o set) {
	for k := range s {
		s[k] &^= o[k]
	}
}

// keep removes what is not in o.
func (s set) keep(o set) {
	for k := range s {
		s[k] &= o[k]
	}
}

// within reports whether all members that are in mask are in o.
func (s set) within(o, mask set) bool {
	for k, x := range s {
		if x&mask[k]&^o[k] != 0 {
			return false
		}
	}
	return true
}

// list gives the members that are in o too, in ascending order.
func (s set) list(o set) (members []int) {
	for k, x := range s {
		for x &= o[k]; x != 0; x &= x - 1 {
			members = append(members, k<<6+bits.TrailingZeros64(x))
		}
	}
	return members
}

// key is the set as a key of a map.
func (s set) key() string {
	b := make([]byte, 0, 8*len(s))
	for _, x := range s {
		for range 8 {
			b = append(b, byte(x))
			x >>= 8
		}
	}
	return string(b)
}
