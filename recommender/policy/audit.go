package policy

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"cordon/categories"
	"cordon/internal/iana"
)

// Audited is what an audit finds about a rule in force.
type Audited string

// The findings. A rule has at most one, and WiderThanSeen beside it.
const (
	Shadowed     Audited = "shadowed"     // earlier rules decide all of it, some with the opposite action
	Redundant    Audited = "redundant"    // nothing more is permitted without it, and all that was seen stays as before
	Contradicted Audited = "contradicted" // it denies what a proposed rule permits
	Unused       Audited = "unused"       // it decides no session of the window
	// WiderThanSeen is a rule of which a group, a host or a port may be left out, since
	// no session that was seen needs it.
	WiderThanSeen Audited = "wider-than-seen"
)

// InForce is a finding about a rule in force. By are other rules in force that it
// rests on, ByProposed rules of the proposal. Beyond goes with WiderThanSeen.
type InForce struct {
	Rule       string   `json:"rule" yaml:"rule"`
	Finding    Audited  `json:"finding" yaml:"finding"`
	By         []string `json:"by,omitempty" yaml:"by,omitempty,flow"`
	ByProposed []string `json:"byProposed,omitempty" yaml:"byProposed,omitempty,flow"`
	Beyond     *Beyond  `json:"beyond,omitempty" yaml:"beyond,omitempty"`
}

// Beyond compares what a rule permits with what was seen: (client, server) pairs among
// the known endpoints, as in Excess, and services, each port of each protocol.
type Beyond struct {
	PermittedPairs uint64 `json:"permittedPairs" yaml:"permittedPairs"`
	ObservedPairs  uint64 `json:"observedPairs" yaml:"observedPairs"`
	PermittedPorts uint64 `json:"permittedPorts" yaml:"permittedPorts"`
	ObservedPorts  uint64 `json:"observedPorts" yaml:"observedPorts"`
}

// width is how much a rule permits.
func (b *Beyond) width() float64 { return float64(b.PermittedPairs) * float64(b.PermittedPorts) }

// Seen is sessions of the window that the same rules hold.
type Seen struct {
	Holders []int // places of the rules, in order; those of the proposal come after those in force
	Keep    bool  // permitted ones have to stay so, see Keeps
}

// Keeps reports whether sessions with a reason, or none, have to stay permitted: all but those for which no
// rule is ever made, since they are local, were dropped by the network, or belong to a scan.
func Keeps(r Reason) bool { return r != Local && r != Denied && r != Scanner }

// AuditRule is a rule in force with what was counted of it.
type AuditRule struct {
	StatementRule
	Label  string // text to call it by
	Beyond Beyond
	Wider  bool // WiderThanSeen applies
	Partly bool // it reaches beyond the scope: what was seen under it is not known
}

// Label is what a rule in force is called: its name, its id, or "rule N" with its
// place in its document, from 1.
func (r *StatementRule) Label(place int) string {
	return cmp.Or(r.Name, r.ID, fmt.Sprintf("rule %d", place+1))
}

// maxAuditSteps bounds the pieces that a rule is cut into; a rule that needs more has
// no finding.
const maxAuditSteps = 200_000

// NumServices is how many services "any" stands for: each port of each protocol.
var NumServices = func() (n uint64) {
	for p := range 256 {
		if t, err := categories.ParseServiceTerm(iana.ProtocolName(uint8(p))); err == nil {
			n += uint64(t.Size())
		}
	}
	return n
}()

// Audit compares rules in force, of which the first that matches decides, with one
// another, with the rules of a proposal, as if those were added at the end, and with
// the sessions that were seen: which of them can go, which deny what the proposal
// permits, and which permit more than was seen. Rules is whatever applies to one VRF.
//
// All rules that are called redundant or shadowed can go at once: what is left permits
// nothing that was not permitted, and all that was seen and permitted. A rule that
// allows can go where others permit the sessions that were seen under it; the widest
// are tried first, so that no wide rule stays for the sake of which tight ones go. Any
// other rule can go where every session that could be is decided as before, which is
// exact for addresses and services, also where several rules together cover one.
func (a *Addresses) Audit(rules []AuditRule, seen []Seen, proposed []Rule) []InForce {
	statements := make([]StatementRule, len(rules))
	for i := range rules {
		statements[i] = rules[i].StatementRule
	}
	n := len(rules)
	x := &audit{space: newSpace(a, statements, proposed), rules: rules, proposed: proposed, seen: seen,
		gone: make([]bool, n), used: make([]bool, n), findings: make([]*InForce, n)}
	for again := true; again; {
		again = x.dropUnneeded()
		again = x.dropCovered() || again
	}
	return x.list()
}

