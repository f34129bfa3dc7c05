package categories

import (
	"net/netip"
	"slices"
	"time"

	"github.com/gaissmai/bart"
)

// Changes are the addresses that begin or cease to be in a group of any category about a window. They are read-only and safe for
// concurrent use.
type Changes struct {
	File     *File          // The file as far as it concerns the window.
	Line     *Timeline      // The groups of the selected categories in it.
	Prefixes []netip.Prefix // The addresses, in order.
	Dividing []netip.Prefix // Prefixes that tell these addresses apart at some time.

	in      bart.Lite
	moments bart.Table[[]time.Time]
}

// NewChanges finds the changes about [since, until); the zero time leaves a side open. It gives nil where there are none, and fails as
// NewTimeline does.
func NewChanges(f *File, selected []string, since, until time.Time) (*Changes, error) {
	c := &Changes{Prefixes: f.Changing(since, until)}
	if len(c.Prefixes) == 0 {
		return nil, nil
	}
	c.File = f.During(since, until)
	var err error
	if c.Line, err = NewTimeline(c.File, selected); err != nil {
		return nil, err
	}
	for _, p := range c.Prefixes {
		c.in.Insert(p)
	}
	for i := range c.File.Categories {
		for j := range c.File.Categories[i].Groups {
			g := &c.File.Categories[i].Groups[j]
			for k, p := range g.Prefixes {
				if c.in.LookupPrefix(p) {
					c.Dividing = append(c.Dividing, p)
				}
				if t := g.TimesOf(k); !t.Always() {
					known, _ := c.moments.Get(p)
					c.moments.Insert(p, append(known, t.From, t.Until))
				}
			}
		}
	}
	return c, nil
}

// Has reports whether an address is one of them.
func (c *Changes) Has(addr netip.Addr) bool { return c.in.Contains(addr) }

// Moments gives the moments at which an address begins or ceases to be in a group, in no order.
func (c *Changes) Moments(addr netip.Addr) (out []time.Time) {
	for _, at := range c.moments.Supernets(netip.PrefixFrom(addr, addr.BitLen())) {
		out = append(out, at...)
	}
	return out
}

// Group gives a group of the file; nil if it does not have it.
func (c *Changes) Group(ref Ref) *Group {
	of := c.File.Category(ref.Category)
	if of == nil {
		return nil
	}
	i := slices.IndexFunc(of.Groups, func(g Group) bool { return g.Name == ref.Group })
	if i < 0 {
		return nil
	}
	return &of.Groups[i]
}
