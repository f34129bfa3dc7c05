package render

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"cordon/categories"
	"cordon/internal/text"
	"cordon/recommender/policy"
)

// indent is before the columns, under the name of their rule.
const indent = "  "

const (
	bold  = "\x1b[1m"
	plain = "\x1b[0m"
)

func writeTable(w io.Writer, proposals []policy.Proposal, o Options) error {
	b := bufio.NewWriter(w)
	var named []categories.NamedService
	if o.Groups != nil {
		named = o.Groups.Services
	}
	for i := range proposals {
		if o.Groups == nil {
			named = proposals[i].NamedServices()
		}
		names := categories.NewServiceNames(named)
		if i > 0 {
			fmt.Fprintln(b)
		}
		table{b, o, names}.proposal(&proposals[i])
	}
	return b.Flush()
}

type table struct {
	w     *bufio.Writer
	o     Options
	names *categories.ServiceNames
}

func (t table) head(text string) {
	if t.o.Color {
		text = bold + text + plain
	}
	fmt.Fprintln(t.w, text)
}

// para writes text wrapped at the width, later lines indented like the first.
func (t table) para(indent, text string) {
	line := indent
	for _, word := range strings.Fields(text) {
		if len(line) > len(indent) && len([]rune(line))+1+len([]rune(word)) > t.o.Width {
			fmt.Fprintln(t.w, line)
			line = indent
		}
		if len(line) > len(indent) {
			line += " "
		}
		line += word
	}
	fmt.Fprintln(t.w, line)
}

func (t table) proposal(p *policy.Proposal) {
	t.head(fmt.Sprintf("Proposal for VRF %s", p.VRF))
	t.para("", p.ID)
	categories := "no categories"
	if len(p.Categories) > 0 {
		categories = "categories " + strings.Join(p.Categories, ", ")
	}
	t.para("", fmt.Sprintf("sessions from %s to %s, %s", clock(p.Window.From), clock(p.Window.To), categories))
	if !p.Scope.Empty() {
		t.para("", "only sessions in the scope "+p.Scope.String())
	}
	fmt.Fprintln(t.w)
	t.rules(p)
	t.inForce(p)
	t.missing(p)
	t.unproposed(p)
	t.reused(p)
	s := &p.Summary
	if c := s.Coverage; c != nil {
		t.para("", fmt.Sprintf("For %s of the %s: %s", askedFor(p), c.By, Certificate(&p.Certificate)))
		t.para("", fmt.Sprintf("%s reached: %d of %d %s are permitted, %d were asked for.", c.Reached, c.Permitted, c.Total, c.By, c.Needed))
	} else {
		t.para("", Certificate(&p.Certificate))
	}
	t.para("", fmt.Sprintf("%d of %s included, in %s.", s.Included, count(s.Sessions, "session"), count(uint64(s.Cells), "cell")))
	if s.Rules > 0 {
		t.para("", fmt.Sprintf("A rule for each host pair and service would make %d, a rule for each pair of groups %d; %s %d lines on Arista EOS.",
			s.PerHostRules, s.PerPairRules, these(s.Rules), s.EOSLines))
	}
	t.readiness(p.Readiness)
}

// shownLearning is how many groups that are still learning a table names.
const shownLearning = 5

// readiness says how far the sessions are known.
func (t table) readiness(r *policy.Readiness) {
	if r == nil {
		return
	}
	if f := &r.Forecast; f.DeniedShareAtMost != nil {
		t.para("", fmt.Sprintf("At most %.2f%% of the sessions of the next %s are denied, if nothing new is introduced.", 100**f.DeniedShareAtMost, f.Horizon))
	} else {
		t.para("", "What will be denied cannot be bounded: "+f.Declined+".")
	}
	var learning []string
	for _, g := range r.Groups {
		if g.State == "learning" {
			learning = append(learning, g.Group)
		}
	}
	if len(learning) > 0 {
		t.para("", fmt.Sprintf("Still learning: %s. `cordon readiness` says what came last.", text.List(learning, shownLearning)))
	}
}

func these(rules int) string {
	if rules == 1 {
		return "this one takes"
	}
	return fmt.Sprintf("these %d take", rules)
}

func (t table) rules(p *policy.Proposal) {
	if len(p.Rules) == 0 {
		t.para("", "No rules: no session is left to propose one for.")
		fmt.Fprintln(t.w)
		return
	}
	g := grid{
		head:    []string{"SOURCES", "DESTINATIONS", "SERVICES", "SESSIONS", "CLIENTS", "SERVERS", "PAIRS"},
		numeric: []bool{false, false, false, true, true, true, true},
	}
	for i := range p.Rules {
		r := &p.Rules[i]
		number := func(n uint64) []string { return []string{fmt.Sprint(n)} }
		g.rows = append(g.rows, [][]string{
			endpoints(r.Sources), endpoints(r.Destinations), t.services(r.Services),
			number(r.Evidence.Sessions), number(r.Evidence.Clients), number(r.Evidence.Servers),
			{fmt.Sprintf("%d/%d", r.Excess.ObservedPairs, r.Excess.PermittedPairs)},
		})
	}
	head, rows := g.lines(t.o.Width - len(indent))
	for _, line := range head {
		t.head(indent + line)
	}
	for i, row := range rows {
		t.head(p.Rules[i].Name)
		for _, line := range row {
			fmt.Fprintln(t.w, indent+line)
		}
	}
	t.para("", "PAIRS: (client, server) pairs seen, of those that the rule permits among known hosts.")
	for i := range p.Rules {
		for _, pr := range p.Rules[i].PortRanges {
			t.para("", fmt.Sprintf("%s permits the range %s: %d ports, of which %d were seen.", p.Rules[i].Name, pr.Service, pr.PermittedPorts, pr.ObservedPorts))
		}
	}
	for i := range p.Rules {
		for _, g := range p.Rules[i].Generalised {
			t.para("", fmt.Sprintf("%s permits %s -> %s %s, where nothing was seen; by what was seen from %s to %s, %.4g sessions were expected, and none had probability %.4g.",
				p.Rules[i].Name, short(g.Source), short(g.Destination), g.Service, short(g.Within.Source), short(g.Within.Destination), g.ExpectedSessions, g.Probability))
		}
	}
	for _, h := range p.Prefixes {
		t.para("", fmt.Sprintf("%s stands for %s in no group and %s.", h.Prefix, count(h.Hosts, "host"), extra(h.ExtraAddresses)))
	}
	fmt.Fprintln(t.w)
}

