package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"cordon/internal/bus"
	"cordon/recommender"
	"cordon/recommender/policy"
	"cordon/recommender/simulate"
	"cordon/recommender/watch"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/spf13/cobra"
)

const watchHelp = `Says what departs from a policy, as it comes: sessions and attempts that it does not permit,
rules without traffic, and addresses that changed their group. The policy is a proposal (a file, or the beginning of a stored one's
id), a policy of kind Policy, or a running-config of Arista EOS; without --policy it is the
proposals in force, which a running ` + "`cordon up`" + ` watches by itself.

Each thing is said once, on NATS subject drift.<vrf> and on standard output, whoever says it
first, and also after a restart. What was said before is in stream DRIFT; --all prints it first. Of a proposal,
sessions with a record after its window are said; of any other policy, all that are stored. --since
says otherwise.

--webhook posts each event, in order, and tries again until it is taken. --amend makes an amended proposal,
which is published where its rules differ; unchanged rules keep id and name.

--once looks once and ends. So does the command where no ` + "`cordon up`" + ` has the data folder, since nothing
more can come.`

// watchFlags are the flags of watch.
type watchFlags struct {
	policy     string
	groups     string
	categories []string
	vrf        string
	since      string
	last       time.Duration
	zone       string
	end        string
	once, all  bool
	amend      bool
	format     string
}

func (a *app) watchCommand() *cobra.Command {
	var w watchFlags
	c := &cobra.Command{
		Use:   "watch",
		Short: "What departs from the policy in force, as it comes",
		Long:  watchHelp,
		Example: `  cordon watch                                      the proposals in force
  cordon watch --policy 3f2a --once --format json   one look at a stored proposal
  cordon watch --webhook https://hooks.example/cordon`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.watch(cmd.Context(), &w) },
	}
	d := watch.DefaultConfig()
	f := c.Flags()
	f.StringVarP(&w.policy, "policy", "p", "", "the policy to watch: a file or the beginning of a proposal's id (default: the proposals in force)")
	f.StringVarP(&w.groups, "groups", "g", "", "groups file (default: the groups that the proposal carries, else those that generate-rules used last)")
	f.StringSliceVar(&w.categories, "category", nil, "selected categories, in order of precedence (default: those of the proposal, else all in file order)")
	f.StringVar(&w.vrf, "vrf", "", "one VRF (default: all)")
	f.StringVar(&w.since, "since", "", "say sessions seen at or after this time: "+timeForms+" (default: after the window of the proposal)")
	f.Var((*span)(&w.last), "last", "say sessions seen in the last so long, such as 24h or 7d")
	f.StringVar(&w.zone, "tz", "", "time zone of times without one, such as Europe/Berlin or local (default: UTC); results are in UTC")
	f.StringVar(&w.end, "default", string(policy.Deny), "what is done with what no rule matches, where the policy does not say: deny or allow")
	f.BoolVar(&w.once, "once", false, "look once and end")
	f.BoolVar(&w.all, "all", false, "print what was said before first")
	f.BoolVar(&w.amend, "amend", false, "make an amended proposal now, and then every watch.amend_every")
	f.StringVarP(&w.format, "format", "f", "", "text or json (one object a line) (default: text on a terminal, else json)")
	f.Duration("interval", d.Interval, "pause between two looks")
	f.Var(newSpan(d.UnusedAfter), "unused-after", "how long a rule may be without traffic, such as 30d; 0 for ever")
	f.String("webhook", "", "URL to post each event to")
	a.bindOnRun(c, map[string]string{"watch.interval": "interval", "watch.unused_after": "unused-after", "watch.webhook.url": "webhook"})
	for name, values := range map[string][]string{"format": {"text", "json"}, "default": {"deny", "allow"}} {
		if err := c.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
			panic("BUG: complete --" + name + ": " + err.Error())
		}
	}
	return c
}

// newSpan is a span with a default.
func newSpan(d time.Duration) *span { return (*span)(&d) }

