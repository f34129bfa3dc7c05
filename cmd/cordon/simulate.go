package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"cordon/internal/sessions"
	"cordon/recommender/policy"
	"cordon/recommender/simulate"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const simulateHelp = `Replays the collected sessions against a policy, as if it had been enforced: which would
have been permitted, and which denied by which rule. The first rule that matches decides.
The policy is a proposal (a file, or the beginning of a stored one's id), a policy of kind
Policy, or a running-config of Arista EOS; without --policy, the proposals in force. --against compares with another one, such as
the one in force.

A session that was answered and would be denied is a break. Half-open and denied sessions
are attempts: they are replayed and counted apart, and one that is let through is no break. A session of which the
request is permitted and the answer is not is listed as answers-denied; one behind a
match that Cordon cannot judge as uncertain.

--without takes rules out, by name or id, and compares with the whole policy; --each does so
for every rule in turn. --sessions lists every session with its decision and rule.`

// simulateFlags are the flags of simulate.
type simulateFlags struct {
	policy, against string
	groups          string
	categories      []string
	from            []string
	window          window
	vrf             string
	scope           scopeFlags
	end             string
	without         []string
	each            bool
	sessions        bool
	decisions       []string
	changed         bool
	sort            string
	limit           int
	limited         bool // limit was asked for
	format, output  string
}

// simulateFormats are the forms that a simulation is written in.
var simulateFormats = []string{"table", "yaml", "json", "csv"}

// shownOfSimulation is how many rows each part of a table has, unless more are asked for.
const shownOfSimulation = 10

// decisionNames are the values of --decision.
var decisionNames = []string{string(policy.Permitted), string(policy.Refused), string(policy.AnswersRefused), string(policy.UncertainDecision)}

func (a *app) simulateCommand() *cobra.Command {
	var s simulateFlags
	c := &cobra.Command{
		Use:   "simulate [--policy FILE|ID]",
		Short: "What a policy would have done to the collected sessions",
		Long:  simulateHelp,
		Example: `  cordon simulate --policy 3f2a                                  a stored proposal on everything collected
  cordon simulate --policy 3f2a --against switch.cfg --last 7d   what would change
  cordon simulate --policy switch.cfg --sessions --decision deny --format csv
  cordon simulate --last 1h                                      what the proposals in force stop
  cordon simulate --policy 3f2a --without web-to-app-4567        what breaks if the rule goes
  cordon simulate --policy 3f2a --each                           ... for every rule
  cordon simulate --policy proposal.yaml --from flows.csv.zst --groups groups.yaml`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.limited = cmd.Flags().Changed("limit")
			return a.simulate(cmd.Context(), &s)
		},
	}
	f := c.Flags()
	s.replayFlags(f)
	f.StringVarP(&s.groups, "groups", "g", "", "groups file (default: the groups that the proposal carries, else those that generate-rules used last)")
	f.StringArrayVar(&s.from, "from", nil, "take the sessions from this file (may be repeated)")
	f.BoolVar(&s.sessions, "sessions", false, "list every session with its decision")
	f.StringSliceVar(&s.decisions, "decision", nil, "with --sessions: only those with this decision: "+strings.Join(decisionNames, ", ")+" (may be repeated)")
	f.BoolVar(&s.changed, "changed", false, "with --sessions: only those that are decided otherwise than by the policy compared with")
	f.StringVar(&s.sort, "sort", "client", "with --sessions: column to sort by, with - before it for descending")
	f.IntVarP(&s.limit, "limit", "n", 0, fmt.Sprintf("at most so many rows of each part of a table, or so many sessions; 0 for all (default: %d in a table)", shownOfSimulation))
	f.StringVarP(&s.format, "format", "f", "", strings.Join(simulateFormats, ", ")+"; with --sessions table, csv, json or ndjson (default: table on a terminal, else yaml or csv)")
	f.StringVarP(&s.output, "output", "o", "", "write to this file instead of standard output")
	for name, values := range map[string][]string{"format": append(simulateFormats, "ndjson"), "decision": decisionNames, "default": {"deny", "allow"}} {
		if err := c.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
			panic("BUG: complete --" + name + ": " + err.Error())
		}
	}
	return c
}

