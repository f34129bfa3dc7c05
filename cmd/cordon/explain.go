package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"cordon/categories"
	"cordon/internal/iana"
	"cordon/internal/sessions"
	"cordon/internal/text"
	"cordon/recommender"
	"cordon/recommender/policy"
	"cordon/recommender/simulate"
	"cordon/schema"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/spf13/cobra"
)

const explainHelp = `Says on one page what stands behind one question: may CLIENT reach SERVER with SERVICE?
Which groups both are in and why, which rule decides under each policy, which sessions were
seen, why one end counts as the client, and why the session is proposed or is not. Groups are
those of the time when the session was seen last; where an end changed its groups, the page
says when, and what is true of the sessions of each time.

SERVICE is tcp/443, icmp/8, gre, or a name such as https. --policy names policies: files or
beginnings of proposals' ids (default: the newest proposal of the VRF). The reason is that of
the first proposal among them; without a proposal it is what generate-rules would say now.`

// explainFlags are the flags of explain.
type explainFlags struct {
	policies   []string
	groups     string
	categories []string
	vrf        string
	window     window
	from       []string
	end        string
	format     string
}

// explanation is the answer of explain.
type explanation struct {
	APIVersion string             `json:"apiVersion"`
	Kind       string             `json:"kind"`
	VRF        string             `json:"vrf"`
	Service    string             `json:"service"`
	Client     explainedEnd       `json:"client"`
	Server     explainedEnd       `json:"server"`
	Verdicts   []simulate.Verdict `json:"verdicts"`
	Times      []explainedTime    `json:"times,omitempty"` // set where an end changed its owner; one for each pair of owners that has sessions
	Sessions   []seenSession      `json:"sessions"`
	Reverse    []seenSession      `json:"reverse"`             // Sessions whose client is the server asked for.
	Direction  string             `json:"direction,omitempty"` // why the client is the client; empty where nothing was seen
	Reason     string             `json:"reason"`              // included, one of a proposal's reasons, no-rule or not-seen
	Note       string             `json:"note,omitempty"`      // Grounds of the reason.
	Meaning    string             `json:"meaning"`             // the reason as a sentence
	Proposal   string             `json:"proposal,omitempty"`  // The proposal that gives the reason; empty where generate-rules would say it.
}

// explainedEnd is an address and the groups around it.
type explainedEnd struct {
	Address string                  `json:"address"`
	Kind    string                  `json:"kind"` // public, private or local
	Groups  []categories.Membership `json:"groups"`
	At      *policy.Time            `json:"at,omitempty"`     // the moment of the groups, where the groups file has times
	Owners  []policy.Owner          `json:"owners,omitempty"` // the groups that it was in one after another, where these changed about the window

	label string // The label of the group that it resolves to, or empty.
}

// seenSession is a stored session.
type seenSession struct {
	VRF       string   `json:"vrf"`
	Client    string   `json:"client"`
	Server    string   `json:"server"`
	Service   string   `json:"service"`
	State     string   `json:"state"`
	Flows     uint64   `json:"flows"`
	Packets   uint64   `json:"packets"`
	Bytes     uint64   `json:"bytes"`
	FirstSeen string   `json:"first_seen"`
	LastSeen  string   `json:"last_seen"`
	Basis     string   `json:"direction_basis"`
	Exporters []string `json:"exporters"`
}

// Reasons of explain beside those of listings.
const (
	reasonIncluded = "included"
	reasonNotSeen  = "not-seen"
)

