package flowfile

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cordon/schema"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// Every stream of a real exporter, as a capture or as a file of messages, gives
// the records on which independent decoders agree.
func TestRealExporters(t *testing.T) {
	dir := filepath.Join("..", "..", "..", "shared", "data", "ipfix")
	index, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Skipf("the streams of real exporters are not here: %v", err)
	}
	var cases []struct {
		Name        string
		Files       []string
		DataRecords int `json:"data_records"`
	}
	if err := json.Unmarshal(index, &cases); err != nil {
		t.Fatal(err)
	}
	for i, c := range cases {
		t.Run(fmt.Sprintf("%d %s", i, c.Name), func(t *testing.T) {
			want := c.DataRecords
			switch {
			case c.Name == "issue_14370":
				want = 0 // its template has times of no bytes, and its data has them
			case i == 12:
				want = 6 // the same records before and after their templates: in a file, the first wait
			}
			var data []byte
			for _, f := range c.Files {
				b, err := os.ReadFile(filepath.Join(dir, f))
				if err != nil {
					t.Fatal(err)
				}
				data = append(data, b...)
			}
			r, err := newReader(c.Name, bytes.NewReader(data), 0, importTime, importTime)
			if err != nil {
				t.Fatal(err)
			}
			recs, _ := all(t, r)
			notFlows := 0
			for _, n := range r.Notes() {
				if strings.Contains(n, "data records have no source") {
					fmt.Sscan(strings.TrimPrefix(n, c.Name+": "), &notFlows)
				}
			}
			if len(recs)+notFlows != want {
				t.Errorf("%d records and %d that are no flows, want %d; notes %q", len(recs), notFlows, want, r.Notes())
			}
			for i := range recs {
				if recs[i].Received != schema.Micros(importTime) {
					t.Fatalf("received %d, not the time of import", recs[i].Received)
				}
			}
		})
	}
}