// replayFlags are the flags that say what is replayed against what; the API takes them under the same names.
func (s *simulateFlags) replayFlags(f *pflag.FlagSet) {
	f.StringVarP(&s.policy, "policy", "p", "", "the policy to try: a file or the beginning of a proposal's id (default: the proposals in force)")
	f.StringVar(&s.against, "against", "", "the policy to compare with: a file or the beginning of a proposal's id (default: the proposals in force, if there are any)")
	f.StringSliceVar(&s.categories, "category", nil, "selected categories, in order of precedence (default: those of the proposal, else all in file order)")
	s.window.flags(f)
	f.StringVar(&s.vrf, "vrf", "", "one VRF (default: all)")
	s.scope.flags(f)
	f.StringVar(&s.end, "default", string(policy.Deny), "what is done with what no rule matches, where the policy does not say: deny or allow")
	f.StringArrayVar(&s.without, "without", nil, "take this rule out, by name or id, and compare with the whole policy (may be repeated)")
	f.BoolVar(&s.each, "each", false, "say for every rule what changes if it goes")
}

// check refuses what makes no sense, before anything is opened.
func (s *simulateFlags) check() error {
	switch {
	case s.policy == "" && len(s.from) > 0:
		return usagef("--policy is missing: with --from no stored proposal is at hand, so name a file")
	case len(s.without) > 0 && s.each:
		return usagef("--without and --each exclude each other")
	case len(s.without) > 0 && s.against != "":
		return usagef("--without compares with the whole policy, so --against makes no sense with it")
	case s.each && s.sessions:
		return usagef("--each and --sessions exclude each other: --without lists the sessions of one rule")
	case !s.sessions && len(s.decisions) > 0:
		return usagef("--decision goes with --sessions")
	case !s.sessions && s.changed:
		return usagef("--changed goes with --sessions")
	case s.limit < 0:
		return usagef("--limit %d: must not be negative", s.limit)
	case s.sessions && s.output != "":
		return usagef("--output is for the whole simulation; sessions go to standard output")
	}
	for _, d := range s.decisions {
		if err := oneOf("decision", d, decisionNames); err != nil {
			return err
		}
	}
	return oneOf("default", s.end, []string{"deny", "allow"})
}

// settings gives which sessions the flags select; the groups are yet to be found.
func (s *simulateFlags) settings() (set simulate.Settings, err error) {
	set.VRF, set.Each = s.vrf, s.each
	if set.Since, set.Until, err = s.window.times(time.Now()); err != nil {
		return set, err
	}
	set.Scope, err = s.scope.scope()
	return set, err
}

func (a *app) simulate(ctx context.Context, s *simulateFlags) error {
	if err := s.check(); err != nil {
		return err
	}
	list, err := a.simulationFormat(s)
	if err != nil {
		return err
	}
	set, err := s.settings()
	if err != nil {
		return err
	}
	var texts []*policyText
	for _, named := range [][2]string{{"policy", s.policy}, {"against", s.against}} {
		if named[1] == "" {
			continue
		}
		t, err := readPolicyText(named[0], named[1], len(s.from) > 0)
		if err != nil {
			return err
		}
		a.policyNotes(namedPolicies{{notes: t.file.notes()}})
		texts = append(texts, t)
	}
	if set.Groups, err = parseGroups(s.groups); err != nil {
		return err
	}
	st, err := a.sessionsOf(ctx, s.from)
	if err != nil {
		return err
	}
	defer st.close()
	if set.Groups, err = a.withSources(ctx, st, set.Groups, len(s.from) > 0); err != nil {
		return err
	}
	if err := a.simulationGroups(ctx, st, s, &set, texts); err != nil {
		return err
	}
	r, err := a.replayPolicies(ctx, st, s, &set, texts)
	if err != nil {
		return err
	}
	defer r.Close(ctx)
	if s.sessions {
		return a.simulatedSessions(ctx, st, s, r, list)
	}
	return a.writeSimulation(s, &r.Result)
}

