package policy

// Readiness says how far the sessions that a proposal rests on are known; docs/readiness.md has the method.
type Readiness struct {
	Ready    bool                `json:"ready" yaml:"ready"`
	Why      []string            `json:"why" yaml:"why"` // a sentence each
	Backtest []ReadinessBacktest `json:"backtest" yaml:"backtest"`
	Forecast ReadinessForecast   `json:"forecast" yaml:"forecast"`
	Groups   []ReadinessGroup    `json:"groups" yaml:"groups"` // those still learning first; hosts that stand for themselves only while they learn
}

// ReadinessBacktest is what a policy learned until a moment would have denied in the time after it.
type ReadinessBacktest struct {
	LearnedUntil Time    `json:"learnedUntil" yaml:"learnedUntil"`
	Horizon      string  `json:"horizon" yaml:"horizon"`
	DeniedShare  float64 `json:"deniedShare" yaml:"deniedShare"` // A share of Sessions.
	Sessions     uint64  `json:"sessions" yaml:"sessions"`
}

// ReadinessForecast bounds the share of sessions that is denied within the horizon, if nothing new is introduced.
type ReadinessForecast struct {
	Horizon           string   `json:"horizon,omitempty" yaml:"horizon,omitempty"`
	DeniedShareAtMost *float64 `json:"deniedShareAtMost,omitempty" yaml:"deniedShareAtMost,omitempty"`
	Declined          string   `json:"declined,omitempty" yaml:"declined,omitempty"` // why there is none
}

// ReadinessGroup is the verdict about a group: settled, learning or too-little.
type ReadinessGroup struct {
	Group  string `json:"group" yaml:"group"`
	State  string `json:"state" yaml:"state"`
	Reason string `json:"reason" yaml:"reason"`
}
