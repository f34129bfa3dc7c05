package text

import "strings"

// Nearest gives the candidate that fewer than limit edits make of a word, and of
// several the one that needs the fewest, then the one that comes first. It gives
// "" if none is so near.
func Nearest(word string, candidates []string, limit int) (best string) {
	for _, c := range candidates {
		if d := editDistance(word, c, limit); d < limit {
			best, limit = c, d
		}
	}
	return best
}

// editDistance counts the letters to add, drop, change, or swap with their
// neighbour (optimal string alignment), case ignored. It returns limit if it is
// no smaller.
func editDistance(a, b string, limit int) int {
	a, b = strings.ToLower(a), strings.ToLower(b)
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, last, row = last, row, before
		row[0] = i + 1
		for j := range len(b) {
			cost := last[j]
			if a[i] != b[j] {
				cost++
			}
			row[j+1] = min(cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return min(row[len(b)], limit)
}
