package watch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"cordon/internal/bus"

	"github.com/nats-io/nats.go/jetstream"
)

// webhook posts the events of stream DRIFT in their order, one after another.
type webhook struct {
	cfg     *Webhook
	bus     *bus.Bus
	log     *slog.Logger
	metrics *metrics
	client  *http.Client
	clock   clock
}

// clock is the time that tries are spread over.
type clock interface {
	now() time.Time
	// pause waits and reports whether it did so to the end; it ends early with the context.
	pause(context.Context, time.Duration) bool
}

// wallClock is the time of the machine.
type wallClock struct{}

func (wallClock) now() time.Time { return time.Now() }

func (wallClock) pause(ctx context.Context, d time.Duration) bool { return pause(ctx, d) }

func newWebhook(cfg *Webhook, b *bus.Bus, log *slog.Logger, m *metrics) *webhook {
	// A redirected POST would become a GET.
	client := &http.Client{Timeout: cfg.Timeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &webhook{cfg: cfg, bus: b, log: log, metrics: m, client: client, clock: wallClock{}}
}

// firstPause is the pause before an event is posted again the first time; each pause is twice the one before.
const firstPause = 500 * time.Millisecond

// patience is how many times an event is posted that the receiver calls wrong in itself, before it is left out: the ones behind it
// would wait for ever.
const patience = 10

// ackWait is how long JetStream waits for word of an event before it gives it to somebody else.
func (h *webhook) ackWait() time.Duration { return 2 * h.cfg.Timeout }

// consumer gives the durable consumer. It begins with the first event of the stream, and one event at a time keeps the order, also
// where several processes share it.
func (h *webhook) consumer(ctx context.Context) (jetstream.Consumer, error) {
	c, err := h.bus.JS.CreateOrUpdateConsumer(ctx, bus.StreamDrift, jetstream.ConsumerConfig{
		Durable: bus.ConsumerWebhook, Description: "drift events that the webhook has taken",
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: h.ackWait(), MaxAckPending: 1, DeliverPolicy: jetstream.DeliverAllPolicy,
	})
	if err != nil {
		return nil, fmt.Errorf("consumer %s of stream %s: %w", bus.ConsumerWebhook, bus.StreamDrift, err)
	}
	return c, nil
}

// run delivers until ctx ends.
func (h *webhook) run(ctx context.Context) {
	for ctx.Err() == nil {
		c, err := h.consumer(ctx)
		for err == nil && ctx.Err() == nil {
			var m jetstream.Msg
			if m, err = next(ctx, c, time.Second); err == nil && m != nil {
				err = h.deliver(ctx, m, -1)
			}
			if info, e := c.Info(ctx); e == nil {
				h.metrics.waiting.Set(float64(info.NumPending) + float64(info.NumAckPending))
			}
		}
		if ctx.Err() != nil {
			return
		}
		h.log.Warn("events for the webhook cannot be read; trying again", "err", err)
		pause(ctx, time.Second)
	}
}

// next gives the next event, nil where none comes within the wait.
func next(ctx context.Context, c jetstream.Consumer, wait time.Duration) (jetstream.Msg, error) {
	batch, err := c.Fetch(1, jetstream.FetchMaxWait(wait))
	if err != nil {
		return nil, err
	}
	for m := range batch.Messages() {
		return m, nil
	}
	if err := batch.Error(); err != nil && !errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return nil, err
	}
	return nil, nil
}

// errUndelivered says that the webhook did not take an event within the tries.
var errUndelivered = errors.New("the webhook does not take events")

// Undelivered reports whether an error of [Watcher.Deliver] is the webhook's.
func Undelivered(err error) bool { return errors.Is(err, errUndelivered) }

// deliverAll delivers what waits. It fails where an event is not taken in a few tries.
func (h *webhook) deliverAll(ctx context.Context) error {
	c, err := h.consumer(ctx)
	if err != nil {
		return err
	}
	for {
		info, err := c.Info(ctx)
		if err != nil || info.NumPending+uint64(info.NumAckPending) == 0 {
			return err
		}
		m, err := next(ctx, c, h.ackWait())
		if err != nil {
			return err
		}
		if m != nil {
			if err := h.deliver(ctx, m, 3); err != nil {
				return err
			}
		}
	}
}

// deliver posts an event until the webhook takes it or, where tries is not negative, so often. An event that is not delivered comes again.
func (h *webhook) deliver(ctx context.Context, m jetstream.Msg, tries int) error {
	wait := min(firstPause, h.cfg.RetryMax)
	for n := 1; ; n++ {
		step("post")
		err := h.post(ctx, m)
		step("posted")
		if err == nil {
			h.metrics.delivered.Inc()
			return acknowledge(ctx, m)
		}
		h.metrics.tries.Inc()
		var status *statusError
		if errors.As(err, &status) && status.final() && n >= patience {
			h.metrics.refused.Inc()
			h.log.Error("the webhook refuses an event, which is left out", "event", m.Headers().Get(jetstream.MsgIDHeader), "err", err)
			return acknowledge(ctx, m)
		}
		if n == tries {
			_ = m.Nak() // it comes again after the wait otherwise
			return fmt.Errorf("%w: %w", errUndelivered, err)
		}
		if n == 1 || wait >= h.cfg.RetryMax {
			h.log.Warn("the webhook does not take events; they wait in their order", "tries", n, "err", err)
		}
		if status != nil && status.after > wait {
			wait = status.after
		}
		if !h.hold(ctx, m, min(wait, h.cfg.RetryMax)) {
			_ = m.Nak()
			return nil
		}
		wait = min(2*wait, h.cfg.RetryMax)
	}
}

// acknowledge makes sure that the event does not come again.
func acknowledge(ctx context.Context, m jetstream.Msg) error {
	if err := m.DoubleAck(ctx); err != nil {
		return fmt.Errorf("acknowledge event %s: %w", m.Headers().Get(jetstream.MsgIDHeader), err)
	}
	return nil
}

// hold pauses and keeps the event. It reports false when ctx has ended.
func (h *webhook) hold(ctx context.Context, m jetstream.Msg, wait time.Duration) bool {
	for end := h.clock.now().Add(wait); h.clock.now().Before(end); {
		_ = m.InProgress() // the event comes again if this fails
		if !h.clock.pause(ctx, min(end.Sub(h.clock.now()), h.ackWait()/3)) {
			return false
		}
	}
	_ = m.InProgress()
	return ctx.Err() == nil
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// statusError is an answer other than 2xx.
type statusError struct {
	code  int
	after time.Duration // the pause that Retry-After asks for
	text  string
}

func (e *statusError) Error() string { return fmt.Sprintf("status %d: %s", e.code, e.text) }

// final reports whether the receiver calls the event itself wrong.
func (e *statusError) final() bool {
	return slices.Contains([]int{http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity}, e.code)
}

func (h *webhook) post(ctx context.Context, m jetstream.Msg) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.cfg.URL, bytes.NewReader(m.Data()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "cordon")
	req.Header.Set("Idempotency-Key", m.Headers().Get(jetstream.MsgIDHeader))
	if h.cfg.Authorization != "" {
		req.Header.Set("Authorization", h.cfg.Authorization)
	}
	resp, err := h.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) { // the URL may have a secret in it
			err = u.Err
		}
		return err
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
	if resp.StatusCode/100 == 2 {
		return nil
	}
	e := &statusError{code: resp.StatusCode, text: string(bytes.TrimSpace(text))}
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n > 0 {
		e.after = time.Duration(n) * time.Second
	}
	return e
}
