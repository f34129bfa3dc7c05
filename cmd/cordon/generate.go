package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"cordon/categories"
	"cordon/internal/bus"
	"cordon/recommender"
	"cordon/recommender/cover"
	"cordon/recommender/policy"
	"cordon/recommender/render"
	"cordon/recommender/target"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const generateHelp = `Reduces the collected sessions to cells (source group, destination group, service)
and covers them with as few allow rules as possible. Every rule shows the sessions
it rests on; sessions that are left out are listed with the reason; the proposal
says how close to minimal it is. It is stored (cordon proposals) and published on
NATS subject proposals.<vrf>. Each VRF gets a proposal of its own.

--effort says how long to look for fewer rules, and for the proof that there are
none: quick (a moment), default (some seconds), thorough (some minutes) or
exhaustive (until it is proven). It counts work, not time, so the answer is the
same on every machine. An interrupt (Ctrl-C) ends the search with the rules found
so far, and the proposal says so; a second one ends the command.

--client, --server, --host and --exporter ask for the rules of one application: only
sessions with such ends, or that such exporters saw, are looked at. group:NAME is
every address that the groups file puts into the group.

Without --groups every host stands for itself. With --from the sessions come from
files: no running server is needed, nothing is stored or published and nothing is
left behind.`

// generateFlags are the flags of generate-rules.
type generateFlags struct {
	groups     string
	from       []string
	window     window
	scope      scopeFlags
	settings   recommender.Settings
	existing   []string
	guardrails []string
	inForce    namedPolicies // policies of existing
	guarding   namedPolicies // policies of guardrails
	names      string
	effort     string
	maxMemory  string
	memory     memoryBound // maxMemory, once it is read
	format     string
	output     string
	target     targetFlags
	verbose    bool
}

func (a *app) generateCommand() *cobra.Command {
	var g generateFlags
	c := &cobra.Command{
		Use:   "generate-rules",
		Short: "A policy proposal from the collected sessions",
		Long:  generateHelp,
		Example: `  cordon generate-rules --groups groups.yaml
  cordon generate-rules --groups groups.yaml --category role,infra --last 168h --format yaml --output proposal.yaml
  cordon generate-rules --from flows.csv.zst --groups groups.yaml
  cordon generate-rules --groups groups.yaml --host group:payments     rules for one application
  cordon generate-rules --groups groups.yaml --coverage 99%
  cordon generate-rules --groups groups.yaml --effort thorough --max-memory 4GiB`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.generate(cmd.Context(), &g) },
	}
	f := c.Flags()
	g.proposalFlags(f)
	f.StringVar(&g.names, "names", "", namesUsage)
	f.StringVarP(&g.format, "format", "f", "", strings.Join(render.Names(), ", ")+" (default: table on a terminal, else yaml)")
	f.StringVarP(&g.output, "output", "o", "", "write to this file instead of standard output")
	g.target.flags(f)
	f.BoolVarP(&g.verbose, "verbose", "v", false, "say on standard error where the time went")
	completeFlags(c, render.Names())
	return c
}

// proposalFlags are the flags that say what the proposal is; the API takes most of them under the same names.
func (g *generateFlags) proposalFlags(f *pflag.FlagSet) {
	f.StringSliceVar(&g.settings.Categories, "category", nil, "selected categories, in order of precedence (default: all, in file order)")
	g.sessionFlags(f)
	optionFlags(f, &g.settings.Settings, coveringOption)
	f.BoolVar(&g.settings.ScaleSampled, "scale-sampled", false, "multiply the bytes of evidence by the sampling they were taken with")
	g.searchFlags(f, cover.EffortDefault)
	f.StringVar(&g.settings.NameTemplate, "name-template", "", "Go template for rule names, of .Source, .Destination, .Service (docs/proposal.md) (default "+fmt.Sprintf("%q", recommender.DefaultNameTemplate)+")")
}

// sessionFlags are the flags that say which sessions to look at, what stands for
// them, and what may be proposed.
func (g *generateFlags) sessionFlags(f *pflag.FlagSet) {
	f.StringVarP(&g.groups, "groups", "g", "", "groups file, YAML or CSV")
	f.StringArrayVar(&g.from, "from", nil, "take the sessions from this file (may be repeated)")
	g.window.flags(f)
	f.StringVar(&g.settings.VRF, "vrf", "", "one VRF (default: all, a proposal each)")
	g.scope.flags(f)
	optionFlags(f, &g.settings.Settings, countingOption)
	f.StringArrayVar(&g.existing, "existing", nil, "policy in force, a file or the beginning of a proposal's id; what it permits is not proposed again (may be repeated; default: the accepted proposals)")
	f.StringArrayVar(&g.guardrails, "guardrails", nil, "policy of what must never be proposed (may be repeated)")
}

