package cover

import (
	"encoding/binary"
	"slices"
)

// Greedy merges the ones as other products do, for comparison: each cell begins as a box; then boxes alike in two modes become one
// with the union of their third sets, mode by mode in the given order, again and again until nothing changes. Boxes never overlap,
// and don't-care cells stay unused.
func Greedy(p Problem, order [3]int) ([]Box, error) {
	ones, _, err := canonical(Problem{Dims: p.Dims, Ones: p.Ones})
	if err != nil {
		return nil, err
	}
	boxes := make([]Box, len(ones))
	for i, c := range ones {
		boxes[i] = single(c)
	}
	for unchanged, n := 0, 0; unchanged < 3; n++ {
		before := len(boxes)
		boxes = mergeAlike(boxes, order[n%3])
		if unchanged++; len(boxes) < before {
			unchanged = 0
		}
	}
	slices.SortFunc(boxes, compareBoxes)
	return boxes, nil
}

// mergeAlike unites the sets of mode m of all boxes that agree in the other two modes.
func mergeAlike(boxes []Box, m int) []Box {
	at := make(map[string]int, len(boxes))
	merged := boxes[:0]
	var key []byte
	for _, b := range boxes {
		key = key[:0]
		for _, other := range [2]int{(m + 1) % 3, (m + 2) % 3} {
			key = binary.AppendUvarint(key, uint64(len(b.Sets[other])))
			for _, x := range b.Sets[other] {
				key = binary.AppendUvarint(key, uint64(x))
			}
		}
		if n, ok := at[string(key)]; ok {
			merged[n].Sets[m] = append(merged[n].Sets[m], b.Sets[m]...)
		} else {
			at[string(key)] = len(merged)
			merged = append(merged, b)
		}
	}
	for n := range merged {
		slices.Sort(merged[n].Sets[m])
	}
	return merged
}
