package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"slices"

	"cordon/categories"
	"cordon/internal/text"

	"github.com/spf13/cobra"
)

func (a *app) groupsSourcesCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "sources",
		Short: "Read the sources that a groups file names, and show what would come",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	check := &cobra.Command{
		Use:   "check FILE",
		Short: "Read each source once, and say what it holds and what is wrong with it",
		Long:  "Reads each source of a groups file once and changes nothing. Exit code 1 says that a source could not be read.",
		Args:  oneArgument("groups file"),
		RunE:  func(cmd *cobra.Command, args []string) error { return a.sourcesCheck(cmd.Context(), args[0]) },
	}
	var format, name string
	preview := &cobra.Command{
		Use:   "preview FILE",
		Short: "List the groups that the sources would make",
		Args:  oneArgument("groups file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.sourcesPreview(cmd.Context(), args[0], name, format)
		},
	}
	preview.Flags().StringVarP(&format, "format", "f", "csv", "csv or ndjson (one object a line)")
	preview.Flags().StringVar(&name, "source", "", "only the source of this name")
	c.AddCommand(check, preview, a.sourcesRefreshCommand())
	return c
}

// sourcesOf reads the sources of a groups file, which has to have some: all, or the one of a name.
func sourcesOf(path, name string) ([]categories.Source, error) {
	file, err := parseGroups(path)
	if err != nil {
		return nil, err
	}
	if len(file.Sources) == 0 {
		return nil, usagef("%s names no sources", path)
	}
	if name == "" {
		return file.Sources, nil
	}
	i := slices.IndexFunc(file.Sources, func(s categories.Source) bool { return s.Name == name })
	if i < 0 {
		return nil, usagef("--source %s: %s has no source of that name", name, path)
	}
	return file.Sources[i : i+1], nil
}

func (a *app) sourcesCheck(ctx context.Context, path string) error {
	list, err := sourcesOf(path, "")
	if err != nil {
		return err
	}
	failed := 0
	for i := range list {
		s := &list[i]
		snapshot, members, err := groupSources.ReadOne(ctx, s)
		if err != nil {
			failed++
			fmt.Fprintf(a.stdout, "%s: %v\n", s.Name, err)
			continue
		}
		groups, inOne := map[string]int{}, map[[2]string]bool{}
		for _, m := range members {
			if at := [2]string{m.Category, m.Group}; !inOne[at] {
				inOne[at] = true
				groups[m.Category]++
			}
		}
		fmt.Fprintf(a.stdout, "%s: %s objects, %s memberships\n", s.Name, text.Number(len(snapshot.Objects)), text.Number(len(members)))
		for _, c := range s.Groups {
			fmt.Fprintf(a.stdout, "  category %s from label %s: %s groups\n", c.Name, c.Label, text.Number(groups[c.Name]))
		}
		a.sourceProblems(snapshot.Problems)
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d sources could not be read", failed, len(list))
	}
	return nil
}

// sourceProblems names some problems of a source on standard output.
func (a *app) sourceProblems(problems []string) {
	const most = 10
	for _, p := range problems[:min(most, len(problems))] {
		fmt.Fprintf(a.stdout, "  not used: %s\n", p)
	}
	if more := len(problems) - most; more > 0 {
		fmt.Fprintf(a.stdout, "  and %s more that are not used\n", text.Number(more))
	}
}

func (a *app) sourcesPreview(ctx context.Context, path, name, format string) error {
	if err := oneOf("format", format, []string{"csv", "ndjson"}); err != nil {
		return err
	}
	list, err := sourcesOf(path, name)
	if err != nil {
		return err
	}
	out := csv.NewWriter(a.stdout)
	encoder := json.NewEncoder(a.stdout)
	encoder.SetEscapeHTML(false)
	if format == "csv" {
		out.Write([]string{"category", "group", "prefix", "vrf", "source", "ref"}) // errors come with Flush
	}
	for i := range list {
		_, members, err := groupSources.ReadOne(ctx, &list[i])
		if err != nil {
			return err
		}
		for _, m := range members {
			if format == "csv" {
				out.Write([]string{m.Category, m.Group, m.Prefix.String(), m.VRF, m.Source, m.Ref})
			} else if err := encoder.Encode(m); err != nil {
				return err
			}
		}
	}
	out.Flush()
	return out.Error()
}
