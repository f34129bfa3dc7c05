// Package loadtest sends a load of flow records to a collector, for benchmarks.
package loadtest

import (
	"context"
	"cordon/collector/replay"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"time"

	"cordon/internal/iana"
	"cordon/schema"

	"golang.org/x/net/ipv4"
)

// The form of the load: datagrams of 1,400 bytes with 20 records of 69 bytes.
const (
	Records  = 20   // records in a datagram
	datagram = 1400 // bytes

	messageHeader = 16 // bytes
	setTemplate   = 2  // the id of template sets

	mostAtOnce = 64   // datagrams in a system call, at most
	forms      = 1024 // datagrams that were made beforehand
)

// Config says what a [Generator] sends. Only To is required.
type Config struct {
	To      string       // host:port of the collector, UDP
	Sources []netip.Addr // local addresses, each with a socket of its own; none means one socket with any
	Domain  uint32       // observation domain id; 0 means 1
	Records uint64       // Records to send; 0 means until the context ends.
	Rate    float64      // records a second over all sources; 0 means as fast as possible
	Seed    uint64       // the seed of the addresses and ports in the records

	// TemplateRefresh is how often templates are repeated; 0 means 10 s.
	TemplateRefresh time.Duration
}

// Stats counts what was sent.
type Stats struct {
	Records   uint64
	Datagrams uint64 // datagrams that have records; templates are not counted
	Bytes     uint64 // bytes of these datagrams
	Elapsed   time.Duration
}

// Generator sends flow records over UDP, made beforehand, so that sending costs
// little more than the system calls: before each datagram leaves, only sequence
// number and export time are written into it. Records are TCP and UDP sessions of
// 65,536 clients with 64 servers, over IPv4.
type Generator struct {
	cfg          Config
	forms        [][]byte // datagrams
	announcement []byte   // the datagram with the template
	last         []byte   // one with the records that are left over
	lastN        int      // Their number.
	sockets      []*socket
}

type socket struct {
	conn      net.Conn
	batch     *ipv4.PacketConn // sendmmsg
	sequence  uint32
	announced time.Time
}

// New makes the datagrams and opens the sockets. Close it after use.
func New(ctx context.Context, cfg Config) (*Generator, error) {
	if cfg.Domain == 0 {
		cfg.Domain = 1
	}
	if cfg.TemplateRefresh <= 0 {
		cfg.TemplateRefresh = 10 * time.Second
	}
	if cfg.Rate < 0 {
		return nil, fmt.Errorf("load: rate %g: use records a second, or 0 for no limit", cfg.Rate)
	}
	if len(cfg.Sources) == 0 {
		cfg.Sources = []netip.Addr{{}}
	}
	g := &Generator{cfg: cfg}
	if err := g.make(ctx); err != nil {
		return nil, err
	}
	for _, from := range cfg.Sources {
		var d net.Dialer
		if from.IsValid() {
			d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
		}
		conn, err := d.DialContext(ctx, "udp", cfg.To)
		if err != nil {
			g.Close()
			return nil, fmt.Errorf("load: %w", err)
		}
		g.sockets = append(g.sockets, &socket{conn: conn, batch: ipv4.NewPacketConn(conn.(*net.UDPConn))})
	}
	return g, nil
}

// make has the emulated exporter write the datagrams, and keeps what it wrote.
func (g *Generator) make(ctx context.Context) error {
	in, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	defer in.Close()
	e, err := replay.Dial(ctx, replay.Config{To: in.LocalAddr().String(), Domain: g.cfg.Domain, MTU: datagram, TemplateRefresh: 24 * time.Hour})
	if err != nil {
		return err
	}
	defer e.Close()
	rng := rand.New(rand.NewPCG(g.cfg.Seed, 0))
	write := func(records int) ([]byte, error) {
		for range records {
			r := record(rng)
			if err := e.Export(ctx, &r); err != nil {
				return nil, err
			}
		}
		if err := e.Flush(ctx); err != nil {
			return nil, err
		}
		b := make([]byte, 1<<16)
		n, err := in.Read(b)
		return b[:n:n], err
	}
	first, err := write(1)
	if err != nil {
		return err
	}
	g.announcement = templatesOf(first)
	for range forms {
		b, err := write(Records)
		if err != nil {
			return err
		}
		if len(b) != datagram {
			return fmt.Errorf("a datagram of %d records has %d bytes, not %d", Records, len(b), datagram)
		}
		g.forms = append(g.forms, b)
	}
	if n := int(g.cfg.Records % Records); n > 0 {
		if g.last, err = write(n); err != nil {
			return err
		}
		g.lastN = n
	}
	return nil
}

// templatesOf is a message without its data sets and options.
func templatesOf(message []byte) []byte {
	out := slices.Clone(message[:messageHeader])
	for sets := message[messageHeader:]; len(sets) > 0; {
		n := binary.BigEndian.Uint16(sets[2:])
		if binary.BigEndian.Uint16(sets) == setTemplate {
			out = append(out, sets[:n]...)
		}
		sets = sets[n:]
	}
	return out
}

