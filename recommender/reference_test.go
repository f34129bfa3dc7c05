package recommender

import (
	"fmt"
	"net/netip"
	"slices"

	"cordon/categories"
	"cordon/recommender/policy"
	"cordon/schema"
)

// reference computes what Generate should say, slowly, one session at a time and one
// address at a time. It shares no code with the classification but the types.
type reference struct {
	settings  Settings
	file      *categories.File
	addresses *policy.Addresses
	universe  []netip.Addr // every address of every group, and some outside
}

type refSession struct {
	vrf                    string
	client, server         netip.Addr
	service                categories.Service
	flows, bytes           uint64
	complete, half, denied uint64
	known                  bool
	reason                 policy.Reason // "" if included
}

func (x *reference) sessions(flows []flow) []*refSession {
	type key struct {
		vrf            string
		client, server netip.Addr
		service        categories.Service
	}
	byKey := map[key]*refSession{}
	var out []*refSession
	for _, f := range flows {
		k := key{f.vrf, netip.MustParseAddr(f.client), netip.MustParseAddr(f.server), categories.NewService(f.proto, f.port, f.icmpType)}
		s := byKey[k]
		if s == nil {
			s = &refSession{vrf: k.vrf, client: k.client, server: k.server, service: k.service, known: true}
			byKey[k] = s
			out = append(out, s)
		}
		s.flows++
		s.bytes += 100 * (max(f.packets, 1) + f.reply)
		switch {
		case f.action == schema.Dropped:
			s.denied++
		case f.completeness == schema.Unknowable || f.reply > 0:
			s.complete++
		default:
			s.half++
		}
	}
	return out
}

// end names the endpoint of a cell that an address is in, "" if it has none.
func (x *reference) end(a netip.Addr) (name string, why policy.Reason) {
	if g, ok := x.addresses.Resolver().Lookup(a); ok {
		return "group:" + x.addresses.Resolver().Label(g), ""
	}
	if categories.KindOf(a) == categories.Public {
		switch x.settings.External {
		case ExternalHost:
			return policy.HostEndpoint(a).String(), ""
		case ExternalInternet:
			return "group:internet", ""
		}
		return "", policy.External
	}
	if x.settings.Ungrouped == UngroupedReport {
		return "", policy.Ungrouped
	}
	return policy.HostEndpoint(a).String(), ""
}

type refCell struct {
	src, dst string
	service  categories.Service
}

func (x *reference) cell(client, server netip.Addr, service categories.Service) (refCell, policy.Reason) {
	src, why := x.end(client)
	dst, why2 := x.end(server)
	switch {
	case why == policy.External || why2 == policy.External:
		return refCell{}, policy.External
	case why != "" || why2 != "":
		return refCell{}, policy.Ungrouped
	}
	return refCell{src, dst, service}, ""
}

// first finds the action of the first rule that matches, "" if none does.
func (x *reference) first(policies []policy.Policy, vrf string, client, server netip.Addr, service categories.Service) policy.Action {
	for _, p := range policies {
		if p.VRF != "" && p.VRF != vrf {
			continue
		}
		for _, r := range p.Rules {
			in := func(set []policy.Endpoint, a netip.Addr) bool {
				return slices.ContainsFunc(set, func(e policy.Endpoint) bool { return x.addresses.Contains(e, a) })
			}
			if in(r.Sources, client) && in(r.Destinations, server) && slices.ContainsFunc(r.Services, func(s policy.Service) bool { return s.Matches(service) }) {
				return r.Action
			}
		}
	}
	return ""
}

// pairs calls f for every pair of addresses of the universe in a cell.
func (x *reference) pairs(c refCell, f func(client, server netip.Addr)) {
	for _, a := range x.universe {
		if src, _ := x.end(a); src != c.src {
			continue
		}
		for _, b := range x.universe {
			if dst, _ := x.end(b); dst == c.dst {
				f(a, b)
			}
		}
	}
}

func (x *reference) forbidden(vrf string, c refCell) (yes bool) {
	x.pairs(c, func(a, b netip.Addr) {
		yes = yes || x.first(x.settings.Guardrails, vrf, a, b, c.service) == policy.Deny
	})
	return yes
}

// judge gives every session of one VRF its reason, and returns the cells that a
// rule may hold: true for those that need one.
func (x *reference) judge(vrf string, sessions []*refSession) map[refCell]bool {
	support := map[refCell][]*refSession{}
	for _, s := range sessions {
		c, outside := x.cell(s.client, s.server, s.service)
		local := categories.KindOf(s.client) == categories.Local || categories.KindOf(s.server) == categories.Local
		excluded := slices.ContainsFunc(x.file.Exclude, func(e categories.Exclusion) bool { return e.Matches(s.client, s.server, s.service) })
		half := s.complete == 0 && s.half > 0
		switch x.settings.HalfOpen {
		case HalfOpenAllow:
			half = false
		case HalfOpenAllowUDP:
			half = half && s.service.Proto != categories.ProtoUDP
		}
		switch {
		case local:
			s.reason = policy.Local
		case excluded:
			s.reason = policy.Excluded
		case s.complete == 0 && s.denied > 0:
			s.reason = policy.Denied
		case half:
			s.reason = policy.HalfOpen
		case !s.known:
			s.reason = policy.AmbiguousDirection
		case outside != "":
			s.reason = outside
		case x.forbidden(vrf, c):
			s.reason = policy.Guardrail
		default:
			if x.first(x.settings.Existing, vrf, s.client, s.server, s.service) == policy.Allow {
				s.reason = policy.AlreadyPermitted
			}
			support[c] = append(support[c], s)
		}
	}
	allowed := map[refCell]bool{}
	for c, list := range support {
		clients := map[netip.Addr]bool{}
		for _, s := range list {
			clients[s.client] = true
		}
		enough := uint64(len(list)) >= x.settings.MinSessions && uint64(len(clients)) >= x.settings.MinHosts
		for _, s := range list {
			if !enough && s.reason == "" {
				s.reason = policy.BelowSupport
			}
			if enough {
				allowed[c] = allowed[c] || s.reason == ""
			}
		}
	}
	return allowed
}

