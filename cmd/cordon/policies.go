package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"cordon/internal/text"
	"cordon/recommender/policy"
	"cordon/recommender/target/eos"
)

// namedPolicies are policies that flags name, in order: each the content of a file, or the beginning of the id of a stored
// proposal, which is in force with the rules that it has.
type namedPolicies []onePolicy

type onePolicy struct {
	id       string // id of a stored proposal; empty for a file
	policies []policy.Policy
	notes    []string // about the file
}

// policyFile is what a file of policies holds.
type policyFile struct {
	path     string
	data     []byte
	policies []policy.Policy
	config   *eos.Config // nil for a file that is not a device's
}

// readPolicyFile reads policies: YAML or JSON of kind Policy or PolicyProposal, or a running-config of EOS.
func readPolicyFile(path string) (policyFile, error) {
	data, err := policy.ReadLimited(path)
	if err != nil {
		return policyFile{}, err
	}
	return parsePolicyFile(path, data)
}

// parsePolicyFile reads the content of such a file.
func parsePolicyFile(path string, data []byte) (f policyFile, err error) {
	f = policyFile{path: path, data: data}
	if !eos.IsConfig(data) {
		f.policies, err = policy.ParsePolicies(path, data)
		return f, err
	}
	if f.config, err = eos.Parse(path, data); err != nil {
		return f, err
	}
	f.policies = f.config.Policies()
	return f, nil
}

// notes says what is worth knowing about policies that were read.
func (f *policyFile) notes() (out []string) {
	if f.config != nil {
		out = f.config.Notes()
	}
	for i := range f.policies {
		_, denied, err := f.policies[i].Sessions(false)
		if err != nil {
			continue // whoever needs the rules says so
		}
		for _, d := range denied {
			by := "no rule permits them"
			if d.By != "" {
				by = d.By + " denies them"
			}
			out = append(out, fmt.Sprintf("%s: answers denied: %s permits requests, and not all answers of %s: %s", f.path, d.Rule, listOf(d.Services), by))
		}
	}
	return out
}

func listOf(services []policy.Service) string {
	var texts []string
	for _, s := range services {
		texts = append(texts, s.String())
	}
	return text.List(texts, 5)
}

// readPolicies reads the files among the names, as rules about sessions. A name without a file may be an id, where ids are
// asked for; without ids, the policies guard.
func readPolicies(names []string, ids bool) (out namedPolicies, err error) {
	for _, name := range names {
		file, err := readPolicyFile(name)
		id := ""
		if ids && errors.Is(err, fs.ErrNotExist) && idText.MatchString(name) {
			id, err = name, nil
		}
		if err == nil && file.config != nil && !file.config.Bound() && len(file.policies) > 1 {
			err = fmt.Errorf("%s: there are %d traffic policies, and none is bound in a VRF: which is in force is not known", name, len(file.policies))
		}
		if err != nil {
			return nil, usageError(err)
		}
		notes := file.notes()
		for i := range file.policies {
			p := &file.policies[i]
			if p.Rules, _, err = p.Sessions(!ids); err != nil {
				return nil, usagef("%s: %w", name, err)
			}
			if ids && (p.Default.IPv4 == policy.Allow || p.Default.IPv6 == policy.Allow) {
				notes = append(notes, fmt.Sprintf("%s: what no rule of it matches is permitted by its end; that is proposed all the same, so that the end can deny", name))
			}
		}
		out = append(out, onePolicy{id, file.policies, notes})
	}
	return out, nil
}

// policyNotes prints what is worth knowing about files.
func (a *app) policyNotes(n namedPolicies) {
	for _, one := range n {
		for _, note := range one.notes {
			fmt.Fprintln(a.stderr, "cordon: "+note)
		}
	}
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
