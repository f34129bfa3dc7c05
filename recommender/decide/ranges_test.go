package decide

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"cordon/categories"
	"cordon/recommender/cells"
	"cordon/recommender/policy"

	"github.com/google/go-cmp/cmp"
)

// used is a service between two ends, by so many clients and servers in so many hours.
type used struct {
	src, dst, service       string
	clients, servers, hours int
	excluded                bool // the sessions need no rule
}

// ranges joins ports and gives each cell as a line; Least is 3.
func ranges(t *testing.T, by *said, named string, list ...used) []string {
	t.Helper()
	var parts []cells.Part
	var in []cells.Cell
	uses := map[uint64]*Use{}
	for i, u := range list {
		p := part(t, u.src, u.dst, u.service, 1)
		p.Hash = uint64(i + 1)
		parts = append(parts, p)
		in = append(in, cells.Cell{Key: p.Key, Parts: []int{i}, Sessions: 1, Included: !u.excluded})
		if u.clients == 0 {
			continue
		}
		use := NewUse()
		for c := range u.clients {
			use.Clients[netip.AddrFrom4([4]byte{10, 1, u.src[len(u.src)-1], byte(c)})] = true
		}
		for c := range max(u.servers, 1) {
			use.Servers[netip.AddrFrom4([4]byte{10, 2, 0, byte(c)})] = true
		}
		for h := range max(u.hours, 1) {
			use.Hours[int64(h)] = true
		}
		use.Pairs[Visit{netip.AddrFrom4([4]byte{10, 1, 0, 0}), netip.AddrFrom4([4]byte{10, 2, 0, 0}), int64(i)}] = true
		uses[p.Hash] = use
	}
	var out []string
	for _, c := range Ranges(in, parts, 3, uses, by, func(s categories.Service) bool { return s.String() == named }) {
		line := fmt.Sprintf("%d->%d %s %v %d %v", c.Key.Src.Group, c.Key.Dst.Group, c.Key.Service, c.Parts, c.Sessions, c.Included)
		if c.Breadth != nil {
			line += fmt.Sprintf(" %d", *c.Breadth)
		}
		out = append(out, line)
	}
	return out
}

func ports(src string, of ...int) (out []used) {
	for _, p := range of {
		out = append(out, used{src: src, dst: "group 9", service: fmt.Sprint("tcp/", p), clients: 1})
	}
	return out
}

