package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"time"

	"cordon/categories"
	"cordon/recommender"
	"cordon/recommender/policy"

	"github.com/spf13/pflag"
)

// subject is what a command about proposals works on: documents from a file or
// one from the store, and what they were made with.
type subject struct {
	proposals            []policy.Proposal
	groups               *categories.File // nil for none
	storedGroups         bool             // groups are those of the store, which have no exclusions
	existing, guardrails []policy.Policy
}

// madeWith is what a proposal was made with.
type madeWith struct {
	groups               *categories.File // nil for none
	storedGroups         bool
	existing, guardrails []policy.Policy
}

// madeWith gives what the flags say of a proposal, else what the proposal carries, else, for one that carries nothing,
// the groups that are stored.
func (s *subject) madeWith(p *policy.Proposal) (madeWith, error) {
	m := madeWith{groups: s.groups, existing: s.existing, guardrails: s.guardrails}
	existing, guardrails := p.MadeWith()
	if len(m.existing) == 0 {
		m.existing = existing
	}
	if len(m.guardrails) == 0 {
		m.guardrails = guardrails
	}
	if s.groups != nil && !s.storedGroups || !p.Carries() {
		m.storedGroups = s.storedGroups
		return m, nil
	}
	var err error
	if m.groups, err = p.CarriedTimes(); err != nil {
		return m, usagef("proposal %s: %w", shortID(p.ID), err)
	}
	return m, nil
}

// carried reports whether all of the proposals carry their groups.
func carried(proposals []policy.Proposal) bool {
	return !slices.ContainsFunc(proposals, func(p policy.Proposal) bool { return !p.Carries() })
}

// subjectFlags say where a subject is.
type subjectFlags struct {
	groups               string
	from                 []string
	existing, guardrails []string
}

func (s *subjectFlags) flags(f *pflag.FlagSet) {
	f.StringVarP(&s.groups, "groups", "g", "", "groups file to use instead of the groups that the proposal carries")
	f.StringArrayVar(&s.from, "from", nil, "take the sessions from this file (may be repeated)")
	f.StringArrayVar(&s.existing, "existing", nil, "policy in force to use instead of what the proposal carries: a file or the beginning of a proposal's id (may be repeated)")
	f.StringArrayVar(&s.guardrails, "guardrails", nil, "guardrails to use instead of what the proposal carries (may be repeated)")
}

// idText is what the beginning of an id looks like.
var idText = regexp.MustCompile(`^(sha256:)?[0-9a-f]+$`)

// openSubject reads the proposals of a file or, if there is none of that name, the
// one whose id begins so, and opens the store with their sessions. Close it.
func (a *app) openSubject(ctx context.Context, what string, f *subjectFlags) (_ *subject, _ *store, err error) {
	var s subject
	existing, guardrails, err := readInForce(f.existing, f.guardrails, f.from)
	if err != nil {
		return nil, nil, err
	}
	s.guardrails = guardrails.list()
	if s.groups, err = parseGroups(f.groups); err != nil {
		return nil, nil, err
	}
	var stored bool
	if s.proposals, stored, err = readProposals(what); err != nil {
		return nil, nil, err
	}
	if stored && len(f.from) > 0 {
		return nil, nil, usagef("%s: no such file, and with --from no stored proposal is at hand", what)
	}
	st, err := a.openSessions(ctx, f.from, madeAt(s.proposals), false, func(recommender.Step) {})
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			st.close()
		}
	}()
	if s.groups, err = a.withSources(ctx, st, s.groups, len(f.from) > 0); err != nil {
		return nil, nil, err
	}
	if s.existing, err = a.storedPolicies(ctx, st, existing); err != nil {
		return nil, nil, err
	}
	if stored {
		p, err := a.proposal(ctx, st, what)
		if err != nil {
			return nil, nil, fmt.Errorf("read the proposal: %w", err)
		}
		s.proposals = []policy.Proposal{*p}
	}
	if s.groups == nil && len(f.from) == 0 && !carried(s.proposals) {
		if s.groups, err = storedGroups(ctx, st.Reader); err != nil {
			return nil, nil, err
		}
		s.storedGroups = s.groups != nil
	}
	return &s, st, nil
}

// madeAt is when records without a time were imported for the proposals, as far as
// they tell: nothing in them is later.
func madeAt(proposals []policy.Proposal) (last time.Time) {
	for i := range proposals {
		p := &proposals[i]
		seen := p.Window.From.Time
		for _, r := range p.Rules {
			if t := r.Evidence.LastSeen.Time; t.After(seen) {
				seen = t
			}
		}
		if seen.After(last) {
			last = seen
		}
	}
	return last
}

// readProposals reads the proposals of a file. Where there is none of that name and
// it may be the beginning of an id, it says so.
func readProposals(what string) (_ []policy.Proposal, stored bool, err error) {
	list, err := policy.ReadProposalFile(what)
	switch {
	case errors.Is(err, fs.ErrNotExist) && idText.MatchString(what):
		return nil, true, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, false, usagef("%s is neither a file nor the id of a proposal; `cordon proposals list` shows the ids", what)
	}
	return list, false, usageError(err)
}

// proposal reads a stored proposal by the beginning of its id.
func (a *app) proposal(ctx context.Context, st *store, id string) (*policy.Proposal, error) {
	p, err := recommender.Get(ctx, st.Conn, id)
	if errors.Is(err, recommender.ErrNoProposal) {
		return nil, usagef("%s is neither a file nor the id of a proposal; `cordon proposals list` shows the ids", id)
	}
	if errors.Is(err, recommender.ErrSeveralProposals) {
		return nil, usageError(err)
	}
	return p, err
}
