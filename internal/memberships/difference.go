// Package memberships keeps what sources of groups say in the store, with the times in which it held: a snapshot of a source is
// compared with what is known of it, and the difference is written to table memberships. So a session can be judged by what its
// addresses were when it was seen, and the groups of any moment can be had again.
//
// A snapshot that cannot be trusted changes nothing: one that failed, that is empty, or that lost more than a share of its addresses.
package memberships

import (
	"fmt"
	"net/netip"
	"time"

	"cordon/categories/sources"
)

// Row is a membership as the store has it.
type Row struct {
	sources.Membership
	From  time.Time // zero: since before the source was first read
	Until time.Time // first moment that no longer counts; zero: still so
}

// Change is what a snapshot changed.
type Change struct {
	Source string
	Taken  time.Time
	Came   []Row // begin with the snapshot, or are known from before the first one
	Went   []Row // ended with the last snapshot that had them
	Now    int   // memberships of the source
}

// RefusedError says that a snapshot cannot be trusted, so nothing was taken from it.
type RefusedError struct {
	Source    string
	Lost, Had int
	Share     float64
}

func (e *RefusedError) Error() string {
	if e.Lost == e.Had {
		return fmt.Sprintf("source %q: it has none of the %d addresses that it had: nothing was changed; --accept-loss takes it as it is", e.Source, e.Had)
	}
	return fmt.Sprintf("source %q: it lost %d of %d addresses, more than the share of %.0f%% that max_loss allows: nothing was changed; --accept-loss takes it as it is",
		e.Source, e.Lost, e.Had, 100*e.Share)
}

// key tells memberships of a source apart.
type key struct {
	category, group, vrf string
	prefix               netip.Prefix
}

func keyOf(m *sources.Membership) key { return key{m.Category, m.Group, m.VRF, m.Prefix} }

// difference compares a snapshot that was taken at a moment with the memberships of the source that still hold. Before is when the
// last snapshot was taken; zero for none. What came holds from the moment on: nobody knows what the address was before. What went
// held until the last snapshot that had it: since then the address may have been another's. So no session between two snapshots is taken
// for one of an owner who may not have had the address. Of the first snapshot nobody knows since when it holds, so it holds from ever.
//
// It fails with a *RefusedError where more than a share of the prefixes are gone altogether; a prefix that is in another group now
// is not lost.
func difference(source string, known []Row, snapshot []sources.Membership, at, before time.Time, share float64) (Change, error) {
	out := Change{Source: source, Taken: at, Now: len(snapshot)}
	there, now := map[netip.Prefix]bool{}, map[key]bool{}
	for i := range snapshot {
		now[keyOf(&snapshot[i])], there[snapshot[i].Prefix] = true, true
	}
	had, lost, was := map[netip.Prefix]bool{}, 0, map[key]bool{}
	for i := range known {
		p := known[i].Prefix
		was[keyOf(&known[i].Membership)] = true
		if !had[p] {
			had[p] = true
			if !there[p] {
				lost++
			}
		}
	}
	if lost > 0 && (lost == len(had) && share < 1 || float64(lost) > share*float64(len(had))) {
		return out, &RefusedError{Source: source, Lost: lost, Had: len(had), Share: share}
	}
	for i := range snapshot {
		if was[keyOf(&snapshot[i])] {
			continue
		}
		row := Row{Membership: snapshot[i], From: at}
		if before.IsZero() {
			row.From = time.Time{}
		}
		out.Came = append(out.Came, row)
	}
	for _, row := range known {
		if now[keyOf(&row.Membership)] {
			continue
		}
		if row.Until = before; !row.Until.After(row.From) { // it was in one snapshot only
			row.Until = row.From.Add(time.Microsecond)
		}
		out.Went = append(out.Went, row)
	}
	return out, nil
}
