package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"cordon/categories"
	"cordon/recommender/policy"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Options say with what a proposal was made.
type Options struct {
	// Groups is the groups file; nil has no groups.
	Groups *categories.File
	// Settings, where they are not the defaults; see Settings.
	Settings policy.Settings
	// Existing and Guardrails are the policies that the proposal was made with.
	Existing, Guardrails []policy.Policy
	// Examples is how many are named of what a finding counts; 0 means 5.
	Examples int
}

// ErrGroups says that a proposal cannot be understood without its groups file.
var ErrGroups = errors.New("the proposal names groups")

// ErrSettings says that a proposal was made with a setting whose effect is not
// computed here.
var ErrSettings = errors.New("verify does not know what comes of the settings of the proposal")

// Proposal checks a proposal against the sessions in the store. The connection's
// database is Cordon's. An error that is ErrGroups or ErrSettings is the caller's.
func Proposal(ctx context.Context, conn driver.Conn, p *policy.Proposal, o Options) (*Report, error) {
	v, err := newVerifier(p, o)
	if err != nil {
		return nil, err
	}
	sessions, err := Read(ctx, conn, p)
	if err != nil {
		return nil, err
	}
	return v.check(sessions), nil
}

// Sessions is Proposal with the sessions of the proposal's VRF and window at hand.
func Sessions(p *policy.Proposal, sessions []Session, o Options) (*Report, error) {
	v, err := newVerifier(p, o)
	if err != nil {
		return nil, err
	}
	return v.check(sessions), nil
}

type verifier struct {
	p         *policy.Proposal
	o         Options
	addresses *policy.Addresses
	ends      *endpoints
	judge     *judge
	names     []string // of the rules, for people
	unknown   []bool   // rules with a group that the file does not have
	rules     *index
	boxes     []box // of the rules
	report    Report
}

// box is what a rule permits, in endpoints and services.
type box struct {
	ends     [2][]int32
	services []policy.Service // single ones; "any" for all that were never seen
}

func newVerifier(p *policy.Proposal, o Options) (*verifier, error) {
	// Better no answer than a wrong one: these change reasons and services.
	if s := o.Settings; s.MinHours > 1 || s.ScannerTargets > 0 || s.PortRanges > 0 {
		return nil, fmt.Errorf("%w: hours (%d), scanner targets (%d) and port ranges (%d) cannot be verified", ErrSettings, s.MinHours, s.ScannerTargets, s.PortRanges)
	}
	if o.Settings.Ungrouped == "prefix" {
		return nil, fmt.Errorf("%w: prefixes of ungrouped hosts cannot be verified", ErrSettings)
	}
	if p.ScaledBytes {
		return nil, fmt.Errorf("%w: bytes multiplied by the sampling cannot be verified", ErrSettings)
	}
	file := o.Groups
	if file == nil {
		file = &categories.File{}
	}
	if len(p.Categories) == 0 && len(file.Categories) > 0 {
		// A proposal without categories was made without groups.
		file = &categories.File{Exclude: file.Exclude, Services: file.Services}
	}
	o.Settings.MinSessions, o.Settings.MinHosts = max(o.Settings.MinSessions, 1), max(o.Settings.MinHosts, 1)
	o.Settings.Ungrouped = cmp.Or(o.Settings.Ungrouped, "host")
	o.Examples = cmp.Or(o.Examples, 5)
	if len(file.Categories) == 0 && len(p.Categories) > 0 {
		return nil, fmt.Errorf("%w of categories %v: give the groups file that it was made with", ErrGroups, p.Categories)
	}
	a, err := policy.NewAddresses(file, p.Categories)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrGroups, err)
	}
	v := &verifier{p: p, o: o, addresses: a, ends: newEndpoints(a, o.Settings)}
	v.judge = newJudge(p.VRF, v.ends, file, &v.o)
	v.report = Report{Proposal: p.ID, VRF: p.VRF, Window: p.Window, Rules: len(p.Rules), Findings: []Finding{}}
	for i := range p.Rules {
		v.names = append(v.names, cmp.Or(p.Rules[i].Name, p.Rules[i].ID, fmt.Sprint(i+1)))
	}
	return v, nil
}

func (v *verifier) check(sessions []Session) *Report {
	v.edited()
	v.form()
	v.judge.sessions(sessions)
	v.report.Sessions = uint64(len(sessions))
	for i := range sessions {
		if v.judge.reasons[i] == "" {
			v.report.Included++
		}
	}
	for _, needed := range v.judge.cells {
		if needed {
			v.report.Cells++
		}
	}
	v.soundness()
	v.sessionsInRules(sessions)
	v.reasons()
	v.certificate()
	v.summary()
	v.report.OK = v.report.wrong() == 0
	v.report.Optimal = v.report.LowerBound == len(v.p.Rules) && !v.report.has(BadRule, Unsound, Incomplete)
	return &v.report
}

