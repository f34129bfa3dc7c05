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
	return &cobra.Command{
		Use:   "import FILE...",
		Short: "Flow records from files into the store",
		Long: `Reads flow records from files and sends them the way that collected ones take:
batches, NATS, ingester, ClickHouse. Bad rows are named and left out; the rest is
imported, and the exit code is 2.

` + fileFormats,
		Args: atLeastOneFile,
		RunE: func(cmd *cobra.Command, args []string) error { return a.importFiles(cmd.Context(), args) },
	}
}

func (a *app) importFiles(ctx context.Context, files []string) error {
	if err := a.settings.check(); err != nil {
		return usageError(err)
	}
	readers, err := openFlowFiles(files, time.Now())
	if err != nil {
		return err
	}
	st, err := a.openStore(ctx, storeNeeds{bus: true})
	if err != nil {
		closeAll(readers)
		return err
	}
	defer st.close()
	rep, err := a.ingestFiles(ctx, st, files, readers)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%d records imported from %d file(s)\n", rep.records, len(files))
	if rep.bad > 0 {
		return usagef("%d rows were left out; the first ones are named above", rep.bad)
	}
	return nil
}

// openFlowFiles opens all files before anything is read, so that a wrong name
// costs nothing. Records without a time get the time untimed, the same in all.
func openFlowFiles(files []string, untimed time.Time) (readers []flowfile.Reader, err error) {
	for _, f := range files {
		r, err := flowfile.OpenAt(f, untimed)
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
	for i, r := range readers {
		if err := a.publishFile(ctx, st, files[i], r, &rep); err != nil {
			return rep, errors.Join(err, stopIngest())
		}
	}
	if err := st.waitIngested(ctx, max(a.settings.Collector.StopTimeout, 10*time.Second)); err != nil {
		return rep, errors.Join(err, stopIngest())
	}
	return rep, stopIngest()
}

// publishFile publishes the records of one file, with progress on a terminal.
func (a *app) publishFile(ctx context.Context, st *store, name string, r flowfile.Reader, rep *loaded) error {
	opts := collector.ImportOptions{
		RowError: func(err *flowfile.RowError) error {
			if rep.bad++; rep.bad <= shownRowErrors {
				fmt.Fprintf(a.stderr, "cordon: %v\n", err)
			}
			return nil
		},
	}
	if _, size := r.Progress(); size > 0 && isTerminal(a.stderr) {
		bar := progressbar.NewOptions64(size, progressbar.OptionSetWriter(a.stderr), progressbar.OptionSetDescription(filepath.Base(name)),
			progressbar.OptionShowBytes(true), progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(100*time.Millisecond))
		defer bar.Finish()
		opts.Progress = func(uint64) {
			read, _ := r.Progress()
			bar.Set64(read)
		}
	}
	imported, err := collector.Import(ctx, a.settings.Collector, collector.Deps{Bus: st.Bus, Log: a.log}, r, opts)
	rep.records += imported.Records
	switch {
	case errors.Is(err, bus.ErrUnreachable):
		return unreachable(fmt.Errorf("%s: %w", name, err))
	case err != nil:
		return fmt.Errorf("%s: %w", name, err)
	}
	for _, n := range r.Notes() {
		fmt.Fprintf(a.stderr, "cordon: %s\n", n)
	}
	return nil
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

// waitIngested waits until everything that was published is stored. Servers
// may be away meanwhile, though not for longer than patience.
func (s *store) waitIngested(ctx context.Context, patience time.Duration) error {
	answered := time.Now()
	for {
		n, err := s.Bus.Pending(ctx)
		switch {
		case err == nil && n == 0:
			return nil
		case err == nil:
			answered = time.Now()
		case time.Since(answered) > patience:
			return unreachable(err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}
