package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"cordon/categories"
	"cordon/recommender/policy"
	"cordon/recommender/simulate"
)

// policyText is a policy that a flag names: what its file holds, or the beginning of the id of a stored proposal.
type policyText struct {
	name string
	id   string // The stored proposal's id; empty for a file.
	file policyFile
}

// readPolicyText reads the file of a name. A name without a file may be an id, unless the sessions come from files.
func readPolicyText(flag, name string, temporary bool) (*policyText, error) {
	file, err := readPolicyFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist) && idText.MatchString(name):
		if temporary {
			return nil, usagef("--%s %s: no such file, and with --from no stored proposal is at hand", flag, name)
		}
		return &policyText{name: name, id: name}, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, usagef("--%s: %s is neither a file nor the id of a proposal; `cordon proposals list` shows the ids", flag, name)
	}
	return policyTextOf(name, file, err)
}

// policyTextOf gives the policy of a file that was read, or the mistake in it.
func policyTextOf(name string, file policyFile, err error) (*policyText, error) {
	if err != nil {
		return nil, usageError(err)
	}
	if file.config != nil && !file.config.Bound() && len(file.policies) > 1 {
		return nil, usagef("%s: there are %d traffic policies, and none is bound in a VRF: which is meant is not known", name, len(file.policies))
	}
	return &policyText{name: name, file: file}, nil
}

// proposals gives the proposals among the documents.
func (t *policyText) proposals(ctx context.Context, a *app, st *store) ([]policy.Proposal, error) {
	if t.id != "" {
		p, err := a.proposal(ctx, st, t.id)
		if err != nil {
			return nil, err
		}
		return []policy.Proposal{*p}, nil
	}
	if !slices.ContainsFunc(t.file.policies, func(p policy.Policy) bool { return p.Kind == policy.KindProposal }) ||
		slices.ContainsFunc(t.file.policies, func(p policy.Policy) bool { return p.Kind != policy.KindProposal }) {
		return nil, nil
	}
	list, err := policy.ParseProposals(t.name, t.file.data)
	return list, usageError(err)
}

// carriedGroups gives the groups that a policy carries, with the times of re-used addresses; nil where it carries none.
func (a *app) carriedGroups(ctx context.Context, st *store, t *policyText) (*categories.File, error) {
	list, err := t.proposals(ctx, a, st)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].GroupsFile != "" {
			f, err := list[i].CarriedTimes()
			return f, usageError(err)
		}
	}
	return nil, nil
}

// replayed is the window of sessions that policies judge: [since, until), where the zero time leaves a side open.
type replayed struct{ since, until time.Time }

// candidate makes the policy one that sessions of a window are judged by. Ends that the policy leaves open do what the given action says.
// The groups, nil for none, may have times.
func (a *app) candidate(ctx context.Context, st *store, t *policyText, groups *categories.File, selected []string, end policy.Action, in replayed) (*simulate.Candidate, error) {
	proposals, err := t.proposals(ctx, a, st)
	if err != nil {
		return nil, err
	}
	if len(proposals) > 0 {
		name := t.name
		if t.id != "" {
			name = shortID(proposals[0].ID)
		}
		return proposalsCandidate(name, proposals, func(*policy.Proposal) (*categories.File, error) { return groups, nil }, in)
	}
	at, err := simulate.Moment(ctx, st.Conn, groups, in.until)
	if err != nil {
		return nil, err
	}
	out := &simulate.Candidate{Name: t.name}
	open := false
	for _, p := range t.file.policies {
		if p.Kind == policy.KindProposal {
			p.Default = policy.Defaults{IPv4: policy.Deny, IPv6: policy.Deny}
		}
		for _, to := range []*policy.Action{&p.Default.IPv4, &p.Default.IPv6} {
			if *to == "" {
				*to, open = end, true
			}
		}
		d, err := document(&p, groups, selected, in, at)
		if err != nil {
			return nil, usagef("%s: %w", t.name, err)
		}
		out.Documents = append(out.Documents, d)
	}
	if open {
		fmt.Fprintf(a.stderr, "cordon: %s does not say what its end does: taken as %s (--default)\n", t.name, end)
	}
	return out, nil
}

// proposalsCandidate makes proposals one policy, a document each, with what was in force when they were made behind them: a
// proposal leaves out what that permits. The file of groups that a proposal is read with may be nil for none, and may have times.
func proposalsCandidate(name string, list []policy.Proposal, groups func(*policy.Proposal) (*categories.File, error), in replayed) (*simulate.Candidate, error) {
	out := &simulate.Candidate{Name: name}
	var behind []simulate.Document
	for i := range list {
		file, err := groups(&list[i])
		if err != nil {
			return nil, err
		}
		p := list[i].Policy()
		p.Default = policy.Defaults{IPv4: policy.Deny, IPv6: policy.Deny}
		own, at := in.since, list[i].Window.To.Time
		if list[i].GroupsAt != nil {
			at = list[i].GroupsAt.Time
		}
		if at.Before(own) {
			own = at // an address in a rule means the owner of that moment
		}
		d, err := document(&p, file, nil, replayed{own, in.until}, at)
		if err != nil {
			return nil, usagef("%s: %w", name, err)
		}
		out.Documents = append(out.Documents, d)
		existing, _ := list[i].MadeWith()
		for _, e := range existing {
			if e.VRF == "" {
				e.VRF = list[i].VRF
			}
			if e.Categories == nil {
				e.Categories = list[i].Categories
			}
			if d, err = document(&e, file, nil, in, at); err != nil {
				return nil, usagef("%s: what was in force when it was made: %w", name, err)
			}
			d.Beside = true
			behind = append(behind, d)
		}
	}
	out.Documents = append(out.Documents, behind...)
	return out, nil
}

// ownGroups gives the groups that a proposal carries, nil for none.
func ownGroups(p *policy.Proposal) (*categories.File, error) {
	if p.GroupsFile == "" {
		return nil, nil
	}
	file, err := p.CarriedFile()
	if err != nil {
		return nil, usagef("proposal %s: %w", shortID(p.ID), err)
	}
	return file, nil
}

// ownTimes is ownGroups with the times of re-used addresses.
func ownTimes(p *policy.Proposal) (*categories.File, error) {
	if p.GroupsFile == "" {
		return nil, nil
	}
	file, err := p.CarriedTimes()
	if err != nil {
		return nil, usagef("proposal %s: %w", shortID(p.ID), err)
	}
	return file, nil
}

// document gives a policy with the meaning of its literals: by the groups of a file, nil for none, as they were in the window and at a moment.
func document(p *policy.Policy, groups *categories.File, selected []string, in replayed, at time.Time) (simulate.Document, error) {
	out := simulate.Document{Policy: *p, Sets: policy.IPSet}
	if groups == nil {
		return out, nil
	}
	if len(p.Categories) > 0 {
		selected = p.Categories
	}
	addresses, err := policy.NewInTime(groups, selected, in.since, in.until, at)
	if err != nil {
		return out, err
	}
	out.InTime, out.Sets = addresses, addresses.Set
	if p.Kind == policy.KindProposal {
		out.Sets = func(literals []policy.Endpoint, _ policy.Reading) (policy.AddressSet, error) {
			return addresses.Set(literals, policy.Proposed)
		}
	}
	return out, nil
}
