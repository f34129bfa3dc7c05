package collector

import (
	"time"

	"cordon/schema"
)

// writeStats publishes a batch for table exporter_stats: what each exporter
// has done since the last one, and in a row without exporter what the
// collector itself could not take.
func (c *Collector) writeStats(now time.Time) {
	c.updateAccount()
	interval := now.Sub(c.statsWritten)
	c.statsWritten = now
	rows := c.account.rows(now, interval, c.ids.instance)
	if r := c.ownStats(now, interval); r != nil {
		rows = append(rows, *r)
	}
	for len(rows) > 0 {
		part := rows[:min(len(rows), schema.MaxRows)]
		rows = rows[len(part):]
		payload, err := schema.SealExporterStats(part)
		if err != nil {
			c.log.Error("exporter statistics are not written", "err", err)
			return
		}
		c.publisher.put(batch{
			Sealed: schema.Sealed{ID: c.ids.next(), Table: schema.TableExporterStats, Rows: len(part), Payload: payload},
			opened: now,
		})
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
