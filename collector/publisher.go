package collector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"cordon/internal/bus"
	"cordon/schema"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
)

// Waits between attempts while NATS refuses or does not answer.
const (
	retryFirst = 100 * time.Millisecond
	retryMost  = 5 * time.Second
)

// messageOverhead is kept free, below the server's largest message, for the
// headers of a batch.
const messageOverhead = 1 << 10

// publisher sends sealed batches to stream FLOWS and keeps each until it is
// acknowledged: in memory, and on disk while NATS is away.
//
// One goroutine, run, decides; a goroutine for each batch in flight waits for
// its acknowledgement. From a publish that fails until one that succeeds NATS
// counts as away: one batch at a time is tried, and the others go to the spool.
type publisher struct {
	cfg     QueueConfig
	bus     *bus.Bus
	ids     *ids
	log     *slog.Logger
	bursts  *burstLog
	delay   prometheus.Observer // seconds from a batch's first record to its acknowledgement
	results chan result
	wake    chan struct{} // there is something to do
	giveUp  chan struct{} // closed: keep or count what is left, now
	done    chan struct{} // closed when run has ended

	// For run only.
	spool     *spool // nil without a data folder
	retryAt   time.Time
	backoff   time.Duration
	spillAt   time.Time // after an error of the disk, when to try it again
	fromSpool bool      // whether the batch before came from the spool
	sends     context.Context
	cancel    context.CancelFunc // of sends

	mu       sync.Mutex
	queue    []batch       // waits in memory, oldest first
	room     chan struct{} // closed, and made anew, when memory is given back
	stopping bool          // nothing is put any more
	status   PublisherStatus
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

// PublisherStatus says what waits for NATS and what became of the rest.
// Counts are since the start of the process.
type PublisherStatus struct {
	// Away is why batches cannot be published at the moment; empty if they
	// can. Since is when that began.
	Away  string    `json:"away,omitempty"`
	Since time.Time `json:"since,omitzero"`

	QueuedBatches int   `json:"queuedBatches"` // in memory, those in flight included
	QueuedBytes   int64 `json:"queuedBytes"`
	QueueLimit    int64 `json:"queueLimit"`
	InFlight      int   `json:"inFlight"`

	SpooledBatches int   `json:"spooledBatches"` // on disk
	SpooledBytes   int64 `json:"spooledBytes"`
	SpoolLimit     int64 `json:"spoolLimit"` // zero without a data folder

	Published  Volume `json:"published"`  // acknowledged
	Duplicates uint64 `json:"duplicates"` // of these, known to JetStream already
	Retries    uint64 `json:"retries"`    // publishes that failed and are made again
	Spooled    Volume `json:"spooled"`    // written to disk
	SpoolError string `json:"spoolError,omitempty"`

	Dropped Volume `json:"dropped"` // found the queue full, or left at the end with no disk to go to
	Damaged uint64 `json:"damaged"` // spooled batches that could not be read back
}

// Volume counts what is in batches. Statistics and names of exporters travel in
// batches of their own; their rows are no flow records.
type Volume struct {
	Batches    uint64 `json:"batches"` // of both
	Records    uint64 `json:"records"` // flow records
	Statistics uint64 `json:"statistics,omitempty"`
	Bytes      uint64 `json:"bytes"` // of both
}

func (v *Volume) add(s *schema.Sealed) {
	v.Batches++
	if s.Table == schema.TableFlows {
		v.Records += uint64(s.Rows)
	} else {
		v.Statistics += uint64(s.Rows)
	}
	v.Bytes += uint64(len(s.Payload))
}

func newPublisher(cfg QueueConfig, b *bus.Bus, ids *ids, dir string, log *slog.Logger, bursts *burstLog, delay prometheus.Observer) (*publisher, error) {
	p := &publisher{
		cfg: cfg, bus: b, ids: ids, log: log, bursts: bursts, delay: delay,
		results: make(chan result, cfg.InFlight),
		wake:    make(chan struct{}, 1),
		giveUp:  make(chan struct{}),
		done:    make(chan struct{}),
		room:    make(chan struct{}),
		status:  PublisherStatus{QueueLimit: cfg.Memory},
	}
	if dir == "" {
		return p, nil
	}
	s, err := openSpool(dir, cfg.Disk)
	if err != nil {
		return nil, err
	}
	p.spool = s
	p.status.SpoolLimit = cfg.Disk
	if len(s.entries) > 0 {
		log.Info("publishing the batches that an earlier run has left", "batches", len(s.entries), "bytes", s.bytes, "folder", dir)
	}
	p.noteSpool()
	return p, nil
}

// maxPayload is the most that a batch may have for the server to take it.
func (p *publisher) maxPayload() int {
	if n := p.bus.NC.MaxPayload(); n > messageOverhead {
		return int(min(n-messageOverhead, schema.MaxPayload))
	}
	return schema.MaxPayload
}

// put queues a batch, or drops it if the queue is full. It does not wait.
func (p *publisher) put(b batch) {
	if _, ok := p.tryPut(b); ok {
		return
	}
	p.mu.Lock()
	p.status.Dropped.add(&b.Sealed)
	away := p.status.Away
	p.mu.Unlock()
	p.bursts.warn(time.Now(), netip.Addr{}, "queue-full", "dropped a batch: what waits for NATS has reached its limit",
		"batch", b.ID, "records", b.Rows, "limit", p.cfg.Memory, "nats", away)
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
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopping || p.status.QueuedBytes+int64(len(b.Payload)) > p.cfg.Memory {
		return p.room, false
	}
	p.queue = append(p.queue, b)
	p.status.QueuedBatches++
	p.status.QueuedBytes += int64(len(b.Payload))
	p.signal()
	return nil, true
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
	p.mu.Lock()
	p.stopping = true
	before := p.status.Dropped
	p.mu.Unlock()
	p.signal()
	select {
	case <-p.done:
	case <-ctx.Done():
		close(p.giveUp)
		<-p.done
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if lost := p.status.Dropped.Records - before.Records; lost > 0 {
		return fmt.Errorf("%d records in %d batches were not acknowledged by NATS: %s",
			lost, p.status.Dropped.Batches-before.Batches, cmp.Or(p.status.Away, "not in time"))
	}
	return nil
}

// run publishes until stop.
func (p *publisher) run() {
	defer close(p.done)
	changes := p.bus.NC.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.DISCONNECTED, nats.CLOSED)
	defer p.bus.NC.RemoveStatusListener(changes)
	p.renewSends()
	defer func() { p.cancel() }()

	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		p.spill()
		p.start()
		if p.finished() {
			break
		}
		if p.hopeless() {
			p.abandon()
			return
		}
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
	if p.spool != nil {
		p.closeSpool()
	}
}

// nextLook says after how long there may be something to do of which no
// event tells.
func (p *publisher) nextLook() time.Duration {
	wait := time.Minute
	now := time.Now()
	for _, at := range []time.Time{p.retryAt, p.spillAt} {
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
		p.retryAt = time.Time{}
		return
	}
	p.cancel()
	p.renewSends()
	p.away(fmt.Errorf("connection to NATS: %s", s))
}

// away notes why NATS does not take batches.
func (p *publisher) away(err error) {
	p.backoff = min(max(2*p.backoff, retryFirst), retryMost)
	p.retryAt = time.Now().Add(p.backoff)
	p.mu.Lock()
	first := p.status.Away == ""
	p.status.Away = err.Error()
	if first {
		p.status.Since = time.Now()
	}
	p.mu.Unlock()
	if first {
		p.log.Warn("NATS does not take batches; they wait", "err", err, "memory", p.cfg.Memory, "disk", p.status.SpoolLimit)
	}
}

func (p *publisher) back() {
	p.backoff, p.retryAt = 0, time.Time{}
	p.mu.Lock()
	since, away := p.status.Since, p.status.Away != ""
	p.status.Since, p.status.Away = time.Time{}, ""
	waiting := p.status.QueuedBatches + p.status.SpooledBatches
	p.mu.Unlock()
	if away {
		p.log.Info("NATS takes batches again", "after", time.Since(since).Round(time.Millisecond), "waiting", waiting)
	}
}

// start sends as many batches as may be in flight.
func (p *publisher) start() {
	if time.Now().Before(p.retryAt) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	most := p.cfg.InFlight
	if p.status.Away != "" {
		most = 1
	}
	for p.status.InFlight < most {
		it, ok := p.next()
		if !ok {
			return
		}
		p.status.InFlight++
		go p.send(p.sends, it)
	}
}

// next takes the batch to send: by turns from memory and from the spool, so
// that neither waits for the other to be empty. It needs p.mu.
func (p *publisher) next() (item, bool) {
	spooled := p.spool != nil && len(p.spool.entries) > 0 && !p.stopping
	if spooled && (len(p.queue) == 0 || !p.fromSpool) {
		e, _ := p.spool.take()
		p.fromSpool = true
		return item{spooled: &e}, true
	}
	p.fromSpool = false
	if len(p.queue) == 0 {
		return item{}, false
	}
	b := p.queue[0]
	p.queue = slices.Delete(p.queue, 0, 1)
	return item{batch: b}, true
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
	r.duplicate, r.err = p.publish(ctx, &r.batch.Sealed)
	p.results <- r
}

// publish sends a batch and waits for its acknowledgement. A batch that is too
// large for the server is sent in halves, whose ids follow from its own.
func (p *publisher) publish(ctx context.Context, s *schema.Sealed) (duplicate bool, err error) {
	attempt, cancel := context.WithTimeout(ctx, p.cfg.AckTimeout)
	defer cancel()
	ack, err := p.bus.JS.PublishMsg(attempt, bus.Message(p.ids.instance, s))
	switch {
	case err == nil:
		return ack.Duplicate, nil
	case tooLarge(err):
		return p.publishHalves(ctx, s, err)
	case ctx.Err() != nil:
		return false, errors.New("the connection to NATS was lost, or the collector is stopping")
	case errors.Is(err, context.DeadlineExceeded):
		return false, fmt.Errorf("no acknowledgement from JetStream within %v", p.cfg.AckTimeout)
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		return false, fmt.Errorf("no stream takes subject %s (stream %s is missing, or JetStream is not ready): %w", bus.SubjectFlows, bus.StreamFlows, err)
	}
	return false, err
}

// errUnsendable says that the server will never take a batch.
var errUnsendable = errors.New("the server's largest message is too small for it")

func (p *publisher) publishHalves(ctx context.Context, s *schema.Sealed, cause error) (duplicate bool, err error) {
	var whole schema.Batch
	if s.Table != schema.TableFlows || s.Rows < 2 {
		return false, fmt.Errorf("%w: %w", errUnsendable, cause)
	}
	if err := whole.Open(s.Payload); err != nil {
		return false, fmt.Errorf("%w: %w: %w", errUnsendable, cause, err)
	}
	first, second := whole.Split()
	for i, half := range []*schema.Batch{first, second} {
		payload, err := half.Seal(nil, schema.MaxPayload)
		if err != nil {
			return false, err
		}
		part := schema.Sealed{ID: s.ID + [...]string{"a", "b"}[i], Table: s.Table, Rows: half.Len(), Needs: half.Needs(), Payload: payload}
		if duplicate, err = p.publish(ctx, &part); err != nil {
			return false, err
		}
	}
	return duplicate, nil
}

func tooLarge(err error) bool {
	if errors.Is(err, nats.ErrMaxPayload) {
		return true
	}
	var api *jetstream.APIError
	const exceedsMaximum = 10054 // JSStreamMessageExceedsMaximumErr
	return errors.As(err, &api) && api.ErrorCode == exceedsMaximum
}

// handle notes what became of a batch in flight.
func (p *publisher) handle(r result) {
	p.mu.Lock()
	p.status.InFlight--
	p.mu.Unlock()
	var damaged *damagedError
	switch {
	case r.err == nil:
		p.back()
		p.settle(r)
		p.mu.Lock()
		p.status.Published.add(&r.Sealed)
		if r.duplicate {
			p.status.Duplicates++
		}
		p.mu.Unlock()
		if p.delay != nil && !r.opened.IsZero() {
			p.delay.Observe(time.Since(r.opened).Seconds())
		}
		if r.spooled == nil {
			payloads.put(r.Payload)
		}
	case errors.As(r.err, &damaged):
		p.log.Error("spool", "err", r.err)
		p.mu.Lock()
		p.status.Damaged++
		p.mu.Unlock()
		if err := p.spool.setAside(*r.spooled); err != nil {
			p.log.Error("spool: a damaged batch could not be renamed; it stays and will be met again at the next start", "err", err)
		}
		p.noteSpool()
	case errors.Is(r.err, errUnsendable):
		p.log.Error("dropped a batch", "batch", r.ID, "records", r.Rows, "err", r.err)
		p.settle(r)
		p.mu.Lock()
		p.status.Dropped.add(&r.Sealed)
		p.mu.Unlock()
	default:
		p.away(r.err)
		p.mu.Lock()
		p.status.Retries++
		if r.spooled == nil {
			p.queue = slices.Insert(p.queue, 0, r.batch)
		}
		p.mu.Unlock()
		if r.spooled != nil {
			p.spool.putBack(*r.spooled)
		}
	}
}

// settle lets go of a batch that need not be kept any more.
func (p *publisher) settle(r result) {
	if r.spooled == nil {
		p.release(int64(len(r.Payload)))
		return
	}
	if err := p.spool.remove(*r.spooled); err != nil {
		p.log.Error("spool: a published batch could not be removed; it will be published again, and stored once", "err", err)
	}
	p.noteSpool()
}

// release gives back the memory of one batch.
func (p *publisher) release(size int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status.QueuedBatches--
	p.status.QueuedBytes -= size
	close(p.room)
	p.room = make(chan struct{})
}

func (p *publisher) noteSpool() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status.SpooledBatches, p.status.SpooledBytes = p.spool.len(), p.spool.bytes
}

