package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"cordon/internal/text"
	"cordon/recommender"
	"cordon/recommender/cover"
	"cordon/recommender/policy"
	"cordon/recommender/target"
	"cordon/recommender/target/eos"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

const policyDiffHelp = `Compares a policy that is running with one that is to come. Each is a policy of kind
Policy, a proposal, or a running-config of Arista EOS.

First by meaning: what becomes permitted (+) and what no longer is (-), by which rules,
answers included. With --sessions or --from, how many of the collected sessions, or of those
files, that concerns, and which rules of the running policy decide none of them, or permit
more than was seen.

Then as configuration of EOS: how many lines are added and removed, what to type on the
device, and what to type to undo it. Only policies that are bound in a VRF are touched,
and what else the section holds stays. --session prints nothing but what to type, in a
configuration session that undoes itself unless it is confirmed in time.

Last what the new policy costs, rule by rule, and what a person should look at. The
entries of the hardware are an upper bound. --limits names a file with what the device
has room for; a limit that is exceeded is an error.`

// policyDiffFlags are the flags of policy diff.
type policyDiffFlags struct {
	groups, format, output string
	categories, from       []string
	session, timer, limits string
	lines, collected       bool
	window                 window
	target                 targetFlags
}

func (a *app) policyDiffCommand() *cobra.Command {
	var f policyDiffFlags
	c := &cobra.Command{
		Use:   "diff RUNNING NEW",
		Short: "What changes from one policy to another, by meaning and by configuration line",
		Long:  policyDiffHelp,
		Example: `  cordon policy diff switch.cfg proposal.yaml --groups groups.yaml
  cordon policy diff switch.cfg proposal.yaml --groups groups.yaml --sessions --last 30d
  cordon policy diff switch.cfg proposal.yaml --groups groups.yaml --session cordon > commands.txt`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usagef("%s takes two files, got %d", cmd.CommandPath(), len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.policyDiff(cmd, args[0], args[1], &f) },
	}
	f.flags(c.Flags())
	if err := c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic("BUG: complete --format: " + err.Error())
	}
	return c
}

func (f *policyDiffFlags) flags(fs *pflag.FlagSet) {
	fs.StringVarP(&f.groups, "groups", "g", "", "groups file, where a policy names groups")
	fs.StringSliceVar(&f.categories, "category", nil, "selected categories of the groups file, in order of precedence (default: those of a proposal, else all)")
	fs.StringArrayVar(&f.from, "from", nil, "count the sessions of this file that are concerned, and judge the running rules by them (may be repeated)")
	fs.BoolVar(&f.collected, "sessions", false, "count the collected sessions that are concerned, and judge the running rules by them")
	f.window.flags(fs)
	fs.StringVarP(&f.format, "format", "f", "text", "text or json")
	fs.StringVarP(&f.output, "output", "o", "", "write to this file instead of standard output")
	fs.BoolVar(&f.lines, "lines", false, "show the lines that are added and removed, too")
	fs.StringVar(&f.session, "session", "", "print what to type on the device, in a configuration session of this name")
	fs.StringVar(&f.timer, "commit-timer", "00:05:00", "with --session: how long there is to confirm it")
	fs.StringVar(&f.limits, "limits", "", "YAML file with what the device has room for (docs/targets.md)")
	f.target.flags(fs)
}

// policyChange is the document of policy diff.
type policyChange struct {
	Gained []policy.Shift `json:"gained"`
	Lost   []policy.Shift `json:"lost"`
	// TooMany says that the policies were not compared by meaning, and why.
	TooMany      string        `json:"notCompared,omitempty"`
	LinesAdded   int           `json:"linesAdded"`
	LinesRemoved int           `json:"linesRemoved"`
	Commands     []string      `json:"commands"`
	Undo         []string      `json:"undo"`
	Prices       []eos.Price   `json:"prices"`
	Findings     []eos.Finding `json:"findings"`
	Removable    []removable   `json:"removable"`

	lines         []text.Edit
	runningPrices []eos.Price
}

