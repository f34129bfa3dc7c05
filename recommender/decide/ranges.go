package decide

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"cordon/categories"
	"cordon/recommender/cells"
	"cordon/recommender/policy"
)

// What tells dynamic ports from services, beside how many there are.
const (
	// firstDynamicPort is where ports begin that need no privilege: what serves
	// below is a service, used by few or not.
	FirstDynamicPort = 1024
	// strongTimes is how much more than its share a strong port is used.
	StrongTimes = 4
	// rangeGap is the largest gap between neighbours in a range. Dynamic ports
	// are spread over some ten thousand (IANA's and Linux's ephemeral ranges).
	rangeGap = 8192
	// portsPerServer is how many of the weak ports there must be for each server. Records whose client and server were mistaken
	// show many ports too, but one or two of a host.
	portsPerServer = 2
)

// Use is who used the sessions of a part, and when.
type Use struct {
	Clients, Servers map[netip.Addr]bool
	Hours            map[int64]bool
	Pairs            map[Visit]bool // Set only if Settings.Recurring asks for them.
}

// Visit is an hour in which a client used a server.
type Visit struct {
	Client, Server netip.Addr
	Hour           int64
}

func NewUse() *Use {
	return &Use{map[netip.Addr]bool{}, map[netip.Addr]bool{}, map[int64]bool{}, map[Visit]bool{}}
}

func (u *Use) add(o *Use) {
	maps.Copy(u.Clients, o.Clients)
	maps.Copy(u.Servers, o.Servers)
	maps.Copy(u.Hours, o.Hours)
	maps.Copy(u.Pairs, o.Pairs)
}

// breadth counts what support is made of.
func (u *Use) breadth() *cells.Breadth {
	b := &cells.Breadth{Clients: uint64(len(u.Clients)), Hours: uint64(len(u.Hours))}
	hours := map[[2]netip.Addr]uint64{}
	for v := range u.Pairs {
		at := [2]netip.Addr{v.Client, v.Server}
		hours[at]++
		b.Recurring = max(b.Recurring, hours[at])
	}
	return b
}

// destination is what dynamic ports are looked for at: over all sources, so
// that a port is weak or strong for all of them and sources with the same range
// can share a rule.
type destination struct {
	vrf   string
	dst   cells.Endpoint
	proto uint8
}

// candidate is a cell that may become part of a range.
type candidate struct {
	cell int
	port uint16
	use  *Use
}

// Ranges joins the weak ports that one source uses at one destination into
// one cell with a range as its service, if there are many of them.
//
// A port is strong, and stays a service of its own, if it is below
// firstDynamicPort, has a name (a known service, or one of the groups file), or
// is used by more distinct clients, or in more distinct hours, than strongTimes
// (1 + λ). λ is what each port would have if clients (or hours) were spread evenly from
// the lowest to the highest of the destination's candidates: a port that some
// clients hit by chance is no service. The rest is weak.
//
// Weak ports of a destination more than rangeGap apart are kept apart. In what
// remains together, a source needs Settings.PortRanges distinct ports, and portsPerServer
// for each server that it used them on. All sources that have them get the same range: from the lowest
// to the highest of their ports. A source for which a guardrail denies a port
// of the range gets none.
//
// Least is Settings.PortRanges, uses are those of parts by their hash, and named tells services with a name of their own.
func Ranges(list []cells.Cell, parts []cells.Part, least uint64, uses map[uint64]*Use, by Policies, named func(categories.Service) bool) []cells.Cell {
	byDestination := map[destination][]candidate{}
	for i := range list {
		k := &list[i].Key
		one := categories.Service{Proto: k.Service.Proto, Port: k.Service.Lo}
		if one.Kind() != categories.KindPort || one.Port < FirstDynamicPort || named(one) {
			continue
		}
		u := NewUse()
		for _, p := range list[i].Parts {
			if o := uses[parts[p].Hash]; o != nil {
				u.add(o)
			}
		}
		if len(u.Clients) > 0 {
			at := destination{k.VRF, k.Dst, k.Service.Proto}
			byDestination[at] = append(byDestination[at], candidate{i, one.Port, u})
		}
	}
	joined := make([]bool, len(list)) // True for cells that became part of a range.
	var ranged []cells.Cell
	for _, candidates := range byDestination { // Any order will do: destinations do not depend on each other.
		for _, weak := range clusters(weakPorts(candidates)) {
			for _, c := range rangesOf(list, parts, weak, least, by) {
				all := NewUse()
				out := cells.Cell{Key: list[c.members[0].cell].Key}
				out.Key.Service = c.term
				for _, m := range c.members {
					from := &list[m.cell]
					joined[m.cell] = true
					all.add(m.use)
					out.Parts = append(out.Parts, from.Parts...)
					out.Sessions += from.Sessions
					out.Included = out.Included || from.Included
				}
				out.Breadth = all.breadth()
				ranged = append(ranged, out)
			}
		}
	}
	kept := list[:0]
	for i := range list {
		if !joined[i] {
			kept = append(kept, list[i])
		}
	}
	list = append(kept, ranged...)
	slices.SortFunc(list, func(a, b cells.Cell) int { return a.Key.Compare(b.Key) })
	return list
}

// weakPorts leaves out the candidates of one destination whose port is strong,
// and gives the others in order of port.
func weakPorts(candidates []candidate) []candidate {
	ports := map[uint16]*Use{}
	for _, c := range candidates {
		u := ports[c.port]
		if u == nil {
			u = NewUse()
			ports[c.port] = u
		}
		u.add(c.use)
	}
	counts := make(map[uint16]PortUse, len(ports))
	for port, u := range ports {
		counts[port] = PortUse{len(u.Clients), len(u.Hours)}
	}
	strong := StrongPorts(counts)
	weak := slices.DeleteFunc(slices.Clone(candidates), func(c candidate) bool { return strong[c.port] })
	slices.SortFunc(weak, func(a, b candidate) int { return cmp.Or(cmp.Compare(a.port, b.port), cmp.Compare(a.cell, b.cell)) })
	return weak
}

