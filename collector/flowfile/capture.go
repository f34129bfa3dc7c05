package flowfile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"time"

	"cordon/collector/ipfix"
	"cordon/schema"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/ip4defrag"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/gopacket/gopacket/reassembly"
)

// captureReader reads the IPFIX messages in a pcap or pcapng file, over UDP or
// TCP and whatever the port.
type captureReader struct {
	*source
	messages
	packets func() ([]byte, gopacket.CaptureInfo, error)
	link    layers.LinkType
	err     error // the error that ended it

	frames  map[layers.LinkType]*gopacket.DecodingLayerParser
	decoded []gopacket.LayerType
	eth     layers.Ethernet
	vlan    layers.Dot1Q
	sll     layers.LinuxSLL
	sll2    layers.LinuxSLL2
	null    layers.Loopback
	ip4     layers.IPv4
	ip6     layers.IPv6
	ext6    layers.IPv6ExtensionSkipper
	udp     layers.UDP
	tcp     layers.TCP

	fragments *ip4defrag.IPv4Defragmenter
	streams   *reassembly.Assembler
	sessions  uint64
	exporters map[netip.AddrPort]bool // UDP sources that have sent IPFIX
	at        int64                   // capture time of the current packet
	swept     time.Time               // time at which fragments and streams were last cleaned up

	count struct{ packets, messages, cut, fragments, link int }
}

// Bounds for what a capture can make the reader keep.
const (
	maxPages = 4096             // pages of out-of-order TCP data, about 2 KB each
	idle     = 30 * time.Second // missing bytes are not waited for any longer
	maxPause = 4 * time.Hour    // a TCP connection is forgotten after this
)

func newCapture(s *source, r io.Reader, kind string) (*captureReader, error) {
	c := &captureReader{
		source: s, messages: newMessages(schema.Micros(s.now)),
		frames:    make(map[layers.LinkType]*gopacket.DecodingLayerParser),
		fragments: ip4defrag.NewIPv4Defragmenter(),
		exporters: make(map[netip.AddrPort]bool),
	}
	c.streams = reassembly.NewAssembler(reassembly.NewStreamPool(c))
	c.streams.MaxBufferedPagesTotal = maxPages
	c.streams.MaxBufferedPagesPerConnection = maxPages / 4
	if kind == "pcap" {
		p, err := pcapgo.NewReader(r)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, unexpected(err))
		}
		c.link, c.packets = p.LinkType(), p.ReadPacketData
		return c, nil
	}
	p, err := pcapgo.NewNgReader(r, pcapgo.NgReaderOptions{WantMixedLinkType: true, SkipUnknownVersion: true})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, unexpected(err))
	}
	c.packets = p.ReadPacketData
	return c, nil
}

// unexpected makes an end of the file where it does not belong look like one.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (c *captureReader) Next(rec *schema.Record) error {
	for !c.pop(rec) {
		if c.err != nil {
			return c.err
		}
		data, info, err := c.packets()
		if err == nil {
			c.packet(data, info)
			continue
		}
		c.streams.FlushAll()
		c.err = c.end(err)
	}
	return nil
}

// end notes what the capture held beside flow records, and gives the error to end
// with.
func (c *captureReader) end(err error) error {
	n := &c.count
	if n.link > 0 {
		c.note("%d packets have a link type that is not read (Ethernet, Linux cooked, loopback and raw IP are)", n.link)
	}
	if n.cut > 0 {
		c.note("%d packets were cut short when captured; capture whole packets (tcpdump -s 0)", n.cut)
	}
	if n.fragments > 0 {
		c.note("%d fragments of IP packets could not be put together", n.fragments)
	}
	if n.messages > 0 {
		c.summarise(c.source)
	}
	switch {
	case err != io.EOF:
		return fmt.Errorf("%s: after packet %d: %w", c.name, n.packets, err)
	case n.messages == 0:
		return fmt.Errorf("%s: %d packets and no IPFIX in them; a capture of traffic is turned into flow records by an exporter: "+
			"run cordon up, then softflowd -r %s -v 10 -A milli -n 127.0.0.1:4739 -d -c none", c.name, n.packets, c.name)
	}
	return io.EOF
}

func (c *captureReader) packet(data []byte, info gopacket.CaptureInfo) {
	c.count.packets++
	c.at = schema.Micros(info.Timestamp)
	if d := info.Timestamp.Sub(c.swept); d > idle || d < -idle {
		c.sweep(info.Timestamp)
	}
	link := c.link
	if len(info.AncillaryData) > 0 {
		link, _ = info.AncillaryData[0].(layers.LinkType)
	}
	parser := c.parser(link, data)
	if parser == nil {
		c.count.link++
		return
	}
	if info.CaptureLength < info.Length {
		c.count.cut++
	}
	// An error means that the packet is damaged, and then it is no IPFIX.
	if err := parser.DecodeLayers(data, &c.decoded); err == nil {
		c.layers(info)
	}
}

