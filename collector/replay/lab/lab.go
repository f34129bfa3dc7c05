// Package lab makes the flow records of a small network for the demo: wireless
// clients, a web application in two tiers, name and time servers, and what goes on
// beside them. The same seed gives the same records.
//
//	172.18.6.115-138   wireless clients
//	10.100.99.51, .52  web01, web02: HTTP to the clients, calling
//	10.100.99.50       appserver1 on tcp/4567
//	10.100.1.6, .7     DNS and NTP for all of them
//
// Beside that: SSH attempts without an answer, updates from the internet of which
// some get none, a port scan, pings, and the multicast and broadcast of every
// network.
package lab

import (
	_ "embed"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"cordon/internal/iana"
	"cordon/schema"
)

// Groups is a groups file for the lab.
//
//go:embed groups.yaml
var Groups string

// Duration is the time that the records cover.
const Duration = 2 * time.Hour

// activeTimeout is after how long a flow that goes on is reported in part.
const activeTimeout = 30 * time.Minute

// Node is a monitor node with the records that it reports, in the order of their
// end.
type Node struct {
	Name    string
	Addr    netip.Addr // a loopback address to send from, one for each node
	Domain  uint32     // observation domain id
	Biflow  bool       // it reports both directions in one record
	Records []schema.Record
}

// Nodes gives the two monitor nodes of the lab: one sees what the clients do and
// reports each direction by itself, the other sees what the servers do and reports
// biflows. The records begin at start.
func Nodes(seed uint64, start time.Time) []Node {
	wifi := node{start: schema.Micros(start), rng: rand.New(rand.NewPCG(seed, 1))}
	wifi.clients()
	wifi.scan()
	wifi.noise()
	servers := node{start: schema.Micros(start), rng: rand.New(rand.NewPCG(seed, 2))}
	servers.application()
	servers.updates()
	return []Node{
		{Name: "wifi", Addr: netip.AddrFrom4([4]byte{127, 0, 0, 2}), Domain: 1, Records: wifi.sorted()},
		{Name: "servers", Addr: netip.AddrFrom4([4]byte{127, 0, 0, 3}), Domain: 1, Biflow: true, Records: servers.sorted()},
	}
}

var (
	web01      = ip("10.100.99.51")
	web02      = ip("10.100.99.52")
	appserver1 = ip("10.100.99.50")
	resolvers  = [][16]byte{ip("10.100.1.6"), ip("10.100.1.7")} // they serve names and time
)

func ip(s string) [16]byte { return schema.Addr16(netip.MustParseAddr(s)) }

const (
	firstClient = 115
	lastClient  = 138
)

func client(host byte) [16]byte { return schema.Addr16(netip.AddrFrom4([4]byte{172, 18, 6, host})) }

// node makes the records of one monitor node.
type node struct {
	start   int64 // Unix microseconds
	rng     *rand.Rand
	records []schema.Record
}

// clients are what wireless clients do when nothing is wrong.
func (n *node) clients() {
	for host := byte(firstClient); host <= lastClient; host++ {
		c := client(host)
		n.often(4*time.Minute, func(at time.Duration) { n.dns(at, c, resolvers[n.rng.IntN(2)]) })
		n.often(30*time.Minute, func(at time.Duration) { n.ntp(at, c, n.ephemeral(), resolvers[host%2]) })
		n.often(12*time.Minute, func(at time.Duration) {
			n.tcp(at, n.upTo(3*time.Second), c, [][16]byte{web01, web02}[n.rng.IntN(2)], 80, 6, 399, 4+n.rng.Uint64N(20), 334)
		})
	}
	for range 3 {
		n.ping(n.when(), client(120), web01, true)
		n.ping(n.when(), client(121), ip("10.100.99.60"), false)
	}
	n.attempt(n.when(), client(119), web01, 22, 4)
	n.attempt(n.when(), client(119), appserver1, 22, 4)
}

// scan is one client that tries ports of the servers.
func (n *node) scan() {
	at := n.when()
	for _, server := range [][16]byte{appserver1, web01, web02} {
		for _, port := range []uint16{21, 23, 25, 110, 111, 135, 139, 143, 443, 445, 993, 1433, 1521, 3306, 3389, 5432, 5900, 6379, 8080, 8443, 9200, 27017} {
			at += n.upTo(50 * time.Millisecond)
			n.attempt(at, client(131), server, port, 1)
		}
	}
}

