package collector

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"cordon/collector/ipfix"
	"cordon/internal/bus"
	"cordon/schema"

	"github.com/prometheus/client_golang/prometheus"
)

// Deps are what a [Collector] works with.
type Deps struct {
	// Bus is the connection to NATS. Its streams exist, or will.
	Bus *bus.Bus
	// Dir is the collector's own folder, for the spool and for templates. It
	// is made if absent. Empty means that nothing is kept on disk.
	Dir string
	// Log is where the collector logs; nil means nowhere.
	Log *slog.Logger
	// Metrics is where metrics are registered; nil means nowhere.
	Metrics prometheus.Registerer
}

// Collector receives IPFIX and publishes it in batches. Make it with [New],
// and run it once.
type Collector struct {
	cfg     Config
	deps    Deps
	log     *slog.Logger
	ids     *ids
	intake  *intake
	metrics *metrics

	mu        sync.Mutex // guards what is set while Run starts
	started   time.Time
	publisher *publisher
	udp       []*udpSocket
	streams   []*streamListener
	lanes     []*lane
	ready     error

	sessions atomic.Uint64
	ended    endedSessions
	account  *account
	names    names      // written so far; of the goroutine that writes statistics
	looking  sync.Mutex // held while the account is brought up to date

	// For lookAfter, and for stop after it.
	statsWritten     time.Time
	ownWritten       ownCounts
	templatesSaved   time.Time
	templatesChanges uint64

	labelsMu sync.Mutex
	labels   map[netip.Addr]struct{} // exporters with metrics of their own
}

// upkeepInterval is how often what is kept in memory is looked after.
const upkeepInterval = 5 * time.Second

var errNotStarted = errors.New("the collector has not started yet")

// New makes a collector. It opens nothing; what is wrong with the
// configuration it says.
func New(cfg Config, deps Deps) (*Collector, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	rules, err := cfg.Direction.rules()
	if err != nil {
		return nil, err
	}
	log := cmp.Or(deps.Log, slog.New(slog.DiscardHandler))
	c := &Collector{
		cfg: cfg, deps: deps, log: log, ids: newIDs(), ready: errNotStarted,
		account: newAccount(), names: make(names), labels: make(map[netip.Addr]struct{}),
		intake: &intake{
			decoder:   ipfix.New(ipfix.Config(cfg.Decoder)),
			direction: rules,
			admission: newAdmission(cfg.Allow),
			bursts:    newBurstLog(log),
		},
	}
	c.intake.decoder.Trust(prefixes(cfg.Mediators))
	c.metrics = newMetrics(c)
	return c, nil
}

// Run listens and collects until ctx ends. Then it stops reading, seals and
// publishes what it has, waits for acknowledgements within
// [Config.StopTimeout] and returns nil. Any other end is an error, such as an
// address that is taken.
func (c *Collector) Run(ctx context.Context) (err error) {
	if c.deps.Metrics != nil {
		if err := c.deps.Metrics.Register(c.metrics); err != nil {
			return fmt.Errorf("collector metrics: %w", err)
		}
		defer c.deps.Metrics.Unregister(c.metrics)
	}
	if err := c.open(ctx); err != nil {
		c.setReady(err)
		return errors.Join(err, c.stop(context.Background()))
	}

	failed := make(chan error, len(c.udp)+len(c.streams))
	var readers sync.WaitGroup
	for i, s := range c.udp {
		readers.Go(func() { failed <- s.run(c.lanes[i].datagrams) })
	}
	for _, l := range c.streams {
		readers.Go(func() { failed <- l.run() })
	}
	upkeep, endUpkeep := context.WithCancel(context.Background())
	var keeper sync.WaitGroup
	keeper.Go(func() { c.lookAfter(upkeep) })
	c.setReady(nil)

	var cause error
	select {
	case <-ctx.Done():
	case cause = <-failed:
	}
	c.setReady(errors.New("the collector is stopping"))
	deadline, cancel := context.WithTimeout(context.Background(), c.cfg.StopTimeout)
	defer cancel()
	c.log.Info("collector stops", "timeout", c.cfg.StopTimeout)
	c.closeListeners()
	readers.Wait()
	endUpkeep()
	keeper.Wait()
	return errors.Join(cause, c.stop(deadline))
}

