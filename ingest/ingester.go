package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"cordon/internal/bus"
	"cordon/schema"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
)

// Deps are what an [Ingester] works with.
type Deps struct {
	// Bus is the connection to NATS. Its streams exist.
	Bus *bus.Bus
	// Conn is the connection to ClickHouse, over HTTP. The tables exist, or
	// will: until then inserts are tried again.
	Conn clickhouse.Conn
	// Database holds the tables; "cordon" if empty.
	Database string
	// Server names the ClickHouse server in logs and errors.
	Server string
	// Log is where the ingester logs; nil means nowhere.
	Log *slog.Logger
	// Metrics is where metrics are registered; nil means nowhere.
	Metrics prometheus.Registerer
}

// Ingester moves batches from JetStream into ClickHouse. Make it with [New],
// and run it once.
type Ingester struct {
	cfg     Config
	deps    Deps
	log     *slog.Logger
	metrics *metrics
	outage  outageLog
	tries   attempts
	into    schema.InsertOptions
	// flowsOnly leaves sessions out, to measure what they cost.
	flowsOnly bool

	// Set by Run.
	stream jetstream.Stream // FLOWS
	ledger *ledger
	groups *groups

	records, rows, batches, dead, redelivered atomic.Uint64

	mu       sync.Mutex
	consumer jetstream.Consumer
	ready    error
	lastRow  time.Time // time at which the last insert returned
	delay    time.Duration
}

var errNotStarted = errors.New("the ingester has not started yet")

// New makes an ingester. It opens nothing.
func New(cfg Config, deps Deps) (*Ingester, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Bus == nil || deps.Conn == nil {
		panic("BUG: an ingester needs a bus and a ClickHouse connection")
	}
	deps.Database = cmp.Or(deps.Database, "cordon")
	deps.Server = cmp.Or(deps.Server, "ClickHouse")
	m, err := newMetrics(deps.Metrics)
	if err != nil {
		return nil, fmt.Errorf("ingest: %w", err)
	}
	log := cmp.Or(deps.Log, slog.New(slog.DiscardHandler))
	return &Ingester{
		cfg: cfg, deps: deps, log: log, metrics: m, ready: errNotStarted,
		outage: outageLog{log: log, server: deps.Server},
		into:   schema.InsertOptions{Database: deps.Database, Quorum: cfg.InsertQuorum},
	}, nil
}

// Run consumes until ctx ends, then finishes the inserts that run and returns
// nil. It returns an error only if the consumer cannot be made or the streams
// cannot be read.
func (i *Ingester) Run(ctx context.Context) error {
	consumer, err := i.deps.Bus.JS.CreateOrUpdateConsumer(ctx, bus.StreamFlows, i.consumerConfig())
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("consumer %s of stream %s: %w", bus.ConsumerIngest, bus.StreamFlows, err)
	}
	if i.stream, err = i.deps.Bus.JS.Stream(ctx, bus.StreamFlows); err == nil {
		i.ledger, err = openLedger(ctx, i.deps.Bus.JS)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("ingester: %w", err)
	}
	i.mu.Lock()
	i.consumer, i.ready = consumer, nil
	i.mu.Unlock()

	// work outlives ctx, so that what was fetched is finished.
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	i.groups = newGroups(i.cfg.SessionsWait, 1+max(1, i.cfg.Inserts/2), func(g *group) { i.finish(ctx, work, g) })
	var wg sync.WaitGroup
	for range i.cfg.Inserts {
		wg.Go(func() { i.consume(ctx, work, consumer) })
	}
	wg.Go(func() { i.watch(ctx, consumer) })
	<-ctx.Done()
	i.setReady(errors.New("the ingester is stopping"))
	stop := time.AfterFunc(i.cfg.StopTimeout, cancel)
	wg.Wait()
	i.groups.drain()
	stop.Stop()
	if err := i.deps.Bus.NC.FlushTimeout(time.Second); err != nil {
		i.log.Warn("acknowledgements may not have reached NATS; batches come again and are dropped as duplicates", "err", err)
	}
	return nil
}

// consumerConfig describes the durable consumer that all ingesters share.
func (i *Ingester) consumerConfig() jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:       bus.ConsumerIngest,
		Description:   "batches on their way into ClickHouse",
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       i.cfg.AckWait,
		MaxAckPending: i.cfg.MaxAckPending,
		MaxDeliver:    -1,
	}
}

