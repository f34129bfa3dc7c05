package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"cordon/categories"
	"cordon/internal/text"
	"cordon/recommender"
	"cordon/recommender/policy"
	"cordon/recommender/render"

	"github.com/spf13/cobra"
)

func (a *app) proposalsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "proposals",
		Short: "The proposals that were made: list, show, compare, export",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var vrf, listFormat string
	var limit int
	list := &cobra.Command{
		Use:   "list",
		Short: "List proposals, the newest first",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.proposalsList(cmd.Context(), vrf, limit, listFormat)
		},
	}
	list.Flags().StringVar(&vrf, "vrf", "", "one VRF")
	list.Flags().IntVar(&limit, "limit", 20, "at most so many; 0 for all")
	list.Flags().StringVarP(&listFormat, "format", "f", "table", "table or json (one object a line)")

	show := a.showCommand()

	var e exportFlags
	export := &cobra.Command{
		Use:   "export FILE|ID --format F",
		Short: "Write a proposal in a format, such as a device's own configuration",
		Args:  oneProposal,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.proposalsExport(cmd.Context(), args[0], &e)
		},
	}
	export.Flags().StringVarP(&e.format, "format", "f", "yaml", strings.Join(render.Names(), ", "))
	export.Flags().StringVarP(&e.output, "output", "o", "", "write to this file instead of standard output")
	export.Flags().StringVarP(&e.groups, "groups", "g", "", "groups file that the proposal was made with, where the configuration of a device needs the addresses of groups")
	e.target.flags(export.Flags())

	diff := &cobra.Command{
		Use:   "diff A B",
		Short: "What B permits that A does not, and the other way round",
		Long:  "Compares what two proposals permit. Each is a file, YAML or JSON, or the beginning of the id of a stored one.",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usagef("%s takes two files or ids, got %d; `cordon proposals list` shows ids", cmd.CommandPath(), len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.proposalsDiff(cmd.Context(), args[0], args[1])
		},
	}
	c.AddCommand(list, show, export, diff)
	return c
}

func (a *app) proposalsList(ctx context.Context, vrf string, limit int, format string) error {
	if format != "table" && format != "json" {
		return usagef("--format %q: use table or json", format)
	}
	st, err := a.openStore(ctx, storeNeeds{})
	if err != nil {
		return err
	}
	defer st.close()
	list, err := recommender.List(ctx, st.Conn, vrf, limit)
	if err != nil {
		return fmt.Errorf("proposals: %w", err)
	}
	if format == "json" {
		enc := json.NewEncoder(a.stdout)
		for _, p := range list {
			if err := enc.Encode(p); err != nil {
				return err
			}
		}
		return nil
	}
	rows := [][]string{{"ID", "CREATED", "VRF", "RULES", "AT LEAST", "CELLS", "SESSIONS", "INCLUDED", "FROM", "TO", "CATEGORIES"}}
	for _, p := range list {
		bound := text.Number(p.LowerBound)
		if p.Optimal {
			bound = "minimal"
		}
		rows = append(rows, []string{shortID(p.ID), p.Created.Format(time.RFC3339), p.VRF, text.Number(p.Rules), bound, text.Number(p.Cells),
			text.Number(p.Sessions), text.Number(p.Included), p.From.Format(time.RFC3339), p.To.Format(time.RFC3339), strings.Join(p.Categories, ",")})
	}
	return text.Table(a.stdout, rows, terminalWidth(a.stdout), "FROM", "TO", "CELLS", "AT LEAST", "INCLUDED")
}

// shortID is as much of an id as a person needs.
func shortID(id string) string {
	digits := strings.TrimPrefix(id, "sha256:")
	return digits[:min(12, len(digits))]
}

// exportFlags are the flags of proposals export.
type exportFlags struct {
	format, output, groups string
	target                 targetFlags
}

func (a *app) proposalsExport(ctx context.Context, what string, e *exportFlags) error {
	if err := render.Check(e.format); err != nil {
		return usageError(err)
	}
	opts, err := e.target.options(e.format, e.output)
	if err != nil {
		return err
	}
	var groups *categories.File
	if e.groups != "" {
		if groups, err = categories.ReadFile(e.groups); err != nil {
			return usageError(err)
		}
	}
	proposals, stored, err := readProposals(what)
	if err != nil {
		return err
	}
	if stored {
		st, err := a.openStore(ctx, storeNeeds{})
		if err != nil {
			return err
		}
		defer st.close()
		p, err := a.proposal(ctx, st, what)
		if err != nil {
			return err
		}
		proposals = []policy.Proposal{*p}
	}
	return a.writeProposals(e.format, e.output, proposals, groups, opts)
}

// proposalsDiff compares what two proposals permit, term by term, whatever
// their rules are called and however they are cut. Of files with a proposal for
// each of several VRFs, those of the same VRF are compared.
func (a *app) proposalsDiff(ctx context.Context, from, to string) error {
	old, now, err := a.bothSides(ctx, from, to)
	if err != nil {
		return err
	}
	if len(old) == 1 && len(now) == 1 {
		a.printDiff(&old[0], &now[0])
		return nil
	}
	sides := map[string]*[2]policy.Proposal{}
	for i, side := range [][]policy.Proposal{old, now} {
		for _, p := range side {
			if sides[p.VRF] == nil {
				sides[p.VRF] = &[2]policy.Proposal{}
			}
			sides[p.VRF][i] = p
		}
	}
	for _, vrf := range slices.Sorted(maps.Keys(sides)) {
		fmt.Fprintf(a.stdout, "VRF %s\n", vrf)
		a.printDiff(&sides[vrf][0], &sides[vrf][1])
	}
	return nil
}

// bothSides reads two proposals, each from a file or, by the beginning of an id,
// from the store.
func (a *app) bothSides(ctx context.Context, from, to string) (old, now []policy.Proposal, err error) {
	var st *store
	for _, side := range []struct {
		what string
		into *[]policy.Proposal
	}{{from, &old}, {to, &now}} {
		list, stored, err := readProposals(side.what)
		if err != nil {
			return nil, nil, err
		}
		if stored {
			if st == nil {
				if st, err = a.openStore(ctx, storeNeeds{}); err != nil {
					return nil, nil, err
				}
				defer st.close()
			}
			p, err := a.proposal(ctx, st, side.what)
			if err != nil {
				return nil, nil, err
			}
			list = []policy.Proposal{*p}
		}
		*side.into = list
	}
	return old, now, nil
}

func (a *app) printDiff(old, now *policy.Proposal) {
	removed, added := policy.Difference(old, now)
	for _, c := range removed {
		fmt.Fprintf(a.stdout, "- %s -> %s %s\n", c.Source, c.Destination, c.Service)
	}
	for _, c := range added {
		fmt.Fprintf(a.stdout, "+ %s -> %s %s\n", c.Source, c.Destination, c.Service)
	}
	fmt.Fprintf(a.stdout, "%s, %s; %d permissions removed, %d added\n", hasRules(old), hasRules(now), len(removed), len(added))
}

func hasRules(p *policy.Proposal) string {
	switch {
	case p.ID == "":
		return "no proposal"
	case len(p.Rules) == 1:
		return shortID(p.ID) + " has 1 rule"
	}
	return fmt.Sprintf("%s has %d rules", shortID(p.ID), len(p.Rules))
}
