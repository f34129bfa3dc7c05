package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"

	"cordon/collector"
	"cordon/ingest"
	"cordon/internal/api"
	"cordon/internal/bus"
	"cordon/internal/clickhousehttp"
	"cordon/internal/httpapi"
	"cordon/internal/natsserver"
	"cordon/internal/status"
	"cordon/recommender"
	"cordon/recommender/policy"
	"cordon/recommender/watch"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/nats-io/nuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
)

// roles says which parts a process runs.
type roles struct{ collect, ingest bool }

// String is the command that runs the roles.
func (r roles) String() string {
	switch r {
	case roles{collect: true, ingest: true}:
		return "up"
	case roles{collect: true}:
		return "collect"
	case roles{ingest: true}:
		return "ingest"
	}
	return "serve"
}

func (a *app) upCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "up",
		Short: "Everything in one process: collector, NATS, ingester, ClickHouse, HTTP",
		Long: `Runs everything in one process. Exporters send IPFIX to port 4739 (UDP and TCP);
docs/exporters.md says how to point one here. With nats.url or clickhouse.dsn set,
that server is used in place of the embedded one.

Ctrl-C or SIGTERM stops gracefully: what is in flight is sealed, published and inserted.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.up(cmd.Context()) },
	}
	d := defaultSettings()
	f := c.Flags()
	f.StringSlice("udp", d.Collector.UDP.Listen, "IPFIX over UDP: addresses to listen on")
	f.StringSlice("tcp", d.Collector.TCP.Listen, "IPFIX over TCP: addresses to listen on")
	f.String("http", d.HTTP.Listen, "health, metrics and status: address to listen on, empty for none")
	f.String("clickhouse-listen", d.ClickHouse.Listen, "ClickHouse's HTTP interface: address to listen on, empty for none")
	f.String("nats-listen", d.NATS.Listen, "embedded NATS: address to listen on")
	a.bindOnRun(c, map[string]string{
		"collector.udp.listen": "udp", "collector.tcp.listen": "tcp", "http.listen": "http",
		"clickhouse.listen": "clickhouse-listen", "nats.listen": "nats-listen",
	})
	return c
}

func (a *app) collectCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "collect",
		Short: "The collector alone: IPFIX in, batches to an external NATS",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.settings.NATS.URL == "" {
				return usagef("cordon collect publishes to an external NATS: set nats.url (--nats-url); `cordon up` brings its own")
			}
			return a.role(cmd.Context(), roles{collect: true})
		},
	}
	d := defaultSettings()
	f := c.Flags()
	f.StringSlice("udp", d.Collector.UDP.Listen, "IPFIX over UDP: addresses to listen on")
	f.StringSlice("tcp", d.Collector.TCP.Listen, "IPFIX over TCP: addresses to listen on")
	f.String("http", d.HTTP.Listen, "health, metrics and status: address to listen on, empty for none")
	a.bindOnRun(c, map[string]string{"collector.udp.listen": "udp", "collector.tcp.listen": "tcp", "http.listen": "http"})
	return c
}

func (a *app) ingestCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "ingest",
		Short: "An ingester alone: batches from an external NATS into an external ClickHouse",
		Long:  "Inserts batches from stream FLOWS. Start as many as needed, on any machines: they share the load.",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.settings.NATS.URL == "" || a.settings.ClickHouse.DSN == "" {
				return usagef("cordon ingest needs external servers: set nats.url and clickhouse.dsn; `cordon up` brings its own")
			}
			return a.role(cmd.Context(), roles{ingest: true})
		},
	}
	c.Flags().String("http", defaultSettings().HTTP.Listen, "health, metrics and status: address to listen on, empty for none")
	a.bindOnRun(c, map[string]string{"http.listen": "http"})
	return c
}

func (a *app) serveCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "serve",
		Short: "HTTP alone: health, metrics and status of external servers",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.settings.NATS.URL == "" || a.settings.ClickHouse.DSN == "" {
				return usagef("cordon serve needs external servers: set nats.url and clickhouse.dsn; `cordon up` brings its own")
			}
			return a.role(cmd.Context(), roles{})
		},
	}
	c.Flags().String("http", defaultSettings().HTTP.Listen, "address to listen on")
	a.bindOnRun(c, map[string]string{"http.listen": "http"})
	return c
}

// bindOnRun ties flags of one command to their keys when that command is the
// one that runs, since several commands have flags for the same key.
func (a *app) bindOnRun(c *cobra.Command, keys map[string]string) {
	c.PersistentPreRunE = func(cmd *cobra.Command, args []string) error {
		for key, flag := range keys {
			a.loader.BindFlag(key, cmd.Flags().Lookup(flag))
		}
		return a.load(cmd, args)
	}
}

func (a *app) up(ctx context.Context) error {
	if err := a.settings.check(); err != nil {
		return usageError(err)
	}
	if err := checkDataFolder(a.settings.DataDir, true); err != nil {
		return usageError(err)
	}
	if err := os.MkdirAll(a.settings.DataDir, 0o700); err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	return a.role(ctx, roles{collect: true, ingest: true})
}

// node is one process with the parts that its roles need.
type node struct {
	app     *app
	roles   roles
	id      string // identifies the process to others that ask how it is
	reg     *prometheus.Registry
	bus     *bus.Bus
	conn    driver.Conn // nil without a need for ClickHouse
	started time.Time

	nats       *natsserver.Server     // nil with an external server
	clickhouse *clickhousehttp.Server // nil with an external server
	collector  *collector.Collector   // nil without the role
	ingester   *ingest.Ingester       // nil without the role
	http       *httpapi.Server        // nil without an address
	pages      clickhouse.Conn        // connection of the API and the pages, so that ingest never waits for them; nil without
	watching   clickhouse.Conn        // connection of the watcher; nil without
	watcher    *watch.Watcher         // nil where nothing is watched
	api        *api.API               // nil without pages
}

// role runs the parts of a process until ctx ends, then stops them in the
// order in which data flows: the collector seals and publishes, the ingester
// empties the stream, the servers close last.
func (a *app) role(ctx context.Context, r roles) (err error) {
	if err := a.settings.check(); err != nil {
		return usageError(err)
	}
	n := &node{app: a, roles: r, id: nuid.Next(), reg: prometheus.NewRegistry(), started: time.Now()}
	n.reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	defer n.close()
	if err := n.open(ctx, r); err != nil {
		return err
	}
	n.reg.MustRegister(newDiskMetrics(n))
	a.log.Debug("cordon starts", "version", buildVersion(), "collect", r.collect, "ingest", r.ingest)
	return n.run(ctx)
}

// open starts the embedded servers that no external one stands for, connects,
// migrates, and makes the parts.
func (n *node) open(ctx context.Context, r roles) (err error) {
	a, s := n.app, &n.app.settings
	// Commands take the folder of ClickHouse first, too, so that none waits for
	// the other's.
	if r.ingest || !r.collect {
		if err := n.openClickHouse(ctx, r); err != nil {
			return err
		}
	}
	if err := n.openBus(ctx); err != nil {
		return err
	}
	if r.collect {
		n.collector, err = collector.New(s.Collector, collector.Deps{
			Bus: n.bus, Dir: filepath.Join(s.DataDir, "collector"), Log: a.log.With("part", "collector"), Metrics: n.reg,
		})
		if err != nil {
			return usageError(err)
		}
	}
	if r.ingest {
		n.ingester, err = ingest.New(s.Ingest, ingest.Deps{
			Bus: n.bus, Conn: n.conn, Server: redact(s.ClickHouse.DSN), Log: a.log.With("part", "ingest"), Metrics: n.reg,
		})
		if err != nil {
			return usageError(err)
		}
	}
	if n.watching != nil {
		if err := n.openWatcher(); err != nil {
			return err
		}
	}
	if s.HTTP.Listen != "" {
		more, err := n.openPages(ctx)
		if err != nil {
			return err
		}
		n.http, err = httpapi.New(s.HTTP, httpapi.Deps{
			Log: a.log.With("part", "http"), Gatherer: n.reg, Ready: n.readiness(),
			Status: func(ctx context.Context) any { return n.status(ctx) }, Dir: s.DataDir, More: more,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (n *node) openBus(ctx context.Context) (err error) {
	a, s := n.app, &n.app.settings
	cfg := s.bus(a.log.With("part", "nats"))
	if s.NATS.URL == "" {
		if err := checkSpace(s.DataDir, dataDirSetting); err != nil {
			return err
		}
		err = n.whenFree(ctx, func() (err error) {
			n.nats, err = embedded{app: a, dir: s.DataDir, role: true}.nats(&cfg)
			return err
		})
		if err != nil {
			return err
		}
	}
	n.bus, err = connectBus(ctx, n.wait("NATS at "+redact(cfg.URL)), func() (bus.Config, error) { return cfg, nil })
	return err
}

// wait is the patience of a role, which says in the log what does not answer.
func (n *node) wait(server string) *patience {
	return &patience{limit: n.app.settings.ConnectTimeout, say: func(limit time.Duration, err error) {
		n.app.log.Warn(server+" does not answer; trying again", "connect_timeout", limit, "err", err)
	}}
}

// whenFree opens a server of the data folder. If a command has the folder for a
// while, it waits for as long as that takes.
func (n *node) whenFree(ctx context.Context, open func() error) error {
	p := &patience{limit: math.MaxInt64, say: func(_ time.Duration, err error) {
		n.app.log.Warn("waiting for a command that has the data folder", "err", err)
	}}
	return p.try(ctx, takenByCommand, open)
}

func (n *node) openClickHouse(ctx context.Context, r roles) error {
	a, s := n.app, &n.app.settings
	opts, err := s.ClickHouse.external()
	if err != nil {
		return err
	}
	if opts == nil {
		err = n.whenFree(ctx, func() (err error) {
			n.clickhouse, opts, err = embedded{app: a, dir: s.DataDir, setting: dataDirSetting, role: true}.clickHouse(ctx)
			return err
		})
		if err != nil {
			return err
		}
	}
	if r.collect && r.ingest { // `up` brings the schema to this version; the single roles leave that to `cordon migrate`
		patient := *opts
		if n.clickhouse == nil {
			patientOptions(&patient, n.wait("ClickHouse at "+redact(s.ClickHouse.DSN)), nil)
		}
		if err := a.migrate(ctx, &patient, n.clickhouse); err != nil {
			return err
		}
		changed, err := a.setRetention(ctx, &patient)
		if err != nil {
			return err
		}
		for _, c := range changed {
			a.log.Info("retention changed", "table", c.Table, "keeps", c.To, "was", c.From)
		}
	}
	opts.Auth.Database = database
	if n.conn, err = clickhouse.Open(opts); err != nil {
		return fmt.Errorf("ClickHouse: %w", err)
	}
	if s.HTTP.Listen != "" && r.collect == r.ingest { // up and serve
		pages := *opts
		if n.pages, err = clickhouse.Open(&pages); err != nil {
			return fmt.Errorf("ClickHouse: %w", err)
		}
	}
	if s.Watch.Enabled && r.collect && r.ingest {
		watching := *opts
		if n.watching, err = clickhouse.Open(&watching); err != nil {
			return fmt.Errorf("ClickHouse: %w", err)
		}
	}
	if err := n.conn.Ping(ctx); err != nil {
		// An ingester waits for its server; nothing is lost meanwhile.
		a.log.Warn("ClickHouse does not answer yet", "server", redact(s.ClickHouse.DSN), "err", err)
	}
	return nil
}

// openWatcher makes what watches the proposals in force.
func (n *node) openWatcher() (err error) {
	a, conn := n.app, n.watching
	n.watcher, err = watch.New(a.settings.Watch, watch.Deps{
		Bus: n.bus, Conn: conn, Policies: (&proposalsInForce{conn: conn}).list, Amend: amendProposal(conn), Log: a.log.With("part", "watch"), Metrics: n.reg,
		Keep: func(ctx context.Context, p *policy.Proposal) error {
			return a.keep(ctx, conn, n.bus, []policy.Proposal{*p}, nil)
		},
	})
	return usageError(err)
}

// readiness lists the check of each part.
func (n *node) readiness() map[string]func() error {
	checks := map[string]func() error{
		"nats": func() error {
			if !n.bus.NC.IsConnected() {
				return errors.New("not connected to " + redact(n.bus.NC.Opts.Url))
			}
			if n.nats == nil {
				return nil
			}
			return cmp.Or(n.nats.Trouble(), n.canWrite("NATS"))
		},
	}
	if n.collector != nil || n.nats != nil || n.clickhouse != nil {
		checks["disk"] = n.diskReady
	}
	if n.collector != nil {
		checks["collector"] = n.collector.Ready
	}
	if n.ingester != nil {
		checks["ingest"] = func() error { return cmp.Or(n.ingester.Ready(), n.canWrite("ClickHouse")) }
	}
	if n.conn != nil {
		checks["clickhouse"] = func() error {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			return cmp.Or(n.conn.Ping(ctx), n.canWrite("ClickHouse"))
		}
	}
	return checks
}

// ownStatus is what this process knows of itself.
func (n *node) ownStatus(ctx context.Context) *status.Document {
	d := &status.Document{Version: buildVersion(), Role: n.roles.String(), ID: n.id, PID: os.Getpid(), Started: n.started, Taken: time.Now()}
	d.Host, _ = os.Hostname()
	d.Disks = n.disks()
	d.External = n.nats == nil || n.conn != nil && n.clickhouse == nil
	if n.collector != nil {
		c := n.collector.Status()
		d.Collector = &c
	}
	if n.ingester != nil {
		i := n.ingester.Status(ctx)
		d.Ingest = &i
	}
	return d
}

// status is the document of /api/v1/status.
func (n *node) status(ctx context.Context) *status.Document {
	d := n.ownStatus(ctx)
	if n.nats == nil || n.nats.Clients() > 1 { // A single client would be this process, so nobody could answer.
		if err := d.AddRoles(ctx, n.bus); err != nil {
			n.app.log.Debug("ask the other roles how they are", "err", err)
		}
	}
	d.AddStream(ctx, n.bus)
	if n.conn != nil {
		d.AddStore(ctx, n.conn)
	}
	return d
}

// answerStatus tells other processes how this one is, over NATS.
func (n *node) answerStatus() (stop func(), err error) {
	return n.bus.AnswerStatus(func(short bool) ([]byte, error) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return n.ownStatus(ctx).Answer(short)
	})
}

// run runs the parts. The first one that fails stops the others.
func (n *node) run(ctx context.Context) error {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		errs  []error
		fail  = make(chan struct{})
		once  sync.Once
		start = func(ctx context.Context, name string, run func(context.Context) error) <-chan struct{} {
			done := make(chan struct{})
			wg.Go(func() {
				defer close(done)
				if err := run(ctx); err != nil {
					mu.Lock()
					errs = append(errs, fmt.Errorf("%s: %w", name, err))
					mu.Unlock()
					once.Do(func() { close(fail) })
				}
			})
			return done
		}
	)
	background := context.WithoutCancel(ctx)
	collectCtx, stopCollect := context.WithCancel(background)
	ingestCtx, stopIngest := context.WithCancel(background)
	httpCtx, stopHTTP := context.WithCancel(background)
	defer stopCollect()
	defer stopIngest()
	defer stopHTTP()

	stopAnswers, err := n.answerStatus()
	if err != nil {
		n.app.log.Warn("other processes cannot ask this one how it is", "err", err)
	} else {
		defer stopAnswers()
	}
	collected, ingested := closed(), closed()
	if n.http != nil {
		start(httpCtx, "http", n.http.Run)
	}
	if n.api != nil {
		start(httpCtx, "api", n.api.Run)
	}
	if n.watcher != nil {
		start(httpCtx, "watch", n.watcher.Run)
	}
	if n.conn != nil && n.roles == (roles{collect: true, ingest: true}) && n.app.settings.Retention.Proposals > 0 {
		start(httpCtx, "retention", n.dropOldProposals)
	}
	if n.conn != nil && n.roles == (roles{collect: true, ingest: true}) && n.app.settings.Groups.File != "" {
		start(httpCtx, "groups", n.refreshGroups)
	}
	if n.ingester != nil {
		ingested = start(ingestCtx, "ingest", n.ingester.Run)
	}
	if n.collector != nil {
		collected = start(collectCtx, "collector", n.collector.Run)
	}
	n.whenReady(ctx)

	select {
	case <-ctx.Done():
	case <-fail:
	}
	n.app.log.Info("stopping: what is in flight is sealed, published and inserted; a second signal ends at once")
	stopCollect()
	<-collected
	if n.ingester != nil && n.nats != nil {
		n.drain(background)
	}
	stopIngest()
	<-ingested
	stopHTTP()
	wg.Wait()
	return errors.Join(errs...)
}

// dropOldProposals deletes proposals that are older than their retention, at the start and once a day. What fails is tried the next day.
func (n *node) dropOldProposals(ctx context.Context) error {
	for {
		s := &n.app.settings
		ids, err := recommender.DropOld(ctx, n.conn, time.Now().Add(-s.Retention.Proposals), s.ClickHouse.Cluster)
		switch {
		case err != nil && ctx.Err() == nil:
			n.app.log.Warn("old proposals were not deleted; trying again in a day", "err", err)
		case len(ids) > 0:
			n.app.log.Info("old proposals deleted", "proposals", len(ids), "retention.proposals", s.Retention.Proposals)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(day):
		}
	}
}

// whenReady says where things are, in one line, as soon as the process can do
// its work, and writes the run file of `cordon up`.
func (n *node) whenReady(ctx context.Context) {
	go func() {
		for pause := 10 * time.Millisecond; !n.isReady(); pause = min(2*pause, time.Second) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
		}
		n.announce()
	}()
}

// isReady says whether the collector listens; a process without one is ready
// when all of its checks pass.
func (n *node) isReady() bool {
	if n.collector != nil {
		return n.collector.Ready() == nil
	}
	for _, check := range n.readiness() {
		if check() != nil {
			return false
		}
	}
	return true
}

func (n *node) announce() {
	a := n.app
	r := running{PID: os.Getpid(), NATS: n.natsURL()}
	if n.http != nil {
		r.HTTP, r.HTTPS = n.http.Addr().String(), n.http.TLS()
	}
	if n.clickhouse != nil {
		r.ClickHouse = n.clickhouse.HTTPAddr()
	}
	if n.collector != nil {
		for _, l := range n.collector.Status().Listeners {
			switch l.Transport {
			case "udp":
				r.UDP = append(r.UDP, l.Address)
			case "tcp":
				r.TCP = append(r.TCP, l.Address)
			default:
				r.TLS = append(r.TLS, l.Address)
			}
		}
	}
	if n.collector != nil && n.ingester != nil {
		if err := writeRunFile(a.settings.DataDir, r); err != nil {
			a.log.Warn("run file not written: other commands will not find this process", "err", err)
		}
	}
	line := []any{"role", n.roles.String(), "version", buildVersion()}
	if n.collector != nil {
		line = append(line, "ipfix_udp", r.UDP, "ipfix_tcp", r.TCP, "ipfix_tls", r.TLS)
	}
	clickhouse := r.ClickHouse
	if n.conn != nil && n.clickhouse == nil {
		clickhouse = redact(a.settings.ClickHouse.DSN)
	}
	line = append(line, "clickhouse", clickhouse, "nats", redact(r.NATS), "http", r.HTTP)
	if n.collector != nil {
		line = append(line, "data", a.settings.DataDir)
	}
	a.log.Info("cordon is up", line...)
}

func (n *node) natsURL() string {
	if n.nats != nil {
		return n.nats.URL()
	}
	return n.app.settings.NATS.URL
}

// drain waits until the ingester has emptied the stream, as long as it gets
// on with it.
func (n *node) drain(ctx context.Context) {
	const patience = 10 * time.Second
	last, since := uint64(1)<<63, time.Now()
	for {
		pending, err := n.bus.Pending(ctx)
		if err != nil || pending == 0 {
			return
		}
		if pending < last {
			last, since = pending, time.Now()
		} else if time.Since(since) > patience {
			n.app.log.Warn("stopping with batches left in the stream; they are inserted at the next start", "batches", pending)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// close ends the connections, then the servers.
func (n *node) close() {
	if n.pages != nil {
		n.pages.Close()
	}
	if n.watching != nil {
		n.watching.Close()
	}
	if n.conn != nil {
		n.conn.Close()
	}
	if n.bus != nil {
		n.bus.Close()
	}
	if n.nats != nil {
		if err := n.nats.Close(); err != nil {
			n.app.log.Warn("NATS did not close cleanly", "err", err)
		}
	}
	if n.clickhouse != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := n.clickhouse.Close(ctx); err != nil {
			n.app.log.Warn("ClickHouse did not close cleanly; it recovers at the next start", "err", err)
		}
	}
}

func closed() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}
