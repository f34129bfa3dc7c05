package categories

import (
	"net/netip"
	"slices"
)

// VRFOf gives the VRF in which the group's prefix of a place belongs to it; empty for every VRF.
func (g *Group) VRFOf(i int) string {
	if i < len(g.vrfs) {
		return g.vrfs[i]
	}
	return ""
}

// AddPrefixIn is AddPrefix for one VRF; empty for every one.
func (g *Group) AddPrefixIn(p netip.Prefix, t Times, vrf string) {
	g.AddPrefix(p, t)
	g.setVRF(vrf)
}

// setVRF says in which VRF the last prefix of the group belongs to it.
func (g *Group) setVRF(vrf string) {
	if vrf == "" {
		return
	}
	g.vrfs = append(g.vrfs, make([]string, len(g.Prefixes)-len(g.vrfs))...)
	g.vrfs[len(g.Prefixes)-1] = vrf
}

// PerVRF reports whether some prefix belongs to its group in one VRF only. The groups of such a file are looked up in a VRF, see InVRF.
// A nil file is not.
func (f *File) PerVRF() bool { return len(f.VRFs()) > 0 }

// VRFs gives the VRFs that the groups of the file name, in order.
func (f *File) VRFs() []string {
	if f == nil {
		return nil
	}
	all := map[string]bool{}
	for i := range f.Categories {
		for j := range f.Categories[i].Groups {
			for _, vrf := range f.Categories[i].Groups[j].vrfs {
				if vrf != "" {
					all[vrf] = true
				}
			}
		}
	}
	out := make([]string, 0, len(all))
	for vrf := range all {
		out = append(out, vrf)
	}
	slices.Sort(out)
	return out
}

// InVRF gives the groups as they are in one VRF: with the prefixes of the VRF and those of every VRF. Where a category has a prefix for the
// VRF, the same prefix of another of its groups, for every VRF, does not count in the same time; a denial of that group means it
// nevertheless. A file that names no VRF comes back as it is. A VRF that the file does not name, such as the empty one, has the prefixes of
// every VRF.
func (f *File) InVRF(vrf string) *File {
	if !f.PerVRF() {
		return f
	}
	out := *f
	out.Categories = slices.Clone(f.Categories)
	members := map[Ref][]netip.Prefix{}
	for i := range out.Categories {
		c := &out.Categories[i]
		c.Groups = slices.Clone(c.Groups)
		own := c.inVRF(vrf)
		for j := range c.Groups {
			g := &c.Groups[j]
			*g = g.inVRF(vrf, own)
			members[Ref{c.Name, g.Name}] = g.Ever()
		}
	}
	out.Exclude = excluding(f.Exclude, members)
	return &out
}

// inVRF gives the times of each prefix that the category has for the VRF alone.
func (c *Category) inVRF(vrf string) map[netip.Prefix][]Times {
	out := map[netip.Prefix][]Times{}
	for i := range c.Groups {
		g := &c.Groups[i]
		for k, of := range g.vrfs {
			if of == vrf && vrf != "" {
				out[g.Prefixes[k]] = append(out[g.Prefixes[k]], g.TimesOf(k))
			}
		}
	}
	return out
}

// inVRF gives the group in a VRF for which its category has prefixes of its own.
func (g *Group) inVRF(vrf string, own map[netip.Prefix][]Times) Group {
	out := *g
	out.Prefixes, out.lines, out.times, out.vrfs = nil, nil, nil, nil
	for k, p := range g.Prefixes {
		var pieces []Times
		switch g.VRFOf(k) {
		case "":
			if pieces = without(g.TimesOf(k), own[p]); len(own[p]) > 0 {
				out.hidden = append(out.hidden, p)
			}
		case vrf:
			pieces = []Times{g.TimesOf(k)}
		}
		for _, t := range pieces {
			out.Prefixes, out.lines = append(out.Prefixes, p), append(out.lines, int32(g.lineOf(k)))
			out.setTimes(t)
		}
	}
	return out
}

// without gives what of a time is left without others.
func without(t Times, others []Times) []Times {
	left := []Times{t}
	for _, o := range others {
		var next []Times
		for _, l := range left {
			if !l.Overlaps(o.From, o.Until) {
				next = append(next, l)
				continue
			}
			if o.From.After(l.From) {
				next = append(next, Times{l.From, o.From})
			}
			if !o.Until.IsZero() && (l.Until.IsZero() || o.Until.Before(l.Until)) {
				next = append(next, Times{o.Until, l.Until})
			}
		}
		left = next
	}
	return left
}

// privatePrefixes are what a group means that names a VRF and no prefixes: every private address. Public ones are outside of a network
// in most VRFs, and a group is not to take them without saying so.
func privatePrefixes() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("172.16.0.0/12"),
		netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("fc00::/7"),
	}
}
