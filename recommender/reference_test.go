package recommender

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"cordon/categories"
	"cordon/internal/iana"
	"cordon/recommender/decide"
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
	flows, bytes, replies  uint64
	sent                   uint64 // packets of the client
	hours                  map[int64]bool
	first                  time.Duration
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
	type hours map[int64]struct{ half, complete int }
	asked := map[key]hours{} // Attempts that nobody answered, and those that somebody did.
	var out []*refSession
	for _, f := range flows {
		k := key{f.vrf, netip.MustParseAddr(f.client), netip.MustParseAddr(f.server), categories.NewService(f.proto, f.port, f.icmpType)}
		s := byKey[k]
		if s == nil {
			s = &refSession{vrf: k.vrf, client: k.client, server: k.server, service: k.service, known: true, hours: map[int64]bool{}, first: f.at}
			byKey[k] = s
			out = append(out, s)
		}
		s.flows++
		s.replies += f.reply
		s.sent += max(f.packets, 1)
		s.hours[int64(f.at/time.Hour)] = true
		s.first = min(s.first, f.at)
		s.bytes += 100 * (max(f.packets, 1) + f.reply)
		switch {
		case f.action == schema.Dropped:
			s.denied++
		case f.completeness == schema.Unknowable || f.reply > 0:
			s.complete++
		default:
			s.half++
		}
		if asked[k] == nil {
			asked[k] = hours{}
		}
		n := asked[k][int64(f.at/time.Hour)]
		switch {
		case f.action == schema.Dropped:
		case f.completeness == schema.Unknowable || f.reply > 0:
			n.complete++
		default:
			n.half++
		}
		asked[k][int64(f.at/time.Hour)] = n
	}
	// Over UDP, two ends that send to one port of each other answer each other.
	for k, s := range byKey {
		if k.service.Proto != iana.UDP {
			continue
		}
		k.client, k.server = k.server, k.client
		for _, n := range asked[k] {
			if n.half > 0 && n.complete == 0 {
				s.complete, s.half = s.complete+s.half, 0
			}
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
		case policy.ExternalHost:
			return policy.HostEndpoint(a).String(), ""
		case policy.ExternalInternet:
			return "group:internet", ""
		}
		return "", policy.External
	}
	if x.settings.Ungrouped == policy.UngroupedReport {
		return "", policy.Ungrouped
	}
	return policy.HostEndpoint(a).String(), ""
}

type refCell struct {
	src, dst string
	service  categories.ServiceTerm
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
	return refCell{src, dst, service.Term()}, ""
}

