package recommender

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"cordon/categories"
	"cordon/recommender/simulate"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Learn gives for each VRF, in order, the cells of the sessions that the settings select, with the hours in which they were seen:
// those that Generate would make rules of, and those that it keeps out for too little support. Sessions that are left out for
// any other reason are in none. A mistake in the settings is a *SettingsError.
func Learn(ctx context.Context, conn driver.Conn, s Settings, file *categories.File) (_ []simulate.Learned, err error) {
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
	parts, cells, err := r.decided(ctx)
	if err != nil {
		return nil, err
	}
	return r.learn(ctx, cells, parts)
}

// learn reads when the sessions of cells were seen.
func (r *run) learn(ctx context.Context, cells []cell, parts []part) ([]simulate.Learned, error) {
	learned := make([]simulate.LearnedCell, 0, len(cells))
	var vrfs []string // of learned
	var verdicts []verdict
	add := func(k cellKey, of []int, never bool) {
		permitted := !slices.ContainsFunc(of, func(i int) bool { return parts[i].reason != alreadyPermittedNumber })
		for _, i := range of {
			verdicts = append(verdicts, verdict{i, uint32(len(learned))})
		}
		learned = append(learned, simulate.LearnedCell{Source: r.literal(k.src).String(), Destination: r.literal(k.dst).String(), Service: k.service.String(),
			MinSessions: r.MinSessions, MinHours: r.MinHours, Never: never, Permitted: permitted})
		vrfs = append(vrfs, k.vrf)
	}
	for i := range cells {
		add(cells[i].key, cells[i].parts, false)
	}
	for i := range parts {
		if parts[i].reason == belowSupportNumber {
			add(parts[i].key, []int{i}, true)
		}
	}
	first, last := map[string]int64{}, map[string]int64{}
	if err := r.step("send cells", true, func() (uint64, error) { return r.sendVerdicts(ctx, parts, verdicts) }); err != nil {
		return nil, err
	}
	type activity struct {
		cell  uint32
		hours []time.Time
		n     uint64
	}
	var seen []activity
	if err := r.step("read hours", true, func() (uint64, error) {
		rows, err := r.conn.Query(ctx, "SELECT v.rule, arraySort(s.hours) AS at, count() FROM "+r.table("sessions")+" AS s INNER JOIN "+r.table("verdicts")+
			" AS v ON v.cell = s.cell GROUP BY v.rule, at")
		if err != nil {
			return 0, err
		}
		defer rows.Close()
		for rows.Next() {
			var a activity
			if err := rows.Scan(&a.cell, &a.hours, &a.n); err != nil {
				return 0, err
			}
			vrf := vrfs[a.cell]
			for _, h := range a.hours {
				if at, ok := first[vrf]; !ok || h.Unix() < at {
					first[vrf] = h.Unix()
				}
				last[vrf] = max(last[vrf], h.Unix())
			}
			seen = append(seen, a)
		}
		return uint64(len(seen)), rows.Err()
	}); err != nil {
		return nil, err
	}
	// Records may lie in an hour that only overlaps the window.
	for _, a := range seen {
		var hours []int
		for _, h := range a.hours {
			hours = append(hours, int((h.Unix()-first[vrfs[a.cell]])/3600))
		}
		learned[a.cell].Activity = append(learned[a.cell].Activity, simulate.Activity{Hours: hours, Sessions: a.n})
	}
	byVRF := map[string]*simulate.Learned{}
	var out []*simulate.Learned
	for i := range learned {
		slices.SortFunc(learned[i].Activity, func(a, b simulate.Activity) int {
			return cmp.Or(slices.Compare(a.Hours, b.Hours), cmp.Compare(a.Sessions, b.Sessions))
		})
		vrf := vrfs[i]
		l := byVRF[vrf]
		if l == nil {
			l = &simulate.Learned{VRF: vrf, From: time.Unix(first[vrf], 0).UTC(), Hours: int((last[vrf]-first[vrf])/3600) + 1, Lossy: r.lossy}
			byVRF[vrf] = l
			out = append(out, l)
		}
		l.Cells = append(l.Cells, learned[i])
	}
	slices.SortFunc(out, func(a, b *simulate.Learned) int { return cmp.Compare(a.VRF, b.VRF) })
	var list []simulate.Learned
	for _, l := range out {
		list = append(list, *l)
	}
	return list, nil
}
