package collector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"cordon/collector/direction"
	"cordon/collector/flowfile"
	"cordon/collector/ipfix"
	"cordon/internal/bus"
	"cordon/schema"
)

// ImportOptions are what an import tells while it runs. Each may be nil. They
// are called from the goroutine that called [Import].
type ImportOptions struct {
	// RowError is called for each bad row. The import goes on if it
	// returns nil, and otherwise ends with its error.
	RowError func(*flowfile.RowError) error
	// Progress is called every few thousand records.
	Progress func(records uint64)
	// Import is the number that the records carry, zero for none.
	Import uint32
	// Instance begins the ids of the batches and names the collector in table
	// exporter_stats; empty for one at random. No two imports may have the same.
	Instance string
}

// ImportReport says what an import has read and published.
type ImportReport struct {
	Records   uint64 // read
	BadRows   uint64 // passed over
	Published Volume // acknowledged by JetStream
}

// ReadError says that a file cannot be read further. Its text names the file.
type ReadError struct{ Err error }

func (e *ReadError) Error() string { return e.Err.Error() }

// Unwrap gives the reader's error.
func (e *ReadError) Unwrap() error { return e.Err }

// importProgress is how many records lie between two calls of Progress.
const importProgress = 8192

// Import publishes the records of a file through the same batches and stream
// as what the listeners receive. Where a collector would drop, it waits. When
// it returns without error, JetStream has acknowledged every record.
//
// Of cfg it uses Batch, Queue, Direction, and StopTimeout: how long NATS may be
// away before the import gives up, with an error that wraps [bus.ErrUnreachable].
// Of deps it uses Bus and Log. It does not close the reader.
func Import(ctx context.Context, cfg Config, deps Deps, reader flowfile.Reader, opts ImportOptions) (ImportReport, error) {
	var report ImportReport
	if err := errors.Join(cfg.Batch.validate(), cfg.Queue.validate()); err != nil {
		return report, err
	}
	rules, err := cfg.Direction.rules()
	if err != nil {
		return report, err
	}
	log := cmp.Or(deps.Log, slog.New(slog.DiscardHandler))
	ids := newIDs()
	ids.instance = cmp.Or(opts.Instance, ids.instance)
	p, err := newPublisher(cfg.Queue, deps.Bus, ids, "", log, newBurstLog(log), nil)
	if err != nil {
		return report, err
	}
	go p.run()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var watch sync.WaitGroup
	watch.Go(func() { p.watch(ctx, cancel, cfg.StopTimeout) })
	s := newSealer(cfg.Batch, ids, p.sender.maxPayload, func(b batch) {
		if err := p.putWait(ctx, b); err != nil {
			cancel(err)
		}
	})

	err = report.read(ctx, reader, rules, s, &opts)
	s.close()
	if m, ok := reader.(messageReader); ok && ctx.Err() == nil {
		publishFile(m, log, ids, func(b batch) {
			if err := p.putWait(ctx, b); err != nil {
				cancel(err)
			}
		})
	}
	stopErr := p.stop(ctx)
	if ctx.Err() != nil { // why it stopped says more than what that left behind
		stopErr = context.Cause(ctx)
	}
	cancel(nil)
	watch.Wait()
	report.Published = p.snapshot().Published
	if err == nil {
		err = stopErr
	}
	return report, err
}

// read seals the records of a file, and counts.
func (report *ImportReport) read(ctx context.Context, reader flowfile.Reader, rules *direction.Rules, s *sealer, opts *ImportOptions) error {
	var r schema.Record
	for ctx.Err() == nil {
		err := reader.Next(&r)
		var bad *flowfile.RowError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &bad):
			report.BadRows++
			if opts.RowError != nil {
				if err := opts.RowError(bad); err != nil {
					return err
				}
			}
			continue
		case err != nil:
			return &ReadError{err}
		}
		report.Records++
		r.Import = opts.Import
		rules.Infer(&r)
		s.append(&r)
		if report.Records%importProgress == 0 && opts.Progress != nil {
			opts.Progress(report.Records)
		}
	}
	return context.Cause(ctx)
}

// publishFile publishes what a file of messages tells of its exporters.
func publishFile(m messageReader, log *slog.Logger, ids *ids, put func(batch)) {
	now := time.Now()
	sources := fileSources(m.Stats().Sources)
	a := newAccount()
	a.update(sources, nil)
	publish(log, ids, now, schema.TableExporterStats, a.fileRows(now, ids.instance), schema.MaxRows, schema.SealExporterStats, put)
	publish(log, ids, now, schema.TableExporterNames, make(names).rows(now, sources), maxNameRows, schema.SealExporterNames, put)
}

// messageReader is a reader of a file that holds IPFIX messages.
type messageReader interface{ Stats() ipfix.Stats }

// fileSources names the sources of a file that came without an address by what
// options data says of them.
func fileSources(sources []ipfix.SourceStats) (out []ipfix.SourceStats) {
	for _, s := range sources {
		if s.Source.Addr.IsValid() {
			out = append(out, s)
			continue
		}
		rest := s
		rest.Domains = nil
		for _, d := range s.Domains {
			addr, err := netip.ParseAddr(d.Exporter)
			if err != nil {
				rest.Domains = append(rest.Domains, d)
				continue
			}
			rest.Counters = subtract(&rest.Counters, &d.Counters)
			named := ipfix.SourceStats{Source: s.Source, Counters: d.Counters, Domains: []ipfix.DomainStats{d}}
			named.Source.Addr = netip.AddrPortFrom(addr, 0)
			out = append(out, named)
		}
		out = append(out, rest)
	}
	return out
}

// fileRows gives the rows of table exporter_stats for what was read of a file:
// nothing in it is late, and no clock can be compared with that of its receiver.
func (a *account) fileRows(now time.Time, collector string) []schema.ExporterStats {
	rows := a.rows(now, 0, collector)
	for i := range rows {
		rows[i].Transport, rows[i].ClockSkew, rows[i].LateRecords = ipfix.File.String(), 0, 0
	}
	return rows
}

// watch cancels when NATS has been away for too long.
func (p *publisher) watch(ctx context.Context, cancel context.CancelCauseFunc, patience time.Duration) {
	tick := time.NewTicker(max(patience/20, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if st := p.snapshot(); st.Away != "" && time.Since(st.Since) > patience {
			cancel(fmt.Errorf("%w: it has not taken batches for %v: %s", bus.ErrUnreachable, patience, st.Away))
			return
		}
	}
}
