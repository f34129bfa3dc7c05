package infer

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"cordon/categories"

	"pgregory.net/rapid"
)

func sortedNames(of map[netip.Addr]string) []string {
	names := map[string]bool{}
	for _, name := range of {
		names[name] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// previous makes the groups of a run those of an earlier one.
func previous(g *Grouping) *Previous {
	p := &Previous{}
	place := map[netip.Addr]int{}
	for i, x := range g.Groups {
		old := PreviousGroup{ID: x.ID, Name: x.Name}
		for _, m := range x.Members {
			old.Members = append(old.Members, m.Host)
			place[m.Host] = i
		}
		p.Groups = append(p.Groups, old)
	}
	p.Of = func(a netip.Addr) int {
		if i, ok := place[a]; ok {
			return i
		}
		return -1
	}
	return p
}

// Three companies: the groups are the roles, they keep their names, and hosts with a wrong role or none are found.
// docs/group-inference.md shows the table that it prints.
func TestCompanies(t *testing.T) {
	t.Log("| company | hosts | roles | groups | ARI | V | names kept | misfit recall | precision | new assigned | rightly |")
	for seed := range uint64(3) {
		c := newCompany(seed+1, 2000, 8)
		all := c.activities(0, 8)
		g := Infer(all, Settings{})
		ari, v := Agreement(groupsOf(g), c.roles)

		first := Infer(c.activities(0, 4), Settings{})
		second := Infer(c.activities(4, 8), Settings{Previous: previous(first)})
		kept := 0
		for _, change := range second.Changes {
			if change.Kind == Kept {
				kept++
			}
		}
		names := float64(kept) / float64(len(first.Groups))
		recall, precision, assigned, rightly := c.fit(t, seed, all)
		t.Logf("| %d | %d | %d | %d | %.3f | %.3f | %d of %d | %.3f | %.3f | %.3f | %.3f |", seed+1, len(c.roles), len(sortedNames(c.roles)), len(g.Groups), ari, v,
			kept, len(first.Groups), recall, precision, assigned, rightly)
		if ari < .97 || v < .96 || len(g.Groups) > 40 {
			t.Errorf("company %d: want ARI >= .97, V >= .96 and at most 40 groups", seed+1)
		}
		if names < .9 {
			t.Errorf("company %d: want 90%% of the names kept", seed+1)
		}
		if recall < .9 || precision < .95 || assigned < .95 || rightly < .99 {
			t.Errorf("company %d: want recall >= .9, precision >= .95, 95%% assigned, 99%% of them rightly", seed+1)
		}
	}
}

// fit gives one host in twenty a wrong role, and another one none, and looks for both.
func (c *company) fit(t *testing.T, seed uint64, all []Activity) (recall, precision, assigned, rightly float64) {
	random := rand.New(rand.NewPCG(seed, 7))
	wrong := maps.Clone(c.roles)
	corrupted, fresh := map[netip.Addr]bool{}, map[netip.Addr]bool{}
	roles := sortedNames(c.roles)
	for _, host := range slices.SortedFunc(maps.Keys(c.roles), netip.Addr.Compare) {
		switch random.IntN(20) {
		case 0:
			for wrong[host] == c.roles[host] {
				wrong[host] = roles[random.IntN(len(roles))]
			}
			corrupted[host] = true
		case 1:
			delete(wrong, host)
			fresh[host] = true
		}
	}
	out := Fit(all, given(wrong))
	if !out.Follows() {
		t.Errorf("%d of %d hosts fit elsewhere better", out.Better, out.Hosts)
	}
	found := 0
	for _, m := range out.Misfits {
		if corrupted[m.Host] {
			found++
		}
	}
	right, given := 0, 0
	for _, n := range out.New {
		if !fresh[n.Host] {
			t.Fatalf("%s is not new", n.Host)
		}
		if n.Group != "" {
			given++
			if n.Group == c.roles[n.Host] {
				right++
			}
		}
	}
	return float64(found) / float64(len(corrupted)), float64(found) / float64(len(out.Misfits)), float64(given) / float64(len(out.New)), float64(right) / float64(given)
}

// A category that has nothing to do with traffic is recognised.
func TestFitSites(t *testing.T) {
	c := newCompany(1, 2000, 2)
	out := Fit(c.activities(0, 2), given(c.sites))
	if out.Follows() {
		t.Errorf("%d of %d hosts fit elsewhere better: want more than a third", out.Better, out.Hosts)
	}
}

// The order of activities, and how they are cut up, changes nothing.
func TestOrderOfInput(t *testing.T) {
	c := newCompany(2, 300, 2)
	all := c.activities(0, 2)
	labels := given(c.roles)
	document := func(g *Grouping) string {
		text, err := json.Marshal(g)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	want, wantFit := document(Infer(all, Settings{})), Fit(all, labels)
	for seed := range uint64(5) {
		random := rand.New(rand.NewPCG(seed, 1))
		var mixed []Activity
		for _, a := range all {
			if half := a.Hours / 2; half > 0 { // Two VRFs have such hosts.
				b := a
				b.Hours, a.Hours = half, a.Hours-half
				mixed = append(mixed, b)
			}
			mixed = append(mixed, a)
		}
		random.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
		if document(Infer(mixed, Settings{})) != want {
			t.Fatal("another order gives other groups")
		}
		if got := Fit(mixed, labels); !reflect.DeepEqual(got, wantFit) {
			t.Fatal("another order gives other misfits")
		}
	}
}

// A partition's counts are those of its units, whatever was moved and merged, and no change that the search tries makes the code longer.
func TestPartitionLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []Activity
		for range rapid.IntRange(1, 60).Draw(t, "activities") {
			all = append(all, Activity{Host: netip.AddrFrom4([4]byte{10, 0, 0, byte(rapid.IntRange(1, 20).Draw(t, "host"))}),
				Feature: Feature{Role(rapid.IntRange(0, 1).Draw(t, "role")), categories.ServiceTerm{Proto: 6, Lo: uint16(rapid.IntRange(1, 6).Draw(t, "port")), Hi: 9}, false},
				Hours:   rapid.Uint64Range(1, 40).Draw(t, "hours")})
		}
		c := newCorpus(all, nil)
		p := newPartition(c, c.atoms())
		p.fill()
		before := p.length()
		p.check(t)
		for u := range p.units {
			bits := p.length()
			p.move(u)
			p.check(t)
			if now := p.length(); now > bits+least {
				t.Fatalf("a move makes the code %v bits longer", now-bits)
			}
		}
		bits := p.length()
		if p.mergeGroups() && p.length() > bits-least {
			t.Fatalf("a merge saves nothing: %v, then %v", bits, p.length())
		}
		p.improve()
		p.check(t)
		if now := p.length(); now > before+least {
			t.Fatalf("%v bits, then %v", before, now)
		}
	})
}

