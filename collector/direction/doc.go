// Package direction decides who is the client of a flow record: the end that
// opened the session, whose address a rule needs as its source.
//
// A record's own statement ([schema.BasisStated], [schema.BasisInitiator])
// stands. Otherwise the strongest evidence decides, and its kind is kept in
// [schema.Record.Basis]. The decision looks at one record only, so the order
// in which records arrive cannot change it.
//
// # TCP flags
//
// An exporter gives the union of the flags of all packets of one direction,
// which cannot tell one packet with SYN and ACK from a packet with SYN and
// another with ACK. What a side's union says about that side:
//
//	SYN without ACK             client: only the opening packet of a connection
//	                            has SYN and no ACK, and no ACK followed it
//	SYN, ACK; one packet        server: the packet was the SYN-ACK, which has
//	                            neither FIN nor RST
//	SYN, ACK, ECE without CWR   server, however many packets: a client that
//	                            offers ECN sets CWR in its SYN too, and one that
//	                            does not offer it never sends ECE (RFC 3168,
//	                            section 6.1.1)
//	SYN, ACK; more packets      nothing: a client's SYN and later ACKs, or a
//	                            server's SYN-ACK and later ACKs
//	RST, ACK                    nothing: a refused connection, or the end of one
//	                            whose beginning is in an earlier record
//	no SYN                      nothing: the opening is in an earlier record
//	FIN or RST beside SYN       change nothing else
//	no flags                    nothing: the exporter does not give them
//
// In a biflow record each side speaks for itself: a client at one end means a
// server at the other. A biflow record with packets on both sides but flags on
// one may mean the union of both sides, which is never taken for one packet's.
// Two sides that contradict each other (two clients, two
// servers) say nothing.
//
// # ICMP and ICMPv6
//
// A request's source is the client, a reply's destination is. Both belong to
// one service, that of the request. A reply to a multicast group (an
// unsolicited router advertisement) answers nobody and is a service of its own.
//
// Every other message goes one way and has no answer, so its source is the
// client and its service is its own type. That holds for errors too
// (destination unreachable, time exceeded, packet too big): they speak about a
// packet that the record does not show, so they prove nothing about the session
// which that packet belonged to, and where a rule has to permit them it is from
// their sender, often a router on the way, to their receiver.
//
// # Ports
//
// Port numbers are of four kinds: ephemeral (IANA's 49152-65535 and Linux's
// 32768-60999, unless configured otherwise) or not, and known as a service or
// not. Of two ports, the service is:
//
//	                     ephemeral   known,       other         known
//	                                 ephemeral
//	ephemeral            -           known        other *       known *
//	known, ephemeral     known       -            system port * known *
//	other                other *     system port * system port   known
//	known                known *     known *      known         well-known pair
//
// Where marked with a star the basis is [schema.BasisPortRange], elsewhere
// [schema.BasisKnownPort]; a dash means undecided. "System port" means that one of
// IANA's System Ports (0-1023) wins over the other port and that without one the
// direction is undecided. For an ephemeral port that is known, that is so because
// old stacks and address translation take client ports from 1024 up, and because
// any service meets clients whose port is that of gRPC by chance.
//
// The well-known pairs are services whose client has a fixed port too: DHCP 68 to
// 67, DHCPv6 546 to 547, SNMP traps 161 to 162. Equal ports (NTP, IKE, NetBIOS,
// syslog, routing protocols) leave the direction undecided, though the service is
// plain.
//
// One port that is zero belongs to the client: some exporters collapse client
// ports. Two that are zero (later fragments) say nothing.
// Where NAT changed ports, those of the hosts at the two ends say most.
//
// Protocols without ports (GRE, ESP) have neither requests nor answers, so a
// record says nothing about their direction.
//
// What is left undecided, view session_directions decides over all stored
// sessions: by who sends at all, by how many peers each end has, and last by the
// lower port where its host shows no other one.
package direction
