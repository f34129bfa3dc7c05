package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"cordon/recommender"
	"cordon/recommender/policy"
)

// allReasons is the value of a flag for reasons that was given without one.
const allReasons = "all"

// reasonNames lists the reasons that sessions may be asked for by.
func reasonNames() string {
	var names []string
	for _, r := range recommender.ListedReasons() {
		names = append(names, string(r))
	}
	return strings.Join(names, ", ")
}

// parseReasons reads the values of a flag; none where all are asked for.
func parseReasons(flag string, texts []string) (out []policy.Reason, err error) {
	all := false
	for _, text := range texts {
		switch reason := policy.Reason(text); {
		case text == allReasons:
			all = true
		case slices.Contains(recommender.ListedReasons(), reason):
			out = append(out, reason)
		default:
			return nil, usagef("--%s %q is no reason: use %s or %s", flag, text, reasonNames(), allReasons)
		}
	}
	if all {
		return nil, nil
	}
	return out, nil
}

// withoutReasons takes reasons from the arguments of a command whose flag for reasons was given without a value, as in
// --left-out half-open: a value may stand behind such a flag only with an equals sign, and people write a blank.
func withoutReasons(args []string, given *[]string) []string {
	if !slices.Contains(*given, allReasons) {
		return args
	}
	var rest, found []string
	for _, arg := range args {
		of := strings.Split(arg, ",")
		if !slices.ContainsFunc(of, func(text string) bool { return !slices.Contains(recommender.ListedReasons(), policy.Reason(text)) }) {
			found = append(found, of...)
		} else {
			rest = append(rest, arg)
		}
	}
	if len(found) > 0 {
		*given = found
	}
	return rest
}

// leftOut is the sessions that proposals leave out, in tables that exist until it is closed.
type leftOut struct {
	sql   string // stands in a FROM clause, see recommender.View.LeftOut
	views []*recommender.View
}

func (o *leftOut) close(ctx context.Context) {
	for _, v := range o.views {
		v.Close(ctx)
	}
}

// openLeftOut finds what a proposal, a file or the beginning of an id, leaves out; without one what the newest of each
// VRF does, or of the VRF that is given.
func (a *app) openLeftOut(ctx context.Context, st *store, what, vrf string, reasons []policy.Reason, sub *subject) (_ *leftOut, err error) {
	proposals, err := a.newestOr(ctx, st, what, vrf)
	if err != nil {
		return nil, err
	}
	var out leftOut
	var parts []string
	for i := range proposals {
		p := &proposals[i]
		made, err := sub.madeWith(p)
		if err != nil {
			out.close(ctx)
			return nil, err
		}
		v, err := a.openView(ctx, st, p, &made)
		if err != nil {
			out.close(ctx)
			return nil, err
		}
		out.views = append(out.views, v)
		parts = append(parts, "SELECT * FROM "+v.LeftOut(reasons))
		fmt.Fprintf(a.stderr, "VRF %s: what proposal %s leaves out.\n", p.VRF, shortID(p.ID))
		a.sayLeftOut(p, v, &made, reasons)
	}
	out.sql = "(" + strings.Join(parts, " UNION ALL ") + ")"
	return &out, nil
}

// newestOr gives the proposals of a file, the stored one whose id begins so, or the newest of each VRF.
func (a *app) newestOr(ctx context.Context, st *store, what, vrf string) ([]policy.Proposal, error) {
	ids := []string{what}
	if what != "" {
		list, stored, err := readProposals(what)
		if err != nil || !stored {
			return list, err
		}
	} else {
		all, err := recommender.List(ctx, st.Conn, vrf, 0)
		if err != nil {
			return nil, fmt.Errorf("proposals: %w", err)
		}
		ids = nil
		seen := map[string]bool{}
		for _, p := range all {
			if !seen[p.VRF] {
				seen[p.VRF] = true
				ids = append(ids, p.ID)
			}
		}
		if len(ids) == 0 {
			return nil, usagef("--reason: no proposal is stored, and a reason is what a proposal gives; `cordon generate-rules` makes one")
		}
	}
	var out []policy.Proposal
	for _, id := range ids {
		p, err := a.proposal(ctx, st, id)
		if err != nil {
			return nil, err
		}
		out = append(out, *p)
	}
	return out, nil
}

// sayLeftOut compares what the proposal counted as left out with what is there now.
func (a *app) sayLeftOut(p *policy.Proposal, l *recommender.View, made *madeWith, reasons []policy.Reason) {
	said, are := map[policy.Reason]uint64{}, map[policy.Reason]uint64{}
	for _, u := range p.Unproposed {
		said[u.Reason] += u.Sessions
	}
	for _, u := range l.Unproposed {
		are[u.Reason] += u.Sessions
	}
	changed := false
	for _, r := range recommender.ListedReasons() {
		if said[r] != are[r] && (len(reasons) == 0 || slices.Contains(reasons, r)) {
			fmt.Fprintf(a.stderr, "Reason %s: %d sessions, the proposal counted %d.\n", r, are[r], said[r])
			changed = true
		}
	}
	if changed {
		a.sayWhy(p, made)
	}
}
