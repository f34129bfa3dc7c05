package recommender

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"cordon/categories"
	"cordon/recommender/policy"

	"github.com/gaissmai/bart"
)

// class is a set of addresses that everything in a run treats alike: they are in
// the same group, of the same kind, and in the same prefixes of every policy.
type class struct {
	group int // place in Resolver.Groups, or -1
	kind  categories.AddressKind
	sets  []int32 // sorted; ids of the prefix sets that hold the addresses
	each  []int   // places in the groups of the further resolvers of build, or -1
	// naming has a bit for each of the further resolvers whose groups name the
	// addresses, although they are Local; see categories.Resolver.KindOf.
	naming uint64
}

// located is a prefix that tells addresses apart: the addresses for which it is
// the longest match.
type located struct {
	prefix netip.Prefix
	class  uint32
}

// classes divides all addresses. Class 0 is every address that no prefix of
// located holds.
type classes struct {
	list     []class
	located  []located
	sets     bart.Table[[]int32] // prefix to the sets that have it
	setCount int32
	guarded  int32            // sets below this id are of exclusions and guardrails
	byGroup  map[int][]uint32 // classes of each group
	internet []uint32         // classes of public addresses in no group
	spans    []policy.Span    // Spans that prefixes of located hold, in order; At is the place in located.

	history *history // nil where no address changes its owner within the window
	tracks  []track  // addresses that change it
}

func (c *class) key() string { return fmt.Sprint(c.group, c.kind, c.sets, c.each, c.naming) }

// member is what an endpoint of a policy needs to recognise a class.
type member struct {
	any, internet bool
	group         int // The group's place, or -1.
	set           int32
	ungrouped     bool // The set holds just its addresses in no selected group.
}

// addSet registers prefixes that tell addresses apart. Call before build.
func (c *classes) addSet(prefixes []netip.Prefix) int32 {
	id := c.setCount
	c.setCount++
	for _, p := range prefixes {
		ids, _ := c.sets.Get(p)
		if !slices.Contains(ids, id) {
			c.sets.Insert(p, append(ids, id))
		}
	}
	return id
}

// addEndpoint registers an endpoint of a statement.
func (c *classes) addEndpoint(a *policy.Addresses, e policy.Endpoint, as policy.Reading) (member, error) {
	m, err := a.MeaningAs(e, as)
	if err != nil {
		return member{}, err
	}
	out := member{any: m.Any, internet: m.Internet, group: m.Group, set: -1, ungrouped: m.Ungrouped}
	if !m.Any && !m.Internet && m.Group < 0 {
		out.set = c.addSet(m.Prefixes)
		if h := c.history; h != nil && e.IsGroup() && as != policy.Denying { // a denial holds at all times
			h.derive(out.set, h.members(a.Ref(e.Group)))
		} else if h != nil && as == policy.Proposed {
			h.derive(out.set, h.present(m.Prefixes)) // an address in a rule of a proposal means its present owner
		}
	}
	return out, nil
}

// holds reports whether every address of the class belongs to the member; if
// not, none does.
func (m member) holds(c *class) bool {
	switch {
	case m.any:
		return true
	case m.internet:
		return c.group < 0 && c.kind == categories.Public
	case m.group >= 0:
		return c.group == m.group
	case m.ungrouped && c.group >= 0:
		return false
	}
	_, ok := slices.BinarySearch(c.sets, m.set)
	return ok
}

// build divides the addresses by the groups, the special-purpose ranges and
// the sets registered so far, and by the groups of further resolvers.
func (c *classes) build(r *categories.Resolver, further ...*categories.Resolver) {
	d := newDivision(r, further)
	for p := range c.sets.All() {
		d.all = append(d.all, aroundMapped(p)...)
	}
	if c.history != nil {
		for _, p := range c.history.Dividing {
			d.all = append(d.all, aroundMapped(p)...)
		}
	}
	slices.SortFunc(d.all, netip.Prefix.Compare)
	all := slices.Compact(d.all)

	c.list = []class{{group: -1, kind: categories.Public, each: d.outside}}
	ids := map[string]uint32{c.list[0].key(): 0}
	c.located = make([]located, len(all))
	for i, p := range all {
		cl := d.class(p)
		for _, sets := range c.sets.Supernets(p) {
			cl.sets = append(cl.sets, sets...)
		}
		c.located[i] = located{p, c.number(cl, ids)}
	}
	c.spans = policy.Spans(all)
	c.tracks = nil
	if c.history != nil {
		c.follow(d, ids)
	}
	c.sortOut()
}

