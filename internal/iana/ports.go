package iana

// Where the ranges of ports begin (RFC 6335, section 6).
const (
	FirstUserPort    = 1024  // above the System Ports
	FirstDynamicPort = 49152 // Dynamic Ports, which IANA gives to nobody
)
