package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"cordon/internal/sessions"
	"cordon/recommender"
	"cordon/recommender/policy"
	"cordon/recommender/render"
	"cordon/recommender/target"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/spf13/cobra"
)

const showHelp = `Shows a proposal: a file, YAML or JSON, or the beginning of the id of a stored one.

--evidence lists every session under each rule, --unobserved every pair of known
hosts that a rule permits and nobody was seen to use. Both read the sessions of the
proposal's VRF and window as they are now, and say on standard error where that is
no longer what the proposal counted. --left-out lists every session that is in no rule
with its reason, or those of some reasons. A session is listed under every rule that
permits it, so the listings are exact where rules overlap, and for a file whose
rules were edited by hand.`

// showFlags are the flags of proposals show.
type showFlags struct {
	subject    subjectFlags
	evidence   bool
	unobserved bool
	leftOut    []string
	reasons    []policy.Reason // reasons asked for by leftOut; none for all
	rules      []string
	sort       string
	limit      int
	format     string
	given      []string // flags that are for listings only
}

func (a *app) showCommand() *cobra.Command {
	var s showFlags
	var what []string // the arguments but for reasons
	c := &cobra.Command{
		Use:   "show FILE|ID",
		Short: "Show a proposal, or the sessions behind its rules",
		Long:  showHelp,
		Example: `  cordon proposals show 3f2a
  cordon proposals show 3f2a --evidence --rule web-to-app-4567
  cordon proposals show 3f2a --left-out half-open,external --format csv
  cordon proposals show proposal.yaml --unobserved --format csv --groups groups.yaml`,
		Args: func(cmd *cobra.Command, args []string) error {
			what = withoutReasons(args, &s.leftOut)
			return oneProposal(cmd, what)
		},
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if s.reasons, err = parseReasons("left-out", s.leftOut); err != nil {
				return err
			}
			for _, name := range []string{"rule", "sort", "limit", "groups", "from", "existing", "guardrails"} {
				if cmd.Flags().Changed(name) {
					s.given = append(s.given, name)
				}
			}
			return a.show(cmd.Context(), what[0], &s)
		},
	}
	f := c.Flags()
	f.BoolVar(&s.evidence, "evidence", false, "list the sessions under each rule")
	f.BoolVar(&s.unobserved, "unobserved", false, "list the (client, server) pairs that a rule permits and that were not seen")
	f.StringSliceVar(&s.leftOut, "left-out", nil, "list the sessions that are in no rule, each with its reason; or those of these reasons: "+reasonNames())
	f.Lookup("left-out").NoOptDefVal = allReasons
	f.StringSliceVar(&s.rules, "rule", nil, "only this rule, by name or id (may be repeated)")
	f.StringVar(&s.sort, "sort", "client", "column to sort sessions of a rule by, with - before it for descending")
	f.IntVarP(&s.limit, "limit", "n", 0, fmt.Sprintf("at most so many of each rule; 0 for all (default: %d in a table)", shownOfRule))
	s.subject.flags(f)
	f.StringVarP(&s.format, "format", "f", "", strings.Join(render.Names(), ", ")+" (default: table); of a listing table, csv, json or ndjson (default: table on a terminal, else csv)")
	return c
}

func oneProposal(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("%s takes one file or id, got %d; `cordon proposals list` shows ids", cmd.CommandPath(), len(args))
	}
	return nil
}

func (a *app) show(ctx context.Context, what string, s *showFlags) error {
	switch {
	case s.evidence && s.unobserved, s.evidence && len(s.leftOut) > 0, s.unobserved && len(s.leftOut) > 0:
		return usagef("--evidence, --unobserved and --left-out exclude each other")
	case len(s.rules) > 0 && len(s.leftOut) > 0:
		return usagef("--rule goes with --evidence or --unobserved: what --left-out lists is in no rule")
	case s.evidence || s.unobserved || len(s.leftOut) > 0:
		return a.showListing(ctx, what, s)
	case len(s.given) > 0:
		return usagef("--%s goes with --evidence, --unobserved or --left-out", s.given[0])
	}
	if s.format == "" {
		s.format = "table"
	}
	if err := render.Check(s.format); err != nil {
		return usageError(err)
	}
	proposals, stored, err := readProposals(what)
	if err != nil {
		return err
	}
	if stored {
		return a.proposalsExport(ctx, what, &exportFlags{format: s.format, target: defaultTarget})
	}
	return a.writeProposals(s.format, "", proposals, nil, target.Options{})
}

