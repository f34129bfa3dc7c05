package target

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"cordon/recommender/policy"
)

// slicesSortBy orders a list by a text of each.
func slicesSortBy[T any](list []T, key func(T) string) {
	slices.SortStableFunc(list, func(a, b T) int { return cmp.Compare(key(a), key(b)) })
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// alphabet is what names of a target may be made of.
type alphabet struct {
	also  string // characters other than letters and digits
	lower bool   // no capital letters
	most  int    // bytes
	trim  bool   // characters other than letters and digits are not at an end
	// letter says that a name begins with a letter.
	letter bool
}

// names gives names of a target to things, and refuses two that would be the same.
type names struct {
	alphabet
	target string
	used   map[string]string // name -> what it names
}

func newNames(target string, a alphabet) *names {
	return &names{a, target, map[string]string{}}
}

// word makes a name of any text.
func (n *names) word(text string) (string, error) {
	name := strings.Map(func(r rune) rune {
		switch {
		case n.lower && r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune(n.also, r):
			return r
		}
		return rune(n.also[0])
	}, text)
	if strings.Trim(name, n.also) == "" {
		return "", fmt.Errorf("the name %q has no letter or digit that %s takes: choose another one", text, n.target)
	}
	if n.trim {
		name = strings.Trim(name, n.also)
	}
	if n.letter && (name[0] < 'A' || name[0] > 'z' || name[0] > 'Z' && name[0] < 'a') {
		name = "n" + name
	}
	if len(name) > n.most {
		return "", fmt.Errorf("the name %q has more than %d characters, which %s does not take: choose a shorter one", text, n.most, n.target)
	}
	return name, nil
}

// take gives the name for a thing, which nothing else may have.
func (n *names) take(text, what string) (string, error) {
	name, err := n.word(text)
	if err != nil {
		return "", err
	}
	if other, twice := n.used[name]; twice {
		return "", fmt.Errorf("%s and %s would both be called %s: give one of them another name", other, what, name)
	}
	n.used[name] = what
	return name, nil
}

// set is a named set of addresses of one family.
type set struct {
	name      string
	ipv6      bool
	addresses policy.AddressSet
}

// sets are the named sets of a target. What is the same has one name.
type sets struct {
	names  *names
	list   []set
	byBody map[string]int
	v4, v6 [2]string // Prefix and suffix of each family's names.
}

func newSets(n *names, v4, v6 [2]string) *sets {
	return &sets{names: n, byBody: map[string]int{}, v4: v4, v6: v6}
}

// name gives the name of the set of one side of a rule in a family.
func (s *sets) name(e *end, ipv6 bool) (string, error) {
	addresses, _ := e.of(ipv6)
	var body strings.Builder
	for _, x := range addresses {
		body.WriteString(x.Lo.String() + "-" + x.Hi.String() + " ")
	}
	if i, ok := s.byBody[body.String()]; ok {
		return s.list[i].name, nil
	}
	around := s.v4
	if ipv6 {
		around = s.v6
	}
	name, err := s.names.take(around[0]+e.wish+around[1], fmt.Sprintf("the addresses of %q", e.wish))
	if err != nil {
		return "", err
	}
	s.byBody[body.String()] = len(s.list)
	s.list = append(s.list, set{name, ipv6, addresses})
	return name, nil
}

// printable replaces what is not ASCII, quotes and backslashes, and cuts what is too long.
func printable(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '"' || r == '\\' || r == '`':
			return '\''
		case r > '~' || r < ' ':
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), most)]
}

// familyName is "ipv4" or "ipv6".
func familyName(ipv6 bool) string {
	if ipv6 {
		return "ipv6"
	}
	return "ipv4"
}

// spans writes ranges.
func spans(list []policy.PortSpan, separator string) string {
	texts := make([]string, len(list))
	for i, s := range list {
		texts[i] = s.String()
	}
	return strings.Join(texts, separator)
}

func prefixTexts(s policy.AddressSet) (out []string) {
	for _, p := range s.Prefixes() {
		out = append(out, p.String())
	}
	return out
}
