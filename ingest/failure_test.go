package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cordon/internal/bus"
	"cordon/schema"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// faulty is a real connection whose inserts a test can make fail.
type faulty struct {
	clickhouse.Conn
	before func(query string) error // instead of the insert
	after  func(query string) error // Called once it ran, so that its answer seems lost.
}

func (f *faulty) InsertFormat(ctx context.Context, format, query string, data io.Reader) error {
	if f.before != nil {
		if err := f.before(query); err != nil {
			return err
		}
	}
	if err := f.Conn.InsertFormat(ctx, format, query, data); err != nil {
		return err
	}
	if f.after != nil {
		return f.after(query)
	}
	return nil
}

func quick() Config {
	cfg := DefaultConfig()
	cfg.SessionsWait = 20 * time.Millisecond
	cfg.RetryMin, cfg.RetryMax = time.Millisecond, 20*time.Millisecond
	return cfg
}

func (r *rig) check(batches, rows int) {
	r.t.Helper()
	want := uint64(batches * rows)
	if got := r.flows(); got != want {
		r.t.Errorf("%d rows in flows, want %d", got, want)
	}
	if got := r.count("SELECT toUInt64(sum(flows)) FROM " + r.database + ".sessions"); got != want {
		r.t.Errorf("%d flows in sessions, want %d", got, want)
	}
	if got := r.messages(bus.StreamDead); got != 0 {
		r.t.Errorf("%d dead letters", got)
	}
}

// The answer of every third insert is lost after ClickHouse had it, of flows
// and of sessions alike.
func TestAnswersLostAreInsertedOnce(t *testing.T) {
	r := newRig(t)
	const batches, rows = 15, 200
	for n := range batches {
		r.publish(sealed(t, fmt.Sprintf("c1-%d", n), n, rows))
	}
	var calls atomic.Uint64
	r.conn = &faulty{Conn: r.conn, after: func(string) error {
		if calls.Add(1)%3 == 0 {
			return errors.New("connection reset by peer")
		}
		return nil
	}}
	stop := r.run(r.ingester(quick()))
	r.drained()
	stop()
	r.check(batches, rows)
}

func TestTwoIngestersShareTheLoad(t *testing.T) {
	r := newRig(t)
	const batches, rows = 40, 100
	cfg := quick()
	cfg.Inserts = 1
	a, b := r.ingester(cfg), r.ingester(cfg)
	stopA, stopB := r.run(a), r.run(b)
	r.eventually("both are ready", func() bool { return a.Ready() == nil && b.Ready() == nil })
	for n := range batches {
		r.publish(sealed(t, fmt.Sprintf("c1-%d", n), n, rows))
	}
	r.drained()
	stopA()
	stopB()
	r.check(batches, rows)
	sa, sb := a.Status(t.Context()), b.Status(t.Context())
	if sa.Batches+sb.Batches != batches || sa.Batches == 0 || sb.Batches == 0 {
		t.Errorf("%d and %d batches, want %d together and some for each", sa.Batches, sb.Batches, batches)
	}
}

// ClickHouse is away for a while, and then overloaded.
func TestClickHouseAwayAndBack(t *testing.T) {
	r := newRig(t)
	const batches, rows = 5, 100
	for n := range batches {
		r.publish(sealed(t, fmt.Sprintf("c1-%d", n), n, rows))
	}
	var away, overloaded atomic.Int64
	away.Store(20)
	overloaded.Store(20)
	r.conn = &faulty{Conn: r.conn, before: func(string) error {
		if away.Add(-1) >= 0 {
			return errors.New("dial tcp 127.0.0.1:8123: connect: connection refused")
		}
		if overloaded.Add(-1) >= 0 {
			return fmt.Errorf("insert: %w", &clickhouse.Exception{Code: 252, Message: "Too many parts"})
		}
		return nil
	}}
	i := r.ingester(quick())
	stop := r.run(i)
	r.eventually("not ready, and says why", func() bool {
		err := i.Ready()
		return err != nil && (strings.Contains(err.Error(), "connection refused") || strings.Contains(err.Error(), "Too many parts")) || away.Load() < 0
	})
	r.drained()
	if err := i.Ready(); err != nil {
		t.Errorf("not ready after all: %v", err)
	}
	stop()
	r.check(batches, rows)
}

