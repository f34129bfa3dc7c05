package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"cordon/recommender/policy"
)

// namedPolicies are policies that flags name, in order: each the content of a file, or the beginning of the id of a stored
// proposal, which is in force with the rules that it has.
type namedPolicies []struct {
	id       string // of a stored proposal; empty for a file
	policies []policy.Policy
}

// readPolicies reads the files among the names. A name without a file may be an id, where ids are asked for.
func readPolicies(names []string, ids bool) (out namedPolicies, err error) {
	for _, name := range names {
		list, err := policy.ReadPolicyFile(name)
		id := ""
		if ids && errors.Is(err, fs.ErrNotExist) && idText.MatchString(name) {
			id, err = name, nil
		}
		if err != nil {
			return nil, usageError(err)
		}
		out = append(out, struct {
			id       string
			policies []policy.Policy
		}{id, list})
	}
	return out, nil
}

// stored gives the first id; "" where all are files.
func (n namedPolicies) stored() string {
	for _, one := range n {
		if one.id != "" {
			return one.id
		}
	}
	return ""
}

// list gives the policies of the files.
func (n namedPolicies) list() (out []policy.Policy) {
	for _, one := range n {
		out = append(out, one.policies...)
	}
	return out
}

// storedPolicies gives all policies, those with an id from the store.
func (a *app) storedPolicies(ctx context.Context, st *store, n namedPolicies) (out []policy.Policy, err error) {
	for _, one := range n {
		if one.id == "" {
			out = append(out, one.policies...)
			continue
		}
		p, err := a.proposal(ctx, st, one.id)
		if err != nil {
			return nil, fmt.Errorf("--existing: %w", err)
		}
		out = append(out, p.Policy())
	}
	return out, nil
}
