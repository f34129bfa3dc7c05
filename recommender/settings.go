package recommender

import (
	"errors"
	"fmt"
	"text/template"
	"time"

	"cordon/recommender/cover"
	"cordon/recommender/policy"
)

// Settings says which sessions to propose rules for, and how. The zero value
// has the defaults of the public contract.
type Settings struct {
	// Since and Until bound the window: sessions that overlap [Since, Until).
	// A zero time leaves that side open.
	Since, Until time.Time
	// VRF selects one VRF; empty means one proposal for each.
	VRF string
	// Scope selects sessions by their ends and exporters; nil means all. Scanners are found among all sessions.
	Scope *policy.Scope
	// Categories in order of precedence; none means all, in file order.
	Categories []string

	Ungrouped UngroupedMode
	// MaxExtra bounds the addresses that the prefixes of a proposal hold beside the
	// hosts they stand for, where Ungrouped is UngroupedPrefix; see mergeHosts.
	MaxExtra uint64
	External ExternalMode
	HalfOpen HalfOpenMode

	// Support that a cell needs: distinct sessions, distinct clients, and
	// distinct hours with records of its sessions. Zero means 1.
	MinSessions, MinHosts, MinHours uint64
	// Recurring is in how many distinct hours one (client, server) pair of a cell needs
	// sessions of the cell. A cell may have sessions in many hours because one client after
	// the other tried it once; that one pair came back says more. Zero asks for nothing.
	Recurring uint64
	// ScannerTargets is how many fruitless targets make a client a scanner,
	// whose sessions are reported; see scanner. Zero looks for none.
	ScannerTargets uint64
	// PortRanges is how many weak ports of one protocol, used by one source with
	// one destination, become a range; see ranges. Zero makes no ranges.
	PortRanges uint64

	// Generalise permits cells in which nothing was seen where that saves rules or
	// literals, and where so much of a coarser cell could be chance: see unseen. It is the
	// level of significance below which a cell without a session stays forbidden. Zero
	// permits none.
	Generalise float64
	// GeneraliseWithin is the category by which cells are coarser; empty means,
	// for each cell, the first of the file that has groups around both ends.
	GeneraliseWithin string
	// Coverage is the share of sessions, or of their bytes, that is enough: it is permitted with as few rules as possible, and the
	// rest is left out. Sessions that Existing permits count, those with any other reason do not. The zero value is all.
	Coverage   policy.Share
	CoverageBy policy.Measure

	// ScaleSampled multiplies the bytes of evidence by the sampling that its
	// records were taken with.
	ScaleSampled bool

	// Existing are policies in force: what they permit is not proposed again.
	Existing []policy.Policy
	// Guardrails are policies whose first matching rule, where it denies,
	// forbids a cell.
	Guardrails []policy.Policy

	// NameTemplate makes the names of rules, see NameData; empty means DefaultNameTemplate.
	NameTemplate string
	// RuleNames are the names that people gave to rules; they come before NameTemplate.
	RuleNames policy.RuleNames

	Effort cover.Effort
	// MaxMemory bounds the cover's memory in bytes; 0 means its default.
	MaxMemory int64
	// Interrupt, once it is closed, ends the search for fewer rules: those found so far are proposed, and the
	// certificate says so.
	Interrupt <-chan struct{}
	// Progress, if set, is told how the search for few rules goes.
	Progress func(Progress)

	// Observe, if set, is told of each step as it ends.
	Observe func(Step)

	// withoutReadiness leaves Proposal.Readiness out, which saves reading the hours of sessions.
	withoutReadiness bool
	// listed are rules to find the sessions under, see Listing.
	listed []policy.Policy
}

// Step is a part of a run and where its time went.
type Step struct {
	Name   string
	Server bool // in ClickHouse, its transfer included; otherwise in Go
	Took   time.Duration
	Rows   uint64 // that it gave, where it gives rows
}

