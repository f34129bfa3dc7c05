package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"cordon/recommender"
	"cordon/recommender/cover"
	"cordon/recommender/policy"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const suggestHelp = `Tries every order of the categories, and of some of them, that groups the hosts in
its own way, and shows what generate-rules would propose with each:

  RULES     rules
  LITERALS  sources, destinations and services of all rules
  EXCESS    (client, server) pairs that a rule permits and that were not seen
  COVERAGE  share of the sessions that the rules permit
  HELD-OUT  rules are learned on the first part of the window (--learn); of the
            sessions after it, so many would be denied

A star marks the orders that no other beats: none is as good in all columns and
better in one. Orders that give the same groups are the same, and the shortest
stands for them. Each VRF's rules count, and what --existing permits is permitted.`

// suggestFlags are the flags of groups suggest.
type suggestFlags struct {
	generateFlags
	learn     string
	maxOrders int
	set       *pflag.FlagSet
}

var suggestFormats = []string{"table", "json", "csv"}

func (a *app) suggestCommand() *cobra.Command {
	var g suggestFlags
	c := &cobra.Command{
		Use:   "suggest",
		Short: "Compare orders of categories by the rules they lead to",
		Long:  suggestHelp,
		Example: `  cordon groups suggest --groups groups.yaml --last 168h
  cordon groups suggest --groups groups.yaml --from flows.csv.zst --category role,site,owner --format csv`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			g.set = cmd.Flags()
			return a.suggest(cmd.Context(), &g)
		},
	}
	f := c.Flags()
	g.compareFlags(f)
	f.StringVarP(&g.format, "format", "f", "table", strings.Join(suggestFormats, ", "))
	f.BoolVarP(&g.verbose, "verbose", "v", false, "say on standard error where the time went")
	completeFlags(c, suggestFormats)
	return c
}

// compareFlags are the flags that say what is compared; the API takes most of them under the same names.
func (g *suggestFlags) compareFlags(f *pflag.FlagSet) {
	f.StringSliceVar(&g.settings.Categories, "category", nil, "categories to make orders of (default: all)")
	g.sessionFlags(f)
	g.searchFlags(f, cover.EffortQuick)
	f.StringVar(&g.learn, "learn", "70%", "share of the window, from its beginning, to learn on before looking at the rest")
	f.IntVar(&g.maxOrders, "max-orders", recommender.DefaultMaxOrders, "try at most so many orders, those with few categories first")
}

// check refuses what makes no sense, and gives the share to learn on.
func (g *suggestFlags) check() (learn float64, err error) {
	if g.maxOrders < 1 {
		return 0, usagef("--max-orders %d: must be at least 1", g.maxOrders)
	}
	share, err := policy.ParseShare(g.learn)
	if err != nil || share.Whole() {
		return 0, usagef("--learn %q: use a share between 0%% and 100%%, such as 70%%", g.learn)
	}
	return share.Float(), nil
}

func (a *app) suggest(ctx context.Context, g *suggestFlags) error {
	if err := oneOf("format", g.format, suggestFormats); err != nil {
		return err
	}
	if g.groups == "" {
		return usagef("--groups: name the file with the categories to compare")
	}
	learn, err := g.check()
	if err != nil {
		return err
	}
	file, err := g.complete(time.Now())
	if err != nil {
		return err
	}
	a.memory = g.memory
	var clock stepClock
	g.settings.Observe = clock.add
	st, err := a.sessionStore(ctx, &g.generateFlags, &clock)
	if err != nil {
		return err
	}
	defer st.close()
	if file, err = a.withSources(ctx, st, file, len(g.from) > 0); err != nil {
		return err
	}
	s, err := recommender.Suggest(ctx, st.Conn, recommender.SuggestSettings{Settings: g.settings, Learn: learn, MaxOrders: g.maxOrders}, file)
	var wrong *policy.SettingsError
	if errors.As(err, &wrong) {
		return usageError(err)
	}
	if err != nil {
		return err
	}
	if len(s.List) == 0 {
		fmt.Fprintln(a.stderr, "cordon: no session in the window has an address in a group, so there is nothing to compare; `cordon status` says why there is no data")
	}
	switch g.format {
	case "json":
		e := json.NewEncoder(a.stdout)
		e.SetIndent("", "  ")
		err = e.Encode(s)
	case "csv":
		err = writeSuggestionsCSV(a.stdout, s)
	default:
		err = writeSuggestions(a.stdout, s, g.nextCommand)
	}
	if err == nil && g.verbose {
		err = clock.print(a.stderr)
	}
	return err
}

