package watch

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"cordon/internal/bus"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Headers of an event's message, beside its id: what is needed to know what was said.
const (
	headerPolicy = "Cordon-Policy"
	headerType   = "Cordon-Type"
	headerCell   = "Cordon-Cell"   // see Event.cell
	headerClient = "Cordon-Client" // see Event.client
)

// ledger is what stands in stream DRIFT.
type ledger struct {
	bus *bus.Bus

	mu   sync.Mutex
	last uint64              // sequence of the last message that is known
	said map[string]struct{} // ids
	of   map[string]int      // the number of events of each cell and of each client
}

func newLedger(b *bus.Bus) *ledger {
	return &ledger{bus: b, said: map[string]struct{}{}, of: map[string]int{}}
}

func (l *ledger) has(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.said[id]
	return ok
}

// count gives how many events of a cell or of a client were said.
func (l *ledger) count(key string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.of[key]
}

func (l *ledger) add(id, cell, client string, seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = max(l.last, seq)
	if _, ok := l.said[id]; ok {
		return
	}
	l.said[id] = struct{}{}
	for _, key := range []string{cell, client} {
		if key != "" {
			l.of[key]++
		}
	}
}

// sync reads what was said since the last time.
func (l *ledger) sync(ctx context.Context) error {
	stream, err := l.bus.JS.Stream(ctx, bus.StreamDrift)
	if err != nil {
		return fmt.Errorf("stream %s: %w", bus.StreamDrift, err)
	}
	state := stream.CachedInfo().State
	if state.LastSeq < l.last { // somebody made the stream anew
		l.mu.Lock()
		l.last, l.said, l.of = 0, map[string]struct{}{}, map[string]int{}
		l.mu.Unlock()
	}
	return read(ctx, l.bus, l.last+1, state, true, func(m jetstream.Msg, seq uint64) error {
		h := m.Headers()
		l.add(h.Get(jetstream.MsgIDHeader), h.Get(headerCell), h.Get(headerClient), seq)
		return nil
	}, func() {
		l.mu.Lock()
		l.last = max(l.last, state.LastSeq) // the last ones may have been deleted
		l.mu.Unlock()
	})
}

// read calls f with the messages of stream DRIFT from a sequence up to the last one of a state, then done.
func read(ctx context.Context, b *bus.Bus, from uint64, state jetstream.StreamState, headers bool, f func(jetstream.Msg, uint64) error, done func()) error {
	if state.Msgs == 0 || from > state.LastSeq {
		done()
		return nil
	}
	c, err := b.JS.OrderedConsumer(ctx, bus.StreamDrift, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from, HeadersOnly: headers,
	})
	if err != nil {
		return fmt.Errorf("stream %s: %w", bus.StreamDrift, err)
	}
	if info := c.CachedInfo(); info != nil && info.NumPending == 0 { // deleted by hand
		done()
		return nil
	}
	messages, err := c.Messages()
	if err != nil {
		return fmt.Errorf("stream %s: %w", bus.StreamDrift, err)
	}
	defer messages.Stop()
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return fmt.Errorf("stream %s: %w", bus.StreamDrift, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("stream %s: %w", bus.StreamDrift, err)
		}
		if err := f(m, meta.Sequence.Stream); err != nil {
			return err
		}
		if meta.NumPending == 0 || meta.Sequence.Stream >= state.LastSeq {
			done()
			return nil
		}
	}
}

// codeWrongLastSequence is JetStream's answer to a message that names another last message than the stream's.
const codeWrongLastSequence = 10071

// say publishes an event that was not said before, and reports whether it did.
func (l *ledger) say(ctx context.Context, e *Event) (bool, error) {
	m := nats.NewMsg(bus.SubjectDrift + "." + bus.Token(e.VRF))
	m.Data = e.JSON()
	for name, value := range map[string]string{headerPolicy: e.Policy, headerType: string(e.Type), headerCell: e.cell, headerClient: e.client} {
		if value != "" {
			m.Header.Set(name, value)
		}
	}
	for !l.has(e.ID) {
		step("publish")
		ack, err := l.bus.JS.PublishMsg(ctx, m, jetstream.WithMsgID(e.ID), jetstream.WithExpectLastSequence(l.last))
		step("published")
		if api := (*jetstream.APIError)(nil); errors.As(err, &api) && api.ErrorCode == codeWrongLastSequence {
			if err := l.sync(ctx); err != nil {
				return false, err
			}
			continue
		}
		if err != nil {
			return false, fmt.Errorf("publish on %s: %w", m.Subject, err)
		}
		if ack.Duplicate {
			if err := l.sync(ctx); err != nil {
				return false, err
			}
			l.add(e.ID, e.cell, e.client, 0) // it may have been deleted meanwhile
			return false, nil
		}
		l.add(e.ID, e.cell, e.client, ack.Sequence)
		return true, nil
	}
	return false, nil
}

// step is called at each step of what must survive being killed; tests end the process there.
var step = func(string) {}
