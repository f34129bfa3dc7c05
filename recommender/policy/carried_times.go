package policy

import (
	"net/netip"
	"slices"
	"time"

	"cordon/categories"
)

// CarriedTimes is CarriedFile with the times at which re-used addresses belonged to their groups, as far as the document says them.
// With it, sessions are judged by what an address was when they were seen.
func (p *Proposal) CarriedTimes() (*categories.File, error) {
	f, err := p.CarriedFile()
	if err != nil || len(p.Reused) == 0 {
		return f, err
	}
	labels := categories.NewLabels(f)
	for i := range p.Reused {
		r := &p.Reused[i]
		within := reusedPrefixes(f, r.Prefix)
		for c := range f.Categories {
			// A longer prefix of the same category comes first, so a wider one of it may stay.
			wider := !slices.ContainsFunc(r.Owners, func(o Owner) bool {
				ref, err := labels.Find(o.Group)
				return err != nil || ref.Category != f.Categories[c].Name
			})
			for g := range f.Categories[c].Groups {
				f.Categories[c].Groups[g] = withoutReused(&f.Categories[c].Groups[g], r.Prefix, wider)
			}
		}
		for _, o := range r.Owners {
			for _, label := range append([]string{o.Group}, o.Named...) {
				ref, err := labels.Find(label)
				if err != nil || ref == categories.Internet {
					continue // it was nobody's
				}
				if label != o.Group && sameCategory(labels, o.Group, ref) {
					continue // The address would be in either of two groups of one category.
				}
				g := groupOf(f, ref)
				for _, prefix := range within {
					g.AddPrefix(prefix, categories.Times{From: momentOf(o.From), Until: momentOf(o.Until)})
				}
			}
		}
	}
	return f, nil
}

// reusedPrefixes gives a prefix, and those of the file inside it: single hosts are known by prefixes of their own.
func reusedPrefixes(f *categories.File, around netip.Prefix) []netip.Prefix {
	out := []netip.Prefix{around}
	for i := range f.Categories {
		for j := range f.Categories[i].Groups {
			for _, p := range f.Categories[i].Groups[j].Prefixes {
				if p.Bits() > around.Bits() && around.Contains(p.Addr()) {
					out = append(out, p)
				}
			}
		}
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out)
}

// withoutReused takes the addresses of a prefix out of a group, unless a wider prefix has them that may stay. A denial of the group still means them.
func withoutReused(g *categories.Group, gone netip.Prefix, wider bool) categories.Group {
	if !slices.ContainsFunc(g.Prefixes, gone.Overlaps) {
		return *g
	}
	out := categories.Group{Name: g.Name, ID: g.ID, Pods: g.Pods, Line: g.Line}
	for i, p := range g.Prefixes {
		switch t := g.TimesOf(i); {
		case !p.Overlaps(gone) || !t.Always() || wider && p.Bits() < gone.Bits():
			out.AddPrefix(p, t)
		case p.Bits() < gone.Bits():
			for _, rest := range NewAddressSet([]netip.Prefix{p}).Minus(NewAddressSet([]netip.Prefix{gone})).Prefixes() {
				out.AddPrefix(rest, t)
			}
		}
	}
	out.AddEver(g.Ever())
	return out
}

func groupOf(f *categories.File, ref categories.Ref) *categories.Group {
	c := f.Category(ref.Category)
	return &c.Groups[slices.IndexFunc(c.Groups, func(g categories.Group) bool { return g.Name == ref.Group })]
}

func sameCategory(labels *categories.Labels, label string, ref categories.Ref) bool {
	of, err := labels.Find(label)
	return err == nil && of.Category == ref.Category
}

func momentOf(t *Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}
