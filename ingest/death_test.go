package ingest

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cordon/internal/bus"
	"cordon/schema"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// An ingester dies with a group of batches in hand, at each step on their way.
// Their messages come again, to another one; at once here, not after AckWait,
// which on a slow machine could be over while they are taken in hand.
func TestDeathAtEachStep(t *testing.T) {
	const batches, rows, grouped = 8, 200, 4
	steps := []string{"fetched", "half of the flows inserted", "flows inserted", "group recorded", "sessions inserted", "one acknowledged", "all but one acknowledged"}
	for last, name := range steps {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			for n := range batches {
				r.publish(sealed(t, fmt.Sprintf("c1-%d", n), n, rows))
			}
			i := r.ingester(quick())
			consumer, err := r.bus.JS.CreateOrUpdateConsumer(t.Context(), bus.StreamFlows, i.consumerConfig())
			if err != nil {
				t.Fatal(err)
			}
			unacknowledged := grouped
			var g group
			for n := range grouped {
				h, insert := r.fetch(consumer)
				if last >= 2 || last == 1 && n < grouped/2 {
					if err := insert.Run(t.Context(), r.conn, schema.InsertOptions{Database: r.database, FlowsOnly: true}); err != nil {
						t.Fatal(err)
					}
				}
				g.batches = append(g.batches, h)
				g.sessions.Add(insert)
			}
			record := newRecord(g.batches)
			if last >= 3 {
				if err := r.ledger().append(t.Context(), record, 0); err != nil {
					t.Fatal(err)
				}
			}
			if last >= 4 {
				if err := g.sessions.Run(t.Context(), r.conn, schema.InsertOptions{Database: r.database}, record.ID); err != nil {
					t.Fatal(err)
				}
			}
			for n, h := range g.batches {
				if last == 5 && n == grouped-1 || last == 6 && n > 0 {
					if err := h.msg.DoubleAck(t.Context()); err != nil {
						t.Fatal(err)
					}
					unacknowledged--
				}
			}
			r.comeAgain(g.batches)
			stop := r.run(i)
			r.drained()
			stop()
			r.check(batches, rows)
			if s := i.Status(t.Context()); s.Redelivered != uint64(unacknowledged) {
				t.Errorf("%d redelivered, want %d", s.Redelivered, unacknowledged)
			}
		})
	}
}

// comeAgain lets JetStream deliver those of the messages again that nobody
// acknowledged.
func (r *rig) comeAgain(batches []held) {
	r.t.Helper()
	for _, h := range batches {
		if err := h.msg.Nak(); err != nil && !errors.Is(err, jetstream.ErrMsgAlreadyAckd) {
			r.t.Fatal(err)
		}
	}
}

// fetch takes a message in hand.
func (r *rig) fetch(consumer jetstream.Consumer) (held, *schema.Insert) {
	r.t.Helper()
	msg, err := next(r.t.Context(), consumer)
	if err != nil || msg == nil {
		r.t.Fatal(msg, err)
	}
	md, err := msg.Metadata()
	if err != nil {
		r.t.Fatal(err)
	}
	s, err := bus.Batch(msg.Headers(), msg.Data())
	if err != nil {
		r.t.Fatal(err)
	}
	insert := new(schema.Insert)
	if err := insert.Prepare(s); err != nil {
		r.t.Fatal(err)
	}
	return held{msg: msg, sealed: s, seq: md.Sequence.Stream, release: func() {}}, insert
}

func (r *rig) ledger() *ledger {
	r.t.Helper()
	l, err := openLedger(r.t.Context(), r.bus.JS)
	if err != nil {
		r.t.Fatal(err)
	}
	return l
}

// An ingester that was stopped for longer than AckWait goes on with what it
// held, which another one has inserted meanwhile.
func TestIngesterThatWakesUpLate(t *testing.T) {
	r := newRig(t)
	const batches, rows = 4, 200
	for n := range batches {
		r.publish(sealed(t, fmt.Sprintf("c1-%d", n), n, rows))
	}
	late := r.ingester(quick())
	consumer, err := r.bus.JS.CreateOrUpdateConsumer(t.Context(), bus.StreamFlows, late.consumerConfig())
	if err != nil {
		t.Fatal(err)
	}
	late.ledger = r.ledger()
	var g group
	for range batches {
		h, insert := r.fetch(consumer)
		g.batches = append(g.batches, h)
		g.sessions.Add(insert)
	}
	r.comeAgain(g.batches)
	stop := r.run(r.ingester(quick()))
	r.drained()
	stop()
	late.finish(t.Context(), t.Context(), &g)
	r.check(batches, rows)
}

// A batch that a collector published twice, long after JetStream forgot the
// first time, is inserted once.
func TestBatchPublishedTwice(t *testing.T) {
	r := newRig(t)
	r.forgetful()
	const rows = 100
	stop := r.run(r.ingester(quick()))
	batch := bus.Message("test", sealed(t, "c1-1", 1, rows))
	r.publishRaw(batch)
	r.drained()
	r.publishAgain(batch)
	r.drained()
	stop()
	r.check(1, rows)
}

// forgetful lets JetStream forget message ids at once. It must be called before
// the first message: the server takes a new window for its timer only then.
func (r *rig) forgetful() {
	r.t.Helper()
	s, err := r.bus.JS.Stream(r.t.Context(), bus.StreamFlows)
	if err != nil {
		r.t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	cfg.Duplicates = 100 * time.Millisecond
	if _, err := r.bus.JS.UpdateStream(r.t.Context(), cfg); err != nil {
		r.t.Fatal(err)
	}
}

// publishAgain publishes a message that stream FLOWS has had already, once it
// has forgotten.
func (r *rig) publishAgain(m *nats.Msg) {
	r.t.Helper()
	r.eventually("the stream has forgotten the message", func() bool {
		ack, err := r.bus.JS.PublishMsg(r.t.Context(), m)
		return err == nil && !ack.Duplicate
	})
}

// ClickHouse takes the flows of a group and refuses its sessions. All batches of
// the group become dead letters, and get in when someone sends these again.
func TestGroupThatIsAlwaysRefused(t *testing.T) {
	r := newRig(t)
	r.forgetful()
	const batches, rows = 5, 100
	for n := range batches {
		r.publish(sealed(t, fmt.Sprintf("c1-%d", n), n, rows))
	}
	var refuse atomic.Bool
	refuse.Store(true)
	r.conn = &faulty{Conn: r.conn, before: func(query string) error {
		if refuse.Load() && strings.Contains(query, "sessions_hourly") {
			return &clickhouse.Exception{Code: 53, Name: "TYPE_MISMATCH", Message: "no"}
		}
		return nil
	}}
	stop := r.run(r.ingester(quick()))
	r.drained()
	dead := r.dead()
	if len(dead) != batches {
		t.Fatalf("%d dead letters, want %d", len(dead), batches)
	}
	refuse.Store(false)
	for _, m := range dead {
		if reason := m.Headers().Get(bus.HeaderReason); reason != reasonRefused {
			t.Errorf("reason %q, want %q", reason, reasonRefused)
		}
		r.publishAgain(&nats.Msg{Subject: bus.SubjectFlows + ".replay", Header: m.Headers(), Data: m.Data()})
	}
	r.drained()
	stop()
	if got := r.flows(); got != batches*rows {
		t.Errorf("%d rows in flows, want %d", got, batches*rows)
	}
	if got := r.count("SELECT toUInt64(sum(flows)) FROM " + r.database + ".sessions"); got != batches*rows {
		t.Errorf("%d flows in sessions, want %d", got, batches*rows)
	}
}
