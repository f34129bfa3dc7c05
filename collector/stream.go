package collector

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"cordon/collector/ipfix"
)

const handshakeTimeout = 10 * time.Second

// streamListener receives IPFIX over TCP (RFC 7011, section 10.4), or over TLS
// on top of it.
type streamListener struct {
	transport ipfix.Transport
	cfg       TCPConfig
	tls       *tls.Config // nil for plain TCP
	ln        net.Listener
	sink      streamSink
	log       *slog.Logger
	bursts    *burstLog

	mu       sync.Mutex
	conns    map[net.Conn]struct{}
	wg       sync.WaitGroup
	stopping atomic.Bool

	sessions *atomic.Uint64 // last session number, shared by all listeners
	messages atomic.Uint64
	bytes    atomic.Uint64
	accepted atomic.Uint64
	refused  atomic.Uint64 // connections beyond the limit
	broken   atomic.Uint64 // closed because the stream was not IPFIX, or the handshake failed
}

// streamSink takes what connections carry.
type streamSink interface {
	// allowed says whether an exporter may send; it counts those that may not.
	allowed(exporter netip.Addr) bool
	// message takes a whole message.
	message(src ipfix.Source, msg []byte)
	// broken tells why what came is not IPFIX.
	broken(src ipfix.Source, bad *ipfix.Error)
	// closed tells of the end of a session.
	closed(src ipfix.Source)
}

func listenStream(ctx context.Context, address string, l *streamListener) (*streamListener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for IPFIX (%s): %w", l.transport, err)
	}
	l.ln = ln
	l.conns = make(map[net.Conn]struct{})
	l.log.Info("listening for IPFIX", "transport", l.transport, "address", ln.Addr().String())
	return l, nil
}

// run accepts connections until close, and returns when all have ended.
func (l *streamListener) run() error {
	defer l.wg.Wait()
	for {
		conn, err := l.ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			// Out of file descriptors, or a connection that was gone
			// before it was accepted: neither is a reason to stop.
			l.bursts.warn(time.Now(), netip.Addr{}, "accept", "cannot accept a connection", "transport", l.transport, "err", err)
			time.Sleep(10 * time.Millisecond)
			continue
		}
		l.admit(conn)
	}
}

func (l *streamListener) admit(conn net.Conn) {
	from := peer(conn)
	if !l.sink.allowed(from.Addr()) {
		conn.Close()
		return
	}
	l.mu.Lock()
	full := len(l.conns) >= l.cfg.MaxConnections
	if !full {
		l.conns[conn] = struct{}{}
		l.wg.Add(1)
		if l.stopping.Load() {
			l.hurry(conn)
		}
	}
	l.mu.Unlock()
	if full {
		conn.Close()
		l.refused.Add(1)
		l.bursts.warn(time.Now(), from.Addr(), "connections", "refused a connection: too many are open",
			"transport", l.transport, "limit", l.cfg.MaxConnections)
		return
	}
	l.accepted.Add(1)
	go func() {
		defer l.wg.Done()
		l.serve(conn, ipfix.Source{Addr: from, Transport: l.transport, Session: l.sessions.Add(1)})
		l.mu.Lock()
		delete(l.conns, conn)
		l.mu.Unlock()
	}()
}

// serve reads one connection to its end.
func (l *streamListener) serve(conn net.Conn, src ipfix.Source) {
	defer conn.Close()
	var r io.Reader = conn
	if l.tls != nil {
		secure := tls.Server(conn, l.tls)
		ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout)
		err := secure.HandshakeContext(ctx)
		cancel()
		if err != nil {
			l.broken.Add(1)
			l.bursts.warn(time.Now(), src.Addr.Addr(), "tls", "TLS handshake failed", "err", err)
			return
		}
		r = secure
	}
	defer l.sink.closed(src)
	l.log.Debug("connection opened", "exporter", src)
	err := l.read(conn, r, src)
	if err == nil {
		l.log.Debug("connection ended", "exporter", src)
		return
	}
	var bad *ipfix.Error
	if errors.As(err, &bad) {
		l.broken.Add(1)
		l.sink.broken(src, bad)
		return
	}
	l.bursts.warn(time.Now(), src.Addr.Addr(), "connection", "closed a connection", "port", src.Addr.Port(), "transport", l.transport, "err", err)
}

// read gives the messages of a connection to the sink.
func (l *streamListener) read(conn net.Conn, r io.Reader, src ipfix.Source) error {
	f := ipfix.NewFramer(&streamReader{l, conn, r})
	for {
		msg, err := f.Next()
		switch {
		case err == nil:
			l.messages.Add(1)
			l.sink.message(src, msg)
			continue
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return fmt.Errorf("the connection ended within a message: %w", err)
		case errors.Is(err, os.ErrDeadlineExceeded) && l.stopping.Load():
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("nothing came for %v (collector.tcp.idle_timeout)", l.cfg.IdleTimeout)
		}
		return err
	}
}

// streamReader reads from a connection, but does not wait for ever.
type streamReader struct {
	l    *streamListener
	conn net.Conn
	r    io.Reader
}

func (r *streamReader) Read(p []byte) (int, error) {
	// A stop first sets stopping and then the last deadline, which must not
	// be replaced.
	if !r.l.stopping.Load() {
		if err := r.conn.SetReadDeadline(time.Now().Add(r.l.cfg.IdleTimeout)); err != nil {
			return 0, err
		}
		if r.l.stopping.Load() {
			r.l.hurry(r.conn)
		}
	}
	n, err := r.r.Read(p)
	r.l.bytes.Add(uint64(n))
	return n, err
}

// stopGrace is how long connections are read on when the collector stops: what
// the kernel has acknowledged to an exporter is not sent again.
const stopGrace = 100 * time.Millisecond

// hurry gives a connection its last deadline. An error means that it is
// closed.
func (l *streamListener) hurry(conn net.Conn) { _ = conn.SetReadDeadline(time.Now().Add(stopGrace)) }

// close stops accepting and lets the connections read what has come.
func (l *streamListener) close() {
	l.stopping.Store(true)
	l.ln.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		l.hurry(c)
	}
}
func (l *streamListener) connections() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

func peer(conn net.Conn) netip.AddrPort {
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		p := a.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap().WithZone(""), p.Port())
	}
	return netip.AddrPort{}
}
