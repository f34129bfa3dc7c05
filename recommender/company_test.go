package recommender

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"cordon/categories"
	"cordon/recommender/cover"
	"cordon/recommender/policy"
	"cordon/schema"
)

// company is a synthetic company whose true policy is known: roles with hosts, services between them with rhythms of
// their own, and the noise of its network. No record tells whether it was answered.
type company struct {
	random *rand.Rand
	truth  truth
	groups *categories.File
	hosts  [][]netip.Addr // the first index is the role
	flows  []flow
}

const (
	companyDays  = 6
	companyHours = 24 * companyDays
)

// newCompany makes the company of a seed. Each has another number of roles and hosts, other services and other noise.
func newCompany(seed uint64) *company {
	c := &company{random: rand.New(rand.NewPCG(seed, 1)), groups: &categories.File{Path: fmt.Sprintf("company %d", seed)}}
	roles := 8 + c.random.IntN(7)
	category := categories.Category{Name: "role"}
	for role := range roles {
		group := categories.Group{Name: fmt.Sprintf("role%d", role)}
		var hosts []netip.Addr
		for host := range 3 + c.random.IntN(20) {
			a := netip.AddrFrom4([4]byte{10, byte(seed), byte(role), byte(10 + host)})
			hosts = append(hosts, a)
			group.Prefixes = append(group.Prefixes, netip.PrefixFrom(a, 32))
		}
		category.Groups = append(category.Groups, group)
		c.hosts = append(c.hosts, hosts)
	}
	c.groups.Categories = []categories.Category{category}
	for src := range roles {
		for range 2 + c.random.IntN(3) {
			c.use(src, c.random.IntN(roles), c.service())
		}
	}
	c.dynamicPorts(c.random.IntN(roles), c.random.IntN(roles))
	for range 2 + c.random.IntN(2) {
		c.scan(c.anyHost())
	}
	for range 6 + c.random.IntN(10) {
		c.misdirect()
	}
	return c
}

// service draws one of the services of a company.
func (c *company) service() categories.Service {
	ports := []categories.Service{{Proto: 6, Port: 443}, {Proto: 6, Port: 22}, {Proto: 17, Port: 53}, {Proto: 17, Port: 123}, {Proto: 6, Port: 5432},
		{Proto: 6, Port: 445}, {Proto: 6, Port: 8080}, {Proto: 6, Port: 9100}, {Proto: 6, Port: 25}, {Proto: 17, Port: 514}, {Proto: 6, Port: 6379}, {Proto: 6, Port: 389}}
	return ports[c.random.IntN(len(ports))]
}

func (c *company) anyHost() netip.Addr {
	of := c.hosts[c.random.IntN(len(c.hosts))]
	return of[c.random.IntN(len(of))]
}

// add adds a session in an hour of the window.
func (c *company) add(client, server netip.Addr, s categories.Service, hour int, label string) {
	if client == server {
		return
	}
	at := time.Duration(hour%companyHours)*time.Hour + time.Duration(c.random.IntN(3600))*time.Second
	c.flows = append(c.flows, flow{client: client.String(), server: server.String(), proto: s.Proto, port: s.Port, at: at, packets: 4, completeness: schema.Unknowable})
	c.truth.sessions = append(c.truth.sessions, labelled{client: client, server: server, service: s, label: label})
}

// allow makes a rule of the true policy, and gives its name.
func (c *company) allow(src, dst int, t categories.ServiceTerm) string {
	name := func(role int) []string { return []string{c.groups.Categories[0].Groups[role].Name} }
	c.truth.rules = append(c.truth.rules, truthRule{sources: name(src), destinations: name(dst), services: []categories.ServiceTerm{t}})
	return fmt.Sprintf("R%d", len(c.truth.rules))
}

// use lets the hosts of a role use a service of another: all through the day, once a day, or, a few of them, now and then.
func (c *company) use(src, dst int, s categories.Service) {
	label := c.allow(src, dst, s.Term())
	rhythm := c.random.IntN(8)
	for _, client := range c.hosts[src] {
		server := c.hosts[dst][c.random.IntN(len(c.hosts[dst]))]
		start := c.random.IntN(24)
		switch {
		case rhythm == 0: // a few hosts, one to three times
			if c.random.IntN(3) == 0 {
				for range 1 + c.random.IntN(3) {
					c.add(client, server, s, c.random.IntN(companyHours), label)
				}
			}
		case rhythm < 4:
			for day := range companyDays {
				c.add(client, server, s, 24*day+start, label)
			}
		default:
			for hour := start % 6; hour < companyHours; hour += 3 + c.random.IntN(6) {
				c.add(client, server, s, hour, label)
			}
		}
	}
}

