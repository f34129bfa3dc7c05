package recommender

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"cordon/categories"
	"cordon/recommender/policy"
	"cordon/recommender/prefixcover"
)

// hostPrefix is a prefix that stands for ungrouped hosts of a VRF.
type hostPrefix struct {
	policy.HostPrefix
	members []endpoint
	named   uint64 // other addresses in it that groups of categories which are not selected name
}

// mergeHosts covers the ungrouped hosts of each VRF with the fewest prefixes that
// have at most Settings.MaxExtra extra addresses together, and makes cells of
// prefixes of the cells of hosts. It returns the cells in order, and the prefixes of
// more than one address, in order, by VRF. Parts get the prefixes as their ends too.
//
// A prefix holds hosts of one role only, see roles, so that every cell of a prefix
// was seen for each host in it: what it permits beside is its extra addresses.
// These are private, in no group, and not an end of any session in the window,
// whatever became of it; exclusions and guardrails treat them and the hosts alike.
//
// Hosts that need no rule are covered where that helps; the others need to be.
func mergeHosts(list []cell, parts []part, h *ungrouped) ([]cell, map[string][]hostPrefix, error) {
	var out []cell
	prefixes := map[string][]hostPrefix{}
	for len(list) > 0 {
		vrf := list[0].key.vrf
		n := slices.IndexFunc(list, func(c cell) bool { return c.key.vrf != vrf })
		if n < 0 {
			n = len(list)
		}
		prefixes[vrf] = h.prefixes(h.seen[vrf], list[:n])
		merged, err := mergeCells(list[:n], prefixes[vrf])
		if err != nil {
			return nil, nil, err
		}
		out, list = append(out, merged...), list[n:]
	}
	for i := range parts {
		k := &parts[i].key
		k.src, k.dst = mergedInto(prefixes[k.vrf], k.src), mergedInto(prefixes[k.vrf], k.dst)
	}
	return out, prefixes, nil
}

// ungrouped is what is known of private addresses in no group.
type ungrouped struct {
	maxExtra uint64                  // see Settings.MaxExtra
	seen     map[string][]netip.Addr // by VRF: those that are an end of any session of the window, in order
	named    []netip.Addr            // those that groups of any category name, in order
	alike    func(netip.Prefix) bool // whether a prefix has only such addresses, which exclusions and guardrails treat all alike
}

// prefixes gives the prefixes with more than one address for the hosts of a VRF.
func (h *ungrouped) prefixes(seen []netip.Addr, list []cell) []hostPrefix {
	role, needed := roles(list)
	hosts := make([]prefixcover.Host, len(seen))
	for i, a := range seen {
		e := newEndpoint(noGroup, a)
		hosts[i] = prefixcover.Host{Addr: a, Class: -1, Optional: !needed[e]}
		if k, ok := role[e]; ok {
			hosts[i].Class = k
		}
	}
	var out []hostPrefix
	for _, c := range prefixcover.Cover(hosts, h.maxExtra, h.alike) {
		if c.IsSingleIP() {
			continue
		}
		of := hostPrefix{HostPrefix: policy.HostPrefix{Prefix: c.Prefix, Hosts: uint64(c.Hosts), ExtraAddresses: c.Extra}}
		for _, m := range hosts[c.First : c.First+c.Hosts] {
			of.members = append(of.members, newEndpoint(noGroup, m.Addr))
		}
		from, _ := slices.BinarySearchFunc(h.named, c.Prefix.Addr(), netip.Addr.Compare)
		for _, a := range h.named[from:] {
			if !c.Prefix.Contains(a) {
				break
			}
			if _, seen := slices.BinarySearchFunc(seen, a, netip.Addr.Compare); !seen {
				of.named++
			}
		}
		out = append(out, of)
	}
	return out
}

// hostUse is a service between a host and another endpoint.
type hostUse struct {
	peer    endpoint
	service categories.ServiceTerm
	serves  bool // the peer is the client
}

func (a hostUse) compare(b hostUse) int {
	d := cmp.Or(a.peer.compare(b.peer), a.service.Compare(b.service))
	if d == 0 && a.serves != b.serves {
		d = 1
		if b.serves {
			d = -1
		}
	}
	return d
}

// privateHost reports whether an endpoint is a private host in no group.
func privateHost(e endpoint) bool {
	return e.group == noGroup && categories.KindOf(e.prefix.Addr()) == categories.Private
}

// usesOf gives what the private hosts in no group among the ends of cells use and
// serve, and says which of them need a rule.
func usesOf(list []cell) (uses map[endpoint][]hostUse, needed map[endpoint]bool) {
	uses, needed = map[endpoint][]hostUse{}, map[endpoint]bool{}
	for i := range list {
		k := &list[i].key
		for _, end := range []struct {
			host endpoint
			use  hostUse
		}{{k.src, hostUse{k.dst, k.service, false}}, {k.dst, hostUse{k.src, k.service, true}}} {
			if privateHost(end.host) {
				uses[end.host] = append(uses[end.host], end.use)
				needed[end.host] = needed[end.host] || list[i].included
			}
		}
	}
	return uses, needed
}

// useKey stands for a set of uses.
type useKey [sha256.Size]byte

