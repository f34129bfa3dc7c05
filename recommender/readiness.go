package recommender

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"cordon/categories"
	"cordon/recommender/cells"
	"cordon/recommender/decide"
	"cordon/recommender/simulate"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Learn gives for each VRF, in order, the cells of the sessions that the settings select, with the hours in which they were seen:
// those that Generate would make rules of, and those that it keeps out for too little support. Sessions that are left out for
// any other reason are in none. A mistake in the settings is a *policy.SettingsError.
func Learn(ctx context.Context, conn driver.Conn, s Settings, file *categories.File) (_ []simulate.Learned, err error) {
	if err := s.settle(ctx, conn, file); err != nil {
		return nil, err
	}
	p, err := newPlan(s, file)
	if err != nil {
		return nil, err
	}
	p.hourly = true
	r, err := newRun(ctx, conn, p)
	if err != nil {
		return nil, err
	}
	defer func() {
		if closed := r.close(ctx); closed != nil && err == nil {
			err = fmt.Errorf("ClickHouse: drop the tables of the run: %w", closed)
		}
	}()
	parts, list, err := r.decided(ctx)
	if err != nil {
		return nil, err
	}
	return r.learn(ctx, list, parts)
}

// learning is the cells of a window on their way to [simulate.Learned].
type learning struct {
	cells    []simulate.LearnedCell
	vrfs     []string  // the VRF of each cell
	verdicts []verdict // the parts of each cell, under its place
}

// learn reads when the sessions of cells were seen.
func (r *run) learn(ctx context.Context, list []cells.Cell, parts []cells.Part) ([]simulate.Learned, error) {
	l := r.learnt(list, parts)
	if err := r.plan.step("send cells", true, func() (uint64, error) { return r.sendVerdicts(ctx, parts, l.verdicts) }); err != nil {
		return nil, err
	}
	var seen []seenHours
	if err := r.plan.step("read hours", true, func() (n uint64, err error) {
		seen, err = r.readHours(ctx)
		return uint64(len(seen)), err
	}); err != nil {
		return nil, err
	}
	lossy, err := r.lossyByVRF(ctx, parts)
	if err != nil {
		return nil, err
	}
	return l.byVRF(seen, lossy), nil
}

// lossyByVRF gives the exporters with loss of each VRF as its document names them.
func (r *run) lossyByVRF(ctx context.Context, parts []cells.Part) (map[string][]string, error) {
	if len(r.lossy) == 0 {
		return nil, nil
	}
	spans, err := r.readSpans(ctx)
	if err != nil {
		return nil, err
	}
	drafts := r.drafts(parts, nil, nil)
	for _, d := range drafts {
		r.setWindow(d, parts, spans)
	}
	if _, err := r.readLoss(ctx, drafts); err != nil {
		return nil, fmt.Errorf("ClickHouse: read loss: %w", err)
	}
	out := map[string][]string{}
	for _, d := range drafts {
		for i := range d.Loss {
			out[d.VRF] = append(out[d.VRF], d.Loss[i].Exporter)
		}
	}
	return out, nil
}

// learnt gives the cells that rules would be made of, and those with too little support.
func (r *run) learnt(list []cells.Cell, parts []cells.Part) *learning {
	var l learning
	add := func(k cells.Key, of []int, never bool) {
		permitted := !slices.ContainsFunc(of, func(i int) bool { return parts[i].Reason != decide.AlreadyPermittedNumber })
		for _, i := range of {
			l.verdicts = append(l.verdicts, verdict{i, uint32(len(l.cells))})
		}
		l.cells = append(l.cells, simulate.LearnedCell{Source: r.plan.literal(k.Src).String(), Destination: r.plan.literal(k.Dst).String(), Service: k.Service.String(),
			MinSessions: r.plan.settings.MinSessions, MinHours: r.plan.settings.MinHours, Never: never, Permitted: permitted})
		l.vrfs = append(l.vrfs, k.VRF)
	}
	for i := range list {
		add(list[i].Key, list[i].Parts, false)
	}
	few := map[cells.Key][]int{}
	for i := range parts {
		if parts[i].Reason == decide.BelowSupportNumber {
			few[parts[i].Key] = append(few[parts[i].Key], i)
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(few), cells.Key.Compare) {
		add(k, few[k], true)
	}
	return &l
}

// seenHours is how many sessions of a cell were seen in exactly these hours.
type seenHours struct {
	cell  uint32 // place in learning.cells
	hours []time.Time
	n     uint64
}

// readHours gives the hours of the sessions under the verdicts that were sent.
func (r *run) readHours(ctx context.Context) (seen []seenHours, err error) {
	rows, err := r.conn.Query(ctx, "SELECT v.rule, arraySort(s.hours) AS at, count() FROM "+r.table("sessions")+" AS s INNER JOIN "+r.table("verdicts")+
		" AS v ON v.cell = s.cell GROUP BY v.rule, at")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var h seenHours
		if err := rows.Scan(&h.cell, &h.hours, &h.n); err != nil {
			return nil, err
		}
		seen = append(seen, h)
	}
	return seen, rows.Err()
}

// byVRF gives each cell its hours, counted from the first hour of its VRF, which may only overlap the window.
func (l *learning) byVRF(seen []seenHours, lossy map[string][]string) []simulate.Learned {
	type span struct{ first, last int64 } // Unix seconds
	spans := map[string]span{}
	for _, s := range seen {
		for _, h := range s.hours {
			at, ok := spans[l.vrfs[s.cell]]
			if !ok {
				at = span{h.Unix(), h.Unix()}
			}
			spans[l.vrfs[s.cell]] = span{min(at.first, h.Unix()), max(at.last, h.Unix())}
		}
	}
	for _, s := range seen {
		first := spans[l.vrfs[s.cell]].first
		var hours []int
		for _, h := range s.hours {
			hours = append(hours, int((h.Unix()-first)/3600))
		}
		l.cells[s.cell].Activity = append(l.cells[s.cell].Activity, simulate.Activity{Hours: hours, Sessions: s.n})
	}
	of := map[string]*simulate.Learned{}
	for i := range l.cells {
		slices.SortFunc(l.cells[i].Activity, func(a, b simulate.Activity) int {
			return cmp.Or(slices.Compare(a.Hours, b.Hours), cmp.Compare(a.Sessions, b.Sessions))
		})
		vrf := l.vrfs[i]
		if of[vrf] == nil {
			at := spans[vrf]
			of[vrf] = &simulate.Learned{VRF: vrf, From: time.Unix(at.first, 0).UTC(), Hours: int((at.last-at.first)/3600) + 1, Lossy: lossy[vrf]}
		}
		of[vrf].Cells = append(of[vrf].Cells, l.cells[i])
	}
	var out []simulate.Learned
	for _, vrf := range slices.Sorted(maps.Keys(of)) {
		out = append(out, *of[vrf])
	}
	return out
}
