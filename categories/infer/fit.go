package infer

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"

	"cordon/categories"
)

// What Fit says something about.
const (
	// misfitBits is how much better another group must suit a host for it to be a misfit.
	misfitBits = 10
	// newBits is how much better a group must suit a new host than the next best one for the host to be assigned.
	newBits = WeakBits
	// notFollowing is the share of hosts that fit another group better above which a category does not follow traffic.
	notFollowing = 1.0 / 3
)

// Given are the groups of a category.
type Given struct {
	Names []string
	// Of gives the place in Names of the group that has an address, or -1.
	Of func(netip.Addr) int
	// Services are names of services, for the evidence; nil has the well-known ones.
	Services *categories.ServiceNames
}

// Fitness says how well the hosts of some activities suit given groups.
type Fitness struct {
	Hosts   int // those that have activities, in a group with others to compare with
	Better  int // those among them that another group suits better, if only by little
	Misfits []Misfit
	New     []NewHost
}

// Follows reports whether the groups follow what hosts do. Where they do not, misfits and new hosts say nothing.
func (f *Fitness) Follows() bool { return float64(f.Better) <= notFollowing*float64(f.Hosts) }

// Misfit is a host that another group suits better than its own.
type Misfit struct {
	Host          netip.Addr
	Group, Better string
	Bits          float64 // bits by which the other group is better
	Evidence      string
}

// NewHost is a host in no group.
type NewHost struct {
	Host netip.Addr
	// Group suits best. It is empty where the host is of a new kind, or where traffic does not tell.
	Group    string
	NewKind  bool    // a group of its own would suit better than any there is
	RunnerUp string  // the next best group
	Bits     float64 // bits by which Group is better than RunnerUp, or a group of its own than any
	Evidence string
}

// fitting is the work of Fit.
type fitting struct {
	*partition
	given *Given
	have  [][]int // number of hosts of each group that have each feature
}

// Fit compares hosts with the groups that they were given. Each is compared with its group without it.
func Fit(activities []Activity, given *Given) *Fitness {
	c := newCorpus(activities, given.Services)
	units := make([]unit, len(c.hosts))
	for i := range units {
		units[i] = newUnit(c.rows[i], []int{i})
	}
	f := fitting{newPartition(c, units), given, make([][]int, len(given.Names))}
	for g := range given.Names {
		f.addGroup()
		f.have[g] = make([]int, len(c.features))
	}
	for u := range units {
		if g := given.Of(c.hosts[u]); g >= 0 {
			f.put(u, int32(g))
			for _, x := range units[u].items {
				f.have[g][x.feature]++
			}
		}
	}
	out := &Fitness{}
	for u := range units {
		if g := f.of[u]; g >= 0 {
			f.judge(u, g, out)
		} else {
			out.New = append(out.New, f.newcomer(u))
		}
	}
	return out
}

// judge compares a host with the groups other than its own. The only host of a group has nothing to be compared with.
func (f *fitting) judge(u int, g int32, out *Fitness) {
	if f.hosts[g] < 2 {
		return
	}
	f.take(u)
	best, bits := f.cheapest(u)
	own := f.costs[g]
	f.put(u, g)
	out.Hosts++
	if best < 0 || best == g || bits > own-least {
		return
	}
	out.Better++
	if own-bits < misfitBits {
		return
	}
	out.Misfits = append(out.Misfits, Misfit{Host: f.corpus.hosts[u], Group: f.given.Names[g], Better: f.given.Names[best],
		Bits: tenths(own - bits), Evidence: f.evidence(u, best, g)})
}

func (f *fitting) newcomer(u int) NewHost {
	x := NewHost{Host: f.corpus.hosts[u]}
	best, bits := f.cheapest(u)
	next := int32(-1)
	for g, cost := range f.costs {
		if f.hosts[g] > 0 && int32(g) != best && (next < 0 || cost < f.costs[next]) {
			next = int32(g)
		}
	}
	alone := f.alone(f.units[u].items, 1, f.units[u].weight)
	switch {
	case best < 0 || alone < bits:
		x.NewKind = true
		if best >= 0 {
			x.RunnerUp, x.Bits = f.given.Names[best], tenths(bits-alone)
		}
		x.Evidence = "a new kind: no group does this: " + f.does(u)
		return x
	case next < 0:
		x.Bits = tenths(alone - bits)
	default:
		x.RunnerUp, x.Bits = f.given.Names[next], tenths(f.costs[next]-bits)
	}
	if x.Bits < newBits {
		x.Evidence = fmt.Sprintf("traffic does not tell %s from %s: %s", f.given.Names[best], f.nameOr(next, "a group of its own"), f.does(u))
		return x
	}
	x.Group, x.Evidence = f.given.Names[best], f.evidence(u, best, next)
	return x
}

func (f *fitting) nameOr(g int32, other string) string {
	if g < 0 {
		return other
	}
	return f.given.Names[g]
}

func tenths(bits float64) float64 { return math.Round(bits*10) / 10 }

// evidence says which features of a host speak most for one group against another, -1 for none, with the shares of hosts of
// both that have them.
func (f *fitting) evidence(u int, one, other int32) string {
	type said struct {
		feature int32
		bits    float64
	}
	var list []said
	for _, x := range f.units[u].items {
		list = append(list, said{x.feature, float64(x.weight) * math.Log2(f.likely(x.feature, one)/f.likely(x.feature, other))})
	}
	slices.SortStableFunc(list, func(a, b said) int {
		switch {
		case a.bits > b.bits+least:
			return -1
		case b.bits > a.bits+least:
			return 1
		}
		return 0
	})
	var words []string
	for _, x := range list[:min(reasonCount, len(list))] {
		words = append(words, fmt.Sprintf("%s (%s of %s%s)", Text(f.features[x.feature], f.names), f.share(x.feature, one, u), f.given.Names[one], f.against(x.feature, other, u)))
	}
	return strings.Join(words, "; ")
}

func (f *fitting) against(feature, other int32, u int) string {
	if other < 0 {
		return ""
	}
	return fmt.Sprintf(", %s of %s", f.share(feature, other, u), f.given.Names[other])
}

// share is the share of the hosts of a group, apart from one, that have a feature.
func (f *fitting) share(feature, g int32, without int) string {
	have, hosts := f.have[g][feature], int(f.hosts[g])
	if f.of[without] == g {
		have, hosts = have-1, hosts-1
	}
	if hosts == 0 {
		return "none"
	}
	return Percent(float64(have) / float64(hosts))
}

// likely is how likely a group, or -1 for any host, shows a feature; a feature that a group does not have is not impossible.
func (f *fitting) likely(feature, g int32) float64 {
	var weight, mass int64
	for _, s := range f.index[feature] {
		if g < 0 || s.group == g {
			weight += s.weight
		}
	}
	for h, m := range f.mass {
		if g < 0 || int32(h) == g {
			mass += m
		}
	}
	return (float64(weight) + 0.5) / (float64(mass) + 0.5*float64(len(f.features)))
}

// does lists what a host does most.
func (f *fitting) does(u int) string {
	items := slices.Clone(f.units[u].items)
	slices.SortStableFunc(items, func(a, b item) int { return int(b.weight - a.weight) })
	var words []string
	for _, x := range items[:min(reasonCount, len(items))] {
		words = append(words, Text(f.features[x.feature], f.names))
	}
	return strings.Join(words, "; ")
}