// shownOfRule is how many rows of a rule a table has, unless more are asked for.
const shownOfRule = 20

func (a *app) showListing(ctx context.Context, what string, s *showFlags) error {
	order, format, limit, err := a.listing(s.sort, &s.format, s.limit, slices.Contains(s.given, "limit"), shownOfRule)
	if err != nil {
		return err
	}
	sub, st, err := a.openSubject(ctx, what, &s.subject)
	if err != nil {
		return err
	}
	defer st.close()
	asked, err := askedRules(sub.proposals, s.rules)
	if err != nil {
		return err
	}
	for i := range sub.proposals {
		p := &sub.proposals[i]
		if len(asked[i]) == 0 && len(s.rules) > 0 {
			continue
		}
		if err := a.listProposal(ctx, st, sub, p, asked[i], order, limit, format, s); err != nil {
			return err
		}
		if format == "CSVWithNames" {
			format = "CSV"
		}
	}
	if s.format == "table" && !slices.Contains(s.given, "limit") {
		of := "rule"
		if len(s.leftOut) > 0 {
			of = "reason"
		}
		fmt.Fprintf(a.stderr, "At most %d of each %s are shown; --limit 0 gives all.\n", shownOfRule, of)
	}
	return nil
}

// askedRules gives the places of the rules of each proposal that are asked for by name
// or id; all where none is.
func askedRules(proposals []policy.Proposal, names []string) ([][]int, error) {
	out := make([][]int, len(proposals))
	found := map[string]bool{}
	for i := range proposals {
		for j := range proposals[i].Rules {
			r := &proposals[i].Rules[j]
			in := len(names) == 0
			for _, name := range names {
				if r.Name == name || r.ID == name {
					in, found[name] = true, true
				}
			}
			if in {
				out[i] = append(out[i], j)
			}
		}
	}
	for _, name := range names {
		if !found[name] {
			return nil, usagef("--rule %q: the proposal has no rule of this name or id; `cordon proposals show` shows them", name)
		}
	}
	return out, nil
}

// openView judges the sessions of a proposal, as the pages do. Close it.
func (a *app) openView(ctx context.Context, st *store, p *policy.Proposal, m *madeWith) (*recommender.View, error) {
	if m.groups == nil && len(p.Categories) > 0 {
		return nil, usagef("the proposal names groups of categories %v and does not carry them: give the groups file that it was made with (--groups)", p.Categories)
	}
	v, err := recommender.OpenView(ctx, st.Conn, p, recommender.ListOptions{Groups: m.groups, Existing: m.existing, Guardrails: m.guardrails})
	var wrong *policy.SettingsError
	switch {
	case errors.As(err, &wrong):
		return nil, usageError(fmt.Errorf("%w; is it the groups file that the proposal was made with?", err))
	case err != nil:
		return nil, fmt.Errorf("proposal %s: %w", shortID(p.ID), err)
	}
	return v, nil
}

// listProposal writes the listing of one document.
func (a *app) listProposal(ctx context.Context, st *store, sub *subject, p *policy.Proposal, rules []int, order sessions.Sort, limit int, format string, s *showFlags) error {
	made, err := sub.madeWith(p)
	if err != nil {
		return err
	}
	v, err := a.openView(ctx, st, p, &made)
	if err != nil {
		return err
	}
	defer v.Close(ctx)
	var q sessions.Query
	if s.evidence || len(s.leftOut) > 0 {
		table := sessions.Table{SQL: v.Sessions(rules), Own: []string{"rule"}, Order: "ordinal", Each: limit}
		if len(s.leftOut) > 0 {
			table.SQL, table.Own = v.LeftOut(s.reasons), []string{"reason", "note"}
		}
		if q, err = sessions.Build(sessions.Filter{Table: &table, Brief: s.format == "table"}, order, 0, nil); err != nil {
			return usageError(err)
		}
	} else {
		q.SQL = v.Unobserved(rules, limit)
	}
	set := clickhouse.Settings{"output_format_pretty_max_rows": 1_000_000}
	if s.format == "json" {
		set["output_format_json_array_of_rows"] = 1
	}
	r, err := st.Conn.QueryFormat(clickhouse.Context(ctx, clickhouse.WithParameters(q.Parameters), clickhouse.WithSettings(set)), format, q.SQL)
	if err != nil {
		return fmt.Errorf("proposal %s: %w", shortID(p.ID), err)
	}
	defer r.Close()
	if _, err := io.Copy(a.stdout, r); err != nil {
		return fmt.Errorf("proposal %s: %w", shortID(p.ID), err)
	}
	if len(s.leftOut) > 0 {
		a.sayLeftOut(p, v, &made, s.reasons)
	} else {
		a.sayChanges(p, rules, v, &made, s.evidence)
	}
	return nil
}