// Progress is how far the search for few rules has come, for one VRF.
type Progress struct {
	VRF   string
	Cells int  // to cover
	Done  bool // the search is over
	cover.Progress
}

// Defaults of settings that are off unless asked for.
const (
	DefaultRecurring      = 2
	DefaultScannerTargets = 100
	DefaultPortRanges     = 10
	DefaultMaxExtra       = 256 // as many as a /24 has
	DefaultGeneralise     = 0.05
)

// UngroupedMode says what becomes of private addresses in no selected group.
type UngroupedMode string

// The modes; the zero value means UngroupedHost.
const (
	UngroupedHost   UngroupedMode = "host"   // each is an endpoint of its own
	UngroupedReport UngroupedMode = "report" // their sessions are reported
	UngroupedPrefix UngroupedMode = "prefix" // those that behave alike are covered by prefixes
)

// ExternalMode says what becomes of public addresses in no selected group.
type ExternalMode string

// The modes; the zero value means ExternalReport.
const (
	ExternalReport   ExternalMode = "report"   // their sessions are reported
	ExternalHost     ExternalMode = "host"     // each is an endpoint of its own
	ExternalInternet ExternalMode = "internet" // all are the built-in group
)

// HalfOpenMode says what becomes of sessions without an answer.
type HalfOpenMode string

// The modes; the zero value means HalfOpenReport.
const (
	HalfOpenReport   HalfOpenMode = "report"    // reported
	HalfOpenAllowUDP HalfOpenMode = "allow-udp" // UDP is proposed, the rest reported
	HalfOpenAllow    HalfOpenMode = "allow"     // proposed like any other
)

// SettingsError says which setting cannot be used. It is the caller's mistake,
// not a failure.
type SettingsError struct {
	Setting string // as the flag is called, without dashes
	Err     error
}

func (e *SettingsError) Error() string { return fmt.Sprintf("--%s: %v", e.Setting, e.Err) }
func (e *SettingsError) Unwrap() error { return e.Err }

// withDefaults fills in defaults and checks what can be checked without the
// groups file.
func (s Settings) withDefaults() (Settings, *template.Template, error) {
	if s.Ungrouped == "" {
		s.Ungrouped = UngroupedHost
	}
	if s.External == "" {
		s.External = ExternalReport
	}
	if s.HalfOpen == "" {
		s.HalfOpen = HalfOpenReport
	}
	s.MinSessions, s.MinHosts, s.MinHours = max(s.MinSessions, 1), max(s.MinHosts, 1), max(s.MinHours, 1)
	if s.Recurring == 1 {
		return s, nil, &SettingsError{"recurring", errors.New("what was seen in 1 hour has not come back: 2 is the least")}
	}
	if s.PortRanges == 1 {
		return s, nil, &SettingsError{"port-ranges", errors.New("1 port is no range: 2 is the least")}
	}
	switch s.Ungrouped {
	case UngroupedHost, UngroupedReport, UngroupedPrefix:
	default:
		return s, nil, &SettingsError{"ungrouped", fmt.Errorf("%q is not %s, %s or %s", s.Ungrouped, UngroupedHost, UngroupedReport, UngroupedPrefix)}
	}
	switch s.External {
	case ExternalReport, ExternalHost, ExternalInternet:
	default:
		return s, nil, &SettingsError{"external", fmt.Errorf("%q is not %s, %s or %s", s.External, ExternalReport, ExternalHost, ExternalInternet)}
	}
	switch s.HalfOpen {
	case HalfOpenReport, HalfOpenAllowUDP, HalfOpenAllow:
	default:
		return s, nil, &SettingsError{"half-open", fmt.Errorf("%q is not %s, %s or %s", s.HalfOpen, HalfOpenReport, HalfOpenAllowUDP, HalfOpenAllow)}
	}
	if !(s.Generalise >= 0 && s.Generalise <= 1) {
		return s, nil, &SettingsError{"generalise", fmt.Errorf("%v is no level of significance: it is between 0 and 1", s.Generalise)}
	}
	if s.GeneraliseWithin != "" && s.Generalise == 0 {
		return s, nil, &SettingsError{"generalise-within", errors.New("nothing is generalised without --generalise")}
	}
	if s.CoverageBy == "" {
		s.CoverageBy = policy.BySessions
	}
	switch s.CoverageBy {
	case policy.BySessions, policy.ByBytes:
	default:
		return s, nil, &SettingsError{"coverage-by", fmt.Errorf("%q is not %s or %s", s.CoverageBy, policy.BySessions, policy.ByBytes)}
	}
	if s.Coverage != "" {
		share, err := policy.ParseShare(string(s.Coverage))
		if err != nil {
			return s, nil, &SettingsError{"coverage", err}
		}
		s.Coverage = share
	}
	if !s.Since.IsZero() && !s.Until.IsZero() && !s.Since.Before(s.Until) {
		return s, nil, &SettingsError{"until", fmt.Errorf("%s is not after --since %s", s.Until.Format(time.RFC3339), s.Since.Format(time.RFC3339))}
	}
	t, err := parseNameTemplate(s.NameTemplate)
	if err != nil {
		return s, nil, &SettingsError{"name-template", err}
	}
	if s.Observe == nil {
		s.Observe = func(Step) {}
	}
	if s.Progress == nil {
		s.Progress = func(Progress) {}
	}
	return s, t, nil
}

