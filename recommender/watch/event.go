package watch

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"cordon/recommender/policy"
	"cordon/recommender/simulate"
)

// KindDrift is what the head of an event says.
const KindDrift = "Drift"

// Type says what an event is about.
type Type string

// The types of events.
const (
	SessionOutside Type = "session-outside" // a session that was answered, which the policy does not permit
	AttemptOutside Type = "attempt-outside" // one that was half-open or denied
	ManyOutside    Type = "many-outside"    // more of a cell or of a client than are said one by one
	RuleUnused     Type = "rule-unused"     // a rule without traffic
	PolicyAmended  Type = "policy-amended"  // another proposal would permit what was seen since

	MembershipChanged Type = "membership-changed" // addresses are in another group than when the policy was made
)

// Types lists all types of events.
var Types = []Type{SessionOutside, AttemptOutside, ManyOutside, RuleUnused, PolicyAmended, MembershipChanged}

// Event is one thing that departs from a policy. The id follows from the policy and from what is said, so that the same thing has the
// same id whoever says it, and whenever.
type Event struct {
	APIVersion string      `json:"apiVersion"`
	Kind       string      `json:"kind"`
	ID         string      `json:"id"`
	Type       Type        `json:"type"`
	Time       policy.Time `json:"time"`   // the moment it was said
	Policy     string      `json:"policy"` // the id of the policy
	VRF        string      `json:"vrf"`
	Text       string      `json:"text"` // a sentence for people

	// Of sessions.
	Client      string          `json:"client,omitempty"` // address
	Server      string          `json:"server,omitempty"` // address
	Service     string          `json:"service,omitempty"`
	Source      string          `json:"source,omitempty"` // group of the client; "external" or "ungrouped" where it is in none
	Destination string          `json:"destination,omitempty"`
	Decision    policy.Decision `json:"decision,omitempty"`
	Flows       uint64          `json:"flows,omitempty"`
	Bytes       uint64          `json:"bytes,omitempty"` // octets, both directions
	FirstSeen   *policy.Time    `json:"firstSeen,omitempty"`

	// Of sessions the rule that decides, of rules the rule itself.
	Rule     string       `json:"rule,omitempty"`
	RuleID   string       `json:"ruleId,omitempty"`
	LastSeen *policy.Time `json:"lastSeen,omitempty"` // nil for a rule that had no traffic at all

	// Of an unused rule: for how many days, and on how many of these something was seen in the VRF.
	Days         int `json:"days,omitempty"`
	DaysWithData int `json:"daysWithData,omitempty"`

	// Of an amended policy.
	Proposal string   `json:"proposal,omitempty"` // its id
	Added    []string `json:"added,omitempty"`    // names of rules
	Removed  []string `json:"removed,omitempty"`

	// Of addresses that changed their group; a group is empty where they are in none that the policy knows.
	GroupBefore string   `json:"groupBefore,omitempty"`
	GroupNow    string   `json:"groupNow,omitempty"`
	Prefixes    []string `json:"prefixes,omitempty"` // no more than namedPrefixes

	cell, client string // the keys under which events are counted together; see limits
}

// JSON gives the event on one line.
func (e *Event) JSON() []byte {
	out, err := json.Marshal(e)
	if err != nil {
		panic("BUG: " + err.Error()) // texts and numbers
	}
	return out
}

