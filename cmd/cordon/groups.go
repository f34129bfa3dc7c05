package main

import (
	"encoding/json"
	"fmt"

	"cordon/categories"

	"github.com/spf13/cobra"
)

func (a *app) groupsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "groups",
		Short: "Check groups files, compare their categories, and propose groups",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var format string
	lint := &cobra.Command{
		Use:   "lint FILE...",
		Short: "Find mistakes in groups files: overlaps, shadowed groups, odd prefixes",
		Long:  "Checks groups files (YAML, or CSV with the header category,group,prefix). Exit code 2 says that a file cannot be used; warnings leave it 0.",
		Args:  atLeastOneFile,
		RunE:  func(_ *cobra.Command, args []string) error { return a.groupsLint(format, args) },
	}
	lint.Flags().StringVarP(&format, "format", "f", "text", "text or json (one object a line)")
	c.AddCommand(lint, a.suggestCommand(), a.inferCommand(), a.fitCommand(), a.groupsExportCommand(), a.groupsSourcesCommand())
	return c
}

// atLeastOneFile refuses an empty list of files with exit code 2.
func atLeastOneFile(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usagef("%s needs a file; see `%s --help`", cmd.CommandPath(), cmd.CommandPath())
	}
	return nil
}

func (a *app) groupsLint(format string, files []string) error {
	if format != "text" && format != "json" {
		return usagef("--format %q: use text or json", format)
	}
	enc := json.NewEncoder(a.stdout)
	errs := 0
	for _, file := range files {
		findings, err := categories.LintFile(file)
		if err != nil {
			return usageError(err)
		}
		for _, f := range findings {
			if f.Severity == categories.Error {
				errs++
			}
			if format == "json" {
				if err := enc.Encode(f); err != nil {
					return err
				}
				continue
			}
			fmt.Fprintln(a.stdout, f)
		}
	}
	if errs > 0 {
		return usagef("%d error(s) in groups files", errs)
	}
	return nil
}
