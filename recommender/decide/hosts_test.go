package decide

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"cordon/categories"
	"cordon/recommender/cells"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// merging draws cells among few neighbours, so that hosts often have one role, and a group.
func merging(t *rapid.T) []cells.Cell {
	ends := []cells.Endpoint{group(1), host("192.0.2.1")} // The second one is public.
	for i := range rapid.IntRange(1, 7).Draw(t, "hosts") {
		ends = append(ends, host(fmt.Sprintf("10.0.0.%d", i)))
	}
	held := map[cells.Key]bool{}
	add := func(src, dst cells.Endpoint, proto uint8, port uint16) {
		if src != dst {
			held[cells.Key{VRF: "v", Src: src, Dst: dst, Service: categories.Service{Proto: proto, Port: port}.Term()}] = true
		}
	}
	// What hosts may do: to use a service of somebody, to serve one to somebody, or both with each other.
	type use struct {
		peer    cells.Endpoint
		proto   uint8
		port    uint16
		serves  bool
		mutual  bool
		members []cells.Endpoint
	}
	menu := make([]use, rapid.IntRange(1, 3).Draw(t, "uses"))
	for i := range menu {
		menu[i] = use{peer: rapid.SampledFrom(ends).Draw(t, "peer"), proto: rapid.SampledFrom([]uint8{6, 17}).Draw(t, "protocol"), port: uint16(rapid.IntRange(1, 2).Draw(t, "port")),
			serves: rapid.IntRange(0, 3).Draw(t, "serves") == 0, mutual: rapid.IntRange(0, 2).Draw(t, "each with each") == 0}
		for _, e := range ends[2:] {
			if rapid.IntRange(0, 2).Draw(t, "does it") > 0 {
				menu[i].members = append(menu[i].members, e)
			}
		}
	}
	for _, u := range menu {
		for _, e := range u.members {
			switch {
			case u.mutual:
				for _, o := range u.members {
					add(e, o, u.proto, u.port)
				}
			case u.serves:
				add(u.peer, e, u.proto, u.port)
			default:
				add(e, u.peer, u.proto, u.port)
			}
		}
	}
	var list []cells.Cell
	for _, k := range slices.SortedFunc(maps.Keys(held), cells.Key.Compare) {
		list = append(list, cells.Cell{Key: k, Parts: []int{len(list)}, Sessions: 1, Included: rapid.IntRange(0, 3).Draw(t, "included") > 0})
	}
	return list
}

// exchanged says whether exchanging two hosts changes no cell: the definition of one role.
func exchanged(list []cells.Cell, a, b cells.Endpoint) bool {
	held := map[cells.Key]bool{}
	for i := range list {
		held[list[i].Key] = true
	}
	swap := func(e cells.Endpoint) cells.Endpoint {
		switch e {
		case a:
			return b
		case b:
			return a
		}
		return e
	}
	for k := range held {
		k.Src, k.Dst = swap(k.Src), swap(k.Dst)
		if !held[k] {
			return false
		}
	}
	return true
}

// TestRoles: two hosts have one role if and only if exchanging them changes no cell.
func TestRoles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := merging(t)
		role, needed := roles(list)
		want := map[cells.Endpoint]bool{}
		for i := range list {
			for _, e := range []cells.Endpoint{list[i].Key.Src, list[i].Key.Dst} {
				if privateHost(e) {
					want[e] = want[e] || list[i].Included
				}
			}
		}
		if d := cmp.Diff(want, needed, cmp.Comparer(func(a, b cells.Endpoint) bool { return a == b })); d != "" {
			t.Fatal(d)
		}
		if len(role) != len(want) {
			t.Fatalf("%d hosts have a role, want %d", len(role), len(want))
		}
		for a := range role {
			for b := range role {
				if got, want := role[a] == role[b], exchanged(list, a, b); got != want {
					t.Fatalf("%v and %v have one role: %v, want %v in %v", a.Prefix, b.Prefix, got, want, list)
				}
			}
		}
	})
}

// TestKeyOf: a set of uses has one key, in whatever order and however often they are named, and no other set has it.
func TestKeyOf(t *testing.T) {
	a := hostUse{peer: host("10.0.0.1"), service: term(t, "tcp/1")}
	b, c := a, a
	b.serves, c.service.Hi = true, 9
	if keyOf([]hostUse{a, b, c}) != keyOf([]hostUse{c, a, a, b, a}) {
		t.Error("the order, or how often a use is named, matters")
	}
	keys := map[useKey]bool{}
	sets := [][]hostUse{{}, {a}, {b}, {c}, {a, b}, {a, c}, {b, c}, {a, b, c}, {{peer: group(1), service: a.service}}, {{peer: group(2), service: a.service}}, {{peer: a.peer, service: term(t, "udp/1")}}}
	for _, set := range sets {
		keys[keyOf(set)] = true
	}
	if len(keys) != len(sets) {
		t.Errorf("%d sets have %d keys", len(sets), len(keys))
	}
}

