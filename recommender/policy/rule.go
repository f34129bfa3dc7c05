package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
)

// Action is what a rule does with the sessions it matches.
type Action string

// The actions. A proposal has rules that allow only.
const (
	Allow    Action = "allow"
	Deny     Action = "deny"
	Redirect Action = "redirect" // allowed, and sent another way
	// Uncertain is no action of a rule that is written. It is that of a statement
	// of Policy.Sessions of which nobody can say whether the device permits it.
	Uncertain Action = "uncertain"
)

// The directions of rules. A proposal has rules of both directions only.
const (
	// Bidirectional is a rule about sessions: they are opened from sources to
	// destinations, and their answers are included.
	Bidirectional = "bidirectional"
	// OneWay is a rule about packets from sources to destinations.
	OneWay = "one-way"
)

// Rule is a box of a proposal: every source to every destination with every service.
// The sets are sorted and without duplicates.
type Rule struct {
	ID           string     `json:"id" yaml:"id"`     // see ContentID
	Name         string     `json:"name" yaml:"name"` // name that people read; unique in its proposal
	Action       Action     `json:"action" yaml:"action"`
	Direction    string     `json:"direction" yaml:"direction"`
	Sources      []Endpoint `json:"sources" yaml:"sources,flow"`
	Destinations []Endpoint `json:"destinations" yaml:"destinations,flow"`
	Services     []Service  `json:"services" yaml:"services,flow"`
	Evidence     Evidence   `json:"evidence" yaml:"evidence"`
	Excess       Excess     `json:"excess" yaml:"excess"`
	// PortRanges tells of the services that are ranges made of dynamic ports; absent
	// where there is none.
	PortRanges []PortRange `json:"portRanges,omitempty" yaml:"portRanges,omitempty"`
	// Generalised are the cells of the rule in which nothing was seen; absent where
	// there is none.
	Generalised []Generalised `json:"generalised,omitempty" yaml:"generalised,omitempty"`
}

// Generalised is a cell that a rule permits although nothing was seen in it. It lies in a
// coarser cell with sessions, and that none of these is in the cell may be chance.
type Generalised struct {
	Source      Endpoint `json:"source" yaml:"source"`
	Destination Endpoint `json:"destination" yaml:"destination"`
	Service     Service  `json:"service" yaml:"service"`
	Within      Within   `json:"within" yaml:"within"`
	// ExpectedSessions are those that the cell would have if who of the coarser cell meets
	// whom were chance; Probability is how likely it then has none.
	ExpectedSessions float64 `json:"expectedSessions" yaml:"expectedSessions"`
	Probability      float64 `json:"probability" yaml:"probability"`
}

// Cell is the cell without what is said about it.
func (g *Generalised) Cell() Cell { return Cell{g.Source, g.Destination, g.Service} }

// Within are the ends of a coarser cell.
type Within struct {
	Source      Endpoint `json:"source" yaml:"source"`
	Destination Endpoint `json:"destination" yaml:"destination"`
}

// PortRange counts the ports of a range: those seen under its rule, and those
// that it permits.
type PortRange struct {
	Service        Service `json:"service" yaml:"service"`
	ObservedPorts  int     `json:"observedPorts" yaml:"observedPorts"`
	PermittedPorts int     `json:"permittedPorts" yaml:"permittedPorts"`
}

// HostPrefix is a prefix that stands for hosts in no group. The hosts behave alike: every cell of
// the prefix was seen for each of them.
type HostPrefix struct {
	Prefix         netip.Prefix `json:"prefix" yaml:"prefix"`
	Hosts          uint64       `json:"hosts" yaml:"hosts"`                   // hosts that were seen
	ExtraAddresses uint64       `json:"extraAddresses" yaml:"extraAddresses"` // all others
}

// Evidence is what was seen under a rule. Where boxes overlap, a session is
// evidence for each rule that holds it.
type Evidence struct {
	Sessions  uint64 `json:"sessions" yaml:"sessions"` // distinct (client, server, service)
	Flows     uint64 `json:"flows" yaml:"flows"`       // flow records
	Bytes     uint64 `json:"bytes" yaml:"bytes"`       // octets, both directions; see Proposal.ScaledBytes
	Clients   uint64 `json:"clients" yaml:"clients"`   // distinct addresses
	Servers   uint64 `json:"servers" yaml:"servers"`   // distinct addresses
	FirstSeen Time   `json:"firstSeen" yaml:"firstSeen"`
	LastSeen  Time   `json:"lastSeen" yaml:"lastSeen"`
	// Sampling is the coarsest under which a session of the rule was seen, 1 in
	// so many packets; 0 where nothing was sampled, or nobody says so.
	Sampling uint32 `json:"sampling,omitempty" yaml:"sampling,omitempty"`
	// SamplingUnknown says that a session was seen under an unknown sampling.
	SamplingUnknown bool `json:"samplingUnknown,omitempty" yaml:"samplingUnknown,omitempty"`
	// LossyExporters are those of Proposal.Loss that saw a session of the rule.
	LossyExporters []string `json:"lossyExporters,omitempty" yaml:"lossyExporters,omitempty,flow"`
}

// Excess compares what a rule permits with what was seen, in (client, server)
// pairs among the known endpoints: addresses seen in the window, and every /32
// and /128 that a group of any category names. A host with itself is no pair, nor are
// an IPv4 and an IPv6 address.
type Excess struct {
	PermittedPairs uint64 `json:"permittedPairs" yaml:"permittedPairs"`
	ObservedPairs  uint64 `json:"observedPairs" yaml:"observedPairs"`
	// ExtraAddresses is how many addresses its sources and destinations have that
	// were not seen, by Proposal.Prefixes.
	ExtraAddresses uint64 `json:"extraAddresses,omitempty" yaml:"extraAddresses,omitempty"`
}

// Literals is the number of sources, destinations and services.
func (r *Rule) Literals() int { return len(r.Sources) + len(r.Destinations) + len(r.Services) }

// Normalize sorts the sets of a rule and removes duplicates.
func (r *Rule) Normalize() {
	r.Sources = sorted(r.Sources, Endpoint.Compare)
	r.Destinations = sorted(r.Destinations, Endpoint.Compare)
	r.Services = sorted(r.Services, Service.Compare)
}

func sorted[T comparable](s []T, compare func(T, T) int) []T {
	slices.SortFunc(s, compare)
	return slices.Compact(s)
}

// Compare orders rules by sources, destinations and services, each as lists.
func (r *Rule) Compare(o *Rule) int {
	if c := slices.CompareFunc(r.Sources, o.Sources, Endpoint.Compare); c != 0 {
		return c
	}
	if c := slices.CompareFunc(r.Destinations, o.Destinations, Endpoint.Compare); c != 0 {
		return c
	}
	return slices.CompareFunc(r.Services, o.Services, Service.Compare)
}

// ContentID identifies what a rule says, whatever it is called and whatever was
// seen under it: the first 12 hexadecimal digits of the SHA-256 of its action
// and its literals, which are written one a line with an empty line after each set.
func (r *Rule) ContentID() string {
	var b strings.Builder
	b.WriteString(string(r.Action))
	b.WriteByte('\n')
	for _, set := range [][]Endpoint{r.Sources, r.Destinations} {
		for _, e := range set {
			b.WriteString(e.String())
			b.WriteByte('\n')
		}
		b.WriteByte('\n')
	}
	for _, s := range r.Services {
		b.WriteString(s.String())
		b.WriteByte('\n')
	}
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:6])
}
