package infer

import (
	"cmp"
	"math"
	"slices"
)

// feature is what one feature says about a group.
type feature struct {
	number int32
	bits   float64 // excess of its weight in the group over that among all hosts
	share  float64 // the share of members that have it
}

// reasonCount is how many reasons are given.
const reasonCount = 3

// drafts describes the groups with hosts.
func (p *partition) drafts(within string) []*draft {
	members := make([]*draft, len(p.hosts))
	var out []*draft
	have := make([]map[int32]int, len(p.hosts)) // hosts of each group that have a feature
	for u, g := range p.of {
		if members[g] == nil {
			members[g] = &draft{Group: Group{Within: within}, of: p.corpus, previous: -1}
			have[g] = map[int32]int{}
			out = append(out, members[g])
		}
		for _, x := range p.units[u].items {
			have[g][x.feature] += len(p.units[u].hosts)
		}
	}
	telling := p.telling(have)
	for g, d := range members {
		if d == nil {
			continue
		}
		d.features = telling[g]
		for _, f := range d.features[:min(reasonCount, len(d.features))] {
			d.Reasons = append(d.Reasons, p.reason(f))
		}
	}
	p.members(members, telling)
	return out
}

// telling gives the features of each group, those first that tell it best from all hosts.
func (p *partition) telling(have []map[int32]int) [][]feature {
	out := make([][]feature, len(p.hosts))
	total := int64(0)
	for _, m := range p.mass {
		total += m
	}
	for f, list := range p.index {
		sum := int64(0)
		for _, s := range list {
			sum += s.weight
		}
		for _, s := range list {
			ratio := float64(s.weight) / float64(p.mass[s.group]) * float64(total) / float64(sum)
			out[s.group] = append(out[s.group], feature{int32(f), float64(s.weight) * math.Log2(ratio),
				float64(have[s.group][int32(f)]) / float64(p.hosts[s.group])})
		}
	}
	for _, list := range out {
		// Where a group is all there is, no feature tells it from others: what most members have comes first.
		slices.SortFunc(list, func(a, b feature) int {
			if math.Abs(a.bits-b.bits) > least {
				return cmp.Compare(b.bits, a.bits)
			}
			return cmp.Or(cmp.Compare(b.share, a.share), cmp.Compare(a.number, b.number))
		})
	}
	return out
}

// members adds the hosts to the groups, with what holds each there. All hosts of a unit are alike.
func (p *partition) members(groups []*draft, telling [][]feature) {
	for u := range p.units {
		unit, g := &p.units[u], p.of[u]
		n := int64(len(unit.hosts))
		one := make([]item, len(unit.items))
		for i, x := range unit.items {
			one[i] = item{x.feature, x.weight / n}
		}
		weight := unit.weight / n
		p.change(g, one, 1, weight, -1)
		costs := p.joining(one, 1, weight)
		other, best := int32(-1), p.alone(one, 1, weight)
		for h, cost := range costs {
			if int32(h) != g && p.hosts[h] > 0 && cost < best-least {
				other, best = int32(h), cost
			}
		}
		m := Member{Bits: math.Max(best-costs[g], 0)}
		if p.hosts[g] == 0 { // a group of its own: the next best is to join another
			m.Bits, other = p.nextBest(costs, g)
		}
		p.change(g, one, 1, weight, 1)
		m.Bits = tenths(m.Bits)
		m.Weak = m.Bits < WeakBits
		if other >= 0 {
			m.runner = groups[other]
		}
		m.Reasons = p.reasons(one, g, telling[g])
		for _, h := range unit.hosts {
			m.Host = p.corpus.hosts[h]
			groups[g].Members = append(groups[g].Members, m)
		}
	}
	for _, d := range groups {
		if d != nil {
			slices.SortFunc(d.Members, func(a, b Member) int { return a.Host.Compare(b.Host) })
		}
	}
}

// nextBest gives how much more it costs to join the best of the groups other than one, and that group.
func (p *partition) nextBest(costs []float64, g int32) (float64, int32) {
	other := int32(-1)
	for h, cost := range costs {
		if int32(h) != g && p.hosts[h] > 0 && (other < 0 || cost < costs[other]) {
			other = int32(h)
		}
	}
	if other < 0 {
		return costs[g], -1
	}
	return math.Max(costs[other]-costs[g], 0), other
}

// reasons gives the features of a host that say most for its group.
func (p *partition) reasons(items []item, g int32, telling []feature) []Reason {
	type said struct {
		feature
		bits float64
	}
	var list []said
	for _, f := range telling {
		i, ok := slices.BinarySearchFunc(items, f.number, func(x item, n int32) int { return cmp.Compare(x.feature, n) })
		if !ok {
			continue
		}
		at, _ := slices.BinarySearchFunc(p.index[f.number], g, func(s share, g int32) int { return cmp.Compare(s.group, g) })
		each := f.bits / float64(p.index[f.number][at].weight) // the bits of one unit of weight
		list = append(list, said{f, each * float64(items[i].weight)})
	}
	slices.SortStableFunc(list, func(a, b said) int {
		if math.Abs(a.bits-b.bits) > least {
			return cmp.Compare(b.bits, a.bits)
		}
		return 0
	})
	var out []Reason
	for _, x := range list[:min(reasonCount, len(list))] {
		out = append(out, p.reason(x.feature))
	}
	return out
}

func (p *partition) reason(f feature) Reason {
	return Reason{p.features[f.number], Text(p.features[f.number], p.names), f.share}
}
