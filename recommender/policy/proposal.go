package policy

import (
	"net/netip"
	"time"
)

// What the head of a document says.
const (
	APIVersion       = "cordon/v1"
	KindProposal     = "PolicyProposal"
	KindProposalHead = "PolicyProposalHead" // see Proposal.Head
	KindPolicy       = "Policy"
)

// Proposal is the answer for one VRF: the rules that permit every included
// session, what was left out and why, and how close to minimal the rules are.
type Proposal struct {
	APIVersion  string       `json:"apiVersion" yaml:"apiVersion"`
	Kind        string       `json:"kind" yaml:"kind"`
	ID          string       `json:"id,omitempty" yaml:"id,omitempty"` // see ContentID
	VRF         string       `json:"vrf" yaml:"vrf"`
	Window      Window       `json:"window" yaml:"window"`
	Scope       *Scope       `json:"scope,omitempty" yaml:"scope,omitempty"` // nil for all sessions of the VRF and window
	Categories  []string     `json:"categories" yaml:"categories,flow"`      // the first has precedence
	Rules       []Rule       `json:"rules" yaml:"rules"`
	Unproposed  []Unproposed `json:"unproposed" yaml:"unproposed"` // sorted by precedence of reasons
	Certificate Certificate  `json:"certificate" yaml:"certificate"`
	Summary     Summary      `json:"summary" yaml:"summary"`
	Settings    *Settings    `json:"settings,omitempty" yaml:"settings,omitempty"` // nil for the defaults
	// Prefixes are those in rules that stand for several hosts in no group, in order.
	Prefixes []HostPrefix `json:"prefixes,omitempty" yaml:"prefixes,omitempty"`

	// Existing says which rules in force can go, permit more than was seen, deny what is
	// proposed, or decide no session of the window; in their order.
	Existing []InForce `json:"existing,omitempty" yaml:"existing,omitempty"`

	// Readiness is nil where the window is too short to tell.
	Readiness *Readiness `json:"readiness,omitempty" yaml:"readiness,omitempty"`

	// What may be missing; absent where nothing is known to be.
	Loss     []Loss     `json:"loss,omitempty" yaml:"loss,omitempty"`         // sorted by exporter
	Sampling []Sampling `json:"sampling,omitempty" yaml:"sampling,omitempty"` // sorted by exporter
	// ScaledBytes says that the bytes of all evidence are multiplied by their
	// sampling, and so estimates.
	ScaledBytes bool `json:"scaledBytes,omitempty" yaml:"scaledBytes,omitempty"`

	// Reused are the addresses of the sessions that changed their owner about the window, in order. Each session was judged by what its
	// addresses were when it was seen. GroupsAt is the moment whose groups the rules mean; nil where the groups file has no times.
	Reused   []Reused `json:"reused,omitempty" yaml:"reused,omitempty"`
	GroupsAt *Time    `json:"groupsAt,omitempty" yaml:"groupsAt,omitempty"`

	// What the proposal was made with, as far as it is concerned; see Carry.
	GroupsFile string             `json:"groupsFile,omitempty" yaml:"groupsFile,omitempty"`      // see categories.File.Digest; empty for none
	Groups     []CarriedGroup     `json:"groups,omitempty" yaml:"groups,omitempty"`              // sorted by category, in the order of the file, and name
	KnownHosts []netip.Prefix     `json:"knownHosts,omitempty" yaml:"knownHosts,omitempty,flow"` // every address of these is one, beside single hosts in Groups
	Services   []CarriedService   `json:"services,omitempty" yaml:"services,omitempty"`
	Exclude    []CarriedExclusion `json:"exclude,omitempty" yaml:"exclude,omitempty"`
	Guardrails []CarriedPolicy    `json:"guardrails,omitempty" yaml:"guardrails,omitempty"`
	InForce    []CarriedPolicy    `json:"inForce,omitempty" yaml:"inForce,omitempty"` // policies in force
}

