package collector

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"cordon/internal/bus"
	"cordon/schema"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var (
	loopback  = netip.MustParseAddr("127.0.0.1")
	loopback6 = netip.MustParseAddr("::1")
)

// wants gives the records first to first+n-1 of an exporter.
func wants(e *exporter, from netip.Addr, first, n int) []schema.Record {
	list := make([]schema.Record, n)
	for i := range list {
		list[i] = e.want(from, first+i)
	}
	return list
}

func TestUDP(t *testing.T) {
	b := startNATS(t).connect()
	for _, tt := range []struct {
		name    string
		listen  string
		sockets int
		send    string // network
		to      string // host
		from    netip.Addr
	}{
		{"IPv4", "127.0.0.1:0", 1, "udp4", "127.0.0.1", loopback},
		{"IPv6", "[::1]:0", 1, "udp6", "::1", loopback6},
		{"both, IPv4", ":0", 1, "udp4", "127.0.0.1", loopback},
		{"both, IPv6", ":0", 1, "udp6", "::1", loopback6},
		{"four sockets", "127.0.0.1:0", 4, "udp4", "127.0.0.1", loopback},
	} {
		t.Run(tt.name, func(t *testing.T) {
			purge(t, b)
			cfg := testConfig()
			cfg.UDP.Listen, cfg.UDP.Sockets = []string{tt.listen}, tt.sockets
			c := start(t, cfg, Deps{Bus: b})
			_, port, err := net.SplitHostPort(c.address("udp"))
			if err != nil {
				t.Fatal(err)
			}
			var want []schema.Record
			for domain := range uint32(8) {
				e, conn := newExporter(domain), dial(t, tt.send, net.JoinHostPort(tt.to, port))
				send(t, conn, e.template())
				for i := range 10 {
					send(t, conn, e.data(20*i, 20))
				}
				want = append(want, wants(e, tt.from, 0, 200)...)
			}
			c.published(len(want))
			sameRecords(t, readStream(t, b).records, want)
			if err := c.Ready(); err != nil {
				t.Errorf("Ready: %v", err)
			}
		})
	}
}

