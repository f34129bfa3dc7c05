package main

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"cordon/categories"
	"cordon/internal/sessions"
	"cordon/recommender/render"

	"github.com/spf13/cobra"
)

// completionTime is how long somebody who pressed Tab is kept waiting.
const completionTime = 20 * time.Second

// completer gives what a word may become.
type completer = func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective)

// completions lets the shell complete the values of flags and arguments, of
// every command that has them.
func (a *app) completions(root *cobra.Command) {
	categories := a.listOf(a.categoryNames, "SELECT DISTINCT category FROM groups ORDER BY category")
	endpoints := a.listOf(a.groupNames, "SELECT DISTINCT concat('group:', `group`) FROM groups ORDER BY 1")
	order := a.stored(sortKeys, "")
	flags := map[string]completer{
		"category": categories, "generalise-within": categories,
		"client": endpoints, "server": endpoints, "host": endpoints,
		"vrf":      a.stored(nil, "SELECT DISTINCT vrf FROM sessions_hourly ORDER BY vrf"),
		"exporter": a.stored(nil, "SELECT DISTINCT replaceOne(toString(exporter), '::ffff:', '') FROM sessions_hourly WHERE exporter != toIPv6('::') ORDER BY exporter"),
		"sort":     order,
		"rule":     a.ruleNames,
		"existing": a.proposalIDs, "policy": a.proposalIDs, "against": a.proposalIDs,
		"state":  words("complete", "half-open", "denied"),
		"effort": words("quick", "default", "thorough", "exhaustive"), "transport": words("udp", "tcp"),
		"log-level": words("debug", "info", "warn", "error"), "log-format": words("auto", "text", "json"),
		"groups": files("yaml", "yml", "csv"), "guardrails": files("yaml", "yml", "json"), "config": files("yaml", "yml"),
	}
	maps.Copy(flags, optionWords())
	formats := map[string]completer{
		"generate-rules": words(render.Names()...), "proposals export": words(render.Names()...), "proposals show": words(append(render.Names(), "ndjson")...),
		"proposals list": words("table", "json"), "sessions": words("table", "csv", "json", "ndjson"), "status": words("text", "json"),
		"verify": words("text", "json"), "groups lint": words("text", "json"), "groups suggest": words(suggestFormats...),
		"sql": words("PrettyCompact", "Vertical", "TabSeparatedWithNames", "CSVWithNames", "JSON", "JSONEachRow", "Parquet", "Markdown"),
	}
	arguments := map[string]completer{
		"proposals show": a.proposalIDs, "proposals export": a.proposalIDs, "proposals diff": a.proposalIDs, "verify": a.proposalIDs,
		"proposals review": a.proposalIDs, "proposals submit": a.proposalIDs, "proposals accept": a.proposalIDs, "proposals archive": a.proposalIDs, "proposals delete": a.proposalIDs,
	}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		path := strings.TrimPrefix(c.CommandPath(), root.Name()+" ")
		for name, f := range flags {
			if c.LocalFlags().Lookup(name) != nil {
				// It fails only where the flag has a completion already.
				_ = c.RegisterFlagCompletionFunc(name, f)
			}
		}
		if f := formats[path]; f != nil && c.LocalFlags().Lookup("format") != nil {
			_ = c.RegisterFlagCompletionFunc("format", f)
		}
		if f := arguments[path]; f != nil && c.ValidArgsFunction == nil {
			c.ValidArgsFunction = f
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
}

func words(list ...string) completer {
	return func(_ *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
		return inList(list, word), cobra.ShellCompDirectiveNoFileComp
	}
}

func files(endings ...string) completer {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return endings, cobra.ShellCompDirectiveFilterFileExt
	}
}

// inList gives the values that begin like the last item of a list with commas,
// each behind the items before it.
func inList(values []string, word string) (out []string) {
	head := word[:strings.LastIndexByte(word, ',')+1]
	chosen := strings.Split(head, ",")
	for _, v := range values {
		name, _, _ := strings.Cut(v, "\t")
		if strings.HasPrefix(name, word[len(head):]) && !slices.Contains(chosen, name) {
			out = append(out, head+v)
		}
	}
	return out
}