var (
	sessionName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,63}$`)
	timerText   = regexp.MustCompile(`^\d\d:[0-5]\d:[0-5]\d$`)
)

func (a *app) policyDiff(cmd *cobra.Command, running, next string, f *policyDiffFlags) error {
	switch {
	case f.format != "text" && f.format != "json":
		return usagef("--format %q: use text or json", f.format)
	case f.session != "" && !sessionName.MatchString(f.session):
		return usagef("--session %q: a name has letters, digits, _, - and .", f.session)
	case !timerText.MatchString(f.timer):
		return usagef("--commit-timer %q: a time looks like 00:05:00", f.timer)
	case f.collected && len(f.from) > 0:
		return usagef("--sessions and --from exclude each other")
	case !f.collected && len(f.from) == 0 && f.window != (window{}):
		return usagef("--since, --until, --last and --tz go with --sessions or --from")
	}
	settings := recommender.Settings{Effort: cover.EffortQuick, WithoutReadiness: true}
	if err := f.window.settings(time.Now(), &settings.Settings); err != nil {
		return err
	}
	opts, err := f.target.options("eos", f.output)
	if err != nil {
		return err
	}
	limits, err := readLimits(f.limits)
	if err != nil {
		return err
	}
	if opts.Groups, err = readGroupsAt(cmd.Context(), f.groups, time.Time{}); err != nil {
		return err
	}
	var sides [2]policyFile
	for i, name := range []string{running, next} {
		if sides[i], err = readPolicyFile(name); err != nil {
			return usageError(err)
		}
		a.policyNotes(namedPolicies{{notes: sides[i].notes()}})
	}
	change, err := a.compare(&sides, f, opts, limits)
	if err != nil {
		return err
	}
	if f.collected || len(f.from) > 0 {
		settings.Existing, settings.Categories = sides[0].policies, f.categories
		if err := a.countSessions(cmd.Context(), change, settings, f); err != nil {
			return err
		}
	}
	var out bytes.Buffer
	switch {
	case f.session != "":
		commands := change.Commands
		if len(commands) > 0 {
			commands = eos.Session(f.session, f.timer, commands)
		}
		for _, l := range commands {
			fmt.Fprintln(&out, l)
		}
	case f.format == "json":
		e := json.NewEncoder(&out)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		err = e.Encode(change)
	default:
		change.print(&out, f.lines)
	}
	if err != nil {
		return err
	}
	return a.writeOutput(f.output, out.Bytes())
}

// compare does what needs no sessions.
func (a *app) compare(sides *[2]policyFile, f *policyDiffFlags, o target.Options, l *limits) (*policyChange, error) {
	out := &policyChange{Gained: []policy.Shift{}, Lost: []policy.Shift{}, Commands: []string{}, Undo: []string{}, Prices: []eos.Price{}, Findings: []eos.Finding{}, Removable: []removable{}}
	var documents [2][]target.Document
	for i := range sides {
		var err error
		if documents[i], err = targetDocuments(sides[i].policies, o.Groups, f.categories); err != nil {
			return nil, err
		}
	}
	if err := a.compareMeaning(documents, out); err != nil {
		return nil, err
	}
	var configs [2]*eos.Config
	for i := range sides {
		var err error
		if configs[i], err = a.asConfig(sides, i, documents, configs[0], o); err != nil {
			return nil, err
		}
	}
	out.lines = text.Diff(configs[0].Lines(), configs[1].Lines())
	out.LinesAdded, out.LinesRemoved = text.Changed(out.lines)
	out.Commands = append(out.Commands, configs[0].Commands(configs[1])...)
	out.Undo = append(out.Undo, configs[1].Commands(configs[0])...)
	out.Prices = append(out.Prices, configs[1].Prices()...)
	if err := l.check(out.Prices); err != nil {
		return nil, err
	}
	lint := eos.LintOptions{}
	if l != nil {
		lint.Features = l.Features
	}
	if f.target.version != "" {
		lint.Except = &o.EOS.Except
	}
	out.Findings = append(out.Findings, configs[1].Lint(lint)...)
	out.runningPrices = configs[0].Prices()
	out.Removable = append(out.Removable, withoutTwins(removables(documents[0], out.runningPrices, o.Groups))...)
	return out, nil
}

// asConfig gives one side as a configuration of EOS. What is written has the names that the running policy of its VRF has.
func (a *app) asConfig(sides *[2]policyFile, i int, documents [2][]target.Document, running *eos.Config, o target.Options) (*eos.Config, error) {
	if sides[i].config != nil {
		return sides[i].config, nil
	}
	if i == 1 {
		for j := range documents[1] {
			d := &documents[1][j]
			for _, r := range sides[0].policies {
				if d.Name == "" && (r.VRF == d.VRF || len(sides[0].policies) == 1) {
					d.Name = r.Name
				}
			}
		}
	}
	t, _ := target.Find("eos")
	written, err := t.Write(documents[i], o)
	if target.Refused(err) && o.Groups == nil && namesGroups(sides[i].policies) {
		return nil, usagef("%s: %w (groups are known from --groups)", sides[i].path, err)
	}
	if err != nil {
		return nil, usageError(err)
	}
	for _, note := range written.Gaps {
		fmt.Fprintf(a.stderr, "cordon: %s: %s\n", sides[i].path, note)
	}
	c, err := eos.Parse(sides[i].path, written.Files[0].Data)
	if err != nil || running == nil || sides[0].config == nil {
		return c, err
	}
	c, err = c.Keep(running)
	return c, usageError(err)
}

// compareMeaning compares the policies of each VRF.
func (a *app) compareMeaning(documents [2][]target.Document, out *policyChange) error {
	var vrfs []string
	for _, list := range documents {
		for i := range list {
			if !slices.Contains(vrfs, list[i].VRF) {
				vrfs = append(vrfs, list[i].VRF)
			}
		}
	}
	slices.Sort(vrfs)
	if len(documents[0]) == 1 && len(documents[1]) == 1 {
		vrfs = vrfs[:1] // there is nothing to mix up
	}
	for _, vrf := range vrfs {
		var sides [2]policy.Ordered
		for i, list := range documents {
			sides[i] = policy.Ordered{Policy: policy.Policy{VRF: vrf}, Set: policy.IPSet}
			for j := range list {
				if d := &list[j]; d.VRF == vrf || len(vrfs) == 1 {
					sides[i] = policy.Ordered{Policy: d.Policy, Set: d.Set, Proposed: d.Proposed}
				}
			}
		}
		gained, lost, err := policy.OrderedDiff(&sides[0], &sides[1])
		if errors.Is(err, policy.ErrTooManyParts) {
			out.TooMany = err.Error()
			continue
		}
		if err != nil {
			return usagef("%w (groups are known from --groups)", err)
		}
		out.Gained, out.Lost = append(out.Gained, gained...), append(out.Lost, lost...)
	}
	return nil
}

// print writes the change for people.
func (c *policyChange) print(w io.Writer, lines bool) {
	for _, side := range []struct {
		sign, was string
		list      []policy.Shift
	}{{"+", "now", c.Gained}, {"-", "now", c.Lost}} {
		for i := range side.list {
			s := &side.list[i]
			fmt.Fprintf(w, "%s %s -> %s %s", side.sign, text.List(stringsOf(s.Sources), 5), text.List(stringsOf(s.Destinations), 5), text.List(stringsOf(s.Services), 5))
			by := "no rule permits it"
			switch {
			case s.Uncertain:
				by = s.By + " cannot be judged"
			case s.By != "":
				by = s.By + " denies it"
			}
			if side.sign == "+" {
				fmt.Fprintf(w, "  (by %s; so far %s", s.Rule, by)
			} else {
				fmt.Fprintf(w, "  (so far by %s; now %s", s.Rule, by)
			}
			fmt.Fprintf(w, "; such as %s -> %s %s", s.Example.Source, s.Example.Destination, s.Example.Service)
			if s.Sessions != nil {
				fmt.Fprintf(w, "; %s seen", text.Count(*s.Sessions, "session"))
			}
			fmt.Fprintln(w, ")")
		}
	}
	if c.TooMany != "" {
		fmt.Fprintf(w, "Not compared by meaning: %s.\n", c.TooMany)
	} else {
		fmt.Fprintf(w, "%s gained, %d lost.\n", text.Count(len(c.Gained), "permission"), len(c.Lost))
	}
	fmt.Fprintf(w, "Configuration: %s added, %d removed.\n", text.Count(c.LinesAdded, "line"), c.LinesRemoved)
	if lines {
		for _, e := range c.lines {
			if e.Kind != 0 {
				fmt.Fprintf(w, "%s%s\n", map[int]string{-1: "-", 1: "+"}[e.Kind], e.Line)
			}
		}
	}
	for _, part := range []struct {
		title string
		lines []string
	}{{"To type on the device", c.Commands}, {"To undo it", c.Undo}} {
		if len(part.lines) > 0 {
			fmt.Fprintf(w, "\n%s:\n\n%s\n", part.title, strings.Join(part.lines, "\n"))
		}
	}
	c.printPrices(w)
}

func (c *policyChange) printPrices(w io.Writer) {
	if len(c.Prices) > 0 {
		total := total(c.Prices)
		rows := [][]string{{"RULE", "MATCHES", "LINES", "SET ENTRIES", "EXPANDED AT MOST"}}
		for _, p := range append(slices.Clone(c.Prices), total) {
			rows = append(rows, []string{p.Rule, fmt.Sprint(p.Matches), fmt.Sprint(p.Lines), fmt.Sprint(p.SetEntries), fmt.Sprint(p.Expanded)})
		}
		fmt.Fprintln(w)
		_ = text.Table(w, rows, 0)
	}
	for i := range c.Removable {
		r := &c.Removable[i]
		r.print(w)
	}
	for _, f := range c.Findings {
		fmt.Fprintf(w, "%s: %s\n", f.Kind, f.Message)
	}
}

func total(prices []eos.Price) (sum eos.Price) {
	sum.Rule = "all"
	for _, p := range prices {
		sum.Matches, sum.Lines, sum.SetEntries, sum.Expanded = sum.Matches+p.Matches, sum.Lines+p.Lines, sum.SetEntries+p.SetEntries, sum.Expanded+p.Expanded
	}
	return sum
}

// limits are what a device has room for, by its owner's word. Zero is no limit.
type limits struct {
	Platform        string   `yaml:"platform"`
	Matches         int      `yaml:"matches"`
	Lines           int      `yaml:"lines"`
	SetEntries      int      `yaml:"setEntries"`
	ExpandedEntries int64    `yaml:"expandedEntries"`
	Features        []string `yaml:"features"`
}

func readLimits(name string) (*limits, error) {
	if name == "" {
		return nil, nil
	}
	data, err := policy.ReadLimited(name)
	if err != nil {
		return nil, usageError(err)
	}
	var l limits
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(&l); err != nil {
		return nil, usagef("%s: %s", name, strings.Join(strings.Fields(err.Error()), " "))
	}
	return &l, nil
}

// check fails where a limit is exceeded.
func (l *limits) check(prices []eos.Price) error {
	if l == nil {
		return nil
	}
	sum := total(prices)
	name := l.Platform
	if name == "" {
		name = "the device"
	}
	for _, x := range []struct {
		what       string
		has, limit int64
	}{{"matches", int64(sum.Matches), int64(l.Matches)}, {"lines of matches", int64(sum.Lines), int64(l.Lines)},
		{"entries of field-sets", int64(sum.SetEntries), int64(l.SetEntries)}, {"expanded entries at most", sum.Expanded, l.ExpandedEntries}} {
		if x.limit > 0 && x.has > x.limit {
			worst := slices.MaxFunc(prices, func(a, b eos.Price) int { return int(min(max(a.Expanded-b.Expanded, -1), 1)) })
			return usagef("the new policy has %d %s, and %s has room for %d by the limits file; the largest rule is %s", x.has, x.what, name, x.limit, worst.Rule)
		}
	}
	return nil
}

func stringsOf[T fmt.Stringer](list []T) (out []string) {
	for _, x := range list {
		out = append(out, x.String())
	}
	return out
}
