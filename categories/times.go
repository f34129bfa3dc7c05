package categories

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Times say when a prefix belonged to a group: from From on, and before Until. A zero time leaves that side open.
type Times struct {
	From, Until time.Time
}

// Always reports whether both sides are open.
func (t Times) Always() bool { return t.From.IsZero() && t.Until.IsZero() }

// Holds reports whether a moment is within the times.
func (t Times) Holds(at time.Time) bool {
	return !at.Before(t.From) && (t.Until.IsZero() || at.Before(t.Until))
}

// Overlaps reports whether some moment of [since, until) is within the times; a zero time leaves that side open.
func (t Times) Overlaps(since, until time.Time) bool {
	return (t.Until.IsZero() || t.Until.After(since)) && (until.IsZero() || t.From.Before(until))
}

// within gives the moments that are in both.
func (t Times) within(o Times) Times {
	if o.From.After(t.From) {
		t.From = o.From
	}
	if !o.Until.IsZero() && (t.Until.IsZero() || o.Until.Before(t.Until)) {
		t.Until = o.Until
	}
	return t
}

// String is a phrase such as "from 2026-11-19T00:00:00Z until 2026-11-20T00:00:00Z", and "always" for both sides open.
func (t Times) String() string {
	var words []string
	if !t.From.IsZero() {
		words = append(words, "from "+t.From.UTC().Format(time.RFC3339Nano))
	}
	if !t.Until.IsZero() {
		words = append(words, "until "+t.Until.UTC().Format(time.RFC3339Nano))
	}
	if words == nil {
		return "always"
	}
	return strings.Join(words, " ")
}

// TimesOf gives when the group's prefix of a place belongs to it.
func (g *Group) TimesOf(i int) Times {
	if i < len(g.times) {
		return g.times[i]
	}
	return Times{}
}

// AddPrefix puts a prefix, which has to be masked, into the group for a time.
func (g *Group) AddPrefix(p netip.Prefix, t Times) {
	g.Prefixes = append(g.Prefixes, p)
	g.setTimes(t)
}

// Ever gives the prefixes that a denial of the group, an exclusion or a scope means: those that belong to it, and of a file that AtIn
// gave those that did or will at another time. It must not be changed.
func (g *Group) Ever() []netip.Prefix {
	out := g.Prefixes
	if g.ever != nil {
		out = g.ever
	}
	if len(g.hidden) > 0 {
		out = distinct(slices.Concat(out, g.hidden))
	}
	return out
}

// AddEver adds prefixes that belong to the group at other times; see Ever.
func (g *Group) AddEver(prefixes []netip.Prefix) {
	if len(prefixes) > 0 {
		g.ever = distinct(slices.Concat(g.Ever(), prefixes))
	}
}

// distinct gives the prefixes in order, each once.
func distinct(list []netip.Prefix) []netip.Prefix {
	slices.SortFunc(list, netip.Prefix.Compare)
	return slices.Compact(list)
}

// setTimes says when the last prefix of the group belongs to it.
func (g *Group) setTimes(t Times) {
	if t.Always() {
		return
	}
	g.times = append(g.times, make([]Times, len(g.Prefixes)-len(g.times))...)
	g.times[len(g.Prefixes)-1] = t
}

// Timed reports whether some prefix belongs to its group for a time only. The groups of such a file are looked up at a
// time, see At and Timeline. A nil file is not timed.
func (f *File) Timed() bool {
	if f == nil {
		return false
	}
	for i := range f.Categories {
		if slices.ContainsFunc(f.Categories[i].Groups, func(g Group) bool { return len(g.times) > 0 }) {
			return true
		}
	}
	return false
}

// At gives the groups as they were at a moment, as a file without times: groups that had no prefix then have none, and an
// exclusion that names a group means what the group was. A file without times comes back as it is.
func (f *File) At(at time.Time) *File {
	return f.kept(func(t Times) (Times, bool) { return Times{}, t.Holds(at) })
}

// AtIn is At for a window that begins at since, or is open. What denies keeps its hold over addresses that changed their group: a denial
// that names a group, an exclusion and a scope mean every address that belonged to it at some time from since on, and what AddEver added; see Group.Ever.
func (f *File) AtIn(at, since time.Time) *File {
	if !f.Timed() {
		return f
	}
	ever := map[Ref][]netip.Prefix{}
	within := f.During(since, time.Time{})
	for i := range within.Categories {
		c := &within.Categories[i]
		for j := range c.Groups {
			if g := &c.Groups[j]; len(g.times) > 0 {
				ever[Ref{c.Name, g.Name}] = distinct(slices.Concat(g.Prefixes, g.hidden, f.Categories[i].Groups[j].ever))
			}
		}
	}
	out := f.At(at)
	for i := range out.Categories {
		c := &out.Categories[i]
		for j := range c.Groups {
			if prefixes := ever[Ref{c.Name, c.Groups[j].Name}]; prefixes != nil {
				c.Groups[j].ever = prefixes
			}
		}
	}
	out.Exclude = excluding(out.Exclude, ever)
	return out
}

