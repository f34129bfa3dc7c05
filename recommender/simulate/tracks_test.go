package simulate

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"cordon/categories"
	"cordon/recommender/policy"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// drawOwners draws a groups file in which blocks of addresses have one owner after another, and sometimes none.
func drawOwners(t *rapid.T) *categories.File {
	f := &categories.File{Categories: []categories.Category{{Name: "app", Groups: []categories.Group{{Name: "a"}, {Name: "b"}, {Name: "c"}}}, {Name: "site", Groups: []categories.Group{{Name: "all"}}}}}
	f.Categories[1].Groups[0].AddPrefix(netip.MustParsePrefix("10.0.0.0/28"), categories.Times{})
	for i := range rapid.IntRange(0, 5).Draw(t, "blocks") {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(4 * i)}), 30)
		if i == 4 {
			p = netip.MustParsePrefix("9.9.9.8/30") // public addresses
		}
		hours := rapid.SliceOfNDistinct(rapid.IntRange(0, 5), 0, 3, rapid.ID[int]).Draw(t, "changes")
		slices.Sort(hours)
		var moments []time.Time
		for _, h := range hours {
			moments = append(moments, noon.Add(time.Duration(h)*time.Hour))
		}
		for _, times := range categories.Slices(moments) {
			if g := rapid.IntRange(0, 3).Draw(t, "owner"); g < 3 {
				f.Categories[0].Groups[g].AddPrefix(p, times)
			}
		}
	}
	return f
}

// drawRules draws a policy whose rules name groups and addresses.
func drawRules(t *rapid.T) policy.Policy {
	literals := []string{"any", "group:a", "group:b", "group:c", "group:all", "group:internet", "ip:10.0.0.0/29", "ip:10.0.0.5", "ip:9.9.9.9"}
	ends := func(what string, least int) (out []policy.Endpoint) {
		for range rapid.IntRange(least, 2).Draw(t, what) {
			e, err := policy.ParseEndpoint(rapid.SampledFrom(literals).Draw(t, "literal"))
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, e)
		}
		return out
	}
	p := policy.Policy{Kind: policy.KindPolicy, Default: policy.Defaults{IPv4: policy.Deny, IPv6: policy.Deny}}
	for i := range rapid.IntRange(1, 4).Draw(t, "rules") {
		r := policy.StatementRule{Name: fmt.Sprint("r", i), Action: rapid.SampledFrom([]policy.Action{policy.Allow, policy.Allow, policy.Deny}).Draw(t, "action"),
			Direction: policy.Bidirectional, Sources: ends("sources", 1), Destinations: ends("destinations", 1), Services: []policy.Service{{Any: true}}}
		if rapid.Bool().Draw(t, "one way") {
			r.Direction = policy.OneWay
			r.Except.Sources, r.Except.Destinations = ends("except sources", 0), ends("except destinations", 0)
		}
		p.Rules = append(p.Rules, r)
	}
	return p
}

// TestTracksAgainstMoments judges sessions between addresses that change their owners by classes of addresses and times, and compares with the
// policy as it reads at the moment of each session.
func TestTracksAgainstMoments(t *testing.T) {
	addrs := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("10.0.0.6"), netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("10.0.0.20"),
		netip.MustParseAddr("9.9.9.9"), netip.MustParseAddr("9.9.9.10"), netip.MustParseAddr("8.8.8.8")}
	https := categories.Service{Proto: 6, Port: 443}
	rapid.Check(t, func(rt *rapid.T) {
		file, p := drawOwners(rt), drawRules(rt)
		at := noon.Add(time.Duration(rapid.IntRange(-1, 6).Draw(rt, "moment")) * 37 * time.Minute)
		selected := rapid.SampledFrom([][]string{{"app"}, {"app", "site"}, {"site", "app"}}).Draw(rt, "selected")
		x, err := policy.NewInTime(file, selected, time.Time{}, time.Time{}, at)
		if err != nil {
			rt.Fatal(err)
		}
		c := &Candidate{Name: "drawn", Documents: []Document{{Policy: p, Sets: x.Set, InTime: x}}}
		r, g := nameRules(c), newRegistry()
		in, err := compile(c, r, "default", g)
		if err != nil {
			rt.Fatal(err)
		}
		all := divide(g)
		if len(x.Changing()) > 0 {
			all.follow(g, []*policy.InTime{x})
		}
		d := newDecider(in, r, all.list)
		for _, client := range rapid.SliceOfNDistinct(rapid.SampledFrom(addrs), 2, 2, rapid.ID[netip.Addr]).Draw(rt, "clients") {
			then := noon.Add(time.Duration(rapid.IntRange(-1, 12).Draw(rt, "half hours")) * 30 * time.Minute)
			of, err := policy.NewAddresses(file.AtIn(then, time.Time{}), selected)
			if err != nil {
				rt.Fatal(err)
			}
			if standsForWhole(x.Addresses) != standsForWhole(of) {
				continue // The moment of x decides how a rule reads such a group, see policy.InTime.
			}
			for _, server := range addrs {
				want, rule, err := p.Decide(of.Set, client, server, https)
				if err != nil {
					rt.Fatal(err)
				}
				got := d.decide(all.when(client, then), all.when(server, then), https, keepAll)
				judged, _, err := c.Judge("default", client, server, https, then, then)
				if got.Decision != want || r.names[got.rule].name != rule || err != nil || judged.Decision != want || judged.Rule != rule {
					rt.Fatalf("%s to %s at %s: %s by %s, and alone %+v, want %s by %s (%v)", client, server, then, got.Decision, r.names[got.rule].name, judged, want, rule, err)
				}
			}
		}
	})
}

// standsForWhole reports whether an allowing rule that names group all means its members, whatever group these resolve to: it stands for several
// whole groups then.
func standsForWhole(a *policy.Addresses) bool {
	m, err := a.MeaningAs(policy.GroupEndpoint("all"), policy.Allowing)
	return err == nil && m.Group < 0 && !m.Ungrouped
}

// when gives the class of an address at a moment, as the store finds it.
func (c *classes) when(a netip.Addr, at time.Time) uint32 {
	i, found := slices.BinarySearchFunc(c.ranges, a, func(r addressRange, a netip.Addr) int { return r.first.Compare(a) })
	if !found {
		i--
	}
	if c.ranges[i].track == 0 {
		return c.ranges[i].class
	}
	tenures := c.tracks[c.ranges[i].track-1].tenures
	return tenures[slices.IndexFunc(tenures, func(t tenure) bool { return t.Holds(at) })].class
}
