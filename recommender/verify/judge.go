package verify

import (
	"net/netip"
	"slices"

	"cordon/categories"
	"cordon/internal/iana"
	"cordon/recommender/policy"
)

// cell is one (source, destination, service). The service is a single one, a
// range of dynamic ports, or "any" for those that were never seen.
type cell struct {
	src, dst int32
	service  policy.Service
}

// judge decides about sessions and cells as the contract says.
type judge struct {
	vrf        string
	ends       *endpoints
	file       *categories.File
	existing   *index
	guardrails *index
	settings   policy.Settings
	namedLocal []netip.Prefix // prefixes by which selected groups name local addresses

	scans map[netip.Addr]scan // clients that scan; set before sessions

	// Filled by sessions:
	reasons  []policy.Reason       // reason of each session; empty: included
	at       []cell                // cell of each session that has one
	cells    map[cell]bool         // cells that rules may hold: true where a session is included, false where all were permitted already
	observed map[[2]int32]services // the services of these cells, by source and destination
	partial  map[cell]partial      // cells of prefixes that not all their hosts have
	unseen   map[cell]unseen       // cells that may be held although nothing was seen in them
	learned  []learned             // cells of hosts and groups with the sessions that readiness is about

	// For cells as wholes:
	members   map[int32][]netip.Addr
	forbidden map[cell]int // place of the guardrail, or -1
	permitted map[cell]bool
}

func newJudge(p *policy.Proposal, ends *endpoints, file *categories.File, o *Options) *judge {
	m := newMeanings(ends.addresses, file, ends.owners)
	return &judge{
		vrf: p.VRF, ends: ends, file: file, settings: o.Settings, namedLocal: localNames(file, p.Categories),
		existing: newIndex(m, statements(o.Existing, false)), guardrails: newIndex(m, statements(o.Guardrails, true)),
		cells: map[cell]bool{}, observed: map[[2]int32]services{}, forbidden: map[cell]int{}, permitted: map[cell]bool{},
	}
}

// support is the sessions of a cell that come as far as being counted for it.
type support struct {
	sessions []int // places in the list
	included bool  // one of them needs a rule
}

// sessions gives every session its reason. The order of the steps is that of
// the reasons.
func (j *judge) sessions(list []Session) {
	j.reasons, j.at = make([]policy.Reason, len(list)), make([]cell, len(list))
	for i := range list {
		j.reasons[i], j.at[i] = j.alone(&list[i])
	}
	j.gatherMembers()
	cells := j.policies(list)
	if j.settings.PortRanges > 0 {
		j.joinPorts(list, cells)
	}
	few := map[cell][]int{} // sessions of cells with too little support, by what was seen itself
	for c, s := range cells {
		if !j.enough(list, s) {
			for _, i := range s.sessions {
				if j.reasons[i] == "" {
					j.reasons[i] = policy.BelowSupport
					own := cell{j.at[i].src, j.at[i].dst, policy.ServiceOf(list[i].Service)}
					few[own] = append(few[own], i)
				}
			}
			continue
		}
		j.learned = append(j.learned, learned{ends: [2]int32{c.src, c.dst}, sessions: s.sessions, permitted: !s.included})
		j.cells[c] = s.included
		pair := [2]int32{c.src, c.dst}
		j.observed[pair] = append(j.observed[pair], rangeOf(c.service.Term))
	}
	for c, of := range few {
		j.learned = append(j.learned, learned{ends: [2]int32{c.src, c.dst}, sessions: of, never: true})
	}
	if len(j.ends.prefixes) > 0 {
		j.joinHosts()
	}
	for pair, s := range j.observed {
		j.observed[pair] = s.sorted()
	}
	if j.settings.Generalise > 0 {
		j.generalise(list)
	}
}

// alone gives the first reason that needs no policy but exclusions, and the cell
// of a session without one.
func (j *judge) alone(s *Session) (policy.Reason, cell) {
	if j.local(s.Client) || j.local(s.Server) {
		return policy.Local, cell{}
	}
	src, dst := j.ends.of(s.Client), j.ends.of(s.Server)
	if j.exclusion(s) >= 0 {
		return policy.Excluded, cell{}
	}
	halfOpen := !s.Complete && s.HalfOpen && !standsForMany(s.Server)
	switch j.settings.HalfOpen {
	case policy.HalfOpenAllow:
		halfOpen = false
	case policy.HalfOpenAllowUDP:
		halfOpen = halfOpen && s.Service.Proto != iana.UDP
	}
	_, scans := j.scans[plain(s.Client)]
	switch {
	case !s.Complete && s.Denied:
		return policy.Denied, cell{}
	case halfOpen:
		return policy.HalfOpen, cell{}
	case !s.Directed && s.Service.Kind() != categories.KindProtocol: // a tunnel has no client
		return policy.AmbiguousDirection, cell{}
	case scans:
		return policy.Scanner, cell{}
	case src.outside == policy.External || dst.outside == policy.External:
		return policy.External, cell{}
	case src.outside != "" || dst.outside != "":
		return policy.Ungrouped, cell{}
	}
	return "", cell{src.id, dst.id, policy.ServiceOf(s.Service)}
}

// exclusion gives the place of the first exclusion that matches, or -1.
func (j *judge) exclusion(s *Session) int {
	return slices.IndexFunc(j.file.Exclude, func(x categories.Exclusion) bool { return x.Matches(plain(s.Client), plain(s.Server), s.Service) })
}

