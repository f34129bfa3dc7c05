package decide

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"cordon/categories"
	"cordon/recommender/cells"
	"cordon/recommender/policy"
	"cordon/recommender/prefixcover"
)

// HostPrefix is a prefix that stands for ungrouped hosts of a VRF.
type HostPrefix struct {
	policy.HostPrefix
	members []cells.Endpoint
	Named   uint64 // other addresses in it that groups of categories which are not selected name
}

// MergeHosts covers the ungrouped hosts of each VRF with the fewest prefixes that
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
func MergeHosts(list []cells.Cell, parts []cells.Part, h *Ungrouped) ([]cells.Cell, map[string][]HostPrefix, error) {
	var out []cells.Cell
	prefixes := map[string][]HostPrefix{}
	for len(list) > 0 {
		vrf := list[0].Key.VRF
		n := slices.IndexFunc(list, func(c cells.Cell) bool { return c.Key.VRF != vrf })
		if n < 0 {
			n = len(list)
		}
		prefixes[vrf] = h.prefixes(h.Seen[vrf], list[:n])
		merged, err := mergeCells(list[:n], prefixes[vrf])
		if err != nil {
			return nil, nil, err
		}
		out, list = append(out, merged...), list[n:]
	}
	for i := range parts {
		k := &parts[i].Key
		k.Src, k.Dst = mergedInto(prefixes[k.VRF], k.Src), mergedInto(prefixes[k.VRF], k.Dst)
	}
	return out, prefixes, nil
}

// Ungrouped is what is known of private addresses in no group.
type Ungrouped struct {
	MaxExtra uint64                  // see Settings.MaxExtra
	Seen     map[string][]netip.Addr // Keyed by VRF: addresses at an end of any session of the window, sorted.
	Named    []netip.Addr            // those that groups of any category name, in order
	Alike    func(netip.Prefix) bool // whether a prefix has only such addresses, which exclusions and guardrails treat all alike
}

// prefixes gives the prefixes with more than one address for the hosts of a VRF.
func (h *Ungrouped) prefixes(seen []netip.Addr, list []cells.Cell) []HostPrefix {
	role, needed := roles(list)
	hosts := make([]prefixcover.Host, len(seen))
	for i, a := range seen {
		e := cells.NewEndpoint(cells.NoGroup, a)
		hosts[i] = prefixcover.Host{Addr: a, Class: -1, Optional: !needed[e]}
		if k, ok := role[e]; ok {
			hosts[i].Class = k
		}
	}
	var out []HostPrefix
	for _, c := range prefixcover.Cover(hosts, h.MaxExtra, h.Alike) {
		if c.IsSingleIP() {
			continue
		}
		of := HostPrefix{HostPrefix: policy.HostPrefix{Prefix: c.Prefix, Hosts: uint64(c.Hosts), ExtraAddresses: c.Extra}}
		for _, m := range hosts[c.First : c.First+c.Hosts] {
			of.members = append(of.members, cells.NewEndpoint(cells.NoGroup, m.Addr))
		}
		from, _ := slices.BinarySearchFunc(h.Named, c.Prefix.Addr(), netip.Addr.Compare)
		for _, a := range h.Named[from:] {
			if !c.Prefix.Contains(a) {
				break
			}
			if _, seen := slices.BinarySearchFunc(seen, a, netip.Addr.Compare); !seen {
				of.Named++
			}
		}
		out = append(out, of)
	}
	return out
}

// hostUse is a service between a host and another endpoint.
type hostUse struct {
	peer    cells.Endpoint
	service categories.ServiceTerm
	serves  bool // the peer is the client
}

func (a hostUse) compare(b hostUse) int {
	d := cmp.Or(a.peer.Compare(b.peer), a.service.Compare(b.service))
	if d == 0 && a.serves != b.serves {
		d = 1
		if b.serves {
			d = -1
		}
	}
	return d
}

// privateHost reports whether an endpoint is a private host in no group.
func privateHost(e cells.Endpoint) bool {
	return e.Group == cells.NoGroup && categories.KindOf(e.Prefix.Addr()) == categories.Private
}

