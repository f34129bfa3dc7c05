package replay

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"cordon/internal/iana"
	"cordon/schema"

	"golang.org/x/net/ipv4"
)

// The form of the load: datagrams of 1,400 bytes with 20 records of 69 bytes.
const (
	LoadRecords = 20 // records in a datagram

	loadBatch = 64   // datagrams in a system call, at most
	loadForms = 1024 // datagrams that were made beforehand
)

// LoadConfig says what a [LoadGenerator] sends. Only To is required.
type LoadConfig struct {
	To      string       // host:port of the collector, UDP
	Sources []netip.Addr // local addresses, each with a socket of its own; none means one socket with any
	Domain  uint32       // observation domain id; 0 means 1
	Records uint64       // how many to send; 0 means until the context ends
	Rate    float64      // records a second over all sources; 0 means as fast as possible
	Seed    uint64       // of the addresses and ports in the records

	// TemplateRefresh is how often templates are repeated; 0 means 10 s.
	TemplateRefresh time.Duration
}

// LoadStats counts what was sent.
type LoadStats struct {
	Records   uint64
	Datagrams uint64 // with records; templates are not counted
	Bytes     uint64 // of these datagrams
	Elapsed   time.Duration
}

// LoadGenerator sends flow records over UDP, made beforehand, so that sending costs
// little more than the system calls: before each datagram leaves, only sequence
// number and export time are written into it. Records are TCP and UDP sessions of
// 65,536 clients with 64 servers, over IPv4.
type LoadGenerator struct {
	cfg     LoadConfig
	forms   [][]byte // datagrams
	last    []byte   // one with the records that are left over
	lastN   int      // how many these are
	sockets []*loadSocket
}

type loadSocket struct {
	conn      net.Conn
	batch     *ipv4.PacketConn // sendmmsg
	templates *message
	sequence  uint32
	announced time.Time
}

// NewLoadGenerator makes the datagrams and opens the sockets. Close it after use.
func NewLoadGenerator(ctx context.Context, cfg LoadConfig) (*LoadGenerator, error) {
	if cfg.Domain == 0 {
		cfg.Domain = 1
	}
	if cfg.TemplateRefresh <= 0 {
		cfg.TemplateRefresh = 10 * time.Second
	}
	if cfg.Rate < 0 {
		return nil, fmt.Errorf("replay: rate %g: use records a second, or 0 for no limit", cfg.Rate)
	}
	if len(cfg.Sources) == 0 {
		cfg.Sources = []netip.Addr{{}}
	}
	g := &LoadGenerator{cfg: cfg}
	rng := rand.New(rand.NewPCG(cfg.Seed, 0))
	for range loadForms {
		g.forms = append(g.forms, loadDatagram(rng, cfg.Domain, LoadRecords))
	}
	if n := int(cfg.Records % LoadRecords); n > 0 {
		g.last, g.lastN = loadDatagram(rng, cfg.Domain, n), n
	}
	for _, from := range cfg.Sources {
		conn, err := dial(ctx, "udp", from, cfg.To)
		if err != nil {
			g.Close()
			return nil, err
		}
		g.sockets = append(g.sockets, &loadSocket{conn: conn, batch: ipv4.NewPacketConn(conn.(*net.UDPConn)), templates: newMessage(cfg.Domain, 1400)})
	}
	return g, nil
}

// loadDatagram makes a message of n records, whose header is to be patched.
func loadDatagram(rng *rand.Rand, domain uint32, n int) []byte {
	services := [...]struct {
		proto uint8
		port  uint16
	}{{6, 443}, {6, 80}, {17, 53}, {6, 22}, {17, 123}, {6, 5432}, {6, 445}, {6, 8080}}
	m := newMessage(domain, 1400)
	now := schema.Micros(time.Now())
	for range n {
		s := services[rng.IntN(len(services))]
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
		if !m.append(&templates[0], &r) {
			panic("BUG: the records of the load do not fit into 1400 bytes")
		}
	}
	return m.finish(time.Now())
}

func v4(a, b, c, d byte) [16]byte {
	return [16]byte{10: 0xff, 11: 0xff, 12: a, 13: b, 14: c, 15: d}
}

// Close closes the sockets.
func (g *LoadGenerator) Close() error {
	var first error
	for _, s := range g.sockets {
		if err := s.conn.Close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// Local gives the address and port of each source.
func (g *LoadGenerator) Local() []netip.AddrPort {
	var all []netip.AddrPort
	for _, s := range g.sockets {
		all = append(all, localAddr(s.conn))
	}
	return all
}

// Run sends on the calling goroutine until all records are sent or the context
// ends, which is no error. It may be called again and goes on numbering. An error
// means that the kernel refused to send; what counts is what was sent before.
func (g *LoadGenerator) Run(ctx context.Context) (LoadStats, error) {
	var st LoadStats
	start := time.Now()
	messages := make([]ipv4.Message, loadBatch)
	for i := range messages {
		messages[i].Buffers = make([][]byte, 1)
	}
	form := 0
	for turn := 0; ctx.Err() == nil && (g.cfg.Records == 0 || st.Records < g.cfg.Records); turn++ {
		now := time.Now()
		s := g.sockets[turn%len(g.sockets)]
		if now.Sub(s.announced) >= g.cfg.TemplateRefresh {
			if err := s.announce(now); err != nil {
				return g.end(st, start, err)
			}
		}
		due := g.due(st.Records, now.Sub(start))
		if due == 0 {
			if sleep(ctx, 200*time.Microsecond) != nil {
				break
			}
			turn-- // the same source again
			continue
		}
		batch := messages[:0]
		for range due {
			b, n := g.forms[form], LoadRecords
			if left := g.cfg.Records - st.Records; g.cfg.Records > 0 && left < LoadRecords {
				b, n = g.last, g.lastN
			}
			form = (form + 1) % loadForms
			patch(b, uint16(len(b)), uint32(now.Unix()), s.sequence, g.cfg.Domain)
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

func (g *LoadGenerator) end(st LoadStats, start time.Time, err error) (LoadStats, error) {
	st.Elapsed = time.Since(start)
	if err != nil {
		err = fmt.Errorf("replay: send to %s: %w", g.cfg.To, err)
	}
	return st, err
}

// due is how many datagrams may leave now.
func (g *LoadGenerator) due(sent uint64, elapsed time.Duration) int {
	if g.cfg.Rate == 0 {
		return loadBatch
	}
	ahead := g.cfg.Rate*elapsed.Seconds() - float64(sent)
	return min(max(0, int(ahead/LoadRecords)+1), loadBatch)
}

func (s *loadSocket) announce(now time.Time) error {
	s.templates.begin()
	s.templates.announce(&templates[0])
	b := s.templates.finish(now)
	patch(b, uint16(len(b)), uint32(now.Unix()), s.sequence, s.templates.domain)
	s.announced = now
	_, err := s.conn.Write(b)
	return err
}

// send sends all of a batch, and gives what is left if it cannot.
func (s *loadSocket) send(batch []ipv4.Message) ([]ipv4.Message, error) {
	for len(batch) > 0 {
		n, err := s.batch.WriteBatch(batch, 0)
		if err != nil {
			return batch, err
		}
		batch = batch[n:]
	}
	return nil, nil
}
