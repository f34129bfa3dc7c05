package status

import (
	"cmp"
	"fmt"
	"io"
	"time"

	"cordon/collector"
	"cordon/ingest"
	"cordon/internal/text"
)

// Text prints the document for a person: findings first, since they are the
// answer to why one looks.
//
// Tables keep to a width, 0 for none: see [text.Table].
func (d *Document) Text(w io.Writer, width int) error {
	p := &printer{w: w, width: width}
	for _, f := range d.Diagnose() {
		p.printf("%-8s %-10s %s\n", f.Severity, f.Part, f.Text)
		if f.Remedy != "" {
			p.printf("%-19s -> %s\n", "", f.Remedy)
		}
	}
	p.printf("\n")
	for _, q := range d.processes() {
		if q.PID == 0 {
			continue
		}
		role, host := "", ""
		if len(d.Roles) > 0 {
			role, host = " "+q.Role, " on "+q.Host
		}
		p.printf("cordon %s%s, process %d%s, up %v\n", q.Version, role, q.PID, host, q.Taken.Sub(q.Started).Round(time.Second))
		q.listeners(p)
		q.exporters(p)
	}
	d.pipeline(p)
	return p.err
}

// printer remembers the first error.
type printer struct {
	w     io.Writer
	width int
	err   error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// table prints rows of cells in columns.
func (p *printer) table(rows func(row func(cells ...any))) {
	var all [][]string
	rows(func(cells ...any) {
		row := make([]string, len(cells))
		for i, c := range cells {
			row[i] = fmt.Sprint(c)
		}
		all = append(all, row)
	})
	if err := text.Table(p.w, all, p.width, "DUPLICATE", "TEMPLATES", "SAMPLING", "DOMAIN", "SOFTWARE", "VIA", "REFUSED", "CONNECTIONS"); p.err == nil {
		p.err = err
	}
}

func (d *Document) listeners(p *printer) {
	if d.Collector == nil || len(d.Collector.Listeners) == 0 {
		return
	}
	p.printf("\n")
	p.table(func(row func(...any)) {
		row("LISTENER", "MESSAGES", "BYTES", "KERNEL DROPS", "CONNECTIONS", "REFUSED")
		for _, l := range d.Collector.Listeners {
			row(l.Transport+" "+l.Address, text.Number(l.Messages), text.Number(l.Bytes), text.Number(l.KernelDrops), text.Number(l.Connections), text.Number(l.Refused))
		}
	})
}

func (d *Document) exporters(p *printer) {
	if d.Collector == nil || len(d.Collector.Exporters) == 0 {
		return
	}
	p.printf("\n")
	p.table(func(row func(...any)) {
		row("EXPORTER", "DOMAIN", "VIA", "MESSAGES", "FLOWS", "RATE/s", "LOST", "DUPLICATE", "TEMPLATES", "WAITING", "SAMPLING", "LAST", "SOFTWARE", "NAME")
		up := max(d.Taken.Sub(d.Collector.Started).Seconds(), 1)
		for _, e := range d.Collector.Exporters {
			name := "(others)"
			if e.Exporter.IsValid() {
				name = e.Exporter.String()
			}
			last := "never"
			if !e.LastMessage.IsZero() {
				last = d.Taken.Sub(e.LastMessage).Round(time.Second).String() + " ago"
			}
			sampling := "-"
			if e.Sampling > 0 {
				sampling = "1:" + text.Number(e.Sampling)
			}
			if e.SamplingUnknown {
				sampling = "unknown"
			}
			via := e.Transport
			if e.Mediator.IsValid() {
				via += " by " + e.Mediator.String()
			}
			row(name, e.Domain, via, text.Number(e.Messages), text.Number(e.Flows), rate(float64(e.Flows)/up), text.Number(e.LostRecords), text.Number(e.Duplicates),
				text.Number(e.Templates), text.Number(e.WaitingSets), sampling, last, cmp.Or(e.Software, "-"), e.Name)
		}
	})
}

// rate writes a number a second: with a decimal where that says something.
func rate(r float64) string {
	if r >= 100 {
		return text.Number(int64(r + 0.5))
	}
	return fmt.Sprintf("%.1f", r)
}

// pipeline shows the way of the records in numbers, over all processes.
func (d *Document) pipeline(p *printer) {
	p.printf("\n")
	var (
		out                    collector.PublisherStatus
		in                     ingest.Status
		decoded                uint64
		collectors, insertions int
	)
	for _, q := range d.processes() {
		if c := q.Collector; c != nil {
			collectors++
			decoded += c.Records
			out.Published.Records += c.Publisher.Published.Records
			out.Published.Batches += c.Publisher.Published.Batches
			out.Published.Statistics += c.Publisher.Published.Statistics
			out.Dropped.Records += c.Publisher.Dropped.Records
			out.QueuedBatches += c.Publisher.QueuedBatches
			out.SpooledBatches += c.Publisher.SpooledBatches
		}
		if i := q.Ingest; i != nil {
			insertions++
			in.Records += i.Records
			in.Rows += i.Rows
			in.Batches += i.Batches
			in.Delay = max(in.Delay, i.Delay)
		}
	}
	if collectors > 0 {
		p.printf("decoded    %s\n", text.Count(decoded, "flow record"))
		p.printf("published  %s in %s%s; %s in memory, %s on disk; %s dropped\n", text.Count(out.Published.Records, "flow record"), batches(out.Published.Batches),
			besides(out.Published.Statistics), are(out.QueuedBatches, "batch", "batches"), text.Number(out.SpooledBatches), were(out.Dropped.Records, "record"))
	}
	if s := d.Stream; s != nil && s.Error == "" {
		oldest := ""
		if s.Batches > 0 {
			oldest = fmt.Sprintf(", the oldest for %v", time.Duration(s.OldestSeconds*float64(time.Second)).Round(100*time.Millisecond))
		}
		p.printf("stream     %s (%s bytes of %s) not stored yet%s; %s\n", batches(s.Batches), text.Number(s.Bytes), text.Number(s.Limit), oldest, text.Count(s.Dead, "dead letter"))
	}
	if insertions > 0 {
		p.printf("inserted   %s in %s%s, %.1f s after receipt\n", text.Count(in.Records, "flow record"), batches(in.Batches), besides(in.Rows-min(in.Records, in.Rows)), in.Delay)
	}
	if s := d.Store; s != nil && s.Error == "" {
		p.printf("stored     %s of %s, %s bytes on disk", text.Count(s.Flows, "flow record"), text.Count(s.Exporters, "exporter"), text.Number(s.Bytes))
		if s.Flows > 0 {
			p.printf(", from %s to %s", s.OldestFlow.Format(time.RFC3339), s.NewestFlow.Format(time.RFC3339))
		}
		p.printf("\n")
	}
}

// besides tells of the rows that are no flow records.
func besides(statistics uint64) string {
	if statistics == 0 {
		return ""
	}
	return ", with " + text.Count(statistics, "row") + " of statistics besides"
}
