package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"cordon/internal/text"
	"cordon/recommender"
	"cordon/recommender/cover"
	"cordon/recommender/policy"
	"cordon/recommender/simulate"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

const readinessHelp = `Answers how long to collect before rules are enforced. It shows what a policy learned until
a moment would have denied of the sessions after it (backtest), how many cells were new on each
day, and which groups are still learning. It bounds what would be denied in the next third of
the time learned, if nothing new is introduced; where that cannot be had, it says why.

The flags that select sessions and say what is proposed are those of generate-rules, and they
matter: give the same ones. Counts of the support that a cell needs by clients, and recurring
ones, are taken from the whole window.

Ready means that the bound is at most --at-most and that no group with more than 1% of the
sessions is still learning.`

// readinessFormats are the forms that readiness is written in.
var readinessFormats = []string{"table", "yaml", "json"}

func (a *app) readinessCommand() *cobra.Command {
	var g generateFlags
	var atMost string
	c := &cobra.Command{
		Use:   "readiness",
		Short: "How long to collect: backtest, learning curve, a bound, a verdict for each group",
		Long:  readinessHelp,
		Example: `  cordon readiness --groups groups.yaml
  cordon readiness --groups groups.yaml --exclude-scanners --port-ranges --format json
  cordon readiness --groups groups.yaml --from flows.csv.zst --at-most 0.5%`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.readiness(cmd.Context(), &g, atMost) },
	}
	f := c.Flags()
	g.readinessFlags(f, &atMost)
	f.StringVarP(&g.format, "format", "f", "", strings.Join(readinessFormats, ", ")+" (default: table on a terminal, else yaml)")
	completeFlags(c, readinessFormats)
	return c
}

// readinessFlags are the flags that say what is assessed; the API takes most of them under the same names.
func (g *generateFlags) readinessFlags(f *pflag.FlagSet, atMost *string) {
	f.StringSliceVar(&g.settings.Categories, "category", nil, "selected categories, in order of precedence (default: all, in file order)")
	g.sessionFlags(f)
	f.StringVar(atMost, "at-most", "1%", "share of the sessions to come that may be denied")
}

func (a *app) readiness(ctx context.Context, g *generateFlags, atMost string) error {
	limit, err := parsePercent(atMost)
	if err != nil {
		return usagef("--at-most: %w", err)
	}
	if g.format == "" {
		g.format = "yaml"
		if isTerminal(a.stdout) {
			g.format = "table"
		}
	}
	if err := oneOf("format", g.format, readinessFormats); err != nil {
		return err
	}
	g.effort, g.maxMemory = cover.EffortQuick.String(), "" // nothing is covered
	file, err := g.complete(time.Now())
	if err != nil {
		return err
	}
	var clock stepClock
	st, err := a.sessionStore(ctx, g, &clock)
	if err != nil {
		return err
	}
	defer st.close()
	if file, err = a.withSources(ctx, st, file, len(g.from) > 0); err != nil {
		return err
	}
	learned, err := recommender.Learn(ctx, st.Conn, g.settings, file)
	if wrong, ok := errors.AsType[*policy.SettingsError](err); ok {
		return usageError(wrong)
	}
	if err != nil {
		return err
	}
	if len(learned) == 0 {
		fmt.Fprintln(a.stderr, "cordon: no session in the window may be proposed, so nothing is learned; `cordon status` says what is stored")
	}
	for i := range learned {
		if err := a.writeReadiness(g.format, i, simulate.Assess(&learned[i], simulate.ReadinessOptions{AtMost: limit})); err != nil {
			return err
		}
	}
	return nil
}

// parsePercent reads a share such as 1% or 0.01.
func parsePercent(s string) (float64, error) {
	digits, isPercent := strings.CutSuffix(strings.TrimSpace(s), "%")
	x, err := strconv.ParseFloat(digits, 64)
	if isPercent {
		x /= 100
	}
	if err != nil || !(x >= 0 && x <= 1) {
		return 0, fmt.Errorf("%q is no share: write 1%% or 0.01", s)
	}
	return x, nil
}

