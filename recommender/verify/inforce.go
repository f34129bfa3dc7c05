package verify

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"cordon/categories"
	"cordon/internal/iana"
	"cordon/recommender/policy"
)

// inForce checks what the document says of the rules in force by trying one
// session of each kind that they and the rules of the proposal tell apart.
func (v *verifier) inForce() {
	var list []statement
	for _, s := range statements(v.o.Existing, false) {
		if s.vrf == "" || s.vrf == v.p.VRF {
			list = append(list, s)
		}
	}
	n := len(list)
	says := make([]*policy.InForce, n)
	wider := make([]*policy.InForce, n)
	for i := range v.p.Existing {
		f := &v.p.Existing[i]
		says := says
		if f.Finding == policy.WiderThanSeen {
			says = wider
		}
		at := slices.IndexFunc(list, func(s statement) bool { return s.name == f.Rule })
		for at >= 0 && says[at] != nil { // another rule of this name
			next := slices.IndexFunc(list[at+1:], func(s statement) bool { return s.name == f.Rule })
			if next < 0 {
				at = -1
				break
			}
			at += 1 + next
		}
		if at < 0 {
			v.report.find(BadInForce, "", "%s is said to be %s, and is no rule of the policies in force (--existing)", f.Rule, f.Finding)
			continue
		}
		says[at] = f
	}
	if n == 0 {
		return
	}
	t := &trial{v: v, n: n, says: says, wider: wider, rules: newIndex(v.rules.meanings, append(list, v.rules.statements...)), gone: make([]bool, n+len(v.p.Rules))}
	for i, f := range says {
		t.gone[i] = f != nil && (f.Finding == policy.Redundant || f.Finding == policy.Shadowed)
	}
	t.run()
}

// trial decides sessions by the rules in force and, after them, those of the proposal.
type trial struct {
	v     *verifier
	n     int // rules in force
	says  []*policy.InForce
	wider []*policy.InForce // those of WiderThanSeen
	rules *index
	gone  []bool

	// Of each rule in force: it decides a session, makes a difference, denies what is
	// proposed, and holds a session that could be.
	decided, needed, against, alive []bool
	partly                          []bool         // it reaches beyond the scope: what was seen under it is not known
	served                          []bool         // permitted sessions were seen under it that have to stay permitted
	takers, seenTakers              []map[int]bool // a rule that goes: what decides instead, any session and those seen; a denial: what is proposed against it
	open                            []bool         // nobody decides some sessions of it instead
	opened                          bool           // more is permitted without the rules that are said to go
}

// first gives the first rule that holds a session, of those that are not left out, or -1.
func (t *trial) first(c, s netip.Addr, x categories.Service, left []bool) int {
	in := t.rules.empty()
	t.rules.match(c, s, x, in)
	at := -1
	in.each(func(i int) {
		if at < 0 && !left[i] {
			at = i
		}
	})
	return at
}

// does says what becomes of a session that a rule decides: 1 allowed, 0 denied, -1 left to nobody.
func (t *trial) does(rule int) int {
	switch {
	case rule < 0:
		return -1
	case t.rules.statements[rule].deny:
		return 0
	}
	return 1
}

func (t *trial) run() {
	t.decided, t.needed, t.against, t.alive = make([]bool, t.n), make([]bool, t.n), make([]bool, t.n), make([]bool, t.n)
	var ends [2][]netip.Addr
	for side := range ends {
		ends[side] = t.kinds(side)
	}
	var services []categories.Service
	for p := range 256 {
		if all, err := categories.ParseServiceTerm(iana.ProtocolName(uint8(p))); err == nil {
			for _, r := range t.rules.pieces(rangeOf(all)) {
				services = append(services, serviceOf(r.lo))
			}
		}
	}
	services = t.distinct(services)
	if uint64(len(ends[0]))*uint64(len(ends[1]))*uint64(len(services)) > maxJudged {
		t.v.report.find(Unproved, "", "what is said of the rules in force was not checked: there are too many kinds of sessions")
		return
	}
	none := make([]bool, len(t.gone))
	t.open, t.takers, t.seenTakers = make([]bool, t.n), make([]map[int]bool, t.n), make([]map[int]bool, t.n)
	for i := range t.n {
		t.takers[i], t.seenTakers[i] = map[int]bool{}, map[int]bool{}
	}
	t.serve(none)
	for _, c := range ends[0] {
		for _, s := range ends[1] {
			if c.Is4() != s.Is4() {
				continue
			}
			for _, x := range services {
				t.try(c, s, x, none)
			}
		}
	}
	t.compare()
	t.widths()
}

