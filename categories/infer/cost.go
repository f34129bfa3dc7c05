package infer

import "math"

// least is how many bits a change must gain to count: less is the rounding of sums.
const least = 1e-6

var logs = func() (t [1 << 14]float64) {
	for i := 2; i < len(t); i++ {
		t[i] = float64(i) * math.Log2(float64(i))
	}
	return t
}()

// xlogx is x·log2 x.
func xlogx(x int64) float64 {
	if x < int64(len(logs)) {
		return logs[x]
	}
	return float64(x) * math.Log2(float64(x))
}

// cluster is a group in the making, with the weights of its hosts added up.
type cluster struct {
	items  []item // sorted by feature
	hosts  int64
	weight int64
	units  []int // places in the list of units
}

// alone is what a unit costs as a group of its own.
func (c *corpus) alone(items []item, hosts, weight int64) float64 {
	bits := c.begin + xlogx(weight) - xlogx(hosts)
	for _, x := range items {
		bits += c.literal - xlogx(x.weight)
	}
	return bits
}

// merging is what it costs to make one cluster of two, below zero where that saves bits.
func (c *corpus) merging(a, b *cluster) float64 {
	bits := -c.begin + xlogx(a.weight+b.weight) - xlogx(a.weight) - xlogx(b.weight) - xlogx(a.hosts+b.hosts) + xlogx(a.hosts) + xlogx(b.hosts)
	for i, j := 0, 0; i < len(a.items) && j < len(b.items); {
		x, y := a.items[i], b.items[j]
		switch {
		case x.feature < y.feature:
			i++
		case x.feature > y.feature:
			j++
		default:
			bits += xlogx(x.weight) + xlogx(y.weight) - xlogx(x.weight+y.weight) - c.literal
			i++
			j++
		}
	}
	return bits
}

// merge makes one cluster of two.
func merge(a, b *cluster) *cluster {
	out := &cluster{hosts: a.hosts + b.hosts, weight: a.weight + b.weight, items: make([]item, 0, len(a.items)+len(b.items))}
	out.units = append(append(out.units, a.units...), b.units...)
	i, j := 0, 0
	for i < len(a.items) && j < len(b.items) {
		x, y := a.items[i], b.items[j]
		switch {
		case x.feature < y.feature:
			out.items = append(out.items, x)
			i++
		case x.feature > y.feature:
			out.items = append(out.items, y)
			j++
		default:
			out.items = append(out.items, item{x.feature, x.weight + y.weight})
			i++
			j++
		}
	}
	out.items = append(append(out.items, a.items[i:]...), b.items[j:]...)
	return out
}

// atOnce bounds how many clusters are compared with each other.
const atOnce = 1500

// agglomerate merges the two clusters that save most, again and again, until no two save anything. More than atOnce clusters
// are merged in parts of that size.
func (c *corpus) agglomerate(clusters []*cluster) []*cluster {
	if len(clusters) > atOnce {
		var out []*cluster
		for from := 0; from < len(clusters); from += atOnce {
			out = append(out, c.agglomerate(clusters[from:min(from+atOnce, len(clusters))])...)
		}
		if len(out) <= atOnce {
			return c.agglomerate(out)
		}
		return out
	}
	n := len(clusters)
	list := append([]*cluster(nil), clusters...)
	bits := make([][]float64, n) // the cost of merging i < j is at [i][j-i-1]
	best := make([]int, n)       // the j > i to merge i with
	at := func(i, j int) float64 { return bits[i][j-i-1] }
	look := func(i int) {
		best[i] = -1
		for j := i + 1; j < n; j++ {
			if list[j] != nil && (best[i] < 0 || at(i, j) < at(i, best[i])) {
				best[i] = j
			}
		}
	}
	for i := range list {
		bits[i] = make([]float64, n-i-1)
		for j := i + 1; j < n; j++ {
			bits[i][j-i-1] = c.merging(list[i], list[j])
		}
		look(i)
	}
	for {
		i := -1
		for k := range list {
			if list[k] != nil && best[k] >= 0 && (i < 0 || at(k, best[k]) < at(i, best[i])) {
				i = k
			}
		}
		if i < 0 || at(i, best[i]) > -least {
			break
		}
		j := best[i]
		list[i], list[j] = merge(list[i], list[j]), nil
		for k := range list {
			switch {
			case list[k] == nil || k == i:
				continue
			case k < i:
				bits[k][i-k-1] = c.merging(list[k], list[i])
			default:
				bits[i][k-i-1] = c.merging(list[i], list[k])
			}
			if k < i && (best[k] == i || best[k] == j) || k > i && best[k] == j {
				look(k)
			} else if k < i && at(k, i) < at(k, best[k]) {
				best[k] = i
			}
		}
		look(i)
	}
	out := clusters[:0:0]
	for _, x := range list {
		if x != nil {
			out = append(out, x)
		}
	}
	return out
}
