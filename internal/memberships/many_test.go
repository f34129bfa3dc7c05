package memberships

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"cordon/categories"
	"cordon/categories/sources"
)

// members makes so many memberships, in groups of 100, from a place on.
func members(source string, from, n int) []sources.Membership {
	out := make([]sources.Membership, n)
	for i := range out {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], 10<<24+uint32(from+i))
		out[i] = sources.Membership{Category: "tier", Group: "g" + string(rune('a'+(from+i)/100%26)), Prefix: netip.PrefixFrom(netip.AddrFrom4(a), 32), Source: source}
	}
	return out
}

// TestManyMembers: 200,000 members of which half change their group cost no more than seconds, and what is gone is counted exactly.
func TestManyMembers(t *testing.T) {
	const n = 200_000
	first, err := difference("cmdb", nil, members("cmdb", 0, n), start, time.Time{}, 0.5)
	if err != nil || len(first.Came) != n {
		t.Fatal(len(first.Came), err)
	}
	later := members("cmdb", n/2, n) // the first half is gone, and as many are new
	second, err := difference("cmdb", first.Came, later, start.Add(time.Minute), start, 0.5)
	if err != nil || len(second.Came) != n/2 || len(second.Went) != n/2 {
		t.Fatal(len(second.Came), len(second.Went), err)
	}
	if _, err := difference("cmdb", first.Came, later[1:], start.Add(time.Minute), start, 0.49); err == nil {
		t.Error("half of the addresses may go where the share is smaller")
	}
	list := Categories(append(second.Went, second.Came...))
	total := 0
	for i := range list[0].Groups {
		total += len(list[0].Groups[i].Prefixes)
	}
	if total != n {
		t.Errorf("%d members, want %d", total, n)
	}
}

// TestSourcesDisagree: where two sources put one address into different groups of a category, both hold, each with its own times, and which
// wins is what the groups file's rules say. One that is away changes nothing of the other.
func TestSourcesDisagree(t *testing.T) {
	hour := func(h int) time.Time { return start.Add(time.Duration(h) * time.Hour) }
	row := func(source, group string, from, until time.Time) Row {
		return Row{Membership: sources.Membership{Category: "tier", Group: group, Prefix: netip.MustParsePrefix("10.0.0.1/32"), Source: source}, From: from, Until: until}
	}
	list := Categories([]Row{
		row("vcenter", "web", time.Time{}, hour(3)), row("cmdb", "db", hour(1), time.Time{}), row("ipam", "db", hour(1), time.Time{}),
	})
	for h, want := range map[int]string{0: "web", 2: "db", 4: "db"} {
		f := fileOf(list).At(hour(h))
		if got := owner(t, f, "10.0.0.1"); got != want {
			t.Errorf("hour %d: %s, want %s", h, got, want)
		}
	}
	if n := len(list[0].Groups); n != 2 || len(list[0].Groups[0].Prefixes) != 1 {
		t.Errorf("%d groups; two sources that say the same make one membership, not %d", n, len(list[0].Groups[0].Prefixes))
	}
}

func fileOf(list []categories.Category) *categories.File {
	return &categories.File{Path: "g.yaml", Categories: list}
}

func owner(t *testing.T, f *categories.File, address string) string {
	t.Helper()
	r, err := categories.NewResolver(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	ref, _ := r.Lookup(netip.MustParseAddr(address))
	return ref.Group
}
