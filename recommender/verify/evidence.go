package verify

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"cordon/categories"
	"cordon/recommender/policy"
)

// tally is what was seen under a rule.
type tally struct {
	policy.Evidence
	clients, servers map[netip.Addr]struct{}
	pairs            map[[2]netip.Addr]struct{}
}

// isPair tells whether two addresses are a pair of policy.Excess: no host with itself, and none of IPv4 with one of IPv6.
func isPair(client, server netip.Addr) bool {
	client, server = plain(client), plain(server)
	return client != server && client.Is4() == server.Is4()
}

// sessionsInRules checks completeness, that every rule is needed, and the
// numbers of each rule.
func (v *verifier) sessionsInRules() {
	sessions := v.c.Sessions
	tallies := make([]tally, len(v.p.Rules))
	for i := range tallies {
		tallies[i] = tally{clients: map[netip.Addr]struct{}{}, servers: map[netip.Addr]struct{}{}, pairs: map[[2]netip.Addr]struct{}{}}
	}
	var missing uint64
	var examples []string
	v.ports = make([]map[categories.Service]bool, len(v.p.Rules))
	holders := map[string][]int32{} // sets of rules that hold an included session, by their bytes
	var held []int32
	var key []byte
	in := v.rules.empty()
	for i := range sessions {
		s := &sessions[i]
		reason := v.judge.reasons[i]
		if reason != "" && reason != policy.AlreadyPermitted {
			continue
		}
		v.rules.match(s.Client, s.Server, s.Service, in)
		held = held[:0]
		in.each(func(r int) {
			held = append(held, int32(r))
			t := &tallies[r]
			if isPair(s.Client, s.Server) {
				t.pairs[[2]netip.Addr{plain(s.Client), plain(s.Server)}] = struct{}{}
			}
			if len(v.p.Rules[r].PortRanges) > 0 || v.wide(r) {
				if v.ports[r] == nil {
					v.ports[r] = map[categories.Service]bool{}
				}
				v.ports[r][s.Service] = true
			}
			if reason == "" {
				t.add(s, v.p.ScaledBytes)
			}
		})
		if reason != "" {
			continue
		}
		if len(held) == 0 {
			if missing++; len(examples) < v.o.Examples {
				examples = append(examples, fmt.Sprintf("%s -> %s %s%s", plain(s.Client), plain(s.Server), s.Service, v.nearly(s)))
			}
			continue
		}
		key = key[:0]
		for _, r := range held {
			key = binary.LittleEndian.AppendUint32(key, uint32(r))
		}
		if holders[string(key)] == nil {
			holders[string(key)] = slices.Clone(held)
		}
	}
	if missing > 0 {
		f := v.report.find(Incomplete, "", "%d included sessions are in no rule:", missing)
		f.Count, f.Examples = missing, examples
	}
	v.needed(holders)
	v.numbers(tallies, v.known())
}

// known gives the known endpoints: addresses seen in the window, and those that groups name by themselves.
func (v *verifier) known() map[netip.Addr]struct{} {
	out := map[netip.Addr]struct{}{}
	var former []netip.Addr
	for i := range v.c.Sessions {
		for _, a := range [2]netip.Addr{v.c.Sessions[i].Client, v.c.Sessions[i].Server} {
			if a.Zone() != "" {
				former = append(former, a)
				continue
			}
			out[a] = struct{}{}
		}
	}
	for _, c := range v.judge.file.Categories { // selected or not
		for _, g := range c.Groups {
			for _, p := range g.Prefixes {
				if p.IsSingleIP() {
					out[p.Addr()] = struct{}{}
				}
			}
		}
	}
	v.addFormer(out, former)
	return out
}

