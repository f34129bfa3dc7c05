package recommender

import (
	"context"
	"errors"
	"fmt"

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
	if s.VRF == "" && file.PerVRF() {
		return generateEach(ctx, conn, s, file)
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

// generateEach computes the proposals of a file whose groups are not the same in every VRF: one VRF after another.
func generateEach(ctx context.Context, conn driver.Conn, s Settings, file *categories.File) (out []policy.Proposal, err error) {
	var vrfs []struct {
		VRF string `ch:"vrf"`
	}
	if err := conn.Select(ctx, &vrfs, "SELECT DISTINCT vrf FROM sessions_hourly ORDER BY vrf"); err != nil {
		return nil, fmt.Errorf("ClickHouse: list VRFs: %w", err)
	}
	for _, v := range vrfs {
		s.VRF = v.VRF
		list, err := Generate(ctx, conn, s, file)
		if err != nil {
			return nil, fmt.Errorf("VRF %s: %w", v.VRF, err)
		}
		out = append(out, list...)
	}
	return out, nil
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
	if !r.plan.settings.WithoutReadiness {
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
				d.GroupsAt = policy.TimeOrNone(r.plan.settings.groupsAt)
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