func purge(t *testing.T, b *bus.Bus) {
	t.Helper()
	s, err := b.JS.Stream(context.Background(), bus.StreamFlows)
	if err == nil {
		err = s.Purge(context.Background())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestStreamFraming writes the same messages in pieces of many sizes.
func TestStreamFraming(t *testing.T) {
	b := startNATS(t).connect()
	c := start(t, testConfig(), Deps{Bus: b})
	var want []schema.Record
	for i, piece := range []int{1, 3, 15, 17, 1000, 1 << 20} {
		e := newExporter(uint32(i))
		var stream bytes.Buffer
		stream.Write(e.template())
		for i := range 5 {
			stream.Write(e.data(20*i, 20))
		}
		conn := dial(t, "tcp", c.address("tcp"))
		for part := range slices.Chunk(stream.Bytes(), piece) {
			send(t, conn, part)
		}
		conn.Close()
		want = append(want, wants(e, loopback, 0, 100)...)
	}
	c.published(len(want))
	sameRecords(t, readStream(t, b).records, want)
}

func TestBrokenStreamEndsItsConnectionOnly(t *testing.T) {
	b := startNATS(t).connect()
	c := start(t, testConfig(), Deps{Bus: b})
	good, bad := newExporter(1), newExporter(2)
	goodConn, badConn := dial(t, "tcp", c.address("tcp")), dial(t, "tcp", c.address("tcp"))
	send(t, goodConn, good.template())
	send(t, badConn, bad.template(), bad.data(0, 20), []byte("GET / HTTP/1.1\r\nHost: example\r\n\r\n"))
	closedByPeer(t, badConn)
	send(t, goodConn, good.data(0, 20))
	c.published(40)
	sameRecords(t, readStream(t, b).records, append(wants(good, loopback, 0, 20), wants(bad, loopback, 0, 20)...))
	if n := c.log.count("closed a connection"); n != 1 {
		t.Errorf("%d log lines about the connection, want 1", n)
	}
	if !strings.Contains(c.log.String(), "version 18245, not 10") {
		t.Error("the log does not say what was wrong")
	}
	l := c.Status().Listeners[1]
	want := ListenerStatus{Transport: "tcp", Address: l.Address, Messages: 4, Connections: 1, Accepted: 2, Broken: 1}
	if d := gocmp.Diff(want, l, cmpopts.IgnoreFields(ListenerStatus{}, "Bytes")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestConnectionLimits(t *testing.T) {
	b := startNATS(t).connect()
	cfg := testConfig()
	cfg.TCP.MaxConnections = 2
	cfg.TCP.IdleTimeout = time.Second
	c := start(t, cfg, Deps{Bus: b})
	var conns []net.Conn
	for range 2 {
		conns = append(conns, dial(t, "tcp", c.address("tcp")))
	}
	eventually(t, "two connections", func() bool { return c.Status().Listeners[1].Connections == 2 })
	over := dial(t, "tcp", c.address("tcp"))
	closedByPeer(t, over)
	eventually(t, "the refusal is counted", func() bool { return c.Status().Listeners[1].Refused == 1 })
	for _, conn := range conns { // they send nothing
		closedByPeer(t, conn)
	}
	eventually(t, "no connections", func() bool { return c.Status().Listeners[1].Connections == 0 })
}

func TestTLS(t *testing.T) {
	b := startNATS(t).connect()
	ca := newAuthority(t)
	cfg := testConfig()
	cfg.TLS.Cert, cfg.TLS.Key = ca.issue(t, "collector")
	cfg.TLS.ClientCA = ca.file
	c := start(t, cfg, Deps{Bus: b})

	clientCert, clientKey := ca.issue(t, "exporter")
	pair, err := tls.LoadX509KeyPair(clientCert, clientKey)
	if err != nil {
		t.Fatal(err)
	}
	e := newExporter(1)
	conn := dialTLS(t, c.address("tls"), &tls.Config{RootCAs: ca.pool, ServerName: "localhost", Certificates: []tls.Certificate{pair}})
	all := slices.Concat(e.template(), e.data(0, 20))
	send(t, conn, all[:100], all[100:])
	c.published(20)
	sameRecords(t, readStream(t, b).records, wants(e, loopback, 0, 20))

	t.Run("without a client certificate", func(t *testing.T) {
		conn := dialTLS(t, c.address("tls"), &tls.Config{RootCAs: ca.pool, ServerName: "localhost"})
		closedByPeer(t, conn)
		eventually(t, "the refusal is counted", func() bool { return c.Status().Listeners[2].Broken == 1 })
	})
	t.Run("certificate replaced", func(t *testing.T) {
		ca.issueTo(t, "collector", cfg.TLS.Cert, cfg.TLS.Key)
		conn := dialTLS(t, c.address("tls"), &tls.Config{RootCAs: ca.pool, ServerName: "localhost", Certificates: []tls.Certificate{pair}})
		if got := conn.ConnectionState().PeerCertificates[0].SerialNumber; got.Cmp(ca.serial) != 0 {
			t.Errorf("certificate %v, want the new one, %v", got, ca.serial)
		}
	})
}

func TestAllowList(t *testing.T) {
	b := startNATS(t).connect()
	cfg := testConfig()
	cfg.Allow = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	c := start(t, cfg, Deps{Bus: b})
	stranger := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	bad, err := stranger.Dial("udp", c.address("udp"))
	if err != nil {
		t.Fatal(err)
	}
	defer bad.Close()
	e, f := newExporter(1), newExporter(2)
	send(t, bad, f.template(), f.data(0, 20))
	good := c.udp()
	send(t, good, e.template(), e.data(0, 20))
	stranger.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}
	badTCP, err := stranger.Dial("tcp", c.address("tcp"))
	if err != nil {
		t.Fatal(err)
	}
	defer badTCP.Close()
	closedByPeer(t, badTCP)
	c.published(20)
	sameRecords(t, readStream(t, b).records, wants(e, loopback, 0, 20))
	want := DeniedStatus{Total: 3, Exporters: map[netip.Addr]uint64{netip.MustParseAddr("127.0.0.2"): 3}}
	if d := gocmp.Diff(want, c.Status().Denied, gocmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestGarbageDisturbsNobody(t *testing.T) {
	b := startNATS(t).connect()
	c := start(t, testConfig(), Deps{Bus: b})
	conn, garbage := c.udp(), c.udp()
	e := newExporter(1)
	send(t, conn, e.template())
	var want []schema.Record
	for i := range 50 {
		send(t, garbage, []byte{}, []byte("hello"), bytes.Repeat([]byte{0xff}, 1400), make([]byte, 20))
		send(t, conn, e.data(20*i, 20))
		want = append(want, wants(e, loopback, 20*i, 20)...)
	}
	c.published(len(want))
	sameRecords(t, readStream(t, b).records, want)
	if d := gocmp.Diff(map[string]uint64{"short-message": 100, "version": 100}, c.Status().Errors); d != "" {
		t.Errorf("errors (-want +got):\n%s", d)
	}
	if n := c.log.count("was not decoded"); n != 2*burstSize {
		t.Errorf("%d log lines for 200 bad datagrams, want %d for each reason", n, burstSize)
	}
}

// TestStopKeepsWhatWasReceived stops while datagrams still lie in the socket.
func TestStopKeepsWhatWasReceived(t *testing.T) {
	b := startNATS(t).connect()
	cfg := testConfig()
	cfg.Batch.MaxAge = time.Hour
	c := start(t, cfg, Deps{Bus: b})
	udp, tcp := newExporter(1), newExporter(2)
	conn, stream := c.udp(), dial(t, "tcp", c.address("tcp"))
	send(t, stream, tcp.template())
	eventually(t, "the connection is accepted", func() bool { return c.Status().Listeners[1].Messages == 1 })
	send(t, conn, udp.template())
	for _, l := range c.lanes { // It looks as though decoding took long.
		l.mu.Lock()
	}
	for i := range 200 { // more than the connection's buffer holds
		send(t, stream, tcp.data(20*i, 20))
	}
	for i := range 500 {
		send(t, conn, udp.data(20*i, 20))
	}
	c.closeListeners()
	for _, l := range c.lanes {
		l.mu.Unlock()
	}
	c.stop()
	sameRecords(t, readStream(t, b).records, append(wants(udp, loopback, 0, 10_000), wants(tcp, loopback, 0, 4000)...))
	if err := c.Ready(); err == nil {
		t.Error("ready after the end")
	}
}

func TestTemplatesOutliveARestart(t *testing.T) {
	b := startNATS(t).connect()
	dir := t.TempDir()
	c := start(t, testConfig(), Deps{Bus: b, Dir: dir})
	from := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}}
	conn, err := from.Dial("udp", c.address("udp"))
	if err != nil {
		t.Fatal(err)
	}
	e := newExporter(1)
	send(t, conn, e.template(), e.data(0, 20))
	c.published(20)
	c.stop()

	c = start(t, testConfig(), Deps{Bus: b, Dir: dir})
	from.LocalAddr = conn.LocalAddr()
	conn.Close()
	if conn, err = from.Dial("udp", c.address("udp")); err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	send(t, conn, e.data(20, 20)) // No template was sent.
	c.published(20)
	sameRecords(t, readStream(t, b).records, wants(e, loopback, 0, 40))
}

func TestAddressTaken(t *testing.T) {
	b := startNATS(t).connect()
	c := start(t, testConfig(), Deps{Bus: b})
	for _, transport := range []string{"udp", "tcp"} {
		cfg := testConfig()
		cfg.UDP.Listen, cfg.TCP.Listen = nil, nil
		if transport == "udp" {
			cfg.UDP.Listen = []string{c.address(transport)}
		} else {
			cfg.TCP.Listen = []string{c.address(transport)}
		}
		second, err := New(cfg, Deps{Bus: b})
		if err != nil {
			t.Fatal(err)
		}
		err = second.Run(context.Background())
		if err == nil || !strings.Contains(err.Error(), c.address(transport)) {
			t.Errorf("%s: error %v does not name the address", transport, err)
		}
		if second.Ready() == nil {
			t.Errorf("%s: ready all the same", transport)
		}
	}
}

func TestNotReadyBeforeRun(t *testing.T) {
	c, err := New(testConfig(), Deps{Bus: startNATS(t).connect()})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Ready(); !errors.Is(err, errNotStarted) {
		t.Errorf("Ready: %v", err)
	}
	if st := c.Status(); st.Ready != errNotStarted.Error() {
		t.Errorf("status %q", st.Ready)
	}
}