// nextCommand is the command that proposes rules with an order of categories, on the same sessions.
func (g *suggestFlags) nextCommand(categories []string) string {
	words := []string{"cordon", "generate-rules"}
	g.set.VisitAll(func(f *pflag.Flag) {
		switch f.Name {
		case "category", "learn", "max-orders", "format", "verbose", "effort", "max-memory":
			return
		}
		if !f.Changed {
			return
		}
		values := []string{f.Value.String()}
		if many, ok := f.Value.(pflag.SliceValue); ok {
			values = many.GetSlice()
		}
		for _, v := range values {
			if f.NoOptDefVal != "" {
				words = append(words, "--"+f.Name+"="+shellWord(v)) // a word of its own would be an argument
			} else {
				words = append(words, "--"+f.Name, shellWord(v))
			}
		}
	})
	return strings.Join(append(words, "--category", shellWord(strings.Join(categories, ","))), " ")
}

// shellWord quotes a word where a shell would take it apart.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-./,:=+@%", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func writeSuggestions(w io.Writer, s *recommender.Suggestions, next func([]string) string) error {
	if len(s.List) == 0 {
		return nil
	}
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "\tRULES\tLITERALS\tEXCESS\tCOVERAGE\tHELD-OUT\t  CATEGORIES")
	for i := range s.List {
		x := &s.List[i]
		mark := ""
		if x.Best {
			mark = "*"
		}
		denied := "-"
		if h := x.HeldOut; h != nil && h.Sessions > 0 {
			denied = fmt.Sprintf("%d of %d", h.Denied, h.Sessions)
		}
		fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%.2f%%\t%s\t  %s\n", mark, x.Rules, x.Literals, x.Excess, 100*x.Coverage(), denied, strings.Join(x.Categories, ","))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	format := func(t time.Time) string { return t.UTC().Format(time.DateTime) + "Z" }
	fmt.Fprintf(w, "* no other is as good in all columns and better in one\n")
	fmt.Fprintf(w, "Sessions from %s to %s. HELD-OUT: later ones that rules learned until %s would deny.\n", format(s.Window.From.Time), format(s.Window.To.Time), format(s.Cut.Time))
	orders := fmt.Sprintf("The %d orders", s.Orders)
	if s.Orders > 1<<53 {
		orders = "The orders"
	}
	more := ""
	if s.More {
		more = "more than "
	}
	fmt.Fprintf(w, "%s of %s make %s%d different groupings of the known hosts.\n", orders, strings.Join(s.Candidates, ", "), more, s.Groupings)
	if left := s.Groupings - len(s.List); left > 0 {
		fmt.Fprintf(w, "%s%d of them, with the most categories, were not tried: raise --max-orders, or choose categories with --category.\n", more, left)
	}
	best := 0
	fmt.Fprintln(w, "Next:")
	for i := range s.List {
		if s.List[i].Best {
			if best++; best > maxNext {
				break
			}
			fmt.Fprintln(w, "  "+next(s.List[i].Categories))
		}
	}
	return nil
}

// maxNext is how many commands are offered.
const maxNext = 3

func writeSuggestionsCSV(w io.Writer, s *recommender.Suggestions) error {
	c := csv.NewWriter(w)
	c.Write([]string{"categories", "rules", "lower_bound", "cells", "literals", "excess", "sessions", "included", "held_out", "held_out_denied", "best"})
	for i := range s.List {
		x := &s.List[i]
		later, denied := "", ""
		if x.HeldOut != nil {
			later, denied = fmt.Sprint(x.HeldOut.Sessions), fmt.Sprint(x.HeldOut.Denied)
		}
		c.Write([]string{strings.Join(x.Categories, ","), fmt.Sprint(x.Rules), fmt.Sprint(x.LowerBound), fmt.Sprint(x.Cells), fmt.Sprint(x.Literals), fmt.Sprint(x.Excess),
			fmt.Sprint(x.Sessions), fmt.Sprint(x.Included), later, denied, fmt.Sprint(x.Best)})
	}
	c.Flush()
	return c.Error()
}
