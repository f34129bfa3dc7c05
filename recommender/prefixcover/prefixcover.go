// Package prefixcover covers hosts with the fewest prefixes under a bound on
// extra addresses: those that a prefix holds beside the hosts. It knows nothing of
// sessions and rules.
//
// The answer is exact. Below each node of the binary trie of the hosts it keeps
// the choices that no other beats in both numbers, prefixes and extra addresses: a
// knapsack on a tree. Nodes where the trie branches are all that matters, since the
// smallest prefix around two or more hosts is one.
package prefixcover

import (
	"fmt"
	"net/netip"
	"sort"
)

// Host is one address.
type Host struct {
	Addr netip.Addr // unmapped
	// Class tells hosts apart: a prefix holds hosts of one class only. Below 0
	// is a host that no prefix may hold, not even its own.
	Class int
	// Optional is a host that need not be covered. Held by a prefix of its class
	// it is no extra address.
	Optional bool
}

// Prefix is a prefix of a cover.
type Prefix struct {
	netip.Prefix
	First, Hosts int    // it holds hosts[First : First+Hosts], which are of one class
	Extra        uint64 // addresses beside them
}

// Cover returns the fewest prefixes that hold all hosts but the optional ones,
// have no more than maxExtra extra addresses together, and hold nothing but one class
// each. Among covers with as few prefixes it has the fewest extra addresses. The
// prefixes are disjoint and in order; a host that is alone has its /32 or /128.
//
// The hosts are in the order of netip.Addr.Compare, each once. may says whether
// a prefix with more than one address may be used; nil permits all.
//
// With n hosts it takes time in O(n · min(n, maxExtra)).
func Cover(hosts []Host, maxExtra uint64, may func(netip.Prefix) bool) []Prefix {
	if len(hosts) == 0 {
		return nil
	}
	for i := 1; i < len(hosts); i++ {
		if !hosts[i-1].Addr.Less(hosts[i].Addr) {
			panic(fmt.Sprintf("BUG: %s comes before %s", hosts[i-1].Addr, hosts[i].Addr))
		}
	}
	c := cover{hosts: hosts, maxExtra: maxExtra, may: may}
	// netip orders IPv4 before IPv6.
	v6 := sort.Search(len(hosts), func(i int) bool { return hosts[i].Addr.Is6() })
	var root *node
	switch {
	case v6 == 0 || v6 == len(hosts):
		root = c.node(0, len(hosts))
	default:
		left, right := c.node(0, v6), c.node(v6, len(hosts))
		root = &node{left: left, right: right, choices: c.combine(left, right)}
	}
	return c.collect(root, 0, nil)
}

type cover struct {
	hosts    []Host
	maxExtra uint64
	may      func(netip.Prefix) bool
}

// node is a node of the trie: the hosts below it are hosts[first:end].
type node struct {
	prefix      netip.Prefix
	first, end  int
	class       int // class of all hosts below, or mixed
	left, right *node
	choices     []choice // prefixes go up, extra addresses go down
}

const mixed = -1

// choice is a cover of the hosts below a node that no other beats.
type choice struct {
	prefixes    int
	extra       uint64
	whole       bool // covered by the node's own prefix
	left, right int  // otherwise: by these choices of the children
}

func (c *cover) node(first, end int) *node {
	addr := c.hosts[first].Addr
	n := &node{first: first, end: end, class: max(c.hosts[first].Class, mixed)}
	if end-first == 1 {
		n.prefix = netip.PrefixFrom(addr, addr.BitLen())
		if c.hosts[first].Optional || n.class == mixed {
			n.choices = []choice{{}}
		} else {
			n.choices = []choice{{prefixes: 1, whole: true}}
		}
		return n
	}
	bits := common(addr, c.hosts[end-1].Addr)
	n.prefix = netip.PrefixFrom(addr, bits).Masked()
	middle := first + sort.Search(end-first, func(i int) bool { return bit(c.hosts[first+i].Addr, bits) })
	n.left, n.right = c.node(first, middle), c.node(middle, end)
	n.choices = c.combine(n.left, n.right)
	if n.class = n.left.class; n.class != n.right.class {
		n.class = mixed
	}
	if extra, ok := c.extra(n); ok {
		n.choices = whole(n.choices, extra)
	}
	return n
}

// extra counts the extra addresses of a node's own prefix, if it may be used.
func (c *cover) extra(n *node) (uint64, bool) {
	free := n.prefix.Addr().BitLen() - n.prefix.Bits()
	if n.class == mixed || free > 64 {
		return 0, false
	}
	extra := uint64(1)<<free - uint64(n.end-n.first) // shifted by 64: 0, and the difference is right modulo 2^64
	if extra > c.maxExtra {
		return 0, false
	}
	return extra, c.may == nil || c.may(n.prefix)
}

// whole adds the choice of one prefix for all to those of the children.
func whole(choices []choice, extra uint64) []choice {
	out := choices[:0:0]
	for _, x := range choices {
		if x.prefixes < 1 || x.prefixes == 1 && x.extra <= extra {
			out = append(out, x)
		}
	}
	if len(out) > 0 && (out[len(out)-1].prefixes == 1 || out[len(out)-1].extra <= extra) {
		return choices
	}
	out = append(out, choice{prefixes: 1, extra: extra, whole: true})
	for _, x := range choices {
		if x.prefixes > 1 && x.extra < extra {
			out = append(out, x)
		}
	}
	return out
}

// combine gives the choices for the hosts of both nodes together.
func (c *cover) combine(l, r *node) []choice {
	least := l.choices[0].prefixes + r.choices[0].prefixes
	most := l.choices[len(l.choices)-1].prefixes + r.choices[len(r.choices)-1].prefixes
	best := make([]choice, most-least+1) // the best choice for each number of prefixes
	found := make([]bool, len(best))
	for i := range l.choices {
		for j := range r.choices {
			x, y := &l.choices[i], &r.choices[j]
			if y.extra > c.maxExtra-x.extra {
				continue
			}
			b := choice{prefixes: x.prefixes + y.prefixes, extra: x.extra + y.extra, left: i, right: j}
			if at := b.prefixes - least; !found[at] || b.extra < best[at].extra {
				best[at], found[at] = b, true
			}
		}
	}
	var out []choice
	for at := range best {
		if found[at] && (len(out) == 0 || best[at].extra < out[len(out)-1].extra) {
			out = append(out, best[at])
		}
	}
	return out
}

// collect appends the prefixes of a node's choice.
func (c *cover) collect(n *node, at int, out []Prefix) []Prefix {
	x := n.choices[at]
	switch {
	case x.whole:
		return append(out, Prefix{n.prefix, n.first, n.end - n.first, x.extra})
	case n.left == nil: // a host that is not covered
		return out
	}
	return c.collect(n.right, x.right, c.collect(n.left, x.left, out))
}

// common counts the leading bits that two addresses of one family share.
func common(a, b netip.Addr) int {
	for bits := range a.BitLen() {
		if bit(a, bits) != bit(b, bits) {
			return bits
		}
	}
	return a.BitLen()
}

// bit gives bit i of an address, counted from the most significant one.
func bit(a netip.Addr, i int) bool {
	if a.Is4() {
		b := a.As4()
		return b[i/8]>>(7-i%8)&1 == 1
	}
	b := a.As16()
	return b[i/8]>>(7-i%8)&1 == 1
}