// PortUse is how many distinct clients used a port of a destination, and in how many distinct hours.
type PortUse struct{ Clients, Hours int }

// StrongPorts gives the ports of one destination that are used more than chance explains; see ranges.
func StrongPorts(ports map[uint16]PortUse) map[uint16]bool {
	var clients, hours int
	lo, hi := uint16(65535), uint16(0)
	for port, u := range ports {
		clients += u.Clients
		hours += u.Hours
		lo, hi = min(lo, port), max(hi, port)
	}
	// n > strongTimes * (1 + total/width), in whole numbers.
	width := int(hi) - int(lo) + 1
	beyond := func(n, total int) bool { return n*width > StrongTimes*(width+total) }
	out := map[uint16]bool{}
	for port, u := range ports {
		if beyond(u.Clients, clients) || beyond(u.Hours, hours) {
			out[port] = true
		}
	}
	return out
}

// clusters cuts candidates in order of port where neighbours are far apart.
func clusters(weak []candidate) [][]candidate {
	var out [][]candidate
	from := 0
	for i := range weak {
		if i > 0 && int(weak[i].port)-int(weak[i-1].port) > rangeGap {
			out = append(out, weak[from:i])
			from = i
		}
	}
	if from < len(weak) {
		out = append(out, weak[from:])
	}
	return out
}

// rangeOf is a source's share of a range.
type rangeOf struct {
	term    categories.ServiceTerm
	members []candidate
}

// rangesOf gives the sources with dynamic ports among weak candidates of one
// destination, which are in order of port, and the range that they have in common.
func rangesOf(list []cells.Cell, parts []cells.Part, weak []candidate, least uint64, by Policies) []rangeOf {
	bySource := map[cells.Endpoint][]candidate{}
	for _, c := range weak {
		src := list[c.cell].Key.Src
		bySource[src] = append(bySource[src], c)
	}
	var out []rangeOf
	for _, members := range bySource {
		all := NewUse()
		for _, m := range members {
			all.add(m.use)
		}
		// A source has one cell for each port.
		if n := uint64(len(members)); n >= least && n >= portsPerServer*uint64(len(all.Servers)) {
			out = append(out, rangeOf{members: members})
		}
	}
	common := func() categories.ServiceTerm {
		t := categories.ServiceTerm{Proto: list[weak[0].cell].Key.Service.Proto, Lo: 65535}
		for _, o := range out {
			t.Lo, t.Hi = min(t.Lo, o.members[0].port), max(t.Hi, o.members[len(o.members)-1].port)
		}
		return t
	}
	if term := common(); len(out) > 0 {
		out = slices.DeleteFunc(out, func(o rangeOf) bool {
			c := &list[o.members[0].cell]
			one := &parts[c.Parts[0]] // All parts have the same class of a host.
			return by.Forbidden(c.Key.VRF, by.ClassesOf(c.Key.Src, one.SrcClass), by.ClassesOf(c.Key.Dst, one.DstClass), term)
		})
	}
	// Without those that were forbidden the range may be smaller, and forbids nobody else.
	for i, term := 0, common(); i < len(out); i++ {
		out[i].term = term
	}
	return out
}

// RangedCells gives the cells whose service is a range.
func RangedCells(list []cells.Cell) map[cells.Pair][]*cells.Cell {
	out := map[cells.Pair][]*cells.Cell{}
	for i := range list {
		if k := &list[i].Key; cells.IsRange(k.Service) {
			out[cells.Pair{Src: k.Src, Dst: k.Dst}] = append(out[cells.Pair{Src: k.Src, Dst: k.Dst}], &list[i])
		}
	}
	return out
}

// PortRanges counts the ports of a rule's ranges: held are the parts that it
// permits, those of another range that lie in its own too.
func PortRanges(r *policy.Rule, held []int, parts []cells.Part) []policy.PortRange {
	var out []policy.PortRange
	for _, s := range r.Services {
		if !cells.IsRange(s.Term) {
			continue
		}
		ports := map[uint16]bool{}
		for _, i := range held {
			if s.Matches(parts[i].Service) {
				ports[parts[i].Service.Port] = true
			}
		}
		out = append(out, policy.PortRange{Service: s, ObservedPorts: len(ports), PermittedPorts: s.Term.Size()})
	}
	return out
}

// CheckRanges makes sure of what joining ports could have broken: each session
// of the cells that a rule holds is matched by one of its services, and no
// range has a port that a guardrail denies. It does not use how the ranges were found.
func CheckRanges(r *policy.Rule, held []*cells.Cell, parts []cells.Part, by Policies) error {
	for _, c := range held {
		for _, i := range c.Parts {
			if !slices.ContainsFunc(r.Services, func(s policy.Service) bool { return s.Matches(parts[i].Service) }) {
				return fmt.Errorf("BUG: rule %s does not permit %s, which it is made for", r.Name, parts[i].Service)
			}
			if cells.IsRange(c.Key.Service) && by.Forbidden(c.Key.VRF, by.ClassesOf(c.Key.Src, parts[i].SrcClass), by.ClassesOf(c.Key.Dst, parts[i].DstClass), c.Key.Service) {
				return fmt.Errorf("BUG: rule %s permits a port of %s that a guardrail denies", r.Name, c.Key.Service)
			}
		}
	}
	return nil
}
