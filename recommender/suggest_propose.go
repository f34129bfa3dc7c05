package recommender

import (
	"context"
	"errors"
	"strings"
	"time"

	"cordon/categories"
	"cordon/recommender/cells"
	"cordon/recommender/decide"
	"cordon/recommender/policy"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// proposing compares orders by asking Generate for each: with policies, port ranges and prefixes the rules do not follow from the cells that
// a survey counts. It takes two proposals for each order, where a survey takes three queries.
type proposing struct {
	SuggestSettings
	conn driver.Conn
	file *categories.File
}

// needsProposals reports whether a survey cannot count what Generate would give.
func (s *Settings) needsProposals() bool {
	return len(s.Existing)+len(s.Guardrails) > 0 || s.PortRanges > 0 || s.Ungrouped == policy.UngroupedPrefix
}

// surveyed are the settings of the survey that finds the orders to try.
func (s SuggestSettings) surveyed() SuggestSettings {
	if s.Ungrouped == policy.UngroupedPrefix {
		s.Ungrouped = policy.UngroupedHost
	}
	s.Existing, s.Guardrails, s.PortRanges = nil, nil, 0
	return s
}

// try counts what Generate gives with an order of categories. Sessions that the policies in force permit count as permitted.
func (v *proposing) try(ctx context.Context, order []string, cut time.Time, heldOut bool) (Suggestion, error) {
	x := Suggestion{Categories: order}
	s := v.Settings
	s.Categories = order
	name := strings.Join(order, ",")
	proposals, err := v.generate(ctx, s, "propose with "+name)
	if err != nil {
		return x, err
	}
	for i := range proposals {
		p := &proposals[i]
		x.Rules += len(p.Rules)
		x.LowerBound += p.Certificate.LowerBound
		x.Cells += p.Summary.Cells
		x.Sessions += p.Summary.Sessions
		x.Included += p.Summary.Included
		for _, u := range p.Unproposed {
			if u.Reason == policy.AlreadyPermitted {
				x.Included += u.Sessions
			}
		}
		for _, r := range p.Rules {
			x.Literals += len(r.Sources) + len(r.Destinations) + len(r.Services)
			x.Excess += r.Excess.PermittedPairs - r.Excess.ObservedPairs
		}
	}
	if !heldOut {
		return x, nil
	}
	s.Until = policy.NewTime(cut)
	if proposals, err = v.generate(ctx, s, "learn with "+name); err != nil {
		return x, err
	}
	s.Since, s.Until = policy.NewTime(cut), v.Until
	x.HeldOut, err = v.later(ctx, s, proposals, "sessions after, with "+name)
	return x, err
}

// later counts the sessions of a window that learned proposals and the policies in force would deny.
func (v *proposing) later(ctx context.Context, s Settings, learned []policy.Proposal, name string) (_ *HeldOut, err error) {
	s.Existing = append(inForce(learned), s.Existing...)
	s.MinSessions, s.MinHosts, s.MinHours, s.Recurring, s.PortRanges = 0, 0, 0, 0, 0
	if s.Ungrouped == policy.UngroupedPrefix {
		s.Ungrouped = policy.UngroupedHost
	}
	h := new(HeldOut)
	err = v.observed(&s, name, func() error {
		p, err := newPlan(s, v.file)
		if err != nil {
			return err
		}
		r, err := newRun(ctx, v.conn, p)
		if err != nil {
			return err
		}
		parts, err := r.laterParts(ctx)
		if err := errors.Join(err, r.close(ctx)); err != nil {
			return err
		}
		for i := range parts {
			switch parts[i].Reason {
			case 0:
				h.Denied += parts[i].Sessions
				h.Sessions += parts[i].Sessions
			case decide.AlreadyPermittedNumber:
				h.Sessions += parts[i].Sessions
			}
		}
		return nil
	})
	return h, err
}

// laterParts counts the sessions of the window by what becomes of them, support aside.
func (r *run) laterParts(ctx context.Context) ([]cells.Part, error) {
	if err := r.loadEnds(ctx); err != nil {
		return nil, err
	}
	parts, err := r.count(ctx)
	if err == nil {
		decide.Judge(parts, r.plan)
	}
	return parts, err
}

// inForce turns proposals into policies, as if they had been accepted.
func inForce(proposals []policy.Proposal) []policy.Policy {
	var out []policy.Policy
	for i := range proposals {
		out = append(out, proposals[i].Policy())
	}
	return out
}

func (v *proposing) generate(ctx context.Context, s Settings, name string) (out []policy.Proposal, err error) {
	s.WithoutReadiness = true
	err = v.observed(&s, name, func() error {
		out, err = Generate(ctx, v.conn, s, v.file)
		return err
	})
	return out, err
}

// observed runs f and tells the observer of its time in ClickHouse and in Go, instead of each of its steps.
func (v *proposing) observed(s *Settings, name string, f func() error) error {
	if v.Observe == nil {
		return f()
	}
	var server, here Step
	s.Observe = func(step Step) {
		if step.Server {
			server.Took += step.Took
		} else {
			here.Took += step.Took
		}
	}
	if err := f(); err != nil {
		return err
	}
	server.Name, server.Server, here.Name = name, true, name
	v.Observe(server)
	v.Observe(here)
	return nil
}
