package sqltext

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Values are what stands for the names in a statement.
type Values map[string]any

var placeholder = regexp.MustCompile(`\{[a-z_]+\}`)

// Named writes a statement with the values in place of {name}. Parts of a statement
// are put in as they are: quote what comes from elsewhere. A name without a value,
// or a value whose name does not occur, is a mistake of the caller.
func Named(statement string, values Values) string {
	used := map[string]bool{}
	out := placeholder.ReplaceAllStringFunc(statement, func(p string) string {
		name := strings.Trim(p, "{}")
		v, ok := values[name]
		if !ok {
			panic("BUG: no value for " + p + " in a statement")
		}
		used[name] = true
		return fmt.Sprint(v)
	})
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !used[name] {
			panic("BUG: no {" + name + "} in a statement")
		}
	}
	return out
}
