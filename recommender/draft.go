package recommender

import (
	"context"
	"fmt"
	"slices"
	"time"

	"cordon/categories"
	"cordon/recommender/cells"
	"cordon/recommender/decide"
	"cordon/recommender/policy"
)

// draft is a proposal in the making.
type draft struct {
	policy.Proposal
	parts []int // Indices of this VRF's parts.
	cells []cells.Cell
	force *force
	held  [][]int // Each rule's parts: its evidence, or permitted before.
	boxes []boxed
	left  []int // parts that the share asked for does without

	prefixes []decide.HostPrefix // Sorted.
}

// boxed is a rule's box in endpoints of the run.
type boxed struct{ sources, dests []cells.Endpoint }

// drafts begins a proposal for each VRF with a session, in order.
func (r *run) drafts(parts []cells.Part, list []cells.Cell, prefixes map[string][]decide.HostPrefix) []*draft {
	byVRF := map[string]*draft{}
	var out []*draft
	for i := range parts {
		d := byVRF[parts[i].Key.VRF]
		if d == nil {
			d = &draft{Proposal: policy.Proposal{VRF: parts[i].Key.VRF, Scope: r.plan.settings.Scope, Categories: r.plan.categories}, prefixes: prefixes[parts[i].Key.VRF]}
			byVRF[d.VRF] = d
			out = append(out, d)
		}
		d.parts = append(d.parts, i)
	}
	for _, c := range list {
		d := byVRF[c.Key.VRF]
		d.cells = append(d.cells, c)
	}
	slices.SortFunc(out, func(a, b *draft) int {
		if a.VRF < b.VRF {
			return -1
		}
		return 1
	})
	return out
}

// draftRules covers the cells of a draft and writes its rules, still without
// evidence, its certificate and what follows from the cells alone.
func (r *run) draftRules(ctx context.Context, d *draft, parts []cells.Part) error {
	c, err := r.plan.cover(ctx, d.VRF, d.cells, parts)
	if err != nil {
		return err
	}
	rules, boxes := r.plan.rules(c)
	if err := r.plan.checkGuardrails(d.VRF, c, boxes, hostClasses(d.cells, parts)); err != nil {
		return err
	}
	if err := r.plan.names.name(rules); err != nil {
		return err
	}
	r.plan.settings.RuleNames.Rename(rules)
	d.Rules, d.Certificate = rules, r.plan.certificate(c)

	byPair := make(map[cells.Pair][]*cells.Cell, len(d.cells))
	for i := range d.cells {
		at := cells.Pair{Src: d.cells[i].Key.Src, Dst: d.cells[i].Key.Dst}
		byPair[at] = append(byPair[at], &d.cells[i])
	}
	unseen := map[policy.Cell]bool{}
	for n, b := range boxes {
		d.Rules[n].Generalised = r.plan.generalised(c, &b)
		for i := range d.Rules[n].Generalised {
			unseen[d.Rules[n].Generalised[i].Cell()] = true
		}
		var held []int
		var in []*cells.Cell
		var box boxed
		services := make(map[categories.ServiceTerm]bool, len(b.Sets[2]))
		var wide []categories.ServiceTerm
		for _, v := range b.Sets[2] {
			services[c.Services[v]] = true
			if cells.IsRange(c.Services[v]) {
				wide = append(wide, c.Services[v])
			}
		}
		for _, s := range b.Sets[0] {
			box.sources = append(box.sources, c.Sources[s])
			for _, t := range b.Sets[1] {
				for _, x := range byPair[cells.Pair{Src: c.Sources[s], Dst: c.Dests[t]}] {
					holds := func(t categories.ServiceTerm) bool {
						return services[t] || slices.ContainsFunc(wide, func(r categories.ServiceTerm) bool { return cells.Inside(t, r) })
					}
					switch {
					case holds(x.Key.Service):
						held = append(held, x.Parts...)
						in = append(in, x)
					case cells.IsRange(x.Key.Service): // a port of it may be in the rule for the sake of others
						for _, i := range x.Parts {
							if holds(parts[i].Service.Term()) {
								held = append(held, i)
							}
						}
					}
				}
			}
		}
		for _, t := range b.Sets[1] {
			box.dests = append(box.dests, c.Dests[t])
		}
		if err := decide.CheckRanges(&d.Rules[n], in, parts, r.plan); err != nil {
			return err
		}
		d.Rules[n].PortRanges = decide.PortRanges(&d.Rules[n], held, parts)
		d.held, d.boxes = append(d.held, held), append(d.boxes, box)
	}
	if r.plan.partial() {
		r.plan.leaveOut(d, parts)
	}
	d.Summary.GeneralisedCells = len(unseen)
	return nil
}

// moments are the first and the last moment of sessions.
type moments struct{ first, last time.Time }

