package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"cordon/categories"
	"cordon/categories/infer"
	"cordon/internal/text"
	"cordon/recommender"
	"cordon/recommender/policy"

	"github.com/spf13/cobra"
)

const inferHelp = `Proposes groups for hosts from what they do: which services they serve and use, and
how often. Hosts that do the same come together; the grouping is the one that takes
the fewest bits to describe (docs/group-inference.md). The result is a groups file
with category "inferred", to read, edit and keep. Each group and member has its
reasons as a comment: what it does, and the share of members that do the same. A
member's bits say how much better its group suits it than the next one; below 3 it
is marked weak.

Traffic does not tell sites, environments or tenants: give those by prefixes, and
use --refine CATEGORY to split within given groups only.

With --previous FILE, or a --groups file with category "inferred", a group that has
half of its hosts in common with an earlier one keeps its name and id; splits and
merges are told on standard error. The categories of --groups come before the new
one, so that cordon groups suggest can compare them.`

// inferFlags are the flags of groups infer and groups fit.
type inferFlags struct {
	generateFlags
	previous string
	refine   string
}

var inferFormats = []string{"yaml", "csv", "json"}

func (a *app) inferCommand() *cobra.Command {
	var g inferFlags
	c := &cobra.Command{
		Use:   "infer",
		Short: "Propose groups from what hosts do",
		Long:  inferHelp,
		Example: `  cordon groups infer --last 168h -o inferred.yaml
  cordon groups infer --from flows.csv.zst -o inferred.yaml
  cordon groups infer --previous inferred.yaml -o next.yaml
  cordon groups infer --groups groups.yaml --refine site -o both.yaml && cordon groups suggest --groups both.yaml`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.infer(cmd.Context(), &g) },
	}
	g.activityFlags(c)
	f := c.Flags()
	f.StringVar(&g.previous, "previous", "", "groups file of an earlier run, whose names and ids are kept (default: category inferred of --groups)")
	f.StringVar(&g.refine, "refine", "", "split within the groups of this category of --groups only")
	f.StringVarP(&g.format, "format", "f", "yaml", "yaml, csv (without reasons and ids) or json (with all that is known)")
	f.StringVarP(&g.output, "output", "o", "", "write to this file instead of standard output")
	return c
}

// activityFlags are the flags that say what of the hosts' activities counts.
func (g *inferFlags) activityFlags(c *cobra.Command) {
	f := c.Flags()
	f.StringVarP(&g.groups, "groups", "g", "", "groups file, YAML or CSV: public addresses in its groups count as hosts, and what it excludes does not count")
	f.StringArrayVar(&g.from, "from", nil, "take the sessions from this file (may be repeated)")
	g.window.flags(f)
	f.StringVar(&g.settings.VRF, "vrf", "", "one VRF (default: all; a host is then one host in whatever VRF its address is)")
	g.scope.flags(f)
	f.StringVar((*string)(&g.settings.HalfOpen), "half-open", string(policy.HalfOpenReport), "sessions without an answer: report (they do not count), allow-udp or allow")
	f.Uint64Var(&g.settings.ScannerTargets, "exclude-scanners", policy.DefaultScannerTargets, "leave out clients that scan: nothing came of so many of their targets, and of most; 0 leaves none out")
	f.Uint64Var(&g.settings.PortRanges, "port-ranges", policy.DefaultPortRanges, "count the dynamic ports of a server that has so many as one service; 0 counts each")
	f.BoolVarP(&g.verbose, "verbose", "v", false, "say on standard error where the time went")
}

// complete reads the groups file and turns the flags into settings.
func (a *app) complete(ctx context.Context, g *inferFlags) (file *categories.File, err error) {
	s := &g.settings
	if err = g.window.settings(time.Now(), &s.Settings); err != nil {
		return nil, err
	}
	if s.Scope, err = g.scope.scope(); err != nil {
		return nil, err
	}
	if file, err = a.groupsKnown(ctx, g.groups, s.VRF, s.Until.Time, len(g.from) > 0); err != nil {
		return nil, err
	}
	return file, nil
}