// TestMergeHosts: cells of prefixes stand for the cells of all hosts in them and for no other, the prefixes have no more extra
// addresses than permitted, hold what was seen only once, and are as few as they can be where nothing extra is permitted.
func TestMergeHosts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := merging(t)
		seen := map[netip.Addr]bool{}
		parts := make([]cells.Part, len(list))
		for i := range list {
			parts[i].Key = list[i].Key
			for _, e := range []cells.Endpoint{list[i].Key.Src, list[i].Key.Dst} {
				if privateHost(e) {
					seen[e.Prefix.Addr()] = true
				}
			}
		}
		if rapid.Bool().Draw(t, "another host") {
			seen[netip.AddrFrom4([4]byte{10, 0, 0, byte(rapid.IntRange(0, 7).Draw(t, "its place"))})] = true
		}
		named := []netip.Addr{netip.MustParseAddr("9.0.0.1"), netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("10.0.0.8"), netip.MustParseAddr("11.0.0.0")}
		apart := netip.MustParsePrefix(rapid.SampledFrom([]string{"10.0.0.4/32", "10.9.0.0/32"}).Draw(t, "apart")) // Policies treat this one otherwise.
		h := &Ungrouped{
			MaxExtra: uint64(rapid.IntRange(0, 5).Draw(t, "extra")),
			Seen:     map[string][]netip.Addr{"v": slices.SortedFunc(maps.Keys(seen), netip.Addr.Compare)},
			Named:    named,
			Alike:    func(p netip.Prefix) bool { return p == apart || !p.Overlaps(apart) },
		}
		out, prefixes, err := MergeHosts(slices.Clone(list), parts, h)
		if err != nil {
			t.Fatal(err)
		}
		inside := map[netip.Addr]netip.Prefix{}
		extra := uint64(0)
		for _, p := range prefixes["v"] {
			n, names := uint64(0), uint64(0)
			for a := range seen {
				if p.Prefix.Contains(a) {
					inside[a] = p.Prefix
					n++
				}
			}
			for _, a := range named {
				if p.Prefix.Contains(a) && !seen[a] {
					names++
				}
			}
			size := uint64(1) << (32 - p.Prefix.Bits())
			if n != p.Hosts || p.ExtraAddresses != size-n || names != p.Named || size == 1 || !h.Alike(p.Prefix) {
				t.Fatalf("%+v holds %d hosts and %d other names", p, n, names)
			}
			if FindPrefix(prefixes["v"], cells.Endpoint{Prefix: p.Prefix}).Prefix != p.Prefix {
				t.Fatalf("%v is not found", p.Prefix)
			}
			extra += p.ExtraAddresses
		}
		if extra > h.MaxExtra {
			t.Fatalf("%d extra addresses, at most %d", extra, h.MaxExtra)
		}
		into := func(e cells.Endpoint) cells.Endpoint {
			if p, ok := inside[e.Prefix.Addr()]; ok && privateHost(e) {
				return cells.Endpoint{Prefix: p}
			}
			return e
		}
		want := map[cells.Key]cells.Cell{}
		for i, c := range list {
			c.Key.Src, c.Key.Dst = into(c.Key.Src), into(c.Key.Dst)
			if parts[i].Key != c.Key {
				t.Fatalf("part %v, want %v", parts[i].Key, c.Key)
			}
			o := want[c.Key]
			want[c.Key] = cells.Cell{Key: c.Key, Parts: append(o.Parts, c.Parts...), Sessions: o.Sessions + 1, Included: o.Included || c.Included}
		}
		if !slices.IsSortedFunc(out, func(a, b cells.Cell) int { return a.Key.Compare(b.Key) }) || len(out) != len(want) {
			t.Fatalf("%v", out)
		}
		for _, c := range out {
			if d := cmp.Diff(want[c.Key], c, comparable); d != "" {
				t.Fatal(d)
			}
			for _, src := range expand(c.Key.Src, seen) {
				for _, dst := range expand(c.Key.Dst, seen) {
					k := cells.Key{VRF: "v", Src: src, Dst: dst, Service: c.Key.Service}
					if src != dst && !slices.ContainsFunc(list, func(c cells.Cell) bool { return c.Key == k }) {
						t.Fatalf("%v was never seen", k)
					}
				}
			}
		}
		// Two neighbours of one role that both need a rule and that policies treat alike cost nothing extra, so they share a prefix.
		for _, pair := range [][2]string{{"10.0.0.0", "10.0.0.1"}, {"10.0.0.2", "10.0.0.3"}} {
			a, b := host(pair[0]), host(pair[1])
			_, one := inside[a.Prefix.Addr()]
			uses, needed := usesOf(list)
			if len(uses[a]) > 0 && len(uses[b]) > 0 && needed[a] && needed[b] && exchanged(list, a, b) && !one {
				t.Fatalf("%v and %v have no prefix: %v", a.Prefix, b.Prefix, prefixes["v"])
			}
		}
	})
}

