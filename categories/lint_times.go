package categories

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// tenancy is a prefix of a group with its times.
type tenancy struct {
	prefix   netip.Prefix
	times    Times
	group    string
	line     int
	category string
}

// times looks at what a file says of times: it counts prefixes with times, and finds those that belong to two groups of a
// category at once, or to nobody for up to a day between two owners, where a date that was meant to include its day is likely.
func (l *linter) times(f *File, now time.Time) {
	if !f.Timed() {
		return
	}
	l.otherTimes = map[Ref]bool{}
	timed, held := 0, 0
	for i := range f.Categories {
		c := &f.Categories[i]
		var list []tenancy
		for j := range c.Groups {
			g := &c.Groups[j]
			some := false
			for k, p := range g.Prefixes {
				t := g.TimesOf(k)
				list = append(list, tenancy{p, t, g.Name, g.lineOf(k), c.Name})
				some = some || t.Holds(now)
				if !t.Always() {
					timed++
					if t.Holds(now) {
						held++
					}
				}
			}
			if len(g.Prefixes) > 0 && !some {
				l.otherTimes[Ref{c.Name, g.Name}] = true
				l.add(Info, g.Line, c.Name, g.Name, "has no prefix now: its prefixes belong to it at other times")
			}
		}
		slices.SortStableFunc(list, func(a, b tenancy) int {
			return cmp.Or(a.prefix.Compare(b.prefix), a.times.From.Compare(b.times.From))
		})
		l.successions(list)
	}
	l.add(Info, 0, "", "", "%d prefixes belong to their groups for a time; %d of them do now", timed, held)
}

// successions looks at the owners of each prefix one after another.
func (l *linter) successions(list []tenancy) {
	for i := 1; i < len(list); i++ {
		before, after := &list[i-1], &list[i]
		if before.prefix != after.prefix || before.times.Always() || before.group == after.group {
			continue // Another check finds what belongs to two groups all the time.
		}
		gap := after.times.From.Sub(before.times.Until)
		switch {
		case before.times.Until.IsZero() || gap < 0:
			l.add(Warning, after.line, after.category, after.group, "%s belongs to group %s as well, %s (line %d): of two at once the name that comes first wins; end one where the other begins",
				after.prefix, quote(before.group), before.times, before.line)
		case gap > 0 && gap <= 24*time.Hour:
			l.add(Warning, after.line, after.category, after.group, "%s belongs to nobody from %s, where group %s ends (line %d), until %s: until is the first moment that no longer counts, and a date is its first moment",
				after.prefix, before.times.Until.Format(time.RFC3339Nano), quote(before.group), before.line, after.times.From.Format(time.RFC3339Nano))
		}
	}
}
