package main

import (
	"bytes"
	"time"

	"cordon/categories"

	"github.com/spf13/cobra"
)

func (a *app) groupsExportCommand() *cobra.Command {
	var at, output string
	c := &cobra.Command{
		Use:   "export FILE",
		Short: "Write the groups of a file as they were at a time",
		Long: `Writes a groups file without times: each group has the prefixes that belonged to it at the time that --at names.
A group that had none stays, so that a policy that names it still can be read. Services and exclusions come along; comments do not.`,
		Example: `  cordon groups export groups.yaml --at 2026-11-19T08:00:00Z -o then.yaml`,
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			now := time.Now()
			when, err := parseTime("--at", at, now, time.UTC)
			if err != nil {
				return err
			}
			if when.IsZero() {
				when = now
			}
			file, err := readGroups(args[0])
			if err != nil {
				return err
			}
			return a.writeGroups(file.At(when), output)
		},
	}
	c.Flags().StringVar(&at, "at", "", "the time, in UTC where it has no offset, such as 2026-11-19T08:00:00Z (default: now)")
	c.Flags().StringVarP(&output, "output", "o", "", "write to this file instead of standard output")
	return c
}

// writeGroups writes a groups file without times as YAML to a path, or to standard output where it is empty.
func (a *app) writeGroups(file *categories.File, output string) error {
	list, all := yamlOf(file, "")
	all.Categories = list
	var buf bytes.Buffer
	if err := encodeYAML(&buf, all); err != nil {
		return err
	}
	if output != "" {
		return writeFile(output, buf.Bytes())
	}
	_, err := buf.WriteTo(a.stdout)
	return err
}