// searchFlags are the flags that say how to look for few rules.
func (g *generateFlags) searchFlags(f *pflag.FlagSet, effort cover.Effort) {
	f.StringVar(&g.effort, "effort", effort.String(), "how long to look for fewer rules: quick, default, thorough or exhaustive")
	f.StringVar(&g.maxMemory, "max-memory", "", "what the process may take, ClickHouse included where the command runs it, as 2GiB (default: no bound, but 1GiB for the search)")
}

// completeFlags offers the values of searchFlags and --format in the shell.
func completeFlags(c *cobra.Command, formats []string) {
	for name, values := range map[string][]string{"effort": cover.EffortNames(), "format": formats} {
		if c.Flags().Lookup(name) == nil {
			continue // a command may have some of them
		}
		if err := c.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
			panic("BUG: complete --" + name + ": " + err.Error())
		}
	}
}

func (a *app) generate(ctx context.Context, g *generateFlags) error {
	out, err := a.proposalFormat(g.format, g.output)
	if err != nil {
		return err
	}
	opts, err := g.target.options(out, g.output)
	if err != nil {
		return err
	}
	file, err := g.complete(time.Now())
	if err != nil {
		return err
	}
	a.memory = g.memory
	a.policyNotes(slices.Concat(g.inForce, g.guarding))
	var clock stepClock
	g.settings.Observe = clock.add

	ctx, search := a.searchUntilInterrupted(ctx)
	defer search.end()
	g.settings.Interrupt, g.settings.Progress = search.interrupt, search.progress

	proposals, file, err := a.proposals(ctx, g, file, &clock)
	if err != nil {
		return a.memory.explain(err)
	}
	if len(proposals) == 0 {
		fmt.Fprintln(a.stderr, "cordon: "+nothingToPropose(g))
	}
	if err := a.writeProposals(out, g.output, proposals, file, opts); err != nil {
		return err
	}
	if g.verbose {
		return clock.print(a.stderr)
	}
	return nil
}

// complete reads the files that the flags name and turns the flags into
// settings.
func (g *generateFlags) complete(now time.Time) (*categories.File, error) {
	s := &g.settings
	var err error
	if err = g.window.settings(now, &s.Settings); err != nil {
		return nil, err
	}
	if s.Scope, err = g.scope.scope(); err != nil {
		return nil, err
	}
	s.Settings = s.Filled()
	if err := s.Check(); err != nil {
		return nil, usageError(err)
	}
	if s.Effort, err = cover.ParseEffort(g.effort); err != nil {
		return nil, usagef("--effort: %w", err)
	}
	if g.memory, err = parseMemory(g.maxMemory); err != nil {
		return nil, err
	}
	s.MaxMemory = g.memory.search()
	if s.RuleNames, err = readRuleNames(g.names); err != nil {
		return nil, err
	}
	if g.inForce, g.guarding, err = readInForce(g.existing, g.guardrails, g.from); err != nil {
		return nil, err
	}
	s.Guardrails = g.guarding.list()
	return parseGroups(g.groups)
}

// nothingToPropose says why there is no proposal, and who knows more.
func nothingToPropose(g *generateFlags) string {
	what := "no sessions in the window"
	if g.settings.VRF != "" {
		what += fmt.Sprintf(" in VRF %q", g.settings.VRF)
	}
	if !g.settings.Scope.Empty() {
		what += " with " + g.settings.Scope.String()
	}
	what += ", so nothing to propose"
	if len(g.from) == 0 {
		what += "; `cordon status` says why there is no data"
	}
	return what
}

// sessionStore opens the store that the flags ask for, and takes the policies in force from it.
func (a *app) sessionStore(ctx context.Context, g *generateFlags, clock *stepClock) (*store, error) {
	st, err := a.openSessions(ctx, g.from, time.Now(), true, clock.add)
	if err != nil {
		return nil, err
	}
	if g.settings.Existing, err = a.storedPolicies(ctx, st, g.inForce); err != nil {
		st.close()
		return nil, err
	}
	if len(g.existing) == 0 && len(g.from) == 0 {
		if g.settings.Existing, err = a.inForce(ctx, st, g.settings.VRF); err != nil {
			st.close()
			return nil, err
		}
	}
	return st, nil
}

