package collector

import (
	"net"
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	readDatagrams = 64 // datagrams for one system call
	maxDatagram   = 65535
	// slotSize is the distance of two datagrams' buffers. Were it a power of
	// two, the beginnings of all buffers would compete for the same few sets
	// of the processor's caches.
	slotSize = 1<<16 + 3<<10
)

// mmsghdr is the kernel's struct mmsghdr.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
	_   [4]byte
}

// batchReader reads many datagrams with one system call (recvmmsg). Memory of
// a buffer is touched, and so taken, only as far as datagrams are long.
type batchReader struct {
	raw   syscall.RawConn
	slots []byte
	names []unix.RawSockaddrInet6
	iovs  []unix.Iovec
	msgs  []mmsghdr
	got   []datagram

	receive func(fd uintptr) bool
	n       int
	errno   syscall.Errno
}

func newBatchReader(conn *net.UDPConn) (*batchReader, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	r := &batchReader{
		raw:   raw,
		slots: make([]byte, readDatagrams*slotSize),
		names: make([]unix.RawSockaddrInet6, readDatagrams),
		iovs:  make([]unix.Iovec, readDatagrams),
		msgs:  make([]mmsghdr, readDatagrams),
		got:   make([]datagram, readDatagrams),
	}
	r.receive = r.recvmmsg // bound once: a method value allocates
	for i := range r.msgs {
		r.iovs[i].Base = &r.slots[i*slotSize]
		r.iovs[i].SetLen(maxDatagram)
		h := &r.msgs[i].hdr
		h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
		h.Iov = &r.iovs[i]
		h.SetIovlen(1)
	}
	return r, nil
}

// read waits for datagrams and returns those that are there. They are valid
// until the next read.
func (r *batchReader) read() ([]datagram, error) {
	if err := r.raw.Read(r.receive); err != nil {
		return nil, err
	}
	if r.errno != 0 {
		return nil, os.NewSyscallError("recvmmsg", r.errno)
	}
	return r.received(), nil
}

// readNow returns the datagrams that are there, without waiting and whatever
// the deadline.
func (r *batchReader) readNow() []datagram {
	r.n = 0
	if err := r.raw.Control(func(fd uintptr) { r.receive(fd) }); err != nil || r.errno != 0 {
		return nil
	}
	return r.received()
}

func (r *batchReader) received() []datagram {
	for i := range r.n {
		r.got[i] = datagram{from: addrPort(&r.names[i]), data: r.slots[i*slotSize:][:r.msgs[i].len]}
	}
	return r.got[:r.n]
}

// recvmmsg returns false if there is nothing to read yet.
func (r *batchReader) recvmmsg(fd uintptr) bool {
	for i := range r.msgs {
		r.msgs[i].hdr.Namelen = unix.SizeofSockaddrInet6
	}
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.msgs[0])), uintptr(len(r.msgs)), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		}
		if r.errno = errno; errno == 0 {
			r.n = int(n)
		}
		return true
	}
}

// addrPort gives a socket address, IPv4 unmapped. A sockaddr_in is shorter
// than a sockaddr_in6 and has the port at the same place.
func addrPort(name *unix.RawSockaddrInet6) netip.AddrPort {
	p := (*[2]byte)(unsafe.Pointer(&name.Port))
	port := uint16(p[0])<<8 | uint16(p[1])
	if name.Family == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(name)).Addr), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16(name.Addr).Unmap(), port)
}

func reusePort(_, _ string, c syscall.RawConn) error {
	var err error
	if e := c.Control(func(fd uintptr) {
		err = os.NewSyscallError("setsockopt SO_REUSEPORT", unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
	}); e != nil {
		return e
	}
	return err
}

// setReceiveBuffer asks for a receive buffer of size bytes, beyond
// net.core.rmem_max if the process may, and returns what the kernel has given.
func setReceiveBuffer(conn *net.UDPConn, size int) (int, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var given int
	e := raw.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size) != nil {
			if err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, size); err != nil {
				return
			}
		}
		given, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
	})
	if e != nil {
		return 0, e
	}
	return given / 2, err // the kernel doubles the size for its own bookkeeping
}

// socketDrops reads the kernel's count of datagrams dropped at a socket.
func socketDrops(conn *net.UDPConn) (drops uint32, ok bool) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, false
	}
	var info [unix.SK_MEMINFO_VARS]uint32
	size := uint32(unsafe.Sizeof(info))
	var errno syscall.Errno
	err = raw.Control(func(fd uintptr) {
		_, _, errno = unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	})
	runtime.KeepAlive(&info)
	return info[unix.SK_MEMINFO_DROPS], err == nil && errno == 0
}
