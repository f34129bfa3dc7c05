package verify

import (
	"net/netip"

	"cordon/categories"
	"cordon/recommender/policy"

	"github.com/gaissmai/bart"
)

// literal is an end of a statement, as statements of its kind read it.
type literal struct {
	policy.Endpoint
	as policy.Reading
}

// meanings says what literals of statements hold. What a denial means by a group is
// read off the groups file here, without package policy: a mistake in how denials are
// read would otherwise be made twice, and found by nobody.
type meanings struct {
	addresses *policy.Addresses
	file      *categories.File
	denied    map[string]*bart.Lite // keyed by label of the group
	owners    *owners
}

func newMeanings(a *policy.Addresses, file *categories.File, o *owners) *meanings {
	return &meanings{a, file, map[string]*bart.Lite{}, o}
}

// whole gives every prefix that the groups file puts into the group with a label, at any time of the window or after it.
func (m *meanings) whole(label string) []netip.Prefix {
	ref, err := m.addresses.Resolver().Labels().Find(label)
	if err != nil {
		return nil // said elsewhere
	}
	if ref == categories.Internet {
		return categories.InternetPrefixes()
	}
	var out []netip.Prefix
	for i := range m.file.Categories {
		for _, g := range m.file.Categories[i].Groups {
			if m.file.Categories[i].Name == ref.Category && g.Name == ref.Group {
				out = append(out, g.Ever()...)
			}
		}
	}
	return out
}

func (l literal) deniesGroup() bool { return l.as == policy.Denying && l.IsGroup() }

// group gives the place of the group whose resolved addresses a literal means, or -1
// where it means others. It fails for a group that the file does not have.
func (m *meanings) group(l literal) (int, error) {
	if err := m.addresses.Check(l.Endpoint); err != nil || l.deniesGroup() {
		return -1, err
	}
	meant, err := m.addresses.MeaningAs(l.Endpoint, l.as)
	return meant.Group, err
}

// prefixes gives those at whose borders a literal may begin or end to hold addresses,
// beside those of the selected groups and of the special-purpose ranges.
func (m *meanings) prefixes(l literal) []netip.Prefix {
	if l.deniesGroup() {
		return m.whole(l.Group)
	}
	meant, err := m.addresses.MeaningAs(l.Endpoint, l.as)
	if err != nil {
		return nil
	}
	return meant.Prefixes
}

// holds reports whether a literal means an address.
func (m *meanings) holds(l literal, addr netip.Addr) bool {
	if !l.deniesGroup() {
		return m.addresses.Holds(l.Endpoint, l.as, addr)
	}
	t := m.denied[l.Group]
	if t == nil {
		t = new(bart.Lite)
		for _, p := range m.whole(l.Group) {
			t.Insert(p)
		}
		m.denied[l.Group] = t
	}
	return t.Contains(addr.Unmap())
}
