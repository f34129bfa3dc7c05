package simulate

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"cordon/categories"
	"cordon/recommender/policy"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Settings say which sessions to replay, and what they are called by.
type Settings struct {
	// Since and Until bound the window: sessions that overlap [Since, Until). A zero time leaves that side open.
	Since, Until time.Time
	VRF          string        // empty for all
	Scope        *policy.Scope // nil for all sessions
	// Groups is the file whose groups results name, of the selected categories; nil for none. Where it has times, the groups of a session are
	// those of its addresses when it was seen.
	Groups     *categories.File
	Categories []string
	// Each asks what changes where one rule goes, for every rule.
	Each bool
	// WithoutHosts leaves Result.Hosts empty, which saves reading every session that is not permitted.
	WithoutHosts bool
}

// ScopeError says what of a scope or of the categories cannot be used. It is the caller's mistake.
type ScopeError struct{ Err error }

func (e *ScopeError) Error() string { return e.Err.Error() }
func (e *ScopeError) Unwrap() error { return e.Err }

// Names of addresses that are in no selected group.
const (
	External  = "external"  // public
	Ungrouped = "ungrouped" // any other
)

// Replay is the sessions of a window, decided. Its tables in the store exist until it is closed.
type Replay struct {
	Result Result

	t         *tables
	candidate *side
	against   *side          // nil for none
	groups    *policy.InTime // nil where no groups are known
	named     []string       // the group of each class
	classes   *classes
	external  int
	parts     []part
	decided   []judged  // one for each part
	verdicts  []verdict // their places are their numbers in the tables of verdicts and of what is stopped
	bounds    policy.Bounds
}

// side is a candidate with what decides, by VRF.
type side struct {
	*Candidate
	rules *rules
	byVRF map[string]*compiled
	ready map[string]*decider
}

// judged is what becomes of a part.
type judged struct {
	holds       bool // some policy is for the part's VRF
	now, before decision
	compared    bool // the decision before is known
}

// New replays the sessions that the settings select against a candidate, and compares with another one, which may be
// nil. The connection's database is Cordon's. Close it.
func New(ctx context.Context, conn driver.Conn, s Settings, candidate, against *Candidate) (_ *Replay, err error) {
	r := &Replay{candidate: newSide(candidate)}
	if err := r.lookAt(ctx, conn, &s); err != nil {
		return nil, err
	}
	if against != nil {
		r.against = newSide(against)
	}
	r.t = newTables(conn, &s, &r.bounds)
	defer func() {
		if err != nil {
			r.Close(ctx)
		}
	}()
	vrfs, err := r.t.vrfs(ctx)
	if err != nil {
		return nil, fmt.Errorf("ClickHouse: VRFs of the window: %w", err)
	}
	if err := r.divide(&s, vrfs); err != nil {
		return nil, err
	}
	if err := r.t.load(ctx, r.classes); err != nil {
		return nil, fmt.Errorf("ClickHouse: send addresses: %w", err)
	}
	if err := r.t.classify(ctx); err != nil {
		return nil, fmt.Errorf("ClickHouse: classify sessions: %w", err)
	}
	if r.parts, err = r.t.readParts(ctx); err != nil {
		return nil, fmt.Errorf("ClickHouse: count sessions: %w", err)
	}
	r.decide()
	r.summarize(&s)
	if s.Each {
		r.each()
	}
	if !s.WithoutHosts {
		if err := r.hosts(ctx); err != nil {
			return nil, fmt.Errorf("ClickHouse: hosts: %w", err)
		}
	}
	r.finish()
	return r, nil
}

// lookAt prepares the groups and the scope of the settings.
func (r *Replay) lookAt(ctx context.Context, conn driver.Conn, s *Settings) error {
	at, err := Moment(ctx, conn, s.Groups, s.Until)
	if err != nil {
		return err
	}
	file := s.Groups
	if file.Timed() {
		since := s.Since
		if !since.IsZero() {
			since = since.Add(-policy.AroundWindow)
		}
		file = file.AtIn(at, since)
	}
	if _, r.bounds, err = s.Scope.Bounds(file); err != nil {
		return &ScopeError{err}
	}
	if s.Groups == nil {
		return nil
	}
	if r.groups, err = policy.NewInTime(s.Groups, s.Categories, s.Since, s.Until, at); err != nil {
		return &ScopeError{fmt.Errorf("--category: %w", err)}
	}
	return nil
}

