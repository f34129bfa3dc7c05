package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func (a *app) configCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Show and check the configuration",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(
		&cobra.Command{
			Use:   "show",
			Short: "Print every setting with its value and where that comes from",
			Args:  noArgs,
			RunE:  func(*cobra.Command, []string) error { return a.configShow() },
		},
		&cobra.Command{
			Use:   "check [FILE]",
			Short: "Check a configuration file; the first wrong line decides the exit code",
			Args:  cobra.MaximumNArgs(1),
			// The file to check is the argument; load reads and checks it.
			PersistentPreRunE: func(cmd *cobra.Command, args []string) error {
				if len(args) == 1 {
					a.configFile = args[0]
				}
				return a.load(cmd, args)
			},
			RunE: func(*cobra.Command, []string) error { return a.configCheck() },
		},
	)
	return c
}

func (a *app) configShow() error {
	w := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "KEY\tVALUE\tFROM")
	for _, key := range a.loader.Keys() {
		fmt.Fprintf(w, "%s\t%s\t%s\n", key, showValue(key, a.loader.Value(key)), a.loader.Source(key))
	}
	return w.Flush()
}

// showValue prints a value without any password in it.
func showValue(key string, v any) string {
	s := fmt.Sprint(v)
	if list, ok := v.([]string); ok {
		s = strings.Join(list, ",")
	}
	if strings.HasSuffix(key, "authorization") && s != "" {
		return "xxxxx"
	}
	if strings.HasSuffix(key, "dsn") || strings.HasSuffix(key, "url") {
		return redact(s)
	}
	return s
}

func (a *app) configCheck() error {
	errs := append(a.placed(a.settings.check()), a.checkFilesThere())
	errs = append(errs, a.loader.UnknownVariables(os.Environ(), otherVariables...)...)
	if err := errors.Join(errs...); err != nil {
		return usageError(err)
	}
	file := a.loader.File()
	if file == "" {
		file = "no configuration file; defaults, environment and flags"
	}
	fmt.Fprintf(a.stdout, "%s: ok\n", file)
	return nil
}

// placed names where the value of each setting comes from that an error begins
// with.
func (a *app) placed(err error) (errs []error) {
	if err == nil {
		return nil
	}
	for _, line := range strings.Split(err.Error(), "\n") {
		key := strings.TrimRight(strings.Fields(line + " ?")[0], ":,")
		if from := a.loader.Source(key); from != "default" {
			line = from + ": " + line
		}
		errs = append(errs, errors.New(line))
	}
	return errs
}

// otherVariables are read beside those of the settings.
var otherVariables = []string{"CORDON_CONFIG", "CORDON_CHDB_LIBRARY", "CORDON_CACHE_DIR"}

// checkFilesThere says which files that settings name cannot be read.
func (a *app) checkFilesThere() error {
	var errs []error
	for _, key := range a.loader.Keys() {
		switch key {
		case "nats.credentials", "clickhouse.library", "collector.tls.cert", "collector.tls.key", "collector.tls.client_ca":
		default:
			continue
		}
		name := fmt.Sprint(a.loader.Value(key))
		if name == "" {
			continue
		}
		f, err := os.Open(name)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %s: %w", a.loader.Source(key), key, err))
			continue
		}
		f.Close()
	}
	return errors.Join(errs...)
}

// noArgs refuses arguments with exit code 2.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		hint := ""
		cmd.Flags().Visit(func(f *pflag.Flag) {
			if f.NoOptDefVal != "" && f.Value.Type() != "bool" && f.Value.String() == f.NoOptDefVal {
				hint = fmt.Sprintf("; a value of --%s is written --%s=%s", f.Name, f.Name, args[0])
			}
		})
		return usagef("%s takes no arguments, got %q%s", cmd.CommandPath(), args, hint)
	}
	return nil
}
