package memberships

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"cordon/categories/sources"
)

var start = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)

// snapshot reads memberships such as "web 10.0.0.1".
func snapshot(texts ...string) (out []sources.Membership) {
	for _, t := range texts {
		group, address, _ := strings.Cut(t, " ")
		out = append(out, sources.Membership{Category: "tier", Group: group, Prefix: netip.MustParsePrefix(address + "/32"), Source: "cmdb"})
	}
	return out
}

func rows(list []Row) string {
	var out []string
	for _, r := range list {
		text := r.Group + " " + r.Prefix.Addr().String()
		if !r.From.IsZero() {
			text += r.From.Format(" from 15:04")
		}
		if !r.Until.IsZero() {
			text += r.Until.Format(" until 15:04")
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

// TestDifference follows one source through snapshots.
func TestDifference(t *testing.T) {
	var known []Row
	var before time.Time
	for i, c := range []struct {
		snapshot   []sources.Membership
		share      float64
		came, went string
		lost       int
	}{
		{snapshot("web 10.0.0.1", "db 10.0.0.2"), 0.5, "web 10.0.0.1, db 10.0.0.2", "", 0},
		{snapshot("web 10.0.0.1", "db 10.0.0.2"), 0.5, "", "", 0},
		{snapshot("db 10.0.0.1", "db 10.0.0.2", "web 10.0.0.3"), 0.5, "db 10.0.0.1 from 10:10, web 10.0.0.3 from 10:10", "web 10.0.0.1 until 10:05", 0},
		{nil, 0.5, "", "", 3},
		{snapshot("db 10.0.0.2"), 0.5, "", "", 2},
		{snapshot("db 10.0.0.1", "db 10.0.0.2", "web 10.0.0.4"), 0.5, "web 10.0.0.4 from 10:25", "web 10.0.0.3 from 10:10 until 10:10", 0},
		{snapshot("web 10.0.0.4"), 1, "", "db 10.0.0.2 until 10:25, db 10.0.0.1 from 10:10 until 10:25", 0},
		{nil, 1, "", "web 10.0.0.4 from 10:25 until 10:30", 0},
	} {
		at := start.Add(time.Duration(i) * 5 * time.Minute)
		change, err := difference("cmdb", known, c.snapshot, at, before, c.share)
		if refused, ok := errors.AsType[*RefusedError](err); ok != (c.lost > 0) || ok && refused.Lost != c.lost {
			t.Fatalf("step %d: %v, want %d lost", i, err, c.lost)
		}
		if got, want := fmt.Sprint(rows(change.Came), "; ", rows(change.Went)), fmt.Sprint(c.came, "; ", c.went); got != want {
			t.Errorf("step %d: %s, want %s", i, got, want)
		}
		if err != nil {
			continue
		}
		known = without(known, change.Went)
		known, before = append(known, change.Came...), at
	}
}

// without gives rows that are not among others.
func without(rows, gone []Row) []Row {
	return slices.DeleteFunc(slices.Clone(rows), func(r Row) bool {
		return slices.ContainsFunc(gone, func(g Row) bool { return keyOf(&g.Membership) == keyOf(&r.Membership) })
	})
}