// simulationGroups settles the groups where --groups does not: those that the policy carries, else those that generate-rules used last.
func (a *app) simulationGroups(ctx context.Context, st *store, s *simulateFlags, set *simulate.Settings, texts []*policyText) (err error) {
	if set.Groups == nil && s.policy != "" {
		if set.Groups, err = a.carriedGroups(ctx, st, texts[0]); err != nil {
			return err
		}
	}
	if set.Groups == nil && len(s.from) == 0 {
		set.Groups, err = storedGroups(ctx, st.Reader)
	}
	return err
}

// triedInForce gives the proposals in force as the policy to try.
func (a *app) triedInForce(ctx context.Context, st *store, s *simulateFlags, set *simulate.Settings) (*simulate.Candidate, error) {
	c, err := a.candidateInForce(ctx, st, s.vrf, replayed{set.Since, set.Until})
	if err != nil {
		return nil, err
	}
	if c == nil {
		return nil, usagef("--policy is missing, and no proposal is in force: name a file or a proposal; `cordon proposals list` shows the ids")
	}
	if set.Categories = s.categories; len(set.Categories) == 0 {
		set.Categories = c.Documents[0].Policy.Categories
	}
	return c, nil
}

// replayPolicies replays the sessions of the store against the policies, of which the first is tried.
func (a *app) replayPolicies(ctx context.Context, st *store, s *simulateFlags, set *simulate.Settings, texts []*policyText) (_ *simulate.Replay, err error) {
	var candidates []*simulate.Candidate
	if s.policy == "" {
		c, err := a.triedInForce(ctx, st, s, set)
		if err != nil {
			return nil, err
		}
		candidates = append(candidates, c)
	}
	for i, t := range texts {
		if s.policy == "" {
			i++ // the one to try is none of them
		}
		groups := set.Groups
		if s.groups == "" && i > 0 { // another proposal carries groups of its own
			carried, err := a.carriedGroups(ctx, st, t)
			if err != nil {
				return nil, err
			}
			if carried != nil {
				groups = carried
			}
		}
		c, err := a.candidate(ctx, st, t, groups, s.categories, policy.Action(s.end), replayed{set.Since, set.Until})
		if err != nil {
			return nil, err
		}
		if i == 0 {
			set.Categories = s.categories
			if len(set.Categories) == 0 {
				set.Categories = c.Documents[0].Policy.Categories
			}
		}
		candidates = append(candidates, c)
	}
	if len(candidates) == 1 && s.policy != "" && len(s.without) == 0 && len(s.from) == 0 {
		inForce, err := a.candidateInForce(ctx, st, s.vrf, replayed{set.Since, set.Until})
		if err != nil {
			return nil, err
		}
		candidates = append(candidates, inForce)
	}
	candidates = append(candidates, nil)
	if len(s.without) > 0 {
		less, err := candidates[0].Without(s.without)
		if err != nil {
			return nil, usagef("--without: %w", err)
		}
		candidates = []*simulate.Candidate{less, candidates[0]}
	}
	r, err := simulate.New(ctx, st.Conn, *set, candidates[0], candidates[1])
	if wrong, ok := errors.AsType[*simulate.ScopeError](err); ok {
		return nil, usageError(wrong)
	}
	if wrong, ok := errors.AsType[*simulate.MeaningError](err); ok {
		return nil, usagef("%w (groups are known from --groups)", wrong)
	}
	if err != nil {
		return nil, fmt.Errorf("simulate: %w", err)
	}
	r.Result.Without = s.without
	if r.Result.Summary.Sessions+r.Result.Summary.AttemptsPermitted+r.Result.Summary.AttemptsDenied+r.Result.Summary.AttemptsUncertain == 0 {
		fmt.Fprintln(a.stderr, "cordon: no session that the policy is for is in the window and scope; `cordon status` says what is stored")
	}
	return r, nil
}

