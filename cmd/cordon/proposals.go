package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"cordon/internal/text"
	"cordon/recommender"
	"cordon/recommender/policy"
	"cordon/recommender/render"

	"github.com/spf13/cobra"
)

func (a *app) proposalsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "proposals",
		Short: "The proposals that were made: list, show, compare, export, and their life",
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
	var diffFormat string
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
	export.Flags().StringVar(&e.names, "names", "", namesUsage)
	e.target.flags(export.Flags())

	diff := &cobra.Command{
		Use:   "diff A B",
		Short: "What B permits that A does not, and the other way round",
		Long:  diffHelp,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usagef("%s takes two files or ids, got %d; `cordon proposals list` shows ids", cmd.CommandPath(), len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.proposalsDiff(cmd.Context(), args[0], args[1], diffFormat)
		},
	}
	diff.Flags().StringVarP(&diffFormat, "format", "f", "text", "text or json (one object for each VRF)")
	c.AddCommand(list, show, export, diff, a.renameCommand())
	c.AddCommand(a.lifeCommands()...)
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
	rows := [][]string{{"ID", "STATE", "CREATED", "VRF", "RULES", "AT LEAST", "CELLS", "SESSIONS", "INCLUDED", "FROM", "TO", "CATEGORIES"}}
	for _, p := range list {
		bound := text.Number(p.LowerBound)
		if p.Optimal {
			bound = "minimal"
		}
		rows = append(rows, []string{shortID(p.ID), string(p.State), p.Created.Format(time.RFC3339), p.VRF, text.Number(p.Rules), bound, text.Number(p.Cells),
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
	format, output, groups, names string
	target                        targetFlags
}

func (a *app) proposalsExport(ctx context.Context, what string, e *exportFlags) error {
	if err := render.Check(e.format); err != nil {
		return usageError(err)
	}
	opts, err := e.target.options(e.format, e.output)
	if err != nil {
		return err
	}
	groups, err := readGroupsAt(ctx, e.groups, time.Time{})
	if err != nil {
		return err
	}
	names, err := readRuleNames(e.names)
	if err != nil {
		return err
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
		if names, err = storedRuleNames(ctx, st, names); err != nil {
			return err
		}
	}
	rename(proposals, names)
	return a.writeProposals(e.format, e.output, proposals, groups, opts)
}
