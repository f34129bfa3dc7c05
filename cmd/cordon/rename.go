package main

import (
	"context"
	"fmt"
	"maps"

	"cordon/recommender"
	"cordon/recommender/policy"

	"github.com/spf13/cobra"
)

const namesUsage = "YAML file with names of people for rules, by the id of the rule: they come before other names (docs/proposal.md)"

const renameHelp = `Gives a rule of a stored proposal a name. RULE is its name or its id. The name stays
with the id, which follows from what the rule permits: the same rule has it in every
proposal that is made from now on, and in what is exported of those that are there.

A proposal never changes. So the proposal with the new name is a proposal of its own,
and the command prints its id.`

func (a *app) renameCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "rename ID RULE NAME",
		Short:   "Give a rule a name that stays",
		Long:    renameHelp,
		Example: `  cordon proposals rename 4f2c rule72 "web to database"`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 3 {
				return usagef("%s takes the id of a proposal, a rule and its new name, got %d arguments", cmd.CommandPath(), len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.renameRule(cmd.Context(), args[0], args[1], args[2])
		},
	}
}

func (a *app) renameRule(ctx context.Context, id, rule, name string) error {
	if err := policy.CheckRuleName(name); err != nil {
		return usageError(err)
	}
	st, err := a.openStore(ctx, storeNeeds{})
	if err != nil {
		return err
	}
	defer st.close()
	named, err := a.renamed(ctx, st, id, rule, name)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.stdout, named.ID)
	return err
}

// renamed gives a rule of a stored proposal a name, and stores the proposal that has it.
func (a *app) renamed(ctx context.Context, st *store, id, rule, name string) (*policy.Proposal, error) {
	p, err := a.proposal(ctx, st, id)
	if err != nil {
		return nil, err
	}
	names, err := storedRuleNames(ctx, st, nil)
	if err != nil {
		return nil, err
	}
	found := findRule(p.Rules, rule)
	names.RenameIn(p)
	if found < 0 {
		found = findRule(p.Rules, rule) // People know it by this name.
	}
	if found < 0 {
		return nil, usagef("proposal %s has no rule with the name or id %q", shortID(p.ID), rule)
	}
	for i := range p.Rules {
		if i != found && p.Rules[i].Name == name {
			return nil, usagef("another rule of proposal %s, %s, is called %q: choose another name", shortID(p.ID), p.Rules[i].ID, name)
		}
	}
	if err := recommender.StoreRuleName(ctx, st.Conn, p.Rules[found].ID, name); err != nil {
		return nil, fmt.Errorf("store the name: %w", err)
	}
	policy.RuleNames{p.Rules[found].ID: name}.RenameIn(p)
	p.Seal()
	if err := recommender.Store(ctx, st.Conn, []policy.Proposal{*p}, nil); err != nil {
		return nil, fmt.Errorf("store the proposal: %w", err)
	}
	return p, nil
}

// findRule gives the place of a rule by its id or name, or -1.
func findRule(rules []policy.Rule, what string) int {
	for i := range rules {
		if rules[i].ID == what || rules[i].Name == what {
			return i
		}
	}
	return -1
}

// readRuleNames reads a file of names; without one there are none.
func readRuleNames(path string) (policy.RuleNames, error) {
	if path == "" {
		return nil, nil
	}
	names, err := policy.ReadRuleNames(path)
	return names, usageError(err)
}

// storedRuleNames gives the names of the store, and before those the ones given.
func storedRuleNames(ctx context.Context, st *store, given policy.RuleNames) (policy.RuleNames, error) {
	names, err := recommender.StoredRuleNames(ctx, st.Conn)
	if err != nil {
		return nil, err
	}
	maps.Copy(names, given)
	return names, nil
}

// rename gives the rules of proposals their names. A proposal that has others now is another document, with an id of its own.
func rename(proposals []policy.Proposal, names policy.RuleNames) {
	if len(names) == 0 {
		return
	}
	for i := range proposals {
		if names.RenameIn(&proposals[i]) {
			proposals[i].Seal()
		}
	}
}
