package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"cordon/internal/sessions"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const sessionsHelp = `Lists the collected sessions: one line for each VRF, client, server and service.
An end is an address, a prefix or group:NAME, which is every address that the groups
file puts into the group. Groups are those of --groups, or of the last generate-rules. The state is complete (answered, or nobody can tell),
half-open (never answered) or denied (dropped by the network).

--reason lists the sessions that a proposal does not permit, each with the reason: those
of the newest proposal of each VRF, or of --proposal, in its window.`

// sessionsFlags are the flags of sessions.
type sessionsFlags struct {
	filter   sessions.Filter
	scope    scopeFlags
	window   window
	states   []string
	reasons  []string
	proposal string
	newSince string
	newIn    time.Duration
	groups   string
	sort     string
	limit    int
	limited  bool // limit was asked for
	format   string
}

// sessionFormats are the output formats, by ClickHouse's name for each.
var sessionFormats = map[string]string{"table": "PrettyCompactMonoBlock", "csv": "CSVWithNames", "json": "JSONEachRow", "ndjson": "JSONEachRow"}

// A query names every prefix of a group that sessions are selected by. One that is longer than shortQuery bytes does not
// go through the interface for readers, which takes no more than ClickHouse does by default.
const (
	shortQuery = 128 << 10
	longQuery  = 256 << 20
)

// shownSessions is how many rows a table has, unless more are asked for.
const shownSessions = 50

// listing settles how sessions are listed: sorted how, in which format of
// ClickHouse's, at most how many; a table has shown unless another limit is asked
// for.
func (a *app) listing(sort string, format *string, most int, asked bool, shown int) (order sessions.Sort, clickhouse string, limit int, err error) {
	if order, err = sessions.ParseSort(sort); err != nil {
		return order, "", 0, usageError(err)
	}
	if *format == "" {
		*format = "csv"
		if isTerminal(a.stdout) {
			*format = "table"
		}
	}
	clickhouse, ok := sessionFormats[*format]
	if !ok {
		return order, "", 0, usagef("--format %q: use table, csv, json or ndjson", *format)
	}
	if most < 0 {
		return order, "", 0, usagef("--limit %d: must not be negative", most)
	}
	if !asked && *format == "table" {
		most = shown
	}
	return order, clickhouse, most, nil
}

func (a *app) sessionsCommand() *cobra.Command {
	var s sessionsFlags
	c := &cobra.Command{
		Use:   "sessions",
		Short: "List collected sessions: who talks to whom",
		Long:  sessionsHelp,
		Example: `  cordon sessions --host 10.0.0.1                      who talks to this host, and whom does it talk to
  cordon sessions --client group:web --sort -bytes     what does this group use
  cordon sessions --state half-open,denied --last 24h  what was not answered, or dropped
  cordon sessions --new 24h                            what is new since yesterday
  cordon sessions --reason ambiguous-direction --host 10.0.0.1  why are these in no rule
  cordon sessions --service tcp/22 --format csv`,
		Args: func(cmd *cobra.Command, args []string) error { return noArgs(cmd, withoutReasons(args, &s.reasons)) },
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.limited = cmd.Flags().Changed("limit")
			return a.sessions(cmd.Context(), &s)
		},
	}
	f := c.Flags()
	s.filterFlags(f)
	f.StringSliceVar(&s.reasons, "reason", nil, "only sessions that a proposal leaves out, each with its reason; or those of these reasons: "+reasonNames())
	f.Lookup("reason").NoOptDefVal = allReasons
	f.StringVar(&s.proposal, "proposal", "", "with --reason: the proposal, a file or the beginning of an id (default: the newest of each VRF)")
	f.StringVarP(&s.groups, "groups", "g", "", "groups file, for group:NAME and names of services")
	f.StringVar(&s.sort, "sort", "-last_seen", "column to sort by, with - before it for descending")
	f.IntVarP(&s.limit, "limit", "n", 0, "at most so many; 0 for all (default: 50 in a table)")
	f.StringVarP(&s.format, "format", "f", "", "table, csv, json or ndjson (default: table on a terminal, else csv)")
	return c
}

// filterFlags are the flags that say which sessions; the API has parameters of the same names.
func (s *sessionsFlags) filterFlags(f *pflag.FlagSet) {
	s.scope.flags(f)
	f.StringSliceVar(&s.filter.Services, "service", nil, "tcp/443, udp/8000-8080, icmp/8, gre, a port, or a name such as https, or of the groups file (may be repeated)")
	f.StringVar(&s.filter.VRF, "vrf", "", "one VRF")
	f.StringSliceVar(&s.states, "state", nil, "complete, half-open or denied (may be repeated)")
	s.window.flags(f)
	f.StringVar(&s.newSince, "new-since", "", "seen for the first time at or after this time")
	f.Var((*span)(&s.newIn), "new", "seen for the first time in the last so long, such as 24h or 7d")
}

