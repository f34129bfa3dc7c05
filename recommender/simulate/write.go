package simulate

import (
	"encoding/csv"
	"encoding/json"
	"io"
	"strconv"
	"time"

	"cordon/recommender/policy"

	"go.yaml.in/yaml/v3"
)

// WriteJSON writes the document with an indent of two blanks.
func (r *Result) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(r.filled())
}

// WriteYAML writes the same document as YAML.
func (r *Result) WriteYAML(w io.Writer) error {
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(r.filled()); err != nil {
		return err
	}
	return enc.Close()
}

// filled gives the result with empty lists where there are none.
func (r *Result) filled() *Result {
	out := *r
	out.Rules = append([]Rule{}, r.Rules...)
	out.Pairs = append([]Pair{}, r.Pairs...)
	out.Services = append([]ServiceTally{}, r.Services...)
	out.Hosts = append([]Host{}, r.Hosts...)
	out.Cells = append([]Cell{}, r.Cells...)
	return &out
}

// WriteCSV writes one line for each cell and decision, what is permitted among them; with Each, one line for each rule.
func (r *Result) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	if r.Each != nil {
		out.Write([]string{"rule", "action", "now_denied", "now_uncertain", "now_permitted", "attempts_now_denied", "attempts_now_permitted",
			"elsewhere", "bytes", "first_seen", "last_seen", "example_source", "example_destination", "example_service"})
		for i := range r.Each {
			m := &r.Each[i]
			c := &m.Denied
			if m.Changed.NowPermitted > 0 {
				c = &m.Permitted
			}
			out.Write(append([]string{m.Rule, string(m.Action), number(m.Changed.NowDenied), number(m.Changed.NowUncertain), number(m.Changed.NowPermitted),
				number(m.Changed.AttemptsNowDenied), number(m.Changed.AttemptsNowPermitted), number(m.Elsewhere), number(c.Bytes),
				moment(c.FirstSeen), moment(c.LastSeen)}, c.firstExample()...))
		}
		out.Flush()
		return out.Error()
	}
	out.Write([]string{"vrf", "decision", "rule", "before", "rule_before", "source", "destination", "service", "sessions", "attempts", "flows", "bytes",
		"first_seen", "last_seen", "example_source", "example_destination"})
	for i := range r.all {
		c := &r.all[i]
		out.Write(append([]string{c.VRF, string(c.Decision), c.Rule, string(c.Before), c.RuleBefore, c.Source, c.Destination, c.Service,
			number(c.Sessions), number(c.Attempts), number(c.Flows), number(c.Bytes), moment(c.FirstSeen), moment(c.LastSeen)}, c.firstExample()[:2]...))
	}
	out.Flush()
	return out.Error()
}

// firstExample gives the source, destination and service of the first example; empty texts where there is none.
func (c *Count) firstExample() []string {
	if len(c.Examples) == 0 {
		return []string{"", "", ""}
	}
	e := &c.Examples[0]
	return []string{e.Source, e.Destination, e.Service}
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }

func moment(t *policy.Time) string {
	if t == nil {
		return ""
	}
	return t.Format(time.RFC3339)
}
