package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"cordon/collector"
	"cordon/collector/flowfile"
	"cordon/ingest"
	"cordon/internal/bus"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
)

const fileFormats = `Files: flow CSV (header src_ip,dst_ip,proto,... see docs/flow-csv.md), IPFIX files (RFC 5655),
pcap and pcapng captures that hold IPFIX; each also compressed with gzip or zstd. "-" is standard input.`

func (a *app) importCommand() *cobra.Command {
	var f importFlags
	c := &cobra.Command{
		Use:   "import FILE...",
		Short: "Flow records from files into the store",
		Long: `Reads flow records from files and sends them the way that collected ones take:
batches, NATS, ingester, ClickHouse.

An import is all or nothing. The files are read to their ends first: where a row is
bad, or a file ends too early, nothing is stored, the place is named and the exit
code is 2. An import that is interrupted is taken back and made anew when the same
file is imported again. The contents tell files apart, not their names or how they
are compressed: what is stored already is not stored twice.

` + "`cordon imports`" + ` lists imports and takes them back.

` + fileFormats,
		Args: atLeastOneFile,
		RunE: func(cmd *cobra.Command, args []string) error { return a.importFiles(cmd.Context(), args, f) },
	}
	c.Flags().BoolVar(&f.again, "again", false, "store the files once more although their contents were imported before")
	c.Flags().BoolVar(&f.skipBad, "skip-bad-rows", false, "import the good rows of files with bad ones; the exit code is 2 all the same")
	return c
}

// openFlowFiles opens all files before anything is read, so that a wrong name
// costs nothing. Records without a time get the time untimed, the same in all.
func openFlowFiles(ctx context.Context, files []string, untimed time.Time) (readers []flowfile.Reader, err error) {
	for _, f := range files {
		r, err := flowfile.OpenWith(f, flowfile.Options{Untimed: untimed, Context: ctx})
		if err != nil {
			closeAll(readers)
			return nil, usageError(err)
		}
		readers = append(readers, r)
	}
	return readers, nil
}

func closeAll(readers []flowfile.Reader) {
	for _, r := range readers {
		r.Close()
	}
}

// loaded counts what came of files.
type loaded struct {
	records uint64
	bad     uint64 // rows that could not be read
}

// shownRowErrors is how many bad rows are named.
const shownRowErrors = 10

// ingestFiles publishes the records of files and, where the servers run in this
// process, inserts them.
func (a *app) ingestFiles(ctx context.Context, st *store, files []string, readers []flowfile.Reader) (rep loaded, err error) {
	defer closeAll(readers)
	stopIngest := func() error { return nil }
	if st.Own {
		if stopIngest, err = a.ingestMeanwhile(ctx, st); err != nil {
			return rep, err
		}
	}
	for i := range readers {
		if i > 0 {
			readers[i] = flowfile.ReadAhead(readers[i]) // beside sealing and inserting
		}
		if err := a.publishFile(ctx, st, files[i], readers[i], &rep); err != nil {
			return rep, errors.Join(err, stopIngest())
		}
	}
	if err := st.waitIngested(ctx, max(a.settings.Collector.StopTimeout, 10*time.Second)); err != nil {
		return rep, errors.Join(err, stopIngest())
	}
	if err := stopIngest(); err != nil || st.scratch == nil {
		return rep, err
	}
	return rep, st.scratch.Filled(ctx, st.Conn)
}

// publishFile publishes the records of one file, with progress on a terminal.
func (a *app) publishFile(ctx context.Context, st *store, name string, r flowfile.Reader, rep *loaded) error {
	bar := a.progressBar(r, name)
	defer bar.done()
	opts := collector.ImportOptions{RowError: a.rowErrors(rep), Progress: bar.progress}
	imported, err := collector.Import(ctx, a.settings.Collector, collector.Deps{Bus: st.Bus, Log: a.log}, r, opts)
	rep.records += imported.Records
	if err != nil {
		return publishError(name, err)
	}
	a.notes(r)
	return nil
}

// publishError names the file, unless the error is of reading it and does so.
func publishError(name string, err error) error {
	var read *collector.ReadError
	switch {
	case errors.As(err, &read):
		return usageError(read.Err)
	case errors.Is(err, bus.ErrUnreachable):
		return unreachable(fmt.Errorf("%s: %w", name, err))
	}
	return fmt.Errorf("%s: %w", name, err)
}

// rowErrors counts bad rows and names the first ones.
func (a *app) rowErrors(rep *loaded) func(*flowfile.RowError) error {
	return func(err *flowfile.RowError) error {
		if rep.bad++; rep.bad <= shownRowErrors {
			fmt.Fprintf(a.stderr, "cordon: %v\n", err)
		}
		return nil
	}
}

func (a *app) notes(r flowfile.Reader) {
	for _, n := range r.Notes() {
		fmt.Fprintf(a.stderr, "cordon: %s\n", n)
	}
}

// fileProgress is a progress bar, or none.
type fileProgress struct {
	bar    *progressbar.ProgressBar
	reader flowfile.Reader
}

// progressBar shows how much of a file is read, on a terminal.
func (a *app) progressBar(r flowfile.Reader, name string) *fileProgress {
	p := &fileProgress{reader: r}
	if _, size := r.Progress(); size > 0 && isTerminal(a.stderr) {
		p.bar = progressbar.NewOptions64(size, progressbar.OptionSetWriter(a.stderr), progressbar.OptionSetDescription(filepath.Base(name)),
			progressbar.OptionShowBytes(true), progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(100*time.Millisecond))
	}
	return p
}

func (p *fileProgress) progress(uint64) {
	if p.bar != nil {
		read, _ := p.reader.Progress()
		p.bar.Set64(read)
	}
}

func (p *fileProgress) done() {
	if p.bar != nil {
		p.bar.Finish()
	}
}

// ingestMeanwhile runs an ingester until the returned function is called.
func (a *app) ingestMeanwhile(ctx context.Context, st *store) (stop func() error, err error) {
	cfg := a.settings.Ingest
	cfg.SessionsWait = min(cfg.SessionsWait, 100*time.Millisecond) // someone waits for the end
	i, err := ingest.New(cfg, ingest.Deps{Bus: st.Bus, Conn: st.Conn, Log: a.log})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- i.Run(ctx) }()
	return func() error {
		cancel()
		return <-done
	}, nil
}

// waitIngested waits until everything that was published so far is stored.
// Servers may be away meanwhile, though not for longer than patience.
func (s *store) waitIngested(ctx context.Context, patience time.Duration) error {
	var upTo uint64
	known := false
	began := time.Now()
	answered := began
	for {
		var settled bool
		var err error
		if !known {
			upTo, err = s.Bus.Last(ctx)
			known = err == nil
		}
		if err == nil {
			settled, err = s.Bus.Settled(ctx, upTo)
		}
		switch {
		case err == nil && settled:
			return nil
		case err == nil:
			answered = time.Now()
		case ctx.Err() == nil && s.wait.isComing(began):
			answered = time.Now()
		case ctx.Err() == nil && time.Since(answered) > patience:
			return unreachable(err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}