// usesOf gives what the private hosts in no group among the ends of cells use and
// serve, and says which of them need a rule.
func usesOf(list []cells.Cell) (uses map[cells.Endpoint][]hostUse, needed map[cells.Endpoint]bool) {
	uses, needed = map[cells.Endpoint][]hostUse{}, map[cells.Endpoint]bool{}
	for i := range list {
		k := &list[i].Key
		for _, end := range []struct {
			host cells.Endpoint
			use  hostUse
		}{{k.Src, hostUse{k.Dst, k.Service, false}}, {k.Dst, hostUse{k.Src, k.Service, true}}} {
			if privateHost(end.host) {
				uses[end.host] = append(uses[end.host], end.use)
				needed[end.host] = needed[end.host] || list[i].Included
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
		b, _ = u.peer.Prefix.AppendBinary(b[:0])
		b = binary.BigEndian.AppendUint32(append(b, u.service.Proto), u.peer.Group)
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
func keysOf(host cells.Endpoint, list []hostUse) []useKey {
	keys := []useKey{keyOf(list)}
	between := map[cells.Endpoint][]hostUse{}
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
func roles(list []cells.Cell) (role map[cells.Endpoint]int, needed map[cells.Endpoint]bool) {
	uses, needed := usesOf(list)
	with := map[useKey][]cells.Endpoint{} // hosts that have a key in common have the same role
	for host, list := range uses {
		for _, k := range keysOf(host, list) {
			with[k] = append(with[k], host)
		}
	}
	role = map[cells.Endpoint]int{}
	next := 0 // Any order will do: the numbers only tell roles apart.
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
func mergeCells(list []cells.Cell, prefixes []HostPrefix) ([]cells.Cell, error) {
	size := func(e cells.Endpoint) int {
		if p := FindPrefix(prefixes, e); p != nil {
			return len(p.members)
		}
		return 1
	}
	index := map[cells.Key]int{}
	var out []cells.Cell
	var count []int
	for i := range list {
		c := list[i]
		k, one := c.Key, 1
		c.Key.Src, c.Key.Dst = mergedInto(prefixes, k.Src), mergedInto(prefixes, k.Dst)
		if k.Src == k.Dst && c.Key.Src != k.Src { // a host with itself is no pair
			one = 0
		}
		j, ok := index[c.Key]
		if !ok {
			j = len(out)
			index[c.Key] = j
			c.Parts = slices.Clip(c.Parts)
			out, count = append(out, c), append(count, one)
			continue
		}
		out[j].Parts = append(out[j].Parts, c.Parts...)
		out[j].Sessions += c.Sessions
		out[j].Included = out[j].Included || c.Included
		count[j] += one
	}
	for j := range out {
		k := &out[j].Key
		pairs := size(k.Src) * size(k.Dst)
		if k.Src == k.Dst && pairs > 1 {
			pairs -= size(k.Src)
		}
		if count[j] != pairs {
			return nil, fmt.Errorf("BUG: %s -> %s %s was seen between %d of %d pairs of hosts", k.Src.Prefix, k.Dst.Prefix, k.Service, count[j], pairs)
		}
	}
	slices.SortFunc(out, func(a, b cells.Cell) int { return a.Key.Compare(b.Key) })
	return out, nil
}

// mergedInto gives the prefix that a host is in, else the endpoint.
func mergedInto(prefixes []HostPrefix, e cells.Endpoint) cells.Endpoint {
	if e.Group != cells.NoGroup || len(prefixes) == 0 {
		return e
	}
	i, found := slices.BinarySearchFunc(prefixes, e.Prefix, func(h HostPrefix, p netip.Prefix) int { return h.Prefix.Addr().Compare(p.Addr()) })
	if !found {
		i--
	}
	if i >= 0 && prefixes[i].Prefix.Contains(e.Prefix.Addr()) {
		return cells.Endpoint{Prefix: prefixes[i].Prefix}
	}
	return e
}

// FindPrefix gives the prefix that an endpoint is, or nil.
func FindPrefix(prefixes []HostPrefix, e cells.Endpoint) *HostPrefix {
	if e.Group != cells.NoGroup || e.Prefix.IsSingleIP() {
		return nil
	}
	i, ok := slices.BinarySearchFunc(prefixes, e.Prefix, func(h HostPrefix, p netip.Prefix) int { return h.Prefix.Compare(p) })
	if !ok {
		return nil
	}
	return &prefixes[i]
}