// documented gives the settings that a proposal has to say, see policy.Settings.
func (p *plan) documented() *policy.Settings {
	var out policy.Settings
	at := func(t time.Time) *policy.Time {
		if t.IsZero() {
			return nil
		}
		x := policy.NewTime(t)
		return &x
	}
	out.Since, out.Until = at(p.Since), at(p.Until)
	if p.Ungrouped != UngroupedHost {
		out.Ungrouped = string(p.Ungrouped)
	}
	if p.Ungrouped == UngroupedPrefix {
		out.MaxExtra = p.MaxExtra
	}
	if p.External != ExternalReport {
		out.External = string(p.External)
	}
	if p.HalfOpen != HalfOpenReport {
		out.HalfOpen = string(p.HalfOpen)
	}
	if p.MinSessions > 1 {
		out.MinSessions = p.MinSessions
	}
	if p.MinHosts > 1 {
		out.MinHosts = p.MinHosts
	}
	if p.MinHours > 1 {
		out.MinHours = p.MinHours
	}
	out.Recurring, out.ScannerTargets, out.PortRanges = p.Recurring, p.ScannerTargets, p.PortRanges
	out.Generalise, out.GeneraliseWithin = p.Generalise, p.GeneraliseWithin
	if p.partial() {
		out.Coverage = p.Coverage
		if p.CoverageBy != policy.BySessions {
			out.CoverageBy = p.CoverageBy
		}
	}
	return out.OrNil()
}

// settingsOf gives the settings that a proposal was made with, as far as it says
// them: the inverse of documented. The window is that of its sessions.
func settingsOf(p *policy.Proposal) Settings {
	out := Settings{Since: p.Window.From.Time, Until: p.Window.To.Add(time.Microsecond), VRF: p.VRF, Scope: p.Scope, Categories: p.Categories, ScaleSampled: p.ScaledBytes}
	if s := p.Settings; s != nil {
		if s.Until != nil {
			out.Until = s.Until.Time
		}
		out.Ungrouped, out.MaxExtra = UngroupedMode(s.Ungrouped), s.MaxExtra
		out.External, out.HalfOpen = ExternalMode(s.External), HalfOpenMode(s.HalfOpen)
		out.MinSessions, out.MinHosts, out.MinHours = s.MinSessions, s.MinHosts, s.MinHours
		out.Recurring, out.ScannerTargets, out.PortRanges = s.Recurring, s.ScannerTargets, s.PortRanges
	}
	return out
}