// complete turns flags into the filter, but for those that need the groups file.
func (s *sessionsFlags) complete(now time.Time) error {
	var err error
	if s.filter.Since, s.filter.Until, err = s.window.times(now); err != nil {
		return err
	}
	if s.newSince != "" && s.newIn != 0 {
		return usagef("--new and --new-since exclude each other")
	}
	zone, err := s.window.location()
	if err != nil {
		return err
	}
	if s.filter.NewSince, err = parseTime("--new-since", s.newSince, now, zone); err != nil {
		return err
	}
	if s.newIn < 0 {
		return usagef("--new %v: must be more than zero", s.newIn)
	}
	if s.newIn > 0 {
		s.filter.NewSince = now.Add(-s.newIn)
	}
	for _, state := range s.states {
		s.filter.States = append(s.filter.States, sessions.State(state))
	}
	return nil
}

func (a *app) sessions(ctx context.Context, s *sessionsFlags) error {
	if err := s.complete(time.Now()); err != nil {
		return err
	}
	reasons, err := parseReasons("reason", s.reasons)
	if err != nil {
		return err
	}
	if s.proposal != "" && len(s.reasons) == 0 {
		return usagef("--proposal goes with --reason")
	}
	order, format, limit, err := a.listing(s.sort, &s.format, s.limit, s.limited, shownSessions)
	if err != nil {
		return err
	}
	if _, err := s.scope.scope(); err != nil {
		return err
	}
	file, err := a.groupsKnown(ctx, s.groups, s.filter.VRF, s.filter.Until, false)
	if err != nil {
		return err
	}

	st, err := a.openStore(ctx, storeNeeds{})
	if err != nil {
		return err
	}
	defer st.close()
	if file == nil {
		if file, err = storedGroups(ctx, st.Reader); err != nil {
			return err
		}
	}
	if s.filter.Ends, err = s.scope.ends(file); err != nil {
		return err
	}
	if len(s.reasons) > 0 {
		left, err := a.openLeftOut(ctx, st, s.proposal, s.filter.VRF, reasons, &subject{groups: file, storedGroups: s.groups == ""})
		if err != nil {
			return err
		}
		defer left.close(ctx)
		s.filter.Table = &sessions.Table{SQL: left.sql, Own: []string{"reason", "note"}}
	}
	s.filter.Brief = s.format == "table"
	q, err := sessions.Build(s.filter, order, limit, file)
	if err != nil {
		return usageError(err)
	}
	return a.printSessions(ctx, st, s, q, format)
}

// printSessions runs the query, and says where a table is empty or cut off.
func (a *app) printSessions(ctx context.Context, st *store, s *sessionsFlags, q sessions.Query, format string) error {
	set := clickhouse.Settings{"output_format_pretty_max_rows": 1_000_000, "output_format_pretty_display_footer_column_names": 0}
	if s.format == "json" {
		set["output_format_json_array_of_rows"] = 1
	}
	query := st.Reader.QueryFormat
	if len(q.SQL) > shortQuery || s.filter.Table != nil {
		query, set["max_query_size"] = st.Conn.QueryFormat, longQuery
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(q.Parameters), clickhouse.WithSettings(set))
	r, err := query(ctx, format, q.SQL)
	if err != nil {
		return fmt.Errorf("sessions: %w", err)
	}
	defer r.Close()
	var lines lineCounter
	if _, err := io.Copy(io.MultiWriter(a.stdout, &lines), r); err != nil {
		return fmt.Errorf("sessions: %w", err)
	}
	const frame = 2 // lines of a table that are no rows
	switch {
	case s.format == "table" && lines == 0:
		fmt.Fprintln(a.stderr, "No stored session matches these filters. `cordon status` says what is stored, and why data may be missing.")
	case s.format == "table" && !s.limited && lines >= shownSessions+frame:
		fmt.Fprintf(a.stderr, "The first %d sessions are shown, there may be more: --limit 0 gives all.\n", shownSessions)
	}
	return nil
}

// lineCounter counts the lines written to it.
type lineCounter int

func (c *lineCounter) Write(p []byte) (int, error) {
	*c += lineCounter(bytes.Count(p, []byte{'\n'}))
	return len(p), nil
}