// proposals opens the store that the flags ask for, computes, stores and
// publishes. It gives the file with the groups of its sources.
func (a *app) proposals(ctx context.Context, g *generateFlags, file *categories.File, clock *stepClock) ([]policy.Proposal, *categories.File, error) {
	st, err := a.sessionStore(ctx, g, clock)
	if err != nil {
		return nil, nil, err
	}
	defer st.close()
	if file, err = a.withSources(ctx, st, file, len(g.from) > 0); err != nil {
		return nil, nil, err
	}
	if len(g.from) == 0 {
		if g.settings.RuleNames, err = storedRuleNames(ctx, st, g.settings.RuleNames); err != nil {
			return nil, nil, err
		}
	}
	proposals, err := recommender.Generate(ctx, st.Conn, g.settings, file)
	var wrong *policy.SettingsError
	if errors.As(err, &wrong) {
		return nil, nil, usageError(err)
	}
	if err != nil || len(g.from) > 0 {
		return proposals, file, err
	}
	return proposals, file, a.keep(ctx, st.Conn, st.Bus, proposals, file)
}

// keep stores proposals and publishes them.
func (a *app) keep(ctx context.Context, conn driver.Conn, to *bus.Bus, proposals []policy.Proposal, file *categories.File) error {
	if err := recommender.Store(ctx, conn, proposals, file); err != nil {
		return fmt.Errorf("store the proposal: %w", err)
	}
	for i := range proposals {
		p := &proposals[i]
		err := to.PublishProposal(ctx, p.VRF, p.ID, p.JSON())
		if errors.Is(err, bus.ErrTooLarge) {
			fmt.Fprintf(a.stderr, "cordon: %v; its head was published instead, `cordon proposals show %s` has all of it\n", err, p.ID)
			err = to.PublishProposal(ctx, p.VRF, p.ID, p.Head())
		}
		if err != nil {
			return unreachable(err)
		}
	}
	return nil
}

// proposalFormat settles the output format before anything is computed.
func (a *app) proposalFormat(format, output string) (string, error) {
	if format == "" {
		if output == "" && isTerminal(a.stdout) {
			return "table", nil
		}
		return "yaml", nil
	}
	return format, usageError(render.Check(format))
}

// writeProposals writes the documents, several one after another, to standard
// output or, complete or not at all, to a file.
func (a *app) writeProposals(format, output string, proposals []policy.Proposal, groups *categories.File, o target.Options) error {
	if groups == nil && len(proposals) == 1 && proposals[0].GroupsFile != "" {
		var err error
		if groups, err = proposals[0].CarriedFile(); err != nil {
			return usagef("proposal %s: %w", shortID(proposals[0].ID), err)
		}
	}
	if t, ok := target.Find(format); ok {
		out, err := render.Target(t, proposals, groups, o)
		if err != nil {
			return usageError(err)
		}
		return a.writeTarget(t, out, output)
	}
	opts := render.Options{Groups: groups}
	if output == "" && isTerminal(a.stdout) {
		opts.Color = true
		opts.Width = terminalWidth(a.stdout)
	}
	write := func(w io.Writer) error { return render.Write(w, format, proposals, opts) }
	if output == "" {
		return write(a.stdout)
	}
	return writeFileBy(output, write)
}

// stepClock gathers where the time of a run goes.
type stepClock struct{ steps []recommender.Step }

func (c *stepClock) add(s recommender.Step) { c.steps = append(c.steps, s) }

// print shows the steps, and how they divide between ClickHouse and Go.
func (c *stepClock) print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "STEP\tWHERE\tTIME\tROWS")
	var server, here time.Duration
	for _, s := range c.steps {
		where := "Go"
		if s.Server {
			where = "ClickHouse"
			server += s.Took
		} else {
			here += s.Took
		}
		rows := ""
		if s.Rows > 0 {
			rows = fmt.Sprint(s.Rows)
		}
		fmt.Fprintf(tw, "%s\t%s\t%v\t%s\n", strings.TrimSpace(s.Name), where, s.Took.Round(100*time.Microsecond), rows)
	}
	fmt.Fprintf(tw, "total\tClickHouse\t%v\t\ntotal\tGo\t%v\t\n", server.Round(100*time.Microsecond), here.Round(100*time.Microsecond))
	return tw.Flush()
}