// message makes an IPFIX message with a template for, and one record of, a flow
// between 10.0.0.1 and 10.0.0.2 with n octets.
func message(sequence uint32, n ...uint32) []byte {
	var b []byte
	put := binary.BigEndian.AppendUint16
	b = put(b, 10)
	b = put(b, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(importTime.Unix()))
	b = binary.BigEndian.AppendUint32(b, sequence)
	b = binary.BigEndian.AppendUint32(b, 1)
	for _, v := range []uint16{2, 24, 256, 4, 8, 4, 12, 4, 4, 1, 1, 4} {
		b = put(b, v)
	}
	b = put(b, 256)
	b = put(b, uint16(4+13*len(n)))
	for _, n := range n {
		b = append(b, 10, 0, 0, 1, 10, 0, 0, 2, 17)
		b = binary.BigEndian.AppendUint32(b, n)
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

// octetsOf gives the octets of the records of a capture, by which message tells
// them apart.
func octetsOf(t *testing.T, capture []byte) []uint64 {
	t.Helper()
	r, err := newReader("c.pcap", bytes.NewReader(capture), 0, importTime, importTime)
	if err != nil {
		t.Fatal(err)
	}
	recs, _ := all(t, r)
	got := []uint64{}
	for _, rec := range recs {
		if rec.Exporter != addr("192.0.2.1") && rec.Exporter != addr("2001:db8::1") {
			t.Errorf("exporter %v", schema.Addr(rec.Exporter))
		}
		got = append(got, rec.Bytes)
	}
	return got
}

type packetMaker struct {
	link layers.LinkType
	v6   bool
	vlan bool
}

// frame makes a packet from 192.0.2.1 (or 2001:db8::1) around a transport layer.
func (m packetMaker) frame(t *testing.T, proto layers.IPProtocol, transport ...gopacket.SerializableLayer) []byte {
	t.Helper()
	var ls []gopacket.SerializableLayer
	ether := layers.EthernetTypeIPv4
	if m.v6 {
		ether = layers.EthernetTypeIPv6
	}
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	switch m.link {
	case layers.LinkTypeEthernet:
		if m.vlan {
			ls = append(ls, &layers.Ethernet{SrcMAC: mac, DstMAC: mac, EthernetType: layers.EthernetTypeDot1Q}, &layers.Dot1Q{VLANIdentifier: 7, Type: ether})
		} else {
			ls = append(ls, &layers.Ethernet{SrcMAC: mac, DstMAC: mac, EthernetType: ether})
		}
	case layers.LinkTypeNull:
		ls = append(ls, gopacket.Payload{2, 0, 0, 0})
	case layers.LinkTypeLinuxSLL:
		ls = append(ls, gopacket.Payload{0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0})
	case layers.LinkTypeLinuxSLL2:
		ls = append(ls, gopacket.Payload{8, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0})
	}
	var network gopacket.NetworkLayer
	if m.v6 {
		ip := &layers.IPv6{Version: 6, NextHeader: proto, HopLimit: 9, SrcIP: net.ParseIP("2001:db8::1"), DstIP: net.ParseIP("2001:db8::2")}
		network, ls = ip, append(ls, ip)
	} else {
		ip := &layers.IPv4{Version: 4, IHL: 5, TTL: 9, Protocol: proto, SrcIP: net.IP{192, 0, 2, 1}, DstIP: net.IP{192, 0, 2, 2}}
		network, ls = ip, append(ls, ip)
	}
	for _, l := range transport {
		switch l := l.(type) {
		case *layers.UDP:
			l.SetNetworkLayerForChecksum(network)
		case *layers.TCP:
			l.SetNetworkLayerForChecksum(network)
		}
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, append(ls, transport...)...); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(b.Bytes())
}

func (m packetMaker) datagram(t *testing.T, payload []byte) []byte {
	return m.frame(t, layers.IPProtocolUDP, &layers.UDP{SrcPort: 9999, DstPort: 2055}, gopacket.Payload(payload))
}

func (m packetMaker) segment(t *testing.T, seq uint32, flags string, payload []byte) []byte {
	return m.frame(t, layers.IPProtocolTCP, &layers.TCP{
		SrcPort: 9999, DstPort: 4739, Seq: seq, Window: 1000,
		SYN: strings.Contains(flags, "S"), FIN: strings.Contains(flags, "F"), ACK: !strings.Contains(flags, "S"),
	}, gopacket.Payload(payload))
}

// capture writes packets, a second apart, as pcap or pcapng.
func capture(t *testing.T, link layers.LinkType, ng bool, packets ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var write func(ci gopacket.CaptureInfo, data []byte) error
	if ng {
		w, err := pcapgo.NewNgWriter(&b, link)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Flush()
		write = func(ci gopacket.CaptureInfo, data []byte) error {
			if err := w.WritePacket(ci, data); err != nil {
				return err
			}
			return w.Flush()
		}
	} else {
		w := pcapgo.NewWriter(&b)
		if err := w.WriteFileHeader(65535, link); err != nil {
			t.Fatal(err)
		}
		write = w.WritePacket
	}
	for i, p := range packets {
		at := importTime.Add(time.Duration(i) * time.Second)
		if err := write(gopacket.CaptureInfo{Timestamp: at, CaptureLength: len(p), Length: len(p)}, p); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func TestLinkTypes(t *testing.T) {
	for _, m := range []packetMaker{
		{link: layers.LinkTypeEthernet}, {link: layers.LinkTypeEthernet, vlan: true}, {link: layers.LinkTypeEthernet, v6: true, vlan: true},
		{link: layers.LinkTypeRaw}, {link: layers.LinkTypeRaw, v6: true}, {link: layers.LinkTypeIPv4}, {link: layers.LinkTypeIPv6, v6: true},
		{link: layers.LinkTypeNull}, {link: layers.LinkTypeLinuxSLL}, {link: layers.LinkTypeLinuxSLL2},
	} {
		for _, ng := range []bool{false, true} {
			packets := [][]byte{
				m.datagram(t, []byte("not IPFIX")), m.datagram(t, message(0, 1, 2)), m.datagram(t, message(2, 3)), m.segment(t, 5, "", message(0, 4)),
			}
			if got, want := octetsOf(t, capture(t, m.link, ng, packets...)), []uint64{1, 2, 3, 4}; !slices.Equal(got, want) {
				t.Errorf("%+v, pcapng %v: records %v, want %v", m, ng, got, want)
			}
		}
	}
}

func TestTCPStreams(t *testing.T) {
	m := packetMaker{link: layers.LinkTypeRaw}
	one, two, three := message(0, 1, 2), message(2, 3), message(3, 4)
	data := slices.Concat(one, two, three)
	at := func(i, j int) []byte { return m.segment(t, 101+uint32(i), "", data[i:j]) }
	syn, n := m.segment(t, 100, "S", nil), len(data)
	tests := []struct {
		name    string
		packets [][]byte
		want    []uint64
	}{
		{"in order", [][]byte{syn, at(0, n)}, []uint64{1, 2, 3, 4}},
		{"in small pieces", [][]byte{syn, at(0, 7), at(7, 19), at(19, 70), at(70, 71), at(71, n)}, []uint64{1, 2, 3, 4}},
		{"out of order", [][]byte{syn, at(50, n), at(20, 50), at(0, 20)}, []uint64{1, 2, 3, 4}},
		{"sent twice", [][]byte{syn, at(0, 50), at(0, 50), at(30, 80), at(80, n), at(0, n)}, []uint64{1, 2, 3, 4}},
		{"without a beginning", [][]byte{at(0, n)}, []uint64{1, 2, 3, 4}},
		{"begins amid a message", [][]byte{at(5, len(one)), at(len(one), n)}, []uint64{3, 4}},
		{"a segment is missing", [][]byte{syn, at(0, len(one)), at(len(one)+30, len(one)+len(two)), at(len(one)+len(two), n)}, []uint64{1, 2, 4}},
		{"ends amid a message", [][]byte{syn, at(0, n-1)}, []uint64{1, 2, 3}},
	}
	for _, test := range tests {
		// A plain datagram of IPFIX lets captures with nothing else be no error.
		packets := append([][]byte{m.datagram(t, message(9, 99))}, test.packets...)
		if got, want := octetsOf(t, capture(t, m.link, false, packets...)), append([]uint64{99}, test.want...); !slices.Equal(got, want) {
			t.Errorf("%s: records %v, want %v", test.name, got, want)
		}
	}
}

func TestFragments(t *testing.T) {
	m := packetMaker{link: layers.LinkTypeRaw}
	whole := m.datagram(t, message(0, 1, 2, 3, 4, 5))
	fragment := func(from, to int, more bool) []byte {
		p := slices.Concat(whole[:20], whole[20+from:20+to])
		binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
		off := uint16(from / 8)
		if more {
			off |= 0x2000
		}
		binary.BigEndian.PutUint16(p[6:], off)
		return p
	}
	end := len(whole) - 20
	got := octetsOf(t, capture(t, m.link, false, fragment(48, end, false), fragment(0, 24, true), fragment(24, 48, true)))
	if want := []uint64{1, 2, 3, 4, 5}; !slices.Equal(got, want) {
		t.Errorf("records %v, want %v", got, want)
	}
}

func TestCaptureErrorsAndNotes(t *testing.T) {
	m := packetMaker{link: layers.LinkTypeEthernet}
	good := m.datagram(t, message(0, 1))
	read := func(data []byte) (records int, notes []string, err error) {
		r, err := newReader("c.pcap", bytes.NewReader(data), 0, importTime, importTime)
		if err != nil {
			return 0, nil, err
		}
		var rec schema.Record
		for err = r.Next(&rec); err == nil; err = r.Next(&rec) {
			records++
		}
		return records, r.Notes(), err
	}
	var got strings.Builder
	for _, test := range []struct {
		name string
		data []byte
	}{
		{"no IPFIX", capture(t, m.link, false, m.datagram(t, []byte("hello")), m.segment(t, 1, "S", nil))},
		{"no packets", capture(t, m.link, false)},
		{"cut short", capture(t, m.link, false, good, good)[:24+16+len(good)+30]},
		{"header cut short", capture(t, m.link, false)[:20]},
		{"pcapng header cut short", capture(t, m.link, true, good)[:20]},
		{"wrong link type", capture(t, layers.LinkTypeDOCSIS, false, good)},
		{"the same packet twice", capture(t, m.link, false, good, good)},
		{"lost messages", capture(t, m.link, false, good, m.datagram(t, message(50, 2)))},
		{"a bad message after a good one", capture(t, m.link, false, good, m.datagram(t, []byte("what is this? it is long enough")), m.datagram(t, message(1, 2)))},
		{"one way of two link types", capture(t, layers.LinkTypeLinuxSLL, true, packetMaker{link: layers.LinkTypeLinuxSLL}.datagram(t, message(0, 1)))},
		{"IPFIX file", slices.Concat(message(0, 1), message(1, 2))},
		{"IPFIX file cut short", slices.Concat(message(0, 1), message(1, 2)[:30])},
		{"IPFIX file with something else after it", slices.Concat(message(0, 1), bytes.Repeat([]byte("x"), 30))},
		{"IPFIX file without template", slices.Concat(message(0, 1)[:16], message(0, 1)[40:])},
	} {
		if test.name == "IPFIX file without template" {
			binary.BigEndian.PutUint16(test.data[2:], uint16(len(test.data)))
		}
		n, notes, err := read(test.data)
		fmt.Fprintf(&got, "%s: %d records\n", test.name, n)
		if err != io.EOF {
			fmt.Fprintf(&got, "  error: %v\n", err)
		}
		for _, note := range notes {
			fmt.Fprintf(&got, "  note: %s\n", note)
		}
	}
	golden(t, "captures.golden", got.String())
}

func FuzzOpen(f *testing.F) {
	t := &testing.T{}
	m := packetMaker{link: layers.LinkTypeEthernet}
	f.Add(capture(t, m.link, false, m.datagram(t, message(0, 1)), m.segment(t, 7, "", message(0, 1))))
	f.Add(capture(t, m.link, true, m.datagram(t, message(0, 1)), m.segment(t, 7, "", message(0, 1))))
	f.Add(message(0, 1, 2))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := newReader("f", bytes.NewReader(data), 0, importTime, importTime)
		if err != nil {
			return
		}
		defer r.Close()
		var rec schema.Record
		for range 100_000 {
			err := r.Next(&rec)
			if _, ok := err.(*RowError); err != nil && !ok {
				return
			}
		}
		t.Fatal("no end")
	})
}
