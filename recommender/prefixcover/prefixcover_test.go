package prefixcover

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func hosts(texts ...string) (out []Host) {
	for _, s := range texts {
		out = append(out, Host{Addr: netip.MustParseAddr(s)})
	}
	return out
}

func texts(cover []Prefix) (out []string) {
	for _, p := range cover {
		out = append(out, fmt.Sprint(p.Prefix, " ", p.Hosts, "+", p.Extra))
	}
	return out
}

func TestCover(t *testing.T) {
	seven := hosts("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.7")
	other := slices.Clone(seven)
	other[3].Class = 1
	blocked := slices.Clone(seven)
	blocked[3].Class, blocked[3].Optional = -1, true
	optional := slices.Clone(seven)
	optional[3].Optional, optional[6].Optional = true, true
	for _, c := range []struct {
		name     string
		hosts    []Host
		maxExtra uint64
		want     []string
	}{
		{"nothing", nil, 9, nil},
		{"one", hosts("10.0.0.1"), 9, []string{"10.0.0.1/32 1+0"}},
		{"no extra", seven, 0, []string{"10.0.0.1/32 1+0", "10.0.0.2/31 2+0", "10.0.0.4/30 4+0"}},
		{"one extra", seven, 1, []string{"10.0.0.0/29 7+1"}},
		{"the unused bound is not spent", hosts("10.0.0.0", "10.0.0.1"), 99, []string{"10.0.0.0/31 2+0"}},
		{"two classes", other, 2, []string{"10.0.0.0/30 3+1", "10.0.0.4/32 1+0", "10.0.0.5/32 1+0", "10.0.0.6/31 2+0"}},
		{"a host that must stay out", blocked, 2, []string{"10.0.0.0/30 3+1", "10.0.0.5/32 1+0", "10.0.0.6/31 2+0"}},
		{"hosts that may stay out", optional, 0, []string{"10.0.0.1/32 1+0", "10.0.0.2/31 2+0", "10.0.0.4/30 4+0"}},
		{"and help", optional, 1, []string{"10.0.0.0/29 7+1"}},
		{"where it saves most", hosts("10.0.0.0", "10.0.0.3", "10.0.1.0", "10.0.1.2", "10.0.1.3"), 2, []string{"10.0.0.0/32 1+0", "10.0.0.3/32 1+0", "10.0.1.0/30 3+1"}},
		{"across families", hosts("10.0.0.0", "10.0.0.3", "fd00::", "fd00::2"), 3, []string{"10.0.0.0/30 2+2", "fd00::/128 1+0", "fd00::2/128 1+0"}},
		{"half of IPv6", hosts("fd00::1", "fd00::8000:0:0:1"), math.MaxUint64, []string{"fd00::/64 2+18446744073709551614"}},
		{"no overflow", hosts("fd00::1", "fd00::8000:0:0:1", "fd00:0:0:1::1", "fd00:0:0:1:8000::1"), math.MaxUint64,
			[]string{"fd00::1/128 1+0", "fd00::8000:0:0:1/128 1+0", "fd00:0:0:1::/64 2+18446744073709551614"}},
		{"more than counts", hosts("::1", "8000::1"), math.MaxUint64, []string{"::1/128 1+0", "8000::1/128 1+0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := texts(Cover(c.hosts, c.maxExtra, nil))
			if c.name == "no overflow" { // either /64 would do
				if len(got) != 3 {
					t.Errorf("%q", got)
				}
				return
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
	if got := texts(Cover(seven, 1, func(p netip.Prefix) bool { return p.Bits() > 29 })); len(got) != 2 {
		t.Errorf("%q: /29 may not be used", got)
	}
}

// problem is a small instance: the addresses of two tries of 16 leaves.
type problem struct {
	hosts    []Host
	maxExtra uint64
	shut     []netip.Prefix // no prefix may hold one
}

var tries = []netip.Prefix{netip.MustParsePrefix("10.0.0.16/28"), netip.MustParsePrefix("fd00::20/124")}

func draw(t *rapid.T) problem {
	p := problem{maxExtra: uint64(rapid.IntRange(0, 12).Draw(t, "max extra"))}
	for _, trie := range tries {
		a := trie.Addr()
		for range 16 {
			if k := rapid.IntRange(-2, 3).Draw(t, "class"); k >= -1 {
				p.hosts = append(p.hosts, Host{a, min(k, 1), k < 0 || rapid.IntRange(0, 5).Draw(t, "optional") == 0})
			}
			a = a.Next()
		}
		if rapid.Bool().Draw(t, "shut") {
			bits := trie.Bits() + rapid.IntRange(0, 4).Draw(t, "bits")
			at := rapid.IntRange(0, 15).Draw(t, "at")
			for a = trie.Addr(); at > 0; at-- {
				a = a.Next()
			}
			p.shut = append(p.shut, netip.PrefixFrom(a, bits).Masked())
		}
	}
	return p
}

func (p *problem) may(x netip.Prefix) bool {
	return !slices.ContainsFunc(p.shut, func(s netip.Prefix) bool { return x.Overlaps(s) })
}

// fewest tries every way to cut a prefix into usable prefixes, and gives for each number of extra
// addresses the fewest prefixes, or -1.
func (p *problem) fewest(x netip.Prefix) []int {
	out := make([]int, p.maxExtra+1)
	for i := range out {
		out[i] = -1
	}
	better := func(extra uint64, n int) {
		if extra <= p.maxExtra && (out[extra] < 0 || n < out[extra]) {
			out[extra] = n
		}
	}
	inside := 0
	classes := map[int]bool{}
	need := false
	for _, h := range p.hosts {
		if x.Contains(h.Addr) {
			inside++
			classes[h.Class] = true
			need = need || !h.Optional
		}
	}
	if !need {
		better(0, 0)
	}
	if inside > 0 && len(classes) == 1 && !classes[-1] && (x.IsSingleIP() || p.may(x)) {
		better(uint64(1)<<(x.Addr().BitLen()-x.Bits())-uint64(inside), 1)
	}
	if !x.IsSingleIP() {
		left := netip.PrefixFrom(x.Addr(), x.Bits()+1)
		high := x.Addr().AsSlice()
		high[x.Bits()/8] |= 0x80 >> (x.Bits() % 8)
		a, _ := netip.AddrFromSlice(high)
		l, r := p.fewest(left), p.fewest(netip.PrefixFrom(a, x.Bits()+1))
		for i, m := range l {
			for j, n := range r {
				if m >= 0 && n >= 0 {
					better(uint64(i+j), m+n)
				}
			}
		}
	}
	return out
}

func TestFewestByBruteForce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := draw(t)
		got := Cover(p.hosts, p.maxExtra, p.may)

		held := map[netip.Addr]bool{}
		extra := uint64(0)
		for i, x := range got {
			if i > 0 && !got[i-1].Addr().Less(x.Addr()) {
				t.Fatalf("%v is not in order", texts(got))
			}
			inside := uint64(0)
			for k, h := range p.hosts {
				if !x.Contains(h.Addr) {
					continue
				}
				if held[h.Addr] || h.Class < 0 || h.Class != p.hosts[x.First].Class || k < x.First || k >= x.First+x.Hosts {
					t.Fatalf("%v must not hold %v", x, h)
				}
				held[h.Addr] = true
				inside++
			}
			if !x.IsSingleIP() && !p.may(x.Prefix) {
				t.Fatalf("%s must not be used", x)
			}
			if inside != uint64(x.Hosts) || x.Extra != 1<<(x.Addr().BitLen()-x.Bits())-inside {
				t.Fatalf("%+v holds %d hosts", x, inside)
			}
			extra += x.Extra
		}
		for _, h := range p.hosts {
			if !held[h.Addr] && !h.Optional {
				t.Fatalf("%v is not covered by %v", h, texts(got))
			}
		}

		fewest, least := math.MaxInt, uint64(0)
		l, r := p.fewest(tries[0]), p.fewest(tries[1])
		for i, m := range l {
			for j, n := range r {
				if e := uint64(i + j); m >= 0 && n >= 0 && e <= p.maxExtra && (m+n < fewest || m+n == fewest && e < least) {
					fewest, least = m+n, e
				}
			}
		}
		if len(got) != fewest || extra != least {
			t.Fatalf("%d prefixes with %d extra addresses, want %d with %d: %v", len(got), extra, fewest, least, texts(got))
		}
	})
}

// TestManyHosts is about time and depth: 20,000 hosts of many classes.
func TestManyHosts(t *testing.T) {
	var list []Host
	for i := range 20_000 {
		list = append(list, Host{Addr: netip.AddrFrom4([4]byte{10, byte(i >> 12), byte(i >> 4), byte(i<<4) | byte(i%5)}), Class: i / 7})
	}
	few, many := Cover(list, 256, nil), Cover(list, 1<<20, nil)
	if len(few) <= len(many) || len(few) >= len(list) {
		t.Errorf("%d prefixes for %d hosts, %d with more extra addresses", len(few), len(list), len(many))
	}
}

func BenchmarkCover(b *testing.B) {
	var list []Host
	for i := range 50_000 {
		list = append(list, Host{Addr: netip.AddrFrom4([4]byte{10, byte(i >> 12), byte(i >> 4), byte(i<<4) | byte(i%5)}), Class: i / 7})
	}
	for b.Loop() {
		Cover(list, 256, nil)
	}
}
