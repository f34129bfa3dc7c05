package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"cordon/categories"
	"cordon/recommender/policy"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Options say with what a proposal was made.
type Options struct {
	// Groups is the groups file; nil takes the groups that the proposal carries.
	Groups *categories.File
	// Settings, where they are not the defaults.
	Settings policy.Settings
	// Scope is the scope that the proposal was made with; nil for the one that it names.
	Scope *policy.Scope
	// Existing and Guardrails are the policies that the proposal was made with; nil takes those that it carries.
	Existing, Guardrails []policy.Policy
	// Examples is how many are named of what a finding counts; 0 means 5.
	Examples int

	alone  bool    // Groups are those that the proposal carries
	owners *owners // nil where no address changed its owner
}

// ErrGroups says that a proposal cannot be understood without its groups file.
var ErrGroups = errors.New("the proposal names groups")

// ErrCarried says that what a proposal carries of its groups file is no such thing.
var ErrCarried = errors.New("the groups that the proposal carries cannot be read")

// ErrSettings says that a setting has a value whose effect is not computed here.
var ErrSettings = errors.New("verify does not know what comes of the settings of the proposal")

// Proposal checks a proposal against the store. The connection's database is
// Cordon's. An error that is ErrGroups, ErrCarried or ErrSettings is the caller's.
func Proposal(ctx context.Context, conn driver.Conn, p *policy.Proposal, o Options) (*Report, error) {
	v, err := newVerifier(p, o)
	if err != nil {
		return nil, err
	}
	c, err := Read(ctx, conn, p, v.o)
	if err != nil {
		return nil, err
	}
	return v.check(c), nil
}

// verifier is the check of one proposal. Each step finds what it looks for by
// itself; they share what is computed before them.
type verifier struct {
	p         *policy.Proposal
	o         Options
	c         *Collected
	addresses *policy.Addresses
	ends      *endpoints
	judge     *judge
	names     []string // names of the rules that people read
	unknown   []bool   // rules with a group that the file does not have
	rules     *index
	bounds    policy.Bounds                 // bounds of the scope
	all       []Session                     // whatever the scope
	coverage  *coverage                     // nil where all sessions were asked for
	boxes     []box                         // boxes of the rules
	ports     []map[categories.Service]bool // seen under each rule that has a range
	report    Report
}

func newVerifier(p *policy.Proposal, o Options) (*verifier, error) {
	o.Groups = o.Groups.InVRF(p.VRF)
	if err := o.given(p); err != nil {
		return nil, err
	}
	file := o.Groups
	if file == nil {
		file = &categories.File{}
	}
	if len(p.Categories) == 0 && len(file.Categories) > 0 {
		// A proposal without categories was made without groups.
		file = &categories.File{Exclude: file.Exclude, Services: file.Services}
	}
	o.Settings = o.Settings.Filled()
	for _, option := range policy.Options() {
		// Better no answer than a wrong one. What means something and nothing writes is a finding, see settings.
		if err := option.Known(&o.Settings); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrSettings, option.Key, errors.Unwrap(err))
		}
	}
	o.Examples = cmp.Or(o.Examples, 5)
	if len(file.Categories) == 0 && len(p.Categories) > 0 {
		return nil, fmt.Errorf("%w of categories %v: give the groups file that it was made with", ErrGroups, p.Categories)
	}
	_, bounds, err := o.scope(p).Bounds(file)
	if err != nil {
		return nil, fmt.Errorf("%w in its scope: %w", ErrGroups, err)
	}
	a, err := policy.NewAddresses(file, p.Categories)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrGroups, err)
	}
	v := &verifier{p: p, o: o, bounds: bounds, addresses: a, ends: newEndpoints(a, o.Settings, p.Prefixes)}
	if v.ends.owners = v.o.owners; v.ends.owners != nil {
		if err := v.ends.owners.prepare(a, file, p.Categories, &v.o); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrGroups, err)
		}
	}
	v.judge = newJudge(p, v.ends, file, &v.o)
	v.report = Report{Proposal: p.ID, VRF: p.VRF, Window: p.Window, Rules: len(p.Rules), Findings: []Finding{}}
	for i := range p.Rules {
		v.names = append(v.names, cmp.Or(p.Rules[i].Name, p.Rules[i].ID, fmt.Sprint(i+1)))
	}
	return v, nil
}

// scope is the scope that the proposal is held against.
func (o *Options) scope(p *policy.Proposal) *policy.Scope {
	if o.Scope != nil {
		return o.Scope
	}
	return p.Scope
}

// check runs all checks, one for each part of the document.
func (v *verifier) check(c *Collected) *Report {
	v.c, v.all = c, c.Sessions
	v.edited()
	v.form()
	whole := c.Sessions
	if c.whole != nil {
		whole = c.whole
	}
	v.judge.scans = scanners(whole, v.o.Settings.ScannerTargets) // all sessions count, whatever the scope
	v.narrow()
	v.judge.sessions(v.c.Sessions)
	v.leftOut()
	v.count()
	for _, step := range []func(){
		v.settings,
		v.carried,
		v.reused,
		v.window,
		v.prefixes,
		v.soundness,
		v.sessionsInRules, // completeness, need, evidence, excess
		v.portRanges,
		v.generalised,
		v.unproposed,
		v.certificate,
		v.missing,
		v.readiness,
		v.inForce,
		v.summary,
	} {
		step()
	}
	v.report.OK = v.report.wrong() == 0
	v.report.Optimal = v.report.LowerBound == len(v.p.Rules) && !v.report.has(BadRule, Unsound, Incomplete)
	return &v.report
}

// narrow leaves the sessions of the scope, and the sampling of exporters that saw one of them.
func (v *verifier) narrow() {
	if v.bounds.All() {
		return
	}
	c := *v.c
	c.Sessions = nil
	saw := map[netip.Addr]bool{netip.IPv6Unspecified(): true} // Nobody knows the exporter of these.
	for _, s := range v.c.Sessions {
		if v.bounds.Holds(plain(s.Client), plain(s.Server), s.SeenBy) {
			c.Sessions = append(c.Sessions, s)
			for _, e := range s.SeenBy {
				saw[e] = true
			}
		}
	}
	c.Sampling = slices.DeleteFunc(slices.Clone(c.Sampling), func(s policy.Sampling) bool {
		a, err := netip.ParseAddr(s.Exporter)
		return err == nil && !saw[a]
	})
	v.c = &c
}

// count fills in what the report says of the sessions.
func (v *verifier) count() {
	v.report.Sessions = uint64(len(v.c.Sessions))
	for _, r := range v.judge.reasons {
		if r == "" {
			v.report.Included++
		}
	}
	for _, needed := range v.judge.cells {
		if needed {
			v.report.Cells++
		}
	}
}

// number is one that the document has, and what was counted.
type number struct {
	name      string
	said, are uint64
}

// differing writes out the numbers that are wrong.
func differing(numbers []number) (wrong []string) {
	for _, n := range numbers {
		if n.said != n.are {
			wrong = append(wrong, fmt.Sprintf("%s is %d, counted are %d", n.name, n.said, n.are))
		}
	}
	return wrong
}

// examples cuts a list to what is named in a finding.
func (v *verifier) examples(list []string) []string { return list[:min(len(list), v.o.Examples)] }
