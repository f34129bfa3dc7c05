package recommender

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"cordon/internal/sqltext"
	"cordon/recommender/policy"
	"cordon/schema"
)

// reportedWithin is how long after a flow its record may come: the longest
// active timeout in common use, that of MSS monitor nodes.
const reportedWithin = 30 * time.Minute

// hasLoss tells hours of view exporters in which something is missing. Late
// records are not missing, but where they came so late others may yet be on
// their way.
const hasLoss = "(lost_records > 0 OR lost_messages > 0 OR no_template > 0 OR restarts > 0 OR late_records > 0 OR kernel_drops > 0 OR dropped_records > 0)"

// span is the window asked for, with the ends of time where it is open.
func (r *run) span() (since, until time.Time) {
	return schema.OpenWindow(r.plan.settings.Since.Time, r.plan.settings.Until.Time)
}

// hoursOfReceipt gives a condition on column hour: those in which records of
// [from, to] may have come.
func hoursOfReceipt(from, to time.Time) string {
	format := func(t time.Time) string { return sqltext.Text(t.UTC().Format("2006-01-02 15:04:05")) }
	return fmt.Sprintf("hour >= %s AND hour <= %s", format(from.Truncate(time.Hour)), format(to.Add(reportedWithin)))
}

// readLossy finds the exporters with loss around the window, so that only
// these are looked for in sessions.
func (r *run) readLossy(ctx context.Context) (uint64, error) {
	condition := hasLoss
	if !r.plan.settings.Since.IsZero() || !r.plan.settings.Until.IsZero() {
		since, until := r.span()
		until = earlier(until, time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)) // hours are 32 bits
		condition += " AND " + hoursOfReceipt(since, until)
	}
	err := r.conn.QueryRow(ctx, "SELECT arraySort(groupUniqArray(exporter)) FROM exporters WHERE "+condition).Scan(&r.lossy)
	return uint64(len(r.lossy)), err
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// lossyOf gives an aggregate: the lossy ones among the exporters of a column.
func (r *run) lossyOf(column string) string {
	if len(r.lossy) == 0 {
		return "emptyArrayString()"
	}
	return fmt.Sprintf("groupUniqArrayArray(arrayIntersect(%s, %s))", column, textArray(r.lossy))
}

func textArray(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = sqltext.Text(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// readLoss adds to each draft the loss of the exporters that saw its sessions.
func (r *run) readLoss(ctx context.Context, drafts []*draft) (n uint64, err error) {
	if len(r.lossy) == 0 {
		return 0, nil
	}
	exporters, err := r.readVRFLossy(ctx)
	if err != nil {
		return 0, err
	}
	for _, d := range drafts {
		if err := r.readDraftLoss(ctx, d, append(exporters[d.VRF], policy.AnyExporter)); err != nil {
			return 0, err
		}
		n += uint64(len(d.Loss))
	}
	return n, nil
}

// readVRFLossy gives the lossy exporters that saw sessions of each VRF.
func (r *run) readVRFLossy(ctx context.Context) (map[string][]string, error) {
	rows, err := r.conn.Query(ctx, "SELECT vrf, groupUniqArrayArray(lossy) FROM "+r.table("sessions")+" GROUP BY vrf")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[string][]string{}
	for rows.Next() {
		var vrf string
		var exporters []string
		if err := rows.Scan(&vrf, &exporters); err != nil {
			return nil, err
		}
		out[vrf] = exporters
	}
	return out, rows.Err()
}

func (r *run) readDraftLoss(ctx context.Context, d *draft, exporters []string) error {
	rows, err := r.conn.Query(ctx, fmt.Sprintf(`SELECT exporter, countIf(%[1]s) AS lossy_hours, sum(e.records), sum(e.lost_records), sum(e.no_template),
			sum(e.restarts), sum(e.late_records), sum(e.kernel_drops), sum(e.dropped_records)
		FROM exporters AS e
		WHERE %[2]s AND has(%[3]s, exporter)
		GROUP BY exporter
		HAVING lossy_hours > 0
		ORDER BY exporter`, hasLoss, hoursOfReceipt(d.Window.From.Time, d.Window.To.Time), textArray(exporters)))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var l policy.Loss
		if err := rows.Scan(&l.Exporter, &l.Hours, &l.Records, &l.LostRecords, &l.NoTemplate,
			&l.Restarts, &l.LateRecords, &l.KernelDrops, &l.DroppedRecords); err != nil {
			return err
		}
		d.Loss = append(d.Loss, l)
	}
	return rows.Err()
}

// lossyAmong keeps those exporters that have loss in the draft's own window.
func (d *draft) lossyAmong(exporters []string) []string {
	var out []string
	for _, e := range exporters {
		if slices.ContainsFunc(d.Loss, func(l policy.Loss) bool { return l.Exporter == e }) {
			out = append(out, e)
		}
	}
	return out
}

// sawScope is a condition on the exporters of a VRF, where there is a scope: one of its sessions was seen by them, or by
// an exporter that nobody knows.
func (r *run) sawScope() string {
	if r.plan.bounds.All() {
		return ""
	}
	from, where, _ := r.window()
	where, having := r.scoped(strings.ReplaceAll(where, "?", sqltext.Text(r.plan.settings.VRF)))
	return fmt.Sprintf(`AND (exporter = toIPv6('::') OR (vrf, exporter) GLOBAL IN (SELECT vrf, toIPv6(arrayJoin(exporters)) FROM
			(
				SELECT w.vrf AS vrf, groupUniqArrayArray(w.exporters) AS exporters FROM %s AS w %s
				GROUP BY w.vrf, w.client_ip, w.server_ip, w.proto, w.icmp_type, w.port %s
			)))`, from, where, having)
}

// unknownSampling is [policy.SamplingUnknown] in SQL.
const unknownSampling = "4294967295"

// readSampling gives the sampling exporters of each VRF, by the sessions' own
// records; with a scope only those that saw one of its sessions. What such an exporter sent before it announced a rate
// was sampled, too.
func (r *run) readSampling(ctx context.Context) (map[string][]policy.Sampling, error) {
	since, until := r.span()
	rows, err := r.conn.Query(r.withScope(ctx), fmt.Sprintf(`SELECT vrf, exporter, maxIf(h.sampling, h.sampling != `+unknownSampling+`) AS one_in,
			max(h.sampling = `+unknownSampling+` OR h.sampling = 0 AND h.exporter GLOBAL IN (SELECT exporter FROM sampled_exporters)) AS unknown
		FROM sessions_hourly AS h
		WHERE sampling != 1 AND first_seen < '%[2]s' AND last_seen >= '%[1]s' %[3]s
		GROUP BY vrf, exporter
		HAVING one_in > 1 OR unknown
		ORDER BY vrf, exporter`, since.UTC().Format(schema.TimeLayout), until.UTC().Format(schema.TimeLayout), r.sawScope()))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[string][]policy.Sampling{}
	for rows.Next() {
		var vrf string
		var exporter net.IP
		var s policy.Sampling
		var unknown uint8
		if err := rows.Scan(&vrf, &exporter, &s.OneIn, &unknown); err != nil {
			return nil, err
		}
		s.UnknownRate = unknown != 0
		s.Exporter = addressText(exporter)
		out[vrf] = append(out[vrf], s)
	}
	return out, rows.Err()
}