// number gives the id of a class, which is new where ids do not have it.
func (c *classes) number(cl class, ids map[string]uint32) uint32 {
	slices.Sort(cl.sets)
	cl.sets = slices.Compact(cl.sets)
	key := cl.key()
	id, ok := ids[key]
	if !ok {
		id = uint32(len(c.list))
		ids[key] = id
		c.list = append(c.list, cl)
	}
	return id
}

// sortOut lists the classes of each group, and the public ones in none. A prefix
// may have no address of its own, and its class then none either: it is left out.
func (c *classes) sortOut() {
	inhabited := make([]bool, len(c.list))
	inhabited[0] = true
	for _, s := range c.spans {
		inhabited[c.located[s.At].class] = true
	}
	for _, t := range c.tracks {
		for _, x := range t.tenures {
			inhabited[x.class] = true
		}
	}
	c.byGroup = map[int][]uint32{}
	for i := range c.list {
		if !inhabited[i] {
			continue
		}
		switch cl := &c.list[i]; {
		case cl.group >= 0:
			c.byGroup[cl.group] = append(c.byGroup[cl.group], uint32(i))
		case cl.kind == categories.Public:
			c.internet = append(c.internet, uint32(i))
		}
	}
}

// division is what tells addresses apart before policies do: groups, special-purpose
// ranges, and names of local addresses.
type division struct {
	all     []netip.Prefix // whatever divides, in no order
	groups  *bart.Table[int]
	others  []*bart.Table[int] // the groups of the further resolvers
	outside []int              // Values of an address in no group of these.
	kinds   bart.Table[categories.AddressKind]
	named   *bart.Table[uint64]
}

func newDivision(r *categories.Resolver, further []*categories.Resolver) *division {
	d := &division{outside: make([]int, len(further))}
	d.groups = d.table(r)
	for i, o := range further {
		d.others = append(d.others, d.table(o))
		d.outside[i] = -1
	}
	for _, s := range categories.SpecialPurpose() {
		d.kinds.Insert(s.Prefix, s.Kind)
		d.all = append(d.all, s.Prefix)
	}
	d.named = localNames(r, further)
	for p := range d.named.All() {
		d.all = append(d.all, p)
	}
	return d
}

// table gives the place of the group of each prefix of a resolver.
func (d *division) table(r *categories.Resolver) *bart.Table[int] {
	var groups bart.Table[int]
	place := map[categories.Ref]int{}
	for i, g := range r.Groups() {
		place[g] = i
	}
	for _, a := range r.Assignments() {
		groups.Insert(a.Prefix, place[a.Group])
		d.all = append(d.all, a.Prefix)
	}
	return &groups
}

// class gives the class of the addresses of which p is the longest prefix, still
// without the sets of policies.
func (d *division) class(p netip.Prefix) class {
	cl := class{group: -1, kind: categories.Public, each: slices.Clone(d.outside)}
	if g, ok := d.groups.LookupPrefix(p); ok {
		cl.group = g
	}
	for j, o := range d.others {
		if g, ok := o.LookupPrefix(p); ok {
			cl.each[j] = g
		}
	}
	if k, ok := d.kinds.LookupPrefix(p); ok {
		cl.kind = k
	}
	if of, ok := d.named.LookupPrefix(p); ok && cl.kind == categories.Local {
		cl.kind, cl.naming = categories.Private, of
	}
	return cl
}

// localNames gives the prefixes by which the groups of a resolver name Local addresses, each with a bit for each of
// the further resolvers that name all of it.
func localNames(r *categories.Resolver, further []*categories.Resolver) *bart.Table[uint64] {
	out := new(bart.Table[uint64])
	for _, p := range r.LocalPrefixes() {
		var of uint64
		for i, o := range further {
			if o.NamesLocal(p) {
				of |= 1 << i
			}
		}
		out.Insert(p, of)
	}
	return out
}

