package watch

import (
	"context"
	"encoding/json"
	"fmt"

	"cordon/internal/bus"

	"github.com/nats-io/nats.go/jetstream"
)

// Events reads the events of stream DRIFT after a sequence, up to the last one that there is, and gives its sequence.
func Events(ctx context.Context, b *bus.Bus, after uint64, f func(*Event) error) (last uint64, err error) {
	stream, err := b.JS.Stream(ctx, bus.StreamDrift)
	if err != nil {
		return after, fmt.Errorf("stream %s: %w", bus.StreamDrift, err)
	}
	state := stream.CachedInfo().State
	if state.LastSeq < after {
		after = 0
	}
	last = after
	err = read(ctx, b, after+1, state, false, func(m jetstream.Msg, seq uint64) error {
		var e Event
		if err := json.Unmarshal(m.Data(), &e); err != nil {
			return fmt.Errorf("stream %s: message %d: %w", bus.StreamDrift, seq, err)
		}
		last = seq
		return f(&e)
	}, func() { last = state.LastSeq })
	return last, err
}