// edited compares the ids with the content.
func (v *verifier) edited() {
	if v.p.Edited() {
		v.report.find(Edited, "", "the document was edited: its content has the id %s", v.p.ContentID())
	}
	for i := range v.p.Rules {
		if r := &v.p.Rules[i]; r.ID != r.ContentID() {
			v.report.find(Edited, v.names[i], "its literals or its action were edited: they have the id %s", r.ContentID())
		}
	}
}

// form prepares the rules that mean something.
func (v *verifier) form() {
	list := make([]statement, len(v.p.Rules))
	v.unknown = make([]bool, len(v.p.Rules))
	for i := range v.p.Rules {
		r := &v.p.Rules[i]
		if r.Action != policy.Allow {
			v.report.find(BadRule, v.names[i], "the action is %q: the rules of a proposal allow", r.Action)
			continue // it permits nothing
		}
		if r.Direction != policy.Bidirectional {
			v.report.find(BadRule, v.names[i], "the direction is %q, not %s", r.Direction, policy.Bidirectional)
		}
		for _, set := range [][]policy.Endpoint{r.Sources, r.Destinations} {
			for _, e := range set {
				if err := v.addresses.Check(e); err != nil {
					v.report.find(BadRule, v.names[i], "%s: %v", e, err)
					v.unknown[i] = true
				}
			}
		}
		list[i] = statement{ends: [2][]policy.Endpoint{r.Sources, r.Destinations}, services: r.Services}
	}
	v.rules = newIndex(v.addresses, list)
}

func (v *verifier) name(c cell) string {
	service := c.service.String()
	if c.service.Any {
		service = "any other service"
	}
	return fmt.Sprintf("%s -> %s %s", v.ends.literals[c.src], v.ends.literals[c.dst], service)
}

// maxJudged bounds how many cells of a rule that were not observed are tried
// for being permitted by the policy in force.
const maxJudged = 2_000_000

// soundness looks for permissions that were not observed.
func (v *verifier) soundness() {
	bySource := map[int32][]cell{}
	services := map[policy.Service]bool{}
	for c := range v.judge.cells {
		bySource[c.src] = append(bySource[c.src], c)
		services[c.service] = true
	}
	for i, s := range v.rules.statements {
		b := box{services: expandServices(s.services, services)}
		for side, set := range s.ends {
			for _, e := range set {
				ids, err := v.ends.expand(e)
				if err == nil { // else said already
					b.ends[side] = append(b.ends[side], ids...)
				}
			}
			slices.Sort(b.ends[side])
			b.ends[side] = slices.Compact(b.ends[side])
		}
		v.boxes = append(v.boxes, b)
		total := uint64(len(b.ends[0])) * uint64(len(b.ends[1])) * uint64(len(b.services))
		v.report.Permits += total
		observed := uint64(0)
		for _, src := range b.ends[0] {
			for _, c := range bySource[src] {
				if b.holds(c) {
					observed++
				}
			}
		}
		if observed == total {
			continue
		}
		bad, examples := v.unobserved(&b, total-observed)
		if bad > 0 {
			f := v.report.find(Unsound, v.names[i], "permits %d of %d cells that were never observed:", bad, total)
			f.Count, f.Examples = bad, examples
		}
	}
}

// unobserved counts and names the cells of a box that a rule may not hold; n of
// them were not observed.
func (v *verifier) unobserved(b *box, n uint64) (bad uint64, examples []string) {
	all := len(v.judge.existing.statements) > 0 && uint64(len(b.ends[0]))*uint64(len(b.ends[1]))*uint64(len(b.services)) <= maxJudged
	bad = n
	for _, src := range b.ends[0] {
		for _, dst := range b.ends[1] {
			for _, s := range b.services {
				c := cell{src, dst, s}
				if _, ok := v.judge.cells[c]; ok {
					continue
				}
				if all && v.judge.isPermitted(c) {
					bad--
					continue
				}
				if len(examples) < v.o.Examples {
					examples = append(examples, v.name(c))
				} else if !all {
					return bad, examples
				}
			}
		}
	}
	return bad, examples
}

func (b *box) holds(c cell) bool {
	for side, id := range [2]int32{c.src, c.dst} {
		if _, ok := slices.BinarySearch(b.ends[side], id); !ok {
			return false
		}
	}
	_, ok := slices.BinarySearchFunc(b.services, c.service, policy.Service.Compare)
	return ok
}

