package main

import (
	"context"
	"time"

	"bytes"
	"slices"
	"strings"

	"cordon/recommender/policy"
	"cordon/recommender/target"

	"github.com/spf13/cobra"
)

const convertHelp = `Reads a policy in one form and writes it in another. FILE is a policy of kind Policy,
a proposal, or a running-config of Arista EOS with a section of traffic-policies. What
a device's file says and Cordon cannot judge is kept word for word, and listed on
standard error; a line inside the section that is not known is an error. A
running-config that is written as eos again is the same text, its other sections
left out.

A device matches requests and answers apart. A match and its -reverse twin become one
rule; what a rule permits whose answers are not permitted is listed on standard error
("answers denied").`

func (a *app) policyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "policy",
		Short: "Policies between forms, and what changes from one to another",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var f convertFlags
	convert := &cobra.Command{
		Use:   "convert FILE --to FORMAT",
		Short: "Write a policy in another form",
		Long:  convertHelp + targetHelp(),
		Example: `  cordon policy convert switch.cfg --to yaml
  cordon policy convert policy.yaml --to eos --groups groups.yaml`,
		Args: oneArgument("file"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.convert(cmd.Context(), args[0], &f) },
	}
	fs := convert.Flags()
	fs.StringVarP(&f.to, "to", "t", "", strings.Join(policyForms, ", "))
	fs.StringVarP(&f.output, "output", "o", "", "write to this file instead of standard output")
	fs.StringVarP(&f.groups, "groups", "g", "", "groups file, where the policy names groups and the target has none")
	fs.StringSliceVar(&f.categories, "category", nil, "selected categories of the groups file, in order of precedence (default: those of a proposal, else all)")
	fs.StringVar(&f.names, "names", "", namesUsage)
	f.target.flags(fs)
	if err := convert.RegisterFlagCompletionFunc("to", cobra.FixedCompletions(policyForms, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic("BUG: complete --to: " + err.Error())
	}
	c.AddCommand(convert, a.policyDiffCommand())
	return c
}

// policyForms are the forms that policies are written in.
var policyForms = append([]string{"yaml", "json"}, target.Names()...)

// convertFlags are the flags of policy convert.
type convertFlags struct {
	to, output, groups, names string
	categories                []string
	target                    targetFlags
}

func (a *app) convert(ctx context.Context, path string, f *convertFlags) error {
	switch {
	case f.to == "":
		return usagef("--to is missing: choose one of %s", strings.Join(policyForms, ", "))
	case !slices.Contains(policyForms, f.to):
		return usagef("unknown format %q: choose one of %s", f.to, strings.Join(policyForms, ", "))
	}
	opts, err := f.target.options(f.to, f.output)
	if err != nil {
		return err
	}
	if opts.Groups, err = readGroupsAt(ctx, f.groups, time.Time{}); err != nil {
		return err
	}
	names, err := readRuleNames(f.names)
	if err != nil {
		return err
	}
	file, err := readPolicyFile(path)
	if err != nil {
		return usageError(err)
	}
	for i := range file.policies {
		names.RenameStatements(file.policies[i].Rules)
	}
	a.policyNotes(namedPolicies{{notes: file.notes()}})
	if t, ok := target.Find(f.to); ok {
		return a.convertTo(t, file, f, opts)
	}
	var buf bytes.Buffer
	if f.to == "yaml" {
		err = policy.WriteYAML(&buf, file.policies)
	} else {
		err = policy.WriteJSON(&buf, file.policies)
	}
	if err != nil {
		return err
	}
	return a.writeOutput(f.output, buf.Bytes())
}

// convertTo writes policies for a target.
func (a *app) convertTo(t target.Target, file policyFile, f *convertFlags, o target.Options) error {
	if t.Name == "eos" && file.config != nil && !o.EOS.Changes() {
		return a.writeOutput(f.output, file.config.Write())
	}
	documents, err := targetDocuments(file.policies, o.Groups, f.categories)
	if err != nil {
		return err
	}
	out, err := t.Write(documents, o)
	if target.Refused(err) && o.Groups == nil && namesGroups(file.policies) {
		return usagef("%w (groups are known from --groups)", err)
	}
	if err != nil {
		return usageError(err)
	}
	return a.writeTarget(t, out, f.output)
}
