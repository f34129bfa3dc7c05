package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"cordon/internal/config"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// app is one invocation of cordon.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer

	configFile string
	loader     *config.Loader
	settings   settings
	log        *slog.Logger
	command    string // the command that runs, such as "cordon import"
	memory     memoryBound
}

const rootHelp = `Cordon turns the sessions of a network into the smallest set of allow rules
that permits them. Exporters send IPFIX; Cordon stores every flow in ClickHouse
and recommends rules in terms of your own groups, with evidence for each.

See it work:        cordon demo
Collect:            cordon up                  (then point an exporter at port 4739, see docs/exporters.md)
Why is it empty:    cordon status
Look:               cordon sessions --last 1h
                    cordon sql 'SELECT service, count() FROM sessions GROUP BY service'
Recommend:          cordon generate-rules --groups groups.yaml
Without a server:   cordon generate-rules --from flows.csv --groups groups.yaml

Configuration comes from cordon.yaml, from CORDON_* in the environment and from
flags; flags win over the environment, the environment over the file.
Exit codes: 0 done, 1 failed, 2 wrong usage or bad input, 3 a server could not be reached.`

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:                        "cordon",
		SuggestionsMinimumDistance: 2,
		Short:                      "Collect flows, recommend minimal segmentation rules",
		Long:                       rootHelp,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
					return usagef("unknown command %q; did you mean %s?", args[0], strings.Join(near, " or "))
				}
				return usagef("unknown command %q; `cordon --help` lists them", args[0])
			}
			return nil
		},
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: a.load,
		SilenceErrors:     true,
		SilenceUsage:      true,
		Version:           buildVersion(),
	}
	root.SetVersionTemplate("cordon {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w; see `%s --help`", err, cmd.CommandPath())
	})

	a.bindSettings(root.PersistentFlags())
	root.AddGroup(
		&cobra.Group{ID: "run", Title: "Collect and store:"},
		&cobra.Group{ID: "use", Title: "Explore and recommend:"},
		&cobra.Group{ID: "data", Title: "Bring data, or send it:"},
		&cobra.Group{ID: "care", Title: "Look after it:"},
	)
	add := func(group string, cmds ...*cobra.Command) {
		for _, c := range cmds {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("run", a.upCommand(), a.collectCommand(), a.ingestCommand(), a.serveCommand())
	add("use", a.generateCommand(), a.proposalsCommand(), a.policyCommand(), a.verifyCommand(), a.simulateCommand(), a.explainCommand(), a.readinessCommand(), a.watchCommand(), a.sessionsCommand(), a.sqlCommand(), a.demoCommand())
	add("data", a.importCommand(), a.importsCommand(), a.forgetCommand(), a.replayCommand(), a.groupsCommand())
	add("care", a.statusCommand(), a.deadLettersCommand(), a.migrateCommand(), a.configCommand())
	add("care", a.docsCommand())
	root.SetCompletionCommandGroupID("care")
	root.SetHelpCommandGroupID("care")
	a.completions(root)
	return root
}

// bindSettings registers the flags that every command has and ties them to
// their keys.
func (a *app) bindSettings(fs *pflag.FlagSet) {
	l, err := config.NewLoader(defaultSettings())
	if err != nil {
		panic("BUG: defaults: " + err.Error())
	}
	a.loader = l
	fs.StringVar(&a.configFile, "config", "", "configuration file (default: "+config.FileName+" in the working directory, if there is one)")
	d := defaultSettings()
	fs.String("data-dir", d.DataDir, "folder of the embedded servers and of what waits for them")
	fs.String("log-level", d.Log.Level, "debug, info, warn or error")
	fs.String("log-format", d.Log.Format, "auto, text or json; auto is text on a terminal")
	fs.String("nats-url", "", "external NATS, such as nats://host:4222; empty for the embedded one")
	fs.String("clickhouse-dsn", "", "external ClickHouse's HTTP interface, such as http://user:password@host:8123/cordon; empty for the embedded one")
	for key, flag := range map[string]string{
		"data_dir": "data-dir", "log.level": "log-level", "log.format": "log-format",
		"nats.url": "nats-url", "clickhouse.dsn": "clickhouse-dsn",
	} {
		l.BindFlag(key, fs.Lookup(flag))
	}
}

// load reads the configuration and makes the logger, before any command runs.
func (a *app) load(cmd *cobra.Command, _ []string) error {
	a.command = cmd.CommandPath()
	name, must := a.configFile, true
	if name == "" {
		name, must = os.Getenv(config.EnvName("config")), true
	}
	if name == "" {
		name, must = config.FileName, false
	}
	if err := a.loader.ReadFile(name, must); err != nil {
		return usageError(err)
	}
	if err := a.loader.Load(&a.settings); err != nil {
		return usageError(err)
	}
	dir, err := filepath.Abs(a.settings.DataDir)
	if err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	a.settings.DataDir = dir
	a.log, err = newLogger(a.stderr, a.settings.Log.Level, a.settings.Log.Format)
	return usageError(err)
}

// buildVersion is the version given at link time, or what the Go toolchain
// recorded.
func buildVersion() string {
	if version != "dev" {
		return version
	}
	if bi, ok := debug.ReadBuildInfo(); ok && bi.Main.Version != "" && bi.Main.Version != "(devel)" {
		return bi.Main.Version
	}
	return version
}
