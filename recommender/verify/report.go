package verify

import (
	"fmt"
	"io"

	"cordon/recommender/policy"
)

// Kind classifies a finding.
type Kind string

// The kinds. The last three are notes: nothing is wrong.
const (
	BadRule      Kind = "bad-rule"      // a rule that says what no proposal says: an unknown group, another action, another's name
	Unsound      Kind = "unsound"       // a rule permits what was not observed
	Incomplete   Kind = "incomplete"    // included sessions are in no rule
	WrongReason  Kind = "wrong-reason"  // other sessions are left out for a reason
	Redundant    Kind = "redundant"     // other rules hold all sessions of a rule
	BadBound     Kind = "bad-bound"     // the lower bound does not follow, or not from what is there
	BadWitness   Kind = "bad-witness"   // cells of the witness do not prove what they should
	WrongCount   Kind = "wrong-count"   // a number of the certificate or the summary
	WrongNumbers Kind = "wrong-numbers" // evidence or excess of a rule
	WrongMissing Kind = "wrong-missing" // loss or sampling
	BadInForce   Kind = "bad-in-force"  // a statement about a rule in force does not hold
	WrongCarried Kind = "wrong-carried" // the document carries something other than the groups file or the policies say
	BadPrefix    Kind = "bad-prefix"    // a prefix that cannot stand for the hosts in it
	Edited       Kind = "edited"        // the content is not what an id was made of
	Unproved     Kind = "unproved"      // part of a bound that cannot be checked here
	Hint         Kind = "hint"          // a cause that would explain other findings
)

// Note reports whether findings of the kind are only worth knowing.
func (k Kind) Note() bool { return k == Edited || k == Unproved || k == Hint }

// Finding is one thing that is wrong, or worth knowing.
type Finding struct {
	Kind     Kind     `json:"kind"`
	Rule     string   `json:"rule,omitempty"` // name of the rule that it is about
	Text     string   `json:"text"`           // one sentence
	Count    uint64   `json:"count,omitempty"`
	Examples []string `json:"examples,omitempty"` // some of what Count counts
}

// Report is the result for one proposal.
type Report struct {
	Proposal string        `json:"proposal"` // the id that the document has
	VRF      string        `json:"vrf"`
	Window   policy.Window `json:"window"`
	OK       bool          `json:"ok"` // nothing is wrong; there may be notes

	Sessions   uint64 `json:"sessions"`                 // sessions of the VRF and window
	Included   uint64 `json:"included"`                 // those that need a rule
	Cells      int    `json:"cells"`                    // cells with an included session
	Rules      int    `json:"rules"`                    // rules in the document
	Permits    uint64 `json:"permits"`                  // cells that the rules hold, each as often as a rule does
	Unseen     uint64 `json:"unseen,omitempty"`         // different cells that they hold by --generalise alone
	Extra      uint64 `json:"extraAddresses,omitempty"` // addresses that were not seen in prefixes of hosts
	LowerBound int    `json:"lowerBound"`               // the bound as far as it was proved here
	Optimal    bool   `json:"optimal"`                  // proved here: sound, complete, and no fewer rules can be

	// Coverage is what of the whole the rules permit, where a share was asked for; Included and the bound are then about the share.
	Coverage *policy.Coverage `json:"coverage,omitempty"`

	Findings []Finding `json:"findings"`
}

func (r *Report) find(k Kind, rule, format string, args ...any) *Finding {
	r.Findings = append(r.Findings, Finding{Kind: k, Rule: rule, Text: fmt.Sprintf(format, args...)})
	return &r.Findings[len(r.Findings)-1]
}

// has reports whether there is a finding of one of the kinds.
func (r *Report) has(kinds ...Kind) bool {
	for i := range r.Findings {
		for _, k := range kinds {
			if r.Findings[i].Kind == k {
				return true
			}
		}
	}
	return false
}

// wrong counts the findings that are not notes.
func (r *Report) wrong() (n int) {
	for i := range r.Findings {
		if !r.Findings[i].Kind.Note() {
			n++
		}
	}
	return n
}

// sound says what the permissions of rules that are sound rest on.
func (r *Report) sound() string {
	text := fmt.Sprintf("sound: all %d permissions of the rules were observed or in force", r.Permits)
	if r.Unseen > 0 {
		text += fmt.Sprintf(", but for %s where having no session may be chance", several(r.Unseen, "cell", "cells"))
	}
	if r.Extra > 0 {
		text += fmt.Sprintf("; prefixes have %s not seen", several(r.Extra, "address that was", "addresses that were"))
	}
	return text
}

func several(n uint64, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", more)
}

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error {
	e := &errWriter{w: w}
	e.printf("Proposal %s, VRF %s, %s to %s\n", r.Proposal, r.VRF, r.Window.From.Format("2006-01-02 15:04:05"), r.Window.To.Format("2006-01-02 15:04:05"))
	e.printf("%s, of which %d are included, in %s; %s\n", several(r.Sessions, "session", "sessions"), r.Included,
		several(uint64(r.Cells), "cell", "cells"), several(uint64(r.Rules), "rule", "rules"))
	if c := r.Coverage; c != nil {
		e.printf("%s of the %s are permitted: %d of %d, %d were asked for\n", c.Reached, c.By, c.Permitted, c.Total, c.Needed)
	}
	for _, c := range []struct {
		kinds []Kind
		holds string
	}{
		{[]Kind{Unsound, BadRule, BadPrefix}, r.sound()},
		{[]Kind{Incomplete, WrongReason}, "complete: every included session is in a rule, all others have the reason that the proposal gives"},
		{[]Kind{Redundant}, "every rule is needed"},
		{[]Kind{WrongNumbers, WrongCount, WrongMissing, WrongCarried, BadInForce}, "all numbers are right"},
	} {
		if !r.has(c.kinds...) {
			e.printf("  holds  %s\n", c.holds)
		}
	}
	if !r.has(BadBound, BadWitness) {
		if r.Optimal {
			e.printf("  holds  minimal: no fewer than %d rules do%s\n", r.LowerBound, r.forShare())
		} else {
			e.printf("  holds  lower bound: at least %d rules are needed%s\n", r.LowerBound, r.forShare())
		}
	}
	for _, notes := range []bool{false, true} {
		for i := range r.Findings {
			f := &r.Findings[i]
			if f.Kind.Note() != notes {
				continue
			}
			mark := "WRONG"
			if notes {
				mark = "note "
			}
			e.printf("  %s  ", mark)
			if f.Rule != "" {
				e.printf("rule %s: ", f.Rule)
			}
			e.printf("%s\n", f.Text)
			for _, x := range f.Examples {
				e.printf("           %s\n", x)
			}
			if n := f.Count - uint64(len(f.Examples)); f.Count > 0 && len(f.Examples) > 0 && n > 0 {
				e.printf("           and %d more\n", n)
			}
		}
	}
	if r.OK {
		e.printf("Verified.\n")
	} else {
		e.printf("Not verified: %s.\n", several(uint64(r.wrong()), "finding", "findings"))
	}
	return e.err
}

// forShare says that a bound is for less than everything.
func (r *Report) forShare() string {
	if r.Coverage == nil {
		return ""
	}
	return fmt.Sprintf(" to permit %d of %d %s", r.Coverage.Needed, r.Coverage.Total, r.Coverage.By)
}

// errWriter keeps the first error.
type errWriter struct {
	w   io.Writer
	err error
}

func (e *errWriter) printf(format string, args ...any) {
	if e.err == nil {
		_, e.err = fmt.Fprintf(e.w, format, args...)
	}
}
