package verify

import (
	"fmt"
	"net/netip"
	"slices"

	"cordon/categories"
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
	for i := range v.p.Existing {
		f := &v.p.Existing[i]
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
	t := &trial{v: v, n: n, says: says, rules: newIndex(v.rules.meanings, append(list, v.rules.statements...)), gone: make([]bool, n+len(v.p.Rules))}
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
	rules *index
	gone  []bool

	// Of each rule in force: it decides a session, makes a difference, denies what is
	// proposed, and holds a session that could be.
	decided, needed, against, alive []bool
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
		if all, err := categories.ParseServiceTerm(categories.ProtocolName(uint8(p))); err == nil {
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
	if t.does(first) != t.does(rest) && first < t.n && first >= 0 && t.gone[first] {
		t.needed[first] = true
	}
	if first >= 0 && first < t.n {
		t.decided[first] = true
	}
	if rest < 0 || rest >= t.n {
		return
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
	for i := range t.n { // what sessions beyond the scope a rule decides is not known
		ends := t.rules.statements[i].ends
		used[i] = !t.v.bounds.HoldsAll(t.v.addresses.Around(ends[0]), t.v.addresses.Around(ends[1]))
	}
	for i := range t.v.c.Sessions {
		s := &t.v.c.Sessions[i]
		for _, left := range [][]bool{none, t.gone} {
			if at := t.first(s.Client, s.Server, s.Service, left); at >= 0 && at < t.n {
				used[at] = true
			}
		}
	}
	for i, f := range t.says {
		if f != nil && t.gone[i] && used[i] {
			for _, name := range f.By {
				covers[name] = true
			}
		}
	}
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
	for _, a := range begins {
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
