package cells

import (
	"cmp"
	"net/netip"
	"time"

	"cordon/categories"
	"cordon/recommender/policy"
)

// Endpoint is one end of a cell: a group by its number in the run's tables, or
// a prefix of addresses that are in none, most often a single one. It is comparable.
type Endpoint struct {
	Group  uint32
	Prefix netip.Prefix // unmapped; the zero Prefix for a group
}

func NewEndpoint(group uint32, addr netip.Addr) Endpoint {
	if group != NoGroup {
		return Endpoint{Group: group}
	}
	addr = addr.Unmap()
	return Endpoint{Prefix: netip.PrefixFrom(addr, addr.BitLen())}
}

func (e Endpoint) Compare(o Endpoint) int {
	return cmp.Or(cmp.Compare(e.Group, o.Group), e.Prefix.Compare(o.Prefix))
}

// Key is one (VRF, source, destination, service).
type Key struct {
	VRF      string
	Src, Dst Endpoint
	Service  categories.ServiceTerm // one service, or a range of ports
}

func (k Key) Compare(o Key) int {
	return cmp.Or(cmp.Compare(k.VRF, o.VRF), k.Src.Compare(o.Src), k.Dst.Compare(o.Dst), k.Service.Compare(o.Service))
}

// Part is the sessions of a cell that everything treats alike: those between two
// classes of addresses, with the same reason.
type Part struct {
	Hash               uint64
	Key                Key
	Service            categories.Service
	SrcClass, DstClass uint32
	Reason             uint8 // number of the reason; 0 if none so far
	Note               int32 // statement that decided, or -1
	Sessions           uint64
	Breadth            Breadth // Counted as far as the settings ask for it.
	Bytes              uint64
	First, Last        time.Time
}

// Breadth is how many distinct clients and hours a cell has, and how many distinct hours the (client, server) pair
// has that came back most often.
type Breadth struct{ Clients, Hours, Recurring uint64 }

// Cell is one (source, destination, service) of a VRF with the parts that come
// as far as being counted as its support.
type Cell struct {
	Key      Key
	Parts    []int // Indices of the run's parts.
	Sessions uint64
	Included bool     // has a session that needs a rule
	Breadth  *Breadth // The range's breadth; other cells are counted in ClickHouse.
}

// IsRange reports whether a term is a range of ports.
func IsRange(t categories.ServiceTerm) bool { return t.Lo != t.Hi }

// Inside reports whether a term is in another, and not the same.
func Inside(t, wide categories.ServiceTerm) bool {
	return t != wide && t.Proto == wide.Proto && wide.Lo <= t.Lo && t.Hi <= wide.Hi
}

// Pair is a source and a destination of cells.
type Pair struct{ Src, Dst Endpoint }

// NoGroup and internetGroup stand in the run's tables for what is not a group of the
// groups file; a group is its place in Resolver.Groups plus one.
const (
	NoGroup       = uint32(0)
	InternetGroup = ^uint32(0)
)

// ReasonNumber is a reason in the run's tables: its place in policy.Reasons plus
// one; 0 is included.
func ReasonNumber(reason policy.Reason) int {
	for i, r := range policy.Reasons {
		if r == reason {
			return i + 1
		}
	}
	panic("BUG: no number for reason " + string(reason))
}
