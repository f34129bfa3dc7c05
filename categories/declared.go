package categories

import (
	"errors"
	"net/netip"
	"slices"
)

// ErrNoGroups says that a group was named where no groups file is at hand.
var ErrNoGroups = errors.New("no groups are known; name a file with --groups")

// Declared returns a group by its label, and every prefix that the file puts into it, whichever categories are
// selected and whatever other group its addresses resolve to. A nil file has the built-in group internet only, and
// the error for any other is ErrNoGroups.
func (f *File) Declared(label string) (Ref, []netip.Prefix, error) {
	if f == nil && label != InternetGroup && label != BuiltinCategory+"/"+InternetGroup {
		return Ref{}, nil, ErrNoGroups
	}
	ref, err := NewLabels(f).Find(label)
	if err != nil {
		return Ref{}, nil, err
	}
	if ref == Internet {
		return ref, InternetPrefixes(), nil
	}
	for i := range f.Categories {
		if f.Categories[i].Name != ref.Category {
			continue
		}
		for j := range f.Categories[i].Groups {
			if g := &f.Categories[i].Groups[j]; g.Name == ref.Group {
				return ref, slices.Clone(g.Ever()), nil
			}
		}
	}
	return ref, nil, nil
}

// Aggregate returns the fewest prefixes that hold exactly the addresses of the given ones, in order.
func Aggregate(prefixes []netip.Prefix) []netip.Prefix { return aggregate(slices.Clone(prefixes)) }
