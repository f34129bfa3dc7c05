package recommender

import (
	"math"
	"math/bits"
	"slices"
)

// groupings finds the orders of n categories that group addresses differently.
//
// A presence says which of the categories have a group for an address, as bits. The first category of an order that an address is
// present in decides its group, so two orders that choose the same category for each presence are the same. An order that
// ends with a category that decides nothing equals the order without it. So the search begins with no category and appends
// one at a time, keeps an order only if its choices are new, and never sees the n! orders that are not.
//
// Shorter orders come first, then those with earlier categories: of equal orders the first is kept. At most limit
// orders are given; all is how many there are, or allGroupings if there are more than that.
func groupings(n int, presences []uint64, limit int) (orders [][]int, all int) {
	presences = slices.Clone(presences)
	slices.Sort(presences)
	presences = slices.DeleteFunc(slices.Compact(presences), func(p uint64) bool { return p == 0 })
	const open = 0xff
	type state struct {
		order  []int
		choice []byte // Keyed by presence: the category that decides.
	}
	start := make([]byte, len(presences))
	for i := range start {
		start[i] = open
	}
	seen := map[string]bool{string(start): true}
	for level := []state{{choice: start}}; len(level) > 0; {
		var next []state
		for _, s := range level {
			for c := range n {
				choice := slices.Clone(s.choice)
				for i, p := range presences {
					if choice[i] == open && p>>c&1 == 1 {
						choice[i] = byte(c)
					}
				}
				if key := string(choice); !seen[key] {
					seen[key] = true
					next = append(next, state{append(slices.Clip(s.order), c), choice})
					if all++; len(orders) < limit {
						orders = append(orders, next[len(next)-1].order)
					}
					if all == allGroupings {
						return orders, all
					}
				}
			}
		}
		level = next
	}
	return orders, all
}

// allGroupings bounds how many orders are counted.
const allGroupings = 100_000

// maxCategories is how many categories a presence can tell apart.
const maxCategories = 64

// orderCount is how many orders n categories and their subsets have, or the largest number there is.
func orderCount(n int) (sum uint64) {
	// 1 + m (1 + (m - 1)(1 + ...)) without the empty order.
	for m := 1; m <= n; m++ {
		hi, lo := bits.Mul64(sum+1, uint64(m))
		if hi != 0 || lo == math.MaxUint64 {
			return math.MaxUint64
		}
		sum = lo
	}
	return sum
}
