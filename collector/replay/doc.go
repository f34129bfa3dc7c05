// Package replay plays the part of a monitor node: it exports flow records as
// IPFIX (RFC 7011) over UDP or TCP, from any local address.
//
// An [Exporter] sends given records as a switch would: in templates for IPv4 and
// IPv6, ports and ICMP, and as one record for each direction or, as biflows
// (RFC 5103), one for both.
//
// # What is sent
//
// A record over IPv4 has 69 bytes: addresses (8, 12), ports (7, 11), protocol (4),
// TCP flags (6), octets and packets (1, 2), start and end in milliseconds (152,
// 153), interfaces (10, 14), flow direction (61; ingress where a record does not
// say), end reason (136), forwarding status (89), VLAN (243), VRF ids (234, 235) and
// class of service (5). IPv6 has addresses 27 and 28 instead. ICMP has type and
// code (32, 139) instead of ports and flags. A record with the name of a VRF has it
// as an element of variable length (236). Biflows add octets, packets and flags of
// the reverse direction and biflowDirection (239).
//
// Options data (scope 149) tells the exporter's address, when it started and how
// it samples.
package replay
