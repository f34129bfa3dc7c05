// Package iana holds what Cordon takes from IANA's registries: the numbers and
// names of IP protocols, which of them have ports, the ranges of ports, the
// messages of ICMP that answer one another, and the usual names of services. It
// imports nothing of Cordon, so that every package can take these from here.
package iana