// consume takes one batch after the other until ctx ends.
func (i *Ingester) consume(ctx, work context.Context, consumer jetstream.Consumer) {
	pause := i.cfg.RetryMin
	for ctx.Err() == nil {
		epoch := i.ledger.now()
		msg, err := next(ctx, consumer)
		switch {
		case msg != nil:
			pause = i.cfg.RetryMin
			i.handle(ctx, work, msg, epoch)
		case err != nil && ctx.Err() == nil:
			i.log.Debug("no batch from NATS", "err", err)
			sleep(ctx, pause)
			pause = min(2*pause, i.cfg.RetryMax)
		}
	}
}

// next waits for one message. It returns neither message nor error if none
// came within some seconds or ctx ended.
func next(ctx context.Context, consumer jetstream.Consumer) (jetstream.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	batch, err := consumer.Fetch(1, jetstream.FetchContext(ctx))
	if err != nil {
		return nil, err
	}
	for msg := range batch.Messages() {
		return msg, nil
	}
	if err := batch.Error(); err != nil && ctx.Err() == nil {
		return nil, err
	}
	return nil, nil
}

// watch keeps the gauges of the stream and the ledger up to date.
func (i *Ingester) watch(ctx context.Context, consumer jetstream.Consumer) {
	for {
		if err := i.look(ctx, consumer); err != nil && ctx.Err() == nil {
			i.log.Debug("look at the streams", "err", err)
		}
		if !sleep(ctx, 5*time.Second) {
			return
		}
	}
}

func (i *Ingester) look(ctx context.Context, consumer jetstream.Consumer) error {
	info, err := consumer.Info(ctx)
	if err != nil {
		return err
	}
	i.metrics.pending.Set(float64(info.NumPending))
	i.metrics.ackPending.Set(float64(info.NumAckPending))
	if err := i.catchUp(ctx); err != nil {
		return err
	}
	stream, err := i.stream.Info(ctx)
	if err != nil {
		return err
	}
	return i.ledger.trim(ctx, info.AckFloor.Stream, stream.State.LastSeq)
}

// sleep reports whether d passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (i *Ingester) setReady(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ready = err
}

// Ready returns nil while batches can be inserted, else why not.
func (i *Ingester) Ready() error {
	i.mu.Lock()
	err := i.ready
	i.mu.Unlock()
	if err != nil {
		return err
	}
	if !i.deps.Bus.NC.IsConnected() {
		return errors.New("not connected to NATS")
	}
	return i.outage.current()
}

// Status is what an ingester did since it started, and what waits for it.
type Status struct {
	Records     uint64    `json:"records"` // flow records
	Rows        uint64    `json:"rows"`    // flow records and statistics of exporters
	Batches     uint64    `json:"batches"`
	DeadLetters uint64    `json:"deadLetters"`
	Redelivered uint64    `json:"redelivered"`
	LastInsert  time.Time `json:"lastInsert,omitzero"`
	// Delay from receipt to insert of the last batch, in seconds.
	Delay float64 `json:"delaySeconds"`
	// Pending batches wait in the stream; Unacknowledged ones are with an
	// ingester.
	Pending        uint64 `json:"pending"`
	Unacknowledged int    `json:"unacknowledged"`
	Error          string `json:"error,omitempty"`
}

// Status reports on the ingester. It asks NATS for what is pending.
func (i *Ingester) Status(ctx context.Context) Status {
	i.mu.Lock()
	s := Status{LastInsert: i.lastRow, Delay: i.delay.Seconds()}
	consumer := i.consumer
	i.mu.Unlock()
	s.Records = i.records.Load()
	s.Rows, s.Batches, s.DeadLetters, s.Redelivered = i.rows.Load(), i.batches.Load(), i.dead.Load(), i.redelivered.Load()
	if err := i.Ready(); err != nil {
		s.Error = err.Error()
	}
	if consumer == nil {
		return s
	}
	info, err := consumer.Info(ctx)
	if err != nil {
		s.Error = cmp.Or(s.Error, fmt.Sprintf("consumer %s: %v", bus.ConsumerIngest, err))
		return s
	}
	s.Pending, s.Unacknowledged = info.NumPending, info.NumAckPending
	return s
}