// activities counts what hosts do.
func (a *app) activities(ctx context.Context, g *inferFlags, file *categories.File, clock *stepClock) ([]infer.Activity, error) {
	g.settings.Observe = clock.add
	st, err := a.sessionStore(ctx, &g.generateFlags, clock)
	if err != nil {
		return nil, err
	}
	defer st.close()
	out, err := recommender.Activities(ctx, st.Conn, g.settings, file)
	var wrong *policy.SettingsError
	if errors.As(err, &wrong) {
		return nil, usageError(err)
	}
	if err == nil && len(out) == 0 {
		fmt.Fprintln(a.stderr, "cordon: no session in the window counts, so nothing is known of any host; `cordon status` says why there is no data")
	}
	return out, err
}

func (a *app) infer(ctx context.Context, g *inferFlags) error {
	if err := oneOf("format", g.format, inferFormats); err != nil {
		return err
	}
	if g.refine != "" && g.groups == "" {
		return usagef("--refine %s: name the file with this category by --groups", g.refine)
	}
	earlier, err := g.earlier(ctx)
	if err != nil {
		return err
	}
	file, err := a.complete(ctx, g)
	if err != nil {
		return err
	}
	settings, err := g.inferSettings(file, earlier)
	if err != nil {
		return err
	}
	var clock stepClock
	activities, err := a.activities(ctx, g, file, &clock)
	if err != nil {
		return err
	}
	began := time.Now()
	found := infer.Infer(activities, settings)
	clock.add(recommender.Step{Name: "group hosts", Took: time.Since(began), Rows: uint64(len(found.Groups))})
	if err := a.writeInferred(g, found, file); err != nil {
		return err
	}
	a.sayInferred(found, file)
	if g.verbose {
		return clock.print(a.stderr)
	}
	return nil
}

// writeInferred writes the groups in the format and to the place asked for.
func (a *app) writeInferred(g *inferFlags, found *infer.Grouping, file *categories.File) (err error) {
	var buf bytes.Buffer
	switch g.format {
	case "json":
		e := json.NewEncoder(&buf)
		e.SetIndent("", "  ")
		err = e.Encode(inferredDocument{"cordon/v1", "InferredGroups", infer.Category, infer.Limits, found})
	case "csv":
		err = writeInferredCSV(&buf, found, file)
	default:
		err = writeInferredYAML(&buf, found, file)
	}
	if err != nil {
		return err
	}
	if g.output != "" {
		return writeFile(g.output, buf.Bytes())
	}
	_, err = buf.WriteTo(a.stdout)
	return err
}

// inferredDocument is what groups infer writes as JSON.
type inferredDocument struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Category   string `json:"category"`
	Note       string `json:"note"`
	*infer.Grouping
}

// inferSettings turns files into settings.
func (g *inferFlags) inferSettings(file, earlier *categories.File) (s infer.Settings, err error) {
	if file != nil {
		s.Names = categories.NewServiceNames(file.Services)
		if earlier == nil && file.Category(infer.Category) != nil {
			earlier = file
		}
	}
	if g.refine != "" {
		r, err := categories.NewResolver(file, []string{g.refine})
		if err != nil {
			return s, usagef("--refine: %w", err)
		}
		s.Within = func(addr netip.Addr) string {
			ref, _ := r.Lookup(addr)
			return ref.Group
		}
	}
	if earlier != nil {
		s.Previous, err = previousGroups(earlier)
	}
	return s, err
}

// earlier reads the file of an earlier run; nil where none is named.
func (g *inferFlags) earlier(ctx context.Context) (*categories.File, error) {
	if g.previous == "" {
		return nil, nil
	}
	file, err := readGroupsAt(ctx, g.previous, time.Time{})
	if err != nil {
		return nil, usageError(err)
	}
	if file.Category(infer.Category) == nil {
		return nil, usagef("--previous %s: it has no category %q", g.previous, infer.Category)
	}
	return file, nil
}

