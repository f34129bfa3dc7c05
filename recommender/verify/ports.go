package verify

import (
	"net/netip"
	"slices"

	"cordon/categories"
	"cordon/internal/iana"
	"cordon/recommender/policy"
)

// What makes a dynamic port, as docs/noise.md has it.
const (
	lowestDynamic    = 1024
	strongFactor     = 4
	farApart         = 8192 // neighbours further apart begin another range
	weakPortsPerHost = 2    // ports of one host of the destination
)

// joinPorts replaces cells with dynamic ports by cells with a range, one
// destination and protocol at a time.
func (j *judge) joinPorts(list []Session, cells map[cell]*support) {
	type destination struct {
		id    int32
		proto uint8
	}
	dynamic := map[destination][]cell{}
	for c := range cells {
		if t := c.service.Term; iana.HasPorts(t.Proto) && t.Lo >= lowestDynamic && !j.named(t) {
			d := destination{c.dst, t.Proto}
			dynamic[d] = append(dynamic[d], c)
		}
	}
	for _, found := range dynamic {
		slices.SortFunc(found, func(a, b cell) int { return a.service.Compare(b.service) })
		weak := weakCells(list, cells, found)
		for len(weak) > 0 {
			end := 1
			for end < len(weak) && weak[end].service.Term.Lo-weak[end-1].service.Term.Lo <= farApart {
				end++
			}
			j.joinNear(list, cells, weak[:end])
			weak = weak[end:]
		}
	}
}

// named reports whether a port is a service in its own right: a well-known one,
// or one that the groups file names by itself.
func (j *judge) named(t categories.ServiceTerm) bool {
	if _, known := iana.ServiceName(t.Proto, t.Lo); known {
		return true
	}
	for _, s := range j.file.Services {
		if slices.Contains(s.Match, t) {
			return true
		}
	}
	return false
}

// weakCells leaves out the cells of ports that more clients or hours use than
// chance would give them. All cells have one destination; they are in order of port.
func weakCells(list []Session, cells map[cell]*support, found []cell) (weak []cell) {
	sessions := map[uint16][]int{} // sessions of each port, over all sources
	for _, c := range found {
		sessions[c.service.Term.Lo] = append(sessions[c.service.Term.Lo], cells[c].sessions...)
	}
	users, times := map[uint16]int{}, map[uint16]int{}
	allUsers, allTimes := 0, 0
	for port, of := range sessions {
		users[port], times[port] = len(clientsOf(list, of)), len(hoursOf(list, of))
		allUsers += users[port]
		allTimes += times[port]
	}
	width := float64(found[len(found)-1].service.Term.Lo-found[0].service.Term.Lo) + 1
	// Off by less than any two of these quotients differ.
	chance := func(all int) float64 { return strongFactor*(1+float64(all)/width) + 1e-9 }
	for _, c := range found {
		if p := c.service.Term.Lo; float64(users[p]) <= chance(allUsers) && float64(times[p]) <= chance(allTimes) {
			weak = append(weak, c)
		}
	}
	return weak
}

// joinNear gives the sources that use many of the weak ports a range in common,
// but for those to which a guardrail denies some of it.
func (j *judge) joinNear(list []Session, cells map[cell]*support, weak []cell) {
	bySource := map[int32][]cell{}
	for _, c := range weak {
		bySource[c.src] = append(bySource[c.src], c)
	}
	for src, own := range bySource {
		servers := map[netip.Addr]bool{}
		for _, c := range own {
			for _, i := range cells[c].sessions {
				servers[list[i].Server] = true
			}
		}
		if uint64(len(own)) < j.settings.PortRanges || len(own) < weakPortsPerHost*len(servers) {
			delete(bySource, src)
		}
	}
	span := func() policy.Service {
		t := categories.ServiceTerm{Proto: weak[0].service.Term.Proto, Lo: 65535}
		for _, own := range bySource {
			t.Lo, t.Hi = min(t.Lo, own[0].service.Term.Lo), max(t.Hi, own[len(own)-1].service.Term.Lo)
		}
		return policy.Service{Term: t}
	}
	if len(bySource) == 0 {
		return
	}
	wide := span()
	for src := range bySource {
		if j.guardrail(cell{src, weak[0].dst, wide}) >= 0 {
			delete(bySource, src)
		}
	}
	wide = span()
	for src, own := range bySource {
		joined := cell{src, weak[0].dst, wide}
		all := &support{}
		for _, c := range own {
			all.sessions = append(all.sessions, cells[c].sessions...)
			all.included = all.included || cells[c].included
			delete(cells, c)
		}
		for _, i := range all.sessions {
			j.at[i] = joined
		}
		cells[joined] = all
	}
}