// serve finds the rules under which permitted sessions were seen.
func (t *trial) serve(none []bool) {
	t.served, t.partly = make([]bool, t.n), make([]bool, t.n)
	for i := range t.n {
		ends := t.rules.statements[i].ends
		t.partly[i] = !t.v.bounds.HoldsAll(t.v.addresses.Around(ends[0]), t.v.addresses.Around(ends[1]))
	}
	in := t.rules.empty()
	for i := range t.v.c.Sessions {
		s := &t.v.c.Sessions[i]
		if r := t.v.judge.reasons[i]; (r == "" || policy.Keeps(r)) && t.does(t.first(s.Client, s.Server, s.Service, none)) == 1 {
			t.rules.match(s.Client, s.Server, s.Service, in)
			in.each(func(i int) {
				if i < t.n && !t.partly[i] {
					t.served[i] = true
					if rest := t.first(s.Client, s.Server, s.Service, t.gone); t.does(rest) == 1 {
						t.seenTakers[i][rest] = true
					}
				}
			})
		}
	}
}

// try decides one session with and without rules.
func (t *trial) try(c, s netip.Addr, x categories.Service, none []bool) {
	in := t.rules.empty()
	t.rules.match(c, s, x, in)
	in.each(func(i int) {
		if i < t.n {
			t.alive[i] = true
		}
	})
	first, rest := t.first(c, s, x, none), t.first(c, s, x, t.gone)
	if t.does(rest) == 1 && t.does(first) != 1 {
		t.opened = true
	}
	if t.does(first) != t.does(rest) && first < t.n && first >= 0 && t.gone[first] {
		// What was seen under a rule that allows may be all that has to stay permitted of it.
		seen := false
		in.each(func(i int) { seen = seen || i < t.n && t.gone[i] && t.served[i] && !t.rules.statements[i].deny })
		t.needed[first] = t.needed[first] || t.rules.statements[first].deny || !seen
	}
	if first >= 0 && first < t.n {
		t.decided[first] = true
	}
	in.each(func(i int) {
		switch {
		case i >= t.n || !t.gone[i]:
		case rest < 0:
			t.open[i] = true
		default:
			t.takers[i][rest] = true
		}
	})
	if rest < 0 || rest >= t.n {
		return
	}
	if t.rules.statements[rest].deny {
		in.each(func(i int) {
			if i >= t.n {
				t.takers[rest][i] = true
			}
		})
	}
	left := slices.Clone(t.gone)
	left[rest] = true
	if next := t.first(c, s, x, left); t.does(next) != t.does(rest) {
		t.needed[rest] = true
	}
	if t.rules.statements[rest].deny {
		left = slices.Clone(t.gone)
		for i := range t.n {
			left[i] = true
		}
		t.against[rest] = t.against[rest] || t.first(c, s, x, left) >= 0
	}
}

// compare holds the trials, and the sessions of the window, against what is said.
func (t *trial) compare() {
	used, covers := make([]bool, t.n), map[string]bool{}
	none := make([]bool, len(t.gone))
	for i := range t.n { // nothing is known of sessions beyond the scope
		used[i] = t.partly[i]
	}
	holds := make([]bool, t.n) // a session under it would no longer be permitted
	var lost uint64
	var examples []string
	kept := make([]bool, t.n) // it permits one that has to stay permitted
	if t.opened {
		t.v.report.find(BadInForce, "", "without the rules in force that are said to be redundant or shadowed, more would be permitted")
	}
	for i := range t.v.c.Sessions {
		s := &t.v.c.Sessions[i]
		if r := t.v.judge.reasons[i]; r == "" || policy.Keeps(r) {
			first, rest := t.first(s.Client, s.Server, s.Service, none), t.first(s.Client, s.Server, s.Service, t.gone)
			if t.does(first) == 1 && t.does(rest) != 1 {
				if lost++; len(examples) < t.v.o.Examples {
					examples = append(examples, fmt.Sprintf("%s -> %s %s", plain(s.Client), plain(s.Server), s.Service))
				}
			}
			if t.does(rest) == 1 && rest < t.n {
				kept[rest] = true
				left := slices.Clone(t.gone)
				left[rest] = true
				if t.does(t.first(s.Client, s.Server, s.Service, left)) != 1 {
					holds[rest] = true
				}
			}
		}
		for _, left := range [][]bool{none, t.gone} {
			if at := t.first(s.Client, s.Server, s.Service, left); at >= 0 && at < t.n {
				used[at] = true
			}
		}
	}
	if lost > 0 {
		f := t.v.report.find(BadInForce, "", "%d sessions are no longer permitted without the rules in force that are said to be redundant or shadowed:", lost)
		f.Count, f.Examples = lost, examples
	}
	for i, f := range t.says {
		if f != nil && t.gone[i] && used[i] {
			for _, name := range f.By {
				covers[name] = true
			}
		}
	}
	t.names()
	for i, f := range t.says {
		name, said := t.rules.statements[i].name, policy.Audited("")
		if f != nil {
			said = f.Finding
		}
		bad := func(format string, args ...any) {
			t.v.report.find(BadInForce, "", "%s in force %s", name, fmt.Sprintf(format, args...))
		}
		switch {
		case t.gone[i] && t.needed[i]:
			bad("is said to be %s, but without it some sessions are decided otherwise", said)
		case !t.gone[i] && kept[i] && !holds[i] && !t.partly[i]:
			bad("is not said to be redundant, but other rules permit all that was seen under it")
		case said == policy.Shadowed && t.decided[i]:
			bad("is said to be shadowed, but decides some sessions")
		case !t.gone[i] && t.alive[i] && !t.needed[i]:
			bad("is not said to be redundant, but nothing changes without it")
		case !t.gone[i] && t.against[i] != (said == policy.Contradicted):
			bad("denies what the proposal permits: %v; it is said to be %q", t.against[i], said)
		case said == policy.Unused && used[i]:
			bad("is said to be unused, but decides sessions of the window")
		case said == "" && !used[i] && !covers[name]:
			bad("is not said to be unused, but decides no session of the window")
		}
	}
}