// Window is the time that a proposal rests on: as asked for, and where it was
// not, the first and last moment of the sessions themselves.
type Window struct {
	From Time `json:"from" yaml:"from"`
	To   Time `json:"to" yaml:"to"`
}

// Reused is a range of addresses with one owner after another.
type Reused struct {
	Prefix netip.Prefix `json:"prefix" yaml:"prefix"`
	Owners []Owner      `json:"owners" yaml:"owners"` // Ordered by time; neighbours differ.
}

// Owner is a group that addresses belonged to for a time.
type Owner struct {
	Group string `json:"group,omitempty" yaml:"group,omitempty"` // label; empty for none of the selected categories
	From  *Time  `json:"from,omitempty" yaml:"from,omitempty"`   // nil where the side is open
	Until *Time  `json:"until,omitempty" yaml:"until,omitempty"` // first moment that no longer counts
	// Named are the labels of the groups that statements which allow, of policies in force or guardrails, name and that had the addresses
	// then, in order.
	Named []string `json:"named,omitempty" yaml:"named,omitempty,flow"`
}

// Reason says why a session is not proposed.
type Reason string

// The reasons, in order of precedence: a session that several apply to has
// the first of them.
const (
	Local              Reason = "local"               // loopback, link-local, multicast, broadcast, unspecified, and named by no selected group
	Excluded           Reason = "excluded"            // the groups file excludes it
	Denied             Reason = "denied"              // the exporter says that it was dropped
	HalfOpen           Reason = "half-open"           // no answer
	AmbiguousDirection Reason = "ambiguous-direction" // client and server cannot be told apart
	Scanner            Reason = "scanner"             // the client scans
	External           Reason = "external"            // a public address in no selected group
	Ungrouped          Reason = "ungrouped"           // a private address in no selected group
	Guardrail          Reason = "guardrail"           // a guardrail forbids the cell
	AlreadyPermitted   Reason = "already-permitted"   // the existing policy permits it
	BelowSupport       Reason = "below-support"       // the cell has too few sessions or hosts
)

// Reasons lists all reasons in order of precedence.
var Reasons = []Reason{Local, Excluded, Denied, HalfOpen, AmbiguousDirection, Scanner, External, Ungrouped, Guardrail, AlreadyPermitted, BelowSupport}

// Unproposed counts the sessions that a reason keeps out.
type Unproposed struct {
	Reason   Reason    `json:"reason" yaml:"reason"`
	Detail   string    `json:"detail,omitempty" yaml:"detail,omitempty"` // DetailCoverage, or empty
	Sessions uint64    `json:"sessions" yaml:"sessions"`
	Examples []Example `json:"examples" yaml:"examples"` // those with most flows first
}

// DetailCoverage tells the sessions that BelowSupport keeps out because the share that was asked for is reached without them.
const DetailCoverage = "coverage"

// Example is one session that is not proposed.
type Example struct {
	Source      string `json:"source" yaml:"source"`           // address of the client
	Destination string `json:"destination" yaml:"destination"` // address of the server
	Service     string `json:"service" yaml:"service"`
	// Note names what the reason rests on: the exclusion's own reason, the
	// guardrail, or the rule in force.
	Note string `json:"note,omitempty" yaml:"note,omitempty"`
}

// Certificate says how many rules there are, how many any sound and complete
// set of rules needs at least, and what shows it.
type Certificate struct {
	Rules      int    `json:"rules" yaml:"rules"`
	LowerBound int    `json:"lowerBound" yaml:"lowerBound"`
	Optimal    bool   `json:"optimal" yaml:"optimal"` // Rules equals LowerBound
	Method     string `json:"method" yaml:"method"`
	// Interrupted says that the search was ended from outside: another run may
	// find fewer or shorter rules, or a higher bound.
	Interrupted bool `json:"interrupted,omitempty" yaml:"interrupted,omitempty"`
	// Witness is a fooling set: no two of its cells fit into one rule that
	// holds nothing but cells that may be permitted, so there is a rule for each.
	Witness []Cell `json:"witness" yaml:"witness"`
	// Parts are the proof of LowerBound where the witness is smaller: the
	// bounds of the parts add up, since no rule can hold cells of two of them.
	Parts []BoundPart `json:"parts,omitempty" yaml:"parts,omitempty"`
}

