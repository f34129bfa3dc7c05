package recommender

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"cordon/categories"
	"cordon/recommender/policy"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// SuggestSettings says which orders of categories to compare, and on which sessions. The embedded Settings are those of Generate;
// Categories are the candidates.
type SuggestSettings struct {
	Settings
	// Learn is the share of the window, from its beginning, that rules are learned on to see what they deny in the rest; 0 means
	// DefaultLearn.
	Learn float64
	// MaxOrders bounds how many orders are tried; 0 means DefaultMaxOrders.
	MaxOrders int
}

// Defaults of SuggestSettings.
const (
	DefaultLearn     = 0.7
	DefaultMaxOrders = 100
)

// Suggestions compares orders of categories.
type Suggestions struct {
	Window policy.Window `json:"window"`
	// Cut is where the sessions to learn on end: later ones are tested.
	Cut policy.Time `json:"cut"`
	// Candidates are the categories of which orders were made.
	Candidates []string `json:"candidates"`
	// Orders is how many orders the candidates and their subsets have, Groupings how many of them group the known addresses
	// differently. Those that were not tried are Groupings less the length of List. More says that Groupings was not counted to its end.
	Orders    uint64 `json:"orders"`
	Groupings int    `json:"groupings"`
	More      bool   `json:"more,omitempty"`
	// List has the orders that no other beats first, then by rules, literals, excess.
	List []Suggestion `json:"list"`
}

// Suggestion is what Generate would give with an order of categories, over all VRFs.
type Suggestion struct {
	Categories []string `json:"categories"`
	Rules      int      `json:"rules"`
	LowerBound int      `json:"lowerBound"` // no fewer rules do
	Cells      int      `json:"cells"`
	Literals   int      `json:"literals"` // sources, destinations and services of all rules
	Excess     uint64   `json:"excess"`   // (client, server) pairs that rules permit and that were not seen, a sum over rules
	Sessions   uint64   `json:"sessions"`
	Included   uint64   `json:"included"` // those that rules permit, or Settings.Existing
	HeldOut    *HeldOut `json:"heldOut"`  // nil where there was nothing to learn from, or nothing after
	// Best says that no other order is as good in rules, literals, excess, coverage and held-out denial, and better in one.
	Best bool `json:"best"`
}

// HeldOut is what the rules learned before the cut do to the sessions after it.
type HeldOut struct {
	Sessions uint64 `json:"sessions"` // Sessions after the cut that a proposal would leave out only for lack of support.
	Denied   uint64 `json:"denied"`   // Those of them in no learned rule and not permitted by Settings.Existing.
}

// Coverage is the share of sessions that the rules permit.
func (s *Suggestion) Coverage() float64 {
	if s.Sessions == 0 {
		return 0
	}
	return float64(s.Included) / float64(s.Sessions)
}

// Suggest tries every order of categories that groups the known addresses in its own way, shorter orders first. A mistake
// in the settings is a *policy.SettingsError.
func Suggest(ctx context.Context, conn driver.Conn, s SuggestSettings, file *categories.File) (_ *Suggestions, err error) {
	switch {
	case s.Learn == 0:
		s.Learn = DefaultLearn
	case !(s.Learn > 0 && s.Learn < 1):
		return nil, policy.WrongSetting("learn", fmt.Errorf("%v is not between 0 and 1", s.Learn))
	}
	switch {
	case s.MaxOrders == 0:
		s.MaxOrders = DefaultMaxOrders
	case s.MaxOrders < 0:
		return nil, policy.WrongSetting("max-orders", fmt.Errorf("%d is less than 1", s.MaxOrders))
	}
	if file == nil || len(file.Categories) == 0 {
		return nil, policy.WrongSetting("groups", errors.New("there is no category to choose"))
	}
	v, err := newSurvey(ctx, conn, s.surveyed(), file)
	if err != nil {
		return nil, err
	}
	defer func() {
		if closed := v.run.close(ctx); closed != nil && err == nil {
			err = fmt.Errorf("ClickHouse: drop the tables of the run: %w", closed)
		}
	}()
	if err := v.run.dropLeftovers(ctx, leftAfter); err != nil {
		return nil, fmt.Errorf("ClickHouse: drop the tables of runs that were killed: %w", err)
	}
	out := &Suggestions{Candidates: v.candidates, Orders: orderCount(len(v.candidates)), List: []Suggestion{}}
	if some, err := v.fill(ctx, s.Learn, out); err != nil || !some {
		return out, err
	}
	orders, all := groupings(len(v.candidates), v.presences(), s.MaxOrders)
	out.Groupings, out.More = all, all == allGroupings
	whole := proposing{SuggestSettings: s, conn: conn, file: file}
	for _, order := range orders {
		var x Suggestion
		if s.needsProposals() {
			x, err = whole.try(ctx, v.namesOf(order), out.Cut.Time, v.heldOut)
		} else {
			x, err = v.try(ctx, order)
		}
		if err != nil {
			return nil, err
		}
		out.List = append(out.List, x)
	}
	out.rank()
	return out, nil
}

// rank marks the orders that no other beats, and sorts.
func (s *Suggestions) rank() {
	for i := range s.List {
		s.List[i].Best = !slices.ContainsFunc(s.List, func(o Suggestion) bool { return o.beats(&s.List[i]) })
	}
	slices.SortStableFunc(s.List, func(a, b Suggestion) int {
		switch {
		case a.Best != b.Best && a.Best:
			return -1
		case a.Best != b.Best:
			return 1
		}
		return cmp.Or(cmp.Compare(a.Rules, b.Rules), cmp.Compare(a.Literals, b.Literals), cmp.Compare(a.Excess, b.Excess))
	})
}

// beats reports whether s is at least as good as o in every respect, and better in one.
func (s *Suggestion) beats(o *Suggestion) bool {
	all, some := true, false
	for _, c := range []int{
		cmp.Compare(s.Rules, o.Rules), cmp.Compare(s.Literals, o.Literals), cmp.Compare(s.Excess, o.Excess),
		cmp.Compare(o.Included, s.Included), cmp.Compare(s.denied(), o.denied()),
	} {
		all, some = all && c <= 0, some || c < 0
	}
	return all && some
}

func (s *Suggestion) denied() uint64 {
	if s.HeldOut == nil {
		return 0 // All orders have the same sessions.
	}
	return s.HeldOut.Denied
}

// cutAt is where the sessions to learn on end.
func cutAt(w policy.Window, learn float64) time.Time {
	return w.From.Add(time.Duration(float64(w.To.Sub(w.From.Time)) * learn)).Truncate(time.Microsecond)
}