// first finds the action of the first rule that matches, "" if none does.
func (x *reference) first(policies []policy.Policy, vrf string, client, server netip.Addr, service categories.Service) policy.Action {
	groups := &ownReading{file: x.file, selected: x.settings.Categories, universe: x.universe}
	guardrails := len(policies) > 0 && len(x.settings.Guardrails) > 0 && &policies[0] == &x.settings.Guardrails[0]
	for _, p := range policies {
		if p.VRF != "" && p.VRF != vrf {
			continue
		}
		for _, r := range p.Rules {
			in := func(set []policy.Endpoint, a netip.Addr) bool {
				return slices.ContainsFunc(set, func(e policy.Endpoint) bool { return groups.holds(e, r.Action, guardrails, a) })
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
		// Policies are drawn without an edge among the ports of ranges.
		yes = yes || x.first(x.settings.Guardrails, vrf, a, b, categories.Service{Proto: c.service.Proto, Port: c.service.Lo}) == policy.Deny
	})
	return yes
}

// judge gives every session of one VRF its reason, and returns the cells that a
// rule may hold: true for those that need one.
func (x *reference) judge(vrf string, sessions []*refSession) map[refCell]bool {
	support := map[refCell][]*refSession{}
	scanners := x.scanners(sessions)
	for _, s := range sessions {
		c, outside := x.cell(s.client, s.server, s.service)
		local := x.local(s.client) || x.local(s.server)
		excluded := slices.ContainsFunc(x.file.Exclude, func(e categories.Exclusion) bool { return e.Matches(s.client, s.server, s.service) })
		half := s.complete == 0 && s.half > 0 && !s.server.IsMulticast()
		switch x.settings.HalfOpen {
		case policy.HalfOpenAllow:
			half = false
		case policy.HalfOpenAllowUDP:
			half = half && s.service.Proto != iana.UDP
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
		case scanners[s.client]:
			s.reason = policy.Scanner
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
	if x.settings.PortRanges > 0 {
		support = x.ranges(vrf, support)
	}
	allowed := map[refCell]bool{}
	for c, list := range support {
		clients, _, hours := spread(list)
		enough := uint64(len(list)) >= x.settings.MinSessions && uint64(clients) >= x.settings.MinHosts && uint64(hours) >= x.settings.MinHours && uint64(cameBack(list)) >= x.settings.Recurring
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

// local reports whether an address is link-local or multicast, the local ones of the universe, and no selected
// group names it by a prefix inside that range.
func (x *reference) local(a netip.Addr) bool {
	for _, text := range []string{"224.0.0.0/4", "fe80::/10"} {
		if r := netip.MustParsePrefix(text); r.Contains(a) {
			for _, c := range x.file.Categories {
				for _, g := range c.Groups {
					selected := len(x.settings.Categories) == 0 || slices.Contains(x.settings.Categories, c.Name)
					if selected && slices.ContainsFunc(g.Prefixes, func(p netip.Prefix) bool { return p.Contains(a) && p.Bits() >= r.Bits() }) {
						return false
					}
				}
			}
			return true
		}
	}
	return false
}

// spread counts the distinct clients, servers and hours of sessions.
func spread(list []*refSession) (clients, servers, hours int) {
	c, s, h := map[netip.Addr]bool{}, map[netip.Addr]bool{}, map[int64]bool{}
	for _, session := range list {
		c[session.client], s[session.server] = true, true
		for hour := range session.hours {
			h[hour] = true
		}
	}
	return len(c), len(s), len(h)
}

// cameBack gives the most hours that one pair of the sessions has.
func cameBack(list []*refSession) (most int) {
	for _, s := range list {
		own := slices.DeleteFunc(slices.Clone(list), func(o *refSession) bool { return o.client != s.client || o.server != s.server })
		_, _, hours := spread(own)
		most = max(most, hours)
	}
	return most
}

// scanners finds the clients that scan.
func (x *reference) scanners(sessions []*refSession) map[netip.Addr]bool {
	out := map[netip.Addr]bool{}
	if x.settings.ScannerTargets == 0 {
		return out
	}
	var targets []*refSession
	for _, s := range sessions {
		if iana.HasPorts(s.service.Proto) && !s.server.IsMulticast() {
			targets = append(targets, s)
		}
	}
	_, _, hours := spread(targets)
	for _, of := range targets {
		var all, unanswered, oneOff uint64
		began := map[time.Duration][]*refSession{}
		attempts := map[time.Duration]uint64{}
		for _, s := range targets {
			if s.client != of.client {
				continue
			}
			all++
			if s.complete == 0 {
				unanswered++
				continue
			}
			used := slices.DeleteFunc(slices.Clone(targets), func(o *refSession) bool { return o.server != s.server || o.service != s.service })
			if _, _, n := spread(used); s.replies == 0 && n == 1 && hours >= scanHours && categories.KindOf(s.server) != categories.Public {
				oneOff++
				began[s.first/time.Hour] = append(began[s.first/time.Hour], s)
				if s.service.Proto == iana.TCP && s.sent <= 2*s.flows { // packets of 100 octets are drawn
					attempts[s.first/time.Hour]++
				}
			}
		}
		many := unanswered >= x.settings.ScannerTargets
		for _, n := range attempts {
			many = many || n >= x.settings.ScannerTargets
		}
		for _, list := range began {
			ports := map[categories.Service]bool{}
			for _, s := range list {
				ports[s.service] = true
			}
			many = many || uint64(len(list)) >= x.settings.ScannerTargets && len(ports) >= scanPorts
		}
		out[of.client] = many && 2*(unanswered+oneOff) > all
	}
	return out
}

// ranges joins the weak ports of cells. Only drawn ports from 50000 on have no name.
func (x *reference) ranges(vrf string, support map[refCell][]*refSession) map[refCell][]*refSession {
	out := map[refCell][]*refSession{}
	for c, list := range support {
		out[c] = list
	}
	for of := range support {
		if of.service.Lo < 50000 {
			continue
		}
		var all []refCell // Cells of the same destination.
		ports := map[uint16][]*refSession{}
		for c, list := range support {
			if c.dst == of.dst && c.service.Proto == of.service.Proto && c.service.Lo >= 50000 {
				all = append(all, c)
				ports[c.service.Lo] = append(ports[c.service.Lo], list...)
			}
		}
		slices.SortFunc(all, func(a, b refCell) int { return a.service.Compare(b.service) })
		width := float64(all[len(all)-1].service.Lo-all[0].service.Lo) + 1
		var clients, hours float64
		for _, list := range ports {
			c, _, h := spread(list)
			clients, hours = clients+float64(c), hours+float64(h)
		}
		bySource := map[string][]refCell{}
		for _, c := range all {
			n, _, h := spread(ports[c.service.Lo])
			if float64(n) <= decide.StrongTimes*(1+clients/width)+1e-9 && float64(h) <= decide.StrongTimes*(1+hours/width)+1e-9 {
				bySource[c.src] = append(bySource[c.src], c)
			}
		}
		term := categories.ServiceTerm{Proto: of.service.Proto, Lo: 65535}
		for src, list := range bySource {
			var sessions []*refSession
			for _, c := range list {
				sessions = append(sessions, support[c]...)
			}
			_, servers, _ := spread(sessions)
			if uint64(len(list)) < x.settings.PortRanges || len(list) < 2*servers {
				delete(bySource, src)
				continue
			}
			term.Lo, term.Hi = min(term.Lo, list[0].service.Lo), max(term.Hi, list[len(list)-1].service.Lo)
		}
		for src, list := range bySource {
			joined := refCell{src, of.dst, term}
			out[joined] = nil
			for _, c := range list {
				delete(out, c)
				out[joined] = append(out[joined], support[c]...)
			}
		}
	}
	return out
}

// permittedAlready reports whether the existing policy permits a cell as a whole.
func (x *reference) permittedAlready(vrf string, c refCell) bool {
	all, some := true, false
	x.pairs(c, func(a, b netip.Addr) {
		some = true
		all = all && x.first(x.settings.Existing, vrf, a, b, categories.Service{Proto: c.service.Proto, Port: c.service.Lo}) == policy.Allow
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
	if err := x.prefixes(p, allowed, seen); err != nil {
		return err
	}
	merged := map[refCell]bool{}
	for c, needed := range allowed {
		if needed {
			merged[refCell{inPrefix(p, c.src), inPrefix(p, c.dst), c.service}] = true
		}
	}
	if list := len(merged); p.Summary.Cells != list {
		return fmt.Errorf("%d cells, want %d", p.Summary.Cells, list)
	}
	unseen := map[refCell]bool{} // verify computes which these may be
	for _, r := range p.Rules {
		for _, g := range r.Generalised {
			unseen[refCell{g.Source.String(), g.Destination.String(), g.Service.Term}] = true
		}
	}
	if len(unseen) != p.Summary.GeneralisedCells || len(unseen) > 0 && x.settings.Generalise == 0 {
		return fmt.Errorf("%d cells are generalised, the summary says %d", len(unseen), p.Summary.GeneralisedCells)
	}
	for c := range unseen {
		for _, s := range sessions {
			src, _ := x.end(s.client)
			dst, _ := x.end(s.server)
			if inPrefix(p, src) == c.src && inPrefix(p, dst) == c.dst && c.service.Matches(s.service) {
				return fmt.Errorf("%+v is generalised, but %+v was seen", c, *s)
			}
		}
	}
	for _, a := range x.universe {
		for _, b := range x.universe {
			for s := range services {
				if x.addresses.Permits(p.Rules, a, b, s) && x.first(x.settings.Guardrails, p.VRF, a, b, s) == policy.Deny {
					return fmt.Errorf("%s -> %s %s is permitted, and a guardrail denies it", a, b, s)
				}
			}
		}
	}
	// Sound: whatever pair of addresses a rule permits, its cell may be permitted.
	for _, a := range x.universe {
		for _, b := range x.universe {
			for s := range services {
				if !x.addresses.Permits(p.Rules, a, b, s) {
					continue
				}
				// An extra address may do what every host of its prefix may.
				for _, a := range x.standsFor(p, a, seen) {
					for _, b := range x.standsFor(p, b, seen) {
						c, why := x.cell(a, b, s)
						ok := a == b && c.src != "" && !strings.HasPrefix(c.src, "group:")
						for may := range allowed {
							ok = ok || may.src == c.src && may.dst == c.dst && may.service.Matches(s)
						}
						for may := range unseen {
							ok = ok || may.src == inPrefix(p, c.src) && may.dst == inPrefix(p, c.dst) && may.service.Matches(s)
						}
						if why != "" || !ok && !x.permittedAlready(p.VRF, c) {
							return fmt.Errorf("not sound: %s -> %s %s (%+v) is permitted", a, b, s, c)
						}
					}
				}
			}
		}
	}
	for _, c := range x.file.Categories { // selected or not
		for _, g := range c.Groups {
			for _, p := range g.Prefixes {
				if p.Bits() == p.Addr().BitLen() {
					seen[p.Addr()] = true
				}
			}
		}
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
		if s.client != s.server && s.client.Is4() == s.server.Is4() {
			pairs[[2]netip.Addr{s.client, s.server}] = true
		}
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
	if !reflect.DeepEqual(r.Evidence, want) {
		return fmt.Errorf("evidence of %s is %+v, want %+v", r.Name, r.Evidence, want)
	}
	excess := policy.Excess{ObservedPairs: uint64(len(pairs))}
	for a := range known {
		for b := range known {
			if a != b && a.Is4() == b.Is4() && x.addresses.Permits([]policy.Rule{{Action: policy.Allow, Sources: r.Sources, Destinations: r.Destinations, Services: []policy.Service{{Any: true}}}}, a, b, categories.Service{}) {
				excess.PermittedPairs++
			}
		}
	}
	excess.ExtraAddresses = r.Excess.ExtraAddresses // compared elsewhere
	if r.Excess != excess {
		return fmt.Errorf("excess of %s is %+v, want %+v", r.Name, r.Excess, excess)
	}
	return nil
}
