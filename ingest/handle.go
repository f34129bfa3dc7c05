package ingest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"cordon/internal/bus"
	"cordon/schema"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Reasons of dead letters, in [bus.HeaderReason].
const (
	reasonHeaders = "headers" // headers that no batch of this schema version has
	reasonDamaged = "damaged" // cannot be decompressed
	reasonBlock   = "block"   // payload that is no block of the table
	reasonRefused = "refused" // refused by ClickHouse
)

var reasons = []string{reasonHeaders, reasonDamaged, reasonBlock, reasonRefused}

// inserts holds the memory of batches between batches.
var inserts = sync.Pool{New: func() any { return new(schema.Insert) }}

// handle inserts the batch of a message, which was asked for in an epoch of the
// ledger, or gets rid of it. Flows it leaves to their group, which settles the
// message once their sessions are in, too.
func (i *Ingester) handle(ctx, work context.Context, msg jetstream.Msg, epoch uint64) {
	h := held{msg: msg, epoch: epoch}
	again := false
	if md, err := msg.Metadata(); err == nil {
		h.seq, again = md.Sequence.Stream, md.NumDelivered > 1
	}
	if again {
		i.redelivered.Add(1)
		i.metrics.redelivered.Inc()
	}
	stop := i.keepAlive(msg)
	h.release = stop
	left := false // whether the group has taken the batch over
	defer func() {
		if !left {
			h.release()
		}
	}()

	var err error
	if h.sealed, err = bus.Batch(msg.Headers(), msg.Data()); err != nil {
		i.bury(work, reasonHeaders, err, h)
		return
	}
	id := h.sealed.ID
	if !i.ledger.hold(id) {
		return // the other delivery settles it
	}
	h.release = func() {
		i.ledger.release(id)
		stop()
	}
	insert := inserts.Get().(*schema.Insert)
	defer inserts.Put(insert)
	switch err := insert.Prepare(h.sealed); {
	case errors.Is(err, schema.ErrDamaged):
		i.bury(work, reasonDamaged, err, h)
		return
	case err != nil:
		i.bury(work, reasonBlock, err, h)
		return
	}

	// A dead letter that someone sends again belongs to no group, or to one
	// that was refused.
	alone := h.sealed.Table != schema.TableFlows || i.flowsOnly || msg.Headers().Get(bus.HeaderReason) != ""
	if !alone {
		if again {
			if err := i.catchUp(work); err != nil {
				i.log.Warn("read which batches are in groups; the batch comes again", "batch", id, "err", err)
				i.giveBack(i.pauseBefore(msg), h)
				return
			}
		}
		if r := i.ledger.find(id); r != nil {
			i.redo(ctx, work, r, h)
			return
		}
	}
	if !i.insert(ctx, work, h, insert, !alone) {
		return
	}
	h.delay = time.Since(time.UnixMicro(insert.Received()))
	if alone {
		i.settle(h)
		return
	}
	left = true
	i.groups.add(h, insert)
}

// settle acknowledges a batch that is in, and books it.
func (i *Ingester) settle(h held) {
	if err := h.msg.Ack(); err != nil {
		i.log.Debug("acknowledge batch; it comes again and is dropped as a duplicate", "batch", h.sealed.ID, "err", err)
	}
	i.count(h)
}

// insert tries until the batch is in, and reports whether it is. If not, it has
// settled the message.
func (i *Ingester) insert(ctx, work context.Context, h held, insert *schema.Insert, flowsOnly bool) bool {
	into := i.into
	into.FlowsOnly = flowsOnly || i.flowsOnly
	for pause := i.cfg.RetryMin; ; pause = min(2*pause, i.cfg.RetryMax) {
		f, err := i.try(work, h.sealed.ID, func(ctx context.Context) error { return insert.Run(ctx, i.deps.Conn, into) })
		if err == nil {
			return true
		}
		if f != serverFault {
			if i.refused(h.sealed.ID, f) {
				i.bury(work, reasonRefused, err, h)
			} else {
				// Others first: whether they get in tells whose fault it is.
				i.giveBack(i.pauseBefore(h.msg), h)
			}
			return false
		}
		if !sleep(ctx, pause) {
			i.giveBack(0, h)
			return false
		}
	}
}

// try inserts once. If that fails it says whose fault it is.
func (i *Ingester) try(ctx context.Context, id string, insert func(context.Context) error) (fault, error) {
	ctx, cancel := context.WithTimeout(ctx, i.cfg.InsertTimeout)
	defer cancel()
	start := time.Now()
	err := insert(ctx)
	now := time.Now()
	i.metrics.insertSeconds.Observe(now.Sub(start).Seconds())
	if err == nil {
		i.tries.inserted(id)
		i.outage.success(now)
		i.metrics.storeReachable.Set(1)
		return serverFault, nil
	}
	f := blame(err)
	i.metrics.failedInserts.WithLabelValues(f.String()).Inc()
	if f == serverFault {
		i.metrics.storeReachable.Set(0)
	}
	i.outage.failure(now, err)
	return f, err
}

