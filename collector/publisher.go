package collector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"cordon/internal/bus"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
)

// publisher sends sealed batches to stream FLOWS and keeps each until it is
// acknowledged: in memory (type queue), and on disk (type spool) while NATS is
// away. The table of type link says when it sends and when it spools.
//
// One goroutine, run, decides and owns everything below that is not shared; a
// goroutine for each batch in flight waits for its acknowledgement. Other
// goroutines put batches into the queue and read the status that run has
// reported.
type publisher struct {
	cfg    QueueConfig
	sender sender
	log    *slog.Logger
	bursts *burstLog
	delay  prometheus.Observer // seconds from a batch's first record to its acknowledgement

	// Shared.
	queue    *queue
	reported atomic.Pointer[PublisherStatus] // the queue adds its own part
	results  chan result
	wake     chan struct{} // there is something to do
	giveUp   chan struct{} // closed: keep or count what is left, now
	done     chan struct{} // closed when run has ended

	// For run only.
	link      link
	spool     *spool    // nil without a data folder
	spillAt   time.Time // time to try the disk again after an error
	fromSpool bool      // whether the batch before came from the spool
	sends     context.Context
	cancel    context.CancelFunc // ends sends
	status    PublisherStatus    // counts, and how many are in flight
}

// item is a batch in flight. It comes from memory, or from the spool and is
// not read yet.
type item struct {
	batch
	spooled *spoolEntry
}

type result struct {
	item
	duplicate bool
	err       error
}

func newPublisher(cfg QueueConfig, b *bus.Bus, ids *ids, dir string, log *slog.Logger, bursts *burstLog, delay prometheus.Observer) (*publisher, error) {
	p := &publisher{
		cfg: cfg, sender: sender{bus: b, instance: ids.instance, ackTimeout: cfg.AckTimeout}, log: log, bursts: bursts, delay: delay,
		queue:   newQueue(cfg.Memory),
		results: make(chan result, cfg.InFlight),
		wake:    make(chan struct{}, 1),
		giveUp:  make(chan struct{}),
		done:    make(chan struct{}),
	}
	if dir != "" {
		s, err := openSpool(dir, cfg.Disk)
		if err != nil {
			return nil, err
		}
		p.spool = s
		if len(s.entries) > 0 {
			log.Info("publishing the batches that an earlier run has left", "batches", len(s.entries), "bytes", s.bytes, "folder", dir)
		}
	}
	p.report()
	return p, nil
}

// put queues a batch, or drops it if the queue is full. It does not wait.
func (p *publisher) put(b batch) {
	if _, ok := p.tryPut(b); ok {
		return
	}
	p.queue.drop(&b.Sealed)
	p.bursts.warn(time.Now(), netip.Addr{}, "queue-full", "dropped a batch: what waits for NATS has reached its limit",
		"batch", b.ID, "records", b.Rows, "limit", p.cfg.Memory, "nats", p.snapshot().Away)
	payloads.put(b.Payload)
}

