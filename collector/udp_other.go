//go:build !linux

package collector

import (
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// batchReader reads one datagram at a time.
type batchReader struct {
	conn *net.UDPConn
	buf  []byte
	got  [1]datagram
}

func newBatchReader(conn *net.UDPConn) (*batchReader, error) {
	return &batchReader{conn: conn, buf: make([]byte, 1<<16)}, nil
}

func (r *batchReader) read() ([]datagram, error) {
	n, from, err := r.conn.ReadFromUDPAddrPort(r.buf)
	if err != nil {
		return nil, err
	}
	r.got[0] = datagram{from: netip.AddrPortFrom(from.Addr().Unmap().WithZone(""), from.Port()), data: r.buf[:n]}
	return r.got[:], nil
}

// readNow is for Linux only: what is in the receive buffer at a stop is lost.
func (r *batchReader) readNow() []datagram { return nil }

func reusePort(_, _ string, c syscall.RawConn) error {
	var err error
	if e := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}); e != nil {
		return e
	}
	return err
}

// setReceiveBuffer cannot tell what the kernel has given.
func setReceiveBuffer(conn *net.UDPConn, size int) (int, error) {
	return size, conn.SetReadBuffer(size)
}

// socketDrops is known on Linux only.
func socketDrops(*net.UDPConn) (uint32, bool) { return 0, false }
