package watch

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"cordon/categories"
	"cordon/recommender/policy"
)

// Memberships are the groups that a policy was made with, and those of today.
type Memberships struct {
	Before *categories.File // The groups that the policy was made with.
	Now    *categories.File // its prefixes may belong to groups for a time only
}

// moved is prefixes whose addresses were in one group when a policy was made and are in another one. A group is empty where they are in none
// that the policy knows.
type moved struct {
	before, now string
	prefixes    []netip.Prefix
}

// changed lists what moved from or to a group that rules of the policy name, in order of groups. It gives nothing where today's groups do not have
// the categories of the policy: they are those of something else.
func (p *Policy) changed(at time.Time) []moved {
	m := p.Memberships
	if m == nil || m.Before == nil || m.Now == nil {
		return nil
	}
	before, err := categories.NewResolver(m.Before, p.Categories)
	if err != nil {
		return nil
	}
	now, err := categories.NewResolver(m.Now.At(at), p.Categories)
	if err != nil {
		return nil
	}
	known := map[categories.Ref]string{}
	for _, ref := range before.Groups() {
		known[ref] = before.Label(ref)
	}
	named := p.namedGroups()
	var all []netip.Prefix
	for _, a := range slices.Concat(before.Assignments(), now.Assignments()) {
		all = append(all, a.Prefix)
	}
	slices.SortFunc(all, netip.Prefix.Compare)
	found := map[[2]string]*moved{}
	for _, s := range policy.Spans(slices.Compact(all)) {
		was, _ := before.Lookup(s.Lo)
		is, grouped := now.Lookup(s.Lo)
		to := ""
		if grouped {
			if to = known[is]; to == "" {
				to = now.Label(is)
			}
		}
		key := [2]string{known[was], to}
		if key[0] == key[1] || !named[key[0]] && !named[key[1]] {
			continue
		}
		if found[key] == nil {
			found[key] = &moved{before: key[0], now: key[1]}
		}
		found[key].prefixes = append(found[key].prefixes, s.Prefixes()...)
	}
	var out []moved
	for _, x := range found {
		x.prefixes = categories.Aggregate(x.prefixes)
		out = append(out, *x)
	}
	slices.SortFunc(out, func(a, b moved) int { return slices.Compare([]string{a.before, a.now}, []string{b.before, b.now}) })
	return out
}

// namedGroups gives the groups that rules of the policy name.
func (p *Policy) namedGroups() map[string]bool {
	out := map[string]bool{}
	for i := range p.Candidate.Documents {
		for _, r := range p.Candidate.Documents[i].Policy.Rules {
			for _, e := range slices.Concat(r.Sources, r.Destinations) {
				if e.IsGroup() {
					out[e.Group] = true
				}
			}
		}
	}
	return out
}

// namedPrefixes is how many prefixes an event names.
const namedPrefixes = 100

// membership is the event of prefixes that moved.
func membership(p *Policy, m *moved) *Event {
	texts := make([]string, len(m.prefixes))
	for i, x := range m.prefixes {
		texts[i] = x.String()
	}
	e := newEvent(MembershipChanged, p, p.VRF, append([]string{m.before, m.now}, texts...)...)
	e.GroupBefore, e.GroupNow, e.Prefixes = m.before, m.now, texts[:min(len(texts), namedPrefixes)]
	shown := strings.Join(texts[:min(len(texts), 3)], ", ")
	if n := len(texts) - 3; n > 0 {
		shown += fmt.Sprintf(" and %d more", n)
	}
	group := func(name string) string {
		if name == "" {
			return "in no group that it knows"
		}
		return "in group " + name
	}
	e.Text = fmt.Sprintf("%s: %s when policy %s was made, and now %s", shown, group(m.before), p.Name, group(m.now))
	return e
}

// sayMemberships says which addresses of a policy changed their group.
func (w *Watcher) sayMemberships(ctx context.Context, p *Policy) error {
	list := p.changed(time.Now())
	for i := range list {
		if err := w.say(ctx, membership(p, &list[i])); err != nil {
			return err
		}
	}
	return nil
}
