package replay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"cordon/schema"
)

// Config says how an [Exporter] sends. Only To is required.
type Config struct {
	To        string     // host:port of the collector
	Transport string     // "udp" (the default) or "tcp"
	From      netip.Addr // local address, such as 127.0.0.2; none means any
	Domain    uint32     // observation domain id; 0 means 1

	// Biflow sends both directions of a record in one (RFC 5103). Otherwise each
	// direction that has packets is a record of its own.
	Biflow bool
	// MTU is the longest message in bytes, from 512 to 65507; 0 means 1400.
	MTU int
	// TemplateRefresh is how often templates and options data are repeated over
	// UDP; 0 means 10 minutes.
	TemplateRefresh time.Duration
	// Rate is how many records are sent in a second; 0 means no limit.
	Rate float64
	// Sampling is announced in options data: one packet in Sampling was looked at.
	// 0 and 1 mean every packet.
	Sampling uint32

	// Now and Sleep are the clock. nil means the real one.
	Now   func() time.Time
	Sleep func(ctx context.Context, d time.Duration) error
}

func (c Config) withDefaults() (Config, error) {
	switch c.Transport {
	case "":
		c.Transport = "udp"
	case "udp", "tcp":
	default:
		return c, fmt.Errorf("transport %q: use udp or tcp", c.Transport)
	}
	if c.Domain == 0 {
		c.Domain = 1
	}
	if c.MTU == 0 {
		c.MTU = 1400
	}
	if c.MTU < 512 || c.MTU > 65507 {
		return c, fmt.Errorf("message length %d: use 512 to 65507 bytes", c.MTU)
	}
	if c.TemplateRefresh <= 0 {
		c.TemplateRefresh = 10 * time.Minute
	}
	if c.Rate < 0 {
		return c, fmt.Errorf("rate %g: use records a second, or 0 for no limit", c.Rate)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Sleep == nil {
		c.Sleep = sleep
	}
	return c, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stats counts what was sent.
type Stats struct {
	Records  uint64 // data records, options data left out
	Messages uint64
	Bytes    uint64 // size of messages
}

// Exporter sends flow records to one collector. It is not safe for concurrent use.
type Exporter struct {
	cfg     Config
	conn    net.Conn
	local   netip.AddrPort
	message *message
	most    int // data records in a message

	started   time.Time
	announced [numKinds]bool
	refreshed time.Time // time at which templates were last sent
	pending   uint64    // records in the message that is not sent yet
	stats     Stats

	record, mirrored schema.Record // kept here so that they are not allocated each time
}

// Dial makes an exporter. Over UDP there is nobody to answer, so an absent
// collector shows only when records are sent, if at all.
func Dial(ctx context.Context, cfg Config) (*Exporter, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	conn, err := dial(ctx, cfg.Transport, cfg.From, cfg.To)
	if err != nil {
		return nil, err
	}
	e := &Exporter{cfg: cfg, conn: conn, message: newMessage(cfg.Domain, cfg.MTU), most: 1 << 16, started: cfg.Now()}
	e.local = localAddr(conn)
	if cfg.Rate > 0 {
		e.most = max(1, int(min(cfg.Rate/10, 1<<16))) // Records do not wait for long.
	}
	return e, nil
}

func dial(ctx context.Context, transport string, from netip.Addr, to string) (net.Conn, error) {
	var d net.Dialer
	if from.IsValid() {
		if transport == "udp" {
			d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
		} else {
			d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
		}
	}
	conn, err := d.DialContext(ctx, transport, to)
	if err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	return conn, nil
}

func localAddr(c net.Conn) netip.AddrPort {
	switch a := c.LocalAddr().(type) {
	case *net.UDPAddr:
		return a.AddrPort()
	case *net.TCPAddr:
		return a.AddrPort()
	}
	return netip.AddrPort{}
}

// Stats tells what has been sent so far.
func (e *Exporter) Stats() Stats { return e.stats }

// Export sends a record, as many times as its Count says, with its octets and
// packets spread over them. Records gather until a message is full; see
// [Exporter.Flush]. It waits where Rate asks for it. A record sent as two keeps the
// other's flags apart, so an input that gives the union of both has it on the
// first.
func (e *Exporter) Export(ctx context.Context, rec *schema.Record) error {
	n := uint64(max(rec.Count, 1))
	e.record = *rec
	r := &e.record
	for i := range n {
		r.Bytes, r.Packets = share(rec.Bytes, n, i), share(rec.Packets, n, i)
		r.RevBytes, r.RevPackets = share(rec.RevBytes, n, i), share(rec.RevPackets, n, i)
		if err := e.export(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// share is part i of n parts of total that differ by at most one.
func share(total, n, i uint64) uint64 {
	s := total / n
	if i < total%n {
		s++
	}
	return s
}

func (e *Exporter) export(ctx context.Context, r *schema.Record) error {
	reverse := r.RevPackets > 0 || r.RevBytes > 0
	forward := !reverse || r.Packets > 0 || r.Bytes > 0
	if r.PacketsAssumed && r.TCPFlags != 0 {
		r.Packets = 0 // One packet beside SYN and ACK would make the client the server.
	}
	if e.cfg.Biflow && (reverse || r.Completeness == schema.BothWays) {
		return e.add(ctx, kindOf(r, true), r)
	}
	if forward {
		if err := e.add(ctx, kindOf(r, false), r); err != nil {
			return err
		}
	}
	if !reverse {
		return nil
	}
	e.mirrored = mirror(r)
	return e.add(ctx, kindOf(&e.mirrored, false), &e.mirrored)
}

// add puts a record into the message, with its template where that is due.
func (e *Exporter) add(ctx context.Context, kind int, r *schema.Record) error {
	if e.message.records >= e.most {
		if err := e.send(ctx); err != nil {
			return err
		}
	}
	if e.message.empty() {
		if err := e.refresh(ctx); err != nil {
			return err
		}
	}
	t := &templates[kind]
	if !e.announced[kind] {
		if err := e.fit(ctx, func() bool { return e.message.announce(t) }); err != nil {
			return err
		}
		e.announced[kind] = true
	}
	if err := e.fit(ctx, func() bool { return e.message.append(t, r) }); err != nil {
		return err
	}
	e.pending++
	return nil
}

// fit adds to the message, or else to the next one.
func (e *Exporter) fit(ctx context.Context, add func() bool) error {
	if add() {
		return nil
	}
	if err := e.send(ctx); err != nil {
		return err
	}
	if err := e.refresh(ctx); err != nil {
		return err
	}
	if !add() {
		return fmt.Errorf("replay: a record does not fit into a message of %d bytes", e.cfg.MTU)
	}
	return nil
}

// refresh repeats templates and options data over UDP where that is due, and sends
// options data for the first time.
func (e *Exporter) refresh(ctx context.Context) error {
	now := e.cfg.Now()
	first := e.refreshed.IsZero()
	if !first && (e.cfg.Transport != "udp" || now.Sub(e.refreshed) < e.cfg.TemplateRefresh) {
		return nil
	}
	e.refreshed = now
	if err := e.fit(ctx, func() bool { return e.message.describe(e.local.Addr(), e.started, e.cfg.Sampling) }); err != nil {
		return err
	}
	for kind, yes := range e.announced {
		if !yes {
			continue
		}
		if err := e.fit(ctx, func() bool { return e.message.announce(&templates[kind]) }); err != nil {
			return err
		}
	}
	return nil
}

// Flush sends what has gathered.
func (e *Exporter) Flush(ctx context.Context) error {
	if e.message.empty() {
		return nil
	}
	return e.send(ctx)
}

func (e *Exporter) send(ctx context.Context) error {
	if err := e.pace(ctx); err != nil {
		return err
	}
	b := e.message.finish(e.cfg.Now())
	records := e.pending
	e.pending = 0
	e.message.begin() // b stays as it is until the next record is added
	if _, err := e.conn.Write(b); err != nil {
		if errors.Is(err, syscall.ECONNREFUSED) {
			return fmt.Errorf("replay: nobody listens on %s over %s: start the collector first", e.cfg.To, e.cfg.Transport)
		}
		return fmt.Errorf("replay: send to %s: %w", e.cfg.To, err)
	}
	e.stats.Messages++
	e.stats.Bytes += uint64(len(b))
	e.stats.Records += records
	return nil
}

// pace waits until the message is due.
func (e *Exporter) pace(ctx context.Context) error {
	if err := ctx.Err(); err != nil || e.cfg.Rate == 0 {
		return err
	}
	due := e.started.Add(time.Duration(float64(e.stats.Records) / e.cfg.Rate * float64(time.Second)))
	if wait := due.Sub(e.cfg.Now()); wait > 0 {
		return e.cfg.Sleep(ctx, wait)
	}
	return nil
}

// Close sends what has gathered and closes the connection.
func (e *Exporter) Close() error {
	return errors.Join(e.Flush(context.Background()), e.conn.Close())
}
