package collector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cordon/internal/bus"
	"cordon/schema"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// messageOverhead is kept free, below the server's largest message, for the
// headers of a batch.
const messageOverhead = 1 << 10

// sender publishes one batch at a time to stream FLOWS. It remembers nothing, so
// any number of goroutines may use it.
type sender struct {
	bus        *bus.Bus
	instance   string // the collector's instance, which headers name
	ackTimeout time.Duration
}

// maxPayload is the most that a batch may have for the server to take it.
func (s *sender) maxPayload() int {
	if n := s.bus.NC.MaxPayload(); n > messageOverhead {
		return int(min(n-messageOverhead, schema.MaxPayload))
	}
	return schema.MaxPayload
}

// publish sends a batch and waits for its acknowledgement. A batch that is too
// large for the server is sent in halves, whose ids follow from its own.
func (s *sender) publish(ctx context.Context, b *schema.Sealed) (duplicate bool, err error) {
	attempt, cancel := context.WithTimeout(ctx, s.ackTimeout)
	defer cancel()
	ack, err := s.bus.JS.PublishMsg(attempt, bus.Message(s.instance, b))
	switch {
	case err == nil:
		return ack.Duplicate, nil
	case tooLarge(err):
		return s.publishHalves(ctx, b, err)
	case ctx.Err() != nil:
		return false, errors.New("the connection to NATS was lost, or the collector is stopping")
	case errors.Is(err, context.DeadlineExceeded):
		return false, fmt.Errorf("no acknowledgement from JetStream within %v", s.ackTimeout)
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		return false, fmt.Errorf("no stream takes subject %s (stream %s is missing, or JetStream is not ready): %w", bus.SubjectFlows, bus.StreamFlows, err)
	}
	return false, err
}

// errUnsendable says that the server will never take a batch.
var errUnsendable = errors.New("the server's largest message is too small for it")

func (s *sender) publishHalves(ctx context.Context, b *schema.Sealed, cause error) (duplicate bool, err error) {
	var whole schema.Batch
	if b.Table != schema.TableFlows || b.Rows < 2 {
		return false, fmt.Errorf("%w: %w", errUnsendable, cause)
	}
	if err := whole.Open(b.Payload); err != nil {
		return false, fmt.Errorf("%w: %w: %w", errUnsendable, cause, err)
	}
	first, second := whole.Split()
	for i, half := range []*schema.Batch{first, second} {
		payload, err := half.Seal(nil, schema.MaxPayload)
		if err != nil {
			return false, err
		}
		part := schema.Sealed{ID: b.ID + [...]string{"a", "b"}[i], Table: b.Table, Rows: half.Len(), Needs: half.Needs(), Payload: payload}
		if duplicate, err = s.publish(ctx, &part); err != nil {
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