// audit is the findings in the making.
type audit struct {
	*space
	rules    []AuditRule
	proposed []Rule
	seen     []Seen
	gone     []bool
	used     []bool     // decides a session of the window, or does without those that are gone
	findings []*InForce // findings of each rule
}

// first gives the first rule of a kind of sessions that is not gone, other than one, or -1.
func (x *audit) first(s *Seen, but int) int {
	for _, j := range s.Holders {
		if j != but && (j >= len(x.gone) || !x.gone[j]) {
			return j
		}
	}
	return -1
}

// allows reports whether a place is that of a rule, and the rule allows.
func (x *audit) allows(rule int) bool { return rule >= 0 && !x.boxes[rule].deny }

// dropUnneeded takes out rules that allow, the widest first, where others permit what was seen under them.
func (x *audit) dropUnneeded() (dropped bool) {
	order := make([]int, 0, len(x.rules))
	for i := len(x.rules) - 1; i >= 0; i-- {
		if !x.gone[i] && !x.boxes[i].deny && !x.rules[i].Partly {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(x.rules[b].Beyond.width(), x.rules[a].Beyond.width()) })
	for _, i := range order {
		needed, some := false, false
		for k := range x.seen {
			s := &x.seen[k]
			if at := x.first(s, -1); !s.Keep || !x.allows(at) || !slices.Contains(s.Holders, i) {
				continue
			}
			some = true
			if !x.allows(x.first(s, i)) {
				needed = true
				break
			}
		}
		if some && !needed {
			x.gone[i], dropped = true, true
			x.findings[i] = &InForce{Rule: x.rules[i].Label, Finding: Redundant}
		}
	}
	return dropped
}

// dropCovered takes out rules without which every session that could be is decided as before.
func (x *audit) dropCovered() (dropped bool) {
	n := len(x.rules)
	// What one rule covers goes first, and of rules that cover each other the last, so that a few rules stay rather than many.
	for _, most := range []int{1, len(x.boxes)} {
		for i := n - 1; i >= 0; i-- {
			if x.gone[i] || x.rules[i].Action == Uncertain {
				continue
			}
			by, ok := x.decide(i, x.gone)
			if !ok || len(by) == 0 || len(by) > most {
				continue
			}
			x.gone[i], dropped = true, true
			x.findings[i] = x.covered(i, by)
		}
	}
	return dropped
}

// finding makes one that a rule is redundant since others are there.
func (x *audit) finding(i int, by []int) *InForce {
	f := &InForce{Rule: x.rules[i].Label, Finding: Redundant}
	for _, j := range by {
		if j >= len(x.rules) {
			f.ByProposed = append(f.ByProposed, x.proposed[j-len(x.rules)].Name)
		} else {
			f.By = append(f.By, x.rules[j].Label)
		}
	}
	return f
}

// markUsed finds the rules that decide sessions of the window, and names those that took over what was
// seen under rules which are gone.
func (x *audit) markUsed() {
	for i := range x.rules {
		x.used[i] = x.rules[i].Partly
	}
	takers := make([]map[int]bool, len(x.rules))
	for k := range x.seen {
		s := &x.seen[k]
		if len(s.Holders) == 0 {
			continue
		}
		rest := x.first(s, -1)
		for _, j := range []int{s.Holders[0], rest} {
			if j >= 0 && j < len(x.rules) {
				x.used[j] = true
			}
		}
		for _, i := range s.Holders {
			if i < len(x.rules) && x.gone[i] && x.allows(rest) && s.Keep {
				if takers[i] == nil {
					takers[i] = map[int]bool{}
				}
				takers[i][rest] = true
			}
		}
	}
	for i, f := range x.findings {
		switch {
		case f == nil:
		case takers[i] != nil && !x.boxes[i].deny && !x.rules[i].Partly:
			x.findings[i] = x.finding(i, slices.Sorted(maps.Keys(takers[i])))
		default: // the rules that covered it may have gone after it
			if by, ok := x.decide(i, x.gone); ok && len(by) > 0 {
				x.findings[i] = x.covered(i, by)
			}
		}
	}
}

