package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"cordon/categories"
	"cordon/categories/infer"
	"cordon/internal/text"

	"github.com/spf13/cobra"
)

const fitHelp = `Compares what hosts do with the groups that they are in, category by category:

  misfit    a member that another group suits better, by 10 bits or more
  new       an address in no group: the group that suits it, and the next best one;
            or "a new kind", where no group does what it does
  category  the category does not follow traffic: another group suits more than a
            third of its members better, so neither misfits nor new addresses can be told

The evidence says what the host does, and the share of members of both groups that do so.`

var fitFormats = []string{"table", "ndjson", "json"}

// finding is a line of groups fit.
type finding struct {
	Kind     string  `json:"kind"` // misfit, new or category
	Category string  `json:"category"`
	Address  string  `json:"address,omitempty"`
	Group    string  `json:"group,omitempty"`
	Better   string  `json:"better,omitempty"`   // Set for misfits.
	RunnerUp string  `json:"runnerUp,omitempty"` // Set for new addresses.
	NewKind  bool    `json:"newKind,omitempty"`
	Bits     float64 `json:"bits"` // Advantage of the first over the other.
	Evidence string  `json:"evidence"`
}

func (a *app) fitCommand() *cobra.Command {
	var g inferFlags
	c := &cobra.Command{
		Use:   "fit",
		Short: "Find hosts that do not behave like their group, and groups for new ones",
		Long:  fitHelp,
		Example: `  cordon groups fit --groups groups.yaml --last 168h
  cordon groups fit --groups groups.yaml --category role --from flows.csv.zst --format ndjson`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.fit(cmd.Context(), &g) },
	}
	g.activityFlags(c)
	c.Flags().StringSliceVar(&g.settings.Categories, "category", nil, "categories to look at, each by itself (default: all)")
	c.Flags().StringVarP(&g.format, "format", "f", "table", "table, ndjson (one object a line) or json")
	return c
}

func (a *app) fit(ctx context.Context, g *inferFlags) error {
	if err := oneOf("format", g.format, fitFormats); err != nil {
		return err
	}
	if g.groups == "" {
		return usagef("--groups: name the file with the groups to compare hosts with")
	}
	file, err := a.complete(ctx, g)
	if err != nil {
		return err
	}
	selected := g.settings.Categories
	if len(selected) == 0 {
		selected = file.CategoryNames()
	}
	for _, category := range selected {
		if file.Category(category) == nil {
			return usagef("--category %s: %s has the categories %s", category, g.groups, strings.Join(file.CategoryNames(), ", "))
		}
	}
	g.settings.Categories = nil // an address is a host whatever category has it
	var clock stepClock
	activities, err := a.activities(ctx, g, file, &clock)
	if err != nil {
		return err
	}
	list := []finding{}
	for _, category := range selected {
		of, err := fitCategory(activities, file, category)
		if err != nil {
			return err
		}
		list = append(list, of...)
	}
	switch g.format {
	case "json":
		e := json.NewEncoder(a.stdout)
		e.SetIndent("", "  ")
		err = e.Encode(list)
	case "ndjson":
		e := json.NewEncoder(a.stdout)
		for i := range list {
			if err := e.Encode(&list[i]); err != nil {
				return err
			}
		}
	default:
		err = a.fitTable(list)
	}
	if err == nil && g.verbose {
		err = clock.print(a.stderr)
	}
	return err
}

// fitCategory gives the findings of one category: that it does not follow traffic, or its misfits, the plainest first, and
// the new addresses.
func fitCategory(activities []infer.Activity, file *categories.File, category string) ([]finding, error) {
	r, err := categories.NewResolver(file, []string{category})
	if err != nil {
		return nil, usagef("--category: %w", err)
	}
	given := &infer.Given{Of: r.LookupIndex, Services: categories.NewServiceNames(file.Services)}
	for _, ref := range r.Groups() {
		given.Names = append(given.Names, ref.Group)
	}
	f := infer.Fit(activities, given)
	if !f.Follows() {
		return []finding{{Kind: "category", Category: category,
			Evidence: fmt.Sprintf("this category does not follow traffic: another group suits %d of %d hosts better", f.Better, f.Hosts)}}, nil
	}
	var out []finding
	for _, m := range f.Misfits {
		out = append(out, finding{Kind: "misfit", Category: category, Address: m.Host.String(), Group: m.Group, Better: m.Better, Bits: m.Bits, Evidence: m.Evidence})
	}
	slices.SortStableFunc(out, func(a, b finding) int { return cmp.Compare(b.Bits, a.Bits) })
	for _, n := range f.New {
		out = append(out, finding{Kind: "new", Category: category, Address: n.Host.String(), Group: n.Group, RunnerUp: n.RunnerUp, NewKind: n.NewKind, Bits: n.Bits, Evidence: n.Evidence})
	}
	return out, nil
}

func (a *app) fitTable(list []finding) error {
	if len(list) == 0 {
		fmt.Fprintln(a.stderr, "cordon: every host that was seen is in a group, and suits it")
		return nil
	}
	rows := [][]string{{"KIND", "CATEGORY", "ADDRESS", "GROUP", "BETTER", "NEXT", "BITS", "EVIDENCE"}}
	for _, f := range list {
		group, bits := f.Group, ""
		if f.NewKind {
			group = "(a new kind)"
		}
		if f.Kind != "category" {
			bits = fmt.Sprintf("%.1f", f.Bits)
		}
		rows = append(rows, []string{f.Kind, f.Category, f.Address, group, f.Better, f.RunnerUp, bits, f.Evidence})
	}
	return text.Table(a.stdout, rows, 0)
}
