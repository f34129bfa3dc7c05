package simulate

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"cordon/categories"
	"cordon/recommender/policy"
)

// KindSimulation is what the head of a result says.
const KindSimulation = "Simulation"

// Result is what a policy does with the stored sessions. Sessions are those that are complete; half-open and denied ones
// are attempts. Lists are in order of what breaks, the most first.
type Result struct {
	APIVersion string         `json:"apiVersion" yaml:"apiVersion"`
	Kind       string         `json:"kind" yaml:"kind"`
	Policy     string         `json:"policy" yaml:"policy"`
	Against    string         `json:"against,omitempty" yaml:"against,omitempty"`
	Without    []string       `json:"without,omitempty" yaml:"without,omitempty,flow"` // rules that were taken out of the policy
	Window     policy.Window  `json:"window" yaml:"window"`
	VRF        string         `json:"vrf,omitempty" yaml:"vrf,omitempty"` // empty for all
	Scope      *policy.Scope  `json:"scope,omitempty" yaml:"scope,omitempty"`
	Summary    Summary        `json:"summary" yaml:"summary"`
	Changed    *Changed       `json:"changed,omitempty" yaml:"changed,omitempty"` // nil where no policy is compared with
	Rules      []Rule         `json:"rules" yaml:"rules"`                         // their order is the policy's; its end is the last
	Pairs      []Pair         `json:"pairs" yaml:"pairs"`
	Services   []ServiceTally `json:"services" yaml:"services"`
	Hosts      []Host         `json:"hosts" yaml:"hosts"`                   // each has something that is not permitted, or changed
	Cells      []Cell         `json:"cells" yaml:"cells"`                   // those that are not permitted, or changed
	Each       []Removal      `json:"each,omitempty" yaml:"each,omitempty"` // one entry for each rule: the change where it goes

	all []Cell // those that are permitted among them
}

// Summary counts sessions and attempts of the VRFs that the policy is for.
type Summary struct {
	Sessions          uint64 `json:"sessions" yaml:"sessions"`
	Permitted         uint64 `json:"permitted" yaml:"permitted"`
	Denied            uint64 `json:"denied" yaml:"denied"`
	AnswersDenied     uint64 `json:"answersDenied" yaml:"answersDenied"` // the request is permitted, the answer is not
	Uncertain         uint64 `json:"uncertain" yaml:"uncertain"`         // behind a rule that cannot be judged
	AttemptsPermitted uint64 `json:"attemptsPermitted" yaml:"attemptsPermitted"`
	// AttemptsDenied are those that the policy stops, AttemptsAnswersDenied of them at the answer.
	AttemptsDenied        uint64 `json:"attemptsDenied" yaml:"attemptsDenied"`
	AttemptsAnswersDenied uint64 `json:"attemptsAnswersDenied,omitempty" yaml:"attemptsAnswersDenied,omitempty"`
	AttemptsUncertain     uint64 `json:"attemptsUncertain,omitempty" yaml:"attemptsUncertain,omitempty"`
	// NotJudged are sessions and attempts of VRFs that the policy is not for; the other counts are without them.
	NotJudged uint64 `json:"notJudged,omitempty" yaml:"notJudged,omitempty"`
}

// Changed counts what is decided otherwise than by the policy that is compared with.
type Changed struct {
	NowPermitted         uint64 `json:"nowPermitted" yaml:"nowPermitted"`
	NowDenied            uint64 `json:"nowDenied" yaml:"nowDenied"` // answers denied among them
	NowUncertain         uint64 `json:"nowUncertain" yaml:"nowUncertain"`
	AttemptsNowPermitted uint64 `json:"attemptsNowPermitted" yaml:"attemptsNowPermitted"`
	AttemptsNowDenied    uint64 `json:"attemptsNowDenied" yaml:"attemptsNowDenied"`
	AttemptsNowUncertain uint64 `json:"attemptsNowUncertain" yaml:"attemptsNowUncertain"`
}

// Count is how much there is of something.
type Count struct {
	Sessions  uint64           `json:"sessions" yaml:"sessions"`
	Attempts  uint64           `json:"attempts" yaml:"attempts"`
	Flows     uint64           `json:"flows" yaml:"flows"`
	Bytes     uint64           `json:"bytes" yaml:"bytes"` // octets, both directions
	FirstSeen *policy.Time     `json:"firstSeen,omitempty" yaml:"firstSeen,omitempty"`
	LastSeen  *policy.Time     `json:"lastSeen,omitempty" yaml:"lastSeen,omitempty"`
	Examples  []policy.Example `json:"examples,omitempty" yaml:"examples,omitempty"` // those with most flows first

	examples []example
}