// dynamicPorts lets the hosts of a role use many ports of another's, each once.
func (c *company) dynamicPorts(src, dst int) {
	label := c.allow(src, dst, categories.ServiceTerm{Proto: 6, Lo: 20000, Hi: 29999})
	for _, client := range c.hosts[src] {
		server := c.hosts[dst][c.random.IntN(len(c.hosts[dst]))]
		for range 60 {
			c.add(client, server, categories.Service{Proto: 6, Port: uint16(20000 + c.random.IntN(10000))}, c.random.IntN(companyHours), label)
		}
	}
}

// scan has a client try everybody once at each of some ports: at once, or over some hours.
func (c *company) scan(client netip.Addr) {
	hour, spread := c.random.IntN(companyHours), c.random.IntN(2)
	var ports []categories.Service
	for len(ports) < 5 {
		if s := c.service(); !slices.Contains(ports, s) {
			ports = append(ports, s)
		}
	}
	for _, hosts := range c.hosts {
		for _, server := range hosts {
			for _, s := range ports {
				c.add(client, server, s, hour+spread*c.random.IntN(3), "scan")
			}
		}
	}
}

// misdirect has a client reach for a wrong role once, and another of its role for another host of it an hour later: the
// cell has sessions in two hours.
func (c *company) misdirect() {
	s, hour := c.service(), c.random.IntN(companyHours)
	from, to := c.hosts[c.random.IntN(len(c.hosts))], c.hosts[c.random.IntN(len(c.hosts))]
	first, second := c.random.IntN(len(from)), c.random.IntN(len(to))
	c.add(from[first], to[second], s, hour, "noise")
	c.add(from[(first+1)%len(from)], to[(second+1)%len(to)], s, hour+1, "noise")
}

// TestCompanies measures support by hours and by pairs that came back on companies of several seeds: docs/noise.md shows
// the table that it prints.
func TestCompanies(t *testing.T) {
	if testing.Short() {
		t.Skip("proposes rules for 25,000 sessions, twice")
	}
	conn := store(t)
	t.Log("| company | true and noise sessions | support | rules | cells | recall | true sessions | noise |")
	for seed := range uint64(3) {
		c := newCompany(seed + 1)
		a, err := policy.NewAddresses(c.groups, nil)
		if err != nil {
			t.Fatal(err)
		}
		empty(t, conn)
		insertFlows(t, conn, c.flows)
		measure := func(name string, s Settings) *score {
			s.ScannerTargets, s.PortRanges, s.Effort = policy.DefaultScannerTargets, policy.DefaultPortRanges, cover.EffortQuick
			got, err := Generate(t.Context(), conn, s, c.groups)
			if err != nil {
				t.Fatal(err)
			}
			if s.Recurring > 0 {
				verifyProposal(t, t, conn, &got[0], s, c.groups)
			}
			out := c.truth.score(&got[0], a)
			t.Logf("| %d | %d and %d | %s | %d | %d | %.1f%% | %.2f%% | %.2f%% (%d) |", seed+1, out.trueSessions, out.noise, name, out.rules, out.cells,
				100*out.recall(), 100*out.trueShare(), 100*out.noiseShare(), out.keptIn())
			return out
		}
		hours := measure("`--min-hours 2`", Settings{Settings: policy.Settings{MinHours: 2}})
		pairs := measure("`--recurring`", Settings{Settings: policy.Settings{Recurring: policy.DefaultRecurring}})
		if pairs.noiseShare() >= 0.001 || pairs.trueShare() < 0.995 || hours.keptIn() <= pairs.keptIn() {
			t.Errorf("company %d: %.3f%% of noise with %.2f%% of true sessions, want less than 0.1%% with 99.5%%; hours of a cell let %.2f%% in",
				seed+1, 100*pairs.noiseShare(), 100*pairs.trueShare(), 100*hours.noiseShare())
		}
	}
}