// ClickHouse refuses one batch again and again, with a code that does not say
// whose fault it is, and takes the others.
func TestBatchThatIsAlwaysRefused(t *testing.T) {
	r := newRig(t)
	const rows = 50
	r.publish(sealed(t, "bad", 99, 77))
	for n := range 10 {
		r.publish(sealed(t, fmt.Sprintf("c1-%d", n), n, rows))
	}
	// Know the bad batch by its token, which is in the context only: by its
	// number of rows, which is in its size.
	bad, err := schema.Decompress(nil, sealed(t, "bad", 99, 77).Payload)
	if err != nil {
		t.Fatal(err)
	}
	r.conn = &sizeRefusing{Conn: r.conn, size: len(bad)}
	cfg := quick()
	cfg.MaxAttempts = 3
	i := r.ingester(cfg)
	stop := r.run(i)
	r.eventually("the others are in", func() bool { return r.messages(bus.StreamFlows) <= 1 })
	for n := 10; r.messages(bus.StreamDead) == 0; n++ {
		// Only a refusal after another batch got in counts.
		r.publish(sealed(t, fmt.Sprintf("c1-%d", n), n, rows))
		r.eventually("it is in", func() bool { return r.messages(bus.StreamFlows) <= 1 })
	}
	r.drained()
	stop()
	dead := r.dead()
	if len(dead) != 1 || dead[0].Headers().Get(jetstream.MsgIDHeader) != "bad" || dead[0].Headers().Get(bus.HeaderReason) != reasonRefused ||
		!strings.Contains(dead[0].Headers().Get(bus.HeaderError), "cannot say why") {
		t.Errorf("dead letters: %d", len(dead))
		for _, m := range dead {
			t.Error(m.Headers())
		}
	}
}

type sizeRefusing struct {
	clickhouse.Conn
	size int
}

func (c *sizeRefusing) InsertFormat(ctx context.Context, format, query string, data io.Reader) error {
	if s, ok := data.(interface{ Len() int }); ok && s.Len() == c.size {
		return &clickhouse.Exception{Code: 49, Name: "LOGICAL_ERROR", Message: "cannot say\nwhy"}
	}
	return c.Conn.InsertFormat(ctx, format, query, data)
}

// What ClickHouse says it cannot read is tried some times, since a connection
// cut short looks like that, and then buried, even alone.
func TestBatchThatCannotBeRead(t *testing.T) {
	for failures, buried := range map[int64]uint64{4: 0, 5: 1} {
		r := newRig(t)
		r.publish(sealed(t, "c1-1", 1, 100))
		var calls atomic.Int64
		r.conn = &faulty{Conn: r.conn, before: func(string) error {
			if calls.Add(1) <= failures {
				return &clickhouse.Exception{Code: 33, Name: "CANNOT_READ_ALL_DATA", Message: "Cannot read all data"}
			}
			return nil
		}}
		i := r.ingester(quick())
		stop := r.run(i)
		r.drained()
		stop()
		if got := i.Status(t.Context()).DeadLetters; got != buried || r.flows() != 100*(1-buried) {
			t.Errorf("after %d failures: %d dead letters and %d rows", failures, got, r.flows())
		}
	}
}

// A refusal of everything is the server's fault, whatever its code.
func TestNothingIsBuriedWhileNothingGetsIn(t *testing.T) {
	r := newRig(t)
	const batches, rows = 4, 50
	for n := range batches {
		r.publish(sealed(t, fmt.Sprintf("c1-%d", n), n, rows))
	}
	var refusals atomic.Int64
	r.conn = &faulty{Conn: r.conn, before: func(string) error {
		if refusals.Add(1) <= 60 {
			return &clickhouse.Exception{Code: 49, Message: "no"}
		}
		return nil
	}}
	stop := r.run(r.ingester(quick()))
	r.drained()
	stop()
	r.check(batches, rows)
}

// Tables that are not there yet are waited for.
func TestTablesThatComeLater(t *testing.T) {
	r := newRig(t)
	for _, q := range []string{"RENAME TABLE %[1]s.flows TO %[1]s.flows_away"} {
		if err := r.conn.Exec(t.Context(), fmt.Sprintf(q, r.database)); err != nil {
			t.Fatal(err)
		}
	}
	r.publish(sealed(t, "c1-1", 1, 100))
	i := r.ingester(quick())
	stop := r.run(i)
	r.eventually("not ready", func() bool { return i.Ready() != nil && strings.Contains(i.Ready().Error(), "flows") })
	if err := r.conn.Exec(t.Context(), fmt.Sprintf("RENAME TABLE %[1]s.flows_away TO %[1]s.flows", r.database)); err != nil {
		t.Fatal(err)
	}
	r.drained()
	stop()
	r.check(1, 100)
}

