// Package text writes counts and lists the way people read them, in messages
// and tables. Documents for programs hold plain numbers.
package text

import (
	"strconv"
	"strings"
)

// Integer is any integer type.
type Integer interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64
}

// Number writes n with a comma between each three digits: 1,234,567.
func Number[N Integer](n N) string {
	var s string
	if n < 0 {
		s = strconv.FormatInt(int64(n), 10)
	} else {
		s = strconv.FormatUint(uint64(n), 10)
	}
	digits := strings.TrimPrefix(s, "-")
	var b strings.Builder
	b.WriteString(s[:len(s)-len(digits)])
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// Count writes n and what is counted, in the singular for one: 1 record, 1,210
// records, 2 batches. A noun that takes more than an s gives its plural.
func Count[N Integer](n N, noun string, plural ...string) string {
	switch {
	case n == 1:
	case len(plural) > 0:
		noun = plural[0]
	default:
		noun += "s"
	}
	return Number(n) + " " + noun
}

// Fold keeps the first most items of a list, and says in one more how many
// there are besides. A list that is longer by one only is kept as it is, since
// the note takes as much room.
func Fold(items []string, most int) []string {
	if len(items) <= most+1 {
		return items
	}
	folded := append([]string(nil), items[:most]...)
	return append(folded, "… and "+Number(len(items)-most)+" more")
}

// List writes at most so many items with commas between, and how many more
// there are.
func List(items []string, most int) string {
	folded := Fold(items, most)
	if len(folded) == len(items) {
		return strings.Join(items, ", ")
	}
	last := len(folded) - 1
	return strings.Join(folded[:last], ", ") + " " + folded[last]
}