// permittedAlready reports whether the existing policy permits a cell as a whole.
func (x *reference) permittedAlready(vrf string, c refCell) bool {
	all, some := true, false
	x.pairs(c, func(a, b netip.Addr) {
		some = true
		all = all && x.first(x.settings.Existing, vrf, a, b, c.service) == policy.Allow
	})
	return some && all && !x.forbidden(vrf, c)
}

// check compares a proposal with the sessions of its VRF.
func (x *reference) check(p *policy.Proposal, sessions []*refSession) error {
	allowed := x.judge(p.VRF, sessions)
	count := map[policy.Reason]uint64{}
	services := map[categories.Service]bool{}
	seen := map[netip.Addr]bool{}
	for _, s := range sessions {
		count[s.reason]++
		services[s.service] = true
		seen[s.client], seen[s.server] = true, true
		if in := x.addresses.Permits(p.Rules, s.client, s.server, s.service); s.reason == "" && !in {
			return fmt.Errorf("not complete: %+v is in no rule", *s)
		}
	}
	for _, u := range p.Unproposed {
		if u.Sessions != count[u.Reason] || u.Sessions == 0 {
			return fmt.Errorf("%d sessions are %s, want %d", u.Sessions, u.Reason, count[u.Reason])
		}
		if want := min(u.Sessions, maxExamples); uint64(len(u.Examples)) != want {
			return fmt.Errorf("%d examples of %s, want %d", len(u.Examples), u.Reason, want)
		}
		for _, e := range u.Examples {
			if !slices.ContainsFunc(sessions, func(s *refSession) bool {
				return s.reason == u.Reason && s.client.String() == e.Source && s.server.String() == e.Destination && s.service.String() == e.Service
			}) {
				return fmt.Errorf("%+v is no session that is %s", e, u.Reason)
			}
		}
		delete(count, u.Reason)
	}
	if p.Summary.Sessions != uint64(len(sessions)) || p.Summary.Included != count[""] {
		return fmt.Errorf("summary %+v, want %d of %d included", p.Summary, count[""], len(sessions))
	}
	delete(count, "")
	if len(count) > 0 {
		return fmt.Errorf("nothing is said of %v", count)
	}
	cells := 0
	for _, needed := range allowed {
		if needed {
			cells++
		}
	}
	if p.Summary.Cells != cells {
		return fmt.Errorf("%d cells, want %d", p.Summary.Cells, cells)
	}
	// Sound: whatever pair of addresses a rule permits, its cell may be permitted.
	for _, a := range x.universe {
		for _, b := range x.universe {
			for s := range services {
				if !x.addresses.Permits(p.Rules, a, b, s) {
					continue
				}
				c, why := x.cell(a, b, s)
				if _, ok := allowed[c]; why != "" || !ok && !x.permittedAlready(p.VRF, c) {
					return fmt.Errorf("not sound: %s -> %s %s (%+v) is permitted", a, b, s, c)
				}
			}
		}
	}
	for _, e := range x.addresses.Resolver().Endpoints() {
		seen[e.Addr] = true
	}
	for i := range p.Rules {
		if err := x.evidence(&p.Rules[i], sessions, seen); err != nil {
			return err
		}
	}
	return nil
}

func (x *reference) evidence(r *policy.Rule, sessions []*refSession, known map[netip.Addr]bool) error {
	var want policy.Evidence
	clients, servers, pairs := map[netip.Addr]bool{}, map[netip.Addr]bool{}, map[[2]netip.Addr]bool{}
	for _, s := range sessions {
		if s.reason != "" && s.reason != policy.AlreadyPermitted || !x.addresses.Permits([]policy.Rule{*r}, s.client, s.server, s.service) {
			continue
		}
		pairs[[2]netip.Addr{s.client, s.server}] = true
		if s.reason != "" {
			continue
		}
		want.Sessions++
		want.Flows += s.flows
		want.Bytes += s.bytes
		clients[s.client], servers[s.server] = true, true
	}
	want.Clients, want.Servers = uint64(len(clients)), uint64(len(servers))
	want.FirstSeen, want.LastSeen = r.Evidence.FirstSeen, r.Evidence.LastSeen
	if r.Evidence != want {
		return fmt.Errorf("evidence of %s is %+v, want %+v", r.Name, r.Evidence, want)
	}
	excess := policy.Excess{ObservedPairs: uint64(len(pairs))}
	for a := range known {
		for b := range known {
			if a != b && x.addresses.Permits([]policy.Rule{{Action: policy.Allow, Sources: r.Sources, Destinations: r.Destinations, Services: []policy.Service{{Any: true}}}}, a, b, categories.Service{}) {
				excess.PermittedPairs++
			}
		}
	}
	if r.Excess != excess {
		return fmt.Errorf("excess of %s is %+v, want %+v", r.Name, r.Excess, excess)
	}
	return nil
}
