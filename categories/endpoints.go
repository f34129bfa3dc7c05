package categories

import (
	"net/netip"
	"slices"
)

// Endpoint is a host that the groups file names by its own /32 or /128.
type Endpoint struct {
	Addr  netip.Addr
	Group Ref // the group that the address resolves to
	// Named says that this group is the one, or one of those, that name the
	// address. Otherwise another selected group does, and this one contains it.
	Named bool
}

// Hosts returns every address that a group of the file, of any category, names as a
// single host, once, in order. These are known endpoints whether or not they were seen.
func (f *File) Hosts() []netip.Addr {
	var out []netip.Addr
	for i := range f.Categories {
		for j := range f.Categories[i].Groups {
			for _, p := range f.Categories[i].Groups[j].Prefixes {
				if p.IsSingleIP() {
					out = append(out, p.Addr())
				}
			}
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

// Endpoints returns each address that a group of the selected categories names
// as a single host, once, with the group that it resolves to, in order of address.
// These are known endpoints whether or not they were seen. It must not be changed.
func (r *Resolver) Endpoints() []Endpoint { return r.endpoints }

// EndpointsByGroup returns, for each group by its place in Groups, the
// addresses that the group names and that resolve to it.
func (r *Resolver) EndpointsByGroup() [][]netip.Addr {
	place := make(map[Ref]int, len(r.groups))
	for i, g := range r.groups {
		place[g] = i
	}
	out := make([][]netip.Addr, len(r.groups))
	for _, e := range r.endpoints {
		if e.Named {
			i := place[e.Group]
			out[i] = append(out[i], e.Addr)
		}
	}
	return out
}

// knownEndpoints expects the entries of the selection sorted by prefix.
func (r *Resolver) knownEndpoints(s *selection) []Endpoint {
	var out []Endpoint
	for _, e := range s.entries {
		if !e.prefix.IsSingleIP() {
			continue
		}
		addr := e.prefix.Addr()
		group := int32(r.LookupIndex(addr))
		if n := len(out); n > 0 && out[n-1].Addr == addr {
			continue // the address resolves to the first group that names it, or to one that does not
		}
		out = append(out, Endpoint{addr, s.groups[group], group == e.group})
	}
	// Sorted by prefix is sorted by family first and by address then.
	return slices.Clip(out)
}
