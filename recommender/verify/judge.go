package verify

import (
	"net/netip"

	"cordon/categories"
	"cordon/recommender/policy"
)

// cell is one (source, destination, service). The service is a single one,
// or "any" for those that were never seen.
type cell struct {
	src, dst int32
	service  policy.Service
}

// judge decides about sessions and cells as the contract says.
type judge struct {
	vrf        string
	ends       *endpoints
	exclude    []categories.Exclusion
	existing   *index
	guardrails *index
	settings   policy.Settings

	// Filled by sessions:
	reasons []policy.Reason // of each session; empty: included
	cells   map[cell]bool   // that rules may hold: true where a session is included, false where all were permitted already

	// For cells as wholes:
	members   map[int32][]netip.Addr
	forbidden map[cell]bool
	permitted map[cell]bool
}

func newJudge(vrf string, ends *endpoints, file *categories.File, o *Options) *judge {
	j := &judge{
		vrf: vrf, ends: ends, exclude: file.Exclude, settings: o.Settings,
		existing: newIndex(ends.addresses, statements(o.Existing)), guardrails: newIndex(ends.addresses, statements(o.Guardrails)),
		cells: map[cell]bool{}, forbidden: map[cell]bool{}, permitted: map[cell]bool{},
	}
	return j
}

// sessions gives every session its reason.
func (j *judge) sessions(list []Session) {
	j.reasons = make([]policy.Reason, len(list))
	at := make([]cell, len(list))
	ready := make([]bool, len(list)) // counts as support of its cell
	for i := range list {
		j.reasons[i], at[i] = j.alone(&list[i])
	}
	j.gatherMembers()
	type support struct {
		sessions uint64
		clients  map[netip.Addr]struct{}
		included bool
	}
	cells := map[cell]*support{}
	for i := range list {
		s := &list[i]
		if j.reasons[i] != "" {
			continue
		}
		if j.isForbidden(at[i], s.Service) {
			j.reasons[i] = policy.Guardrail
			continue
		}
		c := cells[at[i]]
		if c == nil {
			c = &support{clients: map[netip.Addr]struct{}{}}
			cells[at[i]] = c
		}
		if k := j.existing.first(j.vrf, s.Client, s.Server, s.Service); k >= 0 && !j.existing.statements[k].deny {
			j.reasons[i] = policy.AlreadyPermitted
		} else {
			c.included = true
		}
		ready[i] = true
		c.sessions++
		if j.settings.MinHosts > 1 {
			c.clients[s.Client] = struct{}{}
		}
	}
	for k, c := range cells {
		if c.sessions >= j.settings.MinSessions && (j.settings.MinHosts <= 1 || uint64(len(c.clients)) >= j.settings.MinHosts) {
			j.cells[k] = c.included
		}
	}
	for i := range list {
		if _, ok := j.cells[at[i]]; ready[i] && !ok && j.reasons[i] == "" {
			j.reasons[i] = policy.BelowSupport
		}
	}
}

// alone gives the first reason that needs no look at other sessions or at
// policies, and the cell of a session without one.
func (j *judge) alone(s *Session) (policy.Reason, cell) {
	if categories.KindOf(s.Client) == categories.Local || categories.KindOf(s.Server) == categories.Local {
		return policy.Local, cell{}
	}
	src, dst := j.ends.of(s.Client), j.ends.of(s.Server)
	for i := range j.exclude {
		if j.exclude[i].Matches(s.Client, s.Server, s.Service) {
			return policy.Excluded, cell{}
		}
	}
	halfOpen := !s.Complete && s.HalfOpen
	switch j.settings.HalfOpen {
	case "allow":
		halfOpen = false
	case "allow-udp":
		halfOpen = halfOpen && s.Service.Proto != categories.ProtoUDP
	}
	switch {
	case !s.Complete && s.Denied:
		return policy.Denied, cell{}
	case halfOpen:
		return policy.HalfOpen, cell{}
	case !s.Directed && s.Service.Kind() != categories.KindProtocol: // a tunnel has no client
		return policy.AmbiguousDirection, cell{}
	case src.outside == policy.External || dst.outside == policy.External:
		return policy.External, cell{}
	case src.outside != "" || dst.outside != "":
		return policy.Ungrouped, cell{}
	}
	return "", cell{src.id, dst.id, policy.ServiceOf(s.Service)}
}

// gatherMembers prepares questions about cells as wholes.
func (j *judge) gatherMembers() {
	if len(j.existing.statements)+len(j.guardrails.statements) == 0 {
		return
	}
	var prefixes []netip.Prefix
	for _, x := range []*index{j.existing, j.guardrails} {
		for i := range x.statements {
			for _, set := range x.statements[i].ends {
				for _, e := range set {
					if m, err := x.addresses.Meaning(e); err == nil {
						prefixes = append(prefixes, m.Prefixes...)
					}
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

// isForbidden reports whether a guardrail denies a pair of addresses of the cell.
func (j *judge) isForbidden(c cell, s categories.Service) bool {
	if len(j.guardrails.statements) == 0 {
		return false
	}
	yes, ok := j.forbidden[c]
	if !ok {
		for _, a := range j.members[c.src] {
			for _, b := range j.members[c.dst] {
				k := j.guardrails.first(j.vrf, a, b, s)
				yes = yes || k >= 0 && j.guardrails.statements[k].deny
			}
		}
		j.forbidden[c] = yes
	}
	return yes
}

// isPermitted reports whether the policy in force permits every pair of addresses of the cell.
func (j *judge) isPermitted(c cell) bool {
	if len(j.existing.statements) == 0 || c.service.Any {
		return false
	}
	yes, ok := j.permitted[c]
	if !ok {
		s := categories.Service{Proto: c.service.Term.Proto, Port: c.service.Term.Lo}
		yes = len(j.members[c.src]) > 0 && len(j.members[c.dst]) > 0 && !j.isForbidden(c, s)
		for _, a := range j.members[c.src] {
			for _, b := range j.members[c.dst] {
				k := j.existing.first(j.vrf, a, b, s)
				yes = yes && k >= 0 && !j.existing.statements[k].deny
			}
		}
		j.permitted[c] = yes
	}
	return yes
}

// legal reports whether a rule may hold the cell.
func (j *judge) legal(c cell) bool {
	_, ok := j.cells[c]
	return ok || j.isPermitted(c)
}