// readSpans gives, where there is a scope and an end of the window was not asked for, the first and last moment of all
// sessions of each VRF: scanners are looked for among these.
func (r *run) readSpans(ctx context.Context) (map[string]moments, error) {
	if r.plan.bounds.All() || !r.plan.settings.Since.IsZero() && !r.plan.settings.Until.IsZero() {
		return nil, nil
	}
	window, where, args := r.window()
	var rows []struct {
		VRF   string    `ch:"vrf"`
		First time.Time `ch:"first"`
		Last  time.Time `ch:"last"`
	}
	if err := r.conn.Select(ctx, &rows, "SELECT vrf, min(w.first_seen) AS first, max(w.last_seen) AS last FROM "+window+" AS w "+where+" GROUP BY vrf", args...); err != nil {
		return nil, fmt.Errorf("ClickHouse: find the window: %w", err)
	}
	out := map[string]moments{}
	for _, row := range rows {
		out[row.VRF] = moments{row.First, row.Last}
	}
	return out, nil
}

// setWindow gives the draft its window: as asked for, and where it was not, the
// first and last moment of the VRF's sessions, those beyond the scope among them.
func (r *run) setWindow(d *draft, parts []cells.Part, spans map[string]moments) {
	first, last := spans[d.VRF].first, spans[d.VRF].last
	for _, i := range d.parts {
		p := &parts[i]
		if first.IsZero() || p.First.Before(first) {
			first = p.First
		}
		if p.Last.After(last) {
			last = p.Last
		}
	}
	d.Window = policy.Window{From: policy.NewTime(first), To: policy.NewTime(last)}
	if !r.plan.settings.Since.IsZero() {
		d.Window.From = r.plan.settings.Since
	}
	if !r.plan.settings.Until.IsZero() {
		d.Window.To = r.plan.settings.Until
	}
}

// finish adds what was counted, and seals the document.
func (r *run) finish(d *draft, parts []cells.Part, evidence []ruleEvidence, known map[groupOf]hosts, unproposed []policy.Unproposed, seen []int) error {
	for i := range d.Rules {
		rule := &d.Rules[i]
		rule.Evidence = evidence[i].Evidence
		rule.Evidence.LossyExporters = d.lossyAmong(rule.Evidence.LossyExporters)
		rule.Excess = policy.Excess{PermittedPairs: d.pairs(&d.boxes[i], known), ObservedPairs: evidence[i].pairs, ExtraAddresses: d.extra(&d.boxes[i])}
		d.Summary.EOSLines += rule.EOSLines(rule.Families(r.plan.addresses))
	}
	for i := range d.prefixes {
		d.Prefixes = append(d.Prefixes, d.prefixes[i].HostPrefix)
		d.Summary.ExtraAddresses += d.prefixes[i].ExtraAddresses
	}
	for _, i := range d.parts {
		p := &parts[i]
		d.Summary.Sessions += p.Sessions
		if p.Reason == 0 {
			d.Summary.Included += p.Sessions
		}
	}
	type pair struct{ src, dst cells.Endpoint }
	pairs := map[pair]bool{}
	for i := range d.cells {
		if d.cells[i].Included {
			d.Summary.Cells++
			pairs[pair{d.cells[i].Key.Src, d.cells[i].Key.Dst}] = true
		}
	}
	d.Summary.Rules = len(d.Rules)
	d.Summary.PerHostRules = d.Summary.Included
	d.Summary.PerPairRules = len(pairs)
	d.Proposal.Settings = r.plan.settings.Document()
	if len(d.force.rules) > 0 {
		d.Existing = r.plan.addresses.Audit(d.force.rules, d.force.seen, d.Rules)
	}
	d.Unproposed = unproposed
	left := uint64(0)
	for _, u := range unproposed {
		left += u.Sessions
	}
	if d.Summary.Included+left != d.Summary.Sessions {
		return fmt.Errorf("BUG: %d sessions, of which %d are included and %d are not", d.Summary.Sessions, d.Summary.Included, left)
	}
	d.Carry(r.plan.given, r.plan.addresses, seen, r.plan.settings.Existing, r.plan.settings.Guardrails)
	d.Seal()
	return nil
}

// pairs counts the (client, server) pairs of known endpoints that a box
// permits, a host with itself left out. Endpoints share no address, so only an
// endpoint on both sides has hosts that meet themselves.
func (d *draft) pairs(b *boxed, known map[groupOf]hosts) uint64 {
	of := func(e cells.Endpoint) hosts {
		if e.Group != cells.NoGroup {
			return known[groupOf{d.VRF, e.Group}]
		}
		if p := decide.FindPrefix(d.prefixes, e); p != nil {
			return hostsOf(e.Prefix.Addr(), p.Hosts+p.Named)
		}
		return hostsOf(e.Prefix.Addr(), 1)
	}
	var clients, servers, same hosts
	for _, e := range b.sources {
		clients.add(of(e))
		if slices.Contains(b.dests, e) {
			same.add(of(e))
		}
	}
	for _, e := range b.dests {
		servers.add(of(e))
	}
	return clients.ipv4*servers.ipv4 + clients.ipv6*servers.ipv6 - same.ipv4 - same.ipv6
}

// extra counts the extra addresses of a box.
func (d *draft) extra(b *boxed) (n uint64) {
	for i := range d.prefixes {
		e := cells.Endpoint{Prefix: d.prefixes[i].Prefix}
		if slices.Contains(b.sources, e) || slices.Contains(b.dests, e) {
			n += d.prefixes[i].ExtraAddresses
		}
	}
	return n
}