// A stop finishes the inserts that run, and leaves the rest in the stream.
func TestStopFinishesWhatRuns(t *testing.T) {
	r := newRig(t)
	const batches, rows = 6, 100
	for n := range batches {
		r.publish(sealed(t, fmt.Sprintf("c1-%d", n), n, rows))
	}
	started, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	direct := r.conn
	r.conn = &faulty{Conn: direct, before: func(string) error {
		once.Do(func() { close(started) })
		<-release
		return nil
	}}
	cfg := quick()
	cfg.Inserts = 1
	i := r.ingester(cfg)
	stop := r.run(i)
	<-started
	go func() {
		// Released after the stop began.
		r.eventually("stopping", func() bool { return i.Ready() != nil })
		close(release)
	}()
	stop()
	if got := r.flows(); got != rows {
		t.Errorf("%d rows, want those of the one batch that was under way", got)
	}
	r.eventually("its acknowledgement is there", func() bool { return r.messages(bus.StreamFlows) == batches-1 })
	r.conn = direct
	stop = r.run(r.ingester(cfg))
	r.drained()
	stop()
	r.check(batches, rows)
}

// An insert that takes longer than AckWait keeps its message.
func TestLongInsertKeepsItsMessage(t *testing.T) {
	r := newRig(t)
	r.publish(sealed(t, "c1-1", 1, 100))
	var calls atomic.Int64
	r.conn = &faulty{Conn: r.conn, before: func(string) error {
		if calls.Add(1) == 1 {
			// What is waited for is that time passes: two AckWaits.
			<-time.After(7 * time.Second)
		}
		return nil
	}}
	cfg := quick()
	cfg.AckWait = 3 * time.Second
	i := r.ingester(cfg)
	stop := r.run(i)
	r.drained()
	stop()
	r.check(1, 100)
	if s := i.Status(t.Context()); s.Redelivered != 0 || s.Batches != 1 {
		t.Errorf("%d redelivered, %d batches; want 0 and 1", s.Redelivered, s.Batches)
	}
}

func TestMetricsAndStatus(t *testing.T) {
	r := newRig(t)
	reg := prometheus.NewRegistry()
	i, err := New(quick(), Deps{Bus: r.bus, Conn: r.conn, Database: r.database, Metrics: reg})
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Ready(); err == nil {
		t.Error("ready before it runs")
	}
	stats, err := schema.SealExporterStats([]schema.ExporterStats{{Time: time.Now().UnixMilli(), Collector: "c1", Transport: "udp", Messages: 1}})
	if err != nil {
		t.Fatal(err)
	}
	r.publish(sealed(t, "c1-1", 1, 100))
	r.publish(&schema.Sealed{ID: "c1-2", Table: schema.TableExporterStats, Rows: 1, Payload: stats})
	r.publishRaw(&nats.Msg{Subject: "flows.x", Data: []byte("junk")})
	stop := r.run(i)
	r.drained()
	r.eventually("counted", func() bool { return i.Status(t.Context()).Batches == 2 })
	if s := i.Status(t.Context()); s.Rows != 101 || s.DeadLetters != 1 || s.LastInsert.IsZero() || s.Delay <= 0 || s.Error != "" {
		t.Errorf("status %+v", s)
	}
	stop()
	for name, want := range map[string]float64{"cordon_ingest_rows_total": 101, "cordon_ingest_batches_total": 2, "cordon_ingest_dead_letters_total": 1, "cordon_ingest_store_reachable": 1} {
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var got float64
		for _, f := range families {
			if f.GetName() != name {
				continue
			}
			for _, m := range f.GetMetric() {
				got += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
		if got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
	if got := r.count("SELECT toUInt64(sum(messages)) FROM " + r.database + ".exporters"); got != 1 {
		t.Errorf("%d messages in exporters, want 1", got)
	}
}

func TestConfigSaysWhatIsWrong(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	for field, change := range map[string]func(*Config){
		"ingest.inserts":         func(c *Config) { c.Inserts = 0 },
		"ingest.ack_wait":        func(c *Config) { c.AckWait = 0 },
		"ingest.max_ack_pending": func(c *Config) { c.MaxAckPending = 1 },
		"ingest.max_attempts":    func(c *Config) { c.MaxAttempts = 0 },
		"ingest.retry_min":       func(c *Config) { c.RetryMin = time.Hour },
		"ingest.insert_timeout":  func(c *Config) { c.InsertTimeout = 0 },
		"ingest.stop_timeout":    func(c *Config) { c.StopTimeout = -1 },
	} {
		cfg := DefaultConfig()
		change(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: error %v", field, err)
		}
	}
}
