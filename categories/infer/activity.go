package infer

import (
	"cmp"
	"math"
	"net/netip"
	"slices"

	"cordon/categories"
)

// Role is the end of a session that a host is.
type Role uint8

// The roles.
const (
	Client Role = iota
	Server
)

// Feature is one kind of thing that hosts do.
type Feature struct {
	Role    Role
	Service categories.ServiceTerm // one service, or a range of dynamic ports
	Public  bool                   // the other end is a public address
}

func (f Feature) compare(o Feature) int {
	public := func(f Feature) int {
		if f.Public {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(f.Role, o.Role), f.Service.Compare(o.Service), cmp.Compare(public(f), public(o)))
}

// Activity says how much a host did one kind of thing.
type Activity struct {
	Host netip.Addr
	Feature
	// Hours is the sum over peers of the distinct hours with sessions, where all public peers are one.
	Hours uint64
}

// item is the weight of one feature.
type item struct {
	feature int32
	weight  int64
}

// corpus is what hosts do, in order of address.
type corpus struct {
	hosts    []netip.Addr
	features []Feature
	rows     [][]item // one for each host, ordered by feature
	literal  float64  // bits to say that a group has a feature
	begin    float64  // bits to begin a group
	names    *categories.ServiceNames
}

// newCorpus sorts activities; those of one host and feature are added up.
func newCorpus(activities []Activity, names *categories.ServiceNames) *corpus {
	if names == nil {
		names = new(categories.ServiceNames)
	}
	c := &corpus{names: names}
	numbers := map[Feature]int32{}
	for i := range activities {
		numbers[activities[i].Feature] = 0
	}
	for f := range numbers {
		c.features = append(c.features, f)
	}
	slices.SortFunc(c.features, Feature.compare)
	for i, f := range c.features {
		numbers[f] = int32(i)
	}
	type entry struct {
		host    netip.Addr
		feature int32
		hours   uint64
	}
	entries := make([]entry, 0, len(activities))
	for i := range activities {
		if a := &activities[i]; a.Hours > 0 && a.Host.IsValid() {
			entries = append(entries, entry{a.Host.Unmap(), numbers[a.Feature], a.Hours})
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Or(a.host.Compare(b.host), cmp.Compare(a.feature, b.feature)) })
	all := make([]item, 0, len(entries))
	for i := 0; i < len(entries); {
		host, from := entries[i].host, len(all)
		for i < len(entries) && entries[i].host == host {
			feature, hours := entries[i].feature, uint64(0)
			for ; i < len(entries) && entries[i].host == host && entries[i].feature == feature; i++ {
				hours += entries[i].hours
			}
			all = append(all, item{feature, int64(math.Round(math.Sqrt(float64(hours))))})
		}
		c.hosts = append(c.hosts, host)
		c.rows = append(c.rows, all[from:len(all):len(all)])
	}
	c.literal = math.Log2(float64(len(c.features)) + 1)
	c.begin = math.Log2(float64(max(len(c.hosts), 1)))
	return c
}

// unit is some hosts that are moved together because they do the same.
type unit struct {
	items  []item // the weights of all its hosts together
	hosts  []int  // places in corpus.hosts
	weight int64  // the sum over all items
}

func newUnit(row []item, hosts []int) unit {
	u := unit{hosts: hosts, items: make([]item, len(row))}
	for i, x := range row {
		u.items[i] = item{x.feature, x.weight * int64(len(hosts))}
		u.weight += u.items[i].weight
	}
	return u
}

// atoms makes one unit of all hosts with equal rows, in order of the first host of each.
func (c *corpus) atoms() []unit {
	order := make([]int, len(c.hosts))
	for i := range order {
		order[i] = i
	}
	byRow := func(a, b int) int {
		return slices.CompareFunc(c.rows[a], c.rows[b], func(x, y item) int {
			return cmp.Or(cmp.Compare(x.feature, y.feature), cmp.Compare(x.weight, y.weight))
		})
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Or(byRow(a, b), cmp.Compare(a, b)) })
	var out []unit
	for i := 0; i < len(order); {
		from := i
		for i < len(order) && byRow(order[from], order[i]) == 0 {
			i++
		}
		out = append(out, newUnit(c.rows[order[from]], order[from:i:i]))
	}
	slices.SortFunc(out, func(a, b unit) int { return cmp.Compare(a.hosts[0], b.hosts[0]) })
	return out
}
