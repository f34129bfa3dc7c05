package collector

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"cordon/schema"
)

// exporter makes IPFIX messages whose records have 69 bytes, much like those
// of a switch.
type exporter struct {
	domain   uint32
	sequence uint32
	at       time.Time // export time
}

func newExporter(domain uint32) *exporter {
	return &exporter{domain: domain, at: time.Now().Truncate(time.Second)}
}

const (
	testTemplate = 256
	recordSize   = 69
)

// testFields are element id and length.
var testFields = [...][2]uint16{
	{8, 4}, {12, 4}, {7, 2}, {11, 2}, {4, 1}, {6, 1}, {1, 8}, {2, 8},
	{152, 8}, {153, 8}, {10, 4}, {14, 4}, {5, 1}, {60, 1}, {61, 1}, {136, 1},
	{58, 2}, {234, 4}, {15, 4}, {192, 1},
}

// message puts a header before sets. records is how many data records they have.
func (e *exporter) message(records int, sets ...[]byte) []byte {
	b := make([]byte, 16)
	for _, s := range sets {
		b = append(b, s...)
	}
	binary.BigEndian.PutUint16(b, 10)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	binary.BigEndian.PutUint32(b[4:], uint32(e.at.Unix()))
	binary.BigEndian.PutUint32(b[8:], e.sequence)
	binary.BigEndian.PutUint32(b[12:], e.domain)
	e.sequence += uint32(records)
	return b
}

func set(id uint16, body []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, id)
	b = binary.BigEndian.AppendUint16(b, uint16(4+len(body)))
	return append(b, body...)
}

func (e *exporter) template() []byte {
	b := binary.BigEndian.AppendUint16(nil, testTemplate)
	b = binary.BigEndian.AppendUint16(b, uint16(len(testFields)))
	for _, f := range testFields {
		b = binary.BigEndian.AppendUint16(b, f[0])
		b = binary.BigEndian.AppendUint16(b, f[1])
	}
	return e.message(0, set(2, b))
}

// data gives a message of n records; the first is number first of all.
func (e *exporter) data(first, n int) []byte {
	var b []byte
	for i := first; i < first+n; i++ {
		b = e.record(b, i)
	}
	return e.message(n, set(testTemplate, b))
}

// client gives the address of the client of record i.
func client(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(1 + i>>16), byte(i >> 8), byte(i)})
}

var server = netip.MustParseAddr("10.200.0.1")

func (e *exporter) record(b []byte, i int) []byte {
	be := binary.BigEndian
	src, dst := client(i).As4(), server.As4()
	b = append(b, src[:]...)
	b = append(b, dst[:]...)
	b = be.AppendUint16(b, uint16(49152+i%16384))
	b = be.AppendUint16(b, 443)
	b = append(b, 6, 0x1b)
	b = be.AppendUint64(b, uint64(1000+i))
	b = be.AppendUint64(b, uint64(2+i%50))
	b = be.AppendUint64(b, uint64(e.at.Add(-time.Minute).UnixMilli()))
	b = be.AppendUint64(b, uint64(e.at.Add(-time.Second).UnixMilli()))
	b = be.AppendUint32(b, 7)
	b = be.AppendUint32(b, 8)
	b = append(b, 0, 4, 0, 1)
	b = be.AppendUint16(b, 12)
	b = be.AppendUint32(b, 0)
	b = be.AppendUint32(b, 0)
	return append(b, 64)
}

// want gives record i as it is to be stored, but for Received.
func (e *exporter) want(from netip.Addr, i int) schema.Record {
	return schema.Record{
		Exporter: schema.Addr16(from), Domain: e.domain,
		Start: schema.Micros(e.at.Add(-time.Minute)), End: schema.Micros(e.at.Add(-time.Second)),
		Src: schema.Addr16(client(i)), Dst: schema.Addr16(server),
		SrcPort: uint16(49152 + i%16384), DstPort: 443, Proto: 6, TCPFlags: 0x1b,
		Bytes: uint64(1000 + i), Packets: uint64(2 + i%50), InIf: 7, OutIf: 8, VLAN: 12,
		FlowDirection: schema.Ingress, EndReason: 1,
		Direction: schema.Forward, Basis: schema.BasisPortRange, VRF: "default", Count: 1,
	}
}

// dial opens a connection for sending that the test closes.
func dial(t *testing.T, network, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func dialTLS(t *testing.T, address string, cfg *tls.Config) *tls.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", address, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func send(t *testing.T, conn net.Conn, messages ...[]byte) {
	t.Helper()
	for _, m := range messages {
		if _, err := conn.Write(m); err != nil {
			t.Fatal(err)
		}
	}
}

// closedByPeer waits until the collector has closed a connection.
func closedByPeer(t *testing.T, conn net.Conn) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); n > 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the collector has not closed the connection from %s: read %d bytes, %v", conn.LocalAddr(), n, err)
	}
}