// expandServices takes terms apart into single services.
func expandServices(set []policy.Service, seen map[policy.Service]bool) []policy.Service {
	var out []policy.Service
	for _, s := range set {
		if s.Any {
			for x := range seen {
				out = append(out, x)
			}
			out = append(out, s)
			continue
		}
		for p := uint32(s.Term.Lo); p <= uint32(s.Term.Hi); p++ {
			out = append(out, policy.ServiceOf(categories.Service{Proto: s.Term.Proto, Port: uint16(p)}))
		}
	}
	slices.SortFunc(out, policy.Service.Compare)
	return slices.Compact(out)
}

// tally is what was seen under a rule.
type tally struct {
	policy.Evidence
	clients, servers map[netip.Addr]struct{}
	pairs            map[[2]netip.Addr]struct{}
}

// sessionsInRules checks completeness, that every rule is needed, and the
// numbers of each rule.
func (v *verifier) sessionsInRules(sessions []Session) {
	tallies := make([]tally, len(v.p.Rules))
	for i := range tallies {
		tallies[i] = tally{clients: map[netip.Addr]struct{}{}, servers: map[netip.Addr]struct{}{}, pairs: map[[2]netip.Addr]struct{}{}}
	}
	var missing uint64
	var examples []string
	holders := map[string]bitset{} // sets of rules that hold an included session
	in := v.rules.empty()
	known := map[netip.Addr]struct{}{}
	for i := range sessions {
		s := &sessions[i]
		known[s.Client], known[s.Server] = struct{}{}, struct{}{}
		reason := v.judge.reasons[i]
		if reason != "" && reason != policy.AlreadyPermitted {
			continue
		}
		v.rules.match(s.Client, s.Server, s.Service, in)
		some := false
		in.each(func(r int) {
			some = true
			t := &tallies[r]
			t.pairs[[2]netip.Addr{s.Client, s.Server}] = struct{}{}
			if reason == "" {
				t.add(s)
			}
		})
		if reason != "" {
			continue
		}
		if !some {
			if missing++; len(examples) < v.o.Examples {
				examples = append(examples, fmt.Sprintf("%s -> %s %s", s.Client, s.Server, s.Service))
			}
			continue
		}
		key := fmt.Sprint(in)
		if holders[key] == nil {
			holders[key] = slices.Clone(in)
		}
	}
	if missing > 0 {
		f := v.report.find(Incomplete, "", "%d included sessions are in no rule:", missing)
		f.Count, f.Examples = missing, examples
	}
	v.needed(holders)
	v.numbers(tallies, known)
}

func (t *tally) add(s *Session) {
	t.Sessions++
	t.Flows += s.Flows
	t.Bytes += s.Bytes
	t.clients[s.Client], t.servers[s.Server] = struct{}{}, struct{}{}
	if t.FirstSeen.IsZero() || s.First.Before(t.FirstSeen.Time) {
		t.FirstSeen = policy.NewTime(s.First)
	}
	if s.Last.After(t.LastSeen.Time) {
		t.LastSeen = policy.NewTime(s.Last)
	}
}

// needed finds rules that could be left out, all of them together.
func (v *verifier) needed(holders map[string]bitset) {
	out := v.rules.empty()
	for i := len(v.p.Rules) - 1; i >= 0; i-- {
		if v.p.Rules[i].Action != policy.Allow {
			continue
		}
		others, free, used := v.rules.empty(), true, false
		for _, h := range holders {
			if !h.has(i) {
				continue
			}
			used = true
			left := false
			h.each(func(r int) {
				if r != i && !out.has(r) {
					left = true
					others.set(r)
				}
			})
			free = free && left
		}
		switch {
		case !used && v.unknown[i]: // said already
		case !used:
			v.report.find(Redundant, v.names[i], "no included session needs it")
		case free:
			f := v.report.find(Redundant, v.names[i], "every session under it is under other rules as well:")
			others.each(func(r int) {
				if f.Count++; len(f.Examples) < v.o.Examples {
					f.Examples = append(f.Examples, v.names[r])
				}
			})
		default:
			continue
		}
		out.set(i)
	}
}