// names compares the rules that findings rest on.
func (t *trial) names() {
	for i, f := range t.says {
		if f == nil {
			continue
		}
		want := t.takers[i]
		switch {
		case f.Finding == policy.Unused:
			want = nil
		case t.gone[i] && t.served[i] && !t.rules.statements[i].deny:
			want = t.seenTakers[i]
		case t.open[i]:
			continue // said elsewhere, unless what was seen under another rule explains it
		}
		var by, proposed []string
		for _, j := range slices.Sorted(maps.Keys(want)) {
			if j < t.n {
				by = append(by, t.rules.statements[j].name)
			} else {
				proposed = append(proposed, t.v.names[j-t.n])
			}
		}
		if !slices.Equal(f.By, by) || !slices.Equal(f.ByProposed, proposed) || f.Beyond != nil {
			t.v.report.find(BadInForce, "", "%s in force is said to be %s by %v and by the proposal's %v; it is by %v and %v",
				t.rules.statements[i].name, f.Finding, f.By, f.ByProposed, by, proposed)
		}
	}
	for i, f := range t.wider {
		if f != nil && len(f.By)+len(f.ByProposed) > 0 {
			t.v.report.find(BadInForce, "", "%s in force is wider than what was seen whatever other rules there are: by and byProposed do not go with it", t.rules.statements[i].name)
		}
	}
}

// widths compares what is said of rules that permit more than was seen.
func (t *trial) widths() {
	known := t.v.known()
	width := make([]float64, t.n)
	for i := range t.n {
		st := &t.rules.statements[i]
		counted, wide := t.beyond(i, known)
		width[i] = float64(counted.PermittedPairs) * float64(counted.PermittedPorts)
		var want *policy.Beyond
		if wide && !st.deny && !t.partly[i] {
			want = &counted
		}
		var said *policy.Beyond
		if t.wider[i] != nil {
			if said = t.wider[i].Beyond; said == nil {
				said = &policy.Beyond{}
			}
		}
		switch {
		case said == nil && want == nil, said != nil && want != nil && *said == *want:
		case want == nil:
			t.v.report.find(BadInForce, "", "%s in force is said to be wider than what was seen, but sessions need all of it", st.name)
		default:
			t.v.report.find(BadInForce, "", "%s in force permits %d pairs, %d of them seen, and %d services, %d of them seen, which is not what is said",
				st.name, want.PermittedPairs, want.ObservedPairs, want.PermittedPorts, want.ObservedPorts)
		}
	}
	for i := range t.n {
		if !t.gone[i] && t.served[i] && !t.rules.statements[i].deny && t.spare(i, width) {
			t.v.report.find(BadInForce, "", "%s in force stays for the sake of narrower rules that are said to go, which permit all that was seen under it", t.rules.statements[i].name)
		}
	}
}

// spare reports whether all that was seen stays permitted without a rule and those of the rules said to go that are as wide as it.
func (t *trial) spare(rule int, width []float64) bool {
	left, narrower := make([]bool, len(t.gone)), false
	for i := range t.n {
		left[i] = i == rule || t.gone[i] && width[i] >= width[rule]
		narrower = narrower || t.gone[i] && !left[i]
	}
	if !narrower {
		return false // nothing stays for its sake
	}
	none := make([]bool, len(t.gone))
	for i := range t.v.c.Sessions {
		s := &t.v.c.Sessions[i]
		if r := t.v.judge.reasons[i]; r != "" && !policy.Keeps(r) {
			continue
		}
		if t.does(t.first(s.Client, s.Server, s.Service, none)) == 1 && t.does(t.first(s.Client, s.Server, s.Service, left)) != 1 {
			return false
		}
	}
	return true
}