func (a *app) watch(ctx context.Context, w *watchFlags) error {
	cfg := a.settings.Watch
	if err := cfg.Validate(); err != nil {
		return usageError(err)
	}
	if w.format == "" {
		w.format = "json"
		if isTerminal(a.stdout) {
			w.format = "text"
		}
	}
	if err := errors.Join(oneOf("format", w.format, []string{"text", "json"}), oneOf("default", w.end, []string{"deny", "allow"})); err != nil {
		return usageError(err)
	}
	from := window{since: w.since, last: w.last, zone: w.zone}
	since, _, err := from.times(time.Now())
	if err != nil {
		return err
	}
	st, err := a.openStore(ctx, storeNeeds{bus: true})
	if err != nil {
		return err
	}
	defer st.close()
	list, err := a.watched(ctx, st, w, since)
	if err != nil {
		return err
	}
	if !w.amend {
		cfg.AmendEvery = 0
	}
	watcher, err := watch.New(cfg, watch.Deps{
		Bus: st.Bus, Conn: st.Conn, Policies: list, Log: a.log, Amend: amendProposal(st.Conn),
		Keep: func(ctx context.Context, p *policy.Proposal) error {
			return a.keep(ctx, st.Conn, st.Bus, []policy.Proposal{*p}, nil)
		},
	})
	if err != nil {
		return usageError(err)
	}
	p := &driftPrinter{app: a, format: w.format, bus: st.Bus, policies: list}
	if err := p.begin(ctx, w.all); err != nil {
		return err
	}
	if st.Own && !w.once {
		fmt.Fprintln(a.stderr, "cordon: no `cordon up` has this data folder, so nothing more can come: looking once")
	}
	if st.Own || w.once {
		return a.watchOnce(ctx, watcher, p, w)
	}
	return a.watchOn(ctx, watcher, p, w, cfg.Interval)
}

// watchOnce looks once, prints and delivers.
func (a *app) watchOnce(ctx context.Context, watcher *watch.Watcher, p *driftPrinter, w *watchFlags) error {
	err := watcher.Look(ctx)
	if err == nil && w.amend {
		err = watcher.Amend(ctx)
	}
	err = errors.Join(p.print(ctx), watchError(err))
	if undelivered := watcher.Deliver(ctx); undelivered != nil {
		if watch.Undelivered(undelivered) {
			undelivered = unreachable(fmt.Errorf("%w; the events wait in stream %s", undelivered, bus.StreamDrift))
		}
		err = errors.Join(err, undelivered)
	}
	return err
}

// watchError says what of a policy cannot be used.
func watchError(err error) error {
	if wrong, ok := errors.AsType[*simulate.MeaningError](err); ok {
		return usagef("%w (groups are known from --groups)", wrong)
	}
	if wrong, ok := errors.AsType[*simulate.ScopeError](err); ok {
		return usageError(wrong)
	}
	return err
}

// watchOn watches until the command is interrupted.
func (a *app) watchOn(ctx context.Context, watcher *watch.Watcher, p *driftPrinter, w *watchFlags, interval time.Duration) error {
	if err := watcher.Look(ctx); watchError(err) != err || ctx.Err() != nil {
		return watchError(err) // a policy that cannot be used does not get better
	}
	if w.amend {
		if err := watcher.Amend(ctx); err != nil {
			return err
		}
	}
	printed := make(chan error, 1)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		defer stop()
		for {
			if err := p.print(ctx); err != nil && ctx.Err() == nil {
				a.log.Warn("events cannot be read; trying again", "err", err)
			}
			if p.failed != nil {
				printed <- p.failed
				return
			}
			select {
			case <-ctx.Done():
				printed <- nil
				return
			case <-time.After(min(interval, time.Second)):
			}
		}
	}()
	err := watcher.Run(ctx)
	return errors.Join(err, <-printed)
}

// driftPrinter prints the events of the policies that are watched, as they come to the stream.
type driftPrinter struct {
	app      *app
	format   string
	bus      *bus.Bus
	policies func(context.Context) ([]watch.Policy, error)
	last     uint64 // sequence of the last event that was printed or passed over
	failed   error  // standard output cannot be written to
}

// begin prints what was said before, or passes over it and says so.
func (p *driftPrinter) begin(ctx context.Context, all bool) error {
	if all {
		return p.print(ctx)
	}
	ids, err := p.ids(ctx)
	if err != nil {
		return err
	}
	n := 0
	p.last, err = watch.Events(ctx, p.bus, 0, func(e *watch.Event) error {
		if ids[e.Policy] {
			n++
		}
		return nil
	})
	if n > 0 {
		fmt.Fprintf(p.app.stderr, "cordon: events said before: %d; --all prints them\n", n)
	}
	return err
}

func (p *driftPrinter) ids(ctx context.Context) (map[string]bool, error) {
	list, err := p.policies(ctx)
	out := map[string]bool{}
	for i := range list {
		out[list[i].ID] = true
	}
	return out, err
}

