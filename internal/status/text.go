package status

import (
	"cmp"
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// Text prints the document for a person: findings first, since they are the
// answer to why one looks.
func (d *Document) Text(w io.Writer) error {
	p := &printer{w: w}
	for _, f := range d.Diagnose() {
		p.printf("%-8s %-10s %s\n", f.Severity, f.Part, f.Text)
		if f.Remedy != "" {
			p.printf("%-19s -> %s\n", "", f.Remedy)
		}
	}
	p.printf("\n")
	if d.PID != 0 {
		p.printf("cordon %s, process %d, up %v\n", d.Version, d.PID, d.Taken.Sub(d.Started).Round(time.Second))
	}
	d.listeners(p)
	d.exporters(p)
	d.pipeline(p)
	return p.err
}

// printer remembers the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// table prints rows of tab-separated cells in columns.
func (p *printer) table(rows func(row func(cells ...any))) {
	tw := tabwriter.NewWriter(p.w, 0, 8, 2, ' ', 0)
	rows(func(cells ...any) {
		for i, c := range cells {
			if i > 0 {
				fmt.Fprint(tw, "\t")
			}
			fmt.Fprint(tw, c)
		}
		fmt.Fprintln(tw)
	})
	if err := tw.Flush(); p.err == nil {
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
			row(l.Transport+" "+l.Address, l.Messages, l.Bytes, l.KernelDrops, l.Connections, l.Refused)
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
				sampling = fmt.Sprintf("1:%d", e.Sampling)
			}
			row(name, e.Domain, e.Transport, e.Messages, e.Flows, fmt.Sprintf("%.1f", float64(e.Flows)/up), e.LostRecords, e.Duplicates, e.Templates, e.WaitingSets,
				sampling, last, cmp.Or(e.Software, "-"), e.Name)
		}
	})
}

func (d *Document) pipeline(p *printer) {
	p.printf("\n")
	if d.Collector != nil {
		b := d.Collector.Publisher
		p.printf("published  %d rows in %d batches, flow records and statistics of exporters; %d batches wait in memory, %d on disk; %d records dropped\n",
			b.Published.Records, b.Published.Batches, b.QueuedBatches, b.SpooledBatches, b.Dropped.Records)
	}
	if s := d.Stream; s != nil && s.Error == "" {
		p.printf("stream     %d batches (%d bytes of %d) not inserted yet; %d dead letters\n", s.Batches, s.Bytes, s.Limit, s.Dead)
	}
	if i := d.Ingest; i != nil {
		p.printf("inserted   %d rows in %d batches, %.1f s after receipt\n", i.Rows, i.Batches, i.Delay)
	}
	if s := d.Store; s != nil && s.Error == "" {
		p.printf("stored     %d flow records of %d exporters, %d bytes on disk", s.Flows, s.Exporters, s.Bytes)
		if s.Flows > 0 {
			p.printf(", from %s to %s", s.OldestFlow.Format(time.RFC3339), s.NewestFlow.Format(time.RFC3339))
		}
		p.printf("\n")
	}
}