func TestRanges(t *testing.T) {
	some := ports("group 1", 50000, 50010, 50020)
	for name, c := range map[string]struct {
		list  []used
		by    said
		named string
		want  []string
	}{
		"three ports are a range": {list: some, want: []string{"1->9 tcp/50000-50020 [0 1 2] 3 true {1 1 3}"}},
		"two are not":             {list: some[:2], want: []string{"1->9 tcp/50000 [0] 1 true", "1->9 tcp/50010 [1] 1 true"}},
		"a port below 1024 stays": {list: append(ports("group 1", 1023), ports("group 1", 1024, 1025, 1026)...),
			want: []string{"1->9 tcp/1023 [0] 1 true", "1->9 tcp/1024-1026 [1 2 3] 3 true {1 1 3}"}},
		"a name stays": {list: append(some, ports("group 1", 50015)...), named: "tcp/50015",
			want: []string{"1->9 tcp/50000-50020 [0 1 2] 3 true {1 1 3}", "1->9 tcp/50015 [3] 1 true"}},
		"what nobody used stays": {list: append(slices.Clone(some), used{src: "group 1", dst: "group 9", service: "tcp/50030"}),
			want: []string{"1->9 tcp/50000-50020 [0 1 2] 3 true {1 1 3}", "1->9 tcp/50030 [3] 1 true"}},
		"protocols are apart": {list: append(some[:2:2], used{src: "group 1", dst: "group 9", service: "udp/50020", clients: 1}),
			want: []string{"1->9 tcp/50000 [0] 1 true", "1->9 tcp/50010 [1] 1 true", "1->9 udp/50020 [2] 1 true"}},
		"no ports, no range": {list: []used{{src: "group 1", dst: "group 9", service: "icmp/8", clients: 1}, {src: "group 1", dst: "group 9", service: "icmp/13", clients: 1}, {src: "group 1", dst: "group 9", service: "gre", clients: 1}},
			want: []string{"1->9 icmp/8 [0] 1 true", "1->9 icmp/13 [1] 1 true", "1->9 gre [2] 1 true"}},
		"a gap parts": {list: ports("group 1", 20000, 20001, 20002, 20002+rangeGap+1, 20003+rangeGap+1, 20004+rangeGap+1),
			want: []string{"1->9 tcp/20000-20002 [0 1 2] 3 true {1 1 3}", "1->9 tcp/28195-28197 [3 4 5] 3 true {1 1 3}"}},
		"the widest gap that does not": {list: ports("group 1", 20000, 20001, 20001+rangeGap), want: []string{"1->9 tcp/20000-28193 [0 1 2] 3 true {1 1 3}"}},
		"two ports for each server": {list: []used{{"group 1", "group 9", "tcp/50000", 1, 2, 1, false}, {"group 1", "group 9", "tcp/50001", 1, 2, 1, false}, {"group 1", "group 9", "tcp/50002", 1, 2, 1, false}},
			want: []string{"1->9 tcp/50000 [0] 1 true", "1->9 tcp/50001 [1] 1 true", "1->9 tcp/50002 [2] 1 true"}},
		"as many as that are enough": {list: []used{{"group 1", "group 9", "tcp/50000", 1, 2, 1, false}, {"group 1", "group 9", "tcp/50001", 1, 2, 1, true}, {"group 1", "group 9", "tcp/50002", 1, 2, 1, true}, {"group 1", "group 9", "tcp/50003", 1, 2, 1, true}},
			want: []string{"1->9 tcp/50000-50003 [0 1 2 3] 4 true {1 1 4}"}},
		"no rule is needed": {list: []used{{"group 1", "group 9", "tcp/50000", 2, 1, 3, true}, {"group 1", "group 9", "tcp/50001", 1, 1, 1, true}, {"group 1", "group 9", "tcp/50002", 1, 1, 1, true}},
			want: []string{"1->9 tcp/50000-50002 [0 1 2] 3 false {2 3 3}"}},
		"sources share a range": {list: slices.Concat(some, ports("group 2", 50005, 50006, 50030)),
			want: []string{"1->9 tcp/50000-50030 [0 1 2] 3 true {1 1 3}", "2->9 tcp/50000-50030 [3 4 5] 3 true {1 1 3}"}},
		"a source with a denied port has none, and others a smaller one": {list: slices.Concat(some, ports("group 2", 50005, 50006, 50030)), by: said{denied: []saying{{2, 0, term(t, "tcp/50001")}}},
			want: []string{"1->9 tcp/50000-50020 [0 1 2] 3 true {1 1 3}", "2->9 tcp/50005 [3] 1 true", "2->9 tcp/50006 [4] 1 true", "2->9 tcp/50030 [5] 1 true"}},
		"a denial outside the range": {list: some, by: said{denied: []saying{{0, 0, term(t, "tcp/50021")}}}, want: []string{"1->9 tcp/50000-50020 [0 1 2] 3 true {1 1 3}"}},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(c.want, ranges(t, &c.by, c.named, c.list...)); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestStrongPorts: a port is strong from more than four times of one and its share on.
func TestStrongPorts(t *testing.T) {
	// From 2000 to 2099 there are a hundred ports; 100 clients or hours in all make a share of one each, and the bound 8.
	of := func(clients, hours int) map[uint16]PortUse {
		return map[uint16]PortUse{2000: {100 - clients, 0}, 2050: {clients, hours}, 2099: {0, 100 - hours}}
	}
	for _, c := range []struct {
		clients, hours int
		want           bool
	}{{8, 8, false}, {9, 8, true}, {8, 9, true}, {9, 9, true}} {
		if got := StrongPorts(of(c.clients, c.hours))[2050]; got != c.want {
			t.Errorf("%d clients and %d hours: %v", c.clients, c.hours, got)
		}
	}
	for n, want := range map[int]bool{20: false, 21: true} { // Five ports, all clients at one of them: 4 (1 + n/5) is n at 20.
		if got := StrongPorts(map[uint16]PortUse{2000: {}, 2004: {n, 0}})[2004]; got != want {
			t.Errorf("all of %d clients at one of five ports: %v", n, got)
		}
	}
	if got := StrongPorts(map[uint16]PortUse{2000: {9, 1}}); len(got) != 0 {
		t.Errorf("one port alone is what its share explains: %v", got)
	}
	// Its clients count together, whatever their group: three of six are no more than chance explains.
	list := append(ports("group 1", 50000, 50050, 50099), used{src: "group 1", dst: "group 9", service: "tcp/50040", clients: 3}, used{src: "group 2", dst: "group 9", service: "tcp/50040", clients: 3})
	got := ranges(t, &said{}, "", list...)
	want := []string{"1->9 tcp/50000-50099 [0 1 2] 3 true {1 1 3}", "1->9 tcp/50040 [3] 1 true", "2->9 tcp/50040 [4] 1 true"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestCheckRanges: the check finds what joining ports could break.
func TestCheckRanges(t *testing.T) {
	parts := []cells.Part{part(t, "group 1", "group 2", "tcp/2000", 1), part(t, "group 1", "group 2", "tcp/2005", 1)}
	wide := cells.Cell{Key: parts[0].Key, Parts: []int{0, 1}}
	wide.Key.Service = term(t, "tcp/2000-2005")
	for name, c := range map[string]struct {
		services string
		by       said
		want     string
	}{
		"it holds":                    {services: "tcp/2000-2005"},
		"a session is in no service":  {services: "tcp/2000-2004", want: "does not permit tcp/2005"},
		"a port of it is denied":      {services: "tcp/2000-2005", by: said{denied: []saying{{1, 2, term(t, "tcp/2003")}}}, want: "permits a port of tcp/2000-2005"},
		"a denial between two others": {services: "tcp/2000-2005", by: said{denied: []saying{{2, 1, term(t, "tcp/2003")}}}},
	} {
		t.Run(name, func(t *testing.T) {
			r := policy.Rule{Name: "one", Services: []policy.Service{{Term: term(t, c.services)}}}
			err := CheckRanges(&r, []*cells.Cell{&wide}, parts, &c.by)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Error(err)
			}
		})
	}
	narrow := cells.Cell{Key: parts[0].Key, Parts: []int{0}}
	r := policy.Rule{Name: "one", Services: []policy.Service{{Term: term(t, "tcp/2000")}}}
	if err := CheckRanges(&r, []*cells.Cell{&narrow}, parts, &said{denied: []saying{{1, 2, term(t, "tcp/2000")}}}); err != nil {
		t.Errorf("one service is none of its business: %v", err)
	}
}

// TestPortRanges: a rule's ranges, with the ports that were seen in them.
func TestPortRanges(t *testing.T) {
	parts := []cells.Part{
		part(t, "group 1", "group 2", "tcp/2000", 1), part(t, "group 1", "group 2", "tcp/2000", 1), part(t, "group 1", "group 2", "tcp/2005", 1),
		part(t, "group 1", "group 2", "udp/2001", 1), part(t, "group 1", "group 2", "tcp/3000", 1),
	}
	wide, one := policy.Service{Term: term(t, "tcp/2000-2009")}, policy.Service{Term: term(t, "tcp/3000")}
	got := PortRanges(&policy.Rule{Services: []policy.Service{one, wide}}, []int{0, 1, 2, 3, 4}, parts)
	if want := []policy.PortRange{{Service: wide, ObservedPorts: 2, PermittedPorts: 10}}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	list := []cells.Cell{{Key: parts[0].Key}, {Key: parts[0].Key}, {Key: parts[0].Key}}
	list[1].Key.Service, list[2].Key.Service = wide.Term, term(t, "udp/1-2")
	ranged := RangedCells(list)
	if at := ranged[cells.Pair{Src: group(1), Dst: group(2)}]; len(ranged) != 1 || len(at) != 2 || at[0] != &list[1] || at[1] != &list[2] {
		t.Errorf("%v", ranged)
	}
}
