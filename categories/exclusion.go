package categories

import "net/netip"

// Matches reports whether a session is excluded. It looks at every prefix in
// turn: the reference for queries over many sessions, which take the prefixes
// and terms themselves.
func (x *Exclusion) Matches(client, server netip.Addr, service Service) bool {
	return selected(x.Sources, client) && selected(x.Destinations, server) && x.matchesService(service)
}

func (x *Exclusion) matchesService(s Service) bool {
	for _, t := range x.Services {
		if t.Matches(s) {
			return true
		}
	}
	return len(x.Services) == 0
}

func selected(selectors []Selector, addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	for _, s := range selectors {
		for _, p := range s.Prefixes {
			if p.Contains(addr) {
				return true
			}
		}
	}
	return len(selectors) == 0
}

// SourcePrefixes returns the fewest prefixes that hold the exclusion's clients.
// Where it holds for every client, all is true and there are none; a group
// without prefixes gives none as well, and then no client matches.
func (x *Exclusion) SourcePrefixes() (prefixes []netip.Prefix, all bool) {
	return selectedPrefixes(x.Sources)
}

// DestinationPrefixes is SourcePrefixes for the servers.
func (x *Exclusion) DestinationPrefixes() (prefixes []netip.Prefix, all bool) {
	return selectedPrefixes(x.Destinations)
}

func selectedPrefixes(selectors []Selector) ([]netip.Prefix, bool) {
	var prefixes []netip.Prefix
	for _, s := range selectors {
		prefixes = append(prefixes, s.Prefixes...)
	}
	return aggregate(prefixes), len(selectors) == 0
}
