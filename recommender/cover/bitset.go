package cover

import "math/bits"

// bitset is a set of small integers. All sets of one kind have the same number of words.
type bitset []uint64

func newBitset(n int) bitset      { return make(bitset, (n+63)/64) }
func (b bitset) set(i int32)      { b[i>>6] |= 1 << (i & 63) }
func (b bitset) clear(i int32)    { b[i>>6] &^= 1 << (i & 63) }
func (b bitset) has(i int32) bool { return b[i>>6]>>(i&63)&1 == 1 }

func fullBitset(n int) bitset {
	b := newBitset(n)
	for i := range n {
		b.set(int32(i))
	}
	return b
}

func (b bitset) count() (n int) {
	for _, x := range b {
		n += bits.OnesCount64(x)
	}
	return n
}

func (b bitset) empty() bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

// appendTo appends the members to s in ascending order.
func (b bitset) appendTo(s []int32) []int32 {
	for w, x := range b {
		for ; x != 0; x &= x - 1 {
			s = append(s, int32(w<<6+bits.TrailingZeros64(x)))
		}
	}
	return s
}

// countAnd is the size of b ∩ c.
func (b bitset) countAnd(c bitset) (n int) {
	for i, x := range b {
		n += bits.OnesCount64(x & c[i])
	}
	return n
}

// appendAnd appends the members of b ∩ c to s.
func (b bitset) appendAnd(c bitset, s []int32) []int32 {
	for w, x := range b {
		for x &= c[w]; x != 0; x &= x - 1 {
			s = append(s, int32(w<<6+bits.TrailingZeros64(x)))
		}
	}
	return s
}

// lastAnd returns the largest member of b ∩ c, or -1.
func (b bitset) lastAnd(c bitset) int32 {
	for i := len(b) - 1; i >= 0; i-- {
		if x := b[i] & c[i]; x != 0 {
			return int32(i<<6 + bits.Len64(x) - 1)
		}
	}
	return -1
}

// within reports whether b ∩ mask is a subset of c.
func (b bitset) within(c, mask bitset) bool {
	c, mask = c[:len(b)], mask[:len(b)]
	for i, x := range b {
		if x&^c[i]&mask[i] != 0 {
			return false
		}
	}
	return true
}

func (b bitset) disjoint(c bitset) bool {
	for i, x := range b {
		if x&c[i] != 0 {
			return false
		}
	}
	return true
}

func (b bitset) remove(c bitset) {
	for i, x := range c {
		b[i] &^= x
	}
}