// noise is what every network has beside its sessions.
func (n *node) noise() {
	for host := byte(firstClient); host <= lastClient; host++ {
		n.often(20*time.Minute, func(at time.Duration) { n.unanswered(at, client(host), ip("224.0.0.251"), 5353, 5353, 3) })
		if host%3 == 0 {
			n.often(time.Hour, func(at time.Duration) { n.unanswered(at, client(host), client(255), 137, 137, 3) })
			n.unanswered(n.when(), ip("0.0.0.0"), ip("255.255.255.255"), 68, 67, 1)
		}
		if host%4 == 0 {
			n.unanswered(n.when(), linkLocal(host), ip("ff02::fb"), 5353, 5353, 2)
		}
	}
}

func linkLocal(host byte) [16]byte { return [16]byte{0: 0xfe, 1: 0x80, 15: host} }

// application is what the servers of the application do.
func (n *node) application() {
	for _, server := range [][16]byte{appserver1, web01, web02} {
		n.often(3*time.Minute, func(at time.Duration) { n.dns(at, server, resolvers[n.rng.IntN(2)]) })
		for _, resolver := range resolvers {
			n.often(17*time.Minute, func(at time.Duration) { n.ntp(at, server, 123, resolver) })
		}
		if server == appserver1 {
			continue
		}
		n.often(2*time.Minute, func(at time.Duration) {
			n.tcp(at, n.upTo(20*time.Second), server, appserver1, 4567, 10, 772, 10, 806)
		})
		n.attempt(n.when(), server, appserver1, 22, 5)
	}
}

// updates are what the servers fetch, or try to, from the internet.
func (n *node) updates() {
	n.tcp(5*time.Minute, 70*time.Minute, web01, ip("194.71.11.137"), 80, 7363, 531028, 57473, 9768424)
	n.tcp(21*time.Minute, 9*time.Minute, web01, ip("91.189.91.82"), 80, 6650, 367285, 24297, 4129998)
	n.tcp(48*time.Minute, 14*time.Minute, appserver1, ip("194.71.11.165"), 80, 8064, 511948, 43318, 7361773)
	for range 4 {
		n.attempt(n.when(), web02, ip("91.189.91.82"), 80, 5)
		n.attempt(n.when(), web02, ip("194.71.11.137"), 443, 5)
		n.attempt(n.when(), appserver1, ip("185.125.190.39"), 443, 5)
	}
}

// DropRule gives the monitor on the rule that drops what no other rule allows, once the proposal for the lab is in force: attempts of
// SSH, of HTTP at a server that serves none to clients, and of updates. The records begin at start.
func DropRule(seed uint64, start time.Time) Node {
	n := node{start: schema.Micros(start), rng: rand.New(rand.NewPCG(seed, 3))}
	for _, ssh := range []struct {
		client, server [16]byte
		times          int
	}{{client(119), web01, 4}, {client(119), appserver1, 3}, {client(131), web02, 2}, {web01, appserver1, 2}} {
		for range ssh.times {
			n.attempt(n.when(), ssh.client, ssh.server, 22, 4)
		}
	}
	for host := byte(122); host < 126; host++ {
		n.attempt(n.when(), client(host), appserver1, 80, 3)
	}
	for range 3 {
		n.attempt(n.when(), web01, ip("194.71.11.137"), 80, 5)
		n.attempt(n.when(), web02, ip("91.189.91.82"), 80, 5)
		n.attempt(n.when(), appserver1, ip("185.125.190.39"), 443, 5)
	}
	for i := range n.records {
		n.records[i].Action = schema.Dropped
	}
	return Node{Name: "drop-rule", Addr: netip.AddrFrom4([4]byte{127, 0, 0, 4}), Domain: 1, Records: n.sorted()}
}

// often calls f at times that are a period apart, more or less.
func (n *node) often(period time.Duration, f func(at time.Duration)) {
	for at := n.upTo(period); at < Duration-time.Minute; at += period/2 + n.upTo(period) {
		f(at)
	}
}

// when is any time of the first hour and three quarters.
func (n *node) when() time.Duration { return n.upTo(Duration - 15*time.Minute) }

func (n *node) upTo(d time.Duration) time.Duration { return time.Duration(n.rng.Int64N(int64(d))) }

// ephemeral is a port as Linux gives it to clients.
func (n *node) ephemeral() uint16 { return uint16(32768 + n.rng.IntN(28232)) }

