package recommender

import (
	"fmt"
	"text/template"
	"time"

	"cordon/recommender/cover"
	"cordon/recommender/policy"
)

// Settings says which sessions to propose rules for, and how. The zero value
// has the defaults of the public contract.
type Settings struct {
	// Settings are those that a document says: the options, and the window.
	policy.Settings
	// VRF selects one VRF; empty means one proposal for each.
	VRF string
	// Scope selects sessions by their ends and exporters; nil means all. Scanners are found among all sessions.
	Scope *policy.Scope
	// Categories in order of precedence; none means all, in file order.
	Categories []string

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

	// WithoutReadiness leaves Proposal.Readiness out, which saves reading the hours of sessions.
	WithoutReadiness bool
	// listed are rules to find the sessions under, see Listing.
	listed []policy.Policy
	// groupsAt is the moment whose groups count, of a groups file with times; see settle.
	groupsAt time.Time
}

// Step is a part of a run and where its time went.
type Step struct {
	Name   string
	Server bool // True for time in ClickHouse, transfers included; false for time in Go.
	Took   time.Duration
	Rows   uint64 // Rows that it gave, if it gives rows.
}

// Progress is how far the search for few rules has come, for one VRF.
type Progress struct {
	VRF   string
	Cells int  // Cells to cover.
	Done  bool // the search is over
	cover.Progress
}

// withDefaults fills in defaults and checks what can be checked without the
// groups file.
func (s Settings) withDefaults() (Settings, *template.Template, error) {
	s.Settings = s.Filled()
	if err := s.Check(); err != nil {
		return s, nil, err
	}
	if !s.Since.IsZero() && !s.Until.IsZero() && !s.Since.Before(s.Until.Time) {
		return s, nil, policy.WrongSetting("until", fmt.Errorf("%s is not after --since %s", s.Until.Format(time.RFC3339), s.Since.Format(time.RFC3339)))
	}
	t, err := parseNameTemplate(s.NameTemplate)
	if err != nil {
		return s, nil, policy.WrongSetting("name-template", err)
	}
	if s.Observe == nil {
		s.Observe = func(Step) {}
	}
	if s.Progress == nil {
		s.Progress = func(Progress) {}
	}
	return s, t, nil
}

// settingsOf gives the settings that say how the sessions of a proposal counted. The window is that of its sessions.
func settingsOf(p *policy.Proposal) Settings {
	out := Settings{VRF: p.VRF, Scope: p.Scope, Categories: p.Categories, ScaleSampled: p.ScaledBytes}
	if p.Settings != nil {
		out.Settings = p.Settings.Counting()
	}
	out.Since = p.Window.From
	if out.Until.IsZero() {
		out.Until = policy.NewTime(p.Window.To.Add(time.Microsecond))
	}
	return out
}