// services writes services with the name that the groups file or common usage has
// for them, each name once before those it goes with: "DNS tcp/53, udp/53".
func (t table) services(set []policy.Service) []string {
	var names []string // names, sorted by first use
	named := map[string][]string{}
	for _, s := range set {
		name := ""
		if !s.Any && s.Term.Lo == s.Term.Hi {
			service := categories.Service{Proto: s.Term.Proto, Port: s.Term.Lo}
			if name = t.names.Name(service); name == service.String() {
				name = ""
			}
		}
		if _, ok := named[name]; !ok {
			names = append(names, name)
		}
		named[name] = append(named[name], s.String())
	}
	var out []string
	for _, name := range names {
		for i, s := range named[name] {
			if i == 0 && name != "" {
				s = name + " " + s
			}
			out = append(out, s)
		}
	}
	return out
}

// foldedEndpoints is how many endpoints of a rule a table lists before it says
// how many there are besides. The other formats list them all.
const foldedEndpoints = 12

// endpoints writes literals in short: groups by name, hosts by address.
func endpoints(set []policy.Endpoint) []string {
	out := make([]string, len(set))
	for i, e := range set {
		out[i] = short(e)
	}
	return text.Fold(out, foldedEndpoints)
}

func short(e policy.Endpoint) string {
	switch {
	case e.IsGroup():
		return e.Group
	case !e.IsAny() && e.Prefix.IsSingleIP():
		return e.Prefix.Addr().String()
	case !e.IsAny():
		return e.Prefix.String()
	}
	return e.String()
}

// Reason says in words why sessions are left out, and what would change that.
func Reason(r policy.Reason) string {
	switch r {
	case policy.Local:
		return "loopback, link-local, multicast, broadcast or unspecified address"
	case policy.Excluded:
		return "excluded by the groups file"
	case policy.Denied:
		return "dropped by the network, says the exporter"
	case policy.HalfOpen:
		return "never answered (--half-open)"
	case policy.AmbiguousDirection:
		return "client and server cannot be told apart"
	case policy.Scanner:
		return "the client scans (--exclude-scanners)"
	case policy.External:
		return "public address in no selected group (--external)"
	case policy.Ungrouped:
		return "private address in no selected group (--ungrouped)"
	case policy.Guardrail:
		return "a guardrail forbids it (--guardrails)"
	case policy.AlreadyPermitted:
		return "the existing policy permits it (--existing)"
	case policy.BelowSupport:
		return "too few sessions, clients or hours, or no pair came back (--min-sessions, --min-hosts, --min-hours, --recurring)"
	}
	return string(r)
}

func (t table) unproposed(p *policy.Proposal) {
	if len(p.Unproposed) == 0 {
		return
	}
	t.head("Not proposed")
	for _, u := range p.Unproposed {
		why := Reason(u.Reason)
		if u.Detail == policy.DetailCoverage {
			why = "the share that was asked for is reached without them (--coverage)"
		}
		t.para("  ", fmt.Sprintf("%s, %s: %s", u.Reason, count(u.Sessions, "session"), why))
		for _, e := range u.Examples {
			text := fmt.Sprintf("%s -> %s %s", e.Source, e.Destination, e.Service)
			if e.Note != "" {
				text += " (" + e.Note + ")"
			}
			t.para("      ", text)
		}
		if more := u.Sessions - uint64(len(u.Examples)); more > 0 && len(u.Examples) > 0 {
			fmt.Fprintf(t.w, "      and %d more\n", more)
		}
	}
	fmt.Fprintln(t.w)
}

// Certificate says in one sentence how close to minimal a proposal is.
func Certificate(c *policy.Certificate) string {
	rules := count(uint64(c.Rules), "rule")
	if c.Interrupted {
		rules += " (the search was interrupted)"
	}
	switch gap := c.Rules - c.LowerBound; {
	case c.Rules == 0:
		return "No rules are needed."
	case c.Optimal:
		return fmt.Sprintf("%s, proven minimal (%s).", rules, c.Method)
	case c.LowerBound == 0:
		return fmt.Sprintf("%s; how many are needed at least is not known.", rules)
	default:
		return fmt.Sprintf("%s, at most %d above the minimum: %d are needed at least (%s).", rules, gap, c.LowerBound, c.Method)
	}
}

// askedFor is the share that a proposal was asked for.
func askedFor(p *policy.Proposal) string {
	if p.Settings == nil {
		return "a share" // a document that was edited
	}
	return string(p.Settings.Coverage)
}

func count(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// extra says how many addresses of a prefix were not seen.
func extra(n uint64) string {
	switch n {
	case 0:
		return "nothing else"
	case 1:
		return "1 address that was not seen"
	}
	return fmt.Sprintf("%d addresses that were not seen", n)
}

// clock writes a time for people.
func clock(t policy.Time) string { return t.UTC().Format(time.DateTime) + "Z" }