// During leaves out what was over before a window [since, until), and what began after it: nothing else can concern a session
// of the window. A zero time leaves that side open. What remains has the times that it had.
func (f *File) During(since, until time.Time) *File {
	return f.kept(func(t Times) (Times, bool) { return t, t.Overlaps(since, until) })
}

// kept gives a file with the prefixes that a function keeps, with the times that it gives.
func (f *File) kept(keep func(Times) (Times, bool)) *File {
	if !f.Timed() {
		return f
	}
	out := *f
	out.Categories = slices.Clone(f.Categories)
	members := map[Ref][]netip.Prefix{}
	for i := range out.Categories {
		c := &out.Categories[i]
		c.Groups = slices.Clone(c.Groups)
		for j := range c.Groups {
			g := &c.Groups[j]
			if len(g.times) > 0 {
				*g = g.kept(keep)
			}
			members[Ref{c.Name, g.Name}] = slices.Concat(g.Prefixes, g.hidden)
		}
	}
	out.Exclude = excluding(f.Exclude, members)
	return &out
}

func (g *Group) kept(keep func(Times) (Times, bool)) Group {
	out := *g
	out.Prefixes, out.lines, out.times, out.vrfs, out.ever = nil, nil, nil, nil, nil
	// A history may have a million prefixes: room for those that stay is made once.
	n, timed := 0, 0
	for i := range g.Prefixes {
		if t, ok := keep(g.TimesOf(i)); ok {
			if n++; !t.Always() {
				timed = n
			}
		}
	}
	out.Prefixes, out.lines = slices.Grow(out.Prefixes, n), slices.Grow(out.lines, n)
	out.times = slices.Grow(out.times, timed)
	for i, p := range g.Prefixes {
		if t, ok := keep(g.TimesOf(i)); ok {
			out.Prefixes, out.lines = append(out.Prefixes, p), append(out.lines, int32(g.lineOf(i)))
			out.setTimes(t)
			out.setVRF(g.VRFOf(i))
		}
	}
	return out
}

// excluding gives exclusions whose groups have the members given.
func excluding(list []Exclusion, members map[Ref][]netip.Prefix) []Exclusion {
	out := slices.Clone(list)
	for i := range out {
		x := &out[i]
		x.Sources, x.Destinations = meaning(x.Sources, members), meaning(x.Destinations, members)
	}
	return out
}

// meaning gives selectors whose groups have the members given.
func meaning(selectors []Selector, members map[Ref][]netip.Prefix) []Selector {
	out := slices.Clone(selectors)
	for i := range out {
		if prefixes, ok := members[out[i].Group]; ok {
			out[i].Prefixes = prefixes
		}
	}
	return out
}

// times reads the two times of a prefix or of a group. It reports false where it has said what is wrong.
func (p *parser) times(field string, from, until textAt) (t Times, ok bool) {
	ok = true
	for _, x := range []struct {
		name string
		at   textAt
		to   *time.Time
	}{{"from", from, &t.From}, {"until", until, &t.Until}} {
		if x.at.text == "" {
			continue
		}
		var err error
		if *x.to, err = parseMoment(x.at.text); err != nil {
			p.add(x.at.line, x.at.column, x.name+" of "+field, "%v", err)
			ok = false
		}
	}
	if ok && !t.From.IsZero() && !t.Until.IsZero() && !t.From.Before(t.Until) {
		p.add(until.line, until.column, "until of "+field, "%s is not after %s, where it begins", until.text, from.text)
		ok = false
	}
	return t, ok
}

// momentLayouts are the forms of a time. One without an offset is in UTC, and a date is its first moment.
var momentLayouts = []string{
	time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly,
}

// parseMoment reads a time. The store keeps microseconds, so finer ones are cut.
func parseMoment(s string) (time.Time, error) {
	for _, layout := range momentLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			if t.Year() < 1970 || t.Year() > 2199 {
				return time.Time{}, fmt.Errorf("%s is not between the years 1970 and 2199: leave it out where it is open", quote(s))
			}
			return t.UTC().Truncate(time.Microsecond), nil
		}
	}
	return time.Time{}, fmt.Errorf("%s is not a time: write RFC 3339, such as 2026-11-20T08:00:00Z, or a date, such as 2026-11-20, which is its first moment in UTC", quote(s))
}