// Moment gives the moment whose groups hold for a window that ends before until: its end, and where that is open the last moment
// of the stored sessions. It costs nothing where the file, which may be nil, has no times.
func Moment(ctx context.Context, conn driver.Conn, file *categories.File, until time.Time) (at time.Time, err error) {
	switch {
	case !file.Timed():
		return at, nil
	case !until.IsZero():
		return until.Add(-time.Microsecond), nil
	}
	if err = conn.QueryRow(ctx, "SELECT max(last_seen) FROM sessions_hourly").Scan(&at); err != nil {
		return at, fmt.Errorf("ClickHouse: find the end of the window: %w", err)
	}
	return at, nil
}

// Close drops the tables, also when the context has ended.
func (r *Replay) Close(ctx context.Context) error { return r.t.close(ctx) }

func newSide(c *Candidate) *side {
	return &side{Candidate: c, rules: nameRules(c), byVRF: map[string]*compiled{}, ready: map[string]*decider{}}
}

func (s *side) compile(vrfs []string, g *registry) error {
	for _, vrf := range vrfs {
		c, err := compile(s.Candidate, s.rules, vrf, g)
		if err != nil {
			return err
		}
		s.byVRF[vrf] = c
	}
	return nil
}

// divide makes the classes of addresses that both candidates and the names of groups tell apart.
func (r *Replay) divide(s *Settings, vrfs []string) error {
	g := newRegistry()
	if err := r.candidate.compile(vrfs, g); err != nil {
		return err
	}
	if r.against != nil {
		if err := r.against.compile(vrfs, g); err != nil {
			return err
		}
	}
	r.external = g.add(policy.NewAddressSet(categories.InternetPrefixes()), nil)
	if err := r.addGroups(g); err != nil {
		return err
	}
	r.classes = divide(g)
	r.classes.follow(g, r.files())
	for _, side := range []*side{r.candidate, r.against} {
		if side == nil {
			continue
		}
		for vrf, c := range side.byVRF {
			side.ready[vrf] = newDecider(c, side.rules, r.classes.list)
		}
	}
	return nil
}

// addGroups adds the groups that results name.
func (r *Replay) addGroups(g *registry) error {
	if r.groups == nil {
		return nil
	}
	if len(r.groups.Changing()) > 0 {
		// A proposal counts the sessions of these apart, so a replay does too.
		g.addNobody(r.groups, (*policy.InTime).Former)
		g.addNobody(r.groups, func(_ *policy.InTime, t policy.Tenure) bool { return t.Unknown })
	}
	resolver := r.groups.Resolver()
	for _, ref := range resolver.Groups() {
		literals := []policy.Endpoint{policy.GroupEndpoint(resolver.Label(ref))}
		set, err := r.groups.Set(literals, policy.Allowing)
		if err != nil {
			return err
		}
		switch {
		case len(r.groups.Changing()) > 0:
			g.add(set, &meaning{intime: r.groups, as: policy.Allowing, in: literals})
		case len(set) > 0:
			g.add(set, nil)
		}
	}
	return nil
}

