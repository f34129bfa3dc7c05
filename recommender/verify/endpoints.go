package verify

import (
	"maps"
	"net/netip"
	"slices"

	"cordon/categories"
	"cordon/recommender/policy"
)

// endpoints gives the ends of cells numbers. An end is a literal: a group, the
// built-in group, or a host in no group.
type endpoints struct {
	addresses *policy.Addresses
	resolver  *categories.Resolver
	settings  policy.Settings

	literals []policy.Endpoint
	ids      map[policy.Endpoint]int32
	groups   []int32 // number of each group, by its place in Resolver.Groups
	hosts    []netip.Addr
	spans    []policy.Span // ranges that are in groups, in order; At is the group's place
	found    map[netip.Addr]end
	prefixes []*hostPrefix // the document's prefixes, in its order
	owners   *owners       // nil where no address changed its owner
}

// end is the endpoint of an address, or why it has none.
type end struct {
	id      int32
	outside policy.Reason // External or Ungrouped
}

func newEndpoints(a *policy.Addresses, s policy.Settings, declared []policy.HostPrefix) *endpoints {
	x := &endpoints{addresses: a, resolver: a.Resolver(), settings: s, ids: map[policy.Endpoint]int32{}, found: map[netip.Addr]end{}}
	place := map[categories.Ref]int{}
	for i, g := range x.resolver.Groups() {
		x.groups = append(x.groups, x.id(policy.GroupEndpoint(x.resolver.Label(g))))
		place[g] = i
	}
	var prefixes []netip.Prefix
	for _, as := range x.resolver.Assignments() {
		prefixes = append(prefixes, as.Prefix)
	}
	x.spans = policy.Spans(prefixes)
	for i := range x.spans {
		x.spans[i].At = place[x.resolver.Assignments()[x.spans[i].At].Group]
	}
	if s.Ungrouped == policy.UngroupedPrefix {
		for _, h := range declared {
			x.prefixes = append(x.prefixes, &hostPrefix{HostPrefix: h, id: x.id(policy.Endpoint{Prefix: h.Prefix})})
		}
	}
	return x
}

func (x *endpoints) id(e policy.Endpoint) int32 {
	id, ok := x.ids[e]
	if !ok {
		id = int32(len(x.literals))
		x.ids[e] = id
		x.literals = append(x.literals, e)
	}
	return id
}

// of gives the endpoint of an address.
func (x *endpoints) of(addr netip.Addr) end {
	if e, ok := x.found[addr]; ok {
		return e
	}
	var e end
	if f, was := x.owners.formerly(addr); was {
		e = x.ofFormer(f)
	} else if g := x.resolver.LookupIndex(addr); g >= 0 {
		e.id = x.groups[g]
	} else {
		host := x.settings.Ungrouped != policy.UngroupedReport // Hosts become prefixes there too; see joinHosts.
		public := categories.KindOf(addr) == categories.Public
		if public {
			host = x.settings.External == policy.ExternalHost
		}
		switch {
		case host:
			e.id = x.id(policy.HostEndpoint(addr))
			x.hosts = append(x.hosts, addr)
		case public && x.settings.External == policy.ExternalInternet:
			e.id = x.id(policy.GroupEndpoint(x.resolver.Label(categories.Internet)))
		case public:
			e.outside = policy.External
		default:
			e.outside = policy.Ungrouped
		}
	}
	x.found[addr] = e
	return e
}

// ofFormer is of for the address of a former owner: where that was in no group, nobody knows whose the address was.
func (x *endpoints) ofFormer(f *former) end {
	switch public := categories.KindOf(f.addr) == categories.Public; {
	case f.group >= 0:
		return end{id: x.groups[f.group]}
	case public && x.settings.External == "internet" && !f.times.Always():
		return end{id: x.id(policy.GroupEndpoint(x.resolver.Label(categories.Internet)))}
	case public:
		return end{outside: policy.External}
	}
	return end{outside: policy.Ungrouped}
}

// maxListed is how many addresses in no group a literal is taken apart into.
const maxListed = 1024