// open starts the publisher and opens the listeners.
func (c *Collector) open(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.started = time.Now()
	c.statsWritten = c.started
	spool := ""
	if c.deps.Dir != "" {
		spool = filepath.Join(c.deps.Dir, "spool")
	}
	p, err := newPublisher(c.cfg.Queue, c.deps.Bus, c.ids, spool, c.log, c.intake.bursts, c.metrics.delay)
	if err != nil {
		return err
	}
	c.publisher = p
	go p.run()
	c.loadTemplates()
	for _, address := range c.cfg.UDP.Listen {
		sockets, err := listenUDP(ctx, address, c.cfg.UDP, c.log)
		if err != nil {
			return err
		}
		c.udp = append(c.udp, sockets...)
	}
	for range c.udp {
		c.lanes = append(c.lanes, c.newLane())
	}
	return c.openStreams(ctx)
}

func (c *Collector) openStreams(ctx context.Context) error {
	shared := c.newLane()
	c.lanes = append(c.lanes, shared)
	sink := streamIntake{shared, c}
	listen := func(addresses []string, t ipfix.Transport, secure *tls.Config) error {
		for _, address := range addresses {
			l, err := listenStream(ctx, address, &streamListener{
				transport: t, cfg: c.cfg.TCP, tls: secure, sink: sink,
				log: c.log, bursts: c.intake.bursts, sessions: &c.sessions,
			})
			if err != nil {
				return err
			}
			c.streams = append(c.streams, l)
		}
		return nil
	}
	if err := listen(c.cfg.TCP.Listen, ipfix.TCP, nil); err != nil {
		return err
	}
	if c.cfg.TLS.Cert == "" {
		return nil
	}
	secure, err := serverTLS(c.cfg.TLS, c.log)
	if err != nil {
		return err
	}
	return listen(c.cfg.TLS.Listen, ipfix.TLS, secure)
}

func (c *Collector) newLane() *lane {
	return &lane{
		intake: c.intake,
		sealer: newSealer(c.cfg.Batch, c.ids, c.publisher.sender.maxPayload, c.publisher.put),
	}
}

func (c *Collector) closeListeners() {
	for _, s := range c.udp {
		s.close()
	}
	for _, l := range c.streams {
		l.close()
	}
}

// stop seals, publishes and saves what there is.
func (c *Collector) stop(ctx context.Context) error {
	if c.publisher == nil {
		return nil
	}
	c.closeListeners()
	for _, l := range c.lanes {
		l.close()
	}
	c.writeStats(time.Now())
	err := c.publisher.stop(ctx)
	c.intake.bursts.flush(time.Now().Add(burstWindow))
	c.saveTemplates(time.Now())
	if err != nil {
		// Already logged and counted; the stop itself went as it should.
		c.log.Error("collector stopped with a loss", "err", err)
	}
	return nil
}

// lookAfter does what is due from time to time.
func (c *Collector) lookAfter(ctx context.Context) {
	seal := time.NewTicker(min(max(c.cfg.Batch.MaxAge/10, time.Millisecond), 100*time.Millisecond))
	defer seal.Stop()
	upkeep := time.NewTicker(upkeepInterval)
	defer upkeep.Stop()
	stats := time.NewTicker(c.cfg.StatsInterval)
	defer stats.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-seal.C:
			for _, l := range c.lanes {
				l.tick(now)
			}
		case now := <-upkeep.C:
			c.intake.decoder.Expire(schema.Micros(now))
			c.intake.bursts.flush(now)
			for _, s := range c.udp {
				s.drops()
			}
		case now := <-stats.C:
			c.writeStats(now)
			c.keepTemplates(now)
		}
	}
}

func (c *Collector) setReady(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ready = err
}

// Ready gives nil while the collector listens and NATS takes its batches.
func (c *Collector) Ready() error {
	c.mu.Lock()
	err, p := c.ready, c.publisher
	c.mu.Unlock()
	if err != nil {
		return err
	}
	if s := p.snapshot(); s.Away != "" {
		return fmt.Errorf("NATS has not taken batches since %s: %s; %d wait in memory, %d on disk",
			s.Since.Format(time.TimeOnly), s.Away, s.QueuedBatches, s.SpooledBatches)
	}
	return nil
}
