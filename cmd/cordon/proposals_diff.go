package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"cordon/recommender/policy"
)

const diffHelp = `Compares what two proposals permit, address by address and service by service: whatever
their rules are called, however they are cut, and whatever groups they name. Each is a
file, YAML or JSON, or the beginning of the id of a stored one.

A line with "-" is what the first permits and the second does not, one with "+" what the
second permits and the first does not. It names groups where all of a group is meant,
and prefixes otherwise. Lines with "rule" say which rules came, went or have another
name; a rule that permits the same has the same id.`

// difference is how two proposals of one VRF differ.
type difference struct {
	VRF  string `json:"vrf"`
	From string `json:"from"` // ids, empty where there is no proposal of the VRF
	To   string `json:"to"`
	policy.Change
	Rules ruleChanges `json:"rules"`
}

// ruleChanges compares rules by their ids.
type ruleChanges struct {
	Unchanged int       `json:"unchanged"` // counts rules with the same name or another one
	Removed   []string  `json:"removed"`   // names
	Added     []string  `json:"added"`     // names
	Renamed   []renamed `json:"renamed"`
}

// renamed is a rule that permits the same under another name.
type renamed struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// proposalsDiff compares what two proposals permit. Of files with a proposal for each of several VRFs, those of the same
// VRF are compared.
func (a *app) proposalsDiff(ctx context.Context, from, to, format string) error {
	if format != "text" && format != "json" {
		return usagef("--format %q: use text or json", format)
	}
	old, now, err := a.bothSides(ctx, from, to)
	if err != nil {
		return err
	}
	if len(old) == 1 && len(now) == 1 {
		return a.diffOne(&old[0], &now[0], format)
	}
	sides := map[string]*[2]policy.Proposal{}
	for i, side := range [][]policy.Proposal{old, now} {
		for _, p := range side {
			if sides[p.VRF] == nil {
				sides[p.VRF] = &[2]policy.Proposal{}
			}
			sides[p.VRF][i] = p
		}
	}
	for _, vrf := range slices.Sorted(maps.Keys(sides)) {
		if format == "text" {
			fmt.Fprintf(a.stdout, "VRF %s\n", vrf)
		}
		if err := a.diffOne(&sides[vrf][0], &sides[vrf][1], format); err != nil {
			return err
		}
	}
	return nil
}

// bothSides reads two proposals, each from a file or, by the beginning of an id,
// from the store.
func (a *app) bothSides(ctx context.Context, from, to string) (old, now []policy.Proposal, err error) {
	var st *store
	for _, side := range []struct {
		what string
		into *[]policy.Proposal
	}{{from, &old}, {to, &now}} {
		list, stored, err := readProposals(side.what)
		if err != nil {
			return nil, nil, err
		}
		if stored {
			if st == nil {
				if st, err = a.openStore(ctx, storeNeeds{}); err != nil {
					return nil, nil, err
				}
				defer st.close()
			}
			p, err := a.proposal(ctx, st, side.what)
			if err != nil {
				return nil, nil, err
			}
			list = []policy.Proposal{*p}
		}
		*side.into = list
	}
	return old, now, nil
}

// diffOne compares two proposals.
func (a *app) diffOne(old, now *policy.Proposal, format string) error {
	for _, p := range []*policy.Proposal{old, now} {
		if !p.Carries() {
			fmt.Fprintf(a.stderr, "Proposal %s does not carry its groups, since an earlier version of Cordon made it: literals are compared as they are written.\n", shortID(p.ID))
			return a.diffByName(old, now, format)
		}
	}
	d, err := differ(old, now)
	if err != nil {
		return err
	}
	if format == "json" {
		return json.NewEncoder(a.stdout).Encode(d)
	}
	for _, p := range d.Lost {
		fmt.Fprintf(a.stdout, "- %s\n", permittedText(&p))
	}
	for _, p := range d.Gained {
		fmt.Fprintf(a.stdout, "+ %s\n", permittedText(&p))
	}
	for _, name := range d.Rules.Removed {
		fmt.Fprintf(a.stdout, "rule - %s\n", name)
	}
	for _, name := range d.Rules.Added {
		fmt.Fprintf(a.stdout, "rule + %s\n", name)
	}
	for _, r := range d.Rules.Renamed {
		fmt.Fprintf(a.stdout, "rule %s is called %s\n", r.From, r.To)
	}
	fmt.Fprintf(a.stdout, "%s, %s; %d unchanged, %d removed, %d added; %d permissions lost, %d gained\n", hasRules(old), hasRules(now),
		d.Rules.Unchanged, len(d.Rules.Removed), len(d.Rules.Added), len(d.Lost), len(d.Gained))
	return nil
}