// covered makes the finding of a rule of which others decide every session.
func (x *audit) covered(i int, by []int) *InForce {
	f := x.finding(i, by)
	if !slices.ContainsFunc(by, func(j int) bool { return j >= i }) &&
		slices.ContainsFunc(by, func(j int) bool { return x.boxes[j].deny != x.boxes[i].deny }) {
		f.Finding = Shadowed
	}
	return f
}

// list gives all findings in the order of the rules.
func (x *audit) list() (out []InForce) {
	x.markUsed()
	n := len(x.rules)
	covers := map[string]bool{} // rules that stand in for others which are used
	for i, f := range x.findings {
		if f != nil && x.used[i] {
			for _, name := range f.By {
				covers[name] = true
			}
		}
	}
	for i := range x.rules {
		r, f := &x.rules[i], x.findings[i]
		if r.Action == Uncertain { // nobody can say what goes with it
			continue
		}
		if f == nil && x.boxes[i].deny {
			if against := x.against(i, n, x.gone); len(against) > 0 {
				f = x.finding(i, against)
				f.Finding = Contradicted
			}
		}
		if f == nil && !x.used[i] && !covers[r.Label] {
			f = &InForce{Rule: r.Label, Finding: Unused}
		}
		if f != nil {
			out = append(out, *f)
		}
		if r.Wider {
			out = append(out, InForce{Rule: r.Label, Finding: WiderThanSeen, Beyond: &r.Beyond})
		}
	}
	return out
}

// space is all sessions that could be, divided into classes which every rule treats
// alike: of addresses at each side, and of services.
type space struct {
	boxes    []ruleBox
	families [2][2]bits // classes of IPv4 and of IPv6 addresses at each side
}

// ruleBox is a rule as classes: sources, destinations, services.
type ruleBox struct {
	deny bool
	sets [3]bits
}

// bits is a set of small numbers.
type bits []uint64

func (b *bits) set(i int) {
	for len(*b) <= i/64 {
		*b = append(*b, 0)
	}
	(*b)[i/64] |= 1 << (i % 64)
}

func (b bits) empty() bool { return !slices.ContainsFunc(b, func(w uint64) bool { return w != 0 }) }

// or gives the numbers in either set.
func (b bits) or(o bits) bits {
	out := slices.Clone(b)
	if len(o) > len(out) {
		out = append(out, make(bits, len(o)-len(out))...)
	}
	for i := range o {
		out[i] |= o[i]
	}
	return out
}

// and gives the numbers in both sets, and those in b alone.
func (b bits) and(o bits) (both, rest bits) {
	both, rest = make(bits, len(b)), slices.Clone(b)
	for i := range min(len(b), len(o)) {
		both[i] = b[i] & o[i]
		rest[i] &^= o[i]
	}
	return both, rest
}

func newSpace(a *Addresses, rules []StatementRule, proposed []Rule) *space {
	s := &space{boxes: make([]ruleBox, len(rules)+len(proposed))}
	ends := [2][][]literal{}
	var services [][]Service
	add := func(sources, destinations []Endpoint, of []Service, as Reading) {
		ends[0], ends[1], services = append(ends[0], literals(sources, as)), append(ends[1], literals(destinations, as)), append(services, of)
	}
	for i := range rules {
		s.boxes[i].deny = rules[i].Action != Allow
		add(rules[i].Sources, rules[i].Destinations, rules[i].Services, ReadingOf(rules[i].Action, false))
	}
	for i := range proposed {
		add(proposed[i].Sources, proposed[i].Destinations, proposed[i].Services, Proposed)
	}
	begins := a.begins(append(slices.Clone(ends[0]), ends[1]...))
	for side := range ends {
		s.addresses(side, a.holding(ends[side], 0), begins, nil)
	}
	s.services(services, nil)
	return s
}

