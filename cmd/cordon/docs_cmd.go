package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func (a *app) docsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "docs",
		Short: "Writes the help of all commands as man pages",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(&cobra.Command{
		Use:     "man DIR",
		Short:   "Write a man page for each command into a folder",
		Long:    "Writes cordon.1, cordon-generate-rules.1 and so on into DIR, which is made where it is missing.",
		Example: "  sudo cordon docs man /usr/local/share/man/man1\n  man cordon-generate-rules",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("cordon docs man takes the folder to write to, got %d arguments", len(args))
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(cmd *cobra.Command, args []string) error { return manPages(cmd.Root(), args[0]) },
	})
	return c
}

// manPages writes the pages. They carry no date of their making, so that the
// same version gives the same files.
func manPages(root *cobra.Command, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return usageError(err)
	}
	root.DisableAutoGenTag = true
	header := doc.GenManHeader{Section: "1", Source: "Cordon " + buildVersion(), Manual: "Cordon", Date: &time.Time{}}
	if err := doc.GenManTree(root, &header, dir); err != nil {
		var path *os.PathError
		if errors.As(err, &path) {
			return usageError(fmt.Errorf("man pages: %w", err))
		}
		return fmt.Errorf("man pages: %w", err)
	}
	return nil
}
