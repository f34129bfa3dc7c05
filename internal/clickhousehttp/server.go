package clickhousehttp

import (
	"context"
	"cordon/internal/chdb"
	"cordon/internal/datafolder"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// Config says how to run the engine and its HTTP interface.
type Config struct {
	// Dir is the data folder. It is made if absent; empty means a temporary
	// folder that Close removes.
	Dir string
	// Library is the path of libchdb; empty means to look for it, see [chdb.FindLibrary].
	Library string
	// Listen is the TCP address of the HTTP interface, such as 127.0.0.1:8123;
	// port 0 takes a free one. Empty means none: only this process has access.
	Listen string
	Limits Limits
	// Database is where requests from outside that name no database look for
	// tables, if it exists.
	Database string
	// EngineLog is the level of the engine's own log (error, warning,
	// information, debug, trace), written to engine.log in the data folder.
	// Empty means none.
	EngineLog string
	// Log receives what the interface has to say; nil means slog.Default.
	Log *slog.Logger
	// Guard wraps the handler of the HTTP interface where it listens on loopback,
	// where nobody has to log in; nil for none.
	Guard func(http.Handler) http.Handler
	// By names the command that runs the engine for a while, for others that
	// want the folder; empty for a process that stays.
	By string
}

// Limits bound what the engine takes. Zero fields mean the defaults.
type Limits struct {
	Memory  int64 // bytes for the engine as a whole, and for one query with full access (half of the machine's)
	Threads int   // threads of a query (GOMAXPROCS)
	Queries int   // running at a time (64)

	// For queries from outside:
	OutsideTime        time.Duration // the longest that a query may take (60 s)
	OutsideMemory      int64         // bytes per query (4 GiB, at most Memory)
	OutsideResultRows  int64         // rows of a result (10,000,000)
	OutsideResultBytes int64         // bytes of a result, uncompressed (4 GiB)
	OutsideQueries     int           // running at a time, and as many of Cordon's own commands (8)
	OutsideQueue       int           // waiting for their turn, for OutsideTime at most (8 for each that may run)
}

func (l Limits) withDefaults() Limits {
	def := func(v *int64, d int64) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&l.Memory, machineMemory()/2)
	def(&l.OutsideMemory, 4<<30)
	l.OutsideMemory = min(l.OutsideMemory, l.Memory)
	def(&l.OutsideResultRows, 10_000_000)
	def(&l.OutsideResultBytes, 4<<30)
	if l.Threads <= 0 {
		l.Threads = runtime.GOMAXPROCS(0)
	}
	if l.Queries <= 0 {
		l.Queries = 64
	}
	if l.OutsideQueries <= 0 {
		l.OutsideQueries = 8
	}
	if l.OutsideQueue <= 0 {
		l.OutsideQueue = 8 * l.OutsideQueries
	}
	if l.OutsideTime <= 0 {
		l.OutsideTime = time.Minute
	}
	return l
}

// Server is a ClickHouse engine inside this process with its HTTP
// interface. Its methods may be called from any goroutine.
type Server struct {
	dir       string
	temporary bool
	limits    Limits
	log       *slog.Logger
	key       string
	lock      *datafolder.Lock
	engine    *chdb.Engine
	sessions  sessions
	timezone  string
	database  string
	refused   map[string]bool // functions that outside may not call

	listener net.Listener
	server   *http.Server
	login    bool // Nobody reads without a password, since other machines reach the listener.

	inside   *queue
	outside  *queue // dashboards, scripts and whoever else may read
	commands *queue // people's own `cordon sql` and the like, within the same limits

	queryID atomic.Uint64
	mu      sync.Mutex // guards closed and the increments of active
	closed  bool
	active  sync.WaitGroup
	stop    context.CancelFunc // cancels every running query
	stopped context.Context
}

// Open starts the engine on the data folder and, if an address is
// given, its HTTP interface. One process can run one engine at a time, and one
// data folder belongs to one process; the error names the other one.
func Open(ctx context.Context, cfg Config) (_ *Server, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c := &Server{dir: cfg.Dir, limits: cfg.Limits.withDefaults(), database: cfg.Database, log: cfg.Log}
	if c.log == nil {
		c.log = slog.Default()
	}
	path, err := chdb.FindLibrary(cfg.Library)
	if err != nil {
		return nil, err
	}
	lib, err := chdb.Load(path)
	if err != nil {
		return nil, err
	}

	var undo cleanup
	defer func() {
		if err != nil {
			undo.run()
		}
	}()
	if err := c.takeFolder(cfg.By, &undo); err != nil {
		return nil, err
	}
	if cfg.Listen != "" {
		// Before the engine starts, so that a taken port is told at once.
		if c.listener, err = net.Listen("tcp", cfg.Listen); err != nil {
			return nil, fmt.Errorf("ClickHouse HTTP interface: %w (is another ClickHouse or `cordon up` running? choose another address)", err)
		}
		undo.add(func() { c.listener.Close() })
	}
	if err := c.startEngine(lib, cfg.EngineLog, &undo); err != nil {
		return nil, fmt.Errorf("ClickHouse on %s: %w", c.dir, err)
	}
	c.inside = newQueue(c.limits.Queries, math.MaxInt32, 0)
	c.outside = newQueue(c.limits.OutsideQueries, c.limits.OutsideQueue, c.limits.OutsideTime)
	c.commands = newQueue(c.limits.OutsideQueries, c.limits.OutsideQueue, c.limits.OutsideTime)
	c.stopped, c.stop = context.WithCancel(context.Background())
	c.sessions.init()
	if c.listener != nil {
		c.serve(cfg.Guard)
		if err := c.lock.Describe(c.listener.Addr().String()); err != nil {
			c.server.Close()
			return nil, err
		}
	}
	return c, nil
}