// sortKeys are the columns to sort by, in both orders.
func sortKeys(*cobra.Command) []string {
	var keys []string
	for _, c := range sessions.SortColumns() {
		keys = append(keys, c, "-"+c)
	}
	return keys
}

// stored completes from what known gives, which may be nil, and from a query of
// one column.
func (a *app) stored(known func(*cobra.Command) []string, query string) completer {
	return a.listOf(func(cmd *cobra.Command) []string {
		if known == nil {
			return nil
		}
		return known(cmd)
	}, query)
}

// listOf completes from what known gives, else from a query of one column.
func (a *app) listOf(known func(*cobra.Command) []string, query string) completer {
	return func(cmd *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
		values := known(cmd)
		if len(values) == 0 && query != "" {
			values = a.ask(cmd, query)
		}
		return inList(values, word), cobra.ShellCompDirectiveNoFileComp
	}
}

// ask gives the rows of a query of one column. A shell gets no errors: without a
// store there is nothing to complete.
func (a *app) ask(cmd *cobra.Command, query string) []string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(commandContext(cmd)), completionTime)
	defer cancel()
	if a.load(cmd, nil) != nil {
		return nil
	}
	a.log = slog.New(slog.DiscardHandler)
	a.settings.ConnectTimeout = 0 // nobody waits for a completion
	if _, err := os.Stat(clickhouseDir(a.settings.DataDir)); err != nil && a.settings.ClickHouse.DSN == "" {
		return nil // No folder is made.
	}
	st, err := a.openStore(ctx, storeNeeds{})
	if err != nil {
		return nil
	}
	defer st.close()
	r, err := st.Reader.QueryFormat(ctx, "TabSeparatedRaw", query)
	if err != nil {
		return nil
	}
	defer r.Close()
	out, err := io.ReadAll(r)
	if err != nil {
		return nil
	}
	return strings.FieldsFunc(string(out), func(c rune) bool { return c == '\n' })
}

func commandContext(cmd *cobra.Command) context.Context {
	if ctx := cmd.Context(); ctx != nil {
		return ctx
	}
	return context.Background()
}

// groupsFile reads the file that --groups names, if it names one.
func groupsFile(cmd *cobra.Command) *categories.File {
	f := cmd.Flag("groups")
	if f == nil || f.Value.String() == "" {
		return nil
	}
	file, err := categories.ReadFile(f.Value.String()) // completion asks no source
	if err != nil {
		return nil
	}
	return file.At(time.Now())
}

func (a *app) categoryNames(cmd *cobra.Command) (names []string) {
	if file := groupsFile(cmd); file != nil {
		for _, c := range file.Categories {
			names = append(names, c.Name)
		}
	}
	return names
}

func (a *app) groupNames(cmd *cobra.Command) (names []string) {
	if file := groupsFile(cmd); file != nil {
		for _, c := range file.Categories {
			for _, g := range c.Groups {
				names = append(names, "group:"+g.Name)
			}
		}
	}
	return names
}

// proposalIDs completes the id of a stored proposal, told apart by what it is
// about; a file's name is as good.
func (a *app) proposalIDs(cmd *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	ids := a.ask(cmd, `SELECT concat(id, '\t', 'VRF ', vrf, ', ', toString(rules), ' rules, ', formatDateTime(created, '%Y-%m-%d %H:%i')) FROM proposals ORDER BY created DESC LIMIT 50`)
	return inList(ids, word), cobra.ShellCompDirectiveDefault
}

// ruleNames completes the rules of the proposal that the command is about.
func (a *app) ruleNames(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	where := ""
	if len(args) > 0 && isID(args[0]) {
		where = "WHERE startsWith(proposal, '" + args[0] + "') OR startsWith(proposal, 'sha256:" + args[0] + "')"
	}
	return inList(a.ask(cmd, "SELECT DISTINCT name FROM proposal_rules "+where+" ORDER BY name"), word), cobra.ShellCompDirectiveNoFileComp
}

// isID says whether a word can be the beginning of a proposal's id, and nothing
// else, so that it may stand in a query.
func isID(word string) bool {
	return strings.Trim(strings.TrimPrefix(word, "sha256:"), "0123456789abcdef") == ""
}
