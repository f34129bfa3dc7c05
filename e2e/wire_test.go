package e2e

import (
	wirebinary "encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"
)

var bigEndian = wirebinary.BigEndian // binary is cordon here

// wire is an exporter written by hand, byte by byte, so that a test says what
// is on the wire and what is not.
type wire struct {
	t        *testing.T
	conn     net.Conn
	domain   uint32
	sequence uint32 // The next message's number.
}

// exportFrom opens an exporter at a loopback address.
func exportFrom(t *testing.T, local, to string, domain uint32) *wire {
	t.Helper()
	d := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(local), 0))}
	conn, err := d.DialContext(t.Context(), "udp4", to)
	if err != nil {
		t.Skipf("cannot export from %s: %v", local, err)
	}
	t.Cleanup(func() { conn.Close() })
	return &wire{t: t, conn: conn, domain: domain}
}

// send sends sets in one message, which has so many data records.
func (w *wire) send(records uint32, sets ...[]byte) {
	w.t.Helper()
	b := make([]byte, 16)
	for _, s := range sets {
		b = append(b, s...)
	}
	bigEndian.PutUint16(b, 10)
	bigEndian.PutUint16(b[2:], uint16(len(b)))
	bigEndian.PutUint32(b[4:], uint32(time.Now().Unix()))
	bigEndian.PutUint32(b[8:], w.sequence)
	bigEndian.PutUint32(b[12:], w.domain)
	w.sequence += records
	if _, err := w.conn.Write(b); err != nil {
		w.t.Fatal(err)
	}
}

func wireSet(id uint16, body ...[]byte) []byte {
	b := bigEndian.AppendUint16(nil, id)
	b = append(b, 0, 0)
	for _, part := range body {
		b = append(b, part...)
	}
	bigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

// wireTemplate is a template set; of an options template where scope is not 0.
// Fields are element and length.
func wireTemplate(id, scope uint16, fields ...[2]uint16) []byte {
	b := bigEndian.AppendUint16(nil, id)
	b = bigEndian.AppendUint16(b, uint16(len(fields)))
	set := uint16(2)
	if scope > 0 {
		b, set = bigEndian.AppendUint16(b, scope), 3
	}
	for _, f := range fields {
		b = bigEndian.AppendUint16(b, f[0])
		b = bigEndian.AppendUint16(b, f[1])
	}
	return wireSet(set, b)
}

func u32(v uint32) []byte { return bigEndian.AppendUint32(nil, v) }

// fixed is a string element of a fixed length.
func fixed(s string, n int) []byte { return append([]byte(s), make([]byte, n-len(s))...) }

// flowTemplate has the elements of wireFlow.
var flowTemplate = wireTemplate(256, 0, [][2]uint16{
	{8, 4}, {12, 4}, {7, 2}, {11, 2}, {4, 1}, {1, 8}, {2, 8}, {152, 8}, {153, 8}, {10, 4}, {14, 4}, {234, 4},
}...)

// wireFlow is a UDP flow of one packet that ended a while ago.
func wireFlow(src, dst string, sport, dport uint16, vrf uint32, ago time.Duration) []byte {
	a, z := netip.MustParseAddr(src).As4(), netip.MustParseAddr(dst).As4()
	b := append(a[:], z[:]...)
	b = bigEndian.AppendUint16(b, sport)
	b = bigEndian.AppendUint16(b, dport)
	b = append(b, 17)
	b = bigEndian.AppendUint64(b, 80)
	b = bigEndian.AppendUint64(b, 1)
	end := time.Now().Add(-ago)
	b = bigEndian.AppendUint64(b, uint64(end.Add(-time.Second).UnixMilli()))
	b = bigEndian.AppendUint64(b, uint64(end.UnixMilli()))
	b = bigEndian.AppendUint32(b, 3)
	b = bigEndian.AppendUint32(b, 4)
	return bigEndian.AppendUint32(b, vrf)
}