// sessionsOf opens the store, or with files a temporary one with their sessions.
func (a *app) sessionsOf(ctx context.Context, from []string) (_ *store, err error) {
	readers, err := openFlowFiles(ctx, from, time.Now())
	if err != nil {
		return nil, err
	}
	st, err := a.openStore(ctx, storeNeeds{bus: len(from) > 0, temporary: len(from) > 0})
	if err != nil {
		closeAll(readers)
		return nil, err
	}
	if len(from) == 0 {
		return st, nil
	}
	rep, err := a.ingestFiles(ctx, st, from, readers)
	if err == nil && rep.bad > 0 {
		err = usagef("%d rows of the input could not be read; the first ones are named above", rep.bad)
	}
	if err != nil {
		st.close()
		return nil, err
	}
	return st, nil
}

// simulationFormat settles the format before anything is opened; of sessions it gives ClickHouse's name.
func (a *app) simulationFormat(s *simulateFlags) (list sessionList, err error) {
	if s.sessions {
		order, format, limit, err := a.listing(s.sort, &s.format, s.limit, s.limited, shownSessions)
		return sessionList{order, format, limit}, err
	}
	if s.format == "" {
		s.format = "yaml"
		if s.output == "" && isTerminal(a.stdout) {
			s.format = "table"
		}
	}
	if !slices.Contains(simulateFormats, s.format) {
		return list, usagef("unknown format %q: choose one of %s", s.format, strings.Join(simulateFormats, ", "))
	}
	return list, nil
}

// sessionList is how sessions are listed.
type sessionList struct {
	order  sessions.Sort
	format string // ClickHouse's name
	limit  int
}

func (a *app) simulatedSessions(ctx context.Context, st *store, s *simulateFlags, r *simulate.Replay, list sessionList) error {
	var decisions []policy.Decision
	for _, d := range s.decisions {
		decisions = append(decisions, policy.Decision(d))
	}
	if s.changed && r.Result.Against == "" {
		return usagef("--changed goes with --against or --without")
	}
	sql, err := r.Sessions(ctx, decisions, s.changed)
	if err != nil {
		return err
	}
	table := sessions.Table{SQL: sql, Own: []string{"decision", "rule"}, Order: "ordinal"}
	if r.Result.Against != "" {
		table.Own = append(table.Own, "before", "rule_before")
	}
	q, err := sessions.Build(sessions.Filter{Table: &table, Brief: s.format == "table"}, list.order, list.limit, nil)
	if err != nil {
		return usageError(err)
	}
	return a.copyQuery(ctx, st.Conn, q, s.format, list.format)
}

// copyQuery writes the rows of a query about sessions.
func (a *app) copyQuery(ctx context.Context, conn clickhouse.Conn, q sessions.Query, format, clickhouseFormat string) error {
	set := clickhouse.Settings{"output_format_pretty_max_rows": 1_000_000, "output_format_pretty_display_footer_column_names": 0, "max_query_size": longQuery}
	if format == "json" {
		set["output_format_json_array_of_rows"] = 1
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(q.Parameters), clickhouse.WithSettings(set))
	r, err := conn.QueryFormat(ctx, clickhouseFormat, q.SQL)
	if err != nil {
		return fmt.Errorf("sessions: %w", err)
	}
	defer r.Close()
	if _, err := io.Copy(a.stdout, r); err != nil {
		return fmt.Errorf("sessions: %w", err)
	}
	return nil
}

func (a *app) writeSimulation(s *simulateFlags, r *simulate.Result) error {
	var buf bytes.Buffer
	var err error
	switch s.format {
	case "table":
		o := simulate.TableOptions{Most: shownOfSimulation}
		if s.limited {
			o.Most = s.limit
		}
		if s.output == "" && isTerminal(a.stdout) {
			o.Width = terminalWidth(a.stdout)
		}
		err = r.WriteTable(&buf, o)
	case "yaml":
		err = r.WriteYAML(&buf)
	case "json":
		err = r.WriteJSON(&buf)
	case "csv":
		err = r.WriteCSV(&buf)
	}
	if err != nil {
		return err
	}
	if s.output != "" {
		return writeFile(s.output, buf.Bytes())
	}
	_, err = buf.WriteTo(a.stdout)
	return err
}
