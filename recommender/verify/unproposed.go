package verify

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"cordon/recommender/policy"
)

// maxExamples is how many sessions a document names for each reason.
const maxExamples = 5

// explains says which flag could explain another number of sessions for a reason.
var explains = map[policy.Reason]string{
	policy.Excluded:         "the groups file has other exclusions (--groups; stored groups have none)",
	policy.HalfOpen:         "it was made with another --half-open",
	policy.Scanner:          "it was made with another --exclude-scanners",
	policy.External:         "it was made with another --external, or other groups",
	policy.Ungrouped:        "it was made with another --ungrouped, or other groups",
	policy.Guardrail:        "it was made with other --guardrails",
	policy.AlreadyPermitted: "it was made with another --existing",
	policy.BelowSupport:     "it was made with another --min-sessions, --min-hosts, --min-hours or --recurring",
}

// unproposed compares what is left out: how many sessions for each reason, and
// the examples.
func (v *verifier) unproposed() {
	type reason struct {
		policy.Reason
		detail string
	}
	counted := map[reason][]int{}
	for i, r := range v.judge.reasons {
		why := reason{Reason: r}
		if v.coverage != nil && v.coverage.left[i] {
			why.detail = policy.DetailCoverage
		}
		counted[why] = append(counted[why], i)
	}
	said := map[reason]*policy.Unproposed{}
	for i := range v.p.Unproposed {
		u := &v.p.Unproposed[i]
		why := reason{u.Reason, u.Detail}
		switch {
		case !slices.Contains(policy.Reasons, u.Reason):
			v.report.find(WrongReason, "", "%q is no reason", u.Reason)
		case u.Detail != "" && why != reason{policy.BelowSupport, policy.DetailCoverage}:
			v.report.find(WrongReason, "", "%q is no detail of %s", u.Detail, u.Reason)
		case said[why] != nil:
			v.report.find(WrongReason, "", "%s is there a second time", u.Reason)
		default:
			said[why] = u
		}
	}
	var all []reason
	for _, r := range policy.Reasons {
		all = append(all, reason{Reason: r})
	}
	for _, why := range append(all, reason{policy.BelowSupport, policy.DetailCoverage}) {
		r := why.Reason
		n, u := uint64(len(counted[why])), said[why]
		if u == nil {
			u = &policy.Unproposed{}
		}
		if n != u.Sessions {
			v.report.find(WrongReason, "", "%d sessions are said to be left out as %s, counted are %d", u.Sessions, r, n).Count = n
			if hint, ok := explains[r]; ok && why.detail == "" {
				v.report.find(Hint, "", "%s: perhaps %s", r, hint)
			}
			continue
		}
		v.namedExamples(r, counted[why], u.Examples)
	}
}

// namedExamples compares the examples of a reason: the sessions with most
// flows, then those whose addresses come first.
func (v *verifier) namedExamples(r policy.Reason, of []int, said []policy.Example) {
	slices.SortFunc(of, func(a, b int) int {
		x, y := &v.c.Sessions[a], &v.c.Sessions[b]
		return cmp.Or(cmp.Compare(y.Flows, x.Flows), compareIPv6(x.Client, y.Client), compareIPv6(x.Server, y.Server), x.Service.Compare(y.Service))
	})
	var wrong []string
	for i := range min(maxExamples, max(len(of), len(said))) {
		want, have := "none", "none"
		if i < len(of) {
			s := &v.c.Sessions[of[i]]
			want = exampleText(policy.Example{Source: plain(s.Client).String(), Destination: plain(s.Server).String(), Service: s.Service.String(), Note: v.note(of[i])})
		}
		if i < len(said) {
			have = exampleText(said[i])
		}
		if want != have {
			wrong = append(wrong, fmt.Sprintf("%s, where the sessions say %s", have, want))
		}
	}
	if wrong != nil {
		f := v.report.find(WrongReason, "", "the examples of %s are not those of the sessions:", r)
		f.Count, f.Examples = uint64(len(wrong)), v.examples(wrong)
	}
}

func exampleText(e policy.Example) string {
	text := fmt.Sprintf("%s -> %s %s", e.Source, e.Destination, e.Service)
	if e.Note != "" {
		text += " (" + e.Note + ")"
	}
	return text
}

// note says what a session's reason rests on.
func (v *verifier) note(i int) string {
	s, j := &v.c.Sessions[i], v.judge
	switch j.reasons[i] {
	case policy.Excluded:
		return j.file.Exclude[j.exclusion(s)].Reason
	case policy.Scanner:
		return j.scans[plain(s.Client)].note()
	case policy.Guardrail:
		return j.guardrails.statements[j.guardrail(j.at[i])].name
	case policy.AlreadyPermitted:
		return j.existing.statements[j.existing.first(j.vrf, s.Client, s.Server, s.Service)].name
	}
	return ""
}

// compareIPv6 orders addresses by their 16 bytes, those of IPv4 as mapped ones.
func compareIPv6(a, b netip.Addr) int {
	return netip.AddrFrom16(a.As16()).Compare(netip.AddrFrom16(b.As16()))
}
