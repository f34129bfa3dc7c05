package collector

import (
	"net/netip"
	"sync"

	"github.com/gaissmai/bart"
)

// deniedAddresses is how many addresses outside the allow-list are remembered
// one by one, for status. Their number in total is counted without end.
const deniedAddresses = 64

// admission decides which exporters may send.
type admission struct {
	allowed *bart.Lite // nil: all

	mu     sync.Mutex
	total  uint64
	byAddr map[netip.Addr]uint64
}

func newAdmission(allow []netip.Prefix) *admission {
	a := &admission{byAddr: make(map[netip.Addr]uint64)}
	if len(allow) > 0 {
		a.allowed = table(allow)
	}
	return a
}

// table makes a table of prefixes, in which IPv4 is IPv4.
func table(list []netip.Prefix) *bart.Lite {
	t := new(bart.Lite)
	for _, p := range list {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		t.Insert(p)
	}
	return t
}

// prefixes tells which addresses a list of prefixes has.
func prefixes(list []netip.Prefix) func(netip.Addr) bool {
	t := table(list)
	return func(a netip.Addr) bool { return t.Lookup(a.Unmap()) }
}

// admit says whether the exporter may send, and counts it if not.
func (a *admission) admit(exporter netip.Addr) bool {
	if a.allowed == nil || a.allowed.Lookup(exporter) {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.total++
	if _, known := a.byAddr[exporter]; known || len(a.byAddr) < deniedAddresses {
		a.byAddr[exporter]++
	}
	return false
}

// DeniedStatus says what came from outside the allow-list.
type DeniedStatus struct {
	// Total counts datagrams and connections.
	Total uint64 `json:"total"`
	// Exporters counts them for the first addresses seen.
	Exporters map[netip.Addr]uint64 `json:"exporters,omitempty"`
}

func (a *admission) snapshot() DeniedStatus {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := DeniedStatus{Total: a.total}
	for addr, n := range a.byAddr {
		if s.Exporters == nil {
			s.Exporters = make(map[netip.Addr]uint64, len(a.byAddr))
		}
		s.Exporters[addr] = n
	}
	return s
}
