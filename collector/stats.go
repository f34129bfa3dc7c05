package collector

import (
	"log/slog"
	"slices"
	"time"

	"cordon/schema"
)

// writeStats publishes a batch for table exporter_stats: what each exporter
// has done since the last one, and in a row without exporter what the
// collector itself could not take. New names of exporters go into a batch of
// their own.
func (c *Collector) writeStats(now time.Time) {
	st := c.updateAccount()
	interval := now.Sub(c.statsWritten)
	c.statsWritten = now
	c.warnElsewhere(now)
	rows := c.account.rows(now, interval, c.ids.instance)
	if r := c.ownStats(now, interval); r != nil {
		rows = append(rows, *r)
	}
	publish(c.log, c.ids, now, schema.TableExporterStats, rows, schema.MaxRows, schema.SealExporterStats, c.publisher.put)
	publish(c.log, c.ids, now, schema.TableExporterNames, c.names.rows(now, st.Sources), maxNameRows, schema.SealExporterNames, c.publisher.put)
}

// warnElsewhere logs that data has come without templates that the same address
// has announced from another port.
func (c *Collector) warnElsewhere(now time.Time) {
	for _, e := range c.account.exporters() {
		for _, t := range e.Elsewhere {
			c.intake.bursts.warn(now, e.Exporter, "template-elsewhere", "data comes from another port than its template, so it cannot be decoded; let the exporter send both from one port, or over TCP",
				"domain", e.Domain, "template", t.Template, "port", t.Port, "announced", t.Announced, "transport", t.Transport)
		}
	}
}

// publish gives rows of a table other than flows to a publisher, at most so
// many in a batch.
func publish[T any](log *slog.Logger, numbers *ids, now time.Time, table string, rows []T, most int, seal func([]T) ([]byte, error), put func(batch)) {
	for part := range slices.Chunk(rows, most) {
		payload, err := seal(part)
		if err != nil {
			log.Error("what is known of exporters is not written", "table", table, "err", err)
			return
		}
		put(batch{Sealed: schema.Sealed{ID: numbers.next(), Table: table, Rows: len(part), Payload: payload}, opened: now})
	}
}

// ownCounts are the counters of a collector's row without exporter.
type ownCounts struct{ dropped, refused, kernelDrops uint64 }

func (c *Collector) ownStats(now time.Time, interval time.Duration) *schema.ExporterStats {
	is := ownCounts{dropped: c.publisher.snapshot().Dropped.Records, refused: c.intake.admission.snapshot().Total}
	for _, s := range c.udp {
		is.kernelDrops += s.drops()
	}
	was := c.ownWritten
	if is == was {
		return nil
	}
	c.ownWritten = is
	return &schema.ExporterStats{
		Time: now.UnixMilli(), Interval: uint32(interval.Milliseconds()), Collector: c.ids.instance,
		DroppedRecords: is.dropped - was.dropped,
		Refused:        is.refused - was.refused,
		KernelDrops:    is.kernelDrops - was.kernelDrops,
	}
}