// cleanup is what undoes the steps of a start that fails, the last one first.
type cleanup []func()

func (u *cleanup) add(f func()) { *u = append(*u, f) }

func (u *cleanup) run() {
	for _, f := range slices.Backward(*u) {
		f()
	}
}

// takeFolder makes the data folder if need be, and takes its lock and its key.
func (c *Server) takeFolder(by string, undo *cleanup) (err error) {
	if c.dir == "" {
		if c.dir, err = os.MkdirTemp("", "cordon-clickhouse-"); err != nil {
			return err
		}
		c.temporary = true
		undo.add(func() { os.RemoveAll(c.dir) })
	}
	if c.dir, err = filepath.Abs(c.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return fmt.Errorf("ClickHouse data folder: %w", err)
	}
	if c.lock, err = datafolder.Acquire(c.dir, lockFile, by); err != nil {
		return err
	}
	undo.add(c.lock.Release)
	c.key, err = readOrMakeKey(filepath.Join(c.dir, keyFile))
	return err
}

// startEngine repairs what a kill left, and starts the engine on the folder.
func (c *Server) startEngine(lib *chdb.Library, logLevel string, undo *cleanup) error {
	data := filepath.Join(c.dir, "data")
	n, err := chdb.RepairDeduplication(data)
	if err != nil {
		return err
	}
	if n > 0 {
		c.log.Info("forgot inserts that a kill had interrupted, so that they can be made again", "inserts", n)
	}
	if c.engine, err = lib.Start(chdb.Config{Dir: data, Home: c.dir, Memory: c.limits.Memory, Threads: c.limits.Threads, LogLevel: logLevel}); err != nil {
		return err
	}
	undo.add(c.engine.Stop)
	return c.hello()
}

// serve answers on the listener until Close.
func (c *Server) serve(guard func(http.Handler) http.Handler) {
	handler := c.Handler()
	if c.login = !onLoopback(c.listener.Addr()); !c.login && guard != nil {
		handler = guard(handler)
	}
	c.server = &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(c.log.Handler(), slog.LevelWarn),
	}
	go c.server.Serve(c.listener) // returns when Close shuts the server down
}

// onLoopback says whether only this machine reaches an address.
func onLoopback(a net.Addr) bool {
	t, ok := a.(*net.TCPAddr)
	return ok && t.IP.IsLoopback()
}

// hello asks the engine what the interface needs to know of it, which also
// proves that it answers.
func (c *Server) hello() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	conn, err := c.engine.Open()
	if err != nil {
		return err
	}
	defer conn.Close()
	if c.timezone, err = conn.Text("SELECT timezone() FORMAT TSVRaw"); err != nil {
		return err
	}
	c.timezone = trimLine(c.timezone)
	c.refused, err = outward(conn)
	return err
}

// Dir returns the data folder.
func (c *Server) Dir() string { return c.dir }

// HTTPAddr returns the address that the HTTP interface listens on, or "".
func (c *Server) HTTPAddr() string {
	if c.listener == nil {
		return ""
	}
	return c.listener.Addr().String()
}

// Options returns the settings with which clickhouse-go reaches this engine
// from inside the process, with full access and without a socket.
func (c *Server) Options() *clickhouse.Options {
	return &clickhouse.Options{
		Protocol: clickhouse.HTTP,
		Addr:     []string{"embedded"},
		Auth:     clickhouse.Auth{Database: "default", Username: insideUser, Password: c.key},
		TransportFunc: func(*http.Transport) (http.RoundTripper, error) {
			return &inProcess{c.Handler()}, nil
		},
	}
}

// Script runs statements that ";" separates, with full access and without a result. The first error ends it.
func (c *Server) Script(ctx context.Context, statements string) error {
	if !c.begin() {
		return errors.New("the ClickHouse engine is shutting down")
	}
	defer c.active.Done()
	if err := ctx.Err(); err != nil {
		return err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	conn, err := c.engine.Open()
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Exec(statements)
}

// Close refuses new queries, waits for the running ones and stops the engine.
// When ctx ends first, it cancels them. The data folder is left complete.
func (c *Server) Close(ctx context.Context) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	c.mu.Unlock()

	var errs []error
	if c.server != nil {
		if err := c.server.Shutdown(ctx); err != nil {
			c.stop()
			errs = append(errs, fmt.Errorf("ClickHouse HTTP interface: queries cancelled: %w", err))
			c.server.Close()
		}
	}
	idle := make(chan struct{})
	go func() { c.active.Wait(); close(idle) }()
	select {
	case <-idle:
	case <-ctx.Done():
		c.stop() // the queries end with an exception
		<-idle
	}
	c.stop()
	c.sessions.closeAll()
	c.engine.Stop()
	c.lock.Release()
	if c.temporary {
		if err := os.RemoveAll(c.dir); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// begin counts a query in, unless the server is closing.
func (c *Server) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.active.Add(1)
	return true
}
