package recommender

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"cordon/categories"
	"cordon/recommender/policy"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/gaissmai/bart"
)

// history is what a groups file with times says of addresses that change their owner about the window. Addresses that do not
// are what they are at one moment, Settings.groupsAt, and nothing here concerns them.
type history struct {
	*categories.Changes
	at       time.Time
	internet bool // public addresses in no group are the built-in one

	derived map[int32]bool          // sets that follow from groups
	named   map[categories.Ref]bool // the groups that they follow from
	timed   bart.Table[[]timedSet]  // the prefixes of these, with their times
}

// timedSet is a set that has a prefix for a time.
type timedSet struct {
	set   int32
	times categories.Times
}

// timedPrefix is a prefix of a set, for a time.
type timedPrefix struct {
	prefix netip.Prefix
	times  categories.Times
}

// settle finds the moment whose groups count: the end of the window, and where that is open the last session's. It costs
// nothing where the file has no times.
func (s *Settings) settle(ctx context.Context, conn driver.Conn, file *categories.File) error {
	if !file.Timed() || !s.groupsAt.IsZero() {
		return nil
	}
	s.groupsAt = s.Until.Add(-time.Microsecond)
	if s.Until.IsZero() {
		if err := conn.QueryRow(ctx, "SELECT max(last_seen) FROM sessions_hourly").Scan(&s.groupsAt); err != nil {
			return fmt.Errorf("ClickHouse: find the end of the window: %w", err)
		}
	}
	return nil
}

// changesSince is the moment from which on a change of groups may concern a session of the window; zero where the window is open.
func (s *Settings) changesSince() time.Time {
	if s.Since.IsZero() {
		return time.Time{}
	}
	return s.Since.Add(-policy.AroundWindow)
}

// newHistory gives nil where no prefix of the file changes its group about the window.
func newHistory(file *categories.File, s Settings) (*history, error) {
	changes, err := categories.NewChanges(file, s.Categories, s.changesSince(), s.Until.Time)
	if changes == nil {
		return nil, err
	}
	return &history{Changes: changes, at: s.groupsAt, internet: s.External == policy.ExternalInternet, derived: map[int32]bool{}, named: map[categories.Ref]bool{}}, nil
}

// members gives the prefixes of a group at all times.
func (h *history) members(ref categories.Ref) (out []timedPrefix) {
	h.named[ref] = true
	if g := h.Group(ref); g != nil {
		for k, p := range g.Prefixes {
			out = append(out, timedPrefix{p, g.TimesOf(k)})
		}
	}
	if ref == categories.Internet {
		for _, p := range categories.InternetPrefixes() {
			out = append(out, timedPrefix{prefix: p})
		}
	}
	return out
}

// present gives prefixes for the moment alone.
func (h *history) present(prefixes []netip.Prefix) (out []timedPrefix) {
	for _, p := range prefixes {
		out = append(out, timedPrefix{p, categories.Times{From: h.at, Until: h.at.Add(time.Microsecond)}})
	}
	return out
}

// derive says what a set that follows from groups has at all times.
func (h *history) derive(set int32, prefixes []timedPrefix) {
	h.derived[set] = true
	for _, p := range prefixes {
		known, _ := h.timed.Get(p.prefix)
		h.timed.Insert(p.prefix, append(known, timedSet{set, p.times}))
	}
}

// track is a range of addresses whose owner changes.
type track struct {
	span    int // place in classes.spans
	tenures []tenure
}

// tenure is a time in which all addresses of a track are of one class.
type tenure struct {
	categories.Times
	class uint32
	// former says that the addresses are in no group in this time, which is not the present. Who had them then is not known, and a
	// rule that names an address is one for its present owner: no rule can be made of their sessions.
	former bool
}

// Kinds of addresses in the run's tables, beside those of package categories: the same, of former tenures.
const (
	formerPrivate = 3
	formerPublic  = 4
)

// kindOf is the kind of a class as the run's tables have it.
func (t *tenure) kindOf(c *class) uint8 {
	switch {
	case t.former && c.kind == categories.Private:
		return formerPrivate
	case t.former && c.kind == categories.Public:
		return formerPublic
	}
	return uint8(c.kind)
}

// follow finds the tenures of the addresses that change their owner. Where everything that concerns the run treats an address
// alike at all times, it has none.
func (c *classes) follow(d *division, ids map[string]uint32) {
	for i, s := range c.spans {
		if !c.history.Has(s.Lo) {
			continue
		}
		var tenures []tenure
		for _, times := range categories.Slices(c.history.Moments(s.Lo)) {
			cl := c.during(d, s, times)
			t := tenure{Times: times, class: c.number(cl, ids)}
			t.former = cl.group < 0 && !times.Holds(c.history.at) && !(c.history.internet && cl.kind == categories.Public)
			if n := len(tenures); n > 0 && tenures[n-1].class == t.class && tenures[n-1].former == t.former {
				tenures[n-1].Until = times.Until
				continue
			}
			tenures = append(tenures, t)
		}
		if len(tenures) > 1 {
			c.tracks = append(c.tracks, track{i, tenures})
		}
	}
}

// during gives the class of the addresses of a span in a time in which nothing about them changes.
func (c *classes) during(d *division, s policy.Span, times categories.Times) class {
	h, cl := c.history, class{group: c.history.Line.LookupDuring(s.Lo, times), kind: categories.KindOf(s.Lo), each: slices.Clone(d.outside)}
	if cl.kind == categories.Local && h.Line.NamesLocal(s.Lo, times) {
		cl.kind = categories.Private
	}
	host := netip.PrefixFrom(s.Lo, s.Lo.BitLen())
	for _, sets := range c.sets.Supernets(host) {
		for _, set := range sets {
			if !h.derived[set] {
				cl.sets = append(cl.sets, set)
			}
		}
	}
	for _, sets := range h.timed.Supernets(host) {
		for _, x := range sets {
			if x.times.Overlaps(times.From, times.Until) {
				cl.sets = append(cl.sets, x.set)
			}
		}
	}
	return cl
}
