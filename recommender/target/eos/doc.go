// Package eos writes policies as the traffic policies of Arista EOS, and reads
// them back from a running-config.
//
// A rule about sessions is two matches, NAME and NAME-reverse, since the device
// keeps no state. A match belongs to one address family; that of IPv6 is NAME-v6.
// ICMP and protocols without ports cannot be in a service field-set and have a match
// of their own, NAME-icmp. Sources and destinations are prefix field-sets.
package eos
