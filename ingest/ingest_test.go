package ingest

import (
	"fmt"
	"testing"

	"cordon/internal/bus"
	"cordon/schema"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestBatchesAreInsertedOnce(t *testing.T) {
	r := newRig(t)
	const batches, rows = 20, 500
	for n := range batches {
		r.publish(sealed(t, fmt.Sprintf("c1-%d", n), n, rows))
	}
	stop := r.run(r.ingester(DefaultConfig()))
	r.drained()
	stop()
	if got := r.flows(); got != batches*rows {
		t.Errorf("%d rows, want %d", got, batches*rows)
	}
	if got := r.count("SELECT sum(flows) FROM " + r.database + ".sessions"); got != batches*rows {
		t.Errorf("%d flows in sessions, want %d", got, batches*rows)
	}
}

func TestPoisonAmongGoodBatches(t *testing.T) {
	r := newRig(t)
	good := func(n int) { r.publish(sealed(t, fmt.Sprintf("good-%d", n), n, 100)) }
	poison := func(id, reason string, change func(m *nats.Msg)) {
		m := bus.Message("test", sealed(t, id, 0, 100))
		m.Header.Set("Test-Reason", reason)
		change(m)
		r.publishRaw(m)
	}
	good(1)
	poison("p1", reasonHeaders, func(m *nats.Msg) { m.Header.Del(jetstream.MsgIDHeader) })
	poison("p2", reasonHeaders, func(m *nats.Msg) { m.Header.Set(schema.HeaderSchema, "999") })
	poison("p3", reasonDamaged, func(m *nats.Msg) { m.Data[len(m.Data)/2] ^= 0x40 })
	good(2)
	poison("p4", reasonDamaged, func(m *nats.Msg) { m.Data = nil })
	poison("p5", reasonBlock, func(m *nats.Msg) { m.Header.Set(schema.HeaderRows, "99") })
	poison("p6", reasonBlock, func(m *nats.Msg) { m.Header.Set(schema.HeaderTable, schema.TableExporterStats) })
	good(3)

	i := r.ingester(DefaultConfig())
	stop := r.run(i)
	r.drained()
	stop()
	if got := r.flows(); got != 300 {
		t.Errorf("%d rows, want the 300 of the good batches", got)
	}
	dead := r.dead()
	if len(dead) != 6 {
		t.Fatalf("%d dead letters, want 6", len(dead))
	}
	for _, m := range dead {
		h := m.Headers()
		if h.Get(bus.HeaderReason) != h.Get("Test-Reason") || h.Get(bus.HeaderError) == "" {
			t.Errorf("dead letter %s has reason %q and error %q, want reason %q", h.Get(jetstream.MsgIDHeader), h.Get(bus.HeaderReason), h.Get(bus.HeaderError), h.Get("Test-Reason"))
		}
	}
	if s := i.Status(t.Context()); s.DeadLetters != 6 || s.Rows != 300 {
		t.Errorf("status %+v", s)
	}
}