// patch writes a message header (RFC 7011, section 3.1).
func patch(b []byte, export, sequence, domain uint32) {
	binary.BigEndian.PutUint16(b, 10)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	binary.BigEndian.PutUint32(b[4:], export)
	binary.BigEndian.PutUint32(b[8:], sequence)
	binary.BigEndian.PutUint32(b[12:], domain)
}

func record(rng *rand.Rand) schema.Record {
	services := [...]struct {
		proto uint8
		port  uint16
	}{{6, 443}, {6, 80}, {17, 53}, {6, 22}, {17, 123}, {6, 5432}, {6, 445}, {6, 8080}}
	s := services[rng.IntN(len(services))]
	now := schema.Micros(time.Now())
	packets := 1 + rng.Uint64N(60)
	r := schema.Record{
		Src: v4(10, 1, byte(rng.IntN(256)), byte(rng.IntN(256))), Dst: v4(10, 2, 0, byte(rng.IntN(64))),
		SrcPort: uint16(32768 + rng.IntN(28232)), DstPort: s.port, Proto: s.proto,
		Packets: packets, Bytes: packets * (60 + rng.Uint64N(1000)),
		Start: now - rng.Int64N(60e6), End: now, InIf: uint32(1 + rng.IntN(48)), OutIf: 49, VLAN: 100, VRFID: 1,
	}
	if s.proto == iana.TCP {
		r.TCPFlags = 0x1b
	}
	return r
}

func v4(a, b, c, d byte) [16]byte {
	return [16]byte{10: 0xff, 11: 0xff, 12: a, 13: b, 14: c, 15: d}
}

// Close closes the sockets.
func (g *Generator) Close() error {
	var first error
	for _, s := range g.sockets {
		if err := s.conn.Close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// Local gives the address and port of each source.
func (g *Generator) Local() []netip.AddrPort {
	var all []netip.AddrPort
	for _, s := range g.sockets {
		all = append(all, s.conn.LocalAddr().(*net.UDPAddr).AddrPort())
	}
	return all
}

// Run sends on the calling goroutine until all records are sent or the context
// ends, which is no error. It may be called again and goes on numbering. An error
// means that the kernel refused to send; what counts is what was sent before.
func (g *Generator) Run(ctx context.Context) (Stats, error) {
	var st Stats
	start := time.Now()
	messages := make([]ipv4.Message, mostAtOnce)
	for i := range messages {
		messages[i].Buffers = make([][]byte, 1)
	}
	form := 0
	for turn := 0; ctx.Err() == nil && (g.cfg.Records == 0 || st.Records < g.cfg.Records); turn++ {
		now := time.Now()
		s := g.sockets[turn%len(g.sockets)]
		if now.Sub(s.announced) >= g.cfg.TemplateRefresh {
			if err := s.announce(now, g.announcement, g.cfg.Domain); err != nil {
				return g.end(st, start, err)
			}
		}
		due := g.due(st.Records, now.Sub(start))
		if due == 0 {
			time.Sleep(200 * time.Microsecond)
			turn-- // the same source again
			continue
		}
		batch := messages[:0]
		for range due {
			b, n := g.forms[form], Records
			if left := g.cfg.Records - st.Records; g.cfg.Records > 0 && left < Records {
				b, n = g.last, g.lastN
			}
			form = (form + 1) % forms
			patch(b, uint32(now.Unix()), s.sequence, g.cfg.Domain)
			s.sequence += uint32(n)
			batch = batch[:len(batch)+1]
			batch[len(batch)-1].Buffers[0] = b
			st.Records += uint64(n)
			st.Bytes += uint64(len(b))
			st.Datagrams++
			if st.Records == g.cfg.Records {
				break
			}
		}
		if unsent, err := s.send(batch); err != nil {
			for _, m := range unsent {
				n := uint64(len(m.Buffers[0])-messageHeader-4) / 69
				st.Records -= n
				st.Bytes -= uint64(len(m.Buffers[0]))
				st.Datagrams--
				s.sequence -= uint32(n)
			}
			return g.end(st, start, err)
		}
	}
	return g.end(st, start, nil)
}

func (g *Generator) end(st Stats, start time.Time, err error) (Stats, error) {
	st.Elapsed = time.Since(start)
	if err != nil {
		err = fmt.Errorf("load: send to %s: %w", g.cfg.To, err)
	}
	return st, err
}

// due is how many datagrams may leave now.
func (g *Generator) due(sent uint64, elapsed time.Duration) int {
	if g.cfg.Rate == 0 {
		return mostAtOnce
	}
	ahead := g.cfg.Rate*elapsed.Seconds() - float64(sent)
	return min(max(0, int(ahead/Records)+1), mostAtOnce)
}

func (s *socket) announce(now time.Time, announcement []byte, domain uint32) error {
	patch(announcement, uint32(now.Unix()), s.sequence, domain)
	s.announced = now
	_, err := s.conn.Write(announcement)
	return err
}

// send sends all of a batch, and gives what is left if it cannot.
func (s *socket) send(batch []ipv4.Message) ([]ipv4.Message, error) {
	for len(batch) > 0 {
		n, err := s.batch.WriteBatch(batch, 0)
		if err != nil {
			return batch, err
		}
		batch = batch[n:]
	}
	return nil, nil
}
