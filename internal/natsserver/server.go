package natsserver

import (
	"cordon/internal/datafolder"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// Config says how to run the server.
type Config struct {
	// Dir is the JetStream folder. It is made if absent; empty means a temporary
	// folder that Close removes.
	Dir string
	// Listen is the TCP address for clients, such as 127.0.0.1:4222; port 0
	// takes a free one. Empty means none: only this process has access.
	Listen string
	// MaxPayload is the largest message in bytes (8 MiB).
	MaxPayload int64
	// MaxStore bounds what JetStream keeps on disk, in bytes (as good as no
	// bound). The server counts the limit of each stream against it at once, used
	// or not, so that a bound taken from the free space would reserve it.
	MaxStore int64
	// SyncInterval is how long an acknowledged message may wait in the page
	// cache (2 min); see the package comment on durability.
	SyncInterval time.Duration
	// SyncAlways syncs before each acknowledgement, which costs throughput.
	SyncAlways bool
	// Log receives the server's log; nil means slog.Default.
	Log *slog.Logger
	// By names the command that runs the server for a while, for others that
	// want the folder; empty for a process that stays.
	By string
}

// Defaults of Config.
const (
	defaultMaxPayload   = 8 << 20
	defaultSyncInterval = 2 * time.Minute
	defaultMaxStore     = 1 << 50
)

// startPatience is how long the server may take to be ready: JetStream
// recovers its streams first.
const startPatience = 60 * time.Second

// lockFile guards the JetStream folder, which the server itself does not.
const lockFile = "nats.lock"

// Server is a NATS server with JetStream inside this process.
type Server struct {
	server    *server.Server
	dir       string
	temporary bool
	lock      *datafolder.Lock
	log       *slog.Logger
	maxStore  int64

	full    atomic.Bool   // the disk, since the watch last looked
	closing chan struct{} // closed to end the watch
	watched chan struct{} // closed when it has ended
}

// Start starts the server and waits until clients and JetStream are ready.
func Start(cfg Config) (_ *Server, err error) {
	n := &Server{dir: cfg.Dir, maxStore: cfg.MaxStore, closing: make(chan struct{}), watched: make(chan struct{})}
	if n.maxStore <= 0 {
		n.maxStore = defaultMaxStore
	}
	if n.dir == "" {
		if n.dir, err = os.MkdirTemp("", "cordon-nats-"); err != nil {
			return nil, err
		}
		n.temporary = true
		defer func() {
			if err != nil {
				os.RemoveAll(n.dir)
			}
		}()
	}
	if err := os.MkdirAll(n.dir, 0o700); err != nil {
		return nil, fmt.Errorf("NATS data folder: %w", err)
	}
	if n.lock, err = datafolder.Acquire(n.dir, lockFile, cfg.By); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			n.lock.Release()
		}
	}()
	opts := &server.Options{
		ServerName:        "cordon",
		JetStream:         true,
		StoreDir:          filepath.Clean(n.dir),
		MaxPayload:        defaultMaxPayload,
		SyncInterval:      defaultSyncInterval,
		SyncAlways:        cfg.SyncAlways,
		NoSigs:            true,
		DontListen:        cfg.Listen == "",
		JetStreamMaxStore: n.maxStore,
	}
	if cfg.MaxPayload > 0 {
		if cfg.MaxPayload > 1<<30 {
			return nil, fmt.Errorf("NATS: the largest message, %d bytes, exceeds 1 GiB", cfg.MaxPayload)
		}
		opts.MaxPayload = int32(cfg.MaxPayload)
	}
	// A client that reads slowly may leave this much behind.
	opts.MaxPending = max(server.MAX_PENDING_SIZE, 4*int64(opts.MaxPayload))
	if cfg.SyncInterval > 0 {
		opts.SyncInterval = cfg.SyncInterval
	}
	if cfg.Listen != "" {
		if opts.Host, opts.Port, err = splitAddress(cfg.Listen); err != nil {
			return nil, err
		}
	}
	if n.server, err = server.NewServer(opts); err != nil {
		return nil, fmt.Errorf("NATS: %w", err)
	}
	log := cfg.Log
	if log == nil {
		log = slog.Default()
	}
	n.log = log.With("component", "nats")
	bridge := &logBridge{log: n.log, fatal: make(chan error, 1)}
	n.server.SetLoggerV2(bridge, false, false, false)
	go n.server.Start()
	if err := n.waitReady(bridge.fatal); err != nil {
		n.server.Shutdown()
		n.server.WaitForShutdown()
		return nil, err
	}
	if err := n.lock.Describe(n.URL()); err != nil {
		n.server.Shutdown()
		n.server.WaitForShutdown()
		return nil, err
	}
	go n.watchDisk(diskWatch)
	return n, nil
}

// waitReady waits until clients can connect and streams are recovered, or the
// server gave up.
func (n *Server) waitReady(fatal <-chan error) error {
	ready := make(chan bool, 1)
	go func() { ready <- n.server.ReadyForConnections(startPatience) }()
	select {
	case err := <-fatal:
		return fmt.Errorf("NATS on %s: %w (if the port is taken, another NATS server or `cordon up` is running; choose another address)", n.dir, err)
	case ok := <-ready:
		if !ok {
			return fmt.Errorf("NATS on %s is not ready after %v", n.dir, startPatience)
		}
	}
	if !n.server.JetStreamEnabled() {
		return fmt.Errorf("NATS: JetStream on %s did not start; see the log", n.dir)
	}
	return nil
}

// splitAddress takes a listen address apart; the server's own word for a free
// port is -1.
func splitAddress(addr string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("NATS: listen address: %w", err)
	}
	port, err = strconv.Atoi(p)
	if err != nil || port < -1 || port > 65535 {
		return "", 0, fmt.Errorf("NATS: listen address %q: port is not a number from 0 to 65535", addr)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port, nil
}

// URL is where clients reach the server, or "" where it does not listen.
func (n *Server) URL() string {
	a := n.server.Addr()
	if a == nil {
		return ""
	}
	return "nats://" + a.String()
}

// InProcess is the option with which nats.Connect reaches the server from inside
// the process, without a socket.
func (n *Server) InProcess() nats.Option { return nats.InProcessServer(n.server) }

// Clients is the number of clients that are connected.
func (n *Server) Clients() int { return n.server.NumClients() }

// Close stops the server and waits until its files are written.
func (n *Server) Close() error {
	close(n.closing)
	<-n.watched
	n.server.Shutdown()
	n.server.WaitForShutdown()
	n.lock.Release()
	if n.temporary {
		return os.RemoveAll(n.dir)
	}
	return nil
}

// logBridge hands the server's log to slog. What the server calls a notice is of
// interest only when something is wrong. A fatal error does not end the process.
type logBridge struct {
	log   *slog.Logger
	fatal chan error // the first one
}

func (l *logBridge) Noticef(format string, v ...any) { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l *logBridge) Warnf(format string, v ...any)   { l.log.Warn(fmt.Sprintf(format, v...)) }
func (l *logBridge) Errorf(format string, v ...any)  { l.log.Error(fmt.Sprintf(format, v...)) }
func (l *logBridge) Debugf(format string, v ...any)  { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l *logBridge) Tracef(format string, v ...any)  { l.log.Debug(fmt.Sprintf(format, v...)) }

func (l *logBridge) Fatalf(format string, v ...any) {
	select {
	case l.fatal <- fmt.Errorf(format, v...):
	default:
		l.log.Error(fmt.Sprintf(format, v...))
	}
}