// refused counts a refusal of a batch or group, and reports whether there were
// too many of them.
func (i *Ingester) refused(id string, f fault) bool {
	if i.tries.refuse(id, f == batchFault) < i.cfg.MaxAttempts {
		return false
	}
	i.outage.success(time.Now())
	return true
}

// count books a batch that is in.
func (i *Ingester) count(h held) {
	i.rows.Add(uint64(h.sealed.Rows))
	if h.sealed.Table == schema.TableFlows {
		i.records.Add(uint64(h.sealed.Rows))
	}
	i.batches.Add(1)
	i.metrics.rows.WithLabelValues(h.sealed.Table).Add(float64(h.sealed.Rows))
	i.metrics.batches.WithLabelValues(h.sealed.Table).Inc()
	i.metrics.bytes.Add(float64(len(h.sealed.Payload)))
	i.mu.Lock()
	defer i.mu.Unlock()
	i.lastRow = time.Now()
	if h.delay > 0 && h.sealed.Table == schema.TableFlows {
		i.metrics.delaySeconds.Observe(h.delay.Seconds())
		i.delay = h.delay
	}
}

// keepAlive tells JetStream that the message is being worked on until the
// returned function is called.
func (i *Ingester) keepAlive(msg jetstream.Msg) (stop func()) {
	done := make(chan struct{})
	go func() {
		t := time.NewTicker(i.cfg.AckWait / 3)
		defer t.Stop()
		for {
			select {
			case <-done:
				return
			case <-t.C:
				if err := msg.InProgress(); err != nil {
					i.log.Debug("tell NATS that a batch is in progress", "err", err)
				}
			}
		}
	}()
	return func() { close(done) }
}

// pauseBefore gives the pause before the next delivery of a message, which
// doubles with each.
func (i *Ingester) pauseBefore(msg jetstream.Msg) time.Duration {
	pause := i.cfg.RetryMin
	if md, err := msg.Metadata(); err == nil {
		for n := md.NumDelivered; n > 1 && pause < i.cfg.RetryMax; n-- {
			pause *= 2
		}
	}
	return min(pause, i.cfg.RetryMax)
}

// giveBack lets JetStream deliver messages again, after a pause.
func (i *Ingester) giveBack(pause time.Duration, batches ...held) {
	for _, h := range batches {
		if err := h.msg.NakWithDelay(pause); err != nil {
			i.log.Debug("give a batch back; NATS gives it again after ack_wait", "err", err)
		}
	}
}

// bury moves messages to the dead-letter stream. If that cannot be, they stay in
// FLOWS and come again. All are copied before the first is taken away: a group
// of which a message is missing counts as inserted.
func (i *Ingester) bury(work context.Context, reason string, cause error, batches ...held) {
	for _, h := range batches {
		id := h.msg.Headers().Get(jetstream.MsgIDHeader)
		if err := i.copyDead(work, h.msg, reason, cause); err != nil {
			i.log.Error("a bad batch could not be moved to the dead-letter stream; it stays in "+bus.StreamFlows, "batch", id, "reason", reason, "cause", cause, "err", err)
			i.giveBack(i.cfg.RetryMax, batches...)
			return
		}
	}
	for _, h := range batches {
		id := h.msg.Headers().Get(jetstream.MsgIDHeader)
		i.tries.forget(id)
		if err := h.msg.TermWithReason(reason); err != nil {
			i.log.Debug("end a bad batch; it comes again and is buried a second time", "batch", id, "err", err)
		}
		i.dead.Add(1)
		i.metrics.deadLetters.WithLabelValues(reason).Inc()
		i.log.Error("bad batch moved to the dead-letter stream", "subject", h.msg.Subject(), "batch", id, "reason", reason, "err", cause)
	}
}

func (i *Ingester) copyDead(ctx context.Context, msg jetstream.Msg, reason string, cause error) error {
	dead := nats.NewMsg(bus.SubjectDead + "." + bus.SubjectFlows)
	for k, v := range msg.Headers() {
		// Nats-Expected-... are conditions on another stream.
		if !strings.HasPrefix(k, "Nats-Expected-") {
			dead.Header[k] = v
		}
	}
	dead.Header.Set(bus.HeaderSubject, msg.Subject())
	dead.Header.Set(bus.HeaderReason, reason)
	dead.Header.Set(bus.HeaderError, oneLine(cause.Error(), 1000))
	dead.Data = msg.Data()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err := i.deps.Bus.JS.PublishMsg(ctx, dead)
	return err
}

// oneLine makes text fit for a header.
func oneLine(s string, limit int) string {
	s = strings.ToValidUTF8(strings.Join(strings.Fields(s), " "), "?")
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "..."
	}
	return s
}