// addFormer adds the addresses of former owners that are in a group. An address that one group had twice is one endpoint of it.
func (v *verifier) addFormer(out map[netip.Addr]struct{}, former []netip.Addr) {
	type member struct {
		addr netip.Addr
		end  int32
	}
	there := map[member]bool{}
	for _, a := range former {
		e := v.ends.of(a)
		at := member{plain(a), e.id}
		if _, now := out[at.addr]; e.outside != "" || there[at] || now && v.ends.of(at.addr) == e {
			continue
		}
		there[at] = true
		out[a] = struct{}{}
	}
}

// nearly names the first rule that holds a session but for one side, "" if none does.
func (v *verifier) nearly(s *Session) string {
	sides := [3]bitset{v.rules.address(0, s.Client), v.rules.address(1, s.Server), v.rules.service(s.Service)}
	for i := range v.p.Rules {
		missing := -1
		for side, held := range sides {
			switch {
			case held.has(i):
			case missing < 0:
				missing = side
			default:
				missing = len(sides)
			}
		}
		if 0 <= missing && missing < len(sides) {
			return fmt.Sprintf(" (rule %s holds it but for the %s)", v.names[i], [3]string{"source", "destination", "service"}[missing])
		}
	}
	return ""
}

func (t *tally) add(s *Session, scaled bool) {
	t.Sessions++
	t.Flows += s.Flows
	if scaled {
		t.Bytes += s.ScaledBytes
	} else {
		t.Bytes += s.Bytes
	}
	if s.Sampling == policy.SamplingUnknown {
		t.SamplingUnknown = true
	} else if s.Sampling > 1 {
		t.Sampling = max(t.Sampling, s.Sampling)
	}
	for _, e := range s.Exporters {
		if !slices.Contains(t.LossyExporters, e) {
			t.LossyExporters = append(t.LossyExporters, e)
		}
	}
	t.clients[plain(s.Client)], t.servers[plain(s.Server)] = struct{}{}, struct{}{}
	if t.FirstSeen.IsZero() || s.First.Before(t.FirstSeen.Time) {
		t.FirstSeen = policy.NewTime(s.First)
	}
	if s.Last.After(t.LastSeen.Time) {
		t.LastSeen = policy.NewTime(s.Last)
	}
}

// needed finds rules that could be left out, all of them together.
func (v *verifier) needed(holders map[string][]int32) {
	byRule := make([][][]int32, len(v.p.Rules))
	for _, h := range holders {
		for _, r := range h {
			byRule[r] = append(byRule[r], h)
		}
	}
	out := v.rules.empty()
	for i := len(v.p.Rules) - 1; i >= 0; i-- {
		if v.p.Rules[i].Action != policy.Allow {
			continue
		}
		var others []int32
		free, used := true, len(byRule[i]) > 0
		for _, h := range byRule[i] {
			left := false
			for _, r := range h {
				if int(r) != i && !out.has(int(r)) {
					left = true
					others = append(others, r)
				}
			}
			if free = free && left; !free {
				break
			}
		}
		switch {
		case !used && v.unknown[i]: // said already
		case !used:
			v.report.find(Redundant, v.names[i], "no included session needs it")
		case free:
			f := v.report.find(Redundant, v.names[i], "every session under it is under other rules as well:")
			slices.Sort(others)
			for _, r := range slices.Compact(others) {
				if f.Count++; len(f.Examples) < v.o.Examples {
					f.Examples = append(f.Examples, v.names[r])
				}
			}
		default:
			continue
		}
		out.set(i)
	}
}