var mapped = netip.MustParsePrefix("::ffff:0:0/96")

// addressRange is a range of addresses of one class: from the first address to
// the one before the next range of the same family.
type addressRange struct {
	first netip.Addr
	class uint32
	track uint32 // number of the track, its place plus one; 0 for addresses that do not change their owner
}

// ranges divides all addresses of both families, in order.
func (c *classes) ranges() []addressRange {
	var out []addressRange
	add := func(first netip.Addr, class, track uint32) {
		if n := len(out); n == 0 || out[n-1].class != class || out[n-1].track != track || out[n-1].first.BitLen() != first.BitLen() {
			out = append(out, addressRange{first, class, track})
		}
	}
	tracks := make(map[int]uint32, len(c.tracks))
	for i := range c.tracks {
		tracks[c.tracks[i].span] = uint32(i + 1)
	}
	for _, next := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		family := next.BitLen()
		for i, s := range c.spans {
			if s.Lo.BitLen() != family {
				continue
			}
			if next.Less(s.Lo) {
				add(next, 0, 0)
			}
			add(s.Lo, c.located[s.At].class, tracks[i])
			next = s.Hi.Next() // invalid after the last address of the family
		}
		if next.IsValid() {
			add(next, 0, 0)
		}
	}
	return out
}

// aroundMapped gives an IPv6 prefix without the IPv4-mapped range in it, which
// holds what ClickHouse takes IPv4 addresses for: they are not in the prefix.
func aroundMapped(p netip.Prefix) []netip.Prefix {
	if p.Addr().Is4() || p.Bits() > mapped.Bits() || !p.Contains(mapped.Addr()) {
		return []netip.Prefix{p}
	}
	var out []netip.Prefix
	for bits := p.Bits() + 1; bits <= mapped.Bits(); bits++ {
		a := mapped.Addr().As16()
		a[(bits-1)/8] ^= 0x80 >> ((bits - 1) % 8)
		out = append(out, netip.PrefixFrom(netip.AddrFrom16(a), bits).Masked())
	}
	return out
}

// alike reports whether a prefix has only private addresses in no group, and exclusions
// and guardrails treat them all alike.
func (c *classes) alike(p netip.Prefix) bool {
	var first *class
	for _, cl := range c.classesIn(p) {
		if first == nil {
			first = cl
		}
		if cl.group >= 0 || cl.kind != categories.Private || !slices.Equal(c.guards(cl), c.guards(first)) {
			return false
		}
	}
	return true
}

// guards gives the sets of exclusions and guardrails that hold a class.
func (c *classes) guards(cl *class) []int32 {
	n, _ := slices.BinarySearch(cl.sets, c.guarded)
	return cl.sets[:n]
}

// within gives the classes of the addresses of a prefix.
func (c *classes) within(p netip.Prefix) (out []uint32) {
	for id := range c.classesIn(p) {
		out = append(out, id)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// classesIn gives the class of each span of a prefix, with its place in list.
func (c *classes) classesIn(p netip.Prefix) iter.Seq2[uint32, *class] {
	return func(yield func(uint32, *class) bool) {
		whole := policy.Spans([]netip.Prefix{p})[0]
		at := whole.Lo // everything before was told
		i, _ := slices.BinarySearchFunc(c.spans, at, func(s policy.Span, a netip.Addr) int { return s.Hi.Compare(a) })
		for ; at.IsValid() && at.Compare(whole.Hi) <= 0; i++ {
			if i == len(c.spans) || at.Less(c.spans[i].Lo) { // class 0 holds what no prefix does
				if !yield(0, &c.list[0]) || i == len(c.spans) {
					return
				}
				if at = c.spans[i].Lo; whole.Hi.Less(at) {
					return
				}
			}
			id := c.located[c.spans[i].At].class
			if !yield(id, &c.list[id]) {
				return
			}
			at = c.spans[i].Hi.Next()
		}
	}
}