// print prints what has come.
func (p *driftPrinter) print(ctx context.Context) error {
	ids, err := p.ids(ctx)
	if err != nil {
		return err
	}
	p.last, err = watch.Events(ctx, p.bus, p.last, func(e *watch.Event) error {
		if !ids[e.Policy] {
			return nil
		}
		if p.format == "json" {
			p.failed = json.NewEncoder(p.app.stdout).Encode(e)
		} else {
			_, p.failed = fmt.Fprintf(p.app.stdout, "%s  %s  %s\n", e.Time.Format(time.RFC3339), e.Type, e.Text)
		}
		return p.failed
	})
	return err
}

// watched gives what lists the policies to watch.
func (a *app) watched(ctx context.Context, st *store, w *watchFlags, since time.Time) (func(context.Context) ([]watch.Policy, error), error) {
	if w.policy == "" {
		in := &proposalsInForce{conn: st.Conn, vrf: w.vrf, since: since}
		list, err := in.list(ctx)
		if err == nil && len(list) == 0 {
			return nil, usagef("no proposal is in force: name a policy with --policy, or accept a proposal with `cordon proposals accept`")
		}
		return in.list, err
	}
	list, err := a.namedPolicy(ctx, st, w, since)
	return func(context.Context) ([]watch.Policy, error) { return list, nil }, err
}

// namedPolicy gives the policy of --policy: one for each proposal of the file, else one for all its documents.
func (a *app) namedPolicy(ctx context.Context, st *store, w *watchFlags, since time.Time) ([]watch.Policy, error) {
	t, err := readPolicyText("policy", w.policy, false)
	if err != nil {
		return nil, err
	}
	proposals, err := t.proposals(ctx, a, st)
	if err != nil {
		return nil, err
	}
	given, err := readGroups(ctx, w.groups)
	if err != nil {
		return nil, err
	}
	stored, err := storedGroups(ctx, st.Conn)
	if err != nil {
		return nil, err
	}
	if given != nil {
		stored = given
	}
	if len(proposals) > 0 && given == nil && len(w.categories) == 0 {
		var out []watch.Policy
		for i := range proposals {
			if w.vrf != "" && w.vrf != proposals[i].VRF {
				continue
			}
			c, err := proposalsCandidate(shortID(proposals[i].ID), proposals[i:i+1], ownTimes, replayed{})
			if err != nil {
				return nil, err
			}
			p, err := watchedProposal(&proposals[i], c, 0, stored)
			if err != nil {
				return nil, err
			}
			p.since(since)
			out = append(out, p.Policy)
		}
		return out, nil
	}
	c, err := a.candidate(ctx, st, t, stored, w.categories, policy.Action(w.end), replayed{})
	if err != nil {
		return nil, err
	}
	p := watch.Policy{ID: candidateID(c), Name: c.Name, VRF: w.vrf, Own: -1, Groups: stored, Categories: w.categories, Candidate: c, Since: since}
	if len(p.Categories) == 0 {
		p.Categories = c.Documents[0].Policy.Categories
	}
	if len(proposals) == 1 { // several have groups of their own each
		before, err := ownGroups(&proposals[0])
		if err != nil {
			return nil, err
		}
		p.Memberships = &watch.Memberships{Before: before, Now: given}
	}
	return []watch.Policy{p}, nil
}

// amendProposal makes what amends a proposal, with the names that people gave to rules.
func amendProposal(conn clickhouse.Conn) func(context.Context, *watch.Policy) (*policy.Proposal, error) {
	return func(ctx context.Context, p *watch.Policy) (*policy.Proposal, error) {
		names, err := recommender.StoredRuleNames(ctx, conn)
		if err != nil {
			return nil, err
		}
		return recommender.Amend(ctx, conn, p.Proposal, p.Groups, names)
	}
}

// candidateID is the id of a policy that has none: a hash of its rules.
func candidateID(c *simulate.Candidate) string {
	var text strings.Builder
	for i := range c.Documents {
		p := &c.Documents[i].Policy
		fmt.Fprintf(&text, "%q %q %q %v\n", p.VRF, p.Default.IPv4, p.Default.IPv6, p.Categories)
		for j := range p.Rules {
			r := &p.Rules[j]
			fmt.Fprintf(&text, "%q %q %q %v %v %v %v\n", r.Label(j), r.Action, r.Direction, r.Sources, r.Destinations, r.Services, r.Packets)
		}
	}
	return digest(text.String())
}