// sweep gives up on fragments and segments whose missing parts did not come.
func (c *captureReader) sweep(now time.Time) {
	c.count.fragments += c.fragments.DiscardOlderThan(now.Add(-idle))
	// A session of IPFIX may pause for long, and has sent its templates before.
	c.streams.FlushWithOptions(reassembly.FlushOptions{T: now.Add(-idle), TC: now.Add(-maxPause)})
	c.swept = now
}

// parser gives the parser for packets of a link type, nil if there is none.
func (c *captureReader) parser(link layers.LinkType, data []byte) *gopacket.DecodingLayerParser {
	switch link {
	case layers.LinkTypeRaw, 12, 14: // 12 and 14 are what raw IP is on some systems
		link = layers.LinkTypeIPv4
		if len(data) > 0 && data[0]>>4 == 6 {
			link = layers.LinkTypeIPv6
		}
	case layers.LinkTypeLoop:
		link = layers.LinkTypeNull
	}
	if p := c.frames[link]; p != nil {
		return p
	}
	var first gopacket.LayerType
	switch link {
	case layers.LinkTypeEthernet:
		first = layers.LayerTypeEthernet
	case layers.LinkTypeLinuxSLL:
		first = layers.LayerTypeLinuxSLL
	case layers.LinkTypeLinuxSLL2:
		first = layers.LayerTypeLinuxSLL2
	case layers.LinkTypeNull:
		first = layers.LayerTypeLoopback
	case layers.LinkTypeIPv4:
		first = layers.LayerTypeIPv4
	case layers.LinkTypeIPv6:
		first = layers.LayerTypeIPv6
	default:
		return nil
	}
	p := gopacket.NewDecodingLayerParser(first, &c.eth, &c.vlan, &c.sll, &c.sll2, &c.null, &c.ip4, &c.ip6, &c.ext6, &c.udp, &c.tcp)
	p.IgnoreUnsupported = true
	c.frames[link] = p
	return p
}

// layers looks at the layers of the packet that was just decoded.
func (c *captureReader) layers(info gopacket.CaptureInfo) {
	var flow gopacket.Flow
	var src netip.Addr
	for _, l := range c.decoded {
		switch l {
		case layers.LayerTypeIPv4:
			flow = c.ip4.NetworkFlow()
			src, _ = netip.AddrFromSlice(c.ip4.SrcIP)
			if c.ip4.Flags&layers.IPv4MoreFragments != 0 || c.ip4.FragOffset > 0 {
				c.fragment(src, info.Timestamp)
				return
			}
		case layers.LayerTypeIPv6:
			flow = c.ip6.NetworkFlow()
			src, _ = netip.AddrFromSlice(c.ip6.SrcIP)
			if c.ip6.NextHeader == layers.IPProtocolIPv6Fragment {
				c.count.fragments++
				return
			}
		case layers.LayerTypeUDP:
			c.datagram(netip.AddrPortFrom(src, uint16(c.udp.SrcPort)), c.udp.Payload)
		case layers.LayerTypeTCP:
			// The addresses are in the flow, and Accept wants the source as such.
			c.streams.AssembleWithContext(flow, &c.tcp, &packetContext{info, netip.AddrPortFrom(src, uint16(c.tcp.SrcPort))})
		}
	}
}

// fragment keeps the fragment in c.ip4, and takes the datagram that it completes.
func (c *captureReader) fragment(src netip.Addr, at time.Time) {
	part := c.ip4
	part.Payload = bytes.Clone(c.ip4.Payload)
	whole, err := c.fragments.DefragIPv4WithTimestamp(&part, at)
	switch {
	case err != nil:
		c.count.fragments++
	case whole != nil && whole.Protocol == layers.IPProtocolUDP:
		if err := c.udp.DecodeFromBytes(whole.Payload, gopacket.NilDecodeFeedback); err == nil {
			c.datagram(netip.AddrPortFrom(src, uint16(c.udp.SrcPort)), c.udp.Payload)
		}
	}
}

// datagram takes the payload of a UDP packet if it is IPFIX, or comes from where
// IPFIX has come from.
func (c *captureReader) datagram(src netip.AddrPort, payload []byte) {
	if !c.exporters[src] {
		if !plausible(payload) {
			return
		}
		if length := int(binary.BigEndian.Uint16(payload[2:])); len(payload) < length-lengthError || len(payload) > length+lengthError {
			return
		}
		c.exporters[src] = true
	}
	c.message(ipfix.Source{Addr: src, Transport: ipfix.UDP}, payload)
}

