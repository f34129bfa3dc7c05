package recommender

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"cordon/categories"
	"cordon/recommender/cells"
	"cordon/recommender/decide"
	"cordon/recommender/policy"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Generate computes one proposal for each VRF with a session in the window, in
// order of VRF. The connection's database is the one with the sessions. A mistake
// in the settings is a *policy.SettingsError. A nil file has no groups.
func Generate(ctx context.Context, conn driver.Conn, s Settings, file *categories.File) (_ []policy.Proposal, err error) {
	if err := s.settle(ctx, conn, file); err != nil {
		return nil, err
	}
	p, err := newPlan(s, file)
	if err != nil {
		return nil, err
	}
	r, err := newRun(ctx, conn, p)
	if err != nil {
		return nil, err
	}
	defer func() {
		if closed := r.close(ctx); closed != nil && err == nil {
			err = fmt.Errorf("ClickHouse: drop the tables of the run: %w", closed)
		}
	}()
	if err := r.dropLeftovers(ctx, leftAfter); err != nil {
		return nil, fmt.Errorf("ClickHouse: drop the tables of runs that were killed: %w", err)
	}
	return r.generate(ctx)
}

// loadEnds tells ClickHouse what stands for addresses, and which of them scan.
func (r *run) loadEnds(ctx context.Context) error {
	if err := r.plan.step("load addresses", true, func() (uint64, error) { return r.loadAddresses(ctx) }); err != nil {
		return err
	}
	if r.plan.settings.ScannerTargets == 0 {
		return nil
	}
	return r.plan.step("find scanners", true, func() (uint64, error) { return r.findScanners(ctx, r.plan.settings.asked()) })
}

