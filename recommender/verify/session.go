package verify

import (
	"net/netip"
	"slices"
	"time"

	"cordon/categories"
)

// Session is one (client, server, service) of a proposal's VRF and window.
type Session struct {
	Client, Server netip.Addr
	Service        categories.Service
	Flows, Bytes   uint64 // bytes of both directions
	ScaledBytes    uint64 // Bytes, each record's multiplied by its sampling
	First, Last    time.Time
	Complete       bool // a record was answered, or nobody can tell
	HalfOpen       bool // a record was not answered
	Denied         bool // a record was dropped by the network
	Directed       bool // client and server were told apart

	Hours         []uint32 // hours with records, in hours since 1970; each once
	ClientFlags   uint16   // union of the client's TCP flags
	ServerFlags   uint16   // union of the server's TCP flags
	ClientPackets uint64
	ClientBytes   uint64
	ServerPackets uint64
	Sampling      uint32       // the coarsest, 1 in so many; 0 where nobody says, [policy.SamplingUnknown] where nobody knows
	Exporters     []string     // those with loss that saw it
	SeenBy        []netip.Addr // all exporters that saw it, where there is a scope
}

// add joins two codes of one ICMP type.
func (s *Session) add(o *Session) {
	s.Flows += o.Flows
	s.Bytes += o.Bytes
	s.ScaledBytes += o.ScaledBytes
	if o.First.Before(s.First) {
		s.First = o.First
	}
	if o.Last.After(s.Last) {
		s.Last = o.Last
	}
	s.Complete, s.HalfOpen, s.Denied, s.Directed = s.Complete || o.Complete, s.HalfOpen || o.HalfOpen, s.Denied || o.Denied, s.Directed || o.Directed
	s.Hours = union(s.Hours, o.Hours)
	s.ServerPackets += o.ServerPackets
	s.Sampling = max(s.Sampling, o.Sampling)
	s.Exporters = union(s.Exporters, o.Exporters)
	s.SeenBy = union(s.SeenBy, o.SeenBy)
}

func union[T comparable](a, b []T) []T {
	out := slices.Clone(a)
	for _, x := range b {
		if !slices.Contains(out, x) {
			out = append(out, x)
		}
	}
	return out
}
