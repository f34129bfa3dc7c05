package decide

import (
	"flag"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"cordon/categories"
	"cordon/recommender/cells"
)

// TestMain draws more than usual, since a draw costs little here, and a fault in what hosts have in common shows in few of them.
func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		f.Value.Set("1500")
	}
	m.Run()
}

// said are policies that a test writes down: each statement names two classes, any by 0, and a range of services.
type said struct {
	excluded, denied, permitted []saying
	classes                     map[cells.Endpoint][]uint32
}

type saying struct {
	src, dst uint32
	service  categories.ServiceTerm
}

func (s saying) holds(src, dst uint32, service categories.Service) bool {
	return (s.src == 0 || s.src == src) && (s.dst == 0 || s.dst == dst) && s.service.Matches(service)
}

func (s *said) ClassesOf(e cells.Endpoint, seen uint32) []uint32 {
	if of, ok := s.classes[e]; ok {
		return of
	}
	return []uint32{seen}
}

func (s *said) Excluded(_ string, src, dst uint32, service categories.Service) int {
	return slices.IndexFunc(s.excluded, func(x saying) bool { return x.holds(src, dst, service) })
}

func (s *said) Permitted(_ string, src, dst uint32, service categories.Service) int {
	return slices.IndexFunc(s.permitted, func(x saying) bool { return x.holds(src, dst, service) })
}

func (s *said) Denied(_ string, src, dst []uint32, service categories.Service) int {
	return slices.IndexFunc(s.denied, func(x saying) bool {
		return slices.ContainsFunc(src, func(a uint32) bool {
			return slices.ContainsFunc(dst, func(b uint32) bool { return x.holds(a, b, service) })
		})
	})
}

func (s *said) Forbidden(vrf string, src, dst []uint32, t categories.ServiceTerm) bool {
	for port := int(t.Lo); port <= int(t.Hi); port++ {
		if s.Denied(vrf, src, dst, categories.Service{Proto: t.Proto, Port: uint16(port)}) >= 0 {
			return true
		}
	}
	return false
}

func host(a string) cells.Endpoint { return cells.NewEndpoint(cells.NoGroup, netip.MustParseAddr(a)) }

func group(n uint32) cells.Endpoint { return cells.Endpoint{Group: n} }

func term(t testing.TB, s string) categories.ServiceTerm {
	t.Helper()
	out, err := categories.ParseServiceTerm(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func service(t testing.TB, s string) categories.Service {
	t.Helper()
	out, err := categories.ParseService(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// part is some sessions between two ends, each of the class that stands behind its name: "group 3", "10.0.0.1".
func part(t testing.TB, src, dst, of string, sessions uint64) cells.Part {
	t.Helper()
	end := func(s string) (cells.Endpoint, uint32) {
		if n, ok := strings.CutPrefix(s, "group "); ok {
			return group(uint32(n[0] - '0')), uint32(n[0] - '0')
		}
		return host(s), uint32(netip.MustParseAddr(s).As16()[15]) + 100
	}
	p := cells.Part{Service: service(t, of), Sessions: sessions, Note: -1}
	p.Key.Src, p.SrcClass = end(src)
	p.Key.Dst, p.DstClass = end(dst)
	p.Key.Service = p.Service.Term()
	return p
}
