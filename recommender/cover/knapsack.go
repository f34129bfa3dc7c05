package cover

import (
	"cmp"
	"math/bits"
	"slices"
)

// knapsackBound is the most value of items that weigh no more than the budget together, where one item may be taken in part,
// rounded down: so no whole items have more. Values and weights are positive, and the values add up to less than 2^63.
func knapsackBound(value, weight []int64, budget int64) (taken int64) {
	order := make([]int, len(value))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { // value by weight, the largest first
		ahi, alo := bits.Mul64(uint64(value[i]), uint64(weight[j]))
		bhi, blo := bits.Mul64(uint64(value[j]), uint64(weight[i]))
		return cmp.Or(cmp.Compare(bhi, ahi), cmp.Compare(blo, alo), cmp.Compare(i, j))
	})
	for _, i := range order {
		if weight[i] <= budget {
			budget -= weight[i]
			taken += value[i]
			continue
		}
		hi, lo := bits.Mul64(uint64(value[i]), uint64(budget))
		part, _ := bits.Div64(hi, lo, uint64(weight[i])) // budget < weight, so it fits
		return taken + int64(part)
	}
	return taken
}

// knapsack is knapsackBound for the relaxation: it also says how much of each item is taken.
type knapsack struct {
	weight []float64
	budget float64
	order  []int32
	whole  []int64 // the weights, and the budget, as they are
	spare  int64
}

// fill takes the weights of some rows.
func (k *knapsack) fill(rows []int32, weight []int64, budget int64) {
	k.weight, k.whole = k.weight[:0], k.whole[:0]
	for _, i := range rows {
		k.weight, k.whole = append(k.weight, float64(weight[i])), append(k.whole, weight[i])
	}
	k.budget, k.spare = float64(budget), budget
}

// most is what may be left out of integer values, rounded down. Values of nothing are no matter.
func (k *knapsack) most(value []int64) int64 {
	var some, weight []int64
	for n, v := range value {
		if v > 0 {
			some, weight = append(some, v), append(weight, k.whole[n])
		}
	}
	return knapsackBound(some, weight, k.spare)
}

// leaveOut returns the most value that may be left out, and takes what is from the slopes.
func (k *knapsack) leaveOut(value, slope []float64) (taken float64) {
	k.order = k.order[:0]
	for i, v := range value {
		if v > 0 {
			k.order = append(k.order, int32(i))
		}
	}
	slices.SortFunc(k.order, func(i, j int32) int {
		return cmp.Or(cmp.Compare(value[j]*k.weight[i], value[i]*k.weight[j]), cmp.Compare(i, j))
	})
	budget := k.budget
	for _, i := range k.order {
		share := min(1, budget/k.weight[i])
		taken += float64(share * value[i])
		slope[i] -= share
		if budget -= float64(share * k.weight[i]); share < 1 {
			return taken
		}
	}
	return taken
}