func (a *app) writeReadiness(format string, place int, r *simulate.Readiness) error {
	switch format {
	case "json":
		enc := json.NewEncoder(a.stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	case "yaml":
		if place > 0 {
			if _, err := io.WriteString(a.stdout, "---\n"); err != nil {
				return err
			}
		}
		enc := yaml.NewEncoder(a.stdout)
		enc.SetIndent(2)
		if err := enc.Encode(r); err != nil {
			return err
		}
		return enc.Close()
	}
	return a.readinessTable(r)
}

// shownGroups is how many groups of a state a table has.
const shownGroups = 15

func (a *app) readinessTable(r *simulate.Readiness) error {
	w := a.stdout
	verdict := "NOT READY"
	if r.Ready {
		verdict = "READY"
	}
	fmt.Fprintf(w, "VRF %s: %s\n", r.VRF, verdict)
	for _, why := range r.Why {
		fmt.Fprintln(w, "  "+why)
	}
	fmt.Fprintf(w, "%s in %s, %s of %s with data, %s to %s\n", text.Count(r.Sessions, "session"), text.Count(r.Cells, "cell"),
		text.Number(r.HoursWithData), text.Count(r.Hours, "hour"), r.Window.From.Format(time.RFC3339), r.Window.To.Format(time.RFC3339))
	if r.Forecast.Text != "" {
		fmt.Fprintf(w, "Forecast: %s.\n", r.Forecast.Text)
	}
	for _, s := range r.Ago {
		fmt.Fprintf(w, "Had you stopped %s ago, %.2f%% of the sessions since would have been denied (%s of %s).\n",
			text.Count(s.Days, "day"), 100*s.DeniedShare, text.Number(s.Denied), text.Number(s.Sessions))
	}
	tables := []struct {
		title string
		rows  [][]string
	}{{"Backtest", [][]string{{"LEARNED UNTIL", "HORIZON", "SESSIONS", "DENIED", "SHARE"}}},
		{"Cells learned", [][]string{{"DAY", "KNOWN", "NEW"}}},
		{"Newest cells", [][]string{{"FIRST SEEN", "SOURCE", "DESTINATION", "SERVICE", "SESSIONS"}}},
		{"Groups", [][]string{{"GROUP", "STATE", "SESSIONS", "SHARE", "REASON"}}}}
	for _, b := range r.Backtest {
		tables[0].rows = append(tables[0].rows, []string{b.LearnedUntil.Format(time.RFC3339), b.Horizon, text.Number(b.Sessions), text.Number(b.Denied), fmt.Sprintf("%.2f%%", 100*b.DeniedShare)})
	}
	for _, d := range r.Curve {
		tables[1].rows = append(tables[1].rows, []string{d.Day, text.Number(d.Cells), text.Number(d.NewCells)})
	}
	for _, c := range r.Newest {
		tables[2].rows = append(tables[2].rows, []string{c.FirstSeen.Format(time.RFC3339), c.Source, c.Destination, c.Service, text.Number(c.Sessions)})
	}
	shown := map[string]int{}
	for _, g := range r.Groups {
		if shown[g.State]++; shown[g.State] <= shownGroups {
			tables[3].rows = append(tables[3].rows, []string{g.Group, g.State, text.Number(g.Sessions), fmt.Sprintf("%.2f%%", 100*g.Share), g.Reason})
		}
	}
	for _, t := range tables {
		if len(t.rows) == 1 {
			continue
		}
		fmt.Fprintln(w, "\n"+t.title)
		if err := text.Table(w, t.rows, terminalWidth(w)); err != nil {
			return err
		}
	}
	for _, state := range []string{simulate.Learning, simulate.TooLittle, simulate.Settled} {
		if n := shown[state] - shownGroups; n > 0 {
			fmt.Fprintf(w, "… and %s more that are %s\n", text.Number(n), state)
		}
	}
	return nil
}
