package recommender

import (
	"cmp"
	"net/netip"
	"time"

	"cordon/categories"
	"cordon/recommender/policy"
)

// endpoint is one end of a cell: a group by its number in the run's tables, or
// a prefix of addresses that are in none, most often a single one. It is comparable.
type endpoint struct {
	group  uint32
	prefix netip.Prefix // unmapped; the zero Prefix for a group
}

func newEndpoint(group uint32, addr netip.Addr) endpoint {
	if group != noGroup {
		return endpoint{group: group}
	}
	addr = addr.Unmap()
	return endpoint{prefix: netip.PrefixFrom(addr, addr.BitLen())}
}

func (e endpoint) compare(o endpoint) int {
	return cmp.Or(cmp.Compare(e.group, o.group), e.prefix.Compare(o.prefix))
}

// cellKey is one (VRF, source, destination, service).
type cellKey struct {
	vrf      string
	src, dst endpoint
	service  categories.ServiceTerm // one service, or a range of ports
}

func (k cellKey) compare(o cellKey) int {
	return cmp.Or(cmp.Compare(k.vrf, o.vrf), k.src.compare(o.src), k.dst.compare(o.dst), k.service.Compare(o.service))
}

// part is the sessions of a cell that everything treats alike: those between two
// classes of addresses, with the same reason.
type part struct {
	hash               uint64
	key                cellKey
	service            categories.Service
	srcClass, dstClass uint32
	reason             uint8 // number of the reason; 0 if none so far
	note               int32 // statement that decided, or -1
	sessions           uint64
	breadth            breadth // as far as the settings ask for it
	bytes              uint64
	first, last        time.Time
}

// breadth is how many distinct clients and hours a cell has, and how many distinct hours the (client, server) pair
// has that came back most often.
type breadth struct{ clients, hours, recurring uint64 }

// cell is one (source, destination, service) of a VRF with the parts that come
// as far as being counted as its support.
type cell struct {
	key      cellKey
	parts    []int // into the run's parts
	sessions uint64
	included bool     // has a session that needs a rule
	breadth  *breadth // of a range; other cells are counted in ClickHouse
}

// isRange reports whether a term is a range of ports.
func isRange(t categories.ServiceTerm) bool { return t.Lo != t.Hi }

// inside reports whether a term is in another, and not the same.
func inside(t, wide categories.ServiceTerm) bool {
	return t != wide && t.Proto == wide.Proto && wide.Lo <= t.Lo && t.Hi <= wide.Hi
}

// pairOf is a source and a destination of cells.
type pairOf struct{ src, dst endpoint }

// noGroup and internetGroup stand in the run's tables for what is not a group of the
// groups file; a group is its place in Resolver.Groups plus one.
const (
	noGroup       = uint32(0)
	internetGroup = ^uint32(0)
)

// reasonNumber is a reason in the run's tables: its place in policy.Reasons plus
// one; 0 is included.
func reasonNumber(reason policy.Reason) int {
	for i, r := range policy.Reasons {
		if r == reason {
			return i + 1
		}
	}
	panic("BUG: no number for reason " + string(reason))
}
