package main

import (
	"bytes"
	"context"
	"fmt"
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
A group that had none stays, so that a policy that names it still can be read. Services and exclusions come along; comments do not.

What sources of the file said at a time that --at names is what the store knows of them, see cordon groups sources refresh. Without --at they
are read now.`,
		Example: `  cordon groups export groups.yaml --at 2026-11-19T08:00:00Z -o then.yaml`,
		Args:    oneArgument("groups file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			now := time.Now()
			when, err := parseTime("--at", at, now, time.UTC)
			if err != nil {
				return err
			}
			if when.IsZero() {
				when = now
			}
			file, err := a.groupsOfExport(cmd.Context(), args[0], at == "")
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

// groupsOfExport reads a groups file with the groups of its sources, as the store knows them with their times or as they are now.
func (a *app) groupsOfExport(ctx context.Context, path string, now bool) (*categories.File, error) {
	file, err := parseGroups(path)
	if err != nil || len(file.Sources) == 0 {
		return file, err
	}
	if now {
		return readGroups(ctx, path)
	}
	st, err := a.openStore(ctx, storeNeeds{})
	if err != nil {
		return nil, fmt.Errorf("%s has sources, and only a store knows what they said at another time: %w", path, err)
	}
	defer st.close()
	return a.withSources(ctx, st, file, false)
}

// groupsKnown reads a groups file as it was at a moment, now for the zero time, in a VRF; nil for no path. What its sources said then is what the
// store knows of them; for sessions of files, which are own, it is what they say now.
func (a *app) groupsKnown(ctx context.Context, path, vrf string, at time.Time, own bool) (*categories.File, error) {
	if path == "" {
		return nil, nil
	}
	if at.IsZero() {
		at = time.Now()
	}
	file, err := a.groupsOfExport(ctx, path, own)
	if err != nil {
		return nil, err
	}
	if file.PerVRF() && vrf == "" {
		return nil, usagef("%s has groups of single VRFs: name one of the VRFs with --vrf", path)
	}
	return file.InVRF(vrf).At(at), nil
}

// writeGroups writes a groups file without times as YAML to a path, or to standard output where it is empty.
func (a *app) writeGroups(file *categories.File, output string) error {
	list, all := yamlOf(file, "")
	all.Categories = list
	var buf bytes.Buffer
	if err := encodeYAML(&buf, all); err != nil {
		return err
	}
	return a.writeOutput(output, buf.Bytes())
}
