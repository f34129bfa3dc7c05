package policy

// Settings are the choices behind a proposal that change what it counts or permits: the values of flags of generate-rules, each of
// which is an [Option]. The zero value of a field is the default. A document says what differs from it, see Document: with that
// and what it carries beside, see Proposal.Carry, its reader can count again.
type Settings struct {
	// Since and Until bound the window where it was asked for: sessions that overlap [Since, Until). A zero time leaves that side open.
	Since Time `json:"since,omitzero" yaml:"since,omitempty"`
	Until Time `json:"until,omitzero" yaml:"until,omitempty"`

	Ungrouped UngroupedMode `json:"ungrouped,omitempty" yaml:"ungrouped,omitempty"`
	// MaxExtra bounds the addresses that the prefixes of a proposal hold beside the hosts they stand for, where Ungrouped is
	// UngroupedPrefix. Zero permits none.
	MaxExtra uint64       `json:"maxExtra,omitempty" yaml:"maxExtra,omitempty"`
	External ExternalMode `json:"external,omitempty" yaml:"external,omitempty"`
	HalfOpen HalfOpenMode `json:"halfOpen,omitempty" yaml:"halfOpen,omitempty"`

	// Support that a cell needs: distinct sessions, distinct clients, and distinct hours with records of its sessions. Zero means 1.
	MinSessions uint64 `json:"minSessions,omitempty" yaml:"minSessions,omitempty"`
	MinHosts    uint64 `json:"minHosts,omitempty" yaml:"minHosts,omitempty"`
	MinHours    uint64 `json:"minHours,omitempty" yaml:"minHours,omitempty"`
	// Recurring is in how many distinct hours one (client, server) pair of a cell needs sessions of the cell. A cell may have
	// sessions in many hours because one client after the other tried it once; that one pair came back says more. Zero asks for
	// nothing.
	Recurring uint64 `json:"recurring,omitempty" yaml:"recurring,omitempty"`
	// ScannerTargets is how many fruitless targets make a client a scanner, whose sessions are reported. Zero looks for none.
	ScannerTargets uint64 `json:"scannerTargets,omitempty" yaml:"scannerTargets,omitempty"`
	// PortRanges is how many weak ports of one protocol, used by one source with one destination, become a range. Zero makes no
	// ranges.
	PortRanges uint64 `json:"portRanges,omitempty" yaml:"portRanges,omitempty"`

	// Generalise permits cells in which nothing was seen where that saves rules or literals, and where so much of a coarser cell
	// could be chance. It is the level of significance, from 0 to 1, below which a cell without a session stays forbidden. Zero
	// permits none.
	Generalise float64 `json:"generalise,omitempty" yaml:"generalise,omitempty"`
	// GeneraliseWithin is the category by which cells are coarser; empty means, for each cell, the first of the file that has
	// groups around both ends.
	GeneraliseWithin string `json:"generaliseWithin,omitempty" yaml:"generaliseWithin,omitempty"`
	// Coverage is the share of sessions, or of their bytes, that is enough: it is permitted with as few rules as possible, and the
	// rest is left out. Sessions that policies in force permit count, those that are left out for any other reason do not. Empty is
	// all.
	Coverage   Share   `json:"coverage,omitempty" yaml:"coverage,omitempty"`
	CoverageBy Measure `json:"coverageBy,omitempty" yaml:"coverageBy,omitempty"`
}

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

// Filled has the defaults in place of zero values, and one form of values that can be written in several ways.
func (s Settings) Filled() Settings {
	for i := range options {
		o := &options[i]
		if v := o.at(&s); v.IsZero() && !o.Zero {
			v.Set(o.byDefault())
		}
	}
	if share, err := ParseShare(string(s.Coverage)); err == nil {
		s.Coverage = share
	}
	return s
}

// Check says what is wrong with settings that are Filled, as a *SettingsError.
func (s Settings) Check() error {
	for i := range options {
		if err := options[i].Check(&s); err != nil {
			return err
		}
	}
	return nil
}

// Document gives what a document says of the settings: what differs from the default and is of effect. It is nil where that is nothing.
func (s Settings) Document() *Settings {
	out := s
	for i := range options {
		o := &options[i]
		if !o.applies(&s) || !o.Zero && o.at(&s).Equal(o.byDefault()) {
			o.at(&out).SetZero()
		}
	}
	if out == (Settings{}) {
		return nil
	}
	return &out
}

// Counting gives the settings that say which sessions count for what, without those that say what rules are made of them.
func (s Settings) Counting() Settings {
	for i := range options {
		if o := &options[i]; o.Covers {
			o.at(&s).SetZero()
		}
	}
	return s
}
