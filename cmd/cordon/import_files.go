package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"cordon/collector"
	"cordon/collector/flowfile"
	"cordon/internal/imports"
	"cordon/schema"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/nats-io/nuid"
)

type importFlags struct{ again, skipBad bool }

// inputFile is a file that is read more than once.
type inputFile struct {
	name    string // the name as it was given
	content *os.File
	size    int64

	digest  string
	records uint64
}

// importFiles checks all files, then imports each that is not stored yet.
func (a *app) importFiles(ctx context.Context, names []string, f importFlags) error {
	if err := a.settings.check(); err != nil {
		return usageError(err)
	}
	files, err := openInputs(ctx, names)
	defer func() {
		for _, in := range files {
			in.content.Close()
		}
	}()
	if err != nil {
		return err
	}
	bad, err := a.checkFiles(ctx, files, f.skipBad)
	if err != nil {
		return err
	}
	a.settings.ConnectTimeout = a.patience() // Batches may wait as long.
	st, err := a.openStore(ctx, storeNeeds{bus: true, create: true})
	if err != nil {
		return err
	}
	defer st.close()
	var sum struct {
		records       uint64
		files, before int
	}
	err = a.withIngester(ctx, st, func() error {
		for _, in := range files {
			stored, err := a.importFile(ctx, st, in, f.again)
			if err != nil {
				return err
			}
			if stored {
				sum.files++
				sum.records += in.records
			} else {
				sum.before++
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%d records imported from %d file(s)", sum.records, sum.files)
	if sum.before > 0 {
		fmt.Fprintf(a.stdout, "; %d imported before", sum.before)
	}
	fmt.Fprintln(a.stdout)
	if bad > 0 {
		return usagef("%s; the others were imported", badRows(bad))
	}
	return nil
}

// openInputs opens all files before anything is read, so that a wrong name costs
// nothing. What cannot be read twice is copied.
func openInputs(ctx context.Context, names []string) (files []*inputFile, err error) {
	for _, name := range names {
		in := &inputFile{name: name}
		if in.content, err = openSeekable(ctx, name); err != nil {
			return files, usageError(err)
		}
		files = append(files, in)
		info, err := in.content.Stat()
		if err != nil {
			return files, err
		}
		if in.size = info.Size(); name == "-" {
			in.name = flowfile.StandardInput
		}
	}
	return files, nil
}

// openSeekable opens a file, or for a pipe or standard input a copy of it that is
// gone when it is closed.
func openSeekable(ctx context.Context, name string) (*os.File, error) {
	f, err := flowfile.OpenUntil(ctx, name)
	if err != nil {
		return nil, err
	}
	if name != "-" {
		info, err := f.Stat()
		switch {
		case err != nil:
			f.Close()
			return nil, err
		case info.IsDir():
			f.Close()
			return nil, fmt.Errorf("%s: is a folder; name a file in it", name)
		case info.Mode().IsRegular():
			return f, nil
		}
	}
	defer f.Close()
	c, err := os.CreateTemp("", "cordon-import-")
	if err != nil {
		return nil, fmt.Errorf("a copy of %s: %w", name, err)
	}
	os.Remove(c.Name())
	if _, err := io.Copy(c, flowfile.ReadUntil(ctx, f)); err != nil {
		c.Close()
		return nil, fmt.Errorf("a copy of %s: %w", name, err)
	}
	return c, nil
}

// reader reads the file from its beginning.
func (in *inputFile) reader() (flowfile.Reader, error) {
	return flowfile.OpenWith(in.name, flowfile.Options{Digest: true, Content: io.NewSectionReader(in.content, 0, in.size)})
}

// checkFiles reads all files to their ends. It returns the number of bad rows, if
// they may be passed over, and otherwise an error.
func (a *app) checkFiles(ctx context.Context, files []*inputFile, skipBad bool) (bad uint64, err error) {
	var rep loaded
	for _, in := range files {
		if err := a.checkFile(ctx, in, &rep); err != nil {
			return rep.bad, err
		}
	}
	if rep.bad > 0 && !skipBad {
		return rep.bad, usagef("nothing was imported, since %s; import the others with --skip-bad-rows", badRows(rep.bad))
	}
	return rep.bad, nil
}

// badRows says how many rows could not be read, and where they are named.
func badRows(n uint64) string {
	switch {
	case n == 1:
		return "1 row cannot be read"
	case n <= shownRowErrors:
		return fmt.Sprintf("%d rows cannot be read", n)
	}
	return fmt.Sprintf("%d rows cannot be read, of which the first %d are named above", n, shownRowErrors)
}

// checkFile reads a file to its end and notes its digest.
func (a *app) checkFile(ctx context.Context, in *inputFile, rep *loaded) error {
	r, err := in.reader()
	if err != nil {
		return usageError(err)
	}
	defer r.Close()
	bar := a.progressBar(r, "check "+in.name)
	defer bar.done()
	count := a.rowErrors(rep)
	var rec schema.Record
	for n := 0; ; n++ {
		err := r.Next(&rec)
		var row *flowfile.RowError
		switch {
		case err == nil:
			in.records++
		case errors.As(err, &row):
			count(row)
		case errors.Is(err, io.EOF):
			in.digest = r.Digest()
			a.notes(r)
			return nil
		default:
			return usageError(fmt.Errorf("%w; nothing was imported", err))
		}
		if n%importCheckEvery == 0 {
			bar.progress(in.records)
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
}

// importCheckEvery is after how many rows a check shows its progress.
const importCheckEvery = 8192

// withIngester runs an ingester meanwhile, where the servers run in this process.
func (a *app) withIngester(ctx context.Context, st *store, work func() error) error {
	if !st.Own {
		return work()
	}
	stop, err := a.ingestMeanwhile(ctx, st)
	if err != nil {
		return err
	}
	return errors.Join(work(), stop())
}

// accounts gives the account of imports in a store.
func (a *app) accounts(st *store) *imports.Store {
	return &imports.Store{Conn: st.Conn, Database: database, Cluster: a.settings.ClickHouse.Cluster, Alone: st.Own}
}

// account does something with the account of imports. Where ClickHouse cannot be
// reached it tries again for a while, since it may be restarting. What is done may
// be done twice.
func (a *app) account(ctx context.Context, st *store, do func(*imports.Store) error) error {
	err := st.wait.try(ctx, broke, func() error { return do(a.accounts(st)) })
	if err != nil && broke(err) {
		return unreachable(err)
	}
	return err
}

// broke says that the connection broke, and not that ClickHouse refused a statement.
func broke(err error) bool {
	var answer *clickhouse.Exception
	return !errors.As(err, &answer) && connectionLost(err)
}

// patience is how long servers may be away while a command waits for them.
func (a *app) patience() time.Duration {
	return max(a.settings.Collector.StopTimeout, a.settings.ConnectTimeout, 10*time.Second)
}

// importFile imports a file that was checked, unless its contents are stored, and
// says whether it did.
func (a *app) importFile(ctx context.Context, st *store, in *inputFile, again bool) (bool, error) {
	var same []imports.Import
	err := a.account(ctx, st, func(account *imports.Store) (err error) {
		same, err = account.Same(ctx, in.digest)
		return err
	})
	if err != nil {
		return false, err
	}
	for i := range same {
		s := &same[i]
		switch {
		case s.State == imports.Done && !again:
			fmt.Fprintf(a.stderr, "cordon: %s is not stored again: its contents are import %d (%s, %s, %d records); --again stores them once more\n",
				in.name, s.ID, s.File, s.Started.UTC().Format(time.RFC3339), s.Records)
			return false, nil
		case s.State == imports.Forgotten && !again:
			return false, usagef("%s: import %d of the same contents is stored in part, since `cordon forget` deleted some of it: take the rest back first with `cordon imports undo %d`, or store all once more with --again",
				in.name, s.ID, s.ID)
		case s.State == imports.Done, s.State == imports.Forgotten:
		case !a.accounts(st).Interrupted(s):
			return false, fmt.Errorf("%s: import %d of the same contents %w in process %s", in.name, s.ID, imports.ErrRuns, s.Process)
		default:
			fmt.Fprintf(a.stderr, "cordon: %s: import %d of the same contents was interrupted; its records are taken back first\n", in.name, s.ID)
			if err := a.undo(ctx, st, s); err != nil {
				return false, err
			}
		}
	}
	var i *imports.Import
	instance := nuid.Next()
	err = a.account(ctx, st, func(account *imports.Store) (err error) {
		i, err = account.Begin(ctx, in.name, in.digest, instance)
		return err
	})
	if err != nil {
		return false, err
	}
	if err := a.fill(ctx, st, i, in); err != nil {
		if !errors.Is(err, errChanged) {
			fmt.Fprintf(a.stderr, "cordon: import %d of %s was interrupted, and some of its records may be stored; import the file again to complete it, or take it back: cordon imports undo %d\n",
				i.ID, in.name, i.ID)
		}
		return false, err
	}
	return true, nil
}

// errChanged says that a file was written while it was read.
var errChanged = errors.New("the file changed while it was imported; nothing of it was kept")

// fill publishes the records of a file, waits until they are stored and writes so.
func (a *app) fill(ctx context.Context, st *store, i *imports.Import, in *inputFile) error {
	var rep loaded
	digest, err := a.publishInput(ctx, st, i, in, &rep)
	if err != nil {
		return err
	}
	if err := st.waitIngested(ctx, a.patience()); err != nil {
		return err
	}
	i.Records, i.BadRows = rep.records, rep.bad
	if digest != in.digest {
		if err := a.account(ctx, st, func(account *imports.Store) error { return account.TakeBack(ctx, i) }); err != nil {
			return err
		}
		return usageError(fmt.Errorf("%s: %w", in.name, errChanged))
	}
	return a.account(ctx, st, func(account *imports.Store) error {
		stored, err := account.Stored(ctx, i)
		if err != nil {
			return err
		}
		if stored != rep.records {
			return fmt.Errorf("%s: %d of its %d records are stored; `cordon status` says what became of the others", in.name, stored, rep.records)
		}
		return account.Finish(ctx, i)
	})
}

// publishInput publishes the records of a file, and gives the digest of what was
// read. Meanwhile it writes that the import runs.
func (a *app) publishInput(ctx context.Context, st *store, i *imports.Import, in *inputFile, rep *loaded) (digest string, err error) {
	r, err := in.reader()
	if err != nil {
		return "", usageError(err)
	}
	defer r.Close()
	stop := a.keepTouching(ctx, a.accounts(st), i)
	defer stop()
	bar := a.progressBar(r, in.name)
	defer bar.done()
	opts := collector.ImportOptions{
		RowError: func(*flowfile.RowError) error { rep.bad++; return nil }, // they were named by the check
		Progress: bar.progress, Import: i.ID, Instance: i.Instance,
	}
	imported, err := collector.Import(ctx, a.settings.Collector, collector.Deps{Bus: st.Bus, Log: a.log}, r, opts)
	if err != nil {
		return "", publishError(in.name, err)
	}
	rep.records += imported.Records
	return r.Digest(), nil
}

// touchEvery is how often a running import writes that it runs.
const touchEvery = 20 * time.Second

// keepTouching writes that an import runs until the returned function is called.
func (a *app) keepTouching(ctx context.Context, account *imports.Store, i *imports.Import) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		t := time.NewTicker(touchEvery)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				if err := account.Touch(ctx, i); err != nil && ctx.Err() == nil {
					a.log.Debug("write that the import runs", "import", i.ID, "err", err)
				}
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// undo takes the rows of an import back, once no batch of it is on its way.
func (a *app) undo(ctx context.Context, st *store, i *imports.Import) error {
	if err := st.waitIngested(ctx, a.patience()); err != nil {
		return err
	}
	return a.account(ctx, st, func(account *imports.Store) error { return account.Undo(ctx, i) })
}