// previousGroups gives the inferred groups of a file, as somebody may have edited them.
func previousGroups(file *categories.File) (*infer.Previous, error) {
	r, err := categories.NewResolver(file, []string{infer.Category})
	if err != nil {
		return nil, usageError(err)
	}
	p := &infer.Previous{Of: r.LookupIndex}
	ids := map[string]string{}
	for _, g := range file.Category(infer.Category).Groups {
		ids[g.Name] = g.ID
	}
	members := r.EndpointsByGroup()
	for i, ref := range r.Groups() {
		p.Groups = append(p.Groups, infer.PreviousGroup{ID: ids[ref.Group], Name: ref.Group, Members: members[i]})
	}
	return p, nil
}

// sayInferred says on standard error what came out, and what changed.
func (a *app) sayInferred(found *infer.Grouping, file *categories.File) {
	hosts, weak := 0, 0
	of := map[netip.Addr]string{}
	for _, g := range found.Groups {
		hosts += len(g.Members)
		for _, m := range g.Members {
			of[m.Host] = g.Name
			if m.Weak {
				weak++
			}
		}
	}
	if hosts == 0 {
		return
	}
	fmt.Fprintf(a.stderr, "cordon: %s in %s; the place of %s is weak\n", text.Count(hosts, "host"), text.Count(len(found.Groups), "group"), text.Number(weak))
	fmt.Fprintln(a.stderr, "cordon: "+infer.Limits)
	a.sayGroupChanges(found)
	if file == nil {
		return
	}
	for i := range file.Categories {
		if name := file.Categories[i].Name; name != infer.Category {
			a.sayAgreement(of, file, name)
		}
	}
}

// sayGroupChanges says what became of the groups of an earlier run.
func (a *app) sayGroupChanges(found *infer.Grouping) {
	kept := 0
	for _, c := range found.Changes {
		names := text.List(c.Others, 10)
		switch c.Kind {
		case infer.Kept:
			kept++
		case infer.New:
			fmt.Fprintf(a.stderr, "cordon: group %s is new\n", c.Group)
		case infer.Gone:
			fmt.Fprintf(a.stderr, "cordon: no group goes on the earlier group %s\n", c.Group)
		case infer.Split:
			fmt.Fprintf(a.stderr, "cordon: the earlier group %s is split into %s\n", c.Group, names)
		case infer.Merged:
			fmt.Fprintf(a.stderr, "cordon: the earlier groups %s are merged into %s\n", names, c.Group)
		}
	}
	if len(found.Changes) > 0 {
		fmt.Fprintf(a.stderr, "cordon: %s kept; members of the earlier groups that did nothing, and are left out: %s\n", text.Count(kept, "name"), text.Number(found.Missing))
	}
}

// sayAgreement compares the groups of hosts with those of a category.
func (a *app) sayAgreement(of map[netip.Addr]string, file *categories.File, category string) {
	r, err := categories.NewResolver(file, []string{category})
	if err != nil {
		panic("BUG: a category of the file: " + err.Error())
	}
	given := map[netip.Addr]string{}
	for host := range of {
		if ref, ok := r.Lookup(host); ok {
			given[host] = ref.Group
		}
	}
	if len(given) > 1 {
		ari, v := infer.Agreement(of, given)
		fmt.Fprintf(a.stderr, "cordon: agreement with category %s on %s: adjusted Rand index %.2f, V-measure %.2f\n", category, text.Count(len(given), "host"), ari, v)
	}
}

func writeInferredCSV(w io.Writer, found *infer.Grouping, file *categories.File) error {
	c := csv.NewWriter(w)
	c.Write([]string{"category", "group", "prefix"})
	if file != nil {
		for _, category := range file.Categories {
			for _, g := range category.Groups {
				for _, p := range g.Prefixes {
					if category.Name != infer.Category {
						c.Write([]string{category.Name, g.Name, p.String()})
					}
				}
			}
		}
	}
	for _, g := range found.Groups {
		for _, m := range g.Members {
			c.Write([]string{infer.Category, g.Name, m.Host.String()})
		}
	}
	c.Flush()
	return c.Error()
}
