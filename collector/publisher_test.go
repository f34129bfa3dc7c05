package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"cordon/internal/bus"
	"cordon/schema"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// sealedBatch gives a batch of rows records whose Bytes count from first.
func sealedBatch(t testing.TB, id string, first, rows int) batch {
	t.Helper()
	e := newExporter(1)
	var b schema.Batch
	for i := first; i < first+rows; i++ {
		r := e.want(loopback, i)
		r.Received = schema.Micros(time.Now())
		b.Append(&r)
	}
	payload, err := b.Seal(nil, schema.MaxPayload)
	if err != nil {
		t.Fatal(err)
	}
	return batch{Sealed: schema.Sealed{ID: id, Table: schema.TableFlows, Rows: rows, Payload: payload}, opened: time.Now()}
}

// startPublisher runs a publisher by itself.
func startPublisher(t testing.TB, cfg QueueConfig, b *bus.Bus, dir string) *publisher {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	p, err := newPublisher(cfg, b, newIDs(), dir, log, newBurstLog(log), nil)
	if err != nil {
		t.Fatal(err)
	}
	go p.run()
	t.Cleanup(func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		select {
		case <-p.done:
		default:
			_ = p.stop(ended) // Errors are of no interest once a test has failed.
		}
	})
	return p
}

// bytesOf gives the Bytes of records, by which tests know them.
func bytesOf(records []schema.Record) []uint64 {
	list := make([]uint64, len(records))
	for i := range records {
		list[i] = records[i].Bytes
	}
	return list
}

func upTo(n int) []uint64 {
	list := make([]uint64, n)
	for i := range list {
		list[i] = uint64(1000 + i)
	}
	return list
}

func TestNATSAwayAndBack(t *testing.T) {
	for _, tt := range []struct{ name, dir string }{{"in memory", ""}, {"on disk", t.TempDir()}} {
		t.Run(tt.name, func(t *testing.T) {
			s := startNATS(t)
			b := s.connect()
			cfg := testConfig()
			cfg.Queue.AckTimeout = time.Second
			c := start(t, cfg, Deps{Bus: b, Dir: tt.dir})
			e, conn := newExporter(1), c.udp()
			send(t, conn, e.template(), e.data(0, 20))
			c.published(20)

			s.stop()
			sent := 20
			for i := range 10 {
				send(t, conn, e.data(sent, 20))
				sent += 20
				eventually(t, "the batch waits", func() bool {
					p := c.Status().Publisher
					return p.QueuedBatches+p.SpooledBatches == i+1 && (tt.dir == "" || p.QueuedBatches <= 1)
				})
			}
			if err := c.Ready(); err == nil {
				t.Error("ready while NATS is away")
			}

			s.start()
			c.published(sent)
			send(t, conn, e.data(sent, 20))
			sent += 20
			c.published(sent)
			if d := gocmp.Diff(upTo(sent), bytesOf(readStream(t, s.connect()).records)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if err := c.Ready(); err != nil {
				t.Errorf("Ready: %v", err)
			}
			p := c.Status().Publisher
			want := PublisherStatus{QueueLimit: cfg.Queue.Memory, Published: p.Published}
			if tt.dir != "" {
				want.SpoolLimit = cfg.Queue.Disk
			}
			if d := gocmp.Diff(want, p, cmpopts.IgnoreFields(PublisherStatus{}, "Retries", "Spooled", "Duplicates")); d != "" {
				t.Errorf("status (-want +got):\n%s", d)
			}
			if (p.Spooled.Batches > 0) != (tt.dir != "") {
				t.Errorf("%d batches were spooled", p.Spooled.Batches)
			}
			if c.log.count("NATS does not take batches") != 1 || c.log.count("NATS takes batches again") != 1 {
				t.Error("the outage was not logged once, or its end was not")
			}
		})
	}
}

// TestSpoolOutlivesTheProcess stops a collector while NATS is away and starts
// another one in the same folder.
func TestSpoolOutlivesTheProcess(t *testing.T) {
	s := startNATS(t)
	b, dir := s.connect(), t.TempDir()
	cfg := testConfig()
	cfg.StopTimeout = time.Hour // The test must not wait that long.
	c := start(t, cfg, Deps{Bus: b, Dir: dir})
	e, conn := newExporter(1), c.udp()
	send(t, conn, e.template())
	eventually(t, "the template is known", func() bool { return c.Status().Listeners[0].Messages == 1 })
	s.stop()
	for i := range 10 {
		send(t, conn, e.data(20*i, 20))
	}
	c.stop()
	files, err := filepath.Glob(filepath.Join(dir, "spool", "*"+batchSuffix))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d spooled batches, %v", len(files), err)
	}

	s.start()
	c = start(t, testConfig(), Deps{Bus: s.connect(), Dir: dir})
	eventually(t, "the spool is empty", func() bool { return c.Status().Publisher.SpooledBatches == 0 })
	if d := gocmp.Diff(upTo(200), bytesOf(readStream(t, c.deps.Bus).records)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "spool", "*"+batchSuffix)); len(files) > 0 {
		t.Errorf("%d published batches are still in the spool", len(files))
	}
}