// numbers compares evidence and excess.
func (v *verifier) numbers(tallies []tally, known map[netip.Addr]struct{}) {
	// Of each rule, by family: no pair has an address of both.
	clients, servers, both := make([][2]uint64, len(v.p.Rules)), make([][2]uint64, len(v.p.Rules)), make([]uint64, len(v.p.Rules))
	for a := range known {
		family := 0
		if plain(a).Is6() {
			family = 1
		}
		src, dst := v.rules.address(0, a), v.rules.address(1, a)
		src.each(func(r int) {
			clients[r][family]++
			if dst.has(r) {
				both[r]++
			}
		})
		dst.each(func(r int) { servers[r][family]++ })
	}
	for i := range v.p.Rules {
		if v.p.Rules[i].Action != policy.Allow {
			continue
		}
		t, e, x := &tallies[i], &v.p.Rules[i].Evidence, &v.p.Rules[i].Excess
		t.Clients, t.Servers = uint64(len(t.clients)), uint64(len(t.servers))
		slices.Sort(t.LossyExporters)
		wrong := differing([]number{
			{"evidence.sessions", e.Sessions, t.Sessions}, {"evidence.flows", e.Flows, t.Flows}, {"evidence.bytes", e.Bytes, t.Bytes},
			{"evidence.clients", e.Clients, t.Clients}, {"evidence.servers", e.Servers, t.Servers},
			{"excess.permittedPairs", x.PermittedPairs, clients[i][0]*servers[i][0] + clients[i][1]*servers[i][1] - both[i]}, {"excess.observedPairs", x.ObservedPairs, uint64(len(t.pairs))},
			{"excess.extraAddresses", x.ExtraAddresses, v.ends.extraOf(func(e policy.Endpoint) bool {
				return slices.Contains(v.p.Rules[i].Sources, e) || slices.Contains(v.p.Rules[i].Destinations, e)
			})},
			{"evidence.sampling", uint64(e.Sampling), uint64(t.Sampling)},
		})
		if e.SamplingUnknown != t.SamplingUnknown {
			wrong = append(wrong, fmt.Sprintf("evidence.samplingUnknown is %t, counted is %t", e.SamplingUnknown, t.SamplingUnknown))
		}
		if !slices.Equal(e.LossyExporters, t.LossyExporters) {
			wrong = append(wrong, fmt.Sprintf("evidence.lossyExporters is %v, counted are %v", e.LossyExporters, t.LossyExporters))
		}
		for _, n := range []struct {
			name      string
			said, are policy.Time
		}{{"evidence.firstSeen", e.FirstSeen, t.FirstSeen}, {"evidence.lastSeen", e.LastSeen, t.LastSeen}} {
			if !n.said.Equal(n.are.Time) && t.Sessions > 0 {
				wrong = append(wrong, fmt.Sprintf("%s is %s, counted is %s", n.name, moment(n.said.Time), moment(n.are.Time)))
			}
		}
		if wrong != nil {
			f := v.report.find(WrongNumbers, v.names[i], "its evidence is not what the sessions say:")
			f.Count, f.Examples = uint64(len(wrong)), wrong
		}
	}
}

// wide reports whether a rule has a range among its services.
func (v *verifier) wide(rule int) bool {
	return slices.ContainsFunc(v.p.Rules[rule].Services, func(s policy.Service) bool { return s.Term.Lo != s.Term.Hi })
}

// portRanges compares what the rules say of their ranges.
func (v *verifier) portRanges() {
	for i := range v.p.Rules {
		r := &v.p.Rules[i]
		var want []policy.PortRange
		for _, s := range r.Services {
			if s.Term.Lo == s.Term.Hi {
				continue
			}
			seen := 0
			for x := range v.ports[i] {
				if s.Term.Matches(x) {
					seen++
				}
			}
			want = append(want, policy.PortRange{Service: s, ObservedPorts: seen, PermittedPorts: s.Term.Size()})
		}
		if v.o.Settings.PortRanges > 0 && r.Action == policy.Allow && !slices.Equal(r.PortRanges, want) {
			f := v.report.find(WrongNumbers, v.names[i], "its portRanges are not what the sessions say:")
			for _, x := range want {
				f.Examples = append(f.Examples, fmt.Sprintf("%s: %d of %d ports were observed", x.Service, x.ObservedPorts, x.PermittedPorts))
			}
			f.Count = uint64(len(want))
		}
	}
}
