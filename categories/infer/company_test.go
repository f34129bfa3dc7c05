package infer

import (
	"fmt"
	"math/rand/v2"
	"net/netip"

	"cordon/categories"
)

// company is a made-up company: roles whose hosts serve and use services, each with a rhythm of its own, and noise.
type company struct {
	roles map[netip.Addr]string
	sites map[netip.Addr]string // says nothing about traffic
	days  [][]Activity          // One list a day, so that days can be added up.
}

type use struct {
	feature Feature
	share   float64 // Share of the role's hosts that do it at all.
	rate    float64 // hours a day, over all peers
}

func service(text string) categories.ServiceTerm {
	s, err := categories.ParseService(text)
	if err != nil {
		panic(err)
	}
	return s.Term()
}

// newCompany makes the company of a seed: about so many hosts, in 26 roles.
func newCompany(seed uint64, hosts int, days int) *company {
	random := rand.New(rand.NewPCG(seed, 13))
	c := &company{roles: map[netip.Addr]string{}, sites: map[netip.Addr]string{}, days: make([][]Activity, days)}
	// Every fifth role is one of many hosts that only use services; the others serve one or two.
	const roles = 26
	ports := random.Perm(2000)
	servers := make([][]categories.ServiceTerm, roles)
	for r := range roles {
		if r%5 != 0 {
			for range 1 + random.IntN(2) {
				servers[r] = append(servers[r], categories.ServiceTerm{Proto: 6, Lo: uint16(1100 + ports[0]), Hi: uint16(1100 + ports[0])})
				ports = ports[1:]
			}
		}
	}
	n := 0
	for r := range roles {
		size := 3 + random.IntN(hosts/60+1)
		if r%5 == 0 {
			size = hosts/12 + random.IntN(hosts/6+1)
		}
		uses := []use{{Feature{Client, service("udp/53"), false}, 1, 6}, {Feature{Client, service("udp/123"), false}, .9, 2}}
		for _, s := range servers[r] {
			uses = append(uses, use{Feature{Server, s, false}, .97, 8 + 30*random.Float64()})
		}
		if random.IntN(3) > 0 {
			uses = append(uses, use{Feature{Server, service("tcp/22"), false}, .8, .3})
		}
		for range 3 + random.IntN(3) {
			if of := servers[random.IntN(roles)]; len(of) > 0 {
				uses = append(uses, use{Feature{Client, of[0], false}, .9, .5 + 10*random.Float64()})
			}
		}
		if r%5 == 0 {
			uses = append(uses, use{Feature{Client, service("tcp/443"), true}, 1, 5})
			uses = append(uses, use{Feature{Client, servers[(r+1)%25][0], false}, .95, 6}, use{Feature{Client, servers[(r+2)%25][0], false}, .9, 3})
		}
		for range size {
			c.host(random, n, fmt.Sprintf("role%02d", r), uses)
			n++
		}
	}
	return c
}

func (c *company) host(random *rand.Rand, n int, role string, uses []use) {
	// Addresses say nothing about roles.
	mixed := uint32(n) * 2654435761 % (1 << 20)
	addr := netip.AddrFrom4([4]byte{10, byte(mixed >> 16), byte(mixed >> 8), byte(mixed)})
	c.roles[addr], c.sites[addr] = role, fmt.Sprintf("site%d", random.IntN(6))
	busy := .3 + 2*random.Float64()
	for _, u := range uses {
		if random.Float64() > u.share {
			continue
		}
		for day := range c.days {
			c.add(day, addr, u.feature, u.rate*busy*2*random.Float64(), random)
		}
	}
	if random.IntN(12) == 0 { // something that its role has nothing to do with
		c.add(random.IntN(len(c.days)), addr, Feature{Client, categories.ServiceTerm{Proto: 6, Lo: uint16(1100 + random.IntN(2000))}, false}, 1, random)
	}
}

func (c *company) add(day int, host netip.Addr, f Feature, hours float64, random *rand.Rand) {
	n := uint64(hours)
	if random.Float64() < hours-float64(n) {
		n++
	}
	if f.Service.Hi < f.Service.Lo {
		f.Service.Hi = f.Service.Lo
	}
	if n > 0 {
		c.days[day] = append(c.days[day], Activity{Host: host, Feature: f, Hours: n})
	}
}

// activities are those of some days.
func (c *company) activities(from, to int) (out []Activity) {
	for _, day := range c.days[from:to] {
		out = append(out, day...)
	}
	return out
}

func groupsOf(g *Grouping) map[netip.Addr]string {
	out := map[netip.Addr]string{}
	for _, x := range g.Groups {
		for _, m := range x.Members {
			out[m.Host] = x.Name
		}
	}
	return out
}

// given makes the groups of hosts those of a category.
func given(of map[netip.Addr]string) *Given {
	g := &Given{}
	place := map[string]int{}
	for _, name := range sortedNames(of) {
		place[name] = len(g.Names)
		g.Names = append(g.Names, name)
	}
	g.Of = func(a netip.Addr) int {
		name, ok := of[a]
		if !ok {
			return -1
		}
		return place[name]
	}
	return g
}