// literal is an endpoint as a rule of a kind reads it.
type literal struct {
	Endpoint
	as Reading
}

func literals(set []Endpoint, as Reading) []literal {
	out := make([]literal, len(set))
	for i, e := range set {
		out[i] = literal{e, as}
	}
	return out
}

// begins gives the addresses at which what literals hold may change, in order.
func (a *Addresses) begins(sets [][]literal) []netip.Addr {
	out := []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	add := func(lo, hi netip.Addr) {
		out = append(out, lo)
		if next := hi.Next(); next.IsValid() {
			out = append(out, next)
		}
	}
	for _, s := range a.spans {
		add(s.Lo, s.Hi)
	}
	for _, p := range categories.SpecialPurpose() {
		add(p.Prefix.Addr(), lastAddr(p.Prefix))
	}
	for _, set := range sets {
		for _, e := range set {
			if m, err := a.MeaningAs(e.Endpoint, e.as); err == nil {
				for _, p := range m.Prefixes {
					add(p.Addr(), lastAddr(p))
				}
			}
		}
	}
	out = slices.DeleteFunc(out, netip.Addr.Is4In6) // it counts as IPv4, and no session has it as IPv6
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

// holding gives a function that adds, to a set, the places of the rules that hold an address at one side. The first
// rule has place from.
func (a *Addresses) holding(sets [][]literal, from int) func(at netip.Addr, held bits) {
	holders := map[literal]bits{} // rules with the literal
	for i, set := range sets {
		for _, e := range set {
			b := holders[e]
			b.set(from + i)
			holders[e] = b
		}
	}
	groups, hosts := map[int]bits{}, map[netip.Addr]bits{}
	var wide []literal
	for e, b := range holders {
		switch m, err := a.MeaningAs(e.Endpoint, e.as); {
		case err != nil: // an unknown group holds nothing
		case m.Group >= 0: // several readings may mean the same
			groups[m.Group] = groups[m.Group].or(b)
		case e.Prefix.IsValid() && e.Prefix.IsSingleIP():
			hosts[e.Prefix.Addr()] = hosts[e.Prefix.Addr()].or(b)
		default:
			wide = append(wide, e)
		}
	}
	return func(at netip.Addr, held bits) {
		add := func(o bits) {
			for i := range o {
				held[i] |= o[i]
			}
		}
		add(hosts[at])
		if g := a.resolver.LookupIndex(at); g >= 0 {
			add(groups[g])
		}
		for _, e := range wide {
			if a.Holds(e.Endpoint, e.as, at) {
				add(holders[e])
			}
		}
	}
}

// addresses divides the addresses of one side. Rules says which of them hold an address; seen, if set, is told the class
// of each address of begins, in order.
func (s *space) addresses(side int, rules func(at netip.Addr, held bits), begins []netip.Addr, seen func(at netip.Addr, class int)) {
	classes := map[string]int{}
	for _, at := range begins {
		held := make(bits, (len(s.boxes)+63)/64)
		rules(at, held)
		family := 0
		if at.Is6() {
			family = 1
		}
		c, fresh := class(classes, held, family)
		if fresh {
			s.families[side][family].set(c)
			s.join(side, c, held)
		}
		if seen != nil {
			seen(at, c)
		}
	}
}

// services divides the services. Seen, if set, is told the class of each range of services, in order.
func (s *space) services(sets [][]Service, seen func(t categories.ServiceTerm, class int)) {
	type key struct {
		proto uint8
		port  uint32 // one past the last port too
	}
	var begins []key
	for p := range 256 {
		begins = append(begins, key{uint8(p), 0})
	}
	for _, set := range sets {
		for _, x := range set {
			if !x.Any {
				begins = append(begins, key{x.Term.Proto, uint32(x.Term.Lo)}, key{x.Term.Proto, uint32(x.Term.Hi) + 1})
			}
		}
	}
	slices.SortFunc(begins, func(a, b key) int { return cmp.Or(cmp.Compare(a.proto, b.proto), cmp.Compare(a.port, b.port)) })
	classes := map[string]int{}
	begins = slices.Compact(begins)
	for i, at := range begins {
		all, err := categories.ParseServiceTerm(iana.ProtocolName(at.proto))
		if err != nil || at.port > uint32(all.Hi) {
			continue
		}
		held := make(bits, (len(sets)+63)/64)
		for i, set := range sets {
			if matchesService(set, categories.Service{Proto: at.proto, Port: uint16(at.port)}) {
				held.set(i)
			}
		}
		c, fresh := class(classes, held, 0)
		if fresh {
			s.join(2, c, held)
		}
		if seen != nil {
			t := categories.ServiceTerm{Proto: at.proto, Lo: uint16(at.port), Hi: all.Hi}
			if i+1 < len(begins) && begins[i+1].proto == at.proto && begins[i+1].port <= uint32(all.Hi) {
				t.Hi = uint16(begins[i+1].port - 1)
			}
			seen(t, c)
		}
	}
}

// class numbers the sets of rules that hold an address or a service.
func class(classes map[string]int, held bits, family int) (c int, fresh bool) {
	key := fmt.Sprint(family, held)
	c, ok := classes[key]
	if !ok {
		c = len(classes)
		classes[key] = c
	}
	return c, !ok
}

// join puts a class into the boxes of the rules that hold it.
func (s *space) join(mode, class int, held bits) {
	for i := range s.boxes {
		if held[i/64]>>(i%64)&1 == 1 {
			s.boxes[i].sets[mode].set(class)
		}
	}
}

// whole gives a box's share of each family: no session has two.
func (s *space) whole(b *ruleBox) (out [][3]bits) {
	for family := range 2 {
		src, _ := b.sets[0].and(s.families[0][family])
		dst, _ := b.sets[1].and(s.families[1][family])
		if !src.empty() && !dst.empty() && !b.sets[2].empty() {
			out = append(out, [3]bits{src, dst, b.sets[2]})
		}
	}
	return out
}

// decide gives the rules that would decide the sessions of rule i without it. It
// fails if some sessions would then be decided otherwise.
func (s *space) decide(i int, gone []bool) (by []int, ok bool) {
	var order []int
	for j := range s.boxes {
		if j != i && (j >= len(gone) || !gone[j]) {
			order = append(order, j)
		}
	}
	took := map[int]bool{}
	steps := 0
	for _, box := range s.whole(&s.boxes[i]) {
		if !s.cut(box, order, &steps, func(j int) bool {
			took[j] = true
			return j < i || s.boxes[j].deny == s.boxes[i].deny
		}) {
			return nil, false
		}
	}
	for _, j := range order {
		if took[j] {
			by = append(by, j)
		}
	}
	return by, true
}

// cut takes the rules of order away from a box, one after another. It fails if
// something is left, if taken refuses a rule, or if there are too many pieces.
func (s *space) cut(box [3]bits, order []int, steps *int, taken func(j int) bool) bool {
	for k, j := range order {
		if *steps++; *steps > maxAuditSteps {
			return false
		}
		var both, rest [3]bits
		meets := true
		for m := range box {
			both[m], rest[m] = box[m].and(s.boxes[j].sets[m])
			meets = meets && !both[m].empty()
		}
		if !meets {
			continue
		}
		if !taken(j) {
			return false
		}
		// What is left are three boxes: other sources; other destinations of
		// these sources; other services of these.
		left := [3][3]bits{{rest[0], box[1], box[2]}, {both[0], rest[1], box[2]}, {both[0], both[1], rest[2]}}
		for m := range left {
			if !rest[m].empty() && !s.cut(left[m], order[k+1:], steps, taken) {
				return false
			}
		}
		return true
	}
	return false
}

// against gives the proposed rules, from place n on, that permit something which rule i decides.
func (s *space) against(i, n int, gone []bool) (out []int) {
	var earlier []int
	for j := range i {
		if !gone[j] {
			earlier = append(earlier, j)
		}
	}
	for k := n; k < len(s.boxes); k++ {
		for _, box := range s.whole(&s.boxes[i]) {
			meets := true
			for m := range box {
				box[m], _ = box[m].and(s.boxes[k].sets[m])
				meets = meets && !box[m].empty()
			}
			steps := 0
			if meets && !s.cut(box, earlier, &steps, func(int) bool { return true }) && steps <= maxAuditSteps {
				out = append(out, k)
				break
			}
		}
	}
	return out
}
