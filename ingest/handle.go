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
	reasonHeaders = "headers" // not a batch of this schema version
	reasonDamaged = "damaged" // cannot be decompressed
	reasonBlock   = "block"   // not a block of the table
	reasonRefused = "refused" // refused by ClickHouse
)

var reasons = []string{reasonHeaders, reasonDamaged, reasonBlock, reasonRefused}

// inserts holds the memory of batches between batches.
var inserts = sync.Pool{New: func() any { return new(schema.Insert) }}

// handle inserts the batch of a message, or gets rid of it. It returns without
// having settled the message only if work ended.
func (i *Ingester) handle(ctx, work context.Context, msg jetstream.Msg) {
	if md, err := msg.Metadata(); err == nil && md.NumDelivered > 1 {
		i.redelivered.Add(1)
		i.metrics.redelivered.Inc()
	}
	defer i.keepAlive(msg)()

	sealed, err := bus.Batch(msg.Headers(), msg.Data())
	if err != nil {
		i.bury(work, msg, reasonHeaders, err)
		return
	}
	insert := inserts.Get().(*schema.Insert)
	defer inserts.Put(insert)
	switch err := insert.Prepare(sealed); {
	case errors.Is(err, schema.ErrDamaged):
		i.bury(work, msg, reasonDamaged, err)
		return
	case err != nil:
		i.bury(work, msg, reasonBlock, err)
		return
	}
	if !i.insert(ctx, work, msg, sealed, insert) {
		return
	}
	if err := msg.Ack(); err != nil {
		i.log.Debug("acknowledge batch; it comes again and is dropped as a duplicate", "batch", sealed.ID, "err", err)
	}
	i.count(sealed, insert)
}

// insert tries until the batch is in, and reports whether it is.
func (i *Ingester) insert(ctx, work context.Context, msg jetstream.Msg, sealed *schema.Sealed, insert *schema.Insert) bool {
	for pause := i.cfg.RetryMin; ; pause = min(2*pause, i.cfg.RetryMax) {
		start := time.Now()
		err := i.insertOnce(work, insert)
		now := time.Now()
		i.metrics.insertSeconds.Observe(now.Sub(start).Seconds())
		if err == nil {
			i.tries.inserted(sealed.ID)
			i.outage.success(now)
			i.metrics.storeReachable.Set(1)
			return true
		}
		if f := blame(err); f != serverFault {
			i.metrics.failedInserts.WithLabelValues(f.String()).Inc()
			if i.tries.refuse(sealed.ID, f == batchFault) >= i.cfg.MaxAttempts {
				i.outage.success(now)
				i.bury(work, msg, reasonRefused, err)
				return false
			}
			i.outage.failure(now, err)
			// Others first: whether they get in tells whose fault it is.
			i.giveBack(msg, i.pauseBefore(msg))
			return false
		}
		i.metrics.failedInserts.WithLabelValues(serverFault.String()).Inc()
		i.metrics.storeReachable.Set(0)
		i.outage.failure(now, err)
		if !sleep(ctx, pause) {
			i.giveBack(msg, 0)
			return false
		}
	}
}

func (i *Ingester) insertOnce(ctx context.Context, insert *schema.Insert) error {
	ctx, cancel := context.WithTimeout(ctx, i.cfg.InsertTimeout)
	defer cancel()
	return insert.Run(ctx, i.deps.Conn, i.into)
}

// count books an inserted batch.
func (i *Ingester) count(sealed *schema.Sealed, insert *schema.Insert) {
	now := time.Now()
	i.rows.Add(uint64(sealed.Rows))
	i.batches.Add(1)
	i.metrics.rows.WithLabelValues(sealed.Table).Add(float64(sealed.Rows))
	i.metrics.batches.WithLabelValues(sealed.Table).Inc()
	i.metrics.bytes.Add(float64(len(sealed.Payload)))
	i.mu.Lock()
	i.lastRow = now
	i.mu.Unlock()
	if sealed.Rows > 0 && sealed.Table == schema.TableFlows {
		delay := now.Sub(time.UnixMicro(insert.Received()))
		i.metrics.delaySeconds.Observe(delay.Seconds())
		i.mu.Lock()
		i.delay = delay
		i.mu.Unlock()
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

// giveBack lets JetStream deliver the message again, after a pause.
func (i *Ingester) giveBack(msg jetstream.Msg, pause time.Duration) {
	if err := msg.NakWithDelay(pause); err != nil {
		i.log.Debug("give a batch back; NATS gives it again after ack_wait", "err", err)
	}
}

// bury moves a message to the dead-letter stream. If that cannot be, the
// message stays in FLOWS and comes again.
func (i *Ingester) bury(work context.Context, msg jetstream.Msg, reason string, cause error) {
	id := msg.Headers().Get(jetstream.MsgIDHeader)
	dead := nats.NewMsg(bus.SubjectDead + "." + bus.SubjectFlows)
	for k, v := range msg.Headers() {
		// Nats-Expected-... are conditions on another stream.
		if !strings.HasPrefix(k, "Nats-Expected-") {
			dead.Header[k] = v
		}
	}
	dead.Header.Set(bus.HeaderReason, reason)
	dead.Header.Set(bus.HeaderError, oneLine(cause.Error(), 1000))
	dead.Data = msg.Data()
	ctx, cancel := context.WithTimeout(work, 10*time.Second)
	defer cancel()
	if _, err := i.deps.Bus.JS.PublishMsg(ctx, dead); err != nil {
		i.log.Error("a bad batch could not be moved to the dead-letter stream; it stays in "+bus.StreamFlows, "batch", id, "reason", reason, "cause", cause, "err", err)
		i.giveBack(msg, i.cfg.RetryMax)
		return
	}
	i.tries.forget(id)
	if err := msg.TermWithReason(reason); err != nil {
		i.log.Debug("end a bad batch; it comes again and its dead letter is dropped as a duplicate", "batch", id, "err", err)
	}
	i.dead.Add(1)
	i.metrics.deadLetters.WithLabelValues(reason).Inc()
	i.log.Error("bad batch moved to the dead-letter stream", "subject", msg.Subject(), "batch", id, "reason", reason, "err", cause)
}

// oneLine makes text fit for a header.
func oneLine(s string, limit int) string {
	s = strings.ToValidUTF8(strings.Join(strings.Fields(s), " "), "?")
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "..."
	}
	return s
}