// length is the length of the code by its definition.
func (p *partition) length() float64 {
	bits := 0.0
	for _, c := range p.clusters() {
		bits += p.alone(c.items, c.hosts, c.weight)
	}
	return bits
}

func (p *partition) check(t *rapid.T) {
	q := newPartition(p.corpus, p.units)
	for range p.hosts {
		q.addGroup()
	}
	for u, g := range p.of {
		q.put(u, g)
	}
	for f := range q.index {
		if !slices.Equal(q.index[f], p.index[f]) {
			t.Fatalf("feature %d: %v, want %v", f, p.index[f], q.index[f])
		}
	}
	if !slices.Equal(q.hosts, p.hosts) || !slices.Equal(q.mass, p.mass) {
		t.Fatal("counts of groups are wrong")
	}
}

// little is a small network: web servers, their clients, a resolver, and a printer that is alone.
func little() (all []Activity) {
	add := func(host string, role Role, s string, public bool, hours uint64) {
		all = append(all, Activity{Host: netip.MustParseAddr(host), Feature: Feature{role, service(s), public}, Hours: hours})
	}
	for i := range 8 {
		web, client, resolver := fmt.Sprintf("10.0.1.%d", i+1), fmt.Sprintf("10.0.2.%d", i+1), fmt.Sprintf("fd00::%d", i+1)
		add(web, Server, "tcp/443", false, 400)
		add(web, Client, "udp/53", false, 30)
		add(client, Client, "tcp/443", false, 50)
		add(client, Client, "tcp/443", true, 60)
		add(client, Client, "udp/53", false, 60)
		add(resolver, Server, "udp/53", false, 300)
		add(resolver, Client, "udp/53", true, 90)
	}
	return all
}

