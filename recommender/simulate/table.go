package simulate

import (
	"fmt"
	"io"
	"strings"
	"time"

	"cordon/internal/text"
	"cordon/recommender/policy"
)

// TableOptions say how a result is written for people.
type TableOptions struct {
	Width int // the terminal's, in columns; 0 for no limit
	Most  int // rows of each part; 0 for all
}

// WriteTable writes the result for a terminal.
func (r *Result) WriteTable(w io.Writer, o TableOptions) error {
	p := &printer{w: w, o: o}
	p.head(r)
	if r.Each != nil {
		p.each(r)
		return p.err
	}
	p.cells("Decided otherwise than before", r, func(c *Cell) bool { return c.Before != "" && kind(c.Before) != kind(c.Decision) })
	p.cells("What the policy stops", r, func(c *Cell) bool { return kind(c.Decision) == policy.Refused })
	p.cells("Uncertain: behind a rule that cannot be judged", r, func(c *Cell) bool { return c.Decision == policy.UncertainDecision })
	p.hosts("Clients of what is stopped", r, RoleClient)
	p.hosts("Servers of what is stopped", r, RoleServer)
	p.rules(r)
	return p.err
}

// printer writes parts until one fails.
type printer struct {
	w   io.Writer
	o   TableOptions
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// table writes a title and rows behind their head, at most so many.
func (p *printer) table(title string, rows [][]string, dispensable ...string) {
	if len(rows) == 1 || p.err != nil {
		return
	}
	p.line("\n%s", title)
	more := 0
	if p.o.Most > 0 && len(rows)-1 > p.o.Most {
		more = len(rows) - 1 - p.o.Most
		rows = rows[:p.o.Most+1]
	}
	if p.err == nil {
		p.err = text.Table(p.w, rows, p.o.Width, dispensable...)
	}
	if more > 0 {
		p.line("… and %s more (--limit 0 gives all)", text.Number(more))
	}
}

func (p *printer) head(r *Result) {
	p.line("Policy %s", r.Policy)
	if len(r.Without) > 0 {
		p.line("without  %s", strings.Join(r.Without, ", "))
	}
	if r.Against != "" {
		p.line("against  %s", r.Against)
	}
	p.line("window   %s to %s", r.Window.From.Format(time.RFC3339), r.Window.To.Format(time.RFC3339))
	if r.Scope != nil {
		p.line("scope    %s", r.Scope)
	}
	s := &r.Summary
	p.line("\n%s: %s permitted, %s denied, %s with answers denied, %s uncertain.", text.Count(s.Sessions, "session"), text.Number(s.Permitted),
		text.Number(s.Denied), text.Number(s.AnswersDenied), text.Number(s.Uncertain))
	attempts := s.AttemptsPermitted + s.AttemptsDenied + s.AttemptsUncertain
	p.line("%s, half-open or denied when they were seen: %s let through, %s stopped, %s uncertain. An attempt that is let through is no break.",
		text.Count(attempts, "attempt"), text.Number(s.AttemptsPermitted), text.Number(s.AttemptsDenied), text.Number(s.AttemptsUncertain))
	if c := r.Changed; c != nil {
		p.line("Changed: %s now denied, %s now permitted, %s now uncertain; of attempts %s, %s and %s.", text.Count(c.NowDenied, "session"), text.Number(c.NowPermitted),
			text.Number(c.NowUncertain), text.Number(c.AttemptsNowDenied), text.Number(c.AttemptsNowPermitted), text.Number(c.AttemptsNowUncertain))
	}
	if s.NotJudged > 0 {
		p.line("Not judged: %s of VRFs that the policy is not for.", text.Count(s.NotJudged, "session"))
	}
}

// cells writes those that are chosen.
func (p *printer) cells(title string, r *Result, chosen func(*Cell) bool) {
	rows := [][]string{{"SOURCE", "DESTINATION", "SERVICE", "SESSIONS", "ATTEMPTS", "DECISION", "RULE", "BEFORE", "RULE BEFORE", "BYTES", "FIRST SEEN", "LAST SEEN", "EXAMPLE", "VRF"}}
	for i := range r.Cells {
		c := &r.Cells[i]
		if !chosen(c) {
			continue
		}
		rows = append(rows, []string{c.Source, c.Destination, c.Service, text.Number(c.Sessions), text.Number(c.Attempts), string(c.Decision), c.Rule,
			string(c.Before), c.RuleBefore, text.Number(c.Bytes), moment(c.FirstSeen), moment(c.LastSeen), c.exampleText(), c.VRF})
	}
	p.table(title, rows, "VRF", "RULE BEFORE", "BYTES", "FIRST SEEN", "BEFORE", "LAST SEEN", "EXAMPLE")
}

func (p *printer) hosts(title string, r *Result, role string) {
	rows := [][]string{{"ADDRESS", "SESSIONS", "ATTEMPTS", "DECISION", "RULE", "PEERS", "SERVICES", "BYTES", "FIRST SEEN", "LAST SEEN", "VRF"}}
	for i := range r.Hosts {
		h := &r.Hosts[i]
		if h.Role != role || h.Decision == policy.Permitted {
			continue
		}
		rows = append(rows, []string{h.Address, text.Number(h.Sessions), text.Number(h.Attempts), string(h.Decision), h.Rule, text.Number(h.Peers),
			strings.Join(h.Services, " "), text.Number(h.Bytes), moment(h.FirstSeen), moment(h.LastSeen), h.VRF})
	}
	p.table(title, rows, "VRF", "BYTES", "FIRST SEEN", "PEERS", "LAST SEEN")
}

func (p *printer) rules(r *Result) {
	rows := [][]string{{"RULE", "ACTION", "SESSIONS", "ATTEMPTS", "ANSWERS DENIED", "UNCERTAIN", "BYTES", "FIRST SEEN", "LAST SEEN", "EXAMPLE"}}
	for i := range r.Rules {
		u := &r.Rules[i]
		rows = append(rows, []string{u.Name, string(u.Action), text.Number(u.Sessions), text.Number(u.Attempts), text.Number(u.AnswersDenied), text.Number(u.Uncertain),
			text.Number(u.Bytes), moment(u.FirstSeen), moment(u.LastSeen), u.exampleText()})
	}
	p.table("What each rule decides", rows, "FIRST SEEN", "BYTES", "ANSWERS DENIED", "UNCERTAIN", "LAST SEEN", "EXAMPLE")
}

func (p *printer) each(r *Result) {
	rows := [][]string{{"RULE", "ACTION", "NOW DENIED", "NOW PERMITTED", "NOW UNCERTAIN", "ATTEMPTS DENIED", "ATTEMPTS LET THROUGH", "ELSEWHERE", "BYTES", "LAST SEEN", "EXAMPLE"}}
	for i := range r.Each {
		m := &r.Each[i]
		c := &m.Denied
		if m.Changed.NowPermitted > 0 {
			c = &m.Permitted
		}
		rows = append(rows, []string{m.Rule, string(m.Action), text.Number(m.Changed.NowDenied), text.Number(m.Changed.NowPermitted), text.Number(m.Changed.NowUncertain),
			text.Number(m.Changed.AttemptsNowDenied), text.Number(m.Changed.AttemptsNowPermitted), text.Number(m.Elsewhere), text.Number(c.Bytes), moment(c.LastSeen), c.exampleText()})
	}
	p.o.Most = 0
	p.table("What changes where one rule goes (elsewhere: what other rules then decide alike)", rows, "BYTES", "LAST SEEN", "NOW UNCERTAIN", "EXAMPLE")
}

// exampleText is the first example in one word.
func (c *Count) exampleText() string {
	e := c.firstExample()
	if e[0] == "" {
		return ""
	}
	return e[0] + ">" + e[1] + " " + e[2]
}