// differ compares two proposals that carry their groups.
func differ(old, now *policy.Proposal) (*difference, error) {
	d := &difference{VRF: now.VRF, From: old.ID, To: now.ID, Rules: compareRules(old, now)}
	if d.VRF == "" {
		d.VRF = old.VRF
	}
	var sides [2]policy.Side
	for i, p := range []*policy.Proposal{old, now} {
		var err error
		if sides[i], err = p.Side(); err != nil {
			return nil, usagef("proposal %s: %w", shortID(p.ID), err)
		}
	}
	change, err := policy.MeaningDiff(sides[0], sides[1])
	if err != nil {
		return nil, fmt.Errorf("proposals %s and %s: %w", shortID(old.ID), shortID(now.ID), err)
	}
	d.Change = *change
	d.Lost, d.Gained = notNil(d.Lost), notNil(d.Gained)
	return d, nil
}

// diffByName compares what is permitted literal by literal: a group is not looked into.
func (a *app) diffByName(old, now *policy.Proposal, format string) error {
	removed, added := policy.Difference(old, now)
	if format == "json" {
		return usagef("--format json needs proposals that carry their groups; generate-rules makes such")
	}
	for _, c := range removed {
		fmt.Fprintf(a.stdout, "- %s -> %s %s\n", c.Source, c.Destination, c.Service)
	}
	for _, c := range added {
		fmt.Fprintf(a.stdout, "+ %s -> %s %s\n", c.Source, c.Destination, c.Service)
	}
	fmt.Fprintf(a.stdout, "%s, %s; %d permissions lost, %d gained\n", hasRules(old), hasRules(now), len(removed), len(added))
	return nil
}

func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// shownLiterals is how many sources, destinations or services a line of text names.
const shownLiterals = 8

// permittedText is one line of what a policy permits, with how many addresses that is and the rule that says so.
func permittedText(p *policy.Permission) string {
	by := ""
	if p.By != "" {
		by = ", denied by " + p.By
	}
	if p.Family != "" {
		by = ", " + p.Family + " only" + by
	}
	return fmt.Sprintf("%s -> %s %s (%s; %s to %s%s)", literalList(p.Sources), literalList(p.Destinations), literalList(p.Services),
		p.Rule, addresses(p.SourceAddresses.String()), addresses(p.DestinationAddresses.String()), by)
}

// addresses counts in words.
func addresses(n string) string {
	switch {
	case n == "1":
		return "1 address"
	case len(n) > 15:
		return fmt.Sprintf("some 10^%d addresses", len(n)-1)
	}
	return n + " addresses"
}

func literalList[T fmt.Stringer](set []T) string {
	var words []string
	for _, e := range set[:min(len(set), shownLiterals)] {
		words = append(words, e.String())
	}
	if more := len(set) - shownLiterals; more > 0 {
		words = append(words, fmt.Sprintf("… and %d more", more))
	}
	return strings.Join(words, ",")
}

// compareRules compares rules by what they permit, which their ids say.
func compareRules(old, now *policy.Proposal) ruleChanges {
	out := ruleChanges{Removed: []string{}, Added: []string{}, Renamed: []renamed{}}
	names := map[string]string{}
	for i := range old.Rules {
		names[old.Rules[i].ContentID()] = old.Rules[i].Name
	}
	kept := map[string]bool{}
	for i := range now.Rules {
		r := &now.Rules[i]
		id := r.ContentID()
		was, in := names[id]
		kept[id] = in
		switch {
		case !in:
			out.Added = append(out.Added, r.Name)
		case was != r.Name:
			out.Renamed = append(out.Renamed, renamed{was, r.Name})
			fallthrough
		default:
			out.Unchanged++
		}
	}
	for i := range old.Rules {
		if !kept[old.Rules[i].ContentID()] {
			out.Removed = append(out.Removed, old.Rules[i].Name)
		}
	}
	return out
}

func hasRules(p *policy.Proposal) string {
	switch {
	case p.ID == "":
		return "no proposal"
	case len(p.Rules) == 1:
		return shortID(p.ID) + " has 1 rule"
	}
	return fmt.Sprintf("%s has %d rules", shortID(p.ID), len(p.Rules))
}