func TestNamesAndReasons(t *testing.T) {
	g := Infer(little(), Settings{})
	var names []string
	for _, x := range g.Groups {
		names = append(names, x.Name)
		for _, m := range x.Members {
			if len(m.Reasons) == 0 || m.Weak || m.Bits < WeakBits {
				t.Errorf("%s: %+v", x.Name, m)
			}
		}
	}
	if got := strings.Join(names, " "); got != "clients-of-internet-https dns-servers https-servers" {
		t.Errorf("groups %s", got)
	}
	dns := g.Groups[1]
	if got := dns.Members[0].Reasons[0].Text; got != "serves udp/53 (dns)" || dns.Members[0].Reasons[0].Share != 1 {
		t.Errorf("reason %q", got)
	}
}

func TestKeepNames(t *testing.T) {
	all := little()
	first := Infer(all, Settings{})
	before := previous(first)
	before.Groups[2].Name = "our web farm"
	again := Infer(all, Settings{Previous: before})
	var names []string
	for i, x := range again.Groups {
		names = append(names, x.Name)
		if i < 2 && x.ID != first.Groups[i].ID {
			t.Errorf("group %s has another id", x.Name)
		}
	}
	if got := strings.Join(names, ","); got != "clients-of-internet-https,dns-servers,our web farm" {
		t.Errorf("groups %s", got)
	}
	// Two groups that are one now, one that is two now, and one that is no more.
	hosts := func(prefix string, from, to int) (out []netip.Addr) {
		for i := from; i <= to; i++ {
			out = append(out, netip.MustParseAddr(fmt.Sprint(prefix, i)))
		}
		return out
	}
	old := []PreviousGroup{{Name: "a", Members: hosts("10.0.1.", 1, 5)}, {Name: "b", Members: hosts("10.0.1.", 6, 8)},
		{Name: "c", Members: append(hosts("10.0.2.", 1, 8), hosts("fd00::", 1, 8)...)}, {Name: "d", Members: hosts("10.9.9.", 1, 2)}}
	p := &Previous{Groups: old, Of: func(a netip.Addr) int {
		return slices.IndexFunc(old, func(g PreviousGroup) bool { return slices.Contains(g.Members, a) })
	}}
	now := Infer(all, Settings{Previous: p})
	var text []string
	for _, c := range now.Changes {
		text = append(text, fmt.Sprint(c.Kind, " ", c.Group, " ", c.Others))
	}
	want := "gone b []|gone d []|kept a []|kept c []|merged a [a b]|new dns-servers []|split c [c dns-servers]"
	if got := strings.Join(text, "|"); got != want || now.Missing != 2 {
		t.Errorf("changes %s, %d missing, want %s, 2", got, now.Missing, want)
	}
}

// Hosts never leave the group that is to be refined.
func TestWithin(t *testing.T) {
	within := func(a netip.Addr) string {
		if a.Is6() {
			return "infra"
		}
		return "rest"
	}
	g := Infer(little(), Settings{Within: within})
	var names []string
	for _, x := range g.Groups {
		names = append(names, x.Name)
		for _, m := range x.Members {
			if within(m.Host) != x.Within {
				t.Errorf("%s is in %s", m.Host, x.Within)
			}
		}
	}
	if got := strings.Join(names, " "); got != "infra rest-clients-of-internet-https rest-https-servers" {
		t.Errorf("groups %s", got)
	}
}

func TestNothing(t *testing.T) {
	if g := Infer(nil, Settings{}); len(g.Groups) != 0 {
		t.Errorf("%+v", g)
	}
	if f := Fit(nil, given(nil)); !f.Follows() || len(f.New)+len(f.Misfits) > 0 {
		t.Errorf("%+v", f)
	}
	one := Infer(little()[:1], Settings{})
	if len(one.Groups) != 1 || one.Groups[0].Name != "https-servers" || one.Groups[0].Members[0].RunnerUp != "" {
		t.Errorf("%+v", one)
	}
}

func BenchmarkInfer(b *testing.B) {
	for _, hosts := range []int{5_000, 100_000} {
		all := newCompany(1, hosts, 4).activities(0, 4)
		b.Run(fmt.Sprint(hosts), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Infer(all, Settings{})
			}
		})
	}
}
