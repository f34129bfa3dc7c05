package main

import (
	"time"

	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"cordon/categories"
	"cordon/internal/text"
	"cordon/recommender"
	"cordon/recommender/cover"
	"cordon/recommender/policy"
	"cordon/recommender/target"
	"cordon/recommender/target/eos"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

const policyDiffHelp = `Compares a policy that is running with one that is to come. Each is a policy of kind
Policy, a proposal, or a running-config of Arista EOS.

First by meaning: what becomes permitted (+) and what no longer is (-), by which rules,
answers included. With --from, how many sessions of those files that concerns, and which
rules of the running policy decide none of them, or permit more than was seen.

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
	lines                  bool
	target                 targetFlags
}

func (a *app) policyDiffCommand() *cobra.Command {
	var f policyDiffFlags
	c := &cobra.Command{
		Use:   "diff RUNNING NEW",
		Short: "What changes from one policy to another, by meaning and by configuration line",
		Long:  policyDiffHelp,
		Example: `  cordon policy diff switch.cfg proposal.yaml --groups groups.yaml
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

// removable is a rule of the running policy that can go.
type removable struct {
	policy.InForce
	VRF   string `json:"vrf,omitempty"`
	Lines int    `json:"linesSaved"`
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
	}
	opts, err := f.target.options("eos", f.output)
	if err != nil {
		return err
	}
	limits, err := readLimits(f.limits)
	if err != nil {
		return err
	}
	if opts.Groups, err = readGroupsAt(f.groups, time.Time{}); err != nil {
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
	if len(f.from) > 0 {
		if err := a.countSessions(cmd.Context(), change, sides[0].policies, opts.Groups, f); err != nil {
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
	out.Removable = append(out.Removable, removables(documents[0], out.runningPrices, o.Groups)...)
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

// maxAudited is how many rules are compared with one another.
const maxAudited = 2000

// removables lists the rules of a running policy that others make needless, with the lines that they take.
func removables(documents []target.Document, prices []eos.Price, groups *categories.File) (out []removable) {
	if groups == nil {
		groups = &categories.File{}
	}
	addresses, err := policy.NewAddresses(groups, nil)
	if err != nil {
		return nil
	}
	for i := range documents {
		d := &documents[i]
		statements, _, err := d.Sessions(false)
		if err != nil || len(statements) != len(d.Rules) || len(statements) > maxAudited {
			continue // a rule in several parts, of which some may go, or too many rules
		}
		var rules []policy.AuditRule
		for j := range statements {
			rules = append(rules, policy.AuditRule{StatementRule: statements[j], Label: statements[j].Label(j)})
		}
		for _, found := range addresses.Audit(rules, nil, nil) {
			if found.Finding != policy.Redundant && found.Finding != policy.Shadowed {
				continue
			}
			out = append(out, newRemovable(found, &d.Policy, prices))
		}
	}
	return out
}

// newRemovable gives a finding with the lines that its rule takes.
func newRemovable(found policy.InForce, of *policy.Policy, prices []eos.Price) removable {
	r := removable{InForce: found, VRF: of.VRF}
	for _, p := range prices {
		if p.Rule == found.Rule && (p.Policy == of.Name || of.Name == "") {
			r.Lines += p.Lines
		}
	}
	return r
}

// audited are the findings that policy diff tells, in its order.
var audited = []policy.Audited{policy.Redundant, policy.Shadowed, policy.Unused, policy.WiderThanSeen}

// bySessions replaces what can go by what the sessions of a store say of each rule of the running policies: besides those
// that others make needless, rules under which nothing was seen, and rules that permit more than was seen. A policy of
// every VRF is judged by the sessions of all.
func (c *policyChange) bySessions(ctx context.Context, conn driver.Conn, running []policy.Policy, groups *categories.File, selected []string) error {
	proposals, err := recommender.Generate(ctx, conn, recommender.Settings{Existing: running, Categories: selected, Effort: cover.EffortQuick}, groups)
	if err != nil {
		return err
	}
	out := []removable{}
	for i := range running {
		d := &running[i]
		known := map[string]bool{} // names of the rules of this policy
		for j := range d.Rules {
			known[d.Rules[j].Label(j)] = true
		}
		found := map[string]int{}
		judged := 0
		for j := range proposals {
			if d.VRF == "" || d.VRF == proposals[j].VRF {
				judged++
				for _, x := range proposals[j].Existing {
					found[x.Rule+" "+string(x.Finding)]++
				}
			}
		}
		for j := range proposals {
			if d.VRF != "" && d.VRF != proposals[j].VRF {
				continue
			}
			for _, x := range proposals[j].Existing {
				if slices.Contains(audited, x.Finding) && known[x.Rule] && found[x.Rule+" "+string(x.Finding)] == judged {
					out = append(out, newRemovable(x, d, c.runningPrices))
				}
			}
			break
		}
	}
	slices.SortStableFunc(out, func(a, b removable) int { return slices.Index(audited, a.Finding) - slices.Index(audited, b.Finding) })
	c.Removable = out
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

// print writes a finding for people.
func (r *removable) print(w io.Writer) {
	switch by := slices.Concat(r.By, r.ByProposed); {
	case r.Finding == policy.WiderThanSeen && r.Beyond != nil:
		fmt.Fprintf(w, "could be narrower: %s permits %d pairs and %s, and %d pairs and %s were seen; %s\n", r.Rule, r.Beyond.PermittedPairs,
			text.Count(r.Beyond.PermittedPorts, "port"), r.Beyond.ObservedPairs, text.Count(r.Beyond.ObservedPorts, "port"), text.Count(r.Lines, "line"))
	case r.Finding == policy.Unused:
		fmt.Fprintf(w, "can go: %s decides no session that was seen; %s\n", r.Rule, text.Count(r.Lines, "line"))
	default:
		fmt.Fprintf(w, "can go: %s is %s by %s; %s\n", r.Rule, r.Finding, strings.Join(by, ", "), text.Count(r.Lines, "line"))
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

// countSessions counts the sessions of files under what changes, and judges the rules of the running policies by them.
func (a *app) countSessions(ctx context.Context, c *policyChange, running []policy.Policy, groups *categories.File, f *policyDiffFlags) error {
	st, err := a.sessionStore(ctx, &generateFlags{from: f.from}, &stepClock{})
	if err != nil {
		return err
	}
	defer st.close()
	if err := c.bySessions(ctx, st.Conn, running, groups, f.categories); err != nil {
		return err
	}
	rows, err := st.Conn.Query(ctx, "SELECT vrf, toString(client), toString(server), proto, port, icmp_type FROM sessions WHERE complete > 0")
	if err != nil {
		return err
	}
	defer rows.Close()
	all := []*[]policy.Shift{&c.Gained, &c.Lost}
	for _, list := range all {
		for i := range *list {
			(*list)[i].Sessions = new(uint64)
		}
	}
	for rows.Next() {
		var vrf, from, to string
		var proto, icmpType uint8
		var port uint16
		if err := rows.Scan(&vrf, &from, &to, &proto, &port, &icmpType); err != nil {
			return err
		}
		client, err := netip.ParseAddr(from)
		if err != nil {
			return err
		}
		server, err := netip.ParseAddr(to)
		if err != nil {
			return err
		}
		service := categories.NewService(proto, port, icmpType)
		for _, list := range all {
			for i := range *list {
				if s := &(*list)[i]; (s.VRF == "" || s.VRF == vrf) && s.Holds(client, server, service) {
					*s.Sessions++
				}
			}
		}
	}
	return rows.Err()
}