// files gives the groups files by which some address may change its owner, each once.
func (r *Replay) files() (out []*policy.InTime) {
	add := func(f *policy.InTime) {
		if f != nil && len(f.Changing()) > 0 && !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	add(r.groups)
	for _, side := range []*side{r.candidate, r.against} {
		if side == nil {
			continue
		}
		for i := range side.Documents {
			add(side.Documents[i].InTime)
		}
	}
	return out
}

// labelsOf names the group of each class, as a resolver does for any of its addresses: they are in the same groups.
func (r *Replay) labelsOf() []string {
	out := make([]string, len(r.classes.list))
	for _, x := range r.classes.ranges {
		if out[x.class] != "" {
			continue
		}
		out[x.class] = r.outside(x.class)
		if r.groups == nil {
			continue
		}
		if ref, ok := r.groups.Resolver().Lookup(x.first); ok {
			out[x.class] = r.groups.Resolver().Label(ref)
		}
	}
	for _, t := range r.classes.tracks {
		out[t.nobody] = r.outside(t.nobody)
		for _, x := range t.tenures {
			out[x.class] = r.outside(x.class)
			if r.groups == nil {
				continue
			}
			if label := r.groups.LabelDuring(t.first, x.Times); label != "" {
				out[x.class] = label
			}
		}
	}
	return out
}

// outside names the class of addresses in no group.
func (r *Replay) outside(class uint32) string {
	if r.classes.list[class].sets.has(r.external) {
		return External
	}
	return Ungrouped
}

func (r *Replay) decide() {
	r.decided = make([]judged, len(r.parts))
	for i := range r.parts {
		p := &r.parts[i]
		j := &r.decided[i]
		if j.holds = r.candidate.byVRF[p.vrf].holds; !j.holds {
			continue
		}
		j.now = r.candidate.ready[p.vrf].decide(p.client, p.server, p.service, keepAll)
		if r.against != nil && r.against.byVRF[p.vrf].holds {
			j.before, j.compared = r.against.ready[p.vrf].decide(p.client, p.server, p.service, keepAll), true
		}
	}
}

// changed reports whether a part is decided otherwise than before.
func (j *judged) changed() bool {
	return j.compared && kind(j.now.Decision) != kind(j.before.Decision)
}

// beforeDecision is the decision of the policy that is compared with; empty where there is none.
func (j *judged) beforeDecision() policy.Decision {
	if !j.compared {
		return ""
	}
	return j.before.Decision
}

func (r *Replay) summarize(s *Settings) {
	out := &r.Result
	out.APIVersion, out.Kind, out.Policy = policy.APIVersion, KindSimulation, r.candidate.Name
	out.VRF, out.Scope = s.VRF, s.Scope
	if r.against != nil {
		out.Against, out.Changed = r.against.Name, new(Changed)
	}
	for _, n := range r.candidate.rules.names {
		out.Rules = append(out.Rules, Rule{Name: n.name, ID: n.id, Action: n.action})
	}
	r.named = r.labelsOf()
	var first, last time.Time
	sums := newSums(r)
	for i := range r.parts {
		p, j := &r.parts[i], &r.decided[i]
		if first.IsZero() || p.first.Before(first) {
			first = p.first
		}
		if p.last.After(last) {
			last = p.last
		}
		if !j.holds {
			out.Summary.NotJudged += p.n
			continue
		}
		out.Summary.add(j.now.Decision, &p.tallied)
		if j.compared {
			out.Changed.add(j.before.Decision, j.now.Decision, &p.tallied)
		}
		out.Rules[j.now.rule].add(j.now.Decision, &p.tallied)
		sums.add(p, j)
	}
	out.Window = policy.Window{From: policy.NewTime(first), To: policy.NewTime(last)}
	if !s.Since.IsZero() {
		out.Window.From = policy.NewTime(s.Since)
	}
	if !s.Until.IsZero() {
		out.Window.To = policy.NewTime(s.Until)
	}
	sums.write(out)
}

// finish writes what is left, once everything is counted.
func (r *Replay) finish() {
	out := &r.Result
	for i := range out.Rules {
		out.Rules[i].finish()
	}
	for i := range out.Pairs {
		out.Pairs[i].Stopped.finish()
	}
	for i := range out.Services {
		out.Services[i].Stopped.finish()
	}
	for i := range out.all {
		out.all[i].finish()
		if c := &out.all[i]; c.Decision != policy.Permitted || c.Before != "" && kind(c.Before) != kind(c.Decision) {
			out.Cells = append(out.Cells, *c)
		}
	}
	for i := range out.Hosts {
		out.Hosts[i].finish()
	}
	for i := range out.Each {
		out.Each[i].Denied.finish()
		out.Each[i].Permitted.finish()
	}
}

// part is the sessions or the attempts between two classes with one service.
type part struct {
	vrf            string
	number         uint16 // the VRF's in tables
	client, server uint32 // classes
	service        categories.Service
	tallied
}

func addressText(a netip.Addr) string { return a.Unmap().String() }