// spill moves what waits in memory to the spool while NATS is away.
func (p *publisher) spill() {
	if p.spool == nil || time.Now().Before(p.spillAt) {
		return
	}
	for {
		p.mu.Lock()
		if p.status.Away == "" || len(p.queue) == 0 {
			p.mu.Unlock()
			return
		}
		b := p.queue[0]
		p.queue = slices.Delete(p.queue, 0, 1)
		p.mu.Unlock()

		err := p.spool.write(&b.Sealed)
		p.mu.Lock()
		p.status.SpoolError = ""
		if err == nil {
			p.status.Spooled.add(&b.Sealed)
		} else {
			p.queue = slices.Insert(p.queue, 0, b)
			p.status.SpoolError = err.Error()
		}
		p.mu.Unlock()
		if err != nil {
			p.spillAt = time.Now().Add(time.Second)
			p.bursts.warn(time.Now(), netip.Addr{}, "spool", "a batch cannot go to disk; it waits in memory", "err", err, "limit", p.cfg.Disk)
			return
		}
		p.release(int64(len(b.Payload)))
		p.noteSpool()
		payloads.put(b.Payload)
	}
}

// finished says whether stop was called and nothing is left to do.
func (p *publisher) finished() bool {
	p.mu.Lock()
	stopping, inFlight, queued := p.stopping, p.status.InFlight, len(p.queue)
	away := p.status.Away != ""
	p.mu.Unlock()
	if !stopping || queued > 0 {
		return false
	}
	if inFlight > 0 && away && p.spool != nil {
		p.cancel() // the batch comes back and goes to the spool
	}
	return inFlight == 0
}

// hopeless says whether stop was called and NATS will not come back.
func (p *publisher) hopeless() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stopping && p.bus.NC.IsClosed()
}

// abandon ends everything at once: what is in flight or queued is spooled, or
// counted as dropped.
func (p *publisher) abandon() {
	p.cancel()
	for p.snapshot().InFlight > 0 {
		p.handle(<-p.results)
	}
	p.mu.Lock()
	if p.status.Away == "" {
		p.status.Away = "the stop took longer than its limit"
	}
	p.mu.Unlock()
	p.spillAt = time.Time{}
	p.spill()
	p.mu.Lock()
	for i := range p.queue {
		p.status.Dropped.add(&p.queue[i].Sealed)
	}
	left := len(p.queue)
	p.queue = nil
	p.status.QueuedBatches, p.status.QueuedBytes = 0, 0
	p.mu.Unlock()
	if left > 0 {
		p.log.Error("dropped the batches that NATS did not take in time", "batches", left)
	}
	if p.spool != nil {
		p.closeSpool()
	}
}

func (p *publisher) closeSpool() {
	if err := p.spool.close(); err != nil {
		p.log.Error("spool", "err", err)
	}
}

// snapshot gives the status now.
func (p *publisher) snapshot() PublisherStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}