// Rule is what one rule decided.
type Rule struct {
	Name   string        `json:"name" yaml:"name"`
	ID     string        `json:"id,omitempty" yaml:"id,omitempty"`
	Action policy.Action `json:"action" yaml:"action"` // empty where ends of policies differ
	Count  `yaml:",inline"`
	// AnswersDenied and Uncertain are those of the sessions and attempts whose answers the rule denies, and of which it is not known.
	AnswersDenied uint64 `json:"answersDenied,omitempty" yaml:"answersDenied,omitempty"`
	Uncertain     uint64 `json:"uncertain,omitempty" yaml:"uncertain,omitempty"`
}

// Tally divides sessions and attempts by what becomes of them. Bytes, times and examples are of what is not permitted.
type Tally struct {
	Permitted         uint64 `json:"permitted" yaml:"permitted"`
	Denied            uint64 `json:"denied" yaml:"denied"` // answers denied among them
	Uncertain         uint64 `json:"uncertain" yaml:"uncertain"`
	AttemptsPermitted uint64 `json:"attemptsPermitted" yaml:"attemptsPermitted"`
	AttemptsDenied    uint64 `json:"attemptsDenied" yaml:"attemptsDenied"`
	AttemptsUncertain uint64 `json:"attemptsUncertain" yaml:"attemptsUncertain"`
	NowPermitted      uint64 `json:"nowPermitted,omitempty" yaml:"nowPermitted,omitempty"`
	NowDenied         uint64 `json:"nowDenied,omitempty" yaml:"nowDenied,omitempty"`
	Stopped           Count  `json:"stopped" yaml:"stopped"` // sessions and attempts that are denied or uncertain
}

// Pair is two groups. An address in no group is "external" where it is public, else "ungrouped".
type Pair struct {
	Source      string `json:"source" yaml:"source"`
	Destination string `json:"destination" yaml:"destination"`
	Tally       `yaml:",inline"`
}

// ServiceTally is one service.
type ServiceTally struct {
	Service string `json:"service" yaml:"service"`
	Tally   `yaml:",inline"`
}

// Roles of hosts.
const (
	RoleClient = "client"
	RoleServer = "server"
)

// Host is an address in a role, with what one rule does with its sessions.
type Host struct {
	VRF      string          `json:"vrf" yaml:"vrf"`
	Address  string          `json:"address" yaml:"address"`
	Role     string          `json:"role" yaml:"role"`
	Decision policy.Decision `json:"decision" yaml:"decision"`
	Rule     string          `json:"rule" yaml:"rule"`
	Before   policy.Decision `json:"before,omitempty" yaml:"before,omitempty"` // the decision of the policy that is compared with
	Peers    uint64          `json:"peers" yaml:"peers"`
	Services []string        `json:"services" yaml:"services,flow"` // no more than maxServices, those with most sessions and attempts first
	Count    `yaml:",inline"`
}

// Cell is the sessions between two groups, with one service, that one rule decides.
type Cell struct {
	VRF         string          `json:"vrf" yaml:"vrf"`
	Source      string          `json:"source" yaml:"source"`
	Destination string          `json:"destination" yaml:"destination"`
	Service     string          `json:"service" yaml:"service"`
	Decision    policy.Decision `json:"decision" yaml:"decision"`
	Rule        string          `json:"rule" yaml:"rule"`
	Before      policy.Decision `json:"before,omitempty" yaml:"before,omitempty"` // the decision of the policy that is compared with
	RuleBefore  string          `json:"ruleBefore,omitempty" yaml:"ruleBefore,omitempty"`
	Count       `yaml:",inline"`
}

// Removal is what changes where a rule goes and the others stay.
type Removal struct {
	Rule   string        `json:"rule" yaml:"rule"`
	ID     string        `json:"id,omitempty" yaml:"id,omitempty"`
	Action policy.Action `json:"action" yaml:"action"`
	// Changed compares the policy without the rule with the policy.
	Changed Changed `json:"changed" yaml:"changed"`
	// Denied are the sessions and attempts that are no longer permitted, the breaks, and Permitted those that are then.
	Denied    Count `json:"denied" yaml:"denied"`
	Permitted Count `json:"permitted" yaml:"permitted"`
	// Elsewhere counts the sessions that the rule decides and that others then decide alike.
	Elsewhere uint64 `json:"elsewhere" yaml:"elsewhere"`
}

// maxExamples is how many examples each count has, and maxServices how many services a host.
const (
	maxExamples = 3
	maxServices = 5
)

