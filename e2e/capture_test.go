package e2e

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// capture writes packets of made-up conversations to a pcap file.
type capture struct {
	t   *testing.T
	w   *pcapgo.Writer
	now time.Time
}

// makeCapture writes a capture with TCP sessions that complete, that are
// refused and that get no answer, DNS and NTP over UDP, ICMP echo and IPv6.
func makeCapture(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "made.pcap")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c := &capture{t: t, w: pcapgo.NewWriter(f), now: time.Date(2026, 11, 19, 9, 0, 0, 0, time.UTC)}
	if err := c.w.WriteFileHeader(65535, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		client := net.IPv4(10, 1, 0, byte(1+i)).To4()
		port := uint16(40000 + 17*i)
		c.tcpSession(client, net.IPv4(10, 2, 0, byte(1+i%3)).To4(), port, 443, 2+i%5)
		c.udpExchange(client, net.IPv4(10, 3, 0, 53).To4(), port+1, 53, 1)
		if i%4 == 0 {
			c.udpExchange(client, net.IPv4(10, 3, 0, 123).To4(), 123, 123, 2)
			c.tcpAttempt(client, net.IPv4(10, 2, 0, 9).To4(), port+2, 22, false)
		}
		if i%5 == 0 {
			c.tcpAttempt(client, net.IPv4(10, 2, 0, 8).To4(), port+3, 8443, true)
			c.ping(client, net.IPv4(10, 2, 0, 1).To4(), uint16(i))
		}
		if i%3 == 0 {
			v6 := net.ParseIP("2001:db8:1::1")
			v6[15] = byte(i + 1)
			c.tcpSession(v6, net.ParseIP("2001:db8:2::80"), port+4, 80, 3)
			c.udpExchange(v6, net.ParseIP("2001:db8:3::53"), port+5, 53, 1)
		}
	}
	return name
}

func (c *capture) write(ls ...gopacket.SerializableLayer) {
	c.t.Helper()
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...); err != nil {
		c.t.Fatal(err)
	}
	c.now = c.now.Add(7 * time.Millisecond)
	data := buf.Bytes()
	if err := c.w.WritePacket(gopacket.CaptureInfo{Timestamp: c.now, CaptureLength: len(data), Length: len(data)}, data); err != nil {
		c.t.Fatal(err)
	}
}

// ip gives the Ethernet and IP layers of a packet from src to dst.
func (c *capture) ip(src, dst net.IP, proto layers.IPProtocol) (gopacket.SerializableLayer, gopacket.NetworkLayer) {
	eth := &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4}
	if v4 := src.To4(); v4 != nil {
		return eth, &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: proto, SrcIP: v4, DstIP: dst.To4()}
	}
	eth.EthernetType = layers.EthernetTypeIPv6
	return eth, &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: proto, SrcIP: src, DstIP: dst}
}

func (c *capture) tcp(src, dst net.IP, sport, dport uint16, flags string, payload int) {
	c.t.Helper()
	eth, ip := c.ip(src, dst, layers.IPProtocolTCP)
	tcp := &layers.TCP{SrcPort: layers.TCPPort(sport), DstPort: layers.TCPPort(dport), Window: 1024}
	for _, f := range flags {
		switch f {
		case 'S':
			tcp.SYN = true
		case 'A':
			tcp.ACK = true
		case 'F':
			tcp.FIN = true
		case 'R':
			tcp.RST = true
		case 'P':
			tcp.PSH = true
		}
	}
	tcp.SetNetworkLayerForChecksum(ip)
	c.write(eth, ip.(gopacket.SerializableLayer), tcp, gopacket.Payload(make([]byte, payload)))
}

func (c *capture) tcpSession(client, server net.IP, cport, sport uint16, exchanges int) {
	c.tcp(client, server, cport, sport, "S", 0)
	c.tcp(server, client, sport, cport, "SA", 0)
	c.tcp(client, server, cport, sport, "A", 0)
	for i := range exchanges {
		c.tcp(client, server, cport, sport, "PA", 100+i)
		c.tcp(server, client, sport, cport, "PA", 900+i)
	}
	c.tcp(client, server, cport, sport, "FA", 0)
	c.tcp(server, client, sport, cport, "FA", 0)
	c.tcp(client, server, cport, sport, "A", 0)
}

// tcpAttempt is a SYN, answered by a reset or not at all.
func (c *capture) tcpAttempt(client, server net.IP, cport, sport uint16, refused bool) {
	for range 2 {
		c.tcp(client, server, cport, sport, "S", 0)
		if refused {
			c.tcp(server, client, sport, cport, "RA", 0)
		}
	}
}

func (c *capture) udp(src, dst net.IP, sport, dport uint16, payload int) {
	eth, ip := c.ip(src, dst, layers.IPProtocolUDP)
	udp := &layers.UDP{SrcPort: layers.UDPPort(sport), DstPort: layers.UDPPort(dport)}
	udp.SetNetworkLayerForChecksum(ip)
	c.write(eth, ip.(gopacket.SerializableLayer), udp, gopacket.Payload(make([]byte, payload)))
}

func (c *capture) udpExchange(client, server net.IP, cport, sport uint16, times int) {
	for range times {
		c.udp(client, server, cport, sport, 40)
		c.udp(server, client, sport, cport, 120)
	}
}

func (c *capture) ping(client, server net.IP, id uint16) {
	for seq := range uint16(2) {
		for _, dir := range []struct {
			src, dst net.IP
			typ      uint8
		}{{client, server, layers.ICMPv4TypeEchoRequest}, {server, client, layers.ICMPv4TypeEchoReply}} {
			eth, ip := c.ip(dir.src, dir.dst, layers.IPProtocolICMPv4)
			c.write(eth, ip.(gopacket.SerializableLayer),
				&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(dir.typ, 0), Id: id, Seq: seq}, gopacket.Payload(make([]byte, 56)))
		}
	}
}
