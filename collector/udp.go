package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"
)

// datagram is one UDP datagram; data belongs to the socket that read it.
type datagram struct {
	from netip.AddrPort
	data []byte
}

// udpSocket receives datagrams.
type udpSocket struct {
	conn    *net.UDPConn
	address string
	reader  *batchReader
	buffer  int // size in bytes of the receive buffer that the kernel has given

	datagrams atomic.Uint64
	bytes     atomic.Uint64
	kernel    kernelCounter
}

// kernelCounter extends the kernel's 32-bit count of drops.
type kernelCounter struct {
	last  atomic.Uint32
	total atomic.Uint64
}

func (c *kernelCounter) update(now uint32) {
	if old := c.last.Swap(now); old != now {
		c.total.Add(uint64(now - old)) // right across one wrap
	}
}

// listenUDP opens the sockets of one address.
func listenUDP(ctx context.Context, address string, cfg UDPConfig, log *slog.Logger) (sockets []*udpSocket, err error) {
	defer func() {
		if err != nil {
			for _, s := range sockets {
				s.conn.Close()
			}
			sockets = nil
		}
	}()
	lc := net.ListenConfig{Control: reusePort}
	if cfg.Sockets == 1 {
		lc.Control = nil // a second collector on the port is then an error, as it should be
	}
	for range cfg.Sockets {
		pc, err := lc.ListenPacket(ctx, "udp", address)
		if err != nil {
			return sockets, fmt.Errorf("listen for IPFIX: %w", err)
		}
		conn := pc.(*net.UDPConn)
		address = conn.LocalAddr().String() // All sockets share the port that the first one got for port 0.
		s := &udpSocket{conn: conn, address: conn.LocalAddr().String()}
		sockets = append(sockets, s)
		if s.buffer, err = setReceiveBuffer(conn, cfg.ReceiveBuffer); err != nil {
			return sockets, fmt.Errorf("receive buffer of udp %s: %w", address, err)
		}
		if s.reader, err = newBatchReader(conn); err != nil {
			return sockets, fmt.Errorf("udp %s: %w", address, err)
		}
	}
	s := sockets[0]
	log.Info("listening for IPFIX", "transport", "udp", "address", s.address, "sockets", len(sockets), "receive_buffer", s.buffer)
	if s.buffer < cfg.ReceiveBuffer {
		log.Warn("the kernel gives a smaller receive buffer than asked for; bursts may be dropped",
			"address", s.address, "asked", cfg.ReceiveBuffer, "given", s.buffer,
			"remedy", fmt.Sprintf("sysctl -w net.core.rmem_max=%d, or set collector.udp.receive_buffer to %d", cfg.ReceiveBuffer, s.buffer))
	}
	return sockets, nil
}

// run reads until close, and then what is still in the receive buffer. It
// gives what it has read to handle, which may use it until it returns.
func (s *udpSocket) run(handle func([]datagram, time.Time)) error {
	defer s.conn.Close()
	for {
		got, err := s.reader.read()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			s.drain(handle)
			return nil
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			return fmt.Errorf("read from udp %s: %w", s.conn.LocalAddr(), err)
		}
		s.take(got, handle)
	}
}

func (s *udpSocket) take(got []datagram, handle func([]datagram, time.Time)) {
	var bytes uint64
	for i := range got {
		bytes += uint64(len(got[i].data))
	}
	s.datagrams.Add(uint64(len(got)))
	s.bytes.Add(bytes)
	handle(got, time.Now())
}

// drainTime bounds how long a stop reads on: exporters do not stop.
const drainTime = time.Second

func (s *udpSocket) drain(handle func([]datagram, time.Time)) {
	for end := time.Now().Add(drainTime); time.Now().Before(end); {
		got := s.reader.readNow()
		if len(got) == 0 {
			break
		}
		s.take(got, handle)
	}
	s.drops() // the socket cannot tell any more once it is closed
}

// close makes run end.
func (s *udpSocket) close() {
	// An error means that the socket is closed already.
	_ = s.conn.SetReadDeadline(time.Unix(1, 0))
}

// drops is how many datagrams the kernel has dropped because the receive
// buffer was full, or their checksum wrong.
func (s *udpSocket) drops() uint64 {
	if n, ok := socketDrops(s.conn); ok {
		s.kernel.update(n)
	}
	return s.kernel.total.Load()
}