// example is a session with the number of its flows.
type example struct {
	flows          uint64
	client, server netip.Addr
	service        categories.Service
}

func (e example) compare(o example) int {
	if c := cmp.Compare(o.flows, e.flows); c != 0 {
		return c
	}
	if c := cmp.Or(e.client.Compare(o.client), e.server.Compare(o.server)); c != 0 || e.service == o.service {
		return c
	}
	return strings.Compare(e.service.String(), o.service.String())
}

// tallied is what was counted of sessions that are treated alike.
type tallied struct {
	n, flows, bytes uint64
	first, last     time.Time
	example         example
	attempts        bool
}

// add counts sessions or attempts.
func (c *Count) add(t *tallied) {
	if t.attempts {
		c.Attempts += t.n
	} else {
		c.Sessions += t.n
	}
	c.Flows += t.flows
	c.Bytes += t.bytes
	if c.FirstSeen == nil || t.first.Before(c.FirstSeen.Time) {
		at := policy.NewTime(t.first)
		c.FirstSeen = &at
	}
	if c.LastSeen == nil || t.last.After(c.LastSeen.Time) {
		at := policy.NewTime(t.last)
		c.LastSeen = &at
	}
	at, _ := slices.BinarySearchFunc(c.examples, t.example, example.compare)
	if at < maxExamples {
		c.examples = slices.Insert(c.examples, at, t.example)
		c.examples = c.examples[:min(len(c.examples), maxExamples)]
	}
}

// finish writes the examples.
func (c *Count) finish() {
	for _, e := range c.examples {
		c.Examples = append(c.Examples, policy.Example{Source: e.client.String(), Destination: e.server.String(), Service: e.service.String()})
	}
}

// add counts by decision.
func (s *Summary) add(d policy.Decision, t *tallied) {
	if t.attempts {
		switch d {
		case policy.Permitted:
			s.AttemptsPermitted += t.n
		case policy.AnswersRefused:
			s.AttemptsAnswersDenied += t.n
			s.AttemptsDenied += t.n
		case policy.Refused:
			s.AttemptsDenied += t.n
		default:
			s.AttemptsUncertain += t.n
		}
		return
	}
	s.Sessions += t.n
	switch d {
	case policy.Permitted:
		s.Permitted += t.n
	case policy.AnswersRefused:
		s.AnswersDenied += t.n
	case policy.Refused:
		s.Denied += t.n
	default:
		s.Uncertain += t.n
	}
}

// kind is what a decision comes to: answers that are denied are a denial.
func kind(d policy.Decision) policy.Decision {
	if d == policy.AnswersRefused {
		return policy.Refused
	}
	return d
}

// add counts what is decided otherwise than before.
func (c *Changed) add(before, now policy.Decision, t *tallied) {
	if kind(before) == kind(now) {
		return
	}
	sessions, attempts := &c.NowPermitted, &c.AttemptsNowPermitted
	switch kind(now) {
	case policy.Refused:
		sessions, attempts = &c.NowDenied, &c.AttemptsNowDenied
	case policy.UncertainDecision:
		sessions, attempts = &c.NowUncertain, &c.AttemptsNowUncertain
	}
	if t.attempts {
		*attempts += t.n
	} else {
		*sessions += t.n
	}
}

// add counts by decision; before is empty where nothing is compared with.
func (a *Tally) add(d, before policy.Decision, t *tallied) {
	sessions, attempts := &a.Permitted, &a.AttemptsPermitted
	switch kind(d) {
	case policy.Refused:
		sessions, attempts = &a.Denied, &a.AttemptsDenied
	case policy.UncertainDecision:
		sessions, attempts = &a.Uncertain, &a.AttemptsUncertain
	}
	if t.attempts {
		*attempts += t.n
	} else {
		*sessions += t.n
		if before != "" && kind(before) != kind(d) {
			switch kind(d) {
			case policy.Permitted:
				a.NowPermitted += t.n
			case policy.Refused:
				a.NowDenied += t.n
			}
		}
	}
	if d != policy.Permitted {
		a.Stopped.add(t)
	}
}

// weight orders what breaks: sessions that are denied, uncertain ones, attempts that are denied, then all else.
func (a *Tally) weight() [4]uint64 {
	return [4]uint64{a.Denied, a.Uncertain, a.AttemptsDenied + a.AttemptsUncertain, a.Permitted + a.AttemptsPermitted}
}

// heavier compares weights, the heavier first.
func heavier(a, b [4]uint64) int { return -slices.Compare(a[:], b[:]) }