// expand gives the hosts that were seen behind an endpoint.
func expand(e cells.Endpoint, seen map[netip.Addr]bool) (out []cells.Endpoint) {
	if e.Group != cells.NoGroup || e.Prefix.IsSingleIP() {
		return []cells.Endpoint{e}
	}
	for a := range seen {
		if e.Prefix.Contains(a) {
			out = append(out, cells.NewEndpoint(cells.NoGroup, a))
		}
	}
	return out
}

// TestMergeHostsByVRF: hosts of different VRFs share no prefix, whatever their addresses.
func TestMergeHostsByVRF(t *testing.T) {
	var list []cells.Cell
	seen := map[string][]netip.Addr{}
	for _, at := range []struct{ vrf, host string }{{"a", "10.0.0.0"}, {"a", "10.0.0.1"}, {"b", "10.0.0.1"}, {"c", "10.0.0.2"}, {"c", "10.0.0.3"}} {
		list = append(list, cells.Cell{Key: cells.Key{VRF: at.vrf, Src: host(at.host), Dst: group(1), Service: term(t, "tcp/1")}, Sessions: 1, Included: true})
		seen[at.vrf] = append(seen[at.vrf], netip.MustParseAddr(at.host))
	}
	out, prefixes, err := MergeHosts(list, nil, &Ungrouped{Seen: seen, Alike: func(netip.Prefix) bool { return true }})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range out {
		got = append(got, fmt.Sprintf("%s %v %d", c.Key.VRF, c.Key.Src.Prefix, c.Sessions))
	}
	if want := []string{"a 10.0.0.0/31 2", "b 10.0.0.1/32 1", "c 10.0.0.2/31 2"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if len(prefixes["a"]) != 1 || len(prefixes["b"]) != 0 || len(prefixes["c"]) != 1 {
		t.Errorf("%v", prefixes)
	}
}

// TestUnusedHostsApart: a host that no cell has is in no prefix, whatever the roles of the others are.
func TestUnusedHostsApart(t *testing.T) {
	var list []cells.Cell
	var seen []netip.Addr
	for i := range 16 { // In each four neighbours the first and the third have one role, and the others none.
		seen = append(seen, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}))
		if i%2 == 0 {
			k := cells.Key{Src: cells.NewEndpoint(cells.NoGroup, seen[i]), Dst: group(1), Service: categories.Service{Proto: 6, Port: uint16(i / 4)}.Term()}
			list = append(list, cells.Cell{Key: k, Included: true})
		}
	}
	out, prefixes, err := MergeHosts(list, nil, &Ungrouped{Seen: map[string][]netip.Addr{"": seen}, Alike: func(netip.Prefix) bool { return true }})
	if err != nil || len(out) != 8 || len(prefixes[""]) != 0 {
		t.Errorf("%v, %d cells, %v", err, len(out), prefixes)
	}
}

// TestMergeCellsChecks: a prefix whose hosts were not all seen with a cell is a fault, and says how many were.
func TestMergeCellsChecks(t *testing.T) {
	of := func(hosts ...string) HostPrefix {
		var p HostPrefix
		p.Prefix = netip.MustParsePrefix("10.0.0.0/30")
		for _, a := range hosts {
			p.members = append(p.members, host(a))
		}
		return p
	}
	cell := func(src, dst cells.Endpoint) cells.Cell {
		return cells.Cell{Key: cells.Key{Src: src, Dst: dst, Service: term(t, "tcp/1")}}
	}
	a, b, c := host("10.0.0.1"), host("10.0.0.2"), host("10.0.0.3")
	for name, x := range map[string]struct {
		list []cells.Cell
		want string
	}{
		"both hosts":              {list: []cells.Cell{cell(a, group(1)), cell(b, group(1))}},
		"one of two":              {list: []cells.Cell{cell(a, group(1))}, want: "between 1 of 2 pairs"},
		"each with each":          {list: []cells.Cell{cell(a, b), cell(b, a)}},
		"each with each, itself":  {list: []cells.Cell{cell(a, a), cell(a, b), cell(b, a)}},
		"one way":                 {list: []cells.Cell{cell(a, b)}, want: "between 1 of 2 pairs"},
		"a host with itself":      {list: []cells.Cell{cell(host("10.0.0.4"), host("10.0.0.4"))}},
		"outside of the prefix":   {list: []cells.Cell{cell(host("10.0.0.4"), group(1))}},
		"a host that is not seen": {list: []cells.Cell{cell(a, group(1)), cell(b, group(1)), cell(c, group(1))}, want: "between 3 of 2 pairs"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := mergeCells(x.list, []HostPrefix{of("10.0.0.1", "10.0.0.2")})
			if (err == nil) != (x.want == "") || err != nil && !strings.Contains(err.Error(), x.want) {
				t.Error(err)
			}
		})
	}
}