func (a *app) explainCommand() *cobra.Command {
	var f explainFlags
	c := &cobra.Command{
		Use:   "explain CLIENT SERVER SERVICE",
		Short: "One session on one page: groups, rules, what was seen, and why",
		Long:  explainHelp,
		Example: `  cordon explain 10.0.0.1 10.0.1.1 tcp/5432
  cordon explain 10.0.0.1 10.0.1.1 https --policy switch.cfg --policy 3f2a`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 3 {
				return usagef("%s takes a client, a server and a service, got %d arguments", cmd.CommandPath(), len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.explain(cmd.Context(), args, &f) },
	}
	fs := c.Flags()
	fs.StringArrayVarP(&f.policies, "policy", "p", nil, "a policy: a file or the beginning of a proposal's id (may be repeated; default: the newest proposal of the VRF)")
	fs.StringVarP(&f.groups, "groups", "g", "", "groups file (default: the one that generate-rules used last)")
	fs.StringSliceVar(&f.categories, "category", nil, "selected categories, in order of precedence (default: those of the proposal, else all in file order)")
	fs.StringVar(&f.vrf, "vrf", "", "the VRF (default: the one in which the session was seen, else default)")
	f.window.flags(fs)
	fs.StringArrayVar(&f.from, "from", nil, "take the sessions from this file (may be repeated)")
	fs.StringVar(&f.end, "default", string(policy.Deny), "what is done with what no rule matches, where a policy does not say: deny or allow")
	fs.StringVarP(&f.format, "format", "f", "text", "text or json")
	return c
}

// question is what explain is asked.
type question struct {
	client, server netip.Addr
	service        categories.Service
	since, until   time.Time
}

// parseQuestion reads the arguments. The groups file, nil for none, knows names of services.
func parseQuestion(args []string, file *categories.File) (q question, err error) {
	for i, to := range []*netip.Addr{&q.client, &q.server} {
		if *to, err = netip.ParseAddr(args[i]); err != nil {
			return q, usagef("%s is no address: explain is about one client and one server", args[i])
		}
		*to = to.Unmap().WithZone("")
	}
	if q.client.Is4() != q.server.Is4() {
		return q, usagef("%s and %s are not of one family: no session is between them", args[0], args[1])
	}
	terms, err := sessions.ServiceTerms(args[2], file)
	switch {
	case err != nil:
		return q, usagef("%s: %w", args[2], err)
	case terms[0].Lo != terms[0].Hi:
		return q, usagef("%s is a range: explain is about one service", args[2])
	}
	// A name or a bare port may be of several protocols, of which TCP comes first.
	q.service = categories.Service{Proto: terms[0].Proto, Port: terms[0].Lo}
	return q, nil
}

func (a *app) explain(ctx context.Context, args []string, f *explainFlags) error {
	if err := oneOf("format", f.format, []string{"text", "json"}); err != nil {
		return err
	}
	if err := oneOf("default", f.end, []string{"deny", "allow"}); err != nil {
		return err
	}
	var named []*policyText
	for _, name := range f.policies {
		t, err := readPolicyText("policy", name, len(f.from) > 0)
		if err != nil {
			return err
		}
		named = append(named, t)
	}
	var file *categories.File
	var err error
	if file, err = parseGroups(f.groups); err != nil {
		return err
	}
	q, err := parseQuestion(args, file)
	if err != nil {
		return err
	}
	if q.since, q.until, err = f.window.times(time.Now()); err != nil {
		return err
	}
	st, err := a.sessionsOf(ctx, f.from)
	if err != nil {
		return err
	}
	defer st.close()
	if file, err = a.withSources(ctx, st, file, len(f.from) > 0); err != nil {
		return err
	}
	x := &explainer{a: a, st: st, f: f, q: q, file: file, named: named}
	if x.file == nil && len(f.from) == 0 {
		if x.file, err = storedGroups(ctx, st.Reader); err != nil {
			return err
		}
		x.storedGroups = x.file != nil
	}
	if err := x.run(ctx); err != nil {
		return err
	}
	if f.format == "json" {
		enc := json.NewEncoder(a.stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(&x.out)
	}
	return x.writeText()
}

// explainer puts an explanation together.
type explainer struct {
	a            *app
	st           *store
	f            *explainFlags
	q            question
	file         *categories.File // nil for none
	storedGroups bool
	named        []*policyText
	judges       []*simulate.Candidate
	proposal     *policy.Proposal // The proposal that gives the reason; nil for none.
	out          explanation
}

func (x *explainer) run(ctx context.Context) (err error) {
	o := &x.out
	o.APIVersion, o.Kind, o.Service = policy.APIVersion, "Explanation", x.q.service.String()
	if o.Sessions, err = x.seen(ctx, x.q.client, x.q.server); err != nil {
		return err
	}
	if o.Reverse, err = x.seen(ctx, x.q.server, x.q.client); err != nil {
		return err
	}
	o.VRF = x.vrf()
	if err := x.findProposal(ctx); err != nil {
		return err
	}
	if x.f.groups == "" && x.proposal != nil && x.proposal.GroupsFile != "" {
		if x.file, err = x.proposal.CarriedTimes(); err != nil {
			return usageError(err)
		}
		x.storedGroups = false
	}
	selected := x.f.categories
	if len(selected) == 0 && x.proposal != nil {
		selected = x.proposal.Categories
	}
	if o.Client, err = x.end(x.q.client, selected); err != nil {
		return err
	}
	if o.Server, err = x.end(x.q.server, selected); err != nil {
		return err
	}
	if err := x.candidates(ctx); err != nil {
		return err
	}
	if err := x.times(ctx, selected); err != nil {
		return err
	}
	at := x.moment()
	if o.Verdicts, err = x.verdicts(at, at, true); err != nil {
		return err
	}
	if i := slices.IndexFunc(o.Sessions, func(s seenSession) bool { return s.VRF == o.VRF }); i >= 0 {
		o.Direction = directionText(o.Sessions[i].Basis)
	}
	return x.reason(ctx)
}

// vrf is the VRF that the question is about.
func (x *explainer) vrf() string {
	for _, list := range [][]seenSession{x.out.Sessions, x.out.Reverse} {
		if len(list) > 0 && x.f.vrf == "" {
			return list[0].VRF
		}
	}
	if x.f.vrf == "" {
		return "default"
	}
	return x.f.vrf
}

// between selects the sessions of two addresses.
func between(client, server netip.Addr) schema.Ends {
	one := func(addr netip.Addr) []netip.Prefix { return []netip.Prefix{netip.PrefixFrom(addr, addr.BitLen())} }
	return schema.Ends{Client: one(client), Server: one(server)}
}

// seen reads the sessions of the service between two addresses.
func (x *explainer) seen(ctx context.Context, client, server netip.Addr) ([]seenSession, error) {
	filter := sessions.Filter{Since: x.q.since, Until: x.q.until, VRF: x.f.vrf, Services: []string{x.q.service.String()},
		Ends: between(client, server)}
	query, err := sessions.Build(filter, sessions.Sort{Column: "last_seen", Descending: true}, 0, nil)
	if err != nil {
		return nil, err
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(query.Parameters), clickhouse.WithSettings(clickhouse.Settings{"output_format_json_quote_64bit_integers": 0}))
	r, err := x.st.Conn.QueryFormat(ctx, "JSONEachRow", query.SQL)
	if err != nil {
		return nil, fmt.Errorf("sessions: %w", err)
	}
	defer r.Close()
	out := []seenSession{}
	for lines := bufio.NewScanner(r); lines.Scan(); {
		var s seenSession
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			return nil, fmt.Errorf("sessions: %w", err)
		}
		out = append(out, s)
	}
	return out, nil
}

// moment is when groups are looked up: when the session was seen last, else at the end of the window that was asked for, or now.
func (x *explainer) moment() time.Time {
	if i := slices.IndexFunc(x.out.Sessions, func(s seenSession) bool { return s.VRF == x.out.VRF }); i >= 0 {
		if at, err := time.Parse(time.DateTime, x.out.Sessions[i].LastSeen); err == nil {
			return at
		}
	}
	if x.q.until.IsZero() {
		return time.Now()
	}
	return x.q.until.Add(-time.Microsecond)
}

// findProposal finds the proposal that gives the reason, and where no policy is named it names it.
func (x *explainer) findProposal(ctx context.Context) error {
	if len(x.named) == 0 && len(x.f.from) == 0 {
		list, err := recommender.List(ctx, x.st.Conn, x.out.VRF, 1)
		if err != nil {
			return fmt.Errorf("proposals: %w", err)
		}
		for _, p := range list {
			x.named = append(x.named, &policyText{name: p.ID, id: p.ID})
		}
	}
	for _, t := range x.named {
		if t.id != "" {
			p, err := x.a.proposal(ctx, x.st, t.id)
			if err != nil {
				return err
			}
			if p.VRF == x.out.VRF {
				x.proposal = p
				return nil
			}
			continue
		}
		if !slices.ContainsFunc(t.file.policies, func(p policy.Policy) bool { return p.Kind == policy.KindProposal && p.VRF == x.out.VRF }) {
			continue
		}
		list, err := policy.ReadProposalFile(t.name)
		if err != nil {
			return usageError(err)
		}
		for i := range list {
			if list[i].VRF == x.out.VRF {
				x.proposal = &list[i]
				return nil
			}
		}
	}
	return nil
}

func (x *explainer) end(addr netip.Addr, selected []string) (explainedEnd, error) {
	out := explainedEnd{Address: addr.String(), Kind: categories.KindOf(addr).String(), Groups: []categories.Membership{}}
	if x.file == nil {
		return out, nil
	}
	list, err := x.file.At(x.moment()).Memberships(selected, addr)
	if err != nil {
		return out, usageError(err)
	}
	out.Groups = append(out.Groups, list...)
	if x.file.Timed() {
		at := policy.NewTime(x.moment())
		out.At = &at
	}
	labels := categories.NewLabels(x.file)
	if i := slices.IndexFunc(list, func(m categories.Membership) bool { return m.Selected }); i >= 0 {
		out.label = labels.Label(categories.Ref{Category: list[i].Category, Group: list[i].Group})
	}
	out.Owners, err = x.owners(addr, selected)
	return out, usageError(err)
}

// candidates makes the policies that were named ones that sessions are judged by.
func (x *explainer) candidates(ctx context.Context) error {
	for _, t := range x.named {
		c, err := x.a.candidate(ctx, x.st, t, x.file, x.f.categories, policy.Action(x.f.end), replayed{x.q.since, x.q.until})
		if err != nil {
			return err
		}
		x.judges = append(x.judges, c)
	}
	return nil
}

// verdicts says what each policy does with the flows of the session from one moment to another of an hour. Those that are not for the VRF are named if asked.
func (x *explainer) verdicts(first, last time.Time, say bool) ([]simulate.Verdict, error) {
	out := []simulate.Verdict{}
	for _, c := range x.judges {
		v, holds, err := c.Judge(x.out.VRF, x.q.client, x.q.server, x.q.service, first, last)
		if wrong, ok := errors.AsType[*simulate.MeaningError](err); ok {
			return nil, usagef("%w (groups are known from --groups)", wrong)
		}
		if err != nil {
			return nil, err
		}
		switch {
		case holds:
			out = append(out, v)
		case say:
			fmt.Fprintf(x.a.stderr, "cordon: %s is not for VRF %s\n", c.Name, x.out.VRF)
		}
	}
	return out, nil
}

// asked are the conditions of SQL that select the session that was asked for.
func (x *explainer) asked() []string {
	ends := between(x.q.client, x.q.server)
	conditions, _ := ends.Conditions("exporters")
	conditions = append(conditions, fmt.Sprintf("proto = %d", x.q.service.Proto))
	if x.q.service.Kind() != categories.KindProtocol {
		conditions = append(conditions, fmt.Sprintf("if(proto IN (%d, %d), icmp_type, port) = %d", iana.ICMP, iana.ICMPv6, x.q.service.Port))
	}
	return conditions
}

// reason finds why the session is proposed, or is not.
func (x *explainer) reason(ctx context.Context) error {
	o := &x.out
	defer func() { o.Meaning = reasonText(o.Reason, o.Note, x.proposal != nil) }()
	if !slices.ContainsFunc(o.Sessions, func(s seenSession) bool { return s.VRF == o.VRF }) {
		o.Reason = reasonNotSeen
		return nil
	}
	p := x.proposal
	if p == nil {
		p = x.unmade()
	} else {
		o.Proposal = p.ID
	}
	v, err := x.a.openView(ctx, x.st, p, x.madeWith(p))
	if err != nil {
		return err
	}
	defer v.Close(ctx)
	rows, err := x.st.Conn.Query(ctx, "SELECT reason, note, client_group, server_group FROM "+v.Table+" WHERE "+strings.Join(x.asked(), " AND ")+" ORDER BY reason = '', reason")
	if err != nil {
		return fmt.Errorf("reason: %w", err)
	}
	defer rows.Close()
	// A session counts once for each pair of owners: what is said is that of the last time.
	client, server := o.Client.label, o.Server.label
	o.Reason = reasonIncluded
	for first := true; rows.Next(); first = false {
		var reason, note, from, to string
		if err := rows.Scan(&reason, &note, &from, &to); err != nil {
			return fmt.Errorf("reason: %w", err)
		}
		if reason == "" || x.proposal == nil && reason == string(recommender.NoRule) {
			reason = reasonIncluded // A proposal that is made now would include it.
		}
		last := from == client && to == server
		if first || last {
			o.Reason, o.Note = reason, note
		}
		x.explainTime(from, to, reason, note)
		if last {
			client, server = "\x00", "\x00" // the first one stands
		}
	}
	return rows.Err()
}

// madeWith is what a proposal was made with, as far as it says so.
func (x *explainer) madeWith(p *policy.Proposal) *madeWith {
	existing, guardrails := p.MadeWith()
	return &madeWith{groups: x.file, storedGroups: x.storedGroups, existing: existing, guardrails: guardrails}
}

// unmade stands for the proposal that generate-rules would make of everything stored, without its rules.
func (x *explainer) unmade() *policy.Proposal {
	p := &policy.Proposal{APIVersion: policy.APIVersion, Kind: policy.KindProposal, VRF: x.out.VRF}
	p.Window = policy.Window{From: policy.NewTime(time.Unix(0, 0)), To: policy.NewTime(time.Date(2199, 1, 1, 0, 0, 0, 0, time.UTC))}
	if !x.q.since.IsZero() {
		p.Window.From = policy.NewTime(x.q.since)
	}
	if !x.q.until.IsZero() {
		p.Window.To = policy.NewTime(x.q.until)
	}
	if x.file != nil {
		p.Categories = x.f.categories
		if len(p.Categories) == 0 {
			p.Categories = x.file.CategoryNames()
		}
	}
	return p
}

// directionText says what shows who the client is.
func directionText(basis string) string {
	switch basis {
	case "stated":
		return "the source of the record says so"
	case "initiator":
		return "the exporter says who opened it"
	case "tcp-flags":
		return "the client sent SYN without ACK, or the server SYN-ACK"
	case "icmp":
		return "the client sent the request"
	case "port-range":
		return "the client's port is one of those that clients take, the server's is not"
	case "known-port":
		return "the server's port is one of a known service, the client's is not"
	case "degree":
		return "no record tells; the number of peers, or other sessions of the two ends, do"
	}
	return "nothing tells: the lower port stands as the server, then the lower address"
}

// reasonText is a reason as a sentence.
func reasonText(reason, note string, made bool) string {
	texts := map[string]string{
		reasonIncluded:                    "It is in a rule of the proposal.",
		reasonNotSeen:                     "Nothing of the kind was seen in the window, so nothing is proposed for it.",
		string(recommender.NoRule):        "It may be proposed, and no rule of the proposal holds it: it came after the proposal was made, or the rules were edited.",
		string(policy.Local):              "An end is loopback, link-local, multicast, broadcast or unspecified, and no selected group names it.",
		string(policy.Excluded):           "The groups file excludes it",
		string(policy.Denied):             "The exporter says that it was dropped.",
		string(policy.HalfOpen):           "It was never answered.",
		string(policy.AmbiguousDirection): "Client and server cannot be told apart.",
		string(policy.Scanner):            "The client scans",
		string(policy.External):           "An end is a public address in no selected group.",
		string(policy.Ungrouped):          "An end is a private address in no selected group.",
		string(policy.Guardrail):          "A guardrail forbids its cell",
		string(policy.AlreadyPermitted):   "A policy in force permits it",
		string(policy.BelowSupport):       "Its cell has too little support",
	}
	if reason == reasonIncluded && !made {
		return "It would be in a rule: no proposal is at hand, and nothing keeps it out."
	}
	out := texts[reason]
	if !strings.HasSuffix(out, ".") {
		if note != "" {
			out += ": " + note
		}
		out += "."
	}
	return out
}

// writeText writes the page for people.
func (x *explainer) writeText() error {
	o := &x.out
	w := x.a.stdout
	fmt.Fprintf(w, "%s -> %s %s in VRF %s\n", o.Client.Address, o.Server.Address, o.Service, o.VRF)
	for _, side := range []struct {
		name string
		end  *explainedEnd
	}{{"Client", &o.Client}, {"Server", &o.Server}} {
		fmt.Fprintf(w, "\n%s %s (%s)\n", side.name, side.end.Address, side.end.Kind)
		if len(side.end.Groups) == 0 {
			fmt.Fprintln(w, "  in no group")
		}
		if side.end.At != nil {
			fmt.Fprintf(w, "  at %s\n", side.end.At.Format(time.RFC3339))
		}
		for _, g := range side.end.Groups {
			mark := " "
			if g.Selected {
				mark = "*"
			}
			fmt.Fprintf(w, "%s %s/%s by %s: %s\n", mark, g.Category, g.Group, g.Prefix, g.Why)
		}
		for _, owner := range side.end.Owners {
			fmt.Fprintf(w, "  %s\n", ownerText(&owner))
		}
	}
	fmt.Fprintln(w, "\nPolicies")
	if len(o.Verdicts) == 0 {
		fmt.Fprintln(w, "  none: --policy names some")
	}
	for _, v := range o.Verdicts {
		fmt.Fprintf(w, "  %s: %s by %s\n", v.Policy, v.Decision, v.Rule)
	}
	x.writeTimes()
	if err := x.writeSeen("Seen", o.Sessions); err != nil {
		return err
	}
	if len(o.Reverse) > 0 {
		if err := x.writeSeen("Seen the other way round", o.Reverse); err != nil {
			return err
		}
	}
	if o.Direction != "" {
		fmt.Fprintf(w, "\nDirection: %s\n", o.Direction)
	}
	from := "generate-rules would say"
	if o.Proposal != "" {
		from = "proposal " + shortID(o.Proposal)
	}
	_, err := fmt.Fprintf(w, "\nProposed (%s): %s. %s\n", from, o.Reason, o.Meaning)
	return err
}

func (x *explainer) writeSeen(title string, list []seenSession) error {
	fmt.Fprintln(x.a.stdout, "\n"+title)
	if len(list) == 0 {
		fmt.Fprintln(x.a.stdout, "  no session")
		return nil
	}
	rows := [][]string{{"VRF", "STATE", "FLOWS", "PACKETS", "BYTES", "FIRST SEEN", "LAST SEEN", "BASIS", "SEEN BY"}}
	for _, s := range list {
		rows = append(rows, []string{s.VRF, s.State, text.Number(s.Flows), text.Number(s.Packets), text.Number(s.Bytes), s.FirstSeen, s.LastSeen, s.Basis, strings.Join(s.Exporters, " ")})
	}
	return text.Table(x.a.stdout, rows, terminalWidth(x.a.stdout), "SEEN BY", "PACKETS")
}