func (n *node) dns(at time.Duration, client, resolver [16]byte) {
	n.add(at, n.upTo(40*time.Millisecond), schema.Record{
		Src: client, Dst: resolver, Proto: iana.UDP, SrcPort: n.ephemeral(), DstPort: 53,
		Packets: 1, Bytes: 60 + n.rng.Uint64N(30), RevPackets: 1, RevBytes: 90 + n.rng.Uint64N(200),
	})
}

func (n *node) ntp(at time.Duration, client [16]byte, port uint16, server [16]byte) {
	n.add(at, n.upTo(20*time.Millisecond), schema.Record{
		Src: client, Dst: server, Proto: iana.UDP, SrcPort: port, DstPort: 123,
		Packets: 1, Bytes: 76, RevPackets: 1, RevBytes: 76,
	})
}

// tcp is a whole connection.
func (n *node) tcp(at, duration time.Duration, client, server [16]byte, port uint16, packets, octets, revPackets, revOctets uint64) {
	const whole = 0x1b // FIN, SYN, PSH, ACK
	n.add(at, duration, schema.Record{
		Src: client, Dst: server, Proto: iana.TCP, SrcPort: n.ephemeral(), DstPort: port, TCPFlags: whole, RevTCPFlags: whole,
		Packets: packets, Bytes: octets, RevPackets: revPackets, RevBytes: revOctets,
	})
}

// attempt is a connection that nobody answers.
func (n *node) attempt(at time.Duration, client, server [16]byte, port uint16, packets uint64) {
	const syn = 0x02
	n.add(at, time.Duration(packets-1)*time.Second, schema.Record{
		Src: client, Dst: server, Proto: iana.TCP, SrcPort: n.ephemeral(), DstPort: port, TCPFlags: syn,
		Packets: packets, Bytes: 60 * packets,
	})
}

func (n *node) unanswered(at time.Duration, src, dst [16]byte, srcPort, dstPort uint16, packets uint64) {
	n.add(at, time.Duration(packets-1)*time.Second, schema.Record{
		Src: src, Dst: dst, Proto: iana.UDP, SrcPort: srcPort, DstPort: dstPort, Packets: packets, Bytes: 96 * packets,
	})
}

func (n *node) ping(at time.Duration, client, server [16]byte, answered bool) {
	r := schema.Record{Src: client, Dst: server, Proto: iana.ICMP, ICMPType: 8, Packets: 4, Bytes: 336}
	if answered {
		r.RevPackets, r.RevBytes = 4, 336
	}
	n.add(at, 3*time.Second, r)
}

// add adds a flow, in parts where it lasts longer than the active timeout. Its
// source is the client, and both directions were watched.
func (n *node) add(at, duration time.Duration, r schema.Record) {
	const (
		fin   = 0x01
		syn   = 0x02
		rst   = 0x04
		idle  = 1
		part  = 2
		ended = 3
	)
	r.Direction, r.Basis, r.Completeness, r.Count = schema.Forward, schema.BasisInitiator, schema.BothWays, 1
	r.InIf, r.OutIf, r.FlowDirection = 1+uint32(r.Src[15])%48, 1+uint32(r.Dst[15])%48, schema.Ingress
	parts := 1 + uint64(duration/activeTimeout)
	for i := range parts {
		p := r
		from, to := at+time.Duration(i)*activeTimeout, at+duration
		if i < parts-1 {
			to = from + activeTimeout
			p.EndReason = part
			p.TCPFlags &^= fin
			p.RevTCPFlags &^= fin
		} else if p.EndReason = idle; r.TCPFlags&(fin|rst) != 0 {
			p.EndReason = ended
		}
		if i > 0 {
			p.TCPFlags &^= syn
			p.RevTCPFlags &^= syn
		}
		p.Start, p.End = n.start+from.Microseconds(), n.start+to.Microseconds()
		p.Packets, p.Bytes = share(r.Packets, parts, i), share(r.Bytes, parts, i)
		p.RevPackets, p.RevBytes = share(r.RevPackets, parts, i), share(r.RevBytes, parts, i)
		n.records = append(n.records, p)
	}
}

// share is part i of n parts of total.
func share(total, n, i uint64) uint64 { return total*(i+1)/n - total*i/n }

// sorted gives the records in the order in which they are reported.
func (n *node) sorted() []schema.Record {
	slices.SortStableFunc(n.records, func(a, b schema.Record) int { return int(a.End - b.End) })
	return n.records
}