// decided reads the sessions of the window as parts of cells, and decides about each cell. The order matters:
// a step changes the reasons and ends of the parts that later steps read.
//
//	loadEnds   what stands for an address, and who scans    run.go, scanners.go
//	readLossy  exporters with loss around the window        evidence.go
//	count      each session into a part of a cell, or out   classify.go, cells
//	decide     policies, port ranges, support               decide
func (r *run) decided(ctx context.Context) (parts []cells.Part, list []cells.Cell, err error) {
	if err := r.loadEnds(ctx); err != nil {
		return nil, nil, err
	}
	if err := r.plan.step("find loss", true, func() (uint64, error) { return r.readLossy(ctx) }); err != nil {
		return nil, nil, err
	}
	parts, err = r.count(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := r.plan.step("prepare verdicts", true, func() (uint64, error) { return 0, r.createVerdicts(ctx) }); err != nil {
		return nil, nil, err
	}
	list, err = r.decide(ctx, parts)
	return parts, list, err
}

// generate is the way from sessions to proposals, one step a call:
//
//	decided         the sessions as cells, and what becomes of each   above
//	readiness       how far they are known                            readiness_document.go
//	mergeUngrouped  hosts in no group into prefixes                   decide/hosts.go
//	coverDrafts     the cells of each VRF into rules                  cover_rules.go, cover
//	measure         evidence, and what is left out                    evidence.go, inforce.go
//	assemble        the documents, sealed                             below
func (r *run) generate(ctx context.Context) ([]policy.Proposal, error) {
	if !r.plan.settings.withoutReadiness {
		if err := r.looksBack(ctx); err != nil {
			return nil, err
		}
	}
	parts, list, err := r.decided(ctx)
	if err != nil {
		return nil, err
	}
	known, err := r.readiness(ctx, list, parts)
	if err != nil {
		return nil, err
	}
	list, prefixes, err := r.mergeUngrouped(ctx, list, parts)
	if err != nil {
		return nil, err
	}
	drafts := r.drafts(parts, list, prefixes)
	for _, d := range drafts {
		d.Readiness = known[d.VRF]
	}
	verdicts, err := r.coverDrafts(ctx, drafts, parts)
	if err != nil {
		return nil, err
	}
	m, err := r.measure(ctx, drafts, parts, verdicts)
	if err != nil {
		return nil, err
	}
	return r.assemble(drafts, parts, m)
}

// mergeUngrouped makes cells of prefixes of those of hosts in no group, where the
// settings ask for it, and gives the prefixes by VRF.
func (r *run) mergeUngrouped(ctx context.Context, list []cells.Cell, parts []cells.Part) (_ []cells.Cell, prefixes map[string][]decide.HostPrefix, err error) {
	if r.plan.settings.Ungrouped != policy.UngroupedPrefix {
		return list, nil, nil
	}
	err = r.plan.step("cover hosts with prefixes", true, func() (n uint64, err error) {
		h := decide.Ungrouped{MaxExtra: r.plan.settings.MaxExtra, Named: r.plan.file.Hosts(), Alike: r.plan.classes.alike}
		if h.Seen, err = r.readUngrouped(ctx); err != nil {
			return 0, err
		}
		list, prefixes, err = decide.MergeHosts(list, parts, &h)
		return uint64(len(list)), err
	})
	return list, prefixes, err
}

// verdicts are what Go decided about the parts.
type verdicts struct {
	list    []verdict
	rules   int  // Rules of all drafts.
	changed bool // a part is left out for a reason that ClickHouse does not know
}

// coverDrafts writes the rules of each draft.
func (r *run) coverDrafts(ctx context.Context, drafts []*draft, parts []cells.Part) (*verdicts, error) {
	var v verdicts
	for i := range parts {
		if parts[i].Reason >= decide.GuardrailNumber || parts[i].Reason == decide.ExcludedNumber {
			v.list = append(v.list, verdict{i, noRule})
		}
	}
	v.changed = len(v.list) > 0
	for _, d := range drafts {
		if err := r.plan.step("cover "+d.VRF, false, func() (uint64, error) { return uint64(len(d.cells)), r.draftRules(ctx, d, parts) }); err != nil {
			return nil, err
		}
		for _, part := range d.left {
			v.list, v.changed = append(v.list, verdict{part, noRule}), true
		}
		for _, held := range d.held {
			for _, part := range held {
				v.list = append(v.list, verdict{part, uint32(v.rules)})
			}
			v.rules++
		}
	}
	return &v, nil
}

// measured is what ClickHouse counted of the sessions under the rules and beside them.
type measured struct {
	evidence   []ruleEvidence // Evidence of the rules of all drafts, in order.
	known      map[groupOf]hosts
	seen       map[string][]int               // Keyed by VRF: the groups of the sessions.
	unproposed map[string][]policy.Unproposed // Keyed by VRF.
	sampling   map[string][]policy.Sampling   // Keyed by VRF.
	reused     map[string][]policy.Reused     // Keyed by VRF.
}

// measure sends the verdicts and counts. It gives the drafts their windows, their
// loss and the rules in force.
func (r *run) measure(ctx context.Context, drafts []*draft, parts []cells.Part, v *verdicts) (*measured, error) {
	var m measured
	spans, err := r.readSpans(ctx)
	if err != nil {
		return nil, err
	}
	for _, d := range drafts {
		r.setWindow(d, parts, spans)
	}
	for _, q := range []struct {
		name string
		f    func() (uint64, error)
	}{
		{"send verdicts", func() (uint64, error) { return r.sendVerdicts(ctx, parts, v.list) }},
		{"evidence", func() (n uint64, err error) {
			m.evidence, err = r.readEvidence(ctx, v.rules)
			return uint64(len(m.evidence)), err
		}},
		{"known endpoints", func() (n uint64, err error) { m.known, err = r.readKnown(ctx); return uint64(len(m.known)), err }},
		{"groups of the sessions", func() (n uint64, err error) { m.seen, err = r.readSeenGroups(ctx); return uint64(len(m.seen)), err }},
		{"unproposed", func() (n uint64, err error) {
			m.unproposed, err = r.readUnproposed(ctx, v.changed)
			return uint64(len(m.unproposed)), err
		}},
		{"sampling", func() (n uint64, err error) {
			m.sampling, err = r.readSampling(ctx)
			return uint64(len(m.sampling)), err
		}},
		{"re-used addresses", func() (n uint64, err error) {
			m.reused, err = r.readReused(ctx)
			return uint64(len(m.reused)), err
		}},
		{"loss", func() (uint64, error) { return r.readLoss(ctx, drafts) }},
		{"rules in force", func() (n uint64, err error) {
			for _, d := range drafts {
				if d.force, err = r.inForce(ctx, d, parts); err != nil {
					return n, err
				}
				n += uint64(len(d.force.rules))
			}
			return n, nil
		}},
	} {
		if err := r.plan.step(q.name, true, q.f); err != nil {
			return nil, err
		}
	}
	return &m, nil
}

// assemble finishes the documents.
func (r *run) assemble(drafts []*draft, parts []cells.Part, m *measured) (out []policy.Proposal, err error) {
	err = r.plan.step("assemble", false, func() (uint64, error) {
		evidence := m.evidence
		for _, d := range drafts {
			n := len(d.Rules)
			if d.Reused = m.reused[d.VRF]; !r.plan.settings.groupsAt.IsZero() {
				d.GroupsAt = timeOrNone(r.plan.settings.groupsAt)
			}
			d.Sampling, d.ScaledBytes = m.sampling[d.VRF], r.plan.settings.ScaleSampled && len(m.sampling[d.VRF]) > 0
			if err := r.finish(d, parts, evidence[:n], m.known, m.unproposed[d.VRF], m.seen[d.VRF]); err != nil {
				return 0, err
			}
			evidence = evidence[n:]
			out = append(out, d.Proposal)
		}
		return uint64(len(out)), nil
	})
	return out, err
}

// count classifies the sessions and reads the parts of cells.
func (r *run) count(ctx context.Context) (parts []cells.Part, err error) {
	for salt := 0; ; salt++ {
		if err := r.plan.step("classify sessions", true, func() (uint64, error) { return 0, r.classify(ctx, salt) }); err != nil {
			return nil, err
		}
		err := r.plan.step("count cells", true, func() (n uint64, err error) {
			parts, err = r.readParts(ctx)
			return uint64(len(parts)), err
		})
		if !errors.Is(err, errHash) || salt == 3 {
			return parts, err
		}
		if err := r.conn.Exec(ctx, "DROP TABLE "+r.table("sessions")+" SYNC"); err != nil {
			return nil, fmt.Errorf("ClickHouse: %w", err)
		}
	}
}

// decide applies policies and support to the parts, and gives the cells that rules are made of.
func (r *run) decide(ctx context.Context, parts []cells.Part) (list []cells.Cell, err error) {
	if err := r.plan.step("decide", false, func() (uint64, error) {
		list = decide.Judge(parts, r.plan)
		return uint64(len(list)), nil
	}); err != nil {
		return nil, err
	}
	if r.plan.settings.PortRanges > 0 {
		if err := r.plan.step("find port ranges", true, func() (n uint64, err error) {
			uses, err := r.readUses(ctx)
			if err != nil {
				return 0, err
			}
			list = decide.Ranges(list, parts, r.plan.settings.PortRanges, uses, r.plan, r.plan.named)
			return uint64(len(list)), nil
		}); err != nil {
			return nil, err
		}
	}
	breadthOf := func(c *cells.Cell) cells.Breadth { return parts[c.Parts[0]].Breadth }
	if decide.NeedsBreadth(&r.plan.settings.Settings) && r.plan.needsClasses() {
		// A client may be in several parts of a cell, so the parts' counts do not add up.
		var counts map[cells.Key]cells.Breadth
		if err := r.plan.step("count clients, hours and pairs", true, func() (uint64, error) {
			var verdicts []verdict
			for i := range parts {
				if parts[i].Reason == decide.ExcludedNumber || parts[i].Reason == decide.GuardrailNumber {
					verdicts = append(verdicts, verdict{i, noRule})
				}
			}
			if _, err := r.sendVerdicts(ctx, parts, verdicts); err != nil {
				return 0, err
			}
			counts, err = r.readBreadth(ctx)
			// The same verdicts are sent again with all others.
			return uint64(len(counts)), errors.Join(err, r.conn.Exec(ctx, "TRUNCATE TABLE "+r.table("verdicts")))
		}); err != nil {
			return nil, err
		}
		breadthOf = func(c *cells.Cell) cells.Breadth { return counts[c.Key] }
	}
	return decide.Support(list, parts, &r.plan.settings.Settings, breadthOf), nil
}

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
