package verify

import (
	"fmt"
	"net/netip"
	"slices"

	"cordon/categories"
	"cordon/recommender/policy"
)

// hostPrefix is a prefix that the document says to stand for hosts in no group.
type hostPrefix struct {
	policy.HostPrefix
	id    int32
	hosts []netip.Addr // hosts that were seen in it
}

// partial is a cell that some pairs of hosts of its prefixes have.
type partial struct{ have, need int }

// prefixOf gives the prefix of the document that an address is in, or nil.
func (x *endpoints) prefixOf(a netip.Addr) *hostPrefix {
	for _, h := range x.prefixes {
		if h.Prefix.Contains(a) {
			return h
		}
	}
	return nil
}

// extra counts the addresses that were not seen.
func (h *hostPrefix) extra() uint64 {
	return uint64(1)<<(h.Prefix.Addr().BitLen()-h.Prefix.Bits()) - uint64(len(h.hosts)) // modulo 2^64, which is as far as a bound goes
}

// extraOf sums the extra addresses of the prefixes that are in.
func (x *endpoints) extraOf(in func(policy.Endpoint) bool) (n uint64) {
	for _, h := range x.prefixes {
		if in(policy.Endpoint{Prefix: h.Prefix}) {
			n += h.extra()
		}
	}
	return n
}

// joinHosts makes cells of the document's prefixes of the cells of hosts. A rule
// may hold a cell of a prefix only if all its hosts have it: those of
// which some do not are kept apart.
func (j *judge) joinHosts() {
	into := map[int32]*hostPrefix{} // keyed by the number of the host
	for a := range j.ends.found {
		if h := j.ends.prefixOf(a); h != nil {
			h.hosts = append(h.hosts, a)
			if e := j.ends.found[a]; e.outside == "" && j.ends.resolver.LookupIndex(a) < 0 {
				into[e.id] = h
				j.ends.found[a] = end{id: h.id}
			}
		}
	}
	size := map[int32]int{}
	for _, h := range j.ends.prefixes {
		size[h.id] = len(h.hosts)
	}
	move := func(c cell) cell {
		if h := into[c.src]; h != nil {
			c.src = h.id
		}
		if h := into[c.dst]; h != nil {
			c.dst = h.id
		}
		return c
	}
	have, included := map[cell]int{}, map[cell]bool{}
	for c, needed := range j.cells {
		to := move(c)
		included[to] = included[to] || needed
		if have[to] += 0; c.src != c.dst || to == c { // a host in a prefix is no pair with itself
			have[to]++
		}
	}
	clear(j.cells)
	clear(j.observed)
	j.partial = map[cell]partial{}
	for c, n := range have {
		need := max(size[c.src], 1) * max(size[c.dst], 1)
		if c.src == c.dst && size[c.src] > 0 {
			need -= size[c.src]
		}
		if n < need {
			j.partial[c] = partial{n, need}
			continue
		}
		j.cells[c] = included[c]
		pair := [2]int32{c.src, c.dst}
		j.observed[pair] = append(j.observed[pair], rangeOf(c.service.Term))
	}
	for i := range j.at {
		j.at[i] = move(j.at[i])
	}
}

// prefixes checks what the document says of its prefixes.
func (v *verifier) prefixes() {
	if len(v.ends.prefixes) != len(v.p.Prefixes) {
		v.report.find(BadPrefix, "", "there are %d prefixes for hosts, which --ungrouped %s does not make", len(v.p.Prefixes), v.o.Settings.Ungrouped)
		return
	}
	var extra uint64
	for i, h := range v.ends.prefixes {
		bad := func(format string, args ...any) {
			v.report.find(BadPrefix, "", "%s %s", h.Prefix, fmt.Sprintf(format, args...))
		}
		if free := h.Prefix.Addr().BitLen() - h.Prefix.Bits(); free == 0 || free > 64 {
			bad("does not stand for several hosts")
			continue
		}
		for _, o := range v.ends.prefixes[:i] {
			if o.Prefix.Overlaps(h.Prefix) {
				bad("overlaps %s", o.Prefix)
			}
		}
		if h.Hosts != uint64(len(h.hosts)) || h.ExtraAddresses != h.extra() {
			bad("is said to have %d hosts and %d extra addresses, counted are %d and %d", h.Hosts, h.ExtraAddresses, len(h.hosts), h.extra())
		}
		if sum := extra + h.extra(); sum < extra || sum > v.o.Settings.MaxExtra {
			bad("takes the extra addresses over the %d that are permitted", v.o.Settings.MaxExtra)
		} else {
			extra = sum
		}
		if a, b, ok := v.border(h.Prefix); ok {
			bad("has %s and %s, which groups, address ranges, exclusions or guardrails do not treat alike", a, b)
		}
	}
	v.report.Extra = extra
	var cells []string
	for c, p := range v.judge.partial {
		cells = append(cells, fmt.Sprintf("%s, between %d of %d pairs of hosts", v.name(c), p.have, p.need))
	}
	if slices.Sort(cells); len(cells) > 0 {
		f := v.report.find(BadPrefix, "", "%d cells of prefixes were not seen for all their hosts:", len(cells))
		f.Count, f.Examples = uint64(len(cells)), v.examples(cells)
	}
}

// border finds two addresses of a prefix that may not be in one: each is
// private and in no group, and the same exclusions and guardrails name it.
func (v *verifier) border(p netip.Prefix) (a, b netip.Addr, found bool) {
	var named [][]netip.Prefix // each together says something of all its addresses
	for i := range v.judge.file.Exclude {
		x := &v.judge.file.Exclude[i]
		for _, of := range []func() ([]netip.Prefix, bool){x.SourcePrefixes, x.DestinationPrefixes} {
			prefixes, _ := of()
			named = append(named, prefixes)
		}
	}
	for i := range v.judge.guardrails.statements {
		for side := range v.judge.guardrails.statements[i].ends {
			for _, l := range v.judge.guardrails.statements[i].literals(side) {
				named = append(named, v.judge.guardrails.meanings.prefixes(l))
			}
		}
	}
	inner := slices.Concat(named...)
	for _, as := range v.addresses.Resolver().Assignments() {
		inner = append(inner, as.Prefix)
	}
	for _, s := range categories.SpecialPurpose() {
		inner = append(inner, s.Prefix)
	}
	first := p.Addr()
	alike := func(x netip.Addr) bool {
		if v.addresses.Resolver().LookupIndex(x) >= 0 || categories.KindOf(x) != categories.Private {
			return false
		}
		for _, set := range named {
			in := func(a netip.Addr) bool {
				return slices.ContainsFunc(set, func(p netip.Prefix) bool { return p.Contains(a) })
			}
			if in(x) != in(first) {
				return false
			}
		}
		return true
	}
	if !alike(first) {
		return first, first, true
	}
	for _, n := range inner {
		s := policy.Spans([]netip.Prefix{n})[0]
		for _, x := range []netip.Addr{s.Lo, s.Hi.Next()} { // Something begins at the first, and has ended at the second.
			if x.IsValid() && p.Contains(x) && !alike(x) {
				return first, x, true
			}
		}
	}
	return a, b, false
}
