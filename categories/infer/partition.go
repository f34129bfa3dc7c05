package infer

import (
	"cmp"
	"slices"
)

// share is how much weight of a feature a group has.
type share struct {
	group  int32
	weight int64
}

// partition is a grouping that units can be moved in.
type partition struct {
	*corpus
	units []unit
	of    []int32   // group of each unit, or -1
	index [][]share // the groups that have each feature, in order of group
	hosts []int64   // one for each group
	mass  []int64   // the weight of all features of each group
	costs []float64 // costs of joining, see joining
}

func newPartition(c *corpus, units []unit) *partition {
	p := &partition{corpus: c, units: units, of: make([]int32, len(units)), index: make([][]share, len(c.features))}
	for i := range p.of {
		p.of[i] = -1
	}
	return p
}

// addGroup makes a group without hosts.
func (p *partition) addGroup() int32 {
	p.hosts, p.mass, p.costs = append(p.hosts, 0), append(p.mass, 0), append(p.costs, 0)
	return int32(len(p.hosts) - 1)
}

// change adds hosts and their weights to a group, or takes them away where sign is -1.
func (p *partition) change(g int32, items []item, hosts, weight int64, sign int64) {
	p.hosts[g] += sign * hosts
	p.mass[g] += sign * weight
	for _, x := range items {
		list := p.index[x.feature]
		i, there := slices.BinarySearchFunc(list, g, func(s share, g int32) int { return cmp.Compare(s.group, g) })
		switch {
		case !there:
			p.index[x.feature] = slices.Insert(list, i, share{g, x.weight})
		case list[i].weight+sign*x.weight == 0:
			p.index[x.feature] = slices.Delete(list, i, i+1)
		default:
			list[i].weight += sign * x.weight
		}
	}
}

func (p *partition) put(u int, g int32) {
	p.of[u] = g
	p.change(g, p.units[u].items, int64(len(p.units[u].hosts)), p.units[u].weight, 1)
}

func (p *partition) take(u int) {
	p.change(p.of[u], p.units[u].items, int64(len(p.units[u].hosts)), p.units[u].weight, -1)
	p.of[u] = -1
}

// joining gives what it costs each group to take hosts in. The slice is used again by the next call; the cost of a group
// without hosts is that of a group of its own.
func (p *partition) joining(items []item, hosts, weight int64) []float64 {
	fresh := 0.0
	for _, x := range items {
		fresh += p.literal - xlogx(x.weight)
	}
	for g := range p.costs {
		p.costs[g] = fresh + xlogx(p.mass[g]+weight) - xlogx(p.mass[g]) - xlogx(p.hosts[g]+hosts) + xlogx(p.hosts[g])
		if p.hosts[g] == 0 {
			p.costs[g] += p.begin
		}
	}
	for _, x := range items {
		own := xlogx(x.weight) - p.literal
		for _, s := range p.index[x.feature] {
			p.costs[s.group] += own + xlogx(s.weight) - xlogx(s.weight+x.weight)
		}
	}
	return p.costs
}

// cheapest gives the group with hosts that takes a unit at the least cost, or -1, and that cost.
func (p *partition) cheapest(u int) (int32, float64) {
	at, bits := int32(-1), 0.0
	for g, cost := range p.joining(p.units[u].items, int64(len(p.units[u].hosts)), p.units[u].weight) {
		if p.hosts[g] > 0 && (at < 0 || cost < bits) {
			at, bits = int32(g), cost
		}
	}
	return at, bits
}

// Bounds of the search. Each is a number of steps, so the answer does not depend on the machine.
const (
	sample = 500 // units that are compared with each other at a time
	passes = 5   // passes over all units before groups are merged again
	rounds = 20  // passes and merges at most
)

// fill groups the units: some at a time are merged as far as it saves bits, and the others join the groups that there are by
// then where that is cheaper than a group of its own.
func (p *partition) fill() {
	rest := make([]int, len(p.units))
	for i := range rest {
		rest[i] = i
	}
	for len(rest) > 0 {
		chosen := p.choose(rest)
		var clusters []*cluster
		for _, u := range chosen {
			clusters = append(clusters, &cluster{items: p.units[u].items, hosts: int64(len(p.units[u].hosts)), weight: p.units[u].weight, units: []int{u}})
		}
		for _, c := range p.agglomerate(clusters) {
			g := p.addGroup()
			for _, u := range c.units {
				p.put(u, g)
			}
		}
		var left []int
		for _, u := range rest {
			if p.of[u] >= 0 {
				continue
			}
			if g, bits := p.cheapest(u); bits < p.alone(p.units[u].items, int64(len(p.units[u].hosts)), p.units[u].weight) {
				p.put(u, g)
			} else {
				left = append(left, u)
			}
		}
		rest = left
	}
}

// choose takes a sample: half of it the units that say most, half at regular strides of the others, in their order.
func (p *partition) choose(rest []int) []int {
	if len(rest) <= sample {
		return rest
	}
	order := slices.Clone(rest)
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p.units[b].weight, p.units[a].weight) })
	out := order[: sample/2 : sample/2]
	others := order[sample/2:]
	slices.Sort(others)
	for i := range sample / 2 {
		out = append(out, others[i*len(others)/(sample/2)])
	}
	slices.Sort(out)
	return out
}

// improve moves units and merges groups until neither saves anything.
func (p *partition) improve() {
	for range rounds {
		moved := false
		for range passes {
			some := false
			for u := range p.units {
				some = p.move(u) || some
			}
			if !some {
				break
			}
			moved = true
		}
		if !p.mergeGroups() && !moved {
			return
		}
	}
}

// move puts a unit where it costs least, and reports whether that is elsewhere.
func (p *partition) move(u int) bool {
	from := p.of[u]
	p.take(u)
	to, bits := p.cheapest(u)
	stay := p.costs[from]
	if own := p.alone(p.units[u].items, int64(len(p.units[u].hosts)), p.units[u].weight); to < 0 || own < bits-least {
		to, bits = -1, own
	}
	if bits > stay-least {
		p.put(u, from)
		return false
	}
	if to < 0 {
		to = p.addGroup()
	}
	p.put(u, to)
	return true
}

// clusters gives the groups with hosts, and numbers them anew in order of their first unit.
func (p *partition) clusters() []*cluster {
	var out []*cluster
	place := map[int32]int{}
	for u, g := range p.of {
		i, ok := place[g]
		if !ok {
			i = len(out)
			place[g] = i
			out = append(out, &cluster{hosts: p.hosts[g], weight: p.mass[g]})
		}
		out[i].units = append(out[i].units, u)
	}
	for f, list := range p.index {
		for _, s := range list {
			i := place[s.group]
			out[i].items = append(out[i].items, item{int32(f), s.weight})
		}
	}
	return out
}

// mergeGroups merges groups as far as that saves bits, and reports whether it does.
func (p *partition) mergeGroups() bool {
	before := p.clusters()
	after := p.agglomerate(before)
	p.reset(after)
	return len(after) < len(before)
}

// reset makes the clusters the groups.
func (p *partition) reset(clusters []*cluster) {
	p.hosts, p.mass, p.costs = p.hosts[:0], p.mass[:0], p.costs[:0]
	for f := range p.index {
		p.index[f] = p.index[f][:0]
	}
	for _, c := range clusters {
		g := p.addGroup()
		p.hosts[g], p.mass[g] = c.hosts, c.weight
		for _, x := range c.items {
			p.index[x.feature] = append(p.index[x.feature], share{g, x.weight})
		}
		for _, u := range c.units {
			p.of[u] = g
		}
	}
}