// putWait queues a batch as soon as there is room.
func (p *publisher) putWait(ctx context.Context, b batch) error {
	for {
		room, ok := p.tryPut(b)
		if ok {
			return nil
		}
		select {
		case <-room:
		case <-p.done:
			return errors.New("the publisher has stopped")
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// tryPut queues a batch if there is room for it. If not it gives a channel
// that is closed when there may be.
func (p *publisher) tryPut(b batch) (room <-chan struct{}, ok bool) {
	if room, ok = p.queue.put(b); ok {
		p.signal()
	}
	return room, ok
}

func (p *publisher) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// stop publishes what is queued and ends run. When ctx ends first, or NATS is
// away, what is left goes to the spool, and without one is counted as
// dropped; the error then says how much.
func (p *publisher) stop(ctx context.Context) error {
	before := p.snapshot().Dropped
	p.queue.close()
	p.signal()
	select {
	case <-p.done:
	case <-ctx.Done():
		close(p.giveUp)
		<-p.done
	}
	st := p.snapshot()
	if lost := st.Dropped.Records - before.Records; lost > 0 {
		return fmt.Errorf("%d records in %d batches were not acknowledged by NATS: %s",
			lost, st.Dropped.Batches-before.Batches, cmp.Or(st.Away, "not in time"))
	}
	return nil
}

// run publishes until stop.
func (p *publisher) run() {
	defer close(p.done)
	defer p.report()
	defer p.closeSpool()
	nc := p.sender.bus.NC
	changes := nc.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.DISCONNECTED, nats.CLOSED)
	defer nc.RemoveStatusListener(changes)
	p.renewSends()
	defer func() { p.cancel() }()

	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		p.spill()
		p.start()
		if p.finished() {
			return
		}
		if stopping, _ := p.queue.left(); stopping && nc.IsClosed() { // NATS will not come back
			p.abandon()
			return
		}
		p.report()
		timer.Reset(p.nextLook())
		select {
		case <-p.wake:
		case r := <-p.results:
			p.handle(r)
		case s := <-changes:
			p.connection(s)
		case <-timer.C:
		case <-p.giveUp:
			p.abandon()
			return
		}
	}
}

// nextLook says after how long there may be something to do of which no
// event tells.
func (p *publisher) nextLook() time.Duration {
	wait := time.Minute
	now := time.Now()
	for _, at := range []time.Time{p.link.retryAt, p.spillAt} {
		if at.After(now) {
			wait = min(wait, at.Sub(now))
		}
	}
	return wait
}

func (p *publisher) renewSends() {
	p.sends, p.cancel = context.WithCancel(context.Background())
}

// connection notes a change of the connection to NATS. Requests on a
// connection that was lost will not be answered.
func (p *publisher) connection(s nats.Status) {
	if s == nats.CONNECTED {
		p.link.connected()
		return
	}
	p.cancel()
	p.renewSends()
	p.away(fmt.Errorf("connection to NATS: %s", s))
}

// away notes why NATS does not take batches.
func (p *publisher) away(err error) {
	if p.link.failed(time.Now(), err) {
		p.log.Warn("NATS does not take batches; they wait", "err", err, "memory", p.cfg.Memory, "disk", p.spoolLimit())
	}
}

// start sends as many batches as may be in flight.
func (p *publisher) start() {
	for most := p.link.mayFly(time.Now(), p.cfg.InFlight); p.status.InFlight < most; {
		it, ok := p.next()
		if !ok {
			return
		}
		p.status.InFlight++
		go p.send(p.sends, it)
	}
}

// next takes the batch to send: by turns from memory and from the spool, so
// that neither waits for the other to be empty.
func (p *publisher) next() (item, bool) {
	stopping, waiting := p.queue.left()
	if p.spool != nil && !stopping && (waiting == 0 || !p.fromSpool) {
		if e, ok := p.spool.take(); ok {
			p.fromSpool = true
			return item{spooled: &e}, true
		}
	}
	p.fromSpool = false
	b, ok := p.queue.take()
	return item{batch: b}, ok
}

func (p *publisher) send(ctx context.Context, it item) {
	r := result{item: it}
	if it.spooled != nil {
		sealed, err := readSpooled(p.spool.path(it.spooled.name))
		if err != nil {
			r.err = err
			p.results <- r
			return
		}
		r.batch.Sealed = *sealed
	}
	r.duplicate, r.err = p.sender.publish(ctx, &r.batch.Sealed)
	p.results <- r
}

// handle notes what became of a batch in flight.
func (p *publisher) handle(r result) {
	p.status.InFlight--
	var damaged *damagedError
	switch {
	case r.err == nil:
		p.published(r)
	case errors.As(r.err, &damaged):
		p.log.Error("spool", "err", r.err)
		p.status.Damaged++
		if err := p.spool.setAside(*r.spooled); err != nil {
			p.log.Error("spool: a damaged batch could not be renamed; it stays and will be met again at the next start", "err", err)
		}
	case errors.Is(r.err, errUnsendable):
		p.log.Error("dropped a batch", "batch", r.ID, "records", r.Rows, "err", r.err)
		p.queue.drop(&r.Sealed)
		p.settle(r)
	default:
		p.away(r.err)
		p.status.Retries++
		if r.spooled == nil {
			p.queue.putBack(r.batch)
		} else {
			p.spool.putBack(*r.spooled)
		}
	}
}

// published notes an acknowledgement.
func (p *publisher) published(r result) {
	p.status.Published.add(&r.Sealed)
	if r.duplicate {
		p.status.Duplicates++
	}
	since, away := p.link.acknowledged()
	p.settle(r)
	if away {
		st := p.snapshot()
		p.log.Info("NATS takes batches again", "after", time.Since(since).Round(time.Millisecond), "waiting", st.QueuedBatches+st.SpooledBatches)
	}
	if p.delay != nil && !r.opened.IsZero() {
		p.delay.Observe(time.Since(r.opened).Seconds())
	}
	if r.spooled == nil {
		payloads.put(r.Payload)
	}
}

// settle lets go of a batch that need not be kept any more. It reports before it
// gives back memory, so that a batch is never missing from the status.
func (p *publisher) settle(r result) {
	if r.spooled == nil {
		p.report()
		p.queue.release(int64(len(r.Payload)))
		return
	}
	if err := p.spool.remove(*r.spooled); err != nil {
		p.log.Error("spool: a published batch could not be removed; it will be published again, and stored once", "err", err)
	}
	p.report()
}

// spill moves what waits in memory to the spool while NATS is away.
func (p *publisher) spill() {
	if p.spool == nil || !p.link.down() || time.Now().Before(p.spillAt) {
		return
	}
	for {
		b, ok := p.queue.take()
		if !ok {
			return
		}
		if err := p.spool.write(&b.Sealed); err != nil {
			p.queue.putBack(b)
			p.status.SpoolError = err.Error()
			p.spillAt = time.Now().Add(time.Second)
			p.bursts.warn(time.Now(), netip.Addr{}, "spool", "a batch cannot go to disk; it waits in memory", "err", err, "limit", p.cfg.Disk)
			return
		}
		p.status.SpoolError = ""
		p.status.Spooled.add(&b.Sealed)
		p.report()
		p.queue.release(int64(len(b.Payload)))
		payloads.put(b.Payload)
	}
}

// finished says whether stop was called and nothing is left to do.
func (p *publisher) finished() bool {
	if stopping, waiting := p.queue.left(); !stopping || waiting > 0 {
		return false
	}
	if p.status.InFlight > 0 && p.link.down() && p.spool != nil {
		p.cancel() // the batch comes back and goes to the spool
	}
	return p.status.InFlight == 0
}

// abandon ends everything at once: what is in flight or queued is spooled, or
// counted as dropped.
func (p *publisher) abandon() {
	p.cancel()
	for p.status.InFlight > 0 {
		p.handle(<-p.results)
	}
	p.link.close(time.Now(), "the stop took longer than its limit")
	p.spillAt = time.Time{}
	p.spill()
	if left := p.queue.dropAll(); left > 0 {
		p.log.Error("dropped the batches that NATS did not take in time", "batches", left)
	}
}

func (p *publisher) closeSpool() {
	if p.spool == nil {
		return
	}
	if err := p.spool.close(); err != nil {
		p.log.Error("spool", "err", err)
	}
}
