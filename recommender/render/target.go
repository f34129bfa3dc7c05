package render

import (
	"fmt"
	"slices"
	"strings"

	"cordon/categories"
	"cordon/internal/text"
	"cordon/recommender/policy"
	"cordon/recommender/target"
)

// aboutProposal is how many remarks say what proposal it is; those behind them name rules that are left out.
const aboutProposal = 2

// document is a proposal as a policy for a target. Groups are those of the file that it was
// made with; nil will do where the rules name none.
func document(p *policy.Proposal, groups *categories.File) (target.Document, error) {
	d := target.Document{Policy: p.Policy(), Set: policy.IPSet, Proposed: true}
	if groups != nil {
		a, err := policy.NewAddresses(groups.InVRF(p.VRF), p.Categories)
		if err != nil {
			return d, err
		}
		d.Set = a.Set
	} else if name := groupOf(p); name != "" {
		return d, fmt.Errorf("rules name %s, and which addresses it has is not known: give the groups file with --groups", name)
	}
	d.Remarks = []string{"Cordon proposal " + p.ID, fmt.Sprintf("%s, %s seen from %s to %s",
		text.Count(len(p.Rules), "rule"), text.Count(p.Summary.Included, "session"), p.Window.From.Format("2006-01-02 15:04"), p.Window.To.Format("2006-01-02 15:04 MST"))}
	for i := range p.Rules {
		r := &p.Rules[i]
		about := fmt.Sprintf("%s -> %s %s; %s, %s, %s, last seen %s", joined(r.Sources), joined(r.Destinations), joined(r.Services),
			text.Count(r.Evidence.Sessions, "session"), text.Count(r.Evidence.Clients, "client"), text.Count(r.Evidence.Servers, "server"),
			r.Evidence.LastSeen.Format("2006-01-02 15:04"))
		d.About = append(d.About, []string{about})
	}
	if p.GroupsAt != nil {
		return d, withoutNobody(&d, *p.GroupsAt)
	}
	return d, nil
}

// withoutNobody takes groups that nobody is in at the moment of the groups out of the rules: all that they did was done by former
// owners of addresses. A rule that has nobody at a side goes whole, since a side without literals means every address. Both is said
// in remarks.
func withoutNobody(d *target.Document, at policy.Time) error {
	empty := func(e policy.Endpoint) (bool, error) {
		if !e.IsGroup() {
			return false, nil
		}
		set, err := d.Set([]policy.Endpoint{e}, policy.Proposed)
		return len(set) == 0, err
	}
	var rules []policy.StatementRule
	var about [][]string
	for i := range d.Rules {
		r, said := d.Rules[i], d.About[i]
		whole := false
		for _, side := range []*[]policy.Endpoint{&r.Sources, &r.Destinations} {
			var kept, gone []policy.Endpoint
			for _, e := range *side {
				nobody, err := empty(e)
				if err != nil {
					return fmt.Errorf("rule %q: %w", r.Label(i), err)
				}
				if nobody {
					gone = append(gone, e)
				} else {
					kept = append(kept, e)
				}
			}
			if len(gone) == 0 {
				continue
			}
			nobody := fmt.Sprintf("nobody is in %s at %s", joined(gone), at.Format("2006-01-02 15:04 MST"))
			if len(kept) == 0 {
				whole = true
				d.Remarks = append(d.Remarks, fmt.Sprintf("Rule %s is left out: %s", r.Label(i), nobody))
				break
			}
			*side, said = kept, append(slices.Clone(said), nobody)
		}
		if !whole {
			rules, about = append(rules, r), append(about, said)
		}
	}
	d.Rules, d.About = rules, about
	return nil
}

// mostListed is how many literals of a rule a remark names.
const mostListed = 8

func joined[T fmt.Stringer](list []T) string {
	var texts []string
	for i, x := range list {
		if i == mostListed {
			texts = append(texts, fmt.Sprintf("and %d more", len(list)-i))
			break
		}
		texts = append(texts, x.String())
	}
	return strings.Join(texts, ", ")
}

func groupOf(p *policy.Proposal) string {
	for i := range p.Rules {
		for _, set := range [][]policy.Endpoint{p.Rules[i].Sources, p.Rules[i].Destinations} {
			for _, e := range set {
				if e.IsGroup() {
					return e.String()
				}
			}
		}
	}
	return ""
}

// Target writes proposals for a target. What the target cannot have is a *target.Error.
func Target(t target.Target, proposals []policy.Proposal, groups *categories.File, o target.Options) (target.Output, error) {
	o.Groups = groups
	var documents []target.Document
	var left []string
	for i := range proposals {
		d, err := document(&proposals[i], groups)
		if err != nil {
			return target.Output{}, &target.Error{Target: t.Name, Err: err}
		}
		documents = append(documents, d)
		left = append(left, d.Remarks[aboutProposal:]...)
	}
	out, err := t.Write(documents, o)
	out.Notes = append(out.Notes, left...)
	return out, err
}