// policies applies guardrails and the policy in force, and gives the cells of
// what no guardrail forbids.
func (j *judge) policies(list []Session) map[cell]*support {
	cells := map[cell]*support{}
	for i := range list {
		s := &list[i]
		if j.reasons[i] != "" {
			continue
		}
		if j.guardrail(j.at[i]) >= 0 {
			j.reasons[i] = policy.Guardrail
			continue
		}
		c := cells[j.at[i]]
		if c == nil {
			c = &support{}
			cells[j.at[i]] = c
		}
		if k := j.existing.first(j.vrf, s.Client, s.Server, s.Service); k >= 0 && !j.existing.statements[k].deny {
			j.reasons[i] = policy.AlreadyPermitted
		} else {
			c.included = true
		}
		c.sessions = append(c.sessions, i)
	}
	return cells
}

// enough reports whether a cell has the support that it needs.
func (j *judge) enough(list []Session, s *support) bool {
	if uint64(len(s.sessions)) < j.settings.MinSessions {
		return false
	}
	if j.settings.MinHosts > 1 && uint64(len(clientsOf(list, s.sessions))) < j.settings.MinHosts {
		return false
	}
	if j.settings.Recurring > 1 && !cameBack(list, s.sessions, int(j.settings.Recurring)) {
		return false
	}
	return j.settings.MinHours <= 1 || uint64(len(hoursOf(list, s.sessions))) >= j.settings.MinHours
}

// cameBack reports whether one client has sessions with one server in so many hours.
func cameBack(list []Session, of []int, hours int) bool {
	type pair struct{ client, server netip.Addr }
	seen := map[pair]map[uint32]bool{}
	for _, i := range of {
		at := pair{list[i].Client, list[i].Server}
		if seen[at] == nil {
			seen[at] = map[uint32]bool{}
		}
		for _, h := range list[i].Hours {
			seen[at][h] = true
		}
		if len(seen[at]) >= hours {
			return true
		}
	}
	return false
}

func clientsOf(list []Session, of []int) map[netip.Addr]bool {
	out := map[netip.Addr]bool{}
	for _, i := range of {
		out[list[i].Client] = true
	}
	return out
}

func hoursOf(list []Session, of []int) map[uint32]bool {
	out := map[uint32]bool{}
	for _, i := range of {
		for _, h := range list[i].Hours {
			out[h] = true
		}
	}
	return out
}

// gatherMembers prepares questions about cells as wholes.
func (j *judge) gatherMembers() {
	if len(j.existing.statements)+len(j.guardrails.statements) == 0 {
		return
	}
	var prefixes []netip.Prefix
	for _, x := range []*index{j.existing, j.guardrails} {
		for i := range x.statements {
			for side := range x.statements[i].ends {
				for _, l := range x.statements[i].literals(side) {
					prefixes = append(prefixes, x.meanings.prefixes(l)...)
				}
			}
		}
	}
	j.members = j.ends.representatives(prefixes)
	// One of those that every rule treats alike is enough.
	for id, list := range j.members {
		seen := map[string]bool{}
		var few []netip.Addr
		for _, a := range list {
			var key []byte
			for _, x := range []*index{j.existing, j.guardrails} {
				for side := range 2 {
					for _, w := range x.address(side, a) {
						for k := range 8 {
							key = append(key, byte(w>>(8*k)))
						}
					}
				}
			}
			if !seen[string(key)] {
				seen[string(key)] = true
				few = append(few, a)
			}
		}
		j.members[id] = few
	}
}

// guardrail gives the place of the first guardrail that denies a pair of
// addresses of the cell one of its services, or -1.
func (j *judge) guardrail(c cell) int {
	if len(j.guardrails.statements) == 0 || c.service.Any {
		return -1
	}
	at, ok := j.forbidden[c]
	if !ok {
		at = -1
		for _, s := range j.guardrails.pieces(rangeOf(c.service.Term)) {
			for _, a := range j.members[c.src] {
				for _, b := range j.members[c.dst] {
					k := j.guardrails.first(j.vrf, a, b, serviceOf(s.lo))
					if k >= 0 && j.guardrails.statements[k].deny && (at < 0 || k < at) {
						at = k
					}
				}
			}
		}
		j.forbidden[c] = at
	}
	return at
}

// isPermitted reports whether the policy in force permits every pair of
// addresses of the cell, and no guardrail forbids it.
func (j *judge) isPermitted(c cell) bool {
	if len(j.existing.statements) == 0 || c.service.Any {
		return false
	}
	yes, ok := j.permitted[c]
	if !ok {
		yes = len(j.members[c.src]) > 0 && len(j.members[c.dst]) > 0 && j.guardrail(c) < 0
		for _, s := range j.existing.pieces(rangeOf(c.service.Term)) {
			for _, a := range j.members[c.src] {
				for _, b := range j.members[c.dst] {
					k := j.existing.first(j.vrf, a, b, serviceOf(s.lo))
					yes = yes && k >= 0 && !j.existing.statements[k].deny
				}
			}
		}
		j.permitted[c] = yes
	}
	return yes
}

// legal reports whether a rule may hold the cell.
func (j *judge) legal(c cell) bool {
	return !c.service.Any && j.observed[[2]int32{c.src, c.dst}].holds(rangeOf(c.service.Term)) || j.isPermitted(c)
}
