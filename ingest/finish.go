package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cordon/internal/bus"
	"cordon/schema"

	"github.com/nats-io/nats.go/jetstream"
)

// natsTimeout bounds a question to NATS.
const natsTimeout = 10 * time.Second

// catchUp brings the ledger up to date.
func (i *Ingester) catchUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, natsTimeout)
	defer cancel()
	return i.ledger.catchUp(ctx)
}

// finish records a group, inserts its sessions and acknowledges its batches.
// What cannot be finished goes back to JetStream.
func (i *Ingester) finish(ctx, work context.Context, g *group) {
	defer func() {
		for _, h := range g.batches {
			h.release()
		}
	}()
	r := newRecord(g.batches)
	epoch := g.batches[0].epoch
	for _, h := range g.batches {
		epoch = min(epoch, h.epoch)
	}
	if !i.record(ctx, work, r, epoch) {
		i.giveBack(0, g.batches...)
		return
	}
	if !i.insertSessions(ctx, work, r, &g.sessions, g.batches...) {
		return
	}
	for _, h := range g.batches {
		i.settle(h)
	}
}

// record tries until the group is recorded, and reports whether it is.
func (i *Ingester) record(ctx, work context.Context, r *record, epoch uint64) bool {
	var logged time.Time
	for pause := i.cfg.RetryMin; ; pause = min(2*pause, i.cfg.RetryMax) {
		try, cancel := context.WithTimeout(work, natsTimeout)
		err := i.ledger.append(try, r, epoch)
		cancel()
		switch {
		case err == nil:
			return true
		case errors.Is(err, errTaken), errors.Is(err, errMissed):
			i.log.Info("batches were late and go back to the stream, since others may have them", "batches", len(r.Batches), "reason", err)
			return false
		case time.Since(logged) >= outageRepeat:
			logged = time.Now()
			i.log.Warn("a group of batches cannot be recorded; their sessions wait", "batches", len(r.Batches), "err", err)
		}
		if !sleep(ctx, pause) {
			return false
		}
	}
}

// insertSessions tries until the sessions of a recorded group are in, and
// reports whether they are. If not, it has settled the messages in hand.
func (i *Ingester) insertSessions(ctx, work context.Context, r *record, sessions *schema.Sessions, inHand ...held) bool {
	for pause := i.cfg.RetryMin; ; pause = min(2*pause, i.cfg.RetryMax) {
		f, err := i.try(work, r.ID, func(ctx context.Context) error { return sessions.Run(ctx, i.deps.Conn, i.into, r.ID) })
		if err == nil {
			return true
		}
		if f != serverFault && i.refused(r.ID, f) {
			i.tries.forget(r.ID)
			i.bury(work, reasonRefused, err, inHand...)
			return false
		}
		if !sleep(ctx, pause) {
			i.giveBack(0, inHand...)
			return false
		}
	}
}

// redo settles a batch that is in a recorded group and came again: whoever
// recorded the group has died, or is slow. If the messages of all its batches
// are still there, its sessions are inserted, again perhaps, under the same
// token. If one is gone, it was acknowledged after they had been.
func (i *Ingester) redo(ctx, work context.Context, r *record, h held) {
	r.redo.Lock()
	defer r.redo.Unlock()
	if !r.in {
		sessions, err := i.refold(work, r)
		switch {
		case err != nil:
			i.log.Warn("read the batches of a group again; they come again", "group", r.ID, "batch", h.sealed.ID, "err", err)
			i.giveBack(i.pauseBefore(h.msg), h)
			return
		case sessions != nil && !i.insertSessions(ctx, work, r, sessions, h):
			return
		}
		r.in = true
	}
	i.settle(h)
}

// refold folds the batches of a group again. It returns nil if they are not
// all there any more.
func (i *Ingester) refold(ctx context.Context, r *record) (*schema.Sessions, error) {
	insert := inserts.Get().(*schema.Insert)
	defer inserts.Put(insert)
	var sessions schema.Sessions
	for _, b := range r.Batches {
		sealed, err := i.message(ctx, b)
		if sealed == nil || err != nil {
			return nil, err
		}
		if err := insert.Prepare(sealed); err != nil {
			return nil, err
		}
		sessions.Add(insert)
	}
	return &sessions, nil
}

// message reads a batch from stream FLOWS, nil if it is not there any more.
func (i *Ingester) message(ctx context.Context, b member) (*schema.Sealed, error) {
	ctx, cancel := context.WithTimeout(ctx, natsTimeout)
	defer cancel()
	msg, err := i.stream.GetMsg(ctx, b.Seq)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("message %d of stream %s: %w", b.Seq, bus.StreamFlows, err)
	case msg.Header.Get(jetstream.MsgIDHeader) != b.ID:
		return nil, nil // The stream was made anew.
	}
	return bus.Batch(msg.Header, msg.Data)
}