// beyond compares what a rule in force permits with the sessions under it. It is wide unless they need each
// group, known host in no group, and service of the rule, or there are none.
func (t *trial) beyond(rule int, known map[netip.Addr]struct{}) (out policy.Beyond, wide bool) {
	v := t.v
	pairs, services := map[[2]netip.Addr]bool{}, map[categories.Service]bool{}
	var seen [2]map[netip.Addr]bool
	var ends [2]map[string]bool // groups of the addresses seen
	for side := range 2 {
		seen[side], ends[side] = map[netip.Addr]bool{}, map[string]bool{}
	}
	in := t.rules.empty()
	for i := range v.c.Sessions {
		s := &v.c.Sessions[i]
		if r := v.judge.reasons[i]; r != "" && !policy.Keeps(r) {
			continue
		}
		if t.rules.match(s.Client, s.Server, s.Service, in); !in.has(rule) {
			continue
		}
		services[s.Service] = true
		if isPair(s.Client, s.Server) {
			pairs[[2]netip.Addr{s.Client, s.Server}] = true
		}
		for side, a := range [2]netip.Addr{s.Client, s.Server} {
			seen[side][a] = true
			ends[side][v.endName(a)] = true
		}
	}
	if len(services) == 0 {
		return out, false
	}
	var sides [2][]netip.Addr
	for a := range known {
		for side := range 2 {
			if t.rules.address(side, a).has(rule) {
				sides[side] = append(sides[side], a)
				wide = wide || v.endName(a) == "" && !seen[side][a]
			}
		}
	}
	for _, c := range sides[0] {
		for _, s := range sides[1] {
			if isPair(c, s) {
				out.PermittedPairs++
			}
		}
	}
	out.ObservedPairs, out.ObservedPorts = uint64(len(pairs)), uint64(len(services))
	for side := range 2 {
		var prefixes []netip.Prefix
		for _, l := range t.rules.statements[rule].literals(side) {
			prefixes = append(prefixes, t.rules.meanings.prefixes(l)...)
		}
		for _, a := range v.ends.borders(prefixes) {
			name := v.endName(a)
			wide = wide || name != "" && t.rules.address(side, a).has(rule) && !ends[side][name]
		}
	}
	all := servicesOf(t.rules.statements[rule].services)
	if len(all) == 1 && all[0] == every {
		out.PermittedPorts = policy.NumServices
		return out, true
	}
	for _, r := range all {
		n := uint64(0)
		for s := range services {
			if k := keyOf(s); r.lo <= k && k <= r.hi {
				n++
			}
		}
		size := uint64(r.hi-r.lo) + 1
		out.PermittedPorts += size
		wide = wide || n < size && !(n > 0 && t.dynamic(r))
	}
	return out, wide
}

// dynamic reports whether dynamic ports make a range as a whole.
func (t *trial) dynamic(r keyRange) bool {
	for c := range t.v.judge.cells {
		if !c.service.Any && r.lo != r.hi && rangeOf(c.service.Term) == r {
			return true
		}
	}
	return false
}

// endName names the group that stands for an address in cells, "" if none does.
func (v *verifier) endName(a netip.Addr) string {
	if g := v.ends.resolver.LookupIndex(a); g >= 0 {
		return fmt.Sprint(g)
	}
	if v.o.Settings.External == policy.ExternalInternet && categories.KindOf(a) == categories.Public {
		return categories.InternetGroup
	}
	return ""
}

// kinds gives an address of every kind that the rules tell apart at one side.
func (t *trial) kinds(side int) (out []netip.Addr) {
	begins := []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	add := func(prefixes ...netip.Prefix) {
		for _, p := range prefixes {
			s := policy.Spans([]netip.Prefix{p})[0]
			begins = append(begins, s.Lo)
			if next := s.Hi.Next(); next.IsValid() {
				begins = append(begins, next)
			}
		}
	}
	for _, as := range t.v.addresses.Resolver().Assignments() {
		add(as.Prefix)
	}
	for _, s := range categories.SpecialPurpose() {
		add(s.Prefix)
	}
	for i := range t.rules.statements {
		for _, l := range t.rules.statements[i].literals(side) {
			add(t.rules.meanings.prefixes(l)...)
		}
	}
	seen := map[string]bool{}
	for _, a := range slices.DeleteFunc(begins, netip.Addr.Is4In6) { // those count as IPv4
		key := fmt.Sprint(a.Is4(), t.rules.address(side, a))
		if !seen[key] {
			seen[key] = true
			out = append(out, a)
		}
	}
	return out
}

// distinct gives a service of every kind that the rules tell apart.
func (t *trial) distinct(services []categories.Service) (out []categories.Service) {
	seen := map[string]bool{}
	for _, s := range services {
		key := fmt.Sprint(t.rules.service(s))
		if !seen[key] {
			seen[key] = true
			out = append(out, s)
		}
	}
	return out
}
