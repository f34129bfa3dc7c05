package policy

// Settings are the choices behind a proposal that change which sessions it
// counts, as far as they differ from the defaults: with them and what the document
// carries beside, see Proposal.Carry, its reader can count again.
type Settings struct {
	// Since and Until bound the window where it was asked for.
	Since *Time `json:"since,omitempty" yaml:"since,omitempty"`
	Until *Time `json:"until,omitempty" yaml:"until,omitempty"`
	// The others are the values of the flags of generate-rules.
	Ungrouped   string `json:"ungrouped,omitempty" yaml:"ungrouped,omitempty"`
	MaxExtra    uint64 `json:"maxExtra,omitempty" yaml:"maxExtra,omitempty"` // used where Ungrouped is "prefix"
	External    string `json:"external,omitempty" yaml:"external,omitempty"`
	HalfOpen    string `json:"halfOpen,omitempty" yaml:"halfOpen,omitempty"`
	MinSessions uint64 `json:"minSessions,omitempty" yaml:"minSessions,omitempty"`
	MinHosts    uint64 `json:"minHosts,omitempty" yaml:"minHosts,omitempty"`
	MinHours    uint64 `json:"minHours,omitempty" yaml:"minHours,omitempty"`
	// Recurring, ScannerTargets and PortRanges are zero where none is looked for.
	Recurring      uint64 `json:"recurring,omitempty" yaml:"recurring,omitempty"`
	ScannerTargets uint64 `json:"scannerTargets,omitempty" yaml:"scannerTargets,omitempty"`
	PortRanges     uint64 `json:"portRanges,omitempty" yaml:"portRanges,omitempty"`
	// Generalise is zero where nothing is generalised.
	Generalise       float64 `json:"generalise,omitempty" yaml:"generalise,omitempty"`
	GeneraliseWithin string  `json:"generaliseWithin,omitempty" yaml:"generaliseWithin,omitempty"`
	// Coverage is empty where all sessions were asked for.
	Coverage   Share   `json:"coverage,omitempty" yaml:"coverage,omitempty"`
	CoverageBy Measure `json:"coverageBy,omitempty" yaml:"coverageBy,omitempty"` // empty for sessions
}

// OrNil is what a document holds: nil where every choice is the default.
func (s Settings) OrNil() *Settings {
	if s == (Settings{}) {
		return nil
	}
	return &s
}
