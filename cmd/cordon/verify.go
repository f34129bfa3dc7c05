package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"cordon/recommender/policy"
	"cordon/recommender/verify"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const verifyHelp = `Reads the sessions that a proposal is about and checks everything that it says,
without the code that made it: that its rules permit nothing that was not observed
and every session that is included, that each is needed, that no fewer would do,
and all numbers. A proposal that was edited by hand is checked like any other;
what no longer holds is said, with the name of the rule.

The proposal is a file, YAML or JSON, or the beginning of the id of a stored one.
A proposal that names a scope is held against the sessions of the scope; --client,
--server, --host and --exporter say another one.

With --groups, --existing or --guardrails, what the proposal carries of its groups and
policies is compared with these files as well.

Exit code 0 means that all holds, 1 that something is wrong.`

// verifyFlags are the flags of verify.
type verifyFlags struct {
	subject  subjectFlags
	scope    scopeFlags
	settings policy.Settings
	examples int
	format   string
	set      *pflag.FlagSet
}

// onceUnsaid are flags of options that early proposals did not say in their settings. Those that came later are in every document.
var onceUnsaid = []string{"ungrouped", "external", "half-open", "min-sessions", "min-hosts"}

func (a *app) verifyCommand() *cobra.Command {
	var v verifyFlags
	c := &cobra.Command{
		Use:   "verify FILE|ID",
		Short: "Check a proposal against the sessions",
		Long:  verifyHelp,
		Example: `  cordon verify 3f2a --groups groups.yaml
  cordon verify proposal.yaml --from flows.csv.zst --groups groups.yaml --format json`,
		Args: oneArgument("file or id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			v.set = cmd.Flags()
			return a.verify(cmd.Context(), args[0], &v)
		},
	}
	f := c.Flags()
	v.subject.flags(f)
	v.scope.flags(f)
	for _, o := range policy.Options() {
		if slices.Contains(onceUnsaid, o.Flag) {
			o.Help = "as generate-rules had it, in place of what the proposal says"
			optionFlag(f, &v.settings, &o)
		}
	}
	f.IntVar(&v.examples, "examples", 5, "at most so many of what a finding counts are named")
	f.StringVarP(&v.format, "format", "f", "text", "text or json (one object a line)")
	return c
}

func (a *app) verify(ctx context.Context, what string, v *verifyFlags) error {
	if v.format != "text" && v.format != "json" {
		return usagef("--format %q: use text or json", v.format)
	}
	if v.examples < 1 {
		return usagef("--examples %d: must be at least 1", v.examples)
	}
	if err := v.settings.Filled().Check(); err != nil {
		return usageError(err)
	}
	if _, err := v.scope.scope(); err != nil {
		return err
	}
	sub, st, err := a.openSubject(ctx, what, &v.subject)
	if err != nil {
		return err
	}
	defer st.close()
	return a.verifyAll(ctx, st, sub, v)
}

func oneOf(flag, value string, all []string) error {
	for _, x := range all {
		if x == value {
			return nil
		}
	}
	return usagef("--%s %q: use one of %v", flag, value, all)
}

// verifyAll reports on each proposal.
func (a *app) verifyAll(ctx context.Context, st *store, sub *subject, v *verifyFlags) error {
	wrong := 0
	for i := range sub.proposals {
		p := &sub.proposals[i]
		o := verify.Options{Examples: v.examples, Existing: sub.existing, Guardrails: sub.guardrails, Settings: v.madeWith(p)}
		if !sub.storedGroups || !p.Carries() {
			o.Groups = sub.groups
		}
		var err error
		if o.Scope, err = v.scope.over(p.Scope); err != nil {
			return err
		}
		r, err := verify.Proposal(ctx, st.Conn, p, o)
		if errors.Is(err, verify.ErrGroups) {
			return usagef("%w (--groups)", err)
		}
		if errors.Is(err, verify.ErrSettings) {
			return usageError(err)
		}
		if errors.Is(err, verify.ErrCarried) {
			return usagef("proposal %s: %w", shortID(p.ID), err)
		}
		if err != nil {
			return fmt.Errorf("verify: %w", err)
		}
		if !r.OK {
			wrong++
		}
		if v.format == "json" {
			err = json.NewEncoder(a.stdout).Encode(r)
		} else {
			err = r.WriteText(a.stdout)
		}
		if err != nil {
			return err
		}
	}
	if wrong > 0 {
		return fmt.Errorf("verify: %d of %d proposals do not hold", wrong, len(sub.proposals))
	}
	return nil
}

// madeWith gives the settings of a proposal: those that the flags say, else those
// that the document says, else the defaults.
func (v *verifyFlags) madeWith(p *policy.Proposal) policy.Settings {
	s := policy.Settings{}
	if p.Settings != nil {
		s = *p.Settings
	}
	for _, o := range policy.Options() {
		if v.set.Changed(o.Flag) {
			o.Copy(&s, &v.settings)
		}
	}
	return s
}