// keyOf sorts the uses.
func keyOf(list []hostUse) (k useKey) {
	slices.SortFunc(list, hostUse.compare)
	h := sha256.New()
	var b []byte
	for i, u := range list {
		if i > 0 && u == list[i-1] {
			continue
		}
		b, _ = u.peer.prefix.AppendBinary(b[:0])
		b = binary.BigEndian.AppendUint32(append(b, u.service.Proto), u.peer.group)
		b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, u.service.Lo), u.service.Hi)
		if u.serves {
			b = append(b, 1)
		}
		h.Write([]byte{byte(len(b))})
		h.Write(b)
	}
	h.Sum(k[:0])
	return k
}

// keysOf gives the keys of a host: that of what it uses and, since hosts of one role
// that use each other have the same uses once each has itself as a peer too, in the
// way in which it has the others, that of its uses with itself in each such way.
// Which way that is shows with any peer that it uses as that peer uses it.
func keysOf(host endpoint, list []hostUse) []useKey {
	keys := []useKey{keyOf(list)}
	between := map[endpoint][]hostUse{}
	for _, u := range list {
		if privateHost(u.peer) && u.peer != host {
			between[u.peer] = append(between[u.peer], u)
		}
	}
	tried := map[useKey]bool{}
	for _, pair := range between {
		own := slices.Clone(pair)
		var back []hostUse
		for i := range own {
			own[i].peer = host
			back = append(back, hostUse{host, own[i].service, !own[i].serves})
		}
		way := keyOf(own)
		if way != keyOf(back) || tried[way] {
			continue
		}
		tried[way] = true
		keys = append(keys, keyOf(append(own, list...)))
	}
	return keys
}

// roles numbers the roles of the private hosts in no group among the ends of cells,
// and says which of them need a rule. Two hosts have the same role if exchanging
// them changes no cell: they use the same services of the same others, serve the same
// to the same, and whatever one uses of the other, the other uses of it.
func roles(list []cell) (role map[endpoint]int, needed map[endpoint]bool) {
	uses, needed := usesOf(list)
	with := map[useKey][]endpoint{} // hosts that have a key in common have the same role
	for host, list := range uses {
		for _, k := range keysOf(host, list) {
			with[k] = append(with[k], host)
		}
	}
	role = map[endpoint]int{}
	next := 0 // in any order: the numbers only tell roles apart
	for _, hosts := range with {
		if len(hosts) > 1 { // no two such lists share a host: having the same role is transitive
			for _, h := range hosts {
				role[h] = next
			}
			next++
		}
	}
	for host := range uses {
		if _, ok := role[host]; !ok {
			role[host] = next
			next++
		}
	}
	return role, needed
}

// mergeCells gives the cells of one VRF with prefixes for the hosts in them, in
// order. It makes sure, without a look at roles, that every cell of a prefix is one
// of all its hosts.
func mergeCells(list []cell, prefixes []hostPrefix) ([]cell, error) {
	size := func(e endpoint) int {
		if p := findPrefix(prefixes, e); p != nil {
			return len(p.members)
		}
		return 1
	}
	index := map[cellKey]int{}
	var out []cell
	var count []int
	for i := range list {
		c := list[i]
		k, one := c.key, 1
		c.key.src, c.key.dst = mergedInto(prefixes, k.src), mergedInto(prefixes, k.dst)
		if k.src == k.dst && c.key.src != k.src { // a host with itself is no pair
			one = 0
		}
		j, ok := index[c.key]
		if !ok {
			j = len(out)
			index[c.key] = j
			c.parts = slices.Clip(c.parts)
			out, count = append(out, c), append(count, one)
			continue
		}
		out[j].parts = append(out[j].parts, c.parts...)
		out[j].sessions += c.sessions
		out[j].included = out[j].included || c.included
		count[j] += one
	}
	for j := range out {
		k := &out[j].key
		pairs := size(k.src) * size(k.dst)
		if k.src == k.dst && pairs > 1 {
			pairs -= size(k.src)
		}
		if count[j] != pairs {
			return nil, fmt.Errorf("BUG: %s -> %s %s was seen between %d of %d pairs of hosts", k.src.prefix, k.dst.prefix, k.service, count[j], pairs)
		}
	}
	slices.SortFunc(out, func(a, b cell) int { return a.key.compare(b.key) })
	return out, nil
}

// mergedInto gives the prefix that a host is in, else the endpoint.
func mergedInto(prefixes []hostPrefix, e endpoint) endpoint {
	if e.group != noGroup || len(prefixes) == 0 {
		return e
	}
	i, found := slices.BinarySearchFunc(prefixes, e.prefix, func(h hostPrefix, p netip.Prefix) int { return h.Prefix.Addr().Compare(p.Addr()) })
	if !found {
		i--
	}
	if i >= 0 && prefixes[i].Prefix.Contains(e.prefix.Addr()) {
		return endpoint{prefix: prefixes[i].Prefix}
	}
	return e
}

// findPrefix gives the prefix that an endpoint is, or nil.
func findPrefix(prefixes []hostPrefix, e endpoint) *hostPrefix {
	if e.group != noGroup || e.prefix.IsSingleIP() {
		return nil
	}
	i, ok := slices.BinarySearchFunc(prefixes, e.prefix, func(h hostPrefix, p netip.Prefix) int { return h.Prefix.Compare(p) })
	if !ok {
		return nil
	}
	return &prefixes[i]
}
