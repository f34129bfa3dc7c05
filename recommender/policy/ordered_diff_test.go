package policy

import (
	"fmt"
	"net/netip"
	"testing"

	"cordon/categories"

	"pgregory.net/rapid"
)

// What the comparison says of every cell is what the policies decide, each of its own.
func TestOrderedDiff(t *testing.T) {
	ends := []string{"any", "ip:10.0.0.1", "ip:10.0.0.0/30", "ip:10.0.0.0/24", "ip:2001:db8::/64"}
	services := []string{"any", "tcp", "tcp/80-81", "tcp/22", "udp/53", "icmp/8", "gre"}
	hosts := []string{"10.0.0.1", "10.0.0.2", "10.0.0.9", "192.0.2.1", "2001:db8::1"}
	probes := []string{"tcp/22", "tcp/80", "tcp/90", "udp/53", "icmp/8", "icmp/3", "gre", "ospf"}
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) *Ordered {
			o := &Ordered{Set: IPSet}
			o.Default.IPv4 = rapid.SampledFrom([]Action{"", Allow, Deny}).Draw(t, "end")
			for i := range rapid.IntRange(0, 4).Draw(t, name) {
				r := StatementRule{Name: fmt.Sprintf("%s%d", name, i), Action: rapid.SampledFrom([]Action{Allow, Allow, Deny}).Draw(t, "action")}
				for _, to := range []*[]Endpoint{&r.Sources, &r.Destinations} {
					for _, text := range rapid.SliceOfNDistinct(rapid.SampledFrom(ends), 1, 2, rapid.ID).Draw(t, "ends") {
						e, _ := ParseEndpoint(text)
						*to = append(*to, e)
					}
				}
				for _, text := range rapid.SliceOfNDistinct(rapid.SampledFrom(services), 1, 3, rapid.ID).Draw(t, "services") {
					s, _ := ParseService(text)
					r.Services = append(r.Services, s)
				}
				o.Rules = append(o.Rules, r)
			}
			return o
		}
		a, b := draw("a"), draw("b")
		gained, lost, err := OrderedDiff(a, b)
		if err != nil {
			t.Fatal(err)
		}
		if same, gone, err := OrderedDiff(a, a); err != nil || len(same)+len(gone) > 0 {
			t.Fatalf("equal policies differ: %v %v %v", same, gone, err)
		}
		for _, from := range hosts {
			for _, to := range hosts {
				client, server := netip.MustParseAddr(from), netip.MustParseAddr(to)
				if client.BitLen() != server.BitLen() {
					continue
				}
				for _, text := range probes {
					s, _ := categories.ParseService(text)
					was, wasBy := firstRule(a, client, server, s)
					is, isBy := firstRule(b, client, server, s)
					for _, side := range []struct {
						list  []Shift
						want  bool
						rules [2]string
					}{{gained, is && !was, [2]string{isBy, wasBy}}, {lost, was && !is, [2]string{wasBy, isBy}}} {
						n := 0
						for i := range side.list {
							if x := &side.list[i]; x.Holds(client, server, s) {
								if n++; x.Rule != side.rules[0] || x.By != side.rules[1] {
									t.Fatalf("%s -> %s %s: %+v, want %v", from, to, text, x, side.rules)
								}
							}
						}
						if n > 1 || (n == 1) != side.want {
							t.Fatalf("%s -> %s %s is %d times in %+v", from, to, text, n, side.list)
						}
					}
				}
			}
		}
	})
}

// firstRule decides without the code that compares.
func firstRule(o *Ordered, client, server netip.Addr, s categories.Service) (permits bool, rule string) {
	holds := func(list []Endpoint, a netip.Addr) bool {
		for _, e := range list {
			if e.IsAny() || e.Prefix.Contains(a) {
				return true
			}
		}
		return false
	}
	for _, r := range o.Rules {
		if holds(r.Sources, client) && holds(r.Destinations, server) && matchesService(r.Services, s) {
			return r.Action == Allow, r.Name
		}
	}
	if client.Is4() && o.Default.IPv4 == Allow {
		return true, DefaultRule
	}
	return false, ""
}