// namedChanges is how many rules are named that do not count what they did.
const namedChanges = 10

// sayChanges compares what the proposal counted with what is there now.
func (a *app) sayChanges(p *policy.Proposal, rules []int, l *recommender.View, made *madeWith, evidence bool) {
	changed := 0
	for _, i := range rules {
		text := excessChange(p.Rules[i].Excess, l.Excess[i])
		if evidence {
			text = evidenceChange(&p.Rules[i].Evidence, &l.Evidence[i])
		}
		if text == "" {
			continue
		}
		if changed++; changed <= namedChanges {
			fmt.Fprintf(a.stderr, "Rule %s: %s.\n", p.Rules[i].Name, text)
		}
	}
	if changed == 0 {
		return
	}
	if changed > namedChanges {
		fmt.Fprintf(a.stderr, "And %d more rules.\n", changed-namedChanges)
	}
	a.sayWhy(p, made)
}

// sayWhy tells what may explain that sessions are judged otherwise than the proposal says.
func (a *app) sayWhy(p *policy.Proposal, made *madeWith) {
	left := map[policy.Reason]bool{}
	for _, u := range p.Unproposed {
		left[u.Reason] = true
	}
	switch {
	case left[policy.AlreadyPermitted] && len(made.existing) == 0:
		fmt.Fprintln(a.stderr, "The proposal was made with a policy in force: give it with --existing.")
	case left[policy.Guardrail] && len(made.guardrails) == 0:
		fmt.Fprintln(a.stderr, "The proposal was made with guardrails: give them with --guardrails.")
	case left[policy.Excluded] && made.storedGroups:
		fmt.Fprintln(a.stderr, "The proposal was made with exclusions, which stored groups do not have: give the file with --groups.")
	default:
		fmt.Fprintln(a.stderr, "Sessions have expired since, or came late; or the proposal or its groups were edited.")
	}
}

// evidenceChange says how the sessions of a rule differ from those counted, "" if they do not.
func evidenceChange(said, are *policy.Evidence) string {
	switch {
	case are.Sessions < said.Sessions:
		return fmt.Sprintf("%d sessions, the proposal counted %d: %d are gone", are.Sessions, said.Sessions, said.Sessions-are.Sessions)
	case are.Sessions > said.Sessions:
		return fmt.Sprintf("%d sessions, the proposal counted %d: %d are new", are.Sessions, said.Sessions, are.Sessions-said.Sessions)
	case are.Flows != said.Flows || are.Bytes != said.Bytes || are.Clients != said.Clients || are.Servers != said.Servers ||
		!are.FirstSeen.Equal(said.FirstSeen.Time) || !are.LastSeen.Equal(said.LastSeen.Time):
		return fmt.Sprintf("%d sessions as counted, but not the same: %d flows instead of %d, %d bytes instead of %d", are.Sessions, are.Flows, said.Flows, are.Bytes, said.Bytes)
	}
	return ""
}

func excessChange(said, are policy.Excess) string {
	if said.PermittedPairs == are.PermittedPairs && said.ObservedPairs == are.ObservedPairs {
		return ""
	}
	return fmt.Sprintf("permits %d pairs of which %d were seen, the proposal counted %d and %d", are.PermittedPairs, are.ObservedPairs, said.PermittedPairs, said.ObservedPairs)
}