// numbers compares evidence and excess.
func (v *verifier) numbers(tallies []tally, known map[netip.Addr]struct{}) {
	for _, e := range v.addresses.Resolver().Endpoints() {
		known[e.Addr] = struct{}{}
	}
	clients, servers, both := make([]uint64, len(v.p.Rules)), make([]uint64, len(v.p.Rules)), make([]uint64, len(v.p.Rules))
	for a := range known {
		src, dst := v.rules.address(0, a), v.rules.address(1, a)
		src.each(func(r int) {
			clients[r]++
			if dst.has(r) {
				both[r]++
			}
		})
		dst.each(func(r int) { servers[r]++ })
	}
	for i := range v.p.Rules {
		if v.p.Rules[i].Action != policy.Allow {
			continue
		}
		t, e, x := &tallies[i], &v.p.Rules[i].Evidence, &v.p.Rules[i].Excess
		t.Clients, t.Servers = uint64(len(t.clients)), uint64(len(t.servers))
		var wrong []string
		for _, n := range []struct {
			name      string
			said, are uint64
		}{
			{"evidence.sessions", e.Sessions, t.Sessions}, {"evidence.flows", e.Flows, t.Flows}, {"evidence.bytes", e.Bytes, t.Bytes},
			{"evidence.clients", e.Clients, t.Clients}, {"evidence.servers", e.Servers, t.Servers},
			{"excess.permittedPairs", x.PermittedPairs, clients[i]*servers[i] - both[i]}, {"excess.observedPairs", x.ObservedPairs, uint64(len(t.pairs))},
		} {
			if n.said != n.are {
				wrong = append(wrong, fmt.Sprintf("%s is %d, counted are %d", n.name, n.said, n.are))
			}
		}
		for _, n := range []struct {
			name      string
			said, are policy.Time
		}{{"evidence.firstSeen", e.FirstSeen, t.FirstSeen}, {"evidence.lastSeen", e.LastSeen, t.LastSeen}} {
			if !n.said.Equal(n.are.Time) && t.Sessions > 0 {
				wrong = append(wrong, fmt.Sprintf("%s is %s, counted is %s", n.name, n.said.Format(time.RFC3339Nano), n.are.Format(time.RFC3339Nano)))
			}
		}
		if wrong != nil {
			f := v.report.find(WrongNumbers, v.names[i], "its evidence is not what the sessions say:")
			f.Count, f.Examples = uint64(len(wrong)), wrong
		}
	}
}

// explains says which flag could explain another number of sessions for a reason.
var explains = map[policy.Reason]string{
	policy.Excluded:         "the groups file has other exclusions (--groups; stored groups have none)",
	policy.HalfOpen:         "it was made with another --half-open",
	policy.External:         "it was made with another --external, or other groups",
	policy.Ungrouped:        "it was made with another --ungrouped, or other groups",
	policy.Guardrail:        "it was made with other --guardrails",
	policy.AlreadyPermitted: "it was made with another --existing",
	policy.BelowSupport:     "it was made with another --min-sessions or --min-hosts",
}

// reasons compares what is left out.
func (v *verifier) reasons() {
	counted, said := map[policy.Reason]uint64{}, map[policy.Reason]uint64{}
	for _, r := range v.judge.reasons {
		counted[r]++
	}
	for _, u := range v.p.Unproposed {
		said[u.Reason] += u.Sessions
		if !slices.Contains(policy.Reasons, u.Reason) {
			v.report.find(WrongReason, "", "%q is no reason", u.Reason)
		}
	}
	for _, r := range policy.Reasons {
		if counted[r] == said[r] {
			continue
		}
		v.report.find(WrongReason, "", "%d sessions are said to be left out as %s, counted are %d", said[r], r, counted[r]).Count = counted[r]
		if why, ok := explains[r]; ok {
			v.report.find(Hint, "", "%s: perhaps %s", r, why)
		}
	}
}

// summary compares the rest of the numbers.
func (v *verifier) summary() {
	s := &v.p.Summary
	lines := 0
	for i := range v.p.Rules {
		lines += v.p.Rules[i].EOSLines(v.p.Rules[i].Families(v.addresses))
	}
	pairs := map[[2]int32]bool{}
	for c, needed := range v.judge.cells {
		if needed {
			pairs[[2]int32{c.src, c.dst}] = true
		}
	}
	for _, n := range []struct {
		name      string
		said, are uint64
	}{
		{"sessions", s.Sessions, v.report.Sessions}, {"included", s.Included, v.report.Included}, {"cells", uint64(s.Cells), uint64(v.report.Cells)},
		{"rules", uint64(s.Rules), uint64(len(v.p.Rules))}, {"perHostRules", s.PerHostRules, v.report.Included},
		{"perPairRules", uint64(s.PerPairRules), uint64(len(pairs))}, {"eosLines", uint64(s.EOSLines), uint64(lines)},
	} {
		if n.said != n.are {
			v.report.find(WrongCount, "", "summary.%s is %d, counted are %d", n.name, n.said, n.are)
		}
	}
}