// id makes an id of texts, none of which can run into the next one.
func id(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func newEvent(t Type, p *Policy, vrf string, about ...string) *Event {
	return &Event{APIVersion: policy.APIVersion, Kind: KindDrift, ID: id(append([]string{p.ID, string(t), vrf}, about...)...), Type: t,
		Time: policy.NewTime(time.Now()), Policy: p.ID, VRF: vrf}
}

func at(t time.Time) *policy.Time {
	out := policy.NewTime(t)
	return &out
}

// outside is the event of a session or an attempt.
func outside(p *Policy, o *simulate.Outside) *Event {
	t, what := SessionOutside, "session"
	if o.Attempt {
		t, what = AttemptOutside, "attempt"
	}
	client, server, service := o.Client.String(), o.Server.String(), o.Service.String()
	e := newEvent(t, p, o.VRF, client, server, service)
	e.Client, e.Server, e.Service, e.Source, e.Destination = client, server, service, o.Source, o.Destination
	e.Decision, e.Rule, e.Flows, e.Bytes, e.FirstSeen, e.LastSeen = o.Decision, o.Rule, o.Flows, o.Bytes, at(o.First), at(o.Last)
	e.Text = fmt.Sprintf("%s %s (%s) to %s (%s) %s: %s by %s of policy %s", what, client, o.Source, server, o.Destination, service, decided(o.Decision), o.Rule, p.Name)
	e.cell = id(p.ID, string(t), o.VRF, o.Source, o.Destination, service)
	e.client = id(p.ID, string(t), o.VRF, client)
	return e
}

// decided puts a decision into a sentence.
func decided(d policy.Decision) string {
	switch d {
	case policy.Refused:
		return "denied"
	case policy.AnswersRefused:
		return "answers denied"
	}
	return string(d)
}

// many is the event that says that no more like another one are said.
func many(p *Policy, like *Event, ofClient bool, most int) *Event {
	what := "sessions"
	if like.Type == AttemptOutside {
		what = "attempts"
	}
	if ofClient {
		e := newEvent(ManyOutside, p, like.VRF, string(like.Type), "client", like.Client)
		e.Client, e.Source = like.Client, like.Source
		e.Text = fmt.Sprintf("more than %d %s of client %s (%s) are outside policy %s; no more are said one by one", most, what, like.Client, like.Source, p.Name)
		return e
	}
	e := newEvent(ManyOutside, p, like.VRF, string(like.Type), "cell", like.Source, like.Destination, like.Service)
	e.Source, e.Destination, e.Service = like.Source, like.Destination, like.Service
	e.Text = fmt.Sprintf("more than %d %s from %s to %s %s are outside policy %s; no more are said one by one", most, what, like.Source, like.Destination, like.Service, p.Name)
	return e
}

// unused is the event of a rule that had no traffic from its last record, or from the beginning of what was looked at, until the
// newest record of its VRF.
func unused(p *Policy, vrf string, u *simulate.Use, since, newest time.Time, daysWithData int) *Event {
	key := u.ID
	if key == "" {
		key = u.Name
	}
	last := ""
	if !u.Last.IsZero() {
		last = u.Last.UTC().Format(time.RFC3339Nano)
	}
	e := newEvent(RuleUnused, p, vrf, key, last)
	e.Rule, e.RuleID, e.Days, e.DaysWithData = u.Name, u.ID, int(newest.Sub(since)/(24*time.Hour)), daysWithData
	if !u.Last.IsZero() {
		e.LastSeen = at(u.Last)
	}
	e.Text = fmt.Sprintf("rule %s of policy %s has had no traffic for %d days; something was seen in VRF %s on %d of them", u.Name, p.Name, e.Days, vrf, daysWithData)
	return e
}

// amended is the event of a proposal whose rules differ from those of the policy.
func amended(p *Policy, to *policy.Proposal) *Event {
	was, is := ruleNames(p.Proposal), ruleNames(to)
	about := []string{}
	for i := range to.Rules {
		about = append(about, to.Rules[i].ID)
	}
	e := newEvent(PolicyAmended, p, to.VRF, about...)
	e.Proposal = to.ID
	for i := range to.Rules {
		if _, kept := was[to.Rules[i].ID]; !kept {
			e.Added = append(e.Added, to.Rules[i].Name)
		}
	}
	for i := range p.Proposal.Rules {
		if _, kept := is[p.Proposal.Rules[i].ID]; !kept {
			e.Removed = append(e.Removed, p.Proposal.Rules[i].Name)
		}
	}
	e.Text = fmt.Sprintf("proposal %s amends policy %s: %d rules added, %d removed, %d unchanged", shortID(to.ID), p.Name, len(e.Added), len(e.Removed), len(to.Rules)-len(e.Added))
	return e
}

func ruleNames(p *policy.Proposal) map[string]string {
	out := map[string]string{}
	for i := range p.Rules {
		out[p.Rules[i].ID] = p.Rules[i].Name
	}
	return out
}

// shortID is as much of a proposal's id as a person needs.
func shortID(id string) string {
	digits := strings.TrimPrefix(id, "sha256:")
	return digits[:min(12, len(digits))]
}