// BoundPart is a share of a lower bound: its cells need at least Bound rules.
type BoundPart struct {
	Method string `json:"method" yaml:"method"`
	Bound  int    `json:"bound" yaml:"bound"`
	Cells  []Cell `json:"cells" yaml:"cells"`
	// Weights go with Cells where the method is "dual": no rule can hold cells
	// that weigh more than Scale together, and the sum of all weights, divided by
	// Scale and rounded up, is Bound.
	Weights []int64 `json:"weights,omitempty" yaml:"weights,omitempty,flow"`
	Scale   int64   `json:"scale,omitempty" yaml:"scale,omitempty"`
	// Boxes and Tree are the proof where Bound rests on a search. A box is what a
	// rule may hold of Cells, by their positions, counted from 0; no rule holds
	// more. Tree are the lines of the search; docs/proposal.md describes them.
	Boxes []string `json:"boxes,omitempty" yaml:"boxes,omitempty"`
	Tree  []string `json:"tree,omitempty" yaml:"tree,omitempty"`
}

// Cell is one (source, destination, service).
type Cell struct {
	Source      Endpoint `json:"source" yaml:"source"`
	Destination Endpoint `json:"destination" yaml:"destination"`
	Service     Service  `json:"service" yaml:"service"`
}

// Compare orders cells by source, destination and service.
func (c Cell) Compare(o Cell) int {
	if d := c.Source.Compare(o.Source); d != 0 {
		return d
	}
	if d := c.Destination.Compare(o.Destination); d != 0 {
		return d
	}
	return c.Service.Compare(o.Service)
}

// Summary counts. Sessions is Included plus the sessions of every reason.
type Summary struct {
	Sessions     uint64 `json:"sessions" yaml:"sessions"` // distinct (client, server, service) in the window
	Included     uint64 `json:"included" yaml:"included"` // those that the rules permit
	Cells        int    `json:"cells" yaml:"cells"`       // cells with an included session
	Rules        int    `json:"rules" yaml:"rules"`
	PerHostRules uint64 `json:"perHostRules" yaml:"perHostRules"` // rules if each (client, server, service) had one
	PerPairRules int    `json:"perPairRules" yaml:"perPairRules"` // rules if each (source, destination) had one
	EOSLines     int    `json:"eosLines" yaml:"eosLines"`         // see Rule.EOSLines
	// Coverage is nil where all sessions were asked for.
	Coverage *Coverage `json:"coverage,omitempty" yaml:"coverage,omitempty"`
	// ExtraAddresses is the sum over Proposal.Prefixes.
	ExtraAddresses uint64 `json:"extraAddresses,omitempty" yaml:"extraAddresses,omitempty"`
	// GeneralisedCells is how many cells are in Rule.Generalised of any rule.
	GeneralisedCells int `json:"generalisedCells,omitempty" yaml:"generalisedCells,omitempty"`
}

// Time is a moment in UTC, written as RFC 3339 in JSON and as the same text in YAML.
type Time struct{ time.Time }

// NewTime gives t in UTC.
func NewTime(t time.Time) Time { return Time{t.UTC()} }

// TimeOrNone gives t in UTC, nil for the zero time: a side that is open.
func TimeOrNone(t time.Time) *Time {
	if t.IsZero() {
		return nil
	}
	at := NewTime(t)
	return &at
}

// MarshalYAML keeps the text a text: YAML readers would turn a bare one into
// whatever their language has for timestamps.
func (t Time) MarshalYAML() (any, error) { return t.Format(time.RFC3339Nano), nil }