// expand gives the endpoints that a literal has addresses of. Where it holds more
// addresses in no group than can be listed, those of hosts that were seen
// are listed, and the literal itself stands for the rest, which was not seen. Call
// it after all sessions were looked up.
func (x *endpoints) expand(e policy.Endpoint) ([]int32, error) {
	m, err := x.addresses.Meaning(e)
	if err != nil {
		return nil, err
	}
	if m.Group >= 0 {
		return []int32{x.groups[m.Group]}, nil
	}
	internet := x.settings.External == policy.ExternalInternet
	if m.Internet && internet {
		return []int32{x.id(e)}, nil
	}
	var out []int32
	if m.Any || m.Internet {
		for _, h := range x.hosts {
			if m.Any || categories.KindOf(h) == categories.Public {
				out = append(out, x.of(h).id)
			}
		}
		if m.Any {
			for _, s := range x.spans {
				out = append(out, x.groups[s.At])
			}
			if internet {
				out = append(out, x.id(policy.GroupEndpoint(x.resolver.Label(categories.Internet))))
			}
		}
		out = append(out, x.id(e))
	}
	for _, p := range m.Prefixes {
		if i := slices.IndexFunc(x.prefixes, func(h *hostPrefix) bool { return h.Prefix == p }); i >= 0 {
			out = append(out, x.prefixes[i].id)
			continue
		}
		out = x.prefix(e, p, out)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// prefix appends the endpoints of a prefix.
func (x *endpoints) prefix(e policy.Endpoint, p netip.Prefix, out []int32) []int32 {
	whole := policy.Spans([]netip.Prefix{p})[0]
	gap := func(lo, hi netip.Addr) {
		n := 0
		for a := lo; n <= maxListed && a.IsValid() && a.Compare(hi) <= 0; a = a.Next() {
			n++
		}
		if n <= maxListed {
			for a := lo; a.IsValid() && a.Compare(hi) <= 0; a = a.Next() {
				if at := x.found[a]; at.outside == "" && x.seen(a) {
					out = append(out, at.id)
				} else if h := x.prefixOf(a); h != nil {
					out = append(out, h.id)
				} else {
					out = append(out, x.id(policy.HostEndpoint(a)))
				}
			}
			return
		}
		for _, h := range x.hosts {
			if h.BitLen() == lo.BitLen() && h.Compare(lo) >= 0 && h.Compare(hi) <= 0 {
				out = append(out, x.of(h).id)
			}
		}
		out = append(out, x.id(e))
	}
	at := whole.Lo
	for _, s := range x.spans {
		if s.Lo.BitLen() != at.BitLen() || s.Hi.Less(at) {
			continue
		}
		if whole.Hi.Less(s.Lo) {
			break
		}
		out = append(out, x.groups[s.At])
		if at.Less(s.Lo) {
			gap(at, s.Lo.Prev())
		}
		at = s.Hi.Next()
		if !at.IsValid() || whole.Hi.Less(at) {
			return out
		}
	}
	gap(at, whole.Hi)
	return out
}

func (x *endpoints) seen(a netip.Addr) bool { _, ok := x.found[a]; return ok }

// representatives gives, for every endpoint of a cell, addresses such that any
// other of its addresses is in the same prefixes as one of them. The prefixes are
// those that policies name, and one rule cannot tell addresses of a group apart
// otherwise.
func (x *endpoints) representatives(prefixes []netip.Prefix) map[int32][]netip.Addr {
	begins := map[netip.Addr]bool{}
	for _, a := range x.borders(prefixes) {
		begins[a] = true
	}
	internet := x.id(policy.GroupEndpoint(x.resolver.Label(categories.Internet)))
	out := map[int32][]netip.Addr{}
	for a := range begins {
		if g := x.resolver.LookupIndex(a); g >= 0 {
			out[x.groups[g]] = append(out[x.groups[g]], a)
		} else if x.settings.External == policy.ExternalInternet && categories.KindOf(a) == categories.Public {
			out[internet] = append(out[internet], a)
		}
	}
	for _, h := range x.hosts {
		id := x.of(h).id
		out[id] = append(out[id], h)
	}
	if x.owners != nil {
		for _, a := range x.owners.all(slices.Collect(maps.Keys(begins))) {
			if e := x.of(a); e.outside == "" {
				out[e.id] = append(out[e.id], a)
			}
		}
	}
	for _, h := range x.prefixes {
		out[h.id] = append(out[h.id], h.Prefix.Addr())
		for a := range begins {
			if h.Prefix.Contains(a) {
				out[h.id] = append(out[h.id], a)
			}
		}
	}
	return out
}

// borders gives the addresses at which prefixes, groups and special-purpose ranges begin, or have ended.
func (x *endpoints) borders(prefixes []netip.Prefix) []netip.Addr {
	begins := map[netip.Addr]bool{netip.IPv4Unspecified(): true, netip.IPv6Unspecified(): true}
	add := func(p netip.Prefix) {
		s := policy.Spans([]netip.Prefix{p})[0]
		begins[s.Lo] = true
		if next := s.Hi.Next(); next.IsValid() {
			begins[next] = true
		}
	}
	for _, p := range prefixes {
		add(p)
	}
	for _, a := range x.resolver.Assignments() {
		add(a.Prefix)
	}
	for _, s := range categories.SpecialPurpose() {
		add(s.Prefix)
	}
	return slices.DeleteFunc(slices.Collect(maps.Keys(begins)), netip.Addr.Is4In6) // those count as IPv4
}