func (c *captureReader) message(src ipfix.Source, msg []byte) {
	c.count.messages++
	c.decode(src, msg, c.at)
}

const (
	messageHeader = 16                // bytes
	minMessage    = messageHeader + 4 // a message and the header of a set
	lengthError   = 4                 // bytes by which the message length of some exporters is off
)

// plausible tells the beginning of an IPFIX message, at least minMessage bytes of
// it, from other payload: version 10, then a set of a kind that there is and that
// fits into the message.
func plausible(b []byte) bool {
	if len(b) < minMessage || binary.BigEndian.Uint16(b) != 10 {
		return false
	}
	length := int(binary.BigEndian.Uint16(b[2:]))
	set, setLength := binary.BigEndian.Uint16(b[16:]), int(binary.BigEndian.Uint16(b[18:]))
	return (set == 2 || set == 3 || set >= 256) && setLength >= 4 && messageHeader+setLength <= length+lengthError
}

// packetContext is what a TCP segment takes through reassembly.
type packetContext struct {
	info gopacket.CaptureInfo
	src  netip.AddrPort
}

func (p *packetContext) GetCaptureInfo() gopacket.CaptureInfo { return p.info }

// New makes the stream of a TCP connection; it implements
// [reassembly.StreamFactory].
func (c *captureReader) New(_, _ gopacket.Flow, _ *layers.TCP, ac reassembly.AssemblerContext) reassembly.Stream {
	s := &stream{capture: c}
	s.halves[0].src = ac.(*packetContext).src // the first packet's direction is called client to server
	return s
}

// stream is a TCP connection, of which one side may send IPFIX.
type stream struct {
	capture *captureReader
	halves  [2]half
}

// half is one direction of a connection.
type half struct {
	src     netip.AddrPort
	session uint64 // set once IPFIX was seen
	partial []byte // the beginning of a message
	lost    bool   // it is not known where the next message begins
}

func side(d reassembly.TCPFlowDirection) int {
	if d == reassembly.TCPDirClientToServer {
		return 0
	}
	return 1
}

// Accept implements [reassembly.Stream]. Captures may begin amid a connection.
func (s *stream) Accept(_ *layers.TCP, _ gopacket.CaptureInfo, d reassembly.TCPFlowDirection, _ reassembly.Sequence, start *bool, ac reassembly.AssemblerContext) bool {
	*start = true
	s.halves[side(d)].src = ac.(*packetContext).src
	return true
}

// ReassembledSG implements [reassembly.Stream].
func (s *stream) ReassembledSG(sg reassembly.ScatterGather, _ reassembly.AssemblerContext) {
	d, _, _, skip := sg.Info()
	n, _ := sg.Lengths()
	s.halves[side(d)].take(s.capture, sg.Fetch(n), skip != 0)
}

// ReassemblyComplete implements [reassembly.Stream].
func (s *stream) ReassemblyComplete(reassembly.AssemblerContext) bool { return true }

// resume gives the offset of the first message in data, -1 if there is none. Only
// where messages have been seen is it looked for anywhere but at the beginning.
func (h *half) resume(data []byte) int {
	for i := 0; i <= len(data)-minMessage && (i == 0 || h.session > 0); i++ {
		if !plausible(data[i:]) {
			continue
		}
		next := i + int(binary.BigEndian.Uint16(data[i+2:]))
		if next+1 >= len(data) || binary.BigEndian.Uint16(data[next:]) == 10 {
			return i
		}
	}
	return -1
}

// take adds bytes in order and takes the messages that they complete. After a gap
// it goes on at the next message.
func (h *half) take(c *captureReader, data []byte, gap bool) {
	if gap {
		h.partial, h.lost = h.partial[:0], true
	}
	if h.lost {
		i := h.resume(data)
		if i < 0 {
			return
		}
		data, h.lost = data[i:], false
	}
	b := data
	if len(h.partial) > 0 {
		h.partial = append(h.partial, data...)
		b = h.partial
	}
	for len(b) >= minMessage || h.session > 0 && len(b) >= messageHeader {
		if h.session == 0 && !plausible(b) || binary.BigEndian.Uint16(b) != 10 || binary.BigEndian.Uint16(b[2:]) < messageHeader {
			h.partial, h.lost = nil, true
			return
		}
		length := int(binary.BigEndian.Uint16(b[2:]))
		if length > len(b) {
			break
		}
		if h.session == 0 {
			c.sessions++
			h.session = c.sessions
		}
		c.message(ipfix.Source{Addr: h.src, Transport: ipfix.TCP, Session: h.session}, b[:length])
		b = b[length:]
	}
	h.partial = append(h.partial[:0], b...) // b may be its end: append copies as memmove does
}