func TestBatchesAreStoredOnce(t *testing.T) {
	s := startNATS(t)
	b, dir := s.connect(), t.TempDir()
	sent := sealedBatch(t, "once-1", 0, 10)

	// As if the process had been killed after the acknowledgement and before
	// the file was removed.
	sp, err := openSpool(dir, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := sp.write(&sent.Sealed); err != nil {
		t.Fatal(err)
	}
	if err := sp.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.JS.PublishMsg(context.Background(), bus.Message("once", &sent.Sealed)); err != nil {
		t.Fatal(err)
	}

	p := startPublisher(t, DefaultConfig().Queue, b, dir)
	eventually(t, "the spool is empty", func() bool { return p.snapshot().SpooledBatches == 0 })
	if d := gocmp.Diff(upTo(10), bytesOf(readStream(t, b).records)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if n := p.snapshot().Duplicates; n != 1 {
		t.Errorf("%d duplicates, want 1", n)
	}
}

func TestOverflowIsCounted(t *testing.T) {
	s := startNATS(t)
	b := s.connect()
	size := int64(len(sealedBatch(t, "size", 0, 100).Payload))
	for _, tt := range []struct {
		name         string
		memory, disk int64 // batches
		dir          string
		kept         int
	}{
		{"memory", 3, 0, "", 3},
		{"memory and disk", 2, 3, t.TempDir(), 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := DefaultConfig().Queue
			cfg.Memory, cfg.Disk = tt.memory*size+size/2, tt.disk*(size+200)
			p := startPublisher(t, cfg, b, tt.dir)
			s.stop()
			const batches = 10
			for i := range batches {
				p.put(sealedBatch(t, fmt.Sprintf("%s-%d", tt.name, i), 100*i, 100))
				// Only a batch that finds everything full is dropped, so wait
				// until the disk has what it can take.
				eventually(t, "what fits on disk is there", func() bool {
					return tt.dir == "" || p.snapshot().SpooledBatches >= min(i+1, int(tt.disk))
				})
			}
			st := p.snapshot()
			dropped := uint64(batches - tt.kept)
			if want := (Volume{Batches: dropped, Records: 100 * dropped, Bytes: st.Dropped.Bytes}); st.Dropped != want {
				t.Errorf("dropped %+v, want %+v", st.Dropped, want)
			}
			if st.QueuedBatches+st.SpooledBatches != tt.kept {
				t.Errorf("%d batches in memory and %d on disk, want %d", st.QueuedBatches, st.SpooledBatches, tt.kept)
			}
			s.start()
			eventually(t, "what was kept is published", func() bool { return p.snapshot().Published.Batches == uint64(tt.kept) })
			purgeAfter := readStream(t, b)
			if d := gocmp.Diff(upTo(100*tt.kept), bytesOf(purgeAfter.records)); d != "" {
				t.Errorf("the oldest batches are the ones to keep (-want +got):\n%s", d)
			}
			purge(t, b)
		})
	}
}

func TestFullStream(t *testing.T) {
	s := startNATS(t)
	one := sealedBatch(t, "one", 0, 1000)
	b := s.connect(func(c *bus.Config) { c.MaxBytes = int64(len(one.Payload)) * 5 / 2 })
	p := startPublisher(t, DefaultConfig().Queue, b, "")
	for i := range 4 {
		p.put(sealedBatch(t, fmt.Sprintf("full-%d", i), 1000*i, 1000))
	}
	eventually(t, "the stream is full", func() bool { return p.snapshot().Away != "" && p.snapshot().Published.Batches == 2 })
	if err := p.sender.bus.NC.LastError(); err != nil {
		t.Logf("connection: %v", err)
	}
	first := readStream(t, b)
	purge(t, b)
	eventually(t, "the rest is published", func() bool { return p.snapshot().Published.Batches == 4 && p.snapshot().Away == "" })
	all := slices.Concat(bytesOf(first.records), bytesOf(readStream(t, b).records))
	slices.Sort(all)
	if d := gocmp.Diff(upTo(4000), all); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestSmallerServer publishes a spooled batch to a server that takes only
// smaller messages than the one for which it was sealed.
func TestSmallerServer(t *testing.T) {
	s := startNATS(t)
	s.maxPayload = 4 << 10
	s.stop()
	s.start()
	b := s.connect()
	p := startPublisher(t, DefaultConfig().Queue, b, "")
	if got := p.sender.maxPayload(); got != 3<<10 {
		t.Errorf("largest payload %d", got)
	}
	whole := sealedBatch(t, "whole", 0, 1000)
	if len(whole.Payload) < 6<<10 {
		t.Fatalf("a batch of %d bytes tests nothing", len(whole.Payload))
	}
	p.put(whole)
	eventually(t, "the batch is published", func() bool { return p.snapshot().Published.Records == 1000 })
	got := readStream(t, b)
	if d := gocmp.Diff(upTo(1000), bytesOf(got.records)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if got.batches < 2 {
		t.Errorf("%d messages", got.batches)
	}
	if st := p.snapshot(); st.Away != "" || st.Dropped != (Volume{}) {
		t.Errorf("status %+v", st)
	}
}

func TestNoStreamYet(t *testing.T) {
	s := startNATS(t)
	b := s.connect()
	if err := b.JS.DeleteStream(context.Background(), bus.StreamFlows); err != nil {
		t.Fatal(err)
	}
	p := startPublisher(t, DefaultConfig().Queue, b, "")
	p.put(sealedBatch(t, "early", 0, 10))
	eventually(t, "the publisher says what is missing", func() bool {
		return p.snapshot().Away != ""
	})
	if err := b.EnsureStreams(context.Background()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the batch is published", func() bool { return p.snapshot().Published.Records == 10 })
}

func TestStopWithoutNATSCountsTheLoss(t *testing.T) {
	s := startNATS(t)
	b := s.connect()
	p := startPublisher(t, DefaultConfig().Queue, b, "")
	s.stop()
	for i := range 3 {
		p.put(sealedBatch(t, fmt.Sprintf("lost-%d", i), 10*i, 10))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := p.stop(ctx); err == nil {
		t.Error("stop says nothing of the loss")
	}
	st := p.snapshot()
	if st.Dropped.Batches != 3 || st.Dropped.Records != 30 || st.QueuedBatches != 0 || st.QueuedBytes != 0 {
		t.Errorf("status %+v", st)
	}
}

func TestStopDoesNotWaitForAClosedConnection(t *testing.T) {
	s := startNATS(t)
	b := s.connect()
	p := startPublisher(t, DefaultConfig().Queue, b, "")
	b.Close()
	p.put(sealedBatch(t, "late", 0, 10))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := p.stop(ctx); err == nil {
		t.Error("stop says nothing of the loss")
	}
	if ctx.Err() != nil {
		t.Error("stop waited")
	}
}

func TestOneCollectorForASpool(t *testing.T) {
	b, dir := startNATS(t).connect(), t.TempDir()
	startPublisher(t, DefaultConfig().Queue, b, dir)
	log := slog.New(slog.DiscardHandler)
	if _, err := newPublisher(DefaultConfig().Queue, b, newIDs(), dir, log, newBurstLog(log), nil); err == nil {
		t.Error("two publishers share a spool")
	}
}

func TestDamagedSpoolIsSetAside(t *testing.T) {
	b, dir := startNATS(t).connect(), t.TempDir()
	sp, err := openSpool(dir, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		b := sealedBatch(t, fmt.Sprintf("damage-%d", i), 10*i, 10)
		if err := sp.write(&b.Sealed); err != nil {
			t.Fatal(err)
		}
	}
	names := []string{sp.entries[1].name, sp.entries[2].name}
	if err := sp.close(); err != nil {
		t.Fatal(err)
	}
	flip(t, filepath.Join(dir, names[0]), -3)
	if err := os.Truncate(filepath.Join(dir, names[1]), 50); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "0001"+batchSuffix+tempSuffix), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startPublisher(t, DefaultConfig().Queue, b, dir)
	eventually(t, "the spool is empty", func() bool { return p.snapshot().SpooledBatches == 0 })
	if d := gocmp.Diff(slices.Concat(upTo(10), upTo(40)[30:]), bytesOf(readStream(t, b).records)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if st := p.snapshot(); st.Damaged != 2 || st.SpooledBytes != 0 {
		t.Errorf("status %+v", st)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, f := range files {
		left = append(left, f.Name())
	}
	if d := gocmp.Diff([]string{names[0] + damagedSuffix, names[1] + damagedSuffix, lockName}, left); d != "" {
		t.Errorf("files (-want +got):\n%s", d)
	}
}

func flip(t *testing.T, file string, at int) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)+at] ^= 1
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestSpoolNoticesEveryFlippedBit damages each byte of a file in turn.
func TestSpoolNoticesEveryFlippedBit(t *testing.T) {
	dir := t.TempDir()
	sp, err := openSpool(dir, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer sp.close()
	want := sealedBatch(t, "bits-00000001", 0, 5).Sealed
	if err := sp.write(&want); err != nil {
		t.Fatal(err)
	}
	file := sp.path(sp.entries[0].name)
	got, err := readSpooled(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := gocmp.Diff(&want, got); d != "" {
		t.Fatalf("(-want +got):\n%s", d)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := range int(info.Size()) {
		flip(t, file, -1-i)
		var damaged *damagedError
		if s, err := readSpooled(file); !errors.As(err, &damaged) && !gocmp.Equal(s, &want) {
			t.Fatalf("byte %d from the end: %v, %v", i, s, err)
		}
		flip(t, file, -1-i)
	}
}

func FuzzSpooled(f *testing.F) {
	dir := f.TempDir()
	sp, err := openSpool(dir, 1<<20)
	if err != nil {
		f.Fatal(err)
	}
	defer sp.close()
	b := sealedBatch(f, "fuzz", 0, 3)
	if err := sp.write(&b.Sealed); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(sp.path(sp.entries[0].name))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var damaged *damagedError
		s, err := parseSpooled("file", data)
		if err != nil && !errors.As(err, &damaged) {
			t.Fatalf("error %v", err)
		}
		if err == nil && s.ID == "" {
			t.Fatal("a batch without an id")
		}
	})
}
